//! What the door is told: which tools it offers and who answers its questions. Nothing here is read from the environment.

use std::time::Duration;

use globset::{Glob, GlobMatcher};
use victor_core::error::ConfigurationError;
use victor_core::tool::ToolSpec;

use super::http::Guard;

/// How the door behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Victor's version, for the client.
    pub version: String,
    /// What the client's model is told of the server.
    pub instructions: Option<String>,
    /// Which tools it offers.
    pub tools: ToolFilter,
    /// Who answers what would ask.
    pub questions: Questions,
    /// How long a question may wait for the client's answer; then it counts as denied.
    pub question_timeout: Duration,
    /// How often a call under way says that it lives.
    pub heartbeat: Duration,
    /// How long requests may go on when the client is gone.
    pub drain: Duration,
    /// Bytes of one message at most.
    pub max_message: usize,
    /// What looks after Host and Origin of HTTP requests.
    pub guard: Guard,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instructions: None,
            tools: ToolFilter::default(),
            questions: Questions::Client,
            question_timeout: Duration::from_mins(5),
            heartbeat: Duration::from_secs(8),
            drain: Duration::from_secs(1),
            max_message: 16 << 20,
            guard: Guard::default(),
        }
    }
}

/// Who answers what would ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Questions {
    /// The client, where it can; else nobody.
    #[default]
    Client,
    /// All of them are answered with yes (`--yes`).
    Yes,
}

/// The tools that are offered: by name, category or glob; all of them, if nothing is said.
#[derive(Clone, Debug, Default)]
pub struct ToolFilter {
    /// Each list has to have the tool.
    lists: Vec<Vec<(String, GlobMatcher)>>,
    hidden: Vec<String>,
}

impl ToolFilter {
    /// Narrows it to names, categories and globs, separated by commas.
    ///
    /// # Errors
    /// One of them is no glob.
    pub fn narrow(mut self, list: &str) -> Result<Self, ConfigurationError> {
        let mut patterns = Vec::new();
        for text in list.split(',').map(str::trim).filter(|t| !t.is_empty()) {
            let glob = Glob::new(text)
                .map_err(|e| ConfigurationError::new(format!("`{text}` is neither a tool nor a glob: {}", e.kind())))?;
            patterns.push((text.to_owned(), glob.compile_matcher()));
        }
        self.lists.push(patterns);
        Ok(self)
    }

    /// Takes one tool out, whatever the lists say: what only makes sense within a run.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.hidden.push(name.to_owned());
        self
    }

    /// Whether a tool is taken out, whatever the lists say.
    #[must_use]
    pub fn hides(&self, name: &str) -> bool {
        self.hidden.iter().any(|h| h == name)
    }

    /// Whether no list narrows it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.lists.is_empty()
    }

    /// Whether it offers a tool of this name and category.
    #[must_use]
    pub fn admits(&self, name: &str, category: &str) -> bool {
        !self.hides(name)
            && self.lists.iter().all(|list| list.iter().any(|(_, glob)| glob.is_match(name) || glob.is_match(category)))
    }

    /// What fits none of these tools, each with its category.
    #[must_use]
    pub fn unmatched(&self, tools: &[(String, String)]) -> Vec<&str> {
        let fits = |glob: &GlobMatcher| tools.iter().any(|(n, c)| glob.is_match(n) || glob.is_match(c));
        let patterns = self.lists.iter().flatten();
        patterns.filter(|(_, glob)| !fits(glob)).map(|(text, _)| text.as_str()).collect()
    }
}

/// Whether the filter offers a tool.
pub(crate) fn admits(filter: &ToolFilter, spec: &ToolSpec) -> bool {
    filter.admits(&spec.name, &spec.category)
}
