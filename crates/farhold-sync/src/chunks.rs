//! The chunks of one archive that is pulled as it is: which are missing, and what becomes of those that come.
//!
//! Source: `docs/spec/sync.md` 7.3, C.2 W1.

use std::collections::HashSet;
use std::sync::Arc;

use farhold_format::blob::MAX_CHUNK_BYTES;
use farhold_types::Digest;
use tokio::task::JoinSet;
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
use crate::target::{ChunkStore, Target};

/// Chunks whose access time is set in one blocking job.
const TOUCH_BATCH: usize = 1024;

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
    let lost = touch(run, group, reusable).await?;
    missing.extend(lost);
    let journal = match open_journal(run, group, archive, missing.len()).await {
        None => None,
        Some((journal, delivered)) => {
            missing = take_delivered(run, group, missing, delivered).await?;
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
    group: &mut GroupState,
    archive: &Archive<'_>,
) -> Result<(Vec<ExpectedChunk>, Vec<ExpectedChunk>), ArchiveFailure> {
    let mut seen = std::collections::HashMap::new();
    let (mut missing, mut reusable) = (Vec::new(), Vec::new());
    for chunk in archive.index.chunks() {
        let digest = chunk.digest;
        let size = chunk.size_bytes();
        let length = u32::try_from(size).ok().filter(|length| *length as usize <= MAX_CHUNK_BYTES);
        let known = group.known.get(&digest);
        let same = |other: u32| if length == Some(other) { None } else { Some(u64::from(other)) };
        let conflict = match (length, seen.get(&digest).copied().or(known.map(|k| k.length))) {
            (None, _) => Some(MAX_CHUNK_BYTES as u64),
            (Some(_), Some(other)) => same(other),
            (Some(_), None) => None,
        };
        if let Some(found) = conflict {
            return Err(ArchiveFailure::ChunkLength { digest, expected: size, found });
        }
        let length = length.unwrap_or_default();
        if seen.insert(digest, length).is_some() {
            continue;
        }
        let expected = ExpectedChunk { digest, length, is_encrypted: archive.is_encrypted };
        match known.map(|k| k.knowledge) {
            Some(Knowledge::Present) => {}
            Some(Knowledge::Reusable) => reusable.push(expected),
            None => missing.push(expected),
        }
    }
    Ok((missing, reusable))
}

/// Marks reusable chunks as used; returns those that are not in the store any more.
async fn touch<S: Source, T: Target>(
    run: &Arc<RunContext<S, T>>,
    group: &mut GroupState,
    reusable: Vec<ExpectedChunk>,
) -> Result<Vec<ExpectedChunk>, ArchiveFailure> {
    let mut lost = Vec::new();
    for batch in reusable.chunks(TOUCH_BATCH) {
        let store = run.chunks.clone();
        let digests: Vec<Digest> = batch.iter().map(|chunk| chunk.digest).collect();
        let job = move |_: &mut _| digests.iter().map(|digest| store.touch(digest)).collect::<Result<Vec<bool>, _>>();
        let present = run.pool.run(job).await??;
        for (chunk, is_present) in batch.iter().zip(present) {
            if is_present {
                group.known.set_present(chunk.digest, chunk.length);
            } else {
                lost.push(*chunk);
            }
        }
    }
    Ok(lost)
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

/// Checks chunks that an interrupted run received and returns those that must be fetched after all.
async fn take_delivered<S: Source, T: Target>(
    run: &Arc<RunContext<S, T>>,
    group: &mut GroupState,
    missing: Vec<ExpectedChunk>,
    delivered: HashSet<Digest>,
) -> Result<Vec<ExpectedChunk>, ArchiveFailure> {
    let (candidates, mut missing): (Vec<_>, Vec<_>) =
        missing.into_iter().partition(|chunk| delivered.contains(&chunk.digest));
    let mut candidates = candidates.into_iter();
    let mut checks = JoinSet::new();
    loop {
        while checks.len() < run.pool.size() * 2 {
            let Some(chunk) = candidates.next() else { break };
            let run = run.clone();
            checks.spawn(async move {
                let store = run.chunks.clone();
                let is_sound = run.pool.run(move |bench| {
                    let stored = store.read(&chunk.digest);
                    let is_sound = stored.is_some_and(|encoded| chunk.check(bench, &encoded).is_ok());
                    Ok::<bool, ArchiveFailure>(is_sound && store.touch(&chunk.digest)?)
                });
                Ok::<_, ArchiveFailure>((chunk, is_sound.await??))
            });
        }
        match checks.join_next().await {
            None => return Ok(missing),
            Some(Err(_)) => return Err(ArchiveFailure::Crashed),
            Some(Ok(result)) => match result? {
                (chunk, true) => group.known.set_present(chunk.digest, chunk.length),
                (chunk, false) => missing.push(chunk),
            },
        }
    }
}
