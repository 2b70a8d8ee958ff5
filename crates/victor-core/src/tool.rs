//! Tools: they plan before they run, and nothing runs without a [`Permit`], which only core's pipeline can make.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub use crate::closure::{IntoToolOutput, Json, tool_fn};
pub use crate::effects::Effects;
use crate::error::ToolError;
use crate::id::{CallId, RunId};
use crate::message::Block;
use crate::permission::{PathRules, PermissionKey};
use crate::sandbox::{Sandbox, SandboxMode, Workspace};

/// A tool as its author writes it, typed. [`erase`] makes a [`DynTool`] of it.
pub trait Tool: Send + Sync + 'static {
    /// The name that the model calls it by: letters, digits, `_` and `-`, at most 64.
    const NAME: &'static str;

    /// The arguments; their JSON schema is what the model sees.
    type Args: DeserializeOwned + JsonSchema + Send;

    /// What it does and when to use it, for the model.
    fn description(&self) -> Cow<'static, str>;

    /// The group that it is listed in (`files`, `git`, ...).
    fn category(&self) -> &'static str {
        "custom"
    }

    /// The most that it can do.
    fn effects(&self) -> Effects;

    /// The JSON Schema of [`ToolOutput::structured`], an object, where every answer that is no error has it.
    fn output(&self) -> Option<Value> {
        None
    }

    /// Parses, resolves and opens what a call needs. Changes nothing.
    fn plan(&self, args: Self::Args, cx: &ToolCx) -> impl Future<Output = Result<Plan, ToolError>> + Send;
}

/// A tool as the engine sees it.
#[async_trait]
pub trait DynTool: Send + Sync + 'static {
    /// Name, description, schema and effects.
    fn spec(&self) -> &Arc<ToolSpec>;

    /// Whether agents have it that name no tools. Those that do can name it anyway.
    fn is_offered(&self) -> bool {
        true
    }

    /// As [`Tool::plan`], with arguments that already fit the schema.
    ///
    /// # Errors
    /// What is wrong with the arguments or the world, for the model.
    async fn plan(&self, args: Value, cx: &ToolCx) -> Result<Plan, ToolError>;
}

/// What is said of a tool.
#[derive(Debug, Serialize, Deserialize)]
pub struct ToolSpec {
    /// The name that the model calls it by.
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// The group that it is listed in.
    pub category: String,
    /// The JSON Schema (draft 2020-12) of the arguments, an object.
    pub parameters: Value,
    /// The most that it can do.
    pub effects: Effects,
    /// The JSON Schema of [`ToolOutput::structured`], where every answer that is no error has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    #[serde(skip)]
    validator: OnceLock<Result<jsonschema::Validator, String>>,
}

impl ToolSpec {
    /// What is said of a tool with these properties.
    pub fn new(
        name: impl Into<String>,
        description: impl Into<String>,
        category: impl Into<String>,
        parameters: Value,
        effects: Effects,
    ) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            category: category.into(),
            parameters,
            effects,
            output: None,
            validator: OnceLock::new(),
        }
    }

    /// Adds the schema of the structured answer.
    #[must_use]
    pub fn output(mut self, schema: Option<Value>) -> Self {
        self.output = schema;
        self
    }

    /// Checks arguments against the schema.
    ///
    /// # Errors
    /// All that does not fit, each with its place, for the model to mend.
    pub fn validate(&self, args: &Value) -> Result<(), ToolError> {
        let validator =
            self.validator.get_or_init(|| jsonschema::validator_for(&self.parameters).map_err(|e| e.to_string()));
        let validator = validator
            .as_ref()
            .map_err(|e| ToolError::Model(format!("the schema of `{}` is not a JSON schema: {e}", self.name)))?;
        let wrong: Vec<_> = validator.iter_errors(args).take(8).map(|e| place(&e)).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        Err(ToolError::Model(format!("the arguments do not fit the tool `{}`: {}", self.name, wrong.join("; "))))
    }
}

fn place(error: &jsonschema::ValidationError<'_>) -> String {
    match error.instance_path().to_string() {
        path if path.is_empty() => error.to_string(),
        path => format!("at `{path}`: {error}"),
    }
}

/// The work of a planned call.
pub type RunFn = Box<dyn FnOnce(Permit, ToolCx) -> BoxFuture<'static, Result<ToolOutput, ToolError>> + Send>;

/// One call, resolved and ready: what is judged here is what runs.
pub struct Plan {
    /// What this call does; never more than the tool's own effects.
    pub effects: Effects,
    /// What the permission rules are matched against; each must be allowed.
    pub keys: Vec<PermissionKey>,
    /// What a person is shown who has to decide.
    pub preview: Option<Preview>,
    /// The files that it will change, as they are now; saved before it runs, so that it can be undone.
    pub changes: Vec<FileChange>,
    // Never locked: it lets plans be shared between threads though their work need not be.
    run: Mutex<RunFn>,
}

impl Plan {
    /// A call that does `effects` by running `run`.
    pub fn new<F, Fut>(effects: Effects, run: F) -> Self
    where
        F: FnOnce(Permit, ToolCx) -> Fut + Send + 'static,
        Fut: Future<Output = Result<ToolOutput, ToolError>> + Send + 'static,
    {
        Self {
            effects,
            keys: Vec::new(),
            preview: None,
            changes: Vec::new(),
            run: Mutex::new(Box::new(move |permit, cx| Box::pin(run(permit, cx)))),
        }
    }

    /// Adds a key for the permission rules.
    #[must_use]
    pub fn key(mut self, key: PermissionKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Sets what a person is shown.
    #[must_use]
    pub fn preview(mut self, preview: Preview) -> Self {
        self.preview = Some(preview);
        self
    }

    /// Adds a file that the call will change.
    #[must_use]
    pub fn change(mut self, change: FileChange) -> Self {
        self.changes.push(change);
        self
    }

    /// Carries the call out. A [`Permit`] cannot be had but from core's pipeline.
    pub(crate) fn run(self, permit: Permit, cx: ToolCx) -> BoxFuture<'static, Result<ToolOutput, ToolError>> {
        let run = self.run.into_inner().unwrap_or_else(PoisonError::into_inner);
        run(permit, cx)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("effects", &self.effects).field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// What a person is shown who has to decide on a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Preview {
    /// A change of files, as a unified diff.
    Diff {
        /// The diff.
        diff: String,
    },
    /// A command line.
    Command {
        /// The command as the shell gets it.
        command: String,
        /// The folder that it runs in.
        cwd: String,
    },
    /// Anything else, as text.
    Text {
        /// The text.
        text: String,
    },
}

/// A file that a call changes, as it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// The file's absolute path.
    pub path: PathBuf,
    /// Its content before the change; `None` if there was no file.
    pub before: Option<Bytes>,
    /// Its content after the change; `None` if it is deleted.
    pub after: Option<Bytes>,
}

/// Leave to run one planned call, with the limits that it runs under. Core's pipeline makes it after all checks.
#[derive(Debug)]
pub struct Permit {
    sandbox: Sandbox,
    paths: Arc<PathRules>,
}

impl Permit {
    pub(crate) fn new(sandbox: Sandbox, paths: Arc<PathRules>) -> Self {
        Self { sandbox, paths }
    }

    /// What a program started by this call may do.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The paths that deny and ask rules keep from being read in passing, by a search or a listing with content.
    #[must_use]
    pub fn paths(&self) -> &PathRules {
        &self.paths
    }
}

/// What a call answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolOutput {
    /// What the model gets to see.
    pub content: Vec<Block>,
    /// The same for programs, where the tool has it.
    pub structured: Option<Value>,
    /// Whether the work failed (a command's exit code, say), though the tool did its part.
    pub is_error: bool,
}

impl ToolOutput {
    /// An answer of one text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: vec![Block::text(text)], ..Self::default() }
    }

    /// Adds the form for programs.
    #[must_use]
    pub fn structured(mut self, value: Value) -> Self {
        self.structured = Some(value);
        self
    }

    /// Marks the work as failed.
    #[must_use]
    pub fn failed(mut self) -> Self {
        self.is_error = true;
        self
    }
}

/// What a call may use while it plans and runs. No session, no configuration, no runtime.
#[derive(Clone)]
pub struct ToolCx {
    /// The run.
    pub run: RunId,
    /// The call.
    pub call: CallId,
    /// The folders that file tools may reach.
    pub workspace: Arc<Workspace>,
    /// How far programs may reach; the [`Permit`] says it finally.
    pub sandbox: SandboxMode,
    /// Ends the call when cancelled; whatever it started must end with it.
    pub cancel: CancellationToken,
    pub(crate) door: Arc<dyn CallDoor>,
}

impl ToolCx {
    /// Tells whoever follows the run how far the call is. Never waits; a piece may be lost when nobody keeps up.
    pub fn progress(&self, text: impl Into<String>) {
        self.door.progress(&self.call, text.into());
    }

    /// Calls another tool on the same permission path.
    ///
    /// # Errors
    /// As any call: wrong arguments, denial, failure.
    pub async fn call(&self, name: &str, args: Value) -> Result<ToolOutput, ToolError> {
        self.door.call(self, Callee::Named(name), args).await
    }

    /// Calls a tool that was handed in, on the same permission path; it need not be one of the run's own. As for any
    /// call the agent's mode decides what it may do at most.
    ///
    /// # Errors
    /// As any call: wrong arguments, denial, failure.
    pub async fn call_tool(&self, tool: &Arc<dyn DynTool>, args: Value) -> Result<ToolOutput, ToolError> {
        self.door.call(self, Callee::Tool(tool), args).await
    }

    /// The run that the call belongs to, for tools that have agents work as parts of it; `None` outside of runs. All
    /// that it does is judged and counted as the run's own.
    #[must_use]
    pub fn scope(&self) -> Option<crate::agent::RunScope> {
        self.door.run_scope()
    }
}

impl fmt::Debug for ToolCx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolCx").field("run", &self.run).field("call", &self.call).finish_non_exhaustive()
    }
}

/// What a tool calls.
pub(crate) enum Callee<'a> {
    /// A tool of the run, by name.
    Named(&'a str),
    /// This tool.
    Tool(&'a Arc<dyn DynTool>),
}

impl Callee<'_> {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::Tool(tool) => &tool.spec().name,
        }
    }
}

/// The way back from a call into the run that it belongs to.
#[async_trait]
pub(crate) trait CallDoor: Send + Sync {
    fn progress(&self, call: &CallId, text: String);
    async fn call(&self, cx: &ToolCx, callee: Callee<'_>, args: Value) -> Result<ToolOutput, ToolError>;
    fn run_scope(&self) -> Option<crate::agent::RunScope>;
}

/// Makes a typed tool one that the engine can hold.
pub fn erase<T: Tool>(tool: T) -> Arc<dyn DynTool> {
    let (parameters, output) = (parameters_of::<T::Args>(), tool.output());
    let spec = ToolSpec::new(T::NAME, tool.description(), tool.category(), parameters, tool.effects()).output(output);
    Arc::new(Erased { tool, spec: Arc::new(spec) })
}

/// The JSON schema that a model is shown for `A`: an object, without title and `$schema`, subschemas in line.
#[must_use]
pub fn parameters_of<A: JsonSchema>() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    let mut schema: Value = settings.into_generator().into_root_schema_for::<A>().into();
    if let Value::Object(object) = &mut schema {
        object.remove("title");
        object.entry("properties").or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    schema
}

struct Erased<T> {
    tool: T,
    spec: Arc<ToolSpec>,
}

#[async_trait]
impl<T: Tool> DynTool for Erased<T> {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    async fn plan(&self, args: Value, cx: &ToolCx) -> Result<Plan, ToolError> {
        let args = serde_json::from_value(args)
            .map_err(|e| ToolError::Model(format!("the arguments do not fit the tool `{}`: {e}", T::NAME)))?;
        self.tool.plan(args, cx).await
    }
}

/// Whose tools, resources or prompts a source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Victor's or the application's.
    Own,
    /// Another server's, which agents may use and no door passes on.
    Foreign,
}

/// Where tools come from: built in, an MCP server, an application.
#[async_trait]
pub trait ToolSource: Send + Sync + 'static {
    /// The source's name, for messages.
    fn name(&self) -> &str;

    /// Whose tools it has.
    fn origin(&self) -> Origin {
        Origin::Own
    }

    /// The tools that it has now.
    async fn tools(&self) -> Vec<Arc<dyn DynTool>>;

    /// Ends what it has started; the runtime is shut down and no call runs any more.
    async fn close(&self) {}
}

/// The tools of one run: a snapshot, sorted by name.
#[derive(Clone, Default)]
pub struct ToolSet {
    tools: Vec<Arc<dyn DynTool>>,
    specs: Option<Arc<[Arc<ToolSpec>]>>,
}

impl ToolSet {
    /// A set of these tools; of two with one name the later counts.
    #[must_use]
    pub fn new(tools: impl IntoIterator<Item = Arc<dyn DynTool>>) -> Self {
        let by_name: std::collections::BTreeMap<String, Arc<dyn DynTool>> =
            tools.into_iter().map(|t| (t.spec().name.clone(), t)).collect();
        let tools: Vec<_> = by_name.into_values().collect();
        let specs = tools.iter().map(|t| Arc::clone(t.spec())).collect();
        Self { tools, specs: Some(specs) }
    }

    /// The tool of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn DynTool>> {
        let at = self.tools.binary_search_by(|t| t.spec().name.as_str().cmp(name)).ok()?;
        self.tools.get(at)
    }

    /// All tools, sorted by name.
    #[must_use]
    pub fn tools(&self) -> &[Arc<dyn DynTool>] {
        &self.tools
    }

    /// What the model is told of them, sorted by name.
    #[must_use]
    pub fn specs(&self) -> Arc<[Arc<ToolSpec>]> {
        self.specs.clone().unwrap_or_else(|| Arc::from([]))
    }
}

impl fmt::Debug for ToolSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tools.iter().map(|t| &t.spec().name)).finish()
    }
}
