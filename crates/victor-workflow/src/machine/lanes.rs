//! Lanes: branches that go on by themselves until they meet. Which branches those are is read from the graph alone, so
//! it never depends on who was quicker.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::route::Join;
use crate::workflow::{Graph, Spec};

use super::frame::{Frame, Lane, Task};

/// Pieces of work of one step that go on together, apart from the others.
struct Group {
    /// The nodes that they begin with.
    heads: Vec<u32>,
    /// The nodes that only they lead to, the heads among them, in order.
    only: Vec<u32>,
}

impl Frame {
    /// The branches that can go on by themselves from here, taken out of the step: each with the place of the task that
    /// stands for it now.
    pub(crate) fn split(&mut self) -> Vec<(u32, Self)> {
        let Some(graph) = self.graph().cloned() else { return Vec::new() };
        // Who waits for others already is not told apart from them.
        if self.tasks.len() < 2 || !self.arrived.is_empty() {
            return Vec::new();
        }
        let heads: Vec<u32> = self.tasks.iter().map(|task| task.node).collect();
        let groups = groups(&graph, &heads, self.lane.as_ref().map(|lane| lane.only.as_slice()));
        if groups.is_empty() {
            return Vec::new();
        }
        let mut apart: Vec<(u32, Self)> = Vec::with_capacity(groups.len());
        let mut places: Vec<Option<usize>> = vec![None; groups.len()];
        for task in std::mem::take(&mut self.tasks) {
            let Some(group) = groups.iter().position(|group| group.heads.contains(&task.node)) else {
                self.tasks.push(task);
                continue;
            };
            let place = *places[group].get_or_insert_with(|| {
                let slot = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX);
                self.tasks.push(Task { input: None, ..task.clone() });
                apart.push((slot, self.lane_of(groups[group].only.clone())));
                apart.len() - 1
            });
            apart[place].1.tasks.push(task);
            apart[place].1.open += 1;
        }
        self.open = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX);
        self.count_busy();
        apart.iter_mut().for_each(|(_, lane)| lane.count_busy());
        apart
    }

    /// A frame for branches of this one.
    fn lane_of(&self, only: Vec<u32>) -> Self {
        Self {
            graph: self.graph.clone(),
            path: Arc::clone(&self.path),
            parent: None,
            join: Join::All,
            shares: true,
            state: Arc::clone(&self.state),
            size: self.size,
            step: self.step,
            tasks: Vec::new(),
            open: 0,
            busy: vec![0; self.counts.len()],
            ends: 0,
            counts: self.counts.clone(),
            arrived: BTreeMap::new(),
            changes: Vec::new(),
            pending: 0,
            lane: Some(Lane { only, exits: Vec::new() }),
        }
    }
}

/// How the paths that begin at `heads` can go on apart, in the order of the heads: each until it ends or comes to a
/// node that the paths of all of them lead to. None, where no path of theirs has more than one node to itself, or where
/// the place that they meet at is not to wait for all. `within` are the nodes that they may run themselves.
fn groups(graph: &Graph, heads: &[u32], within: Option<&[u32]>) -> Vec<Group> {
    let heads = distinct(heads);
    if heads.len() < 2 {
        return Vec::new();
    }
    let reached: Vec<Vec<u32>> = heads.iter().map(|head| reach(graph, *head, within)).collect();
    let mut count = vec![0_usize; graph.nodes.len()];
    reached.iter().flatten().for_each(|node| count[*node as usize] += 1);
    let common = |node: u32| count[node as usize] == heads.len();
    if heads.iter().any(|head| common(*head)) {
        return Vec::new();
    }
    let groups = together(&heads, &reached, common);
    let parts = groups.len() > 1 && groups.iter().any(|group| goes_on(graph, group));
    let quick = |group: &Group| {
        group.only.iter().flat_map(|n| ways(graph.node(*n))).any(|to| common(to) && hurries(graph.node(to)))
    };
    if !parts || groups.iter().any(quick) {
        return Vec::new();
    }
    groups.into_iter().filter(|group| goes_on(graph, group)).collect()
}

/// Heads whose paths share a node that not all of them share stay together.
fn together(heads: &[u32], reached: &[Vec<u32>], common: impl Fn(u32) -> bool) -> Vec<Group> {
    // Of each head the group that it is in, named by the first of its heads; of each node the head that came first.
    let mut group: Vec<usize> = (0..heads.len()).collect();
    let mut owner: BTreeMap<u32, usize> = BTreeMap::new();
    for (at, nodes) in reached.iter().enumerate() {
        for node in nodes.iter().filter(|node| !common(**node)) {
            let first = group[*owner.entry(*node).or_insert(at)];
            let (low, high) = (first.min(group[at]), first.max(group[at]));
            if low == high {
                continue;
            }
            group.iter_mut().filter(|g| **g == high).for_each(|g| *g = low);
        }
    }
    let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
    for (at, head) in heads.iter().enumerate() {
        let group = groups.entry(group[at]).or_insert_with(|| Group { heads: Vec::new(), only: Vec::new() });
        group.heads.push(*head);
    }
    for (node, at) in owner {
        if let Some(group) = groups.get_mut(&group[at]) {
            group.only.push(node);
        }
    }
    groups.into_values().collect()
}

/// Whether any of its nodes comes after another one of them.
fn goes_on(graph: &Graph, group: &Group) -> bool {
    let inside = |node: &u32| group.only.binary_search(node).is_ok();
    group.only.iter().flat_map(|node| ways(graph.node(*node))).any(|to| inside(&to))
}

/// Whether a node runs before all have come that may.
fn hurries(spec: &Spec) -> bool {
    match spec.join {
        Some(Join::Any) => spec.sources > 1,
        Some(Join::Count(n)) => n < spec.sources,
        Some(Join::All) | None => false,
    }
}

/// Where a node may lead, also by failing.
fn ways(spec: &Spec) -> impl Iterator<Item = u32> {
    spec.targets.iter().copied().chain(spec.error_to)
}

fn distinct(heads: &[u32]) -> Vec<u32> {
    let mut seen = HashSet::with_capacity(heads.len().min(64));
    heads.iter().copied().filter(|head| seen.insert(*head)).collect()
}

/// The nodes that a path from here may come to, this one among them.
fn reach(graph: &Graph, from: u32, within: Option<&[u32]>) -> Vec<u32> {
    let mut seen = vec![false; graph.nodes.len()];
    let mut open = vec![from];
    let mut found = Vec::new();
    while let Some(node) = open.pop() {
        let allowed = within.is_none_or(|only| only.binary_search(&node).is_ok());
        if allowed && !std::mem::replace(&mut seen[node as usize], true) {
            found.push(node);
            open.extend(ways(graph.node(node)));
        }
    }
    found
}
