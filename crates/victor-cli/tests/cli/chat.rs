//! `victor chat` through a pipe. What needs a terminal is not tested here.

use serde_json::json;
use victor_tests::{ModelServer, Reply};

use crate::support::{Desk, Ended, signal};

#[test]
fn lines_are_prompts_of_one_conversation() {
    let server = ModelServer::start([Reply::text("One."), Reply::text("Two.")]);
    let desk = Desk::with(&server);
    let ended = desk.pipe("chat", "first\n\nsecond \\\nline\n").ends(0);
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("One.\nTwo.\n", ""));
    let requests = server.finish();
    let said = requests[1].json["messages"].to_string();
    assert!(said.contains("first") && said.contains("One.") && said.contains("second \\nline"), "{said}");
}

#[test]
fn a_session_goes_on_where_it_was() {
    let server = ModelServer::start([Reply::text("One."), Reply::text("Two.")]);
    let desk = Desk::with(&server);
    desk.pipe("chat", "my name is Ada\n").ends(0);
    desk.pipe("--continue", "who am I?\n").ends(0);
    assert!(server.finish()[1].json["messages"].to_string().contains("my name is Ada"));
    assert_eq!(desk.run("sessions list --json").json().as_array().unwrap().len(), 1);
}

#[test]
fn a_session_in_use_is_a_clear_conflict() {
    let server = ModelServer::start([Reply::text("One."), Reply::text("never").hold()]);
    let desk = Desk::with(&server);
    desk.run("run first").ends(0);
    let id = desk.run("sessions list --json").json()[0]["id"].as_str().unwrap().to_owned();
    let child = desk.command(&format!("run more --session {id}")).spawn().unwrap();
    server.wait_for(2);
    let second = desk.pipe(&format!("chat --session {id}"), "hello\n").ends(1);
    assert!(second.err.contains("in use"), "{second:?}");
    signal(&child, "INT");
    Ended::of(child.wait_with_output().unwrap()).ends(130);
}

#[test]
fn slash_commands_do_what_they_say() {
    let server = ModelServer::start([Reply::text("One."), Reply::text("Two.")]);
    let desk = Desk::with(&server);
    let text = "/help\n/mode plan\n/mode\n/model special\nhi\n/cost\n/context\n/tools\n/permissions\n/clear\nnew\n/nope\n/quit\nnever\n";
    let ended = desk.pipe("chat", text);
    for part in ["/compact", "* plan", "1 turn", "messages", "mode: plan", "One.", "Two."] {
        assert!(ended.out.contains(part), "{part}: {ended:?}");
    }
    assert!(ended.err.contains("no command `/nope`"), "{ended:?}");
    let requests = server.finish();
    assert_eq!((requests.len(), &requests[0].json["model"]), (2, &json!("special")));
    assert!(!requests[1].json["messages"].to_string().contains("\"hi\""), "/clear begins anew");
}

#[test]
fn undo_puts_files_back_and_forgets_the_turn() {
    let server = ModelServer::start([
        Reply::text("Hello."),
        Reply::call("write", json!({"path": "a.txt", "content": "changed"})),
        Reply::text("Done."),
        Reply::text("Third."),
    ]);
    let desk = Desk::with(&server);
    desk.file("a.txt", "before");
    let ended = desk.pipe("chat", "one\nchange it\n/undo\nthree\n").ends(0);
    assert!(ended.err.contains("put back a.txt"), "{ended:?}");
    assert_eq!(std::fs::read_to_string(desk.work().join("a.txt")).unwrap(), "before");
    let last = server.finish().pop().unwrap().json["messages"].to_string();
    assert!(last.contains("one") && !last.contains("change it"), "{last}");
}

#[test]
fn own_commands_and_files_join_the_conversation() {
    let server = ModelServer::start([Reply::text("I see.")]);
    let desk = Desk::with(&server);
    desk.file("note.md", "the note's text").file("secret.env", "KEY=1");
    let ended = desk.pipe("chat", "!echo from-the-shell\nread @note.md please\n").ends(0);
    assert_eq!(ended.out, "from-the-shell\nI see.\n");
    let said = server.finish()[0].json["messages"].to_string();
    assert!(said.contains("from-the-shell") && said.contains("the note's text"), "{said}");
}

#[test]
fn a_failed_turn_is_told_and_the_chat_goes_on() {
    let server = ModelServer::start([Reply::status(400, r#"{"error": {"message": "too odd"}}"#), Reply::text("Fine.")]);
    let ended = Desk::with(&server).pipe("chat", "one\ntwo\n").ends(0);
    assert_eq!(ended.out, "Fine.\n");
    assert!(ended.err.contains("too odd"), "{ended:?}");
}

#[test]
fn a_signal_ends_it_at_the_prompt_and_in_a_turn() {
    let server = ModelServer::start([Reply::text("never").hold()]);
    let desk = Desk::with(&server);
    let mut child = desk.command("chat wait").stdin(std::process::Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take();
    server.wait_for(1);
    signal(&child, "TERM");
    Ended::of(child.wait_with_output().unwrap()).ends(130);
    drop(stdin);
    server.wait_gone(1);
}
