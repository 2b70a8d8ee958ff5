//! File tools: read, write, edit, ls. They reach what the workspace holds and nothing else.

mod edit;
mod ls;
mod media;
mod patch;
mod read;
mod text;
mod write;

pub use edit::Edit;
pub use ls::Ls;
pub use media::media_type_of;
pub use read::Read;
pub use write::Write;

use std::io::Read as _;

use similar::TextDiff;
use victor_core::error::ToolError;
use victor_core::permission::Access;
use victor_core::tool::{Effects, Permit, Plan, Preview, ToolCx, ToolOutput};

use crate::path::Place;

/// What was found while planning. Outside of the workspace nothing is looked at before the call is allowed, and what
/// was found, failures too, is told only in the run: a denied call must not answer what stands there.
struct Opened<T>(Option<Result<T, ToolError>>);

impl<T> Opened<T> {
    fn early(place: &Place, open: impl FnOnce(&Place) -> Result<T, ToolError>) -> Self {
        Self((!place.outside).then(|| open(place)))
    }

    fn get(self, place: &Place, open: impl FnOnce(&Place) -> Result<T, ToolError>) -> Result<T, ToolError> {
        self.0.unwrap_or_else(|| open(place))
    }
}

/// A plan with the keys of one place.
fn plan_for<F, Fut>(effects: Effects, place: &Place, accesses: &[Access], run: F) -> Plan
where
    F: FnOnce(Permit, ToolCx) -> Fut + Send + 'static,
    Fut: Future<Output = Result<ToolOutput, ToolError>> + Send + 'static,
{
    let keys = accesses.iter().flat_map(|access| place.keys(*access));
    keys.fold(Plan::new(effects, run), Plan::key)
}

/// All of a file that has at most `most` bytes.
pub(crate) fn read_whole(file: &mut std::fs::File, shown: &str, most: u64) -> Result<Vec<u8>, ToolError> {
    let mut bytes = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|e| ToolError::model(format!("`{shown}` cannot be read: {e}")))?;
    if bytes.len() as u64 > most {
        return Err(ToolError::model(format!("`{shown}` is larger than {} MiB", most >> 20)));
    }
    Ok(bytes)
}

/// A unified diff for the person who decides. Files that are no text are only named.
fn diff_preview(shown: &str, old: &[u8], new: &[u8]) -> Preview {
    if text::is_binary(old) || text::is_binary(new) {
        return Preview::Text { text: format!("{shown}: {} bytes become {} bytes", old.len(), new.len()) };
    }
    let (old, new) = (text::decode(old).1, text::decode(new).1);
    let diff = TextDiff::configure().timeout(std::time::Duration::from_millis(500)).diff_lines(&old, &new);
    let mut unified = diff.unified_diff();
    let text = unified.context_radius(3).header(&format!("a/{shown}"), &format!("b/{shown}")).to_string();
    Preview::Diff { diff: text }
}
