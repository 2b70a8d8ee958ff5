//! What each type of node needs.

use serde_json::Value;

use super::super::decode::Decoder;
use super::super::node::{
    ConditionNode, Fallback, HitlNode, HitlType, Node, NodeKind, Operation, ParallelNode, TransformKind, TransformNode,
    WaitFor, says_no,
};
use super::super::place::{Place, Source};
use super::graph::unled;
use super::team;
use crate::expr::{Expr, Kind};

/// Checks what a node of its type needs.
pub(super) fn node(node: &Node, decoder: &mut Decoder<'_>) {
    match &node.kind {
        NodeKind::Condition(c) => condition(c, node.place, decoder),
        NodeKind::Transform(t) => transform(t, decoder),
        NodeKind::Parallel(p) => parallel(p, node.place, decoder),
        NodeKind::Hitl(h) => hitl(h, decoder),
        NodeKind::Team(t) => team::check(t, decoder),
        NodeKind::Tool(t) => mapping(t.arguments.as_ref(), "arguments", decoder),
        NodeKind::Workflow(w) => mapping(w.inputs.as_ref(), "inputs", decoder),
        NodeKind::Agent(a) => {
            if let Some(schema) = a.output_schema.as_ref().filter(|s| !s.value.is_object()) {
                decoder.mistake(schema.place, "`output_schema` is a JSON schema, so a mapping");
            }
        }
        NodeKind::Passthrough(_) => {}
    }
}

fn mapping(value: Option<&Source<Value>>, key: &str, decoder: &mut Decoder<'_>) {
    if let Some(value) = value.filter(|v| !v.value.is_object()) {
        decoder.mistake(value.place, format!("`{key}` is a mapping of names to values"));
    }
}

fn condition(node: &ConditionNode, place: Place, decoder: &mut Decoder<'_>) {
    let names: Vec<&str> = node.branches.0.iter().map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        decoder.mistake(place, "`branches` holds at least one branch");
        return;
    }
    let of_truth = names.iter().any(|n| matches!(*n, "true" | "false"));
    let kind = Expr::parse(&node.condition.value).ok().and_then(|e| e.kind());
    if let Some(kind @ (Kind::Null | Kind::List | Kind::Mapping)) = kind {
        decoder.mistake(
            node.condition.place,
            format!("condition `{}` is {kind}; nothing branches on that", node.condition.value),
        );
    } else if of_truth && kind.is_some_and(|k| k != Kind::Boolean) {
        let message =
            format!("condition `{}` is not a boolean, but the branches are `true` and `false`", node.condition.value);
        decoder.mistake(node.condition.place, message);
    }
    if !of_truth && kind != Some(Kind::Boolean) {
        return;
    }
    for (name, _) in node.branches.0.iter().filter(|(n, _)| !matches!(n.as_str(), "true" | "false")) {
        let hint = match name.to_lowercase().as_str() {
            "yes" | "on" => "; write `true`",
            "no" | "off" => "; write `false`",
            "default" => "; `default` stands beside `branches`",
            _ => "",
        };
        decoder.mistake(
            name.place,
            format!("branch `{}` can never be taken: the condition is `true` or `false`{hint}", name.value),
        );
    }
    for branch in ["true", "false"] {
        if node.default.is_none() && !names.contains(&branch) {
            decoder
                .mistake(place, format!("branch `{branch}` is missing; write `{branch}: end` to end the path there"));
        }
    }
}

fn transform(node: &TransformNode, decoder: &mut Decoder<'_>) {
    use TransformKind::{Aggregate, ExtractField, Filter, Format, Map, MergeResults, Set};
    let kind = node.transform.value;
    let keys = [
        ("input", node.input.as_ref().map(|i| i.0.first().map_or(node.transform.place, |n| n.place))),
        ("field", node.field.as_ref().map(|v| v.place)),
        ("operation", node.operation.as_ref().map(|v| v.place)),
        ("template", node.template.as_ref().map(|v| v.place)),
        ("condition", node.condition.as_ref().map(|v| v.place)),
        ("values", node.values.as_ref().map(|v| v.place)),
    ];
    let (needed, allowed): (&[&str], &[&str]) = match kind {
        MergeResults => (&["input"], &[]),
        ExtractField => (&["input", "field"], &[]),
        Aggregate => (&["input", "operation"], &["field"]),
        Map => (&["input"], &["field", "template"]),
        Filter => (&["input", "condition"], &[]),
        Format => (&["template"], &[]),
        Set => (&["values"], &[]),
    };
    let name = name(kind);
    for (key, place) in keys {
        match place {
            None if needed.contains(&key) => {
                decoder.mistake(node.transform.place, format!("`{name}` needs `{key}`"));
            }
            Some(place) if !needed.contains(&key) && !allowed.contains(&key) => {
                decoder.mistake(place, format!("`{name}` has no `{key}`"));
            }
            _ => {}
        }
    }
    if kind == Map && node.field.is_some() == node.template.is_some() {
        decoder.mistake(node.transform.place, "`map` needs `field` or `template`, one of the two");
    }
    if kind == Format && node.template.as_ref().is_some_and(|t| !t.value.is_string()) {
        decoder.mistake(node.transform.place, "the `template` of `format` is a text");
    }
    if kind != MergeResults
        && let Some(second) = node.input.as_ref().and_then(|i| i.0.get(1))
    {
        decoder.mistake(second.place, format!("`{name}` has one `input`"));
    }
    let counts = node.operation.as_ref().is_some_and(|o| o.value == Operation::Count);
    if counts && let Some(field) = &node.field {
        decoder.mistake(field.place, "`count` counts items, so it has no `field`");
    }
    mapping(node.values.as_ref(), "values", decoder);
}

fn name(kind: TransformKind) -> &'static str {
    match kind {
        TransformKind::MergeResults => "merge_results",
        TransformKind::ExtractField => "extract_field",
        TransformKind::Aggregate => "aggregate",
        TransformKind::Map => "map",
        TransformKind::Filter => "filter",
        TransformKind::Format => "format",
        TransformKind::Set => "set",
    }
}

fn parallel(node: &ParallelNode, place: Place, decoder: &mut Decoder<'_>) {
    let paths = unled(&node.nodes).len();
    if node.nodes.is_empty() {
        decoder.mistake(place, "a parallel node holds at least one node");
    } else if let Some(wait) = &node.head.wait_for
        && let WaitFor::Count(n) = wait.value
        && n as usize > paths
    {
        decoder.mistake(wait.place, format!("`wait_for` is {n}, but there are {paths} paths"));
    }
}

fn hitl(node: &HitlNode, decoder: &mut Decoder<'_>) {
    let kind = node.hitl_type.value;
    let options = node.options.as_deref().unwrap_or_default();
    match (kind, options) {
        (HitlType::Choice, [] | [_]) => {
            decoder.mistake(node.hitl_type.place, "a choice needs `options`, two or more");
        }
        (HitlType::Input, [first, ..]) => {
            decoder.mistake(first.place, "an input takes any text, so it has no `options`; a `choice` has");
        }
        (HitlType::Approval | HitlType::Confirmation, [first, ..]) if options.iter().all(|o| says_no(o)) => {
            decoder.mistake(first.place, "all `options` say no, so nothing could ever be approved");
        }
        _ => {}
    }
    if let (HitlType::Input | HitlType::Choice, Some(no)) = (kind, &node.on_no) {
        decoder.mistake(no.place, "`on_no` acts only on `approval` and `confirmation`");
    }
    let Some(fallback) = &node.fallback else { return };
    let Fallback::Value(value) = &fallback.value else { return };
    match kind {
        HitlType::Choice | HitlType::Approval | HitlType::Confirmation
            if !options.is_empty() && !options.iter().any(|o| value.as_str() == Some(o.as_str())) =>
        {
            decoder.mistake(fallback.place, format!("the fallback's value {value} is none of the options"));
        }
        HitlType::Approval | HitlType::Confirmation if options.is_empty() && !value.is_boolean() => {
            decoder.mistake(fallback.place, format!("the fallback's value {value} is neither `true` nor `false`"));
        }
        _ => {}
    }
}
