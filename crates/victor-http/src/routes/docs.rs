//! The OpenAPI document, and a page to read and try it that needs nothing from elsewhere.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::door::Door;
use crate::endpoint::{Access, Content, Endpoint};
use crate::openapi;

/// The page brings all it needs, and nothing else may run in it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at(Method::GET, "/openapi.json".to_owned(), Access::AnyKey, "openapi", document)
            .about("operations", "This document")
            .answers::<Value>(200, "OpenAPI 3.1."),
        Endpoint::at(Method::GET, "/docs".to_owned(), Access::AnyKey, "docs", page)
            .about("operations", "A page to read and try the API")
            .answers_with(200, "The page.", Content::Text(HTML)),
    ]
}

async fn document(State(door): State<Door>) -> Response {
    let document = door.document.get_or_init(|| openapi::document(&super::table()).to_string().into());
    ([(header::CONTENT_TYPE, "application/json")], Body::from(document.clone())).into_response()
}

async fn page() -> Response {
    let headers = [(header::CONTENT_TYPE, HTML), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers, include_str!("docs.html")).into_response()
}
