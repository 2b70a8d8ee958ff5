//! The sandbox that commands run in: what they may write and whether they may use the network.
//!
//! It is put on a thread made for the purpose, which then starts the program: landlock and seccomp pass from a thread
//! to its children, and Victor itself stays free.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
mod none;
#[cfg(not(target_os = "linux"))]
use none as platform;

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;

use victor_core::error::ToolError;
use victor_core::sandbox::{Network, Sandbox, SandboxMode, Workspace};

/// What this machine offers to sandbox programs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxSupport {
    /// The kernel's landlock interface, 0 if there is none. Victor needs 3 (Linux 6.2), which guards truncation.
    pub landlock_abi: u8,
    /// Whether system calls can be filtered, which is how the network is denied.
    pub seccomp: bool,
    /// The `bwrap` program, where it is installed. Victor does without it.
    pub bwrap: Option<PathBuf>,
    /// One line for a person: what works, or what to do about what does not.
    pub summary: String,
}

impl SandboxSupport {
    /// Whether commands can be sandboxed. Where they cannot, every command asks to run outside of the sandbox.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.landlock_abi >= 3 && self.seccomp
    }
}

/// Tries the sandbox out, once for the process.
pub fn probe() -> &'static SandboxSupport {
    static SUPPORT: OnceLock<SandboxSupport> = OnceLock::new();
    SUPPORT.get_or_init(|| {
        let (landlock_abi, seccomp) = on_fresh_thread(platform::probe).unwrap_or((0, false));
        let places = ["/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"];
        let bwrap = places.iter().map(PathBuf::from).find(|p| p.is_file());
        SandboxSupport { summary: summary(landlock_abi, seccomp), landlock_abi, seccomp, bwrap }
    })
}

fn summary(landlock_abi: u8, seccomp: bool) -> String {
    match (landlock_abi, seccomp) {
        (3.., true) => format!("commands run sandboxed (landlock {landlock_abi}, seccomp)"),
        (0, _) => "no sandbox: the system has no landlock (Linux 6.2 or newer has it, unless it is left out of the \
                   kernel's `lsm=` list or a container forbids it); every command asks to run without one"
            .to_owned(),
        (1 | 2, _) => format!(
            "no sandbox: landlock {landlock_abi} cannot guard files from being cut off; Linux 6.2 or newer can; every \
             command asks to run without one"
        ),
        (_, false) => {
            "no sandbox: system calls cannot be filtered (seccomp), a container may forbid it; every command \
                       asks to run without one"
                .to_owned()
        }
    }
}

/// The folders that a sandboxed program may write in, and whether it may use the network.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    writable: Vec<PathBuf>,
    network: Network,
}

/// The temporary folder that a program gets.
#[derive(Debug)]
pub(crate) enum Temporary {
    /// The system's.
    Shared,
    /// One of its own, which is deleted with this value.
    Own(tempfile::TempDir),
}

impl Temporary {
    /// The folder, if it is an own one.
    pub(crate) fn own(&self) -> Option<&Path> {
        match self {
            Self::Shared => None,
            Self::Own(dir) => Some(dir.path()),
        }
    }
}

/// The limits for a program started by a call; `None` without a sandbox. A program that may write nothing else gets a
/// temporary folder of its own, and so does one whose workspace lies in the system's temporary folder: there the
/// shared one would open the workspace's neighbours.
///
/// # Errors
/// The sandbox cannot be set up here, or there is no place for a temporary folder.
pub(crate) fn limits(sandbox: &Sandbox, workspace: &Workspace) -> Result<(Option<Limits>, Temporary), ToolError> {
    let mut writable = match sandbox.mode {
        SandboxMode::Off => return Ok((None, Temporary::Shared)),
        SandboxMode::ReadOnly => Vec::new(),
        SandboxMode::WorkspaceWrite => workspace.writable().map(Path::to_owned).collect(),
    };
    if !probe().usable() {
        return Err(ToolError::Denied(probe().summary.clone()));
    }
    let shared = std::env::temp_dir();
    let canonical = shared.canonicalize().unwrap_or_else(|_| shared.clone());
    let near = workspace.writable().any(|folder| folder.starts_with(&canonical));
    let temporary = if near || sandbox.mode == SandboxMode::ReadOnly {
        let made = tempfile::Builder::new().prefix("victor-").tempdir();
        Temporary::Own(made.map_err(|e| ToolError::model(format!("no temporary folder can be made: {e}")))?)
    } else {
        writable.push(PathBuf::from("/dev/shm"));
        writable.push(PathBuf::from("/var/tmp"));
        Temporary::Shared
    };
    writable.push(temporary.own().map_or(canonical, Path::to_owned));
    let writable = writable.into_iter().flat_map(|folder| open_parts(folder, &workspace.closed)).collect();
    Ok((Some(Limits { writable, network: sandbox.network }), temporary))
}

/// The folder, or what is in it beside the closed folders: landlock grants a folder with all that is below, so the
/// folders above a closed one cannot be granted themselves, and nothing new can be made right in them. Links are left
/// out, they would grant what they point to.
fn open_parts(folder: PathBuf, closed: &[PathBuf]) -> Vec<PathBuf> {
    if closed.iter().any(|c| folder.starts_with(c)) {
        return Vec::new();
    }
    if !closed.iter().any(|c| c.starts_with(&folder)) {
        return vec![folder];
    }
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let own = entries.filter(|e| e.file_type().is_ok_and(|t| !t.is_symlink()));
    own.flat_map(|e| open_parts(e.path(), closed)).collect()
}

/// Starts a program under `limits`. Blocks until it is started.
///
/// # Errors
/// The program cannot be started, or the sandbox cannot be set up: then nothing was started.
pub(crate) fn spawn(mut command: Command, limits: Option<Limits>) -> Result<Child, String> {
    on_fresh_thread(move || {
        if let Some(limits) = limits {
            platform::restrict(&limits).map_err(|e| format!("the sandbox cannot be set up: {e}"))?;
        }
        let program = command.get_program().to_string_lossy().into_owned();
        command.spawn().map_err(|e| format!("{program} cannot be started: {e}"))
    })
    .unwrap_or_else(|| Err("no thread can be made to start a program from".to_owned()))
}

/// Runs `work` on a thread of its own, which ends with it; `None` if there can be none.
fn on_fresh_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let thread = std::thread::Builder::new().name("victor-spawn".to_owned()).spawn(work).ok()?;
    thread.join().ok()
}
