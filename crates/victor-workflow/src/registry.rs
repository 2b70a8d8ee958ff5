//! Workflows by name: what the doors offer and other workflows refer to.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;
use victor_core::error::ConfigurationError;

use crate::error::WorkflowError;
use crate::workflow::Workflow;
use crate::yaml::Mistakes;

/// The source of those that Victor brings along.
pub const BUNDLED: &str = "bundled";

/// A workflow with what is said of it where it is offered.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The workflow.
    pub workflow: Workflow,
    /// Where it comes from: a file, `bundled`, or the application.
    pub source: String,
    /// The JSON schema of its inputs, where it has one.
    pub inputs: Option<Value>,
}

/// Everything that a registry or a source offers.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The workflows, by name.
    pub workflows: Vec<Registered>,
    /// Files whose workflows cannot be run, with what is wrong with them.
    pub broken: Vec<Mistakes>,
    /// What the user should know.
    pub notices: Vec<String>,
}

/// What is said of a workflow where it is offered, without its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its inputs by name, and whether a run needs them.
    pub inputs: Vec<(String, bool)>,
}

/// Who may name a file that a workflow is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The user themselves, any file.
    Anywhere,
    /// Others: only files of the workspace's own folder of workflows.
    Folder,
}

/// Workflows that are looked up when they are needed: files, say. It is asked on every look-up, so that what changed
/// since is seen.
pub trait WorkflowSource: Send + Sync + 'static {
    /// The workflow of this name, `-` and `_` alike; `None` if there is none.
    ///
    /// # Errors
    /// There is one, and it has mistakes; or it cannot be read.
    fn find(&self, name: &str) -> Result<Option<Registered>, WorkflowError>;

    /// The workflow of a file; the file's only one where no name is given.
    ///
    /// # Errors
    /// The file cannot be read or lies out of reach, has mistakes, or has no such workflow.
    fn open(&self, path: &str, name: Option<&str>, reach: Reach) -> Result<Registered, WorkflowError>;

    /// Everything that it offers.
    fn list(&self) -> Listing;

    /// What is said of each workflow, by name: also of those whose mistakes only show when they are run.
    fn overview(&self) -> Vec<About> {
        self.list().workflows.iter().map(About::from).collect()
    }

    /// Whether some of what it offers comes from a folder that the user does not trust: such workflows get no values of
    /// the environment.
    fn has_untrusted(&self) -> bool {
        false
    }

    /// As [`find`](Self::find), without what comes from a folder that the user does not trust: neither the workflow, nor
    /// those that it includes, nor one that takes another's name.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    fn find_trusted(&self, name: &str) -> Result<Option<Registered>, WorkflowError> {
        if self.has_untrusted() { Ok(None) } else { self.find(name) }
    }

    /// Whether it offers any but those that Victor brings along. Asked before every run, so it should be quick.
    fn has_own(&self) -> bool {
        true
    }
}

/// Workflows by name. Names match with `-` and `_` alike. Cloning gives the same registry.
#[derive(Clone, Default)]
pub struct WorkflowRegistry {
    known: Arc<RwLock<BTreeMap<String, Registered>>>,
    source: Option<Arc<dyn WorkflowSource>>,
}

impl WorkflowRegistry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A registry that asks a source for what was not put into it.
    pub fn with_source(source: Arc<dyn WorkflowSource>) -> Self {
        Self { source: Some(source), ..Self::default() }
    }

    /// Puts a workflow in, under its own name; one that had the name before is replaced.
    pub fn insert(&self, registered: Registered) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(key(registered.workflow.name()), registered);
    }

    /// Puts a workflow of the application in.
    pub fn add(&self, workflow: Workflow) {
        self.insert(Registered { workflow, source: "application".to_owned(), inputs: None });
    }

    /// Takes a workflow out and tells whether it was there.
    pub fn remove(&self, name: &str) -> bool {
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(&key(name)).is_some()
    }

    /// The workflow of this name.
    ///
    /// # Errors
    /// There is none; names the nearest. Code `WORKFLOW_NOT_FOUND`. Or its file has mistakes.
    pub fn get(&self, name: &str) -> Result<Registered, WorkflowError> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&key(name)).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = self.source.as_ref().map_or(Ok(None), |source| source.find(name))?;
        found.ok_or_else(|| {
            let listing = self.list();
            let names = listing.workflows.iter().map(|r| r.workflow.name());
            ConfigurationError::unknown("workflow", "WORKFLOW_NOT_FOUND", name, names).into()
        })
    }

    /// As [`get`](Self::get), for what runs without anybody there to look at it: nothing of a folder that the user does
    /// not trust.
    ///
    /// # Errors
    /// As [`get`](Self::get); the workflow of this name is of such a folder, code `PERMISSION_DENIED`.
    pub fn get_trusted(&self, name: &str) -> Result<Registered, WorkflowError> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&key(name)).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        if let Some(found) = self.source.as_ref().map_or(Ok(None), |source| source.find_trusted(name))? {
            return Ok(found);
        }
        let Registered { source, .. } = self.get(name)?;
        let text = format!(
            "workflow `{name}` is one of this folder's ({source}), which are not trusted as they are now, and so no schedule \
             runs it: look at them, then `victor workspace trust`, or `--trust` for as long as a server runs"
        );
        Err(ConfigurationError::with_code("PERMISSION_DENIED", text).into())
    }

    /// The workflow of a file; the file's only one where no name is given.
    ///
    /// # Errors
    /// The file cannot be read or lies out of reach, has mistakes, or has no such workflow.
    pub fn open(&self, path: &str, name: Option<&str>, reach: Reach) -> Result<Registered, WorkflowError> {
        match &self.source {
            Some(source) => source.open(path, name, reach),
            None => {
                let text = format!("no workflow `{path}`: this application reads no workflow files");
                Err(ConfigurationError::with_code("WORKFLOW_NOT_FOUND", text).into())
            }
        }
    }

    /// What a run began with: the workflow of this name in the file that it came from, where it came from a file.
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`open`](Self::open).
    pub fn again(&self, name: &str, file: Option<&str>) -> Result<Registered, WorkflowError> {
        match file {
            Some(file) => self.open(file, Some(name), Reach::Anywhere),
            None => self.get(name),
        }
    }

    /// What is said of each, by name.
    #[must_use]
    pub fn overview(&self) -> Vec<About> {
        let mut all = self.source.as_ref().map(|source| source.overview()).unwrap_or_default();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        all.retain(|about| !known.contains_key(&key(&about.name)));
        all.extend(known.values().map(About::from));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Whether some come from a folder that the user does not trust.
    #[must_use]
    pub fn has_untrusted(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.has_untrusted())
    }

    /// Whether there are any but those that Victor brings along.
    #[must_use]
    pub fn has_own(&self) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().any(|r| r.source != BUNDLED) || self.source.as_ref().is_some_and(|source| source.has_own())
    }

    /// All of them, by name.
    #[must_use]
    pub fn list(&self) -> Listing {
        let mut listing = self.source.as_ref().map(|source| source.list()).unwrap_or_default();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        listing.workflows.retain(|r| !known.contains_key(&key(r.workflow.name())));
        listing.workflows.extend(known.values().cloned());
        listing.workflows.sort_by(|a, b| a.workflow.name().cmp(b.workflow.name()));
        listing
    }
}

impl From<&Registered> for About {
    fn from(registered: &Registered) -> Self {
        let schema = registered.inputs.as_ref();
        let required: Vec<&str> =
            schema.and_then(|s| s["required"].as_array()).into_iter().flatten().filter_map(Value::as_str).collect();
        let names = schema.and_then(|s| s["properties"].as_object()).into_iter().flat_map(|o| o.keys());
        Self {
            name: registered.workflow.name().to_owned(),
            description: registered.workflow.description().to_owned(),
            inputs: names.map(|name| (name.clone(), required.contains(&name.as_str()))).collect(),
        }
    }
}

impl std::fmt::Debug for WorkflowRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("WorkflowRegistry").field("known", &known.keys()).finish_non_exhaustive()
    }
}

fn key(name: &str) -> String {
    name.replace('-', "_")
}
