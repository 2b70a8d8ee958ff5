//! grep and find_files.

mod support;

use serde_json::json;
use support::Bench;
use victor_core::permission::RuleEffect;

fn tree() -> Bench {
    let b = Bench::new();
    b.file("src/main.rs", "fn main() {\n    needle();\n}\n");
    b.file("src/lib.rs", "// Needle\n");
    b.file("doc/a.md", "needle in doc\n");
    b.file(".hidden/x.rs", "needle\n");
    b.file(".git/config", "needle\n");
    b.file("target/out.rs", "needle\n");
    b.file("bin.rs", b"needle\0");
    b.file(".gitignore", "/target\n");
    b
}

#[tokio::test]
async fn grep_finds_lines_in_order() {
    let b = tree();
    let found = b.call("grep", json!({"pattern": "needle"})).await;
    assert_eq!(found, "doc/a.md:1:needle in doc\nsrc/main.rs:2:    needle();\n");
    let any = b.call("grep", json!({"pattern": "needle", "case_insensitive": true, "glob": "*.rs"})).await;
    assert_eq!(any, "src/lib.rs:1:// Needle\nsrc/main.rs:2:    needle();\n");
    let files = b.call("grep", json!({"pattern": "needle", "files_only": true, "hidden": true})).await;
    assert_eq!(files, ".hidden/x.rs\ndoc/a.md\nsrc/main.rs\n");
    let context = b.call("grep", json!({"pattern": "needle", "path": "src/main.rs", "context": 1})).await;
    assert_eq!(context, "src/main.rs-1-fn main() {\nsrc/main.rs:2:    needle();\nsrc/main.rs-3-}\n");
    assert!(b.fails("grep", json!({"pattern": "("})).await.contains("cannot be searched"));
    assert!(b.fails("grep", json!({"pattern": "x", "path": "nowhere"})).await.contains("no file or folder"));
}

#[tokio::test]
async fn grep_searches_files_whose_names_are_no_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let b = Bench::new();
    std::fs::write(b.root.join(std::ffi::OsStr::from_bytes(b"caf\xe9.txt")), "needle\n").unwrap();
    assert_eq!(b.call("grep", json!({"pattern": "needle"})).await, "caf\u{fffd}.txt:1:needle\n");
}

#[tokio::test]
async fn grep_is_capped_and_says_so() {
    let b = Bench::new();
    b.file("many", "needle\n".repeat(1000));
    let found = b.call("grep", json!({"pattern": "needle", "max": 5})).await;
    assert_eq!(found.matches("many:").count(), 5);
    assert!(found.contains("there may be more"), "{found}");
    b.file("wide", "needle".repeat(100_000));
    let wide = b.call("grep", json!({"pattern": "needle", "path": "wide"})).await;
    assert!(wide.len() < 1000, "{}", wide.len());
}

#[tokio::test]
async fn find_files_fits_names_and_paths() {
    let b = tree();
    let found = b.call("find_files", json!({"pattern": "*.rs"})).await;
    assert_eq!(found, "bin.rs\nsrc/lib.rs\nsrc/main.rs\n");
    assert_eq!(b.call("find_files", json!({"pattern": "src/*.rs"})).await, "src/lib.rs\nsrc/main.rs\n");
    assert_eq!(b.call("find_files", json!({"pattern": "**/main.*", "path": "src"})).await, "src/main.rs\n");
    let hidden = b.call("find_files", json!({"pattern": "{x.rs,config}", "hidden": true})).await;
    assert_eq!(hidden, ".hidden/x.rs\n");
    assert!(b.fails("find_files", json!({"pattern": "/etc/*"})).await.contains("no glob below a folder"));
}

#[tokio::test]
async fn rules_keep_files_out_of_searches() {
    let b = tree().rule(RuleEffect::Deny, "read(src/main.rs)").rule(RuleEffect::Ask, "grep(doc)");
    let found = b.call("grep", json!({"pattern": "needle"})).await;
    assert!(found.starts_with("nothing") && found.contains("2 files are kept out"), "{found}");
    let found = b.call("find_files", json!({"pattern": "*.rs"})).await;
    assert_eq!(found, "bin.rs\nsrc/lib.rs\n[1 files are kept out by permission rules]\n");
    assert!(b.fails("grep", json!({"pattern": "x", "path": "src/main.rs"})).await.starts_with("denied"));
}

#[tokio::test]
async fn a_pipe_as_ignore_file_does_not_block() {
    let b = Bench::new();
    b.file("sub/x", "needle\n");
    b.file("y", "needle\n");
    for place in [".gitignore", "sub/.ignore"] {
        assert!(std::process::Command::new("mkfifo").arg(b.root.join(place)).status().unwrap().success());
    }
    assert_eq!(b.call("grep", json!({"pattern": "needle"})).await, "y:1:needle\n");
}

#[tokio::test]
async fn a_cancelled_search_ends() {
    let b = tree();
    b.bench.cancel.cancel();
    assert!(b.fails("grep", json!({"pattern": "needle"})).await.contains("cancelled"));
}
