//! Programs of this machine end with the wish for them.

use std::path::PathBuf;

use rustix::process::{Pid, test_kill_process};
use victor_local::weights::{Call, Programs, Runner as _};

fn call(folder: &std::path::Path, script: &str) -> Call {
    let args = ["-c", script].map(Into::into).to_vec();
    Call { program: "sh", args, temporary: PathBuf::from(folder) }
}

#[tokio::test]
async fn a_program_that_nobody_waits_for_ends_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let script = "sleep 600 & echo \"$$ $!\" > pids.new; mv pids.new pids; wait";
    let call = call(folder.path(), script);
    let pids = folder.path().join("pids");
    let begun = async {
        while !pids.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        ended = Programs.run(&call) => panic!("it ended: {ended:?}"),
        () = begun => {}
    }
    for pid in std::fs::read_to_string(pids).unwrap().split_whitespace() {
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        while test_kill_process(pid).is_ok() && !is_zombie(pid) {
            tokio::task::yield_now().await;
        }
    }
}

/// Whether it has ended and only its number is left, which nobody may have taken here.
fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.contains(") Z")
}

#[tokio::test]
async fn what_a_program_says_and_how_it_ends_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let ended = Programs.run(&call(folder.path(), "echo out; echo err >&2; exit 3")).await.unwrap();
    assert_eq!((ended.success, ended.said.as_str(), ended.printed.as_str()), (false, "err\n", "out\n"));
    assert!(Programs.run(&call(folder.path(), "exit 0")).await.unwrap().success);
    let missing = Call { program: "victor-has-no-such-program", ..call(folder.path(), "") };
    assert_eq!(Programs.run(&missing).await.unwrap_err().kind(), std::io::ErrorKind::NotFound);
}
