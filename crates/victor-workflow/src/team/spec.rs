//! The YAML form of a team: what stands in a node of `type: team`, beside what every node has.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use victor_core::permission::Mode;

/// How the members of a team work together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Formation {
    /// One after the other; each sees the task and what all before it have said.
    Sequential,
    /// All at once, each with the task alone.
    Parallel,
    /// A lead plans, hands work to the members through tools, and integrates.
    Hierarchical,
    /// One after the other; the first gets the task, each other one the text of the one before, and nothing else.
    Pipeline,
    /// Peers, all at once, who share a blackboard.
    Flat,
    /// Each proposes, then all vote; until enough agree.
    Consensus,
    /// They argue in turn for some rounds, then a judge decides.
    Debate,
    /// The first works, the second criticises; until it approves.
    Reflection,
}

impl Formation {
    /// The name in YAML.
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

/// What happens to the team when a member does not come to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberFailure {
    /// The team ends as the member did.
    #[default]
    Fail,
    /// The others go on, where the formation can do without the member.
    Continue,
}

/// A team as a workflow file describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamSpec {
    /// How the members work together.
    pub team: Formation,
    /// Who works.
    pub members: Vec<MemberSpec>,
    /// What is to be done; `{{ name }}` takes values of the state.
    pub task: String,
    /// Who leads (`hierarchical`), or integrates the others' work (`parallel`, `flat`): a member's name, or one more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead: Option<Seat>,
    /// Who decides a `debate`: a member's name, or one more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Seat>,
    /// Rounds at most of `flat` (1 unless said), `debate` (2), `consensus` (3) and `reflection` (3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub rounds: Option<u32>,
    /// The share of the members that has to agree in a `consensus`, above 0 and up to 1; two thirds unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_agreement: Option<f64>,
    /// What happens when a member does not come to its end.
    #[serde(default)]
    pub on_member_failure: MemberFailure,
    /// Model calls of the whole team at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
    /// Tokens of the whole team at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_budget: Option<u64>,
}

/// A member of a team. What is left out follows the configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberSpec {
    /// Its name in the team: letters, digits, `_` and `-`.
    pub name: String,
    /// What it is, in a few words: `analyst`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What it is there to reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// Further instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// A saved profile that the rest is laid over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Sampling temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Tokens of an answer at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The tools that it may use, by name or glob; all unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// What it may do at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Its share of the team's budget: model calls at most, each time that it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
    /// Its share of the team's budget: tokens at most, each time that it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_budget: Option<u64>,
}

/// Who has a special part in a team.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Seat {
    /// A member, by name; it is then only this, not one of the others too.
    Member(String),
    /// One more agent.
    Own(Box<MemberSpec>),
}

/// Something wrong with a team's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field that is wrong.
    pub field: &'static str,
    /// What is wrong and what would be right.
    pub message: String,
}

impl TeamSpec {
    /// All that is wrong with it, beyond its types.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        for (field, seat) in [("lead", &self.lead), ("judge", &self.judge)] {
            if let Some(Seat::Member(name)) = seat
                && !self.members.iter().any(|m| m.name == *name)
            {
                let names = self.members.iter().map(|m| m.name.as_str());
                let message = format!("no member is called `{name}`{}", hint(name, names));
                found.push(Problem { field, message });
            }
        }
        let own = [&self.lead, &self.judge].into_iter().flatten().filter_map(Seat::own);
        let shape = Shape {
            formation: self.team,
            names: self.members.iter().chain(own).map(|m| m.name.as_str()).collect(),
            workers: self.workers().count(),
            lead: self.lead.is_some(),
            judge: self.judge.is_some(),
            rounds: self.rounds,
            min_agreement: self.min_agreement,
        };
        found.extend(shape.problems());
        found
    }

    /// The members without those who have a special part.
    pub(crate) fn workers(&self) -> impl Iterator<Item = &MemberSpec> {
        let special = |name: &str| {
            let is = |seat: &Option<Seat>| matches!(seat, Some(Seat::Member(n)) if n == name);
            is(&self.lead) || is(&self.judge)
        };
        self.members.iter().filter(move |m| !special(&m.name))
    }
}

/// Who wins a debate that nobody wins.
pub(super) const NOBODY: &str = "nobody";

/// What a team looks like from outside: who is in it and what was said of it.
pub(super) struct Shape<'a> {
    pub(super) formation: Formation,
    pub(super) names: Vec<&'a str>,
    /// Members without a special part.
    pub(super) workers: usize,
    pub(super) lead: bool,
    pub(super) judge: bool,
    pub(super) rounds: Option<u32>,
    pub(super) min_agreement: Option<f64>,
}

impl Shape<'_> {
    /// All that does not fit the formation.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut wrong = |field, message: String| found.push(Problem { field, message });
        self.check_names(&mut wrong);
        self.check_members(&mut wrong);
        self.check_settings(&mut wrong);
        found
    }

    fn check_names(&self, wrong: &mut impl FnMut(&'static str, String)) {
        let mut seen = BTreeSet::new();
        for name in &self.names {
            if !is_name(name) {
                wrong(
                    "members",
                    format!("`{name}` is no name for a member: use up to 48 letters, digits, `_` and `-`"),
                );
            }
            if *name == NOBODY && self.formation == Formation::Debate {
                wrong(
                    "members",
                    format!("`{NOBODY}` is who has won a debate without a winner: name the member otherwise"),
                );
            }
            if !seen.insert(name) {
                wrong("members", format!("two members are called `{name}`"));
            }
        }
    }

    fn check_members(&self, wrong: &mut impl FnMut(&'static str, String)) {
        let (formation, workers) = (self.formation.name(), self.workers);
        match self.formation {
            Formation::Hierarchical if !self.lead => wrong("lead", "a hierarchical team needs a `lead`".to_owned()),
            Formation::Debate if !self.judge => wrong("judge", "a debate needs a `judge`".to_owned()),
            _ => {}
        }
        match self.formation {
            Formation::Debate | Formation::Consensus if workers < 2 => {
                wrong("members", format!("a {formation} needs two members at least, here are {workers}"));
            }
            Formation::Reflection if workers != 2 => {
                let text = format!("a reflection has two members, who works and who criticises; here are {workers}");
                wrong("members", text);
            }
            _ if workers == 0 => wrong("members", "a team needs members".to_owned()),
            _ => {}
        }
    }

    fn check_settings(&self, wrong: &mut impl FnMut(&'static str, String)) {
        let formation = self.formation;
        let unused = |field: &str| format!("`{field}` means nothing in the formation `{}`", formation.name());
        if self.lead && !matches!(formation, Formation::Hierarchical | Formation::Parallel | Formation::Flat) {
            wrong("lead", unused("lead"));
        }
        if self.judge && formation != Formation::Debate {
            wrong("judge", unused("judge"));
        }
        match self.rounds {
            Some(_) if !formation.has_rounds() => wrong("rounds", unused("rounds")),
            Some(0 | 101..) => wrong("rounds", "`rounds` is from 1 to 100".to_owned()),
            _ => {}
        }
        match self.min_agreement {
            Some(_) if formation != Formation::Consensus => wrong("min_agreement", unused("min_agreement")),
            Some(share) if !(share > 0.0 && share <= 1.0) => {
                wrong("min_agreement", format!("`min_agreement` is a share above 0 and up to 1, not {share}"));
            }
            _ => {}
        }
    }
}

impl Formation {
    pub(crate) fn has_rounds(self) -> bool {
        matches!(self, Self::Flat | Self::Debate | Self::Consensus | Self::Reflection)
    }
}

impl Seat {
    fn own(&self) -> Option<&MemberSpec> {
        match self {
            Self::Own(member) => Some(member),
            Self::Member(_) => None,
        }
    }
}

/// Whether a member may be called so: it stands in tools' names and in events' paths.
pub(crate) fn is_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=48).contains(&name.len()) && name.chars().all(fine)
}

fn hint<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match victor_core::error::nearest(name, known) {
        near if near.is_empty() => String::new(),
        near => format!("; did you mean {}?", near.join(" or ")),
    }
}

// By hand: an untagged enum would lose the place and the cause of an error inside the member.
impl<'de> Deserialize<'de> for Seat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SeatVisitor)
    }
}

struct SeatVisitor;

impl<'de> Visitor<'de> for SeatVisitor {
    type Value = Seat;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name, or one more member with a `name` of its own")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Seat, E> {
        Ok(Seat::Member(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Seat, A::Error> {
        MemberSpec::deserialize(MapAccessDeserializer::new(map)).map(|m| Seat::Own(Box::new(m)))
    }
}

impl JsonSchema for Seat {
    fn schema_name() -> Cow<'static, str> {
        "Seat".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let member = generator.subschema_for::<MemberSpec>();
        json_schema!({ "anyOf": [{ "type": "string" }, member] })
    }
}
