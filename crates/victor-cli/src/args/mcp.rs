//! `victor mcp`: the server's flags, and the commands for clients.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use victor::config::Level;

use super::agent::{CallFlags, Choice};

/// `victor mcp`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct McpArgs {
    /// What to do; without a command it serves.
    #[command(subcommand)]
    pub(crate) command: Option<McpCommand>,
    /// The server's flags.
    #[command(flatten)]
    pub(crate) serve: McpServe,
}

/// The server's flags.
#[derive(Args)]
pub(crate) struct McpServe {
    /// Serve one client on stdin and stdout; the default where stdin is no terminal
    #[arg(long, conflicts_with = "http")]
    pub(crate) stdio: bool,
    /// Serve Streamable HTTP at /mcp and the older SSE transport at /sse of this address
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) http: Option<SocketAddr>,
    /// Tell this and what is more important, on stderr and in the log: off, error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    pub(crate) log_level: Option<Level>,
    /// Offer these tools only, by name, category or glob
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) tools: Option<Vec<String>>,
    /// Calls of a model that a run may make at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_turns: Option<u32>,
    /// Keep nothing of what runs say
    #[arg(long)]
    pub(crate) no_save: bool,
    /// The model of `run_agent`.
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// What tools may do.
    #[command(flatten)]
    pub(crate) call: CallFlags,
}

/// An address with a port, or a port of this machine alone.
fn address(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix("localhost:").unwrap_or(text);
    if let Ok(port) = bare.trim_start_matches(':').parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    text.parse().map_err(|_| "an address has the form 127.0.0.1:8081, or is a port".to_owned())
}

fn level(text: &str) -> Result<Level, String> {
    let level = serde_json::from_value(text.to_lowercase().into());
    level.map_err(|_| "there are off, error, warn, info, debug, trace".to_owned())
}

/// The commands of `victor mcp`.
#[derive(Subcommand)]
pub(crate) enum McpCommand {
    /// Write Victor into the configuration of an MCP client
    Install(InstallArgs),
}

/// `victor mcp install`.
#[derive(Args)]
pub(crate) struct InstallArgs {
    /// Which client
    #[arg(value_enum)]
    pub(crate) client: McpClient,
    /// Write without a question
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Offer only what reads: nothing is changed, and no program is run
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Print what would be written, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The file to write instead of the client's own
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// A client whose configuration Victor knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum McpClient {
    /// Claude Desktop
    ClaudeDesktop,
    /// Claude Code
    ClaudeCode,
    /// Cursor
    Cursor,
    /// Visual Studio Code
    Vscode,
}
