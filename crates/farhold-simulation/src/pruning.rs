//! Pruning in a world: the product's rules and removals, compared with a second reading of the rules.
//!
//! Source: `docs/spec/datastore-format.md` 19.

use std::collections::{BTreeMap, BTreeSet};

use farhold_datastore::{Datastore, DatastoreError};
use farhold_rules::prune_plan::{self, PruneSnapshot};
use farhold_types::{Epoch, Group, KeepOptions, Namespace, Snapshot};
use jiff::tz::{Offset, TimeZone};

use crate::plant::Plant;
use crate::rng::Rng;
use crate::server::groups;
use crate::turns::{Glasses, Rhythm, breathe, in_turns, put_on, without_pause};
use crate::world::World;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// A rule's way from a local time in seconds to its bucket.
type BucketOf = fn(i64) -> (i64, i64);

/// Returns random rules: few, since the groups of a world are small.
pub fn random_rules(rng: &Rng) -> KeepOptions {
    let mut keep = KeepOptions::default();
    for _ in 0..rng.below(4) {
        let count = Some(rng.between(1, 2));
        match rng.below(6) {
            0 => keep.last = count,
            1 => keep.hourly = count,
            2 => keep.daily = count,
            3 => keep.weekly = count,
            4 => keep.monthly = count,
            _ => keep.yearly = count,
        }
    }
    keep
}

/// Prunes the target by rules.
///
/// # Errors
/// The store cannot be listed.
pub async fn prune_all(world: &World, rng: &Rng, rhythm: Rhythm) -> anyhow::Result<String> {
    let _used = world.use_target_slowly(rng).await?;
    let keep = random_rules(rng);
    let zone_hours = i8::try_from(rng.below(25)).unwrap_or(0) - 12;
    world.book.note(|| format!("prune begins, {keep:?}, {zone_hours} h east, {rhythm:?}"));
    let of_work = world.clone();
    let work = move || Prune { world: &of_work, store: of_work.target.store(), keep, zone_hours }.run();
    let pruned = in_turns(rhythm, work, || {}).await??;
    world.book.ledger().done.pruned += pruned;
    Ok(format!("{pruned} removed"))
}

struct Prune<'a> {
    world: &'a World,
    store: Datastore,
    keep: KeepOptions,
    zone_hours: i8,
}

impl Prune<'_> {
    /// Blocking. Returns how many snapshots were removed.
    fn run(&self) -> anyhow::Result<u64> {
        let plant = self.world.target.disk().planted();
        put_on(Glasses { is_blind_to_protection: plant == Plant::PruneBlind, ..Glasses::default() });
        let mut keep = self.keep;
        if plant == Plant::PruneGreedy {
            keep.last = keep.last.map(|count| (count - 1).max(1));
            keep.hourly = keep.hourly.filter(|count| *count != 1);
        }
        let mut pruned = 0;
        for (ns, group, _) in groups(&self.store)? {
            pruned += match self.prune_group(&ns, &group, &keep) {
                Ok(pruned) => pruned,
                // A group that vanished, or whose server did, is no reason to leave the others alone.
                Err(error) => {
                    self.world.book.note(|| format!("    {group} is not pruned: {error}"));
                    0
                }
            };
            if breathe() {
                break;
            }
        }
        Ok(pruned)
    }

    fn prune_group(&self, ns: &Namespace, group: &Group, keep: &KeepOptions) -> Result<u64, DatastoreError> {
        let listed = self.store.snapshots(ns, group)?;
        let facts = |info: &farhold_datastore::SnapshotInfo| PruneSnapshot {
            time: info.time,
            is_finished: info.has_manifest,
            is_protected: info.is_protected,
        };
        let snapshots: Vec<PruneSnapshot> = listed.iter().map(facts).collect();
        let zone = TimeZone::fixed(Offset::constant(self.zone_hours));
        let decisions = prune_plan::plan(&snapshots, keep, &zone);
        let expected = kept(&snapshots, &self.keep, i64::from(self.zone_hours) * 3600);
        let decided: BTreeSet<Epoch> =
            decisions.iter().filter(|decision| decision.mark.keeps()).map(|decision| decision.snapshot.time).collect();
        if decided != expected {
            let text = format!("pruning {group} with {:?} keeps {decided:?} instead of {expected:?}", self.keep);
            self.world.book.ledger().wrong.push(text);
        }
        let mut pruned = 0;
        for decision in decisions.iter().filter(|decision| !decision.mark.keeps()) {
            let place = (ns.clone(), group.at(decision.snapshot.time));
            let mut ledger = self.world.book.ledger();
            ledger.changed.insert((ns.clone(), group.clone()));
            ledger.left_target.insert(place.clone());
            drop(ledger);
            let outcome = self.remove(ns, &place.1);
            self.world.book.note(|| format!("    {} in {} is pruned: {outcome:?}", place.1, ns.log_name()));
            pruned += u64::from(outcome.is_ok());
            if breathe() {
                break;
            }
        }
        Ok(pruned)
    }
}

impl Prune<'_> {
    /// Removes a snapshot without a pause, since others would wait for the lock of its manifest.
    fn remove(&self, ns: &Namespace, snapshot: &Snapshot) -> Result<(), DatastoreError> {
        without_pause(|| self.store.remove_snapshot(ns, snapshot))
    }
}

/// Returns the times of the snapshots that stay, by another reading of the rules: each rule fills its buckets from the
/// newest on, and whatever meets a full or an older rule's bucket waits for the next rule or goes.
pub fn kept(snapshots: &[PruneSnapshot], keep: &KeepOptions, east_seconds: i64) -> BTreeSet<Epoch> {
    let mut newest_first = snapshots.to_vec();
    newest_first.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.time));
    let protected = newest_first.iter().filter(|snapshot| snapshot.is_protected).map(|snapshot| snapshot.time);
    let mut stays: BTreeSet<Epoch> = protected.collect();
    let rules: [(Option<u64>, BucketOf); 6] = [
        (keep.last, |time| (time, 0)),
        (keep.hourly, |time| (time.div_euclid(3600), 0)),
        (keep.daily, |time| (time.div_euclid(DAY), 0)),
        // 1970-01-01 was a Thursday.
        (keep.weekly, |time| ((time.div_euclid(DAY) + 3).div_euclid(7), 0)),
        (keep.monthly, |time| year_and_month(time.div_euclid(DAY))),
        (keep.yearly, |time| (year_and_month(time.div_euclid(DAY)).0, 0)),
    ];
    if rules.iter().all(|(limit, _)| limit.is_none()) {
        return snapshots.iter().map(|snapshot| snapshot.time).collect();
    }
    if let Some(newest) = newest_first.first().filter(|newest| !newest.is_finished) {
        stays.insert(newest.time);
    }
    let mut undecided: Vec<Epoch> = newest_first
        .iter()
        .filter(|snapshot| snapshot.is_finished && !snapshot.is_protected)
        .map(|snapshot| snapshot.time)
        .collect();
    let mut by_rules: Vec<Epoch> = Vec::new();
    for (limit, bucket_of) in rules {
        let Some(limit) = limit else { continue };
        let bucket = |time: &Epoch| bucket_of(time.0 + east_seconds);
        let older_rules: BTreeSet<_> = by_rules.iter().map(bucket).collect();
        let mut filled = BTreeMap::new();
        let mut left = Vec::new();
        let mut is_full = false;
        for time in undecided {
            if is_full || older_rules.contains(&bucket(&time)) {
                left.push(time);
            } else if filled.contains_key(&bucket(&time)) {
                // It goes, whatever later rules say.
            } else if filled.len() as u64 == limit {
                is_full = true;
                left.push(time);
            } else {
                filled.insert(bucket(&time), time);
                by_rules.push(time);
            }
        }
        undecided = left;
    }
    stays.extend(by_rules);
    stays
}

/// Returns year and month of a day, counted from 1970-01-01, by walking through the years and months.
fn year_and_month(mut day: i64) -> (i64, i64) {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while day < 0 {
        year -= 1;
        day += if is_leap(year) { 366 } else { 365 };
    }
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if day < length {
            break;
        }
        day -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    for (month, length) in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].into_iter().enumerate() {
        if day < length {
            return (year, i64::try_from(month).unwrap_or(0) + 1);
        }
        day -= length;
    }
    (year, 12)
}
