//! Built-in transforms: calculations on the state that need no model.

mod aggregate;
#[cfg(test)]
mod tests;

pub use aggregate::Aggregate;

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::expr::{Expr, Kind, Scope};
use crate::template::{Shape, Template};

/// A transform that is ready to run.
#[derive(Clone, Debug, PartialEq)]
pub enum Transform {
    /// Puts results together: mappings into one, where the later wins; lists into one; anything else under its name.
    /// A single list of mappings or of lists is put together likewise.
    Merge(Vec<Expr>),
    /// Takes a field of a mapping, or of each item of a list.
    Extract {
        /// Where it is read.
        input: Expr,
        /// The field, or a path to it.
        field: Expr,
    },
    /// Makes one value of a list.
    Aggregate {
        /// The list.
        input: Expr,
        /// What is made of it.
        operation: Aggregate,
        /// The field of each item that counts; the item itself without one.
        field: Option<Expr>,
    },
    /// Makes a value of each item of a list; `item` and `index` can be read.
    Map {
        /// The list.
        input: Expr,
        /// What becomes of an item.
        each: Each,
    },
    /// Keeps the items of a list that meet a condition on `item` and `index`.
    Filter {
        /// The list.
        input: Expr,
        /// The condition.
        condition: Expr,
    },
    /// Makes a text.
    Format(Template),
    /// Makes values, to be set in the state.
    Set(Shape),
}

/// What `map` makes of an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Each {
    /// A field of it.
    Field(Expr),
    /// A value with templates.
    Shape(Shape),
}

/// Why a transform has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TransformError(pub String);

type Result<T> = std::result::Result<T, TransformError>;

impl Transform {
    /// The result.
    ///
    /// # Errors
    /// A name is not there, or a value is of the wrong kind.
    pub fn apply(&self, scope: &dyn Scope) -> Result<Value> {
        match self {
            Self::Merge(inputs) => merge(inputs, scope),
            Self::Extract { input, field } => extract(input, field, scope),
            Self::Aggregate { input, operation, field } => {
                let items = list(input, scope)?;
                let values = match field {
                    None => items,
                    Some(field) => fields(&items, field, input)?,
                };
                operation.of(values, input)
            }
            Self::Map { input, each } => {
                let items = list(input, scope)?;
                let made = items.into_iter().enumerate().map(|(i, item)| match each {
                    Each::Field(field) => field_of(&item, field, input, Some(i)),
                    Each::Shape(shape) => {
                        shape.value(&Item { outer: scope, item: &item, index: i }).map_err(|e| at(input, i, &e.0))
                    }
                });
                made.collect::<Result<_>>().map(Value::Array)
            }
            Self::Filter { input, condition } => {
                let mut kept = Vec::new();
                for (i, item) in list(input, scope)?.into_iter().enumerate() {
                    let keep = condition.is_true(&Item { outer: scope, item: &item, index: i });
                    if keep.map_err(|e| at(input, i, &format!("condition `{condition}`: {}", e.0)))? {
                        kept.push(item);
                    }
                }
                Ok(Value::Array(kept))
            }
            Self::Format(template) => template.render(scope).map(Value::String).map_err(|e| TransformError(e.0)),
            Self::Set(shape) => shape.value(scope).map_err(|e| TransformError(e.0)),
        }
    }
}

/// The scope of one item of a list.
struct Item<'a> {
    outer: &'a dyn Scope,
    item: &'a Value,
    index: usize,
}

impl Scope for Item<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        match name {
            "item" => Some(Cow::Borrowed(self.item)),
            "index" => Some(Cow::Owned(Value::from(self.index))),
            _ => self.outer.get(name),
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names = vec!["item".to_owned(), "index".to_owned()];
        names.extend(self.outer.names());
        names
    }
}

fn at(input: &Expr, index: usize, message: &str) -> TransformError {
    TransformError(format!("`{input}[{index}]`: {message}"))
}

fn read(input: &Expr, scope: &dyn Scope) -> Result<Value> {
    input.value(scope).map_err(|e| TransformError(e.0))
}

fn list(input: &Expr, scope: &dyn Scope) -> Result<Vec<Value>> {
    match read(input, scope)? {
        Value::Array(items) => Ok(items),
        other => Err(TransformError(format!("`{input}` is {}, not a list", Kind::of(&other)))),
    }
}

fn extract(input: &Expr, field: &Expr, scope: &dyn Scope) -> Result<Value> {
    match read(input, scope)? {
        Value::Array(items) => fields(&items, field, input).map(Value::Array),
        other => field_of(&other, field, input, None),
    }
}

fn fields(items: &[Value], field: &Expr, input: &Expr) -> Result<Vec<Value>> {
    items.iter().enumerate().map(|(i, item)| field_of(item, field, input, Some(i))).collect()
}

fn field_of(item: &Value, field: &Expr, input: &Expr, index: Option<usize>) -> Result<Value> {
    let place = index.map_or_else(|| format!("`{input}`"), |i| format!("`{input}[{i}]`"));
    if !item.is_object() {
        return Err(TransformError(format!("{place} is {} without a field `{field}`", Kind::of(item))));
    }
    field.value(item).map_err(|e| TransformError(format!("{place} has no field `{field}`: {}", e.0)))
}

fn merge(inputs: &[Expr], scope: &dyn Scope) -> Result<Value> {
    let mut named = Vec::new();
    for input in inputs {
        named.push((input.text().to_owned(), read(input, scope)?));
    }
    if let [(_, Value::Array(items))] = named.as_slice() {
        let alike = |kind: Kind| !items.is_empty() && items.iter().all(|i| Kind::of(i) == kind);
        let together = alike(Kind::Mapping) || alike(Kind::List);
        return Ok(if together { joined(items.clone()) } else { Value::Array(items.clone()) });
    }
    if named.len() == 1 {
        return Ok(named.into_iter().next().map(|(_, value)| value).unwrap_or_default());
    }
    let kind = Kind::of(&named[0].1);
    let alike = matches!(kind, Kind::Mapping | Kind::List) && named.iter().all(|(_, v)| Kind::of(v) == kind);
    Ok(if alike {
        joined(named.into_iter().map(|(_, value)| value).collect())
    } else {
        Value::Object(named.into_iter().collect())
    })
}

/// Mappings into one mapping, lists into one list.
fn joined(values: Vec<Value>) -> Value {
    let (mut map, mut items) = (Map::new(), Vec::new());
    let are_lists = values.first().is_some_and(Value::is_array);
    for value in values {
        match value {
            Value::Object(more) => map.extend(more),
            Value::Array(more) => items.extend(more),
            other => items.push(other),
        }
    }
    if are_lists { Value::Array(items) } else { Value::Object(map) }
}
