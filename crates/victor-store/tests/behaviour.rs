//! What every session store must do. Another store is run through the same cases with one more `behaviour!` line.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the whole file is tests")]

mod support;

use std::sync::Arc;

use serde_json::json;
use support::behaviour;
use victor_core::error::SessionError;
use victor_core::id::{CallId, RunId, SessionId, Timestamp};
use victor_core::message::{Block, Message, Role, ToolResult};
use victor_core::session::{Entry, NewSession, SessionFilter, SessionSettings, SessionStore, effective};

type Store = Arc<dyn SessionStore>;

behaviour!(
    sqlite,
    crate::support::sqlite(),
    [
        entries_come_back_in_order_and_in_parts,
        a_name_is_given_once,
        a_session_has_one_writer_at_a_time,
        a_claim_ends_when_it_is_dropped_and_only_its_own,
        an_append_at_the_wrong_place_changes_nothing,
        what_does_not_exist_is_not_found,
        the_list_shows_title_count_and_times,
        a_set_title_wins_and_stays,
        a_rewind_takes_back_what_the_list_shows,
        lists_filter_and_page,
        search_finds_texts_whatever_the_case,
        a_fork_is_a_copy_of_its_own,
        delete_and_prune_spare_what_is_held,
        calls_that_nobody_waits_for_leave_no_claim,
    ]
);

async fn entries_come_back_in_order_and_in_parts(store: Store) {
    let id = create(&store, "s", 1).await;
    let claim = store.claim(&id, "test").await.unwrap();
    let written: Vec<Entry> = vec![
        Entry::RunStarted { run_id: RunId(Default::default()) },
        user("two\nlines, \"quotes\", \u{1F980} and a \u{0} byte"),
        Entry::Note { name: "n".into(), value: json!({"z": 1, "a": [null, 1.5, "x"]}) },
        Entry::Checkpoint { run_id: RunId(Default::default()), call: CallId::nth(0), files: vec![] },
    ];
    assert_eq!(store.append(&*claim, 0, at(2), written[..1].to_vec()).await.unwrap(), 1);
    assert_eq!(store.append(&*claim, 1, at(3), written[1..].to_vec()).await.unwrap(), 4);
    assert_eq!(store.append(&*claim, 4, at(4), vec![]).await.unwrap(), 4);

    let all = store.entries(&id, 0, usize::MAX).await.unwrap();
    assert_eq!(all.iter().map(|e| e.entry.clone()).collect::<Vec<_>>(), written);
    assert_eq!(all.iter().map(|e| (e.seq, e.at)).collect::<Vec<_>>(), [(1, at(2)), (2, at(3)), (3, at(3)), (4, at(3))]);
    assert_eq!(store.entries(&id, 1, 2).await.unwrap(), all[1..3]);
    assert_eq!(store.entries(&id, 4, 2).await.unwrap(), []);
}

async fn a_name_is_given_once(store: Store) {
    let id = create(&store, "s", 1).await;
    assert!(matches!(store.create(new("s", 2)).await, Err(SessionError::Conflict { .. })));
    assert_eq!(store.info(&id).await.unwrap().created_at, at(1));
}

async fn a_session_has_one_writer_at_a_time(store: Store) {
    let id = create(&store, "s", 1).await;
    let other = create(&store, "other", 1).await;
    let claim = store.claim(&id, "the first").await.unwrap();
    assert_eq!((claim.session(), claim.last_seq()), (&id, 0));
    let Err(SessionError::Conflict { session, holder }) = store.claim(&id, "the second").await else {
        panic!("claimed twice")
    };
    assert_eq!(session, "s");
    assert!(holder.contains("the first"), "{holder}");
    store.claim(&other, "the second").await.unwrap();
}

async fn a_claim_ends_when_it_is_dropped_and_only_its_own(store: Store) {
    let id = create(&store, "s", 1).await;
    let first = store.claim(&id, "first").await.unwrap();
    store.append(&*first, 0, at(2), vec![user("a")]).await.unwrap();
    drop(first);
    let second = store.claim(&id, "second").await.unwrap();
    assert_eq!(second.last_seq(), 1);
    assert_eq!(store.append(&*second, 1, at(3), vec![user("b")]).await.unwrap(), 2);
}

async fn an_append_at_the_wrong_place_changes_nothing(store: Store) {
    let id = create(&store, "s", 1).await;
    let claim = store.claim(&id, "test").await.unwrap();
    store.append(&*claim, 0, at(2), vec![user("a")]).await.unwrap();
    let before = store.info(&id).await.unwrap();
    for wrong in [0, 2, u64::MAX] {
        let answer = store.append(&*claim, wrong, at(9), vec![user("b"), user("c")]).await;
        assert!(matches!(answer, Err(SessionError::Conflict { .. })), "{wrong}: {answer:?}");
    }
    assert_eq!(store.info(&id).await.unwrap(), before);
    assert_eq!(store.entries(&id, 0, 9).await.unwrap().len(), 1);
    assert_eq!(store.append(&*claim, 1, at(3), vec![user("b")]).await.unwrap(), 2);
}

async fn what_does_not_exist_is_not_found(store: Store) {
    let id = id("nowhere");
    let missing = |e: SessionError| assert!(matches!(&e, SessionError::NotFound(n) if n == "nowhere"), "{e:?}");
    missing(store.claim(&id, "test").await.err().unwrap());
    missing(store.entries(&id, 0, 1).await.unwrap_err());
    missing(store.info(&id).await.unwrap_err());
    missing(store.fork(&id, None, new("copy", 1)).await.unwrap_err());
    missing(store.delete(&id).await.unwrap_err());
    assert!(matches!(store.info(&self::id("copy")).await, Err(SessionError::NotFound(_))));
    assert_eq!(store.list(&filter()).await.unwrap(), []);
}

async fn the_list_shows_title_count_and_times(store: Store) {
    let id = create(&store, "s", 1).await;
    assert_eq!(store.info(&id).await.unwrap().title, "");
    let claim = store.claim(&id, "test").await.unwrap();
    let tool = Message {
        role: Role::Tool,
        content: vec![Block::ToolResult(ToolResult {
            call: CallId::nth(0),
            provider_id: None,
            name: "read".into(),
            content: vec![Block::text("needle")],
            is_error: false,
        })],
    };
    let long = format!("  Fix\nthe  {}", "ä".repeat(200));
    let said = vec![user(&long), assistant("ok"), Entry::Message { message: Arc::new(tool) }, user("later")];
    store.append(&*claim, 0, at(7), said).await.unwrap();
    let info = store.info(&id).await.unwrap();
    assert_eq!(info.title.chars().count(), 80);
    assert!(info.title.starts_with("Fix the äää"), "{}", info.title);
    assert_eq!((info.message_count, info.last_seq), (3, 4));
    assert_eq!((info.created_at, info.updated_at), (at(1), at(7)));
    assert_eq!((info.owner.as_str(), info.workspace.as_deref()), ("local", Some("/w")));
    assert_eq!(store.list(&filter()).await.unwrap(), [info]);
}

async fn a_set_title_wins_and_stays(store: Store) {
    let id = create(&store, "s", 1).await;
    let claim = store.claim(&id, "test").await.unwrap();
    store.append(&*claim, 0, at(2), vec![titled(Some("Mine")), user("first words")]).await.unwrap();
    assert_eq!(store.info(&id).await.unwrap().title, "Mine");
    store.append(&*claim, 2, at(3), vec![titled(None)]).await.unwrap();
    assert_eq!(store.info(&id).await.unwrap().title, "Mine");
    store.append(&*claim, 3, at(4), vec![titled(Some("Ours"))]).await.unwrap();
    assert_eq!(store.info(&id).await.unwrap().title, "Ours");
}

async fn a_rewind_takes_back_what_the_list_shows(store: Store) {
    let id = create(&store, "s", 1).await;
    let claim = store.claim(&id, "test").await.unwrap();
    store.append(&*claim, 0, at(2), vec![user("one"), assistant("a"), titled(Some("T")), user("two")]).await.unwrap();
    store.append(&*claim, 4, at(3), vec![Entry::Rewind { to: 2 }, user("three")]).await.unwrap();
    let info = store.info(&id).await.unwrap();
    assert_eq!((info.title.as_str(), info.message_count, info.last_seq), ("one", 3, 6));
    store.append(&*claim, 6, at(4), vec![Entry::Rewind { to: 0 }, user("anew")]).await.unwrap();
    let info = store.info(&id).await.unwrap();
    assert_eq!((info.title.as_str(), info.message_count, info.last_seq), ("anew", 1, 8));
    assert_eq!(store.entries(&id, 0, 99).await.unwrap().len(), 8, "nothing is rewritten");
}

async fn lists_filter_and_page(store: Store) {
    for n in 0..7 {
        let mut new = new(&format!("s{n}"), 1 + n / 2);
        if n % 2 == 1 {
            (new.owner, new.workspace) = ("key".into(), None);
        }
        store.create(new).await.unwrap();
    }
    let names = async |filter: &SessionFilter| {
        store.list(filter).await.unwrap().into_iter().map(|s| s.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&filter()).await, ["s6", "s5", "s4", "s3", "s2", "s1", "s0"]);
    assert_eq!(names(&SessionFilter { owner: Some("key".into()), ..filter() }).await, ["s5", "s3", "s1"]);
    assert_eq!(names(&SessionFilter { workspace: Some("/w".into()), ..filter() }).await, ["s6", "s4", "s2", "s0"]);
    let (mut paged, mut page) = (Vec::new(), SessionFilter { limit: 2, ..filter() });
    loop {
        let found = store.list(&page).await.unwrap();
        let Some(last) = found.last() else { break };
        page.before = Some((last.updated_at, last.id.clone()));
        paged.extend(found.iter().map(|s| s.id.to_string()));
    }
    assert_eq!(paged, ["s6", "s5", "s4", "s3", "s2", "s1", "s0"]);
}

async fn search_finds_texts_whatever_the_case(store: Store) {
    for (name, text) in [("a", "Der ÄRGER mit \"100%\"\nand C:\\new_file"), ("b", "plain words"), ("c", "100 percent")]
    {
        let id = create(&store, name, 1).await;
        let claim = store.claim(&id, "test").await.unwrap();
        store.append(&*claim, 0, at(2), vec![user("hello"), assistant(text)]).await.unwrap();
    }
    let found = async |text: &str| {
        let filter = SessionFilter { text: Some(text.into()), ..filter() };
        let mut names: Vec<_> = store.list(&filter).await.unwrap().into_iter().map(|s| s.id.to_string()).collect();
        names.sort();
        names.concat()
    };
    assert_eq!(found("ärger").await, "a");
    assert_eq!(found("100%").await, "a");
    assert_eq!(found("\"100").await, "a");
    assert_eq!(found("\"\nAND c:\\NEW_").await, "a");
    assert_eq!(found("n_words").await, "", "no wildcards");
    assert_eq!(found("assistant").await, "", "field names and roles are no text");
    assert_eq!(found("HELLO").await, "abc");
}

async fn a_fork_is_a_copy_of_its_own(store: Store) {
    let from = create(&store, "from", 1).await;
    let claim = store.claim(&from, "test").await.unwrap();
    store.append(&*claim, 0, at(2), vec![user("one"), assistant("a"), titled(Some("T")), user("two")]).await.unwrap();
    store.fork(&from, Some(2), new("part", 5)).await.unwrap();
    store.fork(&from, None, new("whole", 6)).await.unwrap();
    let taken = store.fork(&from, None, new("part", 7)).await;
    assert!(matches!(taken, Err(SessionError::Conflict { .. })), "{taken:?}");

    let all = store.entries(&from, 0, 9).await.unwrap();
    assert_eq!(store.entries(&id("part"), 0, 9).await.unwrap(), all[..2]);
    assert_eq!(store.entries(&id("whole"), 0, 9).await.unwrap(), all);
    let part = store.info(&id("part")).await.unwrap();
    assert_eq!((part.title.as_str(), part.message_count, part.last_seq), ("one", 2, 2));
    assert_eq!((part.created_at, store.info(&id("whole")).await.unwrap().title.as_str()), (at(5), "T"));

    let copy = store.claim(&id("part"), "test").await.unwrap();
    store.append(&*copy, 2, at(8), vec![user("other way")]).await.unwrap();
    assert_eq!(store.append(&*claim, 4, at(8), vec![user("this way")]).await.unwrap(), 5);
    drop(claim);
    store.delete(&from).await.unwrap();
    assert_eq!(store.entries(&id("part"), 0, 9).await.unwrap().len(), 3);
}

async fn delete_and_prune_spare_what_is_held(store: Store) {
    let (old, held, young) =
        (create(&store, "old", 1).await, create(&store, "held", 1).await, create(&store, "young", 9).await);
    let claim = store.claim(&held, "test").await.unwrap();
    assert!(matches!(store.delete(&held).await, Err(SessionError::Conflict { .. })));
    assert_eq!(store.prune(at(5)).await.unwrap(), 1);
    assert!(matches!(store.info(&old).await, Err(SessionError::NotFound(_))));
    assert!(store.info(&held).await.is_ok() && store.info(&young).await.is_ok());
    store.append(&*claim, 0, at(2), vec![user("still mine")]).await.unwrap();
    drop(claim);
    assert_eq!(store.prune(at(5)).await.unwrap(), 1);
    store.delete(&young).await.unwrap();
    assert_eq!(store.list(&filter()).await.unwrap(), []);
    // A name that is free again begins empty.
    let anew = create(&store, "held", 9).await;
    assert_eq!(store.entries(&anew, 0, 9).await.unwrap(), []);
    assert_eq!(store.info(&anew).await.unwrap().last_seq, 0);
}

async fn calls_that_nobody_waits_for_leave_no_claim(store: Store) {
    let id = create(&store, "s", 1).await;
    for _ in 0..50 {
        let mut call = Box::pin(store.claim(&id, "gone"));
        let _ = futures::poll!(&mut call);
        drop(call);
    }
    // The last of them is given back as soon as it was made; without that this loop has no end.
    while let Err(e) = store.claim(&id, "test").await {
        assert!(matches!(e, SessionError::Conflict { .. }), "{e:?}");
        tokio::task::yield_now().await;
    }
}

#[test]
fn effective_entries_are_those_before_the_rewind_and_after() {
    let stored = |seq, entry| victor_core::session::StoredEntry { seq, at: at(1), entry };
    let log =
        vec![stored(1, user("a")), stored(2, user("b")), stored(3, Entry::Rewind { to: 1 }), stored(4, user("c"))];
    assert_eq!(effective(log).iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 4]);
}

fn id(name: &str) -> SessionId {
    name.parse().unwrap()
}

fn at(n: i64) -> Timestamp {
    Timestamp::from_micros(n * 1_000_000)
}

fn new(name: &str, n: i64) -> NewSession {
    NewSession { id: id(name), owner: "local".into(), workspace: Some("/w".into()), at: at(n) }
}

async fn create(store: &Store, name: &str, n: i64) -> SessionId {
    store.create(new(name, n)).await.unwrap();
    id(name)
}

fn user(text: &str) -> Entry {
    Entry::Message { message: Arc::new(Message::user(text)) }
}

fn assistant(text: &str) -> Entry {
    Entry::Message { message: Arc::new(Message::assistant(text)) }
}

fn titled(title: Option<&str>) -> Entry {
    Entry::Settings { settings: SessionSettings { title: title.map(Into::into), ..SessionSettings::default() } }
}

fn filter() -> SessionFilter {
    SessionFilter { limit: 100, ..SessionFilter::default() }
}
