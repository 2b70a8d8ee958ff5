//! What a workflow file says: the types are the one source of reading, messages and schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::Value;
use victor_core::permission::Mode;

use super::decode::NAMES;
use super::node::Node;
use super::place::{At, Place};
use crate::template::Environment;

/// A workflow of a file, as it is written, with what it extends put in.
#[derive(Clone, Debug)]
pub struct Workflow {
    /// Its name.
    pub name: At<String>,
    /// What it says beside its nodes.
    pub head: Head,
    /// Its nodes, in the order of the file. The first is the entry.
    pub nodes: Vec<Node>,
    /// Names that nodes give which could not be read; empty in a document without mistakes.
    pub(crate) unread: Vec<String>,
}

/// What a workflow says beside its nodes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Head {
    /// What it is for, in a line.
    pub description: Option<String>,
    /// What it is given. With it, names that nothing declares are errors; without it, warnings.
    pub inputs: Option<Entries<Input>>,
    /// A workflow of this file that this one is made from.
    pub extends: Option<At<String>>,
    /// How often a node may run at most; 25 unless said otherwise.
    #[schemars(range(min = 1))]
    pub max_iterations: Option<At<u32>>,
    /// The mode of its agents, and words for people.
    pub metadata: Option<Metadata>,
}

/// Words about a workflow, and the mode of its agents.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Metadata {
    /// What its agents may do at most.
    pub mode: Option<At<Mode>>,
    /// Who wrote it.
    pub author: Option<String>,
    /// Its version.
    pub version: Option<Value>,
    /// Words to find it by.
    pub tags: Vec<String>,
}

/// An input of a workflow.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Input {
    /// What kind of value it is; any unless said otherwise.
    #[serde(rename = "type")]
    pub kind: Option<InputKind>,
    /// Whether a run needs it.
    pub required: bool,
    /// What it is when a run does not say it; `null` unless said otherwise.
    pub default: Option<At<Value>>,
    /// The values that it may have.
    #[serde(rename = "enum")]
    pub choices: Option<Vec<Value>>,
    /// What it is for.
    pub description: Option<String>,
}

/// What kind of value an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// A text.
    String,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A list.
    #[serde(alias = "list")]
    Array,
    /// A mapping.
    #[serde(alias = "mapping")]
    Object,
    /// Anything.
    Any,
}

impl InputKind {
    /// Whether a value is of this kind.
    #[must_use]
    pub fn fits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Boolean => value.is_boolean(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
            Self::Any => true,
        }
    }

    /// Its name in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
            Self::Any => "any",
        }
    }
}

/// One name or a list of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names(pub Vec<At<String>>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Names;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a name or a list of names")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = seq.next_element()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_newtype_struct(NAMES, Visitor)
    }
}

impl JsonSchema for Names {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Names".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "One name or a list of them.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
        })
    }
}

/// A mapping in the order of the file, with the places of its keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Entries<T>(pub Vec<(At<String>, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Entries<T> {
    /// The value of a key, `-` and `_` alike.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(key, _)| crate::expr::same_name(key, name)).map(|(_, value)| value)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
            type Value = Entries<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a mapping")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Visitor(std::marker::PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("MappingOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let value = generator.subschema_for::<T>();
        schemars::json_schema!({"type": "object", "additionalProperties": value})
    }
}

/// Everything that a file says, after reading and checking.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its workflows, in the order of the file.
    pub workflows: Vec<Workflow>,
    /// What looks like a mistake but does not keep it from running.
    pub warnings: Vec<super::Mistake>,
    /// The file's name.
    pub(crate) file: String,
    /// What `${NAME}` names.
    pub(crate) environment: Environment,
    /// Environment variables that are not set: the workflow, the place, the name.
    pub(crate) missing: BTreeMap<String, Vec<(String, String)>>,
}

impl Document {
    /// The workflow of this name, `-` and `_` alike.
    #[must_use]
    pub fn workflow(&self, name: &str) -> Option<&Workflow> {
        self.workflows.iter().find(|w| crate::expr::same_name(&w.name, name))
    }

    /// What a run of a workflow lacks in its environment: a message for each variable.
    #[must_use]
    pub fn missing_environment(&self, workflow: &str) -> Vec<String> {
        let told = |(place, name): &(String, String)| format!("{place}: {}", self.environment.lacks(name));
        self.missing.get(workflow).into_iter().flatten().map(told).collect()
    }
}

impl Workflow {
    /// The node of this id, `-` and `_` alike, also in parallel nodes.
    #[must_use]
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.all_nodes().into_iter().find(|n| crate::expr::same_name(n.id(), id))
    }

    /// All nodes, those of parallel nodes after them.
    #[must_use]
    pub fn all_nodes(&self) -> Vec<&Node> {
        fn walk<'a>(nodes: &'a [Node], all: &mut Vec<&'a Node>) {
            for node in nodes {
                all.push(node);
                walk(node.children(), all);
            }
        }
        let mut all = Vec::new();
        walk(&self.nodes, &mut all);
        all
    }

    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> Place {
        self.name.place
    }
}
