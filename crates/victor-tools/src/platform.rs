//! What differs between operating systems: opening without following links, and ending whole groups of processes.
//! Unix stands here; where the system offers less, callers are told so and fail closed.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

/// Opens the folder `name` in `dir`; a symbolic link is an error.
pub(crate) fn open_dir_at(dir: &Dir, name: &OsStr) -> io::Result<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    Ok(Dir::from_std_file(std::fs::File::from(fd)))
}

/// What stands at `name` in `dir`, links not followed.
pub(crate) fn kind_at(dir: &Dir, name: &OsStr) -> io::Result<Kind> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Link,
        FileType::Fifo => Kind::Special("a named pipe"),
        FileType::Socket => Kind::Special("a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Kind::Special("a device"),
        _ => Kind::Special("no regular file"),
    })
}

/// What can stand at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Link,
    /// Named for messages: "a device".
    Special(&'static str),
}

/// Opens the regular file `name` in `dir` for reading. Never blocks on a pipe, never follows a link.
pub(crate) fn open_file_at(dir: &Dir, name: &OsStr) -> io::Result<std::fs::File> {
    if let Kind::Special(what) = kind_at(dir, name)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = std::fs::File::from(rustix::fs::openat(dir, name, flags, Mode::empty())?);
    let kind = file.metadata()?.file_type();
    if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file"));
    }
    Ok(file)
}

/// Makes the new file `name` in `dir` with the permission bits `mode`, or with the usual ones.
pub(crate) fn create_at(dir: &Dir, name: &OsStr, mode: Option<u32>) -> io::Result<std::fs::File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let first = Mode::from_raw_mode(mode.map_or(0o666, |_| 0o600));
    let file = std::fs::File::from(rustix::fs::openat(dir, name, flags, first)?);
    if let Some(mode) = mode {
        file.set_permissions(std::fs::Permissions::from_mode(mode & 0o7777))?;
    }
    Ok(file)
}

/// The permission bits of an open file.
pub(crate) fn mode_of(file: &std::fs::File) -> io::Result<u32> {
    Ok(file.metadata()?.mode() & 0o7777)
}

/// Makes a file that only the user can read, for writing; it must not exist yet.
pub(crate) fn create_private(path: &Path) -> io::Result<std::fs::File> {
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// A process group, named by its leader, which is a child of ours that is not reaped yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group(Pid);

impl Group {
    /// The group of the child with this process id.
    pub(crate) fn of(child: &std::process::Child) -> Option<Self> {
        i32::try_from(child.id()).ok().and_then(Pid::from_raw).map(Self)
    }

    /// The number that names it.
    pub(crate) fn id(self) -> i32 {
        self.0.as_raw_nonzero().get()
    }

    /// Asks every member to end.
    pub(crate) fn terminate(self) {
        // The only failure is that nobody is left.
        let _ = rustix::process::kill_process_group(self.0, Signal::TERM);
    }

    /// Ends every member.
    pub(crate) fn kill(self) {
        let _ = rustix::process::kill_process_group(self.0, Signal::KILL);
    }

    /// Waits until the leader has ended, and leaves it unreaped, so that the group's name stays taken.
    pub(crate) fn wait_unreaped(self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(rustix::io::Errno::INTR) = rustix::process::waitid(WaitId::Pid(self.0), options) {}
    }
}

/// Ends every process that carries `NAME=value` in its environment: those that left their process group.
/// Only where the system shows environments (Linux); elsewhere the group is all that ends.
pub(crate) fn kill_marked(name: &str, value: &str) {
    let marker = format!("{name}={value}");
    // Some process may have forked while the list was read: look again until a look finds none.
    for _ in 0..8 {
        let mut found = false;
        for pid in marked(marker.as_bytes()) {
            found = true;
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        if !found {
            return;
        }
    }
}

fn marked(marker: &[u8]) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|b| *b == 0).any(|v| v == marker)
    })
    .filter_map(Pid::from_raw)
    .collect()
}

/// How a program ended: its exit code, or the name of the signal that ended it.
pub(crate) fn ending(status: std::process::ExitStatus) -> (Option<i32>, Option<String>) {
    use std::os::unix::process::ExitStatusExt;
    let name = |n: i32| match Signal::from_named_raw(n) {
        Some(signal) => format!("SIG{}", format!("{signal:?}").trim_matches('"').trim_start_matches("Signal::")),
        None => format!("signal {n}"),
    };
    (status.code(), status.signal().map(name))
}

/// Puts the program in a process group of its own.
pub(crate) fn own_group(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}
