//! What the platform keeps of one profile between events.
//!
//! Most of it stays packed: an event opens the trails that it joins and nothing else, and what is opened is packed again
//! only where it changed. It is bounded: docs/rules.md states by what.
//!
//! The bytes are a version, the profile's own fields, its traits, its segments in order of the hashes of their keys, and
//! a table of trails in order of their ids, so that both are searched as they lie.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::duplicates::Ids;
use crate::ids::IdMap;
use crate::pack::{Reader, Writer};
use crate::sequences::Times;
use crate::series::Reading;
use crate::value::Value;
use crate::walk::{Kept, Walk};

/// The first byte of a state. A version is read for as long as a savepoint of it can exist.
pub const VERSION: u8 = 4;

/// The one before: it did not know when the profile was last heard of.
const WITHOUT_HEARD: u8 = 3;

/// The one before that: it knew of no offsets and of no backfills either.
const WITHOUT_HISTORY: u8 = 2;

const INSTANT_BYTES: usize = 6;
const NO_INSTANT: u64 = (1 << 48) - 1;

/// The bytes are of a version that this code does not know: newer, or from before the first release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionUnknown(pub Option<u8>);

/// The time, message id and source of the event that last set or deleted a trait.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    pub time_ms: i64,
    pub message_id: Box<str>,
    pub source: Box<str>,
}

/// A segment's key, and since when the profile is in it; None where it left.
struct Move {
    key: Arc<str>,
    since_ms: Option<i64>,
}

/// How far a profile is with a backfill that was outstanding when it was last touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backfill {
    pub number: i64,
    /// Every event from this offset on is fed to the new leaves as it comes, none before it; None where that is not
    /// known yet.
    pub from: Option<i64>,
    /// The history before this offset has been fed to them.
    pub fed: i64,
    /// Whether its segments are asked: all of the history is in, or there is none.
    pub open: bool,
    /// Whether all of the history is in.
    pub filled: bool,
}

/// One profile. Used by one thread at a time.
pub struct State {
    pub profile_id: Box<str>,
    pub created_ms: i64,
    pub updated_ms: i64,
    pub now_ms: i64,
    /// When the newest of its events was accepted, it was told of its lists, or it was forgotten; 0 for never.
    pub heard_ms: i64,
    /// The latest time of an event that joined a trail.
    pub latest_ms: i64,
    /// How many events have joined a trail.
    pub events: u64,
    /// The host's: the version that others were told, and the instant that its timer is set to.
    pub version: u64,
    pub armed_ms: i64,
    /// The program's revision that the state was brought to.
    pub revision: i64,
    /// The offset behind the newest event that was processed; None before one whose offset is known.
    pub position: Option<i64>,
    pub backfills: Vec<Backfill>,
    pub computed: BTreeMap<Box<str>, Value>,
    pub lists: BTreeSet<Box<str>>,
    pub ids: Ids,
    /// When time alone next turns a test of a trait, by the trait's name.
    pub trait_dues: BTreeMap<Box<str>, i64>,

    raw: Vec<u8>,
    values_at: Range<usize>,
    origins_at: Range<usize>,
    segments: Segments,
    trails: Table,

    open: Vec<Open>,
    opened: IdMap<usize>,
    moves: IdMap<Move>,
    values: Option<BTreeMap<Box<str>, Value>>,
    origins: Option<BTreeMap<Box<str>, Arc<Origin>>>,
    traits_changed: bool,
}

/// A trail that was opened. It is taken out while it is worked on; one that is gone is left out when packing.
struct Open {
    id: u64,
    walk: Option<Box<Walk>>,
    gone: bool,
}

/// Where the packed segments lie.
#[derive(Clone, Copy, Default)]
struct Segments {
    count: usize,
    hashes_at: usize,
    since_at: usize,
    keys_at: usize,
}

/// Where the packed trails lie: their ids, when each is next due, where each ends, and then they themselves.
#[derive(Clone, Copy, Default)]
struct Table {
    count: usize,
    ids_at: usize,
    dues_at: usize,
    ends_at: usize,
    trails_at: usize,
}

fn word(raw: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(raw[at..at + 8].try_into().expect("eight bytes"))
}

fn instant(raw: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes[..INSTANT_BYTES].copy_from_slice(&raw[at..at + INSTANT_BYTES]);
    u64::from_le_bytes(bytes)
}

fn put_instant(into: &mut Writer, at_ms: u64) {
    into.bytes(&at_ms.to_le_bytes()[..INSTANT_BYTES]);
}

/// A part of a sorted row that is written anew: places of the old one, or an id with its instant and what it is of.
enum Part<'a, T: ?Sized> {
    Copied(Range<usize>),
    New(u64, i64, &'a T),
}

/// The place of an id in a row of `count` sorted ones that begins at `start`, or the one where it would stand.
fn search(raw: &[u8], start: usize, count: usize, id: u64) -> Result<usize, usize> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = (low + high) / 2;
        let found = word(raw, start + 8 * middle);
        if found == id {
            return Ok(middle);
        }
        if found < id {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Err(low)
}

impl Table {
    fn due_ms(&self, raw: &[u8], index: usize) -> Option<i64> {
        let at_ms = instant(raw, self.dues_at + INSTANT_BYTES * index);
        (at_ms != NO_INSTANT).then_some(at_ms as i64)
    }

    fn range(&self, raw: &[u8], index: usize) -> Range<usize> {
        let end = |index: usize| {
            let at = self.ends_at + 4 * index;
            self.trails_at + u32::from_le_bytes(raw[at..at + 4].try_into().expect("four bytes")) as usize
        };
        (if index == 0 { self.trails_at } else { end(index - 1) })..end(index)
    }

    fn id(&self, raw: &[u8], index: usize) -> u64 {
        word(raw, self.ids_at + 8 * index)
    }
}

impl State {
    /// The state of a profile of which nothing is known.
    pub fn new(profile_id: &str) -> State {
        State {
            profile_id: profile_id.into(),
            created_ms: 0,
            updated_ms: 0,
            now_ms: 0,
            heard_ms: 0,
            latest_ms: 0,
            events: 0,
            version: 0,
            armed_ms: 0,
            revision: 0,
            position: None,
            backfills: Vec::new(),
            computed: BTreeMap::new(),
            lists: BTreeSet::new(),
            ids: Ids::default(),
            trait_dues: BTreeMap::new(),
            raw: Vec::new(),
            values_at: 0..0,
            origins_at: 0..0,
            segments: Segments::default(),
            trails: Table::default(),
            open: Vec::new(),
            opened: IdMap::default(),
            moves: IdMap::default(),
            values: None,
            origins: None,
            traits_changed: false,
        }
    }

    /// All that is known of the profile goes, but for the lists that it is on, and for what others were told and may
    /// come to be told: no version is given twice.
    pub fn forget(&mut self, now_ms: i64) {
        let now_ms = self.now_ms.max(now_ms);
        let mut kept = State::new(&self.profile_id);
        (kept.updated_ms, kept.now_ms, kept.heard_ms) = (now_ms, now_ms, now_ms);
        (kept.version, kept.armed_ms, kept.position) = (self.version, self.armed_ms, self.position);
        kept.lists = std::mem::take(&mut self.lists);
        *self = kept;
    }

    /// The state that `encode` wrote.
    pub fn decode(raw: Vec<u8>) -> Result<State, VersionUnknown> {
        let version = match raw.first() {
            Some(known @ (&VERSION | &WITHOUT_HEARD | &WITHOUT_HISTORY)) => *known,
            other => return Err(VersionUnknown(other.copied())),
        };
        let from = &mut Reader { data: &raw, at: 1 };
        let mut state = State::new(from.text());
        state.created_ms = from.signed();
        state.updated_ms = from.signed();
        state.now_ms = from.signed();
        state.heard_ms = if version == VERSION { from.signed() } else { state.now_ms };
        state.latest_ms = from.signed();
        state.events = from.unsigned();
        state.version = from.unsigned();
        state.armed_ms = from.signed();
        state.revision = from.signed();
        if version != WITHOUT_HISTORY {
            state.position = unpack_offset(from);
            state.backfills = (0..from.length()).map(|_| Backfill::unpack(from)).collect();
        }
        state.lists = (0..from.length()).map(|_| from.text().into()).collect();
        state.computed = unpack_values(from);
        state.ids = Ids::unpack(from);
        state.trait_dues = (0..from.length()).map(|_| (from.text().into(), from.signed())).collect();
        state.values_at = from.section();
        state.origins_at = from.section();
        let count = from.length();
        let hashes_at = from.at;
        state.segments = Segments::at(count, hashes_at);
        from.at = state.segments.keys_at;
        from.section();
        let count = from.length();
        let ids_at = from.at;
        let dues_at = ids_at + 8 * count;
        let ends_at = dues_at + INSTANT_BYTES * count;
        state.trails = Table { count, ids_at, dues_at, ends_at, trails_at: ends_at + 4 * count };
        state.raw = raw;
        Ok(state)
    }

    /// The state as bytes. What was opened is packed again where it changed, and is closed.
    pub fn encode(&mut self) -> &[u8] {
        let mut into = Writer { data: Vec::with_capacity(self.raw.len() + 512) };
        into.byte(VERSION);
        into.text(&self.profile_id);
        into.signed(self.created_ms);
        into.signed(self.updated_ms);
        into.signed(self.now_ms);
        into.signed(self.heard_ms);
        into.signed(self.latest_ms);
        into.unsigned(self.events);
        into.unsigned(self.version);
        into.signed(self.armed_ms);
        into.signed(self.revision);
        pack_offset(&mut into, self.position);
        into.length(self.backfills.len());
        for backfill in &self.backfills {
            backfill.pack(&mut into);
        }
        into.length(self.lists.len());
        for list in &self.lists {
            into.text(list);
        }
        pack_values(&mut into, &self.computed);
        self.ids.pack(&mut into);
        into.length(self.trait_dues.len());
        for (name, due_ms) in &self.trait_dues {
            into.text(name);
            into.signed(*due_ms);
        }
        let (values_at, origins_at) = self.pack_traits(&mut into);
        let segments = self.pack_segments(&mut into);
        let trails = self.pack_trails(&mut into);
        self.raw = into.data;
        (self.values_at, self.origins_at, self.segments, self.trails) = (values_at, origins_at, segments, trails);
        self.open.clear();
        self.opened.clear();
        self.moves.clear();
        self.traits_changed = false;
        &self.raw
    }

    fn pack_traits(&self, into: &mut Writer) -> (Range<usize>, Range<usize>) {
        match (&self.values, &self.origins) {
            (Some(values), Some(origins)) if self.traits_changed => {
                (into.section(|into| pack_values(into, values)), into.section(|into| pack_origins(into, origins)))
            }
            _ => (into.copy(&self.raw[self.values_at.clone()]), into.copy(&self.raw[self.origins_at.clone()])),
        }
    }

    fn pack_segments(&self, into: &mut Writer) -> Segments {
        let old = self.segments;
        let raw = &self.raw;
        let mut moves: Vec<(u64, &Move)> = self.moves.iter().map(|(hash, moved)| (*hash, moved)).collect();
        moves.sort_unstable_by_key(|(hash, _)| *hash);
        // Few segments change at once: what lies between two changes is copied as it is.
        let mut parts = Vec::with_capacity(2 * moves.len() + 1);
        let mut copied = 0;
        let mut count = 0;
        for (hash, moved) in moves {
            let (place, known) = match search(raw, old.hashes_at, old.count, hash) {
                Ok(place) => (place, 1),
                Err(place) => (place, 0),
            };
            parts.push(Part::Copied(copied..place));
            count += place - copied;
            copied = place + known;
            if let Some(since_ms) = moved.since_ms {
                parts.push(Part::New(hash, since_ms, &moved.key));
                count += 1;
            }
        }
        parts.push(Part::Copied(copied..old.count));
        count += old.count - copied;
        into.length(count);
        let hashes_at = into.data.len();
        for part in &parts {
            match part {
                Part::Copied(rows) => into.bytes(&raw[old.hashes_at + 8 * rows.start..old.hashes_at + 8 * rows.end]),
                Part::New(hash, _, _) => into.fixed(*hash),
            }
        }
        let instants = |place: usize| old.since_at + INSTANT_BYTES * place;
        for part in &parts {
            match part {
                Part::Copied(rows) => into.bytes(&raw[instants(rows.start)..instants(rows.end)]),
                Part::New(_, since_ms, _) => put_instant(into, *since_ms as u64),
            }
        }
        into.section(|into| {
            let mut keys = Reader { data: raw, at: old.keys_at };
            let mut at = 0;
            if old.count > 0 {
                keys.length();
            }
            for part in &parts {
                match part {
                    Part::Copied(rows) => {
                        (at..rows.start).for_each(|_| _ = keys.section());
                        let start = keys.at;
                        rows.clone().for_each(|_| _ = keys.section());
                        into.bytes(&raw[start..keys.at]);
                        at = rows.end;
                    }
                    Part::New(_, _, key) => into.text(key),
                }
            }
        });
        Segments::at(count, hashes_at)
    }

    fn pack_trails(&self, into: &mut Writer) -> Table {
        let old = self.trails;
        let raw = &self.raw;
        let mut open: Vec<&Open> = self.open.iter().filter(|open| open.gone || open.changed()).collect();
        open.sort_unstable_by_key(|open| open.id);
        // Few trails change at once, too.
        let mut parts = Vec::with_capacity(2 * open.len() + 1);
        let mut copied = 0;
        let mut count = 0;
        for open in open {
            let (place, known) = match search(raw, old.ids_at, old.count, open.id) {
                Ok(place) => (place, 1),
                Err(place) => (place, 0),
            };
            parts.push(Part::Copied(copied..place));
            count += place - copied;
            copied = place + known;
            if let Some(walk) = &open.walk {
                parts.push(Part::New(open.id, walk.due_ms().unwrap_or(NO_INSTANT as i64), &**walk));
                count += 1;
            }
        }
        parts.push(Part::Copied(copied..old.count));
        count += old.count - copied;
        into.length(count);
        let ids_at = into.data.len();
        for part in &parts {
            match part {
                Part::Copied(rows) => into.bytes(&raw[old.ids_at + 8 * rows.start..old.ids_at + 8 * rows.end]),
                Part::New(id, _, _) => into.fixed(*id),
            }
        }
        let dues_at = into.data.len();
        let instants = |place: usize| old.dues_at + INSTANT_BYTES * place;
        for part in &parts {
            match part {
                Part::Copied(rows) => into.bytes(&raw[instants(rows.start)..instants(rows.end)]),
                Part::New(_, due_ms, _) => put_instant(into, *due_ms as u64),
            }
        }
        let ends_at = into.data.len();
        into.data.resize(ends_at + 4 * count, 0);
        let trails_at = into.data.len();
        let mut place = 0;
        let mut end_here = |into: &mut Writer, end: usize| {
            into.data[ends_at + 4 * place..ends_at + 4 * place + 4].copy_from_slice(&(end as u32).to_le_bytes());
            place += 1;
        };
        for part in &parts {
            match part {
                Part::Copied(rows) if rows.is_empty() => {}
                Part::Copied(rows) => {
                    let start = old.range(raw, rows.start).start;
                    let moved = into.data.len() - trails_at;
                    into.bytes(&raw[start..old.range(raw, rows.end - 1).end]);
                    for row in rows.clone() {
                        end_here(into, moved + old.range(raw, row).end - start);
                    }
                }
                Part::New(_, _, walk) => {
                    walk.pack(raw, into);
                    let end = into.data.len() - trails_at;
                    end_here(into, end);
                }
            }
        }
        Table { count, ids_at, dues_at, ends_at, trails_at }
    }

    // --- backfills

    /// Whether the segments of a backfill are asked.
    pub fn is_open(&self, backfill: i64) -> bool {
        self.backfills.iter().any(|known| known.number == backfill && known.open)
    }

    // --- trails

    pub fn has_trail(&self, id: u64) -> bool {
        match self.opened.get(&id) {
            Some(place) => !self.open[*place].gone,
            None => search(&self.raw, self.trails.ids_at, self.trails.count, id).is_ok(),
        }
    }

    pub fn has_trails(&self) -> bool {
        self.trails.count > 0 || !self.open.is_empty()
    }

    /// Takes a trail's walk out, to be put back by `keep`; None where the profile was never on it.
    pub fn take(&mut self, id: u64) -> Option<Box<Walk>> {
        let place = self.open_trail(id)?;
        Some(self.open[place].walk.take().expect("a walk is taken once"))
    }

    /// The walk of a trail, to be read or changed.
    pub fn walk(&mut self, id: u64) -> Option<&mut Walk> {
        let place = self.open_trail(id)?;
        self.open[place].walk.as_deref_mut()
    }

    fn open_trail(&mut self, id: u64) -> Option<usize> {
        if let Some(place) = self.opened.get(&id) {
            return (!self.open[*place].gone).then_some(*place);
        }
        let index = search(&self.raw, self.trails.ids_at, self.trails.count, id).ok()?;
        let walk = Walk::unpack(&self.raw, self.trails.range(&self.raw, index));
        Some(self.add(id, Box::new(walk)))
    }

    fn add(&mut self, id: u64, walk: Box<Walk>) -> usize {
        self.opened.insert(id, self.open.len());
        self.open.push(Open { id, walk: Some(walk), gone: false });
        self.open.len() - 1
    }

    /// Puts a walk in its place: one that was taken out, or a new one.
    pub fn keep(&mut self, id: u64, walk: Box<Walk>) {
        match self.opened.get(&id) {
            Some(place) => {
                self.open[*place].walk = Some(walk);
                self.open[*place].gone = false;
            }
            None => {
                self.add(id, walk);
            }
        }
    }

    /// The times of a trail's events, where they were opened; None where the profile was never on the trail.
    pub fn opened_times(&self, id: u64) -> Option<&Times> {
        let walk = self.open[*self.opened.get(&id)?].walk.as_ref()?;
        match &walk.slots.iter().find(|slot| slot.id == id)?.kept {
            Kept::Times(times) => Some(times),
            _ => None,
        }
    }

    /// What a leaf of a trail read when it was last looked at.
    pub fn reading(&self, trail: u64, leaf: u64) -> Option<Reading> {
        if let Some(place) = self.opened.get(&trail) {
            return self.open[*place].walk.as_ref()?.reading(leaf).copied();
        }
        let index = search(&self.raw, self.trails.ids_at, self.trails.count, trail).ok()?;
        Walk::peek(&self.raw[self.trails.range(&self.raw, index)], leaf)
    }

    /// Forget a trail that no rule asks for any more.
    pub fn leave_trail(&mut self, id: u64) {
        match self.opened.get(&id) {
            Some(place) => {
                self.open[*place].walk = None;
                self.open[*place].gone = true;
            }
            None => {
                self.opened.insert(id, self.open.len());
                self.open.push(Open { id, walk: None, gone: true });
            }
        }
    }

    pub fn trail_ids(&self) -> Vec<u64> {
        let packed = (0..self.trails.count).map(|index| self.trails.id(&self.raw, index));
        let mut ids: Vec<u64> = packed.filter(|id| !self.opened.contains_key(id)).collect();
        ids.extend(self.open.iter().filter(|open| !open.gone).map(|open| open.id));
        ids.sort_unstable();
        ids
    }

    /// The profile's bytes, where packed slots lie.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The trails that are due at an instant.
    pub fn trails_due(&self, now_ms: i64) -> Vec<u64> {
        let packed = (0..self.trails.count)
            .filter(|index| self.trails.due_ms(&self.raw, *index).is_some_and(|due_ms| due_ms <= now_ms))
            .map(|index| self.trails.id(&self.raw, index))
            .filter(|id| !self.opened.contains_key(id));
        let open = self.open.iter().filter(|open| open.due_ms().is_some_and(|due_ms| due_ms <= now_ms));
        let mut due: Vec<u64> = packed.chain(open.map(|open| open.id)).collect();
        due.sort_unstable();
        due
    }

    /// When time alone may next change something; None for never.
    pub fn due_ms(&self) -> Option<i64> {
        let mut least = NO_INSTANT;
        for index in 0..self.trails.count {
            let at_ms = instant(&self.raw, self.trails.dues_at + INSTANT_BYTES * index);
            if at_ms < least && !self.opened.contains_key(&self.trails.id(&self.raw, index)) {
                least = at_ms;
            }
        }
        let packed = (least < NO_INSTANT).then_some(least as i64);
        let open = self.open.iter().filter_map(Open::due_ms);
        packed.into_iter().chain(open).chain(self.trait_dues.values().copied()).min()
    }

    // --- segments

    fn packed_segments(&self) -> impl Iterator<Item = (u64, i64, &str)> {
        let place = self.segments;
        let mut keys = Reader { data: &self.raw, at: place.keys_at };
        if place.count > 0 {
            keys.length();
        }
        (0..place.count).map(move |index| {
            let hash = word(&self.raw, place.hashes_at + 8 * index);
            (hash, instant(&self.raw, place.since_at + INSTANT_BYTES * index) as i64, keys.text())
        })
    }

    /// Whether the profile is in the segment whose key has this hash.
    pub fn is_in(&self, hash: u64) -> bool {
        match self.moves.get(&hash) {
            Some(moved) => moved.since_ms.is_some(),
            None => search(&self.raw, self.segments.hashes_at, self.segments.count, hash).is_ok(),
        }
    }

    /// The profile is in the segment from now on.
    pub fn enter(&mut self, hash: u64, key: &Arc<str>) {
        self.moves.insert(hash, Move { key: key.clone(), since_ms: Some(self.now_ms) });
    }

    /// The profile is in the segment no longer.
    pub fn leave(&mut self, hash: u64, key: &Arc<str>) {
        self.moves.insert(hash, Move { key: key.clone(), since_ms: None });
    }

    /// The segments that the profile is in, by the hash of the key: the key, and since when.
    pub fn segments(&self) -> Vec<(u64, &str, i64)> {
        let packed = self.packed_segments().filter(|(hash, _, _)| !self.moves.contains_key(hash));
        let mut found: Vec<(u64, &str, i64)> = packed.map(|(hash, since_ms, key)| (hash, key, since_ms)).collect();
        found.extend(
            self.moves.iter().filter_map(|(hash, moved)| moved.since_ms.map(|since_ms| (*hash, &*moved.key, since_ms))),
        );
        found.sort_unstable_by_key(|(hash, _, _)| *hash);
        found
    }

    // --- traits

    /// The values of the profile's traits.
    pub fn traits(&mut self) -> &BTreeMap<Box<str>, Value> {
        self.values.get_or_insert_with(|| {
            let range = self.values_at.clone();
            if range.is_empty() {
                BTreeMap::new()
            } else {
                unpack_values(&mut Reader { data: &self.raw, at: range.start })
            }
        })
    }

    /// Which event set or deleted a trait; for deleted ones too, so that an older event cannot bring one back.
    pub fn origin(&mut self, name: &str) -> Option<&Arc<Origin>> {
        self.origins().get(name)
    }

    fn origins(&mut self) -> &mut BTreeMap<Box<str>, Arc<Origin>> {
        self.origins.get_or_insert_with(|| {
            let range = self.origins_at.clone();
            if range.is_empty() {
                BTreeMap::new()
            } else {
                unpack_origins(&mut Reader { data: &self.raw, at: range.start })
            }
        })
    }

    /// Sets a trait, or deletes it by null.
    pub fn assign(&mut self, name: &str, value: &Value, origin: &Arc<Origin>) {
        self.traits();
        self.traits_changed = true;
        self.origins().insert(name.into(), origin.clone());
        let values = self.values.as_mut().expect("opened above");
        match value {
            Value::Null => {
                values.remove(name);
            }
            value => {
                values.insert(name.into(), value.clone());
            }
        }
    }

    /// How many bytes are kept for trails, as of the last encoding.
    pub fn trail_bytes(&self) -> usize {
        if self.raw.is_empty() {
            0
        } else {
            self.raw.len() - self.trails.ids_at
        }
    }
}

impl Backfill {
    fn pack(&self, into: &mut Writer) {
        into.signed(self.number);
        pack_offset(into, self.from);
        into.signed(self.fed);
        into.byte(u8::from(self.open) | u8::from(self.filled) << 1);
    }

    fn unpack(from: &mut Reader<'_>) -> Backfill {
        let (number, since, fed, flags) = (from.signed(), unpack_offset(from), from.signed(), from.byte());
        Backfill { number, from: since, fed, open: flags & 1 != 0, filled: flags & 2 != 0 }
    }
}

fn pack_offset(into: &mut Writer, offset: Option<i64>) {
    into.unsigned(offset.map_or(0, |offset| offset as u64 + 1));
}

fn unpack_offset(from: &mut Reader<'_>) -> Option<i64> {
    from.unsigned().checked_sub(1).map(|offset| offset as i64)
}

impl Open {
    fn changed(&self) -> bool {
        self.walk.as_ref().is_some_and(|walk| walk.changed)
    }

    fn due_ms(&self) -> Option<i64> {
        self.walk.as_ref().and_then(|walk| walk.due_ms())
    }
}

impl Segments {
    fn at(count: usize, hashes_at: usize) -> Segments {
        let since_at = hashes_at + 8 * count;
        Segments { count, hashes_at, since_at, keys_at: since_at + INSTANT_BYTES * count }
    }
}

fn pack_values(into: &mut Writer, values: &BTreeMap<Box<str>, Value>) {
    into.length(values.len());
    for (name, value) in values {
        into.text(name);
        value.pack(into);
    }
}

fn unpack_values(from: &mut Reader<'_>) -> BTreeMap<Box<str>, Value> {
    (0..from.length()).map(|_| (from.text().into(), Value::unpack(from))).collect()
}

/// Events set many traits at once: each is written once, and a trait names its place.
fn pack_origins(into: &mut Writer, origins: &BTreeMap<Box<str>, Arc<Origin>>) {
    let mut events: Vec<&Origin> = origins.values().map(|origin| &**origin).collect();
    events.sort_unstable();
    events.dedup();
    into.length(events.len());
    for event in &events {
        into.signed(event.time_ms);
        into.text(&event.message_id);
        into.text(&event.source);
    }
    into.length(origins.len());
    for (name, origin) in origins {
        into.text(name);
        into.length(events.binary_search(&&**origin).expect("every event was written"));
    }
}

fn unpack_origins(from: &mut Reader<'_>) -> BTreeMap<Box<str>, Arc<Origin>> {
    let events: Vec<Arc<Origin>> = (0..from.length())
        .map(|_| {
            Arc::new(Origin { time_ms: from.signed(), message_id: from.text().into(), source: from.text().into() })
        })
        .collect();
    (0..from.length()).map(|_| (from.text().into(), events[from.length()].clone())).collect()
}

impl std::fmt::Display for VersionUnknown {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(version) => write!(formatter, "a profile's state has version {version}; this code knows {VERSION}"),
            None => formatter.write_str("a profile's state is empty"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::walk::Note;

    /// Numbers without end that are the same in every run.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, end: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % end
        }
    }

    fn again(state: &mut State) -> State {
        let back = State::decode(state.encode().to_vec()).expect("it was written here");
        assert_eq!(back.segments(), state.segments(), "a state may be used on after it was encoded");
        assert_eq!((back.trail_ids(), back.due_ms()), (state.trail_ids(), state.due_ms()));
        back
    }

    /// An id whose hash says nothing of the order in which ids are made.
    fn id(number: u64) -> u64 {
        (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn all_that_is_known_comes_back() {
        let mut state = State::new("ada");
        (state.created_ms, state.updated_ms, state.now_ms, state.latest_ms) = (1_000, 2_000, 3_000, -4);
        (state.events, state.version, state.armed_ms, state.revision) = (5, 6, 7_000, 8);
        state.heard_ms = 2_500;
        for position in [None, Some(0), Some(300)] {
            state.position = position;
            for (open, filled) in [(false, false), (false, true), (true, false), (true, true)] {
                state.backfills = [None, Some(0), Some(1 << 40)]
                    .into_iter()
                    .enumerate()
                    .map(|(number, from)| Backfill { number: number as i64 + 1, from, fed: 70, open, filled })
                    .collect();
                let back = again(&mut state);
                assert_eq!((back.position, &back.backfills), (position, &state.backfills));
                for number in 0..5 {
                    assert_eq!(back.is_open(number), open && (1..=3).contains(&number));
                }
            }
        }
        state.lists = ["vip".into(), "press".into()].into();
        state.computed = [("spent".into(), Value::Float(2.5)), ("orders".into(), Value::Int(2))].into();
        state.trait_dues = [("renewal".into(), 9_000), ("birthday".into(), 8_000)].into();
        assert!(state.ids.is_new("s1", "m1", 0));
        let mut back = again(&mut state);
        assert_eq!(&*back.profile_id, "ada");
        assert_eq!((back.created_ms, back.updated_ms, back.now_ms, back.latest_ms), (1_000, 2_000, 3_000, -4));
        assert_eq!((back.events, back.version, back.armed_ms, back.revision), (5, 6, 7_000, 8));
        assert_eq!(back.heard_ms, 2_500);
        assert_eq!((&back.lists, &back.computed, &back.trait_dues), (&state.lists, &state.computed, &state.trait_dues));
        assert_eq!(back.due_ms(), Some(8_000));
        assert!(!back.ids.is_new("s1", "m1", 0));
        assert_eq!(back.encode(), state.encode());
    }

    #[test]
    fn segments_are_those_that_were_entered_and_not_left() {
        let mut chance = Chance(1);
        let mut state = State::new("ada");
        let mut wanted: BTreeMap<u64, (String, i64)> = BTreeMap::new();
        for round in 0..300 {
            state.now_ms = 1_790_000_000_000 + round;
            for _ in 0..chance.below(4) {
                let number = chance.below(12);
                let key: Arc<str> = "k".repeat(1 + number as usize * 20).into();
                if chance.below(3) == 0 {
                    state.leave(id(number), &key);
                    wanted.remove(&id(number));
                } else {
                    state.enter(id(number), &key);
                    wanted.insert(id(number), (key.to_string(), state.now_ms));
                }
            }
            let found: BTreeMap<u64, (String, i64)> =
                state.segments().into_iter().map(|(hash, key, since_ms)| (hash, (key.into(), since_ms))).collect();
            assert_eq!(found, wanted);
            assert!(state.segments().is_sorted_by_key(|(hash, _, _)| *hash));
            for number in 0..12 {
                assert_eq!(state.is_in(id(number)), wanted.contains_key(&id(number)));
            }
            if chance.below(2) == 0 {
                state = again(&mut state);
            }
        }
    }

    #[test]
    fn trails_are_found_where_they_lie() {
        let mut chance = Chance(2);
        let mut state = State::new("ada");
        // For each trail how many events it has, and when it is due.
        let mut wanted: BTreeMap<u64, (u64, Option<i64>)> = BTreeMap::new();
        for _ in 0..400 {
            let trail = id(chance.below(10));
            match chance.below(5) {
                0 => {
                    state.leave_trail(trail);
                    wanted.remove(&trail);
                }
                1 => {
                    if let Some(walk) = state.take(trail) {
                        state.keep(trail, walk); // only read
                    }
                }
                _ => {
                    let count = 1 + chance.below(100_000);
                    let due_ms = (chance.below(3) > 0).then(|| 1_790_000_000_000 + chance.below(50) as i64);
                    let mut walk = state.take(trail).unwrap_or_else(|| Box::new(Walk::new(&[], [].into_iter())));
                    walk.count = count;
                    *walk.note_of(3) = Note { id: 3, reading: Some(Reading::Count(count as i64)), mark: None, due_ms };
                    walk.changed = true;
                    state.keep(trail, walk);
                    wanted.insert(trail, (count, due_ms));
                }
            }
            if chance.below(3) == 0 {
                state = again(&mut state);
                assert_eq!(state.has_trails(), !wanted.is_empty());
            }
            assert_eq!(state.trail_ids(), wanted.keys().copied().collect::<Vec<_>>());
            assert_eq!(state.due_ms(), wanted.values().filter_map(|(_, due_ms)| *due_ms).min());
            for now_ms in (1_789_999_999_999..1_790_000_000_060).step_by(7) {
                let due = wanted.iter().filter(|(_, (_, due_ms))| due_ms.is_some_and(|due_ms| due_ms <= now_ms));
                assert_eq!(state.trails_due(now_ms), due.map(|(id, _)| *id).collect::<Vec<_>>());
            }
            for trail in (0..10).map(id) {
                let known = wanted.get(&trail);
                assert_eq!(state.has_trail(trail), known.is_some());
                assert_eq!(state.reading(trail, 3), known.map(|(count, _)| Reading::Count(*count as i64)));
                assert_eq!(state.reading(trail, 4), None);
            }
            let trail = id(chance.below(10));
            assert_eq!(state.walk(trail).map(|walk| (walk.count, walk.due_ms())), wanted.get(&trail).copied());
        }
    }

    #[test]
    fn a_trait_is_kept_with_the_event_that_set_it() {
        let origin = |time_ms, message_id: &str| {
            Arc::new(Origin { time_ms, message_id: message_id.into(), source: "s1".into() })
        };
        let mut state = State::new("ada");
        assert!(state.traits().is_empty() && state.origin("plan").is_none());
        let (first, second) = (origin(1_000, "m1"), origin(2_000, "m2"));
        state.assign("plan", &Value::text("free"), &first);
        state.assign("city", &Value::text("Bergen"), &first);
        state.assign("plan", &Value::text("pro"), &second);
        for _ in 0..2 {
            state = again(&mut state);
            assert_eq!(state.origin("plan"), Some(&second));
            assert_eq!(state.origin("city"), Some(&first));
            assert_eq!(state.origin("other"), None);
            let traits = state.traits().clone();
            assert_eq!(traits, [("plan".into(), Value::text("pro")), ("city".into(), Value::text("Bergen"))].into());
        }
        state = again(&mut state);
        state.assign("plan", &Value::Null, &origin(3_000, "m3"));
        state = again(&mut state);
        assert_eq!(state.origin("plan"), Some(&origin(3_000, "m3")), "an older event cannot bring it back");
        assert_eq!(state.traits().keys().map(|name| &**name).collect::<Vec<_>>(), ["city"]);
    }
}
