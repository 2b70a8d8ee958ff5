//! One endpoint: method, path, who may call it, how it is served and how it is described. The router, the checks of
//! scopes and the OpenAPI document are all made from the same list of these.

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use victor_core::token::Scope;

use crate::caller::Caller;
use crate::door::Door;
use crate::error::ApiError;

/// The path under which all but a few endpoints stand.
pub(crate) const BASE: &str = "/api/v1";

/// The schema of a type, put into the document's components.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// An idempotency key.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for the form of a header")]
struct KeyText(#[schemars(regex(pattern = r"^[!-~]{1,255}$"))] String);

/// Who may call an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody, without a key.
    Open,
    /// Whoever has a key, whatever its scopes.
    AnyKey,
    /// Whoever has a key with this scope; what `chat` may read, `admin` may too.
    Scope(Scope),
}

/// What a successful answer holds.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    /// JSON of this form.
    Json(SchemaOf),
    /// Server-sent events whose data is JSON of this form.
    Events(SchemaOf),
    /// A text of this media type.
    Text(&'static str),
    /// Nothing.
    None,
}

/// A parameter in the query or the headers.
#[derive(Clone, Copy)]
pub(crate) struct Parameter {
    /// `query` or `header`.
    pub(crate) place: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
    /// What it says.
    pub(crate) summary: &'static str,
    /// Its form.
    pub(crate) schema: SchemaOf,
}

/// One endpoint.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) access: Access,
    pub(crate) route: MethodRouter<Door>,
    /// The operation's name in generated clients.
    pub(crate) id: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<SchemaOf>,
    /// Successful answers: status, what it means, what it holds.
    pub(crate) answers: Vec<(u16, &'static str, Content)>,
    /// Statuses of errors, beside those that every endpoint can answer with.
    pub(crate) errors: Vec<u16>,
    /// Whether an `Idempotency-Key` counts.
    pub(crate) repeats: bool,
}

impl Endpoint {
    /// An endpoint below [`BASE`], for whoever has `scope`.
    pub(crate) fn new<H, T>(method: Method, path: &str, scope: Scope, id: &'static str, handler: H) -> Self
    where
        H: Handler<T, Door>,
        T: 'static,
    {
        Self::at(method, format!("{BASE}{path}"), Access::Scope(scope), id, handler)
    }

    /// An endpoint at a path of its own.
    pub(crate) fn at<H, T>(method: Method, path: String, access: Access, id: &'static str, handler: H) -> Self
    where
        H: Handler<T, Door>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
        let mut route = on(filter, handler);
        if let Access::Scope(scope) = access {
            // Whoever may see everybody's conversations and runs may read them with that scope alone.
            let instead = (scope == Scope::Chat && method == Method::GET).then_some(Scope::Admin);
            route = route.layer(from_fn(move |request, next| authorise(scope, instead, request, next)));
        }
        let (tag, summary) = ("", "");
        let (parameters, answers, errors) = (Vec::new(), Vec::new(), Vec::new());
        Self { method, path, access, route, id, tag, summary, parameters, body: None, answers, errors, repeats: false }
    }

    /// What it is for, in a group.
    pub(crate) fn about(mut self, tag: &'static str, summary: &'static str) -> Self {
        (self.tag, self.summary) = (tag, summary);
        self
    }

    /// The form of the body that it takes. Its own errors come with it.
    pub(crate) fn takes<B: JsonSchema>(mut self) -> Self {
        self.body = Some(SchemaGenerator::subschema_for::<B>);
        self.errors.extend([400, 408, 413, 415]);
        self
    }

    /// A parameter in the query.
    pub(crate) fn query<P: JsonSchema>(mut self, name: &'static str, summary: &'static str) -> Self {
        let schema: SchemaOf = SchemaGenerator::subschema_for::<P>;
        self.parameters.push(Parameter { place: "query", name, summary, schema });
        self.errors.push(400);
        self
    }

    /// A header that it reads.
    pub(crate) fn header<P: JsonSchema>(mut self, name: &'static str, summary: &'static str) -> Self {
        let schema: SchemaOf = SchemaGenerator::subschema_for::<P>;
        self.parameters.push(Parameter { place: "header", name, summary, schema });
        self
    }

    /// With an `Idempotency-Key` its repetition runs nothing twice.
    pub(crate) fn once(mut self) -> Self {
        self.repeats = true;
        self.fails(&[409])
            .header::<KeyText>("Idempotency-Key", "The same key and request within 24 hours answer the first result.")
    }

    /// A successful answer as JSON.
    pub(crate) fn answers<A: JsonSchema>(mut self, status: u16, summary: &'static str) -> Self {
        self.answers.push((status, summary, Content::Json(SchemaGenerator::subschema_for::<A>)));
        self
    }

    /// A successful answer of another kind.
    pub(crate) fn answers_with(mut self, status: u16, summary: &'static str, content: Content) -> Self {
        self.answers.push((status, summary, content));
        self
    }

    /// Statuses of errors that it can answer with.
    pub(crate) fn fails(mut self, statuses: &[u16]) -> Self {
        self.errors.extend(statuses);
        self
    }
}

/// Routes of another door, for whoever has `scope`.
pub(crate) fn behind(scope: Scope, routes: Router) -> Router<Door> {
    routes.route_layer(from_fn(move |request, next| authorise(scope, None, request, next))).with_state(())
}

async fn authorise(scope: Scope, instead: Option<Scope>, request: Request, next: Next) -> Result<Response, ApiError> {
    // Without a caller the gate was not passed: nothing is open by accident.
    let caller = request.extensions().get::<Caller>().ok_or_else(|| ApiError::scope(scope))?;
    if !instead.is_some_and(|scope| caller.may(scope)) {
        caller.need(scope)?;
    }
    Ok(next.run(request).await)
}
