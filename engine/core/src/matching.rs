//! From an event to the trails that it joins, without looking at any other.
//!
//! For each type and name there is one matcher. A test that trails share is made once an event, and trails that ask for
//! one value of a property are found by that value.

use std::collections::HashMap;
use std::sync::Arc;

use crate::event::Event;
use crate::leaves::Trail;
use crate::predicates::{Host, Op, Source, Test};
use crate::value::{Key, Path, Value};

/// Tests of events are never time-driven.
const NO_INSTANT: i64 = 0;

/// A trail behind its tests, the one that an index has answered left out.
struct Candidate {
    tests: Vec<usize>,
    trail: u32,
}

/// The trails of events of one type and name.
#[derive(Default)]
pub struct Matcher {
    always: Vec<u32>,
    indexed: Vec<(usize, HashMap<Key, Vec<Candidate>>)>,
    others: Vec<Candidate>,
    places: Vec<(Source, Path)>,
    tests: Vec<(usize, Arc<Test>)>,
}

/// What is known of one event.
struct Answers<'a> {
    event: &'a Event,
    values: Vec<Option<Option<&'a Value>>>,
    tests: Vec<Option<bool>>,
}

impl Matcher {
    pub fn new<'a>(trails: impl Iterator<Item = (u32, &'a Trail)>) -> Matcher {
        let mut matcher = Matcher::default();
        for (place, trail) in trails {
            matcher.add(place, trail);
        }
        matcher
    }

    fn add(&mut self, trail: u32, spec: &Trail) {
        let index = spec.tests.iter().position(|test| indexed_value(test).is_some());
        let others: Vec<&Arc<Test>> =
            spec.tests.iter().enumerate().filter(|(at, _)| Some(*at) != index).map(|(_, test)| test).collect();
        let candidate = Candidate { tests: others.into_iter().map(|test| self.test(test)).collect(), trail };
        match index.map(|at| &spec.tests[at]) {
            Some(test) => {
                let place = self.place(test.of, &test.path);
                let key = indexed_value(test).expect("it was found by its value");
                let row = self.indexed.iter().position(|(known, _)| *known == place).unwrap_or_else(|| {
                    self.indexed.push((place, HashMap::new()));
                    self.indexed.len() - 1
                });
                self.indexed[row].1.entry(key).or_default().push(candidate);
            }
            None if candidate.tests.is_empty() => self.always.push(trail),
            None => self.others.push(candidate),
        }
    }

    fn place(&mut self, of: Source, path: &Path) -> usize {
        self.places.iter().position(|(known_of, known)| *known_of == of && known == path).unwrap_or_else(|| {
            self.places.push((of, path.clone()));
            self.places.len() - 1
        })
    }

    fn test(&mut self, test: &Arc<Test>) -> usize {
        self.tests.iter().position(|(_, known)| known.name == test.name).unwrap_or_else(|| {
            let place = self.place(test.of, &test.path);
            self.tests.push((place, test.clone()));
            self.tests.len() - 1
        })
    }

    /// The trails whose tests all hold for the event.
    pub fn trails_of(&self, host: &dyn Host, event: &Event) -> Vec<u32> {
        let mut found = self.always.clone();
        if self.indexed.is_empty() && self.others.is_empty() {
            return found;
        }
        let mut answers = Answers { event, values: vec![None; self.places.len()], tests: vec![None; self.tests.len()] };
        for (place, index) in &self.indexed {
            let Some(key) = self.value(*place, &mut answers).and_then(Value::key) else { continue };
            for candidate in index.get(&key).map_or(&[][..], Vec::as_slice) {
                if self.holds(candidate, host, &mut answers) {
                    found.push(candidate.trail);
                }
            }
        }
        for candidate in &self.others {
            if self.holds(candidate, host, &mut answers) {
                found.push(candidate.trail);
            }
        }
        found
    }

    fn value<'a>(&self, place: usize, answers: &mut Answers<'a>) -> Option<&'a Value> {
        let (of, path) = &self.places[place];
        let event = answers.event;
        *answers.values[place].get_or_insert_with(|| event.find(*of, path))
    }

    fn holds(&self, candidate: &Candidate, host: &dyn Host, answers: &mut Answers<'_>) -> bool {
        candidate.tests.iter().all(|number| {
            if let Some(answer) = answers.tests[*number] {
                return answer;
            }
            let (place, test) = &self.tests[*number];
            let answer = test.op.holds(host, self.value(*place, answers), NO_INSTANT);
            answers.tests[*number] = Some(answer);
            answer
        })
    }
}

/// The one value that a test asks for, where it asks for one.
fn indexed_value(test: &Test) -> Option<Key> {
    match &test.op {
        Op::Equal { value, negated: false } => value.key(),
        _ => None,
    }
}
