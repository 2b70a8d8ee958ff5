//! The settings of the models that run in this process.

use std::num::{NonZeroU16, NonZeroU32};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use victor_local::{EngineKind, Tuning};

/// The models that run in this process. What a request, a flag or a profile says beats it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LocalModels {
    /// What computes the answers: `llama-cpp` where the program was built with it, else `built-in`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<LocalEngine>,
    /// Tokens of prompt and answer together at most; 8192 unless said otherwise, and never more than the model was made
    /// for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_size: Option<NonZeroU32>,
    /// Threads that compute; all cores but one and at most eight unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<NonZeroU16>,
    /// Flattens (above 1) or sharpens the odds; 0 takes the likeliest token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f64>,
    /// Only the likeliest tokens that together reach this share; 1 for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1.0))]
    pub top_p: Option<f64>,
    /// Only so many of the likeliest tokens; 0 for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Only tokens at least this likely, measured by the likeliest; 0 for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_p: Option<f64>,
    /// Makes what was said lately less likely; 1 for no change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 2.0))]
    pub repeat_penalty: Option<f64>,
    /// What the choices are drawn from: the same one gives the same answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// What computes the answers of the models that run in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LocalEngine {
    /// The engine that every build has.
    BuiltIn,
    /// llama.cpp, in builds with the feature `llama-cpp`.
    LlamaCpp,
}

impl LocalModels {
    /// The first key whose value cannot be, and the reason.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.engine.is_some_and(|engine| !EngineKind::from(engine).is_available()) {
            let hint = "build it with `--features llama-cpp`, or take `built-in`";
            return Err((
                "engine",
                format!("`local.engine` is llama-cpp, which this program was built without; {hint}"),
            ));
        }
        let checks = [
            ("temperature", self.temperature, 0.0..=2.0, "0 to 2"),
            ("top_p", self.top_p, f64::MIN_POSITIVE..=1.0, "above 0 and at most 1"),
            ("min_p", self.min_p, 0.0..=1.0, "0 to 1"),
            ("repeat_penalty", self.repeat_penalty, f64::MIN_POSITIVE..=2.0, "above 0 and at most 2"),
        ];
        for (key, value, range, words) in checks {
            if let Some(value) = value.filter(|v| !range.contains(v)) {
                return Err((key, format!("`local.{key}` is {value}; it is {words}")));
            }
        }
        Ok(())
    }
}

impl From<LocalEngine> for EngineKind {
    fn from(engine: LocalEngine) -> Self {
        match engine {
            LocalEngine::BuiltIn => Self::BuiltIn,
            LocalEngine::LlamaCpp => Self::LlamaCpp,
        }
    }
}

impl From<LocalModels> for Tuning {
    fn from(models: LocalModels) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a few digits are enough")]
        let number = |value: Option<f64>| value.map(|v| v as f32);
        Self {
            engine: models.engine.map(EngineKind::from),
            temperature: number(models.temperature),
            top_p: number(models.top_p),
            top_k: models.top_k.map(|k| k as usize),
            min_p: number(models.min_p),
            repeat_penalty: number(models.repeat_penalty),
            seed: models.seed,
            context_size: models.context_size.map(NonZeroU32::get),
            threads: models.threads.map(|n| usize::from(n.get())),
        }
    }
}
