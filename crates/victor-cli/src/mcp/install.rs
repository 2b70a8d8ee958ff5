//! `victor mcp install`: writes Victor into the configuration of an MCP client, keeps all else that stands there, and
//! shows the difference first.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use inquire::Confirm;
use serde_json::{Map, Value, json};
use similar::TextDiff;
use victor::mcp_server;

use crate::app::App;
use crate::args::{InstallArgs, McpClient};
use crate::exit::{Exit, Failure};
use crate::render::diff::diff;
use crate::terminal::{Terminal, line, note};

/// The name of the entry.
const NAME: &str = "victor";

/// Writes the client's file.
///
/// # Errors
/// The file is not JSON, or cannot be written; nobody said yes.
pub(crate) fn install(app: &App, args: &InstallArgs) -> Result<Exit, Failure> {
    let path = match &args.file {
        Some(file) => app.env.current_dir().join(file),
        None => file_of(app, args.client)?,
    };
    let old = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(Failure::failed(format!("{} cannot be read: {e}", path.display()))),
    };
    let entry = entry(app, args)?;
    let new = with_entry(&old, args.client, &entry).map_err(|why| {
        let entry = serde_json::to_string_pretty(&json!({ NAME: entry })).unwrap_or_default();
        Failure::failed(format!("{}: {why}; add this to `{}` by hand:\n{entry}", path.display(), list(args.client)))
    })?;
    if old == new {
        note(format!("{} has this entry already", path.display()));
        return Ok(Exit::Done);
    }
    show(app, &path, &old, &new)?;
    if args.dry_run {
        return Ok(Exit::Done);
    }
    if !args.yes && !agreed(app)? {
        return Err(Failure::new(Exit::Denied, "nothing was written"));
    }
    write(&path, &new).map_err(|e| Failure::failed(format!("{} cannot be written: {e}", path.display())))?;
    note(format!("written to {}; restart the client", path.display()));
    Ok(Exit::Done)
}

fn agreed(app: &App) -> Result<bool, Failure> {
    if !app.terminal.can_ask() {
        return Err(Failure::usage("nobody can be asked here: --yes writes it, --dry-run only shows it"));
    }
    Ok(Confirm::new("Write it?").with_default(true).prompt().unwrap_or(false))
}

fn show(app: &App, path: &Path, old: &str, new: &str) -> Result<(), Failure> {
    let shown = path.display().to_string();
    let text = TextDiff::from_lines(old, new).unified_diff().context_radius(3).header(&shown, &shown).to_string();
    let width = if app.terminal.stdout { Terminal::width() } else { usize::MAX };
    diff(&text, width, app.terminal.paint).iter().try_for_each(line)?;
    Ok(())
}

/// The file that a client reads for its user.
fn file_of(app: &App, client: McpClient) -> Result<PathBuf, Failure> {
    let home = app.env.path("HOME").or_else(|| app.env.path("USERPROFILE"));
    let home = home.ok_or_else(|| Failure::new(Exit::Configuration, "HOME is not set; name the file with --file"))?;
    let settings = match std::env::consts::OS {
        "macos" => home.join("Library").join("Application Support"),
        "windows" => app.env.path("APPDATA").unwrap_or_else(|| home.join("AppData").join("Roaming")),
        _ => app.env.path("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
    };
    Ok(match client {
        McpClient::ClaudeDesktop => settings.join("Claude").join("claude_desktop_config.json"),
        McpClient::ClaudeCode => home.join(".claude.json"),
        McpClient::Cursor => home.join(".cursor").join("mcp.json"),
        McpClient::Vscode => settings.join("Code").join("User").join("mcp.json"),
    })
}

/// The key that holds a client's servers.
fn list(client: McpClient) -> &'static str {
    match client {
        McpClient::Vscode => "servers",
        McpClient::ClaudeDesktop | McpClient::ClaudeCode | McpClient::Cursor => "mcpServers",
    }
}

/// What the client is to start. Claude Desktop names no folder by itself.
fn entry(app: &App, args: &InstallArgs) -> Result<Value, Failure> {
    let program = std::env::current_exe().map_err(|e| Failure::failed(format!("this program has no path: {e}")))?;
    let mut arguments = vec!["mcp", "--stdio"];
    if args.read_only {
        arguments.extend(["--mode", "explore"]);
    }
    let mut entry = json!({"command": program, "args": arguments});
    if matches!(args.client, McpClient::ClaudeCode | McpClient::Vscode) {
        entry = json!({"type": "stdio", "command": program, "args": arguments});
    }
    if let Some(folder) = folder(app, args.client)? {
        entry["env"] = json!({"VICTOR_WORKSPACE": folder});
    }
    Ok(entry)
}

fn folder(app: &App, client: McpClient) -> Result<Option<PathBuf>, Failure> {
    if let Some(named) = &app.global.workspace {
        let full = app.env.current_dir().join(named);
        let real = full.canonicalize().ok().filter(|p| p.is_dir());
        return real.map(Some).ok_or_else(|| Failure::usage(format!("`{}` is no folder", named.display())));
    }
    if client != McpClient::ClaudeDesktop {
        return Ok(None);
    }
    let current = app.env.current_dir();
    if mcp_server::is_fit(&app.env, current) {
        return Ok(Some(current.to_owned()));
    }
    Err(Failure::usage("Claude Desktop opens no folder by itself: name one with --workspace DIR"))
}

/// The file with the entry in it; all else stays, in its order.
fn with_entry(old: &str, client: McpClient, entry: &Value) -> Result<String, String> {
    let mut file: Map<String, Value> = match old.trim() {
        "" => Map::new(),
        text => serde_json::from_str(text)
            .map_err(|e| format!("it is not a JSON object that can be kept as it is ({e})"))?,
    };
    let servers = file.entry(list(client)).or_insert_with(|| json!({}));
    let servers = servers.as_object_mut().ok_or_else(|| format!("its `{}` is no object", list(client)))?;
    servers.insert(NAME.to_owned(), entry.clone());
    let text = serde_json::to_string_pretty(&file).map_err(|e| e.to_string())?;
    Ok(format!("{text}\n"))
}

/// In one step, through a link to what it names, with the permissions of the old file.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = real.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    if let Ok(old) = fs::metadata(&real) {
        fs::set_permissions(file.path(), old.permissions())?;
    }
    file.persist(&real).map_err(|e| e.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_file_is_kept_in_its_order() {
        let old = r#"{"theme": "dark", "mcpServers": {"other": {"command": "x"}}, "z": [1]}"#;
        let new = with_entry(old, McpClient::Cursor, &json!({"command": "v"})).unwrap();
        let value: Value = serde_json::from_str(&new).unwrap();
        assert_eq!(value["mcpServers"]["other"]["command"], "x");
        assert_eq!(value["mcpServers"]["victor"]["command"], "v");
        assert!(new.find("theme") < new.find("mcpServers") && new.find("mcpServers") < new.find("\"z\""), "{new}");
        assert_eq!(with_entry(&new, McpClient::Cursor, &json!({"command": "v"})).unwrap(), new);
    }

    #[test]
    fn a_file_that_cannot_be_kept_is_not_touched() {
        for old in ["{ // a comment\n}", "[]", r#"{"mcpServers": []}"#] {
            assert!(with_entry(old, McpClient::ClaudeDesktop, &json!({})).is_err(), "{old}");
        }
        assert!(with_entry("", McpClient::Vscode, &json!({})).unwrap().contains("\"servers\""));
    }
}
