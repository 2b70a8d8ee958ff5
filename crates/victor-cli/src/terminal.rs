//! What the program is connected to: terminals or pipes, their width, and whether colours are wanted.

use std::io::{self, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::args::ColorWhen;
use crate::render::style::{Paint, Style};
use crate::render::wrap::{Span, wrap};

/// Columns where the width is not known.
const DEFAULT_WIDTH: usize = 80;

/// What the three standard streams are connected to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    /// Whether a person types on stdin.
    pub(crate) stdin: bool,
    /// Whether stdout is a terminal.
    pub(crate) stdout: bool,
    /// Whether stderr is a terminal.
    pub(crate) stderr: bool,
    /// Colours on stdout.
    pub(crate) paint: Paint,
    /// Colours on stderr.
    pub(crate) paint_err: Paint,
}

impl Terminal {
    /// Looks at the streams. `plain` says that the environment asks for no colours (NO_COLOR, `TERM=dumb`).
    pub(crate) fn detect(color: Option<ColorWhen>, plain: bool) -> Self {
        let (stdout, stderr) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let colors = |terminal: bool| match color.unwrap_or(ColorWhen::Auto) {
            ColorWhen::Always => Paint::on(),
            ColorWhen::Never => Paint::off(),
            ColorWhen::Auto if terminal && !plain => Paint::on(),
            ColorWhen::Auto => Paint::off(),
        };
        let stdin = io::stdin().is_terminal();
        Self { stdin, stdout, stderr, paint: colors(stdout), paint_err: colors(stderr) }
    }

    /// Whether somebody can be asked: there is a keyboard, and a screen for the question.
    pub(crate) fn can_ask(&self) -> bool {
        self.stdin && self.stderr
    }

    /// Whether lines can be edited: the editor needs all three streams to itself.
    pub(crate) fn can_edit(&self) -> bool {
        self.stdin && self.stdout && self.stderr
    }

    /// The terminal's columns; 80 where there is none.
    pub(crate) fn width() -> usize {
        let size = rustix::termios::tcgetwinsize(io::stdout()).or_else(|_| rustix::termios::tcgetwinsize(io::stderr()));
        match size {
            Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
            _ => DEFAULT_WIDTH,
        }
    }
}

/// Writes a line to stderr. Nobody is there to be told if that fails.
pub(crate) fn note(line: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", line.as_ref());
}

/// Writes faint text to stderr, wrapped to the terminal's width where there is one.
pub(crate) fn faint(terminal: &Terminal, text: &str) {
    tell(terminal, &[Span::new(text, Style::DIM)]);
}

/// Writes text to stderr, wrapped to the terminal's width where there is one.
pub(crate) fn tell(terminal: &Terminal, spans: &[Span]) {
    let spans: Vec<Span> = spans.iter().map(|s| Span::new(harmless(&s.text), s.style)).collect();
    let width = if terminal.stderr { Terminal::width() } else { usize::MAX };
    wrap(&spans, width, terminal.paint_err).iter().for_each(note);
}

/// Keeps what is typed from being shown while something else is written. It is still there for whoever reads it next.
pub(crate) struct NoEcho(Option<Termios>);

impl NoEcho {
    /// From now on until it is dropped; nothing where stdin is no terminal.
    pub(crate) fn new(terminal: &Terminal) -> Self {
        let before = terminal.stdin.then(|| tcgetattr(io::stdin()).ok()).flatten();
        if let Some(before) = &before {
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &quiet);
        }
        Self(before)
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Writes a line to stdout.
pub(crate) fn line(line: impl AsRef<str>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", line.as_ref())?;
    out.flush()
}

/// Writes bytes to stdout as they are.
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Writes a value to stdout as indented JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
    line(text)
}

/// The text without what a terminal would obey: escape and other control characters, tabs as spaces.
pub(crate) fn harmless(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => clean.push(c),
            '\t' => clean.push_str("    "),
            // Bidirectional overrides make shown text differ from what runs.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => clean.push('\u{fffd}'),
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    clean
}

/// As [`harmless`], in one line.
pub(crate) fn harmless_line(text: &str) -> String {
    harmless(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\x1b]0;title\x07b\x1b[2Jc\u{9b}31m\r"), "a]0;titleb[2Jc31m");
        assert_eq!(harmless_line("rm \u{202e}x\n\ty"), "rm \u{fffd}x y");
    }
}
