//! MCP servers that crash, hang, flood or lie harm only their own tools, and leave no process behind.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use rstest::rstest;
use serde_json::{Value, json};
use victor_tests::product::{Bench, built, told};
use victor_tests::{ModelServer, Recorded, Reply};

/// A bench with a well-behaved server `good`, and `bad`, which is not.
fn bench(behaviour: &str, more: &str) -> Bench {
    let bench = Bench::new();
    let (program, notes) = (built("mcp_server"), bench.work().join("notes"));
    let text = format!(
        "mcpServers:\n  good: {{command: {program:?}, args: [good]}}\n  \
         bad: {{command: {program:?}, args: [{behaviour}], env: {{NOTES: {notes:?}}}{more}}}\n"
    );
    fs::write(bench.home().join("config.yaml"), text).unwrap();
    bench
}

fn run(bench: &Bench, replies: Vec<Reply>) -> (Vec<Recorded>, String) {
    let server = ModelServer::start(replies);
    let (_, err, code) = told(&bench.with_model(&server, &["run", "hi", "--yes"]).output().unwrap());
    assert_eq!(code, 0, "{err}");
    (server.finish(), err)
}

fn results(request: &Recorded) -> Vec<String> {
    let tools = request.messages().iter().filter(|m| m["role"] == "tool");
    tools.map(|m| m["content"].as_str().unwrap().to_owned()).collect()
}

fn both() -> Vec<(&'static str, Value)> {
    vec![("bad__misbehave", json!({})), ("good__echo", json!({"text": "fine"}))]
}

#[rstest]
#[case::crash("crash", &["lost during the call", "exit code 9", "something broke"])]
#[case::killed("killed", &["lost during the call", "signal 9"])]
#[case::hang("hang", &["did not answer within 1 s"])]
#[case::huge_line("huge-line", &["lost during the call", "16 MiB"])]
#[case::huge_result("huge-result", &["bytes left out"])]
#[case::garbage("garbage", &["after the garbage"])]
#[case::wrong_ids("wrong-ids", &["the right one"])]
#[case::flood("flood", &["after the flood"])]
#[case::noisy("noisy", &["well"])]
#[case::banner("banner", &["well"])]
fn a_server_that_misbehaves_in_a_call_harms_only_that_call(#[case] behaviour: &str, #[case] words: &[&str]) {
    let limit = if behaviour == "hang" { ", timeout: 1" } else { "" };
    let bench = bench(behaviour, limit);
    let (requests, _) = run(&bench, vec![Reply::calls(both()), Reply::text("done")]);
    let said = results(&requests[1]);
    for word in words {
        assert!(said[0].contains(word), "`{word}` is not in: {}", &said[0][..said[0].len().min(600)]);
    }
    assert!(said[0].len() < 200_000, "{} bytes", said[0].len());
    assert_eq!(said[1], "you said: fine");
}

#[rstest]
#[case::crash("crash-at-start", &["exit code 3", "no licence was found"])]
#[case::hang("hang-at-start", &["not ready within 2 s"])]
#[case::flood("flood-at-start", &["not ready within 2 s"])]
fn a_server_that_does_not_start_is_told_and_the_others_work(#[case] behaviour: &str, #[case] words: &[&str]) {
    let bench = bench(behaviour, ", start_timeout: 2");
    let begun = Instant::now();
    let replies = vec![Reply::call("good__echo", json!({"text": "fine"})), Reply::text("done")];
    let (requests, err) = run(&bench, replies);
    assert_eq!(results(&requests[1]), ["you said: fine"]);
    assert!(!requests[0].json["tools"].to_string().contains("bad__"));
    for word in words {
        assert!(err.contains(word), "`{word}` is not in: {err}");
    }
    // It is not started again at every turn of the run.
    assert!(begun.elapsed().as_secs() < 15);
    let (out, ..) = told(&bench.victor(&["mcp", "list", "--json"]).output().unwrap());
    let listed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&listed[0]["name"], &listed[0]["state"]), (&json!("bad"), &json!("failed")), "{listed}");
}

#[test]
fn a_server_that_crashes_is_started_again_for_the_next_call() {
    let bench = bench("crash", "");
    let again = Reply::call("bad__echo", json!({"text": "again"}));
    let (requests, _) = run(&bench, vec![Reply::call("bad__misbehave", json!({})), again, Reply::text("done")]);
    assert_eq!(results(&requests[2])[1], "you said: again");
}

#[test]
fn tools_whose_schemas_do_harm_are_left_out_and_the_others_stay() {
    let bench = bench("liar", "");
    let (out, err, code) = told(&bench.victor(&["mcp", "test", "bad"]).output().unwrap());
    assert_eq!(code, 0, "{err}");
    for offered in ["bad__echo", "bad__tree", "bad__liar", "bad________bin_bash"] {
        assert!(out.contains(offered), "`{offered}` is not in: {out}");
    }
    for gone in ["string", "huge", "deep", "remote", "nonsense"] {
        assert!(
            !out.contains(&format!("bad__{gone} ")) && err.contains(&format!("`{gone}` is left out")),
            "{out}{err}"
        );
    }
    assert!(err.contains("told twice"), "{err}");
    let (requests, _) = run(&bench, vec![Reply::call("bad__liar", json!({})), Reply::text("done")]);
    assert!(results(&requests[1])[0].contains("no integer"));
}

#[test]
fn a_list_without_end_ends() {
    let bench = bench("endless", "");
    let (_, err, code) = told(&bench.victor(&["mcp", "test", "bad"]).output().unwrap());
    assert!(code == 0 && err.contains("the rest is left out"), "{err}");
}

/// A server that says on `alive` that it runs, and holds it open together with a child of its own, and with one that
/// has left its process group and its session, and has no parent left.
fn holding(bench: &Bench, behaviour: &str) {
    let fifo = bench.work().join("alive");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let line = format!(
        "trap '' TERM HUP INT; exec 3>{fifo:?}; (setsid sleep 600 &); sleep 600 & echo started >&3; exec \"$0\" {behaviour}"
    );
    let program = built("mcp_server");
    let server = json!({"mcpServers": {"s": {"command": "bash", "args": ["-c", line, program]}}});
    fs::write(bench.home().join("config.yaml"), server.to_string()).unwrap();
}

/// Waits until the server has opened the FIFO.
fn running(bench: &Bench) -> BufReader<fs::File> {
    let mut reader = BufReader::new(fs::File::open(bench.work().join("alive")).unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    reader
}

/// Reads to the end of the FIFO, which comes when the last process is gone that holds it open.
fn nobody_holds(mut reader: BufReader<fs::File>) {
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
}

#[rstest]
#[case::killed("-KILL")]
#[case::asked("-TERM")]
#[case::interrupted("-INT")]
fn victor_leaves_no_server_behind_however_it_ends(#[case] signal: &str) {
    let bench = Bench::new();
    holding(&bench, "stays");
    let server = ModelServer::start([Reply::text("never seen").hold()]);
    let mut victor = bench.with_model(&server, &["run", "hi", "--yes"]);
    let mut child = victor.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let alive = running(&bench);
    server.wait_for(1);
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap();
    nobody_holds(alive);
}

#[test]
fn a_run_that_ends_by_itself_leaves_no_server_behind() {
    let bench = Bench::new();
    holding(&bench, "stays");
    let server = ModelServer::start([Reply::text("done")]);
    let mut child = bench.with_model(&server, &["run", "hi"]).stdout(Stdio::null()).spawn().unwrap();
    let alive = running(&bench);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    nobody_holds(alive);
    server.finish();
}

#[test]
fn what_a_killed_server_leaves_behind_ends_while_victor_goes_on() {
    let bench = Bench::new();
    holding(&bench, "killed");
    let server = ModelServer::start([Reply::call("s__misbehave", json!({})), Reply::text("done").hold()]);
    let mut child =
        bench.with_model(&server, &["run", "hi", "--yes"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let alive = running(&bench);
    server.wait_for(2);
    nobody_holds(alive);
    server.release();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    server.finish();
}

#[test]
fn a_cancelled_run_cancels_the_call() {
    let bench = bench("hang", "");
    let fifo = bench.work().join("notes");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // Open for both, so that it has no end between two words.
    let mut notes = BufReader::new(fs::OpenOptions::new().read(true).write(true).open(fifo).unwrap());
    let server = ModelServer::start([Reply::call("bad__misbehave", json!({}))]);
    let mut victor = bench.with_model(&server, &["run", "hi", "--yes"]);
    let child = victor.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    notes.read_line(&mut line).unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    notes.read_line(&mut line).unwrap();
    assert_eq!(line, "hanging\ncancelled\n");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    server.finish();
}

#[test]
fn what_a_server_says_steers_no_terminal() {
    let bench = bench("steers", "");
    let said = |args: &[&str]| {
        let (out, err, code) = told(&bench.victor(args).output().unwrap());
        assert_eq!(code, 0, "{args:?}: {err}");
        out + &err
    };
    let mut all = vec![said(&["mcp", "test", "bad"])];
    assert!(all[0].contains("owned"), "{}", all[0]);
    for args in [&["tools", "list"][..], &["tools", "show", "bad__echo"], &["mcp", "list"]] {
        all.push(said(args));
    }
    let model = ModelServer::start_with(|_| Reply::text("Noted."));
    let mut victor = bench.with_model(&model, &["chat"]);
    victor.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = victor.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"/tools\n/mcp\n/bad:pp\n").unwrap();
    let (out, err, _) = told(&child.wait_with_output().unwrap());
    assert!(out.contains("bad__echo"), "{out}{err}");
    all.push(out + &err);
    for text in all {
        let obeyed = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(obeyed, None, "{text:?}");
    }
}
