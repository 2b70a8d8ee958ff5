//! Edges: that they lead to nodes, that every node is reached, and that every path can end.

use std::collections::BTreeSet;

use super::super::decode::{Decoder, unknown};
use super::super::document::Workflow;
use super::super::names::END;
use super::super::node::{Fallback, Node, NodeKind};
use super::super::place::{At, Place};
use crate::expr::same_name;

/// An edge as it is written.
pub(crate) struct Edge<'a> {
    /// Where it leads; `None` is the end of the path.
    pub(crate) to: Option<&'a str>,
    /// What it is for a person: a branch's name, `on_error`, nothing.
    pub(crate) label: Option<&'a str>,
    /// Where that is written.
    pub(crate) place: Place,
}

/// All edges of a node; a node without any ends its path.
pub(crate) fn edges(node: &Node) -> Vec<Edge<'_>> {
    fn edge<'a>(to: &'a At<String>, label: Option<&'a str>) -> Edge<'a> {
        Edge { to: Some(to.as_str()).filter(|t| *t != END), label, place: to.place }
    }
    let mut edges = Vec::new();
    match &node.kind {
        NodeKind::Condition(condition) => {
            for (name, target) in &condition.branches.0 {
                let end = Edge { to: None, label: Some(name), place: name.place };
                edges.push(target.as_ref().map_or(end, |t| edge(t, Some(name))));
            }
            edges.extend(condition.default.iter().map(|d| edge(d, Some("default"))));
        }
        _ => edges.extend(node.common.next.iter().flat_map(|n| &n.0).map(|n| edge(n, None))),
    }
    let has_next = !edges.is_empty();
    if !has_next {
        edges.push(Edge { to: None, label: None, place: node.place });
    }
    if let NodeKind::Hitl(hitl) = &node.kind
        && let Some(At { value: Fallback::Node(to), place }) = &hitl.fallback
    {
        edges.push(Edge { to: Some(to.as_str()).filter(|t| *t != END), label: Some("fallback"), place: *place });
    }
    if let NodeKind::Hitl(hitl) = &node.kind {
        edges.extend(hitl.on_no.iter().map(|no| edge(no, Some("no"))));
    }
    edges.extend(node.common.on_error.iter().map(|e| edge(e, Some("on_error"))));
    edges
}

/// Checks the edges of a workflow and of its parallel nodes.
pub(super) fn check(workflow: &Workflow, decoder: &mut Decoder<'_>) {
    if workflow.nodes.is_empty() && workflow.unread.is_empty() {
        decoder.mistake(workflow.name.place, format!("workflow `{}` has no nodes", workflow.name.value));
        return;
    }
    level(&workflow.nodes, Entry::First, &workflow.unread, decoder);
}

/// Which nodes of a list begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// The first.
    First,
    /// Those that no other leads to.
    Unled,
}

fn level(nodes: &[Node], entry: Entry, unread: &[String], decoder: &mut Decoder<'_>) {
    let mut sound = unread.is_empty();
    for node in nodes {
        for edge in edges(node) {
            let Some(to) = edge.to else { continue };
            if !nodes.iter().map(Node::id).chain(unread.iter().map(String::as_str)).any(|id| same_name(id, to)) {
                decoder.mistake(edge.place, unknown("node", to, nodes.iter().map(Node::id)));
                sound = false;
            }
        }
        if let NodeKind::Parallel(parallel) = &node.kind {
            level(&parallel.nodes, Entry::Unled, unread, decoder);
        }
    }
    if sound && !nodes.is_empty() {
        reach(nodes, entry, decoder);
    }
}

fn reach(nodes: &[Node], entry: Entry, decoder: &mut Decoder<'_>) {
    let index = |id: &str| nodes.iter().position(|n| same_name(n.id(), id));
    let targets: Vec<Vec<usize>> =
        nodes.iter().map(|n| edges(n).iter().filter_map(|e| index(e.to?)).collect()).collect();
    let entries = entries(nodes, entry);
    let reached = closure(entries.iter().copied(), |n| targets[n].clone());
    let mut first_unreached = true;
    for (i, node) in nodes.iter().enumerate().filter(|(i, _)| !reached.contains(i)) {
        let hint = if first_unreached {
            "; a node leads to another only by `next`, `branches`, `on_error` or `fallback`"
        } else {
            ""
        };
        first_unreached = false;
        let _ = i;
        decoder.mistake(node.common.id.place, format!("no path leads to node `{}`{hint}", node.id()));
    }
    let ends =
        (0..nodes.len()).filter(|i| edges(&nodes[*i]).iter().any(|e| e.to.is_none() && e.label != Some("on_error")));
    let ending = closure(ends, |n| (0..nodes.len()).filter(|i| targets[*i].contains(&n)).collect());
    if let Some(stuck) = (0..nodes.len()).find(|i| reached.contains(i) && !ending.contains(i)) {
        let node = &nodes[stuck];
        let message = format!("from node `{}` no path ever ends; let a condition lead out of the cycle", node.id());
        decoder.mistake(node.common.id.place, message);
    }
}

fn entries(nodes: &[Node], entry: Entry) -> Vec<usize> {
    if entry == Entry::First {
        return vec![0];
    }
    unled(nodes)
}

/// The nodes of a list that no other one of it leads to.
pub(crate) fn unled(nodes: &[Node]) -> Vec<usize> {
    let is_led_to = |id: &str| {
        nodes
            .iter()
            .filter(|n| !same_name(n.id(), id))
            .any(|n| edges(n).iter().any(|e| e.to.is_some_and(|t| same_name(t, id))))
    };
    (0..nodes.len()).filter(|i| !is_led_to(nodes[*i].id())).collect()
}

fn closure(from: impl Iterator<Item = usize>, next: impl Fn(usize) -> Vec<usize>) -> BTreeSet<usize> {
    let (mut seen, mut open) = (BTreeSet::new(), from.collect::<Vec<_>>());
    while let Some(n) = open.pop() {
        if seen.insert(n) {
            open.extend(next(n));
        }
    }
    seen
}
