//! Tools for sources alone: a file as it is, and a page of the workspace's files. They bear the names of the tools whose
//! rules they follow.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use victor_core::error::ToolError;
use victor_core::message::{Block, Media, MediaSource};
use victor_core::permission::Access;
use victor_core::tool::{Effects, Plan, Tool, ToolCx, ToolOutput};

use crate::blocking;
use crate::fs::media_type_of;
use crate::path::Place;
use crate::search::Search;

/// Bytes of a file that is answered as it is.
const FILE_BYTES: u64 = 8 << 20;

/// A file's bytes, as `read` may have them.
pub(super) struct ReadRaw;

/// The arguments of [`ReadRaw`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ReadRawArgs {
    path: String,
}

impl Tool for ReadRaw {
    const NAME: &'static str = "read";
    type Args = ReadRawArgs;

    fn description(&self) -> Cow<'static, str> {
        "A file as it is.".into()
    }

    fn category(&self) -> &'static str {
        "files"
    }

    fn effects(&self) -> Effects {
        Effects::READ
    }

    async fn plan(&self, args: ReadRawArgs, cx: &ToolCx) -> Result<Plan, ToolError> {
        let place = Place::resolve(&cx.workspace, &args.path, Access::Read)?;
        let target = place.clone();
        let plan = Plan::new(Effects::READ, move |_, _| blocking(move || read(&target)));
        Ok(place.keys(Access::Read).into_iter().fold(plan, Plan::key))
    }
}

fn read(place: &Place) -> Result<ToolOutput, ToolError> {
    let found = place.open()?.read()?;
    let mut file = found.ok_or_else(|| ToolError::model(format!("there is no file `{}`", place.shown)))?;
    let bytes = crate::fs::read_whole(&mut file, &place.shown, FILE_BYTES)?;
    let media_type = kind(&bytes, &place.absolute).to_owned();
    let source = MediaSource::Base64(STANDARD.encode(&bytes).into());
    Ok(ToolOutput { content: vec![Block::Media(Media { media_type, source, name: None })], ..ToolOutput::default() })
}

/// The media type of a file: by its bytes, and for texts by its name.
fn kind(bytes: &[u8], path: &Path) -> &'static str {
    match media_type_of(bytes, path) {
        Some(kind) => kind,
        None if std::str::from_utf8(bytes).is_ok() => kind_of(path),
        None => "application/octet-stream",
    }
}

/// The media type that a text file's name stands for.
pub(super) fn kind_of(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "md" | "markdown" => "text/markdown",
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "csv" => "text/csv",
        "js" | "mjs" => "text/javascript",
        "json" => "application/json",
        "yaml" | "yml" => "application/yaml",
        "toml" => "application/toml",
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        _ => "text/plain",
    }
}

/// The workspace's files, as `find_files` may see them, a page at a time.
pub(super) struct ListFiles;

/// The arguments of [`ListFiles`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ListFilesArgs {
    /// The page begins behind this absolute path.
    after: Option<String>,
    /// Files of a page.
    most: usize,
    /// What stands in the path below the root.
    holding: Option<String>,
}

/// One file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listed {
    /// Where it is.
    pub(super) absolute: String,
    /// What it is called.
    pub(super) shown: String,
    /// Its bytes.
    pub(super) size: u64,
}

impl Tool for ListFiles {
    const NAME: &'static str = "find_files";
    type Args = ListFilesArgs;

    fn description(&self) -> Cow<'static, str> {
        "A page of the workspace's files.".into()
    }

    fn category(&self) -> &'static str {
        "search"
    }

    fn effects(&self) -> Effects {
        Effects::READ
    }

    async fn plan(&self, args: ListFilesArgs, cx: &ToolCx) -> Result<Plan, ToolError> {
        let place = Place::resolve(&cx.workspace, ".", Access::Read)?;
        let target = place.clone();
        let plan = Plan::new(Effects::READ, move |permit, cx: ToolCx| {
            blocking(move || {
                let search = Search { tool: Self::NAME, place: &target, hidden: false, rules: permit.paths(), cx: &cx };
                list(&search, &args)
            })
        });
        Ok(place.keys(Access::Read).into_iter().fold(plan, Plan::key))
    }
}

fn list(search: &Search<'_>, args: &ListFilesArgs) -> Result<ToolOutput, ToolError> {
    let after = args.after.as_deref().map(Path::new);
    let mut files: Vec<Listed> = Vec::new();
    let mut more = false;
    search.files(|found| {
        let behind = after.is_none_or(|after| found.absolute.as_path() > after);
        let holds = args.holding.as_deref().is_none_or(|part| found.shown.contains(part));
        // What is hidden from `read` is not shown either.
        let relative = crate::path::relative_to(&search.cx.workspace.root, &found.absolute);
        let hidden = search.rules.hides("read", relative.as_deref(), &found.absolute.display().to_string());
        let Some(absolute) = found.absolute.to_str().filter(|_| behind && holds && !hidden) else {
            return ControlFlow::Continue(());
        };
        if files.len() == args.most {
            more = true;
            return ControlFlow::Break(());
        }
        let size = std::fs::symlink_metadata(&found.absolute).map_or(0, |m| m.len());
        files.push(Listed { absolute: absolute.to_owned(), shown: found.shown, size });
        ControlFlow::Continue(())
    })?;
    Ok(ToolOutput::default().structured(serde_json::json!({"files": files, "more": more})))
}
