//! A server's resources, as a source for `@server:uri`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{PaginatedRequestParams, ReadResourceRequestParams, ResourceContents};
use victor_core::resource::{Body, Contents, Page, Resource, ResourceSource, ResourceTemplate, SourceError};
use victor_core::tool::Origin;

use super::server::{Server, Wait};

/// Bytes of what is read at most.
const LONGEST: usize = 8 << 20;

/// The resources of one server.
pub(super) struct Resources {
    server: Arc<Server>,
    /// The addresses that it has told of.
    seen: Mutex<BTreeSet<String>>,
}

impl Resources {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self { server, seen: Mutex::default() }
    }
}

#[async_trait]
impl ResourceSource for Resources {
    fn name(&self) -> &str {
        &self.server.config().name
    }

    fn origin(&self) -> Origin {
        Origin::Foreign
    }

    fn owns(&self, uri: &str) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(uri)
    }

    async fn list(&self, cursor: Option<&str>) -> Result<Page<Resource>, SourceError> {
        if self.server.has(|c| c.has_resources) == Some(false) {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let params = PaginatedRequestParams::default().with_cursor(cursor.map(ToOwned::to_owned));
        let page = self.server.ask(async |c| c.peer().list_resources(Some(params.clone())).await).await?;
        let items: Vec<Resource> = page.resources.into_iter().map(resource).collect();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < 10_000 {
            seen.extend(items.iter().map(|r| r.uri.clone()));
        }
        Ok(Page { items, next: page.next_cursor })
    }

    async fn templates(&self) -> Result<Vec<ResourceTemplate>, SourceError> {
        if self.server.has(|c| c.has_resources) == Some(false) {
            return Ok(Vec::new());
        }
        let page = self.server.ask(async |c| c.peer().list_resource_templates(None).await).await?;
        let template = |t: rmcp::model::ResourceTemplate| ResourceTemplate {
            uri_template: t.uri_template,
            name: t.name,
            title: t.title,
            description: t.description,
            media_type: t.mime_type,
        };
        Ok(page.resource_templates.into_iter().map(template).collect())
    }

    async fn read(&self, uri: &str) -> Result<Vec<Contents>, SourceError> {
        let params = ReadResourceRequestParams::new(uri);
        let read = self.server.ask(async |c| c.service.read_resource(params.clone()).await).await?;
        let contents: Result<Vec<Contents>, SourceError> = read.contents.into_iter().map(contents).collect();
        let contents = contents?;
        let size: usize = contents
            .iter()
            .map(|c| match &c.body {
                Body::Text(text) => text.len(),
                Body::Blob(bytes) => bytes.len(),
            })
            .sum();
        if size > LONGEST {
            return Err(SourceError::Failed(format!("`{uri}` has {size} bytes; {LONGEST} are the most")));
        }
        Ok(contents)
    }

    async fn complete(&self, template: &str, argument: &str, typed: &str) -> Vec<String> {
        let asked = self.server.ask(async |c| c.peer().complete_resource_simple(template, argument, typed).await).await;
        asked.unwrap_or_default()
    }
}

pub(super) fn resource(resource: rmcp::model::Resource) -> Resource {
    Resource {
        uri: resource.uri,
        name: resource.name,
        title: resource.title,
        description: resource.description,
        media_type: resource.mime_type,
        size: resource.size,
    }
}

fn contents(contents: ResourceContents) -> Result<Contents, SourceError> {
    match contents {
        ResourceContents::TextResourceContents { uri, mime_type, text, .. } => {
            Ok(Contents { uri, media_type: mime_type, body: Body::Text(text) })
        }
        ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
            let bytes = STANDARD.decode(&blob);
            let bytes = bytes.map_err(|e| SourceError::Failed(format!("`{uri}` is no base64: {e}")))?;
            Ok(Contents { uri, media_type: mime_type, body: Body::Blob(bytes.into()) })
        }
        _ => Err(SourceError::Failed("its content has a form that is not known here".to_owned())),
    }
}

impl Server {
    /// Asks the server something, within the limit of a call.
    pub(super) async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&super::connection::Connection) -> Result<T, rmcp::ServiceError>,
    ) -> Result<T, SourceError> {
        let name = &self.config().name;
        let connection = self.connection(Wait::Bearable).await.map_err(SourceError::Failed)?;
        let limit = self.config().call_timeout;
        match tokio::time::timeout(limit, question(&connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => {
                let why = format!("the MCP server `{name}`: {}", connection.explain(&e).await);
                Err(match &e {
                    rmcp::ServiceError::McpError(e) if e.code == rmcp::model::ErrorCode::INVALID_PARAMS => {
                        SourceError::Invalid(why)
                    }
                    rmcp::ServiceError::McpError(e) if e.code == rmcp::model::ErrorCode::RESOURCE_NOT_FOUND => {
                        SourceError::NotFound(why)
                    }
                    _ => SourceError::Failed(why),
                })
            }
            Err(_) => {
                let why = format!("the MCP server `{name}` did not answer within {} s", limit.as_secs_f32());
                Err(SourceError::Failed(why))
            }
        }
    }
}
