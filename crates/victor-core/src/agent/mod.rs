//! Agents.

mod machine;
mod outcome;
mod spec;

pub use machine::Machine;
pub use outcome::{Denial, Failure, Outcome, Status, Suspended};
pub use spec::{AgentSpec, DryRun, Profile};

/// x
#[derive(Clone)]
pub struct RunScope {}
