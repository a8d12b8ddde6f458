//! Sources that send wrong things to a decrypting pull. Nothing of it becomes visible, and errors say what is wrong.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_format::index::Index;
use farhold_format::manifest::Manifest;
use farhold_types::{ArchiveKind, Digest, MANIFEST_NAME};
use serde_json::json;

use crate::encrypted::{CHUNK, add_encrypted, expected, key, options_with, resign, run, unsign, with_digests};
use crate::support::{MemorySource, MemoryTarget, content, encode};

const FIRST: &str = "vm/1/2026-01-01T10:00:00Z";
const IMAGE: &[u64] = &[1, 2, 3];
const IMAGE_NAME: &str = "drive-scsi0.img.fidx";
const BLOB_NAME: &str = "qemu-server.conf.blob";

fn keyed(seed: u64) -> Digest {
    key(1).config.chunk_digest(&content(seed, CHUNK))
}

fn sealed(plain: &[u8], compression: Compression) -> Bytes {
    let config = key(1).config;
    BlobEncoder::new().encode(plain, compression, Some((&config, [5; 16]))).unwrap().into()
}

fn put_chunk(source: &MemorySource, seed: u64, chunk: Bytes) {
    assert!(source.chunks.lock().unwrap().insert(keyed(seed), chunk).is_some());
}

fn flip(blob: &Bytes, position: usize) -> Bytes {
    let mut flipped = blob.to_vec();
    flipped[position] ^= 1;
    flipped.into()
}

fn flip_chunk(source: &MemorySource, position: usize) {
    let chunk = flip(&source.chunks.lock().unwrap()[&keyed(2)], position);
    put_chunk(source, 2, chunk);
}

/// Replaces the configuration and signs the manifest over it, as somebody with the key can.
fn put_blob(source: &MemorySource, blob: Bytes) {
    resign(source, FIRST, 1, |manifest| {
        let file = manifest.files.iter_mut().find(|file| file.name.as_str() == BLOB_NAME).unwrap();
        (file.size_bytes, file.checksum) = (blob.len() as u64, sha256(&blob));
    });
    source.edit("", FIRST, |files| drop(files.insert(BLOB_NAME.into(), blob)));
}

fn edit_index(source: &MemorySource, change: impl FnOnce(&mut Vec<Digest>)) {
    let mut checksum = None;
    source.edit("", FIRST, |files| {
        let index = Index::parse(ArchiveKind::FixedIndex, files[IMAGE_NAME].clone()).unwrap();
        let mut digests: Vec<Digest> = index.digests().collect();
        change(&mut digests);
        let index = with_digests(&index, &digests);
        checksum = Some(index.checksum());
        files.insert(IMAGE_NAME.into(), index.as_bytes().clone());
    });
    resign(source, FIRST, 1, |manifest| {
        let file = manifest.files.iter_mut().find(|file| file.name.as_str() == IMAGE_NAME).unwrap();
        file.checksum = checksum.unwrap();
    });
}

/// Changes the JSON text of the manifest, which then is not signed.
fn edit_text(source: &MemorySource, change: impl FnOnce(&mut serde_json::Value)) {
    unsign(source, FIRST);
    source.edit("", FIRST, |files| {
        let manifest = Manifest::from_blob(&files[MANIFEST_NAME]).unwrap();
        let mut text: serde_json::Value = serde_json::from_str(&manifest.to_json()).unwrap();
        change(&mut text);
        files.insert(MANIFEST_NAME.into(), encode(text.to_string().as_bytes()));
    });
}

#[tokio::test]
async fn what_a_source_sends_wrong_is_named_and_leaves_nothing_visible() {
    type Damage = fn(&MemorySource);
    let table: Vec<(&str, Damage, &str)> = vec![
        ("chunk with a wrong tag", |s| flip_chunk(s, 30), "cannot be decoded - blob encryption layer failed"),
        ("chunk with a wrong IV", |s| flip_chunk(s, 15), "cannot be decoded - blob encryption layer failed"),
        ("chunk with a wrong CRC", |s| flip_chunk(s, 8), "cannot be decoded - blob is damaged"),
        ("chunk with changed content", |s| flip_chunk(s, 60), "cannot be decoded - blob is damaged"),
        (
            "content of another chunk",
            |s| put_chunk(s, 2, sealed(&content(3, CHUNK), Compression::On)),
            "has wrong content",
        ),
        (
            "shorter content",
            |s| put_chunk(s, 2, sealed(&content(2, CHUNK)[1..], Compression::On)),
            "has 65535 bytes instead of 65536",
        ),
        (
            "longer content",
            |s| put_chunk(s, 2, sealed(&content(2, CHUNK + 1), Compression::On)),
            "larger than the expected maximum of 65536 bytes",
        ),
        (
            "content that grows without bound",
            |s| put_chunk(s, 2, sealed(&vec![0; 100 << 20], Compression::On)),
            "larger than the expected maximum of 65536 bytes",
        ),
        (
            "plain chunk",
            |s| put_chunk(s, 2, encode(&content(2, CHUNK))),
            "is not encrypted although its file is encrypted",
        ),
        ("chunk that is no blob", |s| put_chunk(s, 2, Bytes::from_static(&[7; 100])), "unknown magic number"),
        ("no chunk", |s| drop(s.chunks.lock().unwrap().remove(&keyed(2))), "no such chunk"),
        (
            "chunk of another key",
            |s| {
                let other = key(2).config;
                let chunk = BlobEncoder::new().encode(&content(2, CHUNK), Compression::On, Some((&other, [5; 16])));
                put_chunk(s, 2, chunk.unwrap().into());
            },
            "cannot be decoded - blob encryption layer failed",
        ),
        (
            "index that is not the manifest's",
            |s| {
                s.edit("", FIRST, |f| {
                    let flipped = flip(&f[IMAGE_NAME], 4096 + 5);
                    f.insert(IMAGE_NAME.into(), flipped);
                })
            },
            "wrong checksum for file 'drive-scsi0.img.fidx'",
        ),
        (
            "index with a digest of the plain content",
            |s| {
                edit_index(s, |digests| digests[1] = sha256(&content(2, CHUNK)));
            },
            "is not encrypted although its file is encrypted",
        ),
        (
            "cut index",
            |s| {
                s.edit("", FIRST, |f| {
                    let cut = f[IMAGE_NAME].slice(..5000.min(f[IMAGE_NAME].len() - 1));
                    f.insert(IMAGE_NAME.into(), cut);
                })
            },
            "index cannot be used",
        ),
        ("blob with a wrong tag", |s| put_blob(s, flip(&sealed(b"x", Compression::Off), 30)), "cannot be decrypted"),
        ("plain blob", |s| put_blob(s, encode(b"x")), "cannot be decrypted - blob is not encrypted"),
        ("blob that is none", |s| put_blob(s, Bytes::from_static(&[7; 100])), "unknown magic number"),
        (
            "wrong signature",
            |s| s.edit_manifest("", FIRST, |m| m.files[1].checksum = Digest([1; 32])),
            "signature does not fit",
        ),
        (
            "unprotected is no object",
            |s| edit_text(s, |text| text["unprotected"] = json!("x")),
            "manifest is not valid",
        ),
        ("manifest is no object", |s| edit_text(s, |text| *text = json!([1])), "manifest is not valid"),
        (
            "fingerprint is none",
            |s| edit_text(s, |text| text["unprotected"]["key-fingerprint"] = json!("ab")),
            "invalid key fingerprint",
        ),
        (
            "file twice",
            |s| {
                edit_text(s, |text| {
                    let file = text["files"][0].clone();
                    text["files"].as_array_mut().unwrap().push(file);
                })
            },
            "twice",
        ),
        ("size that no index has", |s| resign(s, FIRST, 1, |m| m.files[1].size_bytes += 1), "wrong size"),
    ];
    let secret = "01".repeat(32);
    for (what, damage, cause) in table {
        let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
        add_encrypted(&source, FIRST, 1, IMAGE);
        damage(&source);
        let failed = run(options_with(&[1]), &source, &target).await;
        let log = failed.log.join("\n");
        assert!(!log.contains(&secret) && !log.contains("memory: 4096"), "{what}: {log}");
        let found = failed.refusal();
        assert!(found.contains(cause), "{what}: {found}");
        assert_eq!((target.finished().len(), target.directories()), (0, 0), "{what}");
        // The next run, from a sound source, is not led astray by what was stored.
        let sound = Arc::new(MemorySource::new());
        add_encrypted(&sound, FIRST, 1, IMAGE);
        run(options_with(&[1]), &sound, &target).await.report();
        assert_eq!(crate::encrypted::contents(&target, FIRST), expected(IMAGE), "{what}");
    }
}
