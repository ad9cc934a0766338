//! What a profile keeps of one trail: how far it went, its newest events, and what the leaves over it read.
//!
//! Most events change no condition of any rule. An event is therefore only noted, and the leaves are looked at once the
//! count or a sum has reached the mark at which one of them changes.

use std::ops::Range;

use crate::pack::{Reader, Writer};
use crate::sequences::Times;
use crate::series::{Reading, Series};

/// A mark that no count or sum reaches.
pub const NEVER: i64 = (1 << 62) - 1;

/// What is known of a leaf: what it read when it was last looked at (the conditions that held then hold now), the count
/// or sum at which it is to be looked at again, and when time alone may next change it, in Unix ms.
#[derive(Clone, Debug)]
pub struct Note {
    pub id: u64,
    pub reading: Option<Reading>,
    pub mark: Option<i64>,
    pub due_ms: Option<i64>,
}

/// What is kept for a series, or under the trail's own id the times of events, for sequences.
pub struct Slot {
    pub id: u64,
    pub kept: Kept,
}

pub enum Kept {
    /// Where it lies in the profile's bytes.
    Packed(Range<usize>),
    Series(Box<Series>),
    Times(Box<Times>),
    /// While it is in somebody's hands.
    Taken,
}

pub struct Walk {
    /// The properties whose numbers are noted with an event, as dotted text.
    pub ways: Vec<Box<str>>,
    pub count: u64,
    /// The latest time of an event.
    pub last_ms: i64,
    /// The count at which a leaf is to be looked at.
    pub mark: i64,
    /// The newest events: their times, and where sequences need them the numbers that tell the profile's events apart.
    pub times: Vec<i64>,
    pub numbers: Vec<u64>,
    /// For each way the numbers of the newest events in millionths; None for what is no number.
    pub values: Vec<Vec<Option<i64>>>,
    /// For each way the sum of all numbers, and the sum at which a leaf is to be looked at.
    pub sums: Vec<i64>,
    pub marks: Vec<i64>,
    pub notes: Vec<Note>,
    pub slots: Vec<Slot>,
    /// Whether it is newer than the profile's bytes.
    pub changed: bool,
}

impl Walk {
    pub fn new(ways: &[Box<str>], kept: impl Iterator<Item = u64>) -> Walk {
        Walk {
            ways: ways.to_vec(),
            count: 0,
            last_ms: 0,
            mark: NEVER,
            times: Vec::new(),
            numbers: Vec::new(),
            values: vec![Vec::new(); ways.len()],
            sums: vec![0; ways.len()],
            marks: vec![NEVER; ways.len()],
            notes: Vec::new(),
            slots: kept.map(|id| Slot { id, kept: Kept::Packed(0..0) }).collect(),
            changed: true,
        }
    }

    pub fn note(&self, id: u64) -> Option<&Note> {
        self.notes.iter().find(|note| note.id == id)
    }

    /// The note of a leaf, which is made where it was not.
    pub fn note_of(&mut self, id: u64) -> &mut Note {
        let index = self.notes.iter().position(|note| note.id == id).unwrap_or_else(|| {
            self.notes.push(Note { id, reading: None, mark: None, due_ms: None });
            self.notes.len() - 1
        });
        &mut self.notes[index]
    }

    pub fn reading(&self, id: u64) -> Option<&Reading> {
        self.note(id)?.reading.as_ref()
    }

    pub fn due_ms(&self) -> Option<i64> {
        self.notes.iter().filter_map(|note| note.due_ms).min()
    }

    pub fn slot(&mut self, id: u64) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.id == id)
    }

    /// `raw` is where packed slots lie.
    pub fn pack(&self, raw: &[u8], into: &mut Writer) {
        let kept: Vec<&Note> =
            self.notes.iter().filter(|note| note.reading.is_some() || note.due_ms.is_some()).collect();
        into.signed(self.last_ms);
        into.length(kept.len());
        for note in kept {
            into.fixed(note.id);
            match &note.reading {
                Some(reading) => reading.pack(into),
                None => into.byte(0),
            }
            into.byte(u8::from(note.mark.is_some()) | u8::from(note.due_ms.is_some()) << 1);
            if let Some(mark) = note.mark {
                into.signed(mark);
            }
            if let Some(due_ms) = note.due_ms {
                into.signed(due_ms - self.last_ms);
            }
        }
        into.unsigned(self.count);
        pack_mark(into, self.mark);
        into.length(self.ways.len());
        for (index, way) in self.ways.iter().enumerate() {
            into.text(way);
            into.signed(self.sums[index]);
            pack_mark(into, self.marks[index]);
        }
        into.length(self.times.len());
        for time_ms in &self.times {
            into.signed(self.last_ms - time_ms);
        }
        let lowest = self.numbers.iter().min().copied().unwrap_or(0);
        into.length(self.numbers.len());
        if !self.numbers.is_empty() {
            into.unsigned(lowest);
        }
        for number in &self.numbers {
            into.unsigned(number - lowest);
        }
        for values in &self.values {
            for value in values {
                pack_value(into, *value);
            }
        }
        into.length(self.slots.len());
        for slot in &self.slots {
            into.fixed(slot.id);
            match &slot.kept {
                Kept::Packed(range) => {
                    into.length(range.len());
                    into.bytes(&raw[range.clone()]);
                }
                Kept::Series(series) => drop(into.section(|into| series.pack(into))),
                Kept::Times(times) => drop(into.section(|into| times.pack(into))),
                Kept::Taken => unreachable!("what is taken is put back"),
            }
        }
    }

    /// Reads what `pack` wrote at `range` of `raw`.
    pub fn unpack(raw: &[u8], range: Range<usize>) -> Walk {
        let from = &mut Reader { data: &raw[..range.end], at: range.start };
        let last_ms = from.signed();
        let notes = (0..from.length()).map(|_| unpack_note(from, last_ms)).collect();
        let count = from.unsigned();
        let mark = unpack_mark(from);
        let length = from.length();
        let mut walk = Walk {
            ways: Vec::with_capacity(length),
            count,
            last_ms,
            mark,
            times: Vec::new(),
            numbers: Vec::new(),
            values: Vec::with_capacity(length),
            sums: Vec::with_capacity(length),
            marks: Vec::with_capacity(length),
            notes,
            slots: Vec::new(),
            changed: false,
        };
        for _ in 0..length {
            walk.ways.push(from.text().into());
            walk.sums.push(from.signed());
            walk.marks.push(unpack_mark(from));
        }
        walk.times = (0..from.length()).map(|_| last_ms - from.signed()).collect();
        let numbers = from.length();
        let lowest = if numbers == 0 { 0 } else { from.unsigned() };
        walk.numbers = (0..numbers).map(|_| lowest + from.unsigned()).collect();
        for _ in 0..length {
            walk.values.push((0..walk.times.len()).map(|_| unpack_value(from)).collect());
        }
        walk.slots =
            (0..from.length()).map(|_| Slot { id: from.fixed(), kept: Kept::Packed(from.section()) }).collect();
        walk
    }

    /// What a leaf read, without unpacking the rest; None for one that was not looked at.
    pub fn peek(packed: &[u8], id: u64) -> Option<Reading> {
        let from = &mut Reader::new(packed);
        let last_ms = from.signed();
        (0..from.length()).map(|_| unpack_note(from, last_ms)).find(|note| note.id == id)?.reading
    }
}

fn unpack_note(from: &mut Reader<'_>, last_ms: i64) -> Note {
    let id = from.fixed();
    let tag = from.byte();
    let reading = Reading::unpack(tag, from);
    let has = from.byte();
    Note {
        id,
        reading,
        mark: (has & 1 != 0).then(|| from.signed()),
        due_ms: (has & 2 != 0).then(|| last_ms + from.signed()),
    }
}

/// Prices have two places: those are shifted by two, behind the words for what is no number and for all others.
fn pack_value(into: &mut Writer, value: Option<i64>) {
    match value {
        None => into.byte(0),
        Some(micros) if micros % CENT == 0 => {
            let cents = micros / CENT;
            into.unsigned(((cents << 1) ^ (cents >> 63)) as u64 + 2);
        }
        Some(micros) => {
            into.byte(1);
            into.signed(micros);
        }
    }
}

fn unpack_value(from: &mut Reader<'_>) -> Option<i64> {
    match from.unsigned() {
        0 => None,
        1 => Some(from.signed()),
        cents => {
            let zigzag = cents - 2;
            Some(((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)) * CENT)
        }
    }
}

/// A hundredth in millionths.
const CENT: i64 = 10_000;

fn pack_mark(into: &mut Writer, mark: i64) {
    into.wide(if mark == NEVER { 0 } else { 2 * i128::from(mark) + 1 });
}

fn unpack_mark(from: &mut Reader<'_>) -> i64 {
    match from.wide() {
        0 => NEVER,
        odd => ((odd - 1) / 2) as i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back() {
        let mut walk = Walk::new(&["total".into(), "a.b".into()], [7, 9].into_iter());
        walk.count = 5;
        walk.last_ms = 1_790_000_000_000;
        walk.times = vec![1_790_000_000_000, 1_789_999_990_000];
        walk.numbers = vec![41, 40];
        walk.values = vec![vec![Some(-10_000), Some(1)], vec![None, Some(-3)]];
        walk.sums = vec![-9_999, -3];
        walk.marks = vec![-1, NEVER];
        *walk.note_of(3) = Note { id: 3, reading: Some(Reading::Count(4)), mark: Some(0), due_ms: None };
        *walk.note_of(4) = Note { id: 4, reading: None, mark: None, due_ms: Some(1_790_000_005_000) };
        *walk.note_of(5) = Note { id: 5, reading: None, mark: Some(8), due_ms: None };
        let mut writer = Writer::new();
        writer.byte(0);
        walk.pack(&[], &mut writer);
        let back = Walk::unpack(&writer.data, 1..writer.data.len());
        assert_eq!((back.count, back.last_ms, back.mark), (5, 1_790_000_000_000, NEVER));
        assert_eq!((&back.times, &back.numbers, &back.values), (&walk.times, &walk.numbers, &walk.values));
        assert_eq!((&back.sums, &back.marks, &back.ways), (&walk.sums, &walk.marks, &walk.ways));
        assert_eq!(back.reading(3), Some(&Reading::Count(4)));
        assert_eq!(back.due_ms(), Some(1_790_000_005_000));
        assert!(back.note(5).is_none(), "a note that says nothing is not kept");
        assert_eq!(Walk::peek(&writer.data[1..], 3), Some(Reading::Count(4)));
        assert_eq!(Walk::peek(&writer.data[1..], 4), None);
        assert_eq!(back.slots.iter().map(|slot| slot.id).collect::<Vec<_>>(), [7, 9]);
        let mut again = Writer::new();
        again.byte(0);
        back.pack(&writer.data, &mut again);
        assert_eq!(again.data, writer.data);
    }
}
