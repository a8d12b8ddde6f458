//! The chunks of one archive that is pulled as it is: which are missing, and what becomes of those that come.
//!
//! Source: `docs/spec/sync.md` 7.3, C.2 W1.

use std::collections::HashSet;
use std::sync::Arc;

use farhold_types::Digest;
use tokio::time::Instant;

use crate::check_pool::ExpectedChunk;
use crate::context::RunContext;
use crate::fetch::{Archive, Fetching, Received, StoreJob};
use crate::group::GroupState;
use crate::journal::Journal;
use crate::known::Knowledge;
use crate::outcome::ArchiveFailure;
use crate::readers::SnapshotReader;
use crate::source::Source;
use crate::stored::{check_all, touch_all};
use crate::target::{ChunkStore, Target};

/// Missing chunks from which on they are noted: below, fetching them again is cheaper than the file.
const JOURNAL_MIN_CHUNKS: usize = 8;

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
) -> Result<Received, ArchiveFailure> {
    let begin = Instant::now();
    let (mut missing, reusable) = classify(group, archive)?;
    let (present, lost) = touch_all(run, reusable, |chunk| chunk.digest).await?;
    present.iter().for_each(|chunk| group.known.set_present(chunk.digest, chunk.length));
    missing.extend(lost);
    let journal = match open_journal(run, group, archive, missing.len()).await {
        None => None,
        Some((journal, delivered)) => {
            let (delivered, others): (Vec<_>, Vec<_>) =
                missing.into_iter().partition(|chunk| delivered.contains(&chunk.digest));
            let is_sound = |bench: &mut _, chunk: &ExpectedChunk, encoded: &_| chunk.check(bench, encoded).is_ok();
            let (sound, unsound) = check_all(run, delivered, |chunk| chunk.digest, is_sound).await?;
            sound.iter().for_each(|chunk| group.known.set_present(chunk.digest, chunk.length));
            missing = others;
            missing.extend(unsound);
            Some(journal)
        }
    };
    let fetching = Fetching { run, index: group.index, group: &group.group, reader, archive };
    let known = &mut group.known;
    let stored = |chunk: &ExpectedChunk, _| known.set_present(chunk.digest, chunk.length);
    let mut received = fetching.all(missing, store_as_it_is(run.chunks.clone(), journal.clone()), stored).await?;
    received.elapsed = begin.elapsed();
    run.report().elapsed += received.elapsed;
    group.journal = journal;
    Ok(received)
}

/// Returns the job of a plain pull: a chunk that passes its check is stored as it came.
fn store_as_it_is(store: Arc<dyn ChunkStore>, journal: Option<Arc<Journal>>) -> StoreJob {
    Arc::new(move |bench, chunk, encoded| {
        chunk.check(bench, encoded)?;
        store.insert(&chunk.digest, encoded)?;
        if let Some(Err(error)) = journal.as_ref().map(|journal| journal.add(&chunk.digest)) {
            tracing::warn!(%error, "cannot note a finished chunk");
        }
        Ok(chunk.digest)
    })
}

/// Splits the distinct chunks of an archive into those to be fetched and those of the newest good snapshot, both in
/// content order. Chunks seen in this run are in neither.
fn classify(
    group: &GroupState,
    archive: &Archive<'_>,
) -> Result<(Vec<ExpectedChunk>, Vec<ExpectedChunk>), ArchiveFailure> {
    let (mut missing, mut reusable) = (Vec::new(), Vec::new());
    for chunk in archive.distinct_chunks(|digest| group.known.get(digest).map(|known| known.length))? {
        match group.known.get(&chunk.digest).map(|known| known.knowledge) {
            Some(Knowledge::Present) => {}
            Some(Knowledge::Reusable) => reusable.push(chunk),
            None => missing.push(chunk),
        }
    }
    Ok((missing, reusable))
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
