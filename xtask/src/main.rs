//! Developer commands: `cargo xtask <command>`. Each prints what it does and ends with a non-zero status when
//! anything failed or could not be checked.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that tells its progress")]

mod bench;
mod llama;
mod model;
mod peers;
mod schema;
mod sh;
mod source;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <command>

  test [ARGS]   all tests, with what they need; ARGS go to the test runner (a name to filter by, say)
  llama         the tests of the local models, computed by llama.cpp
  tidy          format, lints, documentation, and the rules for source files
  schema        writes the published JSON schemas into docs/schemas
  bench         benches, and whole-process figures of the release binary";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let done = match command.as_str() {
        "test" => test::run(&rest),
        "llama" => llama::run(),
        "tidy" => tidy::run(),
        "schema" => schema::run(),
        "bench" => bench::run(),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
