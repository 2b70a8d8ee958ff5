//! bash: output, status, time-outs, and nothing left behind.
#![allow(clippy::unwrap_used, reason = "what tests use is a part of them")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Bench, text};
use victor_core::permission::{PermissionKey, RuleEffect, Verdict};
use victor_core::tool::{Effects, Preview, ToolOutput};

fn field<'a>(output: &'a ToolOutput, name: &str) -> &'a Value {
    &output.structured.as_ref().unwrap()[name]
}

async fn bash(b: &Bench, command: &str) -> ToolOutput {
    b.try_call("bash", json!({"command": command, "timeout_s": 20})).await.unwrap()
}

/// Whether a process that has `mark` among its arguments is alive. A killed one may take a moment to be gone.
fn runs(mark: &str) -> bool {
    !(0..1000).any(|_| {
        std::thread::yield_now();
        !alive(mark)
    })
}

fn alive(mark: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).split('\0').any(|word| word == mark)
    })
}

/// A number for `sleep` that no other process here has.
fn mark(b: &Bench, n: u32) -> String {
    let name = b.root.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let sum: u32 = name.bytes().map(u32::from).fold(7_u32, |a, c| a.wrapping_mul(31).wrapping_add(c)) % 1_000_000;
    format!("{}.{sum}", 3000 + n)
}

#[tokio::test]
async fn output_comes_in_order_with_the_status() {
    let b = Bench::new();
    let output = bash(&b, "echo one; echo two >&2; echo three; pwd; exit 3").await;
    assert_eq!(text(&output), format!("one\ntwo\nthree\n{}\n[exit code 3]\n", b.root.display()));
    assert!(output.is_error);
    assert_eq!(field(&output, "exit_code"), 3);
    assert_eq!(*field(&output, "output"), format!("one\ntwo\nthree\n{}\n", b.root.display()), "without the notes");
    let fine = bash(&b, "true").await;
    assert_eq!(text(&fine), "(no output)\n");
    assert!(!fine.is_error);
    let killed = bash(&b, "kill -9 $$").await;
    assert!(text(&killed).contains("[ended by SIGKILL]"), "{}", text(&killed));
    assert_eq!(field(&killed, "signal"), "SIGKILL");
    assert_eq!(text(&bash(&b, "cat; echo end").await), "end\n", "there is no input");
    assert!(text(&bash(&b, "printf 'a\\xff'").await).contains("a\u{fffd}"));
}

#[tokio::test]
async fn a_long_output_is_cut_and_kept() {
    let b = Bench::new();
    let output =
        bash(&b, "i=0; while [ $i -lt 100000 ]; do echo \"line $i of a long output that goes on\"; i=$((i+1)); done")
            .await;
    let shown = text(&output);
    assert!(
        shown.len() < 40_000
            && shown.starts_with("line 0 of")
            && shown.ends_with("line 99999 of a long output that goes on\n")
    );
    assert_eq!(field(&output, "truncated"), true);
    let file = field(&output, "output_file").as_str().unwrap().to_owned();
    assert!(shown.contains(&file), "the answer names the file");
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 100_000);
    let page = b.call("read", json!({"path": file, "offset": 50_001, "limit": 1})).await;
    assert!(page.starts_with(" 50001\tline 50000 of a long output that goes on\n"), "{page}");
}

#[tokio::test]
async fn five_megabytes_without_a_line_end() {
    let b = Bench::new();
    let output = bash(&b, "head -c 5000000 /dev/zero | tr '\\0' x").await;
    assert!(text(&output).len() < 40_000);
    let file = field(&output, "output_file").as_str().unwrap().to_owned();
    assert_eq!(std::fs::metadata(file).unwrap().len(), 5_000_000);
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_ended_though_it_does_not_want_to() {
    let b = Bench::new();
    let (deaf, child) = (mark(&b, 1), mark(&b, 2));
    let command = format!("trap '' TERM; (trap '' TERM; sleep {child}) & echo began; sleep {deaf}; sleep {deaf}");
    let output = b.try_call("bash", json!({"command": command, "timeout_s": 0.3})).await.unwrap();
    assert!(text(&output).starts_with("began\n") && text(&output).contains("ended after 0.3 s"), "{}", text(&output));
    assert_eq!(field(&output, "timed_out"), true);
    assert!(output.is_error);
    assert!(!runs(&deaf) && !runs(&child));
}

#[tokio::test]
async fn what_is_left_in_the_background_ends_with_the_call() {
    let b = Bench::new();
    let (plain, far) = (mark(&b, 3), mark(&b, 4));
    let command = format!("sleep {plain} & (setsid sh -c 'sleep {far} & sleep {far}' > /dev/null 2>&1 &); echo done");
    let started = tokio::time::timeout(Duration::from_secs(15), bash(&b, &command)).await.unwrap();
    assert_eq!(text(&started), "done\n");
    assert!(!runs(&plain), "a background job");
    assert!(!runs(&far), "a child that left the group and the session");
}

#[tokio::test]
async fn a_cancelled_call_ends_its_command() {
    let b = Bench::new();
    let name = mark(&b, 5);
    let cancel = b.bench.cancel.clone();
    let (began, watch) = (b.root.join("began"), b.root.join("began"));
    let command = format!("touch {}; sleep {name}", began.display());
    let (output, ()) = tokio::join!(bash(&b, &command), async {
        while !watch.exists() {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    });
    assert!(text(&output).contains("[cancelled]"));
    assert!(!runs(&name));
}

#[tokio::test]
async fn a_dropped_call_ends_its_command() {
    let b = Bench::new();
    let name = mark(&b, 6);
    let began = b.root.join("began");
    let command = format!("touch {}; setsid sleep {name} & sleep {name}", began.display());
    tokio::select! {
        _ = bash(&b, &command) => panic!("it ended by itself"),
        () = async { while !began.exists() { tokio::task::yield_now().await; } } => {}
    }
    assert!(!runs(&name));
}

/// Runs itself once more with a secret in its environment, as a test must not change its own.
#[tokio::test]
async fn secrets_stay_out_of_the_environment() {
    let b = Bench::new();
    let shown = text(&bash(&b, "env").await);
    assert!(shown.contains("PATH=") && !shown.contains("hunter2"), "{shown}");
    if shown.contains("PLAIN_SETTING=seen") {
        return;
    }
    let again = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "secrets_stay_out_of_the_environment"])
        .envs([("OPENAI_API_KEY", "hunter2"), ("GITHUB_TOKEN", "hunter2"), ("PLAIN_SETTING", "seen")])
        .output()
        .unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
}

#[tokio::test]
async fn bad_arguments_are_told() {
    let b = Bench::new();
    for args in [
        json!({"command": "  "}),
        json!({"command": "ls", "timeout_s": 0}),
        json!({"command": "ls", "timeout_s": 100_000}),
        json!({"command": "ls", "typo": 1}),
    ] {
        assert!(b.try_call("bash", args.clone()).await.is_err(), "{args}");
    }
}

#[tokio::test]
async fn plans_show_the_command_and_its_keys() {
    let b = Bench::new();
    let plan = b.plan("bash", json!({"command": "cat < a > b/c && eval x", "network": true})).await;
    assert!(matches!(&plan.preview, Some(Preview::Command { command, .. }) if command == "cat < a > b/c && eval x"));
    assert_eq!(plan.effects, Effects::EXECUTE | Effects::NETWORK);
    let keys: Vec<_> = plan.keys.iter().map(ToString::to_string).collect();
    assert_eq!(keys, ["cat < a > b/c", "eval x", "a", "b/c", "cat < a > b/c && eval x", "*"]);
    assert!(matches!(plan.keys[4], PermissionKey::UnsplitCommand { .. }));
}

async fn verdict(b: &Bench, command: &str) -> Verdict {
    let tool = support::tool("bash").await;
    let plan = b.bench.plan(&tool, json!({ "command": command })).await.unwrap();
    b.bench.judge(&tool, &plan)
}

#[tokio::test]
async fn rules_see_every_command_of_a_line() {
    let b = Bench::new().rule(RuleEffect::Allow, "bash(cargo *)").rule(RuleEffect::Deny, "bash(rm *)");
    assert_eq!(verdict(&b, "cargo test && RUST_LOG=x cargo run > log.txt").await, Verdict::Allow);
    for asks in ["cargo test; make", "cargo run $(date)", "LD_PRELOAD=x cargo test", "cargo test | sh", "cargo; $X"] {
        assert!(matches!(verdict(&b, asks).await, Verdict::Ask { .. }), "{asks}");
    }
    for denied in
        ["cargo test; rm x", "sudo rm x", "echo $(rm x)", "sh -c 'rm x'", "/bin/rm x", "FOO=1 rm x", "eval y; rm x"]
    {
        assert!(matches!(verdict(&b, denied).await, Verdict::Deny { .. }), "{denied}");
    }
}

#[tokio::test]
async fn rules_for_files_hold_for_redirections() {
    let b = Bench::new().rule(RuleEffect::Allow, "bash(echo *)").rule(RuleEffect::Deny, "write(.env)");
    assert_eq!(verdict(&b, "echo x > notes").await, Verdict::Allow);
    assert!(matches!(verdict(&b, "echo x > .env").await, Verdict::Deny { .. }));
    assert!(matches!(verdict(&b, "echo x >> ./sub/../.env").await, Verdict::Deny { .. }));
    assert!(matches!(verdict(&b, "> notes").await, Verdict::Ask { .. }));
}
