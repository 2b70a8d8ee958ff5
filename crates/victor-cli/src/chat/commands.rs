//! What slash commands do.

use std::fmt::Write as _;

use victor::agent::Chat;
use victor::mcp::Servers;
use victor::permission::{Mode, RuleEffect};
use victor::provider::Selector;

use super::model::selector;
use super::slash::{COMMANDS, Kind, OTHERS, parse};
use super::{Flow, Talk};
use crate::exit::{Exit, Failure};
use crate::mcp;
use crate::render::footer::{cost, grouped, tokens};
use crate::render::style::{Paint, Style};
use crate::render::table::table;
use crate::render::wrap::{Span, wrap};
use crate::session;
use crate::terminal::{Terminal, line};

/// Columns for what is typed.
const FORMS: usize = 18;

impl Talk<'_> {
    /// Carries out a slash command.
    pub(super) async fn command(&mut self, text: &str, exit: &mut Exit) -> Result<Flow, Failure> {
        let (kind, argument) = parse(text).map_err(Failure::usage)?;
        match kind {
            Kind::Help => help(self.app.terminal.stdout.then(Terminal::width))?,
            Kind::Model => self.model(argument).await?,
            Kind::Provider => self.provider(argument).await?,
            Kind::Mode => self.mode(argument).await?,
            Kind::Tools => self.tools().await?,
            Kind::Mcp => self.servers()?,
            Kind::Permissions => self.permissions()?,
            Kind::Cost => self.cost()?,
            Kind::Context => self.context().await?,
            Kind::Compact => self.compact().await?,
            Kind::Clear => self.clear(),
            Kind::Resume => self.resume(argument).await?,
            Kind::Undo => self.undo().await?,
            Kind::Quit => return Ok(Flow::Leave(*exit)),
        }
        Ok(Flow::Go)
    }

    async fn model(&mut self, name: &str) -> Result<(), Failure> {
        let model = self.chat.agent().model().clone();
        let Some(registry) = self.runtime.providers() else { return Ok(()) };
        let known = registry.models();
        if name.is_empty() {
            line(format!("{model:?}"))?;
            let others: Vec<_> = known.iter().filter(|m| m.provider == model.info.provider && !m.retired).collect();
            return others.iter().try_for_each(|m| line(format!("  {}", m.id))).map_err(Failure::from);
        }
        let providers: Vec<String> = registry.providers().into_iter().map(|p| p.name).collect();
        let selector = selector(name, &model.info.provider, &known, &providers);
        self.switch(selector).await
    }

    async fn provider(&mut self, name: &str) -> Result<(), Failure> {
        if !name.is_empty() {
            return self.switch(Selector { provider: Some(name.to_owned()), model: None }).await;
        }
        let Some(registry) = self.runtime.providers() else { return Ok(()) };
        let now = &self.chat.agent().model().info.provider;
        for provider in registry.providers().iter().filter(|p| p.configured || p.name == *now) {
            let mark = if provider.name == *now { "*" } else { " " };
            line(format!("{mark} {}", provider.name))?;
        }
        Ok(())
    }

    async fn switch(&mut self, selector: Selector) -> Result<(), Failure> {
        self.chat.switch(selector).await?;
        let said = format!("{:?} answers from now on", self.chat.agent().model());
        self.screen.note(&said);
        Ok(())
    }

    async fn mode(&mut self, name: &str) -> Result<(), Failure> {
        if name.is_empty() {
            let now = self.chat.agent().mode();
            for (mode, name, about) in Mode::ALL {
                line(format!("{} {name:9} {about}", if mode == now { "*" } else { " " }))?;
            }
            return Ok(());
        }
        let mode: Mode = name.parse().map_err(Failure::from)?;
        self.chat.set_mode(mode).await?;
        self.screen.note(&format!("the mode is now `{}`", mode.name()));
        Ok(())
    }

    async fn tools(&self) -> Result<(), Failure> {
        let tools = self.chat.agent().tools().await;
        let rows: Vec<[String; 3]> = tools
            .specs()
            .iter()
            .map(|t| {
                let about = t.description.lines().next().unwrap_or_default().to_owned();
                [t.name.clone(), t.effects.names().collect::<Vec<_>>().join(","), about]
            })
            .collect();
        self.rows(["tool", "effects", "about"], &rows)
    }

    fn servers(&self) -> Result<(), Failure> {
        let statuses = self.runtime.get::<Servers>().map(|s| s.statuses()).unwrap_or_default();
        if statuses.is_empty() {
            return line("no MCP servers; `victor mcp add` adds one").map_err(Into::into);
        }
        mcp::lines(self.app, &statuses).iter().try_for_each(line).map_err(Into::into)
    }

    fn permissions(&self) -> Result<(), Failure> {
        let mode = self.chat.agent().mode();
        let workspace = self.runtime.workspace();
        line(format!("mode: {}", mode.name()))?;
        for folder in workspace.writable() {
            line(format!("folder: {}", folder.display()))?;
        }
        let rules = self.runtime.rules();
        let rows: Vec<[String; 3]> = rules
            .rules()
            .iter()
            .map(|rule| {
                let effect = match rule.effect() {
                    RuleEffect::Allow => "allow",
                    RuleEffect::Ask => "ask",
                    RuleEffect::Deny => "deny",
                };
                [effect.to_owned(), rule.text().to_owned(), rule.source().to_owned()]
            })
            .collect();
        if rows.is_empty() {
            return line("no rules: reading and writing in these folders is allowed, commands ask").map_err(Into::into);
        }
        self.rows(["effect", "rule", "from"], &rows)
    }

    fn cost(&self) -> Result<(), Failure> {
        let spent = &self.spent;
        let money = if spent.turns == 0 { "$0.0000".to_owned() } else { cost(spent.cost) };
        let turns = if spent.turns == 1 { "turn" } else { "turns" };
        line(format!("{} {turns} · {} · {money}", spent.turns, tokens(&spent.usage))).map_err(Into::into)
    }

    async fn context(&mut self) -> Result<(), Failure> {
        let context = self.chat.context().await?;
        let mut text = format!("{} messages, about {} tokens", context.messages, grouped(context.tokens));
        if let Some(window) = context.window.filter(|w| *w > 0) {
            let part = context.tokens * 100 / u64::from(window);
            let _ = write!(text, " of {} ({part}%)", grouped(u64::from(window)));
        }
        line(text).map_err(Into::into)
    }

    async fn compact(&mut self) -> Result<(), Failure> {
        let done = self.chat.compact().await?;
        let said = format!("conversation shortened: {} to {} tokens", grouped(done.before), grouped(done.after));
        self.screen.note(&said);
        Ok(())
    }

    fn clear(&mut self) {
        let old = self.chat.session().clone();
        let agent = self.chat.agent().clone();
        self.chat = if self.flags.no_save { agent.unsaved_chat() } else { agent.chat(None) };
        let kept = if self.flags.no_save { String::new() } else { format!("; /resume {old} goes back") };
        self.screen.note(&format!("a new conversation begins{kept}"));
    }

    async fn resume(&mut self, id: &str) -> Result<(), Failure> {
        let id = match id {
            "" => match session::pick(self.app, &self.runtime, &mut self.signals).await? {
                Some(id) => id,
                None => return Ok(()),
            },
            id => session::find(&self.runtime, id).await?,
        };
        if id == *self.chat.session() {
            return Err(Failure::failed("that is this conversation"));
        }
        let mut chat: Chat = self.chat.agent().chat(Some(id));
        chat.load().await?;
        self.chat = chat;
        super::recap(self.app, &mut self.chat).await
    }

    fn rows<const N: usize>(&self, titles: [&str; N], rows: &[[String; N]]) -> Result<(), Failure> {
        let width = self.app.terminal.stdout.then(Terminal::width);
        table(titles, rows, width).iter().try_for_each(line).map_err(Into::into)
    }
}

fn help(width: Option<usize>) -> Result<(), Failure> {
    let commands = COMMANDS.iter().map(|c| (format!("{} {}", c.name, c.args), c.about));
    let others = OTHERS.iter().map(|(form, about)| ((*form).to_owned(), *about));
    for (form, about) in commands.chain(others) {
        let text = [Span::new(about, Style::PLAIN)];
        let lines = wrap(&text, width.map_or(usize::MAX / 2, |w| w.saturating_sub(FORMS + 1)), Paint::off());
        for (i, text) in lines.iter().enumerate() {
            line(format!("{:FORMS$} {text}", if i == 0 { form.as_str() } else { "" }))?;
        }
    }
    Ok(())
}
