//! What the demo's first server serves: the recorded datastore that PBS wrote, and a made-up disk image beside it.

use std::io::Cursor;
use std::path::Path;

use anyhow::Context as _;
use farhold_crypto::sha256;
use farhold_datastore::{Datastore, Inserted};
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_format::index::FixedIndexBuilder;
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_types::{ArchiveName, Authid, CryptMode, Epoch, Group, Namespace};

/// A datastore written by PBS 4.2.1, packed. How it was made: `tests/golden/README.md`.
const RECORDED_STORE: &[u8] = include_bytes!("../../../../tests/golden/golden.tar.zst");

/// Folder of the store in the package.
const RECORDED_FOLDER: &str = "golden";

/// Size of the chunks of an image. Source: `docs/spec/datastore-format.md` 25.
const CHUNK_BYTES: u64 = 4 << 20;

/// Chunks of the made-up image: 512 MiB, enough to watch the progress line for a moment.
const IMAGE_CHUNKS: u64 = 128;

/// Part of a chunk that cannot be compressed; the rest is zeros, as on a half-empty disk.
const NOISE_BYTES: usize = 1 << 20;

/// Unpacks the recorded store below `folder` and returns how many files it has. The folder of the store is `store`.
pub fn unpack_recorded_store(folder: &Path, store: &Path) -> anyhow::Result<u64> {
    let packed = zstd::Decoder::new(Cursor::new(RECORDED_STORE))?;
    let mut archive = tar::Archive::new(packed);
    archive.set_preserve_permissions(true);
    let mut files = 0;
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            files += 1;
        }
        entry.unpack_in(folder)?;
    }
    std::fs::rename(folder.join(RECORDED_FOLDER), store)
        .context("the packed store has another folder than expected")?;
    Ok(files)
}

/// Adds one snapshot of a made-up disk image to a store.
pub fn add_image(store: &Datastore, time: Epoch) -> anyhow::Result<()> {
    let root = Namespace::root();
    let group: Group = "vm/900".parse()?;
    let (_, lock) = store.create_group(&root, &group, &Authid::root())?;
    let mut writer = store.begin_snapshot(&lock, time)?;
    let mut encoder = BlobEncoder::new();
    let size_bytes = IMAGE_CHUNKS * CHUNK_BYTES;
    let mut index = FixedIndexBuilder::new(*b"farhold demo img", time, size_bytes, CHUNK_BYTES)?;
    let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
    let mut chunk = vec![0; usize::try_from(CHUNK_BYTES)?];
    for position in 0..usize::try_from(IMAGE_CHUNKS)? {
        noise.fill(&mut chunk[..NOISE_BYTES]);
        let digest = sha256(&chunk);
        let inserted = store.insert_chunk(&digest, &encoder.encode(&chunk, Compression::On, None)?)?;
        debug_assert!(inserted == Inserted::New);
        index.set(position, digest)?;
    }
    let index = index.finish()?;
    let name: ArchiveName = "drive-scsi0.img.fidx".parse()?;
    writer.put(&name, index.as_bytes())?;
    let manifest = Manifest {
        backup_type: group.backup_type,
        backup_id: group.backup_id.clone(),
        backup_time: time,
        files: vec![ManifestFile { name, crypt_mode: CryptMode::None, size_bytes, checksum: index.checksum() }],
        unprotected: serde_json::Map::new(),
        signature: None,
    };
    writer.commit(&manifest.to_blob(&mut encoder)?)?;
    Ok(())
}

/// Bytes that look random and are the same in every run (xorshift64).
struct Noise(u64);

impl Noise {
    fn fill(&mut self, bytes: &mut [u8]) {
        for word in bytes.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes()[..word.len()]);
        }
    }
}
