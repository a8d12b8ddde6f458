//! Which chunks garbage collection may remove, by the time of their last access.
//!
//! Pure. Every chunk that an index names was touched after the collection began, so what remains is a question of time:
//! whoever writes may have inserted or touched a chunk that no index names yet.
//!
//! Source: `docs/spec/datastore-format.md` 17, preparation step 5 and phase 2.

use farhold_types::Epoch;

/// Seconds before the start of the oldest writer from which on nothing is removed. Source: as above; it covers clocks and
/// file times that differ a little.
pub const WRITER_GAP_SECONDS: i64 = 300;

/// What the cut-off follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutoffFacts {
    /// When the collection began, before anything was touched.
    pub start: Epoch,
    /// Since when the oldest writer may have used chunks, if any does: its start, or an earlier time that a clock showed
    /// later, after it was set back.
    pub oldest_writer: Option<Epoch>,
    /// Seconds that an unused chunk is kept after its last access.
    pub cutoff_seconds: i64,
}

/// Which times of access save a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoff {
    min_access: Epoch,
    oldest_writer: Epoch,
    is_extended: bool,
}

/// What becomes of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkFate {
    /// It is removed.
    Removed,
    /// Nothing refers to it as far as is known, but it is too young to go.
    Pending,
    /// It is in use, or somebody may just have written it.
    InUse,
}

impl Cutoff {
    /// Returns the cut-off of a collection.
    ///
    /// A writer moves it to [`WRITER_GAP_SECONDS`] before its start, if that is earlier. The reference does so only if the
    /// writer runs for longer than the cut-off. Then the gap is missing for one that runs for just as long: what it wrote
    /// first goes if the clock of the file system is a little behind.
    pub fn new(facts: CutoffFacts) -> Self {
        // A writer that began in the future, as a clock that was set back since makes it look, has not used anything before
        // the present: the caller takes it for as old as the earliest time that the clock has shown since it began.
        let oldest_writer = facts.oldest_writer.map_or(facts.start, |oldest| oldest.min(facts.start));
        let by_age = facts.start.0.saturating_sub(facts.cutoff_seconds.max(0));
        let spared = oldest_writer.0.saturating_sub(WRITER_GAP_SECONDS);
        let is_extended = oldest_writer < facts.start && spared < by_age;
        Self { min_access: Epoch(if is_extended { spared } else { by_age }), oldest_writer, is_extended }
    }

    /// Returns the first second of access that saves a chunk.
    pub const fn min_access(&self) -> Epoch {
        self.min_access
    }

    /// Returns whether a writer that runs for long made the cut-off earlier.
    pub const fn is_extended(&self) -> bool {
        self.is_extended
    }

    /// Returns since when the oldest writer runs; without any, when the collection began.
    pub const fn oldest_writer(&self) -> Epoch {
        self.oldest_writer
    }

    /// Decides about a chunk that was last accessed at `accessed`. All comparisons are in whole seconds.
    pub fn fate(&self, accessed: Epoch) -> ChunkFate {
        if accessed < self.min_access {
            ChunkFate::Removed
        } else if accessed < self.oldest_writer {
            ChunkFate::Pending
        } else {
            ChunkFate::InUse
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Epoch {
        Epoch::parse_rfc3339_utc(text).unwrap()
    }

    #[test]
    fn the_documented_examples_come_out() {
        let facts = CutoffFacts { start: at("2026-11-10T12:00:00Z"), oldest_writer: None, cutoff_seconds: 86_700 };
        let alone = Cutoff::new(facts);
        assert_eq!((alone.min_access(), alone.is_extended()), (at("2026-11-09T11:55:00Z"), false));
        let long = Cutoff::new(CutoffFacts { oldest_writer: Some(at("2026-11-09T06:00:00Z")), ..facts });
        assert_eq!((long.min_access(), long.is_extended()), (at("2026-11-09T05:55:00Z"), true));
        let short = Cutoff::new(CutoffFacts { oldest_writer: Some(at("2026-11-10T06:00:00Z")), ..facts });
        assert_eq!((short.min_access(), short.is_extended()), (at("2026-11-09T11:55:00Z"), false));
    }

    #[test]
    fn chunks_are_sorted_by_the_second_of_their_last_access() {
        let start = 1_800_000_000;
        let minute = |oldest: Option<i64>| {
            let oldest_writer = oldest.map(|age| Epoch(start - age));
            Cutoff::new(CutoffFacts { start: Epoch(start), oldest_writer, cutoff_seconds: 60 })
        };
        let fate = |cutoff: Cutoff, age: i64| cutoff.fate(Epoch(start - age));
        assert_eq!(fate(minute(None), 65), ChunkFate::Removed);
        assert_eq!(fate(minute(None), 60), ChunkFate::Pending);
        assert_eq!(fate(minute(None), 55), ChunkFate::Pending);
        assert_eq!(fate(minute(None), 1), ChunkFate::Pending);
        assert_eq!(fate(minute(None), 0), ChunkFate::InUse);
        let writer = minute(Some(75));
        assert_eq!(fate(writer, 500), ChunkFate::Removed);
        assert_eq!(fate(writer, 376), ChunkFate::Removed);
        assert_eq!(fate(writer, 375), ChunkFate::Pending);
        assert_eq!(fate(writer, 200), ChunkFate::Pending);
        assert_eq!(fate(writer, 75), ChunkFate::InUse);
        // As old as the cut-off: its first chunks may bear the time of a clock that is a second behind.
        assert_eq!(fate(minute(Some(60)), 61), ChunkFate::Pending);
        assert_eq!(fate(minute(Some(30)), 330), ChunkFate::Pending);
        assert_eq!(fate(minute(Some(30)), 331), ChunkFate::Removed);
    }

    proptest! {
        #[test]
        fn nothing_that_a_writer_touched_is_removed(
            start in any::<i32>(), age in 0i64..100_000_000, cutoff_seconds in -5i64..200_000, touched in 0i64..100_000,
        ) {
            let start = Epoch(i64::from(start));
            let oldest = Epoch(start.0 - age);
            let cutoff = Cutoff::new(CutoffFacts { start, oldest_writer: Some(oldest), cutoff_seconds });
            prop_assert_eq!(cutoff.fate(Epoch(oldest.0 + touched)), ChunkFate::InUse);
            prop_assert_eq!(cutoff.fate(start), ChunkFate::InUse);
            prop_assert!(cutoff.min_access() <= oldest.max(Epoch(start.0 - cutoff_seconds.max(0))));
        }

        #[test]
        fn a_later_access_never_makes_a_chunk_worse_off(
            age in proptest::option::of(0i64..1_000_000), cutoff_seconds in 0i64..200_000,
            first in -2_000_000i64..10, later in 0i64..1_000_000,
        ) {
            let start = Epoch(1_800_000_000);
            let oldest_writer = age.map(|age| Epoch(start.0 - age));
            let cutoff = Cutoff::new(CutoffFacts { start, oldest_writer, cutoff_seconds });
            let rank = |seconds: i64| match cutoff.fate(Epoch(start.0 + seconds)) {
                ChunkFate::Removed => 0,
                ChunkFate::Pending => 1,
                ChunkFate::InUse => 2,
            };
            prop_assert!(rank(first) <= rank(first + later));
        }
    }
}
