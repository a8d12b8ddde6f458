//! Chunks of a snapshot of the source: which of them are wanted, fetching, proving and storing them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use farhold_format::index::Index;
use farhold_format::manifest::ManifestFile;
use farhold_types::{ArchiveKind, ArchiveName, CryptMode};
use futures::StreamExt;
use futures::stream;
use tokio::sync::Mutex;

use crate::ahead::prepare::max_file_bytes;
use crate::chunks::check_pool::ExpectedChunk;
use crate::fault::RequestFault;
use crate::outcome::chain;
use crate::readers::SnapshotReader;
use crate::repair::run::{Copy, Run, Wanted};
use crate::repair::{RepairError, RepairEvent};
use crate::source::{Source, SourceSnapshot};

/// Chunks of one index that are fetched at once: enough to hide round trips, at most 128 MiB of memory.
const CHUNKS_AT_ONCE: usize = 8;

/// Parses an index and checks that it is the one that the manifest lists.
pub(super) fn checked_index(file: &ManifestFile, content: Bytes) -> Result<Index, String> {
    let index = Index::parse(file.name.kind(), content).map_err(|error| chain(&error))?;
    if (index.size_bytes(), index.checksum()) != (file.size_bytes, file.checksum) {
        return Err("it is not the index that the manifest lists".to_owned());
    }
    Ok(index)
}

impl<S: Source> Run<S> {
    /// Takes those of the wanted chunks that an open snapshot of the source has. What is stored is wanted no more.
    pub(super) async fn take_chunks(&mut self, copy: &Copy<S>, wanted: &mut Wanted) -> Result<(), RepairError> {
        for file in copy.manifest.files.iter().filter(|file| file.name.kind() != ArchiveKind::Blob) {
            if wanted.is_empty() {
                break;
            }
            let content = match self.unless_cancelled(copy.reader.file(&file.name, max_file_bytes(file))).await? {
                Ok(content) => content,
                Err(error) => {
                    let why = format!("the source's '{}' cannot be had: {}", file.name, chain(&error));
                    self.events.event(&RepairEvent::FilesRefused { why: &why });
                    continue;
                }
            };
            let here = match self.listed_here(file, content, wanted).await? {
                Ok(here) => here,
                Err(why) => {
                    let why = format!("the source's '{}' is damaged: {why}", file.name);
                    self.events.event(&RepairEvent::FilesRefused { why: &why });
                    continue;
                }
            };
            if !here.is_empty() {
                self.take_from_index(copy, file, here, wanted).await?;
            }
        }
        Ok(())
    }

    /// Returns the wanted chunks that an index lists with the same length and kind.
    async fn listed_here(
        &self,
        file: &ManifestFile,
        content: Bytes,
        wanted: &Wanted,
    ) -> Result<Result<Vec<ExpectedChunk>, String>, RepairError> {
        let checked = file.clone();
        let index = self.pool.run(move |_| checked_index(&checked, content)).await.map_err(|_| RepairError::Crashed)?;
        let index = match index {
            Ok(index) => index,
            Err(why) => return Ok(Err(why)),
        };
        let is_encrypted = file.crypt_mode == CryptMode::Encrypt;
        let mut seen = BTreeSet::new();
        let mut here = Vec::new();
        for chunk in index.chunks() {
            let Some(expected) = wanted.get(&chunk.digest) else { continue };
            let is_same = u64::from(expected.length) == chunk.size_bytes() && expected.is_encrypted == is_encrypted;
            if is_same && seen.insert(chunk.digest) {
                here.push(*expected);
            }
        }
        Ok(Ok(here))
    }

    async fn take_from_index(
        &mut self,
        copy: &Copy<S>,
        file: &ManifestFile,
        here: Vec<ExpectedChunk>,
        wanted: &mut Wanted,
    ) -> Result<(), RepairError> {
        let (mut chunks, mut bytes) = (0, 0);
        if self.options.is_dry {
            chunks = here.len() as u64;
            for chunk in here {
                wanted.remove(&chunk.digest);
            }
        } else {
            let (reader, max_bytes) = (&copy.reader, max_file_bytes(file));
            let this = &*self;
            let mut fetched = stream::iter(here)
                .map(|chunk| async move { (chunk.digest, this.take_chunk(reader, &file.name, max_bytes, chunk).await) })
                .buffer_unordered(CHUNKS_AT_ONCE);
            while let Some((digest, outcome)) = self.unless_cancelled(fetched.next()).await? {
                match outcome {
                    Ok(encoded_bytes) => {
                        chunks += 1;
                        bytes += encoded_bytes;
                        wanted.remove(&digest);
                        self.verifier.forget(&digest);
                    }
                    Err(why) => self.events.event(&RepairEvent::ChunkFailed { digest, why: &why }),
                }
            }
        }
        self.report.chunks += chunks;
        self.report.chunk_bytes += bytes;
        let (snapshot, archive) = (&copy.snapshot, &file.name);
        self.events.event(&RepairEvent::Chunks { snapshot, archive, chunks, bytes });
        Ok(())
    }

    /// Fetches a chunk, proves it and puts it in place of the bad one. Returns its encoded length.
    async fn take_chunk(
        &self,
        reader: &Arc<SnapshotReader<S>>,
        archive: &ArchiveName,
        max_index_bytes: u64,
        chunk: ExpectedChunk,
    ) -> Result<u64, String> {
        let begun = Mutex::new(BytesMut::new());
        let came_in_parts = AtomicBool::new(false);
        let fetch = || async {
            let session = reader.session_for(archive, max_index_bytes).await?;
            let mut begun = begun.lock().await;
            came_in_parts.fetch_or(!begun.is_empty(), Ordering::Relaxed);
            let outcome = session.resume_chunk(&chunk.digest, chunk.max_encoded_bytes(), &mut begun).await;
            drop(begun);
            if outcome.as_ref().is_err_and(|error| error.fault == RequestFault::ConnectionLost) {
                reader.forget(&session).await;
            }
            outcome
        };
        let encoded = reader.retry().run(fetch).await.map_err(|error| chain(&error))?;
        match self.put_chunk(chunk, encoded).await {
            // Its parts may be those of different files. The second time it comes as a whole, or is bad.
            Err(_) if came_in_parts.swap(false, Ordering::Relaxed) => {
                begun.lock().await.clear();
                let encoded = reader.retry().run(fetch).await.map_err(|error| chain(&error))?;
                self.put_chunk(chunk, encoded).await
            }
            outcome => outcome,
        }
    }

    async fn put_chunk(&self, chunk: ExpectedChunk, encoded: Bytes) -> Result<u64, String> {
        let store = self.store.clone();
        let stored = self.pool.run(move |bench| {
            chunk.check(bench, &encoded).map_err(|error| format!("what came is bad: {}", chain(&error)))?;
            let mut is_sound = |stored: &Bytes| chunk.is_sound_in_store(bench, stored);
            let outcome = store.replace_damaged_chunk(&chunk.digest, &encoded, &mut is_sound);
            outcome.map(|_| encoded.len() as u64).map_err(|error| chain(&error))
        });
        stored.await.map_err(|error| chain(&error))?
    }
}
