//! What the simulated clients back up: contents as short descriptions from which every byte can be made again.
//!
//! An audit compares the bytes that a store gives back with the bytes that the description means, so it does not depend
//! on the digests and checksums that the engine itself works with.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use anyhow::Context;
use bytes::Bytes;
use farhold_crypto::{CryptConfig, EncryptionKey, sha256};
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_format::index::{DynamicIndexBuilder, FIXED_CHUNK_BYTES, FixedIndexBuilder, Index};
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_types::{ArchiveName, CryptMode, Digest, Epoch, Snapshot};

use crate::rng::Rng;

/// Different chunk contents of a world; few, so that snapshots and groups share many.
const CHUNK_SEEDS: u64 = 48;

/// Content of one file of a backup. Numbers are seeds of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A blob.
    Blob(u64),
    /// An image that is shorter than one chunk of an image, 4 MiB: a world has many chunks and little data.
    Fixed(u64),
    /// An archive of chunks of different lengths.
    Dynamic(Vec<u64>),
}

/// Content of one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Files by name.
    pub files: BTreeMap<String, Body>,
    /// Whether the client encrypted it with [`key`].
    pub is_encrypted: bool,
    /// Seed of the client log, if there is one.
    pub log: Option<u64>,
}

/// Returns the key of all encrypted backups.
pub fn key() -> Arc<CryptConfig> {
    static KEY: LazyLock<Arc<CryptConfig>> = LazyLock::new(|| Arc::new(CryptConfig::new(EncryptionKey::new([7; 32]))));
    Arc::clone(&KEY)
}

impl Backup {
    /// Returns a random backup. `previous`: the one before in its group, of which it shares most chunks.
    pub fn random(rng: &Rng, previous: Option<&Self>) -> Self {
        let mut backup = match previous {
            Some(previous) if rng.chance(80) => {
                let mut next = previous.clone();
                for body in next.files.values_mut() {
                    body.change(rng);
                }
                next
            }
            _ => Self::fresh(rng),
        };
        backup.log = rng.chance(40).then(|| rng.next());
        if rng.chance(5) {
            backup.is_encrypted = !backup.is_encrypted;
        }
        backup
    }

    fn fresh(rng: &Rng) -> Self {
        let mut files = BTreeMap::new();
        for (name, percent) in
            [("drive-scsi0.img.fidx", 40), ("root.pxar.didx", 70), ("catalog.pcat1.didx", 30), ("conf.blob", 70)]
        {
            if !rng.chance(percent) {
                continue;
            }
            // Now and then enough chunks that a resume is noted, and too many for one batch of requests.
            let count = if rng.chance(25) { rng.between(9, 40) } else { rng.between(1, 6) };
            let seeds = || (0..count).map(|_| rng.below(CHUNK_SEEDS)).collect();
            let body = match name.rsplit('.').next() {
                Some("fidx") => Body::Fixed(rng.below(CHUNK_SEEDS)),
                Some("didx") => Body::Dynamic(seeds()),
                _ => Body::Blob(rng.next()),
            };
            files.insert(name.to_owned(), body);
        }
        if files.is_empty() {
            files.insert("conf.blob".to_owned(), Body::Blob(rng.next()));
        }
        Self { files, is_encrypted: rng.chance(30), log: None }
    }

    /// Returns the bytes that a reader of this file must get.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        Some(match self.files.get(name)? {
            Body::Blob(seed) => bytes_of(*seed, blob_length(*seed)),
            body => body.chunks().into_iter().flat_map(|(seed, length)| bytes_of(seed, length)).collect(),
        })
    }
}

impl Body {
    fn change(&mut self, rng: &Rng) {
        match self {
            Self::Fixed(seed) => {
                if rng.chance(30) {
                    *seed = rng.below(CHUNK_SEEDS);
                }
            }
            Self::Blob(seed) => {
                if rng.chance(50) {
                    *seed = rng.next();
                }
            }
            Self::Dynamic(seeds) => {
                for _ in 0..rng.below(3) {
                    let at = usize::try_from(rng.below(seeds.len() as u64)).unwrap_or(0);
                    seeds[at] = rng.below(CHUNK_SEEDS);
                }
            }
        }
    }

    /// Returns seed and length of each chunk, in order.
    pub fn chunks(&self) -> Vec<(u64, u64)> {
        match self {
            Self::Blob(_) => Vec::new(),
            Self::Fixed(seed) => vec![(*seed, chunk_length(*seed))],
            Self::Dynamic(seeds) => seeds.iter().map(|seed| (*seed, chunk_length(*seed))).collect(),
        }
    }
}

const fn chunk_length(seed: u64) -> u64 {
    40 + seed * 7
}

const fn blob_length(seed: u64) -> u64 {
    20 + seed % 400
}

fn bytes_of(seed: u64, length: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ length.wrapping_mul(0xff51_afd7_ed55_8ccd) | 1;
    let mut next = |i: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if i.is_multiple_of(3) { state.to_be_bytes()[7] } else { b' ' }
    };
    (0..length).map(&mut next).collect()
}

/// A stored form and what it is called.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Digest of the chunk, or of the whole blob.
    pub digest: Digest,
    /// The bytes of the file.
    pub bytes: Bytes,
}

struct Kitchen {
    encoder: BlobEncoder,
    /// By seed, length and encryption. Contents recur in all worlds, and encoding them is most of the work.
    chunks: BTreeMap<(u64, u64, bool), Encoded>,
}

thread_local! {
    static KITCHEN: RefCell<Kitchen> =
        RefCell::new(Kitchen { encoder: BlobEncoder::new(), chunks: BTreeMap::new() });
}

fn encode(plain: &[u8], seed: u64, is_encrypted: bool) -> anyhow::Result<Bytes> {
    let key = key();
    let mut iv = [0; 16];
    iv[..8].copy_from_slice(&seed.to_le_bytes());
    let encryption = is_encrypted.then_some((&*key, iv));
    KITCHEN.with_borrow_mut(|kitchen| Ok(kitchen.encoder.encode(plain, Compression::On, encryption)?.into()))
}

/// Returns the stored form of a chunk.
pub fn chunk(seed: u64, length: u64, is_encrypted: bool) -> anyhow::Result<Encoded> {
    let name = (seed, length, is_encrypted);
    if let Some(known) = KITCHEN.with_borrow(|kitchen| kitchen.chunks.get(&name).cloned()) {
        return Ok(known);
    }
    let plain = bytes_of(seed, length);
    let digest = if is_encrypted { key().chunk_digest(&plain) } else { sha256(&plain) };
    let encoded = Encoded { digest, bytes: encode(&plain, seed, is_encrypted)? };
    KITCHEN.with_borrow_mut(|kitchen| kitchen.chunks.insert(name, encoded.clone()));
    Ok(encoded)
}

/// A file of a backup in its stored form, with the chunks that come before it.
pub struct StoredFile {
    /// Its name.
    pub name: ArchiveName,
    /// Its bytes.
    pub bytes: Bytes,
    /// Its chunks.
    pub chunks: Vec<Encoded>,
}

/// A backup in its stored form.
pub struct StoredBackup {
    /// The files that the manifest lists, in order.
    pub files: Vec<StoredFile>,
    /// The manifest.
    pub manifest: Manifest,
    /// The client log.
    pub log: Option<Bytes>,
}

impl Backup {
    /// Returns the stored form of this backup as the snapshot `snapshot`.
    ///
    /// # Errors
    /// A bug: every description can be stored.
    pub fn store(&self, snapshot: &Snapshot) -> anyhow::Result<StoredBackup> {
        let crypt_mode = if self.is_encrypted { CryptMode::Encrypt } else { CryptMode::None };
        let mut manifest = Manifest::new(snapshot);
        let mut files = Vec::new();
        for (text, body) in &self.files {
            let name: ArchiveName = text.parse().context("archive name")?;
            let parts = body.chunks();
            let chunks = parts
                .iter()
                .map(|(seed, length)| chunk(*seed, *length, self.is_encrypted))
                .collect::<Result<Vec<_>, _>>()?;
            let (bytes, size_bytes, checksum) = match body {
                Body::Blob(seed) => {
                    let bytes = encode(&bytes_of(*seed, blob_length(*seed)), *seed, self.is_encrypted)?;
                    (bytes.clone(), bytes.len() as u64, sha256(&bytes))
                }
                Body::Fixed(_) | Body::Dynamic(_) => {
                    let index = index(body, &parts, &chunks)?;
                    (index.as_bytes().clone(), index.size_bytes(), index.checksum())
                }
            };
            manifest.files.push(ManifestFile { name: name.clone(), crypt_mode, size_bytes, checksum });
            files.push(StoredFile { name, bytes, chunks });
        }
        if self.is_encrypted {
            manifest.sign(&key());
        }
        let log = self.log.map(|seed| encode(&bytes_of(seed, blob_length(seed)), seed, false)).transpose()?;
        Ok(StoredBackup { files, manifest, log })
    }
}

fn index(body: &Body, parts: &[(u64, u64)], chunks: &[Encoded]) -> anyhow::Result<Index> {
    let size = parts.iter().map(|(_, length)| length).sum();
    if matches!(body, Body::Fixed(_)) {
        let mut index = FixedIndexBuilder::new([1; 16], Epoch(1), size, FIXED_CHUNK_BYTES)?;
        for (position, chunk) in chunks.iter().enumerate() {
            index.set(position, chunk.digest)?;
        }
        return Ok(index.finish()?);
    }
    let (mut index, mut end) = (DynamicIndexBuilder::new([1; 16], Epoch(1)), 0);
    for ((_, length), chunk) in parts.iter().zip(chunks) {
        end += length;
        index.push(end, chunk.digest)?;
    }
    Ok(index.finish()?)
}

/// Returns the stored form of a manifest.
///
/// # Errors
/// A bug.
pub fn manifest_blob(manifest: &Manifest) -> anyhow::Result<Bytes> {
    KITCHEN.with_borrow_mut(|kitchen| Ok(manifest.to_blob(&mut kitchen.encoder)?.into()))
}
