//! Limits, permissions and what tools are given, through the built binary.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use rstest::rstest;
use serde_json::{Value, json};
use victor_tests::product::{Bench, refused, sessions, told};
use victor_tests::{ModelServer, Reply};

// Limits, permissions, and flags that keep things as they are.

#[rstest]
#[case::turns(&["--max-turns", "2"], Reply::call("ls", json!({})), 2, "turn limit")]
#[case::cost(&["--model", "gpt-5.2", "--max-cost", "0.000001"], Reply::call("ls", json!({})), 1, "cost limit")]
#[case::no_money(&["--max-cost", "0"], Reply::text("x"), 0, "cost limit")]
#[case::answer(&["--max-tokens", "3"], Reply::text("abc").stop("length"), 1, "output limit")]
fn a_limit_ends_with_its_own_code(
    #[case] flags: &[&str],
    #[case] reply: Reply,
    #[case] calls: usize,
    #[case] words: &str,
) {
    let (bench, server) = (Bench::new(), ModelServer::start_with(move |_| reply.clone()));
    let (_, err, code) = told(&bench.with_model(&server, &[&["run", "hi"], flags].concat()).output().unwrap());
    assert_eq!(code, 5, "{err}");
    assert!(err.contains(words), "{err}");
    assert_eq!(server.finish().len(), calls);
    assert!(sessions(&bench).len() <= 1);
}

#[test]
fn a_run_that_is_only_denied_ends_with_its_own_code_and_says_how_to_allow_it() {
    let call = |_: &_| Reply::call("bash", json!({"command": "touch made"}));
    let (bench, server) = (Bench::new(), ModelServer::start_with(call));
    let output = bench.with_model(&server, &["run", "hi"]).output().unwrap();
    refused(&output, 6, &["--allow 'bash(touch made)'", "--yes"]);
    assert!(!bench.work().join("made").exists());
}

#[rstest]
#[case::flag(&["--allow", "bash(touch *)"], "")]
#[case::variable(&[], "bash(touch *)")]
#[case::yes(&["--yes"], "")]
fn a_rule_or_a_yes_allows_a_command(#[case] flags: &[&str], #[case] variable: &str) {
    let replies = [Reply::call("bash", json!({"command": "touch made"})), Reply::text("done")];
    let (bench, server) = (Bench::new(), ModelServer::start(replies));
    let mut victor = bench.with_model(&server, &[&["run", "hi"], flags].concat());
    if !variable.is_empty() {
        victor.env("VICTOR_ALLOW", variable);
    }
    let (_, err, code) = told(&victor.output().unwrap());
    assert_eq!(code, 0, "{err}");
    assert!(bench.work().join("made").exists(), "{err}");
    server.finish();
}

#[rstest]
#[case::write("write", json!({"path": "made", "content": "x"}))]
#[case::bash("bash", json!({"command": "touch made"}))]
fn plan_mode_writes_nothing_whatever_allows_it(#[case] tool: &'static str, #[case] args: Value) {
    let server = ModelServer::start([Reply::call(tool, args), Reply::text("planned")]);
    let bench = Bench::new();
    let flags = ["run", "hi", "--mode", "plan", "--yes", "--allow", "write", "--allow", "bash", "--sandbox", "off"];
    let (out, err, code) = told(&bench.with_model(&server, &flags).output().unwrap());
    assert_eq!((code, out.as_str()), (0, "planned\n"), "{err}");
    assert!(!bench.work().join("made").exists());
    let requests = server.finish();
    let offered = requests[0].json["tools"].to_string();
    assert!(!offered.contains(r#""name":"write""#) && !offered.contains(r#""name":"bash""#), "{offered}");
}

#[test]
fn a_dry_run_says_what_it_would_do_and_changes_nothing() {
    let replies = [
        Reply::calls([
            ("write", json!({"path": "new.txt", "content": "x"})),
            ("edit", json!({"path": "old.txt", "edits": [{"old_string": "one", "new_string": "two"}]})),
            ("bash", json!({"command": "touch made"})),
        ]),
        Reply::text("done"),
    ];
    let (bench, server) = (Bench::new(), ModelServer::start(replies));
    bench.file("old.txt", "one\n");
    let (out, err, code) = told(&bench.with_model(&server, &["run", "hi", "--dry-run", "--yes"]).output().unwrap());
    assert_eq!((code, out.as_str()), (0, "done\n"), "{err}");
    for word in ["new.txt", "old.txt", "+two", "touch made"] {
        assert!(err.contains(word), "`{word}` is not in: {err}");
    }
    let names: Vec<_> = fs::read_dir(bench.work()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["old.txt"]);
    assert_eq!(fs::read_to_string(bench.work().join("old.txt")).unwrap(), "one\n");
    server.finish();
}

#[test]
fn no_save_keeps_nothing() {
    let replies = [Reply::call("bash", json!({"command": "seq 1000000"})), Reply::text("done")];
    let (bench, server) = (Bench::new(), ModelServer::start(replies));
    let mut victor = bench.with_model(&server, &["run", "hi", "--no-save", "--yes"]);
    let (out, err, code) = told(&victor.env("TMPDIR", bench.work()).output().unwrap());
    assert_eq!((code, out.as_str()), (0, "done\n"), "{err}");
    for folder in [bench.home(), bench.work()] {
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "{}", folder.display());
    }
    server.finish();
}

// What tools are given and give back.

/// The results of the calls, as the model gets them.
fn results(bench: &Bench, args: &[&str], calls: Vec<(&str, Value)>) -> (Vec<String>, String) {
    let server = ModelServer::start([Reply::calls(calls), Reply::text("done")]);
    let (_, err, code) = told(&bench.with_model(&server, &[&["run", "hi"], args].concat()).output().unwrap());
    assert_eq!(code, 0, "{err}");
    let requests = server.finish();
    let tools = requests[1].messages().iter().filter(|m| m["role"] == "tool");
    (tools.map(|m| m["content"].as_str().unwrap().to_owned()).collect(), err)
}

#[test]
fn arguments_that_do_not_fit_are_told_to_the_model() {
    let calls = vec![
        ("read", json!({"pth": "x"})),
        ("read", json!({"path": 7})),
        ("read", json!("text")),
        ("raed", json!({"path": "x"})),
        ("", json!({})),
    ];
    let (said, _) = results(&Bench::new(), &[], calls);
    for (answer, word) in said.iter().zip(["pth", "path", "object", "read", "no tool"]) {
        assert!(answer.contains(word), "`{word}` is not in: {answer}");
    }
}

#[test]
fn a_huge_output_is_shortened_and_can_be_read_on() {
    let (bench, command) = (Bench::new(), "yes line | head -c 5000000");
    let (said, _) = results(&bench, &["--yes"], vec![("bash", json!({ "command": command }))]);
    assert!(said[0].len() < 100_000, "{} bytes", said[0].len());
    let outputs: Vec<_> = fs::read_dir(bench.home().join("outputs")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(outputs.len(), 1);
    assert_eq!(fs::metadata(&outputs[0]).unwrap().len(), 5_000_000);
    assert!(said[0].contains(outputs[0].to_str().unwrap()), "{}", &said[0][said[0].len() - 500..]);
    let (said, _) = results(&bench, &[], vec![("read", json!({"path": outputs[0], "offset": 900_000, "limit": 1}))]);
    assert!(said[0].contains("900000") && said[0].contains("line"), "{}", said[0]);
}

#[test]
fn files_that_are_no_utf8_are_read_searched_and_edited_politely() {
    let bench = Bench::new();
    bench.file("bad.txt", b"ab\xff\xfecd\n");
    bench.file("binary", b"\x00\x01\x02\xff");
    bench.file("latin.txt", b"caf\xe9\n");
    let calls = vec![
        ("read", json!({"path": "bad.txt"})),
        ("grep", json!({"pattern": "cd"})),
        ("read", json!({"path": "binary"})),
        ("edit", json!({"path": "latin.txt", "edits": [{"old_string": "caf", "new_string": "kaf"}]})),
        ("bash", json!({"command": "cat bad.txt"})),
    ];
    let (said, _) = results(&bench, &["--yes"], calls);
    assert!(said[0].contains("not valid UTF-8") && said[1].contains("bad.txt:1"), "{said:?}");
    assert!(said[2].contains("binary file") && said[4].contains("ab\u{fffd}"), "{said:?}");
    assert_eq!(fs::read(bench.work().join("latin.txt")).unwrap(), b"kaf\xe9\n");
}

#[test]
fn paths_outside_are_denied_also_with_yes_and_a_folder_can_be_added() {
    let bench = Bench::new();
    let beside = bench.work().parent().unwrap().join("beside");
    fs::create_dir(&beside).unwrap();
    fs::write(beside.join("secret"), "hush").unwrap();
    std::os::unix::fs::symlink(&beside, bench.work().join("link")).unwrap();
    let calls = || {
        vec![
            ("read", json!({"path": "../beside/secret"})),
            ("read", json!({"path": beside.join("secret")})),
            ("read", json!({"path": "link/secret"})),
            ("write", json!({"path": beside.join("made"), "content": "x"})),
        ]
    };
    let (said, err) = results(&bench, &["--yes"], calls());
    assert!(
        said.iter().all(|s| s.contains("the workspace") && s.contains("denied") && !s.contains("hush")),
        "{said:?}"
    );
    assert!(err.contains("--add-dir") && !beside.join("made").exists(), "{err}");
    let (said, _) = results(&bench, &["--add-dir", beside.to_str().unwrap()], calls());
    assert!(said[..2].iter().all(|s| s.contains("hush")), "{said:?}");
    assert!(beside.join("made").exists(), "{said:?}");
}

#[test]
fn images_and_texts_can_be_attached() {
    let (bench, server) = (Bench::new(), ModelServer::start([Reply::text("seen")]));
    bench.file("dot.png", b"\x89PNG\r\n\x1a\n");
    bench.file("note.txt", "remember");
    let args = ["run", "hi", "--attach", "dot.png", "--attach", "note.txt"];
    let (_, err, code) = told(&bench.with_model(&server, &args).output().unwrap());
    assert_eq!(code, 0, "{err}");
    let requests = server.finish();
    let said = requests[0].messages().last().unwrap()["content"].to_string();
    assert!(said.contains("data:image/png;base64,") && said.contains("remember"), "{said}");
}
