//! Victor's store: sessions, blobs and the journals of runs in one SQLite file.
//!
//! What [`SqliteStore`] has acknowledged is committed. All writes go through one thread, which commits what has queued
//! in one transaction; reads have connections of their own and never wait for it.
#![forbid(unsafe_code)]

mod answers;
mod claim;
mod database;
mod fault;
mod journal;
mod journal_read;
mod platform;
mod prune;
mod read;
mod schedules;
mod schema;
mod store;
mod tokens;
mod write;
mod writer;

pub use database::{Durability, Options};
pub use store::SqliteStore;
