//! `victor mcp`: the MCP servers that agents may use.

mod add;
mod list;
mod login;
mod remove;
mod test;

pub(crate) use list::lines;

use victor::error::ConfigurationError;
use victor::mcp::{Scope, Servers};

use crate::app::App;
use crate::args::{McpArgs, McpCommand, McpScope};
use crate::exit::{Exit, Failure};

/// Carries out a `victor mcp` command.
///
/// # Errors
/// There is no such server, or it cannot be used.
pub(crate) async fn mcp(app: &App, args: McpArgs) -> Result<Exit, Failure> {
    match args.command {
        None => Err(Failure::usage("say what to do: `victor mcp list`, `add`, `remove`, `test`, `login` or `logout`")),
        Some(McpCommand::List(format)) => list::list(app, format),
        Some(McpCommand::Add(args)) => add::add(app, args),
        Some(McpCommand::Remove { name, scope }) => remove::remove(app, &name, scope),
        Some(McpCommand::Test { name, format }) => test::test(app, &name, format).await,
        Some(McpCommand::Login { name }) => login::login(app, &name).await,
        Some(McpCommand::Logout { name }) => login::logout(app, &name),
    }
}

fn unknown(name: &str, servers: &Servers) -> Failure {
    let statuses = servers.statuses();
    let known = statuses.iter().map(|s| s.name.as_str());
    let error = ConfigurationError::unknown("MCP server", "NOT_FOUND", name, known);
    Failure::failed(format!("{error}; `victor mcp list` shows them"))
}

fn place(app: &App, scope: McpScope) -> Result<Scope, Failure> {
    Ok(match scope {
        McpScope::User => Scope::User(app.home()?),
        McpScope::Project => Scope::Project(app.place()?.root),
    })
}
