//! Which tools a run keeps to, by name or glob: where several lists were given, a tool has to be in each.

use std::sync::Arc;

use globset::{Glob, GlobSet, GlobSetBuilder};

/// Lists of names and globs; none for all tools. It says nothing of modes.
#[derive(Clone, Debug, Default)]
pub struct ToolFilter(Arc<[GlobSet]>);

impl ToolFilter {
    /// What these names and globs let through; all where nothing is said.
    #[must_use]
    pub fn of(wanted: Option<&[String]>) -> Self {
        Self::default().and(wanted)
    }

    /// What both let through.
    #[must_use]
    pub fn and(&self, wanted: Option<&[String]>) -> Self {
        match wanted {
            None => self.clone(),
            Some(wanted) => Self(self.0.iter().cloned().chain([list(wanted)]).collect()),
        }
    }

    /// Whether a tool of this name is let through.
    #[must_use]
    pub fn allows(&self, tool: &str) -> bool {
        self.0.iter().all(|list| list.is_match(tool))
    }
}

/// What is no glob lets nothing through, nor does a list of nothing.
fn list(wanted: &[String]) -> GlobSet {
    let mut builder = GlobSetBuilder::new();
    for glob in wanted.iter().filter_map(|name| Glob::new(name).ok()) {
        builder.add(glob);
    }
    builder.build().unwrap_or_default()
}
