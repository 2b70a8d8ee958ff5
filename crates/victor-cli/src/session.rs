//! `victor sessions`, and finding a session by what a person says of it.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use inquire::Select;
use serde_json::json;
use victor::error::{SessionError, nearest};
use victor::id::{SessionId, Timestamp};
use victor::message::{Block, Message, Role};
use victor::provider::Selector;
use victor::runtime::Runtime;
use victor::session::{Entry, NewSession, SavedFile, SessionFilter, SessionInfo, StoredEntry, effective};
use victor::{Agent, Chat};

use crate::app::App;
use crate::args::{AgentFlags, Choice, Format, ListArgs, SessionsCommand};
use crate::chat::put_back;
use crate::exit::{Exit, Failure};
use crate::render::table::table;
use crate::render::tool_line::summary;
use crate::signal::Signals;
use crate::terminal::{Terminal, bytes, harmless_line, json, line, note};

/// Sessions that are looked through for the beginning of an id.
const SEARCHED: usize = 10_000;
/// Entries that are read in one go.
const PAGE: usize = 1_000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Carries out a `victor sessions` command.
///
/// # Errors
/// There is no such session, or the store failed.
pub(crate) async fn sessions(app: &App, command: SessionsCommand) -> Result<Exit, Failure> {
    let runtime = app.runtime()?;
    match command {
        SessionsCommand::List(args) => list(app, &runtime, args).await?,
        SessionsCommand::Show { id, format } => show(app, &runtime, &id, format).await?,
        SessionsCommand::Delete { ids } => delete(&runtime, &ids).await?,
        SessionsCommand::Export { id, output, format } => export(&runtime, &id, output.as_deref(), format).await?,
        SessionsCommand::Fork { id, to, format } => fork(&runtime, &id, to, format).await?,
        SessionsCommand::Search { text, limit, format } => {
            let filter = SessionFilter { text: Some(text), limit, ..SessionFilter::default() };
            let found = runtime.sessions().list(&filter).await?;
            show_list(app, &found, format)?;
        }
        SessionsCommand::Rewind { id, to, files, format } => rewind(&runtime, &id, to, files, format).await?,
        SessionsCommand::Prune { older_than, format } => {
            let age = DAY.saturating_mul(older_than).as_micros();
            let now = runtime.clock().now().as_micros();
            let before = Timestamp::from_micros(now.saturating_sub(i64::try_from(age).unwrap_or(i64::MAX)));
            let count = runtime.sessions().prune(before).await?;
            let runs = runtime.journal().prune(before).await.map_err(|e| Failure::failed(e.to_string()))?;
            match format.json {
                true => json(&json!({ "deleted": count, "workflow_runs_deleted": runs }))?,
                false => note(format!("{count} sessions and {runs} runs of workflows deleted")),
            }
        }
    }
    Ok(Exit::Done)
}

/// The session whose id is `text` or begins with it.
///
/// # Errors
/// There is none, or several.
pub(crate) async fn find(runtime: &Runtime, text: &str) -> Result<SessionId, Failure> {
    let id: SessionId = text.parse().map_err(|e| Failure::usage(format!("{e}")))?;
    match runtime.sessions().info(&id).await {
        Ok(info) => return Ok(info.id),
        Err(SessionError::NotFound(_)) => {}
        Err(e) => return Err(e.into()),
    }
    let all = runtime.sessions().list(&SessionFilter { limit: SEARCHED, ..SessionFilter::default() }).await?;
    let mut fitting = all.iter().filter(|s| s.id.as_str().starts_with(text));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one.id.clone()),
        (Some(_), Some(_)) => Err(Failure::failed(format!("several sessions begin with `{text}`; say more of the id"))),
        (None, _) => {
            let near = nearest(text, all.iter().map(|s| s.id.as_str()));
            let hint = near.first().map_or_else(String::new, |n| format!("; did you mean {n}?"));
            Err(Failure::failed(format!("{}{hint}", SessionError::NotFound(text.to_owned()))))
        }
    }
}

/// The latest session of this folder.
///
/// # Errors
/// There is none.
pub(crate) async fn latest(runtime: &Runtime) -> Result<SessionId, Failure> {
    let found = runtime.sessions().list(&of_folder(runtime, 1)).await?;
    let none = || Failure::failed("no session of this folder is saved; `victor sessions list --all` shows the others");
    found.into_iter().next().map(|s| s.id).ok_or_else(none)
}

/// Has a person choose among the sessions of this folder; lists them where nobody can be asked.
///
/// # Errors
/// The store failed, or the program is asked to end.
pub(crate) async fn pick(app: &App, runtime: &Runtime, signals: &mut Signals) -> Result<Option<SessionId>, Failure> {
    let found = runtime.sessions().list(&of_folder(runtime, 20)).await?;
    if !app.terminal.can_edit() || found.is_empty() {
        show_list(app, &found, Format::default())?;
        return Ok(None);
    }
    let lines: Vec<String> =
        found.iter().map(|s| format!("{}  {}", when(s.updated_at), harmless_line(&s.title))).collect();
    let asked = tokio::task::spawn_blocking(move || Select::new("Which one?", lines).raw_prompt_skippable());
    let chosen = signals.or_end(asked).await.ok_or_else(|| Failure::told(Exit::Interrupted))?;
    Ok(chosen.ok().and_then(Result::ok).flatten().and_then(|c| found.get(c.index)).map(|s| s.id.clone()))
}

/// Goes on with a saved session as it was left, unless flags say otherwise: what they name holds from now on.
///
/// # Errors
/// It is in use, cannot be read, or its model is no longer there.
pub(crate) async fn reopen(agent: &Agent, id: SessionId, flags: &AgentFlags) -> Result<Chat, Failure> {
    let mut chat = agent.chat(Some(id));
    let Choice { provider, model, profile } = &flags.choice;
    if provider.is_some() || model.is_some() || profile.is_some() {
        let info = &agent.model().info;
        chat.switch(Selector { provider: Some(info.provider.clone()), model: Some(info.id.clone()) }).await?;
    }
    if flags.call.mode.is_some() || profile.is_some() {
        chat.set_mode(agent.mode()).await?;
    }
    chat.load().await?;
    Ok(chat)
}

async fn list(app: &App, runtime: &Runtime, args: ListArgs) -> Result<(), Failure> {
    let filter = match args.all {
        true => SessionFilter { limit: args.limit, ..SessionFilter::default() },
        false => of_folder(runtime, args.limit),
    };
    let found = runtime.sessions().list(&filter).await?;
    if found.is_empty() && !args.all && !args.format.json {
        note("no sessions of this folder; --all shows those of others");
    }
    show_list(app, &found, args.format)
}

fn show_list(app: &App, sessions: &[SessionInfo], format: Format) -> Result<(), Failure> {
    if format.json {
        return json(&sessions).map_err(Into::into);
    }
    if sessions.is_empty() {
        return Ok(());
    }
    let rows: Vec<[String; 4]> = sessions
        .iter()
        .map(|s| [s.id.to_string(), when(s.updated_at), s.message_count.to_string(), harmless_line(&s.title)])
        .collect();
    let width = app.terminal.stdout.then(Terminal::width);
    table(["id", "updated", "messages", "title"], &rows, width).iter().try_for_each(line).map_err(Into::into)
}

async fn show(app: &App, runtime: &Runtime, id: &str, format: Format) -> Result<(), Failure> {
    let id = find(runtime, id).await?;
    let info = runtime.sessions().info(&id).await?;
    let entries = effective(entries(runtime, &id).await?);
    if format.json {
        return json(&json!({ "session": info, "entries": entries })).map_err(Into::into);
    }
    let paint = app.terminal.paint;
    line(format!("{}  {}", paint.bold(id.as_str()), harmless_line(&info.title)))?;
    for stored in &entries {
        if let Some((who, text)) = told(&stored.entry) {
            line(format!("\n{} {}", paint.dim(&format!("[{}]", stored.seq)), paint.bold(who)))?;
            let text = if app.terminal.stdout { crate::terminal::harmless(&text) } else { text };
            line(text.trim_end())?;
        }
    }
    Ok(())
}

/// Who said what in an entry; `None` where it is nothing that was said.
fn told(entry: &Entry) -> Option<(&'static str, String)> {
    match entry {
        Entry::Message { message } => Some((who(message.role), said(message))),
        Entry::Compaction { summary, .. } => Some(("summary", summary.text())),
        _ => None,
    }
}

fn who(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

fn said(message: &Message) -> String {
    let mut text = String::new();
    for block in &message.content {
        let _ = match block {
            Block::Text { text: said } => writeln!(text, "{said}"),
            Block::Media(media) => writeln!(text, "[{}]", media.media_type),
            Block::ToolCall(call) => writeln!(text, "[calls {}]", summary(&call.name, &call.arguments)),
            Block::ToolResult(result) => {
                let failed = if result.is_error { ", failed" } else { "" };
                writeln!(text, "[{}{failed}]\n{}", result.name, victor::message::text_of(&result.content))
            }
            _ => Ok(()),
        };
    }
    text
}

async fn delete(runtime: &Runtime, ids: &[String]) -> Result<(), Failure> {
    for id in ids {
        let id = find(runtime, id).await?;
        runtime.sessions().delete(&id).await?;
        note(format!("{id} deleted"));
    }
    Ok(())
}

async fn export(runtime: &Runtime, id: &str, output: Option<&Path>, format: Format) -> Result<(), Failure> {
    let id = find(runtime, id).await?;
    let info = runtime.sessions().info(&id).await?;
    let entries = entries(runtime, &id).await?;
    let text = match format.json {
        true => {
            let all = json!({ "session": info, "entries": entries });
            let text = serde_json::to_string_pretty(&all).map_err(|e| Failure::failed(format!("{id}: {e}")))?;
            format!("{text}\n")
        }
        false => markdown(&info, entries),
    };
    match output {
        None => bytes(text.as_bytes())?,
        Some(path) => std::fs::write(path, text)
            .map_err(|e| Failure::failed(format!("{} cannot be written: {e}", path.display())))?,
    }
    Ok(())
}

fn markdown(info: &SessionInfo, entries: Vec<StoredEntry>) -> String {
    let mut text = format!("# {}\n\nSession {}, begun {}\n", info.title, info.id, info.created_at);
    for stored in effective(entries) {
        if let Some((who, said)) = told(&stored.entry) {
            let _ = write!(text, "\n## {who}\n\n{}\n", said.trim_end());
        }
    }
    text
}

async fn fork(runtime: &Runtime, id: &str, to: Option<u64>, format: Format) -> Result<(), Failure> {
    let from = find(runtime, id).await?;
    let info = runtime.sessions().info(&from).await?;
    check_place(&info, to)?;
    let clock = runtime.clock();
    let new = SessionId::from(clock.uuid());
    let begun = NewSession { id: new.clone(), owner: info.owner, workspace: info.workspace, at: clock.now() };
    runtime.sessions().fork(&from, to, begun).await?;
    match format.json {
        true => json(&runtime.sessions().info(&new).await?)?,
        false => line(new.as_str())?,
    }
    Ok(())
}

async fn rewind(runtime: &Runtime, id: &str, to: u64, files: bool, format: Format) -> Result<(), Failure> {
    let id = find(runtime, id).await?;
    let info = runtime.sessions().info(&id).await?;
    check_place(&info, Some(to))?;
    let holder = format!("victor sessions rewind (process {})", std::process::id());
    let claim = runtime.sessions().claim(&id, &holder).await?;
    let entries = effective(entries(runtime, &id).await?);
    if files {
        put_back(runtime, &changed_after(&entries, to)).await?;
    }
    let now = runtime.clock().now();
    runtime.sessions().append(claim.as_ref(), claim.last_seq(), now, vec![Entry::Rewind { to }]).await?;
    drop(claim);
    match format.json {
        true => json(&runtime.sessions().info(&id).await?)?,
        false => note(format!("{id} goes on after entry {to}")),
    }
    Ok(())
}

/// The files that calls after `to` changed, in the order of the changes.
fn changed_after(entries: &[StoredEntry], to: u64) -> Vec<SavedFile> {
    let later = entries.iter().filter(|e| e.seq > to);
    let files = later.filter_map(|e| match &e.entry {
        Entry::Checkpoint { files, .. } => Some(files.clone()),
        _ => None,
    });
    files.flatten().collect()
}

fn check_place(info: &SessionInfo, place: Option<u64>) -> Result<(), Failure> {
    match place {
        Some(place) if place > info.last_seq => {
            Err(Failure::usage(format!("there is no entry {place}; the last one is {}", info.last_seq)))
        }
        _ => Ok(()),
    }
}

async fn entries(runtime: &Runtime, id: &SessionId) -> Result<Vec<StoredEntry>, Failure> {
    let mut all: Vec<StoredEntry> = Vec::new();
    loop {
        let after = all.last().map_or(0, |e| e.seq);
        let page = runtime.sessions().entries(id, after, PAGE).await?;
        let last = page.len() < PAGE;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

fn of_folder(runtime: &Runtime, limit: usize) -> SessionFilter {
    let workspace = runtime.workspace().root.to_string_lossy().into_owned();
    SessionFilter { workspace: Some(workspace), limit, ..SessionFilter::default() }
}

/// `2026-11-23 22:01`, UTC.
fn when(at: Timestamp) -> String {
    at.to_string().chars().take(16).map(|c| if c == 'T' { ' ' } else { c }).collect()
}
