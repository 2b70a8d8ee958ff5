//! `victor chat`: a conversation at the terminal, or line by line from a pipe.

mod commands;
mod complete;
mod editor;
mod lines;
mod model;
mod servers;
mod shell;
mod slash;
mod undo;

use std::sync::Arc;

use victor::agent::{Agent, Chat, Outcome, Run};
use victor::error::VictorError;
use victor::mcp::Servers;
use victor::message::{Block, Role};
use victor::permission::{AllowAll, Approver, DenyAll};
use victor::runtime::Runtime;
use victor::usage::{NanoUsd, Usage};

use crate::allow;
use crate::app::{App, Opened};
use crate::approve::Questions;
use crate::args::{AgentFlags, ChatFlags};
use crate::attach::Attacher;
use crate::exit::{Exit, Failure};
use crate::follow::follow;
use crate::pull::{self, Consent};
use crate::render::footer::footer;
use crate::render::screen::{Detail, Screen};
use crate::run::told;
use crate::session;
use crate::signal::Signals;
use crate::terminal::{NoEcho, faint, note};

use lines::{Input, Line, Pressed};
pub(crate) use undo::put_back;

/// A conversation under way.
struct Talk<'a> {
    app: &'a App,
    runtime: Runtime,
    chat: Chat,
    flags: AgentFlags,
    screen: Screen,
    signals: Signals,
    questions: Option<Questions>,
    /// What the turns of this conversation used since the program began.
    spent: Spent,
}

#[derive(Default)]
struct Spent {
    turns: u32,
    usage: Usage,
    /// `None` once a turn's cost was not known.
    cost: Option<NanoUsd>,
}

/// Whether the conversation goes on.
enum Flow {
    Go,
    /// The turn was stopped by Ctrl-C; the next Ctrl-C leaves.
    Stopped,
    Leave(Exit),
}

/// Holds a conversation until the user leaves.
///
/// # Errors
/// It cannot be begun.
pub(crate) async fn chat(
    app: &App,
    prompt: Option<String>,
    which: ChatFlags,
    flags: AgentFlags,
) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    app.ask_for_trust(&mut signals).await?;
    let Opened { runtime, spec, setup } = app.open(&flags)?;
    let (approver, questions) = approver(app, &runtime, &flags);
    let consent = Consent::of(app, &flags);
    let agent = pull::agent(app, (&setup, &runtime), spec, consent, &mut signals).await?.with_approver(approver);
    tokio::select! {
        () = app.ready_servers(&runtime) => {}
        _ = signals.next() => return Ok(Exit::Interrupted),
    }
    let chat = begin(app, &runtime, &agent, which, &flags).await?;
    let detail = if app.terminal.stderr || app.global.verbose > 0 { Detail::Full } else { Detail::Needed };
    let screen = Screen::new(app.terminal, detail);
    let mut talk = Talk { app, runtime, chat, flags, screen, signals, questions, spent: Spent::default() };
    let exit = talk.hold(prompt).await;
    app.close(&talk.runtime).await;
    exit
}

fn approver(app: &App, runtime: &Runtime, flags: &AgentFlags) -> (Arc<dyn Approver>, Option<Questions>) {
    if app.terminal.can_edit() {
        let rules = runtime.clone();
        let (approver, questions) = Questions::new(
            app.terminal,
            flags.call.yes,
            Arc::new(move || rules.rules()),
            allow::saver(app.options(flags), runtime),
        );
        let questions = match runtime.get::<Servers>() {
            Some(servers) => questions.with_forms(&servers),
            None => questions,
        };
        return (approver, Some(questions));
    }
    let approver: Arc<dyn Approver> = if flags.call.yes { Arc::new(AllowAll) } else { Arc::new(DenyAll) };
    (approver, None)
}

async fn begin(
    app: &App,
    runtime: &Runtime,
    agent: &Agent,
    which: ChatFlags,
    flags: &AgentFlags,
) -> Result<Chat, Failure> {
    let id = match which.session {
        Some(id) => Some(session::find(runtime, &id).await?),
        None if which.resume => Some(session::latest(runtime).await?),
        None => None,
    };
    let Some(id) = id else {
        return Ok(if flags.no_save { agent.unsaved_chat() } else { agent.chat(None) });
    };
    let mut chat = session::reopen(agent, id, flags).await?;
    recap(app, &mut chat).await?;
    Ok(chat)
}

/// Where the conversation stood.
async fn recap(app: &App, chat: &mut Chat) -> Result<(), Failure> {
    if !app.terminal.stderr {
        return Ok(());
    }
    let history = chat.history().await?;
    faint(&app.terminal, &format!("session {}, {} messages", chat.session(), history.len()));
    for role in [Role::User, Role::Assistant] {
        let said = history.iter().rev().find(|m| m.role == role && !m.text().trim().is_empty());
        if let Some(message) = said {
            let text = message.text();
            let mut lines = text.lines().filter(|l| !l.trim().is_empty());
            let shown: Vec<_> = lines.by_ref().take(5).collect();
            let mark = if role == Role::User { "› " } else { "  " };
            shown.iter().for_each(|line| faint(&app.terminal, &format!("{mark}{line}")));
            if lines.next().is_some() {
                faint(&app.terminal, "  …");
            }
        }
    }
    Ok(())
}

impl Talk<'_> {
    async fn hold(&mut self, prompt: Option<String>) -> Result<Exit, Failure> {
        let mut exit = Exit::Done;
        let mut input = Input::open(self.app, &self.runtime, self.flags.no_save);
        self.greet();
        let mut attached = self.attached()?;
        let mut next = prompt.filter(|p| !p.trim().is_empty());
        if self.chat.questions().await.is_ok_and(|q| !q.is_empty()) {
            self.screen.note("the last turn waits for an answer");
            let run = self.chat.resume(Vec::new());
            if let Flow::Leave(exit) = self.follow(run, &mut exit).await? {
                return Ok(exit);
            }
        }
        let mut pressed = Pressed::No;
        loop {
            let line = match next.take() {
                Some(prompt) => Line::Text(prompt),
                None => input.read(self.chat.agent().mode(), pressed, &mut self.signals).await?,
            };
            let flow = match line {
                Line::End => return Ok(exit),
                Line::Killed => return Ok(Exit::Interrupted),
                Line::Interrupt => {
                    faint(&self.app.terminal, "Ctrl-C once more, Ctrl-D or /quit to leave");
                    Flow::Stopped
                }
                Line::Text(text) => self.line(&text, &mut attached, &mut exit).await?,
            };
            match flow {
                Flow::Go => pressed = Pressed::No,
                Flow::Stopped => pressed = Pressed::Once,
                Flow::Leave(exit) => return Ok(exit),
            }
        }
    }

    fn greet(&self) {
        if !self.app.terminal.can_edit() {
            return;
        }
        let paint = self.app.terminal.paint_err;
        let (model, root) = (self.chat.agent().model(), self.runtime.workspace().root.display());
        note(format!("{} {}", paint.bold("victor"), victor::VERSION));
        let keys = "/help for commands, @file to show a file, !command to run one yourself, Ctrl-D to leave";
        faint(&self.app.terminal, &format!("{model:?} in {root}"));
        faint(&self.app.terminal, keys);
    }

    fn attached(&self) -> Result<Vec<Block>, Failure> {
        let rules = self.runtime.rules();
        let attacher = self.attacher(&rules);
        self.flags.attach.iter().map(|path| attacher.named(path)).collect()
    }

    fn attacher<'b>(&'b self, rules: &'b victor::permission::Rules) -> Attacher<'b> {
        Attacher { workspace: self.runtime.workspace(), rules, cwd: self.app.env.current_dir() }
    }

    /// Does what a line asks for. What fails is told, and the conversation goes on.
    async fn line(&mut self, text: &str, attached: &mut Vec<Block>, exit: &mut Exit) -> Result<Flow, Failure> {
        let text = text.trim();
        let done = if text.is_empty() {
            Ok(Flow::Go)
        } else if let Some(command) = text.strip_prefix('!') {
            self.shell(command.trim()).await
        } else if let Some((source, name, rest)) = self.prompt_of(text) {
            self.prompt(&source, name, rest, exit).await
        } else if text.starts_with('/') && !slash::is_path(text) {
            self.command(text, exit).await
        } else {
            self.say(text, attached, exit).await
        };
        match done {
            Err(e) if e.exit == Exit::BrokenPipe || e.message.is_empty() => Err(e),
            Err(e) => {
                self.app.error(&e);
                *exit = e.exit;
                Ok(Flow::Go)
            }
            flow => flow,
        }
    }

    async fn say(&mut self, text: &str, attached: &mut Vec<Block>, exit: &mut Exit) -> Result<Flow, Failure> {
        let rules = self.runtime.rules();
        let (mut blocks, problems) = self.attacher(&rules).input(text);
        if let Some(problem) = problems.into_iter().next() {
            return Err(Failure::failed(problem));
        }
        blocks.extend(self.resources(text).await?);
        blocks.append(attached);
        let run = self.chat.astream(blocks);
        self.follow(run, exit).await
    }

    async fn follow(&mut self, run: Run, exit: &mut Exit) -> Result<Flow, Failure> {
        let quiet = NoEcho::new(&self.app.terminal);
        let ended = follow(run, &mut self.screen, &mut self.signals, self.questions.as_mut()).await?;
        drop(quiet);
        self.count(&ended.outcome);
        if self.app.terminal.stderr {
            faint(&self.app.terminal, &footer(&ended.outcome));
        }
        let (leave, stopped) = (ended.leave, ended.outcome.status == victor::agent::Status::Cancelled);
        let conflict = matches!(ended.error, Some(VictorError::Session(_)));
        *exit = match told(ended) {
            Ok(_) if leave => return Ok(Flow::Leave(Exit::Interrupted)),
            Ok(exit) => exit,
            Err(e) if conflict && !self.app.terminal.stdin => return Err(e),
            Err(e) => {
                self.app.error(&e);
                e.exit
            }
        };
        Ok(if stopped { Flow::Stopped } else { Flow::Go })
    }

    fn count(&mut self, outcome: &Outcome) {
        self.spent.cost = match (self.spent.turns, self.spent.cost, outcome.cost) {
            (0, _, cost) => cost,
            (_, Some(mut before), Some(cost)) => {
                before += cost;
                Some(before)
            }
            _ => None,
        };
        self.spent.usage += outcome.usage;
        self.spent.turns += 1;
    }
}
