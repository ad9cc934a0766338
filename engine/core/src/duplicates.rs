//! Which message ids a profile has seen: each counts once per source and profile (rules.md, "Accepted events").
//!
//! Ids are kept as 8 bytes of a hash, in generations of GENERATION_MS by the time they were received. A generation is
//! forgotten once it is GENERATIONS old, so that an id is remembered for 24 to 32 hours. A profile that sends more than
//! MOST_IDS events in that time forgets its oldest generation early: its state stays bounded, and a copy of an event
//! from then would count again.

use crate::ids::hash_of;
use crate::pack::{Reader, Writer};

pub const GENERATION_MS: i64 = 8 * 3_600_000;
const GENERATIONS: i64 = 4;
pub const MOST_IDS: usize = 20_000;

/// The generations, newest first: a generation's number and its ids.
#[derive(Clone, Default)]
pub struct Ids(Vec<(i64, Vec<u64>)>);

impl Ids {
    /// Whether the id is new, remembering it.
    pub fn is_new(&mut self, source: &str, message_id: &str, received_ms: i64) -> bool {
        let name = hash_of(&[source, message_id]);
        let generations = &mut self.0;
        if generations.iter().any(|(_, seen)| seen.contains(&name)) {
            return false;
        }
        let generation = received_ms.div_euclid(GENERATION_MS);
        match generations.first_mut() {
            Some((newest, seen)) if *newest >= generation => seen.push(name),
            _ => {
                generations.insert(0, (generation, vec![name]));
                generations.retain(|(known, _)| *known > generation - GENERATIONS);
            }
        }
        if generations.len() > 1 && self.count() > MOST_IDS {
            self.0.pop();
        } else if self.0[0].1.len() > MOST_IDS {
            self.0[0].1.drain(..MOST_IDS / 2);
        }
        true
    }

    /// How many are remembered.
    pub fn count(&self) -> usize {
        self.0.iter().map(|(_, seen)| seen.len()).sum()
    }

    pub fn pack(&self, into: &mut Writer) {
        into.length(self.0.len());
        for (generation, seen) in &self.0 {
            into.signed(*generation);
            into.length(seen.len());
            for name in seen {
                into.fixed(*name);
            }
        }
    }

    pub fn unpack(from: &mut Reader<'_>) -> Ids {
        Ids((0..from.length())
            .map(|_| {
                let generation = from.signed();
                let count = from.length();
                let names = from.bytes(8 * count).chunks_exact(8);
                (generation, names.map(|name| u64::from_le_bytes(name.try_into().expect("eight bytes"))).collect())
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_remembered_for_a_day_or_more() {
        let mut ids = Ids::default();
        assert!(ids.is_new("s1", "m", 0));
        assert!(ids.is_new("s2", "m", 0));
        assert!(!ids.is_new("s1", "m", 24 * 3_600_000));
        assert!(ids.is_new("s1", "other", 24 * 3_600_000));
        assert!(!ids.is_new("s1", "m", 24 * 3_600_000));
        assert!(ids.is_new("s1", "third", 32 * 3_600_000));
        assert!(ids.is_new("s1", "m", 32 * 3_600_000));
    }

    #[test]
    fn there_are_never_too_many() {
        let mut ids = Ids::default();
        for number in 0..3 * MOST_IDS {
            assert!(ids.is_new("s1", &number.to_string(), number as i64 * 1_500));
            assert!(ids.count() <= MOST_IDS);
            assert!(!ids.is_new("s1", &number.to_string(), number as i64 * 1_500));
        }
    }

    #[test]
    fn they_come_back() {
        let mut ids = Ids::default();
        for number in 0..10 {
            ids.is_new("s1", &number.to_string(), number * GENERATION_MS);
        }
        let mut writer = Writer::new();
        ids.pack(&mut writer);
        let mut back = Ids::unpack(&mut Reader::new(&writer.data));
        assert_eq!(back.count(), 4);
        assert!(!back.is_new("s1", "9", 9 * GENERATION_MS));
    }
}
