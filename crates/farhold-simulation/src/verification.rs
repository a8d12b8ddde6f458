//! Verification in a world: the product's own, in turns with whatever else happens.
//!
//! What it says is compared with what is on the disk at that moment: a chunk that it calls bad must be bad, and a snapshot
//! that it calls good may only have damage that came while it worked.
//!
//! Source: `docs/spec/datastore-format.md` 18.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};

use farhold_datastore::verify::{
    ChunkProblem, ReadOrder, Reverify, SnapshotVerdict, Verifier, VerifyEvent, VerifyOptions, VerifyWatch,
};
use farhold_datastore::{Datastore, ErrorKind};
use farhold_types::{Clock, Digest, Epoch, Namespace, Snapshot};

use crate::damage::note_loss;
use crate::facts::{Fault, Reader, is_sound};
use crate::ledger::Place;
use crate::plant::Plant;
use crate::rng::Rng;
use crate::server::{snapshots, task};
use crate::turns::{Glasses, Rhythm, breathe, in_turns, put_on, undisturbed};
use crate::world::World;

/// Verifies the target. `rhythm`: how the verification takes turns with the rest.
///
/// # Errors
/// The store cannot be listed.
pub async fn verify_all(world: &World, rng: &Rng, rhythm: Rhythm) -> anyhow::Result<String> {
    let _used = world.use_target_slowly(rng).await?;
    let reverify = match rng.below(4) {
        0 => Reverify::Never,
        1 => Reverify::Outdated { after_days: 0, now: world.target.clock().now() },
        _ => Reverify::Always,
    };
    let order = if rng.chance(50) { ReadOrder::Inode } else { ReadOrder::Index };
    let options = VerifyOptions { readers: NonZero::<usize>::MIN, workers: NonZero::<usize>::MIN, order };
    world.book.note(|| format!("verification begins, {reverify:?}, {rhythm:?}"));
    let of_work = world.clone();
    let work = move || Verification::begin(&of_work, options).run(&reverify);
    let (verified, failed) = in_turns(rhythm, work, || {}).await??;
    let mut ledger = world.book.ledger();
    ledger.done.verified += verified;
    ledger.done.failed += failed;
    Ok(format!("{verified} verified, {failed} failed"))
}

struct Verification<'a> {
    world: &'a World,
    store: Datastore,
    verifier: Verifier,
    began: Epoch,
    /// How often the disk had been away when it began.
    absences: u64,
    /// How often the process had died when it began.
    deaths: u64,
    /// How much damage there was when it began.
    damages: usize,
    /// Whether a good reason was told for the present snapshot to fail.
    has_reason: AtomicBool,
}

impl<'a> Verification<'a> {
    fn begin(world: &'a World, options: VerifyOptions) -> Self {
        let plant = world.target.disk().planted();
        put_on(Glasses {
            is_blind_to_damage: plant == Plant::DamageOverlooked,
            invents_damage: plant == Plant::DamageInvented,
            ..Glasses::default()
        });
        let store = world.target.store();
        let ledger = world.book.ledger();
        let (absences, damages) = (ledger.absences, ledger.damage_log.len());
        drop(ledger);
        Self {
            world,
            verifier: Verifier::new(store.clone(), options),
            began: world.target.clock().now(),
            absences,
            deaths: world.target.disk().deaths(),
            damages,
            store,
            has_reason: AtomicBool::new(false),
        }
    }

    /// Blocking. Returns how many snapshots were verified, and how many of them failed.
    fn run(&self, reverify: &Reverify) -> anyhow::Result<(u64, u64)> {
        let upid = task("verificationjob", self.began);
        let on_event = |event: &VerifyEvent<'_>| undisturbed(|| self.hear(event));
        let watch = VerifyWatch { on_event: &on_event, is_stopped: &breathe };
        let (mut verified, mut failed) = (0, 0);
        for (ns, snapshot) in snapshots(&self.store)? {
            self.has_reason.store(false, Ordering::Relaxed);
            let verdict = self.verifier.verify_snapshot(&ns, &snapshot, &upid, reverify, &watch)?;
            undisturbed(|| self.judge(&ns, &snapshot, verdict));
            if !matches!(verdict, SnapshotVerdict::Skipped(_)) {
                verified += 1;
                failed += u64::from(verdict.is_failure());
            }
        }
        Ok((verified, failed))
    }

    fn blame(&self, text: String) {
        self.world.book.note(|| text.clone());
        self.world.book.ledger().wrong.push(text);
    }

    fn hear(&self, event: &VerifyEvent<'_>) {
        if !matches!(event, VerifyEvent::File { .. } | VerifyEvent::Chunks { .. } | VerifyEvent::Examined { .. }) {
            self.world.book.note(|| format!("    {event:?}"));
        }
        match event {
            VerifyEvent::Snapshot { namespace, snapshot, .. } => {
                let group = ((*namespace).clone(), snapshot.group.clone());
                self.world.book.ledger().changed.insert(group);
            }
            VerifyEvent::Chunk { problem: ChunkProblem::KnownBad, .. } => self.accept(),
            VerifyEvent::Chunk { digest, problem, .. } => {
                if self.is_excused() || !is_sound(&self.store, digest) {
                    self.accept();
                } else {
                    self.blame(format!("verification calls the good chunk {digest} bad: {problem:?}"));
                }
            }
            VerifyEvent::NotNoted { error, .. } if error.kind() == ErrorKind::NoSpace => self.accept(),
            VerifyEvent::SetAside { digest, .. } => self.note_loss(*digest),
            _ => {}
        }
    }

    fn accept(&self) {
        self.has_reason.store(true, Ordering::Relaxed);
    }

    fn note_loss(&self, digest: Digest) {
        if let Err(error) = note_loss(self.world, &self.store, digest) {
            self.world.book.note(|| format!("nobody knows who lost {digest}: {error:#}"));
        }
    }

    /// Whether nothing can be said about what it finds.
    fn is_excused(&self) -> bool {
        let was_away = self.world.target.disk().is_away() || self.world.book.ledger().absences != self.absences;
        self.world.target.is_dead() || self.world.target.disk().deaths() != self.deaths || was_away
    }

    /// Compares a verdict with the truth.
    fn judge(&self, ns: &Namespace, snapshot: &Snapshot, verdict: SnapshotVerdict) {
        if self.is_excused() || matches!(verdict, SnapshotVerdict::Skipped(_)) {
            return;
        }
        let place: Place = (ns.clone(), snapshot.clone());
        let found = self.store.read_manifest(ns, snapshot).ok().zip(self.world.backup_at(ns, snapshot));
        let Some(((manifest, _), backup)) = found else {
            // Unfinished, gone, or torn by a power failure.
            if verdict == SnapshotVerdict::Ok {
                self.blame(format!("{place:?} cannot be read and is verified"));
            }
            return;
        };
        let faults = Reader::default().faults(&self.store, ns, snapshot, &manifest, &backup);
        if verdict == SnapshotVerdict::Ok {
            let ledger = self.world.book.ledger();
            let meanwhile = &ledger.damage_log[self.damages.min(ledger.damage_log.len())..];
            let is_new = |fault: &&Fault| match fault {
                Fault::ChunkMissing(digest) | Fault::ChunkDamaged(digest) => meanwhile.contains(digest),
                Fault::File(_) => false,
            };
            let old: Vec<Fault> = faults.iter().filter(|fault| !is_new(fault)).cloned().collect();
            drop(ledger);
            if !old.is_empty() {
                self.blame(format!("{snapshot} in {} is called good: {old:?}", ns.log_name()));
            }
        } else if faults.is_empty() && !self.has_reason.load(Ordering::Relaxed) {
            self.blame(format!("{snapshot} in {} is called bad without reason", ns.log_name()));
        }
    }
}
