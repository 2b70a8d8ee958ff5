use std::sync::Arc;

use candle_core::quantized::gguf_file;
use victor_core::id::CallId;
use victor_core::message::ToolCall;
use victor_core::request::Params;

use super::*;
use crate::gguf::Gguf;
use crate::pieces::{Pieces, Style};

/// The text of a request's prompt, with a template that refuses system prompts and turns that do not alternate.
fn written(request: &Request, style: Style) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pieces.gguf");
    let metadata = Pieces::new().metadata(style);
    let metadata: Vec<_> = metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
    gguf_file::write(&mut std::fs::File::create(&path).unwrap(), &metadata, &[]).unwrap();
    let file = Gguf::open(&path).unwrap();
    let tokenizer = Tokenizer::read(&file).unwrap();
    let prompt = prompt(request, &Template::read(&file).unwrap(), &tokenizer).unwrap();
    let bytes = prompt.tokens.iter().flat_map(|token| tokenizer.name(*token)).copied();
    String::from_utf8(bytes.collect()).unwrap()
}

fn request(system: &str, messages: Vec<Message>) -> Request {
    Request {
        model: "pieces".into(),
        system: system.into(),
        messages: Arc::new(messages.into_iter().map(Arc::new).collect()),
        tools: Vec::new().into(),
        tool_choice: ToolChoice::Auto,
        params: Params::default(),
        output_schema: None,
    }
}

#[test]
fn the_first_token_is_there_once() {
    let request = request("", vec![Message::user("hi")]);
    let expected = "<bos><start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\n";
    assert_eq!(written(&request, Style::Plain), expected);
    assert_eq!(
        written(&request, Style::Prefixed),
        expected.replace("user", " user").replace("\nhi", "\n hi").replace("model", " model"),
        "behind each token that is taken as a whole text begins anew, as in llama.cpp"
    );
}

#[test]
fn what_the_system_says_stands_before_the_first_words_where_a_template_knows_no_system() {
    let messages = vec![Message::user("hi"), Message::assistant("hello"), Message::user("and?")];
    assert_eq!(
        written(&request("Be brief.", messages), Style::Plain),
        "<bos><start_of_turn>user\nBe brief.\n\nhi<end_of_turn>\n<start_of_turn>model\nhello<end_of_turn>\n\
         <start_of_turn>user\nand?<end_of_turn>\n<start_of_turn>model\n"
    );
}

#[test]
fn results_of_several_tools_are_one_turn_where_turns_must_alternate() {
    let call = |n: u64| ToolCall {
        id: CallId::nth(n),
        provider_id: None,
        name: "read".to_owned(),
        arguments: json!({"path": n}),
        malformed: None,
    };
    let calls = Message { role: Role::Assistant, content: vec![Block::ToolCall(call(0)), Block::ToolCall(call(1))] };
    let results = [0, 1].map(|n| Block::ToolResult(ToolResult::error(&call(n), format!("none {n}<end_of_turn>"))));
    let results = Message { role: Role::Tool, content: results.into() };
    assert_eq!(
        written(&request("", vec![Message::user("go"), calls, results, Message::user("so?")]), Style::Plain),
        "<bos><start_of_turn>user\ngo<end_of_turn>\n<start_of_turn>model\n\
         <tool_call>\n{\"name\": \"read\", \"arguments\": {\"path\": 0}}\n</tool_call>\n\
         <tool_call>\n{\"name\": \"read\", \"arguments\": {\"path\": 1}}\n</tool_call><end_of_turn>\n\
         <start_of_turn>user\n<tool_response>\nnone 0<end_of_turn>\n</tool_response>\n\n\
         <tool_response>\nnone 1<end_of_turn>\n</tool_response>\n\nso?<end_of_turn>\n<start_of_turn>model\n"
    );
}
