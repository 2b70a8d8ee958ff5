//! `aggregate`: one value of a list.

use serde_json::{Number, Value};

use super::{Result, TransformError};
use crate::expr::{Expr, Kind};

/// What is made of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// The sum of numbers; 0 of none.
    Sum,
    /// The mean of numbers.
    Average,
    /// The least number or text.
    Min,
    /// The greatest number or text.
    Max,
    /// How many items there are.
    Count,
    /// The first item.
    First,
    /// The last item.
    Last,
    /// The texts, each on its own line.
    Concat,
    /// All of them as a list.
    Collect,
}

impl Aggregate {
    /// The result. `input` names the list in messages.
    pub(super) fn of(self, values: Vec<Value>, input: &Expr) -> Result<Value> {
        let none = || TransformError(format!("`{input}` is empty, so there is nothing to take"));
        match self {
            Self::Count => Ok(Value::from(values.len())),
            Self::Collect => Ok(Value::Array(values)),
            Self::First => values.into_iter().next().ok_or_else(none),
            Self::Last => values.into_iter().next_back().ok_or_else(none),
            Self::Concat => {
                let texts: Vec<String> = values.iter().map(crate::template::as_text).collect();
                Ok(Value::String(texts.join("\n")))
            }
            Self::Sum => sum(&numbers(&values, input)?, input),
            Self::Average => {
                let numbers = numbers(&values, input)?;
                let total: f64 = numbers.iter().filter_map(Number::as_f64).sum();
                if numbers.is_empty() {
                    return Err(none());
                }
                #[expect(clippy::cast_precision_loss, reason = "a list of 2^53 items fits no memory")]
                float(total / numbers.len() as f64, input)
            }
            Self::Min | Self::Max => self.extreme(values, input)?.ok_or_else(none),
        }
    }

    fn extreme(self, values: Vec<Value>, input: &Expr) -> Result<Option<Value>> {
        let mut best: Option<Value> = None;
        for (i, value) in values.into_iter().enumerate() {
            let Some(current) = &best else {
                best = Some(value);
                continue;
            };
            let order = match (current, &value) {
                (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
                (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
                _ => None,
            };
            let Some(order) = order else {
                let (a, b) = (Kind::of(current), Kind::of(&value));
                return Err(TransformError(format!("`{input}[{i}]` is {b}, which cannot be compared with {a}")));
            };
            let better = if self == Self::Min { order.is_gt() } else { order.is_lt() };
            if better {
                best = Some(value);
            }
        }
        Ok(best)
    }
}

fn numbers(values: &[Value], input: &Expr) -> Result<Vec<Number>> {
    let number = |(i, value): (usize, &Value)| match value {
        Value::Number(n) => Ok(n.clone()),
        other => Err(TransformError(format!("`{input}[{i}]` is {}, not a number", Kind::of(other)))),
    };
    values.iter().enumerate().map(number).collect()
}

fn sum(numbers: &[Number], input: &Expr) -> Result<Value> {
    let whole: Option<i64> = numbers.iter().try_fold(0_i64, |sum, n| sum.checked_add(n.as_i64()?));
    match whole {
        Some(sum) => Ok(Value::from(sum)),
        None => float(numbers.iter().filter_map(Number::as_f64).sum(), input),
    }
}

fn float(number: f64, input: &Expr) -> Result<Value> {
    let fail = || TransformError(format!("the numbers of `{input}` are too large"));
    Number::from_f64(number).map(Value::Number).ok_or_else(fail)
}
