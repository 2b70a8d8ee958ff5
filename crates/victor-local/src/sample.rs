//! Which token comes next: scores to one choice. The same seed and the same scores give the same choice.

use victor_core::request::Params;

use crate::error::EngineError;
use crate::model::Family;

/// How a token is chosen. The default takes the most likely one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Flattens (above 1) or sharpens the odds; 0 takes the most likely token.
    pub temperature: f32,
    /// Only the likeliest tokens that together reach this share; 1 for all.
    pub top_p: f32,
    /// Only so many of the likeliest tokens; 0 for all.
    pub top_k: usize,
    /// Only tokens at least this likely, measured by the likeliest; 0 for all.
    pub min_p: f32,
    /// Makes tokens of the latest part less likely; 1 for no change (arXiv 1909.05858).
    pub repetition_penalty: f32,
    /// What the choices are drawn from.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, top_k: 0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 }
    }
}

impl Sampling {
    /// What suits a family of models, by the words of who made them.
    pub(crate) fn of(family: Family, thinks: bool) -> Self {
        let all = Self::default();
        match family {
            // The penalty keeps the tiny ones from saying the same for ever.
            Family::Llama => Self { temperature: 0.2, top_p: 0.9, repetition_penalty: 1.1, ..all },
            Family::Qwen2 => Self { temperature: 0.7, top_p: 0.8, top_k: 20, repetition_penalty: 1.05, ..all },
            Family::Qwen3 if thinks => Self { temperature: 0.6, top_p: 0.95, top_k: 20, ..all },
            Family::Qwen3 => Self { temperature: 0.7, top_p: 0.8, top_k: 20, ..all },
            Family::Gemma3 => Self { temperature: 1.0, top_p: 0.95, top_k: 64, ..all },
        }
    }

    /// What a request says, over this.
    pub(crate) fn under(self, params: &Params) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a few digits are enough")]
        let number = |value: Option<f64>, own: f32| value.map_or(own, |v| v as f32);
        Self {
            temperature: number(params.temperature, self.temperature),
            top_p: number(params.top_p, self.top_p),
            ..self
        }
    }

    /// Checks that the numbers make sense.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        let wrong = |what: &str| Err(EngineError::Request(what.to_owned()));
        match self {
            s if !(s.temperature >= 0.0 && s.temperature.is_finite()) => wrong("temperature must be 0 or more"),
            s if !(s.top_p > 0.0 && s.top_p <= 1.0) => wrong("top_p must be above 0 and at most 1"),
            s if !(0.0..=1.0).contains(&s.min_p) => wrong("min_p must lie between 0 and 1"),
            s if !(s.repetition_penalty > 0.0 && s.repetition_penalty.is_finite()) => {
                wrong("repetition_penalty must be above 0")
            }
            _ => Ok(()),
        }
    }
}

/// The tokens that the repetition penalty looks back at.
const LOOK_BACK: usize = 64;

/// Draws tokens.
pub(crate) struct Sampler {
    sampling: Sampling,
    state: u64,
}

impl Sampler {
    pub(crate) fn new(sampling: Sampling) -> Self {
        Self { sampling, state: sampling.seed }
    }

    /// Chooses a token; `None` where no score is a number. Tokens that must not come have a score of minus infinity.
    pub(crate) fn choose(&mut self, scores: &mut [f32], said: &[u32]) -> Option<u32> {
        self.punish(scores, said);
        if self.sampling.temperature <= 0.0 {
            return best(scores);
        }
        let mut odds = self.odds(scores);
        let best = odds.first()?.1;
        let kept = odds.iter().take_while(|(_, p)| *p >= self.sampling.min_p * best).count().max(1);
        odds.truncate(kept);
        let mut sum = 0.0;
        let total: f32 = odds.iter().map(|(_, p)| p).sum();
        let kept = odds.iter().take_while(|(_, p)| {
            let more = sum < self.sampling.top_p * total;
            sum += p;
            more
        });
        let kept = kept.count().max(1);
        odds.truncate(kept);
        self.draw(&odds)
    }

    fn punish(&self, scores: &mut [f32], said: &[u32]) {
        let penalty = self.sampling.repetition_penalty;
        if (penalty - 1.0).abs() < f32::EPSILON {
            return;
        }
        let mut latest = said[said.len().saturating_sub(LOOK_BACK)..].to_vec();
        latest.sort_unstable();
        latest.dedup();
        for token in latest {
            if let Some(score) = scores.get_mut(token as usize) {
                *score = if *score > 0.0 { *score / penalty } else { *score * penalty };
            }
        }
    }

    /// Tokens with their odds, likeliest first; the odds need not add up to one.
    fn odds(&self, scores: &[f32]) -> Vec<(u32, f32)> {
        let mut odds: Vec<_> = (0..).zip(scores.iter().copied()).filter(|(_, s)| s.is_finite()).collect();
        let by_odds = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if self.sampling.top_k > 0 && self.sampling.top_k < odds.len() {
            odds.select_nth_unstable_by(self.sampling.top_k - 1, by_odds);
            odds.truncate(self.sampling.top_k);
        }
        odds.sort_unstable_by(by_odds);
        let highest = odds.first().map_or(0.0, |(_, s)| *s);
        for (_, score) in &mut odds {
            *score = ((*score - highest) / self.sampling.temperature).exp();
        }
        odds
    }

    fn draw(&mut self, odds: &[(u32, f32)]) -> Option<u32> {
        let total: f32 = odds.iter().map(|(_, p)| p).sum();
        let mut left = self.unit() * total;
        for (token, p) in odds {
            left -= p;
            if left < 0.0 {
                return Some(*token);
            }
        }
        odds.last().map(|(token, _)| *token)
    }

    /// A number from 0 to below 1 (`SplitMix64`, Steele and others 2014).
    fn unit(&mut self) -> f32 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        #[expect(clippy::cast_precision_loss, reason = "24 bits are exact")]
        let top = (z >> 40) as f32;
        top / 16_777_216.0
    }
}

/// The highest score; the first of equals.
fn best(scores: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (token, score) in (0u32..).zip(scores.iter().copied()) {
        if score.is_finite() && best.is_none_or(|(_, b)| score > b) {
            best = Some((token, score));
        }
    }
    best.map(|(token, _)| token)
}
