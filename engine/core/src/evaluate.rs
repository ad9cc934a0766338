//! Moves a profile: an event, or time, or a change of the rules in; changes of membership out.
//!
//! The result depends only on the accepted events, the rules and the instant, never on the order of arrival (rules.md,
//! "Membership is a function").

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use crate::event::Event;
use crate::gauges::Mask;
use crate::matching::Matcher;
use crate::program::{computed_name, root_value, Program};
use crate::state::{Backfill, Origin, State};
use crate::value::{alike, Value};
use crate::walking;

/// A profile entered or exited a segment at `at_ms`; `version` is the segment's, 0 for one that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub segment: Arc<str>,
    pub entered: bool,
    pub at_ms: i64,
    pub version: i64,
}

/// What one input did to a profile.
#[derive(Default)]
pub struct Outcome {
    pub changes: Vec<Change>,
    /// Whether what others see of the profile (traits, computed traits, segments, that it exists) has changed.
    pub visible: bool,
    pub duplicate: bool,
    /// How many leaves were looked at, and how many times a segment's rule was evaluated.
    pub leaves: u64,
    pub evaluations: u64,
}

/// What one input has changed so far.
#[derive(Default)]
pub struct Step {
    /// The segments that are to be asked again.
    pub touched: Vec<u32>,
    /// The computed traits that were measured anew, with their values; None for missing.
    pub computed: BTreeMap<Box<str>, Option<Value>>,
    pub leaves: u64,
    pub scratch: (Mask, Mask),
}

/// Takes in one accepted event of the profile. A duplicate changes nothing but what time has changed.
pub fn on_event(program: &mut Program, state: &mut State, event: &Event, now_ms: i64) -> Outcome {
    program.settle();
    let matcher = match &*event.kind {
        "identify" => None,
        kind => Some(program.matcher(kind, &event.name)),
    };
    let program = &*program;
    let mut outcome = Outcome::default();
    state.position = event.offset.or(state.position);
    state.heard_ms = state.heard_ms.max(event.received_ms);
    advance(program, state, now_ms.max(event.received_ms), &mut outcome);
    if let Some(offset) = event.offset {
        state.backfills.iter_mut().for_each(|known| known.from = known.from.or(Some(offset)));
        state.position = Some(offset + 1);
    }
    if !state.ids.is_new(&event.source, &event.message_id, event.received_ms) {
        outcome.duplicate = true;
        stamp(state, &mut outcome); // time may have changed something
        return outcome;
    }
    let mut step = Step::default();
    let first = state.created_ms == 0;
    if first {
        begin(program, state, &mut step, &mut outcome);
    }
    match matcher {
        None => identify(program, state, event, &mut step, &mut outcome),
        Some(matcher) => join(program, state, &matcher, event, &mut step),
    }
    conclude(program, state, step, &mut outcome);
    if first {
        // What the profile was given to begin with and lost to its first event again was never so.
        let now_ms = state.now_ms;
        let entered = state.segments().into_iter().filter_map(|(hash, _, _)| program.by_hash.get(&hash));
        outcome.changes = entered.map(|place| change(program, *place, true, now_ms)).collect();
    }
    stamp(state, &mut outcome);
    outcome
}

/// Brings the profile to an instant: what time alone changes, and what changes of the rules do.
pub fn on_time(program: &mut Program, state: &mut State, now_ms: i64) -> Outcome {
    program.settle();
    let mut outcome = Outcome::default();
    advance(program, state, now_ms, &mut outcome);
    stamp(state, &mut outcome);
    outcome
}

/// A part of a profile's history, for the leaves that backfills wait for.
pub struct History<'a> {
    /// The numbers of the backfills.
    pub backfills: &'a [i64],
    /// Every event that lies before this offset and can matter to their leaves is in this part or in one of the others.
    pub cut: i64,
    /// In the order of their offsets, none of them twice; behind those of the parts before.
    pub events: &'a [Event],
    /// Whether it is the last part.
    pub last: bool,
}

/// Takes in a part of the profile's history. What came live to the new leaves is left out of it, and so is what they
/// were fed already: a part may be given again, and cut otherwise.
pub fn on_history(program: &mut Program, state: &mut State, history: &History<'_>, now_ms: i64) -> Outcome {
    program.settle();
    let matchers: Vec<Arc<Matcher>> =
        history.events.iter().map(|event| program.matcher(&event.kind, &event.name)).collect();
    let program = &*program;
    let mut outcome = Outcome::default();
    advance(program, state, now_ms, &mut outcome);
    let mut step = Step::default();
    let filled: Vec<usize> = state
        .backfills
        .iter()
        .enumerate()
        .filter(|(_, known)| !known.filled && history.backfills.contains(&known.number))
        .map(|(place, _)| place)
        .collect();
    // For each backfill between which offsets its leaves lack events.
    let lacking: HashMap<i64, Range<i64>> = filled
        .iter()
        .map(|place| &state.backfills[*place])
        .map(|known| (known.number, known.fed..known.from.unwrap_or(history.cut).min(history.cut)))
        .collect();
    for (event, matcher) in history.events.iter().zip(&matchers) {
        state.heard_ms = state.heard_ms.max(event.received_ms);
        let Some(offset) = event.offset else { continue };
        let mut trails = matcher.trails_of(&*program.host, event);
        trails.retain(|trail| lacking.get(&program.trails[*trail].backfill).is_some_and(|gap| gap.contains(&offset)));
        if !trails.is_empty() {
            state.latest_ms = state.latest_ms.max(event.time_ms);
            walking::feed(program, state, &trails, event);
        }
    }
    let end = history.events.last().and_then(|event| event.offset).map_or(0, |offset| offset + 1);
    for place in filled {
        let known = &mut state.backfills[place];
        known.fed = known.fed.max(end);
        if history.last {
            *known = Backfill { from: Some(known.from.unwrap_or(history.cut)), open: true, filled: true, ..*known };
            let number = known.number;
            walking::look_at_history(program, state, number, &mut step);
            step.touched.extend(&program.backfills[&number].segments);
        }
    }
    conclude(program, state, step, &mut outcome);
    stamp(state, &mut outcome);
    outcome
}

/// The profile is on these uploaded lists, and on no other.
pub fn on_lists(program: &mut Program, state: &mut State, lists: BTreeSet<Box<str>>, now_ms: i64) -> Outcome {
    program.settle();
    let mut outcome = Outcome::default();
    advance(program, state, now_ms, &mut outcome);
    let turned = state.lists.symmetric_difference(&lists);
    let touched = turned.filter_map(|name| program.readers.get(name)).flatten().copied().collect();
    state.lists = lists;
    state.heard_ms = state.heard_ms.max(now_ms);
    ask(program, state, touched, &mut outcome);
    stamp(state, &mut outcome);
    outcome
}

fn stamp(state: &mut State, outcome: &mut Outcome) {
    if outcome.visible || !outcome.changes.is_empty() {
        outcome.visible = true;
        state.updated_ms = state.now_ms;
    }
}

/// Brings the profile to `now_ms` and to the program's revision; time never goes back.
fn advance(program: &Program, state: &mut State, now_ms: i64, outcome: &mut Outcome) {
    let due_ms = state.due_ms();
    state.now_ms = state.now_ms.max(now_ms);
    let due = due_ms.is_some_and(|due_ms| due_ms <= state.now_ms);
    if !due && state.revision == program.revision {
        return;
    }
    let mut step = Step::default();
    if due {
        fall_due(program, state, &mut step);
    }
    if state.revision != program.revision {
        walking::adopt(program, state, &mut step);
        leave_what_is_gone(program, state, &mut step, outcome);
        for root in program.time_driven.keys() {
            set_trait_due(program, state, root);
        }
        if state.created_ms != 0 {
            step.touched.extend(program.changed_since(state.revision));
        }
        state.revision = program.revision;
    }
    conclude(program, state, step, outcome);
}

/// Time has come to what is due: trails, and tests of traits.
fn fall_due(program: &Program, state: &mut State, step: &mut Step) {
    let now_ms = state.now_ms;
    for id in state.trails_due(now_ms) {
        walking::fall_due(program, state, id, step);
    }
    let roots: Vec<Box<str>> =
        state.trait_dues.iter().filter(|(_, due_ms)| **due_ms <= now_ms).map(|(root, _)| root.clone()).collect();
    for root in roots {
        program.time_driven_segments(&root, &mut step.touched);
        set_trait_due(program, state, &root);
    }
}

/// Leaves segments that are gone, those among them of whose key there is another one now.
fn leave_what_is_gone(program: &Program, state: &mut State, step: &mut Step, outcome: &mut Outcome) {
    let now_ms = state.now_ms;
    let gone: Vec<(u64, Arc<str>)> = state
        .segments()
        .into_iter()
        .filter(|(hash, _, _)| {
            let there = program.by_hash.get(hash);
            there.is_none_or(|place| program.segments[*place].born > state.revision)
        })
        .map(|(hash, key, _)| (hash, key.into()))
        .collect();
    for (hash, key) in gone {
        state.leave(hash, &key);
        step.touched.extend(program.dependents.get(&hash).into_iter().flatten());
        outcome.changes.push(Change { segment: key, entered: false, at_ms: now_ms, version: 0 });
    }
}

/// The event joins every trail that it matches, and the leaves that it may have changed are looked at.
fn join(program: &Program, state: &mut State, matcher: &Matcher, event: &Event, step: &mut Step) {
    let mut trails = matcher.trails_of(&*program.host, event);
    if let (false, Some(offset)) = (state.backfills.is_empty(), event.offset) {
        let fed = |trail: &u32| {
            let number = program.trails[*trail].backfill;
            state.backfills.iter().any(|known| known.number == number && known.from.is_some_and(|from| offset < from))
        };
        trails.retain(|trail| !fed(trail));
    }
    if trails.is_empty() {
        return;
    }
    // An event no later than another may complete, or end, a sequence of events that came before it.
    let late = event.time_ms <= state.latest_ms;
    state.latest_ms = state.latest_ms.max(event.time_ms);
    state.events += 1;
    for trail in &trails {
        walking::note(program, state, *trail, event, step);
    }
    for trail in &trails {
        walking::look_at_sequences(program, state, *trail, event, late, step);
        walking::settle_if_long(program, state, *trail);
    }
}

/// Takes in the traits of an identify call.
///
/// For each key the latest event wins, of two at one time the larger message id, of two with one id the larger source;
/// null deletes. `context.traits` lose to `traits` within one call.
fn identify(program: &Program, state: &mut State, event: &Event, step: &mut Step, outcome: &mut Outcome) {
    let none: &[(Box<str>, Value)] = &[];
    let fields = |value: Option<&'_ Value>| match value {
        Some(Value::Map(fields)) => fields.clone(),
        _ => none.to_vec(),
    };
    let said = fields(Some(&event.traits));
    let mut given = fields(event.context().get("traits"));
    given.retain(|(name, _)| event.traits.get(name).is_none());
    given.extend(said);
    if given.is_empty() {
        return;
    }
    let origin =
        Arc::new(Origin { time_ms: event.time_ms, message_id: event.message_id.clone(), source: event.source.clone() });
    for (name, value) in given {
        if state.origin(&name).is_some_and(|known| **known >= *origin) {
            continue;
        }
        let old = state.traits().get(&name).cloned();
        state.assign(&name, &value, &origin);
        if !alike(old.as_ref(), value.some()) {
            outcome.visible = true;
            // A trait whose key holds a dot has no path: what is called so is a computed trait.
            if !name.contains('.') {
                trait_changed(program, state, &name, old.as_ref(), value.some(), step);
            }
        }
    }
}

/// When time alone next turns a test of a trait.
fn set_trait_due(program: &Program, state: &mut State, root: &str) {
    let now_ms = state.now_ms;
    match program.next_turn_ms(root, root_value(state, root), now_ms) {
        Some(due_ms) => state.trait_dues.insert(root.into(), due_ms),
        None => state.trait_dues.remove(root),
    };
}

fn trait_changed(
    program: &Program,
    state: &mut State,
    root: &str,
    old: Option<&Value>,
    new: Option<&Value>,
    step: &mut Step,
) {
    program.turned(root, old, new, state.now_ms, &mut step.touched);
    if program.time_driven.contains_key(root) {
        set_trait_due(program, state, root);
    }
}

/// The profile's first event: it is in every segment that a profile without events and traits is in.
fn begin(program: &Program, state: &mut State, step: &mut Step, outcome: &mut Outcome) {
    state.created_ms = state.now_ms;
    outcome.visible = true;
    let (everybody, personal) = &program.at_start;
    for place in everybody {
        let segment = &program.segments[*place];
        state.enter(segment.hash, &segment.key);
    }
    step.touched.extend(personal);
    if state.has_trails() {
        // Its history came before it.
        step.touched.extend(program.segments.iter().map(|(place, _)| place));
    }
}

/// After leaves were looked at: set the computed traits, and ask the segments again.
fn conclude(program: &Program, state: &mut State, mut step: Step, outcome: &mut Outcome) {
    for (key, found) in std::mem::take(&mut step.computed) {
        let old = state.computed.get(&key).cloned();
        if alike(old.as_ref(), found.as_ref()) {
            continue;
        }
        match &found {
            None => state.computed.remove(&key),
            Some(value) => state.computed.insert(key.clone(), value.clone()),
        };
        outcome.visible = true;
        trait_changed(program, state, &computed_name(&key), old.as_ref(), found.as_ref(), &mut step);
    }
    outcome.leaves += step.leaves;
    ask(program, state, step.touched, outcome);
}

/// Asks segments again, those that others refer to first, and those that refer to what changed after them.
fn ask(program: &Program, state: &mut State, touched: Vec<u32>, outcome: &mut Outcome) {
    if touched.is_empty() || state.created_ms == 0 {
        return;
    }
    let order = |place: u32| Reverse((program.segments[place].order, program.segments[place].hash, place));
    let mut waiting: BinaryHeap<_> = touched.into_iter().map(order).collect();
    let mut last = None;
    while let Some(Reverse((_, hash, place))) = waiting.pop() {
        if last.replace(place) == Some(place) {
            continue;
        }
        let segment = &program.segments[place];
        if segment.paused || (segment.backfill != 0 && !state.is_open(segment.backfill)) {
            continue;
        }
        outcome.evaluations += 1;
        let member = state.is_in(hash);
        if program.holds(&segment.cond, state) == member {
            continue;
        }
        if member {
            state.leave(hash, &segment.key);
        } else {
            state.enter(hash, &segment.key);
        }
        outcome.changes.push(change(program, place, !member, state.now_ms));
        waiting.extend(program.dependents.get(&hash).into_iter().flatten().map(|other| order(*other)));
    }
}

fn change(program: &Program, place: u32, entered: bool, at_ms: i64) -> Change {
    let segment = &program.segments[place];
    Change { segment: segment.key.clone(), entered, at_ms, version: segment.version }
}
