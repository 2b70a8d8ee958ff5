//! `victor workspace`: trust in the configuration that a folder brings along.

use serde_json::json;
use victor::Place;

use crate::app::App;
use crate::args::{Format, WorkspaceCommand};
use crate::exit::{Exit, Failure};
use crate::terminal::{json, note};

/// Carries out a `victor workspace` command.
///
/// # Errors
/// The folder's files or the user's home cannot be read or written.
pub(crate) fn workspace(app: &App, command: WorkspaceCommand) -> Result<Exit, Failure> {
    let (trusts, format) = match command {
        WorkspaceCommand::Trust(format) => (true, format),
        WorkspaceCommand::Untrust(format) => (false, format),
    };
    let mut place = app.place()?;
    let said = match trusts {
        true => {
            place.trust()?;
            let mut files: Vec<String> = place.files().map(ToOwned::to_owned).collect();
            match place.workflows() {
                (0, _) => {}
                (1, _) => files.push("a file of workflows".to_owned()),
                (n, _) => files.push(format!("{n} files of workflows")),
            }
            match files.as_slice() {
                [] => "there is nothing to trust: the folder has no configuration of its own".to_owned(),
                files => format!("trusted as they are now: {}", files.join(", ")),
            }
        }
        false if place.untrust()? => "this folder is trusted no longer".to_owned(),
        false => "this folder was not trusted".to_owned(),
    };
    told(&place, format, &said)
}

fn told(place: &Place, format: Format, said: &str) -> Result<Exit, Failure> {
    let files: Vec<&str> = place.files().collect();
    match format.json {
        true => json(
            &json!({ "workspace": place.root, "state": place.trust, "files": files, "workflows": place.workflows().0 }),
        )?,
        false => note(format!("{}: {said}", place.root.display())),
    }
    Ok(Exit::Done)
}
