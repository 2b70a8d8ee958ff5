//! Values of the environment, handed in by whoever loads a workflow; the library reads none itself.

use std::collections::{BTreeMap, BTreeSet};

/// The variables that `${NAME}` may name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// Why there are none, where that has a reason.
    withheld: Option<&'static str>,
}

impl Environment {
    /// No variables, for a reason that is told where one is needed.
    #[must_use]
    pub fn withheld(reason: &'static str) -> Self {
        Self { withheld: Some(reason), ..Self::default() }
    }

    /// What to say of a variable that is needed and not there.
    pub(crate) fn lacks(&self, name: &str) -> String {
        match self.withheld {
            Some(reason) => format!("`${{{name}}}`: {reason}"),
            None => not_set(name),
        }
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, withheld: None }
    }
}

/// What a text starts with, where that is `${..}`.
pub(crate) enum Reference<'a> {
    /// A variable that is set, or has a default.
    Set(String),
    /// One that is not.
    Missing(&'a str),
}

/// Reads `${NAME}` or `${NAME:-default}` at the start of a text; `None` if it is something else. Answers the length too.
pub(crate) fn reference<'a>(text: &'a str, environment: &Environment) -> Option<(Reference<'a>, usize)> {
    let inner = text.strip_prefix("${")?;
    let end = inner.find('}')?;
    let (name, default) = match inner[..end].split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (&inner[..end], None),
    };
    let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || name.as_bytes()[0].is_ascii_digit() || !name.bytes().all(letter) {
        return None;
    }
    let found = environment.get(name).or(default);
    let reference = found.map_or(Reference::Missing(name), |value| Reference::Set(value.to_owned()));
    Some((reference, end + 3))
}

/// A text with all its `${..}` put in, and the names of those that are not set, which stay as they stand.
pub(crate) fn expand(text: &str, environment: &Environment) -> (String, BTreeSet<String>) {
    let (mut result, mut missing, mut rest) = (String::with_capacity(text.len()), BTreeSet::new(), text);
    while let Some(at) = rest.find("${") {
        result.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match reference(rest, environment) {
            Some((Reference::Set(value), length)) => {
                result.push_str(&value);
                length
            }
            Some((Reference::Missing(name), length)) => {
                missing.insert(name.to_owned());
                result.push_str(&rest[..length]);
                length
            }
            None => {
                result.push_str("${");
                2
            }
        };
        rest = &rest[length..];
    }
    result.push_str(rest);
    (result, missing)
}

/// What to say of a variable that is not set.
pub(crate) fn not_set(name: &str) -> String {
    format!("environment variable {name} is not set; set it, or write `${{{name}:-default}}`")
}
