//! What one client of `victor mcp` may take: watched files, folders, runs.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value, json};
use victor_tests::pipes::Piped;
use victor_tests::product::{Bench, told};
use victor_tests::{ModelServer, Reply};

#[test]
fn files_without_end_are_not_watched_and_one_that_is_left_makes_room() {
    let bench = Bench::new();
    let uri = |n: usize| format!("file://{}/{n}.txt", bench.work().display());
    for n in 0..=256 {
        bench.file(&format!("{n}.txt"), "x");
    }
    let mut server = Piped::greeted(bench.victor(&["mcp", "--stdio"]), &json!({}));
    // All at once: none slips through while another one is looked at.
    let ids: Vec<i64> = (0..=256).map(|n| server.begin("resources/subscribe", &json!({"uri": uri(n)}))).collect();
    let mut answers: Vec<Value> = (0..ids.len()).map(|_| server.message()).collect();
    let refused = answers.iter().position(|a| a.get("error").is_some()).unwrap();
    let refused = answers.swap_remove(refused);
    assert!(refused["error"]["message"].as_str().unwrap().contains("at most 256"), "{refused}");
    assert!(answers.iter().all(|a| a["result"].is_object()), "more than one is refused");
    let watched = ids.iter().position(|id| refused["id"] != json!(id)).unwrap();
    assert!(server.ask("resources/subscribe", &json!({"uri": uri(watched)}))["result"].is_object(), "again");
    server.ask("resources/unsubscribe", &json!({"uri": uri(watched)}));
    let late = ids.iter().position(|id| refused["id"] == json!(id)).unwrap();
    assert!(server.ask("resources/subscribe", &json!({"uri": uri(late)}))["result"].is_object());
}

#[test]
fn folders_without_end_are_not_opened_and_those_of_the_system_never() {
    let bench = Bench::new();
    for n in 0..40 {
        bench.file(&format!("p{n}/a.txt"), format!("in p{n}\n"));
    }
    let mut command = bench.victor(&["mcp", "--stdio"]);
    command.current_dir("/");
    let mut server = Piped::greeted(command, &json!({"roots": {"listChanged": true}}));
    let call = json!({"name": "read", "arguments": {"path": "a.txt"}});
    // A call may overtake the news that the folders are others now.
    let mut reads = |folder: &str, word: &str| {
        server.send(&json!({"method": "notifications/roots/list_changed"}));
        let mut answer = Value::Null;
        let told = (0..200).any(|_| {
            answer = server.ask_answering(
                "tools/call",
                &call,
                &mut |_| json!({"roots": [{"uri": format!("file://{folder}")}]}),
            );
            answer.to_string().contains(word)
        });
        assert!(told, "{folder}: `{word}` is not in {answer}");
    };
    let project = |n: usize| bench.work().join(format!("p{n}")).display().to_string();
    for n in 0..32 {
        reads(&project(n), &format!("in p{n}\\n"));
    }
    reads(&project(32), "32 different folders");
    // What is open already can be gone back to.
    reads(&project(0), "in p0\\n");
    for folder in ["/", "/etc", "/usr/lib/../../etc", "/proc/self/root"] {
        reads(folder, "no folder is open");
    }
}

#[test]
fn runs_without_end_are_not_begun() {
    let (bench, model) = (Bench::new(), ModelServer::start_with(|_| Reply::text("At last.").hold()));
    let mut server = Piped::greeted(bench.with_model(&model, &["mcp", "--stdio"]), &json!({}));
    let call = json!({"name": "run_agent", "arguments": {"task": "Think.", "wait_seconds": 0}});
    let ids: Vec<i64> = (0..70).map(|_| server.begin("tools/call", &call)).collect();
    let answers: Vec<String> = ids.iter().map(|_| server.message().to_string()).collect();
    let begun = answers.iter().filter(|a| a.contains("\"running\"")).count();
    let refused = answers.iter().filter(|a| a.contains("too many runs")).count();
    assert_eq!((begun, refused), (64, 6), "{}", answers[0]);
}

#[test]
fn runs_of_workflows_count_too_and_make_room_when_they_end() {
    let (bench, model) = (Bench::new(), ModelServer::start_with(|_| Reply::text("At last.").hold()));
    let think = "workflows:\n  think:\n    nodes:\n      - {id: think, type: agent, goal: Think.}\n";
    bench.file(".victor/workflows/think.yaml", think);
    let mut server = Piped::greeted(bench.with_model(&model, &["mcp", "--stdio"]), &json!({}));
    let agent = json!({"task": "Think.", "wait_seconds": 0});
    let workflow = json!({"workflow": "think", "wait_seconds": 0});
    let mut all = |tool: &str, arguments: &Value, times: usize| -> Vec<Value> {
        let call = json!({"name": tool, "arguments": arguments});
        let ids: Vec<i64> = (0..times).map(|_| server.begin("tools/call", &call)).collect();
        ids.iter().map(|_| server.message()["result"].clone()).collect()
    };
    let agents = all("run_agent", &agent, 60);
    let workflows = all("run_workflow", &workflow, 6);
    let full = |answers: &[Value]| answers.iter().filter(|a| a.to_string().contains("too many runs")).count();
    assert_eq!((full(&agents), full(&workflows)), (0, 2), "{workflows:?}");
    assert_eq!(full(&all("run_agent", &agent, 1)), 1);
    let begun = workflows.iter().find_map(|a| a["structuredContent"]["workflow_id"].as_str()).unwrap().to_owned();
    all("workflow_status", &json!({"workflow_id": begun, "cancel": true}), 1);
    let room = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        full(&all("run_workflow", &workflow, 1)) == 0
    });
    assert!(room, "a run that has ended keeps its place");
}

#[test]
fn tools_that_are_never_offered_are_strangers_to_the_filter() {
    let bench = Bench::new();
    let mut command = bench.victor(&["mcp", "--stdio"]);
    command.env("VICTOR_MCP_TOOLS", "read,todo,planning");
    let (_, err, code) = told(&command.output().unwrap());
    assert!(code == 0 && err.contains("`todo` is neither a tool") && err.contains("`planning` is neither"), "{err}");
    let mut offered = err.lines().filter_map(|line| line.split_once("; ")).map(|(_, hint)| hint);
    assert!(offered.all(|hint| !hint.contains("todo") && !hint.contains("planning")), "{err}");
}
