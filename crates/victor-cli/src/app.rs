//! What every command needs: the environment, the terminal, the user's home, and the way to a runtime.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use inquire::Select;
use victor::agent::{AgentSpec, DryRun};
use victor::config::{Flags, Level};
use victor::log::LogGuard;
use victor::mcp::Servers;
use victor::runtime::Runtime;
use victor::tool::ToolSource as _;
use victor::{Env, Home, Options, Place, Save, Setup, Trust, TrustState};

use crate::approve::by_beginning;
use crate::args::{AgentFlags, Global};
use crate::exit::{Exit, Failure};
use crate::render::style::{Color, Style};
use crate::render::wrap::Span;
use crate::signal::Signals;
use crate::terminal::{Terminal, tell};

/// How long runs that were cancelled may take to settle when the program ends.
const GRACE: Duration = Duration::from_secs(3);

/// One call of the program.
pub(crate) struct App {
    pub(crate) env: Env,
    pub(crate) terminal: Terminal,
    pub(crate) global: Global,
    /// Writes out the rest of the log when the program ends.
    log: OnceLock<LogGuard>,
}

/// What a command opened.
pub(crate) struct Opened {
    pub(crate) runtime: Runtime,
    /// The agent that flags ask for.
    pub(crate) spec: AgentSpec,
    /// What it was opened with.
    pub(crate) setup: Setup,
}

impl App {
    /// The environment and the terminal as they are.
    pub(crate) fn new(global: Global) -> Self {
        let env = Env::process();
        let plain = env.var("NO_COLOR").is_some() || env.var("TERM") == Some("dumb");
        let terminal = Terminal::detect(global.color, plain);
        Self { env, terminal, global, log: OnceLock::new() }
    }

    /// The user's home of Victor.
    ///
    /// # Errors
    /// The environment names none.
    pub(crate) fn home(&self) -> Result<Home, Failure> {
        Ok(Home::find(&self.env)?)
    }

    /// The folder to work in, and what the user thinks of it.
    ///
    /// # Errors
    /// It is no folder, or its files cannot be read.
    pub(crate) fn place(&self) -> Result<Place, Failure> {
        Ok(Place::find(&self.env, self.global.workspace.as_deref())?)
    }

    /// The configuration under these flags. Says on stderr what was ignored.
    ///
    /// # Errors
    /// Something in it is wrong.
    pub(crate) fn setup(&self, flags: &AgentFlags) -> Result<Setup, Failure> {
        let setup = Setup::load(self.options(flags))?;
        self.tell(&setup.settings.notices);
        Ok(setup)
    }

    /// A runtime, and the agent that flags ask for. Starts the log.
    ///
    /// # Errors
    /// The configuration is wrong, or a part of it cannot be opened.
    pub(crate) fn open(&self, flags: &AgentFlags) -> Result<Opened, Failure> {
        let setup = self.setup(flags)?;
        if !flags.no_save {
            self.start_log(&setup);
        }
        self.tell(&setup.instructions()?.1);
        let runtime = setup.runtime()?;
        Ok(Opened { runtime, spec: setup.spec(), setup })
    }

    /// A runtime for a command that starts no agent.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn runtime(&self) -> Result<Runtime, Failure> {
        Ok(self.setup(&AgentFlags::default())?.runtime()?)
    }

    /// Has MCP servers say what tools they have where that is not known yet, and says on stderr which cannot be used.
    pub(crate) async fn ready_servers(&self, runtime: &Runtime) {
        let Some(servers) = runtime.get::<Servers>() else { return };
        servers.tools().await;
        let failures = servers.failures();
        let lines: Vec<_> = failures.iter().map(|(name, why)| format!("MCP server `{name}`: {why}")).collect();
        self.tell(&lines);
    }

    /// Ends what still runs.
    pub(crate) async fn close(&self, runtime: &Runtime) {
        runtime.shutdown(GRACE).await;
    }

    /// What these flags ask of a runtime.
    pub(crate) fn options(&self, flags: &AgentFlags) -> Options {
        let mut options = Options::new(self.env.clone());
        let choice = flags.choice.clone();
        options.flags = Flags {
            provider: choice.provider,
            model: choice.model,
            profile: choice.profile,
            mode: flags.call.mode,
            sandbox: flags.call.sandbox.map(Into::into),
            max_turns: flags.max_turns,
            max_cost: flags.max_cost,
            allow: flags.call.allow.clone(),
            temperature: flags.temperature,
            max_tokens: flags.max_tokens,
            tools: flags.tools.clone(),
        };
        options.workspace.clone_from(&self.global.workspace);
        options.add_dirs.clone_from(&flags.call.add_dir);
        options.trust = if self.global.trust { Trust::Once } else { Trust::Saved };
        options.save = if flags.no_save { Save::Off } else { Save::On };
        options.dry_run = if flags.call.dry_run { DryRun::On } else { DryRun::Off };
        options
    }

    /// The file of the editor's history, in a home that exists.
    pub(crate) fn history_file(&self) -> Option<PathBuf> {
        let home = self.home().ok()?;
        home.create().ok()?;
        Some(home.history())
    }

    /// Asks once whether the folder's own configuration is trusted, where somebody can be asked.
    ///
    /// # Errors
    /// The folder's files cannot be read, the answer cannot be saved, or the program is asked to end.
    pub(crate) async fn ask_for_trust(&self, signals: &mut Signals) -> Result<(), Failure> {
        let mut place = self.place()?;
        let asks = matches!(place.trust, TrustState::Untrusted | TrustState::Changed);
        if !asks || self.global.trust || !self.terminal.can_ask() {
            return Ok(());
        }
        let files: Vec<_> = place.files().collect();
        let question = format!(
            "{}: {}. It brings along {}, which can name providers, allow commands and start programs.",
            place.root.display(),
            place.trust,
            files.join(", ")
        );
        tell(&self.terminal, &[Span::new(question, Style::PLAIN)]);
        let offers = vec!["No: it may only narrow what the agent may do", "Trust it as it is"];
        let asked =
            tokio::task::spawn_blocking(|| Select::new("Trust it?", offers).with_scorer(&by_beginning).raw_prompt());
        let Some(answer) = signals.or_end(asked).await else { return Err(Failure::told(Exit::Interrupted)) };
        match answer {
            Ok(Ok(answer)) if answer.index == 1 => place.trust()?,
            Ok(Ok(_)) => place.decline()?,
            // Ctrl-C and the like are no answer.
            Ok(Err(_)) | Err(_) => {}
        }
        Ok(())
    }

    /// Tells on stderr what went wrong.
    pub(crate) fn error(&self, failure: &Failure) {
        if !failure.message.is_empty() {
            let mark = Span::new("error: ", Style::color(Color::Red));
            tell(&self.terminal, &[mark, Span::new(&failure.message, Style::PLAIN)]);
        }
    }

    /// A log that cannot be written keeps nobody from working.
    pub(crate) fn start_log(&self, setup: &Setup) {
        self.start_log_with(setup, None);
    }

    /// As [`start_log`](Self::start_log), with what is at least of this level on stderr too.
    pub(crate) fn start_log_with(&self, setup: &Setup, console: Option<Level>) {
        match victor::log::start(&setup.place.home, &setup.settings.config, self.global.verbose, console) {
            Ok(guard) => drop(self.log.set(guard)),
            Err(e) => self.tell(&[format!("warning: {e}")]),
        }
    }

    pub(crate) fn tell(&self, notices: &[String]) {
        notices.iter().for_each(|notice| tell(&self.terminal, &[Span::new(notice, Style::PLAIN)]));
    }
}
