//! What this server offers: providers, models, tools, profiles, modes, and its configuration.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use victor_core::agent::Profile;
use victor_core::permission::Mode;
use victor_core::provider::{Features, ModelInfo};
use victor_core::token::Scope;

use crate::door::Door;
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::query::Query;
use crate::talk;

#[derive(Debug, Serialize, JsonSchema)]
struct Providers {
    /// The providers that this server knows, in its order.
    providers: Vec<ProviderBody>,
}

/// A provider.
#[derive(Debug, Serialize, JsonSchema)]
struct ProviderBody {
    /// Its name.
    name: String,
    /// The models that are known of it.
    models: Vec<String>,
    /// Whether it can be used now.
    configured: bool,
    /// What it can do.
    features: Features,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Models {
    /// The models of the catalogue; providers may have others.
    models: Vec<ModelInfo>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ModelQuery {
    provider: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Tools {
    /// The tools, by name.
    tools: Vec<ToolBody>,
    /// The groups that they are in.
    categories: BTreeSet<String>,
}

/// A tool.
#[derive(Debug, Serialize, JsonSchema)]
struct ToolBody {
    /// Its name.
    name: String,
    /// What it does.
    description: String,
    /// The group that it is in.
    category: String,
    /// The JSON Schema of its arguments.
    #[schemars(extend("type" = "object"))]
    parameters: Value,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Profiles {
    /// The profiles, by name.
    profiles: Vec<ProfileBody>,
    /// The one that is used when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<String>,
}

/// A profile.
#[derive(Debug, Serialize, JsonSchema)]
struct ProfileBody {
    /// Its name.
    name: String,
    /// What it sets.
    #[serde(flatten)]
    profile: Profile,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Modes {
    /// The modes.
    modes: Vec<ModeBody>,
    /// The one that is used when none is named.
    default: Mode,
}

/// A mode.
#[derive(Debug, Serialize, JsonSchema)]
struct ModeBody {
    /// Its name.
    name: Mode,
    /// What an agent may do in it.
    description: String,
    /// Whether this server lets callers choose it.
    allowed: bool,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let tag = "registries";
    vec![
        Endpoint::new(Method::GET, "/providers", Scope::Read, "list_providers", providers)
            .about(tag, "The providers, and whether they can be used")
            .answers::<Providers>(200, "The providers."),
        Endpoint::new(Method::GET, "/models", Scope::Read, "list_models", models)
            .about(tag, "The models of the catalogue")
            .query::<String>("provider", "Only those of this provider.")
            .answers::<Models>(200, "The models.")
            .fails(&[404]),
        Endpoint::new(Method::GET, "/tools", Scope::Read, "list_tools", tools)
            .about(tag, "The tools that agents may use")
            .answers::<Tools>(200, "The tools."),
        Endpoint::new(Method::GET, "/profiles", Scope::Read, "list_profiles", profiles)
            .about(tag, "The profiles that requests may name")
            .answers::<Profiles>(200, "The profiles."),
        Endpoint::new(Method::GET, "/modes", Scope::Read, "list_modes", modes)
            .about(tag, "The modes, and which of them requests may name")
            .answers::<Modes>(200, "The modes."),
        Endpoint::new(Method::GET, "/config/effective", Scope::Admin, "effective_configuration", effective)
            .about("operations", "The configuration that holds, secrets masked")
            .answers::<Value>(200, "The configuration."),
    ]
}

async fn providers(State(door): State<Door>) -> Json<Providers> {
    let known = door.runtime.providers().map(|p| p.providers()).unwrap_or_default();
    let body = known.into_iter().map(|p| {
        let (name, models, configured, features) = (p.name, p.models, p.configured, p.features);
        ProviderBody { name, models, configured, features }
    });
    Json(Providers { providers: body.collect() })
}

async fn models(State(door): State<Door>, Query(query): Query<ModelQuery>) -> Result<Json<Models>, ApiError> {
    let Some(registry) = door.runtime.providers() else { return Ok(Json(Models { models: Vec::new() })) };
    let mut models = registry.models();
    if let Some(name) = query.provider {
        let known = registry.providers();
        if !known.iter().any(|p| p.name == name) {
            let names = known.iter().map(|p| p.name.as_str());
            let e = victor_core::error::ConfigurationError::unknown("provider", "PROVIDER_NOT_FOUND", &name, names);
            return Err(e.into());
        }
        models.retain(|m| m.provider == name);
    }
    Ok(Json(Models { models }))
}

async fn tools(State(door): State<Door>) -> Json<Tools> {
    let set = door.runtime.tool_set().await;
    let body = |spec: &victor_core::tool::ToolSpec| ToolBody {
        name: spec.name.clone(),
        description: spec.description.clone(),
        category: spec.category.clone(),
        parameters: spec.parameters.clone(),
    };
    let tools: Vec<ToolBody> = set.specs().iter().map(|spec| body(spec)).collect();
    let categories = tools.iter().map(|t| t.category.clone()).collect();
    Json(Tools { tools, categories })
}

async fn profiles(State(door): State<Door>) -> Json<Profiles> {
    let body = |(name, profile): (&String, &Profile)| ProfileBody { name: name.clone(), profile: profile.clone() };
    let profiles = door.runtime.profiles().iter().map(body).collect();
    Json(Profiles { profiles, default: door.runtime.defaults().profile.clone() })
}

async fn modes(State(door): State<Door>) -> Json<Modes> {
    let body = |(mode, _, text): (Mode, &str, &str)| {
        let (description, allowed) = (text.to_owned(), talk::allows(&door, mode));
        ModeBody { name: mode, description, allowed }
    };
    let modes = Mode::ALL.into_iter().map(body).collect();
    Json(Modes { modes, default: door.runtime.defaults().mode.unwrap_or_default() })
}

async fn effective(State(door): State<Door>) -> Json<Value> {
    Json(door.config.effective.clone())
}
