//! A frame: one graph being worked through, step by step. All pieces of work of a step read the same state; what they
//! change is put together in their order when the last of them is done. Branches that go on by themselves are a piece
//! of work of the step, and have a frame of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use victor_core::id::Timestamp;

use crate::error::NodeError;
use crate::node::{Answered, Ask};
use crate::record::micros;
use crate::route::Join;
use crate::state::weight;
use crate::task::{TaskId, task_name};
use crate::workflow::{Graph, Workflow};

/// What a node that is gone from the list of steps would be, for messages.
const NOWHERE: &str = "?";

/// One graph being worked through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Frame {
    /// Bound when it is made or read back.
    #[serde(default)]
    pub(crate) graph: Bound,
    #[serde(skip)]
    pub(crate) path: Arc<[String]>,
    /// The task that it stands for; `None` for the workflow itself.
    pub(crate) parent: Option<TaskId>,
    /// How many of its paths have to end.
    pub(crate) join: Join,
    /// Whether what changes has to be told to the parent key by key.
    pub(crate) shares: bool,
    pub(crate) state: Arc<Value>,
    /// Bytes of the state, about.
    pub(crate) size: usize,
    pub(crate) step: u64,
    pub(crate) tasks: Vec<Task>,
    /// Pieces of work of the step that are not done.
    pub(crate) open: u32,
    /// How many of them are there of each node, without those that have a frame of their own.
    #[serde(skip)]
    pub(crate) busy: Vec<u32>,
    /// Paths that came to their end.
    pub(crate) ends: u32,
    /// How often each node ran.
    pub(crate) counts: Vec<u32>,
    /// At nodes with a join: who has arrived.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) arrived: BTreeMap<u32, Arrived>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) changes: Vec<(String, Value)>,
    /// Bytes of what pieces of work of the step have changed, about.
    #[serde(default)]
    pub(crate) pending: usize,
    /// For branches that go on by themselves, a part of the frame above: which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lane: Option<Lane>,
}

/// Branches that go on by themselves in a frame of their own, until they meet others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lane {
    /// The nodes that run here, in order.
    pub(crate) only: Vec<u32>,
    /// Where its paths have come to that do not run here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) exits: Vec<Hop>,
}

/// The graph of a frame: bound to it while it is in memory. Written down it is the names of its nodes.
#[derive(Clone, Default, Deserialize)]
#[serde(from = "Vec<String>")]
pub(crate) struct Bound {
    pub(crate) graph: Option<Workflow>,
    /// The nodes of the graph that it is to be bound to.
    pub(crate) names: Vec<String>,
}

impl Bound {
    pub(crate) fn new(graph: Workflow) -> Self {
        Self { graph: Some(graph), names: Vec::new() }
    }
}

impl From<Vec<String>> for Bound {
    fn from(names: Vec<String>) -> Self {
        Self { graph: None, names }
    }
}

impl Serialize for Bound {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match &self.graph {
            Some(graph) => s.collect_seq(graph.0.nodes.iter().map(|spec| &*spec.name)),
            None => s.collect_seq(&self.names),
        }
    }
}

impl PartialEq for Bound {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("_")
    }
}

/// Who has arrived at a node that waits for several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Arrived {
    pub(crate) from: Vec<u32>,
    /// Whether it ran for this round already.
    pub(crate) fired: bool,
}

/// One piece of work of the step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) node: u32,
    pub(crate) iteration: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) part: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<Value>,
    pub(crate) attempt: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) answers: Vec<Answered>,
    /// What it kept when it asked for the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<Value>,
    pub(crate) at: At,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// Where a piece of work stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum At {
    /// It can begin.
    Ready,
    /// The run was paused before it.
    Held,
    /// It works in this process. Read back, it begins again.
    Running {
        #[serde(with = "micros")]
        since: Timestamp,
        #[serde(with = "micros::option")]
        deadline: Option<Timestamp>,
    },
    /// It failed and is tried again.
    Delayed {
        #[serde(with = "micros")]
        until: Timestamp,
    },
    /// It is a subgraph that works.
    Inside {
        frame: u32,
        #[serde(with = "micros")]
        since: Timestamp,
        #[serde(with = "micros::option")]
        deadline: Option<Timestamp>,
    },
    /// It stands for branches that go on by themselves.
    Lane { frame: u32 },
    /// It is a subgraph that was done, which is to be recorded.
    Closed {
        changes: Vec<(String, Value)>,
        #[serde(with = "micros")]
        since: Timestamp,
    },
    /// It is a subgraph that failed, which is to be recorded.
    Broken { error: NodeError },
    /// It asks a person.
    Waiting {
        ask: Box<Ask>,
        #[serde(with = "micros")]
        since: Timestamp,
        #[serde(with = "micros::option")]
        expires: Option<Timestamp>,
    },
    /// It was done.
    Done { changes: Vec<(String, Value)>, next: Vec<Hop> },
    /// It failed, and the others go on without it.
    Lost,
}

impl At {
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Lost)
    }

    /// Whether it works or waits, and not in a frame of its own.
    pub(crate) fn is_busy(&self) -> bool {
        !self.is_over() && !matches!(self, Self::Inside { .. } | Self::Lane { .. })
    }
}

/// Where a path goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hop {
    pub(crate) node: u32,
    /// The node that it comes from, where that is not the task's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<Value>,
}

/// What a step has led to.
pub(crate) enum Stepped {
    /// There is a next step, whose tasks are new. Whether one of these nodes was just done is the caller's business.
    On,
    /// Nothing is left to do.
    Over,
}

impl Frame {
    pub(crate) fn new(workflow: &Workflow, parent: Option<TaskId>, path: Arc<[String]>, state: Arc<Value>) -> Self {
        let size = weight(&state);
        Self {
            graph: Bound::new(workflow.clone()),
            path,
            parent,
            join: Join::All,
            shares: false,
            state,
            size,
            step: 0,
            tasks: Vec::new(),
            open: 0,
            busy: vec![0; workflow.0.nodes.len()],
            ends: 0,
            counts: vec![0; workflow.0.nodes.len()],
            arrived: BTreeMap::new(),
            changes: Vec::new(),
            pending: 0,
            lane: None,
        }
    }

    /// Says where a piece of work stands now.
    pub(crate) fn put(&mut self, slot: u32, at: At) {
        let Some(task) = self.tasks.get_mut(slot as usize) else { return };
        let (was, is) = (u32::from(task.at.is_busy()), u32::from(at.is_busy()));
        task.at = at;
        if let Some(busy) = self.busy.get_mut(task.node as usize) {
            *busy = (*busy + is).saturating_sub(was);
        }
    }

    /// Counts anew which nodes work.
    pub(crate) fn count_busy(&mut self) {
        self.busy.clear();
        self.busy.resize(self.counts.len(), 0);
        for task in self.tasks.iter().filter(|task| task.at.is_busy()) {
            if let Some(busy) = self.busy.get_mut(task.node as usize) {
                *busy += 1;
            }
        }
    }

    pub(crate) fn graph(&self) -> Option<&Arc<Graph>> {
        self.graph.graph.as_ref().map(|w| &w.0)
    }

    pub(crate) fn node_name(&self, node: u32) -> Arc<str> {
        match self.graph().and_then(|g| g.nodes.get(node as usize)) {
            Some(spec) => Arc::clone(&spec.name),
            None => Arc::from(NOWHERE),
        }
    }

    /// The path of a task's own events.
    pub(crate) fn task_path(&self, task: &Task) -> Vec<String> {
        let name = task_name(&self.node_name(task.node), task.iteration, task.part);
        self.path.iter().cloned().chain([name]).collect()
    }

    /// Begins with these nodes.
    ///
    /// # Errors
    /// A limit is reached.
    pub(crate) fn begin(&mut self) -> Result<(), NodeError> {
        let Some(graph) = self.graph().cloned() else { return Ok(()) };
        self.schedule(&graph, graph.entries.iter().map(|n| Hop { node: *n, from: None, input: None }).collect())
    }

    /// Puts together what the step's pieces of work have changed, and makes the next step.
    ///
    /// # Errors
    /// A reducer failed, a limit is reached, or a join can never happen.
    pub(crate) fn end_step(&mut self) -> Result<Stepped, NodeError> {
        let Some(graph) = self.graph().cloned() else { return Ok(Stepped::Over) };
        let tasks = std::mem::take(&mut self.tasks);
        let mut hops: Vec<(u32, Hop)> = Vec::new();
        self.pending = 0;
        for task in tasks {
            if let At::Done { changes, next } = task.at {
                self.put_all(&graph, changes)?;
                hops.extend(next.into_iter().map(|hop| (hop.from.unwrap_or(task.node), hop)));
            }
        }
        if let Some(lane) = &mut self.lane {
            let (inside, outside) = hops.into_iter().partition(|(_, hop)| lane.only.binary_search(&hop.node).is_ok());
            lane.exits.extend(Vec::into_iter(outside).map(|(from, hop)| Hop { from: Some(from), ..hop }));
            hops = inside;
        }
        let next = self.gather(&graph, hops);
        if next.is_empty() {
            return self.settled(&graph).map(|()| Stepped::Over);
        }
        self.schedule(&graph, next)?;
        Ok(Stepped::On)
    }

    /// Puts changes into the state.
    pub(crate) fn put_all(&mut self, graph: &Graph, changes: Vec<(String, Value)>) -> Result<(), NodeError> {
        if changes.is_empty() {
            return Ok(());
        }
        let Value::Object(state) = Arc::make_mut(&mut self.state) else {
            return Err(NodeError::invalid("the state is no object"));
        };
        for (key, value) in changes {
            if self.shares {
                remember(&mut self.changes, graph, &key, &value);
            }
            let replaces = graph.reducers.replaces(&key);
            let before = if replaces { state.get(&key).map_or(0, weight) } else { 0 };
            let more = weight(&value) + if state.contains_key(&key) { 0 } else { key.len() + 4 };
            graph.reducers.put(state, &key, value)?;
            self.size = (self.size + more).saturating_sub(before);
        }
        Ok(())
    }

    /// Whether what a node says still fits into the state.
    pub(crate) fn fits<'a>(
        &self,
        graph: &Graph,
        changes: impl Iterator<Item = (&'a String, &'a Value)> + Clone,
    ) -> Result<(), NodeError> {
        let more = self.pending + changes.clone().map(|(key, value)| key.len() + weight(value)).sum::<usize>();
        let most = graph.limits.max_state_bytes;
        if self.size + more <= most {
            return Ok(());
        }
        let replaced: usize = changes
            .filter(|(key, _)| graph.reducers.replaces(key))
            .filter_map(|(key, _)| Some(key.len() + weight(self.state.get(key)?)))
            .sum();
        match (self.size + more).saturating_sub(replaced) {
            size if size <= most => Ok(()),
            size => Err(too_large(size, most)),
        }
    }

    /// The hops that lead to a task now: joins wait for others.
    fn gather(&mut self, graph: &Graph, hops: Vec<(u32, Hop)>) -> Vec<Hop> {
        let mut next: Vec<Hop> = Vec::with_capacity(hops.len());
        let mut plain: Vec<u32> = Vec::new();
        for (from, hop) in hops {
            let spec = graph.node(hop.node);
            if let Some(join) = spec.join
                && !self.arrived.entry(hop.node).or_default().take(from, join, spec.sources)
            {
                continue;
            }
            // Two that lead to a node in one step let it run once, unless they bring inputs of their own.
            if hop.input.is_none() {
                if plain.contains(&hop.node) {
                    continue;
                }
                plain.push(hop.node);
            }
            next.push(hop);
        }
        self.arrived.retain(|_, a| !a.from.is_empty());
        next
    }

    fn settled(&self, graph: &Graph) -> Result<(), NodeError> {
        let Some((node, arrived)) = self.arrived.iter().find(|(_, a)| !a.fired) else { return Ok(()) };
        let spec = graph.node(*node);
        let came: Vec<_> = arrived.from.iter().map(|n| format!("`{}`", graph.node(*n).name)).collect();
        let needed = spec.join.unwrap_or_default().needed(spec.sources);
        Err(NodeError::invalid(format!(
            "node `{}` waits for {needed} of the {} nodes before it, and only {} came: the others took another way",
            spec.name,
            spec.sources,
            came.join(", ")
        )))
    }

    fn schedule(&mut self, graph: &Graph, hops: Vec<Hop>) -> Result<(), NodeError> {
        let limits = &graph.limits;
        self.step += 1;
        if self.step > limits.max_steps {
            let text = format!("workflow `{}` did not end within {} steps (`max_steps`)", graph.name, limits.max_steps);
            return Err(NodeError::with_code("LIMIT_EXCEEDED", text));
        }
        if hops.len() > limits.max_fan_out as usize {
            let text = format!(
                "{} pieces of work in one step are more than {} (`max_fan_out`)",
                hops.len(),
                limits.max_fan_out
            );
            return Err(NodeError::with_code("LIMIT_EXCEEDED", text));
        }
        self.open = u32::try_from(hops.len()).unwrap_or(u32::MAX);
        self.tasks.reserve(hops.len());
        let mut parts: Vec<(u32, u32)> = Vec::new();
        for hop in hops {
            let part = match parts.iter_mut().find(|(node, _)| *node == hop.node) {
                Some((_, part)) => {
                    *part += 1;
                    *part
                }
                None => {
                    self.count(graph, hop.node)?;
                    parts.push((hop.node, 0));
                    0
                }
            };
            let iteration = self.counts[hop.node as usize];
            let (node, input) = (hop.node, hop.input);
            let (answers, kept, at) = (Vec::new(), None, At::Ready);
            self.tasks.push(Task { node, iteration, part, input, attempt: 1, answers, kept, at });
            self.busy[node as usize] += 1;
        }
        Ok(())
    }

    fn count(&mut self, graph: &Graph, node: u32) -> Result<(), NodeError> {
        let (count, spec) = (&mut self.counts[node as usize], graph.node(node));
        *count += 1;
        if *count <= spec.max_iterations {
            return Ok(());
        }
        let text = format!("node `{}` would run more than {} times (`max_iterations`)", spec.name, spec.max_iterations);
        Err(NodeError::with_code("LIMIT_EXCEEDED", text))
    }
}

impl Arrived {
    /// Counts `from` in and tells whether the node runs now.
    fn take(&mut self, from: u32, join: Join, sources: u32) -> bool {
        if self.from.contains(&from) {
            // A second time round: a new round begins.
            *self = Self::default();
        }
        self.from.push(from);
        let count = u32::try_from(self.from.len()).unwrap_or(u32::MAX);
        let runs = !self.fired && count >= join.needed(sources);
        self.fired |= runs;
        if count >= sources {
            self.from.clear();
            self.fired = false;
        }
        runs
    }
}

/// What a state that has grown too large is told.
pub(crate) fn too_large(size: usize, most: usize) -> NodeError {
    let text = format!(
        "the state would have about {} KB, more than the {} KB that it may have (`max_state_bytes`): keep large content \
         in files and their paths in the state",
        size / 1024,
        most / 1024
    );
    NodeError::with_code("TOO_LARGE", text)
}

/// Keeps a change for the parent: of keys that replace only the last counts.
fn remember(changes: &mut Vec<(String, Value)>, graph: &Graph, key: &str, value: &Value) {
    if graph.reducers.replaces(key)
        && let Some((_, known)) = changes.iter_mut().find(|(k, _)| k == key)
    {
        known.clone_from(value);
        return;
    }
    changes.push((key.to_owned(), value.clone()));
}
