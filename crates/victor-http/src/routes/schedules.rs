//! Workflows on a schedule: when each is due next, and what came of its last times.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use victor_core::token::Scope;
use victor_workflow::schedule::{KEPT, ScheduleState, Scheduler};

use crate::door::Door;
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::query::Query;

/// How many of the last times are told where nothing is said.
const LAST: usize = 20;

/// Entries of each schedule.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for the form of a parameter")]
struct Last(#[schemars(range(min = 0, max = 100))] usize);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ListQuery {
    last: Option<usize>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct List {
    /// The schedules, by name.
    schedules: Vec<ScheduleState>,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/schedules", Scope::Admin, "list_schedules", list)
            .about("operations", "The workflows on a schedule: their next times, and what came of the last ones")
            .query::<Last>("last", "How many of the last times of each, 0 to 100; 20 unless said otherwise.")
            .answers::<List>(200, "They."),
    ]
}

async fn list(State(door): State<Door>, Query(query): Query<ListQuery>) -> Result<Json<List>, ApiError> {
    let last = query.last.unwrap_or(LAST);
    if last > KEPT {
        return Err(ApiError::invalid(format!("`last` is {last}; it is 0 to {KEPT}")));
    }
    let schedules = match Scheduler::of(&door.runtime) {
        Some(scheduler) => scheduler.list(last).await?,
        None => Vec::new(),
    };
    Ok(Json(List { schedules }))
}
