//! `extends`: a workflow made from another one of the file, with nodes replaced, put before or after.

use super::decode::{Decoder, unknown};
use super::document::{Head, Names, Workflow};
use super::load::{head, node, nodes};
use super::names::END;
use super::node::{Fallback, Node, NodeKind};
use super::place::At;
use super::tree::{Kind, Node as Tree};
use crate::expr::same_name;

/// Reads a workflow with everything that it extends.
pub(super) fn workflow(root: &Tree, name: &At<String>, tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Workflow> {
    read(root, name, tree, &mut Vec::new(), decoder)
}

fn read(
    root: &Tree,
    name: &At<String>,
    tree: &Tree,
    open: &mut Vec<String>,
    decoder: &mut Decoder<'_>,
) -> Option<Workflow> {
    if !matches!(tree.kind, Kind::Mapping(_)) {
        decoder.mistake(tree.place, format!("workflow `{}` is a mapping with `nodes`", name.value));
        return None;
    }
    let own = head(tree, decoder)?;
    let mut result = Workflow { name: name.clone(), head: own, nodes: Vec::new(), unread: Vec::new() };
    if let Some(base) = result.head.extends.clone() {
        open.push(name.value.clone());
        let base = base_of(root, &base, open, decoder);
        open.pop();
        let base = base?;
        inherit(&mut result.head, base.head);
        result.nodes = base.nodes;
        result.unread = base.unread;
    } else if tree.get("nodes").is_none() {
        decoder.mistake(name.place, format!("workflow `{}` has no `nodes`", name.value));
        return None;
    }
    for own in tree.get("nodes").map(|list| nodes(list, decoder)).unwrap_or_default() {
        let inherited = result.head.extends.is_some();
        match result.nodes.iter_mut().find(|n| inherited && same_name(n.id(), own.id())) {
            Some(replaced) => *replaced = own,
            None => result.nodes.push(own),
        }
    }
    if let Some(list) = tree.get("additional_nodes") {
        additional(&mut result, list, decoder);
    }
    result.unread.append(&mut decoder.unread);
    Some(result)
}

fn base_of(root: &Tree, base: &At<String>, open: &mut Vec<String>, decoder: &mut Decoder<'_>) -> Option<Workflow> {
    let all = root.get("workflows").map(Tree::entries).unwrap_or_default();
    let Some((key, tree)) = all.iter().find(|(key, _)| key.text().is_some_and(|k| same_name(k, base))) else {
        let names = all.iter().filter_map(|(key, _)| key.text());
        decoder.mistake(base.place, unknown("workflow", base, names));
        return None;
    };
    let name = At { value: key.text().unwrap_or_default().to_owned(), place: key.place };
    if open.contains(&name.value) {
        let way = [open.as_slice(), &[name.value]].concat().join(" -> ");
        decoder.mistake(base.place, format!("the workflow extends itself: {way}"));
        return None;
    }
    read(root, &name, tree, open, decoder)
}

fn inherit(own: &mut Head, base: Head) {
    own.description = own.description.take().or(base.description);
    own.max_iterations = own.max_iterations.take().or(base.max_iterations);
    own.metadata = own.metadata.take().or(base.metadata);
    match (&mut own.inputs, base.inputs) {
        (Some(inputs), Some(base)) => {
            let new = base.0.into_iter().filter(|(name, _)| inputs.get(name).is_none()).collect::<Vec<_>>();
            inputs.0.splice(0..0, new);
        }
        (own @ None, base) => *own = base,
        (Some(_), None) => {}
    }
}

/// Where an additional node is put.
enum Side {
    Before(At<String>),
    After(At<String>),
}

fn additional(workflow: &mut Workflow, list: &Tree, decoder: &mut Decoder<'_>) {
    if !matches!(list.kind, Kind::List(_)) {
        decoder.mistake(list.place, "a list of nodes is expected (`- id: ..`)");
    }
    for tree in list.items() {
        let Some(new) = node(tree, &["before", "after"], decoder) else { continue };
        let side = |key: &str| {
            let value = tree.get(key)?;
            Some(At { value: value.text().unwrap_or_default().to_owned(), place: value.place })
        };
        match (side("before"), side("after")) {
            (Some(_), Some(after)) => decoder.mistake(after.place, "a node is put `before` or `after` one, not both"),
            (Some(at), None) => put(workflow, new, &Side::Before(at), decoder),
            (None, Some(at)) => put(workflow, new, &Side::After(at), decoder),
            (None, None) => workflow.nodes.push(new),
        }
    }
}

fn put(workflow: &mut Workflow, mut new: Node, side: &Side, decoder: &mut Decoder<'_>) {
    let (Side::Before(at) | Side::After(at)) = side;
    let Some(index) = workflow.nodes.iter().position(|n| same_name(n.id(), at)) else {
        decoder.mistake(at.place, unknown("node", at, workflow.nodes.iter().map(Node::id)));
        return;
    };
    let id = new.id().to_owned();
    match side {
        Side::Before(at) => {
            for node in &mut workflow.nodes {
                redirect(node, at, &id);
            }
            lead(&mut new, vec![at.clone()]);
            workflow.nodes.insert(index, new);
        }
        Side::After(at) => {
            let anchor = &mut workflow.nodes[index];
            if matches!(anchor.kind, NodeKind::Condition(_)) {
                decoder.mistake(at.place, format!("`{}` is a condition: change its branches instead", at.value));
                return;
            }
            let behind = anchor.common.next.take().unwrap_or_default();
            anchor.common.next = Some(Names(vec![At { value: id, place: at.place }]));
            lead(&mut new, behind.0);
            workflow.nodes.insert(index + 1, new);
        }
    }
}

/// Lets a node without edges of its own go on to `next`.
fn lead(node: &mut Node, next: Vec<At<String>>) {
    let has_own = node.common.next.is_some() || matches!(node.kind, NodeKind::Condition(_));
    if !has_own && !next.is_empty() {
        node.common.next = Some(Names(next));
    }
}

/// Turns all edges to `from` into edges to `to`.
fn redirect(node: &mut Node, from: &str, to: &str) {
    let turn = |name: &mut At<String>| {
        if same_name(name, from) && name.as_str() != END {
            name.value = to.to_owned();
        }
    };
    node.common.next.iter_mut().flat_map(|n| n.0.iter_mut()).for_each(turn);
    node.common.on_error.iter_mut().for_each(turn);
    match &mut node.kind {
        NodeKind::Condition(condition) => {
            condition.branches.0.iter_mut().filter_map(|(_, target)| target.as_mut()).for_each(turn);
            condition.default.iter_mut().for_each(turn);
        }
        NodeKind::Hitl(hitl) => {
            hitl.on_no.iter_mut().for_each(turn);
            if let Some(At { value: Fallback::Node(name), .. }) = &mut hitl.fallback
                && same_name(name, from)
            {
                to.clone_into(name);
            }
        }
        NodeKind::Agent(_)
        | NodeKind::Transform(_)
        | NodeKind::Parallel(_)
        | NodeKind::Tool(_)
        | NodeKind::Team(_)
        | NodeKind::Workflow(_)
        | NodeKind::Passthrough(_) => {}
    }
}
