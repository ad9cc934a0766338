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

/// The id of what is kept apart for a backfill, and of that again the id (a mix of splitmix64).
pub fn apart(id: u64, backfill: i64) -> u64 {
    let mut mixed = (backfill as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    id ^ mixed ^ (mixed >> 31)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_apart_finds_its_way_back() {
        for backfill in [1, 2, 4_711, i64::MAX] {
            assert_ne!(apart(5, backfill), 5);
            assert_eq!(apart(apart(5, backfill), backfill), 5);
            assert_ne!(apart(5, backfill), apart(5, backfill - 1));
        }
    }

    #[test]
    fn ids_stay_what_they_are_in_stored_states() {
        assert_eq!(apart(0, 1), 0xe220_a839_7b1d_cdaf);
        assert_eq!(apart(0, 4_711), 0xc23b_efed_bbc9_4e6f);
        assert_eq!(hash_of(&["twice"]), 0x93b8_e48d_cf41_b0f4);
        assert_eq!(hash_of(&["s1", "m1"]), 0xeb21_1a93_e235_8913);
        assert_ne!(hash_of(&["s1", "m1"]), hash_of(&["s1m", "1"]));
    }
}
