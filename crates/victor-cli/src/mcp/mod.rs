//! `victor mcp`: Victor as a server of MCP clients, its entry in their configuration, and the MCP servers that agents
//! may use.

mod add;
mod install;
mod list;
mod login;
mod remove;
mod serve;
mod test;
mod wire;

pub(crate) use list::lines;

use victor::error::ConfigurationError;
use victor::mcp::{Scope, Servers};

use crate::app::App;
use crate::args::{McpArgs, McpCommand, McpScope};
use crate::exit::{Exit, Failure};

/// Carries out `victor mcp`.
///
/// # Errors
/// The configuration is wrong, there is no such server, or the work failed.
pub(crate) fn mcp(app: &App, args: McpArgs) -> Result<Exit, Failure> {
    match args.command {
        None => serve::serve(app, args.serve),
        Some(McpCommand::Install(args)) => install::install(app, &args),
        Some(McpCommand::List(format)) => list::list(app, format),
        Some(McpCommand::Add(args)) => add::add(app, args),
        Some(McpCommand::Remove { name, scope }) => remove::remove(app, &name, scope),
        Some(McpCommand::Test { name, format }) => crate::to_end(crate::threads()?, test::test(app, &name, format)),
        Some(McpCommand::Login { name }) => crate::to_end(crate::threads()?, login::login(app, &name)),
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
