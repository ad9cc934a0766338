//! When a sequence holds (rules.md, "Sequences"), from the times of the events that match its steps.
//!
//! Every matching event is kept with its time while it is inside the window, since one that arrives late may complete a
//! chain of older ones. Exact for the newest MOST_TIMES of each step.
//!
//! For each step the chains that end there are known by when they *start*: of two that end at the same time only the
//! later start matters, because the whole chain leaves the window with its first event.

use std::collections::VecDeque;

use crate::pack::{Reader, Writer};
use crate::windows::Window;

/// How many events of a pattern are kept with their times; beyond them the oldest are forgotten.
pub const MOST_TIMES: usize = 1_000;

/// The times of a pattern's events, oldest first, each with the number that tells the profile's events apart.
#[derive(Default)]
pub struct Times {
    pub upto: u64,
    kept: VecDeque<(i64, u64)>,
}

impl Times {
    pub fn add(&mut self, time_ms: i64, number: u64) {
        match self.kept.back() {
            Some((last_ms, _)) if *last_ms > time_ms => {
                let index = self.kept.partition_point(|(known_ms, _)| *known_ms <= time_ms);
                self.kept.insert(index, (time_ms, number));
            }
            _ => self.kept.push_back((time_ms, number)),
        }
        if self.kept.len() > MOST_TIMES {
            self.kept.pop_front();
        }
    }

    /// Forget the events before an instant.
    pub fn forget_before(&mut self, time_ms: i64) {
        while self.kept.front().is_some_and(|(known_ms, _)| *known_ms < time_ms) {
            self.kept.pop_front();
        }
    }

    /// Takes in what was kept of the same pattern elsewhere; an event that both have is one.
    pub fn unite(&mut self, other: Times) {
        let mut all: Vec<(i64, u64)> = self.kept.drain(..).chain(other.kept).collect();
        all.sort_unstable();
        all.dedup();
        self.kept = all.split_off(all.len().saturating_sub(MOST_TIMES)).into();
    }

    pub fn pack(&self, into: &mut Writer) {
        if self.kept.is_empty() {
            return;
        }
        into.unsigned(self.upto);
        into.length(self.kept.len());
        let (mut before_ms, mut before) = (0, 0);
        for (time_ms, number) in &self.kept {
            into.unsigned((time_ms - before_ms) as u64);
            into.signed(*number as i64 - before);
            before_ms = *time_ms;
            before = *number as i64;
        }
    }

    pub fn unpack(data: &[u8]) -> Times {
        let mut times = Times::default();
        if data.is_empty() {
            return times;
        }
        let from = &mut Reader::new(data);
        times.upto = from.unsigned();
        let (mut time_ms, mut number) = (0, 0);
        times.kept = (0..from.length())
            .map(|_| {
                time_ms += from.unsigned() as i64;
                number += from.signed();
                (time_ms, number as u64)
            })
            .collect();
        times
    }
}

/// A sequence without its patterns. `gaps_ms[i]` is the longest time between step i and the step before it; `gaps_ms[0]`
/// is None. `absent_gap_ms` is set where the last step must not happen; it is no part of `gaps_ms`.
#[derive(Clone, Debug)]
pub struct Shape {
    pub gaps_ms: Vec<Option<i64>>,
    pub absent_gap_ms: Option<i64>,
    pub window: Window,
}

impl Shape {
    fn absent_bit(&self) -> u32 {
        1 << self.gaps_ms.len()
    }
}

/// An event's time in ms, its number, and the steps that it matches as bits, bit 0 for the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    pub time_ms: i64,
    pub number: u64,
    pub steps: u32,
}

/// The events from `from_ms` on that match any step, oldest first; `steps` has the times of each step's pattern.
pub fn occurrences<'a>(steps: impl Iterator<Item = Option<&'a Times>>, from_ms: i64) -> Vec<Event> {
    let mut found: Vec<Event> = Vec::new();
    for (step, times) in steps.enumerate() {
        let Some(times) = times else { continue };
        let start = times.kept.partition_point(|(time_ms, _)| *time_ms < from_ms);
        found.extend(times.kept.range(start..).map(|(time_ms, number)| Event {
            time_ms: *time_ms,
            number: *number,
            steps: 1 << step,
        }));
    }
    found.sort_unstable();
    found.dedup_by(|next, kept| {
        let one = (next.number, next.time_ms) == (kept.number, kept.time_ms);
        if one {
            kept.steps |= next.steps;
        }
        one
    });
    found
}

/// Whether the sequence holds at `now_ms`, and the next instant at which time alone changes that (None: never).
///
/// `events` are those inside the window.
pub fn held(shape: &Shape, events: &[Event], now_ms: i64) -> (bool, Option<i64>) {
    let step_ms = shape.window.step_ms();
    let absent: Vec<i64> = match shape.absent_gap_ms {
        Some(_) => {
            events.iter().filter(|event| event.steps & shape.absent_bit() != 0).map(|event| event.time_ms).collect()
        }
        None => Vec::new(),
    };
    let mut spans: Vec<(i64, i64)> = complete(shape, events)
        .into_iter()
        .filter_map(|(ended_ms, started_ms)| {
            let begins_ms = begins(shape, &absent, ended_ms)?;
            let ends_ms = shape.window.leaves_at(started_ms.div_euclid(step_ms));
            (begins_ms < ends_ms).then_some((begins_ms, ends_ms))
        })
        .collect();
    spans.sort_unstable();
    let mut until_ms: Option<i64> = None;
    for (begins_ms, ends_ms) in spans {
        match until_ms {
            None if ends_ms <= now_ms => {}
            None if begins_ms > now_ms => return (false, Some(begins_ms)),
            None => until_ms = Some(ends_ms),
            Some(until) if begins_ms <= until => until_ms = Some(until.max(ends_ms)),
            Some(_) => break,
        }
    }
    (until_ms.is_some(), until_ms)
}

/// When a chain that ended at `ended_ms` begins to make the sequence true; None where the absent event came.
fn begins(shape: &Shape, absent: &[i64], ended_ms: i64) -> Option<i64> {
    let Some(gap_ms) = shape.absent_gap_ms else { return Some(ended_ms) };
    let begins_ms = ended_ms + gap_ms;
    let following = absent.partition_point(|time_ms| *time_ms <= ended_ms);
    match absent.get(following) {
        Some(came_ms) if *came_ms <= begins_ms => None,
        _ => Some(begins_ms),
    }
}

/// Each time at which a chain is complete, with the latest start of those that end there.
fn complete(shape: &Shape, events: &[Event]) -> Vec<(i64, i64)> {
    let length = shape.gaps_ms.len();
    let mut found = Vec::new();
    let mut open: Vec<VecDeque<(i64, i64)>> = vec![VecDeque::new(); length];
    for group in events.chunk_by(|one, other| one.time_ms == other.time_ms) {
        let time_ms = group[0].time_ms;
        for (step, started_ms) in reached(shape, &mut open, time_ms, group).into_iter().enumerate() {
            let Some(started_ms) = started_ms else { continue };
            if step == length {
                found.push((time_ms, started_ms));
                continue;
            }
            let waiting = &mut open[step];
            while waiting.back().is_some_and(|(_, started)| *started <= started_ms) {
                waiting.pop_back();
            }
            waiting.push_back((time_ms, started_ms));
        }
    }
    found
}

/// For each number of steps that chains have done after the events of one instant, their latest start.
fn reached(shape: &Shape, open: &mut [VecDeque<(i64, i64)>], time_ms: i64, events: &[Event]) -> Vec<Option<i64>> {
    let length = shape.gaps_ms.len();
    let mut reached: Vec<Option<i64>> = vec![None; length + 1];
    for (done, waiting) in open.iter_mut().enumerate() {
        let started_ms = if done == 0 { Some(time_ms) } else { latest_start(waiting, shape.gaps_ms[done], time_ms) };
        let Some(started_ms) = started_ms else { continue };
        let last = length.min(done + events.len());
        for (step, known_ms) in reached.iter_mut().enumerate().take(last + 1).skip(done + 1) {
            if !assignable(events, done, step) {
                break;
            }
            *known_ms = (*known_ms).max(Some(started_ms));
        }
    }
    reached
}

/// The latest start among the chains that are not too old to be continued at `time_ms`.
fn latest_start(waiting: &mut VecDeque<(i64, i64)>, gap_ms: Option<i64>, time_ms: i64) -> Option<i64> {
    if let Some(gap_ms) = gap_ms {
        while waiting.front().is_some_and(|(ended_ms, _)| *ended_ms < time_ms - gap_ms) {
            waiting.pop_front();
        }
    }
    waiting.front().map(|(_, started_ms)| *started_ms)
}

/// Whether the steps `first` to `end` - 1 can each have an event of their own among those of one instant.
fn assignable(events: &[Event], first: usize, end: usize) -> bool {
    if end - first == 1 {
        return events.iter().any(|event| event.steps >> first & 1 == 1);
    }
    let mut taken: Vec<Option<usize>> = vec![None; events.len()];
    (first..end).all(|step| assign(events, step, &mut taken, &mut vec![false; events.len()]))
}

/// Finds an event for a step, moving other steps to other events where it must.
fn assign(events: &[Event], step: usize, taken: &mut [Option<usize>], tried: &mut [bool]) -> bool {
    for index in 0..events.len() {
        if events[index].steps >> step & 1 == 1 && !tried[index] {
            tried[index] = true;
            let free = match taken[index] {
                None => true,
                Some(other) => assign(events, other, taken, tried),
            };
            if free {
                taken[index] = Some(step);
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn times(all: &[(i64, u64)]) -> Times {
        let mut times = Times::default();
        for (time_ms, number) in all {
            times.add(*time_ms, *number);
        }
        times
    }

    fn shape(gaps_ms: &[Option<i64>], absent_gap_ms: Option<i64>) -> Shape {
        Shape { gaps_ms: gaps_ms.to_vec(), absent_gap_ms, window: Window { within_ms: HOUR_MS } }
    }

    #[test]
    fn times_come_back_in_order() {
        let mut kept = times(&[(5_000, 1), (3_000, 2), (9_000, 3), (5_000, 4)]);
        kept.upto = 4;
        let mut writer = Writer::new();
        kept.pack(&mut writer);
        let mut back = Times::unpack(&writer.data);
        assert_eq!(back.kept, [(3_000, 2), (5_000, 1), (5_000, 4), (9_000, 3)]);
        assert_eq!(back.upto, 4);
        back.forget_before(5_000);
        assert_eq!(back.kept.len(), 3);
    }

    #[test]
    fn no_more_than_the_newest_times_are_kept() {
        let all: Vec<(i64, u64)> = (0..MOST_TIMES as i64 + 5).map(|number| (number, number as u64)).collect();
        assert_eq!(times(&all).kept.front(), Some(&(5, 5)));
    }

    #[test]
    fn times_of_two_places_are_each_once() {
        let mut one = times(&[(1_000, 1), (5_000, 4), (5_000, 5)]);
        one.unite(times(&[(5_000, 5), (2_000, 9), (5_000, 4)]));
        assert_eq!(one.kept, [(1_000, 1), (2_000, 9), (5_000, 4), (5_000, 5)]);
        let most = MOST_TIMES as i64;
        one.unite(times(&(0..most).map(|number| (10_000 + number, number as u64)).collect::<Vec<_>>()));
        assert_eq!((one.kept.len(), one.kept.front()), (MOST_TIMES, Some(&(10_000, 0))));
    }

    #[test]
    fn one_event_takes_one_step() {
        let one = times(&[(1_000, 1)]);
        let events = occurrences([Some(&one), Some(&one)].into_iter(), 0);
        assert_eq!(events.len(), 1);
        assert!(!held(&shape(&[None, None], None), &events, 2_000).0);
        let two = times(&[(1_000, 1), (1_000, 2)]);
        let events = occurrences([Some(&two), Some(&two)].into_iter(), 0);
        assert!(held(&shape(&[None, None], None), &events, 2_000).0);
    }

    #[test]
    fn a_step_that_comes_too_late_ends_nothing() {
        let (first, second) = (times(&[(1_000, 1)]), times(&[(11_001, 2)]));
        let events = occurrences([Some(&first), Some(&second)].into_iter(), 0);
        assert!(!held(&shape(&[None, Some(10_000)], None), &events, 12_000).0);
        assert_eq!(held(&shape(&[None, Some(10_001)], None), &events, 12_000), (true, Some(1_000 + HOUR_MS + 1_000)));
    }

    #[test]
    fn an_absent_step_is_waited_for() {
        let (cart, bought) = (times(&[(1_000, 1)]), times(&[(61_001, 2)]));
        let waiting = shape(&[None], Some(60_000));
        let alone = occurrences([Some(&cart), None].into_iter(), 0);
        assert_eq!(held(&waiting, &alone, 60_999), (false, Some(61_000)));
        assert!(held(&waiting, &alone, 61_000).0);
        let late = occurrences([Some(&cart), Some(&bought)].into_iter(), 0);
        assert!(held(&waiting, &late, 61_001).0);
        let in_time = occurrences([Some(&cart), Some(&times(&[(61_000, 2)]))].into_iter(), 0);
        assert_eq!(held(&waiting, &in_time, 61_000), (false, None));
    }

    #[test]
    fn steps_of_one_instant_are_given_out_among_its_events() {
        let events = [
            Event { time_ms: 1, number: 1, steps: 0b011 },
            Event { time_ms: 1, number: 2, steps: 0b001 },
            Event { time_ms: 1, number: 3, steps: 0b110 },
        ];
        assert!(assignable(&events, 0, 3));
        assert!(!assignable(&events[..2], 0, 3));
        assert!(!assignable(&[events[1], events[1]], 0, 2));
    }
}
