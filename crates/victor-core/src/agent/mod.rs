//! Agents: a model with instructions, tools and limits, and the loop that drives it.

mod as_tool;
mod chat;
mod create;
mod dispatch;
mod driver;
mod emit;
mod filter;
mod later;
mod ledger;
mod log;
pub mod machine;
mod model_call;
mod outcome;
mod part;
mod run;
mod scope;
mod spec;
mod start;
mod turn;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

pub use chat::{Chat, Compacted, ContextUse, UndoPoint};
pub use create::AgentBuilder;
pub(crate) use create::call_tool;
pub use dispatch::RunScope;
pub use filter::ToolFilter;
pub use later::{Called, PutDown, TakenUp, Unanswered};
pub use machine::Machine;
pub use outcome::{Denial, Failure, Outcome, Status, Suspended};
pub use part::{Part, PartEnd};
pub use run::Run;
pub use scope::{PartOptions, ScopeEnd, ScopeOptions};
pub use spec::{AgentSpec, DryRun, Profile};

use crate::error::VictorError;
use crate::id::SessionId;
use crate::message::Input;
use crate::permission::{Approver, Mode};
use crate::provider::Model;
use crate::request::{OutputSchema, Params};
use crate::runtime::Runtime;
use crate::sandbox::SandboxMode;
use crate::tool::{DynTool, ToolSet};
use crate::usage::Budget;

/// A model with instructions, tools and limits. It does not change after it was made; cloning is cheap.
#[derive(Clone)]
pub struct Agent {
    inner: Arc<AgentInner>,
    approver: Option<Arc<dyn Approver>>,
    owner: Option<Arc<str>>,
}

struct AgentInner {
    runtime: Runtime,
    /// What was asked for, before profile and defaults filled the rest.
    asked: AgentSpec,
    spec: AgentSpec,
    model: Model,
    mode: Mode,
    sandbox: SandboxMode,
    budget: Budget,
    own_tools: Vec<Arc<dyn DynTool>>,
    system: Arc<str>,
    parts: AgentParts,
}

/// What every request of an agent has in common.
struct AgentParts {
    system: Arc<str>,
    params: Params,
    output_schema: Option<Arc<OutputSchema>>,
}

impl Agent {
    /// Makes an agent from names: provider, model, profile, tools. `()` takes everything as configured.
    ///
    /// # Errors
    /// A name that does not exist (with the nearest ones), missing credentials, or a cost limit for a model whose
    /// price is not known.
    pub async fn create(runtime: &Runtime, spec: impl Into<AgentSpec>) -> Result<Self, VictorError> {
        create::create(runtime, spec.into()).await
    }

    /// Makes an agent from objects: no registry is asked.
    pub fn builder() -> AgentBuilder {
        AgentBuilder::default()
    }

    /// Does a task and waits for the end. Nothing of it is saved; [`chat`](Self::chat) is.
    ///
    /// # Errors
    /// What made the run fail. A limit, a denial and a cancellation are outcomes, not errors.
    pub async fn run(&self, input: impl Into<Input>) -> Result<Outcome, VictorError> {
        self.astream(input).outcome().await
    }

    /// Does a task and follows the run. Nothing of it is saved; [`chat`](Self::chat) is.
    pub fn astream(&self, input: impl Into<Input>) -> Run {
        self.unsaved_chat().astream(input)
    }

    /// A conversation that is saved as it happens: a new one, or one that was saved.
    #[must_use]
    pub fn chat(&self, session: Option<SessionId>) -> Chat {
        match session {
            Some(session) => Chat::new(self.clone(), session, chat::Origin::Saved),
            None => Chat::new(self.clone(), self.inner.runtime.inner.clock.uuid().into(), chat::Origin::New),
        }
    }

    /// A new conversation that is saved under an id of the caller's own.
    #[must_use]
    pub fn new_chat(&self, session: SessionId) -> Chat {
        Chat::new(self.clone(), session, chat::Origin::New)
    }

    /// A conversation that nobody keeps.
    #[must_use]
    pub fn unsaved_chat(&self) -> Chat {
        Chat::new(self.clone(), self.inner.runtime.inner.clock.uuid().into(), chat::Origin::Unsaved)
    }

    /// The agent as a tool of another one: same budget, approver and stream of events, own history.
    #[must_use]
    pub fn as_tool(&self, name: &str, description: &str) -> Arc<dyn DynTool> {
        as_tool::as_tool(self.clone(), name, description)
    }

    /// The same agent with questions answered by `approver`.
    #[must_use]
    pub fn with_approver(mut self, approver: Arc<dyn Approver>) -> Self {
        self.approver = Some(approver);
        self
    }

    /// The same agent; sessions that it begins belong to `owner` instead of the runtime's.
    #[must_use]
    pub fn with_owner(mut self, owner: impl Into<Arc<str>>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// The model that answers.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.inner.model
    }

    /// What it is there for.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.inner.mode
    }

    /// What it may use at most.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.inner.budget
    }

    /// What it is made of: what was asked for, over its profile and the runtime's defaults.
    #[must_use]
    pub fn spec(&self) -> &AgentSpec {
        &self.inner.spec
    }

    /// The system prompt.
    #[must_use]
    pub fn system_prompt(&self) -> &str {
        &self.inner.system
    }

    /// The tools that it would have in a run that began now.
    pub async fn tools(&self) -> ToolSet {
        create::tools(&self.inner.runtime, &self.inner.own_tools, self.inner.spec.tools.as_deref(), self.inner.mode)
            .await
    }

    /// The runtime that it was made from.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.inner.runtime
    }

    /// Who answers its questions.
    #[must_use]
    pub fn asked(&self) -> Arc<dyn Approver> {
        self.approver()
    }

    fn approver(&self) -> Arc<dyn Approver> {
        let own = self.approver.as_ref();
        Arc::clone(own.unwrap_or(&self.inner.runtime.inner.approver))
    }

    /// Who what it begins belongs to.
    #[must_use]
    pub fn owner(&self) -> String {
        self.owner.as_deref().unwrap_or(&self.inner.runtime.inner.owner).to_owned()
    }

    async fn fallbacks(&self) -> VecDeque<Model> {
        match &self.inner.runtime.inner.providers {
            Some(providers) => providers.fallbacks(&self.inner.model).await.into(),
            None => VecDeque::new(),
        }
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("model", &self.inner.model).field("mode", &self.inner.mode).finish()
    }
}
