//! What a file and a run allow at most holds for every node: modes, tools, budgets. And bad input ends well.
#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

mod documents;

use std::sync::Arc;

use documents::{runtime, script};
use proptest::prelude::{any, prop, proptest};
use serde_json::{Value, json};
use victor_core::permission::Mode;
use victor_core::question::AskLater;
use victor_core::testing::ScriptedProvider;
use victor_workflow::Workflows;
use victor_workflow::expr::Expr;
use victor_workflow::library::{Layer, Library, SourceFile};
use victor_workflow::options::{RunOptions, WorkflowOutcome};
use victor_workflow::template::{Environment, Template};
use victor_workflow::yaml::{Known, load};

async fn run(head: &str, nodes: &str, model: &Arc<ScriptedProvider>, options: RunOptions) -> WorkflowOutcome {
    let text = format!("workflows:\n  w:\n{head}    nodes:\n{nodes}");
    let document = load("w.yaml", &text, &Environment::default(), &Known::default()).unwrap();
    let workflow = document.compile("w", &|_| None).unwrap().workflow;
    Workflows::of(&runtime(model)).start(&workflow, json!({}), options).await.unwrap().outcome().await.unwrap()
}

/// What the model heard at last, as text.
fn heard(model: &Arc<ScriptedProvider>) -> String {
    let last = model.seen().last().cloned().unwrap();
    json!(last.iter().map(|m| m.content.clone()).collect::<Vec<_>>()).to_string()
}

/// An agent that calls `tool` and then answers.
async fn call(head: &str, keys: &str, tool: &str, options: RunOptions) -> String {
    let model = script(&[json!({"calls": [[tool, {"path": "a"}]]}), json!("done")]);
    let node = format!("      - {{id: a, type: agent, goal: x{keys}}}\n");
    let outcome = run(head, &node, &model, options).await;
    assert_eq!(outcome.error, None);
    heard(&model)
}

#[tokio::test]
async fn an_agent_has_the_tools_of_its_node_mode_and_run_and_no_others() {
    let reads = "content of a";
    let none = RunOptions::default;
    assert!(call("", "", "read", none()).await.contains(reads));
    assert!(call("", ", tools: [read]", "read", none()).await.contains(reads));
    let mode = RunOptions { mode: Some(Mode::Explore), ..none() };
    let tools = RunOptions { tools: Some(vec!["grep".to_owned()]), ..none() };
    for (head, keys, tool, options) in [
        ("", ", tools: [grep]", "read", none()),
        ("", ", tools: ['*'], allowed_tools: [grep]", "read", none()),
        ("", ", forbidden_tools: ['re*']", "read", none()),
        ("", ", tools: []", "read", none()),
        ("", ", mode: explore", "write", none()),
        ("    metadata: {mode: explore}\n", "", "write", none()),
        ("    metadata: {mode: explore}\n", ", mode: build", "write", none()),
        ("", ", mode: build", "write", mode),
        ("", "", "read", tools),
    ] {
        let heard = call(head, keys, tool, options).await;
        assert!(!heard.contains(reads), "{head}{keys}: {heard}");
        assert!(heard.contains("unknown tool") || heard.contains("no tool"), "{head}{keys}: {heard}");
    }
}

#[tokio::test]
async fn a_member_of_a_team_has_no_tool_that_the_run_has_not() {
    for (keys, tools, has) in [
        ("", None, true),
        ("", Some("grep"), false),
        (", tools: [read]", Some("grep"), false),
        (", tools: ['*']", Some("re*"), true),
    ] {
        let model = script(&[json!({"calls": [["read", {"path": "a"}]]}), json!("done")]);
        let node = format!("      - {{id: a, type: team, team: sequential, task: x, members: [{{name: m{keys}}}]}}\n");
        let options = RunOptions { tools: tools.map(|t| vec![t.to_owned()]), ..RunOptions::default() };
        let outcome = run("", &node, &model, options).await;
        assert_eq!(outcome.error, None);
        assert_eq!(heard(&model).contains("content of a"), has, "{keys} {tools:?}: {}", heard(&model));
    }
}

#[tokio::test]
async fn a_tool_node_does_no_more_than_the_mode_of_its_workflow() {
    let node = "      - {id: a, type: tool, tool: write, arguments: {path: a}}\n";
    let outcome = run("    metadata: {mode: plan}\n", node, &script(&[]), RunOptions::default()).await;
    let error = outcome.error.unwrap();
    assert_eq!(error.code, "PERMISSION_DENIED");
    assert_eq!(error.message, "node `a`: `write` is not allowed in mode plan");
}

#[tokio::test]
async fn an_included_workflow_does_no_more_than_the_one_that_includes_it() {
    let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
    let outer = "workflows:\n  outer:\n    metadata: {mode: explore}\n    nodes:\n      - {id: a, type: workflow, workflow: inner}\n";
    let inner = "  inner:\n    nodes:\n      - {id: b, type: tool, tool: write}\n";
    let together = vec![file("a.yaml", &format!("{outer}{inner}"))];
    let apart = vec![file("a.yaml", outer), file("b.yaml", &format!("workflows:\n{inner}"))];
    for files in [together, apart] {
        let library = Library::new(&[Layer { files, ..Layer::default() }]);
        let workflow = library.compile("outer").unwrap().workflow;
        let workflows = Workflows::of(&runtime(&script(&[])));
        let run = workflows.start(&workflow, json!({}), RunOptions::default()).await.unwrap();
        let error = run.outcome().await.unwrap().error.unwrap();
        assert!(error.message.contains("`write` is not allowed in mode explore"), "{}", error.message);
    }
}

#[tokio::test]
async fn an_open_question_waits_and_a_file_that_has_changed_is_noticed() {
    let text = |prompt: &str| {
        format!("workflows: {{w: {{nodes: [{{id: gate, type: hitl, hitl_type: approval, prompt: {prompt}}}]}}}}")
    };
    let workflow = |text: &str| {
        let document = load("w.yaml", text, &Environment::default(), &Known::default()).unwrap();
        document.compile("w", &|_| None).unwrap().workflow
    };
    let workflows = Workflows::of(&runtime(&script(&[])));
    workflows.registry().add(workflow(&text("Go?")));
    let options = RunOptions { interviewer: Some(Arc::new(AskLater)), ..RunOptions::default() };
    let waiting = workflows.start_named("w", json!({}), options).await.unwrap().outcome().await.unwrap();
    assert_eq!((waiting.status.name(), waiting.waiting[0].prompt.as_str()), ("waiting", "Go?"));
    let moved = format!("# a comment\n{}", text("Go?"));
    assert_eq!(workflow(&moved).hash(), workflow(&text("Go?")).hash());
    assert_ne!(workflow(&text("Stop?")).hash(), workflow(&text("Go?")).hash());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), pieces in prop::collection::vec(0_usize..24, 0..60)) {
        const PIECES: [&str; 24] = [
            "workflows:", "\n", "  ", "- ", "{", "}", "[", "]", "id: a", ", ", "type: agent", "goal: x", "{{ a }}", "${A}",
            "&a ", "*a", "<<: ", "'", "\"", "(", ")", " and ", "not ", "a.b[0] > 1",
        ];
        let made: String = pieces.iter().map(|i| PIECES[*i]).collect();
        for text in [text, made.clone(), format!("workflows:\n  w:\n    nodes:\n      - {made}")] {
            drop(load("any.yaml", &text, &Environment::default(), &Known::default()));
            drop(Template::parse(&text, &Environment::default()).map(|t| t.render(&Value::Null)));
            drop(Expr::parse(&text).map(|e| e.value(&Value::Null)));
        }
    }
}
