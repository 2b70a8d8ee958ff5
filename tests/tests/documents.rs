//! Every command in the README and the guide, run as it stands, in order, in a folder like a reader's.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::path::Path;
use std::process::Command;

use serde_json::json;
use victor_tests::product::{Bench, built, told};
use victor_tests::served::Served;
use victor_tests::weights::{embedding_package, hollow, package, path_with_pip};
use victor_tests::{ModelServer, Reply};

const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xff\xff?\0\x05\xfe\x02\xfe\xa7\x35\x81\x84\0\0\0\0IEND\xaeB`\x82";

const DOCUMENTS: &[&str] = &[
    "README.md",
    "docs/getting-started.md",
    "docs/configuration.md",
    "docs/library.md",
    "docs/teams.md",
    "docs/http.md",
    "docs/local-model.md",
    "docs/mcp.md",
    "docs/mcp-client.md",
    "docs/workflows.md",
    "docs/workflows-running.md",
    "docs/choosing-a-door.md",
    "docs/migration.md",
    "docs/troubleshooting.md",
];

/// The lines of all `sh` blocks of a document of this repository, without their comments.
fn commands(document: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(root.join(document)).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    let lines: Vec<String> = blocks.flat_map(|b| b.lines().map(ToOwned::to_owned).collect::<Vec<_>>()).collect();
    let bare = lines.iter().map(|line| line.split(" # ").next().unwrap().trim().to_owned());
    bare.filter(|line| !line.is_empty()).collect()
}

/// The first YAML of a document of this repository.
fn first_snippet(document: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(root.join(document)).unwrap();
    text.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

/// Answers with JSON where a schema or the task asks for it.
fn model() -> ModelServer {
    ModelServer::options().lenient().start_with(|request| {
        if request.json.to_string().contains("answer as JSON with score and text") {
            return Reply::text(json!({ "score": 0.9, "text": "fine" }).to_string());
        }
        let wants_json = request.json.get("response_format").is_some() || request.json.get("output_config").is_some();
        if wants_json { Reply::text(json!({ "count": 3 }).to_string()) } else { Reply::text("Done.") }
    })
}

fn folder() -> Bench {
    let bench = Bench::new();
    bench.file("README.md", "# A project\n");
    bench.file("task.md", "Say hello.\n");
    bench.file("diagram.png", PIXEL);
    let schema = json!({"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]});
    bench.file("count.json", schema.to_string());
    bench.file("../other/notes.txt", "notes\n");
    bench.file("my-model.gguf", hollow(5000));
    bench.file("../FILE", "sk-test\n");
    bench.file("fix.yaml", first_snippet("docs/workflows.md"));
    let git = bench.program(Path::new("git")).args(["init", "--quiet"]).status().unwrap();
    assert!(git.success());
    bench
}

/// The line as a reader would type it here, or `None` if it is this test itself.
fn typed(line: &str, server: &ModelServer, session: &str) -> Option<String> {
    // Without the real model there is nothing to fetch; `cargo xtask test` says so at its end.
    let absent = line.contains("smollm2-135m") && package().is_none()
        || line.contains("all-minilm-l6-v2") && embedding_package().is_none();
    if line.starts_with("cargo xtask") || absent {
        return None;
    }
    let line = line
        .replace("cargo run --release --", "victor")
        .replace("--session ID", &format!("--session {session}"))
        .replace(" --follow", "")
        .replace("npx -y @modelcontextprotocol/server-filesystem .", &format!("{} good", built("mcp_server").display()))
        .replace("http://127.0.0.1:8000/v1", &server.base_url());
    Some(line.replace("victor keys set anthropic", "victor keys set anthropic < ../FILE"))
}

/// The arguments of a command that serves, at a port of its own.
fn serves(line: &str) -> Option<Vec<&str>> {
    let args: Vec<&str> = line.split_whitespace().collect();
    match args.as_slice() {
        ["victor", "serve", flags @ ..] => Some([&["serve", "--port", "0"], flags].concat()),
        ["victor", "mcp", "--http", _] => Some(vec!["mcp", "--http", "0"]),
        _ => None,
    }
}

fn run(bench: &Bench, server: &ModelServer, line: &str) -> (String, String, i32) {
    let folder = built("victor").parent().unwrap().to_owned();
    let others = match package().or_else(embedding_package) {
        Some(package) => path_with_pip(bench, &package).into(),
        None => std::env::var_os("PATH").unwrap_or_default(),
    };
    let path = std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&others)));
    let mut shell: Command = bench.program(Path::new("bash"));
    shell.args(["-c", line]).env("PATH", path.unwrap());
    shell.env("OPENAI_BASE_URL", server.base_url()).env("OPENAI_API_KEY", "test-key");
    shell.env("ANTHROPIC_BASE_URL", server.url());
    told(&shell.output().unwrap())
}

#[test]
fn every_command_of_the_documents_works() {
    for &document in DOCUMENTS {
        let (bench, server) = (folder(), model());
        let mut serving: Option<Served> = None;
        let (_, err, code) = run(&bench, &server, "victor run 'Begin a session'");
        assert_eq!(code, 0, "{err}");
        let (listed, ..) = run(&bench, &server, "victor sessions list --json");
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let id = listed.pointer("/sessions/0/id").or(listed.pointer("/0/id")).unwrap().as_str().unwrap().to_owned();
        let lines = commands(document);
        for line in lines.iter().filter_map(|line| typed(line, &server, &id)) {
            if let Some(args) = serves(&line) {
                serving = Some(Served::start(bench.with_model(&server, &args)));
                continue;
            }
            let line = match &serving {
                Some(served) => line.replace("http://127.0.0.1:8080", &served.url()).replace("curl ", "curl -f "),
                None => line,
            };
            let (out, err, code) = run(&bench, &server, &line);
            assert_eq!(code, 0, "{document}: `{line}`\n{out}{err}");
        }
        if document == "README.md" {
            assert!(lines.len() >= 5, "the README lost its commands: {lines:?}");
        }
    }
}
