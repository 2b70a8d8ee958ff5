//! `victor mcp install`: writes Victor into the configuration of an MCP client.

use crate::app::App;
use crate::args::InstallArgs;
use crate::exit::{Exit, Failure};

/// Writes the client's file.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn install(_app: &App, _args: &InstallArgs) -> Result<Exit, Failure> {
    Err(Failure::usage("not yet"))
}
