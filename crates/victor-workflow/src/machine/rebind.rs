//! Nodes stand in a machine by their places in the graph. In a workflow that has changed they may stand elsewhere: what
//! is read back is led to the nodes of the same names.

use std::collections::BTreeMap;

use crate::error::WorkflowError;
use crate::workflow::Workflow;

use super::frame::{At, Bound, Frame, Hop};

impl Frame {
    /// Binds a frame that was read back to its graph.
    ///
    /// # Errors
    /// A node that it works at is not there any more.
    pub(super) fn bind(&mut self, graph: &Workflow) -> Result<(), WorkflowError> {
        let names = std::mem::take(&mut self.graph.names);
        let same = names.len() <= graph.0.nodes.len() && names.iter().zip(&graph.0.nodes).all(|(a, b)| **a == *b.name);
        if !same {
            self.lead(&names, graph)?;
        }
        self.counts.resize(graph.0.nodes.len(), 0);
        self.count_busy();
        self.graph = Bound::new(graph.clone());
        Ok(())
    }

    /// Leads all places to those that the names have now.
    fn lead(&mut self, names: &[String], graph: &Workflow) -> Result<(), WorkflowError> {
        let now = |old: u32| names.get(old as usize).and_then(|name| graph.0.by_name.get(name.as_str())).copied();
        let needed = |old: u32| {
            let name = names.get(old as usize).map_or("?", String::as_str);
            let gone = || WorkflowError::Diverged(format!("the run works at node `{name}`, which is gone"));
            now(old).ok_or_else(gone)
        };
        let lead = |hop: &mut Hop| {
            hop.node = needed(hop.node)?;
            hop.from = hop.from.map(needed).transpose()?;
            Ok::<_, WorkflowError>(())
        };
        for task in &mut self.tasks {
            task.node = needed(task.node)?;
            if let At::Done { next, .. } = &mut task.at {
                next.iter_mut().try_for_each(lead)?;
            }
        }
        if let Some(lane) = &mut self.lane {
            lane.exits.iter_mut().try_for_each(lead)?;
            lane.only = lane.only.iter().filter_map(|node| now(*node)).collect();
            lane.only.sort_unstable();
        }
        let mut counts = vec![0; graph.0.nodes.len()];
        for (old, count) in (0..).zip(&self.counts) {
            if let Some(node) = now(old) {
                counts[node as usize] = *count;
            }
        }
        self.counts = counts;
        let mut arrived = BTreeMap::new();
        for (node, mut who) in std::mem::take(&mut self.arrived) {
            who.from = who.from.into_iter().filter_map(now).collect();
            arrived.insert(needed(node)?, who);
        }
        self.arrived = arrived;
        Ok(())
    }
}
