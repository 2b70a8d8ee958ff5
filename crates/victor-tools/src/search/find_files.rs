//! `find_files`: files by a glob.

use std::borrow::Cow;
use std::ops::ControlFlow;

use schemars::JsonSchema;
use serde::Deserialize;
use victor_core::error::ToolError;
use victor_core::permission::Access;
use victor_core::tool::{Effects, Plan, Tool, ToolCx, ToolOutput};

use super::walk::{FileGlob, Search};
use crate::blocking;
use crate::path::Place;

/// Files that are answered at most.
const FILES: usize = 500;

/// Finds files by name.
pub struct FindFiles;

/// The arguments of `find_files`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FindFilesArgs {
    /// A glob: `*.rs` fits names anywhere below the folder, `src/**/*.rs` fits paths.
    pattern: String,
    /// The folder to look in: relative to the workspace's root, or absolute; the root if not given.
    path: Option<String>,
    /// Looks at hidden files and folders too, those whose name begins with a dot.
    #[serde(default)]
    hidden: bool,
}

impl Tool for FindFiles {
    const NAME: &'static str = "find_files";
    type Args = FindFilesArgs;

    fn description(&self) -> Cow<'static, str> {
        "Finds files by a glob and answers their paths, sorted, at most 500. Files that .gitignore names are passed \
         over, hidden ones too unless asked for."
            .into()
    }

    fn category(&self) -> &'static str {
        "search"
    }

    fn effects(&self) -> Effects {
        Effects::READ
    }

    fn output(&self) -> Option<serde_json::Value> {
        Some(serde_json::json!({
            "type": "object",
            "properties": {
                "files": {"type": "array", "items": {"type": "string"}},
                "truncated": {"type": "boolean"},
            },
            "required": ["files", "truncated"],
        }))
    }

    async fn plan(&self, args: FindFilesArgs, cx: &ToolCx) -> Result<Plan, ToolError> {
        let glob = FileGlob::new(&args.pattern)?;
        let place = Place::resolve(&cx.workspace, args.path.as_deref().unwrap_or("."), Access::Read)?;
        let target = place.clone();
        let plan = Plan::new(Effects::READ, move |permit, cx| {
            blocking(move || {
                let search =
                    Search { tool: Self::NAME, place: &target, hidden: args.hidden, rules: permit.paths(), cx: &cx };
                find(&search, &glob, &args.pattern)
            })
        });
        Ok(place.keys(Access::Read).into_iter().fold(plan, Plan::key))
    }
}

fn find(search: &Search<'_>, glob: &FileGlob, pattern: &str) -> Result<ToolOutput, ToolError> {
    if search.place.open()?.folder()?.is_none() {
        return Err(ToolError::model(format!("there is no folder `{}`", search.place.shown)));
    }
    let mut files: Vec<String> = Vec::new();
    let mut more = false;
    let passed = search.files(|found| {
        if glob.fits(&found.below) {
            if files.len() == FILES {
                more = true;
                return ControlFlow::Break(());
            }
            files.push(found.shown);
        }
        ControlFlow::Continue(())
    })?;
    let mut text = if files.is_empty() {
        format!("no file in `{}` fits `{pattern}`\n", search.place.shown)
    } else {
        files.iter().map(|f| format!("{f}\n")).collect()
    };
    if more {
        text.push_str(&format!("[there are more than {FILES}; narrow the glob or the path]\n"));
    }
    if passed.by_rules > 0 {
        text.push_str(&format!("[{} files are kept out by permission rules]\n", passed.by_rules));
    }
    Ok(ToolOutput::text(text).structured(serde_json::json!({"files": files, "truncated": more})))
}
