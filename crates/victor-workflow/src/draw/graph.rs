//! What a drawing shows of a workflow, whatever it is drawn with.

use crate::expr::same_name;
use crate::workflow::Workflow as Graph;
use crate::yaml::{Node, NodeKind, Workflow, edges, unled};

/// What there is to draw: of a workflow file, with the names of its branches, or of a compiled graph.
#[derive(Clone, Debug)]
pub struct Drawing {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) level: Level,
}

/// The nodes that stand among each other.
#[derive(Clone, Debug)]
pub(super) struct Level {
    pub(super) boxes: Vec<Box>,
    pub(super) entries: Vec<usize>,
}

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Box {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) ways: Vec<Way>,
    pub(super) inside: Option<Level>,
}

/// Where a node leads.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) label: Option<String>,
    /// The place of the box among those of its level; `None` is the end.
    pub(super) to: Option<usize>,
    pub(super) is_failure: bool,
}

impl From<&Workflow> for Drawing {
    fn from(workflow: &Workflow) -> Self {
        Self {
            name: workflow.name.value.clone(),
            description: workflow.head.description.clone().unwrap_or_default(),
            level: Level::of_nodes(&workflow.nodes, vec![0]),
        }
    }
}

impl From<&Graph> for Drawing {
    fn from(graph: &Graph) -> Self {
        Self {
            name: graph.name().to_owned(),
            description: graph.description().to_owned(),
            level: Level::of_graph(graph),
        }
    }
}

impl Level {
    fn of_nodes(nodes: &[Node], entries: Vec<usize>) -> Self {
        let boxes = nodes.iter().map(|node| {
            let way = |edge: crate::yaml::Edge<'_>| Way {
                to: edge.to.and_then(|to| nodes.iter().position(|n| same_name(n.id(), to))),
                is_failure: edge.label == Some("on_error"),
                label: edge.label.map(|l| l.replace("on_error", "on error")),
            };
            let inside = match &node.kind {
                NodeKind::Parallel(parallel) => Some(Self::of_nodes(&parallel.nodes, unled(&parallel.nodes))),
                _ => None,
            };
            Box {
                name: node.id().to_owned(),
                kind: node.kind.name().to_owned(),
                ways: edges(node).into_iter().map(way).collect(),
                inside,
            }
        });
        Self { boxes: boxes.collect(), entries }
    }

    fn of_graph(graph: &Graph) -> Self {
        let names: Vec<&str> = graph.nodes().map(|n| n.name).collect();
        let at = |name: &str| names.iter().position(|n| *n == name);
        let boxes = graph.nodes().map(|node| {
            let way = |to: &&str| Way { label: None, to: at(to), is_failure: false };
            let mut ways: Vec<Way> = node.edges.iter().chain(&node.branches).map(way).collect();
            if ways.is_empty() {
                ways.push(Way { label: None, to: None, is_failure: false });
            }
            let failure = |to: &str| Way { label: Some("on error".to_owned()), to: at(to), is_failure: true };
            ways.extend(node.error_to.map(failure));
            Box { name: node.name.to_owned(), kind: node.kind.clone(), ways, inside: node.inside.map(Self::of_graph) }
        });
        Self { boxes: boxes.collect(), entries: graph.entries().filter_map(at).collect() }
    }
}
