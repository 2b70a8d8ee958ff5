//! Texts with values put in: `{name}`, `{{ name }}`, `${NAME}` of the environment, and the whole of minijinja.
//!
//! Strict: a name that is not there is an error. Fuel and the length of the result are bounded.

mod engine;
pub(crate) mod environment;
mod scan;
mod shape;
#[cfg(test)]
mod tests;

pub use environment::Environment;
pub use shape::Shape;

use std::collections::BTreeSet;

use serde_json::Value;
use victor_core::error::nearest;

use crate::expr::{Expr, Scope};

/// The longest text of a template, in bytes.
pub const MAX_TEMPLATE: usize = 256 * 1024;
/// The longest text that a template may make, in bytes.
pub const MAX_RENDERED: usize = 16 * 1024 * 1024;

/// A text with values put in.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    text: String,
    form: Form,
    variables: BTreeSet<String>,
    missing: BTreeSet<String>,
}

/// What is wrong with a template, or why it could not be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(pub String);

#[derive(Clone, Debug, PartialEq)]
enum Form {
    /// Texts and paths only, which most templates are.
    Parts(Vec<Part>),
    /// Everything else: minijinja's source, and the values of the environment that it reads as `_env[i]`.
    Full { source: String, environment: Vec<String> },
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Path(Expr),
}

impl Template {
    /// Reads a template. `${NAME}` is taken from `environment`; what is not set there is in [`Self::missing`].
    ///
    /// # Errors
    /// It is no template, or longer than is allowed.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, TemplateError> {
        if text.len() > MAX_TEMPLATE {
            return Err(TemplateError(format!("the text has {} bytes; {MAX_TEMPLATE} are allowed", text.len())));
        }
        let scanned = scan::scan(text, environment)?;
        let (form, variables) = match scanned.parts() {
            Some(parts) => {
                let variables = parts.iter().flat_map(|part| match part {
                    Part::Text(_) => BTreeSet::new(),
                    Part::Path(path) => path.variables(),
                });
                let variables = variables.collect();
                (Form::Parts(parts), variables)
            }
            None => {
                let (source, environment) = scanned.source();
                let variables = engine::variables(&source)?;
                (Form::Full { source, environment }, variables)
            }
        };
        Ok(Self { text: text.to_owned(), form, variables, missing: scanned.missing })
    }

    /// The text that it was read from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names of the state that it reads.
    #[must_use]
    pub fn variables(&self) -> &BTreeSet<String> {
        &self.variables
    }

    /// The environment variables that it needs and that are not set.
    #[must_use]
    pub fn missing(&self) -> &BTreeSet<String> {
        &self.missing
    }

    /// The text with all values put in: texts as they are, `null` as nothing, everything else as JSON.
    ///
    /// # Errors
    /// A name is not there, a variable of the environment is not set, or a limit is reached.
    pub fn render(&self, scope: &dyn Scope) -> Result<String, TemplateError> {
        self.check_environment()?;
        match &self.form {
            Form::Parts(parts) => {
                let mut text = String::with_capacity(self.text.len());
                for part in parts {
                    match part {
                        Part::Text(part) => text.push_str(part),
                        Part::Path(path) => text.push_str(&as_text(&look_up(path, scope)?)),
                    }
                    if text.len() > MAX_RENDERED {
                        return Err(TemplateError(format!("the text grows over {MAX_RENDERED} bytes")));
                    }
                }
                Ok(text)
            }
            Form::Full { source, environment } => engine::render(source, environment, &self.variables, scope),
        }
    }

    /// The value: one that is nothing but `{{ path }}` keeps its kind, everything else is a text.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn value(&self, scope: &dyn Scope) -> Result<Value, TemplateError> {
        match &self.form {
            Form::Parts(parts) if self.missing.is_empty() => match parts.as_slice() {
                [Part::Path(path)] => look_up(path, scope),
                _ => self.render(scope).map(Value::String),
            },
            _ => self.render(scope).map(Value::String),
        }
    }

    fn check_environment(&self) -> Result<(), TemplateError> {
        match self.missing.iter().next() {
            None => Ok(()),
            Some(name) => Err(TemplateError(environment::not_set(name))),
        }
    }
}

/// A value as it stands in a text.
#[must_use]
pub fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn look_up(path: &Expr, scope: &dyn Scope) -> Result<Value, TemplateError> {
    path.value(scope).map_err(|e| {
        let literal = "; braces that are meant as they stand are written `{{ \"{\" }}`";
        let hint = if e.0.contains("did you mean") { "" } else { literal };
        TemplateError(format!("{}{hint}", e.0))
    })
}

fn undefined(name: &str, scope: &dyn Scope) -> TemplateError {
    let known = scope.names();
    let hint = match nearest(name, known.iter().map(String::as_str)) {
        near if near.is_empty() => String::new(),
        near => format!("; did you mean {}?", near.join(" or ")),
    };
    TemplateError(format!("`{name}` is not defined{hint}"))
}
