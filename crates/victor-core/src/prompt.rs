//! Prompt templates: what a person picks by name, fills in and sends.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::resource::SourceError;
use crate::tool::Origin;

/// What is said of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Prompt {
    /// The name that it is picked by.
    pub name: String,
    /// A title for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What is filled in.
    #[serde(default)]
    pub arguments: Vec<PromptArgument>,
}

/// What is filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PromptArgument {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether the prompt makes no sense without it.
    #[serde(default)]
    pub required: bool,
}

/// Where prompts come from: built in, files, an MCP server.
#[async_trait]
pub trait PromptSource: Send + Sync + 'static {
    /// The source's name: what stands before the prompt's in `/name:prompt`, and in messages.
    fn name(&self) -> &str;

    /// Whose prompts it has.
    fn origin(&self) -> Origin {
        Origin::Own
    }

    /// Its prompts.
    ///
    /// # Errors
    /// The source failed.
    async fn list(&self) -> Result<Vec<Prompt>, SourceError>;

    /// The messages of a prompt with these arguments.
    ///
    /// # Errors
    /// There is none, an argument is missing or unknown, or the source failed.
    async fn get(&self, name: &str, arguments: &BTreeMap<String, String>) -> Result<Vec<Message>, SourceError>;

    /// What could stand for an argument, given what was typed of it.
    async fn complete(&self, _name: &str, _argument: &str, _typed: &str) -> Vec<String> {
        Vec::new()
    }
}
