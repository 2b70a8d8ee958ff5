//! Numbers that make sense, and keys that act only together with others.

use super::super::decode::Decoder;
use super::super::node::{ErrorStrategy, Node, NodeKind};
use super::super::place::At;

/// Checks the numbers of a node, and the keys that every node may have.
pub(super) fn node(node: &Node, decoder: &mut Decoder<'_>) {
    let common = &node.common;
    range(common.timeout.as_ref(), "timeout", 0.001..=31_536_000.0, "seconds, more than 0 and at most a year", decoder);
    range(common.retry_delay.as_ref(), "retry_delay", 0.0..=86_400.0, "seconds, at most a day", decoder);
    let strategy = common.error_strategy.as_ref().map(|s| s.value).unwrap_or_default();
    if strategy != ErrorStrategy::Retry {
        let places = [
            common.retry_attempts.as_ref().map(|a| ("retry_attempts", a.place)),
            common.retry_delay.as_ref().map(|a| ("retry_delay", a.place)),
        ];
        for (key, place) in places.into_iter().flatten() {
            decoder.mistake(place, format!("`{key}` acts only with `error_strategy: retry`"));
        }
    }
    if let Some(attempts) = common.retry_attempts.as_ref().filter(|a| !(1..=100).contains(&a.value)) {
        decoder.mistake(attempts.place, format!("`retry_attempts` is {}; 1 to 100 are allowed", attempts.value));
    }
    if strategy == ErrorStrategy::Continue
        && let Some(to) = &common.on_error
    {
        decoder.mistake(to.place, "`on_error` never acts with `error_strategy: continue`; remove one of the two");
    }
    if let (NodeKind::Condition(_), Some(next)) = (&node.kind, &common.next) {
        let place = next.0.first().map_or(node.place, |n| n.place);
        decoder.mistake(place, "a condition goes where its `branches` say; remove `next`");
    }
    if let (NodeKind::Condition(_) | NodeKind::Passthrough(_), Some(output)) = (&node.kind, &common.output) {
        decoder.mistake(output.place, format!("a {} has no result, so `output` never acts", node.kind.name()));
    }
    kinds(node, decoder);
}

fn kinds(node: &Node, decoder: &mut Decoder<'_>) {
    match &node.kind {
        NodeKind::Agent(agent) => {
            range(agent.temperature.as_ref(), "temperature", 0.0..=2.0, "0 to 2", decoder);
            range(agent.max_cost.as_ref(), "max_cost", 0.0..=1e6, "US dollars, 0 or more", decoder);
            at_least_one(agent.max_tokens.as_ref(), "max_tokens", decoder);
            at_least_one(agent.max_turns.as_ref(), "max_turns", decoder);
        }
        NodeKind::Team(team) => at_least_one(team.max_turns.as_ref(), "max_turns", decoder),
        NodeKind::Condition(_)
        | NodeKind::Transform(_)
        | NodeKind::Parallel(_)
        | NodeKind::Hitl(_)
        | NodeKind::Tool(_)
        | NodeKind::Workflow(_)
        | NodeKind::Passthrough(_) => {}
    }
}

fn at_least_one(value: Option<&At<u32>>, key: &str, decoder: &mut Decoder<'_>) {
    if let Some(value) = value.filter(|v| v.value == 0) {
        decoder.mistake(value.place, format!("`{key}` is 0; 1 or more is allowed"));
    }
}

fn range(
    value: Option<&At<f64>>,
    key: &str,
    allowed: std::ops::RangeInclusive<f64>,
    words: &str,
    decoder: &mut Decoder<'_>,
) {
    if let Some(value) = value.filter(|v| !allowed.contains(&v.value)) {
        decoder.mistake(value.place, format!("`{key}` is {}; allowed are {words}", value.value));
    }
}
