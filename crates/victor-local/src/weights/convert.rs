//! The engine's wish: weights in a quantisation that it has fast code for.

use std::path::Path;

use crate::requantise::{needs_requantising, requantise};

/// Turns a file into what the engine runs fast.
pub trait Convert: Send + Sync + 'static {
    /// Whether `source` has to be converted; it is used as it is otherwise.
    ///
    /// # Errors
    /// The engine cannot use the file: says why.
    fn needs(&self, source: &Path) -> Result<bool, String>;

    /// Writes the converted file to `target`.
    ///
    /// # Errors
    /// It cannot be written, or `source` cannot be used.
    fn convert(&self, source: &Path, target: &Path) -> Result<(), String>;
}

/// Quantises slow weights anew, once, when a model is installed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Requantise;

impl Convert for Requantise {
    fn needs(&self, source: &Path) -> Result<bool, String> {
        needs_requantising(source).map_err(|e| e.to_string())
    }

    fn convert(&self, source: &Path, target: &Path) -> Result<(), String> {
        requantise(source, target).map_err(|e| e.to_string())
    }
}
