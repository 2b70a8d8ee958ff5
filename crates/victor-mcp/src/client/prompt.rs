//! A server's prompts, as a source for `/server:prompt`.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use rmcp::model::GetPromptRequestParams;
use serde_json::Value;
use victor_core::message::Message;
use victor_core::prompt::{Prompt, PromptArgument, PromptSource};
use victor_core::resource::SourceError;
use victor_core::tool::Origin;

use super::content::messages;
use super::server::Server;

/// The prompts of one server.
pub(super) struct Prompts {
    server: Arc<Server>,
}

impl Prompts {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self { server }
    }
}

#[async_trait]
impl PromptSource for Prompts {
    fn name(&self) -> &str {
        &self.server.config().name
    }

    fn origin(&self) -> Origin {
        Origin::Foreign
    }

    async fn list(&self) -> Result<Vec<Prompt>, SourceError> {
        if self.server.has(|c| c.has_prompts) == Some(false) {
            return Ok(Vec::new());
        }
        let page = self.server.ask(async |c| c.peer().list_prompts(None).await).await?;
        Ok(page.prompts.into_iter().map(prompt).collect())
    }

    async fn get(&self, name: &str, arguments: &BTreeMap<String, String>) -> Result<Vec<Message>, SourceError> {
        let mut params = GetPromptRequestParams::new(name);
        if !arguments.is_empty() {
            let arguments = arguments.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str())));
            params = params.with_arguments(arguments.collect::<serde_json::Map<_, _>>());
        }
        let got = self.server.ask(async |c| c.service.get_prompt(params.clone()).await).await?;
        Ok(messages(&self.server.config().name, got.messages))
    }

    async fn complete(&self, name: &str, argument: &str, typed: &str) -> Vec<String> {
        let asked = self.server.ask(async |c| c.peer().complete_prompt_simple(name, argument, typed).await).await;
        asked.unwrap_or_default()
    }
}

pub(super) fn prompt(prompt: rmcp::model::Prompt) -> Prompt {
    let argument = |a: rmcp::model::PromptArgument| PromptArgument {
        name: a.name,
        description: a.description.or(a.title),
        required: a.required.unwrap_or(false),
    };
    Prompt {
        name: prompt.name,
        title: prompt.title,
        description: prompt.description,
        arguments: prompt.arguments.unwrap_or_default().into_iter().map(argument).collect(),
    }
}
