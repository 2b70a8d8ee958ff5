//! The commands that show and change what is saved.

use serde_json::json;
use victor_tests::{ModelServer, Reply};

use crate::support::{Desk, write};

#[test]
fn help_and_version_need_nothing() {
    let desk = Desk::bare();
    let version = desk.run("--version").ends(0);
    assert!(version.out.starts_with("victor "));
    let help = desk.run("--help").ends(0);
    for command in ["chat", "run", "serve", "mcp", "workflow", "sessions", "tokens", "doctor"] {
        assert!(help.out.contains(command));
    }
    assert!(!desk.home().exists(), "nothing is written");
}

#[test]
fn json_is_offered_wherever_data_is_printed() {
    let desk = Desk::bare();
    for args in [
        "sessions list",
        "session search x",
        "providers list",
        "models list",
        "mcp list",
        "model list --provider openai",
        "tools list",
        "tool show read",
        "profiles list",
        "keys list",
        "workflow list",
        "workflows list --runs",
        "workflow status",
        "workflow show code_review",
        "workflow graph code-review",
        "config show",
        "config get model",
        "config path",
        "workspace untrust",
        "doctor",
    ] {
        let ended = desk.run(&format!("{args} --json"));
        assert!(ended.json().is_object() || ended.json().is_array(), "{args}: {ended:?}");
    }
    for args in ["config schema", "config schema --events"] {
        assert!(desk.run(args).ends(0).json()["properties"].is_object() || args.ends_with("events"), "{args}");
    }
    let logs = desk.run("logs --tail 100").ends(0);
    assert_eq!((logs.out, logs.err), (String::new(), String::new()), "an empty log is no error");
}

#[test]
fn sessions_are_shown_copied_rewound_exported_and_deleted() {
    let server = ModelServer::start([
        Reply::call("write", json!({"path": "a.txt", "content": "changed"})),
        Reply::text("Written."),
    ]);
    let desk = Desk::with(&server);
    desk.run("run write_it").ends(0);
    let id = desk.run("sessions list --json").json()[0]["id"].as_str().unwrap().to_owned();
    let short = &id[..18];
    assert!(desk.run(&format!("sessions show {short}")).ends(0).out.contains("Written."));
    assert!(desk.run("sessions search WRITTEN").ends(0).out.contains(&id));
    assert!(desk.run(&format!("sessions export {id}")).ends(0).out.starts_with("# "));
    let copy = desk.run(&format!("sessions fork {id}")).ends(0).out.trim().to_owned();
    desk.run(&format!("sessions delete {copy}")).ends(0);
    desk.run(&format!("sessions rewind {id} --to 0 --files")).ends(0);
    assert!(!desk.work().join("a.txt").exists(), "the file is taken back");
    desk.run(&format!("sessions rewind {id} --to 999")).ends(2);
    let missing = desk.run("sessions show nope").ends(1);
    assert!(missing.err.contains("no session `nope`"), "{missing:?}");
    assert_eq!(
        desk.run("sessions prune --older-than 1 --json").ends(0).json(),
        json!({"deleted": 0, "workflow_runs_deleted": 0})
    );
}

#[test]
fn a_tool_is_shown_with_the_schemas_of_its_arguments_and_of_its_answer() {
    let desk = Desk::bare();
    let shown = desk.run("tools show bash").ends(0).out;
    let (arguments, answer) = shown.split_once("its structured answer:").unwrap();
    assert!(arguments.contains("\"command\"") && answer.contains("\"exit_code\""), "{shown}");
    let spec: serde_json::Value = serde_json::from_str(&desk.run("tools show bash --json").ends(0).out).unwrap();
    let printed: serde_json::Value = serde_json::from_str(answer).unwrap();
    assert_eq!(printed, spec["output"]);
    assert!(!desk.run("tools show write").ends(0).out.contains("structured answer"));
}

#[test]
fn tools_are_called_with_the_same_checks() {
    let desk = Desk::bare();
    desk.file("a.txt", "hello\n");
    let mut call = desk.command("tools call read --json");
    call.arg(r#"{"path": "a.txt"}"#);
    let output = crate::support::Ended::of(call.output().unwrap()).ends(0);
    assert!(output.json()["output"].to_string().contains("hello"));
    desk.pipe("tools call bash -", r#"{"command": "true"}"#).ends(6);
    desk.pipe("tools call bash - --yes", r#"{"command": "true"}"#).ends(0);
    desk.pipe("tools call read -", r#"{"path": "/etc/passwd"}"#).ends(6);
    desk.pipe("tools call read -", "nonsense").ends(2);
    assert!(desk.run("tools call raed").ends(1).err.contains("`read`"));
}

#[test]
fn configuration_is_changed_and_its_errors_name_the_place() {
    let desk = Desk::bare();
    desk.run("config set model gpt-x").ends(0);
    assert_eq!(desk.run("config get model").ends(0).out, "gpt-x\n");
    let shown = desk.run("config show").ends(0).out;
    assert!(shown.contains("gpt-x") && shown.contains("config.yaml:1"), "{shown}");
    desk.run("config get provider").ends(1);
    assert!(desk.run("config set modle x").ends(3).err.contains("`model`"));
    write(&desk.home().join("config.yaml"), "model: x\nprovidr: openai\n");
    let broken = desk.run("run hi").ends(3);
    assert!(broken.err.contains("config.yaml:2") && broken.err.contains("`provider`"), "{broken:?}");
    desk.run("doctor").ends(1);
}

#[test]
fn profiles_are_saved_used_and_deleted() {
    let server = ModelServer::start([Reply::text("ok")]);
    let desk = Desk::with(&server);
    desk.run("profiles create quick --provider openai --model small --temperature 0.1").ends(0);
    desk.run("profiles create quick --model other").ends(3);
    desk.run("profiles create empty").ends(2);
    desk.run("profiles use quick").ends(0);
    desk.run("run hi").ends(0);
    assert_eq!(server.finish()[0].json["model"], "small");
    assert_eq!(desk.run("profiles show quick --json").ends(0).json()["temperature"], 0.1);
    desk.run("profiles delete quick").ends(0);
    assert!(desk.run("profiles show quick").ends(3).err.contains("quick"));
}

#[test]
fn keys_are_kept_unseen() {
    let desk = Desk::bare();
    let ended = desk.pipe("keys set openai", "sk-very-secret\n").ends(0);
    assert!(!ended.out.contains("secret") && !ended.err.contains("secret"));
    let listed = desk.run("keys list").ends(0).out;
    assert!(listed.contains("openai") && !listed.contains("secret"), "{listed}");
    desk.pipe("keys set openai", "").ends(2);
    assert!(desk.pipe("keys set opnai", "x\n").ends(3).err.contains("`openai`"));
    desk.run("keys delete openai").ends(0);
    desk.run("keys delete openai").ends(1);
}

#[test]
fn providers_are_tested() {
    let server = ModelServer::start([]);
    let desk = Desk::with(&server);
    desk.run("providers test openai").ends(0);
    let desk = Desk::bare();
    desk.run("providers test openai").ends(3);
    assert!(desk.run("providers test opnai").ends(3).err.contains("`openai`"));
}

#[test]
fn init_writes_to_the_home_only_and_only_once() {
    let desk = Desk::bare();
    desk.run("init").ends(3);
    let config = std::fs::read_to_string(desk.home().join("config.yaml")).unwrap();
    write(&desk.home().join("config.yaml"), &format!("{config}model: mine\n"));
    desk.run("init").ends(3);
    assert!(std::fs::read_to_string(desk.home().join("config.yaml")).unwrap().ends_with("model: mine\n"));
    assert_eq!(std::fs::read_dir(desk.work()).unwrap().count(), 0);
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(Desk::bare().run(&format!("completions {shell}")).ends(0).out.contains("victor"));
    }
}
