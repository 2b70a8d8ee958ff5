//! Layers: what files, environment and flags say, merged so that the last one counts, with the origin of every value.

use std::collections::BTreeMap;
use std::fmt;

use config::{Map, Source, Value as Kept, ValueKind};
use serde_json::Value;
use victor_core::error::ConfigurationError;

use super::keys::Path;
use super::schema::Config;

/// One layer: a value with the origin of each of its parts.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    /// What it is called where a part has no place of its own.
    pub(crate) name: String,
    /// What it says.
    pub(crate) value: Value,
    /// Where its parts stand, by their paths.
    pub(crate) places: BTreeMap<Path, String>,
}

/// A value that holds, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The key's path.
    pub path: Vec<String>,
    /// The value.
    pub value: Value,
    /// Where it comes from: a file with the line, a variable or a flag.
    pub origin: String,
}

/// All layers together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Merged {
    /// What holds.
    pub(crate) config: Config,
    /// The origin of each value, in the order of the keys.
    pub(crate) origins: Vec<Origin>,
}

/// Merges layers, the last one on top. Mappings are merged key by key; lists are replaced, but permission rules add up.
pub(crate) fn merge(layers: &[Layer]) -> Result<Merged, ConfigurationError> {
    let mut builder = config::Config::builder();
    for layer in with_matching_models(with_all_rules(layers)) {
        builder = builder.add_source(layer);
    }
    let fail = |e: &dyn fmt::Display| ConfigurationError::new(format!("the configuration cannot be put together: {e}"));
    let built = builder.build().map_err(|e| fail(&e))?;
    let (mut origins, mut path) = (Vec::new(), Vec::new());
    let value = read(&built.cache, &mut path, &mut origins);
    let config: Config = serde_json::from_value(value).map_err(|e| fail(&e))?;
    origins.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Merged { config, origins })
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Kept>, config::ConfigError> {
        match self.kept(&self.value, &mut Vec::new()).kind {
            ValueKind::Table(map) => Ok(map),
            _ => Ok(Map::new()),
        }
    }
}

impl Layer {
    fn kept(&self, value: &Value, path: &mut Path) -> Kept {
        let kind = match value {
            Value::Null => ValueKind::Nil,
            Value::Bool(b) => ValueKind::Boolean(*b),
            Value::String(s) => ValueKind::String(s.clone()),
            Value::Number(n) => match (n.as_i64(), n.as_u64()) {
                (Some(n), _) => ValueKind::I64(n),
                (None, Some(n)) => ValueKind::U64(n),
                (None, None) => ValueKind::Float(n.as_f64().unwrap_or_default()),
            },
            Value::Array(items) => {
                ValueKind::Array(items.iter().enumerate().map(|(i, v)| self.child(&i.to_string(), v, path)).collect())
            }
            Value::Object(map) => {
                ValueKind::Table(map.iter().map(|(k, v)| (k.clone(), self.child(k, v, path))).collect())
            }
        };
        let origin = (0..=path.len()).rev().find_map(|n| self.places.get(&path[..n])).unwrap_or(&self.name);
        Kept::new(Some(origin), kind)
    }

    fn child(&self, key: &str, value: &Value, path: &mut Path) -> Kept {
        path.push(key.to_owned());
        let kept = self.kept(value, path);
        path.pop();
        kept
    }
}

/// Each layer's permission rules with those of the layers below in front: a layer cannot take rules away.
fn with_all_rules(layers: &[Layer]) -> Vec<Layer> {
    let mut all: BTreeMap<&str, Vec<(Value, String)>> = BTreeMap::new();
    let mut result = Vec::with_capacity(layers.len());
    for layer in layers {
        let mut layer = layer.clone();
        for effect in ["allow", "ask", "deny"] {
            let path = ["permissions".to_owned(), effect.to_owned()];
            let Some(Value::Array(rules)) = layer.value.pointer_mut(&format!("/permissions/{effect}")) else {
                continue;
            };
            let sum = all.entry(effect).or_default();
            for (i, rule) in rules.drain(..).enumerate() {
                let item = [&path[..], &[i.to_string()]].concat();
                let place = layer.places.get(&item).or_else(|| layer.places.get(&path[..]));
                sum.push((rule, place.unwrap_or(&layer.name).clone()));
            }
            for (i, (rule, place)) in sum.iter().enumerate() {
                rules.push(rule.clone());
                layer.places.insert([&path[..], &[i.to_string()]].concat(), place.clone());
            }
        }
        result.push(layer);
    }
    result
}

/// A layer that names a provider and no model does not mean the model that a layer below has for another provider.
fn with_matching_models(mut layers: Vec<Layer>) -> Vec<Layer> {
    let from = layers.iter().rposition(|l| l.value.get("provider").is_some()).unwrap_or(0);
    for layer in &mut layers[..from] {
        if let Some(map) = layer.value.as_object_mut() {
            map.remove("model");
        }
    }
    layers
}

/// A kept value as JSON; `origins` gets a line for each value that is no mapping, and for each permission rule.
fn read(kept: &Kept, path: &mut Path, origins: &mut Vec<Origin>) -> Value {
    let value = match &kept.kind {
        ValueKind::Nil => Value::Null,
        ValueKind::Boolean(b) => Value::Bool(*b),
        ValueKind::I64(n) => Value::from(*n),
        ValueKind::I128(n) => Value::from(i64::try_from(*n).unwrap_or(i64::MAX)),
        ValueKind::U64(n) => Value::from(*n),
        ValueKind::U128(n) => Value::from(u64::try_from(*n).unwrap_or(u64::MAX)),
        ValueKind::Float(n) => Value::from(*n),
        ValueKind::String(s) => Value::String(s.clone()),
        ValueKind::Array(items) => {
            let rules = path.first().is_some_and(|p| p == "permissions");
            let mut unseen = Vec::new();
            let list = items.iter().enumerate().map(|(i, item)| {
                path.push(i.to_string());
                let value = read(item, path, if rules { origins } else { &mut unseen });
                path.pop();
                value
            });
            let list = Value::Array(list.collect());
            // The rules have origins of their own.
            if rules {
                return list;
            }
            list
        }
        ValueKind::Table(map) => {
            let fields = map.iter().map(|(key, item)| {
                path.push(key.clone());
                let value = read(item, path, origins);
                path.pop();
                (key.clone(), value)
            });
            return Value::Object(fields.collect());
        }
    };
    let origin = kept.origin().unwrap_or_default().to_owned();
    origins.push(Origin { path: path.clone(), value: value.clone(), origin });
    value
}

impl Origin {
    /// The key, as `config set` takes it.
    #[must_use]
    pub fn key(&self) -> String {
        super::keys::joined(&self.path)
    }

    /// The value, masked where it is secret. A bare `${NAME}` is none.
    #[must_use]
    pub fn shown(&self) -> Value {
        let mut value = self.value.clone();
        mask(&mut value, &mut self.path.clone());
        value
    }
}

/// Puts `***` in the place of secrets: keys, header values and the environment of MCP servers.
pub(crate) fn mask(value: &mut Value, path: &mut Path) {
    match value {
        Value::String(text) if secret(path) && !is_reference(text) => *text = "***".to_owned(),
        Value::Object(map) => {
            for (key, item) in map.iter_mut() {
                path.push(key.clone());
                mask(item, path);
                path.pop();
            }
        }
        _ => {}
    }
}

fn secret(path: &[String]) -> bool {
    let has = |names: &[&str], part: Option<&String>| part.is_some_and(|p| names.contains(&p.as_str()));
    let above = path.len().checked_sub(2).and_then(|i| path.get(i));
    let own = matches!(path.first().map(String::as_str), Some("providers" | "mcpServers" | "server"));
    own && (has(&["api_key"], path.last()) || has(&["headers", "env"], above))
}

fn is_reference(text: &str) -> bool {
    let name = text.strip_prefix("${").and_then(|t| t.strip_suffix('}'));
    name.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}
