//! `write`: a whole file, in one step.

use std::borrow::Cow;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use victor_core::error::ToolError;
use victor_core::permission::Access;
use victor_core::tool::{Effects, FileChange, Plan, Tool, ToolCx, ToolOutput};

use super::{Opened, diff_preview, plan_for, read_whole};
use crate::blocking;
use crate::path::{Place, Spot};

/// The largest file that is replaced: its old content is kept, so that the change can be undone.
const OLD_BYTES: u64 = 64 << 20;

/// Writes whole files.
pub struct Write;

/// The arguments of `write`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteArgs {
    /// The file: relative to the workspace's root, or absolute.
    path: String,
    /// All that the file is to hold.
    content: String,
}

impl Tool for Write {
    const NAME: &'static str = "write";
    type Args = WriteArgs;

    fn description(&self) -> Cow<'static, str> {
        "Writes a whole file: makes it, with the folders that it needs, or replaces all that it held. To change parts \
         of a file use edit."
            .into()
    }

    fn category(&self) -> &'static str {
        "files"
    }

    fn effects(&self) -> Effects {
        Effects::WRITE
    }

    async fn plan(&self, args: WriteArgs, cx: &ToolCx) -> Result<Plan, ToolError> {
        if args.path.ends_with('/') {
            return Err(ToolError::model(format!("`{}` names a folder; name the file in it", args.path)));
        }
        let place = Place::resolve(&cx.workspace, &args.path, Access::Write)?;
        let looked = place.clone();
        let opened = blocking(move || Ok(Opened::early(&looked, open))).await?;
        let new = Bytes::from(args.content);
        let found = opened.0.as_ref().and_then(|o| o.as_ref().ok()).map(|(_, before)| before.clone());
        let (target, content) = (place.clone(), new.clone());
        let mut plan = plan_for(Effects::WRITE, &place, &[Access::Write], move |_, _| {
            blocking(move || {
                let (spot, before) = opened.get(&target, open)?;
                unchanged(&spot, before.as_ref(), &target.shown)?;
                spot.replace(&content)?;
                Ok(ToolOutput::text(report(&target.shown, before.as_ref(), &content)))
            })
        });
        if let Some(before) = found {
            plan = plan.preview(diff_preview(&place.shown, before.as_deref().unwrap_or_default(), &new));
            plan = plan.change(FileChange { path: place.absolute, before, after: Some(new) });
        }
        Ok(plan)
    }
}

/// Opens a file that is to be replaced, with what it holds now.
fn open(place: &Place) -> Result<(Spot, Option<Bytes>), ToolError> {
    let spot = place.open()?;
    let old = match spot.read()? {
        Some(mut file) => Some(read_whole(&mut file, &place.shown, OLD_BYTES)?.into()),
        None => None,
    };
    Ok((spot, old))
}

/// Checks that the file still holds what it held when the change was planned, shown and judged.
pub(super) fn unchanged(spot: &Spot, before: Option<&Bytes>, shown: &str) -> Result<(), ToolError> {
    let now = match spot.read()? {
        Some(mut file) => Some(read_whole(&mut file, shown, OLD_BYTES)?),
        None => None,
    };
    if now.as_deref() == before.map(|b| b.as_ref()) {
        return Ok(());
    }
    Err(ToolError::model(format!("`{shown}` changed while this call was prepared; read it again and repeat the call")))
}

fn report(shown: &str, before: Option<&Bytes>, content: &[u8]) -> String {
    let lines = content.split_inclusive(|b| *b == b'\n').count();
    let what = if before.is_some() { "replaced" } else { "made" };
    format!("{what} {shown}: {lines} lines, {} bytes", content.len())
}
