//! What is configured of one MCP server: how it is reached, and what of it may be used.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// One MCP server, as it is configured.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The name that its user gave it.
    pub name: String,
    /// Where it is configured, for messages.
    pub place: String,
    /// Whether and how it is reached.
    pub setting: Setting,
    /// How long it may take to start and to say what it has.
    pub start_timeout: Duration,
    /// How long a call may go on without a sign of progress.
    pub call_timeout: Duration,
    /// Globs of the tools that are offered; all without it.
    pub tools: Option<Vec<String>>,
}

/// Whether and how a server is reached.
#[derive(Clone, Debug)]
pub enum Setting {
    /// It is used.
    Enabled(Link),
    /// Its user has switched it off.
    Disabled,
    /// It cannot be used as it is configured; says why.
    Broken(String),
}

/// How a server is reached.
#[derive(Clone, Debug)]
pub enum Link {
    /// A program, spoken to over its standard streams.
    Program(Program),
    /// An address.
    Address(Address),
}

/// A program to start.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The program.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, beside the few variables that every server gets.
    pub env: BTreeMap<String, String>,
    /// The folder that it starts in.
    pub folder: PathBuf,
}

/// A server at an address.
#[derive(Clone, Debug, Default)]
pub struct Address {
    /// The address.
    pub url: String,
    /// Headers to send with every request.
    pub headers: BTreeMap<String, String>,
    /// A bearer token, without the word before it.
    pub bearer: Option<String>,
    /// How it is spoken to.
    pub wire: Wire,
    /// How one logs in to it.
    pub oauth: OAuth,
}

/// How a server at an address is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// Streamable HTTP, and the older transport where the server refuses it.
    #[default]
    Auto,
    /// Streamable HTTP.
    Streamable,
    /// The older transport: events over a GET, messages over POSTs (revision 2024-11-05).
    Sse,
}

/// How one logs in to a server; what is left open is found out from the server.
#[derive(Clone, Debug, Default)]
pub struct OAuth {
    /// The client's id, where it was registered by hand.
    pub client_id: Option<String>,
    /// The secret that goes with it.
    pub client_secret: Option<String>,
    /// The address of a document about the client, which stands for its id where the server takes that.
    pub client_metadata_url: Option<String>,
    /// The scopes to ask for.
    pub scopes: Vec<String>,
}

impl ServerConfig {
    /// A name for what is kept of a server that is configured like this; another configuration has another name.
    #[must_use]
    pub fn key(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        add(&self.name);
        match &self.setting {
            Setting::Enabled(Link::Program(program)) => {
                add("program");
                add(&program.command);
                program.args.iter().for_each(|arg| add(arg));
                add(&program.folder.to_string_lossy());
                program.env.iter().for_each(|(name, value)| {
                    add(name);
                    add(value);
                });
            }
            Setting::Enabled(Link::Address(address)) => {
                add("address");
                add(&address.url);
                add(address.bearer.as_deref().unwrap_or_default());
                address.headers.iter().for_each(|(name, value)| {
                    add(name);
                    add(value);
                });
            }
            Setting::Disabled | Setting::Broken(_) => {}
        }
        let digest: String = hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
        format!("{}-{digest}", super::name::part(&self.name))
    }

    /// Its transport in one word: `stdio`, `http` or `sse`.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        match &self.setting {
            Setting::Enabled(Link::Program(_)) => "stdio",
            Setting::Enabled(Link::Address(Address { wire: Wire::Sse, .. })) => "sse",
            Setting::Enabled(Link::Address(_)) => "http",
            Setting::Disabled | Setting::Broken(_) => "",
        }
    }

    /// The command line or the address.
    #[must_use]
    pub fn target(&self) -> String {
        match &self.setting {
            Setting::Enabled(Link::Program(program)) => {
                std::iter::once(&program.command).chain(&program.args).cloned().collect::<Vec<_>>().join(" ")
            }
            Setting::Enabled(Link::Address(address)) => address.url.clone(),
            Setting::Disabled | Setting::Broken(_) => String::new(),
        }
    }
}
