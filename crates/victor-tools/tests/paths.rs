//! What lies outside of the workspace stays there: links, `..`, absolute paths, and changes between plan and run.
#![allow(clippy::panic, reason = "what tests use is a part of them")]

mod support;

use rstest::rstest;
use serde_json::{Value, json};
use support::Bench;
use victor_core::error::ToolError;
use victor_core::permission::{PermissionKey, RuleEffect};

fn args(tool: &str, path: &str) -> Value {
    match tool {
        "read" | "ls" | "git_diff" => json!({ "path": path }),
        "write" => json!({"path": path, "content": "evil"}),
        "edit" => json!({"path": path, "edits": [{"old_string": "secret", "new_string": "evil"}]}),
        "grep" => json!({"pattern": "secret", "path": path}),
        "find_files" => json!({"pattern": "*", "path": path}),
        other => panic!("{other}"),
    }
}

#[rstest]
#[tokio::test]
async fn nothing_leads_out(
    #[values("read", "write", "edit", "ls", "grep", "find_files")] tool: &str,
    #[values("../outside/x", "../outside", "link/x", "link", "filelink", "sub/../../outside/x", "sub/up/outside/x")]
    path: &str,
) {
    let b = Bench::new();
    std::fs::write(b.outside.join("x"), "secret").unwrap();
    std::fs::create_dir(b.root.join("sub")).unwrap();
    b.link("link", &b.outside);
    b.link("filelink", b.outside.join("x"));
    b.link("sub/up", "../..");
    let result = b.try_call(tool, args(tool, path)).await;
    assert!(matches!(&result, Err(ToolError::Denied(_))), "{result:?}");
    assert_eq!(std::fs::read_to_string(b.outside.join("x")).unwrap(), "secret");
    let absolute = b.outside.join("x").display().to_string();
    let result = b.try_call(tool, args(tool, &absolute)).await;
    assert!(matches!(&result, Err(ToolError::Denied(_))), "{result:?}");
}

#[tokio::test]
async fn a_search_does_not_follow_links_out() {
    let b = Bench::new();
    std::fs::write(b.outside.join("x.txt"), "secret").unwrap();
    b.link("link", &b.outside);
    b.link("y.txt", b.outside.join("x.txt"));
    assert!(b.call("grep", json!({"pattern": "secret"})).await.starts_with("nothing"));
    assert!(b.call("find_files", json!({"pattern": "*.txt"})).await.starts_with("no file"));
}

#[tokio::test]
async fn paths_inside_may_be_absolute_or_wind_about() {
    let b = Bench::new();
    b.file("a/x", "here\n");
    b.link("same", "a");
    let absolute = b.root.join("a/x").display().to_string();
    for path in ["a/x", "./a/x", "a/../a/x", "same/x", absolute.as_str(), "../ws/a/x"] {
        assert_eq!(b.call("read", json!({ "path": path })).await, "     1\there\n", "{path}");
    }
}

#[tokio::test]
async fn a_link_does_not_get_around_a_rule() {
    let b = Bench::new().rule(RuleEffect::Deny, "read(secret/**)").rule(RuleEffect::Deny, "read(named)");
    b.file("secret/key", "hunter2");
    b.file("open", "fine\n");
    b.link("harmless", "secret/key");
    b.link("named", "open");
    for path in ["secret/key", "harmless", "named", "x/../secret/key"] {
        let result = b.try_call("read", json!({ "path": path })).await;
        assert!(matches!(result, Err(ToolError::Denied(_))), "{path}: {result:?}");
    }
    assert_eq!(b.call("read", json!({"path": "open"})).await, "     1\tfine\n");
}

#[rstest]
#[tokio::test]
async fn a_folder_swapped_for_a_link_after_planning_leads_nowhere(#[values("write", "edit", "read", "ls")] tool: &str) {
    let b = Bench::new();
    b.file("d/e/x", "secret in the workspace");
    std::fs::create_dir(b.outside.join("e")).unwrap();
    std::fs::write(b.outside.join("e/x"), "secret outside").unwrap();
    let path = if tool == "ls" { "d/e" } else { "d/e/x" };
    let plan = b.plan(tool, args(tool, path)).await;
    std::fs::rename(b.root.join("d"), b.root.join("moved")).unwrap();
    b.link("d", &b.outside);
    let result = b.run(tool, plan).await;
    assert_eq!(std::fs::read_to_string(b.outside.join("e/x")).unwrap(), "secret outside");
    if let Ok(output) = result {
        assert!(!support::text(&output).contains("outside"), "{output:?}");
    }
}

#[rstest]
#[tokio::test]
async fn a_file_swapped_for_a_link_after_planning_leads_nowhere(#[values("write", "edit", "read")] tool: &str) {
    let b = Bench::new();
    b.file("x", "secret in the workspace");
    std::fs::write(b.outside.join("x"), "secret outside").unwrap();
    let plan = b.plan(tool, args(tool, "x")).await;
    std::fs::remove_file(b.root.join("x")).unwrap();
    b.link("x", b.outside.join("x"));
    let result = b.run(tool, plan).await;
    assert_eq!(std::fs::read_to_string(b.outside.join("x")).unwrap(), "secret outside");
    match tool {
        "read" => assert!(support::text(&result.unwrap()).contains("in the workspace")),
        _ => assert!(result.is_err()),
    }
}

#[tokio::test]
async fn a_rule_opens_a_path_outside() {
    let b = Bench::new();
    let file = b.outside.join("x");
    std::fs::write(&file, "shared\n").unwrap();
    let path = file.display().to_string();
    let b = b.rule(RuleEffect::Allow, &format!("read({path})"));
    assert_eq!(b.call("read", json!({ "path": path })).await, "     1\tshared\n");
    assert!(b.fails("write", json!({"path": path, "content": "x"})).await.starts_with("denied"));
}

#[tokio::test]
async fn added_folders_are_open_and_readable_ones_only_to_read() {
    let mut b = Bench::new();
    std::fs::write(b.outside.join("x"), "there\n").unwrap();
    let path = b.outside.join("x").display().to_string();
    let mut workspace = (*b.bench.workspace).clone();
    workspace.readable.push(b.outside.clone());
    b.bench.workspace = workspace.clone().into();
    assert_eq!(b.call("read", json!({ "path": path })).await, "     1\tthere\n");
    assert!(b.fails("write", json!({"path": path, "content": "x"})).await.starts_with("denied"));
    workspace.added.push(b.outside.clone());
    b.bench.workspace = workspace.into();
    b.call("write", json!({"path": path, "content": "x"})).await;
    assert_eq!(std::fs::read_to_string(b.outside.join("x")).unwrap(), "x");
}

#[tokio::test]
async fn keys_name_the_place_that_is_meant() {
    let b = Bench::new();
    b.file("a/x", "");
    b.link("l", "a");
    let plan = b.plan("read", json!({"path": "l/x"})).await;
    let paths: Vec<_> = plan.keys.iter().map(ToString::to_string).collect();
    assert_eq!(paths, ["a/x", "l/x"]);
    assert!(matches!(&plan.keys[0], PermissionKey::Path { outside: false, .. }));
}
