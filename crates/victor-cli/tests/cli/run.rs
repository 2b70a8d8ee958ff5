//! `victor run`.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::{Value, json};
use victor_tests::{ModelServer, Reply};

use crate::support::{Desk, Ended, signal};

#[test]
fn stdout_is_the_answer_and_nothing_else() {
    let server = ModelServer::start([
        Reply::call("read", json!({"path": "a.txt"})).and_text("I will look."),
        Reply::text("It says **hi**."),
    ]);
    let desk = Desk::with(&server);
    let ended = desk.file("a.txt", "hi\n").run("run look").ends(0);
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("It says **hi**.\n", ""));
    let requests = server.finish();
    assert!(requests[1].json.to_string().contains("hi"), "the file's content goes to the model");
}

#[test]
fn a_long_answer_flows_before_it_is_whole() {
    let text = "word ".repeat(400);
    let server = ModelServer::start([Reply::text(&text).cut(64).stall_after(30_000)]);
    let desk = Desk::with(&server);
    let mut child = desk.command("run write").spawn().unwrap();
    let mut begun = [0; 250];
    child.stdout.as_mut().unwrap().read_exact(&mut begun).unwrap();
    signal(&child, "INT");
    assert_eq!(Ended::of(child.wait_with_output().unwrap()).code, Some(130));
}

#[test]
fn events_are_json_lines_and_the_last_one_tells_how_it_ended() {
    let server = ModelServer::start([Reply::text("Hello.")]);
    let ended = Desk::with(&server).run("run hi --json").ends(0);
    let events: Vec<Value> = ended.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(events[0]["type"], "started");
    for (i, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], i);
    }
    let last = events.last().unwrap();
    assert_eq!((&last["type"], &last["outcome"]["status"]), (&json!("finished"), &json!("completed")));
    assert_eq!(last["outcome"]["text"], "Hello.");
}

#[test]
fn events_follow_the_published_schema() {
    let server = ModelServer::start([
        Reply::calls([
            ("read", json!({"path": "a.txt"})),
            ("bash", json!({"command": "ls"})),
            ("write", json!({"path": "b.txt", "content": "new"})),
        ])
        .thinking("First I look."),
        Reply::status(429, r#"{"error": {"message": "slow down"}}"#).header("retry-after", "0"),
        Reply::text("Done."),
    ]);
    let desk = Desk::with(&server);
    let ended = desk.file("a.txt", "hi").run("run work --json").ends(0);
    let schema = jsonschema::validator_for(&desk.run("config schema --events").ends(0).json()).unwrap();
    for line in ended.out.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let wrong: Vec<String> = schema.iter_errors(&event).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{line}: {wrong:?}");
    }
    for kind in ["retrying", "approval", "tool_result", "finished"] {
        assert!(ended.out.contains(&format!(r#""type":"{kind}""#)), "{kind}");
    }
}

#[test]
fn the_exit_code_tells_how_it_ended() {
    let denied = ModelServer::start([Reply::call("bash", json!({"command": "ls"})), Reply::text("I could not.")]);
    let ended = Desk::with(&denied).run("run list").ends(0);
    assert!(ended.err.contains("--allow 'bash(ls)'"), "{ended:?}");

    let limit = ModelServer::start([Reply::call("ls", json!({})), Reply::call("ls", json!({}))]);
    let ended = Desk::with(&limit).run("run look --max-turns 2").ends(5);
    assert!(ended.err.contains("turn limit"), "{ended:?}");

    let refused = ModelServer::options().key("other").start([]);
    let ended = Desk::with(&refused).run("run hi").ends(3);
    assert!(ended.err.starts_with("error: ") && !ended.err.contains("test-key"), "{ended:?}");

    let broken = ModelServer::start_with(|_| Reply::status(400, r#"{"error": {"message": "bad request"}}"#));
    let ended = Desk::with(&broken).run("run hi").ends(4);
    assert!(ended.err.contains("bad request"), "{ended:?}");
}

#[test]
fn without_a_key_it_says_what_to_do() {
    let ended = Desk::bare().run("run hi").ends(3);
    assert!(ended.err.contains("ANTHROPIC_API_KEY") && ended.out.is_empty(), "{ended:?}");
}

#[test]
fn wrong_names_are_errors_with_the_nearest_ones() {
    let ended = Desk::bare().run("run hi --provider anthropc").ends(3);
    assert!(ended.err.contains("`anthropic`"), "{ended:?}");
    Desk::bare().run("run hi --mode quick").ends(2);
    Desk::bare().run("run").ends(2);
    Desk::bare().run("run hi --attach none.txt --provider openai").ends(2);
}

#[test]
fn what_is_piped_in_joins_the_task() {
    let server = ModelServer::start([Reply::text("ok"), Reply::text("ok"), Reply::text("ok")]);
    let desk = Desk::with(&server);
    desk.pipe("run explain", "line one\n").ends(0);
    desk.pipe("run -", "the whole task\n").ends(0);
    desk.pipe("run", "also the task").ends(0);
    let said: Vec<String> =
        server.finish().iter().map(|r| r.messages().last().unwrap()["content"].to_string()).collect();
    assert!(said[0].contains("explain") && said[0].contains("line one"), "{said:?}");
    assert!(said[1].contains("the whole task") && said[2].contains("also the task"), "{said:?}");
}

#[test]
fn a_silent_pipe_is_given_up() {
    let server = ModelServer::start([Reply::text("ok")]);
    let desk = Desk::with(&server);
    let child = desk.command("run hi").stdin(Stdio::piped()).spawn().unwrap();
    let mut child = child;
    let stdin = child.stdin.take();
    let ended = Ended::of(child.wait_with_output().unwrap()).ends(0);
    drop(stdin);
    assert!(ended.err.contains("nothing came on stdin"), "{ended:?}");
}

#[test]
fn ctrl_c_stops_the_run_and_keeps_the_session() {
    for name in ["INT", "TERM"] {
        let server = ModelServer::start([Reply::text("never").hold()]);
        let desk = Desk::with(&server);
        let child = desk.command("run wait").spawn().unwrap();
        server.wait_for(1);
        signal(&child, name);
        let ended = Ended::of(child.wait_with_output().unwrap()).ends(130);
        assert_eq!(ended.out, "");
        server.wait_gone(1);
        let sessions = desk.run("sessions list --json").ends(0).json();
        assert_eq!(sessions[0]["title"], "wait");
    }
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let text = "line\n".repeat(4_000);
    let server = ModelServer::start([Reply::text(&text).cut(512)]);
    let desk = Desk::with(&server);
    let mut child = desk.command("run write").spawn().unwrap();
    let mut line = String::new();
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ended = Ended::of(child.wait_with_output().unwrap()).ends(141);
    assert_eq!((line.as_str(), ended.err.as_str()), ("line\n", ""));
}

#[test]
fn an_output_schema_gives_json_and_nothing_else() {
    let server = ModelServer::start_with(|_| Reply::text(r#"{"n": 4}"#));
    let desk = Desk::with(&server);
    desk.file("s.json", r#"{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": false}"#);
    let ended = desk.run("run count --output-schema s.json").ends(0);
    assert_eq!(ended.json(), json!({"n": 4}));
    desk.run("run count --output-schema missing.json").ends(2);
}

#[test]
fn flags_reach_the_model_and_the_tools() {
    let server =
        ModelServer::start([Reply::call("write", json!({"path": "new.txt", "content": "x"})), Reply::text("planned")]);
    let desk = Desk::with(&server);
    desk.file("note.md", "remember");
    desk.run("run do --model special --temperature 0.5 --max-tokens 77 --tools read,write --dry-run --attach note.md")
        .ends(0);
    assert!(!desk.work().join("new.txt").exists(), "a dry run changes nothing");
    let requests = server.finish();
    let body = &requests[0].json;
    assert_eq!((&body["model"], &body["temperature"]), (&json!("special"), &json!(0.5)));
    assert_eq!(body["tools"].as_array().unwrap().len(), 2);
    assert!(body["messages"].to_string().contains("remember") && body.to_string().contains("77"));
}

#[test]
fn yes_answers_questions_but_leaves_modes_alone() {
    let script = || [Reply::call("bash", json!({"command": "echo made > made.txt"})), Reply::text("done")];
    let server = ModelServer::start(script());
    let desk = Desk::with(&server);
    desk.run("run make --yes").ends(0);
    assert!(desk.work().join("made.txt").exists());
    let server = ModelServer::start(script());
    let desk = Desk::with(&server);
    desk.run("run make --yes --mode plan");
    assert!(!desk.work().join("made.txt").exists());
}

#[test]
fn the_environment_allows_and_chooses_a_profile() {
    let server =
        ModelServer::start([Reply::call("bash", json!({"command": "echo made > made.txt"})), Reply::text("done")]);
    let desk = Desk::with(&server);
    desk.run("profiles create small --provider openai --model tiny").ends(0);
    let mut run = desk.command("run make");
    run.env("VICTOR_ALLOW", "bash(echo *)").env("VICTOR_PROFILE", "small");
    Ended::of(run.output().unwrap()).ends(0);
    assert!(desk.work().join("made.txt").exists());
    assert_eq!(server.finish()[0].json["model"], "tiny");
}

#[test]
fn nothing_is_kept_where_nothing_shall_be() {
    let server = ModelServer::start([Reply::text("ok")]);
    let desk = Desk::with(&server);
    desk.run("run hi --no-save").ends(0);
    assert!(!desk.home().exists(), "no home is made");
}
