//! Reading a file: tree, references, types, extensions, checks.

use std::collections::BTreeMap;

use super::check;
use super::decode::{Decoder, Others, fields_of, unknown};
use super::document::{Document, Head, Workflow};
use super::extend;
use super::node::{
    AgentNode, Common, ConditionNode, HitlNode, KINDS, Node, NodeKind, ParallelHead, ParallelNode, PassthroughNode,
    ToolNode, TransformNode, WorkflowNode,
};
use super::place::{At, Mistakes, Place};
use super::reference;
use super::scalar;
use super::team::TeamNode;
use super::tree::{self, Kind, Node as Tree};
use crate::expr::same_name;
use crate::template::Environment;

/// What exists outside the file, so that names can be checked. `None` is not checked.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The names of tools.
    pub tools: Option<Vec<String>>,
    /// The names of workflows of other files.
    pub workflows: Option<Vec<String>>,
}

/// Reads a workflow file. `file` is its name for messages; `environment` is what `${NAME}` may name.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn load(file: &str, text: &str, environment: &Environment, known: &Known) -> Result<Document, Mistakes> {
    let mut decoder = Decoder::new(environment);
    decoder.findings.files.push(file.to_owned());
    let tree = tree::parse(text, 0, &mut decoder.findings);
    let Some(tree) = tree else { return Err(decoder.findings.mistakes()) };
    let root = reference::resolve(&tree, &mut decoder.findings);
    let mut missing = BTreeMap::new();
    let mut workflows = Vec::new();
    for (name, tree) in top(&root, &mut decoder) {
        let Some(workflow) = extend::workflow(&root, &name, tree, &mut decoder) else { continue };
        check::environment(&workflow, &mut decoder);
        let told = decoder.missing.drain(..).collect::<Vec<_>>();
        let told = told.into_iter().map(|(place, variable)| (decoder.findings.told_place(place), variable)).collect();
        missing.insert(workflow.name.value.clone(), told);
        workflows.push(workflow);
    }
    check::document(&workflows, known, &mut decoder);
    if decoder.findings.has_mistakes() {
        return Err(decoder.findings.mistakes());
    }
    let warnings = decoder.findings.warnings();
    Ok(Document { workflows, warnings, file: file.to_owned(), environment: environment.clone(), missing })
}

/// The workflows of a file, as trees.
fn top<'a>(root: &'a Tree, decoder: &mut Decoder<'_>) -> Vec<(At<String>, &'a Tree)> {
    const KEYS: [&str; 2] = ["workflows", "definitions"];
    if !matches!(root.kind, Kind::Mapping(_)) {
        decoder.mistake(root.place, "a file of workflows is a mapping that starts with `workflows:`");
        return Vec::new();
    }
    for (key, _) in root.entries() {
        let name = key.text().unwrap_or_default();
        if !KEYS.contains(&name) {
            decoder.mistake(key.place, unknown("key", name, KEYS.into_iter()));
        }
    }
    let Some(workflows) = root.get("workflows") else {
        decoder.mistake(root.place, "`workflows` is missing here");
        return Vec::new();
    };
    if workflows.entries().is_empty() {
        decoder.mistake(workflows.place, "`workflows` holds at least one workflow, by its name");
    }
    let named = |(key, tree): &'a (Tree, Tree)| {
        (At { value: key.text().unwrap_or_default().to_owned(), place: key.place }, tree)
    };
    workflows.entries().iter().map(named).collect()
}

/// What a workflow says beside its nodes.
pub(super) fn head(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Head> {
    decoder.mapping(tree, Others::Only(&["nodes", "additional_nodes"]))
}

/// The nodes of a list.
pub(super) fn nodes(list: &Tree, decoder: &mut Decoder<'_>) -> Vec<Node> {
    if !matches!(list.kind, Kind::List(_)) {
        decoder.mistake(list.place, "a list of nodes is expected (`- id: ..`)");
    }
    let read: Vec<Option<Node>> = list.items().iter().map(|tree| node(tree, &[], decoder)).collect();
    unread_twins(list.items(), &read, decoder);
    read.into_iter().flatten().collect()
}

/// Two nodes of one name of which one could not be read; those that could are compared with all of the workflow.
fn unread_twins(trees: &[Tree], read: &[Option<Node>], decoder: &mut Decoder<'_>) {
    if read.iter().all(Option::is_some) {
        return;
    }
    let id = |tree: &Tree| tree.get("id").and_then(|id| Some((id.text()?.to_owned(), id.place)));
    for (i, tree) in trees.iter().enumerate() {
        let Some((name, place)) = id(tree) else { continue };
        let twins =
            || (0..i).filter_map(|j| Some((j, id(&trees[j])?))).filter(|(_, (other, _))| same_name(other, &name));
        let Some((_, (_, first))) = twins().next() else { continue };
        if read[i].is_none() || twins().all(|(j, _)| read[j].is_none()) {
            let line = first.line;
            decoder.mistake(place, format!("two nodes are called `{name}`; the other one stands on line {line}"));
        }
    }
}

/// One node. `others` are further keys that it may have.
pub(super) fn node(tree: &Tree, others: &[&str], decoder: &mut Decoder<'_>) -> Option<Node> {
    let found = readable(tree, others, decoder);
    if found.is_none() {
        let names = ["id", "output"].into_iter().filter_map(|key| tree.get(key)?.text().map(ToOwned::to_owned));
        decoder.unread.push(String::new());
        decoder.unread.extend(names);
    }
    found
}

fn readable(tree: &Tree, others: &[&str], decoder: &mut Decoder<'_>) -> Option<Node> {
    if !matches!(tree.kind, Kind::Mapping(_)) {
        decoder.mistake(tree.place, "a node is expected (`{id: .., type: ..}`)");
        return None;
    }
    let kind = match tree.get("type").map(|t| (t.text().unwrap_or_default(), t.place)) {
        None => {
            decoder.mistake(
                tree.place,
                format!("`type` is missing here; there is {}", KINDS.map(|k| format!("`{k}`")).join(", ")),
            );
            None
        }
        Some((name, place)) if !KINDS.contains(&name) => {
            decoder.mistake(place, unknown("node type", name, KINDS.into_iter()));
            None
        }
        Some((name, _)) => Some(name),
    };
    let Some(name) = kind else {
        drop(decoder.mapping::<Common>(tree, Others::All));
        return None;
    };
    let others: Vec<&str> = [&["type"], others, fields(name)].concat();
    let common = decoder.mapping::<Common>(tree, Others::Only(&others));
    let kind = decode_kind(name, tree, decoder);
    Some(Node { place: tree.place, common: common?, kind: kind? })
}

fn decode_kind(name: &str, tree: &Tree, decoder: &mut Decoder<'_>) -> Option<NodeKind> {
    Some(match name {
        "agent" => NodeKind::Agent(Box::new(decoder.mapping(tree, Others::All)?)),
        "condition" => NodeKind::Condition(decoder.mapping(tree, Others::All)?),
        "transform" => NodeKind::Transform(decoder.mapping(tree, Others::All)?),
        "hitl" => NodeKind::Hitl(decoder.mapping(tree, Others::All)?),
        "tool" => NodeKind::Tool(decoder.mapping(tree, Others::All)?),
        "team" => NodeKind::Team(decoder.mapping(tree, Others::All)?),
        "workflow" => NodeKind::Workflow(decoder.mapping(tree, Others::All)?),
        "passthrough" => NodeKind::Passthrough(PassthroughNode {}),
        _ => {
            let head: ParallelHead = decoder.mapping(tree, Others::All)?;
            let Some(list) = tree.get("nodes") else {
                decoder.mistake(tree.place, "`nodes` is missing here");
                return None;
            };
            NodeKind::Parallel(ParallelNode { nodes: nodes(list, decoder), head })
        }
    })
}

/// The keys of a node type, beside those of all.
fn fields(name: &str) -> &'static [&'static str] {
    match name {
        "agent" => fields_of::<AgentNode>(),
        "condition" => fields_of::<ConditionNode>(),
        "transform" => fields_of::<TransformNode>(),
        "hitl" => fields_of::<HitlNode>(),
        "tool" => fields_of::<ToolNode>(),
        "team" => fields_of::<TeamNode>(),
        "workflow" => fields_of::<WorkflowNode>(),
        "parallel" => &["nodes", "join", "wait_for"],
        _ => &[],
    }
}

impl Workflow {
    /// The place of a node by its id; of the workflow where there is none.
    #[must_use]
    pub fn place_of(&self, id: &str) -> Place {
        self.node(id).map_or(self.name.place, |n| n.common.id.place)
    }
}

/// A file's values as JSON, with references put in: what its schema is held against.
///
/// # Errors
/// It is no YAML, or holds what workflow files must not.
pub fn to_json(file: &str, text: &str) -> Result<serde_json::Value, Mistakes> {
    let environment = Environment::default();
    let mut decoder = Decoder::new(&environment);
    decoder.findings.files.push(file.to_owned());
    let tree = tree::parse(text, 0, &mut decoder.findings);
    let root = tree.map(|tree| reference::resolve(&tree, &mut decoder.findings));
    match root {
        Some(root) if !decoder.findings.has_mistakes() => Ok(scalar::json(&root)),
        _ => Err(decoder.findings.mistakes()),
    }
}
