//! The chunks of one archive: which are missing, and getting them, many at once and in any order.
//!
//! Network tasks only receive. A received chunk goes to the check pool, where one job decodes, hashes and stores it. The
//! content bytes of all chunks between request and storage are bounded by the run's budget.
//!
//! Source: `docs/spec/sync.md` 7.3, `docs/spec/sync.md` C.2 W1 and W11.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use farhold_format::blob::MAX_CHUNK_BYTES;
use farhold_format::index::Index;
use farhold_types::{ArchiveName, Digest};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::check_pool::ExpectedChunk;
use crate::context::RunContext;
use crate::event::GroupEvent;
use crate::group::GroupState;
use crate::journal::Journal;
use crate::known::Knowledge;
use crate::outcome::ArchiveFailure;
use crate::readers::{ChunkReaders, SnapshotReader};
use crate::source::Source;
use crate::target::Target;

/// Chunks whose access time is set in one blocking job.
const TOUCH_BATCH: usize = 1024;

/// Missing chunks from which on they are noted: below, fetching them again is cheaper than the file.
const JOURNAL_MIN_CHUNKS: usize = 8;

/// Requests in flight per session. The reference's server allows 100 streams or more; 32 small chunks fill a long link.
const REQUESTS_PER_SESSION: usize = 32;

/// Content bytes and chunks that justify one more session: half a second of a fast link, so that opening it pays.
const BYTES_PER_SESSION: u64 = 32 << 20;
const CHUNKS_PER_SESSION: u64 = 128;

/// A source that answers faster than this is near: no window limits a connection then, and further sessions only cost
/// handshakes. Two keep each other busy.
const NEAR_ANSWER: Duration = Duration::from_millis(5);
const NEAR_SESSIONS: usize = 2;

/// Indexes up to this size are read by all additional sessions at once, longer ones one after the other.
const SMALL_INDEX_BYTES: usize = 1 << 20;

/// Smallest charge on the byte budget: request, frames and bookkeeping of a tiny chunk.
const MIN_CHARGE_BYTES: u32 = 32 << 10;

/// What came over the network for one archive.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Received {
    pub(crate) chunks: u64,
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
}

/// An archive whose index was checked against the manifest.
pub(crate) struct Archive<'a> {
    pub(crate) name: &'a ArchiveName,
    pub(crate) index: &'a Index,
    pub(crate) is_encrypted: bool,
    pub(crate) max_index_bytes: u64,
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
    let missing_bytes = missing.iter().map(|chunk| u64::from(chunk.length)).sum();
    let missing_chunks = missing.len() as u64;
    run.emit(group.index, &group.group, GroupEvent::ArchivePlanned { missing_chunks, missing_bytes });
    let mut received = Received::default();
    if !missing.is_empty() {
        let name = archive.name.clone();
        let readers = Arc::new(ChunkReaders::new(reader.clone(), name, archive.max_index_bytes));
        let is_near = reader.fastest_answer() < NEAR_ANSWER;
        let openers = add_sessions(run, &readers, archive, missing_bytes, missing_chunks, is_near);
        received = fetch(run, group, &readers, missing, journal.as_ref()).await?;
        drop(openers);
        run.closing.spawn(async move { readers.close().await });
    }
    received.elapsed = begin.elapsed();
    run.report().elapsed += received.elapsed;
    group.journal = journal;
    Ok(received)
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

/// Opens additional sessions in the background, as many as the amount of data justifies and the run allows.
fn add_sessions<S: Source, T: Target>(
    run: &Arc<RunContext<S, T>>,
    readers: &Arc<ChunkReaders<S>>,
    archive: &Archive<'_>,
    missing_bytes: u64,
    missing_chunks: u64,
    is_near: bool,
) -> JoinSet<()> {
    let wanted = (missing_bytes / BYTES_PER_SESSION).max(missing_chunks / CHUNKS_PER_SESSION);
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(run.options.sessions_per_archive);
    let wanted = if is_near { wanted.min(NEAR_SESSIONS) } else { wanted };
    let permits: Vec<_> = (1..wanted).map_while(|_| run.extra_sessions.clone().try_acquire_owned().ok()).collect();
    let mut openers = JoinSet::new();
    let open = |permit, readers: Arc<ChunkReaders<S>>| async move {
        if let Err(error) = readers.grow(permit).await {
            tracing::debug!(%error, "additional reader session not opened");
        }
    };
    if archive.index.as_bytes().len() <= SMALL_INDEX_BYTES {
        for permit in permits {
            openers.spawn(open(permit, readers.clone()));
        }
    } else {
        let readers = readers.clone();
        openers.spawn(async move {
            for permit in permits {
                open(permit, readers.clone()).await;
            }
        });
    }
    openers
}

async fn fetch<S: Source, T: Target>(
    run: &Arc<RunContext<S, T>>,
    group: &mut GroupState,
    readers: &Arc<ChunkReaders<S>>,
    missing: Vec<ExpectedChunk>,
    journal: Option<&Arc<Journal>>,
) -> Result<Received, ArchiveFailure> {
    let mut tasks: JoinSet<Result<(ExpectedChunk, u64), ArchiveFailure>> = JoinSet::new();
    let mut received = Received::default();
    let mut take = |group: &mut GroupState, done: Result<Result<_, ArchiveFailure>, _>| {
        let (chunk, encoded_bytes): (ExpectedChunk, u64) = done.map_err(|_| ArchiveFailure::Crashed)??;
        group.known.set_present(chunk.digest, chunk.length);
        received.chunks += 1;
        received.bytes += encoded_bytes;
        let mut report = run.report();
        report.chunks += 1;
        report.bytes += encoded_bytes;
        drop(report);
        let event = GroupEvent::ChunkStored { encoded_bytes, plain_bytes: chunk.length.into() };
        run.emit(group.index, &group.group, event);
        Ok::<(), ArchiveFailure>(())
    };
    for chunk in missing {
        while REQUESTS_PER_SESSION * readers.count() <= tasks.len() {
            if let Some(done) = tasks.join_next().await {
                take(group, done)?;
            }
        }
        let charge = chunk.length.max(MIN_CHARGE_BYTES).min(run.options.budget_bytes);
        let acquire = run.budget.clone().acquire_many_owned(charge);
        tokio::pin!(acquire);
        let permit = loop {
            tokio::select! {
                // In this order and not a random one, so that a run can be repeated exactly.
                biased;
                permit = &mut acquire => break permit.map_err(|_| ArchiveFailure::Crashed)?,
                Some(done) = tasks.join_next() => take(group, done)?,
            }
        };
        let (run, readers, journal) = (run.clone(), readers.clone(), journal.cloned());
        tasks.spawn(async move {
            let encoded = readers.chunk(&chunk.digest, chunk.max_encoded_bytes()).await?;
            let encoded_bytes = encoded.len() as u64;
            let store = run.chunks.clone();
            let job = move |bench: &mut _| {
                chunk.check(bench, &encoded)?;
                store.insert(&chunk.digest, &encoded)?;
                if let Some(Err(error)) = journal.map(|journal| journal.add(&chunk.digest)) {
                    tracing::warn!(%error, "cannot note a finished chunk");
                }
                drop(permit);
                Ok::<(), ArchiveFailure>(())
            };
            run.pool.run(job).await??;
            Ok((chunk, encoded_bytes))
        });
    }
    while let Some(done) = tasks.join_next().await {
        take(group, done)?;
    }
    Ok(received)
}
