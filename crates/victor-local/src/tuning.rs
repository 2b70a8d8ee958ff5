//! What users set for the models of their machine, over what suits each model.

use crate::sample::Sampling;

/// What computes a model's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// The engine of this crate.
    BuiltIn,
    /// llama.cpp, where the crate was built with its feature `llama-cpp`.
    LlamaCpp,
}

impl Default for EngineKind {
    fn default() -> Self {
        if Self::LlamaCpp.is_available() { Self::LlamaCpp } else { Self::BuiltIn }
    }
}

impl EngineKind {
    /// Whether it is part of this program.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::BuiltIn => true,
            Self::LlamaCpp => cfg!(feature = "llama-cpp"),
        }
    }
}

/// Settings of all models; `None` leaves a thing to what suits the model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tuning {
    /// What computes; llama.cpp where this program has it.
    pub engine: Option<EngineKind>,
    /// [`Sampling::temperature`].
    pub temperature: Option<f32>,
    /// [`Sampling::top_p`].
    pub top_p: Option<f32>,
    /// [`Sampling::top_k`].
    pub top_k: Option<usize>,
    /// [`Sampling::min_p`].
    pub min_p: Option<f32>,
    /// [`Sampling::repetition_penalty`].
    pub repeat_penalty: Option<f32>,
    /// [`Sampling::seed`].
    pub seed: Option<u64>,
    /// Tokens of prompt and answer together; less where the model's own window is smaller.
    pub context_size: Option<u32>,
    /// Threads that compute.
    pub threads: Option<usize>,
}

impl Tuning {
    /// What is set, and for the rest what suits the model.
    pub(crate) fn over(&self, own: Sampling) -> Sampling {
        Sampling {
            temperature: self.temperature.unwrap_or(own.temperature),
            top_p: self.top_p.unwrap_or(own.top_p),
            top_k: self.top_k.unwrap_or(own.top_k),
            min_p: self.min_p.unwrap_or(own.min_p),
            repetition_penalty: self.repeat_penalty.unwrap_or(own.repetition_penalty),
            seed: self.seed.unwrap_or(own.seed),
        }
    }
}
