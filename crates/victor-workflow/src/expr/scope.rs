//! Where an expression or a template finds its names.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// The values that names stand for.
pub trait Scope {
    /// The value of a name, `-` and `_` alike.
    fn get(&self, name: &str) -> Option<Cow<'_, Value>>;

    /// All names, for messages.
    fn names(&self) -> Vec<String>;
}

impl Scope for Map<String, Value> {
    fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        let exact = Map::get(self, name);
        let found = exact.or_else(|| self.iter().find(|(key, _)| same_name(key, name)).map(|(_, value)| value));
        found.map(Cow::Borrowed)
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

impl Scope for Value {
    fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.as_object().and_then(|map| Scope::get(map, name))
    }

    fn names(&self) -> Vec<String> {
        self.as_object().map(Scope::names).unwrap_or_default()
    }
}

/// The first scope's names lie over the second's.
impl<A: Scope, B: Scope> Scope for (&A, &B) {
    fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.0.get(name).or_else(|| self.1.get(name))
    }

    fn names(&self) -> Vec<String> {
        let mut names = self.0.names();
        names.extend(self.1.names());
        names
    }
}

/// Whether two names are the same, `-` and `_` alike.
#[must_use]
pub fn same_name(a: &str, b: &str) -> bool {
    let plain = |c: u8| if c == b'-' { b'_' } else { c };
    a.len() == b.len() && a.bytes().map(plain).eq(b.bytes().map(plain))
}
