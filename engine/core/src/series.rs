//! What a series keeps of the events of a pattern, for each measure of rules.md.
//!
//! Every kind keeps one item a pane, reads the measure from any pane on, and foretells what it will read as panes leave,
//! so that the instant of the next change is known. The order in which events are added never matters.

use std::collections::BTreeMap;

use crate::decimals::{from_micros, json_number, quotient};
use crate::pack::{Reader, Writer};
use crate::value::{Key, Value};

/// How many different values a series tells apart; beyond them those longest unseen are forgotten.
pub const MOST_DISTINCT: usize = 1_000;

/// How many values a `unique_list` shows: the smallest.
const LONGEST_UNIQUE_LIST: usize = 100;

/// What a series measures; `sum` and `avg` are one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Count,
    Numbers,
    Min,
    Max,
    Distinct,
    First,
    Last,
    Frequencies,
}

impl Family {
    pub fn parse(text: &str) -> Option<Family> {
        Some(match text {
            "count" => Family::Count,
            "numbers" => Family::Numbers,
            "min" => Family::Min,
            "max" => Family::Max,
            "distinct" => Family::Distinct,
            "first" => Family::First,
            "last" => Family::Last,
            "frequencies" => Family::Frequencies,
            _ => return None,
        })
    }

    /// Whether a series takes in an event at once, and not with others when somebody looks.
    pub fn immediate(self) -> bool {
        !matches!(self, Family::Count | Family::Numbers)
    }

    /// What is read without events.
    pub fn nothing(self) -> Reading {
        match self {
            Family::Count => Reading::Count(0),
            Family::Numbers => Reading::Sums(0, 0),
            Family::Min | Family::Max => Reading::Number(None),
            Family::Distinct => Reading::Number(Some(0.0)),
            _ => Reading::Unmeasured,
        }
    }
}

/// What a leaf read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    Count(i64),
    /// A sum in millionths, and how many numbers there were.
    Sums(i128, u64),
    /// A least, greatest or distinct value; None where there was nothing to measure.
    Number(Option<f64>),
    /// Of a family that no rule puts bounds on.
    Unmeasured,
    /// A sequence that holds.
    Held,
}

impl Reading {
    pub fn pack(&self, into: &mut Writer) {
        match self {
            Reading::Count(count) => {
                into.byte(1);
                into.signed(*count);
            }
            Reading::Sums(total, count) => {
                into.byte(2);
                into.wide(*total);
                into.unsigned(*count);
            }
            Reading::Number(None) => into.byte(3),
            Reading::Number(Some(number)) => {
                into.byte(4);
                into.double(*number);
            }
            Reading::Unmeasured => into.byte(5),
            Reading::Held => into.byte(6),
        }
    }

    /// None for a leaf that was not looked at.
    pub fn unpack(tag: u8, from: &mut Reader<'_>) -> Option<Reading> {
        match tag {
            0 => None,
            1 => Some(Reading::Count(from.signed())),
            2 => Some(Reading::Sums(from.wide(), from.unsigned())),
            3 => Some(Reading::Number(None)),
            4 => Some(Reading::Number(Some(from.double()))),
            5 => Some(Reading::Unmeasured),
            6 => Some(Reading::Held),
            other => panic!("a packed reading has the tag {other}"),
        }
    }
}

/// What a computed trait makes of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComputedKind {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    Distinct,
    UniqueList,
    First,
    Last,
    MostFrequent,
}

impl ComputedKind {
    pub fn parse(text: &str) -> Option<ComputedKind> {
        Some(match text {
            "count" => ComputedKind::Count,
            "sum" => ComputedKind::Sum,
            "avg" => ComputedKind::Avg,
            "min" => ComputedKind::Min,
            "max" => ComputedKind::Max,
            "distinct" => ComputedKind::Distinct,
            "unique_list" => ComputedKind::UniqueList,
            "first" => ComputedKind::First,
            "last" => ComputedKind::Last,
            "most_frequent" => ComputedKind::MostFrequent,
            _ => return None,
        })
    }
}

/// An event's time, message id and source: what tells it from every other, whatever came first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    pub time_ms: i64,
    pub message_id: Box<str>,
    pub source: Box<str>,
}

impl Occurrence {
    /// Whether it comes before another; of two at one time the one with the larger message id (and then source) is taken
    /// for both the first and the last (rules.md, "Traits").
    fn before(&self, other: &Occurrence) -> bool {
        self.time_ms < other.time_ms
            || (self.time_ms == other.time_ms && (&self.message_id, &self.source) > (&other.message_id, &other.source))
    }

    fn pack(&self, into: &mut Writer) {
        into.signed(self.time_ms);
        into.text(&self.message_id);
        into.text(&self.source);
    }

    fn unpack(from: &mut Reader<'_>) -> Occurrence {
        Occurrence { time_ms: from.signed(), message_id: from.text().into(), source: from.text().into() }
    }
}

/// How often each value came, and when first.
type Frequencies = BTreeMap<Key, (u64, Occurrence)>;

/// One item a pane, oldest first.
type Panes<T> = Vec<(i64, T)>;

/// What a profile keeps for one series. `upto` is the number of the trail's last event that was taken in.
pub struct Series {
    pub upto: u64,
    kept: Kept,
}

enum Kept {
    Count {
        panes: Panes<u64>,
        total: u64,
    },
    Numbers {
        panes: Panes<(i128, u64)>,
        total: i128,
        count: u64,
    },
    /// The least value of each pane, or the greatest as the least of the negatives. A pane whose value a later pane beats
    /// can never matter again and is dropped, so that values only rise from old to new.
    Extreme {
        sign: f64,
        panes: Panes<f64>,
    },
    /// The newest pane that each value was seen in.
    Distinct(BTreeMap<Key, i64>),
    First(Panes<(Occurrence, Value)>),
    Last(Panes<(Occurrence, Value)>),
    Frequencies(Panes<Frequencies>),
}

/// The index of the oldest pane from `first_pane` on.
fn index_of<T>(panes: &Panes<T>, first_pane: i64) -> usize {
    match panes.first() {
        Some((pane, _)) if *pane < first_pane => panes.partition_point(|(pane, _)| *pane < first_pane),
        _ => 0,
    }
}

/// The item of `pane`, which is made where it was not.
fn place<T>(panes: &mut Panes<T>, pane: i64, new: impl FnOnce() -> T) -> usize {
    match panes.last() {
        Some((last, _)) if *last == pane => panes.len() - 1,
        Some((last, _)) if *last > pane => {
            let index = panes.partition_point(|(known, _)| *known < pane);
            if panes[index].0 != pane {
                panes.insert(index, (pane, new()));
            }
            index
        }
        _ => {
            panes.push((pane, new()));
            panes.len() - 1
        }
    }
}

impl Series {
    pub fn new(family: Family) -> Series {
        let kept = match family {
            Family::Count => Kept::Count { panes: Vec::new(), total: 0 },
            Family::Numbers => Kept::Numbers { panes: Vec::new(), total: 0, count: 0 },
            Family::Min => Kept::Extreme { sign: 1.0, panes: Vec::new() },
            Family::Max => Kept::Extreme { sign: -1.0, panes: Vec::new() },
            Family::Distinct => Kept::Distinct(BTreeMap::new()),
            Family::First => Kept::First(Vec::new()),
            Family::Last => Kept::Last(Vec::new()),
            Family::Frequencies => Kept::Frequencies(Vec::new()),
        };
        Series { upto: 0, kept }
    }

    /// Another event of the pattern.
    pub fn add_event(&mut self, pane: i64) {
        if let Kept::Count { panes, total } = &mut self.kept {
            let index = place(panes, pane, || 0);
            panes[index].1 += 1;
            *total += 1;
        }
    }

    /// Another number, in millionths.
    pub fn add_number(&mut self, pane: i64, micros: i128) {
        if let Kept::Numbers { panes, total, count } = &mut self.kept {
            let index = place(panes, pane, || (0, 0));
            let (sum, numbers) = &mut panes[index].1;
            *sum += micros;
            *numbers += 1;
            *total += micros;
            *count += 1;
        }
    }

    /// Another value, for the families that take in events at once; None where the event has none.
    pub fn add_value(&mut self, pane: i64, found: Option<&Value>, at: &Occurrence) {
        let Some(found) = found else { return };
        match &mut self.kept {
            Kept::Extreme { sign, panes } => {
                if let Some(number) = found.number() {
                    add_extreme(panes, pane, *sign * number);
                }
            }
            Kept::Distinct(seen) => {
                if let Some(key) = found.key() {
                    add_distinct(seen, pane, key);
                }
            }
            Kept::First(panes) => add_end(panes, pane, found, at, |new, known| new.before(known)),
            Kept::Last(panes) => {
                add_end(panes, pane, found, at, |new, known| new > known);
                // Nothing older than the last can matter.
                panes.drain(..panes.len() - 1);
            }
            Kept::Frequencies(panes) => {
                if let Some(key) = found.key() {
                    let index = place(panes, pane, BTreeMap::new);
                    let values = &mut panes[index].1;
                    if values.len() >= MOST_DISTINCT && !values.contains_key(&key) {
                        return;
                    }
                    let (count, first) = values.entry(key).or_insert_with(|| (0, at.clone()));
                    *count += 1;
                    if at.before(first) {
                        *first = at.clone();
                    }
                }
            }
            Kept::Count { .. } | Kept::Numbers { .. } => {}
        }
    }

    /// Forget the panes before `first_pane`.
    pub fn expire(&mut self, first_pane: i64) {
        match &mut self.kept {
            Kept::Count { panes, total } => {
                for (_, gone) in panes.drain(..index_of(panes, first_pane)) {
                    *total -= gone;
                }
            }
            Kept::Numbers { panes, total, count } => {
                for (_, (sum, gone)) in panes.drain(..index_of(panes, first_pane)) {
                    *total -= sum;
                    *count -= gone;
                }
            }
            Kept::Extreme { panes, .. } => drop(panes.drain(..index_of(panes, first_pane))),
            Kept::Distinct(seen) => seen.retain(|_, pane| *pane >= first_pane),
            Kept::First(panes) | Kept::Last(panes) => drop(panes.drain(..index_of(panes, first_pane))),
            Kept::Frequencies(panes) => drop(panes.drain(..index_of(panes, first_pane))),
        }
    }

    /// What the measure reads over the panes from `first_pane` on.
    pub fn reading(&self, first_pane: i64) -> Reading {
        match &self.kept {
            Kept::Count { panes, total } => {
                let gone: u64 = panes[..index_of(panes, first_pane)].iter().map(|(_, count)| count).sum();
                Reading::Count((total - gone) as i64)
            }
            Kept::Numbers { panes, total, count } => {
                let gone = &panes[..index_of(panes, first_pane)];
                Reading::Sums(
                    total - gone.iter().map(|(_, (sum, _))| sum).sum::<i128>(),
                    count - gone.iter().map(|(_, (_, numbers))| numbers).sum::<u64>(),
                )
            }
            Kept::Extreme { sign, panes } => {
                Reading::Number(panes.get(index_of(panes, first_pane)).map(|(_, value)| sign * value))
            }
            Kept::Distinct(seen) => {
                Reading::Number(Some(seen.values().filter(|pane| **pane >= first_pane).count() as f64))
            }
            _ => Reading::Unmeasured,
        }
    }

    /// For each pane from `first_pane` on, oldest first, what is read once it has left: the first pane for which `stop`
    /// says so.
    pub fn ahead(&self, first_pane: i64, mut stop: impl FnMut(&Reading) -> bool) -> Option<i64> {
        match &self.kept {
            Kept::Count { panes, .. } => {
                let Reading::Count(mut left) = self.reading(first_pane) else { return None };
                panes[index_of(panes, first_pane)..].iter().find_map(|(pane, gone)| {
                    left -= *gone as i64;
                    stop(&Reading::Count(left)).then_some(*pane)
                })
            }
            Kept::Numbers { panes, .. } => {
                let Reading::Sums(mut left, mut numbers) = self.reading(first_pane) else { return None };
                panes[index_of(panes, first_pane)..].iter().find_map(|(pane, (sum, gone))| {
                    left -= sum;
                    numbers -= gone;
                    stop(&Reading::Sums(left, numbers)).then_some(*pane)
                })
            }
            Kept::Extreme { sign, panes } => {
                let panes = &panes[index_of(panes, first_pane)..];
                panes.iter().enumerate().find_map(|(index, (pane, _))| {
                    let following = panes.get(index + 1).map(|(_, value)| sign * value);
                    stop(&Reading::Number(following)).then_some(*pane)
                })
            }
            Kept::Distinct(seen) => {
                let mut panes: Vec<i64> = seen.values().copied().filter(|pane| *pane >= first_pane).collect();
                panes.sort_unstable();
                (0..panes.len())
                    .filter(|index| panes.get(index + 1) != Some(&panes[*index]))
                    .find(|index| stop(&Reading::Number(Some((panes.len() - index - 1) as f64))))
                    .map(|index| panes[index])
            }
            Kept::First(panes) | Kept::Last(panes) => next_pane(panes, first_pane, stop),
            Kept::Frequencies(panes) => next_pane(panes, first_pane, stop),
        }
    }

    /// The newest pane of a count with which fewer than `least` events remain once it has left; `least` is from 1 on.
    pub fn pane_that_leaves(&self, least: u64) -> i64 {
        let Kept::Count { panes, .. } = &self.kept else { panic!("only events are counted") };
        let mut found = 0;
        for (pane, count) in panes.iter().rev() {
            found += count;
            if found >= least {
                return *pane;
            }
        }
        panes[0].0
    }

    /// Whether some pane's sum is negative.
    pub fn falls(&self) -> bool {
        matches!(&self.kept, Kept::Numbers { panes, .. } if panes.iter().any(|(_, (sum, _))| *sum < 0))
    }

    /// Takes in what was kept of the same measure elsewhere.
    ///
    /// Of each pane one of the two has every event that the other has: they began at different offsets, or one of them
    /// has its history.
    pub fn unite(&mut self, other: Series) {
        match (&mut self.kept, other.kept) {
            (Kept::Count { panes, total }, Kept::Count { panes: others, .. }) => {
                unite_panes(panes, others, |count| *count);
                *total = panes.iter().map(|(_, count)| count).sum();
            }
            (Kept::Numbers { panes, total, count }, Kept::Numbers { panes: others, .. }) => {
                unite_panes(panes, others, |(_, numbers)| *numbers);
                *total = panes.iter().map(|(_, (sum, _))| sum).sum();
                *count = panes.iter().map(|(_, (_, numbers))| numbers).sum();
            }
            (Kept::Extreme { panes, .. }, Kept::Extreme { panes: others, .. }) => {
                others.into_iter().for_each(|(pane, value)| add_extreme(panes, pane, value));
            }
            (Kept::Distinct(seen), Kept::Distinct(others)) => {
                others.into_iter().for_each(|(key, pane)| add_distinct(seen, pane, key));
            }
            (Kept::First(panes), Kept::First(others)) => {
                for (pane, (at, value)) in others {
                    add_end(panes, pane, &value, &at, |new, known| new.before(known));
                }
            }
            (Kept::Last(panes), Kept::Last(others)) => {
                for (pane, (at, value)) in others {
                    add_end(panes, pane, &value, &at, |new, known| new > known);
                }
                panes.drain(..panes.len().saturating_sub(1));
            }
            (Kept::Frequencies(panes), Kept::Frequencies(others)) => {
                unite_panes(panes, others, |values| values.values().map(|(count, _)| count).sum());
            }
            _ => unreachable!("a series has one family"),
        }
    }

    /// Whether there is nothing left to keep.
    fn is_empty(&self) -> bool {
        match &self.kept {
            Kept::Count { panes, .. } => panes.is_empty(),
            Kept::Numbers { panes, .. } => panes.is_empty(),
            Kept::Extreme { panes, .. } => panes.is_empty(),
            Kept::Distinct(seen) => seen.is_empty(),
            Kept::First(panes) | Kept::Last(panes) => panes.is_empty(),
            Kept::Frequencies(panes) => panes.is_empty(),
        }
    }

    /// A computed trait's JSON value; None, that is missing, where there is nothing to measure.
    pub fn computed(&self, kind: ComputedKind, first_pane: i64) -> Option<Value> {
        match (kind, self.reading(first_pane)) {
            (ComputedKind::Count, Reading::Count(count)) => (count > 0).then_some(Value::Int(count)),
            (ComputedKind::Sum, Reading::Sums(total, count)) => (count > 0).then(|| from_micros(total)),
            (ComputedKind::Avg, Reading::Sums(total, count)) => (count > 0).then(|| quotient(total, count)),
            (ComputedKind::Min | ComputedKind::Max, Reading::Number(number)) => number.map(json_number),
            (ComputedKind::Distinct, Reading::Number(Some(count))) => (count > 0.0).then(|| json_number(count)),
            _ => match (&self.kept, kind) {
                (Kept::Distinct(seen), ComputedKind::UniqueList) => unique_list(seen, first_pane),
                (Kept::First(panes), _) => panes.get(index_of(panes, first_pane)).map(|(_, (_, value))| value.clone()),
                (Kept::Last(panes), _) => panes.get(index_of(panes, first_pane)).map(|(_, (_, value))| value.clone()),
                (Kept::Frequencies(panes), _) => most_frequent(&panes[index_of(panes, first_pane)..]),
                _ => None,
            },
        }
    }

    /// One without events is no bytes: it tells a series that has seen them go from one that is new.
    pub fn pack(&self, into: &mut Writer) {
        if self.is_empty() {
            return;
        }
        into.unsigned(self.upto);
        match &self.kept {
            Kept::Count { panes, .. } => {
                pack_panes(into, panes, |into, count| into.unsigned(*count));
            }
            Kept::Numbers { panes, .. } => {
                // Prices have two places: what all sums are a multiple of is written once.
                let places =
                    [6, 4, 0].into_iter().find(|places| panes.iter().all(|(_, (sum, _))| sum % unit(*places) == 0));
                let places = places.expect("every sum is a multiple of one");
                into.byte(places);
                pack_panes(into, panes, |into, (sum, count)| {
                    into.wide(sum / unit(places));
                    into.unsigned(*count);
                });
            }
            Kept::Extreme { panes, .. } => pack_panes(into, panes, |into, value| into.double(*value)),
            Kept::Distinct(seen) => {
                into.length(seen.len());
                for (key, pane) in seen {
                    key.pack(into);
                    into.signed(*pane);
                }
            }
            Kept::First(panes) | Kept::Last(panes) => pack_panes(into, panes, |into, (at, value)| {
                at.pack(into);
                value.pack(into);
            }),
            Kept::Frequencies(panes) => pack_panes(into, panes, |into, values| {
                into.length(values.len());
                for (key, (count, first)) in values {
                    key.pack(into);
                    into.unsigned(*count);
                    first.pack(into);
                }
            }),
        }
    }

    pub fn unpack(family: Family, data: &[u8]) -> Series {
        let mut series = Series::new(family);
        if data.is_empty() {
            return series;
        }
        let from = &mut Reader::new(data);
        series.upto = from.unsigned();
        match &mut series.kept {
            Kept::Count { panes, total } => {
                *panes = unpack_panes(from, |from| from.unsigned());
                *total = panes.iter().map(|(_, count)| count).sum();
            }
            Kept::Numbers { panes, total, count } => {
                let unit = unit(from.byte());
                *panes = unpack_panes(from, |from| (from.wide() * unit, from.unsigned()));
                *total = panes.iter().map(|(_, (sum, _))| sum).sum();
                *count = panes.iter().map(|(_, (_, numbers))| numbers).sum();
            }
            Kept::Extreme { panes, .. } => *panes = unpack_panes(from, |from| from.double()),
            Kept::Distinct(seen) => {
                *seen = (0..from.length()).map(|_| (Key::unpack(from), from.signed())).collect();
            }
            Kept::First(panes) | Kept::Last(panes) => {
                *panes = unpack_panes(from, |from| (Occurrence::unpack(from), Value::unpack(from)));
            }
            Kept::Frequencies(panes) => {
                *panes = unpack_panes(from, |from| {
                    (0..from.length())
                        .map(|_| (Key::unpack(from), (from.unsigned(), Occurrence::unpack(from))))
                        .collect()
                });
            }
        }
        series
    }
}

/// Of each pane the item with more events.
fn unite_panes<T>(panes: &mut Panes<T>, others: Panes<T>, events: impl Fn(&T) -> u64) {
    for (pane, item) in others {
        match panes.binary_search_by_key(&pane, |(known, _)| *known) {
            Ok(index) if events(&panes[index].1) >= events(&item) => {}
            Ok(index) => panes[index].1 = item,
            Err(index) => panes.insert(index, (pane, item)),
        }
    }
}

fn unit(places: u8) -> i128 {
    10_i128.pow(u32::from(places))
}

fn pack_panes<T>(into: &mut Writer, panes: &Panes<T>, item: impl Fn(&mut Writer, &T)) {
    into.length(panes.len());
    let mut before = 0;
    for (pane, kept) in panes {
        into.signed(pane - before);
        before = *pane;
        item(into, kept);
    }
}

fn unpack_panes<T>(from: &mut Reader<'_>, item: impl Fn(&mut Reader<'_>) -> T) -> Panes<T> {
    let mut pane = 0;
    (0..from.length())
        .map(|_| {
            pane += from.signed();
            (pane, item(from))
        })
        .collect()
}

fn next_pane<T>(panes: &Panes<T>, first_pane: i64, mut stop: impl FnMut(&Reading) -> bool) -> Option<i64> {
    panes[index_of(panes, first_pane)..].iter().map(|(pane, _)| *pane).find(|_| stop(&Reading::Unmeasured))
}

fn add_extreme(panes: &mut Panes<f64>, pane: i64, value: f64) {
    let index = panes.partition_point(|(known, _)| *known < pane);
    if panes.get(index..).is_some_and(|later| later.first().is_some_and(|(_, beaten_by)| *beaten_by <= value)) {
        return;
    }
    let mut start = index;
    while start > 0 && panes[start - 1].1 >= value {
        start -= 1;
    }
    let end = if panes.get(index).is_some_and(|(known, _)| *known == pane) { index + 1 } else { index };
    panes.splice(start..end, [(pane, value)]);
}

fn add_distinct(seen: &mut BTreeMap<Key, i64>, pane: i64, key: Key) {
    if let Some(known) = seen.get_mut(&key) {
        *known = pane.max(*known);
        return;
    }
    if seen.len() >= MOST_DISTINCT {
        let (oldest, at) =
            seen.iter().min_by_key(|(_, pane)| **pane).map(|(key, at)| (key.clone(), *at)).expect("some");
        if at >= pane {
            return;
        }
        seen.remove(&oldest);
    }
    seen.insert(key, pane);
}

fn add_end(
    panes: &mut Panes<(Occurrence, Value)>,
    pane: i64,
    found: &Value,
    at: &Occurrence,
    replaces: impl Fn(&Occurrence, &Occurrence) -> bool,
) {
    let mut new = false;
    let index = place(panes, pane, || {
        new = true;
        (at.clone(), found.clone())
    });
    if !new && replaces(at, &panes[index].1 .0) {
        panes[index].1 = (at.clone(), found.clone());
    }
}

fn unique_list(seen: &BTreeMap<Key, i64>, first_pane: i64) -> Option<Value> {
    let mut keys: Vec<&Key> = seen.iter().filter(|(_, pane)| **pane >= first_pane).map(|(key, _)| key).collect();
    keys.sort_by(|one, other| one.in_order(other));
    let values: Vec<Value> = keys.into_iter().take(LONGEST_UNIQUE_LIST).map(Key::shown).collect();
    (!values.is_empty()).then_some(Value::List(values))
}

/// The value met most often, of equals the one seen first.
fn most_frequent(panes: &[(i64, Frequencies)]) -> Option<Value> {
    let mut totals: BTreeMap<&Key, (u64, &Occurrence)> = BTreeMap::new();
    for (_, values) in panes {
        for (key, (count, first)) in values {
            let (total, known) = totals.entry(key).or_insert((0, first));
            *total += count;
            if first.before(known) {
                *known = first;
            }
        }
    }
    let mut best: Option<(&Key, u64, &Occurrence)> = None;
    for (key, (count, first)) in totals {
        if best.is_none_or(|(_, most, known)| count > most || (count == most && first.before(known))) {
            best = Some((key, count, first));
        }
    }
    best.map(|(key, _, _)| key.shown())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(series: &Series, family: Family) -> Series {
        let mut writer = Writer::new();
        series.pack(&mut writer);
        Series::unpack(family, &writer.data)
    }

    fn at(time_ms: i64, message_id: &str) -> Occurrence {
        Occurrence { time_ms, message_id: message_id.into(), source: "s1".into() }
    }

    #[test]
    fn counts_of_panes_in_any_order() {
        let mut series = Series::new(Family::Count);
        for pane in [5, 3, 9, 3, 7, 9] {
            series.add_event(pane);
        }
        let mut series = back(&series, Family::Count);
        assert_eq!(series.reading(0), Reading::Count(6));
        assert_eq!(series.reading(5), Reading::Count(4));
        assert_eq!(series.pane_that_leaves(1), 9);
        assert_eq!(series.pane_that_leaves(3), 7);
        let mut seen = Vec::new();
        series.ahead(5, |reading| {
            seen.push(*reading);
            false
        });
        assert_eq!(seen, [Reading::Count(3), Reading::Count(2), Reading::Count(0)]);
        series.expire(9);
        assert_eq!(series.reading(0), Reading::Count(2));
        series.expire(10);
        assert!(series.is_empty());
    }

    #[test]
    fn sums_keep_their_millionths() {
        for unit in [1, 10_000, 1_000_000] {
            let mut series = Series::new(Family::Numbers);
            series.add_number(1, 3 * unit);
            series.add_number(2, -5 * unit);
            series.add_number(2, unit);
            let series = back(&series, Family::Numbers);
            assert_eq!(series.reading(0), Reading::Sums(-unit, 3));
            assert_eq!(series.reading(2), Reading::Sums(-4 * unit, 2));
            assert!(series.falls());
        }
    }

    #[test]
    fn extremes_of_any_order_are_those_of_all_values() {
        let values = [(4, 7.0), (2, 3.0), (6, 5.0), (6, 9.0), (1, 1.0), (3, 4.0), (5, 5.0)];
        for sign in [1.0, -1.0] {
            let family = if sign > 0.0 { Family::Min } else { Family::Max };
            let mut series = Series::new(family);
            for (pane, value) in values {
                series.add_value(pane, Some(&Value::Float(value)), &at(pane, "m"));
            }
            let series = back(&series, family);
            for first in 0..8 {
                let best = values
                    .iter()
                    .filter(|(pane, _)| *pane >= first)
                    .map(|(_, value)| sign * value)
                    .min_by(f64::total_cmp)
                    .map(|value| sign * value);
                assert_eq!(series.reading(first), Reading::Number(best));
            }
        }
    }

    #[test]
    fn different_values_are_told_apart_and_forgotten() {
        let mut series = Series::new(Family::Distinct);
        for (pane, value) in [(1, Value::Int(1)), (2, Value::Float(1.0)), (2, Value::Bool(true)), (3, Value::text("1"))]
        {
            series.add_value(pane, Some(&value), &at(pane, "m"));
        }
        let mut series = back(&series, Family::Distinct);
        assert_eq!(series.reading(0), Reading::Number(Some(3.0)));
        assert_eq!(series.reading(3), Reading::Number(Some(1.0)));
        assert_eq!(
            series.computed(ComputedKind::UniqueList, 0),
            Some(Value::List(vec![Value::Bool(true), Value::Int(1), Value::text("1")]))
        );
        for number in 0..2 * MOST_DISTINCT as i64 {
            series.add_value(10 + number, Some(&Value::Int(number)), &at(0, "m"));
        }
        assert_eq!(series.reading(0), Reading::Number(Some(MOST_DISTINCT as f64)));
    }

    #[test]
    fn of_two_at_one_time_the_larger_message_id_is_both_first_and_last() {
        for (family, kind) in [(Family::First, ComputedKind::First), (Family::Last, ComputedKind::Last)] {
            for order in [["a", "b"], ["b", "a"]] {
                let mut series = Series::new(family);
                for id in order {
                    series.add_value(1, Some(&Value::text(id)), &at(5, id));
                }
                assert_eq!(back(&series, family).computed(kind, 0), Some(Value::text("b")));
            }
        }
    }

    /// What lacks events united with what has them all is what has them all, whichever takes in the other.
    #[test]
    fn a_part_and_the_whole_are_the_whole() {
        let events = [(4, 7), (2, 3), (6, 5), (6, 9), (1, 1), (3, 4), (5, 5), (2, 3), (6, 7)];
        let families = [
            Family::Count,
            Family::Numbers,
            Family::Min,
            Family::Max,
            Family::Distinct,
            Family::First,
            Family::Last,
            Family::Frequencies,
        ];
        for family in families {
            let part = |places: std::ops::Range<usize>| {
                let mut series = Series::new(family);
                for (place, (pane, number)) in events.iter().enumerate().filter(|(place, _)| places.contains(place)) {
                    series.add_event(*pane);
                    series.add_number(*pane, i128::from(*number));
                    let at = Occurrence { time_ms: *pane, message_id: place.to_string().into(), source: "s".into() };
                    series.add_value(*pane, Some(&Value::Int(*number)), &at);
                }
                series
            };
            let packed = |series: &Series| {
                let mut writer = Writer::new();
                series.pack(&mut writer);
                writer.data
            };
            let whole = || part(0..events.len());
            for since in 0..=events.len() {
                let (mut one, mut other) = (part(since..events.len()), whole());
                one.unite(whole());
                other.unite(part(since..events.len()));
                assert_eq!(
                    (packed(&one), packed(&other)),
                    (packed(&whole()), packed(&whole())),
                    "{family:?} from {since} on"
                );
            }
        }
    }

    #[test]
    fn the_value_met_most_often() {
        let mut series = Series::new(Family::Frequencies);
        for (pane, id, value) in [(1, "a", "x"), (2, "b", "y"), (2, "c", "y"), (3, "d", "x"), (3, "e", "z")] {
            series.add_value(pane, Some(&Value::text(value)), &at(pane, id));
        }
        let series = back(&series, Family::Frequencies);
        assert_eq!(series.computed(ComputedKind::MostFrequent, 0), Some(Value::text("x")));
        assert_eq!(series.computed(ComputedKind::MostFrequent, 2), Some(Value::text("y")));
        assert_eq!(series.computed(ComputedKind::MostFrequent, 4), None);
    }
}
