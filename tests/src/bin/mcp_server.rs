//! A scripted MCP server on stdio, well-behaved or not, as its first argument says: test equipment for the client.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program of its own that stands for a stranger's"
)]

use std::io::{BufRead as _, Write as _};
use std::time::Duration;

use serde_json::{Value, json};

fn main() {
    let behaviour = std::env::args().nth(1).unwrap_or_default();
    if let Ok(path) = std::env::var("STARTS") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let _ = file.and_then(|mut f| writeln!(f, "started"));
    }
    match behaviour.as_str() {
        "crash-at-start" => {
            eprintln!("no licence was found");
            std::process::exit(3);
        }
        "hang-at-start" => forever(),
        "flood-at-start" => loop {
            let _ = writeln!(
                std::io::stdout(),
                r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"info","data":"x"}}}}"#
            );
        },
        "banner" => println!("Welcome to the server!\n{{\"not\": \"a message\"\n\u{fffd}"),
        "noisy" => drop(std::thread::spawn(|| {
            loop {
                eprintln!("{}", "noise ".repeat(100));
            }
        })),
        _ => {}
    }
    // The call that waits for its user's answer.
    let mut asked = None;
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        let (method, id) = (message["method"].as_str().unwrap_or_default(), message["id"].clone());
        if id == "question" && method.is_empty() {
            if let Some(call) = asked.take() {
                let content = json!([{"type": "text", "text": message["result"].to_string()}]);
                send(&json!({"jsonrpc": "2.0", "id": call, "result": {"content": content}}));
            }
            continue;
        }
        if message["params"]["name"] == "ask" {
            asked = Some(id);
            let form = json!({"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string", "title": "Your name"}, "sure": {"type": "boolean"}}});
            let params = json!({"message": "Who is there?", "requestedSchema": form});
            send(&json!({"jsonrpc": "2.0", "id": "question", "method": "elicitation/create", "params": params}));
            continue;
        }
        if id.is_null() {
            if method == "notifications/cancelled" {
                eprintln!("cancelled");
                note("cancelled");
            }
            continue;
        }
        answer(&behaviour, method, &id, &message["params"]);
    }
    if behaviour == "stays" {
        forever();
    }
}

fn forever() {
    loop {
        std::thread::sleep(Duration::from_secs(600));
    }
}

/// Writes a word to the file that a test looks at.
fn note(word: &str) {
    if let Ok(path) = std::env::var("NOTES") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let _ = file.and_then(|mut f| writeln!(f, "{word}"));
    }
}

fn send(message: &Value) {
    let _ = writeln!(std::io::stdout(), "{message}");
    let _ = std::io::stdout().flush();
}

fn answer(behaviour: &str, method: &str, id: &Value, params: &Value) {
    let result = match method {
        "initialize" => json!({
            "protocolVersion": "2025-06-18",
            "serverInfo": {"name": "scripted", "version": "1"},
            "capabilities": {"tools": {"listChanged": true}, "prompts": {}, "resources": {}, "completions": {}},
        }),
        "ping" => json!({}),
        "tools/list" if behaviour == "endless" => json!({"tools": [tool("echo")], "nextCursor": "more"}),
        "tools/list" if behaviour == "steers" => json!({"tools": [steering("echo")]}),
        "resources/list" if behaviour == "steers" => json!({"resources": [{"uri": "x:\u{1b}[2J", "name": STEERS}]}),
        "prompts/list" if behaviour == "steers" => json!({"prompts": [steering("p\u{9b}2J")]}),
        "tools/list" if behaviour == "liar" => json!({"tools": lies()}),
        "tools/list" => json!({"tools": (["echo", "fail", "env", "picture", "slow", "ask", "misbehave"].map(tool))}),
        "tools/call" => return call(behaviour, id, params),
        "resources/list" => json!({"resources": [{"uri": "note://today", "name": "today"}]}),
        "resources/templates/list" => json!({"resourceTemplates": []}),
        "resources/read" => json!({"contents": [{"uri": params["uri"], "text": "Buy milk."}]}),
        "prompts/list" => json!({"prompts": [{"name": "greet", "description": "Greets",
            "arguments": [{"name": "who", "required": true}]}]}),
        "prompts/get" => {
            let who = params["arguments"]["who"].as_str().unwrap_or("nobody");
            json!({"messages": [{"role": "user", "content": {"type": "text", "text": format!("Greet {who}.")}}]})
        }
        "completion/complete" => json!({"completion": {"values": ["Ada", "Alan"]}}),
        _ => {
            send(&json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no such method"}}));
            return;
        }
    };
    send(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
}

fn tool(name: &str) -> Value {
    json!({
        "name": name,
        "description": format!("Does {name}"),
        "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}},
        "annotations": {"readOnlyHint": true},
    })
}

/// What a terminal would obey: a title, a cleared screen, a link, text that runs backwards.
const STEERS: &str = "a\u{1b}]0;owned\u{7}b\u{1b}[2J\u{9b}31m\u{1b}]8;;http://evil.example\u{1b}\\c\u{202e}d\r";

fn steering(name: &str) -> Value {
    json!({"name": name, "title": STEERS, "description": STEERS, "inputSchema": {"type": "object"}})
}

/// Tools whose schemas are none, or do harm; one of them is well.
fn lies() -> Vec<Value> {
    let with = |name: &str, schema: Value| json!({"name": name, "inputSchema": schema});
    let mut deep = json!({"type": "string"});
    for _ in 0..60 {
        deep = json!({"items": deep});
    }
    vec![
        tool("echo"),
        tool("echo"),
        with("string", json!({"type": "string"})),
        with("huge", json!({"type": "object", "description": "x".repeat(200_000)})),
        with("deep", json!({"type": "object", "properties": {"a": deep}})),
        with("remote", json!({"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/s.json"}}})),
        with("nonsense", json!({"type": "object", "properties": {"a": {"type": "fish"}}})),
        with("tree", json!({"type": "object", "properties": {"next": {"$ref": "#"}}})),
        json!({"name": "liar", "inputSchema": {"type": "object"},
            "outputSchema": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}}),
        json!({"name": "../../bin/bash", "inputSchema": {"type": "object"}}),
    ]
}

fn call(behaviour: &str, id: &Value, params: &Value) {
    let text = params["arguments"]["text"].as_str().unwrap_or_default();
    let said = |text: &str| json!({"content": [{"type": "text", "text": text}]});
    let result = match params["name"].as_str().unwrap_or_default() {
        "echo" => said(&format!("you said: {text}")),
        "fail" => json!({"content": [{"type": "text", "text": "it cannot be done"}], "isError": true}),
        "env" => said(&std::env::vars().map(|(name, _)| name).collect::<Vec<_>>().join(" ")),
        "picture" => json!({"content": [{"type": "image", "mimeType": "image/png", "data": "iVBORw0KGgo="}]}),
        "liar" => json!({"content": [], "structuredContent": {"a": "no integer"}}),
        "slow" => {
            let token = &params["_meta"]["progressToken"];
            for step in 1..=3 {
                let params = json!({"progressToken": token, "progress": step, "total": 3, "message": "working"});
                send(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
                std::thread::sleep(Duration::from_millis(20));
            }
            said("slept")
        }
        "misbehave" => return misbehave(behaviour, id),
        _ => said("?"),
    };
    send(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
}

fn misbehave(behaviour: &str, id: &Value) {
    let reply = |text: &str| {
        let result = json!({"content": [{"type": "text", "text": text}]});
        send(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
    };
    match behaviour {
        "crash" => {
            eprintln!("something broke");
            std::process::exit(9);
        }
        "killed" => {
            let own = std::process::id().to_string();
            let _ = std::process::Command::new("kill").args(["-KILL", &own]).status();
            forever();
        }
        "hang" => {
            note("hanging");
        }
        "huge-line" => {
            let _ = std::io::stdout().write_all(&vec![b'x'; 100 << 20]);
            reply("after 100 MB");
        }
        "huge-result" => reply(&"y".repeat(5 << 20)),
        "garbage" => {
            for line in ["}{", "[1,2", "\u{0}\u{1}", "null", "42", r#"{"jsonrpc":"2.0","id":{},"result":7}"#] {
                println!("{line}");
            }
            reply("after the garbage");
        }
        "wrong-ids" => {
            for id in [json!(999_999), json!("x"), json!(null)] {
                send(&json!({"jsonrpc": "2.0", "id": id, "result": {"content": []}}));
            }
            reply("the right one");
        }
        "flood" => {
            for _ in 0..8_000 {
                send(&json!({"jsonrpc": "2.0", "method": "notifications/progress",
                    "params": {"progressToken": 12345, "progress": 1}}));
            }
            reply("after the flood");
        }
        "changed" => {
            send(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
            reply("changed");
        }
        _ => reply("well"),
    }
}
