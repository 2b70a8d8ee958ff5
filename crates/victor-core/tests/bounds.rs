//! Ways around limits, permissions and hooks that must not be ways.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::time::timeout;
use victor_core::agent::Status;
use victor_core::agent::machine::{Answered, Judgement, Machine, Reply, Setup};
use victor_core::error::{ProviderError, ProviderErrorKind, ToolError, VictorError};
use victor_core::event::EventKind;
use victor_core::hook::{BeforeTool, Hook, PlannedCall};
use victor_core::id::{CallId, RunId, SessionId, Timestamp};
use victor_core::memory::MemoryStore;
use victor_core::message::{Block, Role};
use victor_core::permission::{AllowAll, Answer, Approver, Decision, GrantScope, PermissionKey};
use victor_core::provider::StopReason;
use victor_core::provider::{Chunk, Model, ModelInfo, ProviderInfo, ProviderRegistry, Selector};
use victor_core::runtime::CallOptions;
use victor_core::session::{Entry, NewSession, SessionStore};
use victor_core::testing::{ScriptedProvider, reply_calls, reply_text};
use victor_core::tool::{DynTool, Effects, Plan, ToolOutput, ToolSource};
use victor_core::usage::{Budget, Limit, NanoUsd, Price, Spent, Usage};

use support::*;

struct Says(&'static str, fn(String) -> BeforeTool);

#[async_trait]
impl Hook for Says {
    async fn before_tool(&self, call: PlannedCall<'_>) -> BeforeTool {
        if call.tool == self.0 { (self.1)("no".into()) } else { BeforeTool::Continue }
    }
}

#[tokio::test]
async fn an_abort_ends_the_run_however_deep_the_call_and_whatever_another_hook_says() {
    let outer = tool("outer", Effects::READ, |cx| Box::pin(async move { cx.call("inner", json!({})).await }));
    for name in ["outer", "inner"] {
        let provider = ScriptedProvider::new([one("outer"), reply_text("went on")]);
        let (inner, calls) = counting("inner", Effects::READ);
        let hooks = runtime().hook(Arc::new(Says(name, BeforeTool::Deny)));
        let rt = hooks.hook(Arc::new(Says(name, BeforeTool::Abort))).build().unwrap();
        let outcome = agent(&provider, &rt, &[Arc::clone(&outer), inner]).await.run("go").await.unwrap();
        assert_eq!((outcome.status, calls.load(Ordering::SeqCst)), (Status::Denied, 0), "{name}");
    }
}

#[tokio::test]
async fn a_yes_for_the_session_reaches_no_further_than_what_was_asked() {
    let shell = planned("shell", Effects::EXECUTE | Effects::NETWORK, |args| {
        let network = if args["network"] == true { Effects::NETWORK } else { Effects::NONE };
        let key = PermissionKey::Command { text: "curl x".into() };
        Plan::new(Effects::EXECUTE | network, |_, _| async { Ok(ToolOutput::default()) }).key(key)
    });
    let (quiet, loud) = (("shell", json!({})), ("shell", json!({"network": true})));
    let script = [reply_calls(&[quiet.clone(), quiet]), reply_calls(&[loud]), reply_text("ok")];
    let provider = ScriptedProvider::new(script);
    let approver = Answers::with(|_| Answer::Decided(Decision::Allow(GrantScope::Session)));
    let rt = runtime().approver(Arc::clone(&approver) as Arc<dyn Approver>).build().unwrap();
    agent(&provider, &rt, &[shell]).await.run("go").await.unwrap();
    let asked: Vec<_> = approver.1.lock().unwrap().iter().map(|q| q.effects).collect();
    assert_eq!(asked, [Effects::EXECUTE, Effects::EXECUTE | Effects::NETWORK]);
}

struct Falls(Model);

#[async_trait]
impl ProviderRegistry for Falls {
    async fn resolve(&self, _: &Selector) -> Result<Model, VictorError> {
        Ok(self.0.clone())
    }

    async fn fallbacks(&self, _: &Model) -> Vec<Model> {
        vec![self.0.clone()]
    }

    fn providers(&self) -> Vec<ProviderInfo> {
        Vec::new()
    }

    fn models(&self) -> Vec<ModelInfo> {
        Vec::new()
    }
}

#[tokio::test]
async fn a_cost_limit_keeps_models_without_a_price_out() {
    let budget = Budget { max_cost: Some(NanoUsd::from_dollars(1.0)), ..Budget::default() };
    let price = Price { input: 1, output: 1, cache_read: 1, cache_write: 1 };
    let unpriced = ScriptedProvider::new([reply_text("for free?"), reply_text("for free?")]);
    let down = ProviderError::new(ProviderErrorKind::Authentication, "scripted", "no");
    let first = ScriptedProvider::new([vec![Err(down)]]);
    let rt = runtime().providers(Arc::new(Falls(unpriced.model()))).build().unwrap();
    let model = with_info(&first, |info| info.price = Some(price));
    assert!(of(model, &rt, &[], budget).await.run("go").await.is_err());

    let rt = runtime().build().unwrap();
    let child = agent(&unpriced, &rt, &[]).await.as_tool("child", "");
    let parent = ScriptedProvider::new([ask("child"), reply_text("ok")]);
    let model = with_info(&parent, |info| info.price = Some(price));
    of(model, &rt, &[child], budget).await.run("go").await.unwrap();
    assert_eq!(unpriced.seen().len(), 0, "a model without a price was called under a cost limit");
}

#[tokio::test]
async fn children_draw_on_the_turns_of_the_root_and_count_their_own_from_their_start() {
    let (read, _) = counting("read", Effects::READ);
    let rt = runtime().build().unwrap();
    let turns = |n| Budget { max_turns: Some(n), ..Budget::default() };
    let busy = ScriptedProvider::new((0..20).map(|_| one("read")));
    let child = agent(&busy, &rt, &[Arc::clone(&read)]).await.as_tool("child", "");
    let parent = ScriptedProvider::new([ask("child"), ask("child"), ask("child"), reply_text("ok")]);
    let outcome = of(parent.model(), &rt, &[child], turns(6)).await.run("go").await.unwrap();
    assert_eq!((outcome.status, outcome.limit), (Status::Limit, Some(Limit::Turns)));
    assert_eq!(busy.seen().len() + parent.seen().len(), 6);

    let brief = ScriptedProvider::new([reply_text("42")]);
    let child = of(brief.model(), &rt, &[], turns(1)).await.as_tool("child", "");
    let parent = ScriptedProvider::new([one("read"), ask("child"), reply_text("ok")]);
    of(parent.model(), &rt, &[child, read], turns(9)).await.run("go").await.unwrap();
    assert_eq!(parent.seen()[2].last().unwrap().tool_results().next().unwrap().content, [Block::text("42")]);
}

fn paid(name: &str) -> Vec<Result<Chunk, ProviderError>> {
    let mut pieces = one(name);
    pieces.insert(0, Ok(Chunk::Usage(Usage { input: 80, output: 20, ..Usage::default() })));
    pieces
}

#[tokio::test]
async fn a_resumed_run_goes_on_with_its_budget_its_id_and_its_events() {
    let provider = ScriptedProvider::new([paid("run"), reply_text("too much")]);
    let (run, _) = counting("run", Effects::EXECUTE);
    let rt = runtime().approver(later()).build().unwrap();
    let budget = Budget { max_tokens: Some(100), ..Budget::default() };
    let mut chat = of(provider.model(), &rt, &[run], budget).await.chat(None);
    let mut events = rest(chat.astream("go")).await;
    assert_eq!(ended(&events), Status::Waiting);
    let call = chat.questions().await.unwrap()[0].call.clone();
    events.extend(rest(chat.resume(vec![(call, Decision::Allow(GrantScope::Once))])).await);
    let Some(EventKind::Finished { outcome }) = events.last().map(|e| &e.kind) else { panic!("no end") };
    assert_eq!((outcome.status, outcome.limit), (Status::Limit, Some(Limit::Tokens)));
    assert_eq!(outcome.usage.input, 80, "what it had used is forgotten");
    assert!(events.iter().all(|e| e.run_id == outcome.run_id), "its events have the id of another run");
    assert!(events.iter().map(|e| e.seq).eq(0..events.len() as u64), "two of its events have the same place");
}

#[test]
fn waiting_costs_no_time_and_gives_none_back() {
    let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
    let budget = Budget { max_time: Some(Duration::from_secs(5)), ..Budget::default() };
    let setup = Setup { run: RunId(uuid::Uuid::nil()), budget, window: None, fallbacks: 0, context: 0 };
    let (mut machine, call) = (Machine::new(setup, at(0)), CallId::nth(0));
    machine.next(&Spent::default(), at(0));
    let calls = vec![call.clone()];
    machine.model_done(Answered { calls, stop: StopReason::ToolUse, has_text: false, context: 1 }).unwrap();
    machine.planned(vec![(call.clone(), Judgement::Ask)]).unwrap();
    machine.answered(&call, Reply::Later).unwrap();
    machine.pause(at(4));
    machine.resume(vec![call], at(100));
    assert_eq!(machine.time_left(at(100)), Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn a_crash_in_a_resumed_run_repeats_no_call() {
    let store = MemoryStore::default();
    let provider = ScriptedProvider::new([one("run"), reply_text("done"), reply_text("mended")]);
    let (run, _) = counting("run", Effects::EXECUTE);
    let rt = runtime().sessions(Arc::new(store.clone())).approver(later()).build().unwrap();
    let agent = agent(&provider, &rt, &[run]).await;
    let mut chat = agent.chat(None);
    chat.run("go").await.unwrap();
    let call = chat.questions().await.unwrap()[0].call.clone();
    chat.resume(vec![(call, Decision::Allow(GrantScope::Once))]).outcome().await.unwrap();
    let point = chat.undo_point().await.unwrap().unwrap();
    assert_eq!(point.called.iter().collect::<Vec<_>>(), ["run"]);
    assert_eq!((point.before, point.message.as_str()), (0, "go"), "a resumed turn is one turn");
    let entries = store.entries(chat.session(), 0, 100).await.unwrap();
    let results = entries.iter().find(|e| matches!(&e.entry, Entry::Message { message } if message.role == Role::Tool));
    let upto = results.map(|e| e.seq - 1);
    let copy: SessionId = "copy".parse().unwrap();
    let new = NewSession { id: copy.clone(), owner: "local".into(), workspace: None, at: Timestamp::default() };
    store.fork(chat.session(), upto, new).await.unwrap();
    let mut crashed = agent.chat(Some(copy));
    assert!(crashed.questions().await.unwrap().is_empty(), "a call that may have run is asked about again");
    assert_eq!(crashed.run("and now?").await.unwrap().text(), "mended");
}

#[tokio::test]
async fn all_that_a_tool_says_is_cut_errors_and_many_blocks_too() {
    let fails = tool("fails", Effects::READ, |_| Box::pin(async { Err(ToolError::model("e".repeat(1 << 20))) }));
    let talks = tool("talks", Effects::READ, |_| {
        Box::pin(async {
            Ok(ToolOutput { content: vec![Block::text("x".repeat(100_000)); 50], ..ToolOutput::default() })
        })
    });
    let provider = ScriptedProvider::new([one("fails"), one("talks"), reply_text("ok")]);
    let rt = runtime().build().unwrap();
    agent(&provider, &rt, &[fails, talks]).await.run("go").await.unwrap();
    for n in [1, 2] {
        let told = provider.seen()[n].last().unwrap().tool_results().next().unwrap().clone();
        let length = victor_core::message::text_of(&told.content).len();
        assert!(length > 1000 && length < 300 * 1024, "{} bytes of one result", length);
    }
}

struct Source(Vec<Arc<dyn DynTool>>);

#[async_trait]
impl ToolSource for Source {
    fn name(&self) -> &'static str {
        "test"
    }

    async fn tools(&self) -> Vec<Arc<dyn DynTool>> {
        self.0.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_single_calls_too_and_lets_none_begin() {
    let rt = runtime().tools(Arc::new(Source(vec![hanging("hang")]))).build().unwrap();
    let call = rt.call_tool("hang", json!({}), CallOptions::default());
    let shutdown = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        rt.shutdown(Duration::from_secs(1)).await
    };
    let (done, by_itself) = timeout(LONG, async { tokio::join!(call, shutdown) }).await.expect("the call goes on");
    assert!(done.is_err() && !by_itself);
    let refused = timeout(LONG, rt.call_tool("hang", json!({}), CallOptions::default())).await.expect("it began");
    assert!(refused.unwrap_err().to_string().contains("shutting down"));
}

#[tokio::test]
async fn questions_of_parallel_children_can_be_told_apart() {
    let (run, _) = counting("run", Effects::EXECUTE);
    let approver = Answers::with(|_| Answer::Decided(Decision::Allow(GrantScope::Once)));
    let rt = runtime().approver(Arc::clone(&approver) as Arc<dyn Approver>).build().unwrap();
    let mut children = Vec::new();
    for name in ["a", "b"] {
        let work = ScriptedProvider::new([one("run"), reply_text("ok")]);
        children.push(agent(&work, &rt, &[Arc::clone(&run)]).await.as_tool(name, ""));
    }
    let task = json!({"task": "go"});
    let parent = ScriptedProvider::new([reply_calls(&[("a", task.clone()), ("b", task)]), reply_text("ok")]);
    agent(&parent, &rt, &children).await.run("go").await.unwrap();
    let asked: Vec<CallId> = approver.1.lock().unwrap().iter().map(|q| q.call.clone()).collect();
    assert!(asked.len() == 2 && asked[0] != asked[1], "{asked:?}");
}

#[tokio::test]
async fn what_was_planned_before_a_child_wrote_is_planned_anew() {
    let world = Arc::new(AtomicUsize::new(0));
    let (at_plan, at_run) = (Arc::clone(&world), Arc::clone(&world));
    let edit = planned("edit", Effects::WRITE, move |_| {
        let seen = at_plan.load(Ordering::SeqCst);
        Plan::new(Effects::WRITE, move |_, _| async move { Ok(ToolOutput::text(format!("based on {seen}"))) })
    });
    let write = tool("write", Effects::WRITE, move |_| {
        at_run.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(ToolOutput::default()) })
    });
    let rt = runtime().approver(Arc::new(AllowAll)).build().unwrap();
    let work = ScriptedProvider::new([one("write"), reply_text("written")]);
    let child = agent(&work, &rt, &[write]).await.as_tool("child", "");
    let parent =
        ScriptedProvider::new([reply_calls(&[("child", json!({"task": "a"})), ("edit", json!({}))]), reply_text("ok")]);
    agent(&parent, &rt, &[child, edit]).await.run("go").await.unwrap();
    let told = parent.seen()[1].last().unwrap().tool_results().last().unwrap().clone();
    assert_eq!(told.content, [Block::text("based on 1")]);
}
