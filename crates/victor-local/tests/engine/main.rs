//! The engine as a provider, with tiny models that the tests make, and with the real one where it is installed.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the whole crate is tests")]

mod answers;
mod ask;
mod bert;
mod choice;
mod embeddings;
mod pieces;
mod real;
mod tiny;
mod tools;
mod tuned;
