//! Workflows: graphs of agents, tools, conditions and people, with checkpoints.
#![forbid(unsafe_code)]

pub mod expr;
pub mod template;
pub mod yaml;
