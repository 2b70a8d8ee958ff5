//! Finds what a template puts in, so that `{name}` and `${NAME}` work beside minijinja's own signs.

use std::collections::BTreeSet;

use super::environment::{Environment, Reference, reference};
use super::{Part, TemplateError};
use crate::expr::Expr;

/// A template in pieces.
pub(super) struct Scanned {
    pieces: Vec<Piece>,
    /// Environment variables that are not set.
    pub(super) missing: BTreeSet<String>,
}

enum Piece {
    Text(String),
    /// A value of the environment; never read as a template again.
    Environment(String),
    /// `{path}` or `{{ path }}`.
    Path(Expr),
    /// Anything else that minijinja reads, as it stands.
    Code(String),
}

/// Splits a template.
pub(super) fn scan(text: &str, environment: &Environment) -> Result<Scanned, TemplateError> {
    let mut scanned = Scanned { pieces: Vec::new(), missing: BTreeSet::new() };
    let mut rest = text;
    while let Some(at) = rest.find(['{', '$']) {
        scanned.text(&rest[..at]);
        rest = &rest[at..];
        let length = scanned.sign(rest, environment)?;
        rest = &rest[length..];
    }
    scanned.text(rest);
    Ok(scanned)
}

impl Scanned {
    /// Takes what starts with `{` or `$`; answers how much it took.
    fn sign(&mut self, rest: &str, environment: &Environment) -> Result<usize, TemplateError> {
        if let Some((found, length)) = reference(rest, environment) {
            match found {
                Reference::Set(value) => self.pieces.push(Piece::Environment(value)),
                Reference::Missing(name) => {
                    self.missing.insert(name.to_owned());
                }
            }
            return Ok(length);
        }
        for (open, close) in [("{{", "}}"), ("{%", "%}"), ("{#", "#}")] {
            if rest.starts_with(open) {
                return self.code(rest, open, close);
            }
        }
        if let Some(path) = braced(rest) {
            self.pieces.push(Piece::Path(path.0));
            return Ok(path.1);
        }
        self.text(&rest[..1]);
        Ok(1)
    }

    fn code(&mut self, rest: &str, open: &str, close: &str) -> Result<usize, TemplateError> {
        let Some(end) = closing(&rest[2..], close) else {
            return Err(TemplateError(format!("`{open}` without its `{close}`")));
        };
        let end = end + 4;
        let inner = rest[2..end - 2].trim_matches('-').trim();
        if open == "{%" && inner == "raw" {
            let after = rest[end..].find("endraw").and_then(|at| Some(end + at + rest[end + at..].find("%}")? + 2));
            let Some(end) = after else { return Err(TemplateError("`{% raw %}` without its `{% endraw %}`".into())) };
            self.pieces.push(Piece::Code(rest[..end].to_owned()));
            return Ok(end);
        }
        let plain = open == "{{" && !rest[2..].starts_with('-') && !rest[..end - 2].ends_with('-');
        match if plain { path(inner) } else { None } {
            Some(path) => self.pieces.push(Piece::Path(path)),
            None => self.pieces.push(Piece::Code(rest[..end].to_owned())),
        }
        Ok(end)
    }

    fn text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ if text.is_empty() => {}
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    /// The parts, where minijinja is not needed.
    pub(super) fn parts(&self) -> Option<Vec<Part>> {
        let part = |piece: &Piece| match piece {
            Piece::Text(text) | Piece::Environment(text) => Some(Part::Text(text.clone())),
            Piece::Path(path) => Some(Part::Path(path.clone())),
            Piece::Code(_) => None,
        };
        self.pieces.iter().map(part).collect()
    }

    /// The source for minijinja, and the values that it reads as `_env[i]`.
    pub(super) fn source(&self) -> (String, Vec<String>) {
        let (mut source, mut environment) = (String::new(), Vec::new());
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) | Piece::Code(text) => source.push_str(text),
                Piece::Path(path) => source.push_str(&format!("{{{{ {path} }}}}")),
                Piece::Environment(value) => {
                    source.push_str(&format!("{{{{ _env[{}] }}}}", environment.len()));
                    environment.push(value.clone());
                }
            }
        }
        (source, environment)
    }
}

/// `{name}`, `{name.field[0]}`; anything else in braces is text, such as JSON.
fn braced(rest: &str) -> Option<(Expr, usize)> {
    let end = rest.find('}')?;
    let inner = &rest[1..end];
    let starts = |c: char| c.is_alphabetic() || c == '_';
    let name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']');
    if inner.len() > 256 || !inner.starts_with(starts) || !inner.chars().all(name) {
        return None;
    }
    path(&inner.replace('-', "_")).map(|path| (path, end + 1))
}

/// A name or path and nothing else.
fn path(text: &str) -> Option<Expr> {
    Expr::parse(text).ok().filter(Expr::is_path)
}

/// Where code ends; a closing sign in a text of the code does not count.
fn closing(code: &str, close: &str) -> Option<usize> {
    let mut quote = None;
    let mut chars = code.char_indices();
    while let Some((i, c)) = chars.next() {
        match quote {
            Some(_) if c == '\\' => {
                chars.next();
            }
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if code[i..].starts_with(close) => return Some(i),
            None if matches!(c, '\'' | '"') && close != "#}" => quote = Some(c),
            None => {}
        }
    }
    None
}
