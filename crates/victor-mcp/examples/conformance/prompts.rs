//! The suite's prompts.

use std::collections::BTreeMap;

use async_trait::async_trait;
use base64::Engine as _;
use victor_core::message::{Block, Message, Role};
use victor_core::prompt::{Prompt, PromptArgument, PromptSource};
use victor_core::resource::SourceError;

use crate::tools::{embedded, image};

pub(crate) struct Fixtures;

#[async_trait]
impl PromptSource for Fixtures {
    fn name(&self) -> &str {
        "fixtures"
    }

    async fn list(&self) -> Result<Vec<Prompt>, SourceError> {
        let all: [(&str, &[&str]); 5] = [
            ("test_simple_prompt", &[]),
            ("test_prompt_with_arguments", &["arg1", "arg2"]),
            ("test_prompt_with_embedded_resource", &["resourceUri"]),
            ("test_prompt_with_image", &[]),
            ("test_input_required_result_prompt", &[]),
        ];
        let of = |(name, arguments): (&str, &[&str])| Prompt {
            name: name.to_owned(),
            title: None,
            description: Some(format!("The suite's fixture {name}")),
            arguments: arguments
                .iter()
                .map(|a| PromptArgument {
                    name: (*a).to_owned(),
                    description: Some("An argument".to_owned()),
                    required: true,
                })
                .collect(),
        };
        Ok(all.into_iter().map(of).collect())
    }

    async fn get(&self, name: &str, arguments: &BTreeMap<String, String>) -> Result<Vec<Message>, SourceError> {
        let of = |name: &str| arguments.get(name).cloned().unwrap_or_default();
        Ok(match name {
            "test_simple_prompt" => vec![Message::user("This is a simple prompt for testing.")],
            "test_prompt_with_arguments" => {
                let text = format!("Prompt with arguments: arg1='{}', arg2='{}'", of("arg1"), of("arg2"));
                vec![Message::user(text)]
            }
            "test_prompt_with_embedded_resource" => {
                let data = base64::engine::general_purpose::STANDARD.encode("Embedded resource content for testing.");
                let resource = embedded(&of("resourceUri"), "text/plain", &data);
                vec![said(resource), Message::user("Please process the embedded resource above.")]
            }
            "test_prompt_with_image" => vec![said(image()), Message::user("Please analyze the image above.")],
            other => return Err(SourceError::NotFound(format!("there is no prompt `{other}`"))),
        })
    }

    async fn complete(&self, _: &str, _: &str, typed: &str) -> Vec<String> {
        ["paris", "park", "party"].into_iter().filter(|c| c.starts_with(typed)).map(ToOwned::to_owned).collect()
    }
}

fn said(block: Block) -> Message {
    Message { role: Role::User, content: vec![block] }
}
