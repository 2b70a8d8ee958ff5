//! What a run of a workflow is given: defaults put in, kinds checked.

use serde_json::{Map, Value, json};
use victor_core::error::ConfigurationError;

use super::super::document::{Entries, Input};
use crate::expr::same_name;
use crate::state::Update;

/// The inputs of a workflow.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    workflow: String,
    declared: Option<Entries<Input>>,
    missing: Vec<String>,
}

impl Inputs {
    pub(super) fn new(workflow: &str, declared: Option<&Entries<Input>>, missing: Vec<String>) -> Self {
        Self { workflow: workflow.to_owned(), declared: declared.cloned(), missing }
    }

    /// The state that a run begins with.
    ///
    /// # Errors
    /// Everything that is wrong with what it is given, and every environment variable that it needs and that is not
    /// set.
    pub fn prepare(&self, given: &Value) -> Result<Update, ConfigurationError> {
        let mut wrong = self.missing.clone();
        let given = match given {
            Value::Null => Map::new(),
            Value::Object(map) => map.clone(),
            _ => {
                wrong.push(format!("the input of workflow `{}` is a mapping of names to values", self.workflow));
                Map::new()
            }
        };
        let mut state = Update::new();
        let declared = self.declared.iter().flat_map(|d| &d.0);
        for (name, input) in declared {
            let found = given.iter().find(|(key, _)| same_name(key, name)).map(|(_, value)| value);
            match found {
                Some(value) => {
                    wrong.extend(self.misfit(name, input, value));
                    state.insert(name.value.clone(), value.clone());
                }
                None if input.required => {
                    let kind = input.kind.map_or(String::new(), |k| format!(" ({})", k.name()));
                    wrong.push(format!("workflow `{}` needs the input `{}`{kind}", self.workflow, name.value));
                }
                None => {
                    let default = input.default.as_ref().map_or(Value::Null, |d| d.value.clone());
                    state.insert(name.value.clone(), default);
                }
            }
        }
        for (key, value) in given {
            match &self.declared {
                None => {
                    state.insert(key, value);
                }
                Some(declared) if declared.get(&key).is_none() => {
                    let names = declared.0.iter().map(|(name, _)| name.as_str());
                    wrong.push(ConfigurationError::unknown("input", "INVALID_VALUE", &key, names).message);
                }
                Some(_) => {}
            }
        }
        if wrong.is_empty() { Ok(state) } else { Err(ConfigurationError::new(wrong.join("\n"))) }
    }

    /// The value of an input from a text, as a command line has it: read as YAML, unless the input is a text.
    #[must_use]
    pub fn value_of(&self, name: &str, text: &str) -> Value {
        let kind = self.declared.as_ref().and_then(|d| d.get(name)).and_then(|input| input.kind);
        if kind == Some(super::super::InputKind::String) {
            return Value::String(text.to_owned());
        }
        super::super::load::to_json(name, text).unwrap_or_else(|_| Value::String(text.to_owned()))
    }

    fn misfit(&self, name: &str, input: &Input, value: &Value) -> Option<String> {
        if let Some(kind) = input.kind
            && !kind.fits(value)
        {
            let found = crate::expr::Kind::of(value);
            return Some(format!("input `{name}` of workflow `{}` is {found}, not {}", self.workflow, kind.name()));
        }
        let choices = input.choices.as_ref()?;
        let all: Vec<String> = choices.iter().map(ToString::to_string).collect();
        let message =
            format!("input `{name}` of workflow `{}` is {value}; allowed are {}", self.workflow, all.join(", "));
        (!choices.contains(value)).then_some(message)
    }

    /// Their JSON schema, where they are declared.
    #[must_use]
    pub fn schema(&self) -> Option<Value> {
        let declared = self.declared.as_ref()?;
        let mut properties = Map::new();
        for (name, input) in &declared.0 {
            let mut property = Map::new();
            if let Some(kind) = input.kind.map(super::super::InputKind::name).filter(|k| *k != "any") {
                property.insert("type".to_owned(), json!(kind));
            }
            if let Some(text) = &input.description {
                property.insert("description".to_owned(), json!(text));
            }
            if let Some(choices) = &input.choices {
                property.insert("enum".to_owned(), json!(choices));
            }
            if let Some(default) = &input.default {
                property.insert("default".to_owned(), default.value.clone());
            }
            properties.insert(name.value.clone(), Value::Object(property));
        }
        let required: Vec<&str> =
            declared.0.iter().filter(|(_, i)| i.required).map(|(name, _)| name.as_str()).collect();
        Some(json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false
        }))
    }
}
