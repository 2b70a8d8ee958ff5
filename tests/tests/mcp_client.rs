//! MCP servers in an agent's run: permission, lazy starts, content, resources and prompts, through the built binary.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use rstest::rstest;
use serde_json::{Value, json};
use victor_tests::product::{Bench, built, refused, told};
use victor_tests::{ModelServer, Recorded, Reply};

/// A bench whose configuration has the scripted server as `s`, with this behaviour and these further keys.
fn bench(behaviour: &str, more: &str) -> Bench {
    let bench = Bench::new();
    configure(&bench, &[("s", behaviour)], more);
    bench
}

fn configure(bench: &Bench, servers: &[(&str, &str)], more: &str) {
    let mut text = "mcpServers:\n".to_owned();
    for (name, behaviour) in servers {
        let program = built("mcp_server");
        let work = bench.work();
        text += &format!(
            "  {name}: {{command: {program:?}, args: [{behaviour}], env: {{STARTS: {:?}, NOTES: {:?}}}{more}}}\n",
            work.join(format!("starts-{name}")),
            work.join("notes"),
        );
    }
    fs::write(bench.home().join("config.yaml"), text).unwrap();
}

fn starts(bench: &Bench) -> usize {
    fs::read_to_string(bench.work().join("starts-s")).unwrap_or_default().lines().count()
}

/// A run in which the model calls one tool; gives the model's requests, stderr and the exit code.
fn run(bench: &Bench, flags: &[&str], tool: &str, args: Value) -> (Vec<Recorded>, String, i32) {
    let server = ModelServer::start([Reply::call(tool, args), Reply::text("done")]);
    let (_, err, code) = told(&bench.with_model(&server, &[&["run", "hi"], flags].concat()).output().unwrap());
    (server.finish(), err, code)
}

fn result(requests: &[Recorded]) -> String {
    let message = requests[1].messages().iter().find(|m| m["role"] == "tool").unwrap();
    message["content"].as_str().map_or_else(|| message["content"].to_string(), ToOwned::to_owned)
}

#[rstest]
#[case::tool(&["--allow", "s__echo"])]
#[case::server(&["--allow", "s__*"])]
#[case::yes(&["--yes"])]
fn a_rule_or_a_yes_allows_a_servers_tool(#[case] flags: &[&str]) {
    let bench = bench("good", "");
    let (requests, err, code) = run(&bench, flags, "s__echo", json!({"text": "hello"}));
    assert_eq!(code, 0, "{err}");
    assert_eq!(result(&requests), "you said: hello");
    assert!(requests[0].json["tools"].to_string().contains("s__echo"));
}

#[test]
fn without_a_rule_it_is_denied_and_told_how_to_allow_it() {
    let bench = bench("good", "");
    let server = ModelServer::start_with(|_| Reply::call("s__echo", json!({"text": "x"})));
    let output = bench.with_model(&server, &["run", "hi"]).output().unwrap();
    refused(&output, 6, &["s__echo", "--allow 's__echo'", "--yes"]);
}

#[test]
fn a_rule_that_denies_beats_the_hint_that_it_only_reads_and_the_yes() {
    let bench = bench("good", "");
    let path = bench.home().join("config.yaml");
    let text = fs::read_to_string(&path).unwrap() + "permissions: {deny: [\"s__*\"]}\n";
    fs::write(path, text).unwrap();
    let (requests, err, code) = run(&bench, &["--yes"], "s__echo", json!({}));
    assert_eq!(code, 0, "{err}");
    assert!(result(&requests).contains("deny: s__*"), "{}", result(&requests));
}

#[rstest]
#[case::plan("plan")]
#[case::explore("explore")]
fn modes_that_only_read_offer_no_tool_of_a_server(#[case] mode: &str) {
    let bench = bench("good", "");
    let (requests, _, code) = run(&bench, &["--mode", mode, "--yes"], "s__echo", json!({}));
    assert_eq!(code, 0);
    assert!(!requests[0].json["tools"].to_string().contains("s__"), "{}", requests[0].json["tools"]);
    assert!(!result(&requests).contains("you said"), "{}", result(&requests));
}

#[test]
fn a_server_is_started_when_it_is_needed_and_its_tools_are_known_before() {
    let bench = bench("good", "");
    let server = ModelServer::start_with(|_| Reply::text("nothing to do"));
    for _ in 0..3 {
        let (_, err, code) = told(&bench.with_model(&server, &["run", "hi"]).output().unwrap());
        assert_eq!(code, 0, "{err}");
    }
    // Once, as nobody knew its tools.
    assert_eq!(starts(&bench), 1);
    assert!(server.requests()[2].json["tools"].to_string().contains("s__echo"));
    let (requests, _, _) = run(&bench, &["--yes"], "s__echo", json!({"text": "x"}));
    assert_eq!((starts(&bench), result(&requests).as_str()), (2, "you said: x"));
}

#[test]
fn a_disabled_server_and_tools_that_are_filtered_out_are_not_offered() {
    let bench = bench("good", ", tools: [\"e*\"]");
    let (out, ..) = told(&bench.victor(&["tools", "list", "--json"]).output().unwrap());
    assert!(out.contains("s__echo") && out.contains("s__env") && !out.contains("s__fail"), "{out}");
    configure(&bench, &[("s", "good")], ", disabled: true");
    let (out, ..) = told(&bench.victor(&["tools", "list", "--json"]).output().unwrap());
    assert!(!out.contains("s__"), "{out}");
    let (out, ..) = told(&bench.victor(&["mcp", "list"]).output().unwrap());
    assert!(out.contains("disabled"), "{out}");
}

#[test]
fn a_server_gets_few_variables_and_its_own() {
    let bench = bench("good", "");
    let server = ModelServer::start([Reply::call("s__env", json!({})), Reply::text("done")]);
    let mut victor = bench.with_model(&server, &["run", "hi", "--yes"]);
    victor.env("GITHUB_TOKEN", "secret").env("SOME_SETTING", "1");
    assert!(victor.output().unwrap().status.success());
    let said = result(&server.finish());
    let names: Vec<_> = said.split(' ').collect();
    assert!(names.contains(&"PATH") && names.contains(&"HOME") && names.contains(&"STARTS"), "{said}");
    assert!(!said.contains("TOKEN") && !said.contains("SETTING") && !said.contains("OPENAI"), "{said}");
}

#[test]
fn errors_pictures_and_progress_come_through() {
    let bench = bench("good", "");
    let (requests, ..) = run(&bench, &["--yes"], "s__fail", json!({}));
    assert!(result(&requests).contains("it cannot be done"));
    let (requests, ..) = run(&bench, &["--yes"], "s__picture", json!({}));
    assert!(requests[1].json["messages"].to_string().contains("data:image/png;base64,iVBORw0KGgo="));
    let server = ModelServer::start([Reply::call("s__slow", json!({})), Reply::text("done")]);
    let output = bench.with_model(&server, &["run", "hi", "--yes", "--json"]).output().unwrap();
    let (out, err, _) = told(&output);
    assert!(out.contains("tool_progress") && out.contains("3 of 3: working"), "{out}{err}");
}

#[test]
fn arguments_that_do_not_fit_never_reach_the_server() {
    let bench = bench("good", "");
    let (requests, ..) = run(&bench, &["--yes"], "s__echo", json!({"text": 7}));
    assert!(result(&requests).contains("do not fit"), "{}", result(&requests));
}

#[test]
fn a_folders_file_starts_nothing_until_it_is_trusted() {
    let bench = Bench::new();
    let file = json!({"mcpServers": {"s": {"command": built("mcp_server"), "args": ["good"],
        "env": {"STARTS": bench.work().join("starts-s")}, "alwaysAllow": ["echo"]}}});
    bench.file(".mcp.json", file.to_string());
    let (_, err, _) = run(&bench, &["--yes"], "s__echo", json!({"text": "x"}));
    assert!(err.contains("not trusted") && err.contains(".mcp.json"), "{err}");
    let (out, ..) = told(&bench.victor(&["mcp", "list", "--json"]).output().unwrap());
    assert_eq!((starts(&bench), out.as_str()), (0, "[]\n"));
    let (requests, err, _) = run(&bench, &["--yes", "--trust"], "s__echo", json!({"text": "x"}));
    assert_eq!(result(&requests), "you said: x");
    assert!(err.contains("`s.alwaysAllow` means nothing here"), "{err}");
    assert!(bench.victor(&["workspace", "trust"]).status().unwrap().success());
    let (requests, ..) = run(&bench, &["--yes"], "s__echo", json!({"text": "y"}));
    assert_eq!(result(&requests), "you said: y");
    // Changed since: nobody has agreed to this one.
    bench.file(".mcp.json", file.to_string().replace("good", "good2"));
    let before = starts(&bench);
    let (_, err, _) = run(&bench, &["--yes"], "s__echo", json!({}));
    assert!(err.contains("has changed") && starts(&bench) == before, "{err}");
}

#[test]
fn servers_are_added_listed_tested_and_removed() {
    let bench = Bench::new();
    let program = built("mcp_server").display().to_string();
    let ok = |args: &[&str]| {
        let (out, err, code) = told(&bench.victor(args).output().unwrap());
        assert_eq!(code, 0, "{args:?}: {err}");
        out
    };
    ok(&["mcp", "add", "mine", "--env", "A=b", "--", &program, "good"]);
    ok(&["mcp", "add", "far", "--url", "http://127.0.0.1:9/mcp", "--header", "X-Key: ${UNSET_KEY}"]);
    let listed: Value = serde_json::from_str(&ok(&["mcp", "list", "--json"])).unwrap();
    assert_eq!(listed[1]["state"], "not_started", "{listed}");
    assert!(listed[1]["place"].as_str().unwrap().contains("config.yaml:"), "{listed}");
    assert_eq!(
        (&listed[0]["state"], listed[0]["reason"].as_str().unwrap().contains("UNSET_KEY")),
        (&json!("failed"), true)
    );
    let tested: Value = serde_json::from_str(&ok(&["mcp", "test", "mine", "--json"])).unwrap();
    assert_eq!(tested["server"]["prompts"][0]["name"], "greet", "{tested}");
    assert!(ok(&["mcp", "list"]).contains("not started"));
    refused(&bench.victor(&["mcp", "test", "far"]).output().unwrap(), 1, &["UNSET_KEY"]);
    refused(&bench.victor(&["mcp", "test", "mien"]).output().unwrap(), 1, &["did you mean `mine`"]);
    refused(&bench.victor(&["mcp", "add", "mine", "--", "x"]).output().unwrap(), 2, &["--force"]);
    refused(&bench.victor(&["mcp", "add", "none"]).output().unwrap(), 2, &["--url"]);
    ok(&["mcp", "remove", "mine"]);
    ok(&["mcp", "remove", "far"]);
    refused(&bench.victor(&["mcp", "remove", "mine"]).output().unwrap(), 1, &["mine"]);
    ok(&["mcp", "add", "here", "--scope", "project", "--", &program, "good"]);
    let file: Value = serde_json::from_str(&fs::read_to_string(bench.work().join(".mcp.json")).unwrap()).unwrap();
    assert_eq!(file["mcpServers"]["here"]["args"], json!(["good"]));
    ok(&["mcp", "remove", "here", "--scope", "project"]);
}

#[test]
fn a_chat_shows_resources_and_says_prompts_of_a_server() {
    let bench = bench("good", "");
    let server = ModelServer::start_with(|_| Reply::text("Noted."));
    let mut victor = bench.with_model(&server, &["chat"]);
    victor.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = victor.spawn().unwrap();
    let lines = "what is in @s:note://today?\n/s:greet who=\"Ada L\"\n/s:greet\n/s:gret\n/mcp\n";
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let (out, err, _) = told(&child.wait_with_output().unwrap());
    let requests = server.requests();
    assert_eq!(requests.len(), 2, "{out}{err}");
    let said = |n: usize| requests[n].messages().last().unwrap()["content"].to_string();
    assert!(said(0).contains("Buy milk.") && said(0).contains("s:note://today"), "{}", said(0));
    assert!(said(1).contains("Greet Ada L."), "{}", said(1));
    assert!(err.contains("the prompt needs who=..") && err.contains("did you mean `greet`"), "{err}");
    assert!(out.contains("running"), "{out}");
}

#[test]
fn without_network_no_server_is_used() {
    let bench = bench("good", "");
    let output = bench.victor(&["tools", "list"]).env("VICTOR_AIRGAPPED_MODE", "1").output().unwrap();
    let (out, err, code) = told(&output);
    assert!(code == 0 && !out.contains("s__"), "{out}{err}");
    assert!(err.contains("no MCP server is used"), "{err}");
    assert_eq!(starts(&bench), 0);
}
