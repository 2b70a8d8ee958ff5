//! Where workflows are found: the project's `.victor/workflows/`, the home's `workflows/`, and those that Victor brings
//! along.

use std::fs;
use std::path::{Path, PathBuf};

use victor_core::error::ConfigurationError;
use victor_core::runtime::Runtime;
use victor_workflow::library::{Layer, Library, SourceFile};
use victor_workflow::registry::WorkflowRegistry;
use victor_workflow::template::Environment;
use victor_workflow::yaml::MAX_FILE;

use crate::platform::{self, Content, Links};
use crate::setup::Setup;

/// The most files of a folder that are read.
const MAX_FILES: usize = 1_000;

/// All workflows that were found.
#[derive(Clone, Debug, Default)]
pub struct Workflows {
    /// They, by name; with the files that have mistakes.
    pub library: Library,
    /// Lines for the user: names that are found twice, files that cannot be read, values that are not put in.
    pub notices: Vec<String>,
}

impl Setup {
    /// The workflows that can be named. A file that cannot be read is told and left out.
    #[must_use]
    pub fn workflows(&self) -> Workflows {
        let mut notices = Vec::new();
        let home = self.place.home.root().join("workflows");
        let project = self.place.root.join(".victor");
        // The user's home folder as workspace: its `.victor` is the user's own and no project's.
        let is_home = project.canonicalize().is_ok_and(|p| p == self.place.home.real());
        let mut layers = Vec::new();
        if !is_home {
            let folder = project.join("workflows");
            let linked = [&project, &folder].into_iter().find(|p| is_link(p));
            match linked {
                Some(link) => notices.push(format!("{}: a symbolic link, which is not followed", link.display())),
                None => layers.push(self.project_layer(&folder, &mut notices)),
            }
        }
        let files = files(&home, Links::Follow, &self.place.root, &mut notices);
        layers.push(Layer { files, environment: self.environment() });
        let library = Library::new(&layers);
        notices.extend(library.notices.iter().cloned());
        Workflows { library, notices }
    }

    /// Puts all workflows that can run into the runtime, and answers lines for the user: notices, and what is wrong
    /// with the others.
    pub fn register_workflows(&self, runtime: &Runtime) -> Vec<String> {
        let Workflows { library, mut notices } = self.workflows();
        let registry = runtime.get_or_insert_with(WorkflowRegistry::new);
        notices.extend(library.register(&registry).iter().map(ToString::to_string));
        notices
    }

    /// A workflow file that the user has named by its path, relative to the current folder.
    ///
    /// # Errors
    /// It is missing, too long, no regular file or no text.
    pub fn workflow_file(&self, path: &Path) -> Result<SourceFile, ConfigurationError> {
        let full = self.env().current_dir().join(path);
        read(&full, &path.display().to_string(), Links::Follow).map_err(ConfigurationError::new)
    }

    /// What `${NAME}` may name in the user's own workflows: the environment.
    #[must_use]
    pub fn environment(&self) -> Environment {
        self.env().with_prefix("").collect()
    }

    /// A folder that is not trusted gets no values of the environment.
    fn project_layer(&self, folder: &Path, notices: &mut Vec<String>) -> Layer {
        let files = files(folder, Links::Refuse, &self.place.root, notices);
        if self.place.trust.is_trusted() {
            return Layer { files, environment: self.environment() };
        }
        if files.iter().any(|f| f.text.contains("${")) {
            let why = self.place.trust;
            notices.push(format!("{why}, so `${{NAME}}` in its workflows is not put in; `--trust` lets it"));
        }
        Layer { files, environment: Environment::default() }
    }
}

/// The YAML files of a folder, by name; none where there is no folder.
fn files(folder: &Path, links: Links, root: &Path, notices: &mut Vec<String>) -> Vec<SourceFile> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_yaml = |p: &PathBuf| p.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(is_yaml).collect();
    paths.sort();
    if paths.len() > MAX_FILES {
        notices.push(format!("{}: {} files; the first {MAX_FILES} count", folder.display(), paths.len()));
        paths.truncate(MAX_FILES);
    }
    let mut found = Vec::new();
    for path in paths {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        match read(&path, &name, links) {
            Ok(file) => found.push(file),
            Err(why) => notices.push(why),
        }
    }
    found
}

fn read(path: &Path, name: &str, links: Links) -> Result<SourceFile, String> {
    let bytes = match platform::read_limited(path, MAX_FILE, links) {
        Ok(Content::Bytes(bytes)) => bytes,
        Ok(Content::Missing) => return Err(format!("{name}: there is no such file")),
        Ok(Content::TooLong(_)) => return Err(format!("{name}: it is longer than {MAX_FILE} bytes")),
        Err(e) => return Err(format!("{name}: it cannot be read: {e}")),
    };
    let text = String::from_utf8(bytes).map_err(|_| format!("{name}: it is not UTF-8"))?;
    Ok(SourceFile { path: name.to_owned(), text })
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink())
}
