//! The beginning of a file that is being fetched, with a note of what it belongs to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::download::Wanted;
use super::error::WeightsError;
use super::http::{Answer, Resume};
use super::remove_file;

/// A part file. It stays when the download breaks off.
pub(super) struct Part {
    pub(super) path: PathBuf,
}

/// What the part belongs to.
#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Note {
    url: String,
    validator: Option<String>,
    #[serde(default)]
    sha256: Option<String>,
}

impl Part {
    /// Bytes that are there.
    pub(super) fn length(&self) -> u64 {
        length(&self.path)
    }

    /// From where on the file is wanted. With a checksum that is all it takes: mirrors have other addresses and other
    /// tags for the same file, and the checksum tells in the end. Without one only the server can tell.
    pub(super) fn resume(&self, wanted: &Wanted<'_>) -> Option<Resume> {
        let from = self.length();
        if from == 0 || wanted.bytes.is_some_and(|bytes| from >= bytes) {
            return None;
        }
        let note = self.noted();
        if let Some(sha256) = wanted.sha256 {
            let other = note.and_then(|note| note.sha256).is_some_and(|noted| noted != sha256);
            return (!other).then_some(Resume { from, validator: None });
        }
        let note = note.filter(|note| note.url == wanted.url)?;
        note.validator.map(|validator| Resume { from, validator: Some(validator) })
    }

    /// Whether an answer that brings the whole file brings the one that the part is of.
    pub(super) fn is_of(&self, wanted: &Wanted<'_>, answer: &Answer) -> bool {
        let same = |note: Note| answer.validator.is_some() && note.validator == answer.validator;
        let shorter = answer.total.is_some_and(|total| total < self.length());
        !shorter && (wanted.sha256.is_some() || self.noted().is_some_and(same))
    }

    /// Notes what the part belongs to.
    pub(super) fn note(&self, wanted: &Wanted<'_>, validator: Option<String>) -> Result<(), WeightsError> {
        let note = Note { url: wanted.url.to_owned(), validator, sha256: wanted.sha256.map(str::to_owned) };
        if self.noted().as_ref() == Some(&note) {
            return Ok(());
        }
        // A process that ends here leaves the old note or the new one.
        let (path, aside) = (self.note_path(), self.path.with_extension("json.new"));
        let text = serde_json::to_vec(&note).unwrap_or_default();
        fs::write(&aside, text).and_then(|()| fs::rename(&aside, &path)).map_err(WeightsError::file(&path, "written"))
    }

    /// Cuts the part to what was there before.
    pub(super) fn cut(&self, bytes: u64) {
        let cut = || -> io::Result<()> { fs::File::options().write(true).open(&self.path)?.set_len(bytes) };
        if bytes == 0 || cut().is_err() {
            self.discard();
        }
    }

    /// Removes the part; one that cannot be removed is replaced by the next download.
    pub(super) fn discard(&self) {
        for path in [&self.path, &self.note_path()] {
            let _ = remove_file(path);
        }
    }

    fn noted(&self) -> Option<Note> {
        serde_json::from_slice(&fs::read(self.note_path()).ok()?).ok()
    }

    fn note_path(&self) -> PathBuf {
        self.path.with_extension("json")
    }
}

/// The size of a file; 0 where there is none.
pub(super) fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}
