//! Fixtures that are ordinary tools of a runtime.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use victor_core::error::ToolError;
use victor_core::message::{Block, Media, MediaSource};
use victor_core::tool::{DynTool, Effects, Plan, ToolCx, ToolOutput, ToolSource, ToolSpec};

pub(crate) const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

pub(crate) struct Fixtures;

type Answer = fn(&ToolCx) -> Result<ToolOutput, ToolError>;

struct Fixture {
    spec: Arc<ToolSpec>,
    answer: Answer,
}

#[async_trait]
impl DynTool for Fixture {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    async fn plan(&self, _: Value, _: &ToolCx) -> Result<Plan, ToolError> {
        let answer = self.answer;
        Ok(Plan::new(Effects::NONE, move |_, cx: ToolCx| async move { answer(&cx) }))
    }
}

#[async_trait]
impl ToolSource for Fixtures {
    fn name(&self) -> &str {
        "fixtures"
    }

    async fn tools(&self) -> Vec<Arc<dyn DynTool>> {
        let plain: [(&str, Answer); 7] = [
            ("test_simple_text", |_| Ok(ToolOutput::text("This is a simple text response for testing."))),
            ("test_image_content", |_| Ok(blocks(vec![media("image/png", PNG, None)]))),
            ("test_audio_content", |_| Ok(blocks(vec![media("audio/wav", WAV, None)]))),
            ("test_embedded_resource", |_| {
                Ok(blocks(vec![embedded(
                    "test://embedded-resource",
                    "text/plain",
                    "VGhpcyBpcyBhbiBlbWJlZGRlZCByZXNvdXJjZSBjb250ZW50Lg==",
                )]))
            }),
            ("test_multiple_content_types", |_| Ok(mixed())),
            ("test_error_handling", |_| Err(ToolError::model("This tool intentionally returns an error for testing"))),
            ("test_tool_with_progress", |cx| {
                ["Starting", "Halfway", "Complete"].into_iter().for_each(|step| cx.progress(step));
                Ok(ToolOutput::text("Progress test completed"))
            }),
        ];
        let mut all: Vec<_> =
            plain.map(|(name, answer)| fixture(name, json!({"type": "object", "properties": {}}), answer)).into();
        all.push(fixture("json_schema_2020_12_tool", rich_schema(), |_| Ok(ToolOutput::text("It fits"))));
        all
    }
}

fn fixture(name: &str, parameters: Value, answer: Answer) -> Arc<dyn DynTool> {
    let spec = ToolSpec::new(name, format!("The suite's fixture {name}"), "fixtures", parameters, Effects::NONE);
    Arc::new(Fixture { spec: Arc::new(spec), answer })
}

fn blocks(content: Vec<Block>) -> ToolOutput {
    ToolOutput { content, ..ToolOutput::default() }
}

fn media(kind: &str, data: &str, name: Option<&str>) -> Block {
    let source = MediaSource::Base64(data.into());
    Block::Media(Media { media_type: kind.to_owned(), source, name: name.map(ToOwned::to_owned) })
}

pub(crate) fn embedded(uri: &str, kind: &str, data: &str) -> Block {
    media(kind, data, Some(uri))
}

pub(crate) fn image() -> Block {
    media("image/png", PNG, None)
}

fn mixed() -> ToolOutput {
    let resource =
        embedded("test://mixed-content-resource", "application/json", "eyJ0ZXN0IjoiZGF0YSIsInZhbHVlIjoxMjN9");
    blocks(vec![Block::text("Multiple content types test:"), image(), resource])
}

fn rich_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            },
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    })
}
