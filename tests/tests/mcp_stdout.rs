//! Nothing but the protocol is on stdout of `victor mcp --stdio`, whoever writes there.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::json;
use victor_tests::pipes::Piped;
use victor_tests::product::{Bench, built};
use victor_tests::{ModelServer, Reply};

fn link(server: &Piped, descriptor: u32) -> String {
    let path = format!("/proc/{}/fd/{descriptor}", server.id());
    fs::read_link(path).unwrap().display().to_string()
}

/// The pipes that a process has open, beside the first three descriptors.
fn pipes(process: &str) -> BTreeSet<String> {
    let all = fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten();
    let named = all.filter(|fd| fd.file_name().to_str().unwrap().parse::<u32>().unwrap() > 2);
    let targets = named.filter_map(|fd| fs::read_link(fd.path()).ok()).map(|to| to.display().to_string());
    targets.filter(|to| to.starts_with("pipe:")).collect()
}

/// What a `println!` anywhere in the process, in a library, or in a program that it started without thinking does.
fn write_to(server: &Piped, descriptor: u32, text: &str) {
    let path = format!("/proc/{}/fd/{descriptor}", server.id());
    let mut file = fs::OpenOptions::new().write(true).open(Path::new(&path)).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn what_is_written_to_stdout_in_the_process_lands_on_stderr() {
    let bench = Bench::new();
    bench.file("a.txt", "hello\n");
    let mut server = Piped::greeted(bench.victor(&["mcp", "--stdio"]), &json!({}));
    assert_eq!(link(&server, 1), link(&server, 2), "descriptor 1 is standard error");
    assert_eq!(link(&server, 0), "/dev/null");
    for n in 0..20 {
        write_to(&server, 1, &format!("noise {n} without an end"));
        assert_eq!(server.text("read", &json!({"path": "a.txt"})), "     1\thello\n");
    }
    let (code, err) = server.close();
    assert!(code == 0 && err.contains("noise 0 without an end") && err.contains("noise 19"), "{code}: {err}");
}

#[test]
fn programs_that_it_starts_write_elsewhere_and_have_none_of_its_pipes() {
    let bench = Bench::new();
    let flow = "workflows:\n  loud:\n    description: Says much\n    nodes:\n      \
                - {id: shout, type: tool, tool: bash, arguments: {command: \"echo workflow-noise; echo more >&2\"}}\n";
    bench.file(".victor/workflows/loud.yaml", flow);
    let program = built("mcp_server");
    fs::write(
        bench.home().join("config.yaml"),
        format!("mcpServers: {{s: {{command: {program:?}, args: [banner]}}}}\n"),
    )
    .unwrap();
    let model = ModelServer::start([
        Reply::calls(vec![("bash", json!({"command": "echo agent-noise"})), ("s__echo", json!({"text": "x"}))]),
        Reply::text("done"),
    ]);
    let before = pipes("self");
    let mut server = Piped::greeted(bench.with_model(&model, &["mcp", "--stdio", "--yes"]), &json!({}));
    let own: BTreeSet<_> = pipes(&server.id().to_string()).difference(&before).cloned().collect();
    assert!(own.len() >= 2, "{own:?}");
    // Every line that comes is held to be a message.
    let said = server
        .text("bash", &json!({"command": "echo noise; echo noise >&2; echo noise > /dev/tty; ls -l /proc/self/fd"}));
    assert!(said.contains("noise") && own.iter().all(|pipe| !said.contains(pipe)), "{said} has one of {own:?}");
    let stolen = server.text("bash", &json!({"command": "cat; echo read nothing"}));
    assert!(stolen.contains("read nothing"), "{stolen}");
    let ran = server.call("run_agent", &json!({"task": "make noise"}));
    assert_eq!(ran["structuredContent"]["status"], "completed", "{ran}");
    let flowed = server.call("run_workflow", &json!({"workflow": "loud"}));
    assert_eq!(flowed["structuredContent"]["status"], "completed", "{flowed}");
    assert_eq!(server.ask("ping", &json!({}))["result"], json!({}));
    model.finish();
    assert_eq!(server.close().0, 0);
}

fn hello() -> String {
    let hello =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}).to_string() + "\n"
}

/// Clients connect pipes, sockets (Node.js does) or files, and other programs may have the same ones.
#[test]
fn sockets_and_files_do_as_well_and_nobody_elses_pipe_changes() {
    let (bench, hello) = (Bench::new(), hello());
    let (near, far) = UnixStream::pair().unwrap();
    let ends = (far.try_clone().unwrap(), far);
    let mut command = bench.victor(&["mcp", "--stdio"]);
    let mut child = command.stdin(OwnedFd::from(ends.0)).stdout(OwnedFd::from(ends.1)).spawn().unwrap();
    drop(command);
    (&near).write_all(hello.as_bytes()).unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    let mut said = String::new();
    (&near).read_to_string(&mut said).unwrap();
    assert!(said.contains("\"victor\"") && child.wait().unwrap().success(), "{said}");

    bench.file("in", &hello);
    let (mut read, write) = std::io::pipe().unwrap();
    let mut command = bench.victor(&["mcp", "--stdio"]);
    command.stdin(fs::File::open(bench.work().join("in")).unwrap()).stdout(write.try_clone().unwrap());
    let mut child = command.spawn().unwrap();
    drop(command);
    assert!(child.wait().unwrap().success());
    let flags = fs::read_to_string(format!("/proc/self/fdinfo/{}", write.as_raw_fd())).unwrap();
    let flags = flags.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
    assert_eq!(i64::from_str_radix(flags, 8).unwrap() & 0o4000, 0, "O_NONBLOCK is set for others too");
    drop(write);
    said.clear();
    read.read_to_string(&mut said).unwrap();
    assert!(said.contains("\"victor\""), "{said}");
}

#[test]
fn a_named_pipe_whose_writer_went_before_it_was_looked_at_ends_too() {
    let bench = Bench::new();
    let path = bench.work().join("in");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let to = path.clone();
    let writer = std::thread::spawn(move || fs::write(to, hello()).unwrap());
    let read = fs::File::open(&path).unwrap();
    writer.join().unwrap();
    let mut child = bench.victor(&["mcp", "--stdio"]).stdin(read).stdout(Stdio::piped()).spawn().unwrap();
    let (mut out, (told, heard)) = (child.stdout.take().unwrap(), channel());
    std::thread::spawn(move || {
        let mut said = String::new();
        out.read_to_string(&mut said).unwrap();
        told.send(said).unwrap();
    });
    let said = heard.recv_timeout(Duration::from_secs(20));
    drop(child.kill());
    child.wait().unwrap();
    assert!(said.unwrap().contains("\"victor\""));
}
