//! Workflows and teams for Victor: graphs, their YAML form, checkpoints, people in the loop.
#![forbid(unsafe_code)]

pub mod team;
