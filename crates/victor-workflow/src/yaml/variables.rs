//! The names that templates and conditions of a workflow read and that something declares.

use std::collections::BTreeSet;

use super::decode::Decoder;
use super::document::Workflow;
use super::node::{Node, NodeKind};
use super::place::{Place, Source};
use crate::expr::{Expr, same_name};
use crate::template::{Shape, Template};

/// The names that every workflow has.
pub const BUILT_IN: [&str; 7] =
    ["workflow_name", "node_id", "timestamp", "workspace", "project_root", "mode", "session_id"];

/// A template or condition that was read, with its place.
pub(super) struct Reading {
    pub(super) place: Place,
    pub(super) variables: BTreeSet<String>,
    pub(super) missing: BTreeSet<String>,
}

/// Everything that a node reads; what is no template or condition is a mistake.
pub(super) fn readings(node: &Node, decoder: &mut Decoder<'_>) -> Vec<Reading> {
    let mut reader = Reader { decoder, readings: Vec::new() };
    match &node.kind {
        NodeKind::Agent(agent) => {
            reader.template(&agent.goal, &[]);
            agent.system.iter().for_each(|s| reader.template(s, &[]));
        }
        NodeKind::Condition(condition) => reader.condition(&condition.condition, &[]),
        NodeKind::Transform(transform) => {
            for input in transform.input.iter().flat_map(|i| &i.0) {
                let source = Source { value: input.value.clone(), place: input.place };
                reader.path(&source);
            }
            transform.condition.iter().for_each(|c| reader.condition(c, &["item", "index"]));
            transform.template.iter().for_each(|t| reader.shape(t, &["item", "index"]));
            transform.values.iter().for_each(|v| reader.shape(v, &[]));
        }
        NodeKind::Hitl(hitl) => reader.template(&hitl.prompt, &[]),
        NodeKind::Tool(tool) => tool.arguments.iter().for_each(|a| reader.shape(a, &[])),
        NodeKind::Team(team) => {
            reader.template(&team.task, &[]);
            let texts = team.members.iter().flat_map(|m| [&m.goal, &m.system]).flatten();
            texts.for_each(|text| reader.template(text, &[]));
        }
        NodeKind::Workflow(workflow) => workflow.inputs.iter().for_each(|i| reader.shape(i, &[])),
        NodeKind::Parallel(_) | NodeKind::Passthrough(_) => {}
    }
    reader.readings
}

struct Reader<'a, 'e> {
    decoder: &'a mut Decoder<'e>,
    readings: Vec<Reading>,
}

impl Reader<'_, '_> {
    fn template(&mut self, source: &Source<String>, local: &[&str]) {
        match Template::parse(&source.value, self.decoder.environment()) {
            Ok(template) => self.take(source.place, template.variables().clone(), template.missing().clone(), local),
            Err(e) => self.decoder.mistake(source.place, e.to_string()),
        }
    }

    fn shape(&mut self, source: &Source<serde_json::Value>, local: &[&str]) {
        match Shape::parse(&source.value, self.decoder.environment()) {
            Ok(shape) => {
                let mut missing = BTreeSet::new();
                shape.each(&mut |template| missing.extend(template.missing().iter().cloned()));
                self.take(source.place, shape.variables(), missing, local);
            }
            Err(e) => self.decoder.mistake(source.place, e.to_string()),
        }
    }

    fn condition(&mut self, source: &Source<String>, local: &[&str]) {
        match Expr::parse(&source.value) {
            Ok(expr) => self.take(source.place, expr.variables(), BTreeSet::new(), local),
            Err(e) => {
                let message = format!("condition `{}`: {e} (at character {})", source.value, e.at + 1);
                self.decoder.mistake(source.place, message);
            }
        }
    }

    fn path(&mut self, source: &Source<String>) {
        match input_path(&source.value) {
            Some(path) => self.take(source.place, path.variables(), BTreeSet::new(), &[]),
            None => {
                let message = format!("`{}` is no name or path of the state, such as `findings.items`", source.value);
                self.decoder.mistake(source.place, message);
            }
        }
    }

    fn take(&mut self, place: Place, variables: BTreeSet<String>, missing: BTreeSet<String>, local: &[&str]) {
        let variables = variables.into_iter().filter(|v| !local.contains(&v.as_str())).collect();
        self.readings.push(Reading { place, variables, missing });
    }
}

/// A name or path of the state, in which names may have a `-`; `{{ name }}` is taken too.
pub(crate) fn input_path(text: &str) -> Option<Expr> {
    Expr::parse(&text.replace('-', "_")).ok().filter(Expr::is_path)
}

/// The names of a workflow's inputs.
pub(super) fn declared_inputs(workflow: &Workflow) -> Vec<String> {
    workflow.head.inputs.iter().flat_map(|i| &i.0).map(|(name, _)| name.value.clone()).collect()
}

/// The names of the state that a node sets.
pub(super) fn results(node: &Node) -> Vec<String> {
    let mut names = Vec::new();
    if node.has_result() {
        names.push(node.output().to_owned());
    }
    if let NodeKind::Transform(transform) = &node.kind
        && let Some(values) = transform.values.as_ref().and_then(|v| v.value.as_object())
    {
        names.extend(values.keys().cloned());
    }
    names
}

/// The names that a workflow declares: inputs, outputs, what `set` sets, `error`, and those that are built in.
pub(super) fn declared(workflow: &Workflow) -> Vec<String> {
    let mut names = declared_inputs(workflow);
    names.extend(workflow.all_nodes().into_iter().flat_map(results));
    names.extend(workflow.unread.iter().cloned());
    names.push("error".to_owned());
    names.extend(BUILT_IN.map(ToOwned::to_owned));
    names
}

/// Whether one of `names` is `name`.
pub(super) fn holds(names: &[String], name: &str) -> bool {
    names.iter().any(|n| same_name(n, name))
}
