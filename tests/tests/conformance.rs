//! The official MCP conformance suite against Victor's server and client, for every revision that it knows.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rstest::rstest;
use serde_json::Value;
use victor_tests::peers;
use victor_tests::product::built;

#[rstest]
fn server_conforms(#[values("2025-06-18", "2025-11-25", "2026-07-28")] revision: &str) {
    let Some(mut suite) = peers::from_npm("conformance") else { return };
    let server = Serving::start(&built("examples/conformance"));
    suite.args(["server", "--suite", "all", "--url", &server.url]);
    judge("server", revision, suite);
}

#[rstest]
fn client_conforms(#[values("2025-06-18", "2025-11-25", "2026-07-28")] revision: &str) {
    let Some(mut suite) = peers::from_npm("conformance") else { return };
    suite.args(["client", "--suite", "all", "--command"]).arg(built("examples/mcp_conformance_client"));
    judge("client", revision, suite);
}

/// The server with the tools, prompts and resources that the suite calls by name.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    fn start(program: &Path) -> Self {
        let mut child = Command::new(program).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the suite; every check that fails must stand in `tests/peers/expected-failures.txt` with a reason, and every
/// line there must fail. Its exit code does not count: it is 0 when checks were skipped.
fn judge(side: &str, revision: &str, mut suite: Command) {
    let results = tempfile::tempdir().unwrap();
    let output = suite.args(["--spec-version", revision, "-o"]).arg(results.path()).output().unwrap();
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let (mut failed, mut details) = (BTreeSet::new(), String::new());
    for (scenario, check) in checks(results.path()) {
        let status = check["status"].as_str().unwrap();
        *counts.entry(status.to_owned()).or_default() += 1;
        if status == "FAILURE" {
            failed.insert(format!("{scenario} {}", check["id"].as_str().unwrap()));
            details += &format!("{scenario}: {check:#}\n");
        }
    }
    println!("{side}, {revision}: {counts:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(counts.get("SUCCESS").is_some_and(|&n| n > 0), "the suite checked nothing: {said}");
    assert_eq!(failed, expected(side, revision), "{details}");
}

/// Every check of every scenario, with the scenario's name.
fn checks(results: &Path) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut folders = vec![results.to_owned()];
    while let Some(folder) = folders.pop() {
        folders.extend(std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()));
        let Ok(text) = std::fs::read_to_string(folder.join("checks.json")) else { continue };
        let scenario = scenario(folder.strip_prefix(results).unwrap());
        let found: Vec<Value> = serde_json::from_str(&text).unwrap();
        all.extend(found.into_iter().map(|check| (scenario.clone(), check)));
    }
    all
}

/// `auth/metadata-default-2026-11-25T13-29-33-060Z` without its time.
fn scenario(folder: &Path) -> String {
    let name = folder.to_str().unwrap();
    let time = "-2026-11-25T13-29-33-060Z".len();
    name[..name.len() - time].trim_start_matches("server-").to_owned()
}

/// The lines `side revision scenario check  # reason` of this side and revision.
fn expected(side: &str, revision: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(peers::file("expected-failures.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let of_this = lines.filter_map(|line| {
        let (what, reason) = line.split_once('#').unwrap_or_else(|| panic!("no reason is given: {line}"));
        assert!(!reason.trim().is_empty(), "no reason is given: {line}");
        what.trim().strip_prefix(&format!("{side} {revision} ")).map(ToOwned::to_owned)
    });
    of_this.collect()
}
