//! Tokens and money: what a run used, what it may use, and what a token costs.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tokens of one or more model calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Usage {
    /// All tokens of the prompt, the cached ones among them.
    pub input: u64,
    /// All tokens of the answer, thinking among them.
    pub output: u64,
    /// Prompt tokens read from the provider's cache; part of `input`.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_read: u64,
    /// Prompt tokens written to the provider's cache; part of `input`.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write: u64,
    /// Answer tokens that were thinking; part of `output`.
    #[serde(skip_serializing_if = "is_zero")]
    pub reasoning: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Usage {
    /// Prompt and answer together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.input + self.output
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, o: Self) {
        self.input += o.input;
        self.output += o.output;
        self.cache_read += o.cache_read;
        self.cache_write += o.cache_write;
        self.reasoning += o.reasoning;
    }
}

/// An amount of money in billionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct NanoUsd(pub u64);

impl NanoUsd {
    /// From dollars; negative and non-finite amounts count as zero.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range of u64 first")]
    pub fn from_dollars(dollars: f64) -> Self {
        Self((dollars * 1e9).round().clamp(0.0, 1e18) as u64)
    }
}

impl AddAssign for NanoUsd {
    fn add_assign(&mut self, o: Self) {
        self.0 = self.0.saturating_add(o.0);
    }
}

impl fmt::Display for NanoUsd {
    /// Dollars with four decimals, more only where the amount is smaller than that.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, rest) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        match self.0 {
            1..100_000 => write!(f, "${dollars}.{rest:09}"),
            _ => write!(f, "${dollars}.{:04}", rest / 100_000),
        }
    }
}

/// What a token costs, in billionths of a dollar a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    /// A prompt token that was neither read from nor written to a cache.
    pub input: u64,
    /// An answer token.
    pub output: u64,
    /// A prompt token read from the cache.
    pub cache_read: u64,
    /// A prompt token written to the cache.
    pub cache_write: u64,
}

impl Price {
    /// What `usage` costs at this price.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> NanoUsd {
        let plain = usage.input.saturating_sub(usage.cache_read + usage.cache_write);
        NanoUsd(
            plain * self.input
                + usage.cache_read * self.cache_read
                + usage.cache_write * self.cache_write
                + usage.output * self.output,
        )
    }
}

/// What a run may use at most. `None` is no limit. Children of a run draw on the same budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Budget {
    /// Model calls that answered.
    pub max_turns: Option<u32>,
    /// Prompt and answer tokens together.
    pub max_tokens: Option<u64>,
    /// Money; a model without a known price is then refused.
    pub max_cost: Option<NanoUsd>,
    /// Time from the run's start.
    pub max_time: Option<Duration>,
}

impl Budget {
    /// Fills what `self` leaves open from `other`.
    #[must_use]
    pub fn over(self, other: &Self) -> Self {
        Self {
            max_turns: self.max_turns.or(other.max_turns),
            max_tokens: self.max_tokens.or(other.max_tokens),
            max_cost: self.max_cost.or(other.max_cost),
            max_time: self.max_time.or(other.max_time),
        }
    }

    /// The same budget for a part of a run that begins when `spent` is used already; time is counted by itself.
    #[must_use]
    pub fn beyond(self, spent: &Spent) -> Self {
        Self {
            max_turns: self.max_turns.map(|max| max.saturating_add(spent.turns)),
            max_tokens: self.max_tokens.map(|max| max.saturating_add(spent.usage.total())),
            max_cost: self.max_cost.map(|max| NanoUsd(max.0.saturating_add(spent.cost.0))),
            max_time: self.max_time,
        }
    }

    /// What is left when `spent` is used already; time is counted by itself.
    #[must_use]
    pub fn without(self, spent: &Spent) -> Self {
        Self {
            max_turns: self.max_turns.map(|max| max.saturating_sub(spent.turns)),
            max_tokens: self.max_tokens.map(|max| max.saturating_sub(spent.usage.total())),
            max_cost: self.max_cost.map(|max| NanoUsd(max.0.saturating_sub(spent.cost.0))),
            max_time: self.max_time,
        }
    }

    /// The stricter of both in every respect.
    #[must_use]
    pub fn within(self, other: &Self) -> Self {
        Self {
            max_turns: stricter(self.max_turns, other.max_turns),
            max_tokens: stricter(self.max_tokens, other.max_tokens),
            max_cost: stricter(self.max_cost, other.max_cost),
            max_time: stricter(self.max_time, other.max_time),
        }
    }
}

fn stricter<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// What a run has used, its children's part included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Spent {
    /// Tokens.
    pub usage: Usage,
    /// Money, as far as prices are known.
    pub cost: NanoUsd,
    /// Model calls that answered.
    pub turns: u32,
}

/// The limit that ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Limit {
    /// `max_turns`.
    Turns,
    /// `max_tokens` of the budget.
    Tokens,
    /// `max_cost`.
    Cost,
    /// `max_time`.
    Time,
    /// The model's context window, and compaction made no room.
    Context,
    /// The model's answer reached its own length limit.
    Output,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Turns => "the turn limit",
            Self::Tokens => "the token budget",
            Self::Cost => "the cost limit",
            Self::Time => "the time limit",
            Self::Context => "the model's context window",
            Self::Output => "the model's output limit",
        })
    }
}
