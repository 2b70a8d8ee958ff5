//! MCP servers at an address: what is sent to them, the older transport where the newer is refused, and logins.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use victor_tests::product::{Bench, refused, told};

/// A request's first line, its headers in lower case, and its body.
#[derive(Clone, Default)]
struct Request {
    line: String,
    headers: Vec<String>,
    body: String,
}

type Seen = Arc<Mutex<Vec<Request>>>;

/// A server that has each connection answered on a thread of its own. It ends with the test.
fn serve(answer: impl Fn(Request, TcpStream) + Send + Sync + 'static) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (seen, answer) = (Seen::default(), Arc::new(answer));
    let noted = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
            std::thread::spawn(move || {
                let request = read(&stream);
                noted.lock().unwrap().push(request.clone());
                answer(request, stream);
            });
        }
    });
    (url, seen)
}

fn read(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = Request::default();
    reader.read_line(&mut request.line).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap();
        request.headers.push(format!("{}: {}", name.to_lowercase(), value.trim()));
    }
    let length =
        request.headers.iter().find_map(|h| h.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    request.body = String::from_utf8(body).unwrap();
    request
}

fn reply(mut stream: &TcpStream, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}");
    let _ = stream.write_all(text.as_bytes());
}

/// What a server of an older revision answers.
fn result(body: &str) -> Option<Value> {
    let message: Value = serde_json::from_str(body).ok()?;
    let id = message.get("id")?;
    let result = match message["method"].as_str()? {
        "initialize" => json!({"protocolVersion": "2024-11-05", "serverInfo": {"name": "old", "version": "1"},
            "capabilities": {"tools": {}}}),
        "tools/list" => json!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}),
        _ => return Some(json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "unknown"}})),
    };
    Some(json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

fn configured(server: &str) -> Bench {
    let bench = Bench::new();
    fs::write(bench.home().join("config.yaml"), format!("mcpServers: {{s: {server}}}\n")).unwrap();
    bench
}

#[test]
fn headers_and_the_bearer_token_go_with_every_request() {
    let (url, seen) = serve(|request, stream| match result(&request.body) {
        Some(answer) => reply(&stream, "200 OK", "content-type: application/json\r\n", &answer.to_string()),
        None => reply(&stream, "202 Accepted", "", ""),
    });
    let bench = configured(&format!("{{url: \"{url}/mcp\", bearer_env: T, headers: {{X-Team: \"${{TEAM}}\"}}}}"));
    let mut victor = bench.victor(&["mcp", "test", "s"]);
    let (out, err, code) = told(&victor.env("T", "token-1").env("TEAM", "red").output().unwrap());
    assert!(code == 0 && out.contains("s__echo"), "{out}{err}");
    let seen = seen.lock().unwrap();
    for request in seen.iter().filter(|r| r.line.starts_with("POST")) {
        for header in ["authorization: Bearer token-1", "x-team: red"] {
            assert!(request.headers.iter().any(|h| h == header), "{header}: {:?}", request.headers);
        }
    }
    let shown = told(&bench.victor(&["config", "show"]).output().unwrap()).0;
    assert!(!shown.contains("token-1"), "{shown}");
}

#[test]
fn a_server_that_refuses_the_newer_transport_is_spoken_to_over_the_older_one() {
    let events: Arc<Mutex<Option<TcpStream>>> = Arc::default();
    let (url, seen) = serve(move |request, mut stream| {
        if request.line.starts_with("GET /sse") {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            // Held until it is this stream: the first message may come before the last line here.
            let mut held = events.lock().unwrap();
            stream.write_all(format!("{head}event: endpoint\ndata: /messages?id=7\n\n").as_bytes()).unwrap();
            *held = Some(stream);
        } else if request.line.starts_with("POST /messages?id=7") {
            reply(&stream, "202 Accepted", "", "");
            if let (Some(answer), Some(events)) = (result(&request.body), events.lock().unwrap().as_mut()) {
                events.write_all(format!("event: message\ndata: {answer}\n\n").as_bytes()).unwrap();
            }
        } else {
            reply(&stream, "405 Method Not Allowed", "", "");
        }
    });
    let bench = configured(&format!("{{url: \"{url}/sse\"}}"));
    let (out, err, code) = told(&bench.victor(&["mcp", "test", "s"]).output().unwrap());
    assert!(code == 0 && out.contains("protocol 2024-11-05") && out.contains("s__echo"), "{out}{err}");
    // The next time it is known.
    seen.lock().unwrap().clear();
    let (_, err, code) = told(&bench.victor(&["mcp", "test", "s"]).output().unwrap());
    assert_eq!(code, 0, "{err}");
    assert!(seen.lock().unwrap()[0].line.starts_with("GET /sse"));
}

#[test]
fn a_server_that_wants_a_login_says_how() {
    let challenge = "www-authenticate: Bearer resource_metadata=\"http://127.0.0.1:9/x\"\r\n";
    let (url, _) = serve(move |_, stream| reply(&stream, "401 Unauthorized", challenge, ""));
    let bench = configured(&format!("{{url: \"{url}/mcp\"}}"));
    refused(&bench.victor(&["mcp", "test", "s"]).output().unwrap(), 1, &["wants a login", "victor mcp login s"]);
    let (out, ..) = told(&bench.victor(&["mcp", "list", "--json"]).output().unwrap());
    assert!(out.contains("failed") && out.contains("victor mcp login s"), "{out}");
}

#[test]
fn an_address_where_nobody_listens_is_told() {
    let bench = configured("{url: \"http://127.0.0.1:9/mcp\"}");
    refused(&bench.victor(&["mcp", "test", "s"]).output().unwrap(), 1, &["cannot be used", "127.0.0.1:9", "refused"]);
    let bench = configured("{url: \"ftp://x.example/mcp\"}");
    refused(&bench.victor(&["mcp", "test", "s"]).output().unwrap(), 1, &["ftp is not spoken here"]);
}
