//! The state of a run: a JSON object, and how what nodes say is put into it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Number, Value};

use crate::error::{NodeError, guarded};

/// Named values: what a node changes in the state.
pub type Update = Map<String, Value>;

type Custom = dyn Fn(Option<Value>, Value) -> Result<Value, NodeError> + Send + Sync;

/// How a new value for a key meets the one that is there.
#[derive(Clone, Default)]
pub enum Reducer {
    /// The new one takes its place.
    #[default]
    Replace,
    /// A list grows: by the elements of a list, or by one value.
    Append,
    /// Objects are merged, key by key, all the way down; anything else is replaced.
    Merge,
    /// Numbers are added.
    Add,
    /// What the function says. It must be pure: it is called again when a run is read back from its journal.
    Custom(Arc<Custom>),
}

impl Reducer {
    /// A reducer of one's own: from the value that is there, if any, and the new one. It must be pure.
    pub fn custom(f: impl Fn(Option<Value>, Value) -> Result<Value, NodeError> + Send + Sync + 'static) -> Self {
        Self::Custom(Arc::new(f))
    }

    /// The reducer in a word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Append => "append",
            Self::Merge => "merge",
            Self::Add => "add",
            Self::Custom(_) => "custom",
        }
    }

    fn apply(&self, key: &str, old: Option<Value>, new: Value) -> Result<Value, NodeError> {
        match self {
            Self::Replace => Ok(new),
            Self::Append => append(key, old, new),
            Self::Merge => Ok(merge(old.unwrap_or_default(), new)),
            Self::Add => add(key, old, new),
            Self::Custom(f) => guarded(&format!("the reducer of `{key}`"), || f(old, new)),
        }
    }
}

impl fmt::Debug for Reducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The reducers of a graph, by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reducers(pub(crate) HashMap<String, Reducer>);

impl Reducers {
    /// Puts one value into the state.
    pub(crate) fn put(&self, state: &mut Update, key: &str, value: Value) -> Result<(), NodeError> {
        match self.0.get(key) {
            None | Some(Reducer::Replace) => {
                if let Some(old) = state.get_mut(key) {
                    *old = value;
                } else {
                    state.insert(key.to_owned(), value);
                }
                Ok(())
            }
            Some(reducer) => {
                let old = state.get_mut(key).map(Value::take);
                let new = reducer.apply(key, old, value)?;
                state.insert(key.to_owned(), new);
                Ok(())
            }
        }
    }

    /// Whether a later value of the key makes an earlier one worthless.
    pub(crate) fn replaces(&self, key: &str) -> bool {
        matches!(self.0.get(key), None | Some(Reducer::Replace))
    }
}

fn append(key: &str, old: Option<Value>, new: Value) -> Result<Value, NodeError> {
    let mut list = match old {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list,
        Some(other) => {
            let text = format!("`{key}` cannot be appended to: it is {}, not a list", kind_of(&other));
            return Err(NodeError::invalid(text));
        }
    };
    match new {
        Value::Array(more) => list.extend(more),
        one => list.push(one),
    }
    Ok(Value::Array(list))
}

fn merge(old: Value, new: Value) -> Value {
    match (old, new) {
        (Value::Object(mut old), Value::Object(new)) => {
            for (key, value) in new {
                let below = old.get_mut(&key).map(Value::take).unwrap_or_default();
                old.insert(key, merge(below, value));
            }
            Value::Object(old)
        }
        (_, new) => new,
    }
}

fn add(key: &str, old: Option<Value>, new: Value) -> Result<Value, NodeError> {
    let old = old.unwrap_or(Value::Null);
    let sum = match (&old, &new) {
        (Value::Null, Value::Number(_)) => return Ok(new),
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.checked_add(b).map(Number::from),
            _ => a.as_f64().zip(b.as_f64()).and_then(|(a, b)| Number::from_f64(a + b)),
        },
        _ => None,
    };
    sum.map(Value::Number).ok_or_else(|| {
        let text = format!("`{key}` cannot be added to: {} and {} have no sum", kind_of(&old), kind_of(&new));
        NodeError::invalid(text)
    })
}

/// What kind of value, for messages.
#[must_use]
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// About how many bytes the value takes as JSON.
pub(crate) fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(s) => s.len() + 2,
        Value::Array(list) => list.iter().map(|v| weight(v) + 1).sum::<usize>() + 2,
        Value::Object(map) => map.iter().map(|(k, v)| k.len() + 4 + weight(v)).sum::<usize>() + 2,
    }
}
