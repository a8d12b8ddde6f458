//! The one source of chance in a simulation: everything that happens is a function of its seed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farhold_types::Randomness;

/// A repeatable generator (SplitMix64). Clones share their state, [`Rng::fork`] makes an independent one.
#[derive(Debug, Clone)]
pub struct Rng(Arc<Mutex<u64>>);

impl Rng {
    /// Returns the generator with this seed.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give neighbouring sequences.
        let rng = Self(Arc::new(Mutex::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))));
        rng.next();
        rng
    }

    /// Returns the next 64 bits.
    pub fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a generator of its own, so that who draws from one does not shift the other.
    pub fn fork(&self) -> Self {
        Self::new(self.next())
    }

    /// Returns a number below `bound`; 0 for a bound of 0.
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// Returns a number from `low` to `high`, both included.
    pub fn between(&self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Returns whether something happens that happens in `percent` of a hundred cases.
    pub fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Returns a duration from `low` to `high` milliseconds.
    pub fn millis(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// Returns one of the items, or nothing if there is none.
    pub fn pick<'a, T>(&self, items: &'a [T]) -> Option<&'a T> {
        items.get(usize::try_from(self.below(items.len() as u64)).unwrap_or(0))
    }
}

impl Randomness for Rng {
    fn fill(&self, buffer: &mut [u8]) {
        for byte in buffer {
            *byte = self.next().to_be_bytes()[0];
        }
    }
}
