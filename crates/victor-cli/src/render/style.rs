//! Colours and weights, and the escape sequences for them.

use std::fmt::Write as _;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent attributes of a terminal's cell")]
pub(crate) struct Style {
    pub(crate) bold: bool,
    pub(crate) dim: bool,
    pub(crate) italic: bool,
    pub(crate) underline: bool,
    pub(crate) strike: bool,
    pub(crate) color: Option<Color>,
}

/// The colours that are used: those of the terminal's own palette, so that they fit light and dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Color {
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
}

impl Style {
    pub(crate) const DIM: Self = Self { dim: true, ..Self::PLAIN };
    pub(crate) const BOLD: Self = Self { bold: true, ..Self::PLAIN };
    pub(crate) const PLAIN: Self =
        Self { bold: false, dim: false, italic: false, underline: false, strike: false, color: None };

    /// Plain text of this colour.
    pub(crate) const fn color(color: Color) -> Self {
        Self { color: Some(color), ..Self::PLAIN }
    }
}

/// Whether and how styles are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// With escape sequences.
    pub(crate) const fn on() -> Self {
        Self { on: true }
    }

    /// Plain text.
    pub(crate) const fn off() -> Self {
        Self { on: false }
    }

    /// The text in this style.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        if !self.on || style == Style::PLAIN || text.is_empty() {
            return text.to_owned();
        }
        let mut codes = String::new();
        let flags = [(style.bold, 1), (style.dim, 2), (style.italic, 3), (style.underline, 4), (style.strike, 9)];
        for (_, code) in flags.into_iter().filter(|(set, _)| *set) {
            let _ = write!(codes, "{code};");
        }
        if let Some(color) = style.color {
            let code = match color {
                Color::Red => 31,
                Color::Green => 32,
                Color::Yellow => 33,
                Color::Blue => 34,
                Color::Magenta => 35,
                Color::Cyan => 36,
            };
            let _ = write!(codes, "{code};");
        }
        format!("\x1b[{}m{text}\x1b[0m", codes.trim_end_matches(';'))
    }

    /// Faint text.
    pub(crate) fn dim(self, text: &str) -> String {
        self.paint(Style::DIM, text)
    }

    /// Bold text.
    pub(crate) fn bold(self, text: &str) -> String {
        self.paint(Style::BOLD, text)
    }
}
