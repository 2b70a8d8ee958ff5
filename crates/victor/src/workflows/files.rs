//! Files of workflows as they lie on disk: which there are, how they are, and their texts.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use victor_core::error::ConfigurationError;
use victor_workflow::library::SourceFile;
use victor_workflow::yaml::{MAX_FILE, Mistakes};

use crate::platform::{self, Content, Links};

/// How a file was: when it was changed last, and its length.
pub(super) type Stamp = (PathBuf, Option<SystemTime>, u64);

/// How the files of these folders are now, and `beside` with them.
pub(super) fn stamps<'a>(folders: impl Iterator<Item = &'a Path>, beside: &Path) -> Vec<Stamp> {
    let all = folders.flat_map(names).chain([beside.to_owned()]);
    all.map(|path| {
        let about = path.metadata().ok();
        let changed = about.as_ref().and_then(|m| m.modified().ok());
        (path, changed, about.map_or(0, |m| m.len()))
    })
    .collect()
}

/// The workflow files of a folder, by name; none where there is no such folder.
pub(super) fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut names: Vec<PathBuf> = entries.map(|e| e.path()).filter(|p| is_workflow(p)).collect();
    names.sort();
    names
}

fn is_workflow(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "yaml" || e == "yml")
}

/// SHA-256 over the names and contents of a project's workflow files; `None` where there are none.
pub(super) fn hash(folder: &Path) -> Option<String> {
    let mut hash = Sha256::new();
    let names = names(folder);
    for path in &names {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let text = read_own(folder, &name, &name).unwrap_or_default();
        for part in [name.as_bytes(), text.as_bytes()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    let bytes = hash.finalize();
    (!names.is_empty()).then(|| bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// The files of a folder, each with its text or why it has none. `shown` is how messages name them.
pub(super) fn folder(
    folder: &Path,
    shown: &dyn Fn(&Path) -> String,
    links: Links,
) -> Vec<Result<SourceFile, Mistakes>> {
    let one = |path: PathBuf| {
        let shown = shown(&path);
        let text = match links {
            Links::Follow => read(&path, &shown, links),
            Links::Refuse => read_own(folder, &path.file_name().unwrap_or_default().to_string_lossy(), &shown),
        };
        match text {
            Ok(text) => Ok(SourceFile { path: shown, text }),
            Err(e) => Err(Mistakes::of(&shown, e.message)),
        }
    };
    names(folder).into_iter().map(one).collect()
}

/// The text of a workflow file.
pub(super) fn read(path: &Path, shown: &str, links: Links) -> Result<String, ConfigurationError> {
    text(platform::read_limited(path, MAX_FILE, links), shown)
}

/// The text of a project's own file: neither it nor its folder may be a symbolic link.
pub(super) fn read_own(folder: &Path, name: &str, shown: &str) -> Result<String, ConfigurationError> {
    text(platform::read_inside(folder, name, MAX_FILE), shown)
}

fn text(read: std::io::Result<Content>, shown: &str) -> Result<String, ConfigurationError> {
    let fail = |why: String| ConfigurationError::new(format!("{shown} cannot be read: {why}"));
    match read.map_err(|e| fail(e.to_string()))? {
        Content::Missing => {
            let text = format!("there is no file {shown}; `victor workflow list` shows the workflows that have a name");
            Err(ConfigurationError::with_code("WORKFLOW_NOT_FOUND", text))
        }
        Content::TooLong(_) => Err(fail(format!("it is longer than {MAX_FILE} bytes"))),
        Content::Bytes(bytes) => String::from_utf8(bytes).map_err(|_| fail("it is not UTF-8".to_owned())),
    }
}
