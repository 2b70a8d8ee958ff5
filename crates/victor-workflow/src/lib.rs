//! Workflows: graphs of agents, tools, conditions and people, with checkpoints; and teams of agents.
#![forbid(unsafe_code)]

pub mod agent;
mod check;
pub mod error;
pub mod graph;
pub mod human;
pub mod node;
pub mod options;
pub mod registry;
pub mod route;
pub mod state;
pub mod task;
pub mod team;
pub mod tool;
pub mod workflow;
