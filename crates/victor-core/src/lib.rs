//! Victor's core: the vocabulary, the traits and the agent loop.
//!
//! It does no I/O: no HTTP, SQL, files, processes, environment or clock. Providers, tools and stores are plug-ins
//! behind its traits.
#![forbid(unsafe_code)]

pub mod agent;
pub mod assemble;
pub mod blob;
pub mod bus;
mod closure;
pub mod compact;
pub mod conversation;
mod effects;
pub mod error;
pub mod estimate;
pub mod event;
pub mod hook;
pub mod id;
pub mod idempotency;
pub mod journal;
pub mod memory;
pub mod memory_journal;
pub mod memory_schedules;
pub mod message;
pub mod permission;
pub mod prompt;
pub mod provider;
pub mod question;
pub mod request;
pub mod resource;
pub mod runtime;
pub mod sandbox;
pub mod schedule;
pub mod session;
pub mod state;
#[cfg(feature = "testing")]
pub mod testing;
pub mod token;
pub mod tool;
pub mod usage;
