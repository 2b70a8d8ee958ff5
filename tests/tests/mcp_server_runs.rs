//! `run_agent` and `run_status`: whole tasks for MCP clients, with progress, questions, tasks and ends.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value, json};
use victor_tests::pipes::Piped;
use victor_tests::product::Bench;
use victor_tests::{ModelServer, Reply};

const TASKS: &str = "io.modelcontextprotocol/tasks";

fn accept(decision: &str) -> Value {
    json!({"action": "accept", "content": {"decision": decision}})
}

fn touches() -> [Reply; 2] {
    [Reply::call("bash", json!({"command": "touch made"})), Reply::text("It is made.")]
}

fn until_over(server: &mut Piped, run: &str) -> Value {
    let args = json!({"run_id": run, "wait_seconds": 20});
    server.call("run_status", &args)["structuredContent"].clone()
}

#[test]
fn a_task_is_done_with_progress_and_its_result_has_a_form() {
    let replies = [Reply::call("ls", json!({})), Reply::text("There is one file.")];
    let (bench, model) = (Bench::new(), ModelServer::start(replies));
    bench.file("a.txt", "x");
    let mut server = Piped::greeted(bench.with_model(&model, &["mcp", "--stdio"]), &json!({}));
    let call = json!({"name": "run_agent", "arguments": {"task": "Look around."}, "_meta": {"progressToken": "p"}});
    let answer = server.ask("tools/call", &call);
    let report = &answer["result"]["structuredContent"];
    assert_eq!((&report["status"], &report["text"]), (&json!("completed"), &json!("There is one file.")), "{answer}");
    assert_eq!(report["tools_used"], json!(["ls"]));
    let told: Vec<&Value> = server.heard.iter().filter(|m| m["method"] == "notifications/progress").collect();
    assert!(told.iter().any(|m| m["params"]["message"] == "runs ls"), "{told:?}");
    let counts: Vec<f64> = told.iter().map(|m| m["params"]["progress"].as_f64().unwrap()).collect();
    assert!(counts.is_sorted() && counts.len() >= 3, "{counts:?}");
    model.finish();
}

#[test]
fn a_run_that_takes_long_goes_on_under_its_id() {
    let (bench, model) = (Bench::new(), ModelServer::start([Reply::text("At last.").hold()]));
    let mut server = Piped::greeted(bench.with_model(&model, &["mcp", "--stdio"]), &json!({}));
    let report = server.call("run_agent", &json!({"task": "Think.", "wait_seconds": 0}));
    let run = report["structuredContent"]["run_id"].as_str().unwrap().to_owned();
    assert_eq!(report["structuredContent"]["status"], "running");
    assert_eq!(server.call("run_status", &json!({"run_id": run}))["structuredContent"]["status"], "running");
    model.release();
    let over = until_over(&mut server, &run);
    assert_eq!((&over["status"], &over["text"]), (&json!("completed"), &json!("At last.")));
    let unknown = server.call("run_status", &json!({"run_id": "no"}));
    assert_eq!(unknown["isError"], true);
}

#[test]
fn a_run_asks_the_client_and_goes_on_with_its_answer() {
    let (bench, model) = (Bench::new(), ModelServer::start(touches()));
    let mut server = Piped::greeted(bench.with_model(&model, &["mcp", "--stdio"]), &json!({"elicitation": {}}));
    let call = json!({"name": "run_agent", "arguments": {"task": "Make it."}});
    let answer = server.ask_answering("tools/call", &call, &mut |question| {
        assert!(question["params"]["message"].as_str().unwrap().contains("touch made"));
        accept("allow once")
    });
    assert_eq!(answer["result"]["structuredContent"]["status"], "completed", "{answer}");
    assert!(bench.work().join("made").exists());
}

#[test]
fn a_wait_ends_in_time_while_a_question_is_open_and_the_question_stays() {
    let (bench, model) = (Bench::new(), ModelServer::start(touches()));
    let mut server = Piped::greeted(bench.with_model(&model, &["mcp", "--stdio"]), &json!({"elicitation": {}}));
    let mut unanswered = |tool: &str, arguments: &Value| {
        let id = server.begin("tools/call", &json!({"name": tool, "arguments": arguments}));
        let (mut asked, mut taken_back) = (Value::Null, Value::Null);
        loop {
            let message = server.message();
            match message["method"].as_str() {
                Some("elicitation/create") => asked = message["id"].clone(),
                Some("notifications/cancelled") => taken_back = message["params"]["requestId"].clone(),
                None if message["id"] == json!(id) => {
                    return (message["result"]["structuredContent"].clone(), asked, taken_back);
                }
                _ => {}
            }
        }
    };
    let (began, ..) = unanswered("run_agent", &json!({"task": "Make it.", "wait_seconds": 0}));
    let run = began["run_id"].clone();
    for _ in 0..2 {
        let (report, asked, taken_back) = unanswered("run_status", &json!({"run_id": run, "wait_seconds": 2}));
        assert_eq!(report["status"], "waiting", "{report}");
        assert!(asked.is_number() && asked == taken_back, "{asked}, {taken_back}");
    }
    let call = json!({"name": "run_status", "arguments": {"run_id": run, "wait_seconds": 20}});
    let answer = server.ask_answering("tools/call", &call, &mut |_| accept("allow once"));
    assert_eq!(answer["result"]["structuredContent"]["status"], "completed", "{answer}");
    assert!(bench.work().join("made").exists());
}

#[test]
fn what_a_run_may_not_do_is_in_its_report() {
    let (bench, model) = (Bench::new(), ModelServer::start([touches()[0].clone(), Reply::text("I may not.")]));
    let mut server = Piped::greeted(bench.with_model(&model, &["mcp", "--stdio"]), &json!({}));
    let report = server.call("run_agent", &json!({"task": "Make it."}));
    let denied = &report["structuredContent"]["denied"][0];
    assert!(denied["reason"].as_str().unwrap().contains("VICTOR_ALLOW"), "{report}");
    assert!(!bench.work().join("made").exists());
}

#[test]
fn in_the_newer_form_a_run_waits_while_its_question_is_answered() {
    let (bench, model) = (Bench::new(), ModelServer::start(touches()));
    let command = bench.with_model(&model, &["mcp", "--stdio"]);
    let mut server = Piped::stateless(command, &json!({"elicitation": {"form": {}}}));
    let asked = server.call("run_agent", &json!({"task": "Make it."}));
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let again = json!({
        "name": "run_agent", "arguments": {"task": "Make it."}, "requestState": asked["requestState"],
        "inputResponses": {"approval": accept("allow once")},
    });
    let done = server.ask("tools/call", &again);
    assert_eq!(done["result"]["structuredContent"]["status"], "completed", "{done}");
    // One run, not two: the model was called twice.
    assert_eq!(model.finish().len(), 2);
    assert!(bench.work().join("made").exists());
}

#[test]
fn a_client_with_tasks_gets_one_and_answers_and_ends_it() {
    let (bench, model) = (Bench::new(), ModelServer::start([touches()[0].clone(), Reply::text("Done.")]));
    let command = bench.with_model(&model, &["mcp", "--stdio"]);
    let capabilities = json!({"elicitation": {"form": {}}, "extensions": {TASKS: {}}});
    let mut server = Piped::stateless(command, &capabilities);
    let task = server.call("run_agent", &json!({"task": "Make it."}));
    assert_eq!(task["resultType"], "task", "{task}");
    let id = json!({"taskId": task["taskId"]});
    let mut state = server.ask("tasks/get", &id)["result"].clone();
    while state["status"] == "working" {
        state = server.ask("tasks/get", &id)["result"].clone();
    }
    assert_eq!(state["status"], "input_required", "{state}");
    let question = state["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let update = json!({"taskId": task["taskId"], "inputResponses": {question: accept("allow once")}});
    assert!(server.ask("tasks/update", &update).get("result").is_some());
    while state["status"] != "completed" {
        state = server.ask("tasks/get", &id)["result"].clone();
        assert!(state["status"] != "failed" && state["status"] != "cancelled", "{state}");
    }
    assert_eq!(state["result"]["structuredContent"]["text"], "Done.", "{state}");
    assert!(bench.work().join("made").exists());
}

#[test]
fn a_cancelled_request_ends_its_run() {
    let (bench, model) = (Bench::new(), ModelServer::start([Reply::text("never").hold()]));
    let mut server = Piped::greeted(bench.with_model(&model, &["mcp", "--stdio"]), &json!({}));
    let id = server.begin("tools/call", &json!({"name": "run_agent", "arguments": {"task": "Think."}}));
    model.wait_for(1);
    server.send(&json!({"method": "notifications/cancelled", "params": {"requestId": id}}));
    model.wait_gone(1);
}

#[test]
fn the_limits_of_the_server_hold_whatever_a_client_asks_for() {
    let (bench, model) = (Bench::new(), ModelServer::start_with(|_| Reply::call("ls", json!({}))));
    let command = bench.with_model(&model, &["mcp", "--stdio", "--max-turns", "2"]);
    let mut server = Piped::greeted(command, &json!({}));
    let report = server.call("run_agent", &json!({"task": "Go on.", "max_turns": 50}));
    assert_eq!(report["structuredContent"]["status"], "limit", "{report}");
    assert_eq!(model.finish().len(), 2);
}

#[test]
fn a_client_cannot_ask_for_more_than_the_server_offers() {
    let replies = [Reply::call("write", json!({"path": "made", "content": "x"})), Reply::text("I could not.")];
    let (bench, model) = (Bench::new(), ModelServer::start(replies));
    let mut command = bench.with_model(&model, &["mcp", "--stdio", "--mode", "explore"]);
    command.env("VICTOR_MCP_TOOLS", "read,agents");
    let mut server = Piped::greeted(command, &json!({}));
    let wider = server.text("run_agent", &json!({"task": "x", "mode": "build"}));
    assert!(wider.contains("may do more than this server's mode"), "{wider}");
    server.call("run_agent", &json!({"task": "x", "tools": ["*"]}));
    assert!(!bench.work().join("made").exists());
    let requests = model.finish();
    let offered = requests[0].json["tools"].as_array().unwrap();
    assert_eq!(offered.len(), 1, "{offered:?}");
}

/// A client's model that says this text.
fn lent(text: &str) -> Value {
    json!({"role": "assistant", "model": "lent", "content": {"type": "text", "text": text}, "stopReason": "endTurn"})
}

#[test]
fn a_client_lends_its_model_only_where_no_other_is_there() {
    let (bench, task) = (Bench::new(), json!({"name": "run_agent", "arguments": {"task": "Hello."}}));
    let mut server = Piped::greeted(bench.victor(&["mcp", "--stdio"]), &json!({"sampling": {}}));
    let mut asked = Vec::new();
    let answer = server.ask_answering("tools/call", &task, &mut |question| {
        asked.push(question.clone());
        lent("From far away.")
    });
    let report = &answer["result"]["structuredContent"];
    assert_eq!((&report["text"], &report["provider"]), (&json!("From far away."), &json!("client")), "{answer}");
    assert_eq!((asked.len(), &asked[0]["method"]), (1, &json!("sampling/createMessage")), "{asked:?}");
    assert_eq!(asked[0]["params"]["messages"][0]["content"]["text"], "Hello.", "one text, as older clients know it");
    assert!(asked[0]["params"].get("tools").is_none(), "{asked:?}");
    // Named, chosen in the configuration, or a client that lends none: an error that says what to do.
    let named = json!({"name": "run_agent", "arguments": {"task": "Hello.", "provider": "openai"}});
    assert!(server.ask("tools/call", &named)["result"]["isError"] == true);
    let mut plain = Piped::greeted(bench.victor(&["mcp", "--stdio"]), &json!({}));
    let refused = plain.ask("tools/call", &task);
    assert!(refused.to_string().contains("no model provider is configured"), "{refused}");
    std::fs::write(bench.home().join("config.yaml"), "provider: openai\n").unwrap();
    let mut chosen = Piped::greeted(bench.victor(&["mcp", "--stdio"]), &json!({"sampling": {}}));
    assert!(chosen.ask("tools/call", &task)["result"]["isError"] == true);
}

#[test]
fn a_client_that_does_not_lend_its_model_after_all_ends_the_run() {
    let bench = Bench::new();
    let mut server = Piped::greeted(bench.victor(&["mcp", "--stdio"]), &json!({"sampling": {"tools": {}}}));
    let id = server.begin("tools/call", &json!({"name": "run_agent", "arguments": {"task": "Hello."}}));
    let question = server.message();
    assert!(question["params"]["tools"].as_array().unwrap().iter().any(|t| t["name"] == "read"), "{question}");
    let error = json!({"code": -1, "message": "the user said no"});
    server.send(&json!({"id": question["id"], "error": error}));
    let answer = server.wait(id, &mut |again| panic!("asked again: {again}"));
    assert!(answer["result"]["isError"] == true && answer.to_string().contains("the user said no"), "{answer}");
}
