//! Workflows: graphs of agents, tools, conditions and people, in YAML or in Rust, run with checkpoints.

pub use crate::workflows::{follow, tend};
pub use victor_core::journal::{JournalError, JournalFilter, RunStatus};
pub use victor_core::question::{AskLater, Interviewer, Nobody, Question, QuestionKind, Reply};
pub use victor_core::schedule::{DueStatus, DueTime};
pub use victor_workflow::draw::Drawing;
pub use victor_workflow::error::{ABORTED, Mistake, NodeError, WorkflowError};
pub use victor_workflow::graph::{OnError, Retry, StateGraph};
pub use victor_workflow::human::{HumanNode, accept};
pub use victor_workflow::node::{Node, NodeCx, NodeOutput};
pub use victor_workflow::options::{
    Changed, Checkpoint, Checkpoints, Keeper, Leave, RunOptions, RunState, WorkflowOutcome,
};
pub use victor_workflow::registry::{About, Listing, Reach, Registered, WorkflowRegistry, WorkflowSource};
pub use victor_workflow::resume::Resumed;
pub use victor_workflow::route::{Join, Route};
pub use victor_workflow::run::WorkflowRun;
pub use victor_workflow::schedule::{
    Came, Cron, Missed, Overlap, Place, Room, Schedule, ScheduleState, Scheduler, Schedules,
};
pub use victor_workflow::workflow::Workflow;
pub use victor_workflow::workflow_tool::{RUN_WORKFLOW, WorkflowTools};
pub use victor_workflow::yaml;
pub use victor_workflow::{RunWorkflow, Workflows};
