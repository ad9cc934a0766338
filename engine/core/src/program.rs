//! The live rules of one workspace, compiled: which leaves there are, who asks for them, what each segment evaluates.
//!
//! Segments are added, replaced and taken out one by one, each in the time of its own rule. Nothing here belongs to a
//! profile. No code is generated from a rule: a rule becomes a tree over checked values.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::gauges::{bit_of, Mask};
use crate::ids::{hash_of, IdMap};
use crate::leaves::{Condition, Leaf, Measure, Plan, SequenceLeaf, SeriesSpec, Trail};
use crate::matching::Matcher;
use crate::predicates::{Host, Test};
use crate::series::{Family, Reading};
use crate::slab::Slab;
use crate::spec::{ComputedSpec, MeasureSpec, Node, PatternSpec, SegmentSpec, SequenceSpec, SpecInvalid};
use crate::state::State;
use crate::value::{Path, Value};
use crate::windows::Window;

const BUCKETS: u64 = 10_000;

/// An event's type and name; None: any name.
type Name = (Box<str>, Option<Box<str>>);

/// The path of computed traits begins with it.
pub const COMPUTED: &str = "computed";

/// A rule over leaves.
pub enum Cond {
    All(Vec<Cond>),
    Any(Vec<Cond>),
    Not(Box<Cond>),
    Trait(u32),
    Event { leaf: u32, bit: usize, measure: Measure },
    Sequence(u32),
    Segment(u64),
    List(Box<str>),
    Bucket { salt: Box<str>, first: u64, end: u64 },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Asked {
    Leaf(u32),
    Sequence(u32),
}

/// One segment of a program.
pub struct Segment {
    pub key: Arc<str>,
    pub hash: u64,
    pub version: i64,
    pub revision: i64,
    pub paused: bool,
    /// The backfill that its new leaves wait for; 0 for none.
    pub backfill: i64,
    /// The revision that it was made with.
    pub born: i64,
    pub cond: Cond,
    asked: HashSet<(Asked, Condition)>,
    tests: BTreeSet<u32>,
    refers_to: Vec<u64>,
    lists: Vec<Box<str>>,
    /// Whether the answer for a profile without events and traits depends on who it is.
    personal: bool,
    /// The answer for every profile without events and traits, where it is not personal.
    at_start: bool,
    /// Greater than those of all segments that this one refers to, directly or not.
    pub order: u32,
}

/// One test of a trait, shared by the segments that make it.
pub struct TraitTest {
    pub test: Test,
    /// The trait that its path reads, and the way on from there.
    pub root: Box<str>,
    way: Path,
    segments: BTreeSet<u32>,
}

/// A backfill that is outstanding: the segments that wait for it, and the trails that are kept apart for it.
#[derive(Default)]
pub struct Outstanding {
    pub segments: BTreeSet<u32>,
    pub trails: BTreeSet<u32>,
}

/// The compiled segments and computed traits of one workspace.
pub struct Program {
    pub host: Box<dyn Host + Send + Sync>,
    pub revision: i64,
    pub segments: Slab<Segment>,
    pub by_hash: IdMap<u32>,
    /// For each segment, by the hash of its key, those that refer to it.
    pub dependents: IdMap<BTreeSet<u32>>,
    /// For each list, the segments that refer to it.
    pub readers: HashMap<Box<str>, BTreeSet<u32>>,
    pub trails: Slab<Trail>,
    pub trail_of: IdMap<u32>,
    pub series: Slab<SeriesSpec>,
    pub series_of: IdMap<u32>,
    pub leaves: Slab<Leaf>,
    pub leaf_of: IdMap<u32>,
    pub sequences: Slab<SequenceLeaf>,
    pub sequence_of: IdMap<u32>,
    pub computed: HashMap<Box<str>, u32>,
    pub tests: Slab<TraitTest>,
    test_of: HashMap<Box<str>, u32>,
    tests_of_trait: HashMap<Box<str>, Vec<u32>>,
    /// The tests that time alone may turn, by trait.
    pub time_driven: BTreeMap<Box<str>, Vec<u32>>,
    /// The outstanding backfills.
    pub backfills: BTreeMap<i64, Outstanding>,
    removed: IdMap<i64>,
    /// For each computed trait that is or was there, the revision of its newest definition.
    defined: HashMap<Box<str>, i64>,
    matchers: HashMap<Name, Arc<Matcher>>,
    /// The trails of each type and name; None: any.
    by_name: HashMap<Name, BTreeSet<(u64, u32)>>,
    by_revision: Vec<(i64, u32)>,
    /// The segments of every profile without events and traits, and those that are to be asked for each profile.
    pub at_start: (Vec<u32>, Vec<u32>),
    settled: bool,
}

impl Program {
    pub fn new(host: Box<dyn Host + Send + Sync>) -> Program {
        Program {
            host,
            revision: 0,
            segments: Slab::default(),
            by_hash: IdMap::default(),
            dependents: IdMap::default(),
            readers: HashMap::new(),
            trails: Slab::default(),
            trail_of: IdMap::default(),
            series: Slab::default(),
            series_of: IdMap::default(),
            leaves: Slab::default(),
            leaf_of: IdMap::default(),
            sequences: Slab::default(),
            sequence_of: IdMap::default(),
            computed: HashMap::new(),
            tests: Slab::default(),
            test_of: HashMap::new(),
            tests_of_trait: HashMap::new(),
            time_driven: BTreeMap::new(),
            backfills: BTreeMap::new(),
            removed: IdMap::default(),
            defined: HashMap::new(),
            matchers: HashMap::new(),
            by_name: HashMap::new(),
            by_revision: Vec::new(),
            at_start: (Vec::new(), Vec::new()),
            settled: true,
        }
    }

    /// Adds a segment or replaces it; false where an older revision than the one that is there changes nothing.
    pub fn put(&mut self, spec: &SegmentSpec) -> Result<bool, SpecInvalid> {
        let hash = hash_of(&[&spec.key]);
        let known = self.by_hash.get(&hash).copied();
        let newest =
            known.map_or_else(|| self.removed.get(&hash).copied(), |place| Some(self.segments[place].revision));
        if newest.is_some_and(|newest| spec.revision <= newest) {
            return Ok(false);
        }
        // The new rule takes its leaves before the old one leaves them, so that what both need is never given up.
        let place = match known {
            Some(place) => place,
            None => self.segments.add(Segment::nothing(&spec.key, hash)),
        };
        let mut compiler =
            Compiler { program: self, place, revision: spec.revision, segment: Segment::nothing(&spec.key, hash) };
        let cond = match compiler.cond(&spec.rule) {
            Ok(cond) => cond,
            Err(invalid) => panic!("a checked rule could not be compiled, and has left its leaves behind: {invalid}"),
        };
        let mut segment = compiler.segment;
        segment.cond = cond;
        (segment.version, segment.revision, segment.paused) = (spec.version, spec.revision, spec.paused);
        (segment.backfill, segment.born) = (spec.backfill, spec.born);
        let old = std::mem::replace(&mut self.segments[place], segment);
        if known.is_some() {
            self.release(place, &old, true, spec.revision);
        }
        if spec.backfill != 0 {
            self.backfills.entry(spec.backfill).or_default().segments.insert(place);
        }
        self.by_hash.insert(hash, place);
        let (refers_to, lists) = (self.segments[place].refers_to.clone(), self.segments[place].lists.clone());
        for other in refers_to {
            self.dependents.entry(other).or_default().insert(place);
        }
        for name in lists {
            self.readers.entry(name).or_default().insert(place);
        }
        if !self.segments[place].personal {
            let at_start = self.holds(&self.segments[place].cond, &mut State::new(""));
            self.segments[place].at_start = at_start;
        }
        self.changed(spec.revision);
        Ok(true)
    }

    /// Takes a segment out, with the leaves that only it needed; an older definition cannot bring it back.
    ///
    /// Whether there was one to take out.
    pub fn remove(&mut self, key: &str, revision: i64) -> bool {
        let hash = hash_of(&[key]);
        let removed = self.removed.entry(hash).or_insert(revision);
        *removed = revision.max(*removed);
        let known = self.by_hash.get(&hash).copied().filter(|place| self.segments[*place].revision < revision);
        if let Some(place) = known {
            let old = std::mem::replace(&mut self.segments[place], Segment::nothing(key, hash));
            self.release(place, &old, false, revision);
            self.segments.remove(place);
            self.by_hash.remove(&hash);
        }
        self.changed(revision);
        known.is_some()
    }

    /// Adds a computed trait or replaces it. A revision no newer than what was seen of it changes nothing.
    pub fn put_computed_trait(&mut self, spec: &ComputedSpec) -> Result<(), SpecInvalid> {
        if self.defined.get(&spec.key).is_some_and(|newest| spec.revision <= *newest) {
            return Ok(());
        }
        self.remove_computed_trait(&spec.key, spec.revision);
        let leaf = self.leaf(&spec.measure, spec.revision)?;
        self.leaves[leaf].computed.push((spec.key.clone(), spec.kind));
        self.leaves[leaf].arrange();
        self.arrange(self.series[self.leaves[leaf].series].trail, spec.revision);
        self.computed.insert(spec.key.clone(), leaf);
        Ok(())
    }

    /// Takes a computed trait out; an older definition cannot bring it back.
    pub fn remove_computed_trait(&mut self, key: &str, revision: i64) {
        if self.defined.get(key).is_some_and(|newest| revision <= *newest) {
            return;
        }
        self.defined.insert(key.into(), revision);
        if let Some(leaf) = self.computed.remove(key) {
            self.leaves[leaf].computed.retain(|(known, _)| &**known != key);
            self.free(Asked::Leaf(leaf), revision);
        }
        self.changed(revision);
    }

    /// Brings what is derived from all segments up to date.
    pub fn settle(&mut self) {
        if self.settled {
            return;
        }
        self.settled = true;
        let places: Vec<u32> = self.segments.iter().map(|(place, _)| place).collect();
        for place in &places {
            self.segments[*place].order = 0;
        }
        for place in &places {
            self.number(*place);
        }
        self.by_revision = self.segments.iter().map(|(place, segment)| (segment.revision, place)).collect();
        self.by_revision.sort_unstable();
        let asked = self.segments.iter().filter(|(_, segment)| !segment.paused);
        let (personal, others): (Vec<_>, Vec<_>) = asked.partition(|(_, segment)| segment.personal);
        self.at_start = (
            others.into_iter().filter(|(_, segment)| segment.at_start).map(|(place, _)| place).collect(),
            personal.into_iter().map(|(place, _)| place).collect(),
        );
    }

    fn number(&mut self, place: u32) -> u32 {
        if self.segments[place].order == 0 {
            self.segments[place].order = 1; // ends a cycle, which the catalog refuses but a log of the past might hold
            let others: Vec<u32> =
                self.segments[place].refers_to.iter().filter_map(|hash| self.by_hash.get(hash).copied()).collect();
            let most = others.into_iter().map(|other| self.number(other)).max().unwrap_or(0);
            self.segments[place].order = most + 1;
        }
        self.segments[place].order
    }

    /// The segments whose definition is newer than `revision`.
    pub fn changed_since(&self, revision: i64) -> impl Iterator<Item = u32> + '_ {
        let start = self.by_revision.partition_point(|(known, _)| *known <= revision);
        self.by_revision[start..].iter().map(|(_, place)| *place)
    }

    /// The matcher for an event's type and name.
    pub fn matcher(&mut self, kind: &str, name: &str) -> Arc<Matcher> {
        // A name that no rule speaks of shares the matcher of its type: names are without number, rules are not.
        let named = (Box::from(kind), Some(Box::from(name)));
        let any = (Box::from(kind), None);
        let key = if self.by_name.get(&named).is_some_and(|trails| !trails.is_empty()) { &named } else { &any };
        if let Some(made) = self.matchers.get(key) {
            return made.clone();
        }
        let mut places: Vec<u32> = Vec::new();
        for place in if *key == any { vec![&any] } else { vec![&any, &named] } {
            places.extend(self.by_name.get(place).into_iter().flatten().map(|(_, trail)| *trail));
        }
        let made = Arc::new(Matcher::new(places.into_iter().map(|place| (place, &self.trails[place]))));
        self.matchers.insert(key.clone(), made.clone());
        made
    }

    fn trail(&mut self, spec: &PatternSpec) -> Result<u32, SpecInvalid> {
        if let Some(place) = self.trail_of.get(&spec.trail) {
            return Ok(*place);
        }
        let tests = spec.tests.iter().map(|test| test.compiled(&*self.host).map(Arc::new)).collect::<Result<_, _>>()?;
        let trail = Trail {
            id: spec.trail,
            backfill: spec.backfill,
            kind: spec.kind.clone(),
            name: spec.name.clone(),
            tests,
            series: Vec::new(),
            leaves: Vec::new(),
            sequences: Vec::new(),
            revision: 0,
            plan: Plan::default(),
        };
        let place = self.trails.add(trail);
        self.trail_of.insert(spec.trail, place);
        if spec.backfill != 0 {
            self.backfills.entry(spec.backfill).or_default().trails.insert(place);
        }
        self.by_name.entry((spec.kind.clone(), spec.name.clone())).or_default().insert((spec.trail, place));
        self.forget_matchers(&spec.kind, spec.name.as_deref());
        Ok(place)
    }

    fn forget_matchers(&mut self, kind: &str, name: Option<&str>) {
        self.matchers.retain(|(known, known_name), _| {
            &**known != kind || (name.is_some() && known_name.is_some() && known_name.as_deref() != name)
        });
    }

    /// The leaf of a measure over a window; made where there was none.
    fn leaf(&mut self, spec: &MeasureSpec, revision: i64) -> Result<u32, SpecInvalid> {
        let trail = self.trail(&spec.pattern)?;
        let series = match self.series_of.get(&spec.series) {
            Some(series) => *series,
            None => {
                let series = self.series.add(SeriesSpec {
                    id: spec.series,
                    trail,
                    family: spec.family,
                    path: spec.path.clone(),
                    way: spec.path.as_ref().map(|path| path.join(".").into()),
                    step_ms: spec.within_ms.map(|within_ms| Window { within_ms }.step_ms()),
                    leaves: Vec::new(),
                    longest: None,
                });
                self.series_of.insert(spec.series, series);
                self.trails[trail].series.push(series);
                series
            }
        };
        if let Some(leaf) = self.leaf_of.get(&spec.leaf) {
            return Ok(*leaf);
        }
        let window = spec.within_ms.map(|within_ms| Window { within_ms });
        let leaf = self.leaves.add(Leaf::new(spec.leaf, series, spec.family, window));
        self.leaf_of.insert(spec.leaf, leaf);
        self.series[series].leaves.push(leaf);
        self.trails[trail].leaves.push(leaf);
        self.arrange(trail, revision);
        Ok(leaf)
    }

    fn sequence(&mut self, spec: &SequenceSpec) -> Result<u32, SpecInvalid> {
        if let Some(sequence) = self.sequence_of.get(&spec.id) {
            return Ok(*sequence);
        }
        let trails = spec.patterns.iter().map(|pattern| self.trail(pattern)).collect::<Result<Vec<u32>, _>>()?;
        let sequence = self.sequences.add(SequenceLeaf {
            id: spec.id,
            shape: spec.shape.clone(),
            trails: trails.clone(),
            conditions: Default::default(),
        });
        self.sequence_of.insert(spec.id, sequence);
        for trail in BTreeSet::from_iter(trails) {
            self.trails[trail].sequences.push(sequence);
        }
        Ok(sequence)
    }

    /// Puts what an event needs in order, after a series, a leaf or a sequence of a trail came or went.
    fn arrange(&mut self, place: u32, revision: i64) {
        for series in self.trails[place].series.clone() {
            let leaves = &self.series[series].leaves;
            self.series[series].longest = leaves.iter().filter_map(|leaf| self.leaves[*leaf].window).max();
        }
        let plan = self.planned(place);
        let trail = &mut self.trails[place];
        trail.plan = plan;
        trail.revision = trail.revision.max(revision);
    }

    fn planned(&self, place: u32) -> Plan {
        let trail = &self.trails[place];
        let mut plan = Plan::default();
        let mut series = trail.series.clone();
        series.sort_unstable_by_key(|each| self.series[*each].id);
        let mut leaves = trail.leaves.clone();
        leaves.sort_unstable_by_key(|each| self.leaves[*each].id);
        let mut sequences = trail.sequences.clone();
        sequences.sort_unstable_by_key(|each| self.sequences[*each].id);
        let numbers = series.iter().map(|each| &self.series[*each]).filter(|each| each.family == Family::Numbers);
        plan.paths = BTreeSet::from_iter(numbers.filter_map(|each| each.path.clone())).into_iter().collect();
        plan.ways = plan.paths.iter().map(|path| path.join(".").into()).collect();
        plan.sums = vec![Vec::new(); plan.paths.len()];
        for leaf in leaves {
            let spec = &self.leaves[leaf];
            match &self.series[spec.series].path {
                _ if spec.each_event => plan.each_event.push(leaf),
                Some(path) => {
                    let index = plan.paths.binary_search(path).expect("every path of numbers is there");
                    plan.sums[index].push(leaf);
                }
                None => plan.counts.push(leaf),
            }
        }
        plan.kept = series.iter().map(|each| self.series[*each].id).collect();
        (plan.immediate, plan.tailed) = series.into_iter().partition(|each| self.series[*each].family.immediate());
        if !sequences.is_empty() {
            plan.kept.push(trail.id);
        }
        for sequence in sequences {
            let leaf = &self.sequences[sequence];
            let window = leaf.shape.window;
            plan.times_ms = plan.times_ms.max(window.within_ms + window.step_ms());
            if leaf.home() == place {
                let before = leaf.last().checked_sub(1).map(|step| self.trails[leaf.trails[step]].id);
                match plan.last_of.iter_mut().find(|(known, _)| *known == before) {
                    Some((_, sequences)) => sequences.push(sequence),
                    None => plan.last_of.push((before, vec![sequence])),
                }
            }
            if leaf.shape.absent_gap_ms.is_some() && leaf.trails.last() == Some(&place) {
                plan.absent_of.push(sequence);
            }
        }
        plan
    }

    fn changed(&mut self, revision: i64) {
        self.revision = self.revision.max(revision);
        self.settled = false;
    }

    /// Gives up what an old rule needed and, where there is a new one in its place, that one does not.
    fn release(&mut self, place: u32, old: &Segment, replaced: bool, revision: i64) {
        for (leaf, condition) in &old.asked {
            if replaced && self.segments[place].asked.contains(&(*leaf, condition.clone())) {
                continue;
            }
            let conditions = match leaf {
                Asked::Leaf(leaf) => &mut self.leaves[*leaf].conditions,
                Asked::Sequence(sequence) => &mut self.sequences[*sequence].conditions,
            };
            if conditions.remove(condition, place) {
                self.free(*leaf, revision);
            }
        }
        for test in &old.tests {
            if !(replaced && self.segments[place].tests.contains(test)) {
                self.unwatch(*test, place);
            }
        }
        for other in &old.refers_to {
            if let Some(dependents) = self.dependents.get_mut(other) {
                dependents.remove(&place);
            }
        }
        for name in &old.lists {
            if let Some(readers) = self.readers.get_mut(name) {
                readers.remove(&place);
            }
        }
        if let Some(outstanding) = self.backfills.get_mut(&old.backfill) {
            if !replaced || self.segments[place].backfill != old.backfill {
                outstanding.segments.remove(&place);
            }
            if outstanding.segments.is_empty() {
                self.backfills.remove(&old.backfill);
            }
        }
    }

    /// A condition or computed trait has left the leaf: take out what nobody needs any more.
    fn free(&mut self, asked: Asked, revision: i64) {
        match asked {
            Asked::Sequence(place) => {
                let leaf = self.sequences.remove(place);
                self.sequence_of.remove(&leaf.id);
                for trail in BTreeSet::from_iter(leaf.trails) {
                    self.trails[trail].sequences.retain(|other| *other != place);
                    self.tidy(trail, revision);
                }
            }
            Asked::Leaf(place) => {
                let series = self.leaves[place].series;
                let trail = self.series[series].trail;
                if self.leaves[place].unused() {
                    let leaf = self.leaves.remove(place);
                    self.leaf_of.remove(&leaf.id);
                    self.trails[trail].leaves.retain(|other| *other != place);
                    self.series[series].leaves.retain(|other| *other != place);
                    if self.series[series].leaves.is_empty() {
                        let gone = self.series.remove(series);
                        self.series_of.remove(&gone.id);
                        self.trails[trail].series.retain(|other| *other != series);
                    }
                } else {
                    self.leaves[place].arrange();
                }
                self.tidy(trail, revision);
            }
        }
    }

    fn tidy(&mut self, place: u32, revision: i64) {
        if !self.trails[place].unused() {
            self.arrange(place, revision);
            return;
        }
        let trail = self.trails.remove(place);
        self.trail_of.remove(&trail.id);
        if let Some(outstanding) = self.backfills.get_mut(&trail.backfill) {
            outstanding.trails.remove(&place);
        }
        let name = (trail.kind.clone(), trail.name.clone());
        if let Some(trails) = self.by_name.get_mut(&name) {
            trails.remove(&(trail.id, place));
            if trails.is_empty() {
                self.by_name.remove(&name);
            }
        }
        self.forget_matchers(&trail.kind, trail.name.as_deref());
    }

    fn watch(&mut self, test: Test, segment: u32) -> u32 {
        if let Some(place) = self.test_of.get(&test.name) {
            self.tests[*place].segments.insert(segment);
            return *place;
        }
        let (root, way) = root_of(&test.path);
        let (name, time_driven) = (test.name.clone(), test.op.time_driven());
        let place = self.tests.add(TraitTest { test, root: root.clone(), way, segments: BTreeSet::from([segment]) });
        self.test_of.insert(name, place);
        self.tests_of_trait.entry(root.clone()).or_default().push(place);
        if time_driven {
            self.time_driven.entry(root).or_default().push(place);
        }
        place
    }

    fn unwatch(&mut self, place: u32, segment: u32) {
        self.tests[place].segments.remove(&segment);
        if !self.tests[place].segments.is_empty() {
            return;
        }
        let known = self.tests.remove(place);
        self.test_of.remove(&known.test.name);
        if let Some(tests) = self.tests_of_trait.get_mut(&known.root) {
            tests.retain(|test| *test != place);
            if tests.is_empty() {
                self.tests_of_trait.remove(&known.root);
            }
        }
        if let Some(tests) = self.time_driven.get_mut(&known.root) {
            tests.retain(|test| *test != place);
            if tests.is_empty() {
                self.time_driven.remove(&known.root);
            }
        }
    }

    // --- what a profile is asked

    /// Whether a rule holds for a profile at the profile's instant.
    pub fn holds(&self, cond: &Cond, state: &mut State) -> bool {
        match cond {
            Cond::All(children) => children.iter().all(|child| self.holds(child, state)),
            Cond::Any(children) => children.iter().any(|child| self.holds(child, state)),
            Cond::Not(child) => !self.holds(child, state),
            Cond::Trait(test) => {
                let known = &self.tests[*test];
                let now_ms = state.now_ms;
                known.test.op.holds(&*self.host, read(state, &known.test.path), now_ms)
            }
            Cond::Event { leaf, bit, .. } => {
                let leaf = &self.leaves[*leaf];
                let trail = self.trails[self.series[leaf.series].trail].id;
                let reading = state.reading(trail, leaf.id).unwrap_or_else(|| leaf.family.nothing());
                bit_of(leaf.gauge.mask(&reading, &mut Mask::new()), *bit)
            }
            Cond::Sequence(sequence) => {
                let leaf = &self.sequences[*sequence];
                state.reading(self.trails[leaf.home()].id, leaf.id) == Some(Reading::Held)
            }
            Cond::Segment(hash) => state.is_in(*hash),
            Cond::List(name) => state.lists.contains(name),
            Cond::Bucket { salt, first, end } => (*first..*end).contains(&bucket_of(salt, &state.profile_id)),
        }
    }

    /// The segments of the tests that a change of a trait turns.
    pub fn turned(&self, root: &str, old: Option<&Value>, new: Option<&Value>, now_ms: i64, into: &mut Vec<u32>) {
        for place in self.tests_of_trait.get(root).into_iter().flatten() {
            let known = &self.tests[*place];
            if known.holds_below(&*self.host, old, now_ms) != known.holds_below(&*self.host, new, now_ms) {
                into.extend(&known.segments);
            }
        }
    }

    /// When time alone next turns a test of a trait that has this value; None where it turns none.
    pub fn next_turn_ms(&self, root: &str, value: Option<&Value>, now_ms: i64) -> Option<i64> {
        let tests = self.time_driven.get(root).into_iter().flatten().map(|place| &self.tests[*place]);
        tests.filter_map(|known| known.test.op.next_flip_ms(&*self.host, below(value, &known.way), now_ms)).min()
    }

    /// The segments of the tests of a trait that time alone may turn.
    pub fn time_driven_segments(&self, root: &str, into: &mut Vec<u32>) {
        for place in self.time_driven.get(root).into_iter().flatten() {
            into.extend(&self.tests[*place].segments);
        }
    }
}

impl TraitTest {
    fn holds_below(&self, host: &dyn Host, value: Option<&Value>, now_ms: i64) -> bool {
        self.test.op.holds(host, below(value, &self.way), now_ms)
    }
}

impl Segment {
    fn nothing(key: &str, hash: u64) -> Segment {
        Segment {
            key: key.into(),
            hash,
            version: 0,
            revision: 0,
            paused: false,
            backfill: 0,
            born: 0,
            cond: Cond::Any(Vec::new()),
            asked: HashSet::new(),
            tests: BTreeSet::new(),
            refers_to: Vec::new(),
            lists: Vec::new(),
            personal: false,
            at_start: false,
            order: 0,
        }
    }
}

/// Makes the tree of one segment's rule, taking leaves and tests for it.
struct Compiler<'a> {
    program: &'a mut Program,
    place: u32,
    revision: i64,
    segment: Segment,
}

impl Compiler<'_> {
    fn cond(&mut self, node: &Node) -> Result<Cond, SpecInvalid> {
        Ok(match node {
            Node::All(children) => Cond::All(self.conds(children)?),
            Node::Any(children) => Cond::Any(self.conds(children)?),
            Node::Not(child) => Cond::Not(Box::new(self.cond(child)?)),
            Node::Trait(test) => {
                let test = test.compiled(&*self.program.host)?;
                let place = self.program.watch(test, self.place);
                self.segment.tests.insert(place);
                Cond::Trait(place)
            }
            Node::Event(spec, condition) => {
                let leaf = self.program.leaf(spec, self.revision)?;
                let (bit, new) = self.program.leaves[leaf].conditions.add(condition, self.place);
                if new {
                    self.program.leaves[leaf].arrange();
                    let trail = self.program.series[self.program.leaves[leaf].series].trail;
                    self.program.arrange(trail, self.revision);
                }
                self.segment.asked.insert((Asked::Leaf(leaf), condition.clone()));
                Cond::Event { leaf, bit, measure: condition.measure }
            }
            Node::Sequence(spec) => {
                let sequence = self.program.sequence(spec)?;
                let condition = Condition::happened();
                if self.program.sequences[sequence].conditions.add(&condition, self.place).1 {
                    for trail in self.program.sequences[sequence].trails.clone() {
                        self.program.arrange(trail, self.revision);
                    }
                }
                self.segment.asked.insert((Asked::Sequence(sequence), condition));
                Cond::Sequence(sequence)
            }
            Node::Segment(key) => {
                let hash = hash_of(&[key]);
                self.segment.refers_to.push(hash);
                self.segment.personal = true;
                Cond::Segment(hash)
            }
            Node::List(name) => {
                self.segment.lists.push(name.clone());
                self.segment.personal = true;
                Cond::List(name.clone())
            }
            Node::Bucket { salt, first, end } => {
                self.segment.personal = true;
                Cond::Bucket { salt: salt.clone(), first: *first, end: *end }
            }
        })
    }

    fn conds(&mut self, nodes: &[Node]) -> Result<Vec<Cond>, SpecInvalid> {
        nodes.iter().map(|node| self.cond(node)).collect()
    }
}

/// The trait that a path reads, and the way on from there.
///
/// A computed trait is named with its prefix: `computed.` shadows a trait of that name, and a trait whose own key holds a
/// dot has no path, so that the two never meet.
fn root_of(path: &Path) -> (Box<str>, Path) {
    if &*path[0] == COMPUTED && path.len() > 1 {
        return (computed_name(&path[1]), path[2..].into());
    }
    (path[0].clone(), path[1..].into())
}

/// What a computed trait is called among the traits.
pub fn computed_name(key: &str) -> Box<str> {
    format!("{COMPUTED}.{key}").into()
}

/// The value that a trait's path leads to; None where it leads nowhere.
pub fn read<'a>(state: &'a mut State, path: &Path) -> Option<&'a Value> {
    if &*path[0] == COMPUTED && path.len() > 1 {
        return below(state.computed.get(&path[1]), &path[2..]);
    }
    below(state.traits().get(&path[0]), &path[1..])
}

/// The value of a trait by the name that tests know it by.
pub fn root_value<'a>(state: &'a mut State, root: &str) -> Option<&'a Value> {
    match root.split_once('.') {
        Some((COMPUTED, key)) => state.computed.get(key).and_then(Value::some),
        _ => state.traits().get(root).and_then(Value::some),
    }
}

fn below<'a>(value: Option<&'a Value>, way: &[Box<str>]) -> Option<&'a Value> {
    value?.walk(way)
}

/// The profile's bucket, 0 to 9,999 (rules.md, "Nodes").
pub fn bucket_of(salt: &str, profile_id: &str) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(salt.as_bytes());
    hasher.update(b":");
    hasher.update(profile_id.as_bytes());
    let digest = hasher.finalize();
    u64::from_be_bytes(digest[..8].try_into().expect("eight bytes")) % BUCKETS
}
