//! Resources: what can be read by its URI, from the workspace, git or an MCP server.

use async_trait::async_trait;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::tool::Origin;

/// Something that can be read by its URI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resource {
    /// Its URI (RFC 3986).
    pub uri: String,
    /// A short name for lists.
    pub name: String,
    /// A title for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A family of resources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceTemplate {
    /// The form of their URIs (RFC 6570).
    pub uri_template: String,
    /// A short name for lists.
    pub name: String,
    /// A title for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Their media type, if all have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The URI that it was read from; a folder's parts have their own.
    pub uri: String,
    /// Its media type.
    pub media_type: Option<String>,
    /// Itself.
    pub body: Body,
}

/// Text, or bytes that are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Text.
    Text(String),
    /// Anything else.
    Blob(Bytes),
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The part.
    pub items: Vec<T>,
    /// Where the next part begins, in the source's own words; `None` at the end.
    pub next: Option<String>,
}

/// Why a resource or a prompt cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There is none of this name or URI.
    #[error("{0}")]
    NotFound(String),
    /// The arguments, or the cursor, are wrong.
    #[error("{0}")]
    Invalid(String),
    /// It may not be had.
    #[error("{0}")]
    Denied(String),
    /// The source failed.
    #[error("{0}")]
    Failed(String),
}

/// Where resources come from.
#[async_trait]
pub trait ResourceSource: Send + Sync + 'static {
    /// The source's name: what stands before the URI in `@name:uri`, and in messages.
    fn name(&self) -> &str;

    /// Whose resources it has.
    fn origin(&self) -> Origin {
        Origin::Own
    }

    /// Whether URIs of this form are its own.
    fn owns(&self, uri: &str) -> bool;

    /// Its resources, a page at a time; `None` begins.
    ///
    /// # Errors
    /// The cursor is not its own; the source failed.
    async fn list(&self, cursor: Option<&str>) -> Result<Page<Resource>, SourceError>;

    /// The families of resources that it does not list one by one.
    ///
    /// # Errors
    /// The source failed.
    async fn templates(&self) -> Result<Vec<ResourceTemplate>, SourceError>;

    /// Reads one.
    ///
    /// # Errors
    /// There is none, it may not be read, or the source failed.
    async fn read(&self, uri: &str) -> Result<Vec<Contents>, SourceError>;

    /// What could stand for `{argument}` of a template, given what was typed of it.
    async fn complete(&self, _template: &str, _argument: &str, _typed: &str) -> Vec<String> {
        Vec::new()
    }

    /// A number that grows whenever the resource changes, for as long as it is held; `None` if it cannot be watched.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    async fn watch(&self, _uri: &str) -> Result<Option<watch::Receiver<u64>>, SourceError> {
        Ok(None)
    }
}
