//! Adding and removing servers: in the user's configuration, or in the folder's `.mcp.json`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use victor_core::error::ConfigurationError;
use victor_mcp::client::check_address;

use crate::config::{self, McpServer};
use crate::home::Home;
use crate::platform::{self, Content, Links};

/// The folder's own file.
const FILE: &str = ".mcp.json";

/// Where a server is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In the user's own configuration, for all folders.
    User(Home),
    /// In the `.mcp.json` of this folder.
    Project(PathBuf),
}

impl Scope {
    /// The file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        match self {
            Self::User(home) => home.config(),
            Self::Project(root) => root.join(FILE),
        }
    }
}

/// Writes a server down, in the place of one of the same name.
///
/// # Errors
/// The file is wrong as it stands or cannot be written, or the name cannot be one.
pub fn add(scope: &Scope, name: &str, server: &McpServer) -> Result<(), ConfigurationError> {
    if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c)) {
        let message = format!("`{name}` cannot be a server's name; use letters, digits, `-`, `_` and `.`");
        return Err(ConfigurationError::new(message));
    }
    if let Some(url) = server.url.as_deref().filter(|url| !url.contains("${")) {
        check_address(url).map_err(ConfigurationError::new)?;
    }
    let value = serde_json::to_value(server).map_err(|e| ConfigurationError::new(e.to_string()))?;
    match scope {
        Scope::User(home) => config::put(home, &["mcpServers".to_owned(), name.to_owned()].to_vec(), &value),
        Scope::Project(root) => change(root, |servers| {
            servers.insert(name.to_owned(), value);
        }),
    }
}

/// Takes a server out. Tells whether it was there.
///
/// # Errors
/// The file is wrong as it stands or cannot be written.
pub fn remove(scope: &Scope, name: &str) -> Result<bool, ConfigurationError> {
    match scope {
        Scope::User(home) => config::remove(home, &["mcpServers".to_owned(), name.to_owned()].to_vec()),
        Scope::Project(root) => {
            let mut was = false;
            change(root, |servers| was = servers.shift_remove(name).is_some())?;
            Ok(was)
        }
    }
}

/// Whether a server of this name is written down there.
///
/// # Errors
/// The file is wrong as it stands.
pub fn is_written(scope: &Scope, name: &str) -> Result<bool, ConfigurationError> {
    match scope {
        Scope::User(home) => {
            Ok(config::own_value(home, &["mcpServers".to_owned(), name.to_owned()].to_vec())?.is_some())
        }
        Scope::Project(root) => {
            let file = read(&root.join(FILE))?;
            Ok(file.get("mcpServers").and_then(|servers| servers.get(name)).is_some())
        }
    }
}

fn read(path: &Path) -> Result<Value, ConfigurationError> {
    let fail = |why: String| ConfigurationError::new(format!("{}: {why}", path.display()));
    match platform::read_limited(path, config::document::LIMIT, Links::Refuse) {
        Ok(Content::Missing) => Ok(Value::Object(Map::new())),
        Ok(Content::Bytes(bytes)) => serde_json::from_slice(&bytes).map_err(|e| fail(e.to_string())),
        Ok(Content::TooLong(_)) => Err(fail("it is too long".to_owned())),
        Err(e) => Err(fail(format!("it cannot be read: {e}"))),
    }
}

fn change(root: &Path, edit: impl FnOnce(&mut Map<String, Value>)) -> Result<(), ConfigurationError> {
    let path = root.join(FILE);
    let fail = |why: String| ConfigurationError::new(format!("{}: {why}", path.display()));
    let mut file = read(&path)?;
    let form = || fail("`mcpServers` is no object".to_owned());
    let servers = file.as_object_mut().ok_or_else(form)?.entry("mcpServers").or_insert_with(|| Map::new().into());
    let before = servers.clone();
    edit(servers.as_object_mut().ok_or_else(form)?);
    if *servers == before {
        return Ok(());
    }
    let mut text = serde_json::to_string_pretty(&file).map_err(|e| fail(e.to_string()))?;
    text.push('\n');
    platform::replace_file(&path, text.as_bytes()).map_err(|e| fail(format!("it cannot be written: {e}")))
}
