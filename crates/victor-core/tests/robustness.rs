//! Cancels, stalls, crashes and dropped futures; and ways around limits and permissions that must not be ways.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::timeout;
use victor_core::agent::machine::{Answered, Judgement, Machine, Reply, Setup};
use victor_core::agent::{Agent, AgentSpec, Status};
use victor_core::compact::{CompactRequest, Compaction, Compactor};
use victor_core::error::{ProviderError, ProviderErrorKind, SessionError, ToolError, VictorError};
use victor_core::event::{Event, EventKind};
use victor_core::hook::{BeforeTool, Hook, PlannedCall};
use victor_core::id::{CallId, RunId, SessionId, Timestamp};
use victor_core::memory::MemoryStore;
use victor_core::message::{Block, Role};
use victor_core::permission::{AllowAll, Answer, ApprovalRequest, Approver, Decision, GrantScope, PermissionKey};
use victor_core::provider::StopReason;
use victor_core::provider::{Chunk, ChunkStream, Model, ModelInfo, Provider, ProviderInfo, ProviderRegistry, Selector};
use victor_core::request::{CallCx, Request};
use victor_core::runtime::{CallOptions, Runtime, RuntimeBuilder};
use victor_core::session::{Claim, Entry, NewSession, SessionFilter, SessionInfo, SessionStore, StoredEntry};
use victor_core::testing::{ScriptedProvider, TestClock, reply_calls, reply_text};
use victor_core::tool::{DynTool, Effects, Plan, ToolCx, ToolOutput, ToolSource, ToolSpec};
use victor_core::usage::{Budget, Limit, NanoUsd, Price, Spent, Usage};

const LONG: Duration = Duration::from_mins(10);

type Planner = Box<dyn Fn(Value) -> Plan + Send + Sync>;

struct Probe(Arc<ToolSpec>, Planner);

#[async_trait]
impl DynTool for Probe {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.0
    }

    async fn plan(&self, args: Value, _: &ToolCx) -> Result<Plan, ToolError> {
        Ok((self.1)(args))
    }
}

fn planned(name: &str, effects: Effects, plan: impl Fn(Value) -> Plan + Send + Sync + 'static) -> Arc<dyn DynTool> {
    let spec = ToolSpec::new(name, "", "test", json!({"type": "object"}), effects);
    Arc::new(Probe(Arc::new(spec), Box::new(plan)))
}

fn tool<F>(name: &str, effects: Effects, run: F) -> Arc<dyn DynTool>
where
    F: Fn(ToolCx) -> BoxFuture<'static, Result<ToolOutput, ToolError>> + Clone + Send + Sync + 'static,
{
    planned(name, effects, move |_| {
        let run = run.clone();
        Plan::new(effects, move |_, cx| run(cx))
    })
}

fn counting(name: &str, effects: Effects) -> (Arc<dyn DynTool>, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let made = tool(name, effects, move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(ToolOutput::text("done")) })
    });
    (made, calls)
}

fn hanging(name: &str) -> Arc<dyn DynTool> {
    tool(name, Effects::READ, |cx| {
        Box::pin(async move {
            cx.cancel.cancelled().await;
            Err(ToolError::model("stopped"))
        })
    })
}

fn runtime() -> RuntimeBuilder {
    Runtime::builder().clock(TestClock::default())
}

async fn agent(provider: &Arc<ScriptedProvider>, rt: &Runtime, tools: &[Arc<dyn DynTool>]) -> Agent {
    of(provider.model(), rt, tools, Budget::default()).await
}

async fn of(model: Model, rt: &Runtime, tools: &[Arc<dyn DynTool>], budget: Budget) -> Agent {
    let spec = AgentSpec { budget, ..AgentSpec::default() };
    let builder = Agent::builder().model(model).spec(spec);
    tools.iter().cloned().fold(builder, |b, t| b.tool(t)).build(rt).await.unwrap()
}

fn with_info(provider: &Arc<ScriptedProvider>, change: impl FnOnce(&mut ModelInfo)) -> Model {
    let mut model = provider.model();
    change(Arc::make_mut(&mut model.info));
    model
}

fn one(name: &str) -> Vec<Result<Chunk, ProviderError>> {
    reply_calls(&[(name, json!({}))])
}

fn ask(child: &str) -> Vec<Result<Chunk, ProviderError>> {
    reply_calls(&[(child, json!({"task": "go"}))])
}

async fn until_called(run: &mut victor_core::agent::Run) {
    while let Some(event) = run.next().await {
        if matches!(event.kind, EventKind::ToolCall { .. }) {
            return;
        }
    }
    panic!("no tool was called");
}

async fn rest(run: victor_core::agent::Run) -> Vec<Event> {
    run.collect().await
}

fn ended(events: &[Event]) -> Status {
    let EventKind::Finished { outcome } = &events.last().expect("no event").kind else { panic!("no end: {events:?}") };
    outcome.status
}

struct Answers(fn(&ApprovalRequest) -> Answer, Mutex<Vec<ApprovalRequest>>);

impl Answers {
    fn with(answer: fn(&ApprovalRequest) -> Answer) -> Arc<Self> {
        Arc::new(Self(answer, Mutex::default()))
    }
}

#[async_trait]
impl Approver for Answers {
    async fn ask(&self, request: &ApprovalRequest) -> Answer {
        self.1.lock().unwrap().push(request.clone());
        (self.0)(request)
    }
}

fn later() -> Arc<Answers> {
    Answers::with(|_| Answer::Later)
}

#[tokio::test]
async fn nothing_begins_after_a_cancel() {
    let provider = ScriptedProvider::new([reply_calls(&[("hang", json!({})), ("write", json!({}))])]);
    let (write, calls) = counting("write", Effects::WRITE);
    let rt = runtime().build().unwrap();
    let mut run = agent(&provider, &rt, &[hanging("hang"), write]).await.astream("go");
    until_called(&mut run).await;
    run.cancel();
    assert_eq!(ended(&rest(run).await), Status::Cancelled);
    assert_eq!(calls.load(Ordering::SeqCst), 0, "a file was written after the cancel");
}

/// Honours its cancellation and nothing else.
struct Stuck;

#[async_trait]
impl Provider for Stuck {
    fn name(&self) -> &'static str {
        "stuck"
    }

    fn wire(&self) -> &'static str {
        "stuck"
    }

    async fn stream(&self, _: &Request, cx: &CallCx) -> Result<ChunkStream, ProviderError> {
        cx.cancel.cancelled().await;
        Err(ProviderError::new(ProviderErrorKind::Truncated, "stuck", "cancelled"))
    }

    async fn check(&self, _: &CallCx) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn list_models(&self, _: &CallCx) -> Result<Vec<ModelInfo>, ProviderError> {
        Ok(Vec::new())
    }
}

struct Deaf;

#[async_trait]
impl Compactor for Deaf {
    async fn compact(&self, _: CompactRequest<'_>) -> Compaction {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_compaction_ends_the_run_and_leaves_the_history_alone() {
    let info = ModelInfo { id: "m".into(), context_window: Some(1000), ..ModelInfo::default() };
    let model = Model { provider: Arc::new(Stuck), info: Arc::new(info) };
    for rt in [runtime(), runtime().compactor(Arc::new(Deaf))] {
        let rt = rt.build().unwrap();
        let mut chat = of(model.clone(), &rt, &[], Budget::default()).await.unsaved_chat();
        let run = chat.astream("please ".repeat(1000));
        let cancel = run.canceller();
        let stop = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            cancel.cancel();
        };
        let (events, ()) = timeout(LONG, async { tokio::join!(rest(run), stop) }).await.expect("it hangs");
        assert_eq!(ended(&events), Status::Cancelled);
        let history = chat.history().await.unwrap();
        assert!(history[0].text().starts_with("please"), "the cancel cost the history: {}", history[0].text());
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_hangs_does_not_hold_a_cancel() {
    struct Hangs;
    #[async_trait]
    impl Hook for Hangs {
        async fn before_tool(&self, _: PlannedCall<'_>) -> BeforeTool {
            std::future::pending().await
        }
    }
    let provider = ScriptedProvider::new([one("write")]);
    let (write, calls) = counting("write", Effects::WRITE);
    let rt = runtime().hook(Arc::new(Hangs)).build().unwrap();
    let run = agent(&provider, &rt, &[write]).await.astream("go");
    assert!(!timeout(LONG, rt.shutdown(Duration::from_secs(1))).await.expect("it hangs"));
    assert_eq!((ended(&rest(run).await), calls.load(Ordering::SeqCst)), (Status::Cancelled, 0));
}

/// A memory store whose answers are late, or that refuses to keep a question.
#[derive(Clone, Default)]
struct Slow {
    inner: MemoryStore,
    late: Arc<Mutex<Duration>>,
    refuse_waiting: bool,
}

#[async_trait]
impl SessionStore for Slow {
    async fn create(&self, new: NewSession) -> Result<(), SessionError> {
        self.inner.create(new).await
    }

    async fn claim(&self, id: &SessionId, holder: &str) -> Result<Box<dyn Claim>, SessionError> {
        self.inner.claim(id, holder).await
    }

    async fn append(
        &self,
        claim: &dyn Claim,
        expected_seq: u64,
        at: Timestamp,
        entries: Vec<Entry>,
    ) -> Result<u64, SessionError> {
        if self.refuse_waiting && entries.iter().any(|e| matches!(e, Entry::Waiting { .. })) {
            return Err(SessionError::Storage("no space".into()));
        }
        let seq = self.inner.append(claim, expected_seq, at, entries).await;
        let late = *self.late.lock().unwrap();
        tokio::time::sleep(late).await;
        seq
    }

    async fn entries(&self, id: &SessionId, after: u64, limit: usize) -> Result<Vec<StoredEntry>, SessionError> {
        self.inner.entries(id, after, limit).await
    }

    async fn info(&self, id: &SessionId) -> Result<SessionInfo, SessionError> {
        self.inner.info(id).await
    }

    async fn list(&self, filter: &SessionFilter) -> Result<Vec<SessionInfo>, SessionError> {
        self.inner.list(filter).await
    }

    async fn fork(&self, from: &SessionId, upto: Option<u64>, new: NewSession) -> Result<(), SessionError> {
        self.inner.fork(from, upto, new).await
    }

    async fn delete(&self, id: &SessionId) -> Result<(), SessionError> {
        self.inner.delete(id).await
    }

    async fn prune(&self, before: Timestamp) -> Result<u64, SessionError> {
        self.inner.prune(before).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_whose_caller_went_away_counts_once_and_breaks_nothing() {
    let store = Slow::default();
    let provider = ScriptedProvider::new([reply_text("one"), reply_text("two")]);
    let rt = runtime().sessions(Arc::new(store.clone())).build().unwrap();
    let mut chat = agent(&provider, &rt, &[]).await.chat(None);
    chat.run("go").await.unwrap();
    *store.late.lock().unwrap() = Duration::from_secs(1);
    assert!(timeout(Duration::from_millis(10), chat.note("by the way")).await.is_err());
    assert_eq!(chat.run("and now?").await.unwrap().text(), "two");
    let said: Vec<_> = provider.seen()[1].iter().filter(|m| m.role == Role::User).map(|m| m.text()).collect();
    assert_eq!(said, ["go", "by the way", "and now?"]);
}

#[tokio::test]
async fn a_chat_goes_on_after_its_run_was_dropped() {
    let provider = ScriptedProvider::new([one("hang"), reply_text("here")]);
    let rt = runtime().build().unwrap();
    let mut chat = agent(&provider, &rt, &[hanging("hang")]).await.chat(None);
    let mut run = chat.astream("go");
    until_called(&mut run).await;
    drop(run);
    assert_eq!(chat.run("still there?").await.unwrap().text(), "here");
    let _held = chat.astream("one");
    assert_eq!(chat.run("two").await.unwrap_err().code(), "CONFLICT", "two runs at one time");
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_keeps_its_context_keeps_neither_run_nor_session() {
    let kept: Arc<Mutex<Option<ToolCx>>> = Arc::default();
    let place = Arc::clone(&kept);
    let keeps = tool("keep", Effects::READ, move |cx| {
        *place.lock().unwrap() = Some(cx);
        Box::pin(async { Ok(ToolOutput::text("kept")) })
    });
    let provider = ScriptedProvider::new([one("keep"), reply_text("done"), reply_text("again")]);
    let rt = runtime().build().unwrap();
    let agent = agent(&provider, &rt, &[keeps]).await;
    let mut chat = agent.chat(None);
    let outcome = timeout(LONG, chat.run("go")).await.expect("the run never ends").unwrap();
    assert_eq!(outcome.text(), "done");
    let id = chat.session().clone();
    drop(chat);
    assert_eq!(agent.chat(Some(id)).run("more").await.unwrap().text(), "again");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_went_away_holds_a_cancel_for_two_seconds_and_still_gets_the_end() {
    let calls: Vec<_> = (0..200).map(|_| ("read", json!({}))).collect();
    let provider = ScriptedProvider::new([reply_calls(&calls)]);
    let (read, _) = counting("read", Effects::READ);
    let rt = runtime().build().unwrap();
    let run = agent(&provider, &rt, &[read]).await.astream("go");
    tokio::time::sleep(Duration::from_secs(1)).await;
    timeout(Duration::from_secs(5), rt.shutdown(Duration::ZERO)).await.expect("the cancel took longer");
    let events = rest(run).await;
    assert_eq!(ended(&events), Status::Cancelled);
    assert!(events.iter().map(|e| e.seq).eq(0..events.len() as u64), "the sequence has gaps");
}

#[tokio::test]
async fn a_provider_that_panics_fails_the_run() {
    struct Panics;
    impl futures::Stream for Panics {
        type Item = Result<Chunk, ProviderError>;
        fn poll_next(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            panic!("on purpose")
        }
    }
    struct Bad(Arc<ScriptedProvider>);
    #[async_trait]
    impl Provider for Bad {
        fn name(&self) -> &'static str {
            "bad"
        }
        fn wire(&self) -> &'static str {
            "bad"
        }
        async fn stream(&self, _: &Request, _: &CallCx) -> Result<ChunkStream, ProviderError> {
            Ok(Box::pin(Panics))
        }
        async fn check(&self, cx: &CallCx) -> Result<(), ProviderError> {
            self.0.check(cx).await
        }
        async fn list_models(&self, cx: &CallCx) -> Result<Vec<ModelInfo>, ProviderError> {
            self.0.list_models(cx).await
        }
    }
    let scripted = ScriptedProvider::new([]);
    let model = Model { info: scripted.model().info, provider: Arc::new(Bad(scripted)) };
    let rt = runtime().build().unwrap();
    let run = of(model, &rt, &[], Budget::default()).await.chat(None).astream("go");
    assert_eq!(ended(&rest(run).await), Status::Failed);
}

#[tokio::test]
async fn a_waiting_chat_keeps_its_question_whatever_is_tried_meanwhile() {
    let provider = ScriptedProvider::new([one("run"), reply_text("summary"), reply_text("done")]);
    let (run, calls) = counting("run", Effects::EXECUTE);
    let rt = runtime().approver(later()).build().unwrap();
    let mut chat = agent(&provider, &rt, &[run]).await.chat(None);
    let request = "please ".repeat(30_000);
    assert_eq!(chat.run(request).await.unwrap().status, Status::Waiting);
    assert_eq!(chat.compact().await.unwrap_err().code(), "CONFLICT");
    for nothing in [Vec::new(), vec![Block::text(" \n")]] {
        assert_eq!(chat.run(nothing).await.unwrap_err().code(), "MISSING_FIELD");
    }
    let questions = chat.questions().await.unwrap();
    let answers = vec![(questions[0].call.clone(), Decision::Allow(GrantScope::Once))];
    assert_eq!(chat.resume(answers).outcome().await.unwrap().status, Status::Completed);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn compaction_keeps_the_latest_request_word_for_word() {
    let big = tool("big", Effects::READ, |_| Box::pin(async { Ok(ToolOutput::text("x".repeat(80_000))) }));
    let script = [one("big"), reply_text("so far 1"), one("big"), reply_text("so far 2"), reply_text("done")];
    let provider = ScriptedProvider::new(script);
    let rt = runtime().build().unwrap();
    let model = with_info(&provider, |info| info.context_window = Some(20_000));
    let request: String = (0..500).map(|n| format!("rule {n}; ")).collect();
    let outcome = of(model, &rt, &[big], Budget::default()).await.run(request.as_str()).await.unwrap();
    assert_eq!(outcome.text(), "done");
    let history = provider.seen().pop().unwrap();
    let text: String = history.iter().map(|m| m.text()).collect();
    assert!(text.contains("so far 2") && text.contains(&request), "the request is gone: {text}");
    assert_eq!(text.matches(&request).count(), 1);
}

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
async fn a_question_that_could_not_be_saved_is_a_failure() {
    let store = Slow { refuse_waiting: true, ..Slow::default() };
    let provider = ScriptedProvider::new([one("run"), reply_text("fine")]);
    let (run, _) = counting("run", Effects::EXECUTE);
    let rt = runtime().sessions(Arc::new(store)).approver(later()).build().unwrap();
    let mut chat = agent(&provider, &rt, &[run]).await.chat(None);
    assert!(matches!(chat.run("go").await, Err(VictorError::Session(_))));
    assert_eq!(chat.run("go on").await.unwrap().text(), "fine");
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
