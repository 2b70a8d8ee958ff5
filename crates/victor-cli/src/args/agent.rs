//! The flags that shape an agent, and the fewer ones that shape a single tool call.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use victor::permission::Mode;
use victor::sandbox::SandboxMode;

/// Which provider and model.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Agent")]
pub(crate) struct Choice {
    /// The provider, or `provider/model`
    #[arg(long, value_name = "NAME")]
    pub(crate) provider: Option<String>,
    /// The model
    #[arg(long, value_name = "ID")]
    pub(crate) model: Option<String>,
    /// A saved profile
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
}

/// What one tool call may do.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Permissions")]
pub(crate) struct CallFlags {
    /// What the agent is there for, and so what it may do at most
    #[arg(long, value_name = "MODE", value_parser = modes())]
    pub(crate) mode: Option<Mode>,
    /// Another folder that may be read and written; can be given several times
    #[arg(long, value_name = "DIR")]
    pub(crate) add_dir: Vec<PathBuf>,
    /// Only say what would be changed
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Answer all questions with yes; opens nothing that is denied
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Allow what this rule names, such as `bash(cargo test*)`; can be given several times
    #[arg(long, value_name = "RULE")]
    pub(crate) allow: Vec<String>,
    /// How far commands may reach
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) sandbox: Option<SandboxFlag>,
}

/// The agent of `chat` and `run`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Agent")]
pub(crate) struct AgentFlags {
    /// Which one.
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// Sampling temperature, 0 to 2
    #[arg(long, value_name = "T", value_parser = temperature, allow_negative_numbers = true)]
    pub(crate) temperature: Option<f64>,
    /// Tokens of an answer at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: Option<u32>,
    /// The tools that may be used, by name or glob
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) tools: Option<Vec<String>>,
    /// Model calls at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_turns: Option<u32>,
    /// Dollars at most
    #[arg(long, value_name = "USD", value_parser = dollars, allow_negative_numbers = true)]
    pub(crate) max_cost: Option<f64>,
    /// A file to show the agent; can be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) attach: Vec<PathBuf>,
    /// Keep nothing of this conversation
    #[arg(long)]
    pub(crate) no_save: bool,
    /// What it may do.
    #[command(flatten)]
    pub(crate) call: CallFlags,
}

/// How far commands may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SandboxFlag {
    /// As far as you.
    Off,
    /// Write in the workspace only.
    WorkspaceWrite,
    /// Write nothing.
    ReadOnly,
}

impl From<SandboxFlag> for SandboxMode {
    fn from(flag: SandboxFlag) -> Self {
        match flag {
            SandboxFlag::Off => Self::Off,
            SandboxFlag::WorkspaceWrite => Self::WorkspaceWrite,
            SandboxFlag::ReadOnly => Self::ReadOnly,
        }
    }
}

impl AgentFlags {
    /// These flags, with those that were typed before the command's name where these leave it open.
    pub(crate) fn over(self, before: Self) -> Self {
        Self {
            choice: self.choice.over(before.choice),
            temperature: self.temperature.or(before.temperature),
            max_tokens: self.max_tokens.or(before.max_tokens),
            tools: self.tools.or(before.tools),
            max_turns: self.max_turns.or(before.max_turns),
            max_cost: self.max_cost.or(before.max_cost),
            attach: joined(before.attach, self.attach),
            no_save: self.no_save || before.no_save,
            call: self.call.over(before.call),
        }
    }
}

impl Choice {
    /// These flags, with those that were typed before the command's name where these leave it open.
    pub(crate) fn over(self, before: Self) -> Self {
        Self {
            provider: self.provider.or(before.provider),
            model: self.model.or(before.model),
            profile: self.profile.or(before.profile),
        }
    }
}

impl CallFlags {
    /// These flags, with those that were typed before the command's name where these leave it open.
    pub(crate) fn over(self, before: Self) -> Self {
        Self {
            mode: self.mode.or(before.mode),
            add_dir: joined(before.add_dir, self.add_dir),
            dry_run: self.dry_run || before.dry_run,
            yes: self.yes || before.yes,
            allow: joined(before.allow, self.allow),
            sandbox: self.sandbox.or(before.sandbox),
        }
    }
}

fn joined<T>(mut first: Vec<T>, second: Vec<T>) -> Vec<T> {
    first.extend(second);
    first
}

pub(super) fn modes() -> impl TypedValueParser<Value = Mode> {
    PossibleValuesParser::new(Mode::ALL.map(|(_, name, _)| name)).try_map(|name| Mode::from_str(&name))
}

pub(super) fn temperature(text: &str) -> Result<f64, String> {
    number(text, 0.0, 2.0)
}

pub(super) fn dollars(text: &str) -> Result<f64, String> {
    number(text.strip_prefix('$').unwrap_or(text), 0.0, 1e9)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if (least..=most).contains(&n) => Ok(n),
        Ok(_) => Err(format!("not between {least} and {most}")),
        Err(_) => Err("not a number".to_owned()),
    }
}
