//! The folder for tool outputs that are too long for an answer: the user's, or one that goes with the runtime.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;
use victor_core::error::ConfigurationError;
use victor_core::id::Timestamp;

use crate::env::Env;
use crate::home::Home;

/// How long a saved output is kept.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// Where long outputs go.
#[derive(Debug)]
pub(crate) enum Outputs {
    /// In the user's home, for a week.
    Kept(PathBuf),
    /// In a folder of their own, which is deleted with this value.
    Temporary(TempDir),
}

impl Outputs {
    /// The folder in the home; old outputs in it are deleted.
    pub(crate) fn kept(home: &Home, now: Timestamp) -> Self {
        let folder = home.outputs();
        sweep(&folder, now);
        // Tools compare canonical paths, and the home may be reached over a link.
        let root = home.root().canonicalize();
        Self::Kept(root.map_or(folder, |root| root.join("outputs")))
    }

    /// A folder that nothing stays in.
    pub(crate) fn temporary(env: &Env) -> Result<Self, ConfigurationError> {
        let parent = env.path("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp"));
        let fail = |e: &std::io::Error| {
            ConfigurationError::new(format!("no temporary folder can be made in `{}`: {e}", parent.display()))
        };
        let parent = parent.canonicalize().map_err(|e| fail(&e))?;
        let folder = tempfile::Builder::new().prefix("victor-").tempdir_in(&parent).map_err(|e| fail(&e))?;
        Ok(Self::Temporary(folder))
    }

    pub(crate) fn folder(&self) -> &Path {
        match self {
            Self::Kept(folder) => folder,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

/// Deletes old files. What cannot be deleted stays; it is only a matter of space.
fn sweep(folder: &Path, now: Timestamp) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let now = UNIX_EPOCH + Duration::from_micros(u64::try_from(now.as_micros()).unwrap_or(0));
    for entry in entries.flatten() {
        let age = entry
            .metadata()
            .ok()
            .filter(fs::Metadata::is_file)
            .and_then(|m| now.duration_since(m.modified().ok()?).ok());
        if age.is_some_and(|age| age > KEPT) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
