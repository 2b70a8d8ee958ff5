//! What a run of a workflow may do goes with it: from one command to the next, and from one server to the next.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use serde_json::json;
use victor_tests::product::{Bench, told};
use victor_tests::served::Served;

const FLOWS: &str = r#"
workflows:
  publish:
    nodes:
      - {id: ok, type: hitl, hitl_type: approval, prompt: "Publish?", timeout: 600, fallback: abort, next: [go]}
      - {id: go, type: tool, tool: write, arguments: {path: published, content: "now"}}
"#;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.file(".victor/workflows/flows.yaml", FLOWS);
    bench
}

fn victor(bench: &Bench, args: &[&str]) -> (String, String, i32) {
    told(&bench.victor(&[&["workflow"], args].concat()).output().unwrap())
}

fn planning(bench: &Bench) -> std::process::Command {
    let mut command = bench.victor(&["serve", "--port", "0"]);
    command.env("VICTOR_MODE", "plan");
    command
}

/// Begins a run that waits at its gate; gives its id.
fn waiting(bench: &Bench, flags: &[&str]) -> String {
    let (_, err, code) = victor(bench, &[&["run", "publish", "--wait"], flags].concat());
    assert_eq!(code, 6, "{err}");
    let hint = err.lines().find(|l| l.contains("victor workflow resume")).unwrap();
    hint.split_whitespace().nth(3).unwrap().to_owned()
}

#[test]
fn a_resumed_run_does_what_both_commands_allow() {
    for (first, then, writes) in [
        (&[][..], &[][..], true),
        (&["--mode", "plan"], &[], false),
        (&["--mode", "plan"], &["--mode", "build"], false),
        (&["--dry-run"], &[], false),
        (&["--tools", "read"], &["--tools", "*"], false),
        (&[], &["--mode", "plan"], false),
        (&[], &["--dry-run"], false),
        (&[], &["--tools", "read"], false),
    ] {
        let bench = bench();
        let id = waiting(&bench, first);
        let (_, err, _) = victor(&bench, &[&["resume", &id, "--answer", "ok=yes"], then].concat());
        let written = bench.work().join("published").exists();
        assert_eq!(written, writes, "{first:?}, then {then:?}: {err}");
    }
}

#[test]
fn a_server_that_was_told_less_leaves_its_runs_no_more() {
    let bench = bench();
    let mut served = Served::start(planning(&bench));
    let answer = served.post("/api/v1/workflows/run", &json!({"workflow": "publish"})).json();
    assert_eq!(answer["status"], "waiting", "{answer}");
    served.kill();
    let served = Served::start(bench.victor(&["serve", "--port", "0"]));
    let path = format!("/api/v1/workflows/{}/resume", answer["workflow_id"].as_str().unwrap());
    let answer = served.post(&path, &json!({"answer": true, "wait": true})).json();
    assert_eq!(answer["status"], "failed", "{answer}");
    assert!(!bench.work().join("published").exists(), "it went on wider");
}
