//! How agents are made: names to objects, with all checks up front.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use globset::Glob;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::{ConfigurationError, ToolError, VictorError};
use crate::event::{Event, EventKind};
use crate::id::CallId;
use crate::message::ToolCall;
use crate::permission::{Approver, Mode};
use crate::provider::{Model, Selector};
use crate::runtime::{CallOptions, Progress, Runtime, SMALL_WINDOW};
use crate::session::SessionSettings;
use crate::tool::{DynTool, ToolOutput, ToolSet};
use crate::usage::Spent;

use super::dispatch::{RunScope, Scope};
use super::emit::Emitter;
use super::filter::ToolFilter;
use super::ledger::Ledger;
use super::spec::AgentSpec;
use super::{Agent, AgentInner, AgentParts};

/// Pieces of progress of a single call that wait to be told at most.
const PROGRESS: usize = 64;

/// Puts an agent together from objects.
#[derive(Default)]
#[must_use]
pub struct AgentBuilder {
    model: Option<Model>,
    tools: Vec<Arc<dyn DynTool>>,
    spec: AgentSpec,
    approver: Option<Arc<dyn Approver>>,
}

impl AgentBuilder {
    /// The model that answers. Without one the runtime's registry is asked.
    pub fn model(mut self, model: Model) -> Self {
        self.model = Some(model);
        self
    }

    /// Adds a tool, beside those of the runtime.
    pub fn tool(mut self, tool: Arc<dyn DynTool>) -> Self {
        self.tools.push(tool);
        self
    }

    /// Everything else that an agent is made of.
    pub fn spec(mut self, spec: impl Into<AgentSpec>) -> Self {
        self.spec = spec.into();
        self
    }

    /// Further instructions.
    pub fn system(mut self, text: impl Into<String>) -> Self {
        self.spec.system = Some(text.into());
        self
    }

    /// What it is there for.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.spec.mode = Some(mode);
        self
    }

    /// Who answers its questions.
    pub fn approver(mut self, approver: Arc<dyn Approver>) -> Self {
        self.approver = Some(approver);
        self
    }

    /// The agent.
    ///
    /// # Errors
    /// As [`Agent::create`].
    pub async fn build(self, runtime: &Runtime) -> Result<Agent, VictorError> {
        let spec = complete(runtime, self.spec.clone())?;
        let model = match self.model {
            Some(model) => model,
            None => resolve(runtime, &spec.selector).await?,
        };
        let mut agent = assemble(runtime, self.spec, spec, model, self.tools).await?;
        agent.approver = self.approver;
        Ok(agent)
    }
}

pub(super) async fn create(runtime: &Runtime, spec: AgentSpec) -> Result<Agent, VictorError> {
    let asked = spec.clone();
    let spec = complete(runtime, spec)?;
    let model = resolve(runtime, &spec.selector).await?;
    assemble(runtime, asked, spec, model, Vec::new()).await
}

impl Agent {
    /// The agent that a session's settings ask for. What was asked of the agent itself comes first; an agent of a named
    /// profile takes nothing from the session.
    pub(super) async fn under(&self, settings: &SessionSettings) -> Result<Self, VictorError> {
        let asked = &self.inner.asked;
        if asked.profile.is_some() {
            return Ok(self.clone());
        }
        let base = match &settings.profile {
            Some(name) => self.with_profile(name).await?,
            None => self.clone(),
        };
        let selector = match &asked.selector {
            Selector { provider: None, model: None } if settings.selector != Selector::default() => {
                settings.selector.clone()
            }
            Selector { provider: None, model: Some(model) } if !model.contains('/') => {
                Selector { provider: settings.selector.provider.clone(), model: Some(model.clone()) }
            }
            _ => base.inner.spec.selector.clone(),
        };
        let mode = asked.mode.or(settings.mode).unwrap_or(base.mode());
        if selector == base.inner.spec.selector && mode == base.mode() {
            return Ok(base);
        }
        base.remade(asked.clone(), selector, mode).await
    }

    /// The same agent, asked for another model.
    pub(super) async fn with_selector(&self, selector: Selector) -> Result<Self, VictorError> {
        let asked = AgentSpec { selector: selector.clone(), ..self.inner.asked.clone() };
        self.remade(asked, selector, self.mode()).await
    }

    /// The same agent, asked for another mode.
    pub(super) async fn with_mode(&self, mode: Mode) -> Result<Self, VictorError> {
        let asked = AgentSpec { mode: Some(mode), ..self.inner.asked.clone() };
        self.remade(asked, self.inner.spec.selector.clone(), mode).await
    }

    /// The same agent, asked for another profile with all that it names.
    pub(super) async fn with_profile(&self, name: &str) -> Result<Self, VictorError> {
        let mut asked = self.inner.asked.clone();
        (asked.profile, asked.selector, asked.mode) = (Some(name.to_owned()), Selector::default(), None);
        let spec = complete(&self.inner.runtime, asked.clone())?;
        let model = resolve(&self.inner.runtime, &spec.selector).await?;
        self.made(asked, spec, model).await
    }

    async fn remade(&self, asked: AgentSpec, selector: Selector, mode: Mode) -> Result<Self, VictorError> {
        let same = selector == self.inner.spec.selector;
        let mut spec = self.inner.spec.clone();
        (spec.selector, spec.mode) = (selector, Some(mode));
        let model = match same {
            true => self.inner.model.clone(),
            false => resolve(&self.inner.runtime, &spec.selector).await?,
        };
        self.made(asked, spec, model).await
    }

    /// With everything that was handed to this one.
    async fn made(&self, asked: AgentSpec, spec: AgentSpec, model: Model) -> Result<Self, VictorError> {
        let mut agent = assemble(&self.inner.runtime, asked, spec, model, self.inner.own_tools.clone()).await?;
        agent.approver.clone_from(&self.approver);
        agent.owner.clone_from(&self.owner);
        Ok(agent)
    }
}

/// The spec over its profile over the runtime's defaults.
fn complete(runtime: &Runtime, spec: AgentSpec) -> Result<AgentSpec, ConfigurationError> {
    let defaults = &runtime.inner.defaults;
    let profiles = &runtime.inner.profiles;
    let name = spec.profile.clone().or_else(|| defaults.profile.clone());
    let spec = match &name {
        None => spec,
        Some(name) => {
            let profile = profiles.get(name).ok_or_else(|| {
                ConfigurationError::unknown("profile", "NOT_FOUND", name, profiles.keys().map(String::as_str))
            })?;
            spec.over(profile)
        }
    };
    Ok(spec.over_defaults(defaults))
}

async fn resolve(runtime: &Runtime, selector: &Selector) -> Result<Model, VictorError> {
    match &runtime.inner.providers {
        Some(providers) => providers.resolve(selector).await,
        None => {
            Err(ConfigurationError::new("this runtime has no providers: hand a model in with `Agent::builder()`")
                .into())
        }
    }
}

async fn assemble(
    runtime: &Runtime,
    asked: AgentSpec,
    spec: AgentSpec,
    model: Model,
    own_tools: Vec<Arc<dyn DynTool>>,
) -> Result<Agent, VictorError> {
    if spec.budget.max_cost.is_some() {
        check_price(&model)?;
    }
    if let Some(schema) = &spec.output_schema {
        jsonschema::validator_for(&schema.schema).map_err(|e| {
            ConfigurationError::new(format!("the output schema `{}` is no JSON Schema: {e}", schema.name))
        })?;
    }
    let mode = spec.mode.unwrap_or_default();
    check_tools(runtime, &own_tools, &spec).await?;
    let small = model.info.context_window.is_some_and(|window| window <= SMALL_WINDOW);
    let instructions = match &runtime.inner.short_instructions {
        Some(short) if small => short(mode),
        _ => (runtime.inner.instructions)(mode),
    };
    let system: Arc<str> = match &spec.system {
        Some(own) if instructions.is_empty() => own.as_str().into(),
        Some(own) => format!("{instructions}\n\n{own}").into(),
        None => instructions.into(),
    };
    let parts = AgentParts {
        system: Arc::clone(&system),
        params: spec.params.clone(),
        output_schema: spec.output_schema.clone(),
    };
    let inner = AgentInner {
        runtime: runtime.clone(),
        mode,
        sandbox: spec.sandbox.unwrap_or_default(),
        budget: spec.budget,
        model,
        own_tools,
        system,
        parts,
        asked,
        spec,
    };
    Ok(Agent { inner: Arc::new(inner), approver: None, owner: None })
}

/// A cost limit needs a price.
pub(super) fn check_price(model: &Model) -> Result<(), ConfigurationError> {
    if model.info.price.is_some() {
        return Ok(());
    }
    let text = format!(
        "the price of {model:?} is not known, so a cost limit cannot be kept; set its price in the \
         configuration, or use a limit of tokens or turns"
    );
    Err(ConfigurationError::new(text))
}

/// Every name and glob of the filter has to fit a tool.
async fn check_tools(runtime: &Runtime, own: &[Arc<dyn DynTool>], spec: &AgentSpec) -> Result<(), ConfigurationError> {
    let Some(wanted) = &spec.tools else { return Ok(()) };
    let all = runtime.tool_set().await;
    let names: Vec<&str> = all.tools().iter().chain(own).map(|t| t.spec().name.as_str()).collect();
    for want in wanted {
        let glob = Glob::new(want)
            .map_err(|e| ConfigurationError::new(format!("`{want}` is neither a tool's name nor a glob: {e}")))?
            .compile_matcher();
        if !names.iter().any(|n| glob.is_match(n)) {
            return Err(ConfigurationError::unknown("tool", "TOOL_NOT_FOUND", want, names));
        }
    }
    Ok(())
}

/// The tools of the runtime and the agent's own that the filter names and the mode allows.
pub(super) async fn tools(
    runtime: &Runtime,
    own: &[Arc<dyn DynTool>],
    wanted: Option<&[String]>,
    mode: Mode,
) -> ToolSet {
    let named = wanted.map(|wanted| ToolFilter::of(Some(wanted)));
    let all = runtime.tool_set().await;
    let tools = all.tools().iter().chain(own).filter(|tool| {
        let spec = tool.spec();
        let wanted = named.as_ref().map_or_else(|| tool.is_offered(), |named| named.allows(&spec.name));
        wanted && mode.permits(spec.effects)
    });
    ToolSet::new(tools.cloned())
}

/// One call outside of any run. Like a run it is counted, ends with the runtime, and cannot begin after that.
pub(crate) async fn call_tool(
    runtime: &Runtime,
    tools: ToolSet,
    name: &str,
    args: Value,
    options: CallOptions,
) -> Result<ToolOutput, ToolError> {
    let _counted = runtime.inner.tracker.token();
    if runtime.inner.tracker.is_closed() {
        return Err(ToolError::Fatal("shutting down: no new call".to_owned()));
    }
    let cancel = runtime.inner.cancel.child_token();
    let _ends = cancel.clone().drop_guard();
    let (outside, told) = (options.cancel.clone(), options.progress.clone());
    let (events, mut inbox) = mpsc::channel(PROGRESS);
    if told.is_none() {
        inbox.close();
    }
    let scope = single(runtime, tools, options, events, cancel.clone());
    let call =
        ToolCall { id: CallId::nth(0), provider_id: None, name: name.to_owned(), arguments: args, malformed: None };
    let mut work = std::pin::pin!(scope.call(&call));
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                // What was told in the last moment is told before the end.
                while let (Some(_), Ok(event)) = (&told, inbox.try_recv()) {
                    tell(told.as_ref(), &event.kind);
                }
                return done;
            }
            Some(event) = inbox.recv(), if told.is_some() => tell(told.as_ref(), &event.kind),
            () = outside.cancelled(), if !cancel.is_cancelled() => cancel.cancel(),
        }
    }
}

fn tell(told: Option<&Progress>, kind: &EventKind) {
    if let (Some(told), EventKind::ToolProgress { text, .. }) = (told, kind) {
        told(text);
    }
}

/// What a single call has instead of a run.
fn single(
    runtime: &Runtime,
    tools: ToolSet,
    options: CallOptions,
    events: mpsc::Sender<Event>,
    cancel: CancellationToken,
) -> RunScope {
    let run = runtime.run_id();
    let defaults = &runtime.inner.defaults;
    let mode = options.mode.or(defaults.mode).unwrap_or_default();
    let named = options.tools.as_ref().filter(|_| mode == Mode::Delegate);
    let named = named.map(|set| set.tools().iter().map(|t| globset::escape(&t.spec().name)).collect::<Vec<_>>());
    let scope = Scope {
        runtime: runtime.clone(),
        run,
        mode,
        sandbox: options.sandbox.or(defaults.sandbox).unwrap_or_default(),
        dry_run: options.dry_run,
        tools,
        filter: ToolFilter::of(named.as_deref()),
        approver: options.approver.unwrap_or_else(|| Arc::clone(&runtime.inner.approver)),
        budget: defaults.budget,
        grants: options.grants.unwrap_or_default(),
        emitter: Emitter::new(run, Arc::clone(&runtime.inner.clock), events, cancel.clone()),
        ledger: Arc::new(Ledger::priced(Spent::default(), defaults.budget)),
        cancel,
        log: None,
        owner: options.owner.map_or_else(|| runtime.owner().into(), Arc::from),
        within: Arc::from([]),
        marks: Arc::default(),
        denied: Arc::default(),
        used: Arc::default(),
        nested: AtomicU64::new(0),
    };
    RunScope { inner: Arc::new(scope) }
}
