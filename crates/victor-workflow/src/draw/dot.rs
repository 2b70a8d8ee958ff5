//! Graphviz.

use std::fmt::Write as _;

use super::graph::{Drawing, Level};
use super::id;

/// The drawing.
pub(super) fn draw(drawing: &Drawing) -> String {
    let mut out = format!(
        "digraph {} {{\n  node [shape=box];\n  _start [shape=circle, label=\"start\"];\n",
        quoted(&drawing.name)
    );
    level(&drawing.level, "", 1, &mut out);
    for entry in &drawing.level.entries {
        let _ = writeln!(out, "  _start -> {};", id("", &drawing.level.boxes[*entry].name));
    }
    if drawing.level.boxes.iter().any(|b| b.ways.iter().any(|w| w.to.is_none())) {
        out.push_str("  _end [shape=circle, label=\"end\"];\n");
    }
    out.push_str("}\n");
    out
}

fn level(drawn: &Level, prefix: &str, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    for node in &drawn.boxes {
        let own = id(prefix, &node.name);
        let label = quoted(&format!("{} ({})", node.name, node.kind));
        if let Some(inside) = &node.inside {
            let _ = writeln!(out, "{pad}subgraph cluster_{own} {{\n{pad}  label={label};");
            // An edge cannot lead to a cluster, so a point in it stands for it.
            let _ = writeln!(out, "{pad}  {own} [shape=point, label=\"\"];");
            level(inside, &format!("{own}__"), depth + 1, out);
            let _ = writeln!(out, "{pad}}}");
        } else {
            let shape = match node.kind.as_str() {
                "condition" => "diamond",
                "hitl" => "parallelogram",
                _ => "box",
            };
            let _ = writeln!(out, "{pad}{own} [label={label}, shape={shape}];");
        }
    }
    for node in &drawn.boxes {
        for way in &node.ways {
            let to = match way.to {
                Some(to) => id(prefix, &drawn.boxes[to].name),
                None if prefix.is_empty() => "_end".to_owned(),
                None => continue,
            };
            let style = if way.is_failure { ", style=dashed" } else { "" };
            let label = quoted(way.label.as_deref().unwrap_or_default());
            let _ = writeln!(out, "{pad}{} -> {to} [label={label}{style}];", id(prefix, &node.name));
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
