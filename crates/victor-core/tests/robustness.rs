//! Cancels, stalls, crashes and dropped futures: what was said and saved stays right.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::time::timeout;
use victor_core::agent::Status;
use victor_core::compact::{CompactRequest, Compaction, Compactor};
use victor_core::error::{ProviderError, ProviderErrorKind, SessionError, VictorError};
use victor_core::hook::{BeforeTool, Hook, PlannedCall};
use victor_core::id::{SessionId, Timestamp};
use victor_core::memory::MemoryStore;
use victor_core::message::{Block, Role};
use victor_core::permission::{Decision, GrantScope};
use victor_core::provider::{Chunk, ChunkStream, Model, ModelInfo, Provider};
use victor_core::request::{CallCx, Request};
use victor_core::session::{Claim, Entry, NewSession, SessionFilter, SessionInfo, SessionStore, StoredEntry};
use victor_core::testing::{ScriptedProvider, reply_calls, reply_text};
use victor_core::tool::{Effects, ToolCx, ToolOutput};
use victor_core::usage::Budget;

use support::*;

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
