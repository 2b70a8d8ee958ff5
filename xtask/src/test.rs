//! `cargo xtask test`: all tests of the workspace, after what they need is there.
//! What cannot run on this machine is named at the end, never passed over in silence.

use crate::{model, peers, sh};

/// A program of the system that tests use.
pub(crate) struct Need {
    pub(crate) program: &'static str,
    pub(crate) version_flag: &'static str,
    /// The Debian package that has it.
    pub(crate) package: &'static str,
    /// What does not run without it.
    pub(crate) without: &'static str,
    pub(crate) must: Must,
}

pub(crate) enum Must {
    /// Without it, the tests fail.
    Have,
    /// Without it, the tests that use it end early and are named.
    Like,
}

const NEEDS: [Need; 5] = [
    Need { program: "git", version_flag: "--version", package: "git", without: "the git tools", must: Must::Have },
    Need {
        program: "bash",
        version_flag: "--version",
        package: "bash",
        without: "the tool that runs commands",
        must: Must::Have,
    },
    Need {
        program: "tmux",
        version_flag: "-V",
        package: "tmux",
        without: "the interactive chat in a real terminal",
        must: Must::Like,
    },
    Need {
        program: "npm",
        version_flag: "--version",
        package: "npm",
        without: "the MCP conformance suite, and MCP clients and servers from npm",
        must: Must::Like,
    },
    Need {
        program: "python3",
        version_flag: "--version",
        package: "python3-venv",
        without: "MCP clients and servers from the Python index",
        must: Must::Like,
    },
];

/// The server that the MCP conformance suite is run against, which no build for users has.
pub(crate) const FIXTURES: [&str; 2] = ["--features", "victor-mcp/conformance"];

/// Runs the tests; `args` go to the test runner.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let mut gaps = provide(&NEEDS)?;
    gaps.extend(peers::provide());
    gaps.extend(model::provide());
    let nextest = nextest();
    if !nextest {
        gaps.push("cargo-nextest: not there and not installable; `cargo test` ran the tests instead".to_owned());
    }
    // Once, with the profile and features of the tests, so that tests find the binary and nothing compiles twice.
    let build = ["build", "--workspace", "--lib", "--bins", "--tests", "--examples"];
    let mut done = sh::run(sh::cargo(&[&build[..], &FIXTURES].concat()));
    if done.is_ok() {
        let runner: &[&str] =
            if nextest { &["nextest", "run", "--workspace"] } else { &["test", "--workspace", "--all-targets"] };
        let args = args.iter().map(String::as_str).collect::<Vec<_>>();
        let args = [runner, &FIXTURES, &args].concat();
        let tests = sh::run(sh::cargo(&args));
        let docs = sh::run(sh::cargo(&["test", "--workspace", "--doc", "--quiet"]));
        done = tests.and(docs);
    }
    println!();
    match (&done, gaps.as_slice()) {
        (Ok(()), []) => println!("all parts ran and passed"),
        (Ok(()), gaps) => println!("passed; could not run on this machine:\n  {}", gaps.join("\n  ")),
        (Err(_), []) => {}
        (Err(_), gaps) => println!("could not run on this machine:\n  {}", gaps.join("\n  ")),
    }
    done
}

/// Installs what is missing where that is possible; tells what will not run.
pub(crate) fn provide(needs: &[Need]) -> Result<Vec<String>, String> {
    let missing = || needs.iter().filter(|need| !sh::has(need.program, need.version_flag)).collect::<Vec<_>>();
    let absent = missing();
    if absent.is_empty() {
        return Ok(Vec::new());
    }
    let packages: Vec<&str> = absent.iter().map(|need| need.package).collect();
    let advice = format!("apt-get install {}", packages.join(" "));
    if sh::is_root() && sh::has("apt-get", "--version") {
        install(&packages);
    } else {
        println!("missing programs; on Debian, as root: {advice}");
    }
    let mut gaps = Vec::new();
    for need in missing() {
        match need.must {
            Must::Have => return Err(format!("the tests need {}; on Debian, as root: {advice}", need.program)),
            Must::Like => gaps.push(format!("{} (needs {})", need.without, need.program)),
        }
    }
    Ok(gaps)
}

/// Failing is no error here: what is still missing afterwards is told.
fn install(packages: &[&str]) {
    let apt = |args: &[&str]| {
        let mut command = sh::command("apt-get", args);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        sh::run(command)
    };
    let args = [&["install", "-qy", "--no-install-recommends"], packages].concat();
    if let Err(why) = apt(&["update", "-q"]).and_then(|()| apt(&args)) {
        println!("{why}");
    }
}

/// Whether cargo-nextest is there, after an attempt to install it.
fn nextest() -> bool {
    let there = || sh::works(sh::cargo(&["nextest", "--version"]));
    there() || sh::run(sh::cargo(&["install", "cargo-nextest", "--locked"])).is_ok() && there()
}
