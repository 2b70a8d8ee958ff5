//! `git://`: what the git tools show, and files as they were.

use async_trait::async_trait;
use serde_json::{Value, json};
use victor_core::message::text_of;
use victor_core::resource::{Body, Contents, Page, Resource, ResourceSource, ResourceTemplate, SourceError};
use victor_core::runtime::Runtime;
use victor_core::tool::erase;

use super::Link;
use super::raw::kind_of;
use crate::git::GitShow;

const TEMPLATE: &str = "git://file/{rev}/{+path}";

/// What git knows of the workspace, as resources.
#[derive(Default)]
pub struct GitResources {
    link: Link,
}

/// The resources that are tools' answers: URI, what it is, tool, arguments.
fn views() -> [(&'static str, &'static str, &'static str, Value); 4] {
    [
        ("git://status", "The branch, and what is changed, staged and untracked", "git_status", json!({})),
        ("git://diff", "What is changed and not staged, as a diff", "git_diff", json!({})),
        ("git://diff/staged", "What is staged, as a diff", "git_diff", json!({"staged": true})),
        ("git://log", "The latest commits", "git_log", json!({"max": 50})),
    ]
}

impl GitResources {
    /// Tells it the runtime that it is a part of; without, it has nothing.
    pub fn attach(&self, runtime: &Runtime) {
        self.link.attach(runtime);
    }

    /// Whether the workspace is, or lies in, a working tree.
    fn has_repository(&self) -> bool {
        let Ok(runtime) = self.link.runtime() else { return false };
        runtime.workspace().root.ancestors().any(|folder| folder.join(".git").exists())
    }
}

#[async_trait]
impl ResourceSource for GitResources {
    fn name(&self) -> &str {
        "git"
    }

    fn owns(&self, uri: &str) -> bool {
        uri.starts_with("git://")
    }

    async fn list(&self, _: Option<&str>) -> Result<Page<Resource>, SourceError> {
        let views = if self.has_repository() { views().to_vec() } else { Vec::new() };
        let items = views.into_iter().map(|(uri, about, ..)| Resource {
            uri: uri.to_owned(),
            name: uri.trim_start_matches("git://").replace('/', " "),
            title: None,
            description: Some(about.to_owned()),
            media_type: Some(kind(uri).to_owned()),
            size: None,
        });
        Ok(Page { items: items.collect(), next: None })
    }

    async fn templates(&self) -> Result<Vec<ResourceTemplate>, SourceError> {
        Ok(vec![ResourceTemplate {
            uri_template: TEMPLATE.to_owned(),
            name: "git-file".to_owned(),
            title: Some("A file at a revision".to_owned()),
            description: Some(
                "A file of the workspace, by its path below the root, as it was in a revision".to_owned(),
            ),
            media_type: None,
        }])
    }

    async fn read(&self, uri: &str) -> Result<Vec<Contents>, SourceError> {
        if let Some((.., tool, args)) = views().into_iter().find(|(view, ..)| *view == uri) {
            let output = self.link.call_named(tool, args).await?;
            return Ok(vec![text(uri, kind(uri), text_of(&output.content))]);
        }
        let parts = uri.strip_prefix("git://file/").and_then(|rest| rest.split_once('/'));
        let Some((rev, path)) = parts else {
            return Err(SourceError::NotFound(format!(
                "there is no `{uri}`: status, diff, diff/staged, log, file/REV/PATH"
            )));
        };
        // A revision may hold slashes; in the URI they are written as %2F.
        let (rev, path) = (decoded(rev)?, decoded(path)?);
        let output = self.link.call(erase(GitShow), json!({"rev": rev, "path": path})).await?;
        Ok(vec![text(uri, kind_of(std::path::Path::new(&path)), text_of(&output.content))])
    }
}

fn kind(uri: &str) -> &'static str {
    if uri.contains("diff") { "text/x-diff" } else { "text/plain" }
}

fn text(uri: &str, kind: &str, text: String) -> Contents {
    Contents { uri: uri.to_owned(), media_type: Some(kind.to_owned()), body: Body::Text(text) }
}

/// Percent-encoded text.
fn decoded(text: &str) -> Result<String, SourceError> {
    let bad = || SourceError::NotFound(format!("`{text}` is not percent-encoded text"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).ok_or_else(bad);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| bad())?);
    }
    String::from_utf8(bytes).map_err(|_| bad())
}
