//! Drawings of a workflow: Mermaid, DOT, and plain text for the terminal.

mod dot;
mod graph;
mod mermaid;
#[cfg(test)]
mod tests;
mod text;

pub use graph::Drawing;

impl Drawing {
    /// In the language of Mermaid (`flowchart`).
    #[must_use]
    pub fn mermaid(&self) -> String {
        mermaid::draw(self)
    }

    /// In the language of Graphviz (`digraph`).
    #[must_use]
    pub fn dot(&self) -> String {
        dot::draw(self)
    }

    /// In plain text: the nodes in the order of the file, each with what it leads to.
    #[must_use]
    pub fn text(&self) -> String {
        text::draw(self)
    }
}

/// The name of a box among all of a drawing, of letters, digits and `_`; no language has such a word of its own.
fn id(prefix: &str, name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{prefix}n_{plain}")
}
