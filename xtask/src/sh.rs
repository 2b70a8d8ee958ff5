//! Running other programs from the workspace's root, and asking what this machine has.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// A command that runs in the workspace's root and reads no input.
pub(crate) fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root()).stdin(Stdio::null());
    command
}

/// `cargo` with these arguments: the one that runs this program.
pub(crate) fn cargo(args: &[&str]) -> Command {
    command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()), args)
}

/// Prints the command and runs it to its end.
pub(crate) fn run(mut command: Command) -> Result<(), String> {
    let line = shown(&command);
    println!("\n$ {line}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("failed ({status}): {line}")),
        Err(e) => Err(format!("could not be started ({e}): {line}")),
    }
}

/// Whether a command succeeds, with nothing printed.
pub(crate) fn works(mut command: Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Whether the program is there.
pub(crate) fn has(program: &str, version_flag: &str) -> bool {
    works(command(program, &[version_flag]))
}

/// Whether this process may do anything on this machine.
pub(crate) fn is_root() -> bool {
    let output = command("id", &["-u"]).output();
    output.is_ok_and(|o| o.stdout.trim_ascii() == b"0")
}

fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    words.join(" ")
}
