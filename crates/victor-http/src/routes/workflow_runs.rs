//! The runs of workflows of this server's folder, page by page. Each belongs to whoever began it.

use axum::extract::State;
use axum::http::Method;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use victor_core::id::{RunId, Timestamp};
use victor_core::journal::{JournalFilter, RunStatus};
use victor_core::token::Scope;
use victor_workflow::Workflows;

use crate::caller::Caller;
use crate::door::Door;
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::query::Query;
use crate::routes::WorkflowStatus;

/// Runs on a page where nothing is said.
const PAGE: usize = 20;
/// Runs on a page at most.
const LONGEST_PAGE: usize = 100;

/// A page of runs.
#[derive(Debug, Serialize, JsonSchema)]
struct RunPage {
    /// The runs, the one that changed last first.
    runs: Vec<WorkflowStatus>,
    /// What to ask for the next page with; `null` on the last.
    next_cursor: Option<String>,
}

/// Runs on a page.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for the form of a parameter")]
struct RunLimit(#[schemars(range(min = 1, max = 100))] usize);

/// A place in the list, as this server writes it.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for the form of a parameter")]
struct RunCursor(#[schemars(regex(pattern = "^[A-Za-z0-9_-]{20,}$"))] String);

/// Which runs a list holds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RunQuery {
    limit: Option<usize>,
    cursor: Option<String>,
    status: Option<RunStatus>,
    workflow: Option<String>,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/workflows/runs", Scope::Chat, "list_workflow_runs", list)
            .about("workflows", "The caller's runs in this server's folder; all of them for the scope `admin`")
            .query::<RunLimit>("limit", "Runs on the page, 1 to 100; 20 unless said otherwise.")
            .query::<RunCursor>("cursor", "`next_cursor` of the page before.")
            .query::<RunStatus>("status", "Only runs that stand so.")
            .query::<String>("workflow", "Only runs of the workflow of this name.")
            .answers::<RunPage>(200, "A page."),
    ]
}

async fn list(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<RunQuery>,
) -> Result<Json<RunPage>, ApiError> {
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=LONGEST_PAGE).contains(&limit) {
        return Err(ApiError::invalid(format!("`limit` is {limit}; it is 1 to {LONGEST_PAGE}")));
    }
    let filter = JournalFilter {
        owner: (!caller.may(Scope::Admin)).then(|| caller.owner.to_string()),
        name: query.workflow,
        workspace: Some(door.runtime.workspace().root.to_string_lossy().into_owned()),
        status: query.status.into_iter().collect(),
        before: query.cursor.as_deref().map(position).transpose()?,
        limit: limit + 1,
    };
    let mut found = Workflows::of(&door.runtime).list(&filter).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    let next_cursor = last.map(|r| URL_SAFE_NO_PAD.encode(format!("{} {}", r.updated_at.as_micros(), r.workflow_id)));
    Ok(Json(RunPage { runs: found.into_iter().map(Into::into).collect(), next_cursor }))
}

/// The place in the list that a cursor stands for.
fn position(cursor: &str) -> Result<(Timestamp, RunId), ApiError> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let parts = text.as_deref().and_then(|text| text.split_once(' '));
    let place = parts.and_then(|(at, id)| Some((Timestamp::from_micros(at.parse().ok()?), id.parse().ok()?)));
    place.ok_or_else(|| ApiError::invalid("`cursor` is none of this server's; take `next_cursor` of a page as it is"))
}
