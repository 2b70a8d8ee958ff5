//! MCP servers that others wrote, used by Victor's client through the built binary: their tools, resources and prompts.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use rstest::rstest;
use serde_json::{Value, json};
use victor_tests::product::{Bench, told};
use victor_tests::{ModelServer, Recorded, Reply, peers};

/// A server of somebody else's, configured as `them`; it ends with the value, where Victor does not start it.
struct Stranger {
    bench: Bench,
    running: Option<Child>,
}

impl Stranger {
    /// A program that Victor starts.
    fn program(program: &Command, more: &[&str]) -> Self {
        let words = words(program, more);
        let entry = json!({"command": words[0], "args": words[1..]});
        Self { bench: bench(&entry), running: None }
    }

    /// A server at an address: `program` with `more`, where `PORT` stands for its port. It is there once it says `word`.
    fn address(program: &Command, more: &[&str], path: &str, word: &str, kind: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let more: Vec<&str> = more.iter().map(|w| if *w == "PORT" { &port } else { *w }).collect();
        let words = words(program, &more);
        let entry = json!({"url": format!("http://127.0.0.1:{port}{path}"), "type": kind});
        let bench = bench(&entry);
        let mut command = bench.program(words[0].as_ref());
        command.args(&words[1..]).env("PORT", &port).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut running = command.spawn().unwrap();
        let mut lines = BufReader::new(running.stderr.take().unwrap()).lines().map_while(Result::ok);
        let said = lines.find(|line| line.contains(word));
        // Whatever else it says must not fill its pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let stranger = Self { bench, running: Some(running) };
        assert!(said.is_some(), "the server never said `{word}`");
        stranger
    }

    /// What `victor mcp test` tells of it.
    fn tested(&self) -> Value {
        let (out, err, code) = told(&self.bench.victor(&["mcp", "test", "them", "--json"]).output().unwrap());
        assert_eq!(code, 0, "{err}{out}");
        serde_json::from_str::<Value>(&out).unwrap()["server"].clone()
    }

    /// What `victor tools call` prints.
    fn called(&self, tool: &str, args: &Value) -> String {
        let args = args.to_string();
        let command = ["tools", "call", tool, &args, "--yes"];
        let (out, err, code) = told(&self.bench.victor(&command).output().unwrap());
        assert_eq!(code, 0, "{err}{out}");
        out
    }

    /// What the model sees of a call that it makes in a run.
    fn ran(&self, tool: &str, args: Value) -> String {
        let server = ModelServer::start([Reply::call(tool, args), Reply::text("done")]);
        let (_, err, code) =
            told(&self.bench.with_model(&server, &["run", "hi", "--allow", "them__*"]).output().unwrap());
        assert_eq!(code, 0, "{err}");
        // A picture is in a message of its own.
        let requests = server.finish();
        let answers = requests[1].messages().iter().skip_while(|m| m["role"] != "tool");
        answers.map(|m| m["content"].to_string()).collect()
    }

    /// What the model is told where a person types these lines in a chat.
    fn chatted(&self, lines: &str) -> Vec<String> {
        let server = ModelServer::start_with(|_| Reply::text("Noted."));
        let mut victor = self.bench.with_model(&server, &["chat"]);
        victor.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = victor.spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let (out, err, _) = told(&child.wait_with_output().unwrap());
        let requests = server.requests();
        assert_eq!(requests.len(), lines.lines().count(), "{out}{err}");
        let said = |request: &Recorded| request.messages().last().unwrap()["content"].to_string();
        requests.iter().map(said).collect()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            // It may have ended by itself.
            let _ = running.kill();
            let _ = running.wait();
        }
    }
}

fn words(program: &Command, more: &[&str]) -> Vec<String> {
    let own = [program.get_program()].into_iter().chain(program.get_args()).map(|w| w.to_str().unwrap());
    own.chain(more.iter().copied()).map(ToOwned::to_owned).collect()
}

fn bench(entry: &Value) -> Bench {
    let bench = Bench::new();
    // JSON is YAML too.
    std::fs::write(bench.home().join("config.yaml"), format!("mcpServers: {{\"them\": {entry}}}\n")).unwrap();
    bench
}

fn names(list: &Value, key: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

#[rstest]
#[case::stdio("stdio")]
#[case::http("streamableHttp")]
#[case::sse("sse")]
fn server_everything(#[case] transport: &str) {
    let Some(node) = peers::from_npm("mcp-server-everything") else { return };
    let them = match transport {
        "stdio" => Stranger::program(&node, &["stdio"]),
        "sse" => Stranger::address(&node, &["sse"], "/sse", "running on port", "sse"),
        other => Stranger::address(&node, &[other], "/mcp", "listening on port", "http"),
    };
    let told = them.tested();
    assert_eq!(told["state"], "running", "{told:#}");
    let tools = told["tool_list"].to_string();
    for tool in ["them__echo", "them__get-sum", "them__get-tiny-image", "them__get-structured-content"] {
        assert!(tools.contains(tool), "{tools}");
    }
    assert!(names(&told["prompts"], "name").contains(&"args-prompt".to_owned()), "{told:#}");
    let uris = names(&told["resources"], "uri");
    let document = uris.iter().find(|uri| uri.ends_with("features.md")).unwrap();
    assert!(!told["templates"].as_array().unwrap().is_empty(), "{told:#}");

    assert!(them.called("them__echo", &json!({"message": "a bird"})).contains("Echo: a bird"));
    assert!(them.ran("them__get-sum", json!({"a": 2, "b": 40})).contains("42"));
    let typed = format!("what is in @them:{document}\n/them:args-prompt city=Oslo state=Norway\n");
    let said = them.chatted(&typed);
    assert!(said[0].contains("features.md") && said[0].len() > 500, "{}", said[0]);
    assert!(said[1].contains("weather in Oslo, Norway"), "{}", said[1]);
}

#[test]
fn server_everything_sends_pictures_structure_progress_and_takes_wrong_arguments_ill() {
    let Some(node) = peers::from_npm("mcp-server-everything") else { return };
    let them = Stranger::program(&node, &["stdio"]);
    assert!(them.ran("them__get-tiny-image", json!({})).contains("data:image/png;base64,"));
    assert!(them.ran("them__get-structured-content", json!({"location": "Chicago"})).contains("temperature"));
    assert!(them.ran("them__get-sum", json!({"a": "two", "b": 40})).contains("do not fit"));
    let server = ModelServer::start([
        Reply::call("them__trigger-long-running-operation", json!({"duration": 0.2, "steps": 2})),
        Reply::text("done"),
    ]);
    let (out, err, code) = told(&them.bench.with_model(&server, &["run", "hi", "--yes", "--json"]).output().unwrap());
    assert!(code == 0 && out.contains("tool_progress") && out.contains("2 of 2"), "{err}{out}");
    // The server's own variables are few: none of the provider's.
    let seen = them.ran("them__get-env", json!({}));
    assert!(seen.contains("PATH") && !seen.contains("OPENAI"), "{seen}");
}

#[test]
fn server_filesystem() {
    let Some(node) = peers::from_npm("mcp-server-filesystem") else { return };
    let them = Stranger::program(&node, &["."]);
    them.bench.file("notes/a.txt", "Water the plants.\n");
    let told = them.tested();
    let tools = told["tool_list"].to_string();
    for tool in ["them__read_text_file", "them__list_directory", "them__write_file"] {
        assert!(tools.contains(tool), "{tools}");
    }
    assert_eq!(told["problems"], Value::Null, "{told:#}");
    let path = them.bench.work().join("notes/a.txt");
    assert!(them.called("them__read_text_file", &json!({"path": path})).contains("Water the plants."));
    assert!(them.ran("them__list_directory", json!({"path": them.bench.work().join("notes")})).contains("a.txt"));
    let outside = them.ran("them__read_text_file", json!({"path": them.bench.home().join("config.yaml")}));
    assert!(outside.contains("denied"), "{outside}");
    them.ran("them__write_file", json!({"path": path, "content": "Done.\n"}));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "Done.\n");
}

#[rstest]
#[case::stdio("stdio", "")]
#[case::http("http", "/mcp")]
#[case::sse("sse", "/sse")]
fn a_server_made_with_fastmcp(#[case] transport: &str, #[case] path: &str) {
    let Some(mut python) = peers::python() else { return };
    python.arg(peers::file("fastmcp_server.py"));
    let them = match transport {
        "stdio" => Stranger::program(&python, &["stdio"]),
        kind => Stranger::address(&python, &[kind, "PORT"], path, "Uvicorn running", kind),
    };
    let told = them.tested();
    assert!(told["tool_list"].to_string().contains("Adds two numbers."), "{told:#}");
    assert_eq!(names(&told["resources"], "uri"), ["notes://today"]);
    assert_eq!(names(&told["prompts"], "name"), ["greet"]);
    assert!(them.called("them__add", &json!({"a": 2, "b": 40})).contains("42"));
    assert!(them.ran("them__fail", json!({"reason": "no water"})).contains("no water"));
    let said = them.chatted("what is noted in @them:notes://today\n/them:greet name=Ada\n");
    assert!(said[0].contains("Water the plants."), "{}", said[0]);
    assert!(said[1].contains("Say hello to Ada."), "{}", said[1]);
}
