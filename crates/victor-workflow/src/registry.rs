//! Workflows by name: what the doors offer and other workflows refer to.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;
use victor_core::error::ConfigurationError;

use crate::workflow::Workflow;

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

/// Workflows by name. Names match with `-` and `_` alike. Cloning gives the same registry.
#[derive(Clone, Debug, Default)]
pub struct WorkflowRegistry {
    known: Arc<RwLock<BTreeMap<String, Registered>>>,
}

impl WorkflowRegistry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
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
    /// There is none; names the nearest. Code `WORKFLOW_NOT_FOUND`.
    pub fn get(&self, name: &str) -> Result<Registered, ConfigurationError> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&key(name)).cloned().ok_or_else(|| {
            let names = known.values().map(|r| r.workflow.name());
            ConfigurationError::unknown("workflow", "WORKFLOW_NOT_FOUND", name, names)
        })
    }

    /// All of them, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Registered> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

fn key(name: &str) -> String {
    name.replace('-', "_")
}
