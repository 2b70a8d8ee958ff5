//! From a name to a file that is still what was checked: the engine's view of the weights.

use std::fs;
use std::sync::Arc;

use async_trait::async_trait;
use victor_core::error::{ProviderError, ProviderErrorKind};
use victor_core::provider::{Features, ModelInfo};
use victor_core::request::CallCx;
use victor_core::usage::Price;

use super::error::WeightsError;
use super::fetch::checksum;
use super::progress::{Progress, Silent};
use super::record::{Record, modified};
use super::{Entry, State, Weights};
use crate::resolver::{Installed, Resolver};
use crate::tuning::Tuning;

impl Weights {
    /// The installed model of this name. Its file is read whole only when its size or time is not the one recorded.
    ///
    /// # Errors
    /// There is no such model, it is not installed, or its file has changed.
    pub async fn resolved(&self, name: &str) -> Result<Record, WeightsError> {
        let record = self.record(name)?;
        match fs::metadata(&record.path) {
            Ok(found) if record.fits(&found) => Ok(record),
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
        let found = checksum(&record.path, progress).await?;
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
        let kind = |e: &WeightsError| match e {
            WeightsError::Unknown { .. } => ProviderErrorKind::NotFound,
            _ => ProviderErrorKind::NotConfigured,
        };
        let record = self.resolved(&name).await.map_err(|e| ProviderError::new(kind(&e), "local", e.to_string()))?;
        Ok(Installed::tuned(record.name, record.path, self.tuning))
    }

    fn models(&self) -> Vec<ModelInfo> {
        self.entries().iter().map(|entry| info(entry, self.tuning)).collect()
    }
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
    /// The name of the model that would be fetched where nobody named one; empty where none fits.
    fn first_offer(&self) -> String {
        self.offers().next().map(|known| known.name.clone()).unwrap_or_default()
    }
}
