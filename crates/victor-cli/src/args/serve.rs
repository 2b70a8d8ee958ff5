//! `victor serve` and `victor tokens`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use victor::token::Scope;

use super::Format;
use crate::token::duration;

/// `victor serve`.
#[derive(Args)]
pub(crate) struct ServeArgs {
    /// The address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<String>,
    /// The port; 0 lets the system choose [default: 8080]
    #[arg(long, value_name = "N")]
    pub(crate) port: Option<u16>,
    /// Serve HTTPS with this certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "ssl_key")]
    pub(crate) ssl_cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "ssl_cert")]
    pub(crate) ssl_key: Option<PathBuf>,
    /// Threads that serve [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// Seconds that runs have to end when the server is asked to end [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) grace: Option<Duration>,
    /// Serve MCP clients too, at /mcp and /sse
    #[arg(long)]
    pub(crate) mcp: bool,
    /// Serve other machines without asking for a key
    #[arg(long)]
    pub(crate) insecure: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<u32>().map(|s| Duration::from_secs(s.into())).map_err(|e| e.to_string())
}

/// `victor tokens`.
#[derive(Subcommand)]
pub(crate) enum TokensCommand {
    /// Make a token; it is shown once
    Create {
        /// What to call it
        name: String,
        /// What it allows: chat, tools, read, admin
        #[arg(long = "scope", visible_alias = "scopes", value_name = "SCOPE", value_delimiter = ',',
              default_values = ["chat", "tools", "read"])]
        scopes: Vec<Scope>,
        /// How long it is valid: 30d, 12h, 45m, 90s [default: until it is revoked]
        #[arg(long, value_name = "TIME", value_parser = duration)]
        expires: Option<Duration>,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// All tokens, valid or not
    #[command(visible_alias = "ls")]
    List(Format),
    /// Make a token worthless
    Revoke {
        /// Its name or id
        name: String,
    },
}
