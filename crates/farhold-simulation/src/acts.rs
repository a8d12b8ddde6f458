//! What clients, administrators and misfortune do while a job runs.

use std::time::Duration;

use anyhow::ensure;
use farhold_datastore::ErrorKind;
use farhold_types::{BackupType, Clock, Group, Namespace, Snapshot, VerifyState};
use tokio_util::sync::CancellationToken;

use crate::backup::Backup;
use crate::collection::collect_garbage;
use crate::damage::{damage_chunk, damage_source_chunk};
use crate::disk::{Absence, Crash};
use crate::ledger::Place;
use crate::network::Weather;
use crate::pruning::prune_all;
use crate::removable::Use;
use crate::rng::Rng;
use crate::server::{BackupJob, FIRST_SECOND, groups, mark_verified, snapshots};
use crate::turns::Rhythm;
use crate::verification::verify_all;
use crate::world::World;

/// Something that happens once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A client backs up to the source.
    SourceBackup,
    /// A snapshot of the source is pruned.
    SourcePrune,
    /// A group of the source is forgotten.
    SourceForget,
    /// A namespace is made on the source.
    SourceNamespace,
    /// A namespace of the source is removed with everything in it.
    SourceRemoveNamespace,
    /// Notes of a snapshot of the source change.
    SourceNotes,
    /// A snapshot of the source is marked as verified.
    SourceVerify,
    /// The source server is killed and starts again.
    SourceRestart,
    /// A chunk of the source goes bad.
    SourceDamage,
    /// A client backs up to the target itself.
    TargetBackup,
    /// A snapshot of the target is pruned.
    TargetPrune,
    /// A snapshot of the target gets or loses its protection.
    TargetProtect,
    /// Notes of a snapshot of the target change.
    TargetNotes,
    /// The target is pruned by rules.
    TargetPruneByRules,
    /// A group of the target is moved to another namespace.
    TargetMove,
    /// Garbage is collected on the target.
    TargetGarbage,
    /// A chunk of the target goes bad.
    TargetDamage,
    /// The target is verified; bad chunks are set aside.
    TargetVerify,
    /// Somebody works on a group of the target for a while.
    TargetLock,
    /// The target's disk is full for a while.
    TargetFull,
    /// The target's disk is pulled out, or unmounted by force, and comes back.
    TargetUnplug,
    /// The target is unmounted in good order, and mounted again.
    TargetUnmount,
    /// The target's clock is set forward or back.
    TargetClock,
    /// The target's process is killed in one of its next steps.
    TargetKill,
    /// The target loses power in one of its next steps.
    TargetPowerFailure,
    /// All connections break and none can be opened for a while.
    BlackOut,
    /// The line becomes bad for a while.
    Storm,
    /// The run is cancelled.
    Cancel,
}

/// How often each act is chosen, relative to the others.
const WEIGHTS: &[(Act, u64)] = &[
    (Act::SourceBackup, 26),
    (Act::SourcePrune, 12),
    (Act::SourceForget, 3),
    (Act::SourceNamespace, 3),
    (Act::SourceRemoveNamespace, 1),
    (Act::SourceNotes, 6),
    (Act::SourceVerify, 6),
    (Act::SourceRestart, 3),
    (Act::SourceDamage, 2),
    (Act::TargetBackup, 8),
    (Act::TargetPrune, 6),
    (Act::TargetProtect, 8),
    (Act::TargetNotes, 4),
    (Act::TargetPruneByRules, 7),
    (Act::TargetMove, 6),
    (Act::TargetGarbage, 16),
    (Act::TargetDamage, 3),
    (Act::TargetVerify, 6),
    (Act::TargetLock, 3),
    (Act::TargetFull, 3),
    (Act::TargetUnplug, 3),
    (Act::TargetUnmount, 8),
    (Act::TargetClock, 6),
    (Act::TargetKill, 4),
    (Act::TargetPowerFailure, 4),
    (Act::BlackOut, 4),
    (Act::Storm, 6),
    (Act::Cancel, 3),
];

impl Act {
    /// Returns a random act.
    pub fn random(rng: &Rng) -> Self {
        let mut left = rng.below(WEIGHTS.iter().map(|(_, weight)| weight).sum());
        for (act, weight) in WEIGHTS {
            if left < *weight {
                return *act;
            }
            left -= weight;
        }
        Self::SourceBackup
    }
}

/// By how many seconds a clock is set.
const CLOCK_JUMPS_S: [i64; 8] = [-2_592_000, -7200, -600, -20, 20, 600, 7200, 2_592_000];

const TYPES: [BackupType; 3] = [BackupType::Vm, BackupType::Ct, BackupType::Host];

/// Returns a random group out of few, so that the same ones are met again and again.
pub fn random_group(rng: &Rng) -> Group {
    let backup_type = *rng.pick(&TYPES).unwrap_or(&BackupType::Vm);
    let id = (100 + rng.below(3)).to_string();
    Group::new(backup_type, id.parse().expect("three digits are a backup id"))
}

impl World {
    /// Does one thing. Refusals are part of life and end in the trace only.
    pub async fn perform(&self, act: Act, rng: Rng, cancel: CancellationToken) {
        let outcome = self.try_perform(act, &rng, &cancel).await;
        self.note_outcome(&format!("{act:?}"), outcome);
    }

    /// Tells in the trace what became of something.
    pub(crate) fn note_outcome(&self, what: &str, outcome: anyhow::Result<String>) {
        match outcome {
            Ok(done) => self.book.note(|| format!("{what}: {done}")),
            Err(error) => self.book.note(|| format!("{what}: refused, {error:#}")),
        }
    }

    async fn try_perform(&self, act: Act, rng: &Rng, cancel: &CancellationToken) -> anyhow::Result<String> {
        match act {
            Act::SourceBackup => self.back_up(Side::Source, rng).await,
            Act::TargetBackup => self.back_up(Side::Target, rng).await,
            Act::SourcePrune => self.prune(Side::Source, rng),
            Act::TargetPrune => self.prune(Side::Target, rng),
            Act::SourceForget => self.forget(rng),
            Act::SourceNamespace => self.add_namespace(rng),
            Act::SourceRemoveNamespace => self.remove_namespace(rng),
            Act::SourceNotes => self.change_notes(Side::Source, rng),
            Act::TargetNotes => self.change_notes(Side::Target, rng),
            Act::SourceVerify => self.verify_source(rng),
            Act::SourceRestart => {
                self.source.disk().crash(Crash::Kill);
                self.source.restart()?;
                self.tell_source_died();
                Ok(String::new())
            }
            Act::SourceDamage => damage_source_chunk(self, rng),
            Act::TargetProtect => self.protect(rng),
            Act::TargetPruneByRules => {
                // What the rules would remove is worth protecting.
                let _ = self.protect(rng);
                prune_all(self, rng, Rhythm::random(rng)).await
            }
            Act::TargetMove => self.move_group(rng).await,
            Act::TargetGarbage => self.collect_beside_a_backup(rng).await,
            Act::TargetDamage => damage_chunk(self, rng),
            Act::TargetVerify => verify_all(self, rng, Rhythm::random(rng)).await,
            Act::TargetLock => self.lock_group(rng).await,
            Act::TargetFull => {
                self.target.disk().limit_space(Some(rng.below(10)));
                tokio::time::sleep(rng.millis(100, 3000)).await;
                self.target.disk().limit_space(None);
                Ok("over".to_owned())
            }
            Act::TargetUnplug => self.unplug(rng).await,
            Act::TargetUnmount => self.unmount_beside_a_backup(rng).await,
            Act::TargetClock => self.set_clock(rng),
            Act::TargetKill => Ok(self.plan_death(Crash::Kill, rng)),
            Act::TargetPowerFailure => Ok(self.plan_death(Crash::PowerFailure, rng)),
            Act::BlackOut => {
                let length = rng.millis(10, 30_000);
                self.network.black_out(length);
                Ok(format!("for {length:?}"))
            }
            Act::Storm => {
                let (cut_permille, stall_permille) = (rng.below(80), rng.below(10));
                self.network.set_weather(Weather { cut_permille, stall_permille, delay_ms: rng.below(300) });
                tokio::time::sleep(rng.millis(100, 20_000)).await;
                self.network.set_weather(self.weather);
                Ok("over".to_owned())
            }
            Act::Cancel => {
                cancel.cancel();
                Ok(String::new())
            }
        }
    }

    /// Collects garbage; often a client backs up meanwhile and before, now and then under a clock that is set back.
    async fn collect_beside_a_backup(&self, rng: &Rng) -> anyhow::Result<String> {
        let (of_backup, is_alone) = (rng.fork(), rng.chance(40));
        let backup = async {
            if !is_alone {
                let outcome = self.back_up(Side::Target, &of_backup).await;
                self.note_outcome("a backup beside a collection", outcome);
            }
        };
        let is_set_back = !is_alone && rng.chance(40);
        let longest_ms = self.tempo.longest_pause_ms;
        let set_back_at = rng.millis(0, longest_ms);
        let begin = if is_set_back { set_back_at + rng.millis(0, longest_ms) } else { rng.millis(0, 3 * longest_ms) };
        let seconds = *rng.pick(&[-600, -120, -7200]).unwrap_or(&-600);
        let clock = async {
            if is_set_back {
                tokio::time::sleep(set_back_at).await;
                let outcome = self.set_clock_by(seconds);
                self.note_outcome("a clock beside a collection", outcome);
            }
        };
        let collection = async {
            tokio::time::sleep(begin).await;
            collect_garbage(self, rng, Rhythm::random(rng)).await
        };
        tokio::join!(backup, clock, collection).2
    }

    /// Unmounts the target; often a client backs up when that begins.
    async fn unmount_beside_a_backup(&self, rng: &Rng) -> anyhow::Result<String> {
        let (of_backup, is_alone) = (rng.fork(), rng.chance(40));
        let backup = async {
            if !is_alone && self.removable.is_some() {
                let outcome = self.back_up(Side::Target, &of_backup).await;
                self.note_outcome("a backup beside an unmount", outcome);
            }
        };
        let unmount = async {
            tokio::time::sleep(rng.millis(0, 2 * self.tempo.longest_pause_ms)).await;
            self.unmount_for_a_while(rng).await
        };
        tokio::join!(backup, unmount).1
    }

    /// Takes the target's disk away for a while.
    async fn unplug(&self, rng: &Rng) -> anyhow::Result<String> {
        let disk = self.target.disk();
        ensure!(!self.target.is_dead() && !disk.is_away() && !disk.is_unmounted(), "it is away");
        let absence = if rng.chance(50) { Absence::Pulled } else { Absence::Unmounted };
        let length = if rng.chance(50) { rng.millis(1, 200) } else { rng.millis(200, 20_000) };
        self.book.ledger().absences += 1;
        self.book.note(|| format!("the disk goes away, {absence:?}, for {length:?}"));
        self.target.disk().unplug(Some(absence));
        tokio::time::sleep(length).await;
        self.target.disk().unplug(None);
        Ok("it is back".to_owned())
    }

    fn set_clock(&self, rng: &Rng) -> anyhow::Result<String> {
        self.set_clock_by(*rng.pick(&CLOCK_JUMPS_S).unwrap_or(&0))
    }

    /// Sets the target's clock, unless the world is one in which clocks must agree.
    fn set_clock_by(&self, seconds: i64) -> anyhow::Result<String> {
        ensure!(0 < self.cutoff_seconds, "clocks agree here");
        let clock = self.target.clock();
        // The clock of a server is never before the time at which it was made.
        ensure!(FIRST_SECOND <= clock.now().0 + seconds, "that is before the beginning");
        let mut ledger = self.book.ledger();
        (ledger.was_clock_set, ledger.had_clock_set) = (true, true);
        drop(ledger);
        clock.set_by(seconds);
        Ok(format!("by {seconds} s"))
    }

    fn plan_death(&self, how: Crash, rng: &Rng) -> String {
        let calls = rng.below(60);
        self.target.disk().die_after(calls, how);
        let mut ledger = self.book.ledger();
        ledger.had_death = true;
        ledger.had_power_failure |= how == Crash::PowerFailure;
        format!("after {calls} changes")
    }

    /// Makes a backup with a time of its own.
    pub async fn back_up(&self, side: Side, rng: &Rng) -> anyhow::Result<String> {
        let _used = if side == Side::Target { Some(self.use_target_slowly(rng).await?) } else { None };
        let _writer = (side == Side::Target).then(|| self.target.writer());
        let store = self.server(side).store();
        let namespaces = store.namespaces(&Namespace::root(), usize::MAX)?;
        let ns = rng.pick(&namespaces).cloned().unwrap_or_default();
        let group = random_group(rng);
        let newest = store.snapshots(&ns, &group).ok().and_then(|all| all.last().map(|info| info.time));
        let now = self.source.clock().now();
        // A clock that stands still in the first moment must not give two snapshots one time.
        let time = newest.map_or(now, |newest| if now <= newest { farhold_types::Epoch(newest.0 + 1) } else { now });
        let snapshot = group.at(time);
        let owner = match side {
            Side::Source => self.owners.0.clone(),
            Side::Target if rng.chance(50) => self.options_owner(),
            Side::Target => self.owners.1.clone(),
        };
        let previous = newest.and_then(|time| self.known_backup(side, &(ns.clone(), snapshot.group.at(time))));
        let place = (ns.clone(), snapshot.clone());
        let backup = Backup::random(rng, previous.as_ref());
        if !self.claim(side, &place, &backup) {
            return Ok(format!("{snapshot} in {} is taken", ns.log_name()));
        }
        let verified = rng.chance(50).then(|| if rng.chance(85) { VerifyState::Ok } else { VerifyState::Failed });
        let pause = if rng.chance(50) { Duration::ZERO } else { rng.millis(1, self.tempo.longest_pause_ms) };
        let gives_up_after = rng.chance(12).then_some(1);
        let job = BackupJob { ns: ns.clone(), snapshot, owner, backup, verified, pause, gives_up_after };
        let what = format!("{} in {}", job.snapshot, ns.log_name());
        self.book.note(|| format!("backup of {what} begins on the {side:?}"));
        let is_finished = job.run(&store).await?;
        Ok(format!("{what}{}", if is_finished { "" } else { ", not finished" }))
    }

    /// Writes a backup into the ledger before it begins, unless there ever was another at this place.
    fn claim(&self, side: Side, place: &Place, backup: &Backup) -> bool {
        let mut ledger = self.book.ledger();
        if side == Side::Target {
            ledger.changed.insert((place.0.clone(), place.1.group.clone()));
        }
        let counterpart = match side {
            Side::Source => self.twin(&place.0, &place.1).map(|twin| ledger.native.contains_key(&twin)),
            Side::Target => self.origin(&place.0, &place.1).map(|origin| ledger.source.contains_key(&origin)),
        };
        let known = if side == Side::Source { &mut ledger.source } else { &mut ledger.native };
        if counterpart == Some(true) || known.contains_key(place) {
            return false;
        }
        known.insert(place.clone(), backup.clone());
        true
    }

    fn known_backup(&self, side: Side, place: &Place) -> Option<Backup> {
        let ledger = self.book.ledger();
        if side == Side::Source { &ledger.source } else { &ledger.native }.get(place).cloned()
    }

    /// Begins to use one of the two.
    fn use_side(&self, side: Side) -> anyhow::Result<Option<Use>> {
        if side == Side::Target { self.use_target().map(Some) } else { Ok(None) }
    }

    fn any_snapshot(&self, side: Side, rng: &Rng) -> anyhow::Result<Place> {
        let all = snapshots(&self.server(side).store())?;
        rng.pick(&all).cloned().ok_or_else(|| anyhow::anyhow!("there is nothing"))
    }

    fn leave(&self, side: Side, places: impl IntoIterator<Item = Place>) {
        let mut ledger = self.book.ledger();
        for place in places {
            if side == Side::Target {
                ledger.changed.insert((place.0.clone(), place.1.group.clone()));
                ledger.left_target.insert(place);
            } else {
                ledger.left_source.insert(place);
            }
        }
    }

    fn prune(&self, side: Side, rng: &Rng) -> anyhow::Result<String> {
        let _used = self.use_side(side)?;
        let place = self.any_snapshot(side, rng)?;
        self.leave(side, [place.clone()]);
        self.server(side).store().remove_snapshot(&place.0, &place.1)?;
        Ok(format!("{} in {}", place.1, place.0.log_name()))
    }

    fn forget(&self, rng: &Rng) -> anyhow::Result<String> {
        let store = self.source.store();
        let all = groups(&store)?;
        let Some((ns, group, _)) = rng.pick(&all) else { return Ok("there is nothing".to_owned()) };
        let times = store.snapshots(ns, group)?;
        self.leave(Side::Source, times.iter().map(|info| (ns.clone(), group.at(info.time))));
        store.remove_group(ns, group)?;
        Ok(format!("{group} in {}", ns.log_name()))
    }

    /// Makes a random namespace on the source.
    pub fn add_namespace(&self, rng: &Rng) -> anyhow::Result<String> {
        let store = self.source.store();
        let parents = store.namespaces(&Namespace::root(), 2)?;
        let parent = rng.pick(&parents).cloned().unwrap_or_default();
        let ns = parent.child(rng.pick(&["a", "b", "c"]).unwrap_or(&"a"))?;
        self.book.ledger().namespaces.insert(ns.clone());
        store.create_namespace(&ns)?;
        Ok(ns.to_string())
    }

    fn remove_namespace(&self, rng: &Rng) -> anyhow::Result<String> {
        let store = self.source.store();
        let all = store.namespaces(&Namespace::root(), usize::MAX)?;
        let Some(ns) = rng.pick(&all).filter(|ns| !ns.is_root()) else { return Ok("there is none".to_owned()) };
        self.leave(Side::Source, snapshots(&store)?.into_iter().filter(|(at, _)| at.is_at_or_below(ns)));
        store.remove_namespace(ns, farhold_datastore::RemoveGroups::Yes)?;
        Ok(ns.to_string())
    }

    fn change_notes(&self, side: Side, rng: &Rng) -> anyhow::Result<String> {
        let _used = self.use_side(side)?;
        let (ns, snapshot) = self.any_snapshot(side, rng)?;
        self.touch(side, &ns, &snapshot);
        self.server(side).store().set_snapshot_notes(&ns, &snapshot, &format!("note {}", rng.below(1000)))?;
        Ok(format!("{snapshot} in {}", ns.log_name()))
    }

    fn touch(&self, side: Side, ns: &Namespace, snapshot: &Snapshot) {
        if side == Side::Target {
            self.book.ledger().changed.insert((ns.clone(), snapshot.group.clone()));
        }
    }

    fn verify_source(&self, rng: &Rng) -> anyhow::Result<String> {
        let (ns, snapshot) = self.any_snapshot(Side::Source, rng)?;
        let state = if rng.chance(80) { VerifyState::Ok } else { VerifyState::Failed };
        mark_verified(&self.source.store(), &ns, &snapshot, state)?;
        Ok(format!("{snapshot} in {} is {state:?}", ns.log_name()))
    }

    fn protect(&self, rng: &Rng) -> anyhow::Result<String> {
        let _used = self.use_target()?;
        let (ns, snapshot) = self.any_snapshot(Side::Target, rng)?;
        self.touch(Side::Target, &ns, &snapshot);
        let place = (ns.clone(), snapshot.clone());
        let is_protected = rng.chance(70);
        // Lifting takes effect in the ledger first, protecting last: in between nothing is promised.
        if !is_protected {
            self.book.ledger().protected.remove(&place);
        }
        self.target.store().set_protected(&ns, &snapshot, is_protected)?;
        if is_protected && self.target.store().snapshot_info(&ns, &snapshot)?.has_manifest {
            self.book.ledger().protected.insert(place);
        }
        Ok(format!("{snapshot} in {}: {is_protected}", ns.log_name()))
    }

    async fn lock_group(&self, rng: &Rng) -> anyhow::Result<String> {
        let _used = self.use_target()?;
        let store = self.target.store();
        let all = groups(&store)?;
        let Some((ns, group, _)) = rng.pick(&all) else { return Ok("there is nothing".to_owned()) };
        let lock = match store.lock_group(ns, group) {
            Err(error) if error.kind() == ErrorKind::Busy => return Ok("busy".to_owned()),
            lock => lock?,
        };
        tokio::time::sleep(rng.millis(10, 5000)).await;
        drop(lock);
        Ok(format!("{group} in {}", ns.log_name()))
    }
}

/// One of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where is pulled from.
    Source,
    /// Where is pulled to.
    Target,
}
