//! The datastore that is pulled: one snapshot of a made-up disk image, written file by file.
//!
//! The files are written here and not by the product's own code, so that the benchmark stays the same whatever changes
//! there. Source: `docs/spec/datastore-format.md` 1, 2, 4 and 7.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail, ensure};
use farhold_crypto::sha256;
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_format::index::FixedIndexBuilder;
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_testkit::disk_image::{CHUNK_BYTES, disk_image_chunk};
use farhold_types::{ArchiveName, Digest, Epoch, Group};

/// Seed of the image: the one whose size is known to match the reference measurements.
const SEED: u64 = 7;

/// Time of the snapshot: 2026-01-01T10:00:00Z.
const TIME: Epoch = Epoch(1_767_261_600);
const GROUP: &str = "vm/900";
const SNAPSHOT: &str = "2026-01-01T10:00:00Z";
const ARCHIVE: &str = "drive-scsi0.img.fidx";
const MANIFEST: &str = "index.json.blob";

/// Length in bytes of what precedes the zstd stream of an unencrypted chunk: magic and CRC.
const BLOB_HEADER_BYTES: usize = 12;

/// One chunk of the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    pub(super) digest: Digest,
    pub(super) stored_bytes: u64,
}

/// The image as it lies in a datastore.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) chunks: Vec<Chunk>,
}

impl Image {
    /// Writes a snapshot of `count` chunks into the datastore at `store`, which exists and is empty.
    pub(super) fn write(store: &Path, count: usize) -> anyhow::Result<Self> {
        let chunks = write_chunks(store, count)?;
        let size_bytes = (count * CHUNK_BYTES) as u64;
        let mut index = FixedIndexBuilder::new(*b"farhold bench im", TIME, size_bytes, CHUNK_BYTES as u64)?;
        for (position, chunk) in chunks.iter().enumerate() {
            index.set(position, chunk.digest)?;
        }
        let index = index.finish()?;
        let group: Group = GROUP.parse()?;
        let file = ManifestFile {
            name: ARCHIVE.parse::<ArchiveName>()?,
            crypt_mode: farhold_types::CryptMode::None,
            size_bytes,
            checksum: index.checksum(),
        };
        let manifest = Manifest { files: vec![file], ..Manifest::new(&group.at(TIME)) };
        let folder = store.join(GROUP).join(SNAPSHOT);
        fs::create_dir_all(&folder)?;
        fs::write(store.join(GROUP).join("owner"), "root@pam\n")?;
        fs::write(folder.join(ARCHIVE), index.as_bytes())?;
        fs::write(folder.join(MANIFEST), manifest.to_blob(&mut BlobEncoder::new())?)?;
        Ok(Self { chunks })
    }

    /// Length of the image in bytes.
    pub(super) fn content_bytes(&self) -> u64 {
        (self.chunks.len() * CHUNK_BYTES) as u64
    }

    /// Length of the stored chunks in bytes.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.stored_bytes).sum()
    }

    /// Checks that `copy` holds the snapshot of `original`, byte for byte.
    pub(super) fn compare(&self, original: &Path, copy: &Path) -> anyhow::Result<()> {
        let snapshot = Path::new(GROUP).join(SNAPSHOT);
        let files = [snapshot.join(ARCHIVE), snapshot.join(MANIFEST)].into_iter();
        for file in files.chain(self.chunks.iter().map(|chunk| chunk_path(&chunk.digest))) {
            let read = |store: &Path| {
                fs::read(store.join(&file)).with_context(|| format!("cannot read {}", store.join(&file).display()))
            };
            ensure!(read(original)? == read(copy)?, "{} differs after the pull", file.display());
        }
        Ok(())
    }

    /// Moves the snapshot from a datastore whose server is stopped into the new folder `aside`, so that it can be
    /// pulled again.
    ///
    /// Moved and not removed: ext4 does not use the numbers of removed files again for a minute, and looking for others
    /// would slow down the next run more and more.
    pub(super) fn move_aside(&self, store: &Path, aside: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(aside)?;
        fs::rename(store.join(GROUP), aside.join("group"))?;
        for chunk in &self.chunks {
            fs::rename(store.join(chunk_path(&chunk.digest)), aside.join(chunk.digest.to_string()))?;
        }
        Ok(())
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
fn write_chunks(store: &Path, count: usize) -> anyhow::Result<Vec<Chunk>> {
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
            let digest = sha256(&content);
            let encoded = encoder.encode(&content, Compression::On, None)?;
            ensure!(encoded.len() < content.len(), "a chunk of the image cannot be compressed");
            let path = store.join(chunk_path(&digest));
            fs::write(&path, &encoded).with_context(|| format!("cannot write {}", path.display()))?;
            made.push((position, Chunk { digest, stored_bytes: encoded.len() as u64 }));
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

fn chunk_path(digest: &Digest) -> PathBuf {
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
        image.move_aside(&b, &folder.path().join("aside")).unwrap();
        assert!(!damaged.exists() && !b.join(GROUP).exists());
    }
}
