//! The snippets of `docs/teams.md`, and those of `docs/library.md` on tools, composition, workflows and embeddings, as they
//! stand there: what is here compiles, and a test holds the documents to it.
#![allow(clippy::unwrap_used, clippy::print_stdout, dead_code, unused_variables, missing_docs)]

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use victor::message::text_of;
use victor::team::TeamSpec;
use victor::tool::{DynTool, Effects, Json, ToolCx};
use victor::{Agent, Runtime, Team, Tool, ToolError, VictorError, tool_fn};

type Anything = Result<(), Box<dyn std::error::Error>>;

async fn a_team() -> Result<(), VictorError> {
    use victor::permission::Mode;
    use victor::prelude::*;
    use victor::team::Member;

    let victor = victor::from_env().await?;
    let lead = Agent::builder().mode(Mode::Delegate).build(&victor).await?;
    let analyst = Agent::create(&victor, "anthropic").await?;
    let writer = Agent::create(&victor, "openai/gpt-5").await?;

    let crew = [Member::new("analyst", analyst).about("reads files"), Member::new("writer", writer)];
    let done = Team::hierarchical(lead, crew).run("What do the notes say?").await?;
    println!("{done}");
    Ok(())
}

async fn embeddings(victor: Runtime) -> Anything {
    let notes = victor.embed(["The cat slept on the windowsill.", "Invoices are due within thirty days."]).await?;
    let asked = victor.embed(["When must a customer pay?"]).await?;
    let near = notes.vectors[1].similarity(&asked.vectors[0]);
    Ok(())
}

async fn a_team_as_a_tool(victor: Runtime, team: Team) -> Result<(), VictorError> {
    let agent = Agent::builder().tool(team.as_tool("crew", "Works out a plan.")).build(&victor).await?;
    Ok(())
}

async fn a_described_team(victor: Runtime) -> Anything {
    let spec: TeamSpec = serde_json::from_value(serde_json::json!({
        "team": "reflection",
        "members": [{ "name": "writer", "role": "writer", "tools": ["read"] }, { "name": "critic", "mode": "explore" }],
        "task": "A word for a thing to build with.",
    }))?;
    let done = Team::create(&victor, &spec).await?.run(&spec.task).await?;
    Ok(())
}

#[derive(Deserialize, JsonSchema)]
struct DiceArgs {
    sides: u32,
}

#[derive(Deserialize, JsonSchema)]
struct File {
    path: String,
}

/// Counts the words of a text.
#[derive(Deserialize, JsonSchema, Tool)]
#[tool(effects(none))]
struct CountWords {
    text: String,
}

impl CountWords {
    async fn run(self, _cx: ToolCx) -> Result<Json<usize>, ToolError> {
        Ok(Json(self.text.split_whitespace().count()))
    }
}

async fn tools(victor: Runtime) -> Result<(), VictorError> {
    let dice = tool_fn("dice", "Tells the highest number of a die.", Effects::NONE, |dice: DiceArgs, _cx| async move {
        Ok(dice.sides.to_string())
    });
    let agent = Agent::builder().tool(dice).tool(CountWords::tool()).build(&victor).await?;
    Ok(())
}

fn composition(read: std::sync::Arc<dyn DynTool>, editor: Agent) {
    use victor::compose::{ask, branch, call, pass, pipe};

    let text = call(read).with(|file: File| json!({ "path": file.path })).map(|output| Ok(text_of(&output.content)));
    let short = branch(|text: &String| text.len() > 400, ask(&editor, "editor"), pass());
    let digest = pipe(text, short).into_tool("digest", "Tells in short what a file says.");
}

async fn a_workflow(victor: Runtime, agent: Agent) -> Anything {
    use victor::workflow::{JournalFilter, RunStatus, RunWorkflow as _, Workflows};

    let outcome = agent.run_workflow("code_review", json!({ "target": "src" })).await?;
    println!("{:?}: {}", outcome.status, outcome.result);
    let waiting = JournalFilter { status: vec![RunStatus::Waiting], limit: 20, ..JournalFilter::default() };
    let waiting = Workflows::of(&victor).list(&waiting).await?;
    Ok(())
}

/// Code without what a formatter may change.
fn bare(code: &str) -> String {
    let lines = code.lines().map(|line| line.split(" //").next().unwrap());
    lines.collect::<String>().chars().filter(|c| !c.is_whitespace() && *c != ',').collect()
}

#[test]
fn documented_snippets_stand_in_this_file() {
    let here = bare(include_str!("documented.rs"));
    let teams = include_str!("../../../docs/teams.md");
    let library = include_str!("../../../docs/library.md");
    let tools = library.split("The same without a struct").nth(1).unwrap().split("## A runtime").next().unwrap();
    let mut seen = 0;
    for snippet in [teams, tools].iter().flat_map(|text| text.split("```rust\n").skip(1)) {
        let snippet = snippet.split("```").next().unwrap();
        for part in snippet.split("\n\n") {
            assert!(here.contains(&bare(part)), "not as it stands in documented.rs:\n{part}");
        }
        seen += 1;
    }
    assert_eq!(seen, 8);
}

#[test]
fn a_derived_tool_is_what_its_struct_says() {
    let tool = CountWords::tool();
    let spec = tool.spec();
    assert_eq!((spec.name.as_str(), spec.description.as_str()), ("count_words", "Counts the words of a text."));
    assert_eq!((spec.effects, &spec.parameters["required"]), (Effects::NONE, &json!(["text"])));
}
