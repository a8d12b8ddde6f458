//! The outside world as arguments: time and randomness.

use crate::epoch::Epoch;

/// Tells the time. The real one is read in the composition root only; tests pass a clock they control.
pub trait Clock: Send + Sync {
    /// Returns the current time in whole seconds, UTC.
    fn now(&self) -> Epoch;
}

/// Fills buffers with unpredictable bytes. Tests may pass a seeded source, servers the operating system's.
pub trait Randomness: Send + Sync {
    /// Fills all of `buffer`.
    fn fill(&self, buffer: &mut [u8]);
}
