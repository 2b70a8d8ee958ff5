//! `victor mcp login` and `logout`: tokens of servers that want to know who calls.

use super::unknown;
use crate::app::App;
use crate::args::AgentFlags;
use crate::exit::{Exit, Failure};
use crate::terminal::{line, note};

/// Logs in: shows the address to visit, and waits for the browser to come back.
///
/// # Errors
/// There is none of this name, or the login fails.
pub(crate) async fn login(app: &App, name: &str) -> Result<Exit, Failure> {
    let setup = app.setup(&AgentFlags::default())?;
    app.start_log(&setup);
    let servers = setup.mcp_servers();
    // What the server says when it is asked without a login names where one logs in.
    if let Some(Ok(_)) = servers.test(name).await {
        servers.close().await;
        note(format!("`{name}` can be used as it is; it wants no login"));
        return Ok(Exit::Done);
    }
    let Some(begun) = servers.login(name).await else { return Err(unknown(name, &servers)) };
    let login = begun.map_err(|e| Failure::failed(e.to_string()))?;
    note("open this address in a browser on this machine, and log in there:");
    line(login.url())?;
    login.finish().await.map_err(|e| Failure::failed(e.to_string()))?;
    let tested = servers.test(name).await;
    servers.close().await;
    match tested {
        Some(Err(why)) => Err(Failure::failed(format!("logged in, but {why}"))),
        Some(Ok(_)) | None => {
            note(format!("logged in; `victor mcp test {name}` shows what it has"));
            Ok(Exit::Done)
        }
    }
}

/// Forgets the login.
///
/// # Errors
/// There is none of this name, or what is kept cannot be changed.
pub(crate) fn logout(app: &App, name: &str) -> Result<Exit, Failure> {
    let servers = app.setup(&AgentFlags::default())?.mcp_servers();
    if servers.status(name).is_none() {
        return Err(unknown(name, &servers));
    }
    servers.logout(name).map_err(Failure::failed)?;
    note(format!("the login to `{name}` is forgotten"));
    Ok(Exit::Done)
}
