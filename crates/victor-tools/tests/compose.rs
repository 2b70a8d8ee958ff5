//! Composition: what is put together goes the permission path call by call.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use victor_core::agent::{Agent, AgentSpec, DryRun, Outcome, Status};
use victor_core::error::ToolError;
use victor_core::event::EventKind;
use victor_core::message::text_of;
use victor_core::permission::{Mode, Rule, RuleEffect, Rules};
use victor_core::runtime::{Runtime, RuntimeBuilder};
use victor_core::testing::{ScriptedProvider, TestClock, reply_calls, reply_text};
use victor_core::tool::{DynTool, Effects, Json, ToolOutput, tool_fn};
use victor_tools::compose::{Flow, ask, branch, call, parallel, pass, pipe};

#[derive(Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Text {
    text: String,
}

/// Says its text in capitals; counts how often it ran.
fn shout(name: &str, effects: Effects) -> (Arc<dyn DynTool>, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let tool = tool_fn(name, "Shouts.", effects, move |args: Text, _| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            match args.text.as_str() {
                "bad" => Err(ToolError::model("I will not shout that")),
                text => Ok(text.to_uppercase()),
            }
        }
    });
    (tool, calls)
}

fn said(output: ToolOutput) -> Result<String, ToolError> {
    Ok(text_of(&output.content))
}

fn runtime() -> RuntimeBuilder {
    Runtime::builder().clock(TestClock::default())
}

/// Has an agent call `tool` with this text once; gives what it was answered, and how the run ended.
async fn use_once(rt: &Runtime, tool: Arc<dyn DynTool>, spec: AgentSpec, text: &str) -> (String, Outcome) {
    let provider = ScriptedProvider::new([reply_calls(&[("whole", json!({ "text": text }))]), reply_text("done")]);
    let agent = Agent::builder().model(provider.model()).spec(spec).tool(tool).build(rt).await.unwrap();
    let outcome = agent.run("go").await.unwrap();
    let seen = provider.seen();
    let answer = seen[1].last().unwrap().tool_results().map(|r| text_of(&r.content)).collect();
    (answer, outcome)
}

#[tokio::test]
async fn a_pipe_hands_on_what_comes_of_each_step() {
    let (rt, (tool, calls)) = (runtime().build().unwrap(), shout("shout", Effects::NONE));
    let twice =
        pipe(call::<Text>(Arc::clone(&tool)).map(said), call(tool).with(|text| json!({ "text": format!("{text}!") })));
    let (answer, outcome) = use_once(&rt, twice.into_tool("whole", ""), AgentSpec::default(), "hey").await;
    assert_eq!((answer.as_str(), outcome.status), ("HEY!", Status::Completed));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

fn loud(flow: Flow<Text, ToolOutput>) -> Arc<dyn DynTool> {
    flow.into_tool("whole", "")
}

#[tokio::test]
async fn what_a_part_may_not_do_the_whole_may_not_do() {
    let (rt, (tool, calls)) = (runtime().build().unwrap(), shout("megaphone", Effects::NETWORK));
    let (answer, outcome) = use_once(&rt, loud(call::<Text>(tool)), AgentSpec::default(), "hey").await;
    assert!(answer.starts_with("denied: "), "{answer}");
    let denied: Vec<_> = outcome.denied.iter().map(|d| d.tool.as_str()).collect();
    assert_eq!(denied, ["megaphone", "whole"]);
    assert_eq!(calls.load(Ordering::SeqCst), 0, "a denied part ran");
}

#[tokio::test]
async fn a_rule_for_the_part_is_what_allows_it() {
    let allow = |rule| Rules::new(vec![Rule::parse(RuleEffect::Allow, rule, "test").unwrap()]);
    for (rule, runs) in [("whole", 0), ("megaphone", 1)] {
        let (rt, (tool, calls)) = (runtime().rules(allow(rule)).build().unwrap(), shout("megaphone", Effects::NETWORK));
        use_once(&rt, loud(call::<Text>(tool)), AgentSpec::default(), "hey").await;
        assert_eq!(calls.load(Ordering::SeqCst), runs, "with the rule {rule}");
    }
}

#[tokio::test]
async fn the_whole_is_hidden_where_a_mode_hides_a_part() {
    let (rt, (tool, _)) = (runtime().build().unwrap(), shout("scribble", Effects::WRITE));
    let spec = AgentSpec { mode: Some(Mode::Explore), ..AgentSpec::default() };
    let (answer, _) = use_once(&rt, loud(call::<Text>(tool)), spec, "hey").await;
    assert!(answer.contains("no tool `whole` here"), "{answer}");
}

#[tokio::test]
async fn a_dry_run_runs_no_part() {
    let (rt, (tool, calls)) = (runtime().build().unwrap(), shout("scribble", Effects::WRITE));
    let spec = AgentSpec { dry_run: DryRun::On, ..AgentSpec::default() };
    let (answer, _) = use_once(&rt, loud(call::<Text>(tool)), spec, "hey").await;
    assert!(answer.starts_with("dry run"), "{answer}");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_branch_does_one_of_both() {
    let rt = runtime().build().unwrap();
    for (text, answer, loud, quiet) in [("long text", "LONG TEXT", 1, 0), ("hey", "HEY", 0, 1)] {
        let ((yes, a), (no, b)) = (shout("loud", Effects::NONE), shout("quiet", Effects::NONE));
        let whole = branch(|args: &Text| args.text.len() > 5, call(yes), call(no)).into_tool("whole", "");
        assert_eq!(use_once(&rt, whole, AgentSpec::default(), text).await.0, answer);
        assert_eq!((a.load(Ordering::SeqCst), b.load(Ordering::SeqCst)), (loud, quiet), "{text}");
    }
}

#[tokio::test]
async fn parallel_parts_answer_in_order_and_all_come_to_their_end() {
    let rt = runtime().build().unwrap();
    let (tool, calls) = shout("shout", Effects::NONE);
    let bad = call(Arc::clone(&tool)).with(|_: Text| json!({ "text": "bad" }));
    let good = || call(Arc::clone(&tool)).with(|args: Text| json!({ "text": args.text }));
    let plain = pass::<Text>().map(|args| Ok(ToolOutput::text(args.text)));
    let whole = parallel([good(), plain]).into_tool("whole", "");
    assert_eq!(use_once(&rt, whole, AgentSpec::default(), "hey").await.0, "HEYhey");
    let whole = parallel([bad, good()]).into_tool("whole", "");
    assert_eq!(use_once(&rt, whole, AgentSpec::default(), "hey").await.0, "I will not shout that");
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_agent_is_a_part_with_its_own_events_and_the_same_budget() {
    use futures::StreamExt as _;
    let rt = runtime().build().unwrap();
    let writer = ScriptedProvider::new([reply_text("a poem")]);
    let agent = Agent::builder().model(writer.model()).build(&rt).await.unwrap();
    let (tool, _) = shout("shout", Effects::NONE);
    let poem = ask(&agent, "writer").with(|args: Text| format!("A poem on {}", args.text));
    let whole = pipe(poem, call(tool).with(|text| Text { text })).into_tool("whole", "");
    let main = ScriptedProvider::new([reply_calls(&[("whole", json!({ "text": "rope" }))]), reply_text("done")]);
    let agent = Agent::builder().model(main.model()).tool(whole).build(&rt).await.unwrap();
    let events: Vec<_> = agent.astream("go").collect().await;
    assert_eq!(writer.seen()[0].last().unwrap().text(), "A poem on rope");
    let answer = main.seen()[1].last().unwrap().tool_results().map(|r| text_of(&r.content)).collect::<String>();
    assert_eq!(answer, "A POEM");
    let paths: Vec<_> = events.iter().filter(|e| matches!(e.kind, EventKind::Text { .. })).map(|e| &e.path).collect();
    assert_eq!(paths, [&vec!["call_0_0".to_owned()], &vec![]]);
    let EventKind::Finished { outcome } = &events.last().unwrap().kind else { panic!("no end") };
    assert_eq!(outcome.usage.total(), 24, "the part's tokens are not counted");
}

#[tokio::test]
async fn arguments_that_do_not_fit_a_part_are_told() {
    let rt = runtime().build().unwrap();
    let (tool, calls) = shout("shout", Effects::NONE);
    let whole = call(tool).with(|args: Text| json!({ "word": args.text })).into_tool("whole", "");
    let (answer, _) = use_once(&rt, whole, AgentSpec::default(), "hey").await;
    assert!(answer.contains("the arguments do not fit the tool `shout`"), "{answer}");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_closure_answers_programs_too() {
    let rt = runtime().build().unwrap();
    let count = tool_fn("whole", "", Effects::NONE, |args: Text, _| async move { Ok(Json(args.text.len())) });
    assert_eq!(count.spec().parameters["properties"]["text"]["type"], "string");
    assert_eq!(use_once(&rt, count, AgentSpec::default(), "hey").await.0, "3");
}
