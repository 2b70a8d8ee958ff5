//! From a checked file to a graph that runs.

mod agent;
mod budget;
mod human;
mod inputs;
mod parallel;
mod scope;
mod steps;
mod team;
mod tool;

pub(crate) use agent::narrowest;
pub use inputs::Inputs;

use std::time::Duration;

use victor_core::permission::Mode;

use super::document::{Document, Workflow};
use super::node::{ErrorStrategy, Node, NodeKind};
use super::place::{Mistake, Mistakes, Place};
use super::variables::holds;
use crate::expr::same_name;
use crate::graph::{Limits, NodeSlot, OnError, Retry, StateGraph, Subgraph};
use crate::registry::Registered;
use crate::route::Join;
use crate::template::Environment;
use crate::workflow::Workflow as Graph;

/// How often a node may run, where the file says nothing.
const MAX_ITERATIONS: u32 = 25;
/// How often a failed node is tried again, where the file says nothing.
const RETRY_ATTEMPTS: u32 = 3;
/// Workflows in each other at most.
const DEEPEST: usize = 16;

/// A workflow of a file, ready to run.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The graph.
    pub workflow: Graph,
    /// What it is given.
    pub inputs: Inputs,
}

impl Compiled {
    /// The entry of a registry. `source` says where it comes from.
    #[must_use]
    pub fn registered(&self, source: impl Into<String>) -> Registered {
        Registered { workflow: self.workflow.clone(), source: source.into(), inputs: self.inputs.schema() }
    }
}

/// Finds workflows of other files.
pub type Resolve<'a> = &'a dyn Fn(&str) -> Option<Compiled>;
/// Finds workflows of other files, whose agents and tools may do no more than the mode allows.
pub(crate) type ResolveWithin<'a> = &'a dyn Fn(&str, Option<Mode>) -> Option<Compiled>;

impl Document {
    /// Makes a workflow of the file ready to run. `resolve` finds those of other files that it includes.
    ///
    /// # Errors
    /// There is no workflow of this name, or it includes one that is not there.
    pub fn compile(&self, name: &str, resolve: Resolve<'_>) -> Result<Compiled, Mistakes> {
        self.compile_within(name, None, &|name, _| resolve(name))
    }

    /// As [`compile`](Self::compile), for a workflow in another one that may do no more than `within` allows.
    pub(crate) fn compile_within(
        &self,
        name: &str,
        within: Option<Mode>,
        resolve: ResolveWithin<'_>,
    ) -> Result<Compiled, Mistakes> {
        let Some(workflow) = self.workflow(name) else {
            let names = self.workflows.iter().map(|w| w.name.as_str());
            let message = super::decode::unknown("workflow", name, names);
            return Err(Mistakes(vec![self.told(Place::default(), message)]));
        };
        let mut compiler = Compiler { document: self, resolve, mistakes: Vec::new(), depth: 0 };
        let compiled = compiler.workflow(workflow, within);
        match compiled {
            Some(compiled) if compiler.mistakes.is_empty() => Ok(compiled),
            _ => Err(Mistakes(compiler.mistakes)),
        }
    }

    fn told(&self, place: Place, message: String) -> Mistake {
        Mistake { file: self.file.clone(), line: place.line, column: place.column, message }
    }
}

pub(super) struct Compiler<'a> {
    document: &'a Document,
    resolve: ResolveWithin<'a>,
    mistakes: Vec<Mistake>,
    depth: usize,
}

/// What the nodes of a workflow share.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    workflow: &'a Workflow,
    environment: &'a Environment,
    mode: Option<Mode>,
}

impl Compiler<'_> {
    fn mistake(&mut self, place: Place, message: impl Into<String>) {
        let told = self.document.told(place, message.into());
        self.mistakes.push(told);
    }

    fn workflow(&mut self, workflow: &Workflow, within: Option<Mode>) -> Option<Compiled> {
        if self.depth >= DEEPEST {
            self.mistake(workflow.place(), format!("more than {DEEPEST} workflows stand in each other"));
            return None;
        }
        let inputs = Inputs::new(
            &workflow.name,
            workflow.head.inputs.as_ref(),
            self.document.missing_environment(&workflow.name),
        );
        let mode = workflow.head.metadata.as_ref().and_then(|m| m.mode.as_ref()).map(|m| m.value);
        let mode = agent::narrowest(mode, within);
        let shared = Shared { workflow, environment: &self.document.environment, mode };
        let mut graph = StateGraph::new(workflow.name.as_str());
        graph.description(workflow.head.description.clone().unwrap_or_default());
        graph.version(format!("{:?}", workflow.head));
        graph.limits(limits(workflow));
        graph.outputs(outputs(workflow));
        let given = inputs.clone();
        graph.prepare(move |input| given.prepare(&input));
        self.depth += 1;
        for node in &workflow.nodes {
            self.node(&mut graph, node, &workflow.nodes, shared);
        }
        self.depth -= 1;
        let graph = self.finish(graph, workflow)?;
        Some(Compiled { workflow: graph, inputs })
    }

    /// Compiles; the graph's own mistakes get their places.
    pub(super) fn finish(&mut self, graph: StateGraph, workflow: &Workflow) -> Option<Graph> {
        match graph.compile() {
            Ok(graph) => Some(graph),
            Err(mistakes) => {
                for mistake in mistakes.0 {
                    let place = mistake.node.as_deref().map_or(workflow.place(), |id| workflow.place_of(id));
                    self.mistake(place, mistake.message);
                }
                None
            }
        }
    }

    /// Adds a node with its edges. `level` are the nodes that it stands among.
    pub(super) fn node(&mut self, graph: &mut StateGraph, node: &Node, level: &[Node], shared: Shared<'_>) {
        let id = node.id();
        let Some(slot) = self.body(graph, node, level, shared) else { return };
        common(slot, node, level);
        for next in node.common.next.iter().flat_map(|n| &n.0) {
            graph.edge(id, target(level, next));
        }
    }

    fn body<'g>(
        &mut self,
        graph: &'g mut StateGraph,
        node: &Node,
        level: &[Node],
        shared: Shared<'_>,
    ) -> Option<NodeSlot<'g>> {
        let id = node.id();
        let made = match &node.kind {
            NodeKind::Agent(agent) => agent::step(node, agent, shared).map(|n| graph.add(id, n)),
            NodeKind::Condition(condition) => steps::condition(node, condition, level).map(|n| graph.add(id, n)),
            NodeKind::Transform(transform) => steps::transform(node, transform, shared).map(|n| graph.add(id, n)),
            NodeKind::Hitl(hitl) => human::gate(node, hitl, level, shared).map(|n| graph.add(id, n)),
            NodeKind::Tool(tool) => tool::step(node, tool, shared).map(|n| graph.add(id, n)),
            NodeKind::Passthrough(_) => Ok(graph.add(id, crate::node::ComputeNode::passthrough())),
            NodeKind::Parallel(parallel) => {
                let subgraph = self.parallel(node, parallel, shared)?;
                Ok(graph.subgraph(id, subgraph))
            }
            NodeKind::Workflow(inner) => {
                let subgraph = self.included(node, inner, shared)?;
                Ok(graph.subgraph(id, subgraph))
            }
            NodeKind::Team(team) => team::step(node, team, shared).map(|n| graph.add(id, n)),
        };
        made.map_err(|message| self.mistake(node.place, message)).ok()
    }

    fn included(&mut self, node: &Node, inner: &super::WorkflowNode, shared: Shared<'_>) -> Option<Subgraph> {
        let own = self.document.workflow(&inner.workflow);
        let found = match own {
            Some(workflow) => self.workflow(workflow, shared.mode)?,
            None => match (self.resolve)(&inner.workflow, shared.mode) {
                Some(found) => found,
                None => {
                    let names = self.document.workflows.iter().map(|w| w.name.as_str());
                    let message = super::decode::unknown("workflow", &inner.workflow, names);
                    self.mistake(inner.workflow.place, message);
                    return None;
                }
            },
        };
        steps::included(node, inner, found, shared).map_err(|message| self.mistake(node.place, message)).ok()
    }
}

fn limits(workflow: &Workflow) -> Limits {
    let max_iterations = workflow.head.max_iterations.as_ref().map_or(MAX_ITERATIONS, |m| m.value);
    Limits { max_iterations, ..Limits::default() }
}

/// The names of the state that are a workflow's result: what its nodes make, without its inputs.
pub(super) fn outputs(workflow: &Workflow) -> Vec<String> {
    let inputs: Vec<String> = super::variables::declared_inputs(workflow);
    let mut names: Vec<String> = Vec::new();
    for node in workflow.all_nodes() {
        for name in super::variables::results(node) {
            if !holds(&inputs, &name) && !holds(&names, &name) {
                names.push(name);
            }
        }
    }
    names
}

/// Timeout, retries and error edge.
fn common(slot: NodeSlot<'_>, node: &Node, level: &[Node]) {
    let common = &node.common;
    let mut slot = slot;
    if let Some(timeout) = &common.timeout
        && !matches!(node.kind, NodeKind::Hitl(_))
    {
        slot = slot.timeout(seconds(timeout.value));
    }
    match common.error_strategy.as_ref().map(|s| s.value).unwrap_or_default() {
        ErrorStrategy::Fail => {}
        ErrorStrategy::Retry => {
            let attempts = common.retry_attempts.as_ref().map_or(RETRY_ATTEMPTS, |a| a.value);
            let delay = common.retry_delay.as_ref().map_or(1.0, |d| d.value);
            slot = slot.retry(Retry::new(attempts, seconds(delay)));
        }
        ErrorStrategy::Continue => slot = slot.on_error(OnError::Continue),
    }
    if let Some(to) = &common.on_error {
        slot.error_to(target(level, to));
    }
}

/// Seconds as they stand in a file.
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// A target as the graph knows it: `-` and `_` alike, `end` for the end.
pub(super) fn target(level: &[Node], name: &str) -> String {
    if name == super::names::END {
        return crate::graph::END.to_owned();
    }
    level.iter().find(|n| same_name(n.id(), name)).map_or(name, Node::id).to_owned()
}

/// How many paths must arrive.
pub(super) fn join(wait_for: Option<super::WaitFor>) -> Join {
    match wait_for.unwrap_or_default() {
        super::WaitFor::All => Join::All,
        super::WaitFor::Any => Join::Any,
        super::WaitFor::Count(n) => Join::Count(n),
    }
}
