//! The built-in models: GGUF files run in this process, on the processor alone, to answer or to give embeddings.
//! A provider and an embedder like any other; where a model's file comes from is a [`Resolver`]'s business.

#![forbid(unsafe_code)]

mod embedder;
mod engine;
mod error;
mod gguf;
mod grammar;
mod import;
#[cfg(feature = "llama-cpp")]
mod llama;
mod model;
mod output;
#[cfg(test)]
#[path = "../tests/engine/pieces.rs"]
mod pieces;
mod prompt;
mod provider;
#[cfg(test)]
#[path = "../tests/engine/real.rs"]
mod real;
mod requantise;
mod resolver;
mod sample;
mod scorer;
mod shelf;
mod speaker;
mod template;
mod tokenizer;
mod tuning;
pub mod weights;
mod wordpiece;

pub use embedder::LocalEmbedder;
pub use provider::LocalProvider;
pub use requantise::{RequantiseError, needs_requantising, requantise};
pub use resolver::{Installed, Resolver};
pub use sample::Sampling;
pub use tuning::{EngineKind, Tuning};
