//! `victor mcp`: the MCP servers that agents may use.

use clap::{Args, Subcommand, ValueEnum};

use super::Format;

/// `victor mcp`.
#[derive(Args)]
pub(crate) struct McpArgs {
    /// What to do with the servers that agents use.
    #[command(subcommand)]
    pub(crate) command: Option<McpCommand>,
}

/// What to do with the servers that agents use.
#[derive(Subcommand)]
pub(crate) enum McpCommand {
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

/// How an address is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum McpType {
    /// Streamable HTTP.
    Http,
    /// The older transport, with server-sent events.
    Sse,
}
