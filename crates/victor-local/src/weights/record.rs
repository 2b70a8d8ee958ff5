//! What is remembered of an installed model, so that its file need not be read whole at every start.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::error::WeightsError;
use super::manifest::Kind;

const FILE: &str = "installed.json";

/// An installed model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The name in `local/NAME`.
    pub name: String,
    /// What it does.
    #[serde(default)]
    pub kind: Kind,
    /// The GGUF file that runs.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// When it was last changed, in nanoseconds since 1970: while size and this are the same, so is the file.
    pub modified: u64,
    /// Where it came from, for people.
    pub source: String,
    /// The SHA-256 of the file that was fetched; another one than `sha256` where the weights were converted.
    pub source_sha256: String,
    /// Whether the file belongs to the user and not to Victor: it is never deleted.
    pub own: bool,
}

impl Record {
    /// The record in a model's folder, if there is a readable one.
    ///
    /// # Errors
    /// It is there, and cannot be read.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, WeightsError> {
        let path = folder.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(WeightsError::file(&path, "read")(e)),
        };
        let read = serde_json::from_str::<Self>(&text).map_err(io::Error::other);
        let mut record = read.map_err(WeightsError::file(&path, "read"))?;
        // The folder may have been moved since.
        if let Some(name) = record.path.file_name().filter(|_| !record.own) {
            record.path = folder.join(name);
        }
        Ok(Some(record))
    }

    /// Writes it, as a whole or not at all.
    pub(super) fn write(&self, folder: &Path) -> Result<(), WeightsError> {
        let path = folder.join(FILE);
        let written = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        written().map_err(WeightsError::file(&path, "written"))
    }

    /// Whether the file is, by size and time, the one that was checked.
    pub(super) fn fits(&self, found: &Metadata) -> bool {
        found.is_file() && found.len() == self.bytes && modified(found) == self.modified
    }
}

/// Removes a model's record, so that nothing counts as installed.
pub(super) fn forget(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(FILE)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Nanoseconds since 1970; 0 where the system does not say.
pub(super) fn modified(found: &Metadata) -> u64 {
    let time = found.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    time.and_then(|t| u64::try_from(t.as_nanos()).ok()).unwrap_or_default()
}
