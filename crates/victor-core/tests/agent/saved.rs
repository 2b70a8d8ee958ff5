//! What a session keeps: over a question, a crash, a second process.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use victor_core::agent::Status;
use victor_core::memory::MemoryStore;
use victor_core::message::Role;
use victor_core::permission::{Answer, ApprovalRequest, Approver, Decision, GrantScope};
use victor_core::session::{Entry, SessionStore};
use victor_core::testing::{ScriptedProvider, reply_calls, reply_text};
use victor_core::tool::Effects;

use super::stage::{agent, note, runtime, text_args};

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
