//! Garbage collection in a world: the product's own, in turns with whatever else happens.
//!
//! Its cut-off is a minute, the shortest that can be configured, or none at all, which is stricter than the rules ask: then
//! a chunk that a writer relies on without having touched it is removed. That nothing is removed that anything refers to is
//! seen by the audits; that nothing stays longer than it may is checked here.
//!
//! Source: `docs/spec/datastore-format.md` 17.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};

use anyhow::ensure;
use farhold_datastore::gc::{GcError, GcEvent, GcOptions, GcWatch, MarkError};
use farhold_datastore::{AccessTimeCheck, Datastore, GcStatus};
use farhold_format::index::{HEADER_BYTES, Index};
use farhold_rules::gc_cutoff::{Cutoff, CutoffFacts};
use farhold_storage::StorageError;
use farhold_types::{ArchiveKind, Digest, Epoch};

use crate::plant::Plant;
use crate::rng::Rng;
use crate::server::task;
use crate::turns::{Glasses, Rhythm, breathe, in_turns, put_on};
use crate::world::World;

/// The chunk of the access time check, to which no index refers.
const ZEROS: &str = "bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8";

/// Seconds by which the clock is set before the last collection: longer than any clock was ever ahead.
const LONG_S: i64 = 20 * 365 * 86_400;

/// How a collection ended, and from which second of access on it spared chunks.
type Ending = (Result<GcStatus, GcError>, Option<Epoch>);

/// Collects garbage on the target. `rhythm`: how the collection takes turns with the rest.
///
/// # Errors
/// It was refused for a reason that the world has.
pub async fn collect_garbage(world: &World, rng: &Rng, rhythm: Rhythm) -> anyhow::Result<String> {
    let plant = world.target.disk().planted();
    let _used = world.use_target_slowly(rng).await?;
    let deaths = world.target.disk().deaths();
    let store = if plant == Plant::WritersIgnored {
        // It would not know of another collection either; that is not the fault that is meant.
        ensure!(!world.is_journal_busy() && world.target.store().lock_process_exclusive().is_ok(), "another runs");
        world.target.ignorant_store()?
    } else {
        world.target.store()
    };
    let options = GcOptions {
        cutoff_seconds: world.cutoff_seconds,
        cache_capacity: *rng.pick(&[0, 16, 4096]).unwrap_or(&0),
        access_time_check: if rng.chance(3) { AccessTimeCheck::Run } else { AccessTimeCheck::Skip },
        threads: NonZero::<usize>::MIN,
    };
    world.book.note(|| format!("garbage collection begins, {options:?}, {rhythm:?}"));
    let absences = world.book.ledger().absences;
    let (of_work, of_pauses) = (world.clone(), world.clone());
    let chance = rng.fork();
    let meanwhile = move || {
        if chance.chance(15) {
            of_pauses.disturb(&chance);
        }
    };
    let work = move || {
        let _known = (plant == Plant::WritersIgnored).then(|| of_work.target.store().lock_process_exclusive());
        collect(&of_work, &store, &options, plant)
    };
    let (outcome, min_access) = in_turns(rhythm, work, meanwhile).await?;
    match outcome {
        Ok(status) => {
            // A power failure in its last step may have turned back times of access.
            if !world.target.is_dead() && world.target.disk().deaths() == deaths {
                world.judge_collection(min_access);
            }
            let mut ledger = world.book.ledger();
            ledger.done.collections += 1;
            ledger.done.collected_chunks += status.removed_chunks;
            Ok(format!("{status:?}"))
        }
        Err(error) => {
            if !world.excuses(&error, absences, deaths) {
                world.book.ledger().wrong.push(format!("garbage was not collected: {:#}", anyhow::anyhow!(error)));
                return Ok("it must not fail".to_owned());
            }
            Err(error.into())
        }
    }
}

/// Blocking.
fn collect(world: &World, store: &Datastore, options: &GcOptions, plant: Plant) -> Ending {
    let start = store.clock().now();
    match (plant, store.oldest_writer()) {
        (Plant::GraceIgnored, Some(oldest)) if options.cutoff_seconds < start.seconds_since(oldest) => {
            put_on(Glasses { old_before: Some(oldest.0), ..Glasses::default() });
        }
        (Plant::SetBackIgnored, Some(noted)) => {
            let oldest_writer = world.target.first_writer();
            let facts = CutoffFacts { start, oldest_writer, cutoff_seconds: options.cutoff_seconds };
            if oldest_writer.is_some_and(|oldest| noted < oldest) {
                put_on(Glasses { old_before: Some(Cutoff::new(facts).min_access().0), ..Glasses::default() });
            }
        }
        _ => {}
    }
    let min_access = Mutex::new(None);
    let on_event = |event: &GcEvent<'_>| {
        if let GcEvent::Cutoff { cutoff, .. } = event {
            *min_access.lock().unwrap_or_else(PoisonError::into_inner) = Some(cutoff.min_access());
        }
        if !matches!(event, GcEvent::Marked { .. } | GcEvent::Swept { .. }) {
            world.book.note(|| format!("    {event:?}"));
        }
    };
    let is_stopped = || {
        let is_stopped = breathe();
        if plant == Plant::MovesIgnored && world.target.journal().exists() {
            let _ = std::fs::write(world.target.journal(), "");
        }
        is_stopped
    };
    let watch = GcWatch { on_event: &on_event, is_stopped: &is_stopped };
    let outcome = store.collect_garbage(options, &task("garbage_collection", start), &watch);
    (outcome, min_access.into_inner().unwrap_or_else(PoisonError::into_inner))
}

impl World {
    /// Nothing is left that was not accessed since the cut-off.
    fn judge_collection(&self, min_access: Option<Epoch>) {
        let min_access = min_access.map_or(i64::MAX, |time| time.0);
        let left = self.target.disk().chunk_files().into_iter().filter(|(_, accessed)| *accessed < min_access);
        let mut ledger = self.book.ledger();
        for (name, accessed) in left {
            ledger.wrong.push(format!("{name} was last accessed at {accessed} and survived the collection"));
        }
        // What is gone is not damaged any more.
        let files = self.chunk_names();
        ledger.damaged.retain(|digest| files.contains(&digest.to_string()));
    }

    /// Returns the names of the chunk files on the target's disk.
    fn chunk_names(&self) -> BTreeSet<String> {
        self.target.disk().chunk_files().into_iter().map(|(name, _)| name).collect()
    }

    /// Whether something that happened in this world is a reason for a collection to fail.
    ///
    /// `absences`: how often its disk had been away when the collection began. `deaths`: how often its process had died.
    fn excuses(&self, error: &GcError, absences: u64, deaths: u64) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        let mut has_space = true;
        while let Some(error) = cause {
            has_space &= !matches!(error.downcast_ref(), Some(StorageError::NoSpace { .. }));
            cause = error.source();
        }
        let is_torn = matches!(error, GcError::Mark(MarkError::Damaged { .. } | MarkError::List(_)));
        let is_by_clock = matches!(
            error,
            GcError::ClockSetBack { .. } | GcError::Mark(MarkError::ClockSetBack { .. }) | GcError::AccessTime(_)
        );
        let ledger = self.book.ledger();
        matches!(error, GcError::Busy(_))
            || self.target.is_dead()
            || self.target.disk().deaths() != deaths
            || self.target.disk().is_away()
            || ledger.absences != absences
            || (is_by_clock && ledger.was_clock_set)
            || !has_space
            || (is_torn && ledger.had_power_failure)
    }

    /// Collects garbage when nobody else is there and everything is old. Afterwards exactly the chunks are left to which
    /// indexes refer, and of damaged ones only those for which there is nothing better.
    pub(crate) async fn last_collection(&self) -> anyhow::Result<()> {
        tokio::time::sleep(std::time::Duration::from_secs(86_400)).await;
        if self.book.ledger().had_clock_set {
            // What was used while the clock was ahead stays until that time has come.
            self.target.clock().set_by(LONG_S);
        }
        let (absences, deaths) = (self.book.ledger().absences, self.target.disk().deaths());
        let store = self.target.store();
        let options = GcOptions {
            cutoff_seconds: 60,
            cache_capacity: 64,
            access_time_check: AccessTimeCheck::Skip,
            threads: NonZero::<usize>::MIN,
        };
        self.collect_beside_rot(&store, &options)?;
        let (outcome, _) = collect(self, &store, &options, self.target.disk().planted());
        let status = match outcome {
            Err(error) if self.excuses(&error, absences, deaths) => return Ok(()),
            outcome => outcome?,
        };
        self.book.note(|| format!("the last collection, {status:?}"));
        let (used, indexes) = self.used_chunks();
        let files = self.chunk_names();
        let is_there = |digest: &Digest| files.contains(&digest.to_string());
        let wrong: Vec<&String> = files
            .iter()
            .filter(|name| match name.get(..64).and_then(|digest| digest.parse::<Digest>().ok()) {
                Some(digest) if name.len() == 64 => !used.contains(&digest) && name.as_str() != ZEROS,
                Some(digest) => !used.contains(&digest) || is_there(&digest),
                None => true,
            })
            .collect();
        ensure!(wrong.is_empty(), "nobody uses {wrong:?}, and they survived the last collection");
        let there = used.iter().filter(|digest| is_there(digest)).count() as u64;
        // To a file system whose clock is behind they look as if they had been used before the collection.
        let reported = status.disk_chunks + status.pending_chunks;
        ensure!(reported == there, "{there} chunks are in use, reported were {status:?}");
        // What was moved since the last collection is marked, and counted, twice.
        let may_be_more = 0 < self.book.ledger().done.moves;
        let is_right = status.index_file_count == indexes || (may_be_more && indexes < status.index_file_count);
        ensure!(is_right, "there are {indexes} indexes, reported were {status:?}");
        Ok(())
    }

    /// A bit flips in an index, in the name of a chunk that no other one has if there is such a chunk. While it is so, nothing
    /// is collected; then the index is mended, and what it always named must be there for the last collection.
    fn collect_beside_rot(&self, store: &Datastore, options: &GcOptions) -> anyhow::Result<()> {
        let indexes = self.indexes();
        let mut users: BTreeMap<Digest, usize> = BTreeMap::new();
        for digest in indexes.iter().flat_map(|(_, index)| index.digests().collect::<BTreeSet<_>>()) {
            *users.entry(digest).or_default() += 1;
        }
        let alone = |index: &Index| index.digests().position(|digest| users.get(&digest) == Some(&1));
        let chosen = indexes.iter().find_map(|(path, index)| Some((path, index, alone(index)?)));
        let Some((path, index, position)) = chosen.or_else(|| indexes.first().map(|(path, index)| (path, index, 0)))
        else {
            return Ok(());
        };
        let entry_bytes = index.entries().len() / index.chunk_count();
        let mut rotten = index.as_bytes().to_vec();
        if let Some(byte) = rotten.get_mut(HEADER_BYTES + (position + 1) * entry_bytes - 1) {
            *byte ^= 1;
        }
        let (plant, absences) = (self.target.disk().planted(), self.book.ledger().absences);
        let deaths = self.target.disk().deaths();
        self.book.note(|| format!("a bit flips in {path}"));
        self.target.disk().damage(path, Some(rotten.into()));
        let before = self.chunk_names();
        let (outcome, _) = collect(self, store, options, plant);
        self.target.disk().damage(path, Some(index.as_bytes().clone()));
        match outcome {
            Err(GcError::Mark(MarkError::Damaged { .. })) => {
                let gone: Vec<_> = before.difference(&self.chunk_names()).cloned().collect();
                ensure!(gone.is_empty(), "{gone:?} were removed although an index is damaged");
                Ok(())
            }
            Err(error) if self.excuses(&error, absences, deaths) => Ok(()),
            outcome => anyhow::bail!("a bit flipped in {path}, and the collection ended with {outcome:?}"),
        }
    }

    /// Returns the chunks that the index files on the target's disk name, and the number of those files.
    fn used_chunks(&self) -> (BTreeSet<Digest>, u64) {
        let indexes = self.indexes();
        (indexes.iter().flat_map(|(_, index)| index.digests()).collect(), indexes.len() as u64)
    }

    /// Returns the index files on the target's disk, by path.
    fn indexes(&self) -> Vec<(String, Index)> {
        let contents = self.target.disk().contents().into_iter();
        let indexes = contents.filter_map(|(path, content)| {
            let kind = match path.rsplit('.').next() {
                Some("fidx") => ArchiveKind::FixedIndex,
                Some("didx") => ArchiveKind::DynamicIndex,
                _ => return None,
            };
            let content = content.filter(|_| !path.starts_with('.'))?;
            Some((path, Index::parse(kind, content).ok()?))
        });
        indexes.collect()
    }
}
