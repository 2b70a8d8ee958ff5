//! The built-in knowledge of providers and models: two files of data, read when first asked for.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;
use victor_core::provider::{Features, ModelInfo};
use victor_core::usage::Price;

use crate::settings::{LengthField, PriceSettings, Wire};
use crate::wire::{Dialect, OutputStyle, ThinkingStyle, schema};

/// The month in which the catalogue's prices were looked up; the version of the price table.
pub const PRICES_AS_OF: &str = "2026-11";

/// A provider of the catalogue.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownProvider {
    pub(crate) name: String,
    pub(crate) wire: Wire,
    pub(crate) base_url: String,
    #[serde(default)]
    pub(crate) keys: Vec<String>,
    #[serde(default)]
    pub(crate) base_url_env: Option<String>,
    #[serde(default)]
    pub(crate) default_model: Option<String>,
    /// The path that tells whether the key is right, where `/models` does not.
    #[serde(default)]
    pub(crate) check: Option<String>,
    #[serde(default)]
    pub(crate) length_field: LengthField,
    #[serde(default)]
    pub(crate) output: OutputStyle,
    #[serde(default)]
    pub(crate) schema: schema::Style,
    #[serde(default)]
    pub(crate) replay_reasoning: bool,
    #[serde(default)]
    pub(crate) short_call_ids: bool,
    #[serde(default)]
    pub(crate) usage_unasked: bool,
}

impl KnownProvider {
    /// How its server wants requests, before the model has its say.
    pub(crate) fn dialect(&self) -> Dialect {
        Dialect {
            length_field: self.length_field,
            output: self.output,
            schema: self.schema,
            replay_reasoning: self.replay_reasoning,
            short_call_ids: self.short_call_ids,
            usage_unasked: self.usage_unasked,
            ..Dialect::default()
        }
    }
}

/// A model of the catalogue.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownModel {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) context: Option<u32>,
    #[serde(default)]
    pub(crate) max_output: Option<u32>,
    #[serde(default)]
    price: Vec<f64>,
    #[serde(default)]
    vision: bool,
    #[serde(default)]
    pub(crate) thinking: ThinkingStyle,
    #[serde(default)]
    pub(crate) fixed_sampling: bool,
    #[serde(default)]
    retired: bool,
}

impl KnownModel {
    /// What doors show of it, under the id that was asked for.
    pub(crate) fn info(&self, provider: &str, id: &str) -> ModelInfo {
        let thinking = !matches!(self.thinking, ThinkingStyle::Never | ThinkingStyle::Unknown);
        ModelInfo {
            id: id.to_owned(),
            provider: provider.to_owned(),
            context_window: self.context,
            max_output: self.max_output,
            features: Features { vision: self.vision, thinking, ..Features::default() },
            price: self.price(),
            retired: self.retired,
        }
    }

    fn price(&self) -> Option<Price> {
        let [input, output, cache @ ..] = self.price.as_slice() else { return None };
        let (cache_read, cache_write) = (cache.first().copied(), cache.get(1).copied());
        Some(PriceSettings { input: *input, output: *output, cache_read, cache_write }.into())
    }
}

/// Everything that is built in.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) providers: Vec<KnownProvider>,
    models: BTreeMap<String, Vec<KnownModel>>,
}

impl Catalog {
    /// The catalogue, read once. A test reads the same files, so they cannot be broken here.
    pub(crate) fn get() -> &'static Self {
        static CATALOG: OnceLock<Catalog> = OnceLock::new();
        CATALOG.get_or_init(|| {
            Self::read().unwrap_or_else(|e| {
                tracing::error!("the built-in catalogue cannot be read: {e}");
                Self::default()
            })
        })
    }

    fn read() -> Result<Self, serde_saphyr::Error> {
        Ok(Self {
            providers: serde_saphyr::from_str(include_str!("../providers.yaml"))?,
            models: serde_saphyr::from_str(include_str!("../models.yaml"))?,
        })
    }

    /// The provider of this name.
    pub(crate) fn provider(&self, name: &str) -> Option<&KnownProvider> {
        self.providers.iter().find(|p| p.name == name)
    }

    /// The models of a provider, in the catalogue's order.
    pub(crate) fn models(&self, provider: &str) -> &[KnownModel] {
        self.models.get(provider).map_or(&[], Vec::as_slice)
    }

    /// The model of this id, also by a dated form of it.
    pub(crate) fn model(&self, provider: &str, id: &str) -> Option<&KnownModel> {
        let models = self.models(provider);
        let exact = |id: &str| models.iter().find(|m| m.id == id);
        exact(id).or_else(|| exact(undated(id)))
    }
}

/// The id without a date (`-2024-08-06`, `-20250929`) or `-latest` at its end.
fn undated(id: &str) -> &str {
    if let Some(plain) = id.strip_suffix("-latest") {
        return plain;
    }
    let is_date = |tail: &str| {
        let digits = tail.bytes().filter(u8::is_ascii_digit).count();
        tail.starts_with('-') && digits == 8 && tail.bytes().all(|b| b.is_ascii_digit() || b == b'-')
    };
    [11, 9]
        .iter()
        .filter_map(|len| id.len().checked_sub(*len))
        .find(|at| id.is_char_boundary(*at) && is_date(&id[*at..]))
        .map_or(id, |at| &id[..at])
}

/// The names of the providers that are built in, in the order in which a default is looked for.
pub fn provider_names() -> impl Iterator<Item = &'static str> {
    Catalog::get().providers.iter().map(|p| p.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_readable_and_fit_together() {
        let catalog = Catalog::read().unwrap();
        assert_eq!(
            catalog.providers[..3].iter().map(|p| p.name.as_str()).collect::<Vec<_>>(),
            ["anthropic", "openai", "google"]
        );
        for (name, models) in &catalog.models {
            assert!(catalog.provider(name).is_some(), "models of the unknown provider {name}");
            for model in models {
                assert!(matches!(model.price.len(), 0 | 2..=4), "{}", model.id);
            }
        }
        for provider in &catalog.providers {
            let address = crate::address::base_url(&provider.base_url).unwrap();
            assert_eq!(address.as_str(), provider.base_url, "{}", provider.name);
        }
    }

    #[test]
    fn dated_ids_follow_the_plain_one() {
        let catalog = Catalog::get();
        for (provider, id) in [
            ("openai", "gpt-4o-2024-08-06"),
            ("anthropic", "claude-sonnet-4-5-20250929"),
            ("anthropic", "claude-3-5-haiku-latest"),
            ("mistral", "mistral-large-latest"),
        ] {
            let model = catalog.model(provider, id).unwrap();
            assert_eq!(model.info(provider, id).id, id);
        }
        assert!(catalog.model("openai", "gpt-4o-2024").is_none());
    }

    #[test]
    fn a_price_is_nano_dollars_a_token() {
        let info = Catalog::get().model("anthropic", "claude-haiku-4-5").unwrap().info("anthropic", "x");
        assert_eq!(info.price.unwrap(), Price { input: 1000, output: 5000, cache_read: 100, cache_write: 1250 });
    }
}
