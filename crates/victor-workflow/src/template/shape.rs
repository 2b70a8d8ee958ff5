//! Values that hold templates: arguments of tools, values to set.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Environment, Template, TemplateError};
use crate::expr::Scope;

/// A value whose texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Anything that is no text, list or mapping.
    Fixed(Value),
    /// A text; one that is nothing but `{{ path }}` keeps the kind of what it names.
    Text(Template),
    /// A list.
    List(Vec<Shape>),
    /// A mapping.
    Mapping(Vec<(String, Shape)>),
}

impl Shape {
    /// Reads the texts of a value as templates.
    ///
    /// # Errors
    /// One of them is no template.
    pub fn parse(value: &Value, environment: &Environment) -> Result<Self, TemplateError> {
        Ok(match value {
            Value::String(text) => Self::Text(Template::parse(text, environment)?),
            Value::Array(items) => {
                Self::List(items.iter().map(|i| Self::parse(i, environment)).collect::<Result<_, _>>()?)
            }
            Value::Object(map) => {
                let entry = |(name, v): (&String, &Value)| Ok((name.clone(), Self::parse(v, environment)?));
                Self::Mapping(map.iter().map(entry).collect::<Result<_, _>>()?)
            }
            other => Self::Fixed(other.clone()),
        })
    }

    /// The value with everything put in.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn value(&self, scope: &dyn Scope) -> Result<Value, TemplateError> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(template) => template.value(scope)?,
            Self::List(items) => Value::Array(items.iter().map(|i| i.value(scope)).collect::<Result<_, _>>()?),
            Self::Mapping(entries) => {
                let entry = |(name, shape): &(String, Self)| Ok((name.clone(), shape.value(scope)?));
                Value::Object(entries.iter().map(entry).collect::<Result<Map<_, _>, _>>()?)
            }
        })
    }

    /// Visits all its templates.
    pub fn each(&self, visit: &mut dyn FnMut(&Template)) {
        match self {
            Self::Fixed(_) => {}
            Self::Text(template) => visit(template),
            Self::List(items) => items.iter().for_each(|i| i.each(visit)),
            Self::Mapping(entries) => entries.iter().for_each(|(_, shape)| shape.each(visit)),
        }
    }

    /// The names of the state that it reads.
    #[must_use]
    pub fn variables(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.each(&mut |template| names.extend(template.variables().iter().cloned()));
        names
    }
}
