//! Workflows: graphs of agents, tools, conditions and people, with checkpoints.
#![forbid(unsafe_code)]

pub mod agent;
pub mod bundled;
mod check;
pub mod draw;
pub mod error;
pub mod expr;
pub mod graph;
pub mod human;
pub mod library;
pub mod node;
pub mod options;
pub mod registry;
pub mod route;
pub mod state;
pub mod task;
pub mod template;
pub mod tool;
pub mod transform;
pub mod workflow;
pub mod yaml;
