//! Checked rules as the host hands them over: JSON with the ids of what they measure already in it.
//!
//! The host parses and checks rules; what does not look like this is its mistake.

use std::collections::HashSet;
use std::fmt;

use crate::ids::apart;
use crate::leaves::{Condition, Measure};
use crate::predicates::{Bound, Host, Op, Source, Test};
use crate::sequences::Shape;
use crate::series::{ComputedKind, Family};
use crate::value::{Malformed, Path, Value};
use crate::windows::Window;

/// What was handed over is no specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecInvalid(pub String);

impl fmt::Display for SpecInvalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for SpecInvalid {}

impl From<Malformed> for SpecInvalid {
    fn from(error: Malformed) -> Self {
        SpecInvalid(error.0)
    }
}

/// A segment's definition.
pub struct SegmentSpec {
    pub key: Box<str>,
    pub version: i64,
    pub revision: i64,
    pub paused: bool,
    /// The number of the backfill that its new leaves wait for; 0: they have all there is.
    pub backfill: i64,
    /// The revision that it was made with; one of its key that was there before is another segment.
    pub born: i64,
    pub rule: Node,
}

/// A computed trait's definition.
pub struct ComputedSpec {
    pub key: Box<str>,
    pub revision: i64,
    pub kind: ComputedKind,
    pub measure: MeasureSpec,
}

pub enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Trait(TestSpec),
    Event(MeasureSpec, Condition),
    Sequence(SequenceSpec),
    Segment(Box<str>),
    List(Box<str>),
    Bucket { salt: Box<str>, first: u64, end: u64 },
}

/// Which events: their type, their name (None is any) and the tests that all must hold.
pub struct PatternSpec {
    pub trail: u64,
    /// The backfill that it is kept apart for; 0 for none.
    pub backfill: i64,
    pub kind: Box<str>,
    pub name: Option<Box<str>>,
    pub tests: Vec<TestSpec>,
}

/// A measure of matching events in a window (None: all time).
pub struct MeasureSpec {
    pub pattern: PatternSpec,
    pub series: u64,
    pub family: Family,
    pub path: Option<Path>,
    pub leaf: u64,
    pub within_ms: Option<i64>,
}

/// A sequence; the pattern of the absent step is the last.
pub struct SequenceSpec {
    pub id: u64,
    pub patterns: Vec<PatternSpec>,
    pub shape: Shape,
}

pub struct TestSpec {
    name: Box<str>,
    of: Source,
    path: Path,
    op: Box<str>,
    value: Value,
}

impl SegmentSpec {
    pub fn parse(json: &[u8]) -> Result<SegmentSpec, SpecInvalid> {
        let spec = Value::parse(json)?;
        let mut rule = node(field(&spec, "rule")?)?;
        let backfill = optional(&spec, "backfill")?.unwrap_or(0);
        if backfill != 0 {
            let new = list(&spec, "new_leaves")?.iter().map(id_of).collect::<Result<_, _>>()?;
            rule.keep_apart(backfill, &new);
        }
        Ok(SegmentSpec {
            key: text(&spec, "key")?,
            version: whole(&spec, "version")?,
            revision: whole(&spec, "revision")?,
            paused: *field(&spec, "paused")? == Value::Bool(true),
            backfill,
            born: whole(&spec, "born")?,
            rule,
        })
    }
}

impl Node {
    /// Gives what measures the new leaves ids of their own, for as long as a backfill is outstanding: what lacks its
    /// history is never mixed with what has it.
    fn keep_apart(&mut self, backfill: i64, new: &HashSet<u64>) {
        match self {
            Node::All(children) | Node::Any(children) => {
                children.iter_mut().for_each(|child| child.keep_apart(backfill, new));
            }
            Node::Not(child) => child.keep_apart(backfill, new),
            Node::Event(spec, _) if new.contains(&spec.leaf) => {
                spec.series = apart(spec.series, backfill);
                spec.leaf = apart(spec.leaf, backfill);
                spec.pattern.keep_apart(backfill);
            }
            Node::Sequence(spec) if new.contains(&spec.id) => {
                spec.id = apart(spec.id, backfill);
                spec.patterns.iter_mut().for_each(|pattern| pattern.keep_apart(backfill));
            }
            _ => {}
        }
    }
}

impl PatternSpec {
    fn keep_apart(&mut self, backfill: i64) {
        self.trail = apart(self.trail, backfill);
        self.backfill = backfill;
    }
}

impl ComputedSpec {
    pub fn parse(json: &[u8]) -> Result<ComputedSpec, SpecInvalid> {
        let spec = Value::parse(json)?;
        Ok(ComputedSpec {
            key: text(&spec, "key")?,
            revision: whole(&spec, "revision")?,
            kind: known(&spec, "kind", ComputedKind::parse)?,
            measure: measure(&spec)?,
        })
    }
}

impl TestSpec {
    pub fn compiled(&self, host: &dyn Host) -> Result<Test, SpecInvalid> {
        let op = self.compiled_op(host)?;
        Ok(Test { name: self.name.clone(), of: self.of, path: self.path.clone(), op })
    }

    fn compiled_op(&self, host: &dyn Host) -> Result<Op, SpecInvalid> {
        let value = &self.value;
        let wrong = || SpecInvalid(format!("{} cannot have the value {value:?}", self.op));
        let as_text = || value.as_text().map(Box::<str>::from).ok_or_else(wrong);
        let as_ms = || match value {
            Value::Int(number) => Ok(*number),
            _ => Err(wrong()),
        };
        Ok(match &*self.op {
            "exists" => Op::Exists,
            "absent" => Op::Absent,
            "eq" | "ne" => Op::Equal { value: value.clone(), negated: &*self.op == "ne" },
            "in" | "not_in" => {
                let Value::List(values) = value else { return Err(wrong()) };
                Op::OneOf {
                    keys: values.iter().filter_map(Value::key).collect(),
                    deep: values
                        .iter()
                        .filter(|each| matches!(each, Value::List(_) | Value::Map(_)))
                        .cloned()
                        .collect(),
                    negated: &*self.op == "not_in",
                }
            }
            "contains" => Op::Contains(value.clone()),
            "starts_with" => Op::StartsWith(as_text()?),
            "ends_with" => Op::EndsWith(as_text()?),
            "matches" => Op::Matches(host.regex(&as_text()?)?),
            "before" => Op::Before(as_ms()?),
            "after" => Op::After(as_ms()?),
            "within_last" => Op::WithinLast(as_ms()?),
            "within_next" => Op::WithinNext(as_ms()?),
            op => {
                let bound = Bound::parse(op).ok_or_else(|| SpecInvalid(format!("{op} is no operator")))?;
                match value.as_text() {
                    Some(text) => Op::Text(bound, text.into()),
                    None => Op::Number(bound, value.number().ok_or_else(wrong)?),
                }
            }
        })
    }
}

fn node(spec: &Value) -> Result<Node, SpecInvalid> {
    let kind = text(spec, "node")?;
    Ok(match &*kind {
        "all" => Node::All(nodes(spec)?),
        "any" => Node::Any(nodes(spec)?),
        "not" => Node::Not(Box::new(node(field(spec, "child")?)?)),
        "trait" => Node::Trait(test(field(spec, "test")?)?),
        "event" => {
            let bounds = list(spec, "bounds")?.iter().map(bound).collect::<Result<Vec<_>, _>>()?;
            Node::Event(measure(spec)?, Condition::new(known(spec, "measure", Measure::parse)?, bounds))
        }
        "sequence" => Node::Sequence(sequence(spec)?),
        "segment" => Node::Segment(text(spec, "key")?),
        "list" => Node::List(text(spec, "key")?),
        "bucket" => Node::Bucket {
            salt: text(spec, "salt")?,
            first: whole(spec, "first")? as u64,
            end: whole(spec, "end")? as u64,
        },
        other => return Err(SpecInvalid(format!("{other} is no node"))),
    })
}

fn nodes(spec: &Value) -> Result<Vec<Node>, SpecInvalid> {
    list(spec, "children")?.iter().map(node).collect()
}

fn measure(spec: &Value) -> Result<MeasureSpec, SpecInvalid> {
    Ok(MeasureSpec {
        pattern: pattern(field(spec, "pattern")?)?,
        series: id(spec, "series")?,
        family: known(spec, "family", Family::parse)?,
        path: match field(spec, "path")? {
            Value::Null => None,
            found => Some(path(found)?),
        },
        leaf: id(spec, "leaf")?,
        within_ms: optional(spec, "within_ms")?,
    })
}

fn sequence(spec: &Value) -> Result<SequenceSpec, SpecInvalid> {
    let steps = list(spec, "steps")?;
    let gaps_ms = steps.iter().map(|step| optional(step, "gap_ms")).collect::<Result<_, _>>()?;
    let mut patterns =
        steps.iter().map(|step| pattern(field(step, "pattern")?)).collect::<Result<Vec<_>, SpecInvalid>>()?;
    let absent = field(spec, "absent")?;
    let mut absent_gap_ms = None;
    if *absent != Value::Null {
        patterns.push(pattern(field(absent, "pattern")?)?);
        absent_gap_ms = optional(absent, "gap_ms")?;
    }
    let window = Window { within_ms: whole(spec, "within_ms")? };
    Ok(SequenceSpec { id: id(spec, "id")?, patterns, shape: Shape { gaps_ms, absent_gap_ms, window } })
}

fn pattern(spec: &Value) -> Result<PatternSpec, SpecInvalid> {
    Ok(PatternSpec {
        trail: id(spec, "trail")?,
        backfill: 0,
        kind: text(spec, "type")?,
        name: field(spec, "name")?.as_text().map(Box::from),
        tests: list(spec, "where")?.iter().map(test).collect::<Result<_, _>>()?,
    })
}

fn test(spec: &Value) -> Result<TestSpec, SpecInvalid> {
    Ok(TestSpec {
        name: text(spec, "name")?,
        of: known(spec, "of", |of| match of {
            "property" => Some(Source::Property),
            "context" => Some(Source::Context),
            "trait" => Some(Source::Trait),
            _ => None,
        })?,
        path: path(field(spec, "path")?)?,
        op: text(spec, "op")?,
        value: field(spec, "value")?.clone(),
    })
}

fn bound(spec: &Value) -> Result<(Bound, f64), SpecInvalid> {
    let parts = match spec {
        Value::List(parts) if parts.len() == 2 => (parts[0].as_text().and_then(Bound::parse), parts[1].number()),
        _ => (None, None),
    };
    match parts {
        (Some(op), Some(bound)) => Ok((op, bound)),
        _ => Err(SpecInvalid(format!("{spec:?} is no bound"))),
    }
}

fn path(spec: &Value) -> Result<Path, SpecInvalid> {
    let parts = match spec {
        Value::List(parts) if !parts.is_empty() => parts.iter().map(|part| part.as_text().map(Box::from)).collect(),
        _ => None,
    };
    parts.ok_or_else(|| SpecInvalid(format!("{spec:?} is no path")))
}

fn field<'a>(spec: &'a Value, name: &str) -> Result<&'a Value, SpecInvalid> {
    spec.get(name).ok_or_else(|| SpecInvalid(format!("{name} is missing")))
}

fn text(spec: &Value, name: &str) -> Result<Box<str>, SpecInvalid> {
    let found = field(spec, name)?;
    found.as_text().map(Box::from).ok_or_else(|| SpecInvalid(format!("{name} is {found:?}")))
}

fn whole(spec: &Value, name: &str) -> Result<i64, SpecInvalid> {
    optional(spec, name)?.ok_or_else(|| SpecInvalid(format!("{name} is null")))
}

fn optional(spec: &Value, name: &str) -> Result<Option<i64>, SpecInvalid> {
    match field(spec, name)? {
        Value::Null => Ok(None),
        Value::Int(number) => Ok(Some(*number)),
        found => Err(SpecInvalid(format!("{name} is {found:?}"))),
    }
}

/// Ids are hexadecimal: JSON's numbers are doubles to many.
fn id(spec: &Value, name: &str) -> Result<u64, SpecInvalid> {
    id_of(field(spec, name)?)
}

fn id_of(digits: &Value) -> Result<u64, SpecInvalid> {
    let id = digits.as_text().and_then(|digits| u64::from_str_radix(digits, 16).ok());
    id.ok_or_else(|| SpecInvalid(format!("{digits:?} is no id")))
}

fn list<'a>(spec: &'a Value, name: &str) -> Result<&'a [Value], SpecInvalid> {
    match field(spec, name)? {
        Value::List(items) => Ok(items),
        found => Err(SpecInvalid(format!("{name} is {found:?}"))),
    }
}

fn known<T>(spec: &Value, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, SpecInvalid> {
    let found = text(spec, name)?;
    parse(&found).ok_or_else(|| SpecInvalid(format!("{name} is {found}")))
}
