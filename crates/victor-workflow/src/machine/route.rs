//! Where a path goes after a node: from what the node and its edges say to places in the graph.

use std::sync::Arc;

use serde_json::Value;

use crate::error::{NodeError, guarded};
use crate::graph::END;
use crate::route::{Route, Send};
use crate::state::Reducers;
use crate::workflow::{Graph, Spec};

use super::frame::{Frame, Hop};

/// Where `spec` leads with this update and route.
///
/// # Errors
/// It says a node that it may not go to, or an edge's condition failed.
pub(super) fn next<'a>(
    frame: &mut Frame,
    spec: &Spec,
    changes: impl Iterator<Item = (&'a String, &'a Value)>,
    route: Route,
) -> Result<Vec<Send>, NodeError> {
    let Some(graph) = frame.graph().cloned() else { return Ok(Vec::new()) };
    match route {
        Route::End => Ok(Vec::new()),
        Route::To(sends) => {
            let allowed = |send: &Send| check(&graph, spec, &spec.targets, &send.node);
            sends.iter().filter(|s| s.node != END).try_for_each(allowed)?;
            Ok(sends.into_iter().filter(|s| s.node != END).collect())
        }
        Route::Next => along(frame, &graph, spec, changes),
    }
}

/// Along the edges, then the conditional ones, in their order.
fn along<'a>(
    frame: &mut Frame,
    graph: &Graph,
    spec: &Spec,
    changes: impl Iterator<Item = (&'a String, &'a Value)>,
) -> Result<Vec<Send>, NodeError> {
    let static_edges = spec.edges.iter().map(|to| Send { node: graph.node(*to).name.to_string(), input: None });
    let mut sends: Vec<Send> = static_edges.collect();
    if spec.branches.is_empty() {
        return Ok(sends);
    }
    let decided = seen_with(&mut frame.state, changes, &graph.reducers, |state| {
        let decided = spec.branches.iter().map(|branch| {
            let route = guarded("the condition of an edge", || (branch.decide)(state))?;
            Ok((branch, route))
        });
        decided.collect::<Result<Vec<_>, NodeError>>()
    })?;
    for (branch, route) in decided {
        let Route::To(targets) = route else { continue };
        for send in targets.into_iter().filter(|s| s.node != END) {
            if !branch.targets.contains(&send.node) {
                return Err(astray(spec, &send.node, &branch.targets.join(", ")));
            }
            sends.push(send);
        }
    }
    Ok(sends)
}

fn check(graph: &Graph, spec: &Spec, allowed: &[u32], to: &str) -> Result<(), NodeError> {
    match graph.by_name.get(to) {
        Some(n) if allowed.contains(n) => Ok(()),
        _ => {
            let names: Vec<&str> = allowed.iter().map(|n| &*graph.node(*n).name).collect();
            Err(astray(spec, to, &names.join(", ")))
        }
    }
}

fn astray(spec: &Spec, to: &str, names: &str) -> NodeError {
    NodeError::invalid(format!("node `{}` goes to `{to}`, and it may only go to: {names}", spec.name))
}

/// Places in the graph for names in a record.
pub(super) fn hops(graph: &Graph, sends: &[Send]) -> Option<Vec<Hop>> {
    sends
        .iter()
        .map(|s| Some(Hop { node: *graph.by_name.get(s.node.as_str())?, from: None, input: s.input.clone() }))
        .collect()
}

/// What `look` sees when `changes` are in the state; the state is afterwards as before. Costs what they weigh, not
/// what the state does.
fn seen_with<'a, T>(
    state: &mut Arc<Value>,
    changes: impl Iterator<Item = (&'a String, &'a Value)>,
    reducers: &Reducers,
    look: impl FnOnce(&Value) -> Result<T, NodeError>,
) -> Result<T, NodeError> {
    let mut changes = changes.peekable();
    if changes.peek().is_none() {
        return look(state);
    }
    let whole = Arc::make_mut(state);
    let Value::Object(map) = whole else { return look(whole) };
    let mut before: Vec<(&String, Option<Value>)> = Vec::new();
    let mut put = Ok(());
    for (key, value) in changes {
        let old = match reducers.replaces(key) {
            true => map.get_mut(key).map(Value::take),
            false => map.get(key).cloned(),
        };
        before.push((key, old));
        put = reducers.put(map, key, value.clone());
        if put.is_err() {
            break;
        }
    }
    let seen = put.and_then(|()| look(whole));
    if let Value::Object(map) = whole {
        for (key, old) in before.into_iter().rev() {
            match old {
                Some(value) => drop(map.insert(key.clone(), value)),
                // New keys stand at the end, so the others keep their order.
                None => drop(map.remove(key)),
            }
        }
    }
    seen
}
