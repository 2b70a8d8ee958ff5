//! Adding and removing servers: in the user's configuration, or in the folder's `.mcp.json`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use victor_core::error::ConfigurationError;

use crate::config::{self, McpServer};
use crate::home::Home;
use crate::platform::{self, Content, Links};

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
            Self::Project(root) => root.join(".mcp.json"),
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

fn change(root: &Path, edit: impl FnOnce(&mut Map<String, Value>)) -> Result<(), ConfigurationError> {
    let path = root.join(".mcp.json");
    let fail = |why: String| ConfigurationError::new(format!("{}: {why}", path.display()));
    let mut file = match platform::read_limited(&path, config::document::LIMIT, Links::Refuse) {
        Ok(Content::Missing) => Value::Object(Map::new()),
        Ok(Content::Bytes(bytes)) => serde_json::from_slice(&bytes).map_err(|e| fail(e.to_string()))?,
        Ok(Content::TooLong(_)) => return Err(fail("it is too long".to_owned())),
        Err(e) => return Err(fail(format!("it cannot be read: {e}"))),
    };
    let before = file.clone();
    let form = || fail("`mcpServers` is no object".to_owned());
    let servers = file.as_object_mut().ok_or_else(form)?.entry("mcpServers").or_insert_with(|| Map::new().into());
    edit(servers.as_object_mut().ok_or_else(form)?);
    if file == before {
        return Ok(());
    }
    let mut text = serde_json::to_string_pretty(&file).map_err(|e| fail(e.to_string()))?;
    text.push('\n');
    platform::replace_file(&path, text.as_bytes()).map_err(|e| fail(format!("it cannot be written: {e}")))
}
