//! The seam between answering and arithmetic: tokens in, scores of the next token out.

use std::path::Path;

use crate::error::EngineError;
use crate::gguf::Gguf;
use crate::model::{Cache, Config, Model};
use crate::shelf::Shelf;
use crate::tuning::{EngineKind, Tuning};

/// Computes scores, and remembers what it has read.
pub(crate) trait Scorer {
    /// Goes back to what it has read of this prompt's beginning, and tells how many tokens of it that is. At least one
    /// token is left to be read.
    fn begin(&mut self, prompt: &[u32]) -> usize;

    /// Reads tokens behind those that it has read, and gives the scores of what comes after the last of them. `go_on` is
    /// asked now and then; where it says no, nothing is given.
    fn read(&mut self, tokens: &[u32], go_on: &mut dyn FnMut() -> bool) -> Result<Option<&mut [f32]>, EngineError>;

    /// Keeps what it has read for later prompts.
    fn end(&mut self);
}

/// Loads a model for prompts and answers of up to `config.window` tokens.
pub(crate) fn load(
    path: &Path,
    file: &mut Gguf,
    config: &Config,
    tuning: &Tuning,
) -> Result<Box<dyn Scorer>, EngineError> {
    match tuning.engine.unwrap_or_default() {
        EngineKind::BuiltIn => Ok(Box::new(Own::new(Model::read(file, tuning.threads)?))),
        EngineKind::LlamaCpp => llama(path, file, config.window, tuning.threads),
    }
}

#[cfg(feature = "llama-cpp")]
fn llama(path: &Path, file: &Gguf, window: usize, threads: Option<usize>) -> Result<Box<dyn Scorer>, EngineError> {
    distinct(file)?;
    Ok(Box::new(crate::llama::Llama::load(path, window, crate::model::threads(threads))?))
}

/// llama.cpp ends the whole process where two tokens have the same text.
#[cfg(feature = "llama-cpp")]
fn distinct(file: &Gguf) -> Result<(), EngineError> {
    let texts = file.texts("tokenizer.ggml.tokens").unwrap_or_default();
    let mut seen = std::collections::HashSet::with_capacity(texts.len());
    match texts.iter().filter(|text| !text.is_empty()).find(|text| !seen.insert(text.as_str())) {
        Some(text) => Err(file.wrong(format!("two of its tokens are {text:?}, which llama.cpp does not take"))),
        None => Ok(()),
    }
}

#[cfg(not(feature = "llama-cpp"))]
fn llama(path: &Path, _: &Gguf, _: usize, _: Option<usize>) -> Result<Box<dyn Scorer>, EngineError> {
    let message = format!("{}: this program was built without the feature `llama-cpp`", path.display());
    Err(EngineError::Model(message))
}

/// The arithmetic of this crate.
struct Own {
    model: Model,
    shelf: Shelf,
    /// The conversation that is going on.
    cache: Option<Cache>,
}

impl Own {
    fn new(model: Model) -> Self {
        Self { shelf: Shelf::new(model.config()), model, cache: None }
    }
}

impl Scorer for Own {
    fn begin(&mut self, prompt: &[u32]) -> usize {
        let (cache, known) = self.shelf.take(prompt);
        self.cache = Some(cache);
        known
    }

    fn read(&mut self, tokens: &[u32], go_on: &mut dyn FnMut() -> bool) -> Result<Option<&mut [f32]>, EngineError> {
        let Some(cache) = &mut self.cache else {
            return Err(EngineError::Internal("no conversation was begun".to_owned()));
        };
        self.model.forward(tokens, cache, go_on)
    }

    fn end(&mut self) {
        if let Some(cache) = self.cache.take() {
            self.shelf.put(cache);
        }
    }
}
