//! What can go wrong in a workflow: in a node, in a run, and in the graph before it runs.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};
use victor_core::agent::Failure;
use victor_core::error::{ConfigurationError, ToolError, VictorError};
use victor_core::journal::JournalError;

/// Whether the same work may succeed when it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Again {
    /// It may: the node's retries apply.
    Worthwhile,
    /// It cannot: denied, aborted, over a limit, or wrongly written.
    Pointless,
}

/// A node that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct NodeError {
    /// A stable name of the kind of error, as the HTTP API's codes.
    pub code: Cow<'static, str>,
    /// What happened and what to do.
    pub message: String,
    /// Whether a retry makes sense.
    pub again: Again,
}

impl NodeError {
    /// A failure that a retry may mend; code `NODE_FAILED`.
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: Cow::Borrowed("NODE_FAILED"), message: message.into(), again: Again::Worthwhile }
    }

    /// A failure that no retry mends; code `INVALID_VALUE`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::with_code("INVALID_VALUE", message)
    }

    /// A failure that no retry mends, with a code of its own.
    pub fn with_code(code: &'static str, message: impl Into<String>) -> Self {
        Self { code: Cow::Borrowed(code), message: message.into(), again: Again::Pointless }
    }

    /// A gate said no, or nobody answered it: code `ABORTED`.
    pub fn aborted(message: impl Into<String>) -> Self {
        Self::with_code(ABORTED, message)
    }

    /// The node was stopped: code `CANCELLED`.
    pub fn cancelled() -> Self {
        Self::with_code("CANCELLED", "cancelled before it was done")
    }

    /// The node took too long: code `TIMEOUT`. A retry may mend it.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self { code: Cow::Borrowed("TIMEOUT"), message: message.into(), again: Again::Worthwhile }
    }
}

/// The code of a run that a gate has ended (`hitl` with `fallback: abort`, or a no).
pub const ABORTED: &str = "ABORTED";

impl From<&NodeError> for Failure {
    fn from(e: &NodeError) -> Self {
        Self { code: e.code.clone().into_owned(), message: e.message.clone() }
    }
}

impl From<VictorError> for NodeError {
    fn from(e: VictorError) -> Self {
        let again = match &e {
            VictorError::Configuration(_) | VictorError::Tool(ToolError::Denied(_)) => Again::Pointless,
            VictorError::Provider(p) if !p.is_retryable() => Again::Pointless,
            _ => Again::Worthwhile,
        };
        Self { code: Cow::Borrowed(e.code()), message: e.to_string(), again }
    }
}

impl From<ToolError> for NodeError {
    fn from(e: ToolError) -> Self {
        let again = if matches!(e, ToolError::Model(_)) { Again::Worthwhile } else { Again::Pointless };
        Self { again, ..VictorError::from(e).into() }
    }
}

impl From<ConfigurationError> for NodeError {
    fn from(e: ConfigurationError) -> Self {
        VictorError::from(e).into()
    }
}

impl From<serde_json::Error> for NodeError {
    fn from(e: serde_json::Error) -> Self {
        Self::invalid(e.to_string())
    }
}

/// What a closure of a workflow's author says; a panic of it is an error.
pub(crate) fn guarded<T>(what: &str, call: impl FnOnce() -> Result<T, NodeError>) -> Result<T, NodeError> {
    let crashed = |_| Err(NodeError::invalid(format!("{what} crashed; this is a defect of the workflow")));
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(crashed)
}

/// One thing that is wrong with a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The node that it is about, where it is about one. A loader turns it into line and column.
    pub node: Option<String>,
    /// What kind of mistake.
    pub kind: MistakeKind,
    /// What is wrong and what to do.
    pub message: String,
}

/// What kind of mistake a graph has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MistakeKind {
    /// It has no nodes, or no entry.
    Empty,
    /// Two nodes have one name.
    DuplicateNode,
    /// An edge, an entry, a route or an error edge names a node that is not there.
    UnknownNode,
    /// No path leads to the node.
    Unreachable,
    /// No path leads from the node to an end.
    NoExit,
    /// A limit makes no sense.
    BadLimit,
    /// A subgraph cannot be used like this.
    BadSubgraph,
    /// A name cannot be used.
    BadName,
}

/// All that is wrong with a graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, mistake) in self.0.iter().enumerate() {
            let end = if n == 0 { "" } else { "\n" };
            write!(f, "{end}{}", mistake.message)?;
        }
        Ok(())
    }
}

/// A run that could not be begun, followed or continued.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkflowError {
    /// The graph is wrong.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    /// The workflow's file is wrong.
    #[error(transparent)]
    File(#[from] crate::yaml::Mistakes),
    /// The journal could not be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A name, an input or an answer is wrong.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// The workflow is not the one that the run began with.
    #[error("{0}")]
    Changed(String),
    /// The journal says what this workflow cannot have done.
    #[error("{0}")]
    Diverged(String),
    /// The run is in no state for this.
    #[error("{0}")]
    State(String),
    /// The run was put down before its end: it goes on when it is resumed.
    #[error("the run was interrupted; what was done is kept, and the rest is done when it is resumed")]
    Interrupted,
    /// The runtime is shutting down.
    #[error("shutting down: no workflow can be started, and those that run are put down until they are resumed")]
    ShuttingDown,
}

impl WorkflowError {
    /// A stable name of the kind of error: the codes of the HTTP API.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Mistakes(_) | Self::File(_) => "INVALID_VALUE",
            Self::Journal(JournalError::NotFound(_)) => "NOT_FOUND",
            Self::Journal(JournalError::Conflict { .. }) | Self::Changed(_) | Self::State(_) => "CONFLICT",
            Self::Journal(_) | Self::Diverged(_) => "INTERNAL",
            Self::Configuration(e) => e.code,
            Self::Interrupted => "INTERRUPTED",
            Self::ShuttingDown => "SHUTTING_DOWN",
        }
    }
}

impl From<WorkflowError> for VictorError {
    fn from(e: WorkflowError) -> Self {
        match e {
            WorkflowError::Configuration(e) => e.into(),
            e @ (WorkflowError::Journal(_) | WorkflowError::Diverged(_)) => Self::Internal(e.to_string()),
            e => ConfigurationError::with_code(e.code(), e.to_string()).into(),
        }
    }
}
