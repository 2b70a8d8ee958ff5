//! The git tools, and repositories that mean harm.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what tests use is a part of them")]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::json;
use support::Bench;
use victor_core::permission::RuleEffect;
use victor_core::resource::{Body, ResourceSource as _, SourceError};
use victor_core::runtime::Runtime;
use victor_core::testing::TestClock;
use victor_tools::GitResources;

fn git(folder: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"]);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").args(args).current_dir(folder);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What an object of the repository is called.
fn object(folder: &Path, name: &str) -> String {
    let output = Command::new("git").args(["rev-parse", name]).current_dir(folder).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A file at a revision, as a resource.
async fn at_revision(b: &Bench, rev: &str, path: &str) -> Result<String, SourceError> {
    let source = Arc::new(GitResources::default());
    let builder = Runtime::builder().clock(TestClock::default()).workspace((*b.bench.workspace).clone());
    let runtime = builder.rules(b.bench.rules.clone()).resources(source.clone()).build().unwrap();
    source.attach(&runtime);
    let contents = source.read(&format!("git://file/{rev}/{path}")).await?;
    match &contents[0].body {
        Body::Text(text) => Ok(text.clone()),
        other => panic!("{other:?}"),
    }
}

fn repository() -> Bench {
    let b = Bench::new();
    git(&b.root, &["init", "-q"]);
    b.file("a.txt", "one\n");
    b.file("secret/key", "hunter1\n");
    git(&b.root, &["add", "."]);
    git(&b.root, &["commit", "-qm", "First"]);
    b
}

#[tokio::test]
async fn shows_status_diff_and_log() {
    let b = repository();
    assert_eq!(b.call("git_status", json!({})).await, "on main\nnothing is changed\n");
    b.file("a.txt", "two\n");
    b.file("new name", "");
    assert_eq!(b.call("git_status", json!({})).await, "on main\n M a.txt\n?? new name\n");
    let diff = b.call("git_diff", json!({})).await;
    assert!(diff.contains("-one\n+two\n"), "{diff}");
    assert_eq!(b.call("git_diff", json!({"staged": true})).await, "there is no difference\n");
    git(&b.root, &["add", "a.txt"]);
    assert!(b.call("git_diff", json!({"staged": true, "path": "a.txt"})).await.contains("+two"));
    git(&b.root, &["commit", "-qm", "Second"]);
    let log = b.call("git_log", json!({})).await;
    let subjects: Vec<_> = log.lines().map(|l| l.rsplit(": ").next().unwrap()).collect();
    assert_eq!(subjects, ["Second", "First"]);
    assert_eq!(b.call("git_log", json!({"max": 1, "path": "secret"})).await.lines().count(), 1);
    assert!(b.call("git_diff", json!({"rev": "HEAD~1"})).await.contains("+two"));
}

#[tokio::test]
async fn is_polite_without_a_repository() {
    let b = Bench::new();
    for tool in ["git_status", "git_diff", "git_log"] {
        assert_eq!(b.fails(tool, json!({})).await, "the workspace is not in a git repository");
    }
}

#[tokio::test]
async fn options_and_files_are_no_revisions() {
    let b = repository();
    for rev in ["--output=/tmp/x", "-p", "HEAD:secret/key", "", "a b"] {
        assert!(b.fails("git_diff", json!({ "rev": rev })).await.contains("no revision"), "{rev}");
        assert!(b.fails("git_log", json!({ "rev": rev })).await.contains("no revision"), "{rev}");
    }
    assert!(b.fails("git_diff", json!({"rev": "nowhere"})).await.starts_with("git: "));
    assert!(b.fails("git_diff", json!({"path": "../outside"})).await.starts_with("denied"));
}

#[tokio::test]
async fn rules_keep_files_out() {
    let b = repository().rule(RuleEffect::Deny, "read(secret/**)");
    b.file("secret/key", "hunter2\n");
    b.file("a.txt", "two\n");
    let diff = b.call("git_diff", json!({})).await;
    assert!(diff.contains("+two") && !diff.contains("hunter") && diff.contains("1 files are kept out"), "{diff}");
    let status = b.call("git_status", json!({})).await;
    assert!(!status.contains("secret"), "{status}");
    assert!(b.fails("git_diff", json!({"path": "secret/key"})).await.starts_with("denied"));
}

/// Below a folder's own object its files have other paths: rules would not know them.
#[tokio::test]
async fn objects_of_folders_and_files_are_no_revisions() {
    let b = repository().rule(RuleEffect::Deny, "read(secret/**)");
    git(&b.root, &["tag", "folder", "HEAD:secret"]);
    git(&b.root, &["tag", "-am", "v1", "v1"]);
    let (root, folder) = (object(&b.root, "HEAD^{tree}"), object(&b.root, "HEAD:secret"));
    for rev in [folder.as_str(), "folder", &folder[..12]] {
        let read = at_revision(&b, rev, "key").await;
        assert!(read.is_err(), "{rev}: {read:?}");
    }
    let files = format!("{}..{}", object(&b.root, "HEAD:secret/key"), object(&b.root, "HEAD:a.txt"));
    let folders = format!("{root}..{folder}");
    for rev in [folder.as_str(), "folder", &files, &folders, "HEAD..folder", "folder...HEAD"] {
        let wrong = b.try_call("git_diff", json!({ "rev": rev })).await.map(|output| support::text(&output));
        assert!(wrong.as_ref().is_err_and(|e| e.to_string().contains("commit")), "{rev}: {wrong:?}");
    }
    assert_eq!(at_revision(&b, "v1", "a.txt").await.unwrap(), "one\n");
    assert!(matches!(at_revision(&b, "v1", "secret/key").await, Err(SourceError::Denied(_))));
    b.file("a.txt", "two\n");
    git(&b.root, &["commit", "-qam", "Second"]);
    for rev in ["v1", "v1..HEAD", "v1...HEAD", "HEAD^!", "HEAD~1..", "@{0}~1"] {
        assert!(b.call("git_diff", json!({ "rev": rev })).await.contains("+two"), "{rev}");
    }
}

/// Whatever a repository's configuration names, it is not run.
#[tokio::test]
async fn a_hostile_repository_runs_nothing() {
    let b = repository();
    let trap = b.file("trap.sh", format!("#!/bin/sh\ntouch {}\ncat\n", b.root.join("sprung").display()));
    git(&b.root, &["add", "trap.sh"]);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&trap, mode).unwrap();
    let trap = trap.display().to_string();
    let included = format!("[filter \"inc\"]\n\tclean = {trap}\n\trequired = true\n");
    b.file(".git/more", included);
    for (name, value) in [
        ("core.fsmonitor", trap.as_str()),
        ("core.pager", trap.as_str()),
        ("pager.status", trap.as_str()),
        ("pager.log", trap.as_str()),
        ("pager.diff", trap.as_str()),
        ("diff.external", trap.as_str()),
        ("diff.evil.command", trap.as_str()),
        ("diff.evil.textconv", trap.as_str()),
        ("filter.evil.clean", trap.as_str()),
        ("filter.evil.smudge", trap.as_str()),
        ("filter.evil.required", "true"),
        ("filter.a=b.process", trap.as_str()),
        ("gpg.program", trap.as_str()),
        ("log.showSignature", "true"),
        ("core.sshCommand", trap.as_str()),
        ("include.path", "more"),
    ] {
        git(&b.root, &["config", name, value]);
    }
    b.file(".gitattributes", "a.txt filter=evil diff=evil\nsecret/key filter=inc diff=evil\ntrap.sh filter=a=b\n");
    let hook = b.file(".git/hooks/post-index-change", format!("#!/bin/sh\n{trap}\n"));
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    b.file("a.txt", "two\n");
    b.file("secret/key", "hunter2\n");
    assert!(b.call("git_status", json!({})).await.contains(" M a.txt"));
    assert!(b.call("git_diff", json!({})).await.contains("+two"));
    b.call("git_diff", json!({"rev": "HEAD"})).await;
    b.call("git_log", json!({"path": "a.txt"})).await;
    assert!(!b.root.join("sprung").exists());
}

#[tokio::test]
async fn a_repository_does_not_show_another_one() {
    let b = Bench::new();
    git(&b.outside, &["init", "-q"]);
    std::fs::write(b.outside.join("private"), "hunter2\n").unwrap();
    git(&b.outside, &["add", "."]);
    git(&b.outside, &["commit", "-qm", "hunter2"]);
    b.file(".git", format!("gitdir: {}\n", b.outside.join(".git").display()));
    for tool in ["git_status", "git_diff", "git_log"] {
        let wrong = b.fails(tool, json!({})).await;
        assert!(wrong.contains("does not belong to this workspace"), "{wrong}");
    }
    std::fs::remove_file(b.root.join(".git")).unwrap();
    git(&b.root, &["init", "-q"]);
    git(&b.root, &["config", "core.worktree", b.outside.to_str().unwrap()]);
    let wrong = b.fails("git_status", json!({})).await;
    assert!(wrong.contains("does not belong"), "{wrong}");
}

#[tokio::test]
async fn a_repository_borrows_no_history_from_another_one() {
    let other = Bench::new();
    git(&other.outside, &["init", "-q"]);
    std::fs::write(other.outside.join("private"), "hunter2\n").unwrap();
    git(&other.outside, &["add", "."]);
    git(&other.outside, &["commit", "-qm", "hunter2"]);
    let data = other.outside.join(".git");
    let link = |b: &Bench, name: &str| {
        std::os::unix::fs::symlink(data.join("objects"), b.root.join(name)).unwrap();
        let list = [b"../../".as_slice(), name.as_bytes(), b"\n"].concat();
        std::fs::write(b.root.join(".git/objects/info/alternates"), list).unwrap();
    };
    let lends: [&dyn Fn(&Bench); 7] = [
        &|b| drop(b.file(".git/commondir", format!("{}\n", data.display()))),
        &|b| drop(b.file(".git/objects/info/alternates", format!("{}\n", data.join("objects").display()))),
        &|b| {
            std::fs::remove_dir_all(b.root.join(".git/objects")).unwrap();
            std::os::unix::fs::symlink(data.join("objects"), b.root.join(".git/objects")).unwrap();
        },
        &|b| {
            b.file("own/info/alternates", format!("{}\n", data.join("objects").display()));
            b.file(".git/objects/info/alternates", "../../own\n");
        },
        &|b| drop(b.file(".git/objects/info/alternates", format!("\"{}\"\n", data.join("objects").display()))),
        &|b| link(b, "x\r"),
        &|b| {
            git(&b.root, &["config", "core.worktree", "/"]);
            b.file(".git/objects/info/alternates", format!("{}\n", data.join("objects").display()));
        },
    ];
    for (which, lend) in lends.iter().enumerate() {
        let b = repository();
        lend(&b);
        for tool in ["git_status", "git_diff", "git_log"] {
            let wrong = b.fails(tool, json!({})).await;
            assert!(wrong.contains("does not belong to this workspace"), "{which} {tool}: {wrong}");
        }
    }
    let b = repository();
    b.file(".git/objects/info/alternates", "# nothing\n../../elsewhere\n");
    assert!(b.call("git_log", json!({})).await.contains("First"));
}

#[tokio::test]
async fn linked_working_trees_and_subfolders_work() {
    let b = repository();
    git(&b.root, &["worktree", "add", "-q", b.outside.join("tree").to_str().unwrap()]);
    let mut linked = Bench::new();
    linked.bench.workspace = victor_core::sandbox::Workspace::new(b.outside.join("tree")).into();
    assert!(linked.call("git_status", json!({})).await.contains("nothing is changed"));
    let mut below = Bench::new();
    below.bench.workspace = victor_core::sandbox::Workspace::new(b.root.join("secret")).into();
    b.file("a.txt", "two\n");
    b.file("secret/key", "x\n");
    assert_eq!(below.call("git_status", json!({})).await, "on main\n M key\n");
    assert!(!below.call("git_diff", json!({})).await.contains("two"));
}
