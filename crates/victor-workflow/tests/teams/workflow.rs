//! Teams as nodes: in a graph, and in a file.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};
use victor_core::agent::AgentSpec;
use victor_core::error::{ConfigurationError, VictorError};
use victor_core::event::EventKind;
use victor_core::journal::RunStatus;
use victor_core::permission::Mode;
use victor_core::provider::{Model, ModelInfo, ProviderInfo, ProviderRegistry, Selector};
use victor_core::runtime::Runtime;
use victor_core::testing::{ScriptedProvider, TestClock, reply_text};
use victor_workflow::Workflows;
use victor_workflow::graph::StateGraph;
use victor_workflow::options::{RunOptions, WorkflowOutcome};
use victor_workflow::team::{Team, TeamNode, TeamSpec};
use victor_workflow::template::Environment;
use victor_workflow::workflow::Workflow;
use victor_workflow::yaml::{Known, load};

use super::stage::{runtime, says, told};

/// Providers by name, each with its script.
struct Cast(Mutex<BTreeMap<String, Arc<ScriptedProvider>>>);

#[async_trait]
impl ProviderRegistry for Cast {
    async fn resolve(&self, selector: &Selector) -> Result<Model, VictorError> {
        let name = selector.provider.clone().unwrap_or_default();
        let found = self.0.lock().unwrap().get(&name).map(ScriptedProvider::model);
        found.ok_or_else(|| ConfigurationError::new(format!("no provider `{name}`")).into())
    }

    async fn fallbacks(&self, _: &Model) -> Vec<Model> {
        Vec::new()
    }

    fn providers(&self) -> Vec<ProviderInfo> {
        Vec::new()
    }

    fn models(&self) -> Vec<ModelInfo> {
        Vec::new()
    }
}

fn with_cast(cast: &[(&str, &[&str])], mode: Mode) -> Runtime {
    let script = |texts: &[&str]| ScriptedProvider::new(texts.iter().map(|t| reply_text(t)).collect::<Vec<_>>());
    let cast = cast.iter().map(|(name, texts)| ((*name).to_owned(), script(texts))).collect();
    let defaults = AgentSpec { mode: Some(mode), ..AgentSpec::default() };
    let builder = Runtime::builder().clock(TestClock::default()).defaults(defaults);
    builder.providers(Arc::new(Cast(Mutex::new(cast)))).build().unwrap()
}

async fn follow(rt: &Runtime, workflow: &Workflow, input: Value) -> (Vec<String>, WorkflowOutcome) {
    let mut run = Workflows::of(rt).start(workflow, input, RunOptions::default()).await.unwrap();
    let mut events = Vec::new();
    while let Some(event) = futures::StreamExt::next(&mut run).await {
        events.push(event);
    }
    let ends = events.iter().filter(|e| matches!(e.kind, EventKind::Finished { .. }) && e.path.is_empty());
    assert_eq!(ends.count(), 1);
    (told(&events), run.taken().unwrap())
}

#[tokio::test]
async fn a_team_is_a_node_of_a_graph() {
    let rt = runtime();
    let team = Team::pipeline([says(&rt, "a", &["A"]).await, says(&rt, "b", &["B"]).await]);
    let mut graph = StateGraph::new("g");
    graph.add("crew", TeamNode::new(team, |cx| Ok(format!("Build {}", cx.state()["what"].as_str().unwrap_or("")))));
    let (flow, done) = follow(&rt, &graph.compile().unwrap(), json!({ "what": "a wall" })).await;
    assert_eq!(flow, ["crew/a < : Build a wall", "crew/b < a: A"]);
    assert_eq!((done.status, &done.state["crew"]["text"]), (RunStatus::Completed, &json!("B")));
    assert_eq!(
        done.state["crew"]["members"][0],
        json!({ "member": "a", "round": 1, "status": "completed", "text": "A" })
    );
    assert_eq!(done.usage.total(), 24, "the members' tokens are not the run's");
}

const FILE: &str = "
workflows:
  argue:
    inputs: {topic: {type: string, required: true}}
    nodes:
      - id: talk
        type: team
        team: debate
        task: Shall we use {{ topic }}?
        members:
          - {name: pro, provider: one, goal: 'Speak for {{ topic }}'}
          - {name: contra, provider: two}
          - {name: jo, provider: three}
        judge: jo
        rounds: 1
        output: result
        next: [check]
      - {id: check, type: condition, condition: \"result.verdict.winner == 'pro'\", branches: {true: take, false: leave}}
      - {id: take, type: transform, transform: set, values: {taken: true}}
      - {id: leave, type: transform, transform: set, values: {taken: false}}
";

fn compiled(text: &str) -> Workflow {
    let document =
        load("argue.yaml", text, &Environment::default(), &Known::default()).unwrap_or_else(|e| panic!("{e}"));
    document.compile("argue", &|_| None).unwrap().workflow
}

#[tokio::test]
async fn a_file_runs_its_team_and_goes_on_with_what_it_decided() {
    let verdict = r#"{"answer": "Yes.", "winner": "pro", "reason": "It is quick."}"#;
    let rt = with_cast(&[("one", &["For."]), ("two", &["Against."]), ("three", &[verdict])], Mode::Build);
    let (flow, done) = follow(&rt, &compiled(FILE), json!({ "topic": "tabs" })).await;
    let who: Vec<_> = flow.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(who, ["talk/pro < ", "talk/contra < pro", "talk/jo < pro+contra"]);
    assert!(flow[0].contains("Shall we use tabs?"), "{}", flow[0]);
    assert_eq!(done.status, RunStatus::Completed, "{:?}", done.error);
    assert_eq!((&done.state["result"]["text"], &done.state["taken"]), (&json!("Yes."), &json!(true)));
}

#[tokio::test]
async fn a_teams_failure_is_the_nodes() {
    let rt = with_cast(&[("one", &["For."]), ("two", &[]), ("three", &[])], Mode::Build);
    let (_, done) = follow(&rt, &compiled(FILE), json!({ "topic": "tabs" })).await;
    assert_eq!(done.status, RunStatus::Failed);
    let error = done.error.unwrap();
    assert!(error.message.contains("the script has ended"), "{error:?}");
}

#[tokio::test]
async fn no_member_may_do_more_than_the_run() {
    let rt = with_cast(&[("one", &[])], Mode::Explore);
    let spec = |mode: &str| -> TeamSpec {
        serde_json::from_value(json!({
            "team": "parallel", "task": "x", "members": [{ "name": "a", "provider": "one", "mode": mode }],
        }))
        .unwrap()
    };
    let said = Team::create(&rt, &spec("build")).await.unwrap_err().to_string();
    assert_eq!(said, "the member `a` has the mode `build`, but the run is in `explore`");
    assert!(Team::create(&rt, &spec("plan")).await.is_ok());
    assert!(Team::create_in(&rt, &spec("build"), Mode::Delegate).await.is_ok());
}

#[tokio::test]
async fn what_is_wrong_with_a_description_is_told_at_once() {
    let rt = with_cast(&[], Mode::Build);
    let spec =
        json!({ "team": "consensus", "task": "x", "members": [{ "name": "a" }], "judge": "b", "min_agreement": 0 });
    let spec: TeamSpec = serde_json::from_value(spec).unwrap();
    let said = Team::create(&rt, &spec).await.unwrap_err().to_string();
    let all = "no member is called `b`; a consensus needs two members at least, here are 1; `judge` means nothing in the \
               formation `consensus`; `min_agreement` is a share above 0 and up to 1, not 0";
    assert_eq!(said, all);
}
