//! Plain text for the terminal.

use std::fmt::Write as _;

use super::graph::{Drawing, Level};

/// The drawing.
pub(super) fn draw(drawing: &Drawing) -> String {
    let mut out = format!("{}\n", drawing.name);
    if !drawing.description.is_empty() {
        let _ = writeln!(out, "  {}", drawing.description);
    }
    out.push('\n');
    level(&drawing.level, "", &mut out);
    out
}

fn level(drawn: &Level, pad: &str, out: &mut String) {
    let width = drawn.boxes.iter().map(|b| b.name.chars().count()).max().unwrap_or_default();
    for (i, node) in drawn.boxes.iter().enumerate() {
        let mark = if drawn.entries.contains(&i) { "●" } else { "○" };
        let _ = writeln!(out, "{pad}{mark} {:<width$}  {}", node.name, node.kind);
        if let Some(inside) = &node.inside {
            level(inside, &format!("{pad}│   "), out);
        }
        for (n, way) in node.ways.iter().enumerate() {
            let corner = if n + 1 == node.ways.len() { "└" } else { "├" };
            let arrow = if way.is_failure { "┄>" } else { "─>" };
            let label = way.label.as_ref().map_or(String::new(), |l| format!(" {l}:"));
            let back = if way.to.is_some_and(|to| to <= i) { "  (back)" } else { "" };
            let to = way.to.map_or("end", |to| drawn.boxes[to].name.as_str());
            let _ = writeln!(out, "{pad}{corner}{arrow}{label} {to}{back}");
        }
    }
}
