//! Which tools a run keeps to, by name or glob: where several lists were given, a tool has to be in each.

use std::sync::{Arc, OnceLock};

use globset::{Glob, GlobSet, GlobSetBuilder};

/// Lists of names and globs; none for all tools. It says nothing of modes.
#[derive(Clone, Debug, Default)]
pub struct ToolFilter(Arc<[Arc<List>]>);

/// One list. It is made ready when it is first asked: most runs never ask.
#[derive(Debug)]
struct List {
    wanted: Vec<String>,
    globs: OnceLock<GlobSet>,
}

impl ToolFilter {
    /// What these names and globs let through; all where nothing is said.
    #[must_use]
    pub fn of(wanted: Option<&[String]>) -> Self {
        Self::default().and(wanted)
    }

    /// What both let through.
    #[must_use]
    pub fn and(&self, wanted: Option<&[String]>) -> Self {
        let Some(wanted) = wanted else { return self.clone() };
        let list = List { wanted: wanted.to_vec(), globs: OnceLock::new() };
        Self(self.0.iter().cloned().chain([Arc::new(list)]).collect())
    }

    /// Whether a tool of this name is let through.
    #[must_use]
    pub fn allows(&self, tool: &str) -> bool {
        self.0.iter().all(|list| list.globs.get_or_init(|| list.compiled()).is_match(tool))
    }
}

impl List {
    /// What is no glob lets nothing through, nor does a list of nothing.
    fn compiled(&self) -> GlobSet {
        let mut builder = GlobSetBuilder::new();
        for glob in self.wanted.iter().filter_map(|name| Glob::new(name).ok()) {
            builder.add(glob);
        }
        builder.build().unwrap_or_default()
    }
}
