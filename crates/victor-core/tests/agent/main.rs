//! Whole runs with a scripted provider: the loop, the pipeline, the log and the events, end to end in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod calls;
mod runs;
mod saved;
mod stage;
