//! The engine's wish: weights in a quantisation that it has fast code for.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::manifest::Kind;
use crate::gguf::Gguf;
use crate::import::import;
use crate::model::encoder;
use crate::requantise::{needs_requantising, requantise};

/// Turns a file into what the engine runs fast.
pub trait Convert: Send + Sync + 'static {
    /// Whether `source` has to be converted; it is used as it is otherwise.
    ///
    /// # Errors
    /// The engine cannot use the file: says why.
    fn needs(&self, source: &Path) -> Result<bool, String>;

    /// Writes the converted file to `target`. It may be given up when `stop` is cancelled.
    ///
    /// # Errors
    /// It cannot be written, `source` cannot be used, or it was given up.
    fn convert(&self, source: &Path, target: &Path, stop: &CancellationToken) -> Result<(), String>;

    /// What the model in a file that needs no conversion any more does.
    ///
    /// # Errors
    /// As [`needs`](Self::needs).
    fn kind(&self, file: &Path) -> Result<Kind, String> {
        let _ = file;
        Ok(Kind::Chat)
    }
}

/// Quantises slow weights anew, and makes one file of an embedding model's several, once, when a model is installed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Requantise;

impl Convert for Requantise {
    fn needs(&self, source: &Path) -> Result<bool, String> {
        match is_gguf(source)? && self.kind(source)? == Kind::Chat {
            true => needs_requantising(source).map_err(|e| e.to_string()),
            // An encoder's weights are read in any quantisation.
            false => Ok(!is_gguf(source)?),
        }
    }

    fn convert(&self, source: &Path, target: &Path, stop: &CancellationToken) -> Result<(), String> {
        match is_gguf(source)? {
            true => requantise(source, target, stop).map_err(|e| e.to_string()),
            false => import(source, target, stop).map_err(|e| e.to_string()),
        }
    }

    fn kind(&self, file: &Path) -> Result<Kind, String> {
        let file = Gguf::open(file).map_err(|e| e.to_string())?;
        if file.text("general.architecture") != Some(encoder::ARCHITECTURE) {
            return Ok(Kind::Chat);
        }
        encoder::Config::read(&file).map(|_| Kind::Embedding).map_err(|e| e.to_string())
    }
}

fn is_gguf(path: &Path) -> Result<bool, String> {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.map(|()| magic == *b"GGUF").map_err(|e| format!("{}: {e}", path.display()))
}
