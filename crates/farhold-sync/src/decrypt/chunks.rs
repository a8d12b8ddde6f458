//! The chunks of one archive that is decrypted on the way: those whose unencrypted form is known, those to be fetched, and
//! the new index.
//!
//! Chunks come in any order; the new index is filled in the order of the old one when all are there, and never leaves
//! out an entry.
//!
//! Source: `docs/spec/sync.md` 9.2, C.1 FAULT 8, C.2 W2 and W3.

use std::sync::Arc;

use farhold_crypto::CryptConfig;
use farhold_format::blob;
use farhold_format::index::Index;
use farhold_types::{Digest, Epoch};
use tokio::time::Instant;

use super::Decryption;
use super::pairs::{PairNotes, Trust};
use crate::chunks::check_pool::{Bench, ExpectedChunk};
use crate::chunks::fetch::{Fetching, Received, StoreJob};
use crate::chunks::known::KnownChunks;
use crate::chunks::renamed::with_digests;
use crate::chunks::stored::{check_all, touch_all};
use crate::outcome::ArchiveFailure;
use crate::source::Source;
use crate::target::{ChunkStore, Target};

/// Missing chunks from which on they are noted: below, fetching them again is cheaper than the file.
const NOTES_MIN_CHUNKS: usize = 8;

/// An encrypted chunk whose unencrypted form may be in the store.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    chunk: ExpectedChunk,
    plain: Digest,
}

/// Makes the unencrypted form of every chunk of the archive present in the target's store, and an index of them.
///
/// `reusable`: the unencrypted chunks of the group's newest good snapshot; none if what is stored is not to be relied on.
///
/// # Errors
/// The first chunk that cannot be had or is wrong; chunks stored until then stay.
///
/// # Cancel safety
/// Dropping it stops all requests; chunks being stored are finished.
pub(super) async fn rewrite<S: Source, T: Target>(
    fetching: &Fetching<'_, S, T>,
    decryption: &mut Decryption,
    reusable: Option<&KnownChunks>,
    time: Epoch,
) -> Result<(Index, Received), ArchiveFailure> {
    let (run, begin) = (fetching.run, Instant::now());
    let phase = run.phases.begin();
    let (mut missing, settled, unproven) = classify(fetching, decryption, reusable)?;
    let plain = |candidate: &Candidate| candidate.plain;
    let (touched, lost) = touch_all(run, settled, plain).await?;
    let key = decryption.key.config.clone();
    let is_sound = move |bench: &mut Bench, candidate: &Candidate, encoded: &bytes::Bytes| {
        let (ExpectedChunk { digest, length, .. }, plain) = (candidate.chunk, candidate.plain);
        bench.decoder.decode_into(encoded, None, length as usize, &mut bench.plain).is_ok()
            && bench.plain.len() == length as usize
            && key.chunk_digests(&bench.plain) == (digest, plain)
    };
    let (proven, disproven) = check_all(run, unproven, |candidate| candidate.plain, is_sound).await?;
    for Candidate { chunk, plain } in touched.into_iter().chain(proven) {
        decryption.pairs.set_present(chunk.digest, plain, chunk.length);
    }
    missing.extend(lost.into_iter().chain(disproven).map(|candidate| candidate.chunk));
    let notes = if NOTES_MIN_CHUNKS <= missing.len() { open_notes(fetching, decryption).await? } else { None };
    let store = store_decrypted(run.chunks.clone(), decryption.key.config.clone(), notes);
    let pairs = &mut decryption.pairs;
    let stored = |chunk: &ExpectedChunk, plain| pairs.set_present(chunk.digest, plain, chunk.length);
    let mut received = fetching.all(missing, store, stored).await?;
    let index = fetching.archive.index.clone();
    let plain: Option<Vec<Digest>> = index.digests().map(|digest| decryption.pairs.use_for(time, &digest)).collect();
    let plain = plain.ok_or(ArchiveFailure::Crashed)?;
    let stamp = run.target.index_stamp();
    let index = run.pool.run(move |_| with_digests(&index, &plain, stamp)).await??;
    received.elapsed = begin.elapsed();
    drop(phase);
    Ok((index, received))
}

/// Splits the distinct chunks of an archive into those to be fetched, those whose unencrypted form is in the newest good
/// snapshot, and those whose unencrypted form must be looked at. Chunks seen in this run are in none.
#[expect(clippy::type_complexity, reason = "three lists that are taken apart at once")]
fn classify<S: Source, T: Target>(
    fetching: &Fetching<'_, S, T>,
    decryption: &Decryption,
    reusable: Option<&KnownChunks>,
) -> Result<(Vec<ExpectedChunk>, Vec<Candidate>, Vec<Candidate>), ArchiveFailure> {
    let pairs = &decryption.pairs;
    let (mut missing, mut settled, mut unproven) = (Vec::new(), Vec::new(), Vec::new());
    for chunk in fetching.archive.distinct_chunks(|digest| pairs.get(digest).map(|pair| pair.length))? {
        let Some(pair) = pairs.get(&chunk.digest) else {
            missing.push(chunk);
            continue;
        };
        let candidate = Candidate { chunk, plain: pair.plain };
        match pair.trust {
            Trust::Present => {}
            Trust::Settled if reusable.is_some_and(|known| known.get(&pair.plain).is_some()) => settled.push(candidate),
            Trust::Settled | Trust::Noted => unproven.push(candidate),
        }
    }
    Ok((missing, settled, unproven))
}

/// Opens the notes on pairs. Without them an interrupted pull begins anew, so a failure is only traced.
async fn open_notes<S: Source, T: Target>(
    fetching: &Fetching<'_, S, T>,
    decryption: &mut Decryption,
) -> Result<Option<Arc<PairNotes>>, ArchiveFailure> {
    let mut pairs = std::mem::take(&mut decryption.pairs);
    let job = move |_: &mut Bench| {
        let notes = pairs.notes();
        (pairs, notes)
    };
    let (pairs, notes) = fetching.run.pool.run(job).await?;
    decryption.pairs = pairs;
    Ok(notes.unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot keep notes on decrypted chunks");
        None
    }))
}

/// Returns the job of a decrypting pull: a chunk that passes its checks is stored without its encryption.
fn store_decrypted(store: Arc<dyn ChunkStore>, key: Arc<CryptConfig>, notes: Option<Arc<PairNotes>>) -> StoreJob {
    Arc::new(move |bench, chunk, encoded| {
        let ExpectedChunk { digest, length, .. } = *chunk;
        let (plain_digest, decrypted) = decrypt_chunk(bench, chunk, &key, encoded)?;
        // What the chunk becomes was checked above, so a damaged file in its place makes room.
        store.insert_or_repair(&plain_digest, &decrypted, &mut |stored| bench.is_plain_chunk(stored, &plain_digest))?;
        if let Some(Err(error)) = notes.as_ref().map(|notes| notes.add(&digest, &plain_digest, length)) {
            tracing::warn!(%error, "cannot note a decrypted chunk");
        }
        Ok(plain_digest)
    })
}

/// Returns the unencrypted form of an encrypted chunk, and its digest.
///
/// # Errors
/// It is not encrypted, or not the chunk that the index names: CRC, authentication tag, length and keyed digest are
/// checked.
pub(crate) fn decrypt_chunk(
    bench: &mut Bench,
    chunk: &ExpectedChunk,
    key: &CryptConfig,
    encoded: &[u8],
) -> Result<(Digest, Vec<u8>), ArchiveFailure> {
    let ExpectedChunk { digest, length, .. } = *chunk;
    let undecodable = |source| ArchiveFailure::Chunk { digest, source };
    if !blob::kind(encoded).map_err(undecodable)?.is_encrypted() {
        return Err(ArchiveFailure::ChunkMode { digest, is_encrypted: false });
    }
    let Bench { decoder, encoder, plain } = bench;
    let decrypted = decoder.decrypt_into(encoded, key, length as usize, plain, encoder).map_err(undecodable)?;
    if plain.len() != length as usize {
        let found = plain.len() as u64;
        return Err(ArchiveFailure::ChunkLength { digest, expected: length.into(), found });
    }
    let (keyed, plain_digest) = key.chunk_digests(plain);
    if keyed != digest {
        return Err(ArchiveFailure::ChunkDigest { digest });
    }
    Ok((plain_digest, decrypted))
}
