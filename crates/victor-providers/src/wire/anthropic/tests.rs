use rstest::rstest;
use serde_json::{Value, json};
use victor_core::error::ProviderErrorKind;
use victor_core::message::{Block, Message, Role};
use victor_core::provider::StopReason;
use victor_core::request::{OutputSchema, Request, ThinkingEffort, ToolChoice};
use victor_core::usage::Usage;

use crate::settings::Wire;
use crate::wire::fixtures::{self, calls, conversation, decode_whole, request};
use crate::wire::{Dialect, ThinkingStyle};

fn body(request: &Request, dialect: &Dialect) -> Value {
    fixtures::body(Wire::Anthropic, request, dialect)
}

fn decode(events: &[&str]) -> Result<victor_core::assemble::Completion, victor_core::error::ProviderError> {
    fixtures::decode(Wire::Anthropic, events)
}

const START: &str = r#"{"type":"message_start","message":{"id":"m1","model":"c","usage":{"input_tokens":10,"cache_read_input_tokens":100,"cache_creation_input_tokens":5,"output_tokens":1}}}"#;

#[test]
fn a_conversation_on_the_wire() {
    insta::assert_json_snapshot!(body(&request(conversation("anthropic")), &Dialect::default()));
}

#[test]
fn a_longer_history_begins_with_the_bytes_of_the_shorter() {
    fixtures::check_prefix(Wire::Anthropic);
}

#[test]
fn cache_breakpoints_are_four_at_most_and_fixed_at_the_front() {
    let body = body(&request(conversation("anthropic")), &Dialect::default()).to_string();
    assert_eq!(body.matches("cache_control").count(), 4);
}

#[rstest]
#[case::budget(ThinkingStyle::Budget, Some(ThinkingEffort::Low), json!({"type": "enabled", "budget_tokens": 2048}), Value::Null)]
#[case::budget_off(ThinkingStyle::Budget, Some(ThinkingEffort::Off), Value::Null, Value::Null)]
#[case::adaptive(ThinkingStyle::Adaptive, Some(ThinkingEffort::High), json!({"type": "adaptive"}), json!("high"))]
#[case::on_by_default(ThinkingStyle::AdaptiveOn, None, Value::Null, Value::Null)]
#[case::switched_off(ThinkingStyle::AdaptiveOn, Some(ThinkingEffort::Off), json!({"type": "disabled"}), Value::Null)]
#[case::always(ThinkingStyle::Always, Some(ThinkingEffort::Off), Value::Null, json!("low"))]
#[case::never(ThinkingStyle::Never, Some(ThinkingEffort::High), Value::Null, Value::Null)]
#[case::unknown(ThinkingStyle::Unknown, Some(ThinkingEffort::Medium), json!({"type": "adaptive"}), json!("medium"))]
fn thinking_as_the_model_takes_it(
    #[case] style: ThinkingStyle,
    #[case] effort: Option<ThinkingEffort>,
    #[case] field: Value,
    #[case] effort_sent: Value,
) {
    let mut request = request(vec![Message::user("x")]);
    request.params.thinking = effort;
    request.params.temperature = Some(1.5);
    let body = body(&request, &Dialect { thinking: style, ..Dialect::default() });
    let at = |key: &str| body.get(key).cloned().unwrap_or_default();
    assert_eq!(at("thinking"), field);
    assert_eq!(at("output_config")["effort"], effort_sent);
    let thinks = field["type"] == "enabled"
        || field["type"] == "adaptive"
        || matches!(style, ThinkingStyle::Always)
        || (style, effort) == (ThinkingStyle::AdaptiveOn, None);
    assert_eq!(body.get("temperature"), (!thinks).then(|| json!(1.0)).as_ref());
}

#[test]
fn a_budget_leaves_room_for_the_answer() {
    let mut request = request(vec![Message::user("x")]);
    request.params.thinking = Some(ThinkingEffort::High);
    let dialect = Dialect { thinking: ThinkingStyle::Budget, ..Dialect::default() };
    request.params.max_tokens = Some(4000);
    assert_eq!(body(&request, &dialect)["thinking"]["budget_tokens"], 3000);
    request.params.max_tokens = Some(1000);
    assert_eq!(body(&request, &dialect).get("thinking"), None);
}

#[test]
fn a_forced_tool_goes_before_thinking() {
    let mut request = request(vec![Message::user("x")]);
    request.params.thinking = Some(ThinkingEffort::High);
    request.tool_choice = ToolChoice::Tool("read".into());
    let body = body(&request, &Dialect { thinking: ThinkingStyle::Adaptive, ..Dialect::default() });
    assert_eq!(body["tool_choice"], json!({"type": "tool", "name": "read"}));
    assert_eq!(body.get("thinking"), None);
}

#[test]
fn an_output_schema_is_closed_and_without_limits() {
    let mut request = request(vec![Message::user("x")]);
    let schema = json!({"$schema": "s", "type": "object", "properties": {
        "minimum": {"type": "integer", "minimum": 1}, "list": {"type": "array", "minItems": 3, "items": {"type": "object", "properties": {}}}}});
    request.output_schema = Some(OutputSchema { name: "out".into(), schema }.into());
    let format = body(&request, &Dialect::default())["output_config"]["format"].clone();
    assert_eq!(
        format,
        json!({"type": "json_schema", "schema": {"type": "object", "properties": {
        "minimum": {"type": "integer"}, "list": {"type": "array", "minItems": 1, "items": {"type": "object", "properties": {}, "additionalProperties": false}}},
        "additionalProperties": false}})
    );
}

#[test]
fn the_answers_length_is_always_said() {
    let length = |dialect: &Dialect| body(&request(vec![Message::user("x")]), dialect)["max_tokens"].clone();
    assert_eq!(length(&Dialect::default()), 8192);
    assert_eq!(length(&Dialect { max_output: Some(128_000), ..Dialect::default() }), 32_000);
    assert_eq!(length(&Dialect { max_output: Some(4096), ..Dialect::default() }), 4096);
}

#[test]
fn messages_of_one_role_are_merged_and_empty_ones_left_out() {
    let silent = Message { role: Role::Assistant, content: vec![Block::text(" ")] };
    let messages = vec![Message::user("a"), silent, Message::user("b")];
    let sent = body(&request(messages), &Dialect::default())["messages"].clone();
    assert_eq!(sent.as_array().unwrap().len(), 1);
    assert_eq!(sent[0]["content"][1]["text"], "b");
}

#[test]
fn a_streamed_answer_with_everything() {
    let done = decode(&[
        START,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"let me see"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"enc"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"Hello"}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"citations_delta","citation":{}}}"#,
        r#"{"type":"content_block_stop","index":2}"#,
        r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"t1","name":"read","input":{}}}"#,
        r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"path\":"}}"#,
        r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"\"x\"}"}}"#,
        r#"{"type":"content_block_stop","index":3}"#,
        r#"{"type":"content_block_start","index":4,"content_block":{"type":"server_tool_use","id":"s1","name":"web_search","input":{}}}"#,
        r#"{"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":"{\"q\":1}"}}"#,
        r#"{"type":"content_block_stop","index":4}"#,
        r#"{"type":"from_the_future","x":1}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":42,"output_tokens_details":{"thinking_tokens":9}}}"#,
        r#"{"type":"message_stop"}"#,
    ])
    .unwrap();
    assert_eq!(done.message.text(), "Hello");
    assert_eq!(calls(&done), [(Some("t1"), "read", r#"{"path":"x"}"#.into())]);
    assert_eq!(done.stop, StopReason::ToolUse);
    assert_eq!(done.usage, Usage { input: 115, output: 42, cache_read: 100, cache_write: 5, reasoning: 9 });
    // What it said is sent back as it was.
    let sent =
        body(&request(vec![Message::user("x"), done.message]), &Dialect::default())["messages"][1]["content"].clone();
    assert_eq!(sent[0], json!({"type": "thinking", "thinking": "let me see", "signature": "c2ln"}));
    assert_eq!(sent[1], json!({"type": "redacted_thinking", "data": "enc"}));
    assert_eq!(sent[4], json!({"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"q": 1}}));
}

#[rstest]
#[case("end_turn", StopReason::EndTurn)]
#[case("max_tokens", StopReason::MaxTokens)]
#[case("stop_sequence", StopReason::StopSequence)]
#[case("refusal", StopReason::Refusal)]
#[case("pause_turn", StopReason::Pause)]
#[case("new_one", StopReason::Other("new_one".into()))]
fn stop_reasons(#[case] reason: &str, #[case] expected: StopReason) {
    let delta = format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}}}}"#);
    assert_eq!(decode(&[START, &delta, r#"{"type":"message_stop"}"#]).unwrap().stop, expected);
    // A server that leaves the last event out has still said all.
    assert_eq!(decode(&[START, &delta]).unwrap().stop, expected);
}

#[test]
fn a_broken_off_stream_is_truncated() {
    let error =
        decode(&[START, r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"Hel"}}"#]);
    assert_eq!(error.unwrap_err().kind, ProviderErrorKind::Truncated);
}

#[rstest]
#[case("overloaded_error", ProviderErrorKind::Overloaded)]
#[case("rate_limit_error", ProviderErrorKind::RateLimited)]
#[case("api_error", ProviderErrorKind::Server)]
#[case("invalid_request_error", ProviderErrorKind::InvalidRequest)]
#[case("billing_error", ProviderErrorKind::QuotaExceeded)]
fn errors_within_the_stream(#[case] name: &str, #[case] kind: ProviderErrorKind) {
    let event = format!(r#"{{"type":"error","error":{{"type":"{name}","message":"Sorry"}},"request_id":"r9"}}"#);
    let error = decode(&[START, &event]).unwrap_err();
    assert_eq!((error.kind, error.request_id.as_deref()), (kind, Some("r9")));
    assert!(error.message.contains("Sorry"));
}

#[test]
fn a_whole_answer() {
    let answer = json!({"id": "m", "type": "message", "model": "c", "stop_reason": "tool_use", "usage": {"input_tokens": 3, "output_tokens": 4},
        "content": [{"type": "text", "text": "hi"}, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}, {"type": "tool_use", "id": "u", "name": "g", "input": {}}]});
    let done = decode_whole(Wire::Anthropic, &answer).unwrap();
    assert_eq!(done.message.text(), "hi");
    assert_eq!(calls(&done), [(Some("t"), "f", r#"{"a":1}"#.into()), (Some("u"), "g", "{}".into())]);
    assert_eq!(decode_whole(Wire::Anthropic, &json!([])).unwrap_err().kind, ProviderErrorKind::Protocol);
}
