//! Workflows of the project, of the user, and those that Victor brings along: found when they are needed.

mod files;
mod tend;

use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use victor_core::error::ConfigurationError;
use victor_workflow::error::WorkflowError;
use victor_workflow::library::{Library, SourceFile};
use victor_workflow::registry::{About, Listing, Reach, Registered, WorkflowSource};
use victor_workflow::template::Environment;
use victor_workflow::yaml::{Document, Known, Mistakes, load};

use crate::env::Env;
use crate::home::Home;
use crate::platform::Links;
use crate::trust::{self, TrustState};
use crate::workspace::Place;
pub use tend::{follow, tend};

use files::{Stamp, folder, read, stamps};

/// Where a project has its workflows.
pub(crate) const FOLDER: &str = ".victor/workflows";

/// The folders of workflow files of one workspace.
#[derive(Debug)]
pub struct WorkflowFolders {
    root: PathBuf,
    home: Home,
    trust: TrustState,
    environment: Environment,
    /// What was read last, and how the files were then.
    read: Mutex<Option<(Vec<Stamp>, Arc<Shelf>)>>,
}

/// All files, read.
#[derive(Clone, Debug, Default)]
struct Shelf {
    library: Library,
    /// The texts of files with mistakes, and these.
    broken: Vec<(String, Mistakes)>,
    /// The same without the project's, where the user does not trust these.
    trusted: Option<Box<Shelf>>,
}

impl WorkflowFolders {
    /// The folders of a place; nothing is read yet.
    #[must_use]
    pub fn new(place: &Place, env: &Env) -> Self {
        Self {
            root: place.root.clone(),
            home: place.home.clone(),
            trust: place.trust,
            environment: env.with_prefix("").collect(),
            read: Mutex::default(),
        }
    }

    /// A workflow file of the user's choice, read.
    ///
    /// # Errors
    /// It cannot be read; all its mistakes.
    pub fn check(&self, path: &str) -> Result<Document, WorkflowError> {
        let (file, environment) = self.file(path)?;
        Ok(load(&file.path, &file.text, &environment, &Known::default())?)
    }

    /// As [`check`](Self::check), with the names of tools and of other workflows checked too, and the workflows that it
    /// includes. `shown` is the file's name in messages.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn validate(&self, path: &str, shown: &str, tools: &[String]) -> Result<Document, WorkflowError> {
        let (mut file, environment) = self.file(path)?;
        shown.clone_into(&mut file.path);
        let known = Known { tools: Some(tools.to_vec()), ..self.known() };
        let document = load(&file.path, &file.text, &environment, &known)?;
        let mut library = self.shelf().library.clone();
        library.add(&file, &environment)?;
        for workflow in &document.workflows {
            library.compile(&workflow.name)?;
        }
        Ok(document)
    }

    /// The file that holds a workflow, read: with the names of branches, for a drawing.
    #[must_use]
    pub fn document(&self, name: &str) -> Option<Document> {
        self.shelf().library.find(name).map(|(_, document)| document.clone())
    }

    fn known(&self) -> Known {
        let all = self.shelf().library.list().into_iter().map(|found| found.name).collect();
        Known { workflows: Some(all), ..Known::default() }
    }

    fn project(&self) -> Option<PathBuf> {
        let own = self.root.join(".victor");
        // The user's home folder as workspace: its `.victor` is the user's own and no project's.
        let is_home = matches!((own.canonicalize(), self.home.root().canonicalize()), (Ok(a), Ok(b)) if a == b);
        (!is_home && !own.is_symlink()).then(|| self.root.join(FOLDER))
    }

    /// What `${NAME}` names in the project's own files.
    fn project_environment(&self) -> Environment {
        match trusts(&self.home, &self.root, self.trust) {
            true => self.environment.clone(),
            false => Self::no_environment(),
        }
    }

    fn no_environment() -> Environment {
        Environment::withheld(
            "the folder's workflows are not trusted as they are now, so they get no values of the environment: look at \
             them, then trust them with `victor workspace trust`",
        )
    }

    fn shelf(&self) -> Arc<Shelf> {
        let (project, user) = (self.project(), self.home.workflows());
        let now = stamps(project.iter().chain([&user]).map(PathBuf::as_path), &self.home.trust());
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((then, shelf)) = &*read
            && *then == now
        {
            return Arc::clone(shelf);
        }
        let shelf = Arc::new(self.fill(project.as_deref(), &user));
        *read = Some((now, Arc::clone(&shelf)));
        shelf
    }

    fn fill(&self, project: Option<&Path>, user: &Path) -> Shelf {
        let mut shelf = Shelf { library: Library::new(&[]), ..Shelf::default() };
        let shown = |path: &Path| path.display().to_string();
        shelf.put(folder(user, &shown, Links::Follow), &self.environment);
        if let Some(project) = project {
            let shown = |path: &Path| path.strip_prefix(&self.root).unwrap_or(path).display().to_string();
            let files = folder(project, &shown, Links::Refuse);
            if files.is_empty() || trusts(&self.home, &self.root, self.trust) {
                shelf.put(files, &self.environment);
            } else {
                shelf.trusted = Some(Box::new(shelf.clone()));
                shelf.put(files, &Self::no_environment());
            }
        }
        shelf
    }

    /// A file that the user names, and what `${NAME}` names in it.
    fn file(&self, path: &str) -> Result<(SourceFile, Environment), ConfigurationError> {
        let whole = self.root.join(path);
        // A link in the project's folder does not become the user's own file by where it leads.
        let inner = whole.strip_prefix(&self.root).ok().filter(|inner| inner.starts_with(FOLDER));
        let inner = inner.filter(|_| self.project().is_some());
        if let Some(file) = inner.filter(|inner| inner.parent() == Some(Path::new(FOLDER))) {
            return self.own_file(&file.to_string_lossy());
        }
        let is_inside = inner.is_some();
        let text = read(&whole, path, Links::Follow)?;
        let real = whole.canonicalize().unwrap_or(whole);
        let is_project = (is_inside || real.starts_with(&self.root)) && !real.starts_with(self.home.real());
        let environment = if is_project { self.project_environment() } else { self.environment.clone() };
        let shown = real.strip_prefix(&self.root).unwrap_or(Path::new(path)).display().to_string();
        Ok((SourceFile { path: shown, text }, environment))
    }

    /// A file of the project's folder of workflows.
    fn own_file(&self, path: &str) -> Result<(SourceFile, Environment), ConfigurationError> {
        let outside = || {
            let text = format!("`{path}` is no file of {FOLDER}: name a workflow, or a file in that folder");
            ConfigurationError::new(text)
        };
        let inner = Path::new(path).strip_prefix(".").unwrap_or(Path::new(path));
        let inner = inner.strip_prefix(FOLDER).unwrap_or(inner);
        let mut parts = inner.components();
        let (Some(Component::Normal(name)), None) = (parts.next(), parts.next()) else { return Err(outside()) };
        let project = self.project().ok_or_else(outside)?;
        let shown = format!("{FOLDER}/{}", name.display());
        let text = files::read_own(&project, &name.to_string_lossy(), &shown)?;
        Ok((SourceFile { path: shown, text }, self.project_environment()))
    }
}

impl Shelf {
    /// Puts the files of a folder before those that are there.
    fn put(&mut self, files: Vec<Result<SourceFile, Mistakes>>, environment: &Environment) {
        for file in files.into_iter().rev() {
            match file {
                Ok(file) => {
                    if let Err(mistakes) = self.library.add(&file, environment) {
                        self.broken.push((file.text, mistakes));
                    }
                }
                Err(mistakes) => self.broken.push((String::new(), mistakes)),
            }
        }
    }

    fn find(&self, name: &str) -> Result<Option<Registered>, WorkflowError> {
        if self.library.find(name).is_some() {
            return Ok(Some(registered(&self.library, name)?));
        }
        let other = if name.contains('-') { name.replace('-', "_") } else { name.replace('_', "-") };
        let names = [format!("{name}:"), format!("{other}:")];
        match self.broken.iter().find(|(text, _)| names.iter().any(|n| text.contains(n))) {
            Some((_, mistakes)) => Err(mistakes.clone().into()),
            None => Ok(None),
        }
    }
}

impl WorkflowSource for WorkflowFolders {
    fn find(&self, name: &str) -> Result<Option<Registered>, WorkflowError> {
        self.shelf().find(name)
    }

    fn find_trusted(&self, name: &str) -> Result<Option<Registered>, WorkflowError> {
        let shelf = self.shelf();
        shelf.trusted.as_deref().unwrap_or(&shelf).find(name)
    }

    fn open(&self, path: &str, name: Option<&str>, reach: Reach) -> Result<Registered, WorkflowError> {
        let (file, environment) = match reach {
            Reach::Anywhere => self.file(path)?,
            Reach::Folder => self.own_file(path)?,
        };
        let mut library = self.shelf().library.clone();
        library.add(&file, &environment)?;
        let document = load(&file.path, &file.text, &environment, &Known::default())?;
        let names: Vec<&str> = document.workflows.iter().map(|w| w.name.as_str()).collect();
        let name = match (name, names.as_slice()) {
            (Some(name), _) if document.workflow(name).is_some() => name,
            (Some(name), _) => {
                return Err(ConfigurationError::unknown("workflow", "WORKFLOW_NOT_FOUND", name, names).into());
            }
            (None, [only]) => only,
            (None, _) => {
                let text = format!("{path} holds several workflows, say which one: {}", names.join(", "));
                return Err(ConfigurationError::with_code("MISSING_FIELD", text).into());
            }
        };
        Ok(registered(&library, name)?)
    }

    fn overview(&self) -> Vec<About> {
        self.shelf().library.overview()
    }

    fn has_untrusted(&self) -> bool {
        let is_there = self.project().is_some_and(|folder| !files::names(&folder).is_empty());
        is_there && !trusts(&self.home, &self.root, self.trust)
    }

    fn has_own(&self) -> bool {
        let project = self.project();
        let folders = project.iter().map(PathBuf::as_path);
        folders.chain([&*self.home.workflows()]).any(|folder| !files::names(folder).is_empty())
    }

    fn list(&self) -> Listing {
        let shelf = self.shelf();
        let mut listing = Listing { notices: shelf.library.notices.clone(), ..Listing::default() };
        listing.broken.extend(shelf.broken.iter().map(|(_, mistakes)| mistakes.clone()));
        for found in shelf.library.list() {
            match registered(&shelf.library, &found.name) {
                Ok(workflow) => listing.workflows.push(workflow),
                Err(mistakes) => listing.broken.push(mistakes),
            }
        }
        listing
    }
}

/// Whether the user trusts the project's workflows as they are now.
pub(crate) fn trusts(home: &Home, root: &Path, state: TrustState) -> bool {
    let hash = || files::hash(&root.join(FOLDER));
    state == TrustState::TrustedOnce || trust::trusts_workflows(home, root, hash)
}

/// The hash of the project's workflow files and how many there are; `None` for none.
pub(crate) fn hash(root: &Path) -> Option<(String, usize)> {
    let folder = root.join(FOLDER);
    Some((files::hash(&folder)?, files::names(&folder).len()))
}

fn registered(library: &Library, name: &str) -> Result<Registered, Mistakes> {
    let source = library.find(name).map(|(source, _)| source.to_owned()).unwrap_or_default();
    library.compile(name).map(|compiled| compiled.registered(source))
}
