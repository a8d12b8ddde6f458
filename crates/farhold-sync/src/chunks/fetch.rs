//! Getting the missing chunks of one archive: over several sessions, many at once, in any order, within the byte budget.
//!
//! Network tasks only receive. What becomes of a received chunk is a job of the caller that runs on the check pool; all
//! kinds of pull share this stage.
//!
//! Source: `docs/spec/sync.md` 7.3, C.2 W2 and W11.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farhold_format::blob::MAX_CHUNK_BYTES;
use farhold_format::index::Index;
use farhold_types::{ArchiveName, Digest, Group};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::chunks::check_pool::{Bench, ExpectedChunk};
use crate::chunks::readers::ChunkReaders;
use crate::context::RunContext;
use crate::event::{GroupEvent, NamespaceIndex};
use crate::outcome::ArchiveFailure;
use crate::readers::SnapshotReader;
use crate::source::Source;
use crate::target::Target;

/// Requests in flight per session. The reference's server allows 100 streams or more; 32 small chunks fill a long link.
const REQUESTS_PER_SESSION: usize = 32;

/// Content bytes and chunks that justify one more session: half a second of a fast link, so that opening it pays.
const BYTES_PER_SESSION: u64 = 32 << 20;
const CHUNKS_PER_SESSION: u64 = 128;

/// A source that answers faster than this is near: no window limits a connection then, and further sessions only cost
/// handshakes. Two keep each other busy.
const NEAR_ANSWER: Duration = Duration::from_millis(5);
const NEAR_SESSIONS: usize = 2;

/// Content of the chunks on their way from a source that is near, beyond those being checked: there is nothing to hide
/// but the time to ask, and all of it is lost when the process dies.
const NEAR_BYTES: u64 = 8 << 20;

/// Chunks on their way from a near source beside those being checked, whatever their size: one comes while one waits.
const NEAR_CHUNKS: usize = 2;

/// Indexes up to this size are read by all additional sessions at once, longer ones one after the other.
const SMALL_INDEX_BYTES: usize = 1 << 20;

/// Smallest charge on the byte budget: request, frames and bookkeeping of a tiny chunk.
const MIN_CHARGE_BYTES: u32 = 32 << 10;

/// Smallest share of its content that a chunk is charged with, however well those before were compressed. What comes
/// may be as long as the content, so this is also by how much a source can exceed the budget: threefold.
const MIN_DENSITY: f64 = 1.0 / 3.0;

/// Content bytes over which the density of an archive is observed: it follows within some chunks.
const DENSITY_MEMORY_BYTES: u64 = 64 << 20;

/// How long the encoded chunks of an archive are, compared with their content. A chunk is charged with what it will
/// likely need, since over a long line much must be in flight and most images compress well.
#[derive(Debug, Default)]
struct Density {
    content_bytes: u64,
    encoded_bytes: u64,
}

impl Density {
    fn observe(&mut self, content_bytes: u64, encoded_bytes: u64) {
        self.content_bytes += content_bytes;
        self.encoded_bytes += encoded_bytes;
        if DENSITY_MEMORY_BYTES < self.content_bytes {
            self.content_bytes /= 2;
            self.encoded_bytes /= 2;
        }
    }

    /// Returns what the next chunk of `length` content bytes is charged with: all of it as long as nothing was seen.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    fn charge_bytes(&self, length: u32) -> u32 {
        let density = if self.content_bytes == 0 { 1.0 } else { self.encoded_bytes as f64 / self.content_bytes as f64 };
        // A quarter more, since chunks differ.
        let share = (density * 1.25).clamp(MIN_DENSITY, 1.0);
        ((f64::from(length) * share) as u32).max(MIN_CHARGE_BYTES)
    }
}

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

impl Archive<'_> {
    /// Returns every chunk once, in content order.
    ///
    /// `known_length`: content length of a chunk that was seen before.
    ///
    /// # Errors
    /// A chunk that is too long, or has not always the same length.
    pub(crate) fn distinct_chunks(
        &self,
        known_length: impl Fn(&Digest) -> Option<u32>,
    ) -> Result<Vec<ExpectedChunk>, ArchiveFailure> {
        let mut seen = HashMap::new();
        let mut distinct = Vec::new();
        for chunk in self.index.chunks() {
            let (digest, size) = (chunk.digest, chunk.size_bytes());
            let wrong = |found| ArchiveFailure::ChunkLength { digest, expected: size, found };
            let length = u32::try_from(size).ok().filter(|length| *length as usize <= MAX_CHUNK_BYTES);
            let length = length.ok_or(wrong(MAX_CHUNK_BYTES as u64))?;
            let before = seen.insert(digest, length);
            if let Some(other) = before.or_else(|| known_length(&digest)).filter(|other| *other != length) {
                return Err(wrong(other.into()));
            }
            if before.is_none() {
                distinct.push(ExpectedChunk { digest, length, is_encrypted: self.is_encrypted });
            }
        }
        Ok(distinct)
    }
}

/// Checks and stores a received chunk on a blocking thread; returns the digest under which it lies in the store.
pub(crate) type StoreJob =
    Arc<dyn Fn(&mut Bench, &ExpectedChunk, &Bytes) -> Result<Digest, ArchiveFailure> + Send + Sync>;

/// Whose chunks are fetched, and from where.
pub(crate) struct Fetching<'a, S: Source, T: Target> {
    pub(crate) run: &'a Arc<RunContext<S, T>>,
    pub(crate) index: NamespaceIndex,
    pub(crate) group: &'a Group,
    pub(crate) reader: &'a Arc<SnapshotReader<S>>,
    pub(crate) archive: &'a Archive<'a>,
}

impl<S: Source, T: Target> Fetching<'_, S, T> {
    /// Fetches all `missing` chunks and hands each to `store`; `stored` hears of every one that is stored, in any order.
    ///
    /// # Errors
    /// The first chunk that cannot be had or stored; chunks stored until then stay.
    ///
    /// # Cancel safety
    /// Dropping it stops all requests; jobs that have begun are finished.
    pub(crate) async fn all(
        &self,
        missing: Vec<ExpectedChunk>,
        store: StoreJob,
        stored: impl FnMut(&ExpectedChunk, Digest) + Send,
    ) -> Result<Received, ArchiveFailure> {
        let missing_bytes = missing.iter().map(|chunk| u64::from(chunk.length)).sum();
        let missing_chunks = missing.len() as u64;
        self.run.emit(self.index, self.group, GroupEvent::ArchivePlanned { missing_chunks, missing_bytes });
        if missing.is_empty() {
            return Ok(Received::default());
        }
        let (name, max_bytes) = (self.archive.name.clone(), self.archive.max_index_bytes);
        let is_small = self.archive.index.as_bytes().len() <= SMALL_INDEX_BYTES;
        let openings = if is_small { self.run.options.sessions_per_archive.max(1) } else { 1 };
        let readers = Arc::new(ChunkReaders::new(self.reader.clone(), name, max_bytes, openings));
        let openers = self.add_sessions(&readers, missing_bytes, missing_chunks);
        let received = self.fetch(&readers, missing, store, stored).await?;
        drop(openers);
        self.run.closing.spawn(async move { readers.close().await });
        Ok(received)
    }

    fn is_near(&self) -> bool {
        self.reader.fastest_answer() < NEAR_ANSWER
    }

    /// Keeps additional sessions open in the background, as many as the amount of data justifies and the run allows.
    fn add_sessions(&self, readers: &Arc<ChunkReaders<S>>, missing_bytes: u64, missing_chunks: u64) -> JoinSet<()> {
        let run = self.run;
        let wanted = (missing_bytes / BYTES_PER_SESSION).max(missing_chunks / CHUNKS_PER_SESSION);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(run.options.sessions_per_archive);
        let wanted = if self.is_near() { wanted.min(NEAR_SESSIONS) } else { wanted };
        let permits: Vec<_> = (1..wanted).map_while(|_| run.extra_sessions.clone().try_acquire_owned().ok()).collect();
        let mut openers = JoinSet::new();
        if !permits.is_empty() {
            let readers = readers.clone();
            openers.spawn(async move { readers.keep_first().await });
        }
        for permit in permits {
            let readers = readers.clone();
            openers.spawn(async move { readers.keep_one_more(permit).await });
        }
        openers
    }

    async fn fetch(
        &self,
        readers: &Arc<ChunkReaders<S>>,
        missing: Vec<ExpectedChunk>,
        store: StoreJob,
        mut stored: impl FnMut(&ExpectedChunk, Digest) + Send,
    ) -> Result<Received, ArchiveFailure> {
        let run = self.run;
        let mut tasks = JoinSet::new();
        let mut density = Density::default();
        let mut received = Received::default();
        let mut take = |density: &mut Density, done: Result<Result<_, ArchiveFailure>, _>| {
            let (chunk, digest, encoded_bytes): (ExpectedChunk, Digest, u64) =
                done.map_err(|_| ArchiveFailure::Crashed)??;
            stored(&chunk, digest);
            density.observe(chunk.length.into(), encoded_bytes);
            received.chunks += 1;
            received.bytes += encoded_bytes;
            let mut report = run.report();
            report.chunks += 1;
            report.bytes += encoded_bytes;
            drop(report);
            let event = GroupEvent::ChunkStored { encoded_bytes, plain_bytes: chunk.length.into() };
            run.emit(self.index, self.group, event);
            Ok::<u64, ArchiveFailure>(chunk.length.into())
        };
        let is_near = self.is_near();
        let few = run.pool.size() + NEAR_CHUNKS;
        let mut on_the_way = 0;
        let stop = CancellationToken::new();
        let result = async {
            for chunk in missing {
                let length = u64::from(chunk.length);
                while REQUESTS_PER_SESSION * readers.count() <= tasks.len()
                    || (is_near && few <= tasks.len() && NEAR_BYTES < on_the_way + length)
                {
                    if let Some(done) = tasks.join_next().await {
                        on_the_way -= take(&mut density, done)?;
                    }
                }
                let charge = density.charge_bytes(chunk.length).min(run.options.budget_bytes);
                let acquire = run.budget.acquire(charge);
                tokio::pin!(acquire);
                let permit = loop {
                    tokio::select! {
                        // In this order and not a random one, so that a run can be repeated exactly.
                        biased;
                        permit = &mut acquire => break permit.map_err(|_| ArchiveFailure::Crashed)?,
                        Some(done) = tasks.join_next() => on_the_way -= take(&mut density, done)?,
                    }
                };
                on_the_way += length;
                let (run, readers, store, stop) = (run.clone(), readers.clone(), store.clone(), stop.clone());
                tasks.spawn(async move {
                    let request = readers.chunk(&chunk.digest, chunk.max_encoded_bytes());
                    let encoded = stop.run_until_cancelled(request).await.ok_or(ArchiveFailure::Crashed)??;
                    let encoded_bytes = encoded.len() as u64;
                    let job = move |bench: &mut _| {
                        let digest = store(bench, &chunk, &encoded);
                        drop(permit);
                        digest
                    };
                    let digest = run.pool.run(job).await??;
                    Ok((chunk, digest, encoded_bytes))
                });
            }
            while let Some(done) = tasks.join_next().await {
                take(&mut density, done)?;
            }
            Ok(())
        }
        .await;
        if result.is_err() {
            // What was received is worth storing, also when nothing else comes.
            stop.cancel();
            while let Some(done) = tasks.join_next().await {
                let _ = take(&mut density, done);
            }
        }
        result.map(|()| received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_charged_with_what_it_will_likely_need() {
        const CHUNK: u32 = 4 << 20;
        let mut density = Density::default();
        assert_eq!(density.charge_bytes(CHUNK), CHUNK, "nothing is known yet");
        density.observe(CHUNK.into(), u64::from(CHUNK) / 2);
        assert_eq!(density.charge_bytes(CHUNK), CHUNK / 8 * 5);
        for _ in 0..100 {
            density.observe(CHUNK.into(), 1000);
        }
        assert_eq!(density.charge_bytes(CHUNK), CHUNK / 3, "however well it is compressed");
        for _ in 0..100 {
            density.observe(CHUNK.into(), u64::from(CHUNK) + 12);
        }
        assert_eq!(density.charge_bytes(CHUNK), CHUNK, "never more than the content");
        assert_eq!(density.charge_bytes(20), MIN_CHARGE_BYTES);
    }
}
