//! Reading the log: the last lines of all its files, and what is added to them.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use victor_core::error::ConfigurationError;

use super::{PREFIX, SUFFIX};
use crate::home::Home;

/// The longest line that is kept whole, in bytes.
const LINE_LIMIT: u64 = 1 << 20;

/// A line of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// The line as it stands in the file.
    pub raw: String,
    /// Its event; `None` where the line is broken.
    pub event: Option<LogEvent>,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEvent {
    /// When, as RFC 3339.
    pub time: String,
    /// How important: `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    pub level: String,
    /// Which part of Victor.
    pub target: String,
    /// What happened.
    pub message: String,
    /// Everything else.
    pub fields: Map<String, Value>,
}

impl LogLine {
    fn new(raw: String) -> Self {
        let event = serde_json::from_str::<Map<String, Value>>(&raw).ok().map(|mut fields| {
            let mut take = |name: &str| match fields.shift_remove(name) {
                Some(Value::String(text)) => text,
                Some(other) => other.to_string(),
                None => String::new(),
            };
            let (time, level) = (take("timestamp"), take("level"));
            let (target, message) = (take("target"), take("message"));
            LogEvent { time, level, target, message, fields }
        });
        Self { raw, event }
    }
}

/// The last `count` lines, oldest first. A home without a log has none.
///
/// # Errors
/// A file or the folder cannot be read.
pub fn tail(home: &Home, count: usize) -> Result<Vec<LogLine>, ConfigurationError> {
    let folder = home.logs();
    let mut lines: VecDeque<LogLine> = VecDeque::new();
    for path in files(&folder).map_err(|e| fault(&folder, &e))?.iter().rev() {
        let missing = count - lines.len();
        if missing == 0 {
            break;
        }
        let file = last_lines(path, missing).map_err(|e| fault(path, &e))?;
        for line in file.into_iter().rev() {
            lines.push_front(line);
        }
    }
    Ok(lines.into())
}

/// Gives what is added to the log, over the change of days.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    file: Option<(PathBuf, u64)>,
}

impl Follower {
    /// Begins at the present end of the log.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn new(home: &Home) -> Result<Self, ConfigurationError> {
        let folder = home.logs();
        let newest = files(&folder).map_err(|e| fault(&folder, &e))?.pop();
        let file = newest.map(|path| {
            let end = fs::metadata(&path).map_or(0, |m| m.len());
            (path, end)
        });
        Ok(Self { folder, file })
    }

    /// The lines that were added since the last time; none is fine, ask again a moment later.
    ///
    /// # Errors
    /// A file or the folder cannot be read.
    pub fn poll(&mut self) -> Result<Vec<LogLine>, ConfigurationError> {
        let mut added = Vec::new();
        for path in files(&self.folder).map_err(|e| fault(&self.folder, &e))? {
            let from = match &self.file {
                Some((current, _)) if path < *current => continue,
                Some((current, end)) if path == *current => *end,
                _ => 0,
            };
            let end = read_from(&path, from, &mut added).map_err(|e| fault(&path, &e))?;
            self.file = Some((path, end));
        }
        Ok(added)
    }
}

/// The log's files, oldest first: their names hold the day.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let is_log = |path: &PathBuf| {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        name.starts_with(&format!("{PREFIX}.")) && name.ends_with(&format!(".{SUFFIX}"))
    };
    let mut files = entries.map(|e| e.map(|e| e.path())).collect::<io::Result<Vec<_>>>()?;
    files.retain(is_log);
    files.sort();
    Ok(files)
}

/// The last `count` lines of a file, found from its end: a long log is not read as a whole.
fn last_lines(path: &Path, count: usize) -> io::Result<Vec<LogLine>> {
    const STEP: u64 = 64 << 10;
    let mut file = File::open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    let (mut start, mut tail) = (length, Vec::new());
    while start > 0 && tail.iter().filter(|b| **b == b'\n').count() <= count {
        let step = STEP.min(start);
        start -= step;
        file.seek(SeekFrom::Start(start))?;
        let mut part = vec![0; usize::try_from(step).unwrap_or_default()];
        file.read_exact(&mut part)?;
        part.append(&mut tail);
        tail = part;
    }
    let text = String::from_utf8_lossy(&tail);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let skipped = lines.len().saturating_sub(count);
    Ok(lines[skipped..].iter().map(|l| LogLine::new((*l).to_owned())).collect())
}

/// Adds the whole lines after `from`, and tells where they end.
fn read_from(path: &Path, from: u64, lines: &mut Vec<LogLine>) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let from = if file.metadata()?.len() < from { 0 } else { from };
    file.seek(SeekFrom::Start(from))?;
    let (mut reader, mut end) = (BufReader::new(file), from);
    loop {
        let mut line = Vec::new();
        let read = reader.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line)? as u64;
        // What has no end yet is still being written.
        if read == 0 || (line.last() != Some(&b'\n') && read < LINE_LIMIT) {
            return Ok(end);
        }
        end += read;
        let text = String::from_utf8_lossy(&line);
        if !text.trim().is_empty() {
            lines.push(LogLine::new(text.trim_end().to_owned()));
        }
    }
}

fn fault(path: &Path, e: &io::Error) -> ConfigurationError {
    ConfigurationError::new(format!("the log `{}` cannot be read: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        fs::create_dir(home.logs()).unwrap();
        (folder, home)
    }

    fn write(home: &Home, day: &str, text: &str) {
        let path = home.logs().join(format!("victor.{day}.log"));
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn raw(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|l| l.raw.as_str()).collect()
    }

    #[test]
    fn a_home_without_a_log_has_no_lines() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("none"));
        assert_eq!(tail(&home, 10).unwrap(), []);
        assert_eq!(Follower::new(&home).unwrap().poll().unwrap(), []);
    }

    #[test]
    fn the_tail_goes_over_days_and_broken_lines() {
        let (_folder, home) = home();
        write(&home, "2026-01-01", "a\nb\n");
        write(
            &home,
            "2026-01-02",
            "{\"timestamp\":\"T\",\"level\":\"INFO\",\"target\":\"victor\",\"message\":\"m\",\"n\":1}\n{bro",
        );
        fs::write(home.logs().join("other.txt"), "no").unwrap();
        let lines = tail(&home, 3).unwrap();
        assert_eq!(raw(&lines)[0], "b");
        assert_eq!(lines[2], LogLine { raw: "{bro".to_owned(), event: None });
        let event = lines[1].event.as_ref().unwrap();
        assert_eq!((event.message.as_str(), event.fields["n"].as_i64()), ("m", Some(1)));
        assert_eq!(tail(&home, 0).unwrap(), []);
    }

    #[test]
    fn the_tail_of_a_long_file_is_exact() {
        let (_folder, home) = home();
        let text: String = (0..20_000).map(|i| format!("line {i} of a long file\n")).collect();
        write(&home, "2026-01-01", &text);
        let lines = tail(&home, 5_000).unwrap();
        assert_eq!(lines.len(), 5_000);
        assert_eq!(lines[0].raw, "line 15000 of a long file");
    }

    #[test]
    fn a_follower_sees_whole_lines_once_and_the_next_day() {
        let (_folder, home) = home();
        write(&home, "2026-01-01", "old\n");
        let mut follower = Follower::new(&home).unwrap();
        assert_eq!(follower.poll().unwrap(), []);
        write(&home, "2026-01-01", "one\ntw");
        assert_eq!(raw(&follower.poll().unwrap()), ["one"]);
        write(&home, "2026-01-01", "o\n");
        write(&home, "2026-01-02", "three\n");
        assert_eq!(raw(&follower.poll().unwrap()), ["two", "three"]);
        assert_eq!(follower.poll().unwrap(), []);
    }
}
