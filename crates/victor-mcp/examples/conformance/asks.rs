//! Fixtures of the newer form: what they ask is an answer, and the client calls again.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use rmcp::ErrorData;
use rmcp::model::{
    CallToolResponse, ClientCapabilities, GetPromptResponse, GetPromptResult, InputRequest, InputRequiredResult,
    JsonObject, PromptMessage, Role,
};
use serde_json::{Value, json};
use victor_mcp::server::{Call, Card, OwnPrompt, OwnTool, Retry};

use crate::talks::{card, said};

const NAMES: [&str; 10] = [
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_tampered_state",
    "test_input_required_result_capabilities",
    "test_missing_capability",
    "test_streaming_elicitation",
];

pub(crate) fn tools() -> Vec<Arc<dyn OwnTool>> {
    NAMES.map(|name| Arc::new(Ask(card(name, &json!({})))) as Arc<dyn OwnTool>).into()
}

struct Ask(Card);

#[async_trait]
impl OwnTool for Ask {
    fn card(&self) -> &Card {
        &self.0
    }

    async fn call(&self, call: &Call<'_>, _: JsonObject, retry: Retry) -> Result<CallToolResponse, ErrorData> {
        let kind = self.0.name().strip_prefix("test_input_required_result_").unwrap_or(self.0.name());
        match kind {
            "elicitation" | "test_streaming_elicitation" => {
                Ok(one(&retry, "user_name", name_form("What is your name?")))
            }
            "sampling" => Ok(one(&retry, "capital_question", sampling("What is the capital of France?", 100))),
            "list_roots" => Ok(one(&retry, "client_roots", roots())),
            "request_state" | "tampered_state" => confirmed(call, &retry),
            "multiple_inputs" => several(call, &retry),
            "multi_round" => rounds(call, &retry),
            "capabilities" => Ok(declared(call)),
            _ => needs_sampling(call),
        }
    }
}

/// One question; asked again until its answer is there.
fn one(retry: &Retry, key: &str, question: Value) -> CallToolResponse {
    match retry.responses.get(key).filter(|answer| is_answer(answer)) {
        None => ask([(key, question)], None).into(),
        Some(answer) => {
            let name = answer.pointer("/content/name").and_then(Value::as_str);
            said(&name.map_or_else(|| format!("Answered: {answer}"), |name| format!("Hello, {name}!"))).into()
        }
    }
}

fn is_answer(answer: &Value) -> bool {
    ["action", "content", "roots"].iter().any(|field| answer.get(field).is_some())
}

fn confirmed(call: &Call<'_>, retry: &Retry) -> Result<CallToolResponse, ErrorData> {
    let Some(sealed) = &retry.state else {
        let schema = json!({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]});
        return Ok(ask([("confirm", form("Please confirm", schema))], Some(call.seal(&json!("confirm")))).into());
    };
    call.open(sealed)?;
    Ok(said("state-ok").into())
}

fn several(call: &Call<'_>, retry: &Retry) -> Result<CallToolResponse, ErrorData> {
    if let Some(sealed) = &retry.state {
        call.open(sealed)?;
    }
    if ["user_name", "greeting", "client_roots"].iter().all(|key| retry.responses.contains_key(*key)) {
        return Ok(said("All answers are there").into());
    }
    let questions = [
        ("user_name", name_form("What is your name?")),
        ("greeting", sampling("Generate a greeting", 50)),
        ("client_roots", roots()),
    ];
    Ok(ask(questions, Some(call.seal(&json!("several")))).into())
}

fn rounds(call: &Call<'_>, retry: &Retry) -> Result<CallToolResponse, ErrorData> {
    let round = match &retry.state {
        Some(sealed) => call.open(sealed)?.as_u64().unwrap_or(0),
        None => 0,
    };
    let color = json!({"type": "object", "properties": {"color": {"type": "string"}}, "required": ["color"]});
    Ok(match (round, retry.responses.contains_key("step1"), retry.responses.contains_key("step2")) {
        (1, true, _) => {
            let question = form("Step 2: What is your favorite color?", color);
            ask([("step2", question)], Some(call.seal(&json!(2)))).into()
        }
        (2, _, true) => said("Both steps are done").into(),
        _ => ask([("step1", name_form("Step 1: What is your name?"))], Some(call.seal(&json!(1)))).into(),
    })
}

fn declared(call: &Call<'_>) -> CallToolResponse {
    let can = call.context().client_capabilities().unwrap_or_default();
    let mut questions = Vec::new();
    if can.elicitation.is_some() {
        questions.push(("user_name", name_form("What is your name?")));
    }
    if can.sampling.is_some() {
        questions.push(("greeting", sampling("Generate a greeting", 50)));
    }
    if questions.is_empty() { said("Nothing can be asked").into() } else { ask(questions, None).into() }
}

fn needs_sampling(call: &Call<'_>) -> Result<CallToolResponse, ErrorData> {
    if call.context().client_capabilities().unwrap_or_default().sampling.is_some() {
        return Ok(said("The capability is there").into());
    }
    let needed = ClientCapabilities::builder().enable_sampling().build();
    Err(ErrorData::missing_required_client_capability(needed))
}

fn ask<'a>(questions: impl IntoIterator<Item = (&'a str, Value)>, state: Option<String>) -> InputRequiredResult {
    let read = |q: Value| serde_json::from_value::<InputRequest>(q).expect("the fixture's question is one");
    let questions: BTreeMap<_, _> = questions.into_iter().map(|(key, q)| (key.to_owned(), read(q))).collect();
    InputRequiredResult::new(Some(questions), state)
}

fn form(message: &str, schema: Value) -> Value {
    json!({"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}})
}

fn name_form(message: &str) -> Value {
    form(message, json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}))
}

fn sampling(text: &str, tokens: u32) -> Value {
    let message = json!({"role": "user", "content": {"type": "text", "text": text}});
    json!({"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": tokens}})
}

fn roots() -> Value {
    json!({"method": "roots/list", "params": {}})
}

/// A prompt that asks before it answers.
pub(crate) struct Prompt;

#[async_trait]
impl OwnPrompt for Prompt {
    fn name(&self) -> &'static str {
        "test_input_required_result_prompt"
    }

    async fn get(&self, _: &Call<'_>, retry: Retry) -> Result<GetPromptResponse, ErrorData> {
        if let Some(answer) = retry.responses.get("user_context") {
            let message = PromptMessage::new_text(Role::User, format!("Use this context: {answer}"));
            return Ok(GetPromptResult::new(vec![message]).into());
        }
        let schema = json!({"type": "object", "properties": {"context": {"type": "string"}}, "required": ["context"]});
        Ok(ask([("user_context", form("What context should the prompt use?", schema))], None).into())
    }
}
