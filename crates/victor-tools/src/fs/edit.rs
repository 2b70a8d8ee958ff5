//! `edit`: replaces exact texts in a file.

use std::borrow::Cow;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use victor_core::error::ToolError;
use victor_core::permission::Access;
use victor_core::tool::{Effects, FileChange, Plan, Tool, ToolCx, ToolOutput};

use super::write::unchanged;
use super::{Opened, diff_preview, patch, plan_for, read_whole, text};
use crate::blocking;
use crate::path::{Place, Spot};

/// The largest file that is edited.
const FILE_BYTES: u64 = 16 << 20;

/// Replaces exact texts in files.
pub struct Edit;

/// The arguments of `edit`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EditArgs {
    /// The file: relative to the workspace's root, or absolute.
    path: String,
    /// The edits, made one after the other; all are made or none.
    #[schemars(length(min = 1))]
    edits: Vec<TextEdit>,
}

/// One replacement.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TextEdit {
    /// The text to replace, exactly as it stands in the file, without line numbers; it must occur once only.
    pub(super) old_string: String,
    /// The text to put in its place.
    pub(super) new_string: String,
    /// Replaces every occurrence, however many there are.
    #[serde(default)]
    pub(super) replace_all: bool,
}

struct Edited {
    spot: Spot,
    before: Bytes,
    after: Bytes,
    places: usize,
}

impl Tool for Edit {
    const NAME: &'static str = "edit";
    type Args = EditArgs;

    fn description(&self) -> Cow<'static, str> {
        "Replaces exact texts in a file. Each old_string must stand in the file exactly as given, with its indentation, \
         and only once, unless replace_all is set. Several edits of one file belong in one call: all are made or none. \
         Line ends and encoding of the file are kept; write \\n for any line end."
            .into()
    }

    fn category(&self) -> &'static str {
        "files"
    }

    fn effects(&self) -> Effects {
        Effects::READ | Effects::WRITE
    }

    async fn plan(&self, args: EditArgs, cx: &ToolCx) -> Result<Plan, ToolError> {
        let place = Place::resolve(&cx.workspace, &args.path, Access::Write)?;
        let (looked, wanted) = (place.clone(), args.edits.clone());
        let opened = blocking(move || Ok(Opened::early(&looked, |p| edited(p, &wanted)))).await?;
        let found = opened.0.as_ref().and_then(|o| o.as_ref().ok()).map(|e| (e.before.clone(), e.after.clone()));
        let target = place.clone();
        // An edit tells of the file's text, at least whether it holds some: so it reads, too.
        let accesses = [Access::Write, Access::Read];
        let mut plan = plan_for(self.effects(), &place, &accesses, move |_, _| {
            blocking(move || {
                let Edited { spot, before, after, places } = opened.get(&target, |p| edited(p, &args.edits))?;
                unchanged(&spot, Some(&before), &target.shown)?;
                spot.replace(&after)?;
                let s = if places == 1 { "" } else { "s" };
                Ok(ToolOutput::text(format!("edited {}: replaced {places} text{s}", target.shown)))
            })
        });
        if let Some((before, after)) = found {
            plan = plan.preview(diff_preview(&place.shown, &before, &after));
            plan = plan.change(FileChange { path: place.absolute, before: Some(before), after: Some(after) });
        }
        Ok(plan)
    }
}

fn edited(place: &Place, edits: &[TextEdit]) -> Result<Edited, ToolError> {
    let spot = place.open()?;
    let Some(mut file) = spot.read()? else {
        return Err(ToolError::model(format!("there is no file `{}`; use write to make it", place.shown)));
    };
    let before: Bytes = read_whole(&mut file, &place.shown, FILE_BYTES)?.into();
    if text::is_binary(&before) {
        return Err(ToolError::model(format!("`{}` is a binary file, which edit cannot change", place.shown)));
    }
    let (after, places) = patch::apply(&place.shown, &before, edits)?;
    Ok(Edited { spot, before, after: after.into(), places })
}
