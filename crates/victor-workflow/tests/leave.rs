//! Leave for calls that is given later: the run waits with a question of the kind `permission`, and its node goes on.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the whole file is tests")]

mod documents;

use std::sync::Arc;

use documents::{builder, script};
use serde_json::{Value, json};
use victor_core::id::RunId;
use victor_core::memory_journal::MemoryJournal;
use victor_core::provider::Chunk;
use victor_core::question::{AskLater, QuestionKind};
use victor_core::testing::{ScriptedProvider, reply_calls};
use victor_core::usage::Usage;
use victor_workflow::Workflows;
use victor_workflow::options::{Leave, RunOptions, WorkflowOutcome};
use victor_workflow::resume::Resumed;
use victor_workflow::template::Environment;
use victor_workflow::workflow::Workflow;
use victor_workflow::yaml::{Known, load};

const AGENT: &str = "{id: a, type: agent, goal: Deploy it, tool_budget: 3, next: b}, {id: b, type: passthrough}";

fn workflow(nodes: &str) -> Workflow {
    let text = format!("workflows: {{w: {{nodes: [{nodes}]}}}}");
    load("w.yaml", &text, &Environment::default(), &Known::default()).unwrap().compile("w", &|_| None).unwrap().workflow
}

/// Another process on the same journal.
fn process(model: &Arc<ScriptedProvider>, journal: &MemoryJournal, nodes: &str) -> Workflows {
    let runtime = builder(model).journal(Arc::new(journal.clone())).build().unwrap();
    let workflows = Workflows::of(&runtime);
    workflows.registry().add(workflow(nodes));
    workflows
}

fn later() -> RunOptions {
    RunOptions { leave: Leave::Later, interviewer: Some(Arc::new(AskLater)), ..RunOptions::default() }
}

async fn start(workflows: &Workflows) -> WorkflowOutcome {
    workflows.start_named("w", json!({}), later()).await.unwrap().outcome().await.unwrap()
}

async fn answer(workflows: &Workflows, id: RunId, question: &str, answer: Value) -> WorkflowOutcome {
    let options = RunOptions { interviewer: Some(Arc::new(AskLater)), ..RunOptions::default() };
    match workflows.resume(id, vec![(question.to_owned(), answer)], options).await.unwrap() {
        Resumed::Run(run) => run.outcome().await.unwrap(),
        Resumed::Delivered => panic!("the run works already"),
    }
}

/// What the tools answered, as the model heard it at last.
fn heard(model: &Arc<ScriptedProvider>) -> String {
    let last = model.seen().last().cloned().unwrap();
    json!(last.iter().map(|m| m.content.clone()).collect::<Vec<_>>()).to_string()
}

#[tokio::test]
async fn an_agent_waits_for_leave_and_goes_on_in_another_process_without_doing_anything_again() {
    let journal = MemoryJournal::default();
    let first = script(&[
        json!({"calls": [["read", {"path": "notes"}]]}),
        json!({"calls": [["deploy", {"path": "one"}], ["deploy", {"path": "two"}]]}),
    ]);
    let waiting = start(&process(&first, &journal, AGENT)).await;
    assert_eq!((waiting.status.name(), first.seen().len()), ("waiting", 2));
    let [question] = &waiting.waiting[..] else { panic!("{:?}", waiting.waiting) };
    assert_eq!((question.kind, question.node.as_str()), (QuestionKind::Permission, "a"));
    assert!(question.prompt.contains("May `deploy` run? runs a program"), "{}", question.prompt);
    assert_eq!(question.details.as_ref().unwrap()["arguments"], json!({"path": "one"}));

    // One answer for one question; a second process asks the other one and keeps the first answer.
    let second = script(&[json!("never asked")]);
    let waiting_id = waiting.workflow_id;
    let still = answer(&process(&second, &journal, AGENT), waiting_id, &question.id, json!("allow")).await;
    assert_eq!((still.status.name(), second.seen().len()), ("waiting", 0));
    let other = &still.waiting[0];
    assert_ne!(other.id, question.id);
    assert_eq!(other.details.as_ref().unwrap()["arguments"], json!({"path": "two"}));

    let third = script(&[json!({"calls": [["read", {"path": "more"}], ["ls", {}]]}), json!("deployed")]);
    let no = json!({"decision": "deny", "reason": "not on a Friday"});
    let done = answer(&process(&third, &journal, AGENT), waiting_id, &other.id, no).await;
    assert_eq!((done.status.name(), &done.state["a"]), ("completed", &json!("deployed")));
    let heard = heard(&third);
    for word in ["content of notes", "content of one", "not on a Friday"] {
        assert!(heard.contains(word), "`{word}` is not in: {heard}");
    }
    assert!(!heard.contains("content of two"), "a denied call ran: {heard}");
    assert!(heard.contains("tool budget of 3 calls is used up"), "the budget began anew: {heard}");
    assert_eq!(done.denied.len(), 1, "{:?}", done.denied);
}

#[tokio::test]
async fn tokens_and_limits_go_on_counting_where_a_node_waited() {
    let nodes = "{id: a, type: agent, goal: Deploy it, max_turns: 2}";
    let journal = MemoryJournal::default();
    let deploy = || {
        let mut reply = reply_calls(&[("deploy", json!({"path": "x"}))]);
        reply.insert(2, Ok(Chunk::Usage(Usage { input: 10, output: 2, ..Usage::default() })));
        reply
    };
    let waiting = start(&process(&ScriptedProvider::new([deploy()]), &journal, nodes)).await;
    let used = waiting.usage.total();
    assert_eq!(used, 12);
    let next = process(&ScriptedProvider::new([deploy(), deploy()]), &journal, nodes);
    let again = answer(&next, waiting.workflow_id, "a", json!("allow")).await;
    assert_eq!(again.status.name(), "waiting");
    assert_eq!(again.usage.total(), 2 * used, "the tokens before the question are counted once");
    let ended = answer(&next, waiting.workflow_id, &again.waiting[0].id, json!(true)).await;
    assert_eq!(ended.error.map(|e| e.code).as_deref(), Some("LIMIT_EXCEEDED"));
}

#[tokio::test]
async fn a_tool_node_waits_too_and_nothing_is_taken_for_a_yes() {
    let nodes = "{id: go, type: tool, tool: deploy, arguments: {path: x}}";
    for (said, status) in [
        (json!("allow"), "completed"),
        (json!("yes"), "completed"),
        (json!({"decision": "allow_session"}), "completed"),
        (json!("deny"), "failed"),
        (json!(false), "failed"),
    ] {
        let (journal, model) = (MemoryJournal::default(), script(&[]));
        let workflows = process(&model, &journal, nodes);
        let waiting = start(&workflows).await;
        assert_eq!((waiting.status.name(), waiting.waiting[0].kind), ("waiting", QuestionKind::Permission));
        for unfit in [json!("perhaps"), json!(1), json!({"decision": "allow", "also": 1}), json!(null)] {
            let options = RunOptions::default();
            let answers = vec![("go".to_owned(), unfit.clone())];
            let error = workflows.resume(waiting.workflow_id, answers, options).await.unwrap_err().to_string();
            assert!(error.contains("is no decision"), "{unfit}: {error}");
        }
        let ended = answer(&workflows, waiting.workflow_id, "go", said.clone()).await;
        assert_eq!(ended.status.name(), status, "{said}: {:?}", ended.error);
    }
}

#[tokio::test]
async fn what_cannot_wait_is_denied_with_what_would_allow_it() {
    let nodes = "{id: t, type: team, team_formation: sequential, task: Deploy it, members: [{name: m}]}";
    let nodes = nodes.replace("team_formation", "team");
    let model = script(&[json!({"calls": [["deploy", {"path": "x"}]]}), json!("then not")]);
    let ended = start(&process(&model, &MemoryJournal::default(), &nodes)).await;
    assert_eq!(ended.status.name(), "completed", "{:?}", ended.error);
    assert!(ended.denied[0].reason.contains("can: deploy"), "{:?}", ended.denied);
    // Whom nobody asks later, is denied at once as ever.
    let model = script(&[json!({"calls": [["deploy", {"path": "x"}]]}), json!("then not")]);
    let workflows = process(&model, &MemoryJournal::default(), AGENT);
    let run = workflows.start_named("w", json!({}), RunOptions::default()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status.name(), "completed");
}

#[tokio::test]
async fn leave_counts_for_one_try_of_one_run() {
    let nodes = "{id: go, type: tool, tool: deploy, arguments: {path: x, fail: 3}, error_strategy: retry, \
                 retry_attempts: 3, retry_delay: 0}";
    let (journal, model) = (MemoryJournal::default(), script(&[]));
    let workflows = process(&model, &journal, nodes);
    let id = start(&workflows).await.workflow_id;
    let again = answer(&workflows, id, "go", json!("allow")).await;
    assert_eq!(again.status.name(), "waiting", "what was allowed once was done twice: {:?}", again.result);
    let question = &again.waiting[0].id;
    assert_eq!(answer(&workflows, id, question, json!("allow")).await.status.name(), "completed");
    // Taken up from where it was allowed, as another run.
    let history = workflows.history(id).await.unwrap();
    let answered = history.iter().find(|c| c.what == "answered").unwrap().seq;
    let run = workflows.replay_from(id, answered, later()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status.name(), "waiting");
}

#[tokio::test]
async fn where_leave_is_never_given_the_denial_names_the_configuration_and_no_flags() {
    let nodes = "{id: t, type: tool, tool: deploy, arguments: {path: one}}";
    let workflows = process(&script(&[]), &MemoryJournal::default(), nodes);
    let options = RunOptions { leave: Leave::Never, ..RunOptions::default() };
    let outcome = workflows.start_named("w", json!({}), options).await.unwrap().outcome().await.unwrap();
    let said = outcome.error.unwrap().message;
    assert!(said.contains("`permissions.allow` of the configuration") && !said.contains("--"), "{said}");
}
