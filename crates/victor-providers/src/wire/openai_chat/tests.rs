use rstest::rstest;
use serde_json::{Value, json};
use victor_core::error::ProviderErrorKind;
use victor_core::message::{Block, Media, MediaSource, Message, Role};
use victor_core::provider::StopReason;
use victor_core::request::{OutputSchema, ThinkingEffort, ToolChoice};
use victor_core::usage::Usage;

use crate::settings::{LengthField, Wire};
use crate::wire::fixtures::{self, calls, conversation, decode_whole, request};
use crate::wire::{Dialect, OutputStyle, ThinkingStyle};

fn body(request: &victor_core::request::Request, dialect: &Dialect) -> Value {
    fixtures::body(Wire::OpenaiChat, request, dialect)
}

fn decode(events: &[&str]) -> Result<victor_core::assemble::Completion, victor_core::error::ProviderError> {
    fixtures::decode(Wire::OpenaiChat, events)
}

#[test]
fn a_conversation_on_the_wire() {
    insta::assert_json_snapshot!(body(&request(conversation("openai_chat")), &Dialect::default()));
}

#[test]
fn a_longer_history_begins_with_the_bytes_of_the_shorter() {
    fixtures::check_prefix(Wire::OpenaiChat);
}

#[test]
fn a_dialect_changes_what_its_server_needs() {
    let mut request = request(conversation("openai_chat"));
    request.params.max_tokens = Some(9);
    request.params.temperature = Some(0.5);
    request.params.thinking = Some(ThinkingEffort::Off);
    let dialect = Dialect {
        length_field: LengthField::MaxCompletionTokens,
        thinking: ThinkingStyle::EffortNone,
        fixed_sampling: true,
        replay_reasoning: true,
        short_call_ids: true,
        usage_unasked: true,
        ..Dialect::default()
    };
    let body = body(&request, &dialect);
    assert_eq!(body["max_completion_tokens"], 9);
    assert_eq!(body["reasoning_effort"], "none");
    assert_eq!((body.get("temperature"), body.get("stream_options")), (None, None));
    let messages = body["messages"].as_array().unwrap();
    assert_eq!(messages[2]["reasoning_content"], "hm");
    let id = messages[2]["tool_calls"][0]["id"].as_str().unwrap();
    assert_eq!(id.len(), 9);
    assert_eq!(messages[3]["tool_call_id"], id);
}

#[rstest]
#[case(json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}), true)]
#[case(json!({"type": "object", "properties": {"a": {"type": "string"}}}), false)]
fn structured_output_is_strict_where_it_can_be(#[case] schema: Value, #[case] strict: bool) {
    let mut request = request(vec![Message::user("x")]);
    request.output_schema = Some(OutputSchema { name: "out".into(), schema: schema.clone() }.into());
    let format = body(&request, &Dialect::default())["response_format"].clone();
    assert_eq!(format["json_schema"]["strict"], strict);
    assert_eq!(format["json_schema"]["schema"].get("additionalProperties"), strict.then(|| json!(false)).as_ref());
    let dialect = Dialect { output: OutputStyle::JsonObject, ..Dialect::default() };
    let body = body(&request, &dialect);
    assert_eq!(body["response_format"], json!({"type": "json_object"}));
    assert!(body["messages"][0]["content"].as_str().unwrap().contains(&schema.to_string()));
}

#[test]
fn media_by_their_kind() {
    let media = |media_type: &str, source| {
        Block::Media(Media { media_type: media_type.into(), source, name: Some("n".into()) })
    };
    let content = vec![
        media("image/png", MediaSource::Url("https://x.example/i.png".into())),
        media("application/pdf", MediaSource::Base64("JVBERg==".into())),
        media("text/plain", MediaSource::Base64("aGk=".into())),
        media("application/zip", MediaSource::Base64("/w==".into())),
    ];
    let message = Message { role: Role::User, content };
    let parts = body(&request(vec![message]), &Dialect::default())["messages"][1]["content"].clone();
    assert_eq!(parts[0]["image_url"]["url"], "https://x.example/i.png");
    assert_eq!(parts[1]["file"]["file_data"], "data:application/pdf;base64,JVBERg==");
    assert_eq!(parts[2]["text"], "<file name=\"n\">\nhi\n</file>");
    assert!(parts[3]["text"].as_str().unwrap().contains("left out"));
}

#[test]
fn tool_choice_by_its_kind() {
    for (choice, expected) in [
        (ToolChoice::None, json!("none")),
        (ToolChoice::Required, json!("required")),
        (ToolChoice::Tool("read".into()), json!({"type": "function", "function": {"name": "read"}})),
    ] {
        let mut request = request(vec![Message::user("x")]);
        request.tool_choice = choice;
        assert_eq!(body(&request, &Dialect::default())["tool_choice"], expected);
    }
}

#[test]
fn a_streamed_answer_with_everything() {
    let done = decode(&[
        r#"{"id":"c1","model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"reasoning_content":"let me "}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"reasoning_content":"see","content":""}}],"logprobs":null,"new":1}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"Hello "}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"wörld"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"read","arguments":""}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"ls","arguments":"{}"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"path\":"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"x\"}"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":null}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":64},"completion_tokens_details":{"reasoning_tokens":7}}}"#,
        "[DONE]",
    ])
    .unwrap();
    assert_eq!(done.message.text(), "Hello wörld");
    assert!(
        matches!(&done.message.content[0], Block::Thinking(t) if t.text == "let me see" && t.wire == "openai_chat")
    );
    assert_eq!(calls(&done), [(Some("a"), "read", r#"{"path":"x"}"#.into()), (Some("b"), "ls", "{}".into())]);
    assert_eq!(done.stop, StopReason::ToolUse);
    assert_eq!(done.usage, Usage { input: 100, output: 20, cache_read: 64, cache_write: 0, reasoning: 7 });
    assert_eq!((done.id.as_deref(), done.model.as_deref()), (Some("c1"), Some("m-1")));
}

/// The pieces of tool calls that servers send, each as the list of `tool_calls` of one delta.
#[rstest]
#[case::no_index(&[r#"[{"id":"a","function":{"name":"f","arguments":"{"}}]"#, r#"[{"function":{"arguments":"}"}}]"#,
    r#"[{"id":"b","function":{"name":"g","arguments":"{}"}}]"#], &["a f {}", "b g {}"])]
#[case::id_and_name_repeated(&[r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]"#,
    r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"}"}}]"#], &["a f {}"])]
#[case::name_in_pieces(&[r#"[{"index":0,"id":"a","function":{"name":"read_"}}]"#,
    r#"[{"index":0,"function":{"name":"file","arguments":""}}]"#, r#"[{"index":0,"function":{"arguments":"{}"}}]"#], &["a read_file {}"])]
#[case::all_at_index_zero(&[r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]"#,
    r#"[{"index":0,"id":"b","function":{"name":"f","arguments":"{}"}}]"#], &["a f {}", "b f {}"])]
#[case::neither_index_nor_id(&[r#"[{"function":{"name":"f","arguments":"{}"}}]"#,
    r#"[{"function":{"name":"g","arguments":"{}"}}]"#], &["- f {}", "- g {}"])]
#[case::no_arguments(&[r#"[{"index":0,"id":"a","function":{"name":"f"}},{"index":1,"id":"b","function":{"name":"g","arguments":"{\"x\":1}"}}]"#],
    &["a f {}", r#"b g {"x":1}"#])]
#[case::arguments_as_an_object(&[r#"[{"id":"a","function":{"name":"f","arguments":{"x":1}}}]"#], &[r#"a f {"x":1}"#])]
#[case::nulls(&[r#"[{"index":0,"id":"a","type":null,"function":{"name":"f","arguments":null}}]"#,
    r#"[{"index":0,"id":null,"function":{"name":null,"arguments":"{}"}}]"#], &["a f {}"])]
fn tool_calls_in_all_their_pieces(#[case] pieces: &[&str], #[case] expected: &[&str]) {
    let mut events: Vec<String> =
        pieces.iter().map(|p| format!(r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":{p}}}}}]}}"#)).collect();
    events.push(r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#.into());
    let done = decode(&events.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let got: Vec<String> =
        calls(&done).into_iter().map(|(id, name, args)| format!("{} {name} {args}", id.unwrap_or("-"))).collect();
    assert_eq!(got, expected);
    assert_eq!(done.stop, StopReason::ToolUse);
}

#[rstest]
#[case("stop", StopReason::EndTurn)]
#[case("length", StopReason::MaxTokens)]
#[case("content_filter", StopReason::Refusal)]
#[case("weird", StopReason::Other("weird".into()))]
fn finish_reasons(#[case] reason: &str, #[case] expected: StopReason) {
    let event = format!(r#"{{"choices":[{{"delta":{{"content":"x"}},"finish_reason":"{reason}"}}]}}"#);
    assert_eq!(decode(&[&event]).unwrap().stop, expected);
}

#[test]
fn the_legacy_function_call() {
    let done = decode(&[
        r#"{"choices":[{"delta":{"function_call":{"name":"f","arguments":"{\"a\""}}}]}"#,
        r#"{"choices":[{"delta":{"function_call":{"arguments":":1}"}},"finish_reason":"function_call"}]}"#,
    ])
    .unwrap();
    assert_eq!(calls(&done), [(None, "f", r#"{"a":1}"#.into())]);
    assert_eq!(done.stop, StopReason::ToolUse);
}

#[test]
fn a_refusal_is_text_and_a_reason() {
    let done = decode(&[r#"{"choices":[{"delta":{"refusal":"I cannot."},"finish_reason":"stop"}]}"#]).unwrap();
    assert_eq!((done.message.text().as_str(), done.stop), ("I cannot.", StopReason::Refusal));
}

#[test]
fn an_end_without_a_reason_is_truncated_unless_the_server_says_done() {
    let text = r#"{"choices":[{"delta":{"content":"x"}}]}"#;
    assert_eq!(decode(&[text]).unwrap_err().kind, ProviderErrorKind::Truncated);
    assert_eq!(decode(&[text, "[DONE]"]).unwrap().stop, StopReason::EndTurn);
    assert_eq!(decode(&["[DONE]"]).unwrap_err().kind, ProviderErrorKind::Truncated);
}

#[rstest]
#[case(r#"{"error":{"message":"busy","code":503}}"#, ProviderErrorKind::Overloaded)]
#[case(r#"{"error":{"message":"too fast","type":"rate_limit_exceeded"}}"#, ProviderErrorKind::RateLimited)]
#[case(r#"{"error":"boom"}"#, ProviderErrorKind::Server)]
#[case(
    r#"{"choices":[{"delta":{},"finish_reason":"error","error":{"message":"gone","code":502}}]}"#,
    ProviderErrorKind::Server
)]
#[case("not json", ProviderErrorKind::Protocol)]
fn errors_within_the_stream(#[case] event: &str, #[case] kind: ProviderErrorKind) {
    let error = decode(&[r#"{"choices":[{"delta":{"content":"x"}}]}"#, event]).unwrap_err();
    assert_eq!(error.kind, kind, "{error}");
}

#[test]
fn a_whole_answer_and_one_that_is_none() {
    let body = json!({"id": "c", "model": "m", "usage": {"prompt_tokens": 3, "completion_tokens": 2}, "choices": [{
        "index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": "hm",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}}]});
    let done = decode_whole(Wire::OpenaiChat, &body).unwrap();
    assert_eq!((done.message.text().as_str(), done.stop.clone(), done.usage.input), ("hm", StopReason::ToolUse, 3));
    let error = decode_whole(Wire::OpenaiChat, &json!({"hello": 1})).unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::Protocol);
}

#[test]
fn what_hangs_on_a_call_goes_back_with_it() {
    let done = decode(&[
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","extra_content":{"google":{"thought_signature":"s"}},"function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}]}"#,
    ])
    .unwrap();
    let body = body(&request(vec![Message::user("x"), done.message]), &Dialect::default());
    assert_eq!(body["messages"][2]["tool_calls"][0]["extra_content"]["google"]["thought_signature"], "s");
    assert_eq!(body["messages"][2]["content"], Value::Null);
}
