//! Workflows: graphs of agents, tools, conditions and people, with checkpoints; and teams of agents.
#![forbid(unsafe_code)]

pub mod agent;
mod answers;
pub mod bundled;
mod cancel;
mod check;
mod closure;
pub mod draw;
mod driver;
pub mod engine;
pub mod error;
pub mod expr;
mod follow;
pub mod graph;
pub mod human;
pub mod library;
mod live;
pub mod machine;
pub mod node;
pub mod options;
pub mod record;
pub mod registry;
pub mod resume;
pub mod route;
pub mod run;
pub mod run_workflow;
pub mod runner;
pub mod schedule;
pub mod state;
mod summary;
pub mod task;
pub mod team;
pub mod template;
mod tend;
pub mod tool;
pub mod transform;
mod work_time;
pub mod workflow;
mod writer;
pub mod yaml;

pub use engine::Workflows;
pub use run_workflow::RunWorkflow;
