//! Victor's log: JSON lines in a file a day, of every door, without secrets and without what was said.

mod read;

pub use read::{Follower, LogEvent, LogLine, tail};

use std::path::Path;
use std::{fmt, fs, io};

use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use victor_core::error::ConfigurationError;
use victor_core::id::{Clock as _, Timestamp};

use crate::clock::SystemClock;
use crate::config::{Config, Level};
use crate::home::Home;
use crate::platform;

/// How the files begin; the day follows.
const PREFIX: &str = "victor";
/// How the files end.
const SUFFIX: &str = "log";
/// Days that are kept where the configuration says nothing.
const KEEP_DAYS: u32 = 7;

/// Writes out what is still to be written when dropped. Keep it until the end of the process.
#[must_use]
pub struct LogGuard {
    _worker: Option<WorkerGuard>,
}

impl fmt::Debug for LogGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogGuard")
    }
}

/// Starts the log of this process. `verbose` is how often `-v` was given; `console` is what goes to stderr too. Level: `-v` > `VICTOR_LOG_LEVEL` and
/// `log.level` > `info`. Only Victor's own events are logged below `warn`: those of libraries could hold what was said.
///
/// # Errors
/// The folder cannot be made or written to, or the process has a log already.
pub fn start(
    home: &Home,
    config: &Config,
    verbose: u8,
    console: Option<Level>,
) -> Result<LogGuard, ConfigurationError> {
    let level = level(config, verbose);
    if level == Level::Off {
        return Ok(LogGuard { _worker: None });
    }
    let folder = home.logs();
    let fail = |e: &dyn fmt::Display| {
        ConfigurationError::new(format!("the log in `{}` cannot be started: {e}", folder.display()))
    };
    platform::private_folder(&folder).map_err(|e| fail(&e))?;
    let days = config.log.keep_days.map_or(KEEP_DAYS, std::num::NonZero::get);
    prune(&folder, days, SystemClock.now()).map_err(|e| fail(&e))?;
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix(PREFIX)
        .filename_suffix(SUFFIX)
        // At midnight it makes room for one more file, and counts this day's where another process has begun it.
        .max_log_files(days as usize + 1)
        .build(&folder)
        .map_err(|e| fail(&e))?;
    let (writer, worker) = tracing_appender::non_blocking(file);
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(writer);
    let others = LevelFilter::from(level).min(LevelFilter::WARN);
    let filter = Targets::new()
        .with_default(others)
        // Every request that an MCP client gets wrong is a warning to it.
        .with_target("rmcp", others.min(LevelFilter::ERROR))
        .with_target("victor", LevelFilter::from(level));
    let console = console.map(|level| {
        let text = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_target(false);
        text.with_filter(LevelFilter::from(level))
    });
    let log = tracing_subscriber::registry().with(filter).with(lines).with(console);
    log.try_init().map_err(|e| fail(&e))?;
    Ok(LogGuard { _worker: Some(worker) })
}

/// Deletes the files of days before the last `days`, of which today is one.
fn prune(folder: &Path, days: u32, now: Timestamp) -> io::Result<()> {
    let before = i64::from(days - 1).saturating_mul(24 * 60 * 60 * 1_000_000);
    let first = Timestamp::from_micros(now.as_micros().saturating_sub(before)).to_string();
    let first = format!("{PREFIX}.{}", first.get(..10).unwrap_or_default());
    for file in read::files(folder)? {
        let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        // Another process may have deleted it at the same moment.
        if name < first.as_str() && fs::remove_file(&file).is_err() && file.exists() {
            tracing::warn!(file = %file.display(), "an old log file cannot be deleted");
        }
    }
    Ok(())
}

fn level(config: &Config, verbose: u8) -> Level {
    let configured = config.log.level.unwrap_or_default();
    match verbose {
        0 => configured,
        1 => configured.max(Level::Debug),
        2.. => Level::Trace,
    }
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Off => Self::OFF,
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}
