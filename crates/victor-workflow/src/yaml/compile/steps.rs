//! Conditions, transforms and included workflows.

use std::sync::Arc;

use serde_json::Value;
use victor_core::error::nearest;

use super::super::node::{ConditionNode, Node, Operation, TransformKind, TransformNode, WorkflowNode};
use super::super::variables::input_path;
use super::scope::{NodeScope, wrong};
use super::{Compiled, Shared, target};
use crate::error::NodeError;
use crate::expr::{Expr, same_name};
use crate::graph::{END, Subgraph};
use crate::node::{ComputeNode, NodeOutput};
use crate::route::Route;
use crate::template::{Shape, Template};
use crate::transform::{Aggregate, Each, Transform};

type Made<T> = Result<T, String>;

/// A condition.
pub(super) fn condition(node: &Node, condition: &ConditionNode, level: &[Node]) -> Made<ComputeNode> {
    let expr = Expr::parse(&condition.condition.value).map_err(|e| e.to_string())?;
    let to = |name: Option<&str>| target(level, name.unwrap_or(super::super::names::END));
    let branches: Vec<(String, String)> = condition
        .branches
        .0
        .iter()
        .map(|(name, next)| (name.value.clone(), to(next.as_ref().map(|n| n.as_str()))))
        .collect();
    let default = condition.default.as_ref().map(|d| to(Some(d)));
    let targets: Vec<String> = branches.iter().map(|(_, to)| to.clone()).chain(default.clone()).collect();
    let fingerprint = format!("{:?}", node.kind);
    let decide = move |cx: &crate::node::NodeCx| {
        let fail = |why: &dyn std::fmt::Display| wrong(cx, &format!("condition `{expr}`: "), why);
        let value = expr.value(&NodeScope(cx)).map_err(|e| fail(&e))?;
        let to = choose(&branches, default.as_deref(), &value).map_err(|e| fail(&e))?;
        Ok(if to == END { Route::End } else { Route::to(to) })
    };
    Ok(ComputeNode::condition(targets, decide).fingerprint(fingerprint))
}

/// The branch of a value. `true` and `false` are branches of booleans only; a text never stands for them.
fn choose<'a>(branches: &'a [(String, String)], default: Option<&'a str>, value: &Value) -> Result<&'a str, String> {
    let of_truth = branches.iter().any(|(name, _)| matches!(name.as_str(), "true" | "false"));
    let found = match value {
        Value::Bool(b) => branches.iter().find(|(name, _)| *name == b.to_string()),
        _ if of_truth => {
            let kind = crate::expr::Kind::of(value);
            return Err(format!("the result {value} is {kind}, not a boolean"));
        }
        Value::String(text) => branches.iter().find(|(name, _)| same_name(name, text)),
        Value::Number(n) => branches.iter().find(|(name, _)| *name == n.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            let kind = crate::expr::Kind::of(value);
            return Err(format!("the result is {kind}; only a boolean, a text or a number chooses a branch"));
        }
    };
    if let Some(to) = found.map(|(_, to)| to.as_str()).or(default) {
        return Ok(to);
    }
    let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let names = branches.iter().map(|(name, _)| name.as_str());
    let hint = match nearest(&text, names.clone()).first() {
        Some(near) => format!("; did you mean {near}?"),
        None => format!("; there is {}", names.map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")),
    };
    Err(format!("the result {value} has no branch, and there is no `default`{hint}"))
}

/// A transform.
pub(super) fn transform(node: &Node, transform: &TransformNode, shared: Shared<'_>) -> Made<ComputeNode> {
    let made = make(transform, shared)?;
    let output = node.output().to_owned();
    let keeps = node.has_result();
    let name = "transform";
    let run = move |cx: &crate::node::NodeCx| {
        let value = made.apply(&NodeScope(cx)).map_err(|e| wrong(cx, "", &e))?;
        let Transform::Set(_) = &made else { return Ok(NodeOutput::set(output.clone(), value)) };
        let mut update = match value.clone() {
            Value::Object(map) => map,
            _ => return Err(NodeError::invalid("`values` is no mapping")),
        };
        if keeps {
            update.insert(output.clone(), value);
        }
        Ok(NodeOutput::update(update))
    };
    Ok(ComputeNode::new(name, run).fingerprint(format!("{:?} {:?}", node.kind, node.common.output)))
}

fn make(node: &TransformNode, shared: Shared<'_>) -> Made<Transform> {
    let path = |text: &str| input_path(text).ok_or_else(|| format!("`{text}` is no path"));
    let inputs = || node.input.iter().flat_map(|i| &i.0).map(|i| path(i)).collect::<Made<Vec<Expr>>>();
    let input = || inputs()?.into_iter().next().ok_or_else(|| "`input` is missing".to_owned());
    let field = || node.field.as_ref().map(|f| path(f)).transpose();
    let template = node.template.as_ref().map(|t| &t.value).unwrap_or(&Value::Null);
    let text = |e: crate::template::TemplateError| e.0;
    Ok(match node.transform.value {
        TransformKind::MergeResults => Transform::Merge(inputs()?),
        TransformKind::ExtractField => {
            Transform::Extract { input: input()?, field: field()?.ok_or("`field` is missing")? }
        }
        TransformKind::Aggregate => {
            let operation = node.operation.as_ref().map(|o| aggregate(o.value)).ok_or("`operation` is missing")?;
            Transform::Aggregate { input: input()?, operation, field: field()? }
        }
        TransformKind::Map => {
            let each = match field()? {
                Some(field) => Each::Field(field),
                None => Each::Shape(Shape::parse(template, shared.environment).map_err(text)?),
            };
            Transform::Map { input: input()?, each }
        }
        TransformKind::Filter => {
            let condition = node.condition.as_ref().map(|c| c.value.as_str()).unwrap_or_default();
            Transform::Filter { input: input()?, condition: Expr::parse(condition).map_err(|e| e.to_string())? }
        }
        TransformKind::Format => {
            let template = template.as_str().unwrap_or_default();
            Transform::Format(Template::parse(template, shared.environment).map_err(text)?)
        }
        TransformKind::Set => {
            let values = node.values.as_ref().map(|v| &v.value).unwrap_or(&Value::Null);
            Transform::Set(Shape::parse(values, shared.environment).map_err(text)?)
        }
    })
}

fn aggregate(operation: Operation) -> Aggregate {
    match operation {
        Operation::Sum => Aggregate::Sum,
        Operation::Average => Aggregate::Average,
        Operation::Min => Aggregate::Min,
        Operation::Max => Aggregate::Max,
        Operation::Count => Aggregate::Count,
        Operation::First => Aggregate::First,
        Operation::Last => Aggregate::Last,
        Operation::Concat => Aggregate::Concat,
        Operation::Collect => Aggregate::Collect,
    }
}

/// Another workflow with a state of its own: it gets what `inputs` says, and its result is kept under `output`.
pub(super) fn included(node: &Node, inner: &WorkflowNode, found: Compiled, shared: Shared<'_>) -> Made<Subgraph> {
    let none = Value::Object(serde_json::Map::new());
    let given = inner.inputs.as_ref().map_or(&none, |i| &i.value);
    let shape = Arc::new(Shape::parse(given, shared.environment).map_err(|e| e.0)?);
    let (id, output) = (node.id().to_owned(), node.output().to_owned());
    let keys = found.workflow.0.outputs.clone();
    let inputs = found.inputs;
    let input = move |state: &Value, _: Option<&Value>| {
        let fail = |why: String| NodeError::invalid(format!("node `{id}`: {why}"));
        let given = shape.value(state).map_err(|e| fail(e.0))?;
        inputs.prepare(&given).map_err(|e| fail(e.to_string()))
    };
    let result = move |state: &Value| {
        let picked = match &keys {
            Some(keys) => {
                let values = keys.iter().filter_map(|k| Some((k.clone(), state.get(k)?.clone())));
                Value::Object(values.collect())
            }
            None => state.clone(),
        };
        let mut update = crate::state::Update::new();
        update.insert(output.clone(), picked);
        Ok(update)
    };
    Ok(Subgraph::new(found.workflow).input(input).output(result))
}
