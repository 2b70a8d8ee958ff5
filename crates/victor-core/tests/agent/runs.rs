//! How runs go and end: in order, tried again, at a limit, cancelled, with children.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use serde_json::json;
use victor_core::agent::{Agent, AgentSpec, Status};
use victor_core::compact::{CompactRequest, Compaction, Compactor};
use victor_core::error::{ProviderError, ProviderErrorKind, ToolError, VictorError};
use victor_core::event::EventKind;
use victor_core::message::{Message, Role};
use victor_core::provider::Chunk;
use victor_core::request::OutputSchema;
use victor_core::testing::{ScriptedProvider, reply_calls, reply_text};
use victor_core::tool::Effects;
use victor_core::usage::{Budget, Limit, NanoUsd, Usage};

use super::stage::{agent, events, finished, note, runtime, text_args};

#[tokio::test]
async fn a_task_with_a_tool_call_is_done_and_told_in_order() {
    let provider = ScriptedProvider::new([reply_calls(&[text_args("a"), text_args("b")]), reply_text("done")]);
    let (tool, calls) = note(Effects::READ);
    let rt = runtime().build().unwrap();
    let all = events(agent(&provider, &rt, tool).await.astream("go")).await;
    let outcome = finished(&all);
    assert_eq!((outcome.status, outcome.text(), outcome.turns), (Status::Completed, "done", 2));
    assert_eq!(outcome.tools_used, ["note"]);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    let seqs: Vec<_> = all.iter().map(|e| e.seq).collect();
    assert_eq!(seqs, (0..all.len() as u64).collect::<Vec<_>>(), "the sequence has gaps");
    let results: Vec<_> = provider.seen()[1].last().unwrap().tool_results().map(|r| r.call.to_string()).collect();
    assert_eq!(results, ["call_0", "call_1"], "results are not in the order of the calls");
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_and_told() {
    let overloaded = ProviderError {
        retry_after: Some(Duration::from_secs(3)),
        ..ProviderError::new(ProviderErrorKind::Overloaded, "scripted", "busy")
    };
    let cut = vec![Ok(Chunk::Text { index: 0, delta: "hal".into() })];
    let provider = ScriptedProvider::new([vec![Err(overloaded)], cut, reply_text("whole")]);
    let (tool, _) = note(Effects::READ);
    let rt = runtime().build().unwrap();
    let all = events(agent(&provider, &rt, tool).await.astream("go")).await;
    assert_eq!(finished(&all).text(), "whole");
    let delays: Vec<_> = all
        .iter()
        .filter_map(|e| match &e.kind {
            EventKind::Retrying { delay_ms, .. } => Some(*delay_ms),
            _ => None,
        })
        .collect();
    assert_eq!(delays[0], 3000);
    assert!(delays.len() == 2 && delays[1] >= 500, "{delays:?}");
}

#[tokio::test]
async fn a_failure_for_good_is_an_error_with_its_type() {
    let wrong = ProviderError::new(ProviderErrorKind::Authentication, "scripted", "wrong key");
    let provider = ScriptedProvider::new([vec![Err(wrong.clone())], vec![Err(wrong)]]);
    let (tool, _) = note(Effects::READ);
    let rt = runtime().build().unwrap();
    let agent = agent(&provider, &rt, tool).await;
    let Err(VictorError::Provider(e)) = agent.run("go").await else { panic!("no provider error") };
    assert_eq!(e.kind, ProviderErrorKind::Authentication);
    let text: Vec<_> = agent.astream("go").text().collect().await;
    assert!(matches!(text.as_slice(), [Err(VictorError::Provider(_))]), "{text:?}");
}

#[tokio::test]
async fn dropping_or_cancelling_a_run_closes_its_calls_and_the_chat_goes_on() {
    let provider = ScriptedProvider::new([reply_calls(&[text_args("hang")]), reply_text("here again")]);
    let (tool, calls) = note(Effects::READ);
    let rt = runtime().build().unwrap();
    let mut chat = agent(&provider, &rt, tool).await.chat(None);
    let mut run = chat.astream("go");
    while let Some(event) = run.next().await {
        if matches!(event.kind, EventKind::ToolCall { .. }) {
            run.cancel();
        }
        if let EventKind::Finished { outcome } = event.kind {
            assert_eq!(outcome.status, Status::Cancelled);
        }
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(chat.run("still there?").await.unwrap().text(), "here again");
    let history = provider.seen().pop().unwrap();
    let roles: Vec<_> = history.iter().map(|m| m.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool, Role::User]);
}

#[tokio::test]
async fn limits_are_outcomes_and_unknown_prices_are_errors() {
    let forever = || reply_calls(&[text_args("a")]);
    let provider = ScriptedProvider::new([forever(), forever(), forever()]);
    let (tool, _) = note(Effects::READ);
    let rt = runtime().build().unwrap();
    let turns = AgentSpec { budget: Budget { max_turns: Some(2), ..Budget::default() }, ..AgentSpec::default() };
    let agent = Agent::builder().model(provider.model()).tool(Arc::clone(&tool)).spec(turns).build(&rt).await.unwrap();
    let outcome = agent.run("go").await.unwrap();
    assert_eq!((outcome.status, outcome.limit), (Status::Limit, Some(Limit::Turns)));
    let cost = Budget { max_cost: Some(NanoUsd::from_dollars(1.0)), ..Budget::default() };
    let spec = AgentSpec { budget: cost, ..AgentSpec::default() };
    let refused = Agent::builder().model(provider.model()).spec(spec).build(&rt).await.unwrap_err();
    assert!(refused.to_string().contains("price"), "{refused}");
}

#[tokio::test]
async fn an_agent_can_be_a_tool_and_shares_budget_and_events() {
    let inner = ScriptedProvider::new([reply_text("42")]);
    let outer = ScriptedProvider::new([reply_calls(&[("ask", json!({ "task": "what?" }))]), reply_text("it is 42")]);
    let rt = runtime().build().unwrap();
    let child = Agent::builder().model(inner.model()).build(&rt).await.unwrap();
    let parent = agent(&outer, &rt, child.as_tool("ask", "Asks the other one.")).await;
    let all = events(parent.astream("go")).await;
    let outcome = finished(&all);
    assert_eq!(outcome.text(), "it is 42");
    assert_eq!(outcome.usage.input, 20, "the child's tokens count");
    let inside: Vec<_> = all.iter().filter(|e| e.path == ["call_0"]).collect();
    assert!(inside.iter().any(|e| matches!(&e.kind, EventKind::Text { delta } if delta == "42")));
    assert_eq!(all.iter().map(|e| e.seq).collect::<Vec<_>>(), (0..all.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_output_schema_is_kept_or_the_run_fails() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let spec = || AgentSpec {
        output_schema: Some(Arc::new(OutputSchema { name: "n".into(), schema: schema.clone() })),
        ..AgentSpec::default()
    };
    let rt = runtime().build().unwrap();
    let mended = ScriptedProvider::new([reply_text("seven"), reply_text("```json\n{\"n\": 7}\n```")]);
    let agent = Agent::builder().model(mended.model()).spec(spec()).build(&rt).await.unwrap();
    assert_eq!(agent.run("go").await.unwrap().structured, Some(json!({ "n": 7 })));
    let never = ScriptedProvider::new([reply_text("a"), reply_text("b"), reply_text("c")]);
    let agent = Agent::builder().model(never.model()).spec(spec()).build(&rt).await.unwrap();
    assert!(agent.run("go").await.unwrap_err().to_string().contains("does not fit"));
}

#[tokio::test]
async fn subscribers_see_their_topics_and_cannot_break_a_run() {
    let provider = ScriptedProvider::new([reply_calls(&[text_args("a")]), reply_text("ok")]);
    let (tool, _) = note(Effects::READ);
    let rt = runtime().build().unwrap();
    let (sender, seen) = std::sync::mpsc::channel();
    let _tools = rt.events().subscribe("tool.*", move |e| sender.send(e.topic).unwrap()).unwrap();
    let _bad = rt.events().subscribe("*", |_| panic!("on purpose")).unwrap();
    assert!(rt.events().subscribe("tols.*", |_| ()).is_err());
    assert_eq!(agent(&provider, &rt, tool).await.run("go").await.unwrap().text(), "ok");
    assert_eq!(seen.recv_timeout(Duration::from_secs(10)).unwrap(), "tool.execution");
}

#[tokio::test]
async fn a_fatal_tool_error_ends_the_run_and_shutdown_refuses_new_ones() {
    let provider = ScriptedProvider::new([reply_calls(&[text_args("fatal")]), reply_text("fine")]);
    let (tool, _) = note(Effects::READ);
    let rt = runtime().build().unwrap();
    let mut chat = agent(&provider, &rt, tool).await.chat(None);
    assert!(matches!(chat.run("go").await, Err(VictorError::Tool(ToolError::Fatal(_)))));
    assert_eq!(chat.run("and now").await.unwrap().text(), "fine");
    assert!(rt.shutdown(Duration::from_secs(5)).await);
    assert_eq!(chat.run("more").await.unwrap_err().code(), "SHUTTING_DOWN");
}

#[tokio::test]
async fn what_a_child_was_denied_and_used_stands_in_the_outcome_of_the_root() {
    let inner = ScriptedProvider::new([reply_calls(&[text_args("a")]), reply_text("I may not.")]);
    let outer = ScriptedProvider::new([reply_calls(&[("ask", json!({ "task": "note it" }))]), reply_text("no")]);
    let (tool, _) = note(Effects::EXECUTE);
    let rt = runtime().build().unwrap();
    let child = agent(&inner, &rt, tool).await;
    let (other, _) = note(Effects::READ);
    let parent = Agent::builder().model(outer.model()).tool(other).tool(child.as_tool("ask", "Asks.")).build(&rt).await;
    let outcome = parent.unwrap().run("go").await.unwrap();
    assert_eq!(outcome.denied.iter().map(|d| d.tool.as_str()).collect::<Vec<_>>(), ["note"]);
}

#[tokio::test]
async fn a_compaction_that_gained_nothing_is_paid_all_the_same() {
    struct Vain;
    #[async_trait]
    impl Compactor for Vain {
        async fn compact(&self, _: CompactRequest<'_>) -> Compaction {
            let usage = Usage { input: 70, output: 7, ..Usage::default() };
            Compaction { summary: Message::user("long ".repeat(9000)), keep_from: 1, usage }
        }
    }
    let provider = ScriptedProvider::new([]);
    let mut model = provider.model();
    Arc::make_mut(&mut model.info).context_window = Some(100);
    let rt = runtime().compactor(Arc::new(Vain)).build().unwrap();
    let agent = Agent::builder().model(model).build(&rt).await.unwrap();
    let outcome = agent.run("please ".repeat(200)).await.unwrap();
    assert_eq!((outcome.limit, outcome.usage.total()), (Some(Limit::Context), 77));
}
