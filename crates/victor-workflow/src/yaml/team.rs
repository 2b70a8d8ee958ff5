//! A team of agents, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;
use victor_core::permission::Mode;

use super::document::Names;
use super::place::{At, Source};
pub use crate::team::{Formation, MemberFailure};

/// Agents that work together.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct TeamNode {
    /// How they work together.
    pub team: At<Formation>,
    /// What is to be done; a template.
    #[schemars(with = "String")]
    pub task: Source<String>,
    /// Who works, in the order in which they do.
    pub members: Vec<Member>,
    /// The member that leads (`hierarchical`), or integrates the others' work (`parallel`, `flat`).
    pub lead: Option<At<String>>,
    /// The member that decides a `debate`.
    pub judge: Option<At<String>>,
    /// Rounds at most of `flat` (1 unless said), `debate` (2), `consensus` (3) and `reflection` (3).
    #[schemars(range(min = 1, max = 100))]
    pub rounds: Option<At<u32>>,
    /// The share of the members that has to agree in a `consensus`, above 0 and up to 1; two thirds unless said.
    #[schemars(range(min = 0, max = 1))]
    pub min_agreement: Option<At<f64>>,
    /// What happens when a member does not come to its end.
    pub on_member_failure: Option<At<MemberFailure>>,
    /// Model calls of the whole team at most.
    #[schemars(range(min = 1))]
    pub max_turns: Option<At<u32>>,
    /// Tokens of the whole team at most.
    #[schemars(range(min = 1))]
    pub token_budget: Option<At<u64>>,
}

/// A member of a team. What is left out follows the configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct Member {
    /// Its name, once in the team.
    pub name: At<String>,
    /// What it is, in a word or two.
    pub role: Option<String>,
    /// What it looks after; a template.
    #[schemars(with = "Option<String>")]
    pub goal: Option<Source<String>>,
    /// Further instructions; a template.
    #[schemars(with = "Option<String>")]
    pub system: Option<Source<String>>,
    /// The provider.
    pub provider: Option<At<String>>,
    /// The model.
    pub model: Option<At<String>>,
    /// A profile of the configuration.
    pub profile: Option<At<String>>,
    /// Sampling temperature.
    #[schemars(range(min = 0, max = 2))]
    pub temperature: Option<At<f64>>,
    /// Tokens of an answer at most.
    #[schemars(range(min = 1))]
    pub max_tokens: Option<At<u32>>,
    /// The tools that it may use, by name or glob.
    pub tools: Option<Names>,
    /// What it may do at most.
    pub mode: Option<At<Mode>>,
    /// Model calls at most, each time that it is asked.
    #[schemars(range(min = 1))]
    pub max_turns: Option<At<u32>>,
    /// Tokens at most, each time that it is asked.
    #[schemars(range(min = 1))]
    pub token_budget: Option<At<u64>>,
}
