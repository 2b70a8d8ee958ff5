//! The command line as it is typed: commands, and the flags that all of them share.

mod agent;
mod mcp;
mod registry;
mod serve;
#[cfg(test)]
mod tests;
mod workflow;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use agent::{AgentFlags, CallFlags, Choice};
pub(crate) use mcp::{InstallArgs, McpAddArgs, McpArgs, McpClient, McpCommand, McpScope, McpServe, McpType};
pub(crate) use registry::{
    ConfigCommand, KeysCommand, ListArgs, ModelsCommand, ProfileArgs, ProfilesCommand, ProvidersCommand, PullArgs,
    SessionsCommand, ToolsCommand, WorkspaceCommand,
};

pub(crate) use serve::{ServeArgs, TokensCommand};
pub(crate) use workflow::{
    FollowArgs, GraphFormat, WhichWorkflow, WorkflowCommand, WorkflowResumeArgs, WorkflowRunArgs,
};

const AFTER_HELP: &str = "\
Without a command, `victor` is `victor chat`.

Exit codes: 0 done, 1 failed, 2 usage, 3 configuration or credentials, 4 provider, 5 a limit, 6 denied, 130 interrupted.";

/// Victor: an agent for your terminal
#[derive(Parser)]
#[command(name = "victor", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Flags that every command takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// Flags of `victor chat`, which is what `victor` alone does.
    #[command(flatten)]
    pub(crate) chat: ChatFlags,
    /// Flags that shape the agent.
    #[command(flatten)]
    pub(crate) agent: AgentFlags,
}

/// Flags that every command takes.
#[derive(Args, Clone, Default)]
pub(crate) struct Global {
    /// The folder to work in [default: the current one]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) workspace: Option<PathBuf>,
    /// Trust this folder's own configuration for this one call
    #[arg(long, global = true)]
    pub(crate) trust: bool,
    /// Tell more on stderr and in the log; twice for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colours
    #[arg(long, global = true, value_enum, value_name = "WHEN")]
    pub(crate) color: Option<ColorWhen>,
}

/// How many: 1 at least.
fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "a whole number above 0 is expected".to_owned())
}

/// When to use colours.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Which conversation to go on with.
#[derive(Args, Clone, Default)]
pub(crate) struct ChatFlags {
    /// Go on with the latest session of this folder
    #[arg(long = "continue", short = 'c', conflicts_with = "session")]
    pub(crate) resume: bool,
    /// Go on with this session
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
}

/// How data is printed.
#[derive(Args, Clone, Copy, Default)]
pub(crate) struct Format {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Talk with an agent in the current folder
    Chat(ChatArgs),
    /// Do one task without asking questions
    Run(RunArgs),
    /// Serve the HTTP API, and run workflows on their schedules
    Serve(ServeArgs),
    /// Serve MCP clients, or manage MCP servers
    Mcp(McpArgs),
    /// Workflows: agents, tools, conditions and people, step by step
    #[command(subcommand, visible_alias = "workflows")]
    Workflow(WorkflowCommand),
    /// Saved conversations
    #[command(subcommand, visible_alias = "session")]
    Sessions(SessionsCommand),
    /// Model providers
    #[command(subcommand, visible_alias = "provider")]
    Providers(ProvidersCommand),
    /// Models
    #[command(subcommand, visible_alias = "model")]
    Models(ModelsCommand),
    /// The agent's tools
    #[command(subcommand, visible_alias = "tool")]
    Tools(ToolsCommand),
    /// Saved sets of choices
    #[command(subcommand, visible_alias = "profile")]
    Profiles(ProfilesCommand),
    /// Keys of providers
    #[command(subcommand, visible_alias = "key")]
    Keys(KeysCommand),
    /// Bearer tokens of the HTTP API
    #[command(subcommand, visible_alias = "token")]
    Tokens(TokensCommand),
    /// Configuration, with where each value comes from
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Trust in this folder's own configuration
    #[command(subcommand, visible_alias = "workspaces")]
    Workspace(WorkspaceCommand),
    /// Victor's log
    #[command(visible_alias = "log")]
    Logs(LogsArgs),
    /// First steps: looks for keys and writes a first configuration
    Init(InitArgs),
    /// What works on this machine, and what to do about what does not
    Doctor(DoctorArgs),
    /// Completions for a shell, to be sourced by it
    #[command(visible_alias = "completion")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// `victor chat`.
#[derive(Args)]
pub(crate) struct ChatArgs {
    /// The first thing to say
    pub(crate) prompt: Option<String>,
    /// Which conversation.
    #[command(flatten)]
    pub(crate) chat: ChatFlags,
    /// The agent.
    #[command(flatten)]
    pub(crate) agent: AgentFlags,
}

/// `victor run`.
#[derive(Args)]
pub(crate) struct RunArgs {
    /// The task; `-` reads it from stdin. What is piped in is added to it
    pub(crate) task: Option<String>,
    /// Print the run's events as JSON Lines
    #[arg(long)]
    pub(crate) json: bool,
    /// Have the answer follow the JSON Schema in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) output_schema: Option<PathBuf>,
    /// Go on with this session
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// The agent.
    #[command(flatten)]
    pub(crate) agent: AgentFlags,
}

/// `victor logs`.
#[derive(Args)]
pub(crate) struct LogsArgs {
    /// How many lines, from the end
    #[arg(long, value_name = "LINES", default_value_t = 100)]
    pub(crate) tail: usize,
    /// Go on with what is added
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// How it is printed.
    #[command(flatten)]
    pub(crate) format: Format,
}

/// `victor init`.
#[derive(Args)]
pub(crate) struct InitArgs {
    /// How it is printed.
    #[command(flatten)]
    pub(crate) format: Format,
}

/// `victor doctor`.
#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// Ask the provider too whether it can be reached
    #[arg(long)]
    pub(crate) online: bool,
    /// How it is printed.
    #[command(flatten)]
    pub(crate) format: Format,
    /// The provider that would serve.
    #[command(flatten)]
    pub(crate) choice: Choice,
}
