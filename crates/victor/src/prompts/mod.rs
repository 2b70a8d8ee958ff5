//! Prompt templates: built in, the user's own, and the project's. They are text and nothing else: none of them can run
//! anything.

mod builtin;
mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use victor_core::error::nearest;
use victor_core::message::Message;
use victor_core::prompt::{Prompt, PromptSource};
use victor_core::resource::SourceError;
use victor_tools::FileResources;

use crate::platform::{self, Content, Links};
use crate::workspace::Place;
use template::{Complete, Template};

/// Bytes of a file, and files of a folder, at most.
const FILE: usize = 64 << 10;
const FILES: usize = 200;

/// The prompts of a place.
pub(crate) struct Prompts {
    own: PathBuf,
    project: PathBuf,
    files: Arc<FileResources>,
}

impl Prompts {
    pub(crate) fn new(place: &Place, files: Arc<FileResources>) -> Self {
        Self { own: place.home.prompts(), project: place.root.join(".victor").join("prompts"), files }
    }

    /// All templates by name. The user's own beat those that are built in; a project's can replace neither.
    fn all(&self) -> BTreeMap<String, Template> {
        let mut all: BTreeMap<String, Template> = BTreeMap::new();
        for template in builtin::templates() {
            all.insert(template.name.clone(), template);
        }
        for template in read(&self.own, Links::Follow) {
            all.insert(template.name.clone(), template);
        }
        if !same(&self.own, &self.project) {
            for template in read(&self.project, Links::Refuse) {
                if all.contains_key(&template.name) {
                    tracing::info!(name = template.name, "the project's prompt is left out: there is one of its name");
                } else {
                    all.insert(template.name.clone(), template);
                }
            }
        }
        all
    }
}

/// The user's home as workspace: its `.victor` is no project's.
fn same(a: &Path, b: &Path) -> bool {
    a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}

/// The templates of a folder; one that cannot be read is left out.
fn read(folder: &Path, links: Links) -> Vec<Template> {
    if links == Links::Refuse && std::fs::symlink_metadata(folder).is_ok_and(|m| m.is_symlink()) {
        return Vec::new();
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let markdown = |path: &PathBuf| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("md"));
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(markdown).take(FILES).collect();
    paths.sort_unstable();
    let read = |path: &PathBuf| {
        let why = match platform::read_limited(path, FILE, links) {
            Ok(Content::Bytes(bytes)) => match Template::parse(path, bytes) {
                Ok(template) => return Some(template),
                Err(why) => why,
            },
            Ok(Content::Missing) => return None,
            Ok(Content::TooLong(_)) => format!("it is longer than {FILE} bytes"),
            Err(e) => e.to_string(),
        };
        tracing::warn!(path = %path.display(), why, "a prompt is left out");
        None
    };
    paths.iter().filter_map(read).collect()
}

#[async_trait]
impl PromptSource for Prompts {
    fn name(&self) -> &str {
        "victor"
    }

    async fn list(&self) -> Result<Vec<Prompt>, SourceError> {
        Ok(self.all().into_values().map(Template::into_prompt).collect())
    }

    async fn get(&self, name: &str, arguments: &BTreeMap<String, String>) -> Result<Vec<Message>, SourceError> {
        let all = self.all();
        let Some(template) = all.get(name) else {
            let near = nearest(name, all.keys().map(String::as_str));
            let hint = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
            return Err(SourceError::NotFound(format!("there is no prompt `{name}`{hint}")));
        };
        Ok(vec![Message::user(template.fill(arguments)?)])
    }

    async fn complete(&self, name: &str, argument: &str, typed: &str) -> Vec<String> {
        let all = self.all();
        let found = all.get(name).and_then(|t| t.arguments.iter().find(|a| a.name == argument));
        match found.map(|a| &a.complete) {
            Some(Complete::Values(values)) => values.iter().filter(|v| v.starts_with(typed)).cloned().collect(),
            Some(Complete::Files) => self.files.names(typed).await,
            Some(Complete::Nothing) | None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
