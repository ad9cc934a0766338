//! An event joins trails; leaves are looked at when a condition of theirs may have changed, and only then.
//!
//! What a leaf read when it was last looked at stands in the trail's `Walk`. Until its mark (a count or a sum of the
//! trail) or its due instant is reached, the conditions that held then hold now, though the reading itself has moved on.

use std::collections::BTreeSet;

use crate::decimals::to_micros;
use crate::evaluate::Step;
use crate::event::Event;
use crate::ids::apart;
use crate::leaves::{Leaf, SeriesSpec, Trail};
use crate::predicates::Source;
use crate::program::Program;
use crate::sequences::{held, occurrences, Times};
use crate::series::{Family, Occurrence, Reading, Series};
use crate::state::{Backfill, State};
use crate::walk::{Kept, Walk, NEVER};

/// How many events a trail notes before its series take them in.
const MOST_NEW: usize = 16;

/// The largest magnitude, in millionths, of a number that is noted and of a sum that is kept running.
const WIDEST: i128 = 1 << 53;

/// A walk in somebody's hands, with what is needed to look at it.
struct Look<'a> {
    program: &'a Program,
    trail: &'a Trail,
    walk: &'a mut Walk,
    raw: &'a [u8],
    now_ms: i64,
}

/// Takes a trail's walk out of the state, does something with it, and puts it back.
fn with_walk<T>(program: &Program, state: &mut State, place: u32, work: impl FnOnce(&mut Look<'_>) -> T) -> Option<T> {
    let trail = &program.trails[place];
    let mut walk = state.take(trail.id)?;
    let mut look = Look { program, trail, walk: &mut walk, raw: state.raw(), now_ms: state.now_ms };
    let done = work(&mut look);
    state.keep(trail.id, walk);
    Some(done)
}

/// The event joins a trail; the windows over it that it may have changed are looked at.
pub fn note(program: &Program, state: &mut State, place: u32, event: &Event, step: &mut Step) {
    let trail = &program.trails[place];
    if !state.has_trail(trail.id) {
        let mut walk = Box::new(Walk::new(&trail.plan.ways, trail.plan.kept.iter().copied()));
        let mut look = Look { program, trail, walk: &mut walk, raw: &[], now_ms: state.now_ms };
        look.set_marks();
        state.keep(trail.id, walk);
    }
    // Every trail knows an event by one number, also where its history is fed to some of them later.
    let number = event.offset.map_or(state.events, |offset| offset as u64);
    with_walk(program, state, place, |look| {
        look.note(event, number);
        look.look_around(event, step);
    });
}

/// Lets every series take in the trail's newest events once there are many, and forgets them.
pub fn settle_if_long(program: &Program, state: &mut State, place: u32) {
    let trail = &program.trails[place];
    if state.walk(trail.id).is_none_or(|walk| walk.times.len() < MOST_NEW) {
        return;
    }
    with_walk(program, state, place, |look| {
        if !look.trail.sequences.is_empty() {
            look.with_times(|_| ());
        }
        for series in &look.trail.plan.tailed {
            look.with_series(*series, |_, _| ());
        }
        look.walk.times.clear();
        look.walk.numbers.clear();
        look.walk.values.iter_mut().for_each(Vec::clear);
    });
}

/// Time has come to a trail.
pub fn fall_due(program: &Program, state: &mut State, id: u64, step: &mut Step) {
    let Some(place) = program.trail_of.get(&id).copied() else { return };
    let now_ms = state.now_ms;
    let due = |walk: &Walk| -> Vec<u64> {
        let due = walk.notes.iter().filter(|note| note.due_ms.is_some_and(|due_ms| due_ms <= now_ms));
        due.map(|note| note.id).collect()
    };
    for id in state.walk(id).map_or(Vec::new(), |walk| due(walk)) {
        if let Some(leaf) = program.leaf_of.get(&id) {
            with_walk(program, state, place, |look| look.look(*leaf, step));
        } else if let Some(sequence) = program.sequence_of.get(&id) {
            look_at_sequence(program, state, *sequence, step);
        } else {
            with_walk(program, state, place, |look| look.set_due(id, None));
        }
    }
}

/// Forgets what no rule needs any more, and looks at every leaf over a trail that has changed.
///
/// What stays of the leaves keeps its state. A new leaf begins with nothing; that of a backfill is kept apart until its
/// history is in.
pub fn adopt(program: &Program, state: &mut State, step: &mut Step) {
    let mut changed = united(program, state);
    for id in state.trail_ids() {
        match program.trail_of.get(&id) {
            None => state.leave_trail(id),
            Some(place) if program.trails[*place].revision > state.revision && !changed.contains(place) => {
                with_walk(program, state, *place, |look| look.arrange());
                changed.insert(*place);
            }
            Some(_) => {}
        }
    }
    for place in changed {
        look_at_all(program, state, place, step);
    }
    for key in state.computed.keys().filter(|key| !program.computed.contains_key(*key)) {
        step.computed.insert(key.clone(), None);
    }
    state.trait_dues.retain(|root, _| program.time_driven.contains_key(root));
}

/// Backfills that are no longer outstanding: what was kept apart for them joins what is kept for all rules. Gives the
/// trails that it joined. Backfills that are new: the profile gets what comes from now on.
fn united(program: &Program, state: &mut State) -> BTreeSet<u32> {
    let mut joined = BTreeSet::new();
    let over: Vec<i64> = state.backfills.iter().map(|known| known.number).collect();
    for backfill in over.into_iter().filter(|number| !program.backfills.contains_key(number)) {
        state.backfills.retain(|known| known.number != backfill);
        for id in state.trail_ids() {
            let shared = program.trail_of.get(&apart(id, backfill));
            if let (None, Some(place)) = (program.trail_of.get(&id), shared) {
                unite(program, state, id, *place, backfill);
                joined.insert(*place);
            }
        }
    }
    for number in program.backfills.keys() {
        if !state.backfills.iter().any(|known| known.number == *number) {
            // Of a profile that begins now there is no history, as far as anybody can know.
            let open = state.created_ms == 0;
            let from = state.position;
            state.backfills.push(Backfill { number: *number, from, fed: 0, open, filled: false });
        }
    }
    joined
}

fn unite(program: &Program, state: &mut State, id: u64, place: u32, backfill: i64) {
    let trail = &program.trails[place];
    let mut kept_apart = state.take(id).expect("the profile is on it");
    state.leave_trail(id);
    kept_apart.notes.iter_mut().for_each(|note| note.id = apart(note.id, backfill));
    kept_apart.slots.iter_mut().for_each(|slot| slot.id = apart(slot.id, backfill));
    if !state.has_trail(trail.id) {
        let walk = Walk::new(&trail.plan.ways, trail.plan.kept.iter().copied());
        state.keep(trail.id, Box::new(walk));
    }
    with_walk(program, state, place, |look| {
        look.arrange();
        let mut other = Look { walk: &mut kept_apart, ..*look };
        other.arrange();
        look.unite(&mut kept_apart);
    });
}

/// History of a backfill: the event joins those of its trails that it matches. Nothing is decided by it.
pub fn feed(program: &Program, state: &mut State, trails: &[u32], event: &Event) {
    // What is read on the way is read again at the end of the history.
    let unread = &mut Step::default();
    for trail in trails {
        note(program, state, *trail, event, unread);
    }
    for trail in trails {
        settle_if_long(program, state, *trail);
    }
}

/// The history of a backfill is in: looks at everything that it was for.
pub fn look_at_history(program: &Program, state: &mut State, backfill: i64, step: &mut Step) {
    for place in &program.backfills[&backfill].trails {
        look_at_all(program, state, *place, step);
    }
}

/// Looks at every leaf and sequence over a trail.
fn look_at_all(program: &Program, state: &mut State, place: u32, step: &mut Step) {
    with_walk(program, state, place, |look| {
        for leaf in &look.trail.leaves {
            look.look(*leaf, step);
        }
    });
    for sequence in &program.trails[place].sequences {
        look_at_sequence(program, state, *sequence, step);
    }
    with_walk(program, state, place, |look| look.set_marks());
}

/// Decides the sequences that an event of the trail may have changed; one that came `late` may change any.
pub fn look_at_sequences(program: &Program, state: &mut State, place: u32, event: &Event, late: bool, step: &mut Step) {
    let trail = &program.trails[place];
    if trail.sequences.is_empty() {
        return;
    }
    if late {
        for sequence in &trail.sequences {
            look_at_sequence(program, state, *sequence, step);
        }
        return;
    }
    for sequence in &trail.plan.absent_of {
        let leaf = &program.sequences[*sequence];
        let home = state.walk(program.trails[leaf.home()].id);
        if home.is_some_and(|home| home.note(leaf.id).is_some_and(|n| n.due_ms.is_some() || n.reading.is_some())) {
            look_at_sequence(program, state, *sequence, step);
        }
    }
    for (before, sequences) in &trail.plan.last_of {
        let before_ms = match before {
            None => None,
            Some(id) if !state.has_trail(*id) => continue,
            Some(id) => state.walk(*id).map(|walk| walk.last_ms),
        };
        for sequence in sequences {
            let leaf = &program.sequences[*sequence];
            // One that holds already can only hold for longer; its due instant may come early, never late.
            if leaf.shape.absent_gap_ms.is_none() && state.reading(trail.id, leaf.id).is_some() {
                continue;
            }
            let recent = match (before_ms, leaf.shape.gaps_ms[leaf.last()]) {
                (Some(before_ms), Some(gap_ms)) => before_ms >= event.time_ms - gap_ms,
                _ => true,
            };
            if recent {
                look_at_sequence(program, state, *sequence, step);
            }
        }
    }
}

/// Decides a sequence at the state's instant: whether that changed, and when time alone next does.
///
/// What is known of a sequence stands in the walk of its last step's trail, its home: without such an event it cannot
/// hold.
fn look_at_sequence(program: &Program, state: &mut State, sequence: u32, step: &mut Step) {
    let leaf = &program.sequences[sequence];
    let home = program.trails[leaf.home()].id;
    if !state.has_trail(home) {
        return;
    }
    step.leaves += 1;
    let now_ms = state.now_ms;
    let window = leaf.shape.window;
    let from_ms = window.first_pane(now_ms) * window.step_ms();
    for place in &leaf.trails {
        with_walk(program, state, *place, |look| look.open_times());
    }
    let times = leaf.trails.iter().map(|place| state.opened_times(program.trails[*place].id));
    let (holds, due_ms) = held(&leaf.shape, &occurrences(times, from_ms), now_ms);
    with_walk(program, state, leaf.home(), |look| {
        let note = look.walk.note_of(leaf.id);
        if holds != note.reading.is_some() {
            note.reading = holds.then_some(Reading::Held);
            step.touched.extend(leaf.conditions.segments());
        }
        look.set_due(leaf.id, due_ms);
    });
}

/// What a leaf reads at the state's instant, for somebody who asks.
pub fn measured(program: &Program, state: &mut State, leaf: u32) -> Reading {
    let leaf = &program.leaves[leaf];
    let place = program.series[leaf.series].trail;
    let first_pane = leaf.first_pane(state.now_ms);
    let read =
        with_walk(program, state, place, |look| look.with_series(leaf.series, |_, kept| kept.reading(first_pane)));
    read.unwrap_or_else(|| leaf.family.nothing())
}

impl Look<'_> {
    fn note(&mut self, event: &Event, number: u64) {
        let walk = &mut *self.walk;
        walk.changed = true;
        walk.count += 1;
        walk.last_ms = walk.last_ms.max(event.time_ms);
        walk.times.push(event.time_ms);
        if !self.trail.sequences.is_empty() {
            walk.numbers.push(number);
        }
    }

    /// Looks at the windows over the trail that the event may have changed.
    fn look_around(&mut self, event: &Event, step: &mut Step) {
        let plan = &self.trail.plan;
        for (index, path) in plan.paths.iter().enumerate() {
            let micros = event.find(Source::Property, path).and_then(to_micros);
            let noted = micros.filter(|micros| micros.abs() <= WIDEST).map(|micros| micros as i64);
            self.walk.values[index].push(noted);
            if let Some(micros) = micros.filter(|micros| *micros != 0) {
                self.sum_moved(index, micros, event, step);
            }
        }
        let count = self.walk.count as i64;
        if count >= self.walk.mark {
            for leaf in &plan.counts {
                if count >= self.mark_of(&self.program.leaves[*leaf]) {
                    self.look(*leaf, step);
                }
            }
            self.walk.mark = self.least_mark(&plan.counts);
        }
        for series in &plan.immediate {
            self.take_in(*series, event);
        }
        for leaf in &plan.each_event {
            self.look(*leaf, step);
        }
    }

    /// A number has come on a path: looks at the leaves whose mark the sum has reached.
    fn sum_moved(&mut self, index: usize, micros: i128, event: &Event, step: &mut Step) {
        let plan = &self.trail.plan;
        let mut everything = true;
        if micros.abs() > WIDEST {
            // Too large to be noted: the series take it in at once.
            for place in &plan.tailed {
                let spec = &self.program.series[*place];
                let pane = spec.pane_of(event.time_ms);
                if spec.path.as_ref() == Some(&plan.paths[index]) && pane >= spec.first_pane(self.now_ms) {
                    self.with_series(*place, |_, kept| kept.add_number(pane, micros));
                }
            }
        } else {
            self.walk.sums[index] += micros as i64;
            // A sum that falls may change a condition before its mark and before its due instant.
            everything = micros < 0;
        }
        if i128::from(self.walk.sums[index]).abs() > WIDEST {
            self.walk.sums[index] = 0;
            everything = true;
        }
        let total = self.walk.sums[index];
        if everything || total >= self.walk.marks[index] {
            for leaf in &plan.sums[index] {
                if everything || total >= self.mark_of(&self.program.leaves[*leaf]) {
                    self.look(*leaf, step);
                }
            }
            self.walk.marks[index] = self.least_mark(&plan.sums[index]);
        }
    }

    /// The trail's marks from those of its leaves.
    fn set_marks(&mut self) {
        let plan = &self.trail.plan;
        self.walk.mark = self.least_mark(&plan.counts);
        self.walk.marks = plan.sums.iter().map(|leaves| self.least_mark(leaves)).collect();
    }

    fn least_mark(&self, leaves: &[u32]) -> i64 {
        leaves.iter().map(|leaf| self.mark_of(&self.program.leaves[*leaf])).min().unwrap_or(NEVER)
    }

    /// The count or sum at which a leaf is to be looked at.
    fn mark_of(&self, leaf: &Leaf) -> i64 {
        match self.walk.note(leaf.id) {
            Some(note) if note.reading.is_some() => note.mark.unwrap_or(NEVER),
            _ => leaf.first_mark,
        }
    }

    fn take_in(&mut self, place: u32, event: &Event) {
        let spec = &self.program.series[place];
        let pane = spec.pane_of(event.time_ms);
        if pane < spec.first_pane(self.now_ms) {
            return;
        }
        let found = spec.path.as_ref().and_then(|path| event.find(Source::Property, path));
        if found.is_none() {
            return;
        }
        let at =
            Occurrence { time_ms: event.time_ms, message_id: event.message_id.clone(), source: event.source.clone() };
        self.with_series(place, |_, kept| kept.add_value(pane, found, &at));
    }

    /// Opens what is kept for a series, with the trail's newest events and without what no window holds any more.
    fn with_series<T>(&mut self, place: u32, work: impl FnOnce(&mut Walk, &mut Series) -> T) -> T {
        let spec = &self.program.series[place];
        let raw = self.raw;
        let slot = self.walk.slot(spec.id).expect("a trail keeps all its series");
        let mut kept = match std::mem::replace(&mut slot.kept, Kept::Taken) {
            Kept::Packed(range) => Box::new(Series::unpack(spec.family, &raw[range])),
            Kept::Series(kept) => kept,
            Kept::Times(_) | Kept::Taken => unreachable!("a series is in its slot"),
        };
        let first_pane = spec.first_pane(self.now_ms);
        if !spec.family.immediate() && kept.upto < self.walk.count {
            catch_up(&mut kept, spec, self.walk, first_pane);
        }
        kept.expire(first_pane);
        self.walk.changed = true;
        let done = work(self.walk, &mut kept);
        self.walk.slot(spec.id).expect("it was there before").kept = Kept::Series(kept);
        done
    }

    /// Opens the times of the trail's events that some sequence may still need.
    fn with_times<T>(&mut self, work: impl FnOnce(&mut Times) -> T) -> Option<T> {
        let (raw, id) = (self.raw, self.trail.id);
        let slot = self.walk.slot(id)?;
        let mut kept = match std::mem::replace(&mut slot.kept, Kept::Taken) {
            Kept::Packed(range) => Box::new(Times::unpack(&raw[range])),
            Kept::Times(kept) => kept,
            Kept::Series(_) | Kept::Taken => unreachable!("times are in their slot"),
        };
        let walk = &mut *self.walk;
        if kept.upto < walk.count {
            for index in start(kept.upto, walk)..walk.times.len() {
                kept.add(walk.times[index], walk.numbers[index]);
            }
            kept.upto = walk.count;
            walk.changed = true;
        }
        kept.forget_before(self.now_ms - self.trail.plan.times_ms);
        let done = work(&mut kept);
        walk.slot(id).expect("it was there before").kept = Kept::Times(kept);
        Some(done)
    }

    fn open_times(&mut self) {
        self.with_times(|_| ());
    }

    /// Reads a leaf at the state's instant: what that changes, and when it is to be looked at again.
    fn look(&mut self, place: u32, step: &mut Step) {
        let leaf = &self.program.leaves[place];
        let first_pane = leaf.first_pane(self.now_ms);
        step.leaves += 1;
        let (reading, due_ms, falls) = self.with_series(leaf.series, |_, kept| {
            let reading = kept.reading(first_pane);
            let mut due_ms =
                leaf.window.and_then(|window| leaf.gauge.next_change_ms(kept, &reading, window, first_pane));
            for (key, kind) in &leaf.computed {
                step.computed.insert(key.clone(), kept.computed(*kind, first_pane));
                let leaving = leaf.window.and_then(|window| Some(window.leaves_at(kept.ahead(first_pane, |_| true)?)));
                due_ms = sooner(due_ms, leaving);
            }
            (reading, due_ms, kept.falls())
        });
        let before = self.walk.reading(leaf.id).copied().unwrap_or_else(|| leaf.family.nothing());
        leaf.touched(&before, &reading, &mut step.scratch, &mut step.touched);
        self.walk.note_of(leaf.id).reading = Some(reading);
        self.set_due(leaf.id, due_ms);
        if !leaf.each_event {
            self.set_mark(leaf, &reading, falls);
        }
    }

    fn set_due(&mut self, id: u64, due_ms: Option<i64>) {
        self.walk.changed = true;
        self.walk.note_of(id).due_ms = due_ms;
    }

    fn set_mark(&mut self, leaf: &Leaf, reading: &Reading, falls: bool) {
        // A pane with a negative sum raises the whole when it leaves, and the sooner to a bound the more came meanwhile.
        let headroom = if falls { Some(1) } else { leaf.gauge.headroom(reading) };
        let way = &self.program.series[leaf.series].way;
        let walk = &mut *self.walk;
        let index =
            way.as_ref().map(|way| walk.ways.iter().position(|known| known == way).expect("every way is noted"));
        let reached = index.map_or(walk.count as i64, |index| walk.sums[index]);
        let mark = headroom.map(|headroom| reached.saturating_add(headroom).min(NEVER));
        walk.note_of(leaf.id).mark = mark;
        if let Some(mark) = mark {
            let least = index.map_or(&mut walk.mark, |index| &mut walk.marks[index]);
            *least = mark.min(*least);
        }
    }

    /// Makes the walk fit the trail as it is now: what stays takes in the newest events, what is new begins with nothing.
    fn arrange(&mut self) {
        let plan = &self.trail.plan;
        for series in &plan.tailed {
            if self.walk.slot(self.program.series[*series].id).is_some() {
                self.with_series(*series, |_, _| ());
            }
        }
        self.open_times();
        let mut arranged = Walk::new(&plan.ways, plan.kept.iter().copied());
        arranged.count = self.walk.count;
        arranged.last_ms = self.walk.last_ms;
        for slot in &mut arranged.slots {
            if let Some(old) = self.walk.slot(slot.id) {
                slot.kept = std::mem::replace(&mut old.kept, Kept::Taken);
            }
        }
        let leaves = self.trail.leaves.iter().map(|leaf| self.program.leaves[*leaf].id);
        let sequences = self.trail.sequences.iter().map(|sequence| self.program.sequences[*sequence].id);
        let needed: Vec<u64> = leaves.chain(sequences).collect();
        arranged.notes = std::mem::take(&mut self.walk.notes);
        arranged.notes.retain(|note| needed.contains(&note.id));
        for note in &mut arranged.notes {
            note.mark = None;
        }
        *self.walk = arranged;
    }

    /// Takes in what another walk of the same trail has kept; both were arranged.
    fn unite(&mut self, other: &mut Walk) {
        self.walk.count = self.walk.count.max(other.count);
        self.walk.last_ms = self.walk.last_ms.max(other.last_ms);
        let mut theirs = Look { walk: other, ..*self };
        for series in &self.trail.series {
            let family = self.program.series[*series].family;
            let kept = theirs.with_series(*series, |_, kept| std::mem::replace(kept, Series::new(family)));
            self.with_series(*series, |_, known| known.unite(kept));
        }
        if let Some(kept) = theirs.with_times(std::mem::take) {
            self.with_times(|known| known.unite(kept));
        }
        for note in std::mem::take(&mut theirs.walk.notes) {
            if self.walk.note(note.id).is_none() {
                self.walk.notes.push(note);
            }
        }
        self.walk.changed = true;
    }
}

/// The index of the first of the trail's newest events that somebody who has taken in `upto` has not.
fn start(upto: u64, walk: &Walk) -> usize {
    upto.saturating_sub(walk.count - walk.times.len() as u64) as usize
}

fn catch_up(kept: &mut Series, spec: &SeriesSpec, walk: &Walk, first_pane: i64) {
    let first = start(kept.upto, walk);
    kept.upto = walk.count;
    let values = match (&spec.way, spec.family) {
        (Some(way), Family::Numbers) => match walk.ways.iter().position(|known| known == way) {
            Some(index) => Some(&walk.values[index]),
            None => return,
        },
        _ => None,
    };
    for index in first..walk.times.len() {
        let pane = spec.pane_of(walk.times[index]);
        if pane < first_pane {
            continue;
        }
        match values {
            None => kept.add_event(pane),
            Some(values) => {
                if let Some(micros) = values[index] {
                    kept.add_number(pane, i128::from(micros));
                }
            }
        }
    }
}

fn sooner(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}
