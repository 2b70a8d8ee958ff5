//! `victor workflow` as users run it: results, gates, mistakes, signals, and kills at every moment.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use victor_tests::product::{Bench, refused, told};

const GATE: &str = r#"
workflows:
  greet:
    description: Greets somebody after a question
    inputs: {who: {type: string, required: true}}
    nodes:
      - {id: words, type: transform, transform: format, template: "Hello {{ who }}", output: words, next: [ok]}
      - {id: ok, type: hitl, hitl_type: approval, prompt: "Say {{ words }}?", timeout: 600, fallback: abort, next: [say]}
      - {id: say, type: transform, transform: set, values: {said: true}}
"#;

fn gate() -> Bench {
    let bench = Bench::new();
    bench.file(".victor/workflows/greet.yaml", GATE);
    bench
}

fn victor(bench: &Bench, args: &[&str]) -> (String, String, i32) {
    told(&bench.victor(&[&["workflow"], args].concat()).output().unwrap())
}

fn json_of(out: &str) -> Value {
    serde_json::from_str(out).unwrap_or_else(|e| panic!("{e}: {out}"))
}

fn events(out: &str) -> Vec<Value> {
    out.lines().map(json_of).collect()
}

#[test]
fn a_run_prints_its_nodes_its_result_and_how_it_ended() {
    let bench = gate();
    let (out, err, code) = victor(&bench, &["run", "greet", "--set", "who=12", "--answer", "ok=yes"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(json_of(&out), json!({"words": "Hello 12", "ok": true, "said": true}));
    for node in ["✓ words (transform)", "✓ ok (hitl)", "✓ say (transform)"] {
        assert!(err.contains(node), "`{node}` is not in: {err}");
    }
    let args = ["run", "greet", "--input", r#"{"who": "Ada"}"#, "--answer", "ok=yes", "--json"];
    let (out, err, code) = victor(&bench, &args);
    assert_eq!(code, 0, "{err}");
    let events = events(&out);
    assert_eq!(events[0]["type"], "workflow_started");
    let last = events.last().unwrap();
    let expected = json!({"words": "Hello Ada", "ok": true, "said": true});
    assert_eq!(
        (&last["type"], &last["status"], &last["result"], &last["error"]),
        (&json!("finished"), &json!("completed"), &expected, &Value::Null)
    );
    assert_eq!(last["workflow_id"], events[0]["run_id"]);
    assert!(events.iter().enumerate().all(|(n, e)| e["seq"] == json!(n)), "the events have gaps");
}

#[test]
fn without_anybody_to_ask_the_fallback_holds_and_is_said() {
    let bench = gate();
    for yes in [&["run", "greet", "--set", "who=Ada"][..], &["run", "greet", "--set", "who=Ada", "--yes"]] {
        let output = bench.victor(&[&["workflow"], yes].concat()).output().unwrap();
        refused(&output, 6, &["ok: there is nobody to ask; its fallback acts"]);
    }
    let (_, err, code) = victor(&bench, &["run", "greet", "--set", "who=Ada", "--answer", "ok=no"]);
    assert!(code == 6 && err.contains("the answer was no"), "{code} {err}");
    let (_, err, _) = victor(&bench, &["run", "greet", "--set", "who=Ada", "--answer", "okk=yes"]);
    assert!(err.contains("`--answer okk=..` was used for nothing"), "{err}");
}

#[test]
fn a_run_waits_is_looked_at_and_goes_on_with_the_answer() {
    let bench = gate();
    let (out, err, code) = victor(&bench, &["run", "greet", "--set", "who=Ada", "--wait"]);
    assert_eq!((out.as_str(), code), ("", 6), "{err}");
    let hint = err.lines().find(|l| l.contains("victor workflow resume")).unwrap();
    let id = hint.split_whitespace().nth(3).unwrap();
    let (out, err, code) = victor(&bench, &["status", id, "--json"]);
    assert_eq!(code, 0, "{err}");
    let state = json_of(&out);
    assert_eq!((&state["status"], &state["current_node"]), (&json!("waiting"), &json!("ok")));
    assert_eq!(
        (&state["completed_nodes"], &state["waiting"][0]["prompt"]),
        (&json!(["words"]), &json!("Say Hello Ada?"))
    );
    let (_, err, code) = victor(&bench, &["resume", id]);
    assert!(code == 2 && err.contains("--answer ok=.."), "{code} {err}");
    let (_, err, code) = victor(&bench, &["resume", id, "--answer", "ok=perhaps"]);
    assert!(code == 3 && err.contains("neither yes nor no"), "{code} {err}");
    let (_, err, code) = victor(&bench, &["resume", id, "--answer", "okay=yes"]);
    assert!(code != 0, "{err}");
    let (out, err, code) = victor(&bench, &["resume", id, "--answer", "ok=yes"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(json_of(&out)["said"], true);
    let (_, err, code) = victor(&bench, &["resume", id, "--answer", "ok=yes"]);
    assert!(code == 1 && err.contains("has ended as completed"), "{code} {err}");
    let (out, _, _) = victor(&bench, &["list", "--runs", "--json"]);
    assert_eq!(json_of(&out)["runs"][0]["workflow_id"], id);
    let (_, err, _) = victor(&bench, &["run", "greet", "--set", "who=Ada", "--wait"]);
    let hint = err.lines().find(|l| l.contains("victor workflow resume")).unwrap().to_owned();
    let id = hint.split_whitespace().nth(3).unwrap();
    assert_eq!(victor(&bench, &["cancel", id]).2, 0);
    assert_eq!(json_of(&victor(&bench, &["status", id, "--json"]).0)["status"], "cancelled");
    assert_eq!(victor(&bench, &["cancel", id]).2, 1);
}

#[test]
fn a_run_that_waited_waits_for_its_next_answer_too() {
    let bench = Bench::new();
    let gate = |id: &str, next: &str| {
        format!("      - {{id: {id}, type: hitl, hitl_type: approval, prompt: Go?, fallback: abort, next: [{next}]}}\n")
    };
    let nodes = gate("one", "two") + &gate("two", "last") + "      - {id: last, type: passthrough}\n";
    bench.file(".victor/workflows/twice.yaml", format!("workflows:\n  twice:\n    nodes:\n{nodes}"));
    let (_, err, code) = victor(&bench, &["run", "twice", "--wait"]);
    assert!(code == 6 && err.contains("--answer one=.."), "{code} {err}");
    let id = err.lines().find(|l| l.contains("victor workflow resume")).unwrap().split_whitespace().nth(3).unwrap();
    let (_, err, code) = victor(&bench, &["resume", id, "--answer", "one=yes"]);
    assert!(code == 6 && err.contains("--answer two=.."), "{code} {err}");
    let (_, err, code) = victor(&bench, &["resume", id, "--answer", "two=yes"]);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn a_limit_that_is_reached_has_an_exit_code_of_its_own() {
    let bench = Bench::new();
    let nodes = "[{id: a, type: condition, condition: go, branches: {true: b, false: end}}, {id: b, type: passthrough, next: a}]";
    let inputs = "{go: {type: boolean, default: true}}";
    let file = format!("workflows:\n  round:\n    max_iterations: 3\n    inputs: {inputs}\n    nodes: {nodes}\n");
    bench.file(".victor/workflows/round.yaml", &file);
    let output = bench.victor(&["workflow", "run", "round"]).output().unwrap();
    refused(&output, 5, &["would run more than 3 times", "max_iterations"]);
}

#[test]
fn mistakes_are_told_all_at_once_with_their_places() {
    let bench = gate();
    bench.file(
        "bad.yaml",
        "workflows:\n  bad:\n    nodes:\n      - {id: a, type: agnet, goal: x}\n      - {id: b, type: condition, condition: \"1 >\", branches: {true: c}}\n",
    );
    let (out, err, code) = victor(&bench, &["validate", "bad.yaml", ".victor/workflows/greet.yaml"]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("bad.yaml:4:") && err.contains("did you mean") && err.contains("bad.yaml:5:"), "{err}");
    assert!(out.contains("greet.yaml: correct (greet)"), "{out}");
    let (out, _, code) = victor(&bench, &["validate", "bad.yaml", "--json"]);
    let mistakes = json_of(&out)["files"][0]["mistakes"].clone();
    assert!(code == 3 && mistakes.as_array().unwrap().len() >= 2 && mistakes[0]["line"] == 4, "{mistakes}");
    refused(&bench.victor(&["workflow", "run", "bad.yaml"]).output().unwrap(), 3, &["bad.yaml:4:"]);
    refused(&bench.victor(&["workflow", "run", "gret"]).output().unwrap(), 3, &["did you mean `greet`?"]);
    refused(&bench.victor(&["workflow", "run", "missing.yaml"]).output().unwrap(), 3, &["there is no file"]);
    refused(&bench.victor(&["workflow", "run", "greet"]).output().unwrap(), 3, &["needs the input `who`"]);
    refused(&bench.victor(&["workflow", "run", "greet", "--input", "[1]"]).output().unwrap(), 2, &["no JSON object"]);
}

#[test]
fn workflows_are_listed_shown_and_drawn() {
    let bench = gate();
    std::fs::create_dir_all(bench.home().join("workflows")).unwrap();
    std::fs::write(bench.home().join("workflows/mine.yaml"), GATE.replace("greet:", "mine:")).unwrap();
    let (out, err, code) = victor(&bench, &["list", "--json"]);
    assert_eq!(code, 0, "{err}");
    let list = json_of(&out);
    let find = |name: &str| {
        list["workflows"]
            .as_array()
            .unwrap()
            .iter()
            .find(|w| w["name"] == name)
            .unwrap_or_else(|| panic!("no {name}"))
            .clone()
    };
    assert_eq!(find("greet")["source"], ".victor/workflows/greet.yaml");
    assert!(find("mine")["source"].as_str().unwrap().ends_with("workflows/mine.yaml"));
    assert_eq!(find("approval_gate")["source"], "bundled");
    let (out, ..) = told(&bench.victor(&["workflows", "show", "greet", "--json"]).output().unwrap());
    assert_eq!(json_of(&out)["inputs"]["required"], json!(["who"]));
    for (format, word) in [("text", "words"), ("mermaid", "flowchart"), ("dot", "digraph")] {
        let (out, err, code) = victor(&bench, &["graph", "greet", "--format", format]);
        assert!(code == 0 && out.contains(word), "{out}{err}");
    }
}

#[test]
fn a_folders_workflow_gets_environment_values_only_once_it_is_trusted() {
    let bench = Bench::new();
    let file = "workflows:\n  w:\n    nodes:\n      - {id: a, type: transform, transform: format, template: \"${SECRET}\", output: a}\n";
    bench.file(".victor/workflows/w.yaml", file);
    let run = || told(&bench.victor(&["workflow", "run", "w"]).env("SECRET", "s3cret").output().unwrap());
    let (out, err, code) = run();
    assert!(code == 3 && !out.contains("s3cret") && err.contains("victor workspace trust"), "{code} {out}{err}");
    assert_eq!(told(&bench.victor(&["workspace", "trust"]).output().unwrap()).2, 0);
    let (out, err, code) = run();
    assert!(code == 0 && out.contains("s3cret"), "{code} {out}{err}");
    bench.file(".victor/workflows/w.yaml", file.replace("output: a", "output: b"));
    let (out, _, code) = run();
    assert!(code == 3 && !out.contains("s3cret"), "what was changed since is not trusted: {out}");
}

/// 30 nodes: twelve branches of two nodes between a command and a gate with two more; some leave a trace.
fn thirty() -> String {
    let mut text = String::from("workflows:\n  thirty:\n    nodes:\n");
    let tool = |id: &str, next: &str| {
        format!(
            "{{id: {id}, type: tool, tool: bash, arguments: {{command: \"echo {id} >> effects\"}}, output: {id}{next}}}"
        )
    };
    writeln!(text, "      - {}", tool("first", ", next: [fan]")).unwrap();
    text.push_str(
        "      - id: fan\n        type: parallel\n        join: merge\n        next: [gate]\n        nodes:\n",
    );
    for n in 0..12 {
        let (id, next) = (format!("a{n}"), format!(", next: [b{n}]"));
        let plain = format!("{{id: {id}, type: transform, transform: set, values: {{{id}: 1}}{next}}}");
        writeln!(text, "          - {}", if n % 4 == 0 { tool(&id, &next) } else { plain }).unwrap();
        writeln!(text, "          - {{id: b{n}, type: transform, transform: set, values: {{b{n}: {n}}}}}").unwrap();
    }
    text.push_str("      - {id: gate, type: hitl, hitl_type: approval, prompt: \"Go on?\", timeout: 600, fallback: abort, next: [c]}\n");
    writeln!(text, "      - {}", tool("c", ", next: [d]")).unwrap();
    text.push_str("      - {id: d, type: transform, transform: set, values: {d: 1}, next: [e]}\n");
    writeln!(text, "      - {}", tool("e", "")).unwrap();
    text
}

/// Runs a command of the workflow and kills it when its n-th line comes; gives the lines.
fn killed_at(command: &mut Command, nth: usize) -> (Vec<Value>, bool) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    let mut killed = false;
    while let Some(Ok(line)) = lines.next() {
        let Ok(event) = serde_json::from_str(&line) else { break };
        seen.push(event);
        if seen.len() == nth {
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    (seen, killed)
}

fn done_nodes(events: &[Value]) -> Vec<String> {
    let done = |e: &&Value| e["type"] == "node" && e["status"] == "completed";
    events.iter().filter(done).map(|e| e["node"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_run_that_is_killed_at_fifty_moments_does_nothing_twice_and_ends_the_same() {
    let bench = Bench::new();
    bench.file("thirty.yaml", thirty());
    let flags = ["--answer", "gate=yes", "--json", "--allow", "bash(echo *)"];
    let run = [&["workflow", "run", "thirty.yaml"], &flags[..]].concat();
    let output = bench.victor(&run).output().unwrap();
    let (out, err, code) = told(&output);
    assert_eq!(code, 0, "{err}");
    let whole = events(&out);
    let expected = whole.last().unwrap()["result"].clone();
    let total = whole.len();
    let mut kills = 0;
    for moment in 0..50 {
        let _ = std::fs::remove_file(bench.work().join("effects"));
        let nth = 1 + moment * (total - 1) / 50;
        let (mut seen, mut killed) = killed_at(&mut bench.victor(&run), nth);
        kills += u32::from(killed);
        let id = seen[0]["run_id"].as_str().unwrap().to_owned();
        let mut done = done_nodes(&seen);
        let effects = || std::fs::read_to_string(bench.work().join("effects")).unwrap_or_default();
        let count = |text: &str, node: &str| text.lines().filter(|l| *l == node).count();
        let (done_before, effects_before) = (done.clone(), effects());
        // The first line of the next part is told before anything else is done: each part gets further.
        let mut last = seen.last().cloned().unwrap();
        while last["type"] != "finished" {
            let resume = [&["workflow", "resume", id.as_str()], &flags[..]].concat();
            (seen, killed) = killed_at(&mut bench.victor(&resume), usize::MAX);
            assert!(!killed);
            done.extend(done_nodes(&seen));
            let Some(now) = seen.last().cloned() else { break };
            assert_ne!(now, last, "the run does not get on");
            last = now;
        }
        let now = effects();
        for node in &done_before {
            assert_eq!(count(&now, node), count(&effects_before, node), "moment {moment}: `{node}` was done again");
        }
        for node in ["first", "a0", "a4", "a8", "c", "e"] {
            assert!((1..=2).contains(&count(&now, node)), "moment {moment}: `{node}` left its trace as in {now}");
        }
        let (out, err, code) = victor(&bench, &["status", &id, "--json"]);
        assert_eq!(code, 0, "{err}");
        let state = json_of(&out);
        assert_eq!((&state["status"], &state["result"]), (&json!("completed"), &expected), "moment {moment}");
        let mut told_of: BTreeMap<String, u32> = BTreeMap::new();
        done.into_iter().for_each(|node| *told_of.entry(node).or_default() += 1);
        assert!(told_of.values().all(|n| *n == 1), "moment {moment}: a node was done twice: {told_of:?}");
    }
    assert!(kills >= 45, "only {kills} runs were killed");
}

#[test]
fn an_interrupted_run_goes_on_where_it_was() {
    let bench = Bench::new();
    bench.file(
        "slow.yaml",
        "workflows:\n  slow:\n    nodes:\n      - {id: a, type: tool, tool: bash, arguments: {command: \"echo a >> effects\"}, output: a, next: [b]}\n      - {id: b, type: tool, tool: bash, arguments: {command: \"test -e go || sleep 600\"}, output: b}\n",
    );
    let args = ["workflow", "run", "slow.yaml", "--json", "--allow", "bash(*)", "--yes"];
    let mut child = bench.victor(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = Value::Null;
    while let Some(Ok(line)) = lines.next() {
        last = json_of(&line);
        if last["type"] == "tool_call" && last["path"] == json!(["b"]) {
            assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        }
    }
    let (_, err, code) = told(&child.wait_with_output().unwrap());
    assert!(code == 130 && err.contains("victor workflow resume"), "{code} {err}");
    assert_eq!((&last["type"], &last["interrupted"]), (&json!("finished"), &json!(true)));
    bench.file("go", "");
    let id = last["workflow_id"].as_str().unwrap();
    let (out, err, code) = victor(&bench, &["resume", id, "--allow", "bash(*)", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(std::fs::read_to_string(bench.work().join("effects")).unwrap(), "a\n");
}
