//! The environment as a value: the one place that reads it, once, so that everything else can be tested with another.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A snapshot of the environment variables and the current folder.
#[derive(Clone)]
pub struct Env {
    vars: Arc<BTreeMap<String, OsString>>,
    current_dir: PathBuf,
}

impl Env {
    /// The environment of this process as it is now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn process() -> Self {
        let vars = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Self { vars: Arc::new(vars.collect()), current_dir: std::env::current_dir().unwrap_or_default() }
    }

    /// An environment of these variables only.
    pub fn new<N: Into<String>, V: Into<OsString>>(
        current_dir: impl Into<PathBuf>,
        vars: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let vars = vars.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self { vars: Arc::new(vars.collect()), current_dir: current_dir.into() }
    }

    /// The value of a variable. One that is empty, or no UTF-8, counts as not set.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name)?.to_str().filter(|v| !v.is_empty())
    }

    /// The value of a variable that names a path; a relative one starts from the current folder.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        let value = self.vars.get(name).filter(|v| !v.is_empty())?;
        Some(self.current_dir.join(value))
    }

    /// The folder that relative paths start from; empty if the process has none.
    #[must_use]
    pub fn current_dir(&self) -> &Path {
        &self.current_dir
    }

    /// All variables, sorted by name.
    pub(crate) fn vars(&self) -> impl Iterator<Item = (&str, &std::ffi::OsStr)> {
        self.vars.iter().map(|(name, value)| (name.as_str(), value.as_os_str()))
    }

    /// The names and values of the variables that begin with `prefix`, sorted; those that are empty or no UTF-8 are
    /// left out.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self.vars.iter().filter(move |(name, _)| name.starts_with(prefix));
        all.filter_map(|(name, value)| Some((name.as_str(), value.to_str().filter(|v| !v.is_empty())?)))
    }
}

impl fmt::Debug for Env {
    /// Without values: some are secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").field("vars", &self.vars.len()).field("current_dir", &self.current_dir).finish()
    }
}
