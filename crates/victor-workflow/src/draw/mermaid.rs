//! Mermaid.

use std::fmt::Write as _;

use super::graph::{Box, Drawing, Level};
use super::id;

/// The drawing.
pub(super) fn draw(drawing: &Drawing) -> String {
    let mut out = String::from("flowchart TD\n  _start((start))\n");
    level(&drawing.level, "", 1, &mut out);
    for entry in &drawing.level.entries {
        let _ = writeln!(out, "  _start --> {}", id("", &drawing.level.boxes[*entry].name));
    }
    if drawing.level.boxes.iter().any(|b| b.ways.iter().any(|w| w.to.is_none())) {
        out.push_str("  _end((end))\n");
    }
    out
}

fn level(drawn: &Level, prefix: &str, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    for node in &drawn.boxes {
        let own = id(prefix, &node.name);
        let label = quoted(&format!("{} ({})", node.name, node.kind));
        if let Some(inside) = &node.inside {
            let _ = writeln!(out, "{pad}subgraph {own} [\"{label}\"]");
            level(inside, &format!("{own}__"), depth + 1, out);
            let _ = writeln!(out, "{pad}end");
        } else {
            let (open, close) = frame(node);
            let _ = writeln!(out, "{pad}{own}{open}\"{label}\"{close}");
        }
    }
    for node in &drawn.boxes {
        for way in &node.ways {
            let to = match way.to {
                Some(to) => id(prefix, &drawn.boxes[to].name),
                // A path in a box ends with the box.
                None if prefix.is_empty() => "_end".to_owned(),
                None => continue,
            };
            let arrow = if way.is_failure { "-.->" } else { "-->" };
            let label = way.label.as_ref().map_or(String::new(), |l| format!("|\"{}\"|", quoted(l)));
            let _ = writeln!(out, "{pad}{} {arrow}{label} {to}", id(prefix, &node.name));
        }
    }
}

fn frame(node: &Box) -> (&'static str, &'static str) {
    match node.kind.as_str() {
        "condition" => ("{", "}"),
        "hitl" => ("[/", "/]"),
        "passthrough" => ("(", ")"),
        _ => ("[", "]"),
    }
}

fn quoted(text: &str) -> String {
    text.replace('"', "#quot;").replace('\n', " ")
}
