//! Clients and servers of others: each lists and calls what Victor's MCP server offers, and Victor's client theirs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::process::Command;

use rstest::rstest;
use serde_json::Value;
use victor_tests::peers;
use victor_tests::product::{Bench, built, told};
use victor_tests::served::Served;

/// A workspace with a file to read, and Victor's MCP server in it.
struct Server {
    bench: Bench,
    http: Option<Served>,
}

impl Server {
    fn new() -> Self {
        let bench = Bench::new();
        bench.file("README.md", "# A project\n");
        Self { bench, http: None }
    }

    /// Over HTTP, already running.
    fn http() -> Self {
        let mut server = Self::new();
        server.http = Some(Served::start(server.bench.victor(&["mcp", "--http", "127.0.0.1:0"])));
        server
    }

    /// The words that name it to a client: a URL, or the command line that starts it.
    fn target(&self, path: &str) -> Vec<String> {
        match &self.http {
            Some(served) => vec![format!("{}{path}", served.url())],
            None => [
                built("victor").to_str().unwrap(),
                "mcp",
                "--stdio",
                "--workspace",
                self.bench.work().to_str().unwrap(),
            ]
            .map(ToOwned::to_owned)
            .to_vec(),
        }
    }

    /// Runs a client in the surroundings of the bench; gives what it printed.
    fn ask(&self, client: &Command, words: &[&str], target: &[String]) -> String {
        let mut command = self.bench.program(client.get_program().as_ref());
        command.args(client.get_args()).args(words).args(target);
        let (out, err, code) = told(&command.output().unwrap());
        assert_eq!(code, 0, "{words:?}: {err}{out}");
        out
    }

    fn ask_json(&self, client: &Command, words: &[&str], target: &[String]) -> Value {
        let out = self.ask(client, words, target);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
    }
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

#[rstest]
#[case::stdio_new("auto", "2026-07-28", "")]
#[case::stdio_old("legacy", "2025-11-25", "")]
#[case::http_new("auto", "2026-07-28", "/mcp")]
#[case::http_old("legacy", "2025-11-25", "/mcp")]
#[case::sse("sse", "2025-11-25", "/sse")]
fn the_official_python_client(#[case] mode: &str, #[case] protocol: &str, #[case] path: &str) {
    let Some(python) = peers::python() else { return };
    let server = if path.is_empty() { Server::new() } else { Server::http() };
    let script = peers::file("mcp_client.py");
    let told = server.ask_json(&python, &[script.to_str().unwrap(), mode], &server.target(path));
    assert_eq!((told["protocol"].as_str(), told["server"].as_str()), (Some(protocol), Some("victor")));
    let tools = names(&told["tools"]);
    for tool in ["bash", "edit", "git_status", "grep", "read", "run_agent", "run_status", "write"] {
        assert!(tools.contains(&tool), "{tool} is not in {tools:?}");
    }
    assert_eq!(told["read_only"], true);
    assert!(told["read"].as_str().unwrap().contains("# A project"), "{told:#}");
    assert_eq!(told["wrong"][0], true);
    assert!(told["wrong"][1].as_str().unwrap().contains("absent.txt"), "{told:#}");
    assert_eq!(told["denied"][0], true);
    assert!(told["denied"][1].as_str().unwrap().contains("VICTOR_ALLOW"), "{told:#}");
    assert!(!server.bench.work().join("made").exists(), "a denied command ran");
    for prompt in ["commit", "explain", "fix", "plan", "review", "test"] {
        assert!(names(&told["prompts"]).contains(&prompt), "{told:#}");
    }
    assert!(!told["review"].as_str().unwrap().is_empty());
    assert!(!names(&told["templates"]).is_empty());
    assert_eq!(told["resource"], "# A project\n");
}

#[rstest]
#[case::stdio("")]
#[case::http("/mcp")]
fn fastmcp_answers_a_question(#[case] path: &str) {
    let Some(python) = peers::python() else { return };
    let server = if path.is_empty() { Server::new() } else { Server::http() };
    let script = peers::file("fastmcp_client.py");
    let told = server.ask_json(&python, &[script.to_str().unwrap()], &server.target(path));
    assert_eq!(told["asked"].as_array().unwrap().len(), 1, "{told:#}");
    assert!(told["ran"].as_str().unwrap().contains("hello"), "{told:#}");
    assert_eq!(std::fs::read_to_string(server.bench.work().join("made")).unwrap(), "hello\n");
}

#[rstest]
#[case::stdio_with_tools("tools", "")]
#[case::http_with_tools("tools", "/mcp")]
#[case::stdio_without("plain", "")]
fn the_official_python_client_lends_its_model(#[case] kind: &str, #[case] path: &str) {
    let Some(python) = peers::python() else { return };
    let server = if path.is_empty() { Server::new() } else { Server::http() };
    let script = peers::file("sampling_client.py");
    let told = server.ask_json(&python, &[script.to_str().unwrap(), kind], &server.target(path));
    let report = &told["report"];
    assert_eq!((&report["status"], &report["provider"]), (&"completed".into(), &"client".into()), "{told:#}");
    let (word, calls) = if kind == "tools" { ("# A project", 2) } else { ("What does README.md say?", 1) };
    assert!(report["text"].as_str().unwrap().contains(word), "{told:#}");
    let asked = told["asked"].as_array().unwrap();
    assert_eq!((asked.len(), asked[0]["tools"].is_array()), (calls, kind == "tools"), "{told:#}");
    assert!(asked[0]["systemPrompt"].as_str().unwrap().len() > 100, "{told:#}");
}

#[rstest]
#[case::stdio("")]
#[case::http("/mcp")]
#[case::sse("/sse")]
fn the_inspector(#[case] path: &str) {
    let Some(inspector) = peers::from_npm("mcp-inspector") else { return };
    let server = if path.is_empty() { Server::new() } else { Server::http() };
    let target = server.target(path);
    let ask = |method: &str, words: &[&str]| {
        // The target comes first: a word after an option with several values would be one of them.
        let first: Vec<&str> = ["--cli"].into_iter().chain(target.iter().map(String::as_str)).collect();
        let words = [first.as_slice(), &["--method", method], words].concat();
        let out = server.ask(&inspector, &words, &[]);
        serde_json::from_str::<Value>(&out).unwrap_or_else(|e| panic!("{method}: {e}: {out}"))
    };
    let listed = ask("tools/list", &[]);
    assert!(listed["tools"].as_array().unwrap().iter().any(|tool| tool["name"] == "read"), "{listed:#}");
    let read = ask("tools/call", &["--tool-name", "read", "--tool-arg", "path=README.md"]);
    assert!(read["content"][0]["text"].as_str().unwrap().contains("# A project"), "{read:#}");
    let prompts = ask("prompts/list", &[]);
    assert!(prompts["prompts"].as_array().unwrap().iter().any(|p| p["name"] == "review"), "{prompts:#}");
    let explain = ask("prompts/get", &["--prompt-name", "review"]);
    assert_eq!(explain["messages"][0]["role"], "user");
    let resources = ask("resources/list", &[]);
    let uri = resources["resources"][0]["uri"].as_str().unwrap();
    let content = ask("resources/read", &["--uri", uri]);
    assert!(content["contents"][0]["uri"].is_string(), "{content:#}");
}

#[rstest]
#[case::stdio("")]
#[case::http("/mcp")]
fn mcporter(#[case] path: &str) {
    let Some(mcporter) = peers::from_npm("mcporter") else { return };
    let server = if path.is_empty() { Server::new() } else { Server::http() };
    let target = server.target(path).join(" ");
    let named: &[&str] = match path {
        "" => &["--stdio", &target],
        _ => &["--http-url", &target, "--allow-http"],
    };
    let listed = server.ask(&mcporter, &[&["list", "--schema", "--name", "victor"], named].concat(), &[]);
    assert!(listed.contains("run_agent") && listed.contains("read"), "{listed}");
    let read =
        [&["call", "--name", "victor", "--tool", "read"], named, &["--args", r#"{"path": "README.md"}"#]].concat();
    assert!(server.ask(&mcporter, &read, &[]).contains("# A project"));
}
