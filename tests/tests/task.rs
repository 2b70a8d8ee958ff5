//! The main job: a task that reads, edits, runs a command and reports, with every request of it checked.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value, json};
use victor_tests::product::{Bench, told};
use victor_tests::{ModelServer, Reply};

const SOURCE: &str = "fn answer() -> u32 {\n    41\n}\n";

fn replies() -> Vec<Reply> {
    vec![
        Reply::calls([("read", json!({"path": "src/lib.rs"})), ("ls", json!({"path": "src"}))])
            .and_text("I look first."),
        Reply::call(
            "edit",
            json!({"path": "src/lib.rs", "edits": [{"old_string": "    41\n", "new_string": "    42\n"}]}),
        )
        .cut(3),
        Reply::call("bash", json!({"command": "grep -c 42 src/lib.rs"})).thinking("I check it."),
        Reply::text("The answer is 42 now.").usage(200, 9),
    ]
}

fn last_event(out: &str) -> Value {
    serde_json::from_str(out.lines().last().unwrap()).unwrap()
}

fn check(args: &[&str], provider: &str) {
    let (bench, server) = (Bench::new(), ModelServer::start(replies()));
    bench.file("src/lib.rs", SOURCE);
    let mut victor = bench.with_model(&server, args);
    victor.env("ANTHROPIC_BASE_URL", server.url()).env("ANTHROPIC_API_KEY", "test-key");
    let (out, err, code) = told(&victor.args(["--provider", provider]).output().unwrap());
    assert_eq!(code, 0, "{err}\n{out}");
    assert!(std::fs::read_to_string(bench.work().join("src/lib.rs")).unwrap().contains("42"));
    let end = last_event(&out);
    assert_eq!(end["type"], "finished");
    assert_eq!(end["outcome"]["text"], "The answer is 42 now.");
    assert_eq!(end["outcome"]["tools_used"], json!(["read", "ls", "edit", "bash"]));
    assert_eq!(end["outcome"]["turns"], 4);
    let seqs: Vec<u64> =
        out.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (0..seqs.len() as u64).collect::<Vec<_>>());
    assert_eq!(server.finish().len(), 4);
}

#[test]
fn over_chat_completions() {
    check(&["run", "Make the answer 42", "--yes", "--json"], "openai");
}

#[test]
fn over_anthropic_messages() {
    check(&["run", "Make the answer 42", "--yes", "--json"], "anthropic");
}

#[test]
fn without_a_yes_the_command_is_denied_and_the_run_says_so() {
    let (bench, server) = (Bench::new(), ModelServer::start(replies()));
    bench.file("src/lib.rs", SOURCE);
    let (out, err, code) = told(&bench.with_model(&server, &["run", "Make the answer 42"]).output().unwrap());
    assert_eq!((code, out.trim()), (0, "The answer is 42 now."), "{err}");
    assert!(err.contains("--allow 'bash(grep -c 42 src/lib.rs)'"), "{err}");
    server.finish();
}

#[test]
fn a_run_that_is_killed_goes_on_with_a_valid_history() {
    let held = vec![
        Reply::call("write", json!({"path": "a.txt", "content": "one"})),
        Reply::text("never seen").hold(),
        Reply::text("I had written a.txt."),
    ];
    let (bench, server) = (Bench::new(), ModelServer::start(held));
    let mut victor = bench.with_model(&server, &["run", "Write a.txt"]).spawn().unwrap();
    server.wait_for(2);
    victor.kill().unwrap();
    victor.wait().unwrap();
    server.release();
    let mut chat = bench.with_model(&server, &["chat", "--continue", "What did you do?"]);
    let (out, err, code) = told(&chat.output().unwrap());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("I had written a.txt."), "{out}{err}");
    let requests = server.finish();
    let messages = requests[2].json["messages"].as_array().unwrap();
    assert!(messages.iter().any(|m| m["role"] == "tool"), "{messages:?}");
}

#[test]
fn a_second_process_on_one_session_gets_a_conflict_and_nothing_is_lost() {
    let held = vec![Reply::text("one"), Reply::text("two").hold(), Reply::text("three")];
    let (bench, server) = (Bench::new(), ModelServer::start(held));
    assert!(bench.with_model(&server, &["run", "first"]).output().unwrap().status.success());
    let listed = bench.victor(&["sessions", "list", "--json"]).output().unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let id = listed.pointer("/sessions/0/id").or(listed.pointer("/0/id")).unwrap().as_str().unwrap().to_owned();
    let holder = bench.with_model(&server, &["chat", "--session", &id, "second"]).spawn().unwrap();
    server.wait_for(2);
    let (_, err, code) = told(&bench.with_model(&server, &["chat", "--session", &id, "me too"]).output().unwrap());
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("in use"), "{err}");
    server.release();
    assert!(holder.wait_with_output().unwrap().status.success());
    let (out, err, code) = told(&bench.with_model(&server, &["chat", "--session", &id, "third"]).output().unwrap());
    assert!(code == 0 && out.contains("three"), "{out}{err}");
    server.finish();
}

#[test]
fn a_session_keeps_its_mode_and_a_flag_beats_it() {
    let write = || Reply::call("write", json!({"path": "a.txt", "content": "x"}));
    let script =
        [Reply::text("hello"), write(), Reply::text("no"), write(), Reply::text("yes"), write(), Reply::text("no")];
    let (bench, server) = (Bench::new(), ModelServer::start(script));
    let wrote = |args: &[&str]| {
        let (_, err, code) = told(&bench.with_model(&server, args).output().unwrap());
        assert_eq!(code, 0, "{err}");
        std::fs::remove_file(bench.work().join("a.txt")).is_ok()
    };
    assert!(!wrote(&["chat", "--mode", "plan", "hello"]));
    assert!(!wrote(&["chat", "--continue", "--mode", "plan", "write it"]));
    assert!(wrote(&["chat", "--continue", "--mode", "build", "write it"]));
    assert!(!wrote(&["chat", "--continue", "--mode", "explore", "write it"]), "the flag did not count");
}
