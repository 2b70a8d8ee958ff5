//! Ends programs whose Victor was killed: a shell beside it knows the process groups that run, and ends them once nobody
//! holds the other end of its input any more.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::platform::Group;

/// Reads `+ GROUP MARK` and `- GROUP MARK`; when there is no more to read, ends the groups that are left, and who left
/// them and has the variable MARK, where the system shows variables. The group 0 is none yet.
const WATCH: &str = r#"trap '' HUP INT TERM
live=' '
while read -r change group mark; do
    one=$group=$mark
    case $change in
    +) live="$live$one " ;;
    -) live="${live%% $one *} ${live#* $one }" ;;
    esac
done
for one in $live; do
    [ "${one%%=*}" = 0 ] || kill -s KILL -- "-${one%%=*}"
    for left in $(grep -slzx -e "${one#*=}=1" /proc/[0-9]*/environ); do
        left=${left#/proc/}
        kill -s KILL "${left%/environ}"
    done
done"#;

static WATCHER: LazyLock<Mutex<Watcher>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Watcher {
    shell: Option<Child>,
    /// The groups, by the marks of their processes.
    live: BTreeMap<String, i32>,
}

/// A program that is watched until this is dropped, which has to be before its process id is let go of.
pub(super) struct Watched(String);

impl Watched {
    /// Watches for processes with this mark, from before there are any.
    pub(super) fn new(mark: &str) -> Self {
        Watcher::change(|watcher| {
            watcher.live.insert(mark.to_owned(), 0);
            watcher.tell(&format!("+ 0 {mark}\n"))
        });
        Self(mark.to_owned())
    }

    /// They are in this group.
    pub(super) fn in_group(&self, group: Group) {
        let (mark, group) = (&self.0, group.id());
        Watcher::change(|watcher| {
            watcher.live.insert(mark.clone(), group);
            watcher.tell(&format!("+ {group} {mark}\n- 0 {mark}\n"))
        });
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        Watcher::change(|watcher| {
            let group = watcher.live.remove(&self.0).unwrap_or_default();
            watcher.tell(&format!("- {group} {}\n", self.0))
        });
    }
}

impl Watcher {
    fn change(change: impl FnOnce(&mut Self) -> io::Result<()>) {
        let mut watcher = WATCHER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(e) = change(&mut watcher) {
            tracing::warn!(error = %e, "nobody would end the programs that run if Victor were killed");
        }
    }

    /// Tells the shell. A new one, where there is none or somebody ended it, is told all.
    fn tell(&mut self, change: &str) -> io::Result<()> {
        if let Some(input) = self.shell.as_mut().and_then(|shell| shell.stdin.as_mut())
            && input.write_all(change.as_bytes()).is_ok()
        {
            return Ok(());
        }
        if let Some(mut gone) = self.shell.take() {
            drop(gone.stdin.take());
            gone.wait()?;
        }
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WATCH, "victor-watch"]).env_clear().process_group(0);
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let all: String = self.live.iter().map(|(mark, group)| format!("+ {group} {mark}\n")).collect();
        shell.stdin.as_mut().map_or(Ok(()), |input| input.write_all(all.as_bytes()))?;
        self.shell = Some(shell);
        Ok(())
    }
}
