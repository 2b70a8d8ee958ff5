//! What the door has of its own, beside the runtime's tools and prompts.

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{CallToolResponse, CallToolResult, JsonObject, Tool};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use victor_core::token::Scope;
use victor_core::tool::{Effects, ToolSpec, parameters_of};

use super::call::{Call, Retry};
use crate::convert;

/// All tools of the door's own.
pub(crate) type OwnTools = Vec<Arc<dyn OwnTool>>;

/// A tool that the door has of its own.
#[async_trait::async_trait]
pub trait OwnTool: Send + Sync + 'static {
    /// What is said of it.
    fn card(&self) -> &Card;

    /// Does it.
    ///
    /// # Errors
    /// What is wrong with the request; failures of the work are answers.
    async fn call(&self, call: &Call<'_>, arguments: JsonObject, retry: Retry) -> Result<CallToolResponse, ErrorData>;
}

/// A prompt of the suite that asks before it answers.
#[cfg(feature = "conformance")]
#[async_trait::async_trait]
pub trait OwnPrompt: Send + Sync + 'static {
    /// The name that it is picked by.
    fn name(&self) -> &'static str;

    /// Its messages, or what is to be asked first.
    ///
    /// # Errors
    /// What is wrong with the request.
    async fn get(&self, call: &Call<'_>, retry: Retry) -> Result<rmcp::model::GetPromptResponse, ErrorData>;
}

/// What is said of a tool. It is made once: calls look at it.
#[derive(Debug)]
pub struct Card {
    spec: ToolSpec,
    tool: Tool,
    scope: Option<Scope>,
}

impl Card {
    /// Of a tool whose caller has to be allowed this, beside calling tools.
    #[must_use]
    pub fn new(spec: ToolSpec, scope: Option<Scope>) -> Self {
        Self { tool: convert::tool(&spec), spec, scope }
    }

    /// Of a tool that has an agent or a workflow do something.
    pub(crate) fn of<Args: JsonSchema, Answer: JsonSchema>(name: &str, about: &str, category: &str) -> Self {
        let spec = ToolSpec::new(name, about, category, parameters_of::<Args>(), Effects::AGENT);
        Self::new(spec.output(Some(convert::answer_of::<Answer>())), Some(Scope::Chat))
    }

    /// The name that it is called by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The group that it belongs to.
    pub(crate) fn category(&self) -> &str {
        &self.spec.category
    }

    pub(crate) fn scope(&self) -> Option<Scope> {
        self.scope
    }

    /// As clients are told of it.
    pub(crate) fn tool(&self) -> &Tool {
        &self.tool
    }

    /// The arguments, held against the schema as those of every tool are.
    pub(crate) fn arguments<A: DeserializeOwned>(&self, given: JsonObject) -> Result<A, Box<CallToolResult>> {
        let given = Value::Object(given);
        let wrong = |e: String| Box::new(convert::failure(e));
        self.spec.validate(&given).map_err(|e| wrong(e.to_string()))?;
        let name = self.name();
        serde_json::from_value(given).map_err(|e| wrong(format!("the arguments do not fit the tool `{name}`: {e}")))
    }
}
