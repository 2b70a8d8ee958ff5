//! Conversations: begin, list, read, change, delete. Each belongs to whoever began it.

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use victor_core::agent::{Agent, Chat};
use victor_core::error::SessionError;
use victor_core::id::{SessionId, Timestamp};
use victor_core::message::Message;
use victor_core::permission::Mode;
use victor_core::provider::Selector;
use victor_core::session::{Entry, SessionFilter, SessionSettings, effective};
use victor_core::token::Scope;

use crate::answer::{ConversationSummary, MessageBody, messages};
use crate::body::Body;
use crate::caller::Caller;
use crate::door::Door;
use crate::endpoint::{Content, Endpoint};
use crate::error::ApiError;
use crate::gate::RequestId;
use crate::path::Named;
use crate::query::Query;
use crate::routes::chat::{ChatQuery, RUN_FAILS};
use crate::talk::{self, ChatRequest, Place};
use crate::turns::Patience;

/// Conversations on a page where nothing is said.
const PAGE: usize = 20;
/// Conversations on a page at most.
const LONGEST_PAGE: usize = 100;

/// The first message of a conversation, or the next one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewConversation {
    /// An id of the caller's own: 1 to 128 letters, digits, `.`, `_` or `-`. If the caller has a conversation of this id,
    /// it goes on.
    #[serde(default)]
    conversation_id: Option<String>,
    /// What the user says.
    #[schemars(length(min = 1))]
    message: String,
    /// The provider, for this message.
    #[serde(default)]
    provider: Option<String>,
    /// The model, for this message.
    #[serde(default)]
    model: Option<String>,
}

/// The answer of `POST /conversations`.
#[derive(Debug, Serialize, JsonSchema)]
struct Begun {
    /// The conversation.
    conversation_id: SessionId,
    /// The text of the last assistant message.
    response: String,
    /// All that was said.
    messages: Vec<MessageBody>,
}

/// A page of conversations.
#[derive(Debug, Serialize, JsonSchema)]
struct Page {
    /// The conversations, the one that was written to last first.
    conversations: Vec<ConversationSummary>,
    /// What to ask for the next page with; `null` on the last.
    next_cursor: Option<String>,
}

/// Conversations on a page.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for the form of a parameter")]
struct Limit(#[schemars(range(min = 1, max = 100))] usize);

/// A place in the list, as this server writes it.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for the form of a parameter")]
struct Cursor(#[schemars(regex(pattern = "^[A-Za-z0-9_-]{20,}$"))] String);

/// Which conversations a list holds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
    q: Option<String>,
}

/// A conversation.
#[derive(Debug, Serialize, JsonSchema)]
struct Conversation {
    /// What lists show of it.
    #[serde(flatten)]
    summary: ConversationSummary,
    /// The provider that was set for it; absent where it follows the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    /// The model that was set for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// The profile that was set for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    /// The mode that was set for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    /// User and assistant messages, tool calls inside the assistant's.
    messages: Vec<MessageBody>,
}

/// What is to hold for the rest of a conversation; what is left out stays.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Change {
    /// The provider.
    provider: Option<String>,
    /// The model.
    model: Option<String>,
    /// A profile of the server, with the provider, model and mode that it names.
    profile: Option<String>,
    /// What the agent may do; it can only be less than the server allows.
    mode: Option<Mode>,
    /// The title.
    #[schemars(length(min = 1, max = 500))]
    title: Option<String>,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let tag = "conversations";
    vec![
        Endpoint::new(Method::POST, "/conversations", Scope::Chat, "create_conversation", create)
            .about(tag, "Begin a conversation, or go on with one under an id of your own")
            .takes::<NewConversation>()
            .query::<bool>("wait", "Wait for the run that the conversation is busy with, instead of 409.")
            .query::<bool>("detach", "Let the run go on when the client goes away.")
            .answers::<Begun>(200, "The run ended.")
            .fails(&RUN_FAILS)
            .once(),
        Endpoint::new(Method::GET, "/conversations", Scope::Chat, "list_conversations", list)
            .about(tag, "The caller's conversations; all of them for the scope `admin`")
            .query::<Limit>("limit", "Conversations on the page, 1 to 100; 20 unless said otherwise.")
            .query::<Cursor>("cursor", "`next_cursor` of the page before.")
            .query::<String>("q", "Only conversations with this text in a message or the title.")
            .answers::<Page>(200, "A page."),
        Endpoint::new(Method::GET, "/conversations/{id}", Scope::Chat, "get_conversation", read)
            .about(tag, "A conversation with its messages")
            .answers::<Conversation>(200, "The conversation.")
            .fails(&[404]),
        Endpoint::new(Method::PATCH, "/conversations/{id}", Scope::Chat, "change_conversation", change)
            .about(tag, "Set provider, model, profile, mode or title for the rest of the conversation")
            .takes::<Change>()
            .answers::<Conversation>(200, "The conversation as it is now.")
            .fails(&[404, 409, 503]),
        Endpoint::new(Method::DELETE, "/conversations/{id}", Scope::Chat, "delete_conversation", delete)
            .about(tag, "Delete a conversation with all its messages")
            .answers_with(204, "It is gone.", Content::None)
            .fails(&[404, 409]),
    ]
}

async fn create(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    RequestId(id): RequestId,
    Query(query): Query<ChatQuery>,
    Body(new): Body<NewConversation>,
) -> Result<Json<Begun>, ApiError> {
    let place = place(&door, &caller, new.conversation_id.as_deref()).await?;
    let NewConversation { message, provider, model, .. } = new;
    let request = ChatRequest { provider, model, ..ChatRequest::say(message) };
    let live = talk::begin(&door, &caller, id, request, place, query.into()).await?;
    let outcome = live.finish().await?;
    let none = || ApiError::internal(&"a conversation that is stored has no id");
    let conversation_id = outcome.session_id.clone().ok_or_else(none)?;
    let (said, _) = stored(&door, &conversation_id).await?;
    Ok(Json(Begun { conversation_id, response: outcome.text, messages: said }))
}

/// The caller's conversation of this id, or a new one of it.
async fn place(door: &Door, caller: &Caller, id: Option<&str>) -> Result<Place, ApiError> {
    let Some(id) = id else { return Ok(Place::New(None)) };
    let session: SessionId = id.parse().map_err(|e: victor_core::error::ConfigurationError| ApiError::from(e))?;
    match door.runtime.sessions().info(&session).await {
        Ok(info) => Ok(Place::Saved(caller.own(info)?.id)),
        Err(SessionError::NotFound(_)) => Ok(Place::New(Some(session))),
        Err(e) => Err(e.into()),
    }
}

async fn list(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page>, ApiError> {
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=LONGEST_PAGE).contains(&limit) {
        return Err(ApiError::invalid(format!("`limit` is {limit}; it is 1 to {LONGEST_PAGE}")));
    }
    let filter = SessionFilter {
        owner: (!caller.may(Scope::Admin)).then(|| caller.owner.to_string()),
        text: query.q.filter(|text| !text.is_empty()),
        before: query.cursor.as_deref().map(position).transpose()?,
        limit: limit + 1,
        ..SessionFilter::default()
    };
    let mut found = door.runtime.sessions().list(&filter).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    let next_cursor = last.map(|s| URL_SAFE_NO_PAD.encode(format!("{} {}", s.updated_at.as_micros(), s.id)));
    Ok(Json(Page { conversations: found.into_iter().map(Into::into).collect(), next_cursor }))
}

/// The place in the list that a cursor stands for.
fn position(cursor: &str) -> Result<(Timestamp, SessionId), ApiError> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let parts = text.as_deref().and_then(|text| text.split_once(' '));
    let place = parts.and_then(|(at, id)| Some((Timestamp::from_micros(at.parse().ok()?), id.parse().ok()?)));
    place.ok_or_else(|| ApiError::invalid("`cursor` is none of this server's; take `next_cursor` of a page as it is"))
}

async fn read(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
) -> Result<Json<Conversation>, ApiError> {
    let session = talk::saved(&door, &caller, &id).await?;
    Ok(Json(conversation(&door, &session).await?))
}

async fn change(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
    Body(change): Body<Change>,
) -> Result<Json<Conversation>, ApiError> {
    let session = talk::saved(&door, &caller, &id).await?;
    if let Some(mode) = change.mode {
        talk::allowed(&door, mode)?;
    }
    if change.title.as_ref().is_some_and(|t| t.trim().is_empty() || t.chars().count() > 500) {
        return Err(ApiError::invalid("`title` has 1 to 500 characters"));
    }
    let _turn = door.turns.take(&session, Patience::None).await?;
    let mut chat = Agent::create(&door.runtime, ()).await?.chat(Some(session.clone()));
    apply(&mut chat, change).await?;
    // Given back before anybody hears of it.
    drop(chat);
    Ok(Json(conversation(&door, &session).await?))
}

/// All or nothing as far as names go: a profile or a provider that does not exist is found before anything is saved
/// after it.
async fn apply(chat: &mut Chat, change: Change) -> Result<(), ApiError> {
    chat.load().await?;
    if let Some(profile) = &change.profile {
        chat.set_profile(profile).await?;
    }
    if change.provider.is_some() || change.model.is_some() {
        let kept = match change.provider {
            Some(_) => None,
            None => chat.settings().await?.selector.provider,
        };
        chat.switch(Selector { provider: change.provider.or(kept), model: change.model }).await?;
    }
    if let Some(mode) = change.mode {
        chat.set_mode(mode).await?;
    }
    if let Some(title) = change.title {
        chat.set_title(title).await?;
    }
    Ok(())
}

async fn delete(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
) -> Result<StatusCode, ApiError> {
    let session = talk::saved(&door, &caller, &id).await?;
    let _turn = door.turns.take(&session, Patience::None).await?;
    door.runtime.sessions().delete(&session).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn conversation(door: &Door, session: &SessionId) -> Result<Conversation, ApiError> {
    let summary = door.runtime.sessions().info(session).await?.into();
    let (messages, settings) = stored(door, session).await?;
    let SessionSettings { selector: Selector { provider, model }, profile, mode, .. } = settings;
    Ok(Conversation { summary, provider, model, profile, mode, messages })
}

async fn stored(door: &Door, session: &SessionId) -> Result<(Vec<MessageBody>, SessionSettings), ApiError> {
    let entries = effective(door.runtime.sessions().entries(session, 0, usize::MAX).await?);
    let said = entries.iter().filter_map(|e| match &e.entry {
        Entry::Message { message } => Some(message.as_ref()),
        _ => None,
    });
    let messages = messages(said.collect::<Vec<&Message>>());
    let settings = entries.iter().rev().find_map(|e| match &e.entry {
        Entry::Settings { settings } => Some(settings.clone()),
        _ => None,
    });
    Ok((messages, settings.unwrap_or_default()))
}
