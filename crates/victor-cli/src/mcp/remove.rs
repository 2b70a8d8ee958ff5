//! `victor mcp remove`: takes a server out of the configuration.

use super::{place, unknown};
use crate::app::App;
use crate::args::{AgentFlags, McpScope};
use crate::exit::{Exit, Failure};
use crate::terminal::note;

/// Takes a server out of where it is written down.
///
/// # Errors
/// It is not there, or the file cannot be written.
pub(crate) fn remove(app: &App, name: &str, scope: McpScope) -> Result<Exit, Failure> {
    let from = place(app, scope)?;
    if victor::mcp::remove(&from, name)? {
        note(format!("`{name}` is taken out of {}", from.file().display()));
        return Ok(Exit::Done);
    }
    let other = if scope == McpScope::User { McpScope::Project } else { McpScope::User };
    let known = app.setup(&AgentFlags::default())?.mcp_servers();
    match known.status(name) {
        Some(status) => {
            let message = format!(
                "`{name}` is not written in {}, but in {}; take it out with --scope {}, or by hand",
                from.file().display(),
                status.place,
                other.name()
            );
            Err(Failure::failed(message))
        }
        // The file of a folder that is not trusted does not count, and can be changed all the same.
        None if victor::mcp::is_written(&place(app, other)?, name)? => {
            let (from, other_file) = (from.file(), place(app, other)?.file());
            Err(Failure::failed(format!(
                "`{name}` is not written in {}, but in {}; take it out with --scope {}",
                from.display(),
                other_file.display(),
                other.name()
            )))
        }
        None => Err(unknown(name, &known)),
    }
}
