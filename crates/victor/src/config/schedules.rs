//! `schedules`: workflows that `victor serve` runs at certain times.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use victor_workflow::schedule::{Cron, Missed, Overlap, check_name, time_zone};

use super::schema::Config;

/// The time zone of a schedule that names none.
pub(crate) const ZONE: &str = "UTC";

/// A workflow that `victor serve` runs at certain times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleSettings {
    /// When: a cron expression of five fields, of six with the second in front, or `@daily` and the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The time zone that the expression is read in, by its IANA name; `UTC` unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The workflow, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// What it is given.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, Anything>")]
    pub input: BTreeMap<String, Value>,
    /// What happens to times that passed while no server ran; `skip` unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
    /// What happens when the run of an earlier time has not ended; `skip` unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// Whether it is followed; it is unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The folder whose server follows it: an absolute path, or one below `~/`; servers of every folder unless said
    /// otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
}

/// Any value, as a schema that keys can be looked up in.
struct Anything;

impl JsonSchema for Anything {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Anything".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}

/// A key with a value that makes no sense, and why.
type Wrong = (Vec<String>, String);

/// Checks what the types cannot say of the schedules of a file or of all layers.
pub(super) fn check(config: &Config) -> Vec<Wrong> {
    config.schedules.iter().flat_map(|(name, schedule)| check_one(name, schedule)).collect()
}

fn check_one(name: &str, schedule: &ScheduleSettings) -> Vec<Wrong> {
    let wrong = |key: &str, why: String| {
        let path = ["schedules", name, key].iter().filter(|k| !k.is_empty()).map(|k| (*k).to_owned()).collect();
        let key = if key.is_empty() { String::new() } else { format!(".{key}") };
        (path, format!("schedules.{name}{key}: {why}"))
    };
    let mut all = Vec::new();
    all.extend(check_name(name).err().map(|e| wrong("", e.message)));
    let zone = schedule.timezone.as_deref().unwrap_or(ZONE);
    let unknown = time_zone(zone.trim()).err();
    // An expression that is right is right in any zone.
    let readable = if unknown.is_some() { ZONE } else { zone };
    all.extend(unknown.map(|e| wrong("timezone", e.message)));
    if let Some(Err(e)) = schedule.cron.as_ref().map(|cron| Cron::parse(cron, readable)) {
        all.push(wrong("cron", e.message));
    }
    if let Some(folder) = &schedule.workspace
        && !folder.starts_with("~/")
        && !Path::new(folder).is_absolute()
    {
        let why = format!("`{folder}` is no folder: write an absolute path, or one below `~/`");
        all.push(wrong("workspace", why));
    }
    all
}

/// Checks that all layers together say of each schedule what it needs.
pub(super) fn check_whole(config: &Config) -> Vec<Wrong> {
    let mut all = Vec::new();
    for (name, schedule) in &config.schedules {
        for (key, is_missing, example) in [
            ("cron", schedule.cron.is_none(), "when it is due, such as \"0 6 * * MON-FRI\""),
            ("workflow", schedule.workflow.is_none(), "the name of what it runs"),
        ] {
            if is_missing {
                let path = vec!["schedules".to_owned(), name.clone()];
                all.push((path, format!("schedules.{name} has no `{key}`: {example}")));
            }
        }
    }
    all
}
