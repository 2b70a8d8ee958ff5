//! Where workflows are found: a project's folder, the user's, and those that Victor brings along.
//!
//! The first that has a name shadows the others, and that is told. Reading is the caller's: files come in as text.

use std::collections::BTreeMap;

use victor_core::permission::Mode;

use crate::bundled::BUNDLED;
use crate::expr::same_name;
use crate::registry::{About, Registered, WorkflowRegistry};
use crate::template::Environment;
use crate::yaml::{Compiled, Document, Known, Mistakes, load};

/// A workflow file as it was found.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its path, as messages name it.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// The files of one folder, and what `${NAME}` in them may name.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// The files.
    pub files: Vec<SourceFile>,
    /// The environment; empty for a folder that is not trusted.
    pub environment: Environment,
}

/// A workflow that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Where it stands: a file's path, or `bundled`.
    pub source: String,
}

/// All workflows that can be named.
#[derive(Clone, Debug, Default)]
pub struct Library {
    files: Vec<(String, Document)>,
    /// Files that have mistakes; what stands in them cannot be run.
    pub broken: Vec<Mistakes>,
    /// What the user should know: names that are found twice.
    pub notices: Vec<String>,
}

impl Library {
    /// Reads all files. `layers` are folders, the nearest first: the project's, then the user's; the bundled ones come
    /// last by themselves.
    #[must_use]
    pub fn new(layers: &[Layer]) -> Self {
        let mut library = Self::default();
        for (file, environment) in layers.iter().flat_map(|l| l.files.iter().map(|f| (f, &l.environment))) {
            match load(&file.path, &file.text, environment, &Known::default()) {
                Ok(document) => library.files.push((file.path.clone(), document)),
                Err(mistakes) => library.broken.push(mistakes),
            }
        }
        for bundled in BUNDLED {
            match bundled.document() {
                Ok(document) => library.files.push(("bundled".to_owned(), document)),
                Err(mistakes) => library.broken.push(mistakes),
            }
        }
        library.notices = library.shadowed();
        library
    }

    /// Adds a file that was named by its path; it comes before all others.
    ///
    /// # Errors
    /// All its mistakes.
    pub fn add(&mut self, file: &SourceFile, environment: &Environment) -> Result<(), Mistakes> {
        let document = load(&file.path, &file.text, environment, &Known::default())?;
        self.files.insert(0, (file.path.clone(), document));
        self.notices = self.shadowed();
        Ok(())
    }

    /// The workflows, each name once, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Found> {
        let mut found: BTreeMap<String, Found> = BTreeMap::new();
        for (source, document) in self.files.iter().rev() {
            for workflow in &document.workflows {
                let description = workflow.head.description.clone().unwrap_or_default();
                let entry = Found { name: workflow.name.value.clone(), description, source: source.clone() };
                found.insert(workflow.name.replace('-', "_"), entry);
            }
        }
        found.into_values().collect()
    }

    /// What is said of each workflow, by name, without compiling any.
    #[must_use]
    pub fn overview(&self) -> Vec<About> {
        let about = |found: Found| {
            let workflow = self.find(&found.name).and_then(|(_, document)| document.workflow(&found.name));
            let inputs = workflow.and_then(|w| w.head.inputs.as_ref()).into_iter().flat_map(|inputs| &inputs.0);
            let inputs = inputs.map(|(name, input)| (name.value.clone(), input.required)).collect();
            About { name: found.name, description: found.description, inputs }
        };
        self.list().into_iter().map(about).collect()
    }

    /// The file that holds a workflow: the nearest one that has the name, `-` and `_` alike.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(&str, &Document)> {
        let found = self.files.iter().find(|(_, document)| document.workflow(name).is_some());
        found.map(|(source, document)| (source.as_str(), document))
    }

    /// A workflow, ready to run. It may include those of other files.
    ///
    /// # Errors
    /// There is none of this name, or it includes one that is not there, or itself by way of other files.
    pub fn compile(&self, name: &str) -> Result<Compiled, Mistakes> {
        self.compile_below(name, &[], None)
    }

    fn compile_below(&self, name: &str, open: &[String], within: Option<Mode>) -> Result<Compiled, Mistakes> {
        let Some((_, document)) = self.find(name) else {
            let all = self.list();
            let message = crate::yaml::unknown("workflow", name, all.iter().map(|f| f.name.as_str()));
            return Err(Mistakes::of("workflows", message));
        };
        let way = [open, &[name.replace('-', "_")]].concat();
        if open.iter().any(|o| same_name(o, name)) {
            return Err(Mistakes::of("workflows", format!("the workflow includes itself: {}", way.join(" -> "))));
        }
        // The inner mistakes say more than that nothing was found.
        let inner = std::cell::RefCell::new(None);
        let resolve = |other: &str, mode: Option<Mode>| match self.compile_below(other, &way, mode) {
            Ok(compiled) => Some(compiled),
            Err(mistakes) => {
                inner.borrow_mut().get_or_insert(mistakes);
                None
            }
        };
        let compiled = document.compile_within(name, within, &resolve);
        match (compiled, inner.into_inner()) {
            (Err(outer), Some(Mistakes(mut first))) => {
                first.extend(outer.0);
                Err(Mistakes(first))
            }
            (compiled, _) => compiled,
        }
    }

    /// Puts all workflows that can be compiled into a registry; answers what is wrong with the others.
    pub fn register(&self, registry: &WorkflowRegistry) -> Vec<Mistakes> {
        let mut wrong = self.broken.clone();
        for found in self.list() {
            match self.compile(&found.name) {
                Ok(compiled) => registry.insert(registered(&compiled, &found)),
                Err(mistakes) => wrong.push(mistakes),
            }
        }
        wrong
    }

    fn shadowed(&self) -> Vec<String> {
        let mut notices = Vec::new();
        for found in self.list() {
            let all = self.files.iter().filter(|(_, d)| d.workflow(&found.name).is_some()).map(|(source, _)| source);
            let others: Vec<&str> = all.skip(1).map(String::as_str).collect();
            if !others.is_empty() {
                let (name, source) = (&found.name, &found.source);
                notices.push(format!("workflow `{name}` of {source} counts, not that of {}", others.join(", ")));
            }
        }
        notices
    }
}

fn registered(compiled: &Compiled, found: &Found) -> Registered {
    compiled.registered(found.source.clone())
}
