//! Evaluation, strict about kinds.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Number, Value};
use victor_core::error::nearest;

use super::{Comparison, Operation, Scope, Term, same_name};

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EvalError(pub String);

/// What kind of value a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list.
    List,
    /// Names with values.
    Mapping,
}

impl Kind {
    /// The kind of a value.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Mapping,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::List => "a list",
            Self::Mapping => "a mapping",
        })
    }
}

type Result<T> = std::result::Result<T, EvalError>;

/// The value of a term.
pub(super) fn value<'a>(term: &'a Term, scope: &'a dyn Scope) -> Result<Cow<'a, Value>> {
    Ok(match term {
        Term::Literal(value) => Cow::Borrowed(value),
        Term::List(items) => {
            let items = items.iter().map(|i| value(i, scope).map(Cow::into_owned));
            Cow::Owned(Value::Array(items.collect::<Result<_>>()?))
        }
        Term::Name(name) => scope.get(name).ok_or_else(|| undefined(name, &scope.names()))?,
        Term::Field(inner, name) => field(value(inner, scope)?, name, inner)?,
        Term::Index(inner, index) => {
            let index = value(index, scope)?;
            item(value(inner, scope)?, &index, inner)?
        }
        Term::Negative(inner) => {
            let zero = Value::from(0);
            Cow::Owned(calculate(Operation::Subtract, &zero, &*value(inner, scope)?)?)
        }
        Term::Calculate(operation, left, right) => {
            Cow::Owned(calculate(*operation, &*value(left, scope)?, &*value(right, scope)?)?)
        }
        Term::Length(inner) => Cow::Owned(Value::from(length(&*value(inner, scope)?)?)),
        Term::Not(_) | Term::Both(..) | Term::Either(..) | Term::Compare(..) | Term::Defined(_) => {
            Cow::Owned(Value::Bool(boolean(term, scope)?))
        }
    })
}

/// The value of a term, which must be a boolean.
pub(super) fn boolean(term: &Term, scope: &dyn Scope) -> Result<bool> {
    match term {
        Term::Not(inner) => boolean(inner, scope).map(|b| !b),
        Term::Both(left, right) => Ok(boolean(left, scope)? && boolean(right, scope)?),
        Term::Either(left, right) => Ok(boolean(left, scope)? || boolean(right, scope)?),
        Term::Compare(comparison, left, right) => {
            let (a, b) = (value(left, scope)?, value(right, scope)?);
            compare(*comparison, (left, &a), (right, &b))
        }
        Term::Defined(path) => Ok(value(path, scope).is_ok_and(|v| !v.is_null())),
        other => match &*value(other, scope)? {
            Value::Bool(b) => Ok(*b),
            wrong => Err(EvalError(format!("{} is not a boolean", told(other, wrong)))),
        },
    }
}

type Side<'a> = (&'a Term, &'a Value);

fn compare(comparison: Comparison, left: Side<'_>, right: Side<'_>) -> Result<bool> {
    Ok(match comparison {
        Comparison::Equal => equal(left, right)?,
        Comparison::Unequal => !equal(left, right)?,
        Comparison::Less => order(left, right)? == Ordering::Less,
        Comparison::LessOrEqual => order(left, right)? != Ordering::Greater,
        Comparison::Greater => order(left, right)? == Ordering::Greater,
        Comparison::GreaterOrEqual => order(left, right)? != Ordering::Less,
        Comparison::In => contains(left, right)?,
        Comparison::NotIn => !contains(left, right)?,
    })
}

/// `null` may be asked for; other kinds only equal their own.
fn equal(left: Side<'_>, right: Side<'_>) -> Result<bool> {
    match (left.1, right.1) {
        (Value::Null, other) | (other, Value::Null) => Ok(other.is_null()),
        (Value::Number(a), Value::Number(b)) => Ok(numbers(a, b) == Some(Ordering::Equal)),
        (a, b) if Kind::of(a) == Kind::of(b) => Ok(a == b),
        _ => Err(unlike(left, right)),
    }
}

fn order(left: Side<'_>, right: Side<'_>) -> Result<Ordering> {
    match (left.1, right.1) {
        (Value::Number(a), Value::Number(b)) => numbers(a, b).ok_or_else(|| unlike(left, right)),
        (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
        _ => Err(unlike(left, right)),
    }
}

fn contains(left: Side<'_>, right: Side<'_>) -> Result<bool> {
    match (left.1, right.1) {
        (_, Value::Array(items)) => {
            for item in items {
                if equal(left, (right.0, item))? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (Value::String(part), Value::String(whole)) => Ok(whole.contains(part.as_str())),
        (Value::String(name), Value::Object(map)) => Ok(map.contains_key(name)),
        _ => Err(EvalError(format!("{} cannot be `in` {}", told(left.0, left.1), told(right.0, right.1)))),
    }
}

fn unlike(left: Side<'_>, right: Side<'_>) -> EvalError {
    let hint = match (left.1, right.1) {
        (Value::String(text), Value::Number(_)) | (Value::Number(_), Value::String(text))
            if text.trim().parse::<f64>().is_ok() =>
        {
            "; the text is not taken for a number"
        }
        _ => "",
    };
    EvalError(format!("{} cannot be compared with {}{hint}", told(left.0, left.1), told(right.0, right.1)))
}

fn numbers(a: &Number, b: &Number) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (integer(a), integer(b)) {
        return Some(a.cmp(&b));
    }
    a.as_f64()?.partial_cmp(&b.as_f64()?)
}

fn integer(n: &Number) -> Option<i128> {
    n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from))
}

fn calculate(operation: Operation, left: &Value, right: &Value) -> Result<Value> {
    let (Value::Number(a), Value::Number(b)) = (left, right) else {
        return Err(EvalError(format!(
            "only numbers can be calculated with, not {} and {}",
            shown(left),
            shown(right)
        )));
    };
    if let (Some(a), Some(b)) = (integer(a), integer(b)) {
        let result = match operation {
            Operation::Add => a.checked_add(b),
            Operation::Subtract => a.checked_sub(b),
            Operation::Multiply => a.checked_mul(b),
            Operation::Remainder => a.checked_rem(b),
            Operation::Divide => (b != 0 && a % b == 0).then(|| a / b),
        };
        if let Some(number) = result.and_then(|r| i64::try_from(r).ok()) {
            return Ok(Value::from(number));
        }
    }
    let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
    let result = match operation {
        Operation::Add => a + b,
        Operation::Subtract => a - b,
        Operation::Multiply => a * b,
        Operation::Divide => a / b,
        Operation::Remainder => a % b,
    };
    let fail = || EvalError(format!("{} and {} give no number (a division by zero?)", shown(left), shown(right)));
    Number::from_f64(result).map(Value::Number).ok_or_else(fail)
}

fn length(value: &Value) -> Result<usize> {
    match value {
        Value::String(s) => Ok(s.chars().count()),
        Value::Array(items) => Ok(items.len()),
        Value::Object(map) => Ok(map.len()),
        other => Err(EvalError(format!("{} has no length", shown(other)))),
    }
}

fn field<'a>(of: Cow<'a, Value>, name: &str, term: &Term) -> Result<Cow<'a, Value>> {
    let Value::Object(map) = &*of else {
        return Err(EvalError(format!("{} has no field `{name}`", told(term, &of))));
    };
    let Some(key) = key(map, name) else {
        let known: Vec<String> = map.keys().cloned().collect();
        return Err(EvalError(format!("`{term}` has no field `{name}`{}", hint(name, &known))));
    };
    Ok(match of {
        Cow::Borrowed(Value::Object(map)) => Cow::Borrowed(map.get(&key).unwrap_or(&Value::Null)),
        Cow::Borrowed(_) => Cow::Owned(Value::Null),
        Cow::Owned(mut whole) => Cow::Owned(whole.get_mut(&key).map(Value::take).unwrap_or_default()),
    })
}

fn key(map: &serde_json::Map<String, Value>, name: &str) -> Option<String> {
    if map.contains_key(name) {
        return Some(name.to_owned());
    }
    map.keys().find(|k| same_name(k, name)).cloned()
}

fn item<'a>(of: Cow<'a, Value>, index: &Value, term: &Term) -> Result<Cow<'a, Value>> {
    let index = match (&*of, index) {
        (Value::Object(_), Value::String(name)) => return field(of, name, term),
        (Value::Array(items), Value::Number(n)) => {
            let from_end =
                n.as_i64().filter(|n| *n < 0).and_then(|n| items.len().checked_add_signed(isize::try_from(n).ok()?));
            let at = from_end.or_else(|| n.as_u64().and_then(|n| usize::try_from(n).ok()));
            at.filter(|i| *i < items.len())
                .ok_or_else(|| EvalError(format!("`{term}` has {} items, and no [{n}]", items.len())))?
        }
        (whole, index) => return Err(EvalError(format!("{} has no item {}", told(term, whole), shown(index)))),
    };
    Ok(match of {
        Cow::Borrowed(Value::Array(items)) => Cow::Borrowed(items.get(index).unwrap_or(&Value::Null)),
        Cow::Borrowed(_) => Cow::Owned(Value::Null),
        Cow::Owned(mut whole) => Cow::Owned(whole.get_mut(index).map(Value::take).unwrap_or_default()),
    })
}

fn undefined(name: &str, known: &[String]) -> EvalError {
    EvalError(format!("`{name}` is not defined{}", hint(name, known)))
}

fn hint(name: &str, known: &[String]) -> String {
    match nearest(name, known.iter().map(String::as_str)) {
        near if near.is_empty() => String::new(),
        near => format!("; did you mean {}?", near.join(" or ")),
    }
}

/// A term with its value; a literal speaks for itself.
fn told(term: &Term, value: &Value) -> String {
    match term {
        Term::Literal(_) => format!("{} ({})", shown(value), Kind::of(value)),
        _ => format!("`{term}` = {} ({})", shown(value), Kind::of(value)),
    }
}

/// A value, cut to a length that fits a line.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}

impl std::fmt::Display for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Literal(value) => f.write_str(&shown(value)),
            Self::List(_) => f.write_str("[..]"),
            Self::Name(name) => f.write_str(name),
            Self::Field(inner, name) => write!(f, "{inner}.{name}"),
            Self::Index(inner, index) => write!(f, "{inner}[{index}]"),
            Self::Negative(inner) => write!(f, "-{inner}"),
            Self::Length(inner) => write!(f, "len({inner})"),
            Self::Defined(inner) => write!(f, "defined({inner})"),
            Self::Not(inner) => write!(f, "not {inner}"),
            Self::Calculate(operation, a, b) => write!(f, "{a} {} {b}", operation.sign()),
            Self::Both(a, b) => write!(f, "{a} and {b}"),
            Self::Either(a, b) => write!(f, "{a} or {b}"),
            Self::Compare(_, a, b) => write!(f, "{a} .. {b}"),
        }
    }
}

impl Operation {
    fn sign(self) -> char {
        match self {
            Self::Add => '+',
            Self::Subtract => '-',
            Self::Multiply => '*',
            Self::Divide => '/',
            Self::Remainder => '%',
        }
    }
}
