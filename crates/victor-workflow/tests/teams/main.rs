//! Teams: each formation with the exact words that its members are told, and what happens when something goes wrong.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)]

mod describe;
mod fail;
mod flow;
mod stage;
mod within;
mod workflow;
