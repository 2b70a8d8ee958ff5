//! `file:///`: the files of the workspace.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use url::Url;
use victor_core::message::{Block, MediaSource};
use victor_core::resource::{Body, Contents, Page, Resource, ResourceSource, ResourceTemplate, SourceError};
use victor_core::runtime::Runtime;
use victor_core::tool::erase;

use super::Link;
use super::raw::{ListFiles, Listed, ReadRaw, kind_of};

const TEMPLATE: &str = "file:///{+path}";
/// Files of a page.
const PAGE: usize = 200;
/// Completions at most.
const COMPLETIONS: usize = 100;
/// How often a watched file is looked at. One look costs a microsecond or two, so that the most files that can be watched
/// cost about a hundredth of a core. Notices of the system (inotify, FSEvents) would come sooner, but need the folder
/// watched too where editors replace files, have limits for all of a user's programs, and are silent about files that
/// another machine or a container's layer changes, so that looking would stay beside them.
const LOOK: Duration = Duration::from_millis(500);

/// The files of the workspace as resources.
#[derive(Default)]
pub struct FileResources {
    link: Link,
    nowhere: Option<Arc<str>>,
}

#[derive(Deserialize)]
struct Found {
    files: Vec<Listed>,
    more: bool,
}

impl FileResources {
    /// Those of the runtime's workspace. `nowhere` says why there is none, where that is so.
    #[must_use]
    pub fn new(nowhere: Option<Arc<str>>) -> Self {
        Self { link: Link::default(), nowhere }
    }

    /// Tells it the runtime that it is a part of; without, it has nothing.
    pub fn attach(&self, runtime: &Runtime) {
        self.link.attach(runtime);
    }

    /// Paths below the root that hold what was typed, for completions.
    pub async fn names(&self, typed: &str) -> Vec<String> {
        if self.nowhere.is_some() {
            return Vec::new();
        }
        let found = self.find(None, COMPLETIONS, Some(typed)).await;
        found.map(|found| found.files.into_iter().map(|f| f.shown).collect()).unwrap_or_default()
    }

    async fn find(&self, after: Option<&str>, most: usize, holding: Option<&str>) -> Result<Found, SourceError> {
        let args = json!({"after": after, "most": most, "holding": holding});
        let output = self.link.call(erase(ListFiles), args).await?;
        let found = serde_json::from_value(output.structured.unwrap_or_default());
        found.map_err(|e| SourceError::Failed(format!("the files cannot be listed: {e}")))
    }

    async fn content(&self, uri: &str) -> Result<(PathBuf, String, Vec<u8>), SourceError> {
        if let Some(why) = &self.nowhere {
            return Err(SourceError::Denied(why.to_string()));
        }
        let path = path_of(uri)?;
        let output = self.link.call(erase(ReadRaw), json!({"path": path})).await?;
        let media = output.content.into_iter().find_map(|block| match block {
            Block::Media(media) => Some(media),
            _ => None,
        });
        let media = media.ok_or_else(|| SourceError::Failed(format!("{uri} holds nothing")))?;
        let MediaSource::Base64(data) = &media.source else {
            return Err(SourceError::Failed(format!("{uri} is elsewhere")));
        };
        let bytes = STANDARD.decode(data.as_bytes()).map_err(|e| SourceError::Failed(e.to_string()))?;
        Ok((path, media.media_type, bytes))
    }
}

fn path_of(uri: &str) -> Result<PathBuf, SourceError> {
    let url = Url::parse(uri).ok().filter(|url| url.scheme() == "file");
    let path = url.and_then(|url| url.to_file_path().ok());
    path.ok_or_else(|| SourceError::NotFound(format!("`{uri}` is no URI of a file here: file:///path/to/it")))
}

fn uri_of(path: &Path) -> Option<String> {
    Url::from_file_path(path).ok().map(Into::into)
}

#[async_trait]
impl ResourceSource for FileResources {
    fn name(&self) -> &str {
        "files"
    }

    fn owns(&self, uri: &str) -> bool {
        uri.starts_with("file:")
    }

    async fn list(&self, cursor: Option<&str>) -> Result<Page<Resource>, SourceError> {
        if self.nowhere.is_some() {
            return Ok(Page { items: Vec::new(), next: None });
        }
        if cursor.is_some_and(|c| !c.starts_with('/')) {
            return Err(SourceError::Invalid("the cursor is not one of this list".to_owned()));
        }
        let found = self.find(cursor, PAGE, None).await?;
        let next = found.files.last().filter(|_| found.more).map(|f| f.absolute.clone());
        let items = found.files.into_iter().filter_map(|file| {
            let path = Path::new(&file.absolute);
            Some(Resource {
                uri: uri_of(path)?,
                name: file.shown,
                title: None,
                description: None,
                media_type: Some(kind_of(path).to_owned()),
                size: Some(file.size),
            })
        });
        Ok(Page { items: items.collect(), next })
    }

    async fn templates(&self) -> Result<Vec<ResourceTemplate>, SourceError> {
        Ok(vec![ResourceTemplate {
            uri_template: TEMPLATE.to_owned(),
            name: "file".to_owned(),
            title: Some("A file of the workspace".to_owned()),
            description: Some(
                "A file by its absolute path, as far as the workspace's limits and rules let it be read".to_owned(),
            ),
            media_type: None,
        }])
    }

    async fn read(&self, uri: &str) -> Result<Vec<Contents>, SourceError> {
        let (_, media_type, bytes) = self.content(uri).await?;
        let body = match String::from_utf8(bytes) {
            Ok(text) => Body::Text(text),
            Err(e) => Body::Blob(e.into_bytes().into()),
        };
        Ok(vec![Contents { uri: uri.to_owned(), media_type: Some(media_type), body }])
    }

    async fn complete(&self, template: &str, argument: &str, typed: &str) -> Vec<String> {
        if template != TEMPLATE || argument != "path" || self.nowhere.is_some() {
            return Vec::new();
        }
        let Ok(runtime) = self.link.runtime() else { return Vec::new() };
        let root = format!("{}/", runtime.workspace().root.display());
        let holding = typed.strip_prefix(root.trim_start_matches('/')).unwrap_or(typed);
        let Ok(found) = self.find(None, COMPLETIONS, Some(holding)).await else { return Vec::new() };
        found.files.into_iter().map(|f| f.absolute.trim_start_matches('/').to_owned()).collect()
    }

    /// Looks at the file now and then, for as long as somebody listens. A file that is deleted has changed too.
    async fn watch(&self, uri: &str) -> Result<Option<watch::Receiver<u64>>, SourceError> {
        let (path, ..) = self.content(uri).await?;
        let (sender, receiver) = watch::channel(0);
        let runtime = self.link.runtime()?;
        let first = look(&path);
        runtime.spawn(async move {
            let mut seen = first;
            let mut clock = interval(LOOK);
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = sender.closed() => return,
                    _ = clock.tick() => {}
                }
                let now = look(&path);
                if now != seen {
                    seen = now;
                    sender.send_modify(|n| *n += 1);
                }
            }
        });
        Ok(Some(receiver))
    }
}

/// What tells one state of a file from another.
fn look(path: &Path) -> Option<(u64, Option<std::time::SystemTime>, bool)> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok(), metadata.is_symlink()))
}
