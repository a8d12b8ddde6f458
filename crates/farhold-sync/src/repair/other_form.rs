//! Mending from a copy that was encrypted or decrypted on its way, with its key.
//!
//! Such a copy has the same content at the same positions under other digests. Nothing that the source says about that
//! needs to be believed: a chunk that came is decrypted or encrypted, and must have the digest that the index of the store
//! names; an index that was made anew must have the checksum and size of the store's manifest, and so must a decrypted
//! blob. Where the positions do not fit each other, the proof fails and nothing changes.
//!
//! What cannot be made again: a blob that is encrypted in the store, since each encryption of it differs, and a manifest.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_format::index::Index;
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_types::{ArchiveKind, CryptMode, Digest, Namespace, Snapshot};
use futures::{StreamExt, stream};

use crate::ahead::prepare::max_file_bytes;
use crate::chunks::check_pool::ExpectedChunk;
use crate::chunks::renamed::with_digests;
use crate::outcome::chain;
use crate::repair::chunks::{CHUNKS_AT_ONCE, NotPut};
use crate::repair::form::{Form, Piece};
use crate::repair::run::{Copy, Run, Wanted, blocking};
use crate::repair::{RepairError, RepairEvent};
use crate::source::Source;
use crate::target::IndexStamp;

/// Returns what the source has at the positions at which a wanted chunk stands in the store's index. Pure.
fn at_same_places(here: &Index, there: &Index, is_encrypted_there: bool, wanted: &Wanted) -> Vec<Piece> {
    let (mut seen, mut pieces) = (BTreeSet::new(), Vec::new());
    for (of_store, of_source) in here.chunks().zip(there.chunks()) {
        let Some(expected) = wanted.get(&of_store.digest) else { continue };
        let is_there = (of_store.end, of_store.size_bytes()) == (of_source.end, of_source.size_bytes());
        if is_there && u64::from(expected.length) == of_source.size_bytes() && seen.insert(expected.digest) {
            let there =
                ExpectedChunk { digest: of_source.digest, length: expected.length, is_encrypted: is_encrypted_there };
            pieces.push(Piece { there, here: *expected });
        }
    }
    pieces
}

impl<S: Source> Run<S> {
    /// Takes those of the wanted chunks that the source's copy of the same snapshot has in another form. Returns why that
    /// was not possible for some, for people.
    pub(super) async fn take_in_other_form(
        &mut self,
        ns: &Namespace,
        snapshot: &Snapshot,
        copy: &Copy<S>,
        wanted: &mut Wanted,
    ) -> Result<Vec<String>, RepairError> {
        let mut refused = Vec::new();
        let (store, its_ns, its_snapshot) = (self.store.clone(), ns.clone(), snapshot.clone());
        let Ok((local, _)) = blocking(move || store.read_manifest(&its_ns, &its_snapshot)).await? else {
            return Ok(refused);
        };
        for file in copy.manifest.files.iter().filter(|file| file.name.kind() != ArchiveKind::Blob) {
            let Some(here) = local.file(&file.name) else { continue };
            let is_encrypted = file.crypt_mode == CryptMode::Encrypt;
            if wanted.is_empty() || self.is_full || (here.crypt_mode == CryptMode::Encrypt) == is_encrypted {
                continue;
            }
            let (store, ns, snapshot, name) = (self.store.clone(), ns.clone(), snapshot.clone(), file.name.clone());
            let Ok(index) = blocking(move || store.open_index(&ns, &snapshot, &name)).await? else { continue };
            if !index.digests().any(|digest| wanted.contains_key(&digest)) {
                continue;
            }
            let form = match Form::between((here, &local), (file, &copy.manifest), &self.options.keys) {
                Ok(form) => form,
                Err(why) => {
                    refused.push(why);
                    continue;
                }
            };
            match self.index_of(copy, file).await? {
                Ok(there) => {
                    let pieces = at_same_places(&index, &there, is_encrypted, wanted);
                    if !pieces.is_empty() {
                        self.take_pieces(copy, file, &form, pieces, wanted).await?;
                    }
                }
                Err(why) => refused.push(why),
            }
        }
        for why in &refused {
            self.events.event(&RepairEvent::FilesRefused { why });
        }
        Ok(refused)
    }

    /// Makes a damaged file of the store anew from the source's copy in another form, and proves it by the store's
    /// manifest. With a dry run it is only looked whether the source has it.
    pub(super) async fn file_in_other_form(
        &mut self,
        copy: &Copy<S>,
        local: &Manifest,
        here: &ManifestFile,
    ) -> Result<Result<Bytes, String>, RepairError> {
        let Some(there) = copy.manifest.file(&here.name).cloned() else {
            return Ok(Err("the source's copy has no such file".to_owned()));
        };
        let form = match Form::between((here, local), (&there, &copy.manifest), &self.options.keys) {
            Ok(form) => form,
            Err(why) => return Ok(Err(why)),
        };
        let made = match here.name.kind() {
            ArchiveKind::Blob => match self.proved_file(copy, &there).await? {
                Ok(content) => {
                    let made = self.pool.run(move |bench| form.blob(bench, content)).await;
                    made.map_err(|_| RepairError::Crashed)?
                }
                Err(why) => Err(why),
            },
            _ => self.index_in_other_form(copy, &there, here, &form).await?,
        };
        let differs = "what was made of the source's copy is not the file that the manifest here lists";
        let is_proved = |content: &Bytes| match here.name.kind() {
            ArchiveKind::Blob => (content.len() as u64, sha256(content)) == (here.size_bytes, here.checksum),
            kind => Index::parse(kind, content.clone())
                .is_ok_and(|index| (index.size_bytes(), index.checksum()) == (here.size_bytes, here.checksum)),
        };
        let is_index = here.name.kind() != ArchiveKind::Blob;
        let needs_no_proof = self.options.is_dry && is_index;
        Ok(made.and_then(
            |content| {
                if needs_no_proof || is_proved(&content) { Ok(content) } else { Err(differs.to_owned()) }
            },
        ))
    }

    /// Makes an index of the store from the source's. All its chunks come, since only their content tells their digests
    /// here; those that the store lacks are put in place on the way, as a collection may have removed them.
    async fn index_in_other_form(
        &mut self,
        copy: &Copy<S>,
        there: &ManifestFile,
        here: &ManifestFile,
        form: &Form,
    ) -> Result<Result<Bytes, String>, RepairError> {
        let index = match self.index_of(copy, there).await? {
            Ok(index) if index.size_bytes() == here.size_bytes => index,
            Ok(_) => return Ok(Err("the source's index is of another length".to_owned())),
            Err(why) => return Ok(Err(why)),
        };
        let is_encrypted = there.crypt_mode == CryptMode::Encrypt;
        let mut chunks = BTreeMap::new();
        for chunk in index.chunks() {
            let Ok(length) = u32::try_from(chunk.size_bytes()) else {
                return Ok(Err("the source's index names a chunk that is too long".to_owned()));
            };
            chunks.insert(chunk.digest, ExpectedChunk { digest: chunk.digest, length, is_encrypted });
        }
        if self.options.is_dry {
            return Ok(Ok(Bytes::new()));
        }
        let mut names: BTreeMap<Digest, Digest> = BTreeMap::new();
        let (mut placed, mut bytes, mut failure) = (Vec::new(), 0, None);
        {
            let (this, reader, place) = (&*self, &copy.reader, (&there.name, max_file_bytes(there)));
            let mut fetched = stream::iter(chunks.into_values())
                .map(|chunk| async move { (chunk.digest, this.take_chunk(reader, place, form, chunk, None).await) })
                .buffer_unordered(CHUNKS_AT_ONCE);
            while let Some((digest, outcome)) = this.unless_cancelled(fetched.next()).await? {
                match outcome {
                    Ok(put) => {
                        names.insert(digest, put.digest);
                        if put.is_new {
                            bytes += put.bytes;
                            placed.push(put.digest);
                            this.verifier.forget(&put.digest);
                        }
                    }
                    Err(not_put) => {
                        this.events.event(&RepairEvent::ChunkFailed { digest, why: not_put.why() });
                        failure = Some(not_put);
                        break;
                    }
                }
            }
        }
        let (snapshot, archive, count) = (&copy.snapshot, &there.name, placed.len() as u64);
        self.events.event(&RepairEvent::Chunks { snapshot, archive, chunks: count, bytes });
        self.report.chunks += count;
        self.report.chunk_bytes += bytes;
        self.placed.extend(placed);
        if let Some(not_put) = failure {
            self.is_full |= matches!(not_put, NotPut::NoSpace(_));
            return Ok(Err(not_put.why().to_owned()));
        }
        let digests: Option<Vec<Digest>> = index.digests().map(|digest| names.get(&digest).copied()).collect();
        let Some(digests) = digests else { return Err(RepairError::Crashed) };
        let store = self.store.clone();
        let made = self.pool.run(move |_| {
            let mut uuid = [0; 16];
            store.randomness().fill(&mut uuid);
            with_digests(&index, &digests, IndexStamp { uuid, created: store.clock().now() })
        });
        let made = made.await.map_err(|_| RepairError::Crashed)?;
        Ok(made.map(|index| index.as_bytes().clone()).map_err(|error| chain(&error)))
    }
}
