//! `cargo xtask tidy`: format, lints, documentation, and the rules for source files.
//! All are run, so that one call tells everything that is wrong.

use crate::test::FIXTURES;
use crate::{sh, source};

/// Runs them all.
pub(crate) fn run() -> Result<(), String> {
    let mut docs = sh::cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
    docs.env("RUSTDOCFLAGS", "-Dwarnings");
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked"];
    let failures: Vec<String> = [
        sh::run(sh::cargo(&["fmt", "--all", "--check"])),
        sh::run(sh::cargo(&[&clippy[..], &FIXTURES, &["--", "-Dwarnings"]].concat())),
        sh::run(docs),
        source::check(&sh::root()),
    ]
    .into_iter()
    .filter_map(Result::err)
    .collect();
    if failures.is_empty() {
        println!("\ntidy");
        return Ok(());
    }
    Err(failures.join("\n"))
}
