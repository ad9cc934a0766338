//! Maps by ids that are hashes already.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use blake2::digest::consts::U8;
use blake2::{Blake2b, Digest};

/// A map by 64-bit ids that are hashes of something.
pub type IdMap<V> = HashMap<u64, V, BuildHasherDefault<Same>>;

/// Takes an id as its own hash.
#[derive(Default)]
pub struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("ids are numbers")
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }
}

/// 8 bytes of BLAKE2b over parts with a zero byte between them.
pub fn hash_of(parts: &[&str]) -> u64 {
    let mut hasher = Blake2b::<U8>::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hasher.update([0]);
        }
        hasher.update(part.as_bytes());
    }
    u64::from_le_bytes(hasher.finalize().into())
}
