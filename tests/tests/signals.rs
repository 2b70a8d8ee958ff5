//! Ctrl-C and other signals from outside: the run ends, the session stays, and no child is left behind.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use rstest::rstest;
use serde_json::json;
use victor_tests::product::{Bench, sessions, told};
use victor_tests::{ModelServer, Reply};

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

fn fifo(bench: &Bench, name: &str) {
    assert!(Command::new("mkfifo").arg(bench.work().join(name)).status().unwrap().success());
}

/// Reads to the end of the FIFO, which comes when the last process is gone that holds it open.
fn nobody_holds(mut reader: BufReader<fs::File>) {
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
}

/// Waits until the command has opened the FIFO and said that it runs.
fn running(bench: &Bench) -> BufReader<fs::File> {
    let mut reader = BufReader::new(fs::File::open(bench.work().join("alive")).unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    reader
}

#[rstest]
#[case::interrupt("-INT")]
#[case::terminate("-TERM")]
#[case::hangup("-HUP")]
fn a_signal_during_a_model_call_ends_it_and_keeps_the_session(#[case] name: &str) {
    let server = ModelServer::start([Reply::text("never seen").hold(), Reply::text("Here again.")]);
    let bench = Bench::new();
    let mut victor = bench.with_model(&server, &["run", "hi"]);
    let child = victor.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    server.wait_for(1);
    signal(&child, name);
    let (out, err, code) = told(&child.wait_with_output().unwrap());
    assert_eq!((code, out.as_str()), (130, ""), "{err}");
    assert!(err.contains("interrupted"), "{err}");
    server.wait_gone(1);
    server.release();
    assert_eq!(sessions(&bench).len(), 1);
    let (out, err, code) = told(&bench.with_model(&server, &["chat", "--continue", "and?"]).output().unwrap());
    assert!(code == 0 && out.contains("Here again."), "{out}{err}");
    server.finish();
}

#[test]
fn an_interrupt_while_the_task_is_read_ends_at_once() {
    let (bench, server) = (Bench::new(), ModelServer::start([]));
    let mut victor = bench.with_model(&server, &["run", "-"]);
    let mut child = victor.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // More than a pipe holds: once it is written, the program is reading.
    child.stdin.as_mut().unwrap().write_all(&[b'a'; 200_000]).unwrap();
    signal(&child, "-INT");
    let stdin = child.stdin.take();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(stdin);
    server.finish();
}

#[test]
fn an_interrupt_while_it_waits_to_try_again_ends_at_once() {
    let slow = Reply::status(429, r#"{"error": {"message": "slow down"}}"#).header("retry-after", "100");
    let (bench, server) = (Bench::new(), ModelServer::start([slow]));
    let mut victor = bench.with_model(&server, &["run", "hi"]);
    let mut child = victor.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert!(line.contains("trying again in"), "{line}");
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(sessions(&bench).len(), 1);
    server.finish();
}

/// A run whose command says on `alive` that it runs, and holds it open with a child of its own.
fn long_command(trap: &str) -> Vec<Reply> {
    let command = format!("{trap} exec 3>alive; echo started >&3; sleep 600 & sleep 600; sleep 600");
    vec![Reply::call("bash", json!({ "command": command })), Reply::text("Here again.")]
}

#[rstest]
#[case::interrupt("-INT")]
#[case::terminate("-TERM")]
fn a_signal_during_a_command_leaves_no_child_behind(#[case] name: &str) {
    let (bench, server) = (Bench::new(), ModelServer::start(long_command("")));
    fifo(&bench, "alive");
    let mut victor = bench.with_model(&server, &["run", "hi", "--yes"]);
    let child = victor.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let alive = running(&bench);
    signal(&child, name);
    let (out, err, code) = told(&child.wait_with_output().unwrap());
    assert_eq!((code, out.as_str()), (130, ""), "{err}");
    nobody_holds(alive);
    // The history that goes out next pairs the call with a result; the server checks it.
    let (out, err, code) = told(&bench.with_model(&server, &["chat", "--continue", "and?"]).output().unwrap());
    assert!(code == 0 && out.contains("Here again."), "{out}{err}");
    server.finish();
}

/// Kills a Victor while its command runs, and waits until nothing of that is left.
fn killed(trap: &str) -> (Bench, ModelServer) {
    let (bench, server) = (Bench::new(), ModelServer::start(long_command(trap)));
    fifo(&bench, "alive");
    let mut victor = bench.with_model(&server, &["run", "hi", "--yes"]);
    let mut child = victor.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let alive = running(&bench);
    child.kill().unwrap();
    child.wait().unwrap();
    nobody_holds(alive);
    (bench, server)
}

#[test]
fn a_victor_that_is_killed_leaves_no_command_behind() {
    let (bench, server) = killed("");
    let (out, err, code) = told(&bench.with_model(&server, &["chat", "--continue", "and?"]).output().unwrap());
    assert!(code == 0 && out.contains("Here again."), "{out}{err}");
    server.finish();
}

#[test]
#[cfg(target_os = "linux")]
fn nor_one_that_has_a_session_of_its_own() {
    killed("setsid sleep 600 3>alive &");
}

#[test]
fn a_second_interrupt_leaves_at_once_and_no_child_behind() {
    let (bench, server) = (Bench::new(), ModelServer::start(long_command("trap '' TERM INT HUP;")));
    fifo(&bench, "alive");
    let mut victor = bench.with_model(&server, &["run", "hi", "--yes"]);
    let mut child = victor.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let alive = running(&bench);
    signal(&child, "-INT");
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("stopping"), "{line}");
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    nobody_holds(alive);
    let (out, err, code) = told(&bench.with_model(&server, &["chat", "--continue", "and?"]).output().unwrap());
    assert!(code == 0 && out.contains("Here again."), "{out}{err}");
    server.finish();
}
