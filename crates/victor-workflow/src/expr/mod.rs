//! Conditions: a small typed language over a workflow's state, such as `score > 0.8 and status == 'ready'`.
//!
//! Nothing is converted: comparing different kinds, a name that is not there, or a result of the wrong kind is an error.

mod eval;
mod lex;
mod parse;
mod scope;
#[cfg(test)]
mod tests;

pub use eval::{EvalError, Kind};
pub use scope::{Scope, same_name};

use std::collections::BTreeSet;

use serde_json::Value;

/// The longest expression, in bytes.
pub const MAX_LENGTH: usize = 4_096;
/// The most names, values and signs in an expression.
pub const MAX_TOKENS: usize = 512;
/// How deep parentheses, lists and signs may stand in each other.
pub const MAX_DEPTH: usize = 64;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    text: String,
    root: Term,
}

/// What is wrong with an expression's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// What, and what would be right.
    pub message: String,
    /// The character at which it was noticed, counted from 0.
    pub at: usize,
}

/// A part of an expression.
#[derive(Clone, Debug, PartialEq)]
enum Term {
    Literal(Value),
    List(Vec<Term>),
    Name(String),
    Field(Box<Term>, String),
    Index(Box<Term>, Box<Term>),
    Not(Box<Term>),
    Negative(Box<Term>),
    Both(Box<Term>, Box<Term>),
    Either(Box<Term>, Box<Term>),
    Compare(Comparison, Box<Term>, Box<Term>),
    Calculate(Operation, Box<Term>, Box<Term>),
    Length(Box<Term>),
    Defined(Box<Term>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Expr {
    /// Reads an expression. One that stands in `{{ .. }}` is taken without the braces.
    ///
    /// # Errors
    /// The text is no expression, or is longer or deeper than is allowed.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let bare = text.trim();
        let bare = bare.strip_prefix("{{").and_then(|t| t.strip_suffix("}}")).unwrap_or(bare).trim();
        let root = parse::parse(bare)?;
        Ok(Self { text: bare.to_owned(), root })
    }

    /// The text that it was read from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its value.
    ///
    /// # Errors
    /// A name is not there, or kinds do not fit.
    pub fn value(&self, scope: &dyn Scope) -> Result<Value, EvalError> {
        eval::value(&self.root, scope).map(std::borrow::Cow::into_owned)
    }

    /// Its value, which must be a boolean.
    ///
    /// # Errors
    /// As [`Self::value`]; or the value is of another kind.
    pub fn is_true(&self, scope: &dyn Scope) -> Result<bool, EvalError> {
        eval::boolean(&self.root, scope)
    }

    /// The names of the state that it reads, without those that it only asks after with `defined(..)`.
    #[must_use]
    pub fn variables(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.root.collect(&mut names);
        names
    }

    /// Whether it is a name or path and nothing else.
    #[must_use]
    pub fn is_path(&self) -> bool {
        let mut term = &self.root;
        loop {
            term = match term {
                Term::Name(_) => return true,
                Term::Field(inner, _) => inner,
                Term::Index(inner, index) if matches!(**index, Term::Literal(_) | Term::Negative(_)) => inner,
                _ => return false,
            };
        }
    }

    /// The kind of its value where that can be told without running it.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        match &self.root {
            Term::Literal(value) => Some(Kind::of(value)),
            Term::List(_) => Some(Kind::List),
            Term::Not(_) | Term::Both(..) | Term::Either(..) | Term::Compare(..) | Term::Defined(_) => {
                Some(Kind::Boolean)
            }
            Term::Negative(_) | Term::Calculate(..) | Term::Length(_) => Some(Kind::Number),
            Term::Name(_) | Term::Field(..) | Term::Index(..) => None,
        }
    }
}

impl std::fmt::Display for Expr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Term {
    fn collect(&self, names: &mut BTreeSet<String>) {
        match self {
            Self::Literal(_) | Self::Defined(_) => {}
            Self::Name(name) => {
                names.insert(name.clone());
            }
            Self::List(items) => items.iter().for_each(|i| i.collect(names)),
            Self::Field(a, _) | Self::Not(a) | Self::Negative(a) | Self::Length(a) => a.collect(names),
            Self::Index(a, b)
            | Self::Both(a, b)
            | Self::Either(a, b)
            | Self::Compare(_, a, b)
            | Self::Calculate(_, a, b) => {
                a.collect(names);
                b.collect(names);
            }
        }
    }
}
