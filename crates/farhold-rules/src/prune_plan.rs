//! Which snapshots of a group pruning keeps and which it removes.
//!
//! Pure: the caller lists the group, and removes what the plan says. The buckets of hours, days, weeks, months and years
//! follow a time zone that comes in as an argument; the reference takes the server's. Without any rule all is kept.
//!
//! Source: `docs/spec/datastore-format.md` 19.

use std::collections::HashSet;

use farhold_types::{Epoch, KeepOptions};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A snapshot as far as pruning looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PruneSnapshot {
    /// Its backup time.
    pub time: Epoch,
    /// Whether it has a manifest.
    pub is_finished: bool,
    /// Whether it is protected from removal.
    pub is_protected: bool,
}

/// What is decided about a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    /// A rule keeps it.
    Keep,
    /// It is unfinished and the newest of all, so probably still being written.
    KeepPartial,
    /// It stays because it is protected, whatever the rules say.
    Protected,
    /// No rule keeps it.
    Remove,
}

impl Mark {
    /// Returns whether the snapshot stays.
    pub fn keeps(self) -> bool {
        self != Self::Remove
    }
}

/// The decision about one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The snapshot.
    pub snapshot: PruneSnapshot,
    /// What happens to it.
    pub mark: Mark,
}

/// Tells apart the buckets of one rule.
type Bucket = (i64, i8, i8, i8);

/// A rule's way from a local time to its bucket.
type BucketOf = fn(&LocalTime) -> Bucket;

/// A backup time and how a clock at the server showed it.
struct LocalTime {
    time: Epoch,
    shown: DateTime,
}

impl LocalTime {
    fn new(time: Epoch, zone: &TimeZone) -> Self {
        // The last hours of the year 9999, which have no local time in some zones, all count as the same moment.
        let timestamp = Timestamp::from_second(time.0).unwrap_or(Timestamp::MAX);
        Self { time, shown: zone.to_datetime(timestamp) }
    }

    const fn itself(&self) -> Bucket {
        (self.time.0, 0, 0, 0)
    }

    fn hour(&self) -> Bucket {
        (i64::from(self.shown.year()), self.shown.month(), self.shown.day(), self.shown.hour())
    }

    fn day(&self) -> Bucket {
        (i64::from(self.shown.year()), self.shown.month(), self.shown.day(), 0)
    }

    fn week(&self) -> Bucket {
        let week = self.shown.date().iso_week_date();
        (i64::from(week.year()), week.week(), 0, 0)
    }

    fn month(&self) -> Bucket {
        (i64::from(self.shown.year()), self.shown.month(), 0, 0)
    }

    fn year(&self) -> Bucket {
        (i64::from(self.shown.year()), 0, 0, 0)
    }
}

/// Returns the rules that are given, in the order in which they count.
fn rules(keep: &KeepOptions) -> Vec<(u64, BucketOf)> {
    let all: [(Option<u64>, BucketOf); 6] = [
        (keep.last, LocalTime::itself),
        (keep.hourly, LocalTime::hour),
        (keep.daily, LocalTime::day),
        (keep.weekly, LocalTime::week),
        (keep.monthly, LocalTime::month),
        (keep.yearly, LocalTime::year),
    ];
    all.into_iter().filter_map(|(limit, bucket_of)| Some((limit.filter(|limit| *limit != 0)?, bucket_of))).collect()
}

/// Returns the decision about every snapshot of a group, oldest first.
///
/// `snapshots`: all of the group, in any order, no time twice. `zone`: whose hours and days count. A protected snapshot is
/// never removed, and neither is the newest finished one that is not protected; without any rule none is.
pub fn plan(snapshots: &[PruneSnapshot], keep: &KeepOptions, zone: &TimeZone) -> Vec<Decision> {
    let mut snapshots = snapshots.to_vec();
    snapshots.sort_by_key(|snapshot| snapshot.time);
    let rules = rules(keep);
    let marks =
        if rules.is_empty() { vec![Some(Mark::Keep); snapshots.len()] } else { marks(&snapshots, &rules, zone) };
    let decide = |(snapshot, mark): (PruneSnapshot, Option<Mark>)| {
        let mark = if snapshot.is_protected { Mark::Protected } else { mark.unwrap_or(Mark::Remove) };
        Decision { snapshot, mark }
    };
    snapshots.into_iter().zip(marks).map(decide).collect()
}

/// Marks snapshots that are sorted by time, oldest first. A mark is final: a later rule does not change it.
fn marks(snapshots: &[PruneSnapshot], rules: &[(u64, BucketOf)], zone: &TimeZone) -> Vec<Option<Mark>> {
    let times: Vec<LocalTime> = snapshots.iter().map(|snapshot| LocalTime::new(snapshot.time, zone)).collect();
    let is_newest = |at: usize| at + 1 == snapshots.len();
    let partial = |at: usize| if is_newest(at) { Mark::KeepPartial } else { Mark::Remove };
    let unfinished = |(at, snapshot): (usize, &PruneSnapshot)| (!snapshot.is_finished).then(|| partial(at));
    let mut marks: Vec<Option<Mark>> = snapshots.iter().enumerate().map(unfinished).collect();
    for (limit, bucket_of) in rules {
        let kept = |at: &usize| marks[*at] == Some(Mark::Keep);
        let done: HashSet<Bucket> = (0..times.len()).filter(kept).map(|at| bucket_of(&times[at])).collect();
        let mut filled: HashSet<Bucket> = HashSet::new();
        for at in (0..snapshots.len()).rev() {
            if marks[at].is_some() {
                continue;
            }
            if snapshots[at].is_protected {
                marks[at] = Some(Mark::Protected);
                continue;
            }
            let bucket = bucket_of(&times[at]);
            if done.contains(&bucket) {
                continue;
            }
            if filled.contains(&bucket) {
                marks[at] = Some(Mark::Remove);
            } else if (filled.len() as u64) < *limit {
                filled.insert(bucket);
                marks[at] = Some(Mark::Keep);
            } else {
                break;
            }
        }
    }
    marks
}

#[cfg(test)]
mod tests;
