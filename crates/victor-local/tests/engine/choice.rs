//! Which tool the real model chooses: under the rules every call is well-formed; how many are right is told, and only
//! that it does not get much worse is held.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use victor_core::request::{Request, ToolChoice};
use victor_core::tool::ToolSpec;
use victor_local::{EngineKind, Sampling, Tuning};

use crate::ask::{Local, question, tool};
use crate::real;

/// A task, the right tool, and what its arguments must hold.
const TASKS: [(&str, &str, &str); 20] = [
    ("What is the weather in Paris?", "get_weather", "paris"),
    ("Will it rain in Tokyo tomorrow?", "get_weather", "tokyo"),
    ("How warm is it in Cairo right now?", "get_weather", "cairo"),
    ("Send an email to anna@example.org about the meeting.", "send_email", "anna@example.org"),
    ("Write an email to bob@example.org that I will be late.", "send_email", "bob@example.org"),
    ("Mail the report to carol@example.org.", "send_email", "carol@example.org"),
    ("Set a timer for 10 minutes.", "set_timer", "10"),
    ("Remind me in 25 minutes.", "set_timer", "25"),
    ("Start a timer of 3 minutes for the eggs.", "set_timer", "3"),
    ("Search the web for the history of chess.", "search_web", "chess"),
    ("Look up who invented the telephone on the internet.", "search_web", "telephone"),
    ("Find pages about solar energy on the web.", "search_web", "solar"),
    ("Calculate 12 * 7.", "calculate", "12"),
    ("What is 144 divided by 12?", "calculate", "144"),
    ("Add 58 and 67.", "calculate", "58"),
    ("Translate 'good morning' into French.", "translate", "french"),
    ("How do you say 'thank you' in Spanish?", "translate", "spanish"),
    ("Translate 'the house is red' to German.", "translate", "german"),
    ("Make a note with the title Groceries.", "create_note", "groceries"),
    ("Write down a note called Ideas.", "create_note", "ideas"),
];

fn tools() -> Vec<Arc<ToolSpec>> {
    let of = |properties: Value| {
        let required: Vec<_> = properties.as_object().unwrap().keys().cloned().collect();
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    };
    let text = |length: u32| json!({"type": "string", "maxLength": length});
    vec![
        tool("calculate", "Calculates an arithmetic expression.", of(json!({"expression": text(40)}))),
        tool("create_note", "Writes a note with a title.", of(json!({"title": text(40)}))),
        tool("get_weather", "Tells the weather of a city.", of(json!({"city": text(30)}))),
        tool("search_web", "Searches the web.", of(json!({"query": text(60)}))),
        tool("send_email", "Sends an email.", of(json!({"to": text(40), "subject": text(60)}))),
        tool("set_timer", "Sets a timer.", of(json!({"minutes": {"type": "integer", "minimum": 1, "maximum": 600}}))),
        tool("translate", "Translates a text.", of(json!({"text": text(60), "language": text(20)}))),
    ]
}

#[tokio::test]
async fn twenty_tasks_with_seven_tools_give_twenty_valid_calls() {
    let Some(model) = real::model(|from, to| victor_local::requantise(from, to, &CancellationToken::new()).unwrap())
    else {
        return;
    };
    let local = Local::file(&model, Some(Sampling::default()), Tuning::default());
    let (mut right, mut fitting) = (0, 0);
    for (task, name, held) in TASKS {
        let request = Request { tools: tools().into(), tool_choice: ToolChoice::Required, ..question(task, 200) };
        let answer = local.ask(&request).await.unwrap();
        let call = answer.message.tool_calls().next().expect("a call");
        let spec = tools().into_iter().find(|t| t.name == call.name).expect("a known tool");
        spec.validate(&call.arguments).unwrap();
        let is_right = call.name == name;
        right += u32::from(is_right);
        fitting += u32::from(is_right && call.arguments.to_string().to_lowercase().contains(held));
        println!("{task} -> {} {}", call.name, call.arguments);
    }
    println!("valid 20 of 20, right tool {right}, right arguments {fitting}");
    assert!(right >= 9, "the right tool only {right} times");
}

/// The first 16 tokens, as `xllamacpp` 2026.10 says them with the same file. Left out were two of seven prompts, at which
/// two tokens are about as likely (0.01 and 0.08 apart), so that roundings decide.
#[tokio::test]
async fn the_real_model_says_what_llama_cpp_says() {
    let Some(model) = real::model(|from, to| victor_local::requantise(from, to, &CancellationToken::new()).unwrap())
    else {
        return;
    };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine/smollm2.json");
    let cases: Vec<(String, String)> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    // llama.cpp itself rounds otherwise when it is built otherwise.
    let tuning = Tuning { engine: Some(EngineKind::BuiltIn), temperature: Some(0.0), ..Tuning::default() };
    let local = Local::file(&model, Some(Sampling::default()), tuning);
    let mut wrong = Vec::new();
    for (prompt, expected) in cases {
        let answer = local.ask(&question(&prompt, 16)).await.unwrap().message.text();
        if answer != expected.trim_start() {
            wrong.push(format!("{prompt}\n  {answer}\n  {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
