//! A team of agents, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;
use victor_core::permission::Mode;

use super::document::Names;
use super::place::{At, Source};

/// Agents that work together.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct TeamNode {
    /// How they work together.
    pub formation: At<Formation>,
    /// What they have to do; a template.
    #[schemars(with = "String")]
    pub goal: Source<String>,
    /// Who they are, in the order in which they work.
    pub members: Vec<Member>,
    /// The member that leads, of `hierarchical`; the first unless said otherwise.
    pub lead: Option<At<String>>,
    /// The member that judges, of `debate`; the last unless said otherwise.
    pub judge: Option<At<String>>,
    /// How often they speak, of `debate`, `consensus`, `reflection` and `flat`.
    #[schemars(range(min = 1, max = 50))]
    pub rounds: Option<At<u32>>,
    /// The part of the members that must agree, of `consensus`: above 0, up to 1.
    #[schemars(range(min = 0, max = 1))]
    pub min_agreement: Option<At<f64>>,
    /// Calls of tools that they may make together.
    pub tool_budget: Option<At<u32>>,
    /// US dollars that they may spend together.
    #[schemars(range(min = 0))]
    pub max_cost: Option<At<f64>>,
}

/// How the members of a team work together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Formation {
    /// One after the other, each seeing what was said.
    Sequential,
    /// All at the same time.
    Parallel,
    /// A lead that plans, hands out work and puts it together.
    Hierarchical,
    /// Each works on what the one before made.
    Pipeline,
    /// As equals with a shared memory.
    Flat,
    /// Until enough of them agree.
    Consensus,
    /// For and against, with a judge.
    Debate,
    /// One writes, one reviews.
    Reflection,
}

/// A member of a team.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct Member {
    /// Its name, once in the team.
    pub id: At<String>,
    /// What it is, in a word or two.
    pub role: Option<String>,
    /// What it looks after; a template.
    #[schemars(with = "Option<String>")]
    pub goal: Option<Source<String>>,
    /// The provider.
    pub provider: Option<At<String>>,
    /// The model.
    pub model: Option<At<String>>,
    /// A profile of the configuration.
    pub profile: Option<At<String>>,
    /// The tools that it may use, by name or glob.
    pub tools: Option<Names>,
    /// Tools that it may not use, by name or glob.
    pub forbidden_tools: Option<Names>,
    /// Calls of tools that it may make.
    pub tool_budget: Option<At<u32>>,
    /// What it may do at most.
    pub mode: Option<At<Mode>>,
}

impl Formation {
    /// The fewest members.
    #[must_use]
    pub fn least_members(self) -> usize {
        match self {
            Self::Sequential | Self::Parallel | Self::Pipeline | Self::Flat => 1,
            Self::Hierarchical | Self::Consensus | Self::Reflection => 2,
            Self::Debate => 3,
        }
    }

    /// Its name in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Parallel => "parallel",
            Self::Hierarchical => "hierarchical",
            Self::Pipeline => "pipeline",
            Self::Flat => "flat",
            Self::Consensus => "consensus",
            Self::Debate => "debate",
            Self::Reflection => "reflection",
        }
    }
}
