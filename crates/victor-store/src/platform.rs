//! What differs between operating systems: private files, and whether a process still lives.
//! Linux tells when a process began; elsewhere the process's number alone must do.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Makes the folder, and those above it that are missing, for its owner alone (0700). Folders that exist stay as
/// they are.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the file, if it is missing, for its owner alone (0600). SQLite gives its side files the same mode.
pub(crate) fn private_file(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// A mark that this process shares with none that has or had the same number; empty where the system gives none.
pub(crate) fn born() -> String {
    match process(std::process::id()) {
        Process::Lives(born) => born,
        Process::Gone | Process::Untold => String::new(),
    }
}

/// Whether the process with this number and mark still lives. In doubt it does.
pub(crate) fn lives(pid: u32, born: &str) -> bool {
    match process(pid) {
        Process::Lives(mark) => mark == born || born.is_empty(),
        Process::Gone => false,
        Process::Untold => answers(pid),
    }
}

enum Process {
    Lives(String),
    Gone,
    Untold,
}

/// Reads `/proc/<pid>/stat` (man page proc_pid_stat): field 3 is the state, field 22 the start in ticks since boot.
#[cfg(target_os = "linux")]
fn process(pid: u32) -> Process {
    let stat = match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(_) if Path::new("/proc/self/stat").exists() => return Process::Gone,
        Err(_) => return Process::Untold,
    };
    // The second field is the program's name in brackets, in which anything may stand.
    let Some((_, rest)) = stat.rsplit_once(')') else { return Process::Untold };
    let mut fields = rest.split_whitespace();
    let (state, start) = (fields.next(), fields.nth(18));
    match (state, start) {
        (Some("Z" | "X"), _) => Process::Gone,
        (Some(_), Some(start)) => {
            let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
            Process::Lives(format!("{}/{start}", boot.trim()))
        }
        _ => Process::Untold,
    }
}

#[cfg(not(target_os = "linux"))]
fn process(_: u32) -> Process {
    Process::Untold
}

fn answers(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    test_kill_process(pid) != Err(Errno::SRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_a_later_one_of_its_number_is_another() {
        assert!(lives(std::process::id(), &born()));
        assert!(!cfg!(target_os = "linux") || !lives(std::process::id(), "another boot/17"));
    }

    #[test]
    fn a_process_that_ended_is_gone_before_its_parent_looks() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mark = match process(child.id()) {
            Process::Lives(mark) => mark,
            Process::Gone | Process::Untold => String::new(),
        };
        assert!(lives(child.id(), &mark));
        child.kill().unwrap();
        // Where the system tells no more than the number, a dead process counts until its parent has looked.
        while cfg!(target_os = "linux") && lives(child.id(), &mark) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!lives(child.id(), &mark));
    }
}
