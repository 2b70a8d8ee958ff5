//! The log as it is written and read back. One test a process: a process has one log.

use victor::Home;
use victor::config::Config;
use victor::log::{self, Follower};

#[test]
fn the_files_of_so_many_days_are_kept_and_never_is_todays_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path().join("home"));
    std::fs::create_dir_all(home.logs()).unwrap();
    for old in ["victor.2000-01-01.log", "victor.2000-01-02.log", "victor.mine.txt"] {
        std::fs::write(home.logs().join(old), "{}\n").unwrap();
    }
    let config = Config { log: serde_json::from_str(r#"{"keep_days": 1}"#).unwrap(), ..Config::default() };
    let guard = log::start(&home, &config, 0, None).unwrap();
    tracing::info!(target: "victor_core::agent", "the first");
    drop(guard);
    // The next process of the day; this one has its log already, which it finds out last.
    assert!(log::start(&home, &config, 0, None).is_err());
    let lines = log::tail(&home, 10).unwrap();
    assert_eq!(lines.iter().map(|l| l.event.as_ref().unwrap().message.as_str()).collect::<Vec<_>>(), ["the first"]);
    assert_eq!(std::fs::read_dir(home.logs()).unwrap().count(), 2);
}

#[test]
fn what_victor_logs_can_be_read_back_and_what_others_log_below_warnings_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path().join("home"));
    let guard = log::start(&home, &Config::default(), 0, None).unwrap();
    let mut follower = Follower::new(&home).unwrap();
    tracing::info!(target: "victor_core::agent", run = "r1", turns = 3, "run ended");
    tracing::debug!(target: "victor_core::agent", "too much detail");
    tracing::info!(target: "hyper::client", "somebody's request body");
    tracing::warn!(target: "hyper::client", "connection lost");
    assert!(log::start(&home, &Config::default(), 0, None).is_err());
    drop(guard);
    let lines = log::tail(&home, 10).unwrap();
    let events: Vec<_> = lines.iter().map(|l| l.event.clone().unwrap()).collect();
    assert_eq!(events.iter().map(|e| e.message.as_str()).collect::<Vec<_>>(), ["run ended", "connection lost"]);
    assert_eq!((events[0].level.as_str(), events[0].target.as_str()), ("INFO", "victor_core::agent"));
    assert_eq!(events[0].fields["turns"].as_u64(), Some(3));
    assert!(events[0].time.starts_with("20"), "{}", events[0].time);
    assert_eq!(follower.poll().unwrap(), lines);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(home.logs()).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn all_files_are_kept_where_more_days_are_said_than_there_were() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path().join("home"));
    std::fs::create_dir_all(home.logs()).unwrap();
    std::fs::write(home.logs().join("victor.2000-01-01.log"), "{}\n").unwrap();
    let config = Config { log: serde_json::from_str(r#"{"keep_days": 4294967295}"#).unwrap(), ..Config::default() };
    drop(log::start(&home, &config, 0, None).unwrap());
    assert_eq!(std::fs::read_dir(home.logs()).unwrap().count(), 2);
}
