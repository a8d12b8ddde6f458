//! The chunks of one archive that is pulled as it is: which are missing, and what becomes of those that come.
//!
//! Source: `docs/spec/sync.md` 7.3, C.2 W1, W13 and W15.

use std::collections::HashSet;
use std::sync::Arc;

use farhold_types::Digest;
use tokio::time::Instant;

use crate::chunks::check_pool::ExpectedChunk;
use crate::chunks::fetch::{Archive, Fetching, Received, StoreJob};
use crate::chunks::known::Knowledge;
use crate::chunks::stored::{check_all, touch_all};
use crate::context::RunContext;
use crate::event::GroupEvent;
use crate::group::GroupState;
use crate::notes::journal::Journal;
use crate::outcome::ArchiveFailure;
use crate::readers::SnapshotReader;
use crate::source::Source;
use crate::target::{ChunkStore, Target};

/// Missing chunks from which on they are noted: below, fetching them again is cheaper than the file.
const JOURNAL_MIN_CHUNKS: usize = 8;

/// What is believed about the chunks that lie in the target's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Belief {
    /// Chunks that the source is known to have are taken as they are.
    Good,
    /// The copy is known to be bad, so each chunk is read and checked before it is taken.
    Doubtful {
        /// Whether the index was in place, so that the source delivered its chunks before.
        had_index: bool,
    },
}

/// Makes every chunk of the archive present in the target's store.
///
/// # Errors
/// The first chunk that cannot be had or is wrong; chunks stored until then stay.
///
/// # Cancel safety
/// Dropping it stops all requests; chunks being stored are finished.
pub(crate) async fn complete<S: Source, T: Target>(
    run: &Arc<RunContext<S, T>>,
    group: &mut GroupState,
    reader: &Arc<SnapshotReader<S>>,
    archive: &Archive<'_>,
    belief: Belief,
) -> Result<Received, ArchiveFailure> {
    let begin = Instant::now();
    let phase = run.phases.begin();
    let Sorted { missing, mut reusable, present } = classify(group, archive)?;
    run.shared.prepare(run, missing.len()).await;
    let (of_owner, mut missing): (Vec<_>, Vec<_>) =
        missing.into_iter().partition(|chunk| run.shared.contains(&chunk.digest, chunk.length));
    reusable.extend(of_owner);
    match belief {
        Belief::Good => {
            let (touched, lost) = touch_all(run, reusable, |chunk| chunk.digest).await?;
            touched.iter().for_each(|chunk| group.known.set_present(chunk.digest, chunk.length));
            missing.extend(lost);
        }
        Belief::Doubtful { had_index } => {
            let checked = reusable.len() + present.len() + missing.len();
            let candidates = if had_index { std::mem::take(&mut missing) } else { Vec::new() };
            missing.extend(keep_sound(run, group, [reusable, present, candidates].concat()).await?);
            if had_index {
                let (archive, bad) = (archive.name.clone(), missing.len());
                run.emit(group.index, &group.group, GroupEvent::ChunksChecked { archive, checked, bad });
            }
        }
    }
    let journal = match open_journal(run, group, archive, missing.len()).await {
        None => None,
        Some((journal, delivered)) => {
            let (delivered, others): (Vec<_>, Vec<_>) =
                missing.into_iter().partition(|chunk| delivered.contains(&chunk.digest));
            missing = others;
            missing.extend(keep_sound(run, group, delivered).await?);
            Some(journal)
        }
    };
    let fetching = Fetching { run, index: group.index, group: &group.group, reader, archive };
    let known = &mut group.known;
    let stored = |chunk: &ExpectedChunk, _| {
        known.set_sound(chunk.digest, chunk.length);
        run.shared.add_received(&chunk.digest, chunk.length);
    };
    let mut received = fetching.all(missing, store_as_it_is(run.chunks.clone(), journal.clone()), stored).await?;
    received.elapsed = begin.elapsed();
    drop(phase);
    group.journal = journal;
    Ok(received)
}

/// Reads and checks chunks that should be in the store; returns those that must be fetched after all.
async fn keep_sound<S: Source, T: Target>(
    run: &Arc<RunContext<S, T>>,
    group: &mut GroupState,
    chunks: Vec<ExpectedChunk>,
) -> Result<Vec<ExpectedChunk>, ArchiveFailure> {
    let is_sound = |bench: &mut _, chunk: &ExpectedChunk, encoded: &_| chunk.check(bench, encoded).is_ok();
    let (sound, unsound) = check_all(run, chunks, |chunk| chunk.digest, is_sound).await?;
    sound.iter().for_each(|chunk| group.known.set_sound(chunk.digest, chunk.length));
    Ok(unsound)
}

/// Returns the job of a plain pull: a chunk that passes its check is stored as it came, and replaces a damaged one.
fn store_as_it_is(store: Arc<dyn ChunkStore>, journal: Option<Arc<Journal>>) -> StoreJob {
    Arc::new(move |bench, chunk, encoded| {
        chunk.check(bench, encoded)?;
        store.insert_or_repair(&chunk.digest, encoded, &mut |stored| chunk.is_sound_in_store(bench, stored))?;
        if let Some(Err(error)) = journal.as_ref().map(|journal| journal.add(&chunk.digest)) {
            tracing::warn!(%error, "cannot note a finished chunk");
        }
        Ok(chunk.digest)
    })
}

/// The distinct chunks of an archive, in content order.
struct Sorted {
    /// Not known.
    missing: Vec<ExpectedChunk>,
    /// Of the newest good snapshot.
    reusable: Vec<ExpectedChunk>,
    /// Seen in the store by this run. Those that it stored or checked are in no list.
    present: Vec<ExpectedChunk>,
}

/// Sorts the chunks of an archive by what is known of them.
fn classify(group: &GroupState, archive: &Archive<'_>) -> Result<Sorted, ArchiveFailure> {
    let mut sorted = Sorted { missing: Vec::new(), reusable: Vec::new(), present: Vec::new() };
    for chunk in archive.distinct_chunks(|digest| group.known.get(digest).map(|known| known.length))? {
        match group.known.get(&chunk.digest).map(|known| known.knowledge) {
            Some(Knowledge::Sound) => {}
            Some(Knowledge::Present) => sorted.present.push(chunk),
            Some(Knowledge::Reusable) => sorted.reusable.push(chunk),
            None => sorted.missing.push(chunk),
        }
    }
    Ok(sorted)
}

/// Opens the notes of an interrupted run. Without them everything is fetched, so a failure is only traced.
async fn open_journal<S: Source, T: Target>(
    run: &Arc<RunContext<S, T>>,
    group: &GroupState,
    archive: &Archive<'_>,
    missing: usize,
) -> Option<(Arc<Journal>, HashSet<Digest>)> {
    let scope = run.journal.clone().filter(|_| JOURNAL_MIN_CHUNKS <= missing)?;
    let (ns, name, checksum) = (group.target_ns.clone(), group.group.clone(), archive.index.checksum());
    match run.pool.run(move |_| scope.open(&ns, &name, &checksum)).await {
        Ok(Ok((journal, digests))) => Some((Arc::new(journal), digests.into_iter().collect())),
        Ok(Err(error)) => {
            tracing::warn!(%error, "cannot keep notes on finished chunks");
            None
        }
        Err(_) => None,
    }
}
