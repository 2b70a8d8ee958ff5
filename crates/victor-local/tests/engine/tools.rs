//! Tool calls and answers of a given form: always well-formed, even from a model that knows nothing.

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};
use victor_core::message::{Block, Message, Role, ToolResult};
use victor_core::provider::StopReason;
use victor_core::request::{OutputSchema, Request, ToolChoice};
use victor_core::tool::ToolSpec;
use victor_local::Sampling;

use crate::ask::{Local, question, tool};
use crate::tiny::Kind;

fn tools() -> Vec<Arc<ToolSpec>> {
    let weather = json!({
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["city", "days"],
        "additionalProperties": false
    });
    let pick = json!({
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}, "all": {"type": "boolean"}},
        "required": ["colour"],
        "additionalProperties": false
    });
    vec![tool("pick", "Picks a colour.", pick), tool("weather", "Tells the weather. At length.", weather)]
}

fn request(choice: ToolChoice) -> Request {
    Request { tools: tools().into(), tool_choice: choice, ..question("What is the weather in Oslo?", 600) }
}

#[rstest]
#[case::any(ToolChoice::Required)]
#[case::one(ToolChoice::Tool("weather".to_owned()))]
#[tokio::test]
async fn a_call_that_must_come_always_fits_its_schema(
    #[case] choice: ToolChoice,
    #[values(Kind::Qwen3, Kind::Llama2, Kind::Gemma3)] kind: Kind,
) {
    for seed in 0..6 {
        let sampling = Sampling { temperature: 1.5, seed, ..Sampling::default() };
        let answer = Local::tiny_with(kind, sampling).ask(&request(choice.clone())).await.unwrap();
        assert_eq!(answer.stop, StopReason::ToolUse, "{answer:?}");
        let calls: Vec<_> = answer.message.tool_calls().collect();
        assert!(!calls.is_empty());
        for call in calls {
            let spec = tools().into_iter().find(|t| t.name == call.name).unwrap();
            spec.validate(&call.arguments).unwrap();
            assert!(choice == ToolChoice::Required || call.name == "weather");
        }
    }
}

#[rstest]
#[case::byte_level(Kind::Llama)]
#[case::pieces(Kind::Gemma3)]
#[case::prefixed_pieces(Kind::Llama2)]
#[tokio::test]
async fn an_answer_of_a_given_form_has_it(#[case] kind: Kind) {
    let schema = json!({
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 0, "maximum": 120}},
        "required": ["name", "age"],
        "additionalProperties": false
    });
    let validator = jsonschema::validator_for(&schema).unwrap();
    for seed in 0..4 {
        let sampling = Sampling { temperature: 1.5, seed, ..Sampling::default() };
        let form = Arc::new(OutputSchema { name: "person".to_owned(), schema: schema.clone() });
        let request = Request { output_schema: Some(form), ..question("Who?", 120) };
        let answer = Local::tiny_with(kind, sampling).ask(&request).await.unwrap();
        let value: Value = serde_json::from_str(&answer.message.text()).unwrap();
        assert!(validator.is_valid(&value), "{value}");
        assert_eq!(answer.stop, StopReason::EndTurn);
    }
}

#[tokio::test]
async fn a_schema_that_cannot_be_kept_to_is_refused_with_its_reason() {
    let form = Arc::new(OutputSchema { name: "x".to_owned(), schema: json!({"type": "object", "not": {}}) });
    let request = Request { output_schema: Some(form), ..question("Who?", 20) };
    let error = Local::tiny(Kind::Llama).ask(&request).await.unwrap_err();
    assert!(error.message.contains("schema"), "{error}");
}

#[rstest]
#[case::qwen2(Kind::Qwen2)]
#[case::gemma3(Kind::Gemma3)]
#[tokio::test]
async fn calls_and_results_of_earlier_turns_are_read(#[case] kind: Kind) {
    let local = Local::tiny(kind);
    let mut request = request(ToolChoice::Required);
    let first = local.ask(&request).await.unwrap();
    let results = first.message.tool_calls().map(|call| {
        Block::ToolResult(ToolResult {
            call: call.id.clone(),
            provider_id: call.provider_id.clone(),
            name: call.name.clone(),
            content: vec![Block::text("rain")],
            is_error: false,
        })
    });
    let results = Message { role: Role::Tool, content: results.collect() };
    let mut messages = request.messages.to_vec();
    messages.extend([Arc::new(first.message), Arc::new(results)]);
    request.messages = Arc::new(messages);
    request.tool_choice = ToolChoice::Auto;
    request.params.max_tokens = Some(3);
    let second = local.ask(&request).await.unwrap();
    assert!(second.usage.input > first.usage.input + 10, "{:?}", second.usage);
    assert!(second.usage.cache_read > 0);
}
