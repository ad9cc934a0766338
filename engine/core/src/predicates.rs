//! Tests as functions of one value (rules.md, "Operators of a test").
//!
//! What an operator does not compare is false, never an error.

use std::collections::HashSet;
use std::sync::Arc;

use crate::value::{Key, Malformed, Path, Value};

/// What the host gives: compiled regular expressions, and the one reading of dates that all of the product has.
pub trait Host {
    fn regex(&self, pattern: &str) -> Result<Regex, Malformed>;
    /// Unix milliseconds of an RFC 3339 date or date-time; None where the text is neither.
    fn date_ms(&self, text: &str) -> Option<i64>;
}

/// Whether a pattern is found in a text.
pub type Regex = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Where a test finds its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    Property,
    Context,
    Trait,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bound {
    Eq,
    Ne,
    Gt,
    Gte,
    Lt,
    Lte,
}

impl Bound {
    pub fn parse(text: &str) -> Option<Bound> {
        Some(match text {
            "eq" => Bound::Eq,
            "ne" => Bound::Ne,
            "gt" => Bound::Gt,
            "gte" => Bound::Gte,
            "lt" => Bound::Lt,
            "lte" => Bound::Lte,
            _ => return None,
        })
    }

    pub fn holds<T: PartialOrd + ?Sized>(self, found: &T, bound: &T) -> bool {
        match self {
            Bound::Eq => found == bound,
            Bound::Ne => found != bound,
            Bound::Gt => found > bound,
            Bound::Gte => found >= bound,
            Bound::Lt => found < bound,
            Bound::Lte => found <= bound,
        }
    }
}

/// A test of one value found by a path. `name` is its canonical text, by which equal tests are known.
pub struct Test {
    pub name: Box<str>,
    pub of: Source,
    pub path: Path,
    pub op: Op,
}

pub enum Op {
    Exists,
    Absent,
    Equal { value: Value, negated: bool },
    OneOf { keys: HashSet<Key>, deep: Vec<Value>, negated: bool },
    Number(Bound, f64),
    Text(Bound, Box<str>),
    Contains(Value),
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Matches(Regex),
    Before(i64),
    After(i64),
    WithinLast(i64),
    WithinNext(i64),
}

impl Op {
    /// Whether time alone may turn it.
    pub fn time_driven(&self) -> bool {
        matches!(self, Op::WithinLast(_) | Op::WithinNext(_))
    }

    /// Whether it holds of a value, None for a missing one, at an instant in Unix ms.
    pub fn holds(&self, host: &dyn Host, found: Option<&Value>, now_ms: i64) -> bool {
        let Some(found) = found else {
            return match self {
                Op::Absent => true,
                Op::Equal { value, negated } => !negated && *value == Value::Null,
                _ => false,
            };
        };
        match self {
            Op::Exists => true,
            Op::Absent => false,
            Op::Equal { value, negated } => found.same(value) != *negated,
            Op::OneOf { keys, deep, negated } => one_of(found, keys, deep) != *negated,
            Op::Number(bound, value) => found.number().is_some_and(|number| bound.holds(&number, value)),
            Op::Text(bound, value) => found.as_text().is_some_and(|text| bound.holds(text, &**value)),
            Op::Contains(value) => match found {
                Value::Text(text) => value.as_text().is_some_and(|part| text.contains(part)),
                Value::List(items) => items.iter().any(|item| item.same(value)),
                _ => false,
            },
            Op::StartsWith(value) => found.as_text().is_some_and(|text| text.starts_with(&**value)),
            Op::EndsWith(value) => found.as_text().is_some_and(|text| text.ends_with(&**value)),
            Op::Matches(regex) => found.as_text().is_some_and(|text| regex(text)),
            Op::Before(bound) => date_ms(host, found).is_some_and(|date_ms| date_ms < *bound),
            Op::After(bound) => date_ms(host, found).is_some_and(|date_ms| date_ms > *bound),
            Op::WithinLast(length_ms) => {
                date_ms(host, found).is_some_and(|date_ms| now_ms - length_ms <= date_ms && date_ms <= now_ms)
            }
            Op::WithinNext(length_ms) => {
                date_ms(host, found).is_some_and(|date_ms| now_ms <= date_ms && date_ms <= now_ms + length_ms)
            }
        }
    }

    /// The first instant after `now_ms` at which time alone changes it; None where none does.
    pub fn next_flip_ms(&self, host: &dyn Host, found: Option<&Value>, now_ms: i64) -> Option<i64> {
        // Both ends of [T-D, T] and of [T, T+D] are included, so a date leaves one millisecond after the last instant.
        let found_ms = date_ms(host, found?)?;
        let instants = match self {
            Op::WithinLast(length_ms) => [found_ms, found_ms + length_ms + 1],
            Op::WithinNext(length_ms) => [found_ms - length_ms, found_ms + 1],
            _ => return None,
        };
        instants.into_iter().find(|instant| *instant > now_ms)
    }
}

fn date_ms(host: &dyn Host, found: &Value) -> Option<i64> {
    host.date_ms(found.as_text()?)
}

fn one_of(found: &Value, keys: &HashSet<Key>, deep: &[Value]) -> bool {
    match found.key() {
        Some(key) => keys.contains(&key),
        None => deep.iter().any(|value| found.same(value)),
    }
}
