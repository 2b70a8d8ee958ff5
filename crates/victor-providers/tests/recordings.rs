//! Recorded answers of real providers, sent through the real HTTP path and compared with what an independent reader
//! finds in them. Runs where `VICTOR_RECORDINGS` names a folder of recordings (YAML, `when` and `then`).
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic; clippy exempts only the test functions themselves"
)]

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use victor_core::assemble::Assembler;
use victor_core::error::{ConfigurationError, ProviderError, ProviderErrorKind};
use victor_core::message::Message;
use victor_core::provider::{Model, ProviderRegistry, Selector, StopReason};
use victor_core::request::{CallCx, Params, Request, ToolChoice};
use victor_providers::{Credentials, ProviderSettings, Registry, RegistrySettings, Wire};
use victor_tests::{ModelServer, Reply};

#[derive(Deserialize)]
struct Recording {
    when: When,
    then: Then,
}

#[derive(Deserialize)]
struct When {
    path: String,
}

#[derive(Deserialize)]
struct Then {
    status: u16,
    #[serde(default)]
    header: Vec<Header>,
    #[serde(default)]
    body: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

/// What an answer says, by either reader.
#[derive(Clone, Debug, Default, PartialEq)]
struct Said {
    text: String,
    /// Id, name and arguments.
    calls: Vec<(String, String, Value)>,
    /// Prompt, answer, cache read, cache write.
    usage: [u64; 4],
    stop: String,
    error: Option<(u16, ProviderErrorKind)>,
}

struct NoCredentials;

impl Credentials for NoCredentials {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn stored_key(&self, _: &str) -> Result<Option<SecretString>, ConfigurationError> {
        Ok(None)
    }
}

#[tokio::test]
async fn recorded_answers_mean_what_they_say() {
    #[expect(clippy::disallowed_methods, reason = "the folder is an input of this test")]
    let folder = std::env::var("VICTOR_RECORDINGS");
    let Ok(folder) = folder else {
        println!("skipped: VICTOR_RECORDINGS names no folder of recordings");
        return;
    };
    let next: Arc<Mutex<VecDeque<Reply>>> = Arc::default();
    let queue = Arc::clone(&next);
    let server = ModelServer::start_with(move |_| queue.lock().unwrap().pop_front().unwrap());
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    let mut differences = Vec::new();
    for file in files(Path::new(&folder)) {
        let text = std::fs::read_to_string(&file).unwrap();
        let recordings: Vec<Recording> = match serde_saphyr::from_multiple(&text) {
            Ok(recordings) => recordings,
            Err(e) => {
                differences.push(format!("{}: not a recording: {e}", file.display()));
                continue;
            }
        };
        for (i, recording) in recordings.iter().enumerate() {
            let wire = match recording.when.path.trim_start_matches("/api") {
                "/v1/chat/completions" => Wire::OpenaiChat,
                "/v1/messages" => Wire::Anthropic,
                _ => {
                    *tally.entry("other API").or_default() += 1;
                    continue;
                }
            };
            let expected = read(wire, &recording.then);
            let mut agrees = true;
            for cut in [1, 7, 64 * 1024] {
                next.lock().unwrap().push_back(reply(&recording.then, cut));
                let got = call(&server, wire).await;
                if got != expected {
                    agrees = false;
                    let place = format!("{} #{i} cut {cut}", file.strip_prefix(&folder).unwrap().display());
                    differences.push(format!("{place}\n  expected {expected:?}\n  got      {got:?}"));
                    break;
                }
            }
            *tally.entry(if agrees { "agree" } else { "differ" }).or_default() += 1;
        }
    }
    println!("{tally:?}");
    assert!(tally.contains_key("agree"), "no recordings in {folder}");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|e| e == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn reply(then: &Then, cut: usize) -> Reply {
    let content_type = then.header.iter().find(|h| h.name == "content-type").map_or("", |h| h.value.as_str());
    let body = then.body.clone().unwrap_or_default();
    let reply = if then.status == 200 { Reply::raw(content_type, body) } else { Reply::status(then.status, body) };
    reply.cut(cut)
}

async fn call(server: &ModelServer, wire: Wire) -> Said {
    let provider = ProviderSettings { wire: Some(wire), base_url: Some(server.base_url()), ..Default::default() };
    let settings =
        RegistrySettings { providers: BTreeMap::from([("recorded".into(), provider)]), ..Default::default() };
    let registry = Registry::new(settings, Arc::new(NoCredentials)).unwrap();
    let model = registry.resolve(&Selector::from("recorded/any")).await.unwrap();
    match fold(&model).await {
        Ok(said) => said,
        Err(e) => Said { error: Some((e.status.unwrap_or(0), e.kind)), ..Said::default() },
    }
}

async fn fold(model: &Model) -> Result<Said, ProviderError> {
    let request = Request {
        model: "any".into(),
        system: "".into(),
        messages: Arc::new(vec![Arc::new(Message::user("hello"))]),
        tools: Arc::from([]),
        tool_choice: ToolChoice::Auto,
        params: Params::default(),
        output_schema: None,
    };
    let cx = CallCx { cancel: CancellationToken::new(), idle_timeout: Duration::from_secs(30) };
    let mut chunks = model.provider.stream(&request, &cx).await?;
    let mut assembler = Assembler::new(model.provider.wire());
    while let Some(chunk) = chunks.next().await {
        assembler.push(chunk?);
    }
    let whole = assembler.finish(0).expect("a stream without an error has a stop");
    let calls = whole.message.tool_calls().map(|c| {
        let arguments = c.malformed.clone().map_or_else(|| c.arguments.clone(), Value::String);
        (c.provider_id.clone().unwrap_or_default(), c.name.clone(), arguments)
    });
    Ok(Said {
        text: whole.message.text(),
        calls: calls.collect(),
        usage: [whole.usage.input, whole.usage.output, whole.usage.cache_read, whole.usage.cache_write],
        stop: match whole.stop {
            StopReason::Other(reason) => reason,
            known => serde_json::to_value(&known).unwrap().as_str().unwrap().to_owned(),
        },
        error: None,
    })
}

/// The independent reader.
fn read(wire: Wire, then: &Then) -> Said {
    let body = then.body.as_deref().unwrap_or_default();
    if then.status != 200 {
        return Said { error: Some((then.status, error_kind(then.status, body))), ..Said::default() };
    }
    let events: Vec<Value> = match serde_json::from_str::<Value>(body) {
        Ok(whole) => vec![whole],
        Err(_) => body
            .lines()
            .filter_map(|l| l.strip_prefix("data:"))
            .filter(|d| d.trim() != "[DONE]")
            .map(|d| serde_json::from_str(d).unwrap())
            .collect(),
    };
    match wire {
        Wire::OpenaiChat => openai(&events),
        Wire::Anthropic => anthropic(&events),
    }
}

fn error_kind(status: u16, body: &str) -> ProviderErrorKind {
    match status {
        401 => ProviderErrorKind::Authentication,
        404 => ProviderErrorKind::NotFound,
        429 if body.contains("insufficient_quota") => ProviderErrorKind::QuotaExceeded,
        429 => ProviderErrorKind::RateLimited,
        400 if body.contains("context_length_exceeded") || body.contains("prompt is too long") => {
            ProviderErrorKind::ContextLength
        }
        529 => ProviderErrorKind::Overloaded,
        500.. => ProviderErrorKind::Server,
        _ => ProviderErrorKind::InvalidRequest,
    }
}

fn arguments(text: &str) -> Value {
    if text.is_empty() { serde_json::json!({}) } else { serde_json::from_str(text).unwrap_or_else(|_| text.into()) }
}

fn openai(events: &[Value]) -> Said {
    let mut said = Said::default();
    let mut calls: BTreeMap<u64, (String, String, String)> = BTreeMap::new();
    let mut finish = String::new();
    let mut refused = false;
    for event in events {
        for choice in event["choices"].as_array().unwrap().iter().filter(|c| c["index"] == 0) {
            let delta = if choice["delta"].is_object() { &choice["delta"] } else { &choice["message"] };
            said.text += delta["content"].as_str().unwrap_or_default();
            let refusal = delta["refusal"].as_str().unwrap_or_default();
            refused |= !refusal.is_empty();
            said.text += refusal;
            for (i, call) in delta["tool_calls"].as_array().into_iter().flatten().enumerate() {
                let entry = calls.entry(call["index"].as_u64().unwrap_or(i as u64)).or_default();
                entry.0 += call["id"].as_str().unwrap_or_default();
                entry.1 += call["function"]["name"].as_str().unwrap_or_default();
                entry.2 += call["function"]["arguments"].as_str().unwrap_or_default();
            }
            finish += choice["finish_reason"].as_str().unwrap_or_default();
        }
        if event["usage"].is_object() {
            let number = |p: &str| event["usage"].pointer(p).and_then(Value::as_u64).unwrap_or(0);
            said.usage = [
                number("/prompt_tokens"),
                number("/completion_tokens"),
                number("/prompt_tokens_details/cached_tokens"),
                0,
            ];
        }
    }
    said.calls = calls.into_values().map(|(id, name, args)| (id, name, arguments(&args))).collect();
    said.stop = match finish.as_str() {
        // The API ends a refusal with `stop` too; what it means is a refusal.
        "stop" if refused => "refusal".into(),
        "stop" if said.calls.is_empty() => "end_turn".into(),
        "stop" | "tool_calls" => "tool_use".into(),
        "length" => "max_tokens".into(),
        "content_filter" => "refusal".into(),
        other => other.to_owned(),
    };
    said
}

fn anthropic(events: &[Value]) -> Said {
    let mut said = Said::default();
    let mut calls: BTreeMap<u64, (String, String, String)> = BTreeMap::new();
    let mut usage = [0; 4];
    let mut note = |u: &Value| {
        let fields = ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];
        for (slot, field) in usage.iter_mut().zip(fields) {
            *slot = u[field].as_u64().unwrap_or(*slot);
        }
    };
    for event in events {
        match event["type"].as_str().unwrap() {
            "message" => {
                for (i, block) in event["content"].as_array().unwrap().iter().enumerate() {
                    said.text += block["text"].as_str().unwrap_or_default();
                    if block["type"] == "tool_use" {
                        let text = |key: &str| block[key].as_str().unwrap().to_owned();
                        calls.insert(i as u64, (text("id"), text("name"), block["input"].to_string()));
                    }
                }
                note(&event["usage"]);
                said.stop = event["stop_reason"].as_str().unwrap().into();
            }
            "message_start" => note(&event["message"]["usage"]),
            "content_block_start" => {
                let block = &event["content_block"];
                said.text += block["text"].as_str().unwrap_or_default();
                if block["type"] == "tool_use" {
                    let text = |key: &str| block[key].as_str().unwrap().to_owned();
                    calls.insert(event["index"].as_u64().unwrap(), (text("id"), text("name"), String::new()));
                }
            }
            "content_block_delta" => {
                said.text += event["delta"]["text"].as_str().unwrap_or_default();
                if let Some(call) = calls.get_mut(&event["index"].as_u64().unwrap()) {
                    call.2 += event["delta"]["partial_json"].as_str().unwrap_or_default();
                }
            }
            "message_delta" => {
                note(&event["usage"]);
                said.stop = event["delta"]["stop_reason"].as_str().unwrap_or_default().into();
            }
            _ => {}
        }
    }
    said.calls = calls.into_values().map(|(id, name, args)| (id, name, arguments(&args))).collect();
    said.usage = [usage[0] + usage[2] + usage[3], usage[1], usage[2], usage[3]];
    said
}
