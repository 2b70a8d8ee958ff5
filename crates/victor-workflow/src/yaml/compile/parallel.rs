//! Nodes at the same time: a graph in the graph whose paths all begin at once.

use serde_json::Value;

use super::super::check::graph::unled;
use super::super::node::{Join as JoinKind, Node, ParallelNode, WaitFor};
use super::super::variables::results;
use super::{Compiler, Shared, join, limits};
use crate::graph::{StateGraph, Subgraph};
use crate::state::Update;

impl Compiler<'_> {
    pub(super) fn parallel(&mut self, node: &Node, parallel: &ParallelNode, shared: Shared<'_>) -> Option<Subgraph> {
        let mut graph = StateGraph::new(node.id());
        graph.limits(limits(shared.workflow));
        for child in &parallel.nodes {
            self.node(&mut graph, child, &parallel.nodes, shared);
        }
        for first in unled(&parallel.nodes) {
            graph.entry(parallel.nodes[first].id());
        }
        let graph = self.finish(graph, shared.workflow)?;
        let wait_for = parallel.head.wait_for.as_ref().map(|w| w.value);
        let how = parallel.head.join.as_ref().map(|j| j.value).unwrap_or_default();
        let last: Vec<String> =
            parallel.nodes.iter().filter(|n| n.has_result()).map(|n| n.output().to_owned()).collect();
        let all: Vec<String> = parallel.nodes.iter().flat_map(below).collect();
        let output = node.output().to_owned();
        let mut subgraph = Subgraph::new(graph).join(join(wait_for));
        if wait_for.unwrap_or_default() != WaitFor::All {
            // What an earlier round left must not pass for a result of this one.
            let old = all.clone();
            subgraph = subgraph.input(move |state: &Value, _: Option<&Value>| {
                let mut own = state.as_object().cloned().unwrap_or_default();
                old.iter().for_each(|key| drop(own.shift_remove(key)));
                Ok(own)
            });
        }
        Some(subgraph.output(move |state: &Value| {
            let there = |key: &String| Some((key.clone(), state.get(key)?.clone()));
            let mut update: Update = all.iter().filter_map(there).collect();
            let results: Update = last.iter().filter_map(there).collect();
            let joined = match how {
                JoinKind::Merge => Value::Object(results),
                JoinKind::List => Value::Array(results.into_iter().map(|(_, value)| value).collect()),
                JoinKind::First => results.into_iter().next().map(|(_, value)| value).unwrap_or_default(),
            };
            update.insert(output.clone(), joined);
            Ok(update)
        }))
    }
}

/// All names of the state that a node and those in it set.
fn below(node: &Node) -> Vec<String> {
    let mut names = results(node);
    names.extend(node.children().iter().flat_map(below));
    names
}
