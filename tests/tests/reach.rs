//! How far file tools and commands reach, whatever rules and flags say, through the built binary.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use serde_json::json;
use victor_tests::product::{Bench, told};
use victor_tests::{ModelServer, Reply};

/// What a call says, and its exit code.
fn call(
    bench: &Bench,
    tool: &str,
    arguments: &serde_json::Value,
    flags: &[&str],
    env: &[(&str, &str)],
) -> (String, i32) {
    let arguments = arguments.to_string();
    let mut victor = bench.victor(&[&["tools", "call", tool, arguments.as_str()], flags].concat());
    let (out, err, code) = told(&victor.envs(env.iter().copied()).output().unwrap());
    (out + &err, code)
}

#[test]
fn what_victor_keeps_secret_is_not_read_in_passing_either() {
    let bench = Bench::new();
    let home = bench.home();
    fs::write(home.join("keys.yaml"), "groq: hunter2\n").unwrap();
    fs::create_dir_all(home.join("mcp")).unwrap();
    fs::write(home.join("mcp/tokens.json"), "{\"token\": \"hunter3\"}").unwrap();
    let flags = ["--add-dir", home.to_str().unwrap(), "--allow", "grep", "--allow", "read"];
    for (tool, arguments) in [
        ("grep", json!({"pattern": "hunter", "path": home, "hidden": true})),
        ("read", json!({"path": home.join("keys.yaml")})),
        ("read", json!({"path": home.join("mcp/tokens.json")})),
    ] {
        let (said, _) = call(&bench, tool, &arguments, &flags, &[]);
        assert!(!said.contains("hunter2") && !said.contains("hunter3"), "{tool} {arguments}: {said}");
    }
    let keys = home.join("keys.yaml").display().to_string();
    let server = ModelServer::start([]);
    let (_, err, code) = told(&bench.with_model(&server, &["run", "hi", "--attach", &keys]).output().unwrap());
    assert!(code != 0 && err.contains("keys.yaml"), "{code}: {err}");
    server.finish();
    // Nobody is asked about programs because of that: the sandbox keeps them from it.
    assert_eq!(call(&bench, "bash", &json!({"command": "echo fine"}), &["--allow", "bash(echo *)"], &[]).1, 0);
}

#[test]
fn denied_names_are_denied_in_every_open_folder() {
    let (bench, other) = (Bench::new(), tempfile::tempdir().unwrap());
    fs::create_dir_all(other.path().join("config")).unwrap();
    fs::write(other.path().join(".env"), "hunter2\n").unwrap();
    fs::write(other.path().join("config/secret"), "hunter2\n").unwrap();
    let flags = ["--add-dir", other.path().to_str().unwrap()];
    for (denied, path) in [
        ("**/.env", ".env"),
        (".env", ".env"),
        ("*env", ".env"),
        ("./.env", ".env"),
        ("config/secret", "config/secret"),
        ("config", "config/secret"),
        ("config//secret", "config/secret"),
        ("other/../config/./secret", "config/secret"),
    ] {
        let env = [("VICTOR_DENIED_PATHS", denied)];
        let (said, code) = call(&bench, "read", &json!({"path": other.path().join(path)}), &flags, &env);
        assert!(code != 0 && !said.contains("hunter2"), "{denied}: {said}");
        let (said, _) =
            call(&bench, "grep", &json!({"pattern": "hunter", "path": other.path(), "hidden": true}), &flags, &env);
        assert!(!said.contains(&format!("{path}:1")), "{denied}: {said}");
    }
}

#[test]
fn no_rule_opens_what_the_allowed_paths_leave_out() {
    let (bench, other) = (Bench::new(), tempfile::tempdir().unwrap());
    let (file, made) = (other.path().join("a.txt"), other.path().join("made"));
    fs::write(&file, "hunter2\n").unwrap();
    let rules = [format!("read({}/**)", other.path().display()), format!("write({}/**)", other.path().display())];
    let flags = ["--allow", &rules[0], "--allow", &rules[1]];
    let work = bench.work().display().to_string();
    for env in [&[("VICTOR_ALLOWED_PATHS", work.as_str())][..], &[]] {
        let open = env.is_empty();
        let (said, code) = call(&bench, "read", &json!({"path": file}), &flags, env);
        assert_eq!((said.contains("hunter2"), code == 0), (open, open), "{said}");
        call(&bench, "write", &json!({"path": made, "content": "x"}), &flags, env);
        assert_eq!(made.exists(), open);
    }
}

#[test]
fn commands_of_a_review_change_no_file() {
    let bench = Bench::new();
    bench.file("a.txt", "one\n");
    let command = "cat a.txt; touch made; echo two >> a.txt; true";
    let replies = [Reply::call("bash", json!({"command": command})), Reply::text("done")];
    for flags in [&["--yes"][..], &["--allow", "bash(*)"], &["--yes", "--sandbox", "off"]] {
        let server = ModelServer::start(replies.clone());
        let mut victor = bench.with_model(&server, &[&["run", "hi", "--mode", "review"], flags].concat());
        let (_, err, _) = told(&victor.output().unwrap());
        server.finish();
        assert!(!bench.work().join("made").exists(), "{flags:?}: {err}");
        assert_eq!(fs::read_to_string(bench.work().join("a.txt")).unwrap(), "one\n", "{flags:?}: {err}");
    }
}
