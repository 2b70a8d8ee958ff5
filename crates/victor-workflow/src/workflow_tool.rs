//! `run_workflow` as a tool of agents: a workflow as one call, as a part of the agent's own run.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use victor_core::error::ToolError;
use victor_core::journal::RunStatus;
use victor_core::permission::PermissionKey;
use victor_core::tool::{DynTool, Effects, Plan, Preview, ToolCx, ToolOutput, ToolSource, ToolSpec, parameters_of};

use crate::bundled::BUNDLED;
use crate::engine::Workflows;
use crate::error::{ABORTED, WorkflowError};
use crate::options::WorkflowOutcome;
use crate::registry::{About, Registered, WorkflowRegistry};
use crate::schedule::OWNER;
use crate::within::check_depth;

/// The tool's name.
pub const RUN_WORKFLOW: &str = "run_workflow";
/// Workflows that the description names at most.
const NAMED: usize = 30;
/// Characters of what is said of one at most.
const LINE: usize = 160;

/// The tool's arguments.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Args {
    /// The workflow's name; an unknown one is answered with those that there are.
    #[schemars(length(min = 1))]
    workflow: String,
    /// Its input, by name.
    #[serde(default)]
    input: Map<String, Value>,
}

/// The source of `run_workflow`. Agents that name no tools have it where there are workflows beside those that Victor
/// brings along; those that name it always.
pub struct WorkflowTools {
    registry: WorkflowRegistry,
    /// The tool as it was made last, and of what.
    made: Mutex<Option<(Offer, Arc<dyn DynTool>)>>,
}

/// What the tool says it can run.
#[derive(Clone, Debug, PartialEq)]
enum Offer {
    /// Only what Victor brings along.
    Bundled,
    /// These.
    Own(Vec<About>),
}

impl WorkflowTools {
    /// The tool for the workflows of a registry, which has to be the runtime's too.
    #[must_use]
    pub fn new(registry: WorkflowRegistry) -> Self {
        Self { registry, made: Mutex::default() }
    }
}

#[async_trait]
impl ToolSource for WorkflowTools {
    fn name(&self) -> &'static str {
        "workflows"
    }

    async fn tools(&self) -> Vec<Arc<dyn DynTool>> {
        let offer = if self.registry.has_own() { Offer::Own(self.registry.overview()) } else { Offer::Bundled };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, tool)) = &*made
            && *known == offer
        {
            return vec![Arc::clone(tool)];
        }
        let spec = ToolSpec::new(RUN_WORKFLOW, about(&offer), "workflows", parameters_of::<Args>(), Effects::AGENT);
        let is_offered = matches!(offer, Offer::Own(_));
        let tool: Arc<dyn DynTool> = Arc::new(RunWorkflow { spec: Arc::new(spec), is_offered });
        *made = Some((offer, Arc::clone(&tool)));
        vec![tool]
    }
}

/// What a model reads: the same for the same workflows.
fn about(offer: &Offer) -> String {
    let mut text = "Runs a workflow: agents, tools, conditions and people in a fixed order. Use it where one fits the \
                    task. Its calls are judged as your own."
        .to_owned();
    match offer {
        Offer::Bundled => {
            let names = BUNDLED.iter().map(|b| b.name).collect::<Vec<_>>().join(", ");
            let _ = write!(text, " There are: {names}.");
        }
        Offer::Own(workflows) => {
            text.push_str(" There are:");
            for workflow in workflows.iter().take(NAMED) {
                let _ = write!(text, "\n- {}", line(workflow));
            }
            if workflows.len() > NAMED {
                let _ = write!(text, "\n- and {} more; an unknown name is answered with all", workflows.len() - NAMED);
            }
        }
    }
    text
}

/// `greet(who, words?): Greets somebody`
fn line(about: &About) -> String {
    let inputs = about.inputs.iter().map(|(name, required)| if *required { name.clone() } else { format!("{name}?") });
    let inputs = inputs.collect::<Vec<_>>().join(", ");
    let words = about.description.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = format!("{}({inputs}): {words}", about.name);
    match line.char_indices().nth(LINE) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line.trim_end_matches(": ").to_owned(),
    }
}

struct RunWorkflow {
    spec: Arc<ToolSpec>,
    is_offered: bool,
}

#[async_trait]
impl DynTool for RunWorkflow {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    fn is_offered(&self) -> bool {
        self.is_offered
    }

    async fn plan(&self, args: Value, cx: &ToolCx) -> Result<Plan, ToolError> {
        let args: Args = serde_json::from_value(args).map_err(|e| ToolError::Model(e.to_string()))?;
        let scope = cx.scope().ok_or_else(|| ToolError::model("a workflow can only be called in a run"))?;
        let workflows = Workflows::of(scope.runtime());
        let registry = workflows.registry();
        // What a scheduled run comes to run is looked at by nobody either.
        let found = match scope.owner().starts_with(OWNER) {
            true => registry.get_trusted(&args.workflow),
            false => registry.get(&args.workflow),
        };
        let found = found.map_err(|e| ToolError::Model(e.to_string()))?;
        let input = Value::Object(args.input);
        // What is wrong with the input is told before anybody is asked.
        found.workflow.prepare(input.clone()).map_err(|e| ToolError::Model(e.to_string()))?;
        check_depth(&scope, &found.workflow).map_err(|e| ToolError::Model(e.to_string()))?;
        let (preview, name) = (preview(&found, &input), found.workflow.name().to_owned());
        let plan = Plan::new(Effects::AGENT, move |_permit, cx: ToolCx| async move {
            let call = cx.call.as_str();
            let ended = workflows.run_within(&scope, call, &found.workflow, input, cx.cancel.clone()).await;
            answer(found.workflow.name(), ended)
        });
        Ok(spellings(&name).fold(plan, |plan, name| plan.key(PermissionKey::Name { name })).preview(preview))
    }
}

/// A name as it can be written in a rule: `-` and `_` are alike in names, so a rule of either forbids.
fn spellings(name: &str) -> impl Iterator<Item = String> + use<'_> {
    let others = [name.replace('-', "_"), name.replace('_', "-")].into_iter().filter(move |other| other != name);
    std::iter::once(name.to_owned()).chain(others)
}

/// What a person is shown: which workflow, with which input, of which nodes.
fn preview(found: &Registered, input: &Value) -> Preview {
    let workflow = &found.workflow;
    let nodes = workflow.nodes().map(|n| format!("{} ({})", n.name, n.kind)).collect::<Vec<_>>().join(", ");
    // Leave that is given later is for the workflow as it was then.
    let hash: String = workflow.hash().chars().take(12).collect();
    let (name, source) = (workflow.name(), &found.source);
    let mut text = format!("workflow {name} ({source}, version {hash})\ninput: {input}\nnodes: {nodes}");
    if !workflow.description().is_empty() {
        let _ = write!(text, "\n{}", workflow.description());
    }
    Preview::Text { text }
}

fn answer(name: &str, ended: Result<WorkflowOutcome, WorkflowError>) -> Result<ToolOutput, ToolError> {
    let outcome = ended.map_err(|e| ToolError::Model(format!("the workflow `{name}` could not be run: {e}")))?;
    let structured = json!({
        "workflow_id": outcome.workflow_id, "status": outcome.status, "result": outcome.result, "error": outcome.error,
    });
    let failed = |text: String| Ok(ToolOutput::text(text).structured(structured.clone()).failed());
    match (outcome.status, &outcome.error) {
        (RunStatus::Completed, _) => {
            let text = match &outcome.result {
                Value::String(text) => text.clone(),
                other => format!("{other:#}"),
            };
            Ok(ToolOutput::text(text).structured(structured))
        }
        (RunStatus::Failed, Some(e)) if e.code == ABORTED => {
            Err(ToolError::Denied(format!("the workflow `{name}` was stopped at a gate: {}", e.message)))
        }
        (RunStatus::Failed, Some(e)) => failed(format!("the workflow `{name}` failed: {}", e.message)),
        (status, _) => failed(format!("the workflow `{name}` ended as {}", status.name())),
    }
}
