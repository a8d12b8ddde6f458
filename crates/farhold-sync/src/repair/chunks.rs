//! Chunks of a snapshot of the source: which of them are wanted, fetching, proving and storing them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use farhold_datastore::{Datastore, ErrorKind, Inserted};
use farhold_format::index::Index;
use farhold_format::manifest::ManifestFile;
use farhold_types::{ArchiveKind, ArchiveName, CryptMode, Digest};
use futures::StreamExt;
use futures::stream;
use tokio::sync::Mutex;

use crate::ahead::prepare::max_file_bytes;
use crate::chunks::check_pool::{Bench, ExpectedChunk};
use crate::fault::RequestFault;
use crate::outcome::{ArchiveFailure, chain};
use crate::readers::SnapshotReader;
use crate::repair::form::{Form, Piece, fresh_iv};
use crate::repair::run::{Copy, Run, Wanted};
use crate::repair::{RepairError, RepairEvent};
use crate::source::{Source, SourceSnapshot};

/// Chunks of one index that are fetched at once: enough to hide round trips, at most 128 MiB of memory.
pub(super) const CHUNKS_AT_ONCE: usize = 8;

/// Why a chunk was not put in place.
pub(super) enum NotPut {
    /// It did not come, or is bad.
    Bad(String),
    /// There is no space for it.
    NoSpace(String),
}

impl NotPut {
    pub(super) fn why(&self) -> &str {
        match self {
            Self::Bad(why) | Self::NoSpace(why) => why,
        }
    }
}

/// A chunk that was put in place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Put {
    /// Its digest in the store.
    pub(super) digest: Digest,
    /// Its encoded length.
    pub(super) bytes: u64,
    /// Whether it was missing or bad.
    pub(super) is_new: bool,
}

/// Parses an index and checks that it is the one that the manifest lists.
pub(super) fn checked_index(file: &ManifestFile, content: Bytes) -> Result<Index, String> {
    let index = Index::parse(file.name.kind(), content).map_err(|error| chain(&error))?;
    if (index.size_bytes(), index.checksum()) != (file.size_bytes, file.checksum) {
        return Err("it is not the index that the manifest lists".to_owned());
    }
    Ok(index)
}

/// Returns the wanted chunks that an index lists with the same length and kind.
fn pieces_listed(file: &ManifestFile, index: &Index, wanted: &Wanted) -> Vec<Piece> {
    let is_encrypted = file.crypt_mode == CryptMode::Encrypt;
    let mut seen = BTreeSet::new();
    let mut pieces = Vec::new();
    for chunk in index.chunks() {
        let Some(expected) = wanted.get(&chunk.digest) else { continue };
        let is_same = u64::from(expected.length) == chunk.size_bytes() && expected.is_encrypted == is_encrypted;
        if is_same && seen.insert(chunk.digest) {
            pieces.push(Piece::same(*expected));
        }
    }
    pieces
}

impl<S: Source> Run<S> {
    /// Takes those of the wanted chunks that an open snapshot of the source has. What is stored is wanted no more.
    pub(super) async fn take_chunks(&mut self, copy: &Copy<S>, wanted: &mut Wanted) -> Result<(), RepairError> {
        for file in copy.manifest.files.iter().filter(|file| file.name.kind() != ArchiveKind::Blob) {
            if wanted.is_empty() || self.is_full {
                break;
            }
            let index = match self.index_of(copy, file).await? {
                Ok(index) => index,
                Err(why) => {
                    self.events.event(&RepairEvent::FilesRefused { why: &why });
                    continue;
                }
            };
            let pieces = pieces_listed(file, &index, wanted);
            if !pieces.is_empty() {
                self.take_pieces(copy, file, &Form::Same, pieces, wanted).await?;
            }
        }
        Ok(())
    }

    /// Returns an index of the source that is the one its manifest lists. The inner error says why there is none.
    pub(super) async fn index_of(
        &self,
        copy: &Copy<S>,
        file: &ManifestFile,
    ) -> Result<Result<Index, String>, RepairError> {
        let name = &file.name;
        let content = match self.unless_cancelled(copy.reader.file(name, max_file_bytes(file))).await? {
            Ok(content) => content,
            Err(error) => return Ok(Err(format!("the source's '{name}' cannot be had: {}", chain(&error)))),
        };
        let checked = file.clone();
        let index = self.pool.run(move |_| checked_index(&checked, content)).await.map_err(|_| RepairError::Crashed)?;
        Ok(index.map_err(|why| format!("the source's '{name}' is damaged: {why}")))
    }

    /// Fetches chunks of one index, proves them and puts them in place. What is stored is wanted no more.
    pub(super) async fn take_pieces(
        &mut self,
        copy: &Copy<S>,
        file: &ManifestFile,
        form: &Form,
        pieces: Vec<Piece>,
        wanted: &mut Wanted,
    ) -> Result<(), RepairError> {
        let (mut chunks, mut bytes) = (0, 0);
        if self.options.is_dry {
            chunks = pieces.len() as u64;
            for piece in pieces {
                wanted.remove(&piece.here.digest);
                self.placed.insert(piece.here.digest);
            }
        } else {
            let (reader, max_bytes) = (&copy.reader, max_file_bytes(file));
            let (mut placed, mut is_full) = (Vec::new(), false);
            let this = &*self;
            let mut fetched = stream::iter(pieces)
                .map(|piece| async move {
                    let outcome = this.take_chunk(reader, (&file.name, max_bytes), form, piece.there, Some(piece.here));
                    (piece.here.digest, outcome.await)
                })
                .buffer_unordered(CHUNKS_AT_ONCE);
            while let Some((digest, outcome)) = self.unless_cancelled(fetched.next()).await? {
                match outcome {
                    Ok(put) => {
                        chunks += 1;
                        bytes += put.bytes;
                        wanted.remove(&digest);
                        placed.push(digest);
                        self.verifier.forget(&digest);
                    }
                    Err(not_put) => {
                        self.events.event(&RepairEvent::ChunkFailed { digest, why: not_put.why() });
                        // Fetching the others would only move data that nothing can keep.
                        if matches!(not_put, NotPut::NoSpace(_)) {
                            is_full = true;
                            break;
                        }
                    }
                }
            }
            drop(fetched);
            self.placed.extend(placed);
            self.is_full |= is_full;
        }
        self.report.chunks += chunks;
        self.report.chunk_bytes += bytes;
        let (snapshot, archive) = (&copy.snapshot, &file.name);
        self.events.event(&RepairEvent::Chunks { snapshot, archive, chunks, bytes });
        Ok(())
    }

    /// Fetches a chunk, proves it and puts it in place of the bad one.
    ///
    /// `here`: what it must be in the store; none if that is not known, then it goes where it belongs.
    pub(super) async fn take_chunk(
        &self,
        reader: &Arc<SnapshotReader<S>>,
        (archive, max_index_bytes): (&ArchiveName, u64),
        form: &Form,
        there: ExpectedChunk,
        here: Option<ExpectedChunk>,
    ) -> Result<Put, NotPut> {
        let begun = Mutex::new(BytesMut::new());
        let came_in_parts = AtomicBool::new(false);
        let fetch = || async {
            let session = reader.session_for(archive, max_index_bytes).await?;
            let mut begun = begun.lock().await;
            came_in_parts.fetch_or(!begun.is_empty(), Ordering::Relaxed);
            let outcome = session.resume_chunk(&there.digest, there.max_encoded_bytes(), &mut begun).await;
            drop(begun);
            if outcome.as_ref().is_err_and(|error| error.fault == RequestFault::ConnectionLost) {
                reader.forget(&session).await;
            }
            outcome
        };
        let bad = |error: &dyn std::error::Error| NotPut::Bad(chain(error));
        let encoded = reader.retry().run(fetch).await.map_err(|error| bad(&error))?;
        match self.put_chunk(form, there, here, encoded).await {
            // Its parts may be those of different files. The second time it comes as a whole, or is bad.
            Err(NotPut::Bad(_)) if came_in_parts.swap(false, Ordering::Relaxed) => {
                begun.lock().await.clear();
                let encoded = reader.retry().run(fetch).await.map_err(|error| bad(&error))?;
                self.put_chunk(form, there, here, encoded).await
            }
            outcome => outcome,
        }
    }

    async fn put_chunk(
        &self,
        form: &Form,
        there: ExpectedChunk,
        here: Option<ExpectedChunk>,
        encoded: Bytes,
    ) -> Result<Put, NotPut> {
        let (store, form) = (self.store.clone(), form.clone());
        let stored = self.pool.run(move |bench| put(&store, bench, &form, &there, here.as_ref(), &encoded));
        stored.await.map_err(|error| NotPut::Bad(chain(&error)))?
    }
}

/// Proves a chunk that came, and puts it in place in the store's form. Blocking.
fn put(
    store: &Datastore,
    bench: &mut Bench,
    form: &Form,
    there: &ExpectedChunk,
    here: Option<&ExpectedChunk>,
    encoded: &Bytes,
) -> Result<Put, NotPut> {
    let bad = |error: ArchiveFailure| NotPut::Bad(format!("what came is bad: {}", chain(&error)));
    let (digest, encoded) = form.chunk(bench, there, encoded, fresh_iv(store.randomness())).map_err(bad)?;
    if here.is_some_and(|here| here.digest != digest) {
        return Err(bad(ArchiveFailure::ChunkDigest { digest: there.digest }));
    }
    let is_encrypted = matches!((form, there.is_encrypted), (Form::Same, true) | (Form::Encrypted(_), _));
    let chunk = ExpectedChunk { digest, length: there.length, is_encrypted };
    let mut is_sound = |stored: &Bytes| chunk.is_sound_in_store(bench, stored);
    match store.replace_damaged_chunk(&digest, &encoded, &mut is_sound) {
        Ok(inserted) => Ok(Put { digest, bytes: encoded.len() as u64, is_new: inserted == Inserted::New }),
        Err(error) if error.kind() == ErrorKind::NoSpace => Err(NotPut::NoSpace(chain(&error))),
        Err(error) => Err(NotPut::Bad(chain(&error))),
    }
}
