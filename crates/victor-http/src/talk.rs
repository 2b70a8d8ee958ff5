//! From a request to a run: what it says is checked, narrowed to what the server allows, and handed to core.

use std::sync::Arc;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use victor_core::agent::{Agent, AgentSpec, Chat};
use victor_core::id::SessionId;
use victor_core::message::{Block, Input, Media, MediaSource};
use victor_core::permission::Mode;
use victor_core::provider::Selector;
use victor_core::request::{OutputSchema, Params};
use victor_core::usage::{Budget, NanoUsd};

use crate::approvals::AskClient;
use crate::caller::Caller;
use crate::door::Door;
use crate::error::ApiError;
use crate::runs::{Asks, Detach, Holds, Live, Work};
use crate::turns::Patience;

/// Bytes of an attached text at most.
const TEXT_LIMIT: usize = 512 << 10;

/// What is said to an agent, and how it is to be answered. What is left out follows the server's configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChatRequest {
    /// What the user says.
    #[schemars(length(min = 1))]
    pub(crate) message: String,
    /// The provider, for this message.
    #[serde(default)]
    pub(crate) provider: Option<String>,
    /// The model, for this message.
    #[serde(default)]
    pub(crate) model: Option<String>,
    /// A profile of the server, for this message.
    #[serde(default)]
    pub(crate) profile: Option<String>,
    /// Sampling temperature.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub(crate) temperature: Option<f64>,
    /// Tokens of one answer of the model at most.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub(crate) max_tokens: Option<u32>,
    /// The conversation to go on with; a new one if left out.
    #[serde(default)]
    pub(crate) conversation_id: Option<String>,
    /// Further instructions, for this message.
    #[serde(default)]
    pub(crate) system: Option<String>,
    /// The tools that may be used, by name or glob; they can only be fewer than the server allows.
    #[serde(default)]
    pub(crate) tools: Option<Vec<String>>,
    /// What the agent may do; it can only be less than the server allows.
    #[serde(default)]
    pub(crate) mode: Option<Mode>,
    /// The JSON Schema that the final answer has to fit.
    #[serde(default)]
    #[schemars(extend("type" = ["object", "null"]))]
    pub(crate) output_schema: Option<Value>,
    /// Images and texts for the agent to see.
    #[serde(default)]
    pub(crate) attachments: Vec<Attachment>,
    /// Calls of the model at most.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub(crate) max_turns: Option<u32>,
    /// US dollars at most; needs a model whose price is known.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub(crate) max_cost: Option<f64>,
    /// Whether the conversation is kept; `true` unless said otherwise.
    #[serde(default)]
    pub(crate) store: Option<bool>,
    /// Who is asked about calls that need a yes; without it they are denied.
    #[serde(default)]
    pub(crate) approvals: Option<Approving>,
}

impl ChatRequest {
    /// A message and nothing else.
    pub(crate) fn say(message: String) -> Self {
        Self {
            message,
            provider: None,
            model: None,
            profile: None,
            temperature: None,
            max_tokens: None,
            conversation_id: None,
            system: None,
            tools: None,
            mode: None,
            output_schema: None,
            attachments: Vec::new(),
            max_turns: None,
            max_cost: None,
            store: None,
            approvals: None,
        }
    }
}

/// Who is asked about calls that need a yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Approving {
    /// The client: an `approval` event, answered by `POST /approvals/{id}`.
    Ask,
}

/// Something for the agent to see.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attachment {
    /// What it is.
    #[serde(rename = "type")]
    kind: AttachmentKind,
    /// Its media type.
    media_type: String,
    /// Its bytes in base64.
    #[serde(default)]
    data: Option<String>,
    /// Where the model's provider finds it; images only.
    #[serde(default)]
    url: Option<String>,
    /// Its name.
    #[serde(default)]
    name: Option<String>,
}

/// What an attachment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum AttachmentKind {
    /// PNG, JPEG, GIF or WebP, for models that see.
    Image,
    /// A text in UTF-8.
    File,
}

/// Which conversation a message belongs to.
pub(crate) enum Place {
    /// A new one; under an id of the caller's own where one is named.
    New(Option<SessionId>),
    /// One that exists and is the caller's.
    Saved(SessionId),
    /// None that is kept.
    Unsaved,
}

/// How a request is served, beside what it says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) patience: Patience,
    pub(crate) detach: Detach,
}

/// Begins the run that a request asks for.
///
/// # Errors
/// Something in the request is wrong or not allowed, the conversation is in use, the server is full, or the provider
/// cannot be used.
pub(crate) async fn begin(
    door: &Door,
    caller: &Caller,
    request_id: Arc<str>,
    request: ChatRequest,
    place: Place,
    manner: Manner,
) -> Result<Live, ApiError> {
    let input = input(&request)?;
    let asks = request.approvals.is_some();
    let spec = spec(door, request)?;
    let permit = Arc::clone(&door.room).try_acquire_owned().map_err(|_| overloaded(door))?;
    let mut turn = match &place {
        Place::Saved(id) => Some(door.turns.take(id, manner.patience).await?),
        Place::New(_) | Place::Unsaved => None,
    };
    let begins = matches!(place, Place::New(_));
    let mut agent = agent(door, spec).await?.with_owner(Arc::clone(&caller.owner));
    if asks {
        let (approvals, timeout) = (Arc::clone(&door.approvals), door.config.approval_timeout);
        agent = agent.with_approver(Arc::new(AskClient { approvals, timeout }));
    }
    let mut chat = open(door, &agent, place).await?;
    if begins {
        turn = Some(door.turns.take(chat.session(), manner.patience).await?);
    }
    if asks {
        let grants = door.approvals.grants(chat.session());
        chat = chat.with_grants(grants);
    }
    let run = chat.astream(input);
    let asks = if asks { Asks::Client } else { Asks::Nobody };
    let work = Work { run, asks, holds: Holds { chat, turn, permit, active: door.meters.run_begins() } };
    Ok(Live::begin(door.clone(), work, Arc::clone(&caller.owner), request_id, manner.detach).await?)
}

/// The conversation of this id, if it is the caller's.
pub(crate) async fn saved(door: &Door, caller: &Caller, id: &str) -> Result<SessionId, ApiError> {
    let session: SessionId = id.parse().map_err(|_| ApiError::no_conversation(id))?;
    Ok(caller.own(door.runtime.sessions().info(&session).await?)?.id)
}

/// Whether the server allows this mode to whoever calls from outside.
pub(crate) fn allows(door: &Door, mode: Mode) -> bool {
    let own = door.runtime.defaults().mode.unwrap_or_default();
    own.permits(mode.ceiling())
}

/// The mode, if the server allows it.
pub(crate) fn allowed(door: &Door, mode: Mode) -> Result<Mode, ApiError> {
    if allows(door, mode) {
        return Ok(mode);
    }
    let own = door.runtime.defaults().mode.unwrap_or_default();
    let message = format!("mode `{}` may do more than this server's mode `{}`; ask for less", mode.name(), own.name());
    Err(ApiError::forbidden(message).with(json!({"mode": mode, "server_mode": own})))
}

async fn open(door: &Door, agent: &Agent, place: Place) -> Result<Chat, ApiError> {
    match place {
        Place::New(None) => Ok(agent.chat(None)),
        Place::New(Some(id)) => Ok(agent.new_chat(id)),
        Place::Unsaved => Ok(agent.unsaved_chat()),
        Place::Saved(id) => {
            let mut chat = agent.chat(Some(id));
            chat.load().await?;
            // Whatever the conversation's settings say: no more than the server allows.
            if chat.settings().await?.mode.is_some() {
                allowed(door, chat.agent().mode())?;
            }
            Ok(chat)
        }
    }
}

/// The agent; its tools are no more than it would have if none were named.
async fn agent(door: &Door, spec: AgentSpec) -> Result<Agent, ApiError> {
    let narrowed = spec.tools.is_some();
    let all = AgentSpec { tools: None, ..spec.clone() };
    let agent = Agent::create(&door.runtime, spec).await?;
    if narrowed {
        let allowed = Agent::create(&door.runtime, all).await?.tools().await;
        let tools = agent.tools().await;
        let more = tools.tools().iter().map(|t| t.spec().name.as_str()).filter(|name| allowed.get(name).is_none());
        let more: Vec<&str> = more.collect();
        if !more.is_empty() {
            let message = format!("this server does not allow the tools {}", more.join(", "));
            return Err(ApiError::forbidden(message).with(json!({"tools": more})));
        }
    }
    Ok(agent)
}

fn spec(door: &Door, request: ChatRequest) -> Result<AgentSpec, ApiError> {
    if let Some(t) = request.temperature.filter(|t| !(0.0..=2.0).contains(t)) {
        return Err(ApiError::invalid(format!("`temperature` is {t}; it is 0 to 2")));
    }
    for (name, value) in [("max_tokens", request.max_tokens), ("max_turns", request.max_turns)] {
        if value == Some(0) {
            return Err(ApiError::invalid(format!("`{name}` is 0; it is 1 or more")));
        }
    }
    if let Some(cost) = request.max_cost.filter(|c| !(c.is_finite() && *c >= 0.0)) {
        return Err(ApiError::invalid(format!("`max_cost` is {cost}; dollars are 0 or more")));
    }
    let budget = Budget {
        max_turns: request.max_turns,
        max_cost: request.max_cost.map(NanoUsd::from_dollars),
        ..Budget::default()
    };
    Ok(AgentSpec {
        selector: Selector { provider: request.provider, model: request.model },
        profile: request.profile,
        mode: request.mode.map(|mode| allowed(door, mode)).transpose()?,
        system: request.system,
        tools: request.tools,
        params: Params { temperature: request.temperature, max_tokens: request.max_tokens, ..Params::default() },
        budget: budget.within(&door.runtime.defaults().budget),
        output_schema: request.output_schema.map(output_schema).transpose()?,
        ..AgentSpec::default()
    })
}

fn output_schema(schema: Value) -> Result<Arc<OutputSchema>, ApiError> {
    if !schema.is_object() {
        return Err(ApiError::invalid("`output_schema` has to be a JSON Schema, an object"));
    }
    let name = schema.get("title").and_then(Value::as_str).unwrap_or("answer");
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(64).collect();
    let name = if plain.is_empty() { "answer".to_owned() } else { plain };
    Ok(Arc::new(OutputSchema { name, schema }))
}

fn input(request: &ChatRequest) -> Result<Input, ApiError> {
    if request.message.trim().is_empty() && request.attachments.is_empty() {
        return Err(ApiError::invalid("`message` is empty: say what is to be done"));
    }
    let mut blocks = vec![Block::text(&request.message)];
    for (i, attachment) in request.attachments.iter().enumerate() {
        let block = attachment.block().map_err(|why| ApiError::invalid(format!("`attachments[{i}]`: {why}")))?;
        blocks.push(block);
    }
    Ok(Input(blocks))
}

impl Attachment {
    fn block(&self) -> Result<Block, String> {
        match (self.kind, &self.data, &self.url) {
            (_, Some(_), Some(_)) => Err("give `data` or `url`, not both".to_owned()),
            (_, None, None) => Err("has neither `data` nor `url`".to_owned()),
            (AttachmentKind::Image, Some(data), None) => self.image(MediaSource::Base64(self.checked(data)?.into())),
            (AttachmentKind::Image, None, Some(url)) => match url.split_once("://") {
                Some(("https" | "http", _)) => self.image(MediaSource::Url(url.clone())),
                _ => Err("`url` has to begin with https:// or http://".to_owned()),
            },
            (AttachmentKind::File, Some(data), None) => self.text(data),
            (AttachmentKind::File, None, Some(_)) => {
                Err("a file comes as `data`; this server fetches nothing".to_owned())
            }
        }
    }

    fn checked(&self, data: &str) -> Result<String, String> {
        STANDARD.decode(data).map(|_| data.to_owned()).map_err(|e| format!("`data` is not base64: {e}"))
    }

    fn image(&self, source: MediaSource) -> Result<Block, String> {
        if !matches!(self.media_type.as_str(), "image/png" | "image/jpeg" | "image/gif" | "image/webp") {
            return Err(format!("`{}` is no image that models see: PNG, JPEG, GIF or WebP", self.media_type));
        }
        Ok(Block::Media(Media { media_type: self.media_type.clone(), source, name: self.name.clone() }))
    }

    fn text(&self, data: &str) -> Result<Block, String> {
        let bytes = STANDARD.decode(data).map_err(|e| format!("`data` is not base64: {e}"))?;
        if bytes.len() > TEXT_LIMIT {
            return Err(format!("has {} bytes, more than a text can have ({TEXT_LIMIT})", bytes.len()));
        }
        match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => Ok(Block::text_file(self.name.as_deref().unwrap_or("file"), &text)),
            _ => Err("is no text in UTF-8".to_owned()),
        }
    }
}

pub(crate) fn overloaded(door: &Door) -> ApiError {
    let message = format!("{} runs are under way, as many as this server takes; come back later", door.config.max_runs);
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", message).after(Duration::from_secs(1))
}
