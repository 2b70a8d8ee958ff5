//! What types cannot say: names that lead somewhere, values that make sense, and paths that end.

pub(super) mod graph;
mod kinds;
mod limits;
mod names;
mod team;

use super::decode::{Decoder, unknown};
use super::document::Workflow;
use super::load::Known;
use super::node::{Node, NodeKind};
use super::place::At;
use super::variables::{declared, holds, readings};
use crate::expr::same_name;

/// Notes the environment variables that templates of a workflow name and that are not set.
pub(super) fn environment(workflow: &Workflow, decoder: &mut Decoder<'_>) {
    let mut scratch = Decoder::new(decoder.environment());
    for node in workflow.all_nodes() {
        for reading in readings(node, &mut scratch) {
            decoder.missing.extend(reading.missing.into_iter().map(|name| (reading.place, name)));
        }
    }
}

/// Checks everything that a file says.
pub(super) fn document(workflows: &[Workflow], known: &Known, decoder: &mut Decoder<'_>) {
    for (i, workflow) in workflows.iter().enumerate() {
        if workflows[..i].iter().any(|w| same_name(&w.name, &workflow.name)) {
            let message = format!("two workflows are called `{}` (`-` and `_` count alike)", workflow.name.value);
            decoder.mistake(workflow.name.place, message);
        }
        names::workflow(workflow, decoder);
        inputs(workflow, decoder);
        variables(workflow, decoder);
        graph::check(workflow, decoder);
        for node in workflow.all_nodes() {
            limits::node(node, decoder);
            kinds::node(node, decoder);
            outside(node, workflows, known, decoder);
        }
    }
    includes(workflows, decoder);
}

fn inputs(workflow: &Workflow, decoder: &mut Decoder<'_>) {
    for (name, input) in workflow.head.inputs.iter().flat_map(|i| &i.0) {
        let Some(default) = &input.default else { continue };
        if input.required {
            let message =
                format!("input `{}` is required, so its default never counts; remove one of the two", name.value);
            decoder.mistake(default.place, message);
        }
        if let Some(kind) = input.kind
            && !kind.fits(&default.value)
        {
            let message =
                format!("the default of input `{}` is {}, which is no {}", name.value, default.value, kind.name());
            decoder.mistake(default.place, message);
        }
        if let Some(choices) = &input.choices
            && !choices.contains(&default.value)
        {
            decoder.mistake(default.place, format!("the default of input `{}` is none of its `enum`", name.value));
        }
    }
}

/// Names that templates and conditions read and nothing declares: mistakes where the workflow says its inputs.
fn variables(workflow: &Workflow, decoder: &mut Decoder<'_>) {
    let declared = declared(workflow);
    for node in workflow.all_nodes() {
        for reading in readings(node, decoder) {
            for name in reading.variables.iter().filter(|name| !holds(&declared, name)) {
                let what = unknown("variable", name, declared.iter().map(String::as_str));
                let message = what.split("; there is").next().unwrap_or(&what).to_owned();
                if workflow.head.inputs.is_some() {
                    decoder.mistake(reading.place, format!("{message}{}", declare(&message)));
                } else {
                    decoder.findings.warning(reading.place, format!("{message}; the run must be given it as an input"));
                }
            }
        }
    }
}

fn declare(message: &str) -> &'static str {
    if message.contains("did you mean") { "" } else { "; declare it under `inputs`, or as the `output` of a node" }
}

/// Names of tools and workflows that something outside the file holds.
fn outside(node: &Node, workflows: &[Workflow], known: &Known, decoder: &mut Decoder<'_>) {
    match &node.kind {
        NodeKind::Tool(tool) => one(&tool.tool, "tool", known.tools.as_deref(), decoder),
        NodeKind::Agent(agent) => {
            let lists = [&agent.tools, &agent.allowed_tools, &agent.forbidden_tools];
            let tools = lists.into_iter().flatten().flat_map(|names| &names.0);
            tools.for_each(|tool| one(tool, "tool", known.tools.as_deref(), decoder));
        }
        NodeKind::Team(team) => {
            let tools = team.members.iter().filter_map(|m| m.tools.as_ref()).flat_map(|names| &names.0);
            tools.for_each(|tool| one(tool, "tool", known.tools.as_deref(), decoder));
        }
        NodeKind::Workflow(inner) => {
            let Some(others) = &known.workflows else { return };
            let names: Vec<String> =
                workflows.iter().map(|w| w.name.value.clone()).chain(others.iter().cloned()).collect();
            one(&inner.workflow, "workflow", Some(&names), decoder);
        }
        NodeKind::Condition(_)
        | NodeKind::Transform(_)
        | NodeKind::Parallel(_)
        | NodeKind::Hitl(_)
        | NodeKind::Passthrough(_) => {}
    }
}

fn one(name: &At<String>, what: &str, known: Option<&[String]>, decoder: &mut Decoder<'_>) {
    let Some(known) = known else { return };
    let is_glob = name.contains(['*', '?', '[', '{']);
    let is_servers = what == "tool" && name.contains("__");
    if !is_glob && !is_servers && !known.iter().any(|k| same_name(k, name)) {
        decoder.mistake(name.place, unknown(what, name, known.iter().map(String::as_str)));
    }
}

/// A workflow that includes itself through `workflow` nodes, directly or by way of others, would never end.
fn includes(workflows: &[Workflow], decoder: &mut Decoder<'_>) {
    for workflow in workflows {
        let mut open = vec![workflow.name.as_str()];
        walk(workflow, workflows, &mut open, decoder);
    }
}

fn walk<'a>(workflow: &'a Workflow, all: &'a [Workflow], open: &mut Vec<&'a str>, decoder: &mut Decoder<'_>) {
    for node in workflow.all_nodes() {
        let NodeKind::Workflow(inner) = &node.kind else { continue };
        let Some(next) = all.iter().find(|w| same_name(&w.name, &inner.workflow)) else { continue };
        if same_name(&next.name, open[0]) {
            let way = [open.as_slice(), &[next.name.as_str()]].concat().join(" -> ");
            decoder.mistake(inner.workflow.place, format!("the workflow includes itself: {way}"));
        } else if !open.iter().any(|o| same_name(o, &next.name)) && open.len() < 32 {
            open.push(&next.name);
            walk(next, all, open, decoder);
            open.pop();
        }
    }
}
