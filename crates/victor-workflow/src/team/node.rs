//! A team as a node of a workflow.

use std::borrow::Cow;

use async_trait::async_trait;
use serde_json::{Value, json};
use victor_core::agent::{RunScope, Status};

use crate::error::NodeError;
use crate::node::{Node, NodeCx, NodeOutput};

use super::{Team, TeamOutcome, TeamSpec};

type Task = dyn Fn(&NodeCx) -> Result<String, NodeError> + Send + Sync;

/// Who works at the node.
enum Who {
    Team(Box<Team>),
    Spec(Box<TeamSpec>),
}

/// A node that gives a team a task. Its answer goes into the state under the node's name or
/// [`output`](Self::output).
pub struct TeamNode {
    who: Who,
    task: Box<Task>,
    output: Option<String>,
}

impl TeamNode {
    /// Gives `team` what `task` makes of the state.
    pub fn new(team: Team, task: impl Fn(&NodeCx) -> Result<String, NodeError> + Send + Sync + 'static) -> Self {
        Self { who: Who::Team(Box::new(team)), task: Box::new(task), output: None }
    }

    /// As [`new`](Self::new), with a team that is put together by name when the node runs. `task` is used in place of
    /// the description's own, whose placeholders it fills.
    pub fn of_spec(
        spec: TeamSpec,
        task: impl Fn(&NodeCx) -> Result<String, NodeError> + Send + Sync + 'static,
    ) -> Self {
        Self { who: Who::Spec(Box::new(spec)), task: Box::new(task), output: None }
    }

    /// The key of the state that the answer is put in; the node's name unless said otherwise.
    #[must_use]
    pub fn output(mut self, key: impl Into<String>) -> Self {
        self.output = Some(key.into());
        self
    }
}

#[async_trait]
impl Node for TeamNode {
    fn kind(&self) -> Cow<'static, str> {
        Cow::Borrowed("team")
    }

    fn fingerprint(&self) -> String {
        match &self.who {
            Who::Team(team) => format!("{team:?} {:?}", self.output),
            Who::Spec(spec) => format!("{spec:?} {:?}", self.output),
        }
    }

    async fn run(&self, cx: NodeCx) -> Result<NodeOutput, NodeError> {
        let task = (self.task)(&cx)?;
        let scope: &RunScope = cx.scope();
        let team = match &self.who {
            Who::Team(team) => Team::clone(team),
            Who::Spec(spec) => Team::create_in(cx.runtime(), spec, scope.mode()).await?,
        };
        let value = value_of(team.run_in(scope, &task).await)?;
        let key = self.output.clone().unwrap_or_else(|| cx.node().to_owned());
        Ok(NodeOutput::set(key, value))
    }
}

/// A team's answer as it stands in the state: its text, and what the formation has beside it.
fn value_of(done: TeamOutcome) -> Result<Value, NodeError> {
    let reason = |what: &str| match &done.error {
        Some(e) => format!("the team {what}: {}", e.message),
        None => format!("the team {what}"),
    };
    match done.status {
        Status::Completed => {}
        Status::Cancelled => return Err(NodeError::cancelled()),
        Status::Limit => {
            let limit = done.limit.map_or_else(|| "used up its rounds".to_owned(), |l| format!("reached {l}"));
            return Err(NodeError::with_code("LIMIT_EXCEEDED", reason(&limit)));
        }
        Status::Denied => {
            let denied: Vec<_> = done.denied.iter().map(|d| format!("{}: {}", d.tool, d.reason)).collect();
            let text = format!("the team was denied what it needed ({})", denied.join("; "));
            return Err(NodeError::with_code("PERMISSION_DENIED", text));
        }
        _ => {
            return Err(match done.cause {
                Some(cause) => cause.into(),
                None => NodeError::new(reason("failed")),
            });
        }
    }
    let members: Vec<_> = done
        .contributions
        .iter()
        .map(|c| json!({ "member": c.member, "round": c.round, "status": c.status, "text": c.text }))
        .collect();
    let mut value = json!({ "text": done.text, "members": members, "rounds": done.rounds });
    if !done.votes.is_empty() {
        value["votes"] = json!(done.votes);
        value["agreement"] = json!(done.agreement);
    }
    if let Some(verdict) = &done.verdict {
        value["verdict"] = json!(verdict);
    }
    if let Some(approved) = done.approved {
        value["approved"] = json!(approved);
    }
    Ok(value)
}
