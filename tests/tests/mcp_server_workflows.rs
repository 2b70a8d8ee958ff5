//! `run_workflow` and `workflow_status`: workflows for MCP clients, whose people are asked there and nowhere else.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value, json};
use victor_tests::pipes::Piped;
use victor_tests::product::Bench;

const GATE: &str = "workflows:
  gate:
    inputs: {who: {type: string, required: true}}
    nodes:
      - {id: ok, type: hitl, hitl_type: approval, prompt: \"Greet {{ who }}?\", fallback: abort, next: [say]}
      - {id: say, type: transform, transform: format, template: \"Hello {{ who }}\"}
";

fn bench() -> Bench {
    let bench = Bench::new();
    bench.file(".victor/workflows/gate.yaml", GATE);
    bench
}

fn call() -> Value {
    json!({"name": "run_workflow", "arguments": {"workflow": "gate", "input": {"who": "Ada"}}})
}

fn answer(yes: bool) -> Value {
    json!({"action": "accept", "content": {"answer": yes}})
}

#[test]
fn a_gate_asks_the_client() {
    let bench = bench();
    let mut server = Piped::greeted(bench.victor(&["mcp", "--stdio"]), &json!({"elicitation": {}}));
    let told = server.ask_answering("tools/call", &call(), &mut |question| {
        assert!(question["params"]["message"].as_str().unwrap().contains("Greet Ada?"), "{question}");
        answer(true)
    });
    let report = &told["result"]["structuredContent"];
    assert_eq!((&report["status"], &report["result"]["say"]), (&json!("completed"), &json!("Hello Ada")), "{told}");
    let id = report["workflow_id"].clone();
    let status = server.call("workflow_status", &json!({"workflow_id": id}));
    assert_eq!(status["structuredContent"]["status"], "completed", "{status}");
}

#[test]
fn in_the_newer_form_the_run_waits_while_its_person_thinks() {
    let bench = bench();
    let mut server = Piped::stateless(bench.victor(&["mcp", "--stdio"]), &json!({"elicitation": {"form": {}}}));
    let asked = server.ask("tools/call", &call());
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    let mut again = call();
    again["requestState"] = asked["result"]["requestState"].clone();
    again["inputResponses"] = json!({"approval": answer(true)});
    let told = server.ask("tools/call", &again);
    assert_eq!(told["result"]["structuredContent"]["result"]["say"], "Hello Ada", "{told}");
}

#[test]
fn where_nobody_can_be_asked_the_fallback_holds() {
    let bench = bench();
    let mut server = Piped::greeted(bench.victor(&["mcp", "--stdio"]), &json!({}));
    let told = server.ask("tools/call", &call());
    assert_eq!(told["result"]["isError"], true, "{told}");
    assert_eq!(told["result"]["structuredContent"]["status"], "failed", "{told}");
}

#[test]
fn a_person_who_does_not_answer_leaves_the_run_waiting() {
    let bench = bench();
    let mut server = Piped::greeted(bench.victor(&["mcp", "--stdio"]), &json!({"elicitation": {}}));
    let told = server.ask_answering("tools/call", &call(), &mut |_| json!({"action": "cancel"}));
    let report = &told["result"]["structuredContent"];
    assert_eq!(report["status"], "waiting", "{told}");
    assert!(report["waiting"][0].as_str().unwrap().contains("victor workflow resume"), "{report}");
}

/// What is told when the wait is over, though the client's person has not answered.
fn unanswered(server: &mut Piped, workflow: &str) -> Value {
    let arguments = json!({"workflow": workflow, "input": {"who": "Ada"}, "wait_seconds": 2});
    let id = server.begin("tools/call", &json!({"name": "run_workflow", "arguments": arguments}));
    let (mut asked, mut taken_back) = (0, 0);
    loop {
        let message = server.message();
        match message["method"].as_str() {
            Some("elicitation/create") => asked += 1,
            Some("notifications/cancelled") => taken_back += 1,
            None if message["id"] == json!(id) => {
                assert_eq!((asked, taken_back), (1, 1), "{message}");
                return message["result"]["structuredContent"].clone();
            }
            _ => {}
        }
    }
}

#[test]
fn a_wait_ends_in_time_while_a_person_thinks() {
    let bench = bench();
    bench.file(
        ".victor/workflows/tool.yaml",
        "workflows:\n  tool:\n    inputs: {who: {type: string}}\n    nodes:\n      - {id: make, type: tool, tool: bash, arguments: {command: touch made}}\n",
    );
    let mut server = Piped::greeted(bench.victor(&["mcp", "--stdio"]), &json!({"elicitation": {}}));
    let report = unanswered(&mut server, "gate");
    assert_eq!(report["status"], "waiting", "{report}");
    let report = unanswered(&mut server, "tool");
    assert_eq!(report["status"], "running", "{report}");
    // Its node waits for leave now; nothing was done.
    let waits = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let status = server.call("workflow_status", &json!({"workflow_id": report["workflow_id"]}));
        status["structuredContent"]["status"] == "waiting"
    });
    assert!(waits && !bench.work().join("made").exists());
}

#[test]
fn an_unknown_workflow_is_told_with_the_nearest() {
    let bench = bench();
    let mut server = Piped::greeted(bench.victor(&["mcp", "--stdio"]), &json!({}));
    let said = server.text("run_workflow", &json!({"workflow": "gat"}));
    assert!(said.contains("gate"), "{said}");
}
