//! The files below a folder, in order: what .gitignore names, hidden files and what rules keep out is passed over.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use ignore::{DirEntry, WalkBuilder};
use victor_core::error::ToolError;
use victor_core::permission::PathRules;
use victor_core::tool::ToolCx;

use crate::path::{Place, relative_to};

/// What a search goes through.
pub(crate) struct Search<'a> {
    pub(crate) tool: &'static str,
    pub(crate) place: &'a Place,
    pub(crate) hidden: bool,
    pub(crate) rules: &'a PathRules,
    pub(crate) cx: &'a ToolCx,
}

/// One file that was come across.
pub(crate) struct Found {
    pub(crate) absolute: PathBuf,
    /// Relative to the folder that is searched, with `/`.
    pub(crate) below: String,
    /// As the answer names it.
    pub(crate) shown: String,
}

/// What a search passed over.
#[derive(Default)]
pub(crate) struct Passed {
    /// Files that permission rules keep out.
    pub(crate) by_rules: usize,
}

impl Search<'_> {
    /// Shows every file to `each`, sorted by path, until it breaks.
    ///
    /// # Errors
    /// The call was cancelled.
    pub(crate) fn files(&self, mut each: impl FnMut(Found) -> ControlFlow<()>) -> Result<Passed, ToolError> {
        let mut passed = Passed::default();
        for entry in self.walk().flatten() {
            if self.cx.cancel.is_cancelled() {
                return Err(ToolError::model("cancelled"));
            }
            if !entry.file_type().is_some_and(|t| t.is_file()) {
                continue;
            }
            let absolute = entry.into_path();
            let relative = relative_to(&self.cx.workspace.root, &absolute);
            if self.rules.hides(self.tool, relative.as_deref(), &absolute.display().to_string()) {
                passed.by_rules += 1;
                continue;
            }
            let below = relative_to(&self.place.absolute, &absolute).unwrap_or_default();
            let shown = relative.unwrap_or_else(|| absolute.display().to_string());
            if each(Found { absolute, below, shown }).is_break() {
                break;
            }
        }
        Ok(passed)
    }

    fn walk(&self) -> ignore::Walk {
        let base = &self.place.absolute;
        let above = *base != self.cx.workspace.root || base.ancestors().any(|p| p.join(".git").exists());
        let readable = ignores_are_files(base);
        let mut walk = WalkBuilder::new(base);
        walk.hidden(!self.hidden)
            .parents(above)
            .git_global(false)
            .git_ignore(readable)
            .ignore(readable)
            .require_git(false)
            .follow_links(false)
            .sort_by_file_path(Path::cmp)
            .filter_entry(may_enter);
        walk.build()
    }
}

fn may_enter(entry: &DirEntry) -> bool {
    let folder = entry.file_type().is_some_and(|t| t.is_dir());
    entry.file_name() != ".git" && (!folder || ignores_are_files(entry.path()))
}

/// Whether the ignore files of a folder can be read without waiting: a pipe of that name would never end.
fn ignores_are_files(folder: &Path) -> bool {
    [".gitignore", ".ignore"].iter().all(|name| match std::fs::metadata(folder.join(name)) {
        Ok(found) => found.is_file(),
        Err(_) => true,
    })
}

/// A glob for files: without `/` it is matched against the name alone, else against the path below the folder.
pub(super) struct FileGlob {
    matcher: GlobMatcher,
    by_name: bool,
}

impl FileGlob {
    /// # Errors
    /// The glob is broken or absolute.
    pub(super) fn new(pattern: &str) -> Result<Self, ToolError> {
        let text = pattern.strip_prefix("./").unwrap_or(pattern);
        if text.is_empty() || text.starts_with('/') || text.split('/').any(|p| p == "..") {
            return Err(ToolError::model(format!(
                "`{pattern}` is no glob below a folder; name the folder as path, and write a glob such as `**/*.rs`"
            )));
        }
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        let glob = glob.map_err(|e| ToolError::model(format!("`{pattern}` is not a glob: {}", e.kind())))?;
        Ok(Self { matcher: glob.compile_matcher(), by_name: !text.contains('/') })
    }

    pub(super) fn fits(&self, below: &str) -> bool {
        let name = below.rsplit('/').next().unwrap_or(below);
        self.matcher.is_match(if self.by_name { name } else { below })
    }
}
