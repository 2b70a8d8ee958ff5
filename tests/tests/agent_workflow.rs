//! Agents that run workflows, and workflows whose agents wait for leave: whole, through every door.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::io::BufRead as _;

use serde_json::{Value, json};
use victor_tests::pipes::Piped;
use victor_tests::product::{Bench, told};
use victor_tests::served::Served;
use victor_tests::{ModelServer, Reply};

const FLOWS: &str = r#"
workflows:
  gate:
    description: Greets somebody after a question
    inputs: {who: {type: string, required: true}}
    nodes:
      - {id: ok, type: hitl, hitl_type: approval, prompt: "Greet {{ who }}?", fallback: abort, next: [say]}
      - {id: say, type: transform, transform: format, template: "Hello {{ who }}"}
  ship:
    nodes:
      - {id: work, type: agent, goal: "Ship it", tools: [read, bash], output: words}
"#;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.file(".victor/workflows/flows.yaml", FLOWS);
    bench.file("notes.txt", "the notes\n");
    bench
}

fn gate() -> Reply {
    Reply::call("run_workflow", json!({"workflow": "gate", "input": {"who": "Ada"}}))
}

/// An agent that reads, then needs leave for a command, and then is done.
fn ship() -> [Reply; 3] {
    let read = Reply::call("read", json!({"path": "notes.txt"}));
    [read, Reply::call("bash", json!({"command": "cat notes.txt"})), Reply::text("shipped")]
}

fn last(server: ModelServer) -> String {
    server.finish().last().unwrap().messages().last().unwrap().to_string()
}

#[test]
fn in_a_run_without_questions_the_gate_holds_whatever_yes_says() {
    for yes in [&["run", "Greet Ada"][..], &["run", "--yes", "Greet Ada"]] {
        let (bench, server) = (bench(), ModelServer::start([gate(), Reply::text("I may not.")]));
        let (out, err, code) = told(&bench.with_model(&server, yes).output().unwrap());
        assert_eq!((out.trim(), code), ("I may not.", 0), "{err}");
        assert!(err.contains("ok: there is nobody to ask; its fallback acts"), "{err}");
        assert!(err.contains("stopped at a gate"), "{err}");
        assert!(last(server).contains("stopped at a gate"));
    }
}

#[test]
fn the_tool_is_offered_where_there_are_workflows_and_can_be_named_elsewhere() {
    let tools = |bench: &Bench, args: &[&str]| {
        let server = ModelServer::start([Reply::text("x"), Reply::text("x")]);
        for _ in 0..2 {
            let (_, err, code) = told(&bench.with_model(&server, args).output().unwrap());
            assert_eq!(code, 0, "{err}");
        }
        let bodies: Vec<Value> = server.finish().iter().map(|r| serde_json::from_slice(&r.body).unwrap()).collect();
        assert_eq!(bodies[0]["tools"], bodies[1]["tools"], "the same request twice");
        bodies[0]["tools"].to_string()
    };
    let with = tools(&bench(), &["run", "x"]);
    assert!(with.contains("run_workflow") && with.contains("gate(who): Greets somebody"), "{with}");
    assert!(!tools(&Bench::new(), &["run", "x"]).contains("run_workflow"));
    assert!(!tools(&bench(), &["run", "--mode", "plan", "x"]).contains("run_workflow"));
    let named = tools(&Bench::new(), &["run", "--tools", "run_workflow", "x"]);
    assert!(named.contains("code_review"), "{named}");
}

#[test]
fn over_http_the_question_is_an_event_and_its_answer_goes_back_to_the_workflow() {
    for (said, end) in [(json!({"answer": true}), "Hello Ada"), (json!({"decision": "deny"}), "the answer was no")] {
        let (bench, server) = (bench(), ModelServer::start([gate(), Reply::text("Done.")]));
        let served = Served::start(bench.with_model(&server, &["serve", "--port", "0"]));
        let body = json!({"message": "Greet Ada", "approvals": "ask"}).to_string();
        let stream = served.open("POST", "/api/v1/chat/stream", &[("content-type", "application/json")], &body);
        let mut seen = Vec::new();
        for line in stream.lines().map_while(Result::ok) {
            let Some(event) = line.strip_prefix("data: ").and_then(|l| serde_json::from_str::<Value>(l).ok()) else {
                continue;
            };
            if event["type"] == "question" {
                assert_eq!((&event["prompt"], &event["kind"]), (&json!("Greet Ada?"), &json!("approval")));
                let path = format!("/api/v1/approvals/{}", event["id"].as_str().unwrap());
                assert_eq!(served.post(&path, &json!({"answer": "perhaps"})).status, 400);
                assert_eq!(served.post(&path, &json!({"reason": "x"})).json()["error_code"], "MISSING_FIELD");
                assert_eq!(served.post(&path, &said).status, 200);
            }
            seen.push(event["type"].as_str().unwrap().to_owned());
        }
        assert!(seen.contains(&"node".to_owned()) && seen.last().unwrap() == "end", "{seen:?}");
        let heard = last(server);
        assert!(heard.contains(end), "{end}: {heard}");
    }
}

#[test]
fn without_approvals_nobody_is_asked_over_http() {
    let (bench, server) = (bench(), ModelServer::start([gate(), Reply::text("Done.")]));
    let served = Served::start(bench.with_model(&server, &["serve", "--port", "0"]));
    let answer = served.post("/api/v1/chat/stream", &json!({"message": "Greet Ada"}));
    assert!(!answer.body.contains("event: question") && answer.body.contains("event: end"), "{}", answer.body);
    assert!(last(server).contains("there was nobody to ask"));
}

#[test]
fn an_agent_of_a_workflow_waits_for_leave_through_a_crash_and_repeats_nothing() {
    let (bench, server) = (bench(), ModelServer::start(ship()));
    let mut served = Served::start(bench.with_model(&server, &["serve", "--port", "0"]));
    let answer = served.post("/api/v1/workflows/run", &json!({"workflow": "ship", "approvals": "ask"}));
    let state = answer.json();
    assert_eq!((answer.status, &state["status"]), (202, &json!("waiting")), "{state}");
    let question = &state["waiting"][0];
    assert_eq!((&question["kind"], &question["node"]), (&json!("permission"), &json!("work")), "{state}");
    assert_eq!(question["details"]["arguments"]["command"], "cat notes.txt");
    assert!(question.get("kept").is_none() && !state.to_string().contains("the notes"), "{state}");
    served.kill();
    let served = Served::start(bench.with_model(&server, &["serve", "--port", "0"]));
    let resume = format!("/api/v1/workflows/{}/resume", state["workflow_id"].as_str().unwrap());
    let done = served.post(&resume, &json!({"answer": {"decision": "allow"}, "wait": true}));
    assert_eq!((done.status, &done.json()["result"]["words"]), (200, &json!("shipped")), "{}", done.body);
    let requests = server.finish();
    assert_eq!(requests.len(), 3, "the model was asked again for what it had said");
    assert!(requests[2].messages().last().unwrap().to_string().contains("the notes"));
}

#[test]
fn on_the_command_line_a_run_that_waits_for_leave_goes_on_with_an_answer() {
    for (said, heard) in [("allow", "the notes"), ("no", "the user said no")] {
        let (bench, server) = (bench(), ModelServer::start(ship()));
        let victor =
            |args: &[&str]| told(&bench.with_model(&server, &[&["workflow"], args].concat()).output().unwrap());
        let (_, err, code) = victor(&["run", "ship", "--wait"]);
        assert_eq!(code, 6, "{err}");
        assert!(err.contains("work waits: May `bash` run?") && err.contains("cat notes.txt"), "{err}");
        let hint = err.lines().find(|l| l.contains("victor workflow resume")).unwrap().to_owned();
        let id = hint.split_whitespace().nth(3).unwrap();
        let (_, err, code) = victor(&["resume", id, "--answer", "work=perhaps"]);
        assert!(code == 3 && err.contains("allow_session"), "{code} {err}");
        let (out, err, code) = victor(&["resume", id, "--answer", &format!("work={said}")]);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("shipped"), "{out}");
        assert!(last(server).contains(heard), "{said}");
    }
    // Without --wait it is denied at once, with what would allow it.
    let (bench, server) = (bench(), ModelServer::start(ship()));
    let (_, err, code) = told(&bench.with_model(&server, &["workflow", "run", "ship"]).output().unwrap());
    assert!(code == 0 && err.contains("--allow 'bash(cat notes.txt)'"), "{code} {err}");
    server.finish();
}

#[test]
fn in_the_newer_form_of_mcp_a_call_within_a_workflow_asks_for_leave() {
    let (bench, server) = (bench(), ModelServer::start(ship()));
    let command = bench.with_model(&server, &["mcp", "--stdio"]);
    let mut client = Piped::stateless(command, &json!({"elicitation": {"form": {}}}));
    let mut call = json!({"name": "run_workflow", "arguments": {"workflow": "ship"}});
    let asked = client.ask("tools/call", &call);
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    assert!(asked.to_string().contains("May `bash` run?"), "{asked}");
    call["requestState"] = asked["result"]["requestState"].clone();
    call["inputResponses"] = json!({"approval": {"action": "accept", "content": {"answer": "allow"}}});
    let done = client.ask("tools/call", &call);
    assert_eq!(done["result"]["structuredContent"]["result"]["words"], "shipped", "{done}");
    assert_eq!(server.finish().len(), 3);
}

#[test]
fn an_agent_of_an_mcp_client_has_the_clients_person_at_its_gates() {
    let (bench, server) = (bench(), ModelServer::start([gate(), Reply::text("Greeted.")]));
    let mut client = Piped::greeted(bench.with_model(&server, &["mcp", "--stdio"]), &json!({"elicitation": {}}));
    let call = json!({"name": "run_agent", "arguments": {"task": "Greet Ada"}});
    let done = client.ask_answering("tools/call", &call, &mut |question| {
        assert!(question["params"]["message"].as_str().unwrap().contains("Greet Ada?"), "{question}");
        json!({"action": "accept", "content": {"answer": true}})
    });
    assert!(done.to_string().contains("Greeted."), "{done}");
    assert!(last(server).contains("Hello Ada"));
    let names = client.ask("tools/list", &json!({}));
    let named = names["result"]["tools"].as_array().unwrap().iter().filter(|t| t["name"] == "run_workflow").count();
    assert_eq!(named, 1, "{names}");
}
