//! The built-in model: quantised GGUF files run in this process, on the processor alone.
//! A provider like any other; where a model's file comes from is a [`Resolver`]'s business.

#![forbid(unsafe_code)]

mod resolver;
pub mod weights;

pub use resolver::{Installed, Resolver};
