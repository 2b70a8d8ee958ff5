//! Workflows over HTTP: run, wait, answer, follow, cancel, and a server that crashes in between.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::io::BufRead as _;

use serde_json::{Value, json};
use victor_tests::product::{Bench, told};
use victor_tests::served::Served;

const FLOWS: &str = r#"
workflows:
  greet:
    description: Greets somebody after a question
    inputs: {who: {type: string, required: true}}
    nodes:
      - {id: words, type: transform, transform: format, template: "Hello {{ who }}", output: words, next: [ok]}
      - {id: ok, type: hitl, hitl_type: approval, prompt: "Say {{ words }}?", timeout: 600, fallback: abort, next: [say]}
      - {id: say, type: transform, transform: set, values: {said: true}}
  plain:
    nodes:
      - {id: a, type: transform, transform: set, values: {a: 1}, next: [b]}
      - {id: b, type: condition, condition: "a > 1", branches: {true: big, false: small}}
      - {id: big, type: transform, transform: set, values: {size: big}}
      - {id: small, type: transform, transform: set, values: {size: small}}
  wrong:
    nodes:
      - {id: a, type: transform, transform: set, values: {a: text}, next: [b]}
      - {id: b, type: condition, condition: "a > 1", branches: {true: end, false: end}}
  quick:
    nodes:
      - {id: ok, type: hitl, hitl_type: approval, prompt: "?", timeout: 1, fallback: {value: true}}
"#;

fn serve() -> (Bench, Served) {
    let bench = Bench::new();
    bench.file(".victor/workflows/flows.yaml", FLOWS);
    let served = Served::start(bench.victor(&["serve", "--port", "0"]));
    (bench, served)
}

fn run(served: &Served, body: &Value) -> (u16, Value) {
    let answer = served.post("/api/v1/workflows/run", body);
    (answer.status, answer.json())
}

fn status(served: &Served, id: &str) -> Value {
    served.get(&format!("/api/v1/workflows/{id}/status")).json()
}

#[test]
fn a_run_is_waited_for_and_a_failed_one_is_told() {
    let (_bench, served) = serve();
    let (code, answer) = run(&served, &json!({"workflow": "plain", "input": {}}));
    assert_eq!(code, 200);
    assert_eq!((&answer["success"], &answer["status"]), (&json!(true), &json!("completed")));
    assert_eq!(answer["result"], json!({"a": 1, "size": "small"}));
    assert!(answer["execution_time_ms"].is_u64());
    let (code, answer) = run(&served, &json!({"workflow": "wrong"}));
    assert_eq!((code, &answer["success"], &answer["status"]), (200, &json!(false), &json!("failed")));
    assert!(answer["error"].as_str().unwrap().contains('b'), "{answer}");
    let (code, answer) = run(&served, &json!({"workflow": "plian"}));
    assert_eq!((code, &answer["error_code"]), (404, &json!("WORKFLOW_NOT_FOUND")));
    assert!(answer["error"].as_str().unwrap().contains("did you mean `plain`"), "{answer}");
    assert_eq!(run(&served, &json!({"workflow": "greet"})).0, 400, "an input is missing");
    for path in ["../../etc/passwd.yaml", "/etc/passwd.yaml", "a/b.yaml"] {
        assert_eq!(run(&served, &json!({"workflow": path})).0, 400, "{path}");
    }
    let (code, answer) = run(&served, &json!({"workflow": ".victor/workflows/flows.yaml"}));
    assert!(code == 400 && answer["error"].as_str().unwrap().contains("several"), "{code} {answer}");
    let list = served.get("/api/v1/workflows").json();
    assert!(list["workflows"].as_array().unwrap().iter().any(|w| w["name"] == "greet"), "{list}");
    assert_eq!(served.get("/api/v1/workflows/nonsense/status").status, 404);
}

#[test]
fn a_waiting_run_survives_the_server_and_goes_on_with_its_answer() {
    let (bench, mut served) = serve();
    let (code, answer) = run(&served, &json!({"workflow": "greet", "input": {"who": "Ada"}}));
    assert_eq!(
        (code, &answer["status"], &answer["waiting"][0]["prompt"]),
        (202, &json!("waiting"), &json!("Say Hello Ada?"))
    );
    let id = answer["workflow_id"].as_str().unwrap().to_owned();
    assert_eq!(served.get(answer["status_url"].as_str().unwrap()).json()["current_node"], "ok");
    served.kill();
    let served = Served::start(bench.victor(&["serve", "--port", "0"]));
    assert_eq!(status(&served, &id)["status"], "waiting");
    let events = served.open("GET", &format!("/api/v1/workflows/{id}/events"), &[], "");
    let resume = format!("/api/v1/workflows/{id}/resume");
    let answer = served.post(&resume, &json!({"answer": "perhaps"}));
    assert_eq!(answer.status, 400, "{}", answer.body);
    let answer = served.post(&resume, &json!({"answers": {"ok": true}, "wait": true}));
    assert_eq!((answer.status, &answer.json()["result"]["said"]), (200, &json!(true)));
    let told: Vec<String> = events.lines().map_while(Result::ok).filter(|l| l.starts_with("event: ")).collect();
    assert_eq!(told.last().unwrap(), "event: finished", "{told:?}");
    assert_eq!(told.iter().filter(|l| *l == "event: finished").count(), 1);
    let state = status(&served, &id);
    assert_eq!((&state["status"], &state["progress"]), (&json!("completed"), &json!(1.0)));
    assert_eq!(served.post(&resume, &json!({"answer": true})).status, 409);
}

#[test]
fn events_are_replayed_after_the_last_one_that_was_seen() {
    let (_bench, served) = serve();
    let (_, answer) = run(&served, &json!({"workflow": "plain"}));
    let path = format!("/api/v1/workflows/{}/events", answer["workflow_id"].as_str().unwrap());
    let all = served.get(&path).body;
    let ids = |text: &str| -> Vec<u64> {
        text.lines().filter_map(|l| l.strip_prefix("id: ")).map(|id| id.parse().unwrap()).collect()
    };
    assert!(all.contains("event: workflow_started") && all.contains("\"node\":\"small\""), "{all}");
    let seen = ids(&all);
    assert!(seen.windows(2).all(|w| w[0] < w[1]), "{seen:?}");
    let rest = served.send("GET", &path, &[("last-event-id", &seen[2].to_string())], "").body;
    assert_eq!(ids(&rest), seen[3..]);
}

#[test]
fn a_run_of_an_earlier_server_is_told_from_its_journal() {
    let (bench, mut served) = serve();
    let (_, plain) = run(&served, &json!({"workflow": "plain"}));
    let (_, waits) = run(&served, &json!({"workflow": "greet", "input": {"who": "Ada"}}));
    served.kill();
    let served = Served::start(bench.victor(&["serve", "--port", "0"]));
    let events = |run: &Value| format!("/api/v1/workflows/{}/events", run["workflow_id"].as_str().unwrap());
    let all = served.get(&events(&plain)).body;
    for what in ["event: workflow_started", "\"node\":\"a\"", "\"node\":\"small\"", "event: finished"] {
        assert!(all.contains(what), "no {what} in: {all}");
    }
    let ids: Vec<u64> = all.lines().filter_map(|l| l.strip_prefix("id: ")).map(|id| id.parse().unwrap()).collect();
    assert!(ids.windows(2).all(|w| w[0] < w[1]), "{ids:?}");
    let last = ids.last().unwrap().to_string();
    let again = served.send("GET", &events(&plain), &[("last-event-id", &last)], "").body;
    assert!(again.contains("event: finished") && !again.contains("event: node"), "{again}");
    // One that waits is told up to there, and on once it has its answer from elsewhere.
    let stream = served.open("GET", &events(&waits), &[], "");
    let mut lines = stream.lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "event: question") && lines.any(|line| line == "event: waiting"));
    let id = waits["workflow_id"].as_str().unwrap();
    let (_, err, code) = told(&bench.victor(&["workflow", "resume", id, "--answer", "ok=yes"]).output().unwrap());
    assert_eq!(code, 0, "{err}");
    assert!(lines.any(|line| line == "event: answered"));
    assert!(lines.any(|line| line.contains("\"node\":\"say\"")) && lines.any(|line| line == "event: finished"));
}

#[test]
fn runs_are_listed_page_by_page() {
    let (_bench, served) = serve();
    let begun: Vec<Value> = (0..5).map(|_| run(&served, &json!({"workflow": "plain"})).1).collect();
    let (_, waits) = run(&served, &json!({"workflow": "greet", "input": {"who": "Ada"}}));
    let (mut found, mut path) = (Vec::new(), "/api/v1/workflows/runs?limit=4".to_owned());
    loop {
        let page = served.get(&path).json();
        found.extend(page["runs"].as_array().unwrap().iter().map(|run| run["workflow_id"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/workflows/runs?limit=4&cursor={cursor}");
    }
    let expected: Vec<Value> =
        [&waits].into_iter().chain(begun.iter().rev()).map(|r| r["workflow_id"].clone()).collect();
    assert_eq!(found, expected);
    let list = |query: &str| served.get(&format!("/api/v1/workflows/runs?{query}")).json()["runs"].clone();
    let waiting = list("status=waiting");
    assert_eq!((waiting.as_array().unwrap().len(), &waiting[0]["waiting"][0]["id"]), (1, &json!("ok")));
    assert_eq!(list("workflow=plain&limit=100").as_array().unwrap().len(), 5);
    for query in ["limit=0", "limit=101", "cursor=nonsense", "status=done", "worklow=plain"] {
        assert_eq!(served.get(&format!("/api/v1/workflows/runs?{query}")).status, 400, "{query}");
    }
}

#[test]
fn time_runs_out_while_a_server_lives_and_a_run_is_cancelled() {
    let (bench, served) = serve();
    let (code, answer) = run(&served, &json!({"workflow": "quick"}));
    assert_eq!((code, &answer["status"]), (202, &json!("waiting")));
    let id = answer["workflow_id"].as_str().unwrap().to_owned();
    let events = served.get(&format!("/api/v1/workflows/{id}/events")).body;
    assert!(events.contains("event: finished"), "{events}");
    let state = status(&served, &id);
    assert_eq!((&state["status"], &state["result"]), (&json!("completed"), &json!({"ok": true})));
    let (_, answer) = run(&served, &json!({"workflow": "greet", "input": {"who": "Ada"}, "wait": false}));
    let id = answer["workflow_id"].as_str().unwrap().to_owned();
    let cancel = format!("/api/v1/workflows/{id}/cancel");
    assert_eq!(served.post(&cancel, &json!({})).json()["cancelled"], true);
    let (out, err, code) = told(&bench.victor(&["workflow", "status", &id, "--json"]).output().unwrap());
    assert!(code == 0 && out.contains("cancelled"), "{out}{err}");
}

#[test]
fn others_do_not_see_a_run() {
    let bench = Bench::new();
    bench.file(".victor/workflows/flows.yaml", FLOWS);
    let token = |name: &str| {
        let (out, err, code) = told(&bench.victor(&["tokens", "create", name, "--scope", "chat"]).output().unwrap());
        assert_eq!(code, 0, "{err}");
        format!("Bearer {}", out.trim())
    };
    let (mine, other) = (token("mine"), token("other"));
    let served = Served::start(bench.victor(&["serve", "--port", "0"]));
    let body = json!({"workflow": "greet", "input": {"who": "Ada"}}).to_string();
    let answer = served.send("POST", "/api/v1/workflows/run", &[("authorization", &mine)], &body);
    let id = answer.json()["workflow_id"].as_str().unwrap().to_owned();
    for (method, rest) in [("GET", "status"), ("GET", "events"), ("POST", "cancel"), ("POST", "resume")] {
        let path = format!("/api/v1/workflows/{id}/{rest}");
        assert_eq!(served.send(method, &path, &[("authorization", &other)], "{}").status, 404, "{path}");
    }
    let path = format!("/api/v1/workflows/{id}/status");
    assert_eq!(served.send("GET", &path, &[("authorization", &mine)], "").status, 200);
    for (key, count) in [(&mine, 1), (&other, 0)] {
        let list = served.send("GET", "/api/v1/workflows/runs", &[("authorization", key)], "").json();
        assert_eq!(list["runs"].as_array().unwrap().len(), count);
    }
}

#[test]
fn a_server_that_crashed_goes_on_with_its_runs() {
    let bench = Bench::new();
    std::fs::write(bench.home().join("config.yaml"), "permissions: {allow: [\"bash(*)\"]}\n").unwrap();
    let node = |id: &str, command: &str, next: &str| {
        format!(
            "      - {{id: {id}, type: tool, tool: bash, arguments: {{command: \"{command}\"}}, output: {id}{next}}}\n"
        )
    };
    let nodes = node("a", "echo a >> effects", ", next: [b]") + &node("b", "test -e go || sleep 600", "");
    bench.file(".victor/workflows/slow.yaml", format!("workflows:\n  slow:\n    nodes:\n{nodes}"));
    let mut served = Served::start(bench.victor(&["serve", "--port", "0"]));
    let (code, answer) = run(&served, &json!({"workflow": "slow", "wait": false}));
    assert_eq!((code, &answer["status"]), (202, &json!("running")));
    let id = answer["workflow_id"].as_str().unwrap().to_owned();
    let events = format!("/api/v1/workflows/{id}/events");
    let works = |line: &String| line.contains("\"tool_call\"") && line.contains("sleep 600");
    assert!(served.open("GET", &events, &[], "").lines().map_while(Result::ok).any(|l| works(&l)));
    served.kill();
    let (out, ..) = told(&bench.victor(&["workflow", "status", &id, "--json"]).output().unwrap());
    let state: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&state["status"], &state["interrupted"]), (&json!("running"), &json!(true)));
    bench.file("go", "");
    let served = Served::start(bench.victor(&["serve", "--port", "0"]));
    assert!(served.get(&events).body.contains("event: finished"));
    assert_eq!(status(&served, &id)["status"], "completed");
    assert_eq!(std::fs::read_to_string(bench.work().join("effects")).unwrap(), "a\n");
    let (out, ..) = told(&bench.victor(&["logs"]).output().unwrap());
    assert!(out.contains("was interrupted and goes on"), "{out}");
}
