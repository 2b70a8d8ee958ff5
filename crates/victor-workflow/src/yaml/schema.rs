//! The JSON schema of workflow files, made from the types that read them.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::document::{Entries, Head};
use super::node::{Common, NodeKind};

/// A workflow file.
#[derive(JsonSchema)]
#[schemars(title = "Victor workflows", deny_unknown_fields)]
#[expect(dead_code, reason = "it stands for the schema only; reading goes by places")]
struct FileSchema {
    /// The workflows of this file, by name.
    workflows: Entries<WorkflowSchema>,
    /// Parts that `$ref: \"#/definitions/..\"` puts in elsewhere.
    definitions: Option<Value>,
}

/// A workflow.
#[derive(JsonSchema)]
#[schemars(rename = "Workflow", deny_unknown_fields)]
#[expect(dead_code, reason = "it stands for the schema only; reading goes by places")]
struct WorkflowSchema {
    #[serde(flatten)]
    head: Head,
    /// Its nodes; the first is the entry.
    nodes: Option<Vec<NodeSchema>>,
    /// Nodes put before or after those of the workflow that this one extends.
    additional_nodes: Option<Vec<AdditionalSchema>>,
}

/// A node, or a reference to one.
#[derive(JsonSchema)]
#[schemars(rename = "Node", untagged)]
#[expect(dead_code, reason = "it stands for the schema only; reading goes by places")]
pub(crate) enum NodeSchema {
    Node(Box<FullNode>),
    Reference(Reference),
}

/// A node.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "it stands for the schema only; reading goes by places")]
pub(crate) struct FullNode {
    #[serde(flatten)]
    common: Common,
    #[serde(flatten)]
    kind: NodeKind,
}

/// Another part of the file; keys beside it lie over what it names.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it stands for the schema only; reading goes by places")]
pub(crate) struct Reference {
    /// `#/definitions/..`.
    #[serde(rename = "$ref")]
    reference: String,
}

/// A node with its place in the workflow that is extended.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "it stands for the schema only; reading goes by places")]
struct AdditionalSchema {
    /// The node before which it is put.
    before: Option<String>,
    /// The node after which it is put.
    after: Option<String>,
    #[serde(flatten)]
    common: Common,
    #[serde(flatten)]
    kind: NodeKind,
}

/// The JSON Schema (draft 2020-12) of workflow files, for editors.
#[must_use]
pub fn schema_json() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<FileSchema>().to_value()
}
