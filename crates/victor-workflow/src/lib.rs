//! Workflows: graphs of agents, tools, conditions and people, with checkpoints; and teams of agents.
#![forbid(unsafe_code)]

pub mod agent;
pub mod bundled;
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
mod leave;
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
mod run_work;
pub mod run_workflow;
pub mod runner;
pub mod state;
mod summary;
pub mod task;
pub mod team;
pub mod template;
pub mod tool;
pub mod transform;
mod within;
pub mod workflow;
pub mod workflow_tool;
mod writer;
pub mod yaml;

pub use engine::Workflows;
pub use leave::Worked;
pub use run_workflow::RunWorkflow;
