//! `/undo`: takes the last turn back, with what it changed in files.

use std::path::Path;

use victor::session::SavedFile;
use victor::tool::Effects;
use victor::undo::{Restoration, restore};

use super::Talk;
use crate::exit::Failure;
use crate::terminal::{harmless_line, note};

impl Talk<'_> {
    /// Takes the last turn back.
    pub(super) async fn undo(&mut self) -> Result<(), Failure> {
        let Some(point) = self.chat.undo_point().await? else {
            return Err(Failure::failed("there is no turn to take back"));
        };
        put_back(&self.runtime, &point.files).await?;
        self.chat.rewind(point.before).await?;
        let said: String = harmless_line(&point.message).chars().take(60).collect();
        self.screen.note(&format!("taken back: {said}"));
        let tools = self.chat.agent().tools().await;
        let runs = |name: &String| tools.get(name).is_some_and(|t| t.spec().effects.contains(Effects::EXECUTE));
        if point.called.iter().any(runs) {
            note("what the turn's commands changed is left as it is; `git diff` shows it in a repository");
        }
        Ok(())
    }
}

/// Puts files back, and says what became of each.
///
/// # Errors
/// What files were is not kept, or cannot be read.
pub(crate) async fn put_back(runtime: &victor::runtime::Runtime, files: &[SavedFile]) -> Result<(), Failure> {
    if files.is_empty() {
        return Ok(());
    }
    let Some(blobs) = runtime.blobs() else {
        return Err(Failure::failed("what the files were before is not kept here"));
    };
    let root = &runtime.workspace().root;
    for file in restore(files, blobs.as_ref(), runtime.workspace()).await? {
        let path = shown(&file.path, root);
        note(match file.result {
            Restoration::PutBack => format!("put back {path}"),
            Restoration::Deleted => format!("deleted {path}, which was new"),
            Restoration::Skipped(why) => format!("left {path} alone: {why}"),
            other => format!("{path}: {other:?}"),
        });
    }
    Ok(())
}

fn shown(path: &Path, root: &Path) -> String {
    harmless_line(&path.strip_prefix(root).unwrap_or(path).to_string_lossy())
}
