//! From configuration and `.mcp.json` to definitions of servers. What is wrong with one harms only that one.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use victor_core::error::{ConfigurationError, nearest};
use victor_mcp::client::{Address, Link, OAuth, Program, ServerConfig, Setting, Wire};

use crate::config::{self, McpServer, McpTransport, Settings};
use crate::env::Env;
use crate::trust::ProjectFiles;

/// The file of a folder that names servers, as other programs have it too.
const FILE: &str = ".mcp.json";
const CALL: u64 = 120;
const START: u64 = 30;
/// The keys of one server that mean something here.
const KEYS: [&str; 13] = [
    "type",
    "transport",
    "command",
    "args",
    "env",
    "url",
    "headers",
    "bearer_env",
    "oauth",
    "disabled",
    "tools",
    "timeout",
    "start_timeout",
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct McpFile {
    #[serde(rename = "mcpServers")]
    servers: BTreeMap<String, Map<String, Value>>,
}

/// The servers of the configuration, and of the folder's `.mcp.json` where that is trusted; adds to the notices what
/// is passed over.
///
/// # Errors
/// The folder's file is trusted, and is no JSON of the right form.
pub(crate) fn definitions(
    settings: &mut Settings,
    trusted: Option<&ProjectFiles>,
    root: &Path,
    env: &Env,
) -> Result<Vec<ServerConfig>, ConfigurationError> {
    let place = |name: &str| {
        let own = |o: &&config::Origin| matches!(o.path.as_slice(), [a, b, ..] if a == "mcpServers" && b == name);
        settings.origins.iter().find(own).map_or_else(String::new, |o| o.origin.clone())
    };
    let mut found: BTreeMap<String, (McpServer, String)> = BTreeMap::new();
    for (name, server) in &settings.config.mcp_servers {
        found.insert(name.clone(), (server.clone(), place(name)));
    }
    let mut notices = Vec::new();
    if let Some(text) = trusted.map(|files| files.text(FILE)).transpose()?.flatten() {
        let file = root.join(FILE).display().to_string();
        for (name, server) in parsed(&file, text, &mut notices)? {
            if found.contains_key(&name) {
                notices.push(format!("{file}: `{name}` is passed over, as your configuration has one of this name"));
                continue;
            }
            found.insert(name, (server, file.clone()));
        }
    }
    settings.notices.extend(notices);
    Ok(found.into_iter().map(|(name, (server, place))| definition(name, server, place, root, env)).collect())
}

/// Other programs write further keys into this file; they are named and passed over.
fn parsed(file: &str, text: &str, notices: &mut Vec<String>) -> Result<Vec<(String, McpServer)>, ConfigurationError> {
    let fail = |e: &dyn std::fmt::Display| {
        let form = r#"{"mcpServers": {"name": {"command": "program"}}}"#;
        ConfigurationError::new(format!("{file}: {e}; it has to have the form {form}"))
    };
    let json: McpFile = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|e| fail(&e))?;
    let mut servers = Vec::new();
    for (name, mut keys) in json.servers {
        keys.retain(|key, _| {
            let known = KEYS.contains(&key.as_str());
            if !known {
                let near = nearest(key, KEYS);
                let hint =
                    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
                notices.push(format!("{file}: `{name}.{key}` means nothing here{hint}"));
            }
            known
        });
        let server = serde_json::from_value(Value::Object(keys));
        servers.push((name.clone(), server.map_err(|e| fail(&format!("`{name}`: {e}")))?));
    }
    Ok(servers)
}

fn definition(name: String, server: McpServer, place: String, root: &Path, env: &Env) -> ServerConfig {
    let seconds =
        |given: Option<NonZeroU32>, otherwise| Duration::from_secs(given.map_or(otherwise, |s| s.get().into()));
    let (start_timeout, call_timeout) = (seconds(server.start_timeout, START), seconds(server.timeout, CALL));
    let tools = server.tools.clone();
    let setting = match server.disabled {
        Some(true) => Setting::Disabled,
        _ => match link(&name, &server, root, env) {
            Ok(link) => Setting::Enabled(link),
            Err(why) => Setting::Broken(why),
        },
    };
    ServerConfig { name, place, setting, start_timeout, call_timeout, tools }
}

/// How it is reached, with the values of variables.
fn link(name: &str, server: &McpServer, root: &Path, env: &Env) -> Result<Link, String> {
    let key = format!("mcpServers.{name}");
    let server: McpServer = config::expand::part(server, &key, env).map_err(|e| e.message)?;
    let http = matches!(server.transport, Some(McpTransport::Http | McpTransport::Sse));
    match (server.command, server.url) {
        (Some(_), Some(_)) => Err(format!("{key} names both a `command` and a `url`; it has to be one of them")),
        (None, None) => Err(format!("{key} names neither a `command` nor a `url`")),
        (Some(_), None) if http => Err(format!("{key} has a `command`, and a `type` that needs a `url`")),
        (None, Some(_)) if server.transport == Some(McpTransport::Stdio) => {
            Err(format!("{key} has a `url`, and the `type` stdio, which needs a `command`"))
        }
        (Some(command), None) => {
            if command.trim().is_empty() {
                return Err(format!("{key}.command is empty"));
            }
            Ok(Link::Program(Program { command, args: server.args, env: server.env, folder: root.to_owned() }))
        }
        (None, Some(url)) => {
            let variable = |key: &str, name: Option<String>| match name {
                None => Ok(None),
                Some(name) => match env.var(&name) {
                    Some(value) => Ok(Some(value.to_owned())),
                    None => Err(format!("{key}: environment variable {name} is not set")),
                },
            };
            let oauth = OAuth {
                client_id: server.oauth.client_id,
                client_secret: variable(&format!("{key}.oauth.client_secret_env"), server.oauth.client_secret_env)?,
                client_metadata_url: server.oauth.client_metadata_url,
                scopes: server.oauth.scopes,
            };
            let wire = match server.transport {
                Some(McpTransport::Http) => Wire::Streamable,
                Some(McpTransport::Sse) => Wire::Sse,
                Some(McpTransport::Stdio) | None => Wire::Auto,
            };
            let bearer = variable(&format!("{key}.bearer_env"), server.bearer_env)?;
            Ok(Link::Address(Address { url, headers: server.headers, bearer, wire, oauth }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(json: Value) -> Setting {
        let server: McpServer = serde_json::from_value(json).unwrap();
        let env = Env::new("/", [("TOKEN", "t-1")]);
        definition("x".to_owned(), server, String::new(), Path::new("/w"), &env).setting
    }

    #[test]
    fn a_server_is_a_program_or_an_address() {
        use serde_json::json;
        for (json, word) in [
            (json!({}), "neither"),
            (json!({"command": "a", "url": "http://x"}), "both"),
            (json!({"command": "a", "type": "http"}), "needs a `url`"),
            (json!({"url": "http://x", "type": "stdio"}), "needs a `command`"),
            (json!({"command": "a", "env": {"B": "${UNSET}"}}), "UNSET"),
            (json!({"url": "http://x", "bearer_env": "UNSET"}), "UNSET"),
        ] {
            let Setting::Broken(why) = judged(json.clone()) else { panic!("{json}") };
            assert!(why.contains(word), "{why}");
        }
        let Setting::Enabled(Link::Address(address)) = judged(json!({"url": "http://x", "bearer_env": "TOKEN",
            "headers": {"X-A": "${TOKEN}"}, "transport": "streamable-http"}))
        else {
            panic!()
        };
        assert_eq!((address.bearer.as_deref(), address.wire), (Some("t-1"), Wire::Streamable));
        assert_eq!(address.headers["X-A"], "t-1");
        assert!(matches!(judged(json!({"disabled": true, "command": "${UNSET}"})), Setting::Disabled));
    }

    #[test]
    fn other_programs_keys_in_the_folders_file_are_named_and_passed_over() {
        let mut notices = Vec::new();
        let text = r#"{"mcpServers": {"a": {"command": "x", "autoApprove": [], "arg": ["y"]}}, "inputs": []}"#;
        let servers = parsed(".mcp.json", text, &mut notices).unwrap();
        assert_eq!((servers.len(), notices.len()), (1, 2), "{notices:?}");
        assert!(notices.iter().any(|n| n.contains("`a.arg`") && n.contains("`args`")), "{notices:?}");
        assert!(parsed(".mcp.json", r#"{"mcpServers": {"a": {"command": 7}}}"#, &mut notices).is_err());
        assert!(parsed(".mcp.json", "{", &mut notices).unwrap_err().message.contains("line 1"));
    }
}
