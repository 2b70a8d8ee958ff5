//! The names of workflows, nodes, inputs and outputs.

use super::super::decode::Decoder;
use super::super::document::Workflow;
use super::super::names::{check_id, check_state, is_name};
use crate::expr::same_name;

/// Checks all names of a workflow.
pub(super) fn workflow(workflow: &Workflow, decoder: &mut Decoder<'_>) {
    let name = &workflow.name;
    if !is_name(name) {
        let message = format!("`{}` is no name: letters, digits, `-` and `_` make one, a letter first", name.value);
        decoder.mistake(name.place, message);
    }
    for (name, _) in workflow.head.inputs.iter().flat_map(|i| &i.0) {
        check_state(name, &mut decoder.findings);
    }
    let nodes = workflow.all_nodes();
    for (i, node) in nodes.iter().enumerate() {
        check_id(&node.common.id, &mut decoder.findings);
        if let Some(output) = &node.common.output {
            check_state(output, &mut decoder.findings);
        }
        if let Some(first) = nodes[..i].iter().find(|n| same_name(n.id(), node.id())) {
            let line = first.common.id.place.line;
            let message = format!("two nodes are called `{}`; the other one stands on line {line}", node.id());
            decoder.mistake(node.common.id.place, message);
        }
    }
}
