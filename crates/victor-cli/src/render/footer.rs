//! The line under a turn: tokens, cost, time.

use std::time::Duration;

use victor::agent::Outcome;
use victor::usage::{NanoUsd, Usage};

/// `1,234 in (1,000 cached) · 56 out · $0.0123 · 3.2 s · openai/gpt-5`
pub(crate) fn footer(outcome: &Outcome) -> String {
    let time = duration(Duration::from_millis(outcome.duration_ms));
    let model = format!("{}/{}", outcome.provider, outcome.model);
    [tokens(&outcome.usage), cost(outcome.cost), time, model].join(" · ")
}

/// `1,234 in (1,000 cached) · 56 out`
pub(crate) fn tokens(usage: &Usage) -> String {
    let cached = match usage.cache_read {
        0 => String::new(),
        n => format!(" ({} cached)", grouped(n)),
    };
    format!("{} in{cached} · {} out", grouped(usage.input), grouped(usage.output))
}

/// `$0.0123`, or that nobody knows the price.
pub(crate) fn cost(cost: Option<NanoUsd>) -> String {
    cost.map_or_else(|| "cost unknown".to_owned(), |c| c.to_string())
}

/// `12 ms`, `3.2 s`, `2 min 5 s`.
pub(crate) fn duration(time: Duration) -> String {
    match time.as_millis() {
        ms @ 0..1000 => format!("{ms} ms"),
        ms @ 1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        ms => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([grouped(7), grouped(1234), grouped(1_234_567)], ["7", "1,234", "1,234,567"]);
        let times = [40, 3260, 125_000].map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(times, ["40 ms", "3.2 s", "2 min 5 s"]);
    }
}
