//! `victor mcp`: the server's flags, its entry in clients, and the MCP servers that agents may use.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use victor::config::Level;

use super::Format;
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
    /// All servers: how they stand, and where they are configured
    #[command(visible_alias = "ls")]
    List(Format),
    /// Add a server: a program after `--`, or an address
    Add(McpAddArgs),
    /// Take a server out of the configuration
    #[command(visible_alias = "rm")]
    Remove {
        /// The server
        name: String,
        /// Where it is written down
        #[arg(long, value_enum, value_name = "SCOPE", default_value = "user")]
        scope: McpScope,
    },
    /// Start a server and show what it has
    Test {
        /// The server
        name: String,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Log in to a server, in a browser
    Login {
        /// The server
        name: String,
    },
    /// Forget the login to a server
    Logout {
        /// The server
        name: String,
    },
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

/// `victor mcp add`.
#[derive(Args)]
#[command(
    override_usage = "victor mcp add [OPTIONS] <NAME> -- <COMMAND>...\n       victor mcp add [OPTIONS] <NAME> --url <URL>"
)]
pub(crate) struct McpAddArgs {
    /// Its name, which its tools' names begin with
    pub(crate) name: String,
    /// Its address
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    pub(crate) url: Option<String>,
    /// How an address is spoken to [default: found out]
    #[arg(long = "type", value_enum, value_name = "TYPE", requires = "url")]
    pub(crate) transport: Option<McpType>,
    /// A header to send with every request, `Name: value`; `${VAR}` in it is a variable's value when it is sent
    #[arg(long, value_name = "HEADER", requires = "url")]
    pub(crate) header: Vec<String>,
    /// The environment variable that holds a bearer token
    #[arg(long, value_name = "VAR", requires = "url")]
    pub(crate) bearer_env: Option<String>,
    /// A variable of the program's environment, `NAME=value`
    #[arg(long, value_name = "VAR", conflicts_with = "url")]
    pub(crate) env: Vec<String>,
    /// Where it is written down
    #[arg(long, value_enum, value_name = "SCOPE", default_value = "user")]
    pub(crate) scope: McpScope,
    /// Take the place of a server of this name
    #[arg(long)]
    pub(crate) force: bool,
    /// The program with its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// Where a server is written down.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum McpScope {
    /// In your own configuration, for all folders.
    User,
    /// In this folder's `.mcp.json`.
    Project,
}

impl McpScope {
    /// As it is said on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Project => "project",
        }
    }
}

/// How an address is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum McpType {
    /// Streamable HTTP.
    Http,
    /// The older transport, with server-sent events.
    Sse,
}
