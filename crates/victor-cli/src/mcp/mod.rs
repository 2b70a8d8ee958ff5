//! `victor mcp`: Victor as a server of MCP clients, and their configuration.

mod install;
mod serve;

use crate::app::App;
use crate::args::{McpArgs, McpCommand};
use crate::exit::{Exit, Failure};

/// Carries out `victor mcp`.
///
/// # Errors
/// The configuration is wrong, or the work failed.
pub(crate) fn mcp(app: &App, args: McpArgs) -> Result<Exit, Failure> {
    match args.command {
        None => serve::serve(app, args.serve),
        Some(McpCommand::Install(args)) => install::install(app, &args),
    }
}
