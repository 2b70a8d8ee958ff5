//! From a graph as it was described to one that can run: names become places, and all mistakes are told at once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use victor_core::blob::BlobId;
use victor_core::error::nearest;

use crate::error::{Mistake, MistakeKind, Mistakes};
use crate::graph::{Body, Branch, Draft, END, StateGraph};
use crate::route::Join;
use crate::workflow::{Graph, Spec, Workflow};

/// Subgraphs inside of each other at most.
const DEEPEST: usize = 16;

pub(crate) fn compile<S>(graph: StateGraph<S>) -> Result<Workflow, Mistakes> {
    let mut check = Check::new(&graph.drafts);
    check.names(&graph);
    check.limits(&graph);
    let entries = check.entries(&graph);
    let moves = check.moves(&graph);
    check.reach(&graph.drafts, &entries, &moves);
    if !check.mistakes.is_empty() {
        return Err(Mistakes(check.mistakes));
    }
    let prints = prints(&graph);
    let text: String = prints.iter().fold(String::new(), |mut text, (name, print)| {
        let _ = writeln!(text, "{name}\t{print}");
        text
    });
    let default_iterations = graph.limits.max_iterations;
    let sources = sources(&moves);
    let nodes: Vec<Spec> = graph
        .drafts
        .into_iter()
        .zip(moves)
        .zip(sources)
        .map(|((draft, moves), sources)| spec(draft, moves, sources, default_iterations))
        .collect();
    let by_name = nodes.iter().zip(0..).map(|(spec, n)| (Arc::clone(&spec.name), n)).collect();
    Ok(Workflow(Arc::new(Graph {
        name: graph.name.into(),
        description: graph.description,
        version: graph.version,
        nodes,
        by_name,
        entries,
        reducers: graph.reducers,
        outputs: graph.outputs,
        prepare: graph.prepare,
        limits: graph.limits,
        prints,
        hash: BlobId::of(text.as_bytes()).0,
    })))
}

fn spec(draft: Draft, moves: Moves, sources: u32, default_iterations: u32) -> Spec {
    Spec {
        name: draft.name.into(),
        body: draft.body,
        edges: moves.edges,
        branches: moves.branches,
        targets: moves.targets,
        error_to: moves.error_to,
        on_error: draft.on_error,
        retry: draft.retry,
        timeout: draft.timeout,
        max_iterations: draft.max_iterations.unwrap_or(default_iterations),
        join: draft.join,
        sources,
    }
}

/// Where one node may go.
#[derive(Default)]
struct Moves {
    edges: Vec<u32>,
    branches: Vec<Branch>,
    targets: Vec<u32>,
    error_to: Option<u32>,
    may_end: bool,
}

impl Moves {
    fn all(&self) -> impl Iterator<Item = u32> {
        self.targets.iter().copied().chain(self.error_to)
    }
}

/// How many nodes may go to each, failures not counted.
fn sources(moves: &[Moves]) -> Vec<u32> {
    let mut counts = vec![0; moves.len()];
    for target in moves.iter().flat_map(|m| &m.targets) {
        counts[*target as usize] += 1;
    }
    counts
}

struct Check {
    known: HashMap<String, u32>,
    mistakes: Vec<Mistake>,
}

impl Check {
    fn new(drafts: &[Draft]) -> Self {
        let mut known = HashMap::new();
        for (n, draft) in (0..).zip(drafts) {
            known.entry(draft.name.clone()).or_insert(n);
        }
        Self { known, mistakes: Vec::new() }
    }

    fn tell(&mut self, node: Option<&str>, kind: MistakeKind, message: String) {
        self.mistakes.push(Mistake { node: node.map(str::to_owned), kind, message });
    }

    fn names<S>(&mut self, graph: &StateGraph<S>) {
        if graph.drafts.is_empty() {
            self.tell(None, MistakeKind::Empty, format!("workflow `{}` has no nodes", graph.name));
        }
        for (n, draft) in (0..).zip(&graph.drafts) {
            let name = draft.name.as_str();
            if self.known.get(name) != Some(&n) {
                let text = format!("two nodes are called `{name}`: give one of them another name");
                self.tell(Some(name), MistakeKind::DuplicateNode, text);
            }
            if name.is_empty() || name == END || name.contains(['/', '#']) {
                let text = format!("`{name}` cannot be a node's name: it must not be empty or hold `/` or `#`");
                self.tell(Some(name), MistakeKind::BadName, text);
            }
        }
    }

    fn limits<S>(&mut self, graph: &StateGraph<S>) {
        let limits = &graph.limits;
        let counts = [
            ("max_steps", limits.max_steps),
            ("max_iterations", limits.max_iterations.into()),
            ("max_state_bytes", limits.max_state_bytes as u64),
            ("concurrency", limits.concurrency.into()),
            ("max_fan_out", limits.max_fan_out.into()),
        ];
        for (name, _) in counts.into_iter().filter(|(_, n)| *n == 0) {
            self.tell(None, MistakeKind::BadLimit, format!("`{name}` of workflow `{}` must be at least 1", graph.name));
        }
        for draft in &graph.drafts {
            self.node_limits(draft);
        }
    }

    fn node_limits(&mut self, draft: &Draft) {
        let name = draft.name.as_str();
        let mut wrong = |kind, text: &str| self.tell(Some(name), kind, format!("node `{name}`: {text}"));
        if draft.max_iterations == Some(0) {
            wrong(MistakeKind::BadLimit, "`max_iterations` must be at least 1");
        }
        if draft.timeout == Some(Duration::ZERO) {
            wrong(MistakeKind::BadLimit, "a timeout of 0 lets it never finish");
        }
        if draft.retry.is_some_and(|r| !r.backoff.is_finite() || r.backoff < 1.0) {
            wrong(MistakeKind::BadLimit, "`backoff` must be 1 or more");
        }
        if draft.join == Some(Join::Count(0)) {
            wrong(MistakeKind::BadLimit, "a join must wait for at least 1");
        }
        let Body::Graph(subgraph) = &draft.body else { return };
        let paths = subgraph.workflow.0.entries.len();
        match subgraph.join {
            Join::Count(0) => wrong(MistakeKind::BadSubgraph, "it must wait for at least 1 of its paths"),
            Join::Count(n) if n as usize > paths => {
                let text = format!("it waits for {n} of its paths and begins only {paths}");
                wrong(MistakeKind::BadSubgraph, &text);
            }
            Join::All | Join::Any | Join::Count(_) => {}
        }
        if depth(&subgraph.workflow) >= DEEPEST {
            wrong(MistakeKind::BadSubgraph, &format!("more than {DEEPEST} workflows stand inside of each other"));
        }
    }

    fn entries<S>(&mut self, graph: &StateGraph<S>) -> Vec<u32> {
        if graph.entries.is_empty() {
            return if graph.drafts.is_empty() { Vec::new() } else { vec![0] };
        }
        let found = graph.entries.iter().filter_map(|name| self.find(None, "the entry", name));
        found.collect()
    }

    fn find(&mut self, node: Option<&str>, what: &str, name: &str) -> Option<u32> {
        if let Some(n) = self.known.get(name) {
            return Some(*n);
        }
        let near = nearest(name, self.known.keys().map(String::as_str));
        let hint = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
        let text = match node {
            Some(node) => format!("node `{node}`: {what} names `{name}`, which is no node{hint}"),
            None => format!("{what} names `{name}`, which is no node{hint}"),
        };
        self.tell(node, MistakeKind::UnknownNode, text);
        None
    }

    fn moves<S>(&mut self, graph: &StateGraph<S>) -> Vec<Moves> {
        let mut moves: Vec<Moves> = graph.drafts.iter().map(|_| Moves::default()).collect();
        for (from, to) in &graph.edges {
            let Some(at) = self.find(None, &format!("an edge to `{to}`"), from) else { continue };
            let moves = &mut moves[at as usize];
            match self.target(from, "an edge", to) {
                Target::Node(to) => moves.edges.push(to),
                Target::End => moves.may_end = true,
                Target::Unknown => {}
            }
        }
        for (from, branch) in &graph.branches {
            let Some(at) = self.find(None, "a conditional edge", from) else { continue };
            moves[at as usize].branches.push(branch.clone());
            for to in &branch.targets {
                let found = self.target(from, "a conditional edge", to);
                moves[at as usize].add(&found);
            }
        }
        for (draft, moves) in graph.drafts.iter().zip(&mut moves) {
            if let Body::Leaf(node) = &draft.body {
                for to in node.targets() {
                    moves.add(&self.target(&draft.name, "a route", &to));
                }
            }
            if let Some(to) = &draft.error_to {
                moves.error_to = self.find(Some(&draft.name), "its error edge", to);
            }
            let edges = moves.edges.clone();
            edges.into_iter().for_each(|edge| moves.add(&Target::Node(edge)));
            moves.may_end |= moves.edges.is_empty();
        }
        moves
    }

    fn target(&mut self, from: &str, what: &str, to: &str) -> Target {
        if to == END {
            return Target::End;
        }
        self.find(Some(from), what, to).map_or(Target::Unknown, Target::Node)
    }

    /// Every node is reached, and from every node an end is.
    fn reach(&mut self, drafts: &[Draft], entries: &[u32], moves: &[Moves]) {
        if entries.is_empty() || self.mistakes.iter().any(|m| m.kind == MistakeKind::UnknownNode) {
            return;
        }
        let reached = closure(moves.len(), entries.iter().copied(), |n| moves[n as usize].all().collect());
        for (draft, _) in drafts.iter().zip(&reached).filter(|(_, reached)| !**reached) {
            let text = format!(
                "node `{}` is never reached: let an edge, a branch or an entry lead to it, or remove it",
                draft.name
            );
            self.tell(Some(&draft.name), MistakeKind::Unreachable, text);
        }
        let mut back: Vec<Vec<u32>> = vec![Vec::new(); moves.len()];
        for (n, moves) in (0..).zip(moves) {
            moves.all().for_each(|to| back[to as usize].push(n));
        }
        let ends = (0..).zip(moves).filter(|(_, m)| m.may_end).map(|(n, _)| n);
        let ending = closure(moves.len(), ends, |n| back[n as usize].clone());
        let stuck: Vec<&str> = drafts
            .iter()
            .zip(reached.iter().zip(&ending))
            .filter(|(_, (reached, ending))| **reached && !**ending)
            .map(|(draft, _)| draft.name.as_str())
            .collect();
        if let Some(first) = stuck.first() {
            let names = stuck.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
            let text = format!("{names} go round without a way out: let a condition lead to a node that ends the path");
            self.tell(Some(first), MistakeKind::NoExit, text);
        }
    }
}

enum Target {
    Node(u32),
    End,
    Unknown,
}

impl Moves {
    fn add(&mut self, target: &Target) {
        match target {
            Target::Node(to) if !self.targets.contains(to) => self.targets.push(*to),
            Target::Node(_) | Target::Unknown => {}
            Target::End => self.may_end = true,
        }
    }
}

fn closure(count: usize, from: impl Iterator<Item = u32>, next: impl Fn(u32) -> Vec<u32>) -> Vec<bool> {
    let mut seen = vec![false; count];
    let mut queue: VecDeque<u32> = from.collect();
    while let Some(n) = queue.pop_front() {
        if !std::mem::replace(&mut seen[n as usize], true) {
            queue.extend(next(n));
        }
    }
    seen
}

fn depth(workflow: &Workflow) -> usize {
    let inner = workflow.0.nodes.iter().filter_map(|spec| match &spec.body {
        Body::Graph(subgraph) => Some(depth(&subgraph.workflow)),
        Body::Leaf(_) => None,
    });
    1 + inner.max().unwrap_or(0)
}

/// What each node, and the rest, is made of: what a run that goes on is held against.
fn prints<S>(graph: &StateGraph<S>) -> BTreeMap<String, String> {
    let short = |text: String| BlobId::of(text.as_bytes()).0[..16].to_owned();
    let mut prints = BTreeMap::new();
    for draft in &graph.drafts {
        let edges: Vec<_> = graph.edges.iter().filter(|(from, _)| *from == draft.name).map(|(_, to)| to).collect();
        let branches: Vec<_> =
            graph.branches.iter().filter(|(from, _)| *from == draft.name).map(|(_, b)| &b.targets).collect();
        let body = match &draft.body {
            Body::Leaf(node) => format!("{} {} {:?}", node.kind(), node.fingerprint(), node.targets()),
            Body::Graph(subgraph) => format!("{} {:?}", subgraph.workflow.0.hash, subgraph.join),
        };
        let Draft { name, body: _, retry, timeout, on_error, error_to, max_iterations, join } = draft;
        let text = format!(
            "{body} {edges:?} {branches:?} {retry:?} {timeout:?} {on_error:?} {error_to:?} {max_iterations:?} {join:?}"
        );
        prints.insert(name.clone(), short(text));
    }
    let reducers: BTreeMap<_, _> = graph.reducers.0.iter().map(|(key, r)| (key, r.name())).collect();
    let rest = format!(
        "{} {} {:?} {reducers:?} {:?} {:?}",
        graph.name, graph.version, graph.entries, graph.outputs, graph.limits
    );
    prints.insert(String::new(), short(rest));
    prints
}
