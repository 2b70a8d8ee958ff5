//! The suite's resources.

use async_trait::async_trait;
use base64::Engine as _;
use tokio::sync::watch;
use victor_core::resource::{Body, Contents, Page, Resource, ResourceSource, ResourceTemplate, SourceError};

pub(crate) struct Fixtures;

const TEMPLATE: &str = "test://template/{id}/data";

#[async_trait]
impl ResourceSource for Fixtures {
    fn name(&self) -> &str {
        "fixtures"
    }

    fn owns(&self, uri: &str) -> bool {
        uri.starts_with("test://")
    }

    async fn list(&self, _: Option<&str>) -> Result<Page<Resource>, SourceError> {
        let listed = [
            ("test://static-text", "text/plain"),
            ("test://static-binary", "image/png"),
            ("test://watched-resource", "text/plain"),
        ];
        let items = listed.map(|(uri, kind)| Resource {
            uri: uri.to_owned(),
            name: uri.trim_start_matches("test://").to_owned(),
            title: None,
            description: Some("A fixture of the suite".to_owned()),
            media_type: Some(kind.to_owned()),
            size: None,
        });
        Ok(Page { items: items.into(), next: None })
    }

    async fn templates(&self) -> Result<Vec<ResourceTemplate>, SourceError> {
        Ok(vec![ResourceTemplate {
            uri_template: TEMPLATE.to_owned(),
            name: "template".to_owned(),
            title: None,
            description: Some("A fixture of the suite".to_owned()),
            media_type: Some("application/json".to_owned()),
        }])
    }

    async fn read(&self, uri: &str) -> Result<Vec<Contents>, SourceError> {
        let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
        let (kind, body) = match (uri, id) {
            ("test://static-text", _) => {
                ("text/plain", Body::Text("This is the content of the static text resource.".to_owned()))
            }
            ("test://static-binary", _) => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(crate::tools::PNG);
                ("image/png", Body::Blob(bytes.unwrap_or_default().into()))
            }
            ("test://watched-resource", _) => ("text/plain", Body::Text("watched".to_owned())),
            (_, Some(id)) => {
                let text = serde_json::json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
                ("application/json", Body::Text(text.to_string()))
            }
            _ => return Err(SourceError::NotFound(format!("Resource not found: {uri}"))),
        };
        Ok(vec![Contents { uri: uri.to_owned(), media_type: Some(kind.to_owned()), body }])
    }

    async fn watch(&self, _: &str) -> Result<Option<watch::Receiver<u64>>, SourceError> {
        Ok(None)
    }
}
