//! The datastore that is pulled: snapshots of a made-up disk image, plain or encrypted, written file by file.
//!
//! The files are written here and not by the product's own code, so that the benchmark stays the same whatever changes
//! there. Source: `docs/spec/datastore-format.md` 1, 2, 4 and 7.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use farhold_crypto::{CryptConfig, sha256};
use farhold_format::blob::{BlobDecoder, BlobEncoder, Compression, MAX_CHUNK_BYTES};
use farhold_format::index::{FixedIndexBuilder, Index};
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_testkit::disk_image::{CHUNK_BYTES, disk_image_chunk};
use farhold_types::{ArchiveKind, ArchiveName, CryptMode, Digest, Epoch, Group, VerifyState};

/// Seed of the image: the one whose size is known to match the reference measurements.
const SEED: u64 = 7;

/// Time of the first snapshot: 2026-01-01T10:00:00Z.
pub(super) const FIRST: Epoch = Epoch(1_767_261_600);
/// Time of a second one: an hour later.
pub(super) const SECOND: Epoch = Epoch(FIRST.0 + 3600);
pub(super) const GROUP: &str = "vm/900";
const ARCHIVE: &str = "drive-scsi0.img.fidx";
const MANIFEST: &str = "index.json.blob";

/// Length in bytes of what precedes the zstd stream of an unencrypted chunk: magic and CRC.
const BLOB_HEADER_BYTES: usize = 12;

/// One chunk of the image.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    /// Name of the stored chunk.
    digest: Digest,
    /// SHA-256 of its content; the same unless it is encrypted.
    plain_digest: Digest,
    stored_bytes: u64,
}

/// The image as it lies in a datastore.
pub(super) struct Image {
    chunks: Vec<Chunk>,
    key: Option<CryptConfig>,
}

impl Image {
    /// Writes a snapshot of `count` chunks into the datastore at `store`, which exists and is empty.
    pub(super) fn write(store: &Path, count: usize) -> anyhow::Result<Self> {
        Self::write_chunks_and_snapshot(store, count, None)
    }

    /// As [`Self::write`], encrypted with `key`.
    pub(super) fn write_encrypted(store: &Path, count: usize, key: CryptConfig) -> anyhow::Result<Self> {
        Self::write_chunks_and_snapshot(store, count, Some(key))
    }

    fn write_chunks_and_snapshot(store: &Path, count: usize, key: Option<CryptConfig>) -> anyhow::Result<Self> {
        let image = Self { chunks: write_chunks(store, count, key.as_ref())?, key };
        image.write_snapshot(store, GROUP, FIRST)?;
        Ok(image)
    }

    /// Writes a snapshot of the image whose chunks are in `store`.
    pub(super) fn write_snapshot(&self, store: &Path, group: &str, time: Epoch) -> anyhow::Result<()> {
        let size_bytes = self.content_bytes();
        let mut index = FixedIndexBuilder::new(*b"farhold bench im", time, size_bytes, CHUNK_BYTES as u64)?;
        for (position, chunk) in self.chunks.iter().enumerate() {
            index.set(position, chunk.digest)?;
        }
        let index = index.finish()?;
        let snapshot = group.parse::<Group>()?.at(time);
        let crypt_mode = if self.key.is_some() { CryptMode::Encrypt } else { CryptMode::None };
        let file =
            ManifestFile { name: ARCHIVE.parse::<ArchiveName>()?, crypt_mode, size_bytes, checksum: index.checksum() };
        let mut manifest = Manifest { files: vec![file], ..Manifest::new(&snapshot) };
        if let Some(key) = &self.key {
            manifest.sign(key);
        }
        let folder = store.join(group).join(time.to_string());
        fs::create_dir_all(&folder)?;
        fs::write(store.join(group).join("owner"), "root@pam\n")?;
        fs::write(folder.join(ARCHIVE), index.as_bytes())?;
        fs::write(folder.join(MANIFEST), manifest.to_blob(&mut BlobEncoder::new())?)?;
        Ok(())
    }

    /// Writes snapshots of `parts` groups, each with a part of the image, which is not encrypted, and removes the group of the whole image.
    pub(super) fn split(&self, store: &Path, parts: usize) -> anyhow::Result<()> {
        for (part, chunks) in self.chunks.chunks(self.chunks.len().div_ceil(parts)).enumerate() {
            let image = Self { chunks: chunks.to_vec(), key: None };
            image.write_snapshot(store, &format!("vm/{}", 901 + part), FIRST)?;
        }
        fs::remove_dir_all(store.join(GROUP))?;
        Ok(())
    }

    /// Returns the image as a push encrypts it with `key`; its chunks lie in `store`.
    pub(super) fn encrypted(&self, store: &Path, key: &CryptConfig) -> anyhow::Result<Self> {
        let mut decoder = BlobDecoder::new();
        let mut encrypted = |chunk: &Chunk| {
            let content = decoder.decode(&fs::read(store.join(chunk_path(&chunk.digest)))?, None, MAX_CHUNK_BYTES)?;
            anyhow::Ok(Chunk { digest: key.chunk_digest(&content), ..*chunk })
        };
        Ok(Self { chunks: self.chunks.iter().map(&mut encrypted).collect::<anyhow::Result<_>>()?, key: None })
    }

    /// Checks that the index of a snapshot in `copy` names the chunks of this image, and that they are there.
    pub(super) fn compare_index(&self, copy: &Path, time: Epoch) -> anyhow::Result<()> {
        let index = fs::read(copy.join(GROUP).join(time.to_string()).join(ARCHIVE)).context("no index")?;
        let index = Index::parse(ArchiveKind::FixedIndex, index.into())?;
        ensure!(index.digests().eq(self.stored_digests().copied()), "the copy has other chunks");
        for digest in self.stored_digests() {
            ensure!(copy.join(chunk_path(digest)).exists(), "chunk {digest} is missing");
        }
        Ok(())
    }

    /// Writes a snapshot of a disk of `count` chunks that are all the same.
    pub(super) fn write_uniform(store: &Path, count: usize) -> anyhow::Result<Self> {
        let mut image = Self { chunks: write_chunks(store, 1, None)?, key: None };
        image.chunks = image.chunks.repeat(count);
        image.write_snapshot(store, GROUP, FIRST)?;
        Ok(image)
    }

    /// Length of the image in bytes.
    pub(super) fn content_bytes(&self) -> u64 {
        (self.chunks.len() * CHUNK_BYTES) as u64
    }

    /// Length of the stored chunks in bytes.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.stored_bytes).sum()
    }

    /// Checks that `copy` holds the first snapshot of `original`, byte for byte.
    pub(super) fn compare(&self, original: &Path, copy: &Path) -> anyhow::Result<()> {
        let snapshot = Path::new(GROUP).join(FIRST.to_string());
        let files = [snapshot.join(ARCHIVE), snapshot.join(MANIFEST)].into_iter();
        self.compare_files(original, copy, files)
    }

    /// Checks that `copy` holds this snapshot of `original`, as a push leaves it: the index has a stamp of its own, and the
    /// manifest has figures of the upload.
    pub(super) fn compare_pushed(&self, original: &Path, copy: &Path, time: Epoch) -> anyhow::Result<()> {
        self.compare_index(copy, time)?;
        self.compare_files(original, copy, std::iter::empty())?;
        let snapshot = Path::new(GROUP).join(time.to_string());
        let manifest =
            |store: &Path| anyhow::Ok(Manifest::from_blob(&fs::read(store.join(&snapshot).join(MANIFEST))?)?);
        ensure!(manifest(original)?.has_same_protected_content(&manifest(copy)?), "the pushed manifest differs");
        Ok(())
    }

    fn compare_files(&self, original: &Path, copy: &Path, files: impl Iterator<Item = PathBuf>) -> anyhow::Result<()> {
        for file in files.chain(self.chunks.iter().map(|chunk| chunk_path(&chunk.digest))) {
            let read = |store: &Path| {
                fs::read(store.join(&file)).with_context(|| format!("cannot read {}", store.join(&file).display()))
            };
            ensure!(read(original)? == read(copy)?, "{} differs in the copy", file.display());
        }
        Ok(())
    }

    /// Checks that `copy` holds a snapshot of the image that is not encrypted: every position and every chunk.
    pub(super) fn compare_decrypted(&self, copy: &Path, time: Epoch) -> anyhow::Result<()> {
        let index = fs::read(copy.join(GROUP).join(time.to_string()).join(ARCHIVE)).context("no decrypted index")?;
        let index = Index::parse(ArchiveKind::FixedIndex, index.into())?;
        ensure!(index.size_bytes() == self.content_bytes(), "the decrypted image has another size");
        ensure!(index.digests().eq(self.plain_digests().copied()), "the decrypted image has other chunks");
        let mut decoder = BlobDecoder::new();
        for chunk in &self.chunks {
            let encoded = fs::read(copy.join(chunk_path(&chunk.plain_digest)))?;
            let content = decoder.decode(&encoded, None, MAX_CHUNK_BYTES)?;
            ensure!(sha256(&content) == chunk.plain_digest, "chunk {} is damaged", chunk.plain_digest);
        }
        Ok(())
    }

    /// Returns the names of the chunks of a copy that was pulled as it is.
    pub(super) fn stored_digests(&self) -> impl Iterator<Item = &Digest> {
        self.chunks.iter().map(|chunk| &chunk.digest)
    }

    /// Returns the names of the chunks of a decrypted copy.
    pub(super) fn plain_digests(&self) -> impl Iterator<Item = &Digest> {
        self.chunks.iter().map(|chunk| &chunk.plain_digest)
    }

    /// Returns whether the manifest of the first snapshot says that it was verified and is whole; forgets it.
    pub(super) fn is_verified(&self, store: &Path) -> anyhow::Result<bool> {
        let path = store.join(GROUP).join(FIRST.to_string()).join(MANIFEST);
        let manifest = Manifest::from_blob(&fs::read(&path)?)?;
        let is_verified = manifest.verify_state().is_some_and(|state| state.state == VerifyState::Ok);
        self.write_snapshot(store, GROUP, FIRST)?;
        Ok(is_verified)
    }

    /// Decodes and hashes all chunks on so many threads, which take the next chunk when they are done with one; returns the
    /// seconds that pass. As below there is no CRC and no file access within.
    pub(super) fn decode_and_hash_on(&self, store: &Path, threads: usize) -> anyhow::Result<f64> {
        let encoded: Vec<_> = self
            .stored_digests()
            .map(|digest| Ok((*digest, fs::read(store.join(chunk_path(digest)))?)))
            .collect::<anyhow::Result<_>>()?;
        let next = AtomicUsize::new(0);
        let work = || {
            let mut decompressor = zstd::bulk::Decompressor::new()?;
            let mut content = Vec::with_capacity(CHUNK_BYTES);
            while let Some((digest, encoded)) = encoded.get(next.fetch_add(1, Ordering::Relaxed)) {
                let stream = encoded.get(BLOB_HEADER_BYTES..).context("a stored chunk is too short")?;
                content.clear();
                decompressor.decompress_to_buffer(stream, &mut content)?;
                ensure!(sha256(&content) == *digest, "chunk {digest} of the image is damaged");
            }
            Ok(())
        };
        let begin = Instant::now();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("a thread crashed"))?)
        })?;
        Ok(begin.elapsed().as_secs_f64())
    }

    /// Decodes and hashes all chunks on this thread and returns the CPU seconds it took.
    ///
    /// This is the bar of the benchmark: zstd and SHA-256 and nothing else, no CRC and no file access within.
    pub(super) fn decode_and_hash_seconds(&self, store: &Path) -> anyhow::Result<f64> {
        let mut decompressor = zstd::bulk::Decompressor::new()?;
        let mut content = Vec::with_capacity(CHUNK_BYTES);
        let mut nanoseconds = 0;
        for chunk in &self.chunks {
            let encoded = fs::read(store.join(chunk_path(&chunk.digest)))?;
            let stream = encoded.get(BLOB_HEADER_BYTES..).context("a stored chunk is too short")?;
            content.clear();
            let start = thread_cpu_nanoseconds()?;
            decompressor.decompress_to_buffer(stream, &mut content)?;
            let digest = sha256(&content);
            nanoseconds += thread_cpu_nanoseconds()? - start;
            if digest != chunk.digest {
                bail!("chunk {} of the image is damaged", chunk.digest);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
        Ok(nanoseconds as f64 / 1e9)
    }
}

/// Makes the chunks on as many threads as there are cores.
fn write_chunks(store: &Path, count: usize, key: Option<&CryptConfig>) -> anyhow::Result<Vec<Chunk>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut encoder = BlobEncoder::new();
        let mut made = Vec::new();
        loop {
            let position = next.fetch_add(1, Ordering::Relaxed);
            if count <= position {
                return anyhow::Ok(made);
            }
            let content = disk_image_chunk(SEED, position as u64);
            let plain_digest = sha256(&content);
            let digest = key.map_or(plain_digest, |key| key.chunk_digest(&content));
            // Only here the position serves: a real writer must take random bytes.
            let iv = (position as u128).to_le_bytes();
            let encoded = encoder.encode(&content, Compression::On, key.map(|key| (key, iv)))?;
            ensure!(encoded.len() < content.len(), "a chunk of the image cannot be compressed");
            let path = store.join(chunk_path(&digest));
            fs::write(&path, &encoded).with_context(|| format!("cannot write {}", path.display()))?;
            made.push((position, Chunk { digest, plain_digest, stored_bytes: encoded.len() as u64 }));
        }
    };
    let mut chunks = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_| anyhow::anyhow!("a thread crashed"))??);
        }
        anyhow::Ok(all)
    })?;
    chunks.sort_by_key(|(position, _)| *position);
    Ok(chunks.into_iter().map(|(_, chunk)| chunk).collect())
}

/// Moves all virtual machines and these chunks from a datastore whose server is stopped into the new folder `aside`, so
/// that they can be pulled again.
///
/// Moved and not removed: ext4 does not use the numbers of removed files again for a minute, and looking for others
/// would slow down the next run more and more.
pub(super) fn move_aside<'a>(
    store: &Path,
    aside: &Path,
    chunks: impl IntoIterator<Item = &'a Digest>,
) -> anyhow::Result<()> {
    fs::create_dir_all(aside)?;
    fs::rename(store.join("vm"), aside.join("vm"))?;
    for chunk in chunks {
        fs::rename(store.join(chunk_path(chunk)), aside.join(chunk.to_string()))?;
    }
    Ok(())
}

pub(super) fn chunk_path(digest: &Digest) -> PathBuf {
    let name = digest.to_string();
    Path::new(".chunks").join(&name[..4]).join(name)
}

/// CPU time of the present thread. Source: `proc(5)`, `/proc/pid/schedstat`, first field.
fn thread_cpu_nanoseconds() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").context("the kernel keeps no CPU time of threads")?;
    Ok(text.split_whitespace().next().context("schedstat is empty")?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_written_compared_and_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let count = 2;
        // Only the folders that the chunks need; a datastore has all.
        for position in 0..count {
            let digest = sha256(&disk_image_chunk(SEED, position)).to_string();
            for store in ["a", "b"] {
                fs::create_dir_all(folder.path().join(store).join(".chunks").join(&digest[..4])).unwrap();
            }
        }
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        let image = Image::write(&a, 2).unwrap();
        Image::write(&b, 2).unwrap();
        assert_eq!(image.content_bytes(), 8 << 20);
        image.compare(&a, &b).unwrap();
        let damaged = b.join(chunk_path(&image.chunks[1].digest));
        fs::write(&damaged, "x").unwrap();
        assert!(image.compare(&a, &b).is_err());
        assert!(image.decode_and_hash_seconds(&b).is_err());
        assert!(0.0 < image.decode_and_hash_seconds(&a).unwrap());
        assert!(image.decode_and_hash_on(&b, 2).is_err());
        assert!(0.0 < image.decode_and_hash_on(&a, 2).unwrap());
        assert!(!image.is_verified(&a).unwrap());
        image.compare_decrypted(&a, FIRST).unwrap();
        assert!(image.compare_decrypted(&a, SECOND).is_err());
        move_aside(&b, &folder.path().join("aside"), image.stored_digests()).unwrap();
        assert!(!damaged.exists() && !b.join(GROUP).exists());
    }
}
