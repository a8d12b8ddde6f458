//! A memory of digests that were touched already.

use farhold_types::Digest;

/// Places in which one digest can lie. Few enough to look through at once, many enough that a full memory still holds
/// what it could.
const WAYS: usize = 8;

/// Remembers digests, 32 bytes each, up to a fixed number. Forgets old ones when it is full, which costs touching a
/// chunk again and nothing else.
pub(super) struct DigestCache {
    /// Sets of `ways` digests each; all zeros where there is none.
    slots: Vec<[u8; 32]>,
    /// For each set, one byte of every digest in it: most of those that are looked for are told from the others by it, and
    /// the digests themselves lie far apart in memory.
    tags: Vec<[u8; WAYS]>,
    ways: usize,
    /// Which place of a set is overwritten next.
    next: Vec<u8>,
    pub(super) hits: u64,
    pub(super) misses: u64,
}

impl DigestCache {
    /// Returns a memory for up to `capacity` digests. With 0 nothing is remembered, and nothing counted.
    pub(super) fn new(capacity: usize) -> Self {
        let ways = capacity.min(WAYS);
        let sets = capacity.checked_div(ways).unwrap_or(0);
        Self {
            slots: vec![[0; 32]; sets * ways],
            tags: vec![[0; WAYS]; sets],
            ways,
            next: vec![0; sets],
            hits: 0,
            misses: 0,
        }
    }

    /// Returns whether anything is remembered and counted.
    pub(super) fn is_enabled(&self) -> bool {
        !self.next.is_empty()
    }

    /// Remembers a digest. Returns whether it was known.
    pub(super) fn insert(&mut self, digest: &Digest) -> bool {
        let bytes = digest.as_bytes();
        if self.next.is_empty() {
            return false;
        }
        // The digest of zeros means an empty place; no content has it, but damaged indexes name it.
        if *bytes == [0; 32] {
            self.misses += 1;
            return false;
        }
        let mut start = [0; 8];
        // Not the first bytes: those name the folder, and whole folders are touched together.
        start.copy_from_slice(&bytes[24..]);
        let set = usize::try_from(u64::from_le_bytes(start) % self.next.len() as u64).unwrap_or(0);
        let places = &mut self.slots[set * self.ways..(set + 1) * self.ways];
        let (tags, tag) = (&mut self.tags[set], bytes[16]);
        if tags.iter().zip(&*places).any(|(other, place)| *other == tag && words(place) == words(bytes)) {
            self.hits += 1;
            return true;
        }
        self.misses += 1;
        let place = usize::from(self.next[set]);
        places[place] = *bytes;
        tags[place] = tag;
        self.next[set] = u8::try_from((place + 1) % self.ways).unwrap_or(0);
        false
    }
}

/// Returns a digest as numbers, which are compared at once and not by a call.
fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|number| u64::from_ne_bytes(words[number]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u64) -> Digest {
        let mut bytes = [7; 32];
        bytes[24..].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        Digest(bytes)
    }

    #[test]
    fn what_fits_is_remembered() {
        for capacity in [1, 3, 8, 1000] {
            let mut cache = DigestCache::new(capacity);
            for _ in 0..3 {
                cache.insert(&digest(1));
            }
            assert_eq!((cache.hits, cache.misses), (2, 1), "{capacity}");
        }
        let mut cache = DigestCache::new(4096);
        (0..1000).for_each(|number| assert!(!cache.insert(&digest(number))));
        assert_eq!((0..1000).filter(|number| cache.insert(&digest(*number))).count(), 1000);
    }

    #[test]
    fn a_full_memory_forgets_and_never_claims_to_know_what_it_was_not_told() {
        let mut cache = DigestCache::new(16);
        assert!((0..1000).all(|number| !cache.insert(&digest(number))));
        assert!(16 < (0..1000).filter(|number| !cache.insert(&digest(*number))).count());
        assert!(cache.slots.len() == 16);
    }

    #[test]
    fn without_capacity_nothing_is_remembered_or_counted() {
        let mut cache = DigestCache::new(0);
        assert!(!cache.insert(&digest(1)) && !cache.insert(&digest(1)));
        assert_eq!((cache.hits, cache.misses), (0, 0));
    }

    #[test]
    fn the_digest_of_zeros_is_never_known() {
        let mut cache = DigestCache::new(8);
        assert!(!cache.insert(&Digest([0; 32])) && !cache.insert(&Digest([0; 32])));
        assert_eq!((cache.hits, cache.misses), (0, 2));
    }
}
