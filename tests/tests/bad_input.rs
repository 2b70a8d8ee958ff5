//! Bad input from outside: what is wrong ends with the right exit code, a message that helps, and clean output.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rstest::rstest;
use victor_tests::product::{Bench, built, refused, sessions, told};
use victor_tests::{ModelServer, Reply};

// Names, keys and folders.

#[test]
fn without_any_key_it_says_which_to_set() {
    let bench = Bench::new();
    let output = bench.victor(&["run", "hi"]).output().unwrap();
    refused(&output, 3, &["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "victor keys set"]);
    assert!(sessions(&bench).is_empty());
}

#[rstest]
#[case::provider_without_key(&["--provider", "anthropic"], 3, &["ANTHROPIC_API_KEY", "victor keys set anthropic"])]
#[case::provider(&["--provider", "opnai"], 3, &["`opnai`", "`openai`", "victor providers list"])]
#[case::profile(&["--profile", "nix"], 3, &["unknown profile `nix`"])]
#[case::tool(&["--tools", "reed,grep"], 3, &["`reed`", "`read`"])]
#[case::mode(&["--mode", "plam"], 2, &["plam", "plan"])]
#[case::rule(&["--allow", "bash("], 3, &["--allow", "`bash(`", "bash(cargo test*)"])]
#[case::workspace(&["--workspace", "/nonexistent"], 3, &["`/nonexistent`", "No such file"])]
#[case::workspace_file(&["--workspace", "/etc/passwd"], 3, &["/etc/passwd", "not a folder"])]
#[case::added(&["--add-dir", "/nonexistent"], 3, &["--add-dir", "/nonexistent"])]
#[case::attached(&["--attach", "nope.txt"], 2, &["nope.txt", "No such file"])]
#[case::attached_folder(&["--attach", "."], 2, &["is no file"])]
#[case::attached_binary(&["--attach", "/bin/sh"], 2, &["/bin/sh", "neither a text"])]
#[case::no_schema(&["--output-schema", "nope.json"], 2, &["nope.json"])]
#[case::session(&["--session", "nix"], 1, &["no session `nix`", "victor sessions list"])]
#[case::temperature(&["--temperature", "9"], 2, &["not between 0 and 2"])]
#[case::cost(&["--max-cost", "-1"], 2, &["--max-cost", "not between"])]
#[case::turns(&["--max-turns", "0"], 2, &["--max-turns"])]
#[case::price(&["--model", "home-made", "--max-cost", "1"], 3, &["price", "home-made"])]
fn wrong_arguments_end_before_the_model_is_called(#[case] args: &[&str], #[case] code: i32, #[case] words: &[&str]) {
    let (bench, server) = (Bench::new(), ModelServer::start([]));
    let output = bench.with_model(&server, &[&["run", "hi"], args].concat()).output().unwrap();
    refused(&output, code, words);
    assert!(sessions(&bench).is_empty());
    assert!(server.finish().is_empty());
}

#[rstest]
#[case::no_json("{", 2, "no JSON")]
#[case::no_object("[1]", 2, "no JSON Schema of an object")]
#[case::no_schema(r#"{"type": "objekt"}"#, 3, "no JSON Schema")]
fn a_broken_output_schema_ends_before_the_model_is_called(#[case] text: &str, #[case] code: i32, #[case] words: &str) {
    let (bench, server) = (Bench::new(), ModelServer::start([]));
    bench.file("form.json", text);
    let output = bench.with_model(&server, &["run", "hi", "--output-schema", "form.json"]).output().unwrap();
    refused(&output, code, &[words, "form"]);
    server.finish();
}

#[test]
fn an_answer_has_to_fit_the_output_schema() {
    let schema = r#"{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}"#;
    let (bench, wrong) = (Bench::new(), Reply::text(r#"{"a": "x"}"#));
    bench.file("form.json", schema);
    let args = ["run", "hi", "--output-schema", "form.json"];

    let server = ModelServer::start([wrong.clone(), Reply::text(r#"{"a": 3}"#)]);
    let (out, err, code) = told(&bench.with_model(&server, &args).output().unwrap());
    assert_eq!((code, out.as_str()), (0, "{\"a\":3}\n"), "{err}");
    server.finish();

    let server = ModelServer::start_with(move |_| wrong.clone());
    refused(&bench.with_model(&server, &args).output().unwrap(), 4, &["does not fit", "integer"]);
}

#[test]
fn a_folder_that_is_gone_is_told() {
    let bench = Bench::new();
    let mut shell = bench.program(Path::new("/bin/sh"));
    shell.args(["-c", "mkdir gone && cd gone && rmdir ../gone && exec \"$0\" run hi"]).arg(built("victor"));
    refused(&shell.output().unwrap(), 3, &["current folder", "--workspace"]);
}

#[rstest]
#[case::denied(&["bash", r#"{"command": "true"}"#], 6, &["--allow 'bash(true)'"])]
#[case::outside(&["read", r#"{"path": "/etc/passwd"}"#, "--yes"], 6, &["outside the workspace", "--add-dir"])]
#[case::no_json(&["read", "path=x"], 2, &["no JSON"])]
#[case::no_tool(&["raed", "{}"], 1, &["`raed`", "`read`"])]
#[case::arguments(&["read", r#"{"pth": 1}"#], 1, &["pth", "path"])]
#[case::no_file(&["read", r#"{"path": "nope"}"#], 1, &["`nope`"])]
fn a_tool_that_cannot_be_called_says_why(#[case] args: &[&str], #[case] code: i32, #[case] words: &[&str]) {
    let bench = Bench::new();
    refused(&bench.victor(&[&["tools", "call"], args].concat()).output().unwrap(), code, words);
}

#[rstest]
#[case::show(&["sessions", "show", "nix"], 1, "no session `nix`")]
#[case::delete(&["sessions", "delete", "nix"], 1, "no session `nix`")]
#[case::set(&["config", "set", "provder", "x"], 3, "`provider`")]
#[case::value(&["config", "set", "limits.max_turns", "many"], 3, "limits.max_turns")]
#[case::get(&["config", "get", "nope"], 3, "unknown key `nope`")]
#[case::provider(&["providers", "test", "opnai"], 3, "`openai`")]
#[case::models(&["models", "list", "--provider", "opnai"], 3, "`openai`")]
#[case::key(&["keys", "delete", "nix"], 1, "no key of `nix`")]
#[case::command(&["rnu"], 2, "rnu")]
fn a_name_that_is_none_is_told(#[case] args: &[&str], #[case] code: i32, #[case] words: &str) {
    refused(&Bench::new().victor(args).output().unwrap(), code, &[words]);
}

// Configuration.

#[rstest]
#[case::unknown("model: m\nprovder: openai\n", &["config.yaml:2:1", "`provder`", "`provider`"])]
#[case::nested("limits:\n  max_turn: 3\n", &["config.yaml:2:3", "`max_turn`", "`max_turns`"])]
#[case::twice("model: a\nmodel: b\n", &["config.yaml:2:1", "duplicate key `model`"])]
#[case::yaml_1_1("server:\n  cors:\n    enabled: yes\n", &["config.yaml:3:14", "server.cors.enabled", "`true` or `false`"])]
#[case::kind("limits:\n  max_turns: many\n", &["config.yaml:2:14", "limits.max_turns", "whole number"])]
#[case::zero("limits: {idle_timeout: 0}\n", &["config.yaml:1", "limits.idle_timeout"])]
#[case::choice("mode: pln\n", &["config.yaml:1:7", "`pln`", "`plan`"])]
#[case::rule("permissions: {allow: [\"bash(\"]}\n", &["config.yaml:1", "`bash(`"])]
#[case::open("limits: {max_turns: 3\n", &["config.yaml:1"])]
#[case::text("hello\n", &["config.yaml:1:1", "mapping"])]
#[case::variable("provider: ${NOPE}\n", &["provider", "NOPE is not set"])]
fn broken_configuration_names_file_line_and_key(#[case] text: &str, #[case] words: &[&str]) {
    let (bench, server) = (Bench::new(), ModelServer::start([]));
    fs::write(bench.home().join("config.yaml"), text).unwrap();
    refused(&bench.with_model(&server, &["run", "hi"]).output().unwrap(), 3, words);
    server.finish();
}

#[test]
fn configuration_that_is_no_text_or_no_file_is_refused() {
    let bench = Bench::new();
    let path = bench.home().join("config.yaml");
    fs::write(&path, b"\xff\xfe").unwrap();
    refused(&bench.victor(&["run", "hi"]).output().unwrap(), 3, &["config.yaml", "UTF-8"]);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused(&bench.victor(&["run", "hi"]).output().unwrap(), 3, &["config.yaml", "not a regular file"]);
    fs::remove_dir(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    refused(&bench.victor(&["run", "hi"]).output().unwrap(), 3, &["config.yaml", "not a regular file"]);
}

#[rstest]
#[case::unknown("VICTOR_SERVR__PORT", "1", &["VICTOR_SERVR__PORT", "`server`"])]
#[case::kind("VICTOR_SERVER__PORT", "abc", &["VICTOR_SERVER__PORT", "server.port", "abc"])]
#[case::rule("VICTOR_ALLOW", "bash(", &["VICTOR_ALLOW", "`bash(`"])]
fn broken_variables_are_named(#[case] name: &str, #[case] value: &str, #[case] words: &[&str]) {
    let (bench, server) = (Bench::new(), ModelServer::start([]));
    refused(&bench.with_model(&server, &["run", "hi"]).env(name, value).output().unwrap(), 3, words);
    server.finish();
}

#[test]
fn keys_that_others_can_read_are_refused_and_never_shown() {
    let bench = Bench::new();
    let keys = bench.home().join("keys.yaml");
    fs::write(&keys, "openai: sk-hush-hush\n").unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).unwrap();
    refused(&bench.victor(&["run", "hi"]).output().unwrap(), 3, &["keys.yaml", "644", "chmod 600"]);
    fs::write(&keys, "openai sk-hush-hush: x: y\n").unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
    let output = bench.victor(&["run", "hi", "--provider", "openai"]).output().unwrap();
    refused(&output, 3, &["keys.yaml:1", "provider: key"]);
    assert!(!told(&output).1.contains("hush"));
}

// The home and the disk.

#[test]
fn a_home_that_is_a_file_is_named() {
    let (bench, server) = (Bench::new(), ModelServer::start([]));
    bench.file("plain", "");
    let mut victor = bench.with_model(&server, &["run", "hi"]);
    refused(&victor.env("VICTOR_HOME", bench.work().join("plain")).output().unwrap(), 3, &["plain", "VICTOR_HOME"]);
    server.finish();
}

#[test]
fn a_home_that_cannot_be_made_is_named() {
    let (bench, server) = (Bench::new(), ModelServer::start_with(|_| Reply::text("not reached")));
    let mut victor = bench.with_model(&server, &["run", "hi"]);
    refused(&victor.env("VICTOR_HOME", "/proc/nowhere").output().unwrap(), 1, &["/proc/nowhere", "writable"]);
}

#[test]
fn a_damaged_database_is_named_and_left_as_it_is() {
    let (bench, server) = (Bench::new(), ModelServer::start_with(|_| Reply::text("ok")));
    let path = bench.home().join("victor.db");
    let damaged: Vec<u8> = (0..4096_u32).map(|i| (i * 31 % 251) as u8).collect();
    fs::write(&path, &damaged).unwrap();
    let words = ["victor.db", "damaged", "move it away"];
    refused(&bench.with_model(&server, &["run", "hi"]).output().unwrap(), 1, &words);
    refused(&bench.victor(&["sessions", "list", "--json"]).output().unwrap(), 1, &words);
    assert_eq!(fs::read(&path).unwrap(), damaged);
    let (out, err, code) = told(&bench.with_model(&server, &["run", "hi", "--no-save"]).output().unwrap());
    assert_eq!((code, out.as_str()), (0, "ok\n"), "{err}");
}

/// A small file system in memory, gone with the value.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(at).output();
        mount.is_ok_and(|o| o.status.success()).then_some(Self(at))
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("fill")).unwrap();
        while file.write_all(&[0; 512]).is_ok() {}
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_and_what_was_saved_stays() {
    let (bench, held) = (Bench::new(), Reply::text("x".repeat(100_000)).hold());
    let home = bench.home();
    let Some(disk) = SmallDisk::mount(&home) else {
        return eprintln!("skipped: no file system can be mounted here, which this test needs");
    };
    let server = ModelServer::start([held, Reply::text("Here again.")]);
    let mut run = bench.with_model(&server, &["run", "hi"]);
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    server.wait_for(1);
    disk.fill();
    server.release();
    let (_, err, code) = told(&run.wait_with_output().unwrap());
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("no space") && err.contains("free some space"), "{err}");
    let (_, err, code) = told(&bench.with_model(&server, &["run", "hi"]).output().unwrap());
    assert!(code == 1 && err.contains("no space"), "{code}: {err}");
    fs::remove_file(home.join("fill")).unwrap();
    assert_eq!(sessions(&bench).len(), 1);
    let (out, err, code) = told(&bench.with_model(&server, &["chat", "--continue", "and?"]).output().unwrap());
    assert!(code == 0 && out.contains("Here again."), "{out}{err}");
    server.finish();
}

// stdin and stdout.

/// `victor run ARGS` with this on stdin.
fn piped(bench: &Bench, server: &ModelServer, args: &[&str], input: &[u8]) -> Output {
    let mut victor = bench.with_model(server, args);
    let mut child = victor.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that has heard enough may close the pipe.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[rstest]
#[case::dash(&["run", "-"], b"from a pipe", "from a pipe")]
#[case::no_task(&["run"], b"from a pipe", "from a pipe")]
#[case::beside(&["run", "Count"], b"a\nb\n", "Count\n\n<stdin>\na\nb\n</stdin>")]
#[case::empty(&["run", "Count"], b"", "Count")]
#[case::no_utf8(&["run", "-"], b"a\xffb", "a\u{fffd}b")]
fn the_task_is_what_is_typed_and_piped(#[case] args: &[&str], #[case] input: &[u8], #[case] task: &str) {
    let (bench, server) = (Bench::new(), ModelServer::start([Reply::text("ok")]));
    let (out, err, code) = told(&piped(&bench, &server, args, input));
    assert_eq!((code, out.as_str()), (0, "ok\n"), "{err}");
    let requests = server.finish();
    assert_eq!(requests[0].messages().last().unwrap()["content"], task);
}

#[rstest]
#[case::nothing(&["run"], b"", "the task is empty")]
#[case::dash(&["run", "-"], b" \n", "the task is empty")]
#[case::too_much(&["run", "hi"], &[b'a'; 4_300_000], "save it to a file")]
fn a_task_that_is_none_is_a_usage_error(#[case] args: &[&str], #[case] input: &[u8], #[case] words: &str) {
    let (bench, server) = (Bench::new(), ModelServer::start([]));
    refused(&piped(&bench, &server, args, input), 2, &[words]);
    server.finish();
}

#[rstest]
#[case::stdin("<&-", 0, "ok\n")]
#[case::stderr("2>&-", 0, "ok\n")]
#[case::full_stdout(">/dev/full", 1, "")]
fn closed_and_full_streams(#[case] how: &str, #[case] code: i32, #[case] said: &str) {
    let (bench, server) = (Bench::new(), ModelServer::start([Reply::text("ok")]));
    let mut shell = bench.program(Path::new("/bin/sh"));
    shell.args(["-c", &format!("exec \"$0\" run hi {how}")]).arg(built("victor"));
    shell.env("OPENAI_BASE_URL", server.base_url()).env("OPENAI_API_KEY", "test-key");
    let (out, err, got) = told(&shell.output().unwrap());
    assert_eq!((got, out.as_str()), (code, said), "{err}");
    assert_eq!(sessions(&bench).len(), 1);
    server.finish();
}

#[rstest]
#[case::text(&["run", "hi"])]
#[case::events(&["run", "hi", "--json"])]
fn a_reader_that_leaves_ends_the_run_quietly(#[case] args: &[&str]) {
    let held = Reply::text("word ".repeat(50_000)).hold();
    let (bench, server) = (Bench::new(), ModelServer::start([held, Reply::text("on")]));
    let mut victor = bench.with_model(&server, args);
    let mut child = victor.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    server.wait_for(1);
    drop(child.stdout.take());
    server.release();
    let (_, err, code) = told(&child.wait_with_output().unwrap());
    assert_eq!((code, err.as_str()), (141, ""));
    let (_, err, code) = told(&bench.with_model(&server, &["chat", "--continue", "go on"]).output().unwrap());
    assert_eq!(code, 0, "{err}");
    server.finish();
}
