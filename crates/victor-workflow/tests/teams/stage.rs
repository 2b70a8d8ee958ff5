//! A stage for teams: members with scripts, and what can be read off a run.

use std::sync::Arc;

use futures::StreamExt;
use serde_json::{Value, json};
use victor_core::agent::{Agent, AgentSpec, Outcome, Run};
use victor_core::error::ProviderError;
use victor_core::event::{Event, EventKind};
use victor_core::permission::Mode;
use victor_core::provider::Chunk;
use victor_core::runtime::Runtime;
use victor_core::testing::{ScriptedProvider, TestClock, reply_calls, reply_text};
use victor_core::tool::{DynTool, Effects, ToolCx, tool_fn};
use victor_workflow::team::{Member, Team, TeamOutcome};

pub type Reply = Vec<Result<Chunk, ProviderError>>;

pub fn runtime() -> Runtime {
    Runtime::builder().clock(TestClock::default()).build().unwrap()
}

/// A member that answers with these texts in turn.
pub async fn says(rt: &Runtime, name: &str, texts: &[&str]) -> Member {
    does(rt, name, texts.iter().map(|t| reply_text(t)).collect(), &[]).await
}

/// A member that votes, approves or judges with this JSON in turn, after its texts.
pub async fn forms(rt: &Runtime, name: &str, texts: &[&str], forms: &[Value]) -> Member {
    let texts = texts.iter().map(|t| (*t).to_owned());
    let replies: Vec<_> = texts.chain(forms.iter().map(Value::to_string)).map(|t| reply_text(&t)).collect();
    does(rt, name, replies, &[]).await
}

pub async fn does(rt: &Runtime, name: &str, replies: Vec<Reply>, tools: &[Arc<dyn DynTool>]) -> Member {
    let provider = ScriptedProvider::new(replies);
    Member::new(name, agent(rt, &provider, tools).await)
}

pub async fn agent(rt: &Runtime, provider: &Arc<ScriptedProvider>, tools: &[Arc<dyn DynTool>]) -> Agent {
    let builder = Agent::builder().model(provider.model());
    tools.iter().cloned().fold(builder, |b, t| b.tool(t)).build(rt).await.unwrap()
}

/// An agent in a mode, that never answers.
pub async fn silent(rt: &Runtime, mode: Mode) -> Agent {
    let spec = AgentSpec { mode: Some(mode), ..AgentSpec::default() };
    Agent::builder().model(ScriptedProvider::new([]).model()).spec(spec).build(rt).await.unwrap()
}

/// A tool that does nothing.
pub fn note() -> Arc<dyn DynTool> {
    tool_fn("note", "", Effects::NONE, |_: Value, _: ToolCx| async { Ok("noted") })
}

/// An answer that calls a tool without arguments.
pub fn one(tool: &str) -> Reply {
    reply_calls(&[(tool, json!({}))])
}

pub async fn events(run: Run) -> Vec<Event> {
    run.collect().await
}

/// Who was told what, in order: `path < from: text`.
pub fn told(events: &[Event]) -> Vec<String> {
    let messages = events.iter().filter_map(|e| match &e.kind {
        EventKind::MemberMessage { from, text } => Some(format!("{} < {}: {text}", e.path.join("/"), from.join("+"))),
        _ => None,
    });
    messages.collect()
}

/// The outcome of a whole run, and the team's.
pub fn ended(events: &[Event]) -> (Outcome, TeamOutcome) {
    let last = events.last().unwrap();
    let EventKind::Finished { outcome } = &last.kind else { panic!("the last event is {last:?}") };
    assert!(last.path.is_empty(), "the last event is not the root's");
    let seqs: Vec<_> = events.iter().map(|e| e.seq).collect();
    assert_eq!(seqs, (0..events.len() as u64).collect::<Vec<_>>(), "the events have gaps");
    let team = serde_json::from_value(outcome.structured.clone().unwrap()).unwrap();
    (Outcome::clone(outcome), team)
}

/// Has the team work; gives who was told what, and its outcome.
pub async fn perform(team: &Team, task: &str) -> (Vec<String>, TeamOutcome) {
    let events = events(team.astream(task)).await;
    (told(&events), ended(&events).1)
}
