//! The built-in model: quantised GGUF files run in this process, on the processor alone.
//! A provider like any other; where a model's file comes from is a [`Resolver`]'s business.

#![forbid(unsafe_code)]

mod engine;
mod error;
mod gguf;
mod grammar;
mod model;
mod output;
mod prompt;
mod provider;
#[cfg(test)]
#[path = "../tests/engine/real.rs"]
mod real;
mod requantise;
mod resolver;
mod sample;
mod shelf;
mod speaker;
mod template;
mod tokenizer;
mod tuning;
pub mod weights;

pub use provider::LocalProvider;
pub use requantise::{RequantiseError, needs_requantising, requantise};
pub use resolver::{Installed, Resolver};
pub use sample::Sampling;
pub use tuning::Tuning;
