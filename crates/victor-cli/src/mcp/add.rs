//! `victor mcp add`: writes a server down.

use std::collections::BTreeMap;

use victor::config::{McpServer, McpTransport};

use super::place;
use crate::app::App;
use crate::args::{AgentFlags, McpAddArgs, McpScope, McpType};
use crate::exit::{Exit, Failure};
use crate::terminal::note;

/// Adds a server.
///
/// # Errors
/// It is neither a program nor an address, its name is taken, or the file cannot be written.
pub(crate) fn add(app: &App, args: McpAddArgs) -> Result<Exit, Failure> {
    let scope = place(app, args.scope)?;
    let known = app.setup(&AgentFlags::default())?.mcp_servers();
    if let (Some(there), false) = (known.status(&args.name), args.force) {
        let (name, from) = (&args.name, there.place);
        return Err(Failure::usage(format!("there is a server `{name}` already ({from}); --force takes its place")));
    }
    let name = args.name.clone();
    let project = args.scope == McpScope::Project;
    victor::mcp::add(&scope, &name, &server(args)?)?;
    note(format!("`{name}` is written into {}; `victor mcp test {name}` tries it", scope.file().display()));
    if project && !app.place()?.trust.is_trusted() {
        note("the file counts once you trust this folder: `victor workspace trust`");
    }
    Ok(Exit::Done)
}

fn server(args: McpAddArgs) -> Result<McpServer, Failure> {
    let mut command = args.command.into_iter();
    let program = command.next();
    if program.is_none() && args.url.is_none() {
        return Err(Failure::usage("name a program after `--`, or an address with --url"));
    }
    Ok(McpServer {
        transport: args.transport.map(|t| match t {
            McpType::Http => McpTransport::Http,
            McpType::Sse => McpTransport::Sse,
        }),
        command: program,
        args: command.collect(),
        env: pairs(&args.env, '=', "--env NAME=value")?,
        url: args.url,
        headers: pairs(&args.header, ':', "--header 'Name: value'")?,
        bearer_env: args.bearer_env,
        ..McpServer::default()
    })
}

fn pairs(texts: &[String], mark: char, form: &str) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |text: &String| {
        let (name, value) = text.split_once(mark)?;
        let name = name.trim();
        (!name.is_empty()).then(|| (name.to_owned(), value.trim().to_owned()))
    };
    let pairs = texts.iter().map(|text| pair(text).ok_or_else(|| Failure::usage(format!("`{text}`: write {form}"))));
    pairs.collect()
}
