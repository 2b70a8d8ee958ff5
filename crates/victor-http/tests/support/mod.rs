//! A door over a runtime whose model says what the test says, when the test says it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "each test file uses a part of it"
)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, BodyDataStream, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use futures::StreamExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tower::ServiceExt as _;
use victor_core::error::{ConfigurationError, ProviderError, ProviderErrorKind, VictorError};
use victor_core::memory::MemoryStore;
use victor_core::message::Block;
use victor_core::permission::{Mode, PermissionKey};
use victor_core::provider::{
    Chunk, ChunkStream, Features, Health, Model, ModelInfo, Provider, ProviderInfo, ProviderRegistry, Selector,
    StopReason,
};
use victor_core::request::{CallCx, Request as ModelRequest};
use victor_core::runtime::{Runtime, RuntimeBuilder};
use victor_core::testing::TestClock;
use victor_core::tool::{DynTool, Effects, Plan, ToolOutput, ToolSource, erase};
use victor_core::usage::Usage;
use victor_http::{Config, HttpDoor};

/// Pieces of one answer of the model, given while the test runs.
pub type Pen = mpsc::UnboundedSender<Result<Chunk, ProviderError>>;

/// A model whose answers the test writes.
#[derive(Default)]
pub struct Script {
    answers: Mutex<VecDeque<mpsc::UnboundedReceiver<Result<Chunk, ProviderError>>>>,
    pub seen: Mutex<Vec<ModelRequest>>,
}

impl Script {
    /// The next answer is written piece by piece; dropping the pen ends it.
    pub fn pen(&self) -> Pen {
        let (pen, answer) = mpsc::unbounded_channel();
        self.answers.lock().unwrap().push_back(answer);
        pen
    }

    /// The next answer is this text, whole.
    pub fn says(&self, text: &str) {
        let pen = self.pen();
        write(&pen, text);
        done(pen);
    }

    /// The next answer is a call of this tool.
    pub fn calls(&self, tool: &str, args: &Value) {
        let pen = self.pen();
        let call = Chunk::ToolCall { index: 0, id: Some("p".into()), name: tool.into() };
        pen.send(Ok(call)).unwrap();
        pen.send(Ok(Chunk::ToolArgs { index: 0, delta: args.to_string() })).unwrap();
        pen.send(Ok(Chunk::Stop(StopReason::ToolUse))).unwrap();
    }

    /// The next call of the model fails.
    pub fn fails(&self, kind: ProviderErrorKind) {
        self.pen().send(Err(ProviderError::new(kind, "scripted", "it went wrong"))).unwrap();
    }

    pub fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

pub fn write(pen: &Pen, text: &str) {
    pen.send(Ok(Chunk::Text { index: 0, delta: text.to_owned() })).unwrap();
}

pub fn done(pen: Pen) {
    pen.send(Ok(Chunk::Usage(Usage { input: 10, output: 2, ..Usage::default() }))).unwrap();
    pen.send(Ok(Chunk::Stop(StopReason::EndTurn))).unwrap();
}

#[async_trait]
impl Provider for Script {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn wire(&self) -> &'static str {
        "scripted"
    }

    async fn stream(&self, request: &ModelRequest, _: &CallCx) -> Result<ChunkStream, ProviderError> {
        self.seen.lock().unwrap().push(request.clone());
        let none = || ProviderError::new(ProviderErrorKind::InvalidRequest, "scripted", "the script has ended");
        let mut answer = self.answers.lock().unwrap().pop_front().ok_or_else(none)?;
        Ok(Box::pin(futures::stream::poll_fn(move |cx| answer.poll_recv(cx))))
    }

    async fn check(&self, _: &CallCx) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn list_models(&self, _: &CallCx) -> Result<Vec<ModelInfo>, ProviderError> {
        Ok(vec![info("scripted")])
    }
}

fn info(model: &str) -> ModelInfo {
    ModelInfo { id: model.into(), provider: "scripted".into(), context_window: Some(100_000), ..ModelInfo::default() }
}

/// One provider, `scripted`, with any model but `missing`; `bare` and `keyless` are providers without a key.
pub struct Registry(pub Arc<Script>);

#[async_trait]
impl ProviderRegistry for Registry {
    async fn resolve(&self, selector: &Selector) -> Result<Model, VictorError> {
        match selector.provider.as_deref() {
            None | Some("scripted") => {}
            Some("bare") => {
                let kind = ProviderErrorKind::NotConfigured;
                return Err(ProviderError::new(kind, "bare", "no key: set BARE_API_KEY").into());
            }
            Some("keyless") => {
                return Err(ConfigurationError::no_key(Some("keyless"), ["KEYLESS_API_KEY"], "no API key").into());
            }
            Some(other) => {
                let known = ["scripted", "bare"];
                return Err(ConfigurationError::unknown("provider", "PROVIDER_NOT_FOUND", other, known).into());
            }
        }
        let model = selector.model.as_deref().unwrap_or("scripted");
        if model == "missing" {
            return Err(ConfigurationError::unknown("model", "MODEL_NOT_FOUND", model, ["scripted"]).into());
        }
        Ok(Model { provider: Arc::clone(&self.0) as Arc<dyn Provider>, info: Arc::new(info(model)) })
    }

    async fn fallbacks(&self, _: &Model) -> Vec<Model> {
        Vec::new()
    }

    fn providers(&self) -> Vec<ProviderInfo> {
        vec![ProviderInfo {
            name: "scripted".into(),
            models: vec!["scripted".into()],
            configured: true,
            detail: "for tests".into(),
            features: Features::default(),
            health: Health::default(),
        }]
    }

    fn models(&self) -> Vec<ModelInfo> {
        vec![info("scripted")]
    }
}

/// A tool `strike` that needs a yes, and `look` that does not.
struct Tools;

#[async_trait]
impl ToolSource for Tools {
    fn name(&self) -> &'static str {
        "tests"
    }

    async fn tools(&self) -> Vec<Arc<dyn DynTool>> {
        vec![erase(Strike), erase(Look)]
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
pub struct At {
    /// What.
    pub at: String,
}

struct Strike;

impl victor_core::tool::Tool for Strike {
    const NAME: &'static str = "strike";
    type Args = At;

    fn description(&self) -> std::borrow::Cow<'static, str> {
        "Strikes.".into()
    }

    fn effects(&self) -> Effects {
        Effects::EXECUTE
    }

    async fn plan(&self, args: At, _: &victor_core::tool::ToolCx) -> Result<Plan, victor_core::error::ToolError> {
        let key = PermissionKey::Command { text: format!("strike {}", args.at) };
        Ok(Plan::new(Effects::EXECUTE, move |_, _| async move {
            match args.at.as_str() {
                "nothing" => Ok(ToolOutput::text("missed").failed()),
                at => Ok(ToolOutput::text(format!("struck {at}"))),
            }
        })
        .key(key))
    }
}

struct Look;

impl victor_core::tool::Tool for Look {
    const NAME: &'static str = "look";
    type Args = At;

    fn description(&self) -> std::borrow::Cow<'static, str> {
        "Looks.".into()
    }

    fn effects(&self) -> Effects {
        Effects::READ
    }

    async fn plan(&self, args: At, _: &victor_core::tool::ToolCx) -> Result<Plan, victor_core::error::ToolError> {
        Ok(Plan::new(Effects::READ, move |_, _| async move { Ok(ToolOutput::text(format!("saw {}", args.at))) }))
    }
}

/// A door, its model and its store.
pub struct Bench {
    pub script: Arc<Script>,
    pub store: MemoryStore,
    pub runtime: Runtime,
    pub door: HttpDoor,
    pub router: Router,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(Config::default(), |runtime| runtime)
    }

    pub fn with(config: Config, change: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder) -> Self {
        let (script, store) = (Arc::new(Script::default()), MemoryStore::default());
        let builder = Runtime::builder()
            .clock(TestClock::default())
            .providers(Arc::new(Registry(Arc::clone(&script))))
            .tools(Arc::new(Tools))
            .sessions(Arc::new(store.clone()));
        let runtime = change(builder).build().unwrap();
        let door = HttpDoor::new(runtime.clone(), config).unwrap();
        let router = door.router::<()>();
        Self { script, store, runtime, door, router }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer { status: parts.status, headers: parts.headers, body: body.into_data_stream() }
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(post(path, body)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Says something and gives the answer's body.
    pub async fn chat(&self, body: &Value) -> Value {
        let answer = self.post("/api/v1/chat", body).await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.json().await
    }
}

pub fn post(path: &str, body: &Value) -> Request<Body> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(Body::from(body.to_string())).unwrap()
}

/// What a request was answered.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: BodyDataStream,
}

impl Answer {
    pub async fn text(self) -> String {
        let bytes = to_bytes(Body::from_stream(self.body), usize::MAX).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    pub async fn json(self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// The status and the code of an error; the envelope is checked.
    pub async fn error(self) -> (u16, String, Value) {
        let status = self.status.as_u16();
        let id = self.headers["x-request-id"].to_str().unwrap().to_owned();
        let body = self.json().await;
        assert_eq!(body["success"], false, "{body}");
        assert_eq!(body["request_id"], id.as_str(), "{body}");
        assert!(body["error"].as_str().is_some_and(|e| !e.is_empty()) && body["details"].is_object(), "{body}");
        (status, body["error_code"].as_str().unwrap().to_owned(), body)
    }

    pub fn events(self) -> Events {
        assert_eq!(self.status, StatusCode::OK);
        assert_eq!(self.headers["content-type"], "text/event-stream");
        Events { body: self.body, rest: String::new() }
    }
}

/// A stream of events being read.
pub struct Events {
    body: BodyDataStream,
    rest: String,
}

/// One event: its id, its name, its data.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub id: u64,
    pub name: String,
    pub data: Value,
}

impl Events {
    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some((block, rest)) = self.rest.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.rest = rest;
                if block.starts_with(':') {
                    continue;
                }
                let field = |name: &str| {
                    let prefix = format!("{name}: ");
                    block.lines().find_map(|l| l.strip_prefix(&prefix)).unwrap_or_else(|| panic!("{block}")).to_owned()
                };
                let data: Value = serde_json::from_str(&field("data")).unwrap();
                assert_eq!(data["type"], field("event").as_str());
                return Some(Told { id: field("id").parse().unwrap(), name: field("event"), data });
            }
            let piece = self.body.next().await?.unwrap();
            self.rest.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// All events up to the end.
    pub async fn all(mut self) -> Vec<Told> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}

pub fn names(events: &[Told]) -> Vec<&str> {
    events.iter().map(|e| e.name.as_str()).collect()
}

/// The answer's text, put together from its pieces.
pub fn text(events: &[Told]) -> String {
    events.iter().filter(|e| e.name == "token").filter_map(|e| e.data["content"].as_str()).collect()
}

pub fn plan_mode(builder: RuntimeBuilder) -> RuntimeBuilder {
    builder.defaults(victor_core::agent::AgentSpec { mode: Some(Mode::Plan), ..Default::default() })
}

pub fn block(text: &str) -> Block {
    Block::text(text)
}
