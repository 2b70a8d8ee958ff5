//! Calls through registry, HTTP and decoder against the scripted server, on both wires.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic; clippy exempts only the test functions themselves"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rstest::rstest;
use secrecy::SecretString;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use victor_core::assemble::{Assembler, Completion};
use victor_core::error::{ConfigurationError, ProviderError, ProviderErrorKind};
use victor_core::message::Message;
use victor_core::provider::{Chunk, Model, ProviderRegistry, Selector, StopReason};
use victor_core::request::{CallCx, Params, Request, ToolChoice};
use victor_providers::{Credentials, ProviderSettings, Registry, RegistrySettings, Wire};
use victor_tests::{ModelServer, Reply};

struct NoCredentials;

impl Credentials for NoCredentials {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn stored_key(&self, _: &str) -> Result<Option<SecretString>, ConfigurationError> {
        Ok(None)
    }
}

async fn model(url: String, wire: Wire) -> Model {
    let provider = ProviderSettings {
        wire: Some(wire),
        base_url: Some(url),
        api_key: Some("sk-test-key".into()),
        headers: BTreeMap::from([("X-Team".into(), "blue".into())]),
        ..Default::default()
    };
    let settings = RegistrySettings { providers: BTreeMap::from([("mine".into(), provider)]), ..Default::default() };
    let registry = Registry::new(settings, Arc::new(NoCredentials)).unwrap();
    registry.resolve(&Selector::from("mine/test-model")).await.unwrap()
}

fn request() -> Request {
    Request {
        model: "test-model".into(),
        system: "Be brief.".into(),
        messages: Arc::new(vec![Arc::new(Message::user("hello"))]),
        tools: Arc::from([]),
        tool_choice: ToolChoice::Auto,
        params: Params::default(),
        output_schema: None,
    }
}

fn cx() -> CallCx {
    CallCx { cancel: CancellationToken::new(), idle_timeout: Duration::from_secs(20) }
}

async fn ask(model: &Model, cx: &CallCx) -> Result<Completion, ProviderError> {
    let mut chunks = model.provider.stream(&request(), cx).await?;
    let mut assembler = Assembler::new(model.provider.wire());
    while let Some(chunk) = chunks.next().await {
        assembler.push(chunk?);
    }
    Ok(assembler.finish(0).expect("a stop, or an error before it"))
}

#[rstest]
#[tokio::test]
async fn answers_arrive_whole_however_they_are_cut(
    #[values(Wire::OpenaiChat, Wire::Anthropic)] wire: Wire,
    #[values(1, 3, 100_000)] cut: usize,
) {
    let calls = [("read", json!({"path": "ä/🦀"})), ("ls", json!({}))];
    let reply = Reply::calls(calls).and_text("zwölf 🦀").thinking("hm").usage(120, 7).cut(cut);
    let server = ModelServer::options().key("sk-test-key").start([reply]);
    let model = model(server.base_url(), wire).await;
    let done = ask(&model, &cx()).await.unwrap();
    assert_eq!(done.message.text(), "zwölf 🦀");
    let calls: Vec<_> = done.message.tool_calls().map(|c| (c.name.as_str(), c.arguments.clone())).collect();
    assert_eq!(calls, [("read", json!({"path": "ä/🦀"})), ("ls", json!({}))]);
    assert_eq!((done.stop, done.usage.input, done.usage.output), (StopReason::ToolUse, 120, 7));
    let sent = &server.finish()[0];
    assert_eq!(sent.header("x-team"), Some("blue"));
    let health = model.provider.health();
    assert_eq!((health.requests, health.failures), (1, 0));
}

#[rstest]
#[tokio::test]
async fn a_base_url_works_with_and_without_its_version(#[values(Wire::OpenaiChat, Wire::Anthropic)] wire: Wire) {
    let server = ModelServer::start([Reply::text("a"), Reply::text("b")]);
    for url in [server.url(), server.base_url() + "/"] {
        ask(&model(url, wire).await, &cx()).await.unwrap();
    }
    assert!(server.finish().iter().all(|r| r.path.starts_with("/v1/")));
}

#[rstest]
#[tokio::test]
async fn failures_keep_their_kind_and_their_hint(#[values(Wire::OpenaiChat, Wire::Anthropic)] wire: Wire) {
    let body = r#"{"error": {"message": "slow down, sk-test-key"}}"#;
    let server = ModelServer::start([Reply::status(429, body).header("retry-after", "3").header("x-request-id", "r7")]);
    let model = model(server.base_url(), wire).await;
    let error = ask(&model, &cx()).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::RateLimited);
    assert_eq!(error.retry_after, Some(Duration::from_secs(3)));
    assert_eq!(error.request_id.as_deref(), Some("r7"));
    assert!(!error.message.contains("sk-test-key"), "{error}");
    assert_eq!(model.provider.health().failures, 1);
    let _ = server.finish();
}

#[tokio::test]
async fn an_error_within_the_answer_shows_no_key_and_counts_as_a_failure() {
    let text = "data: {\"error\":{\"message\":\"sk-test-key is over its limit\",\"code\":429}}\n\n";
    let server = ModelServer::start([Reply::sse(text)]);
    let model = model(server.base_url(), Wire::OpenaiChat).await;
    let error = ask(&model, &cx()).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::RateLimited);
    assert!(error.message.contains("*** is over its limit"), "{error}");
    assert_eq!(model.provider.health().failures, 1);
}

#[rstest]
#[tokio::test]
async fn a_wrong_key_is_answered_with_what_to_do(#[values(Wire::OpenaiChat, Wire::Anthropic)] wire: Wire) {
    let server = ModelServer::options().key("another").start([]);
    let error = ask(&model(server.base_url(), wire).await, &cx()).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::Authentication);
    assert!(error.message.contains("victor keys set mine"), "{error}");
}

#[rstest]
#[tokio::test]
async fn a_connection_that_breaks_is_an_error(
    #[values(Wire::OpenaiChat, Wire::Anthropic)] wire: Wire,
    #[values(0, 250)] after: usize,
) {
    let server = ModelServer::start([Reply::text("a rather long answer").close_after(after)]);
    let error = ask(&model(server.base_url(), wire).await, &cx()).await.unwrap_err();
    assert!(matches!(error.kind, ProviderErrorKind::Connection | ProviderErrorKind::Truncated), "{error}");
}

#[rstest]
#[tokio::test]
async fn silence_ends_after_the_idle_timeout(#[values(0, 300)] after: usize) {
    let server = ModelServer::start([Reply::text("a rather long answer").stall_after(after)]);
    let model = model(server.base_url(), Wire::OpenaiChat).await;
    let cx = CallCx { idle_timeout: Duration::from_millis(200), ..cx() };
    let error = ask(&model, &cx).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::Timeout);
    tokio::task::spawn_blocking(move || server.wait_gone(1)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_stalls_after_a_whole_answer_does_no_harm() {
    let text = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\n";
    let server = ModelServer::start([Reply::sse(format!("{text}data: never")).stall_after(text.len())]);
    let done = ask(&model(server.base_url(), Wire::OpenaiChat).await, &cx()).await.unwrap();
    assert_eq!((done.message.text().as_str(), done.stop), ("hi", StopReason::EndTurn));
}

#[tokio::test]
async fn cancelling_ends_a_call_at_once_and_the_server_knows() {
    let server = ModelServer::start([Reply::text("x").hold()]);
    let model = model(server.base_url(), Wire::OpenaiChat).await;
    let cx = cx();
    let cancel = cx.cancel.clone();
    let server = Arc::new(server);
    let waiting = Arc::clone(&server);
    let thread = std::thread::spawn(move || {
        waiting.wait_for(1);
        cancel.cancel();
    });
    assert!(ask(&model, &cx).await.is_err());
    thread.join().unwrap();
    tokio::task::spawn_blocking(move || server.wait_gone(1)).await.unwrap();
}

#[tokio::test]
async fn dropping_the_stream_ends_the_request() {
    let server = ModelServer::start([Reply::text("a rather long answer").stall_after(300)]);
    let model = model(server.base_url(), Wire::OpenaiChat).await;
    let mut chunks = model.provider.stream(&request(), &cx()).await.unwrap();
    chunks.next().await.unwrap().unwrap();
    drop(chunks);
    tokio::task::spawn_blocking(move || server.wait_gone(1)).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn servers_that_do_not_stream_are_understood(#[values(Wire::OpenaiChat, Wire::Anthropic)] wire: Wire) {
    let whole = match wire {
        Wire::OpenaiChat => json!({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}),
        Wire::Anthropic => {
            json!({"type": "message", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"})
        }
    };
    let server = ModelServer::start([Reply::status(200, whole.to_string())]);
    let done = ask(&model(server.base_url(), wire).await, &cx()).await.unwrap();
    assert_eq!(done.message.text(), "hi");
}

#[rstest]
#[case::web_page("text/html", "<html><title>Login</title></html>")]
#[case::garbage("text/event-stream", "data: {oops\n\n")]
#[case::binary("text/event-stream", "data: \u{0}\n\n")]
#[tokio::test]
async fn garbage_is_a_clear_error(#[case] content_type: &str, #[case] body: &str) {
    let server = ModelServer::start([Reply::raw(content_type, body)]);
    let error = ask(&model(server.base_url(), Wire::OpenaiChat).await, &cx()).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::Protocol, "{error}");
}

#[tokio::test]
async fn an_unreachable_server_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = ask(&model(url.clone(), Wire::OpenaiChat).await, &cx()).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::Connection);
    assert!(error.message.contains(&url), "{error}");
}

#[rstest]
#[tokio::test]
async fn checks_and_lists_ask_the_server(#[values(Wire::OpenaiChat, Wire::Anthropic)] wire: Wire) {
    let server = ModelServer::options().key("sk-test-key").start([]);
    let good = model(server.base_url(), wire).await;
    good.provider.check(&cx()).await.unwrap();
    let listed = good.provider.list_models(&cx()).await.unwrap();
    assert_eq!(listed.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["test-model"]);
    let closed = ModelServer::options().key("another").start([]);
    let error = model(closed.base_url(), wire).await.provider.check(&cx()).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::Authentication);
}

#[tokio::test]
async fn an_unknown_model_is_answered_with_the_nearest() {
    let body = r#"{"error": {"message": "The model does not exist", "code": "model_not_found"}}"#;
    let server = ModelServer::start([Reply::status(404, body)]);
    let openai = ProviderSettings { base_url: Some(server.base_url()), ..Default::default() };
    let settings = RegistrySettings { providers: BTreeMap::from([("openai".into(), openai)]), ..Default::default() };
    let registry = Registry::new(settings, Arc::new(NoCredentials)).unwrap();
    let model = registry.resolve(&Selector::from("openai/gpt-4o-mimi")).await.unwrap();
    let mut request = request();
    request.model = "gpt-4o-mimi".into();
    let error = model.provider.stream(&request, &cx()).await.err().unwrap();
    assert_eq!(error.kind, ProviderErrorKind::NotFound);
    assert!(error.message.contains("did you mean `gpt-4o-mini`"), "{error}");
}

#[tokio::test]
async fn a_moved_openai_address_gets_the_older_length_field() {
    let server = ModelServer::start([Reply::text("a"), Reply::text("b")]);
    let openai = ProviderSettings { base_url: Some(server.base_url()), ..Default::default() };
    let settings = RegistrySettings { providers: BTreeMap::from([("openai".into(), openai)]), ..Default::default() };
    let registry = Registry::new(settings, Arc::new(NoCredentials)).unwrap();
    for id in ["local-model", "gpt-5"] {
        let model = registry.resolve(&Selector::from(format!("openai/{id}").as_str())).await.unwrap();
        let mut request = request();
        request.model = id.into();
        request.params.max_tokens = Some(5);
        let _: Vec<_> = model.provider.stream(&request, &cx()).await.unwrap().collect().await;
    }
    let sent = server.finish();
    assert_eq!((&sent[0].json["max_tokens"], &sent[1].json["max_completion_tokens"]), (&json!(5), &json!(5)));
}

#[tokio::test]
async fn the_stop_is_the_last_chunk_and_text_flows_before_the_end() {
    let server = ModelServer::start([Reply::text("hello there")]);
    let model = model(server.base_url(), Wire::Anthropic).await;
    let chunks: Vec<_> = model.provider.stream(&request(), &cx()).await.unwrap().collect().await;
    assert!(matches!(chunks.last(), Some(Ok(Chunk::Stop(StopReason::EndTurn)))));
    assert!(chunks.iter().filter(|c| matches!(c, Ok(Chunk::Text { .. }))).count() > 1);
}
