//! One index of a snapshot: its chunks, its entries, and its end.
//!
//! Chunks are read and checked ahead of the network, as far as the byte budget allows, and many uploads are on their way
//! at once. Entries follow in the order of the index: the target accepts an entry only after it confirmed the chunk. A
//! dynamic index has one append on its way, since order counts; a fixed one several.
//!
//! Source: `docs/spec/sync.md` 10.4 step 6, C.2 W5 and W43; `docs/spec/wire-protocol.md` 7.1.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use farhold_crypto::Sha256;
use farhold_format::index::Index;
use farhold_format::manifest::ManifestFile;
use farhold_types::{ArchiveKind, CryptMode, Digest};
use futures::stream::{self, FuturesUnordered, StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use crate::chunks::check_pool::ExpectedChunk;
use crate::event::GroupEvent;
use crate::outcome::ArchiveFailure;
use crate::push::context::GroupEvents;
use crate::push::known::{Claim, arrival};
use crate::push::sender::Sender;
use crate::push::steps::{Step, Steps, entry, steps};
use crate::push::target::{PushSession, PushTarget};
use crate::source::{Source, SourceSnapshot};

/// Steps of one index that are at work at once. Twice the uploads, so that chunks are ready when one is through.
const STEPS_AT_ONCE: usize = 128;

/// Entries that are kept until an append pays. The reference sends as many at once.
const MIN_APPENDED: usize = 64;

/// Appends of a fixed index that are on their way at once: over 80 ms with 700 entries each, 140 GiB of image a second.
const APPENDS_AT_ONCE: usize = 4;

/// Parts of the result of steps that wait for being appended. Each is at most a thousand entries of 48 bytes.
const WAITING_PARTS: usize = 16;

/// A part of an index, in its order.
struct Part {
    entries: Vec<Entry>,
    /// The new index has them already.
    is_kept: bool,
}

struct Entry {
    /// On the target.
    digest: Digest,
    start: u64,
    end: u64,
}

/// What became of an index.
pub(crate) struct SentIndex {
    /// Checksum on the target.
    pub(crate) checksum: Digest,
    /// Encoded bytes that were uploaded for it.
    pub(crate) bytes: u64,
}

/// An index that is being sent.
pub(crate) struct Archive<'a, S: Source, T: PushTarget> {
    pub(crate) sender: &'a Sender<'a, S, T>,
    pub(crate) file: &'a ManifestFile,
    pub(crate) index: &'a Index,
    pub(crate) writer: <T::Session as PushSession>::Writer,
    /// The previous index whose entries the new one starts with.
    pub(crate) reused: Option<&'a Index>,
    pub(crate) events: &'a GroupEvents,
    pub(crate) uploaded_bytes: AtomicU64,
}

impl<S: Source, T: PushTarget> Archive<'_, S, T> {
    /// Sends the chunks that the target lacks and all entries, and ends the index.
    ///
    /// # Errors
    /// The first chunk that cannot be read or is wrong, and every failure of the target.
    ///
    /// # Cancel safety
    /// Dropping it stops all requests; the session cannot be used any more.
    pub(crate) async fn send(&self) -> Result<SentIndex, ArchiveFailure> {
        let phase = self.sender.run.phases.begin();
        let Steps { steps, sent_chunks, sent_bytes } = {
            let digests = self.sender.digests();
            steps(self.index, self.reused, |d| digests.get(d), |d| self.sender.chunks.is_known(d))
        };
        self.events.emit(GroupEvent::ArchivePlanned { missing_chunks: sent_chunks, missing_bytes: sent_bytes });
        let (parts, waiting) = mpsc::channel(WAITING_PARTS);
        let produced = async {
            // Owned by this future, so that it is dropped, and the other side ends, when this one does.
            let parts = parts;
            let mut results = stream::iter(steps).map(|step| self.step(step)).buffered(STEPS_AT_ONCE);
            while let Some(step) = results.try_next().await? {
                let part = match step {
                    Done::Sent(entry) => Part { entries: vec![entry], is_kept: false },
                    // What an earlier step had to read is named by now.
                    Done::Named { range, is_kept } => Part { entries: self.named(range)?, is_kept },
                };
                if parts.send(part).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let (_, (appended, checksum)) = futures::try_join!(produced, self.append(waiting))?;
        let session = &self.sender.session;
        session.close_writer(&self.writer, appended, self.index.size_bytes(), &checksum).await?;
        drop(phase);
        Ok(SentIndex { checksum, bytes: self.uploaded_bytes.load(Ordering::Relaxed) })
    }

    async fn step(&self, step: Step) -> Result<Done, ArchiveFailure> {
        match step {
            Step::Keep(range) => Ok(Done::Named { range, is_kept: true }),
            Step::Append(range) => Ok(Done::Named { range, is_kept: false }),
            Step::Send(position) => Ok(Done::Sent(self.send_chunk(position).await?)),
        }
    }

    fn named(&self, range: Range<usize>) -> Result<Vec<Entry>, ArchiveFailure> {
        let digests = self.sender.digests();
        let named = range.map(|position| {
            let chunk = entry(self.index, position);
            let digest = digests.get(&chunk.digest).ok_or(ArchiveFailure::Crashed)?;
            Ok(Entry { digest, start: chunk.start, end: chunk.end })
        });
        named.collect()
    }

    /// Reads and checks the chunk of an entry, and uploads it unless the target has it.
    async fn send_chunk(&self, position: usize) -> Result<Entry, ArchiveFailure> {
        let (sender, run) = (self.sender, self.sender.run);
        let chunk = entry(self.index, position);
        let too_long = |_| ArchiveFailure::ChunkLength {
            digest: chunk.digest,
            expected: farhold_format::blob::MAX_CHUNK_BYTES as u64,
            found: chunk.size_bytes(),
        };
        let length = u32::try_from(chunk.size_bytes()).map_err(too_long)?;
        let is_encrypted = self.file.crypt_mode == CryptMode::Encrypt;
        let expected = ExpectedChunk { digest: chunk.digest, length, is_encrypted };
        let charge = run.budget.acquire(length.min(sender.most_permits())).await;
        let mut charge = charge.map_err(|_| ArchiveFailure::Crashed)?;
        let stored = sender.reader.chunk(&chunk.digest, expected.max_encoded_bytes()).await?;
        let (form, chunks) = (sender.form.clone(), sender.chunks.clone());
        let prepared = run.pool.run(move |bench| form.prepare(bench, &expected, &stored, |d| chunks.is_known(d)));
        let sent = prepared.await??;
        sender.digests().set(chunk.digest, sent.digest, length);
        let entry = Entry { digest: sent.digest, start: chunk.start, end: chunk.end };
        let Some(encoded) = sent.upload else { return Ok(entry) };
        // What compression spared is room for others.
        charge.shrink_to(encoded.len());
        let upload = loop {
            match sender.chunks.claim(sent.digest) {
                Claim::Known => return Ok(entry),
                Claim::Coming(coming) => arrival(coming).await,
                Claim::Mine(upload) => break upload,
            }
        };
        let _turn = sender.uploads.acquire().await.map_err(|_| ArchiveFailure::Crashed)?;
        let encoded_bytes = encoded.len() as u64;
        sender.session.upload_chunk(&self.writer, &sent.digest, sent.plain_bytes, encoded).await?;
        upload.done();
        run.count_chunk(encoded_bytes);
        self.uploaded_bytes.fetch_add(encoded_bytes, Ordering::Relaxed);
        self.events.emit(GroupEvent::ChunkStored { encoded_bytes, plain_bytes: sent.plain_bytes });
        Ok(entry)
    }

    /// Appends what comes, in order. Returns how many entries were appended, and the checksum of the whole index.
    async fn append(&self, mut parts: mpsc::Receiver<Part>) -> Result<(u64, Digest), ArchiveFailure> {
        let session = &self.sender.session;
        let kind = self.file.name.kind();
        let limit = session.append_limit().max(1);
        let at_once = if kind == ArchiveKind::FixedIndex { APPENDS_AT_ONCE } else { 1 };
        let mut hasher = Sha256::new();
        let mut waiting: VecDeque<(Digest, u64)> = VecDeque::new();
        let mut on_their_way = FuturesUnordered::new();
        let (mut appended, mut is_open) = (0_u64, true);
        loop {
            let is_worth_it = match waiting.len() {
                0 => false,
                count if !is_open || limit <= count => true,
                // More that is ready goes along.
                count => MIN_APPENDED.min(limit) <= count && parts.is_empty(),
            };
            if is_worth_it && on_their_way.len() < at_once {
                let count = waiting.len().min(limit);
                let entries: Vec<_> = waiting.drain(..count).collect();
                appended += count as u64;
                on_their_way.push(async move { session.append(&self.writer, &entries).await });
                continue;
            }
            if !is_open && waiting.is_empty() && on_their_way.is_empty() {
                return Ok((appended, hasher.finish()));
            }
            tokio::select! {
                biased;
                Some(result) = on_their_way.next() => result?,
                part = parts.recv(), if is_open && waiting.len() < 2 * limit => match part {
                    None => is_open = false,
                    Some(Part { entries, is_kept }) => for entry in entries {
                        if kind == ArchiveKind::DynamicIndex {
                            hasher.update(&entry.end.to_le_bytes());
                        }
                        hasher.update(entry.digest.as_bytes());
                        if !is_kept {
                            waiting.push_back((entry.digest, entry.start));
                        }
                    },
                },
            }
        }
    }
}

/// What a step led to.
enum Done {
    Sent(Entry),
    Named { range: Range<usize>, is_kept: bool },
}
