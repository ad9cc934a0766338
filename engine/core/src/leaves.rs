//! Leaves: what rules measure of a profile's events, each kept once however many rules ask for it.
//!
//! A *trail* is a pattern of events. A *series* is one measure over a trail in panes of one length (`sum` and `avg` are
//! one measure here); it serves every window of that pane length. A *leaf* is a window over a series, or a sequence over
//! trails, with the conditions that rules put on it. Ids are hashes of canonical forms, so that a profile's state
//! outlives every change of the rules above it. Nothing here belongs to a profile.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::gauges::{in_micros, BitBounds, Bounds, Gauge, Mask, Scale};
use crate::predicates::{Bound, Test};
use crate::sequences::Shape;
use crate::series::{ComputedKind, Family};
use crate::value::Path;
use crate::walk::NEVER;
use crate::windows::Window;

/// The measures that rules hold against bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    Distinct,
}

impl Measure {
    pub fn parse(text: &str) -> Option<Measure> {
        Some(match text {
            "count" => Measure::Count,
            "sum" => Measure::Sum,
            "avg" => Measure::Avg,
            "min" => Measure::Min,
            "max" => Measure::Max,
            "distinct" => Measure::Distinct,
            _ => return None,
        })
    }
}

/// A measure and what it is held against; the bounds are in order, as the bits of doubles.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    pub measure: Measure,
    bounds: Vec<(Bound, u64)>,
}

impl Condition {
    pub fn new(measure: Measure, mut bounds: Bounds) -> Condition {
        bounds.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
        Condition { measure, bounds: bounds.into_iter().map(|(op, bound)| (op, (bound + 0.0).to_bits())).collect() }
    }

    /// The one condition of a sequence.
    pub fn happened() -> Condition {
        Condition::new(Measure::Count, vec![(Bound::Gte, 1.0)])
    }

    fn bounds(&self) -> Bounds {
        self.bounds.iter().map(|(op, bits)| (*op, f64::from_bits(*bits))).collect()
    }
}

/// Who asks a leaf for what. A condition keeps its bit for as long as anybody has it.
#[derive(Default)]
pub struct Conditions(Vec<Option<(Condition, BTreeSet<u32>)>>);

impl Conditions {
    /// Puts a condition on the leaf for a segment: its bit, and whether it is new.
    pub fn add(&mut self, condition: &Condition, segment: u32) -> (usize, bool) {
        if let Some(bit) = self.bit_of(condition) {
            self.0[bit].as_mut().expect("it has a bit").1.insert(segment);
            return (bit, false);
        }
        let bit = self.0.iter().position(Option::is_none).unwrap_or_else(|| {
            self.0.push(None);
            self.0.len() - 1
        });
        self.0[bit] = Some((condition.clone(), BTreeSet::from([segment])));
        (bit, true)
    }

    /// Takes a segment's condition back; whether nobody has it any more.
    pub fn remove(&mut self, condition: &Condition, segment: u32) -> bool {
        let bit = self.bit_of(condition).expect("what is taken back was given");
        let (_, by) = self.0[bit].as_mut().expect("it has a bit");
        by.remove(&segment);
        let unused = by.is_empty();
        if unused {
            self.0[bit] = None;
        }
        unused
    }

    fn bit_of(&self, condition: &Condition) -> Option<usize> {
        self.0.iter().position(|asked| asked.as_ref().is_some_and(|(known, _)| known == condition))
    }

    /// The segments that asked for the conditions in which two masks differ.
    pub fn touched(&self, one: &[u64], other: &[u64], into: &mut Vec<u32>) {
        for word in 0..one.len().max(other.len()) {
            let mut changed = one.get(word).unwrap_or(&0) ^ other.get(word).unwrap_or(&0);
            while changed != 0 {
                let bit = word * 64 + changed.trailing_zeros() as usize;
                if let Some(Some((_, by))) = self.0.get(bit) {
                    into.extend(by);
                }
                changed &= changed - 1;
            }
        }
    }

    /// All segments that ask for anything.
    pub fn segments(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().flatten().flat_map(|(_, by)| by.iter().copied())
    }

    fn of(&self, measures: &[Measure]) -> BitBounds<f64> {
        let asked = self.0.iter().enumerate().filter_map(|(bit, asked)| Some((bit, &asked.as_ref()?.0)));
        asked
            .filter(|(_, condition)| measures.contains(&condition.measure))
            .map(|(bit, condition)| (bit, condition.bounds()))
            .collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// One measure over a trail, in panes of one length; None for all time.
pub struct SeriesSpec {
    pub id: u64,
    pub trail: u32,
    pub family: Family,
    pub path: Option<Path>,
    /// The path as text: its parts hold no dots.
    pub way: Option<Box<str>>,
    pub step_ms: Option<i64>,
    pub leaves: Vec<u32>,
    /// The longest of the leaves' windows: how far back panes are kept.
    pub longest: Option<Window>,
}

impl SeriesSpec {
    pub fn pane_of(&self, time_ms: i64) -> i64 {
        self.step_ms.map_or(0, |step_ms| time_ms.div_euclid(step_ms))
    }

    /// The oldest pane that some leaf still counts.
    pub fn first_pane(&self, now_ms: i64) -> i64 {
        self.longest.map_or(0, |window| window.first_pane(now_ms))
    }
}

/// A window over a series (None: all time), and the conditions on what it reads.
pub struct Leaf {
    pub id: u64,
    pub series: u32,
    pub family: Family,
    pub window: Option<Window>,
    pub gauge: Gauge,
    pub computed: Vec<(Box<str>, ComputedKind)>,
    pub conditions: Conditions,
    /// The count or sum of the trail at which it is to be looked at for the first time.
    pub first_mark: i64,
    /// Whether it is to be looked at with every event of the trail, since any may change what others see.
    pub each_event: bool,
}

impl Leaf {
    pub fn new(id: u64, series: u32, family: Family, window: Option<Window>) -> Leaf {
        let mut leaf = Leaf {
            id,
            series,
            family,
            window,
            gauge: Gauge::None,
            computed: Vec::new(),
            conditions: Conditions::default(),
            first_mark: NEVER,
            each_event: false,
        };
        leaf.arrange();
        leaf
    }

    pub fn unused(&self) -> bool {
        self.computed.is_empty() && self.conditions.is_empty()
    }

    pub fn first_pane(&self, now_ms: i64) -> i64 {
        self.window.map_or(0, |window| window.first_pane(now_ms))
    }

    /// Reads the conditions and computed traits anew, after one came or went.
    pub fn arrange(&mut self) {
        self.gauge = self.made_gauge();
        self.each_event =
            !self.computed.is_empty() || self.family.immediate() || matches!(self.gauge, Gauge::Average(..));
        self.first_mark = self.gauge.headroom(&self.family.nothing()).map_or(NEVER, |headroom| headroom.min(NEVER));
    }

    fn made_gauge(&self) -> Gauge {
        let conditions = &self.conditions;
        match self.family {
            Family::Count => Gauge::Count(Scale::new(&conditions.of(&[Measure::Count]))),
            Family::Numbers => {
                let micros = |measure| -> BitBounds<i128> {
                    conditions.of(&[measure]).iter().map(|(bit, bounds)| (*bit, in_micros(bounds))).collect()
                };
                let sums = Scale::new(&micros(Measure::Sum));
                let averages = micros(Measure::Avg);
                if averages.is_empty() {
                    Gauge::Sum(sums)
                } else {
                    Gauge::Average(sums, averages)
                }
            }
            Family::Distinct => Gauge::Value(Scale::new(&conditions.of(&[Measure::Distinct]))),
            Family::Min | Family::Max => Gauge::Value(Scale::new(&conditions.of(&[Measure::Min, Measure::Max]))),
            Family::First | Family::Last | Family::Frequencies => Gauge::None,
        }
    }

    /// The segments whose conditions a change of the reading turns.
    pub fn touched(
        &self,
        before: &crate::series::Reading,
        after: &crate::series::Reading,
        scratch: &mut (Mask, Mask),
        into: &mut Vec<u32>,
    ) {
        if before != after {
            let one = self.gauge.mask(before, &mut scratch.0);
            let other = self.gauge.mask(after, &mut scratch.1);
            self.conditions.touched(one, other, into);
        }
    }
}

/// A sequence over the trails of its steps; the absent step's trail is the last.
pub struct SequenceLeaf {
    pub id: u64,
    pub shape: Shape,
    pub trails: Vec<u32>,
    pub conditions: Conditions,
}

impl SequenceLeaf {
    /// The index of the last step that must happen.
    pub fn last(&self) -> usize {
        self.shape.gaps_ms.len() - 1
    }

    /// The trail of that step.
    pub fn home(&self) -> u32 {
        self.trails[self.last()]
    }
}

/// A pattern, the series over it, and the sequences that it is a step of.
pub struct Trail {
    pub id: u64,
    /// The backfill that it is kept apart for; 0 for none.
    pub backfill: i64,
    pub kind: Box<str>,
    /// None: any name.
    pub name: Option<Box<str>>,
    pub tests: Vec<Arc<Test>>,
    pub series: Vec<u32>,
    pub leaves: Vec<u32>,
    pub sequences: Vec<u32>,
    /// The program's revision when anything above last changed.
    pub revision: i64,
    pub plan: Plan,
}

impl Trail {
    pub fn unused(&self) -> bool {
        self.leaves.is_empty() && self.sequences.is_empty()
    }
}

/// What there is to do when an event joins a trail. Made anew with each change; an event only reads it.
///
/// Everything is in an order of its own: states hold numbers by it, and segments are read again in any order.
#[derive(Default)]
pub struct Plan {
    /// The paths whose numbers are kept with an event until its series take it in, and the same as text.
    pub paths: Vec<Path>,
    pub ways: Vec<Box<str>>,
    /// Leaves to be looked at once the number of events has reached a mark.
    pub counts: Vec<u32>,
    /// For each path, leaves to be looked at once the sum has.
    pub sums: Vec<Vec<u32>>,
    pub each_event: Vec<u32>,
    pub immediate: Vec<u32>,
    pub tailed: Vec<u32>,
    /// What a profile keeps for the trail: a series each, and under the trail's id the times, for sequences.
    pub kept: Vec<u64>,
    /// Sequences that this trail completes, by the trail of the step before; None for those of one step.
    pub last_of: Vec<(Option<u64>, Vec<u32>)>,
    /// Sequences that an event of this trail ends.
    pub absent_of: Vec<u32>,
    /// How far back the times of events are kept for sequences; 0 where none needs them.
    pub times_ms: i64,
}
