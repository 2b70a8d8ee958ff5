//! Whole runs with a scripted provider: the loop, the pipeline, the log and the events, end to end in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use victor_core::agent::{Agent, AgentSpec, DryRun, Outcome, Status};
use victor_core::compact::{CompactRequest, Compaction, Compactor};
use victor_core::error::{ProviderError, ProviderErrorKind, ToolError, VictorError};
use victor_core::event::{Event, EventKind};
use victor_core::hook::{AfterTool, BeforeTool, Hook, PlannedCall};
use victor_core::memory::MemoryStore;
use victor_core::message::{Message, Role};
use victor_core::permission::{Answer, ApprovalRequest, Approver, Decision, GrantScope, Rule, RuleEffect, Rules};
use victor_core::provider::{Chunk, StopReason};
use victor_core::request::OutputSchema;
use victor_core::runtime::{Runtime, RuntimeBuilder};
use victor_core::session::{Entry, SessionStore};
use victor_core::testing::{ScriptedProvider, TestClock, reply_calls, reply_text};
use victor_core::tool::{DynTool, Effects, Plan, Tool, ToolCx, ToolOutput, erase};
use victor_core::usage::{Budget, Limit, NanoUsd, Usage};

#[derive(Deserialize, JsonSchema)]
struct NoteArgs {
    text: String,
}

/// Counts its calls; `effects` makes it ask or not.
struct Note {
    effects: Effects,
    calls: Arc<AtomicUsize>,
}

impl Tool for Note {
    const NAME: &'static str = "note";
    type Args = NoteArgs;

    fn description(&self) -> Cow<'static, str> {
        "Notes a text.".into()
    }

    fn effects(&self) -> Effects {
        self.effects
    }

    async fn plan(&self, args: NoteArgs, _: &ToolCx) -> Result<Plan, ToolError> {
        let calls = Arc::clone(&self.calls);
        Ok(Plan::new(self.effects, move |_, cx: ToolCx| async move {
            calls.fetch_add(1, Ordering::SeqCst);
            match args.text.as_str() {
                "panic" => panic!("on purpose"),
                "hang" => {
                    cx.cancel.cancelled().await;
                    Err(ToolError::model("stopped"))
                }
                "fatal" => Err(ToolError::Fatal("the disk is gone".into())),
                text => Ok(ToolOutput::text(format!("noted {text}"))),
            }
        }))
    }
}

fn note(effects: Effects) -> (Arc<dyn DynTool>, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    (erase(Note { effects, calls: Arc::clone(&calls) }), calls)
}

fn runtime() -> RuntimeBuilder {
    Runtime::builder().clock(TestClock::default())
}

async fn agent(provider: &Arc<ScriptedProvider>, runtime: &Runtime, tool: Arc<dyn DynTool>) -> Agent {
    Agent::builder().model(provider.model()).tool(tool).build(runtime).await.unwrap()
}

async fn events(mut run: victor_core::agent::Run) -> Vec<Event> {
    let mut all = Vec::new();
    while let Some(event) = run.next().await {
        all.push(event);
    }
    all
}

fn finished(events: &[Event]) -> &Outcome {
    let mut ends = events.iter().filter_map(|e| match &e.kind {
        EventKind::Finished { outcome } if e.path.is_empty() => Some(outcome),
        _ => None,
    });
    let outcome = ends.next().expect("no Finished event");
    assert!(ends.next().is_none(), "more than one Finished event");
    outcome
}

fn text_args(text: &str) -> (&'static str, serde_json::Value) {
    ("note", json!({ "text": text }))
}

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

#[tokio::test]
async fn what_would_ask_is_denied_where_nobody_can_be_asked() {
    let provider = ScriptedProvider::new([reply_calls(&[text_args("a")]), reply_text("could not")]);
    let (tool, calls) = note(Effects::EXECUTE);
    let rt = runtime().build().unwrap();
    let outcome = agent(&provider, &rt, tool).await.run("go").await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 0, "it ran without leave");
    assert_eq!(outcome.status, Status::Completed, "a run that went on despite a denial is done");
    assert!(outcome.denied[0].reason.contains("--allow 'note'"), "{}", outcome.denied[0].reason);
}

#[tokio::test]
async fn deny_beats_allow_and_hooks_only_make_it_stricter() {
    struct Yes;
    #[async_trait]
    impl Hook for Yes {
        async fn before_tool(&self, _: PlannedCall<'_>) -> BeforeTool {
            BeforeTool::Continue
        }
    }
    struct Broken;
    #[async_trait]
    impl Hook for Broken {
        async fn before_tool(&self, _: PlannedCall<'_>) -> BeforeTool {
            panic!("on purpose")
        }
    }
    let rule = |effect, text| Rule::parse(effect, text, "test").unwrap();
    let rules = Rules::new(vec![rule(RuleEffect::Allow, "note"), rule(RuleEffect::Deny, "not*")]);
    for (rules, hook) in [(rules, Arc::new(Yes) as Arc<dyn Hook>), (Rules::default(), Arc::new(Broken))] {
        let provider = ScriptedProvider::new([reply_calls(&[text_args("a")]), reply_text("ok")]);
        let (tool, calls) = note(Effects::READ);
        let rt = runtime().rules(rules).hook(hook).build().unwrap();
        let outcome = agent(&provider, &rt, tool).await.run("go").await.unwrap();
        assert_eq!((calls.load(Ordering::SeqCst), outcome.denied.len()), (0, 1));
    }
}

#[tokio::test]
async fn a_hook_can_abort_after_a_call_and_the_history_stays_valid() {
    struct Stop;
    #[async_trait]
    impl Hook for Stop {
        async fn after_tool(&self, _: PlannedCall<'_>, _: &ToolOutput) -> AfterTool {
            AfterTool::Abort("enough".into())
        }
    }
    let provider = ScriptedProvider::new([reply_calls(&[text_args("a"), text_args("b")]), reply_text("again")]);
    let (tool, _) = note(Effects::WRITE);
    let rt = runtime().hook(Arc::new(Stop)).build().unwrap();
    let mut chat = agent(&provider, &rt, tool).await.chat(None);
    let outcome = chat.run("go").await.unwrap();
    assert_eq!(outcome.status, Status::Denied);
    assert_eq!(chat.run("go on").await.unwrap().text(), "again");
}

#[tokio::test]
async fn wrong_arguments_unknown_tools_and_crashes_are_told_to_the_model() {
    let garbage = vec![
        Ok(Chunk::ToolCall { index: 0, id: None, name: "note".into() }),
        Ok(Chunk::ToolArgs { index: 0, delta: "{\"text\": ".into() }),
        Ok(Chunk::Stop(StopReason::ToolUse)),
    ];
    let provider = ScriptedProvider::new([
        reply_calls(&[("note", json!({ "txt": 1 })), ("nota", json!({})), text_args("panic")]),
        garbage,
        reply_text("sorry"),
    ]);
    let (tool, _) = note(Effects::READ);
    let rt = runtime().build().unwrap();
    let outcome = agent(&provider, &rt, tool).await.run("go").await.unwrap();
    assert_eq!(outcome.status, Status::Completed);
    let said = |n: usize| -> Vec<String> {
        let last = Arc::clone(provider.seen()[n].last().unwrap());
        last.tool_results().map(|r| victor_core::message::text_of(&r.content)).collect()
    };
    let first = said(1);
    assert!(first[0].contains("text"), "{first:?}");
    assert!(first[1].contains("did you mean `note`?"), "{first:?}");
    assert!(first[2].contains("crashed"), "{first:?}");
    assert!(said(2)[0].contains("not a JSON object"), "{:?}", said(2));
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
async fn a_question_put_off_is_answered_in_another_process() {
    struct Later;
    #[async_trait]
    impl Approver for Later {
        async fn ask(&self, _: &ApprovalRequest) -> Answer {
            Answer::Later
        }
    }
    let store = MemoryStore::default();
    let provider = ScriptedProvider::new([reply_calls(&[text_args("a"), text_args("b")]), reply_text("done")]);
    let build = || runtime().sessions(Arc::new(store.clone())).approver(Arc::new(Later)).build().unwrap();
    let (tool, calls) = note(Effects::EXECUTE);
    let first = build();
    let mut chat = agent(&provider, &first, Arc::clone(&tool)).await.chat(None);
    let outcome = chat.run("go").await.unwrap();
    assert_eq!((outcome.status, outcome.waiting.len()), (Status::Waiting, 2));
    let id = chat.session().clone();
    drop(chat);

    let second = build();
    let mut chat = agent(&provider, &second, tool).await.chat(Some(id));
    let questions = chat.questions().await.unwrap();
    let answers = vec![
        (questions[0].call.clone(), Decision::Allow(GrantScope::Once)),
        (questions[1].call.clone(), Decision::Deny { reason: "no".into() }),
    ];
    let resumed = chat.resume(answers).outcome().await.unwrap();
    assert_eq!((resumed.status, resumed.text()), (Status::Completed, "done"));
    assert_eq!(resumed.run_id, outcome.run_id, "a resumed run is the same run");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_crash_between_call_and_result_is_mended_on_load() {
    let store = MemoryStore::default();
    let provider = ScriptedProvider::new([reply_calls(&[text_args("a")]), reply_text("one"), reply_text("two")]);
    let (tool, _) = note(Effects::READ);
    let rt = runtime().sessions(Arc::new(store.clone())).build().unwrap();
    let agent = agent(&provider, &rt, tool).await;
    let mut chat = agent.chat(None);
    chat.run("go").await.unwrap();
    let id = chat.session().clone();
    drop(chat);
    let entries = store.entries(&id, 0, 100).await.unwrap();
    let at = entries.iter().find(|e| matches!(&e.entry, Entry::Message { message } if message.role == Role::Assistant));
    let copy: victor_core::id::SessionId = "copy".parse().unwrap();
    let new = victor_core::session::NewSession {
        id: copy.clone(),
        owner: "local".into(),
        workspace: None,
        at: victor_core::id::Timestamp::default(),
    };
    store.fork(&id, at.map(|e| e.seq), new).await.unwrap();
    let mut chat = agent.chat(Some(copy));
    assert_eq!(chat.run("and now?").await.unwrap().text(), "two");
    let history = provider.seen().pop().unwrap();
    let mended = history[2].tool_results().next().unwrap();
    assert!(mended.is_error && history[3].role == Role::User);
}

#[tokio::test]
async fn two_chats_on_one_session_conflict() {
    let store = MemoryStore::default();
    let provider = ScriptedProvider::new([reply_text("one"), reply_text("two")]);
    let (tool, _) = note(Effects::READ);
    let rt = runtime().sessions(Arc::new(store.clone())).build().unwrap();
    let agent = agent(&provider, &rt, tool).await;
    let mut first = agent.chat(None);
    first.run("go").await.unwrap();
    let mut second = agent.chat(Some(first.session().clone()));
    let e = second.run("me too").await.unwrap_err();
    assert_eq!(e.code(), "CONFLICT");
    assert_eq!(provider.seen().len(), 1, "the second one paid for a model call");
    drop(first);
    assert_eq!(second.run("now?").await.unwrap().text(), "two");
}

#[tokio::test]
async fn dry_runs_say_what_they_would_do() {
    let provider = ScriptedProvider::new([reply_calls(&[text_args("a")]), reply_text("ok")]);
    let (tool, calls) = note(Effects::WRITE);
    let rt = runtime().build().unwrap();
    let spec = AgentSpec { dry_run: DryRun::On, ..AgentSpec::default() };
    let agent = Agent::builder().model(provider.model()).tool(tool).spec(spec).build(&rt).await.unwrap();
    agent.run("go").await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    let told = provider.seen()[1].last().unwrap().tool_results().next().unwrap().clone();
    assert!(victor_core::message::text_of(&told.content).starts_with("dry run"));
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
async fn a_session_grant_is_asked_once() {
    struct Count(Mutex<u32>);
    #[async_trait]
    impl Approver for Count {
        async fn ask(&self, _: &ApprovalRequest) -> Answer {
            *self.0.lock().unwrap() += 1;
            Answer::Decided(Decision::Allow(GrantScope::Session))
        }
    }
    let again = || reply_calls(&[text_args("a")]);
    let provider = ScriptedProvider::new([again(), again(), reply_text("ok")]);
    let (tool, calls) = note(Effects::EXECUTE);
    let approver = Arc::new(Count(Mutex::new(0)));
    let rt = runtime().approver(Arc::clone(&approver) as Arc<dyn Approver>).build().unwrap();
    agent(&provider, &rt, tool).await.chat(None).run("go").await.unwrap();
    assert_eq!((*approver.0.lock().unwrap(), calls.load(Ordering::SeqCst)), (1, 2));
}

#[tokio::test]
async fn a_session_keeps_its_mode_for_whoever_opens_it() {
    let provider = ScriptedProvider::new([reply_text("one"), reply_calls(&[text_args("a")]), reply_text("I may not.")]);
    let (tool, calls) = note(Effects::WRITE);
    let rt = runtime().build().unwrap();
    let agent = agent(&provider, &rt, tool).await;
    let mut chat = agent.chat(None);
    chat.run("go").await.unwrap();
    chat.set_mode(victor_core::permission::Mode::Plan).await.unwrap();
    let id = chat.session().clone();
    drop(chat);
    agent.chat(Some(id)).run("write it").await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 0, "a session in plan mode wrote");
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
async fn a_call_that_was_cut_off_before_its_arguments_does_not_run() {
    struct Bare(Arc<AtomicUsize>);
    #[derive(Deserialize, JsonSchema)]
    struct Nothing {}
    impl Tool for Bare {
        const NAME: &'static str = "bare";
        type Args = Nothing;
        fn description(&self) -> Cow<'static, str> {
            "Needs no arguments.".into()
        }
        fn effects(&self) -> Effects {
            Effects::READ
        }
        async fn plan(&self, _: Nothing, _: &ToolCx) -> Result<Plan, ToolError> {
            let calls = Arc::clone(&self.0);
            Ok(Plan::new(Effects::READ, move |_, _| async move {
                calls.fetch_add(1, Ordering::SeqCst);
                Ok(ToolOutput::text("done"))
            }))
        }
    }
    let call = |stop| vec![Ok(Chunk::ToolCall { index: 0, id: None, name: "bare".into() }), Ok(Chunk::Stop(stop))];
    for (stop, runs) in [(StopReason::ToolUse, 1), (StopReason::MaxTokens, 0)] {
        let provider = ScriptedProvider::new([call(stop), reply_text("ok")]);
        let calls = Arc::new(AtomicUsize::new(0));
        let rt = runtime().build().unwrap();
        agent(&provider, &rt, erase(Bare(Arc::clone(&calls)))).await.run("go").await.unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), runs);
    }
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
