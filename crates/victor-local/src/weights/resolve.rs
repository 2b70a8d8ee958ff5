//! From a name to a file that is still what was checked: the engine's view of the weights.

use std::fs::{self, File};
use std::sync::Arc;

use async_trait::async_trait;
use victor_core::error::{ProviderError, ProviderErrorKind};
use victor_core::provider::{Features, ModelInfo};
use victor_core::request::CallCx;
use victor_core::usage::Price;

use super::error::WeightsError;
use super::fetch::checksum;
use super::job::Job;
use super::manifest::KnownModel;
use super::progress::{Progress, Silent};
use super::record::{Record, modified};
use super::{Entry, Kind, State, Weights, size};
use crate::resolver::{Installed, Resolver};
use crate::tuning::Tuning;

impl Weights {
    /// The installed model of this name. Its file is read whole only when its size or time is not the one recorded.
    ///
    /// # Errors
    /// There is no such model, it is not installed, or its file has changed or cannot be read.
    pub async fn resolved(&self, name: &str) -> Result<Record, WeightsError> {
        let record = self.record(name)?;
        match fs::metadata(&record.path) {
            Ok(found) if record.fits(&found) => {
                File::open(&record.path).map_err(WeightsError::file(&record.path, "read"))?;
                Ok(record)
            }
            Ok(_) => self.verify(name, &(Arc::new(Silent) as Arc<dyn Progress>)).await,
            Err(e) => Err(WeightsError::Broken { name: name.to_owned(), why: e.to_string() }),
        }
    }

    /// Reads a model's file whole and compares its checksum.
    ///
    /// # Errors
    /// As [`resolved`](Self::resolved).
    pub async fn verify(&self, name: &str, progress: &Arc<dyn Progress>) -> Result<Record, WeightsError> {
        let mut record = self.record(name)?;
        let broken = |why: String| WeightsError::Broken { name: name.to_owned(), why };
        let before = fs::metadata(&record.path).map_err(|e| broken(e.to_string()))?;
        if before.len() != record.bytes {
            return Err(broken(format!("it has {} bytes and not {}", before.len(), record.bytes)));
        }
        let found = checksum(&record.path, &Job::reading(progress)).await?;
        if found != record.sha256 {
            return Err(broken(format!("its SHA-256 is {found} and not {}", record.sha256)));
        }
        let time = modified(&before);
        if time != record.modified {
            record.modified = time;
            // Without it the file is read again next time, which is slow and nothing worse.
            let _ = record.write(&self.folder_of(name));
        }
        Ok(record)
    }

    /// What was installed under this name; the file is not looked at.
    ///
    /// # Errors
    /// There is no such model, or it is not installed.
    pub fn record(&self, name: &str) -> Result<Record, WeightsError> {
        match self.find(name)?.state {
            State::Installed(record) => Ok(record),
            State::Absent | State::Begun(_) => Err(WeightsError::NotInstalled(name.to_owned())),
            State::Broken(why) => Err(WeightsError::Broken { name: name.to_owned(), why }),
        }
    }
}

#[async_trait]
impl Resolver for Weights {
    async fn resolve(&self, name: &str, _: &CallCx) -> Result<Installed, ProviderError> {
        let name = match name {
            "" => self.best().map(|record| record.name).unwrap_or_else(|| self.first_offer()),
            name => name.to_owned(),
        };
        let record = self.resolved(&name).await.map_err(error)?;
        match record.kind {
            Kind::Chat => Ok(Installed::tuned(record.name, record.path, self.tuning)),
            Kind::Embedding => Err(error(WeightsError::OtherKind(record.name, Kind::Chat))),
        }
    }

    async fn resolve_embedding(&self, name: &str, _: &CallCx) -> Result<Installed, ProviderError> {
        let name = match name {
            "" => self.embedding().ok_or_else(|| error(self.no_embedding()))?,
            name => name.to_owned(),
        };
        let record = self.resolved(&name).await.map_err(error)?;
        if record.kind != Kind::Embedding {
            return Err(error(WeightsError::OtherKind(record.name, Kind::Embedding)));
        }
        let window = self.known(&name).map_or(u32::MAX, |known| known.context);
        Ok(Installed { window, ..Installed::tuned(record.name, record.path, self.tuning) })
    }

    fn models(&self) -> Vec<ModelInfo> {
        self.entries().iter().filter(|entry| entry.kind() == Kind::Chat).map(|entry| info(entry, self.tuning)).collect()
    }
}

fn error(e: WeightsError) -> ProviderError {
    let kind = match &e {
        WeightsError::Unknown { .. } | WeightsError::OtherKind(..) => ProviderErrorKind::NotFound,
        _ => ProviderErrorKind::NotConfigured,
    };
    ProviderError::new(kind, "local", e.to_string())
}

/// What a door shows of a model, under the engine's own limits.
fn info(entry: &Entry, tuning: Tuning) -> ModelInfo {
    let limits = Installed::tuned(entry.name.as_str(), "", tuning);
    ModelInfo {
        id: entry.name.clone(),
        provider: "local".to_owned(),
        context_window: Some(entry.known.map_or(limits.window, |known| known.context.min(limits.window))),
        max_output: Some(limits.max_output),
        features: Features {
            // The tiny ones name the wrong tool about as often as the right one.
            tool_calling: entry.known.is_none_or(|known| !known.demonstration),
            streaming: true,
            vision: false,
            thinking: false,
        },
        price: Some(Price { input: 0, output: 0, cache_read: 0, cache_write: 0 }),
        retired: false,
    }
}

impl Weights {
    /// The embedding model that serves where none is named: the first of the list that is here, else the user's own; one
    /// that cannot be used is named too, so that nothing else takes its place.
    fn embedding(&self) -> Option<String> {
        let here = |entry: &Entry| matches!(entry.state, State::Installed(_) | State::Broken(_));
        self.entries().into_iter().find(|entry| entry.kind() == Kind::Embedding && here(entry)).map(|entry| entry.name)
    }

    /// Why there is no embedding model, and what to do.
    fn no_embedding(&self) -> WeightsError {
        let known = self.known.iter().find(|known| known.kind == Kind::Embedding);
        let choice = |known: &KnownModel| {
            let bytes = known.sources.iter().map(|source| source.download(known.bytes)).min().unwrap_or(known.bytes);
            format!("`victor models pull {}` fetches one ({}); ", known.name, size(bytes))
        };
        let fetch = match (&self.means.closed, known) {
            (Some(reason), _) => format!("nothing is fetched, as {reason}; "),
            (None, known) => known.map(choice).unwrap_or_default(),
        };
        WeightsError::NoEmbedding(fetch)
    }

    /// The name of the model that would be fetched where nobody named one; empty where none fits.
    fn first_offer(&self) -> String {
        self.offers().next().map(|known| known.name.clone()).unwrap_or_default()
    }
}
