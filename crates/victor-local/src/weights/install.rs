//! A file that was fetched becomes the one that runs: converted where that is needed, renamed, recorded.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::WeightsError;
use super::fetch::{Fetched, PART, checksum};
use super::job::Job;
use super::package::WHEEL;
use super::part::{Part, length};
use super::progress::{Step, Work};
use super::record::{self, Record};
use super::{Weights, disk};

/// The file that runs.
pub(super) const MODEL: &str = "model.gguf";
/// The converted file, until it is whole.
pub(super) const CONVERTED: &str = "converted.part";

impl Weights {
    /// Converts where that is needed, moves the file to its place, and records it.
    pub(super) async fn install(
        &self,
        name: &str,
        folder: &Path,
        fetched: Fetched,
        job: &Job,
    ) -> Result<Record, WeightsError> {
        let model = folder.join(MODEL);
        // From here on until the new record is written nothing counts as installed.
        record::forget(folder).map_err(WeightsError::file(folder, "written"))?;
        let unusable = |why| {
            // A file of the user's own is no part; there is none then.
            Part { path: folder.join(PART) }.discard();
            WeightsError::Unusable { name: name.to_owned(), why }
        };
        let (path, sha256) = match self.means.convert.needs(&fetched.path).map_err(unusable)? {
            true => {
                disk::check(&*self.means.room, name, folder, conversion(length(&fetched.path)))?;
                let converted = self.convert(name, &fetched.path, &folder.join(CONVERTED), job).await?;
                fs::rename(&converted, &model).map_err(WeightsError::file(&model, "written"))?;
                let sha256 = checksum(&model, job).await?;
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
        for part in [PART, WHEEL] {
            Part { path: folder.join(part) }.discard();
        }
        Ok(record)
    }

    async fn convert(&self, name: &str, source: &Path, target: &Path, job: &Job) -> Result<PathBuf, WeightsError> {
        let (from, bytes) = (name.to_owned(), length(source));
        job.tell(Step::Begin { work: Work::Convert, from, done: 0, total: bytes });
        let (convert, source, target) = (Arc::clone(&self.means.convert), source.to_owned(), target.to_owned());
        let converted = job.block(move |job| {
            let synced = || File::open(&target).and_then(|file| file.sync_all()).map_err(|e| e.to_string());
            let written = convert.convert(&source, &target, job.stop()).and_then(|()| synced());
            written.inspect_err(|_| drop(fs::remove_file(&target))).map(|()| target)
        });
        let ended = converted.await?.map_err(|why| WeightsError::Unusable { name: name.to_owned(), why });
        job.tell(Step::At(bytes));
        ended
    }
}

/// Room for a converted file: it has eight bits a weight, and what is converted has at least four.
fn conversion(bytes: u64) -> u64 {
    bytes.saturating_mul(2)
}
