//! Fixtures that talk to a client of the older form while they work: logs, sampling, elicitation.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rmcp::ErrorData;
use rmcp::model::{
    CallToolResponse, CallToolResult, ContentBlock, CreateMessageRequestParams, ElicitRequestParams, ElicitationSchema,
    JsonObject, LoggingLevel, SamplingMessage,
};
use serde_json::{Value, json};
use victor_core::tool::{Effects, ToolSpec};
use victor_mcp::server::{Call, Card, OwnTool, Retry};

pub(crate) fn tools() -> Vec<Arc<dyn OwnTool>> {
    let all = [
        ("test_tool_with_logging", json!({})),
        ("test_logging_tool", json!({})),
        ("test_sampling", json!({"prompt": {"type": "string"}})),
        ("test_elicitation", json!({"message": {"type": "string"}})),
        ("test_elicitation_sep1034_defaults", json!({})),
        ("test_elicitation_sep1330_enums", json!({})),
        ("test_reconnection", json!({})),
        ("test_custom_headers", json!({"region": {"type": "string", "x-mcp-header": "Region"}})),
    ];
    all.into_iter().map(|(name, properties)| Arc::new(Talk(card(name, &properties))) as Arc<dyn OwnTool>).collect()
}

struct Talk(Card);

#[async_trait]
impl OwnTool for Talk {
    fn card(&self) -> &Card {
        &self.0
    }

    async fn call(&self, call: &Call<'_>, args: JsonObject, _: Retry) -> Result<CallToolResponse, ErrorData> {
        let text = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(match self.0.name() {
            "test_tool_with_logging" | "test_logging_tool" => logs(call).await,
            "test_sampling" => samples(call, &text("prompt")).await,
            "test_elicitation" => asks(call, &text("message"), "User response", form()).await,
            "test_elicitation_sep1034_defaults" => {
                asks(call, "Values with defaults", "Elicitation completed", defaults()).await
            }
            "test_elicitation_sep1330_enums" => asks(call, "Choices", "Elicitation completed", choices()).await,
            "test_reconnection" => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                said("Reconnection test completed")
            }
            _ => said(&format!("region: {}", text("region"))),
        }
        .into())
    }
}

pub(crate) fn card(name: &str, properties: &Value) -> Card {
    let schema = json!({"type": "object", "properties": properties});
    let about = format!("The suite's fixture {name}");
    Card::new(ToolSpec::new(name, about, "fixtures", schema, Effects::NONE), None)
}

pub(crate) fn said(text: &str) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

async fn logs(call: &Call<'_>) -> CallToolResult {
    for line in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
        call.log(LoggingLevel::Info, "fixtures", line.into()).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    said("Logging test completed")
}

async fn samples(call: &Call<'_>, prompt: &str) -> CallToolResult {
    let params = CreateMessageRequestParams::new(vec![SamplingMessage::user_text(prompt)], 100);
    match call.context().peer.create_message(params).await {
        Ok(result) => {
            let text =
                result.message.content.first().and_then(|c| c.as_text()).map(|t| t.text.clone()).unwrap_or_default();
            said(&format!("LLM response: {text}"))
        }
        Err(e) => CallToolResult::error(vec![ContentBlock::text(format!("sampling failed: {e}"))]),
    }
}

async fn asks(call: &Call<'_>, message: &str, says: &str, schema: Value) -> CallToolResult {
    let schema = ElicitationSchema::from_json_schema(schema.as_object().cloned().unwrap_or_default());
    let requested_schema = schema.expect("the fixture's schema is one");
    let params =
        ElicitRequestParams::FormElicitationParams { meta: None, message: message.to_owned(), requested_schema };
    match call.context().peer.create_elicitation(params).await {
        Ok(result) => {
            let (action, content) = (json!(result.action), json!(result.content));
            said(&format!("{says}: action={}, content={content}", action.as_str().unwrap_or_default()))
        }
        Err(e) => CallToolResult::error(vec![ContentBlock::text(format!("elicitation failed: {e}"))]),
    }
}

fn form() -> Value {
    json!({
        "type": "object",
        "properties": {
            "username": {"type": "string", "description": "User's response"},
            "email": {"type": "string", "description": "User's email address"},
        },
        "required": ["username", "email"],
    })
}

fn defaults() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
            "verified": {"type": "boolean", "default": true},
        },
    })
}

fn choices() -> Value {
    let titled = |a: &str, b: &str, c: &str| json!([{"const": "value1", "title": a}, {"const": "value2", "title": b}, {"const": "value3", "title": c}]);
    json!({
        "type": "object",
        "properties": {
            "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
            "titledSingle": {"type": "string", "oneOf": titled("First Option", "Second Option", "Third Option")},
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
            "titledMulti": {
                "type": "array",
                "items": {"anyOf": titled("First Choice", "Second Choice", "Third Choice")},
            },
        },
    })
}
