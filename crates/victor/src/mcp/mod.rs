//! MCP servers for agents: which are configured, and what they are given of this machine.

mod define;
mod edit;
mod store;

pub use edit::{Scope, add, is_written, remove};
pub use victor_mcp::client::{Elicitation, Elicited, Elicitor, Login, LoginError, Report, Servers, State, Status};

use std::path::Path;
use std::sync::{Arc, OnceLock};

use victor_mcp::client::{CatalogStore, Host, Kept, ServerConfig};

use crate::clock::SystemClock;
use crate::env::Env;
use crate::home::Home;
use crate::setup::Save;

pub(crate) use define::definitions;
use store::{Shelf, Tokens};

/// The variables that every server's program gets; the others have to be named in its `env`.
const USUAL: [&str; 10] = ["HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"];

/// The servers; nothing is started.
pub(crate) fn servers(configs: Vec<ServerConfig>, home: &Home, env: &Env, root: &Path, save: Save) -> Servers {
    let catalogs: Arc<dyn CatalogStore> = match save {
        Save::On => Arc::new(Shelf::new(home)),
        Save::Off => Arc::new(Kept),
    };
    let host = Host {
        clock: Arc::new(SystemClock),
        root: root.to_owned(),
        env: env.vars().filter(|(name, _)| USUAL.contains(name) || name.starts_with("LC_")).map(own).collect(),
        client: Arc::new(victor_providers::client),
        catalogs,
        tokens: Arc::new(Tokens::new(home, env)),
        elicitor: Arc::new(OnceLock::new()),
    };
    Servers::new(configs, host)
}

fn own((name, value): (&str, &std::ffi::OsStr)) -> (String, std::ffi::OsString) {
    (name.to_owned(), value.to_owned())
}
