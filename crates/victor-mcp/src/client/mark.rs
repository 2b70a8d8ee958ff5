//! The variable by which a server's processes are known, also those that left its process group.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use rustix::process::{Pid, Signal, kill_process};

/// How often the list of processes is read: some may have forked while it was.
const LOOKS: usize = 8;

/// Its name; no other server has the same.
pub(super) struct Mark(pub(super) String);

impl Mark {
    pub(super) fn new() -> Self {
        Self(format!("VICTOR_MCP_SERVER_{:016x}", RandomState::new().build_hasher().finish()))
    }

    /// The variable with its value.
    pub(super) fn pair(&self) -> String {
        format!("{}=1", self.0)
    }

    /// Ends whoever has it. Where the system does not show variables, that is nobody.
    pub(super) fn kill(&self) {
        for _ in 0..LOOKS {
            let left = self.left();
            if left.is_empty() {
                return;
            }
            for pid in left {
                // The only failure is that it is gone.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }

    fn left(&self) -> Vec<Pid> {
        let pair = self.pair();
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
        let has = |pid: &i32| {
            let path = format!("/proc/{pid}/environ");
            std::fs::read(path).is_ok_and(|all| all.split(|b| *b == 0).any(|v| v == pair.as_bytes()))
        };
        pids.filter(has).filter_map(Pid::from_raw).collect()
    }
}
