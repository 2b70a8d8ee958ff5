//! The sandbox, tried with real commands. Where the system has none, the tests say so and check that commands ask.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "what tests use is a part of them")]

mod support;

use std::io::Write;
use std::net::TcpListener;

use serde_json::json;
use support::{Bench, text};
use victor_core::permission::Verdict;
use victor_core::sandbox::SandboxMode;
use victor_core::tool::Effects;
use victor_tools::sandbox::probe;

async fn bash(b: &Bench, command: &str) -> String {
    text(&b.try_call("bash", json!({"command": command, "timeout_s": 20})).await.unwrap())
}

fn usable() -> bool {
    if !probe().usable() {
        println!("not checked: {}", probe().summary);
    }
    probe().usable()
}

#[tokio::test]
async fn without_a_sandbox_commands_ask_to_leave_it() {
    let b = Bench::sandboxed(SandboxMode::WorkspaceWrite);
    let tool = support::tool("bash").await;
    let args = json!({"command": "ls", "unsandboxed": true});
    let plan = b.bench.plan(&tool, args).await.unwrap();
    assert!(plan.effects.contains(Effects::UNSANDBOXED));
    assert!(matches!(b.bench.judge(&tool, &plan), Verdict::Ask { leaves_sandbox: true, .. }));
    let plan = b.bench.plan(&tool, json!({"command": "ls"})).await.unwrap();
    assert_eq!(plan.effects.contains(Effects::UNSANDBOXED), !probe().usable());
}

#[tokio::test]
async fn writing_ends_at_the_workspace() {
    if !usable() {
        return;
    }
    let b = Bench::sandboxed(SandboxMode::WorkspaceWrite);
    let victim = b.outside.join("victim");
    std::fs::write(&victim, "safe").unwrap();
    let shown =
        bash(&b, "mkdir -p a/b && echo x > a/b/c && mv a/b/c d && cat d && echo y > /dev/null && rm d && echo ok")
            .await;
    assert_eq!(shown, "x\nok\n");
    let v = victim.display();
    let out = b.outside.display();
    for command in [
        format!("echo evil > {v}"),
        format!("echo evil >> {v}"),
        format!("truncate -s 0 {v}"),
        format!("rm {v}"),
        format!("mv {v} here"),
        format!("ln {v} hard && echo evil > hard"),
        format!("ln -s {v} soft && echo evil > soft"),
        format!("mkdir {out}/new"),
        format!("touch here && mv here {out}/there"),
        format!("sh -c 'setsid sh -c \"echo evil > {v}\"'; false"),
    ] {
        let shown = bash(&b, &command).await;
        assert!(shown.contains("exit code"), "{command}: {shown}");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "safe", "{command}");
    }
    assert!(!b.outside.join("new").exists() && !b.outside.join("there").exists());
    assert!(bash(&b, &format!("echo evil > {v}")).await.contains("[it ran in a sandbox"));
    assert!(bash(&b, "sudo -n true; chmod u+s /bin/true; echo end").await.contains("end"));
}

#[tokio::test]
async fn a_temporary_folder_can_be_written_and_is_gone_afterwards() {
    if !usable() {
        return;
    }
    for mode in [SandboxMode::WorkspaceWrite, SandboxMode::ReadOnly] {
        let b = Bench::sandboxed(mode);
        let shown = bash(&b, "f=$(mktemp) && echo x > $f && echo $f").await;
        let file = std::path::PathBuf::from(shown.trim());
        assert!(file.is_absolute() && !file.exists(), "{shown}");
    }
}

#[tokio::test]
async fn read_only_writes_nothing() {
    if !usable() {
        return;
    }
    let b = Bench::sandboxed(SandboxMode::ReadOnly);
    b.file("x", "old\n");
    let shown = bash(&b, "cat x; echo new > x; touch y; ls").await;
    assert!(shown.starts_with("old\n") && shown.ends_with("x\n"), "{shown}");
    assert_eq!(b.content("x"), b"old\n");
}

#[tokio::test]
async fn the_network_is_closed_unless_asked_for() {
    if !usable() {
        return;
    }
    let b = Bench::sandboxed(SandboxMode::WorkspaceWrite);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut s| s.write_all(b"hello\n"));
        }
    });
    let command = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && cat <&3");
    let denied = bash(&b, &command).await;
    assert!(!denied.contains("hello") && denied.contains("Permission denied"), "{denied}");
    let udp = bash(&b, "echo x > /dev/udp/127.0.0.1/9").await;
    assert!(udp.contains("Permission denied"), "{udp}");
    let allowed = b.try_call("bash", json!({"command": command, "network": true, "timeout_s": 20})).await.unwrap();
    assert_eq!(text(&allowed), "hello\n");
}

#[tokio::test]
async fn processes_outside_are_out_of_reach() {
    if !usable() {
        return;
    }
    let b = Bench::sandboxed(SandboxMode::WorkspaceWrite);
    let me = std::process::id();
    let shown = bash(&b, &format!("tr '\\0' '\\n' < /proc/{me}/environ | grep PATH")).await;
    assert!(!shown.contains("PATH="), "{shown}");
    if probe().landlock_abi >= 6 {
        let shown = bash(&b, &format!("kill -0 {me} && echo reached")).await;
        assert!(!shown.contains("reached"), "{shown}");
    }
}
