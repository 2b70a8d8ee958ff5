//! The OpenAPI 3.1 document, made of the same table as the router: what is described is what is served.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::endpoint::{Access, Content, Endpoint};
use crate::error::ErrorBody;

/// Statuses that every endpoint can answer with, once it is found.
const ALWAYS: [u16; 2] = [403, 500];
/// And those of endpoints that may need a key.
const WITH_KEY: [u16; 2] = [401, 429];

/// The document for these endpoints.
pub(crate) fn document(endpoints: &[Endpoint]) -> Value {
    let mut forms = Forms::default();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for endpoint in endpoints {
        let method = endpoint.method.as_str().to_ascii_lowercase();
        let described = operation(endpoint, &mut forms);
        paths.entry(&endpoint.path).or_default().insert(method, described);
    }
    let schemas = forms.take();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Victor",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Agents over HTTP: chats, streams, conversations, tools.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        // Relative to this document: right under whatever path the router is nested.
        "servers": [{"url": "."}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    })
}

/// The schemas of what is taken and what is given: a field with a default may be left out of a request, and an empty one
/// is left out of an answer.
struct Forms {
    taken: SchemaGenerator,
    given: SchemaGenerator,
}

impl Default for Forms {
    fn default() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|s| {
            s.definitions_path = "/components/schemas".into();
            s.meta_schema = None;
        });
        Self { taken: settings.clone().for_deserialize().into(), given: settings.for_serialize().into() }
    }
}

impl Forms {
    fn take(&mut self) -> Map<String, Value> {
        let mut all = self.taken.take_definitions(true);
        all.extend(self.given.take_definitions(true));
        all
    }
}

fn operation(endpoint: &Endpoint, forms: &mut Forms) -> Value {
    let mut responses = Map::new();
    for (status, summary, content) in &endpoint.answers {
        responses.insert(status.to_string(), answer(summary, content, &mut forms.given));
    }
    for (status, response) in errors(endpoint, &mut forms.given) {
        responses.entry(status.to_string()).or_insert(response);
    }
    let mut operation = json!({
        "operationId": endpoint.id,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "parameters": parameters(endpoint, &mut forms.taken),
        "responses": responses,
        "security": match endpoint.access {
            Access::Open => json!([]),
            // Where the server asks for none, none is needed.
            Access::AnyKey | Access::Scope(_) => json!([{"key": []}, {"bearer": []}, {}]),
        },
    });
    if let Access::Scope(scope) = endpoint.access {
        operation["x-required-scope"] = json!(scope);
    }
    if let Some(body) = endpoint.body {
        let schema = body(&mut forms.taken);
        operation["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": schema}}});
    }
    operation
}

fn parameters(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Vec<Value> {
    let in_path = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path =
        in_path.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let mut all: Vec<Value> = in_path.collect();
    for parameter in &endpoint.parameters {
        let mut schema = (parameter.schema)(generator);
        let mut plain = RecursiveTransform(|schema: &mut Schema| drop(schema.remove("format")));
        plain.transform(&mut schema);
        all.push(json!({
            "name": parameter.name,
            "in": parameter.place,
            "description": parameter.summary,
            "required": false,
            "schema": schema,
        }));
    }
    all
}

fn answer(summary: &str, content: &Content, generator: &mut SchemaGenerator) -> Value {
    let mut answer = json!({"description": summary, "headers": {"X-Request-Id": {"schema": {"type": "string"}}}});
    answer["content"] = match content {
        Content::Json(schema) => json!({"application/json": {"schema": schema(generator)}}),
        // The form of each event; a stream as a whole has none.
        Content::Events(schema) => {
            let text = json!({"type": "string"});
            let data =
                json!({"type": "string", "contentMediaType": "application/json", "contentSchema": schema(generator)});
            let event = json!({
                "type": "object",
                "properties": {"id": text, "event": text, "data": data},
                "required": ["id", "event", "data"],
            });
            json!({"text/event-stream": {"schema": event}})
        }
        Content::Text(media_type) => json!({*media_type: {"schema": {"type": "string"}}}),
        Content::None => return answer,
    };
    answer
}

fn errors(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> BTreeMap<u16, Value> {
    let with_key: &[u16] = if endpoint.access == Access::Open { &[] } else { &WITH_KEY };
    let statuses = endpoint.errors.iter().chain(&ALWAYS).chain(with_key);
    let schema = generator.subschema_for::<ErrorBody>();
    let response = |status: u16| {
        let content = json!({"application/json": {"schema": schema.clone()}});
        json!({"description": meaning(status), "content": content})
    };
    statuses.map(|status| (*status, response(*status))).collect()
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request is wrong: `MISSING_FIELD`, `INVALID_VALUE` or `INVALID_JSON`.",
        401 => "A key is needed, or the one that was sent is worth nothing: `AUTHENTICATION_FAILED`.",
        403 => "It is not allowed: `PERMISSION_DENIED`.",
        404 => "Something that was named does not exist.",
        408 => "The body came too slowly: `TIMEOUT`.",
        409 => "Something is in use, or was done already: `CONFLICT`.",
        413 => "The body is too large: `TOO_LARGE`.",
        415 => "The body is not JSON: `UNSUPPORTED_MEDIA_TYPE`.",
        422 => "The tool failed: `TOOL_EXECUTION_FAILED`.",
        429 => "Too many requests: `RATE_LIMITED`, with `Retry-After`.",
        500 => "Something failed inside the server: `INTERNAL`.",
        502 => "The provider failed: `PROVIDER_ERROR`.",
        503 => "Not now: `PROVIDER_NOT_CONFIGURED`, `OVERLOADED` or `SHUTTING_DOWN`.",
        504 => "The provider took too long: `TIMEOUT`.",
        _ => "An error.",
    }
}
