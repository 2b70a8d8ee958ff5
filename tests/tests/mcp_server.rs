//! `victor mcp` on stdio, as an MCP client starts it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::process::Command;
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use victor_tests::pipes::Piped;
use victor_tests::product::{Bench, refused, told};
use victor_tests::{ModelServer, Reply};

fn mcp(bench: &Bench, env: &[(&str, &str)]) -> Command {
    let mut command = bench.victor(&["mcp", "--stdio"]);
    command.envs(env.iter().copied());
    command
}

fn tools(server: &mut Piped) -> Vec<String> {
    let listed = server.ask("tools/list", &json!({}));
    let tools = listed["result"]["tools"].as_array().unwrap();
    tools.iter().map(|t| t["name"].as_str().unwrap().to_owned()).collect()
}

/// Whether a process with this command line runs.
fn runs(line: &str) -> bool {
    Command::new("pgrep").args(["-fx", line]).output().unwrap().status.success()
}

fn until(what: impl Fn() -> bool) -> bool {
    (0..400).any(|_| {
        what() || {
            std::thread::sleep(Duration::from_millis(25));
            false
        }
    })
}

fn accept(decision: &str) -> Value {
    json!({"action": "accept", "content": {"decision": decision}})
}

#[test]
fn a_client_shakes_hands_lists_and_reads() {
    let bench = Bench::new();
    bench.file("a.txt", "hello\n");
    let mut server = Piped::greeted(mcp(&bench, &[]), &json!({}));
    let names = tools(&mut server);
    for name in ["read", "write", "edit", "ls", "grep", "find_files", "bash", "git_status", "run_agent", "run_status"] {
        assert!(names.contains(&name.to_owned()), "{name}: {names:?}");
    }
    assert_eq!(server.text("read", &json!({"path": "a.txt"})), "     1\thello\n");
    let found = server.call("find_files", &json!({"pattern": "*.txt"}));
    assert_eq!(found["structuredContent"]["files"], json!(["a.txt"]));
    assert_eq!(server.close().0, 0);
}

#[test]
fn annotations_say_what_tools_do() {
    let bench = Bench::new();
    let mut server = Piped::greeted(mcp(&bench, &[]), &json!({}));
    let listed = server.ask("tools/list", &json!({}));
    assert!(!listed.to_string().contains("uint"), "formats that validators do not know");
    let of = |name: &str| {
        let all = listed["result"]["tools"].as_array().unwrap();
        all.iter().find(|t| t["name"] == name).unwrap()["annotations"].clone()
    };
    assert_eq!((&of("read")["readOnlyHint"], &of("read")["openWorldHint"]), (&json!(true), &json!(false)));
    assert_eq!((&of("write")["readOnlyHint"], &of("write")["destructiveHint"]), (&json!(false), &json!(true)));
    assert_eq!((&of("run_agent")["readOnlyHint"], &of("run_agent")["openWorldHint"]), (&json!(false), &json!(true)));
}

#[test]
fn wrong_calls_are_told_so_that_they_can_be_mended() {
    let bench = Bench::new();
    let mut server = Piped::greeted(mcp(&bench, &[]), &json!({}));
    let unknown = server.ask("tools/call", &json!({"name": "reda", "arguments": {}}));
    assert_eq!(unknown["error"]["code"], -32602);
    assert!(unknown["error"]["message"].as_str().unwrap().contains("did you mean `read`"), "{unknown}");
    let bad = server.call("read", &json!({"pth": "x"}));
    assert_eq!(bad["isError"], true);
    let shapeless = server.ask("tools/call", &json!({"name": 3}));
    assert_eq!(shapeless["error"]["code"], -32602, "{shapeless}");
    assert_eq!(server.ask("no/such", &json!({}))["error"]["code"], -32601);
}

// Asking.

#[test]
fn a_command_is_asked_about_and_runs_only_after_a_yes() {
    let bench = Bench::new();
    let mut server = Piped::greeted(mcp(&bench, &[]), &json!({"elicitation": {}}));
    let call = json!({"name": "bash", "arguments": {"command": "touch made"}});
    for answer in
        [json!({"action": "decline"}), json!({"action": "cancel"}), json!({"action": "accept"}), accept("deny")]
    {
        let answered = server.ask_answering("tools/call", &call, &mut |_| answer.clone());
        assert_eq!(answered["result"]["isError"], true, "{answer}: {answered}");
        assert!(!bench.work().join("made").exists(), "{answer}");
    }
    let mut asked = String::new();
    let answered = server.ask_answering("tools/call", &call, &mut |question| {
        asked = question["params"]["message"].as_str().unwrap().to_owned();
        accept("allow once")
    });
    assert_eq!(answered["result"]["structuredContent"]["exit_code"], 0, "{answered}");
    assert!(asked.contains("touch made") && bench.work().join("made").exists(), "{asked}");
}

#[test]
fn a_yes_for_the_session_holds_for_the_same_command_alone() {
    let bench = Bench::new();
    let mut server = Piped::greeted(mcp(&bench, &[]), &json!({"elicitation": {"form": {}}}));
    let mut questions = 0;
    for command in ["echo one", "echo one", "echo two"] {
        let call = json!({"name": "bash", "arguments": {"command": command}});
        server.ask_answering("tools/call", &call, &mut |_| {
            questions += 1;
            accept("allow for this session")
        });
    }
    assert_eq!(questions, 2);
}

#[test]
fn a_client_that_cannot_ask_is_told_what_to_write_where() {
    let bench = Bench::new();
    let mut server = Piped::greeted(mcp(&bench, &[]), &json!({}));
    let said = server.text("bash", &json!({"command": "touch made"}));
    assert!(said.contains(r#""VICTOR_ALLOW": "bash(touch made)""#) && said.contains("--yes"), "{said}");
    assert!(!bench.work().join("made").exists());
}

#[rstest]
#[case::variable(&[], &[("VICTOR_ALLOW", "bash(touch *)")])]
#[case::flag(&["--allow", "bash(touch *)"], &[])]
#[case::yes(&["--yes"], &[])]
fn what_the_entry_allows_runs(#[case] flags: &[&str], #[case] env: &[(&str, &str)]) {
    let bench = Bench::new();
    let mut command = bench.victor(&[&["mcp", "--stdio"], flags].concat());
    command.envs(env.iter().copied());
    let mut server = Piped::greeted(command, &json!({}));
    assert_eq!(server.call("bash", &json!({"command": "touch made"}))["isError"], false);
    assert!(bench.work().join("made").exists());
}

#[test]
fn a_mode_that_only_reads_offers_and_runs_nothing_else() {
    let bench = Bench::new();
    let mut server = Piped::greeted(bench.victor(&["mcp", "--stdio", "--mode", "explore", "--yes"]), &json!({}));
    let names = tools(&mut server);
    assert!(names.contains(&"read".to_owned()) && !names.contains(&"write".to_owned()), "{names:?}");
    assert_eq!(server.call("write", &json!({"path": "made", "content": "x"}))["isError"], true);
    assert!(!bench.work().join("made").exists());
}

#[test]
fn in_the_newer_form_a_question_is_an_answer_and_its_yes_fits_nothing_else() {
    let bench = Bench::new();
    let mut server = Piped::stateless(mcp(&bench, &[]), &json!({"elicitation": {"form": {}}}));
    let asked = server.call("bash", &json!({"command": "touch made"}));
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let state = asked["requestState"].as_str().unwrap().to_owned();
    let with = |command: &str, state: &str| {
        json!({
            "name": "bash", "arguments": {"command": command}, "requestState": state,
            "inputResponses": {"approval": accept("allow once")},
        })
    };
    let other = server.ask("tools/call", &with("touch other", &state));
    assert_eq!(other["result"]["resultType"], "input_required", "{other}");
    let forged = server.ask("tools/call", &with("touch made", &format!("{state}x")));
    assert_eq!(forged["error"]["code"], -32602, "{forged}");
    assert!(!bench.work().join("made").exists() && !bench.work().join("other").exists());
    let done = server.ask("tools/call", &with("touch made", &state));
    assert_eq!(done["result"]["isError"], false, "{done}");
    assert!(bench.work().join("made").exists());
}

// Limits.

#[test]
fn the_tools_can_be_narrowed_and_a_wrong_name_is_a_warning() {
    let bench = Bench::new();
    let mut server = Piped::greeted(mcp(&bench, &[("VICTOR_MCP_TOOLS", "git,rea*,nonsense")]), &json!({}));
    assert_eq!(tools(&mut server), ["git_diff", "git_log", "git_status", "read"]);
    let hidden = server.ask("tools/call", &json!({"name": "write", "arguments": {"path": "x", "content": "x"}}));
    assert_eq!(hidden["error"]["code"], -32602);
    let (_, said) = server.close();
    assert!(said.contains("`nonsense` is neither a tool nor a category"), "{said}");
    let (log, ..) = told(&bench.victor(&["logs"]).output().unwrap());
    assert!(log.contains("nonsense"), "{log}");
}

#[test]
fn denied_paths_are_denied_to_every_tool_and_resource() {
    let bench = Bench::new();
    bench.file("secret/key", "top\n");
    bench.file("a.pem", "top\n");
    bench.file("deep/er/b.pem", "top\n");
    let denied = format!("{}:*.pem", bench.work().join("secret").display());
    let mut server = Piped::greeted(mcp(&bench, &[("VICTOR_DENIED_PATHS", &denied)]), &json!({}));
    for (tool, arguments) in [
        ("read", json!({"path": "secret/key"})),
        ("read", json!({"path": "a.pem"})),
        ("read", json!({"path": "deep/er/b.pem"})),
        ("write", json!({"path": "secret/new", "content": "x"})),
        ("grep", json!({"pattern": "top"})),
    ] {
        let said = server.call(tool, &arguments).to_string();
        assert!(
            said.contains("VICTOR_DENIED_PATHS") || said.contains("kept out by permission rules"),
            "{tool}: {said}"
        );
        assert!(!said.contains("top\\n"), "{tool}: {said}");
    }
    let listed = server.ask("resources/list", &json!({})).to_string();
    assert!(!listed.contains("key") && !listed.contains("pem"), "{listed}");
    let uri = format!("file://{}", bench.work().join("secret/key").display());
    assert!(server.ask("resources/read", &json!({"uri": uri})).get("error").is_some());
}

#[test]
fn allowed_paths_are_the_workspace_and_nothing_else_is() {
    let bench = Bench::new();
    bench.file("in/a", "in\n");
    bench.file("also/b", "also\n");
    bench.file("out/c", "out\n");
    let of = |name: &str| bench.work().join(name).display().to_string();
    let allowed = format!("{}:{}", of("in"), of("also"));
    let mut server = Piped::greeted(mcp(&bench, &[("VICTOR_ALLOWED_PATHS", &allowed)]), &json!({}));
    assert!(server.text("read", &json!({"path": "a"})).contains("in"));
    assert!(server.text("read", &json!({"path": format!("{}/b", of("also"))})).contains("also"));
    assert!(server.text("read", &json!({"path": format!("{}/c", of("out"))})).contains("outside the workspace"));
    drop(server);
    let out = of("out");
    let env = [("VICTOR_ALLOWED_PATHS", allowed.as_str()), ("VICTOR_WORKSPACE", out.as_str())];
    refused(&mcp(&bench, &env).output().unwrap(), 3, &["VICTOR_ALLOWED_PATHS"]);
}

#[test]
fn without_network_nothing_speaks_to_other_machines() {
    let bench = Bench::new();
    let mut command = bench.victor(&["mcp", "--stdio", "--yes"]);
    command.env("VICTOR_AIRGAPPED_MODE", "true").env("ANTHROPIC_API_KEY", "test-key");
    let mut server = Piped::greeted(command, &json!({}));
    let said = server.text("bash", &json!({"command": "true", "network": true}));
    assert!(said.contains("VICTOR_AIRGAPPED_MODE"), "{said}");
    assert_eq!(server.call("bash", &json!({"command": "true"}))["isError"], false);
    let said = server.text("run_agent", &json!({"task": "hi", "provider": "anthropic"}));
    assert!(said.contains("VICTOR_AIRGAPPED_MODE"), "{said}");
    drop(server);
    let output = mcp(&bench, &[("VICTOR_AIRGAPPED_MODE", "perhaps")]).output().unwrap();
    refused(&output, 3, &["VICTOR_AIRGAPPED_MODE", "perhaps"]);
}

#[test]
fn without_network_a_model_on_this_machine_still_serves() {
    let (bench, model) = (Bench::new(), ModelServer::start([Reply::text("Here.")]));
    let mut command = bench.with_model(&model, &["mcp", "--stdio"]);
    command.env("VICTOR_AIRGAPPED_MODE", "1");
    let mut server = Piped::greeted(command, &json!({}));
    assert_eq!(server.text("run_agent", &json!({"task": "hi"})), "Here.");
    model.finish();
}

// The workspace.

#[rstest]
#[case::root("/")]
#[case::system("/usr/lib")]
#[case::home("HOME")]
fn where_nobody_works_no_file_is_reachable_and_the_tools_say_what_to_do(#[case] folder: &str) {
    let bench = Bench::new();
    let home = bench.work().parent().unwrap().to_owned();
    let mut command = mcp(&bench, &[("VICTOR_ALLOW", "bash")]);
    command.current_dir(if folder == "HOME" { home.as_path() } else { std::path::Path::new(folder) });
    let mut server = Piped::greeted(command, &json!({}));
    for (tool, arguments) in [
        ("read", json!({"path": "/etc/passwd"})),
        ("ls", json!({})),
        ("write", json!({"path": "x", "content": "x"})),
        ("grep", json!({"pattern": "x"})),
        ("bash", json!({"command": "ls"})),
        ("git_status", json!({})),
    ] {
        let said = server.text(tool, &arguments);
        assert!(said.contains(r#""env": {"VICTOR_WORKSPACE": "/path/to/your/project"}"#), "{tool}: {said}");
    }
    let listed = server.ask("resources/list", &json!({}));
    assert_eq!(listed["result"]["resources"], json!([]), "{listed}");
}

#[test]
fn the_folders_that_a_client_names_count_where_nobody_named_others() {
    let bench = Bench::new();
    bench.file("project/a.txt", "from the project\n");
    let root = format!("file://{}", bench.work().join("project").display());
    let mut names = |question: &Value| {
        assert_eq!(question["method"], "roots/list", "{question}");
        json!({"roots": [{"uri": "file:///"}, {"uri": root}]})
    };
    let mut command = mcp(&bench, &[]);
    command.current_dir("/");
    let mut server = Piped::greeted(command, &json!({"roots": {}}));
    let call = json!({"name": "read", "arguments": {"path": "a.txt"}});
    let answer = server.ask_answering("tools/call", &call, &mut names);
    assert!(answer.to_string().contains("from the project"), "{answer}");
    let named = bench.work().display().to_string();
    let mut server = Piped::greeted(mcp(&bench, &[("VICTOR_WORKSPACE", &named)]), &json!({"roots": {}}));
    assert!(server.text("read", &json!({"path": "project/a.txt"})).contains("from the project"));
}

// Hostile input, and ends.

#[test]
fn nothing_that_a_client_writes_ends_the_connection() {
    let bench = Bench::new();
    let mut server = Piped::greeted(mcp(&bench, &[]), &json!({}));
    let deep = format!("{}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    for (line, code) in [
        ("garbage\n", -32700),
        ("\u{feff}{\n", -32700),
        ("[]\n", -32600),
        ("3\n", -32600),
        (deep.as_str(), -32700),
        ("{\"id\": 1, \"method\": \"ping\"}\n", -32600),
        ("{\"jsonrpc\": \"2.0\", \"id\": 1.5, \"method\": \"ping\"}\n", -32600),
        ("{\"jsonrpc\": \"2.0\", \"id\": {}, \"method\": \"ping\"}\n", -32600),
        ("{\"jsonrpc\": \"2.0\", \"id\": null, \"method\": \"ping\"}\n", -32600),
        ("{\"jsonrpc\": \"2.0\", \"id\": \"n\", \"method\": \"notifications/initialized\"}\n", -32601),
    ] {
        server.write(line.as_bytes());
        let said = server.message();
        assert_eq!(said["error"]["code"], code, "{}: {said}", &line[..line.len().min(60)]);
    }
    server.write(b"\n\r\n\xff\xfe\n");
    assert_eq!(server.message()["error"]["code"], -32700);
    // Requests that are notifications, and answers to nothing, are passed over.
    server.write(
        b"{\"jsonrpc\": \"2.0\", \"method\": \"tools/list\"}\n{\"jsonrpc\": \"2.0\", \"id\": 7, \"result\": {}}\n",
    );
    for id in [json!("a string"), json!(-3), json!(9_007_199_254_740_991_i64), json!("")] {
        server.send(&json!({"id": id, "method": "ping"}));
        assert_eq!(server.message()["id"], id);
    }
    assert_eq!(server.close().0, 0);
}

#[test]
fn a_line_of_fifty_megabytes_is_refused_and_not_kept() {
    let bench = Bench::new();
    let mut server = Piped::greeted(mcp(&bench, &[]), &json!({}));
    server.write(b"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"");
    let piece = vec![b'a'; 1 << 20];
    (0..50).for_each(|_| server.write(&piece));
    server.write(b"\"}\n");
    assert_eq!(server.message()["error"]["code"], -32600);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 160_000, "{peak} kB");
    assert!(server.ask("ping", &json!({})).get("result").is_some());
}

#[test]
fn before_the_handshake_requests_are_answered_and_all_else_is_passed_over() {
    let bench = Bench::new();
    let mut server = Piped::start(mcp(&bench, &[]));
    server.send(&json!({"method": "notifications/initialized"}));
    server.send(&json!({"id": 5, "result": {}}));
    assert!(server.ask("ping", &json!({})).get("result").is_some());
    assert_eq!(server.ask("tools/list", &json!({}))["error"]["code"], -32602);
    let hello =
        json!({"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    assert_eq!(server.ask("initialize", &hello)["result"]["protocolVersion"], "2024-11-05");
    assert!(!tools(&mut server).is_empty());
}

#[test]
fn a_cancelled_call_ends_its_program() {
    let bench = Bench::new();
    let mut server = Piped::greeted(mcp(&bench, &[("VICTOR_ALLOW", "bash(sleep *)")]), &json!({}));
    let id = server.begin("tools/call", &json!({"name": "bash", "arguments": {"command": "sleep 7001"}}));
    assert!(until(|| runs("sleep 7001")));
    server.send(&json!({"method": "notifications/cancelled", "params": {"requestId": id}}));
    assert!(until(|| !runs("sleep 7001")));
    assert!(server.ask("ping", &json!({})).get("result").is_some());
}

#[test]
fn a_closed_stdin_leaves_nothing_behind() {
    let bench = Bench::new();
    let mut server = Piped::greeted(mcp(&bench, &[("VICTOR_ALLOW", "bash(sleep *)")]), &json!({}));
    server.begin("tools/call", &json!({"name": "bash", "arguments": {"command": "sleep 7002 & sleep 7003"}}));
    assert!(until(|| runs("sleep 7002") && runs("sleep 7003")));
    assert_eq!(server.close().0, 0);
    assert!(!runs("sleep 7002") && !runs("sleep 7003"));
}

#[test]
fn what_was_asked_before_stdin_closed_is_answered() {
    let bench = Bench::new();
    bench.file("a.txt", "hello\n");
    let hello =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let lines = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "read", "arguments": {"path": "a.txt"}}}),
    ];
    bench.file("in.jsonl", lines.map(|l| format!("{l}\n")).concat());
    let mut command = mcp(&bench, &[]);
    command.stdin(std::fs::File::open(bench.work().join("in.jsonl")).unwrap());
    let (out, err, code) = told(&command.output().unwrap());
    assert_eq!((code, out.lines().count()), (0, 2), "{out}{err}");
    assert!(out.contains("hello"), "{out}");
}

#[test]
fn on_a_terminal_or_with_nonsense_it_says_what_to_do() {
    let bench = Bench::new();
    let (_, err, code) = told(&bench.victor(&["mcp", "--log-level", "loud"]).output().unwrap());
    assert!(code == 2 && err.contains("debug"), "{err}");
    refused(&bench.victor(&["mcp", "--http", "0.0.0.0:0"]).output().unwrap(), 3, &["VICTOR_API_KEY"]);
}

#[test]
fn a_client_s_file_is_written_and_all_else_in_it_kept() {
    let bench = Bench::new();
    bench.file("c.json", r#"{"theme": "dark", "mcpServers": {"other": {"command": "x"}}}"#);
    let args = ["mcp", "install", "claude-desktop", "--file", "c.json"];
    let (out, err, code) = told(&bench.victor(&args).output().unwrap());
    assert!(code == 2 && out.contains("+") && err.contains("--yes"), "{out}{err}");
    let (_, err, code) = told(&bench.victor(&[&args[..], &["--yes"]].concat()).output().unwrap());
    assert_eq!(code, 0, "{err}");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(bench.work().join("c.json")).unwrap()).unwrap();
    assert_eq!((&file["theme"], &file["mcpServers"]["other"]["command"]), (&json!("dark"), &json!("x")));
    let entry = &file["mcpServers"]["victor"];
    assert_eq!(entry["env"]["VICTOR_WORKSPACE"], json!(bench.work().canonicalize().unwrap()));
    // The entry starts a server that works.
    let args: Vec<&str> = entry["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    let mut command = bench.program(std::path::Path::new(entry["command"].as_str().unwrap()));
    command.args(args).current_dir("/").env("VICTOR_WORKSPACE", entry["env"]["VICTOR_WORKSPACE"].as_str().unwrap());
    let mut server = Piped::greeted(command, &json!({}));
    assert!(server.text("ls", &json!({})).contains("c.json"));
}
