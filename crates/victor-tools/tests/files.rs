//! read, write, edit and ls as a model uses them.
#![allow(clippy::unwrap_used, reason = "what tests use is a part of them")]

mod support;

use serde_json::json;
use support::{Bench, text};
use victor_core::message::Block;
use victor_core::permission::RuleEffect;
use victor_core::tool::Preview;

#[tokio::test]
async fn read_numbers_lines_and_pages() {
    let b = Bench::new();
    let long: String = (1..=5000).map(|n| format!("line {n}\n")).collect();
    b.file("a.txt", &long);
    let first = b.call("read", json!({"path": "a.txt"})).await;
    assert!(first.starts_with("     1\tline 1\n     2\tline 2\n"), "{first}");
    assert!(first.ends_with("read on with offset 2001]\n"), "{}", &first[first.len() - 80..]);
    let page = b.call("read", json!({"path": "a.txt", "offset": 4999, "limit": 10})).await;
    assert_eq!(page, "  4999\tline 4999\n  5000\tline 5000\n");
    let beyond = b.fails("read", json!({"path": "a.txt", "offset": 6000})).await;
    assert!(beyond.contains("has 5000 lines"), "{beyond}");
}

#[tokio::test]
async fn read_says_what_it_cannot_show() {
    let b = Bench::new();
    b.file("empty", "");
    b.file("bin", b"a\0b");
    b.file("bad", b"caf\xe9\n");
    b.file("wide", format!("{}\n", "x".repeat(100_000)));
    b.file("src/main.rs", "fn main() {}");
    assert_eq!(b.call("read", json!({"path": "empty"})).await, "(the file is empty)");
    assert!(b.fails("read", json!({"path": "bin"})).await.contains("binary file of 3 bytes"));
    let bad = b.call("read", json!({"path": "bad"})).await;
    assert!(bad.contains("caf\u{fffd}") && bad.contains("not valid UTF-8"), "{bad}");
    let wide = b.call("read", json!({"path": "wide"})).await;
    assert!(wide.len() < 3000 && wide.contains("100000 bytes in this line"), "{wide}");
    assert!(b.fails("read", json!({"path": "src"})).await.contains("use ls"));
    let missing = b.fails("read", json!({"path": "src/mian.rs"})).await;
    assert!(missing.contains("`main.rs`"), "{missing}");
    assert!(b.fails("read", json!({"path": "~/x"})).await.contains("not expanded"));
    assert!(b.fails("read", json!({"path": ""})).await.contains("empty"));
}

#[tokio::test]
async fn write_makes_no_file_of_a_folders_name() {
    let b = Bench::new();
    let refused = b.fails("write", json!({"path": "dir/", "content": "x"})).await;
    assert!(refused.contains("`dir/` names a folder"), "{refused}");
    assert!(!b.root.join("dir").exists());
}

#[tokio::test]
async fn read_answers_images_as_media() {
    let b = Bench::new();
    b.file("x.dat", b"\x89PNG\r\n\x1a\nrest");
    let output = b.try_call("read", json!({"path": "x.dat"})).await.unwrap();
    assert!(matches!(&output.content[1], Block::Media(m) if m.media_type == "image/png"), "{output:?}");
}

#[tokio::test]
async fn read_shows_utf16() {
    let b = Bench::new();
    let bytes: Vec<u8> =
        [0xff, 0xfe].into_iter().chain("grün\r\nx".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    b.file("x.txt", bytes);
    assert_eq!(b.call("read", json!({"path": "x.txt"})).await, "     1\tgrün\n     2\tx\n");
}

#[tokio::test]
async fn pipes_and_devices_do_not_block() {
    let b = Bench::new();
    let status = std::process::Command::new("mkfifo").arg(b.root.join("pipe")).status().unwrap();
    assert!(status.success());
    for tool in ["read", "grep"] {
        let wrong = b.fails(tool, json!({"path": "pipe", "pattern": "x"}).pick(tool)).await;
        assert!(wrong.contains("named pipe"), "{wrong}");
    }
    let wrong = b.fails("write", json!({"path": "pipe", "content": "x"})).await;
    assert!(wrong.contains("named pipe"), "{wrong}");
}

trait Pick {
    fn pick(self, tool: &str) -> Self;
}

impl Pick for serde_json::Value {
    fn pick(mut self, tool: &str) -> Self {
        if tool == "read" {
            self.as_object_mut().unwrap().remove("pattern");
        }
        self
    }
}

#[tokio::test]
async fn write_makes_folders_keeps_modes_and_leaves_nothing_behind() {
    use std::os::unix::fs::PermissionsExt;
    let b = Bench::new();
    b.call("write", json!({"path": "a/b/c.txt", "content": "one\n"})).await;
    assert_eq!(b.content("a/b/c.txt"), b"one\n");
    let script = b.file("run.sh", "old\n");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o750)).unwrap();
    b.call("write", json!({"path": "run.sh", "content": "new\n"})).await;
    assert_eq!(b.content("run.sh"), b"new\n");
    assert_eq!(script.metadata().unwrap().permissions().mode() & 0o777, 0o750);
    let names: Vec<_> = std::fs::read_dir(&b.root).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(b.fails("write", json!({"path": "a", "content": ""})).await.contains("folder"));
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o444)).unwrap();
    assert!(b.fails("write", json!({"path": "run.sh", "content": ""})).await.contains("read-only"));
}

#[tokio::test]
async fn plans_show_the_change_and_what_was_there() {
    let b = Bench::new();
    b.file("x.txt", "a\nb\n");
    let plan = b.plan("edit", json!({"path": "x.txt", "edits": [{"old_string": "b", "new_string": "c"}]})).await;
    assert!(matches!(&plan.preview, Some(Preview::Diff { diff }) if diff.contains("-b\n+c\n")), "{:?}", plan.preview);
    assert_eq!(plan.changes[0].before.as_deref(), Some(&b"a\nb\n"[..]));
    assert_eq!(plan.changes[0].after.as_deref(), Some(&b"a\nc\n"[..]));
    assert_eq!(b.content("x.txt"), b"a\nb\n", "planning changes nothing");
    let plan = b.plan("write", json!({"path": "new.txt", "content": "x"})).await;
    assert_eq!(plan.changes[0].before, None);
    assert!(!b.root.join("new.txt").exists());
}

#[tokio::test]
async fn a_file_that_changed_since_it_was_planned_is_left_alone() {
    let b = Bench::new();
    b.file("x.txt", "a\n");
    for (tool, args) in [
        ("edit", json!({"path": "x.txt", "edits": [{"old_string": "a", "new_string": "b"}]})),
        ("write", json!({"path": "x.txt", "content": "b"})),
        ("write", json!({"path": "y.txt", "content": "b"})),
    ] {
        b.file("x.txt", "a\n");
        let plan = b.plan(tool, args).await;
        b.file("x.txt", "a, by somebody else\n");
        b.file("y.txt", "somebody's\n");
        let wrong = b.run(tool, plan).await.unwrap_err().to_string();
        assert!(wrong.contains("changed while"), "{wrong}");
        assert_eq!(b.content("x.txt"), b"a, by somebody else\n");
        assert_eq!(b.content("y.txt"), b"somebody's\n");
        std::fs::remove_file(b.root.join("y.txt")).unwrap();
    }
}

async fn edited(content: &[u8], edits: serde_json::Value) -> Result<Vec<u8>, String> {
    let b = Bench::new();
    b.file("x.txt", content);
    match b.try_call("edit", json!({"path": "x.txt", "edits": edits})).await {
        Ok(_) => Ok(b.content("x.txt")),
        Err(e) => {
            assert_eq!(b.content("x.txt"), content, "a failed edit changes nothing");
            Err(e.to_string())
        }
    }
}

#[tokio::test]
async fn edits_keep_line_ends_and_encodings() {
    let one = json!([{"old_string": "b\nc", "new_string": "x\ny\nz"}]);
    assert_eq!(edited(b"a\nb\nc\n", one.clone()).await.unwrap(), b"a\nx\ny\nz\n");
    assert_eq!(edited(b"a\r\nb\r\nc\r\n", one.clone()).await.unwrap(), b"a\r\nx\r\ny\r\nz\r\n");
    assert_eq!(edited(b"a\r\nb\nc\r\nd\r\n", one.clone()).await.unwrap(), b"a\r\nx\r\ny\r\nz\r\nd\r\n");
    assert_eq!(edited(b"\xef\xbb\xbfb\nc", one.clone()).await.unwrap(), b"\xef\xbb\xbfx\ny\nz");
    for (bom, bytes) in [([0xff, 0xfe], u16::to_le_bytes as fn(u16) -> [u8; 2]), ([0xfe, 0xff], u16::to_be_bytes)] {
        let coded = |s: &str| bom.into_iter().chain(s.encode_utf16().flat_map(bytes)).collect::<Vec<u8>>();
        assert_eq!(edited(&coded("ä\r\nb\r\nc"), one.clone()).await.unwrap(), coded("ä\r\nx\r\ny\r\nz"));
    }
    let umlaut = json!([{"old_string": "b", "new_string": "ü"}]);
    assert_eq!(edited(b"caf\xe9 b", umlaut.clone()).await.unwrap(), b"caf\xe9 \xfc", "Latin-1 stays Latin-1");
    assert_eq!(edited("é \u{fc} b".as_bytes(), umlaut.clone()).await.unwrap(), "é ü ü".as_bytes());
    assert_eq!(edited(b"\xc3\xa9 \xff b", umlaut).await.unwrap(), b"\xc3\xa9 \xff \xc3\xbc", "stray bytes stay");
    let beyond = json!([{"old_string": "b", "new_string": "€"}]);
    assert!(edited(b"caf\xe9 b", beyond).await.unwrap_err().contains("one byte a character"));
}

#[tokio::test]
async fn edits_are_exact_unique_and_all_or_none() {
    let text = b"fn one() {\n    two();\n}\nfn two() {}\n";
    let two =
        json!([{"old_string": "fn one", "new_string": "fn uno"}, {"old_string": "    two", "new_string": "    dos"}]);
    assert_eq!(edited(text, two).await.unwrap(), b"fn uno() {\n    dos();\n}\nfn two() {}\n");
    let half = json!([{"old_string": "fn one", "new_string": "fn uno"}, {"old_string": "nowhere", "new_string": "x"}]);
    let wrong = edited(text, half).await.unwrap_err();
    assert!(wrong.contains("edit 2 of 2") && wrong.contains("no edit was made"), "{wrong}");
    let many = edited(text, json!([{"old_string": "two", "new_string": "x"}])).await.unwrap_err();
    assert!(many.contains("occurs 2 times") && many.contains("line 2, 4"), "{many}");
    let all = json!([{"old_string": "two", "new_string": "x", "replace_all": true}]);
    assert_eq!(edited(text, all).await.unwrap(), b"fn one() {\n    x();\n}\nfn x() {}\n");
    let near = edited(text, json!([{"old_string": "\ttwo();", "new_string": "x"}])).await.unwrap_err();
    assert!(near.contains("line 2") && near.contains("white space only") && near.contains("    two();"), "{near}");
    let near = edited(text, json!([{"old_string": "fn tow() {}", "new_string": "x"}])).await.unwrap_err();
    assert!(near.contains("line 4"), "{near}");
    assert!(edited(text, json!([{"old_string": "", "new_string": "x"}])).await.unwrap_err().contains("empty"));
    assert!(edited(text, json!([{"old_string": "one", "new_string": "one"}])).await.unwrap_err().contains("the same"));
}

#[tokio::test]
async fn a_denied_edit_tells_nothing_of_the_file() {
    let b = Bench::new().rule(RuleEffect::Deny, "read(.env)");
    b.file(".env", "SECRET=hunter2\n");
    let wrong =
        b.fails("edit", json!({"path": ".env", "edits": [{"old_string": "SECRET=x", "new_string": "y"}]})).await;
    assert!(wrong.starts_with("denied") && !wrong.contains("hunter2"), "{wrong}");
}

#[tokio::test]
async fn ls_lists_a_tree() {
    let b = Bench::new().rule(RuleEffect::Deny, "read(secret/**)");
    b.file("src/main.rs", "12345");
    b.file("secret/key", "");
    b.file(".hidden", "");
    b.link("link", "src");
    assert_eq!(b.call("ls", json!({})).await, "link -> src\nsecret/\nsrc/\n");
    let all = b.call("ls", json!({"path": ".", "depth": 3, "all": true})).await;
    assert_eq!(
        all,
        ".hidden (0)\nlink -> src\nsecret/\nsrc/\n  main.rs (5)\n[1 entries are kept out by permission rules]\n"
    );
    assert!(b.fails("ls", json!({"path": "nowhere"})).await.contains("no folder"));
    assert!(b.fails("ls", json!({"path": "src/main.rs"})).await.contains("not a folder"));
}

#[tokio::test]
async fn todo_keeps_the_list_of_the_run() {
    let b = Bench::new();
    let tool = support::tool("todo").await;
    let items = json!({"items": [{"text": "a", "status": "completed"}, {"text": "b", "status": "in_progress"}]});
    let output = b.bench.call(&tool, items).await.unwrap();
    assert_eq!(text(&output), "[x] a\n[>] b\n");
    let again = b.bench.call(&tool, json!({})).await.unwrap();
    assert_eq!(text(&again), "[x] a\n[>] b\n");
    assert!(b.bench.call(&tool, json!({"items": [{"text": "a", "status": "perhaps"}]})).await.is_err());
}
