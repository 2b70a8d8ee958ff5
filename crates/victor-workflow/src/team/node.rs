//! A team as a node of a workflow.

use std::borrow::Cow;

use async_trait::async_trait;
use victor_core::agent::RunScope;

use crate::error::NodeError;
use crate::node::{Node, NodeCx, NodeOutput};

use super::{Team, TeamSpec};

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
            Who::Spec(spec) => Team::create_for(scope, spec, scope.mode()).await?,
        };
        let value = team.run_in(scope, &task).await.into_value()?;
        let key = self.output.clone().unwrap_or_else(|| cx.node().to_owned());
        Ok(NodeOutput::set(key, value))
    }
}
