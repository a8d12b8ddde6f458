//! The forms of chunks, blobs and manifests, compared with what the reference pushed.

use std::path::{Path, PathBuf};

use farhold_crypto::EncryptionKey;
use farhold_format::blob::{BlobDecoder, BlobEncoder, BlobKind, Compression};
use farhold_format::index::{DynamicIndexBuilder, FixedIndexBuilder, Index};
use farhold_format::key_file::KeyFile;
use farhold_format::manifest::{CHUNK_UPLOAD_STATS, NOTES};
use farhold_testkit::SeededRandomness;
use farhold_types::{ArchiveKind, Epoch, MANIFEST_NAME};

use super::*;
use crate::options::SyncKey;

const LIMIT: usize = 16 << 20;

fn config() -> Arc<CryptConfig> {
    Arc::new(CryptConfig::new(EncryptionKey::new([7; 32])))
}

fn form() -> ChunkForm {
    form_with(config())
}

fn form_with(config: Arc<CryptConfig>) -> ChunkForm {
    let key = SyncKey { id: "key0".parse().unwrap(), config };
    ChunkForm::encrypted(&Encryption { key, randomness: Arc::new(SeededRandomness::new(1)) })
}

fn encode(content: &[u8], compression: Compression) -> Bytes {
    BlobEncoder::new().encode(content, compression, None).unwrap().into()
}

fn chunk_of(content: &[u8]) -> ExpectedChunk {
    ExpectedChunk { digest: sha256(content), length: content.len() as u32, is_encrypted: false }
}

#[test]
fn a_chunk_is_encoded_only_if_the_target_does_not_have_it() {
    let (key, mut bench) = (config(), Bench::new());
    for compression in [Compression::On, Compression::Off] {
        let content = [b"abc".repeat(500), vec![9]].concat();
        let (stored, chunk) = (encode(&content, compression), chunk_of(&content));
        let mut asked = Vec::new();
        let mut prepare = |is_there: bool| {
            let is_on_target = |digest: &Digest| {
                asked.push(*digest);
                is_there
            };
            form().prepare(&mut bench, &chunk, &stored, is_on_target).unwrap()
        };
        let keyed = key.chunk_digest(&content);
        let known = prepare(true);
        assert_eq!(known, SentChunk { digest: keyed, plain_bytes: 1501, upload: None });
        let sent = prepare(false);
        assert_eq!((sent.digest, sent.plain_bytes), (keyed, 1501));
        let upload = sent.upload.unwrap();
        assert_eq!(blob::check(&upload).unwrap(), BlobKind::EncryptedZstd);
        assert_eq!(BlobDecoder::new().decode(&upload, Some(&key), LIMIT).unwrap(), content);
        assert_eq!(asked, [keyed, keyed]);
    }
}

#[test]
fn as_stored_a_chunk_is_checked_and_passed_on_unchanged() {
    let mut bench = Bench::new();
    let content = b"hello".to_vec();
    let (stored, chunk) = (encode(&content, Compression::Off), chunk_of(&content));
    let form = ChunkForm::AsStored;
    let sent = form.prepare(&mut bench, &chunk, &stored, |_| false).unwrap();
    assert_eq!(sent, SentChunk { digest: chunk.digest, plain_bytes: 5, upload: Some(stored.clone()) });
    assert_eq!(form.prepare(&mut bench, &chunk, &stored, |_| true).unwrap().upload, None);
    // One that a client encrypted has its keyed digest already.
    let key = config();
    let sealed: Bytes = BlobEncoder::new().encode(&content, Compression::Off, Some((&key, [3; 16]))).unwrap().into();
    let chunk = ExpectedChunk { digest: key.chunk_digest(&content), length: 5, is_encrypted: true };
    assert_eq!(form.prepare(&mut bench, &chunk, &sealed, |_| false).unwrap().upload, Some(sealed));
}

#[test]
fn a_bad_chunk_of_the_source_is_sent_in_no_form() {
    let mut bench = Bench::new();
    let content = b"some content of a chunk".to_vec();
    let (stored, chunk) = (encode(&content, Compression::Off), chunk_of(&content));
    let mut flipped = stored.to_vec();
    flipped[20] ^= 1;
    let sealed = BlobEncoder::new().encode(&content, Compression::Off, Some((&config(), [3; 16]))).unwrap();
    let wrong_length = ExpectedChunk { length: chunk.length + 1, ..chunk };
    let rows: [(&str, ExpectedChunk, Bytes); 5] = [
        ("damaged", chunk, flipped.into()),
        ("other content", chunk, encode(b"some content of a chunK", Compression::Off)),
        ("too short", wrong_length, stored.clone()),
        ("encrypted", chunk, sealed.into()),
        ("no blob", chunk, Bytes::from_static(b"too short")),
    ];
    for (what, chunk, stored) in rows {
        for form in [ChunkForm::AsStored, form()] {
            let result = form.prepare(&mut bench, &chunk, &stored, |_| panic!("{what}: asked"));
            assert!(result.is_err(), "{what} {form:?}");
        }
    }
    // What the manifest calls encrypted is never encrypted again, whatever lies there.
    let listed_as_encrypted = ExpectedChunk { is_encrypted: true, ..chunk };
    let result = form().prepare(&mut bench, &listed_as_encrypted, &stored, |_| false);
    assert!(matches!(result, Err(ArchiveFailure::ChunkMode { .. })));
}

#[test]
fn a_blob_must_be_that_of_the_manifest() {
    let (key, mut bench) = (config(), Bench::new());
    let stored = encode(b"memory: 4096\n", Compression::On);
    let file = ManifestFile {
        name: "qemu-server.conf.blob".parse().unwrap(),
        crypt_mode: CryptMode::SignOnly,
        size_bytes: stored.len() as u64,
        checksum: sha256(&stored),
    };
    let (sent, entry) = ChunkForm::AsStored.blob(&mut bench, &file, stored.clone()).unwrap();
    assert_eq!((sent, entry), (stored.clone(), file.clone()));
    let (sent, entry) = form().blob(&mut bench, &file, stored.clone()).unwrap();
    assert_eq!((entry.crypt_mode, entry.size_bytes), (CryptMode::Encrypt, sent.len() as u64));
    assert_eq!((entry.checksum, &entry.name), (sha256(&sent), &file.name));
    assert_eq!(BlobDecoder::new().decode(&sent, Some(&key), LIMIT).unwrap(), b"memory: 4096\n");
    for form in [ChunkForm::AsStored, form()] {
        let longer = ManifestFile { size_bytes: file.size_bytes + 1, ..file.clone() };
        assert!(matches!(form.blob(&mut bench, &longer, stored.clone()), Err(ArchiveFailure::Size { .. })));
        let other = ManifestFile { checksum: Digest([1; 32]), ..file.clone() };
        assert!(matches!(form.blob(&mut bench, &other, stored.clone()), Err(ArchiveFailure::Checksum { .. })));
    }
    // Somebody else's encryption under a mode that says plain.
    let listed = ManifestFile { size_bytes: sent.len() as u64, checksum: sha256(&sent), ..file };
    assert!(matches!(form().blob(&mut bench, &listed, sent), Err(ArchiveFailure::BlobEncryption { .. })));
}

#[test]
fn a_client_log_is_encrypted_unless_it_is_already() {
    let (key, mut bench) = (config(), Bench::new());
    let log = encode(b"one line\n", Compression::On);
    assert_eq!(ChunkForm::AsStored.client_log(&mut bench, log.clone()).unwrap(), log);
    let sealed = form().client_log(&mut bench, log.clone()).unwrap();
    assert_eq!(BlobDecoder::new().decode(&sealed, Some(&key), LIMIT).unwrap(), b"one line\n");
    assert_eq!(form().client_log(&mut bench, sealed.clone()).unwrap(), sealed);
    let damaged: Bytes = [&log[..log.len() - 1], b"X"].concat().into();
    for form in [ChunkForm::AsStored, form()] {
        assert!(form.client_log(&mut bench, damaged.clone()).is_err());
    }
}

#[test]
fn two_blobs_of_the_same_content_have_different_ivs() {
    let (form, mut bench) = (form(), Bench::new());
    let log = encode(b"one line\n", Compression::On);
    let sealed = [(); 2].map(|()| form.client_log(&mut bench, log.clone()).unwrap());
    assert_ne!(sealed[0][12..28], sealed[1][12..28]);
}

#[test]
fn only_indexes_under_the_same_key_are_of_use() {
    let snapshot = "vm/100/2026-01-01T10:00:00Z".parse().unwrap();
    let mut previous = Manifest::new(&snapshot);
    assert!(ChunkForm::AsStored.may_use_previous(&previous) && !form().may_use_previous(&previous));
    previous.sign(&CryptConfig::new(EncryptionKey::new([8; 32])));
    assert!(ChunkForm::AsStored.may_use_previous(&previous) && !form().may_use_previous(&previous));
    previous.sign(&config());
    assert!(ChunkForm::AsStored.may_use_previous(&previous) && form().may_use_previous(&previous));
}

#[test]
fn the_form_shows_no_key() {
    let text = format!("{:?}", form());
    assert!(text.contains("Sealer") && !text.contains("7, 7"), "{text}");
}

fn unpack(name: &str, dir: &Path) -> PathBuf {
    let golden = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden"));
    let packed = std::fs::File::open(golden.join(format!("{name}.tar.zst"))).unwrap();
    tar::Archive::new(zstd::Decoder::new(packed).unwrap()).unpack(dir).unwrap();
    dir.join(name)
}

/// Returns the folders of all snapshots, relative to the store.
fn snapshots(base: &Path, dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_name() == MANIFEST_NAME {
            found.push(dir.strip_prefix(base).unwrap().to_owned());
        } else if entry.file_type().unwrap().is_dir() && entry.file_name() != ".chunks" {
            snapshots(base, &entry.path(), found);
        }
    }
}

/// Returns the checksum that an index has with other digests.
fn checksum_with(index: &Index, digests: &[Digest]) -> Digest {
    if let Some(chunk_size) = index.chunk_size_bytes() {
        let mut builder = FixedIndexBuilder::new([2; 16], Epoch(2), index.size_bytes(), chunk_size).unwrap();
        digests.iter().enumerate().for_each(|(position, digest)| builder.set(position, *digest).unwrap());
        return builder.finish().unwrap().checksum();
    }
    let mut builder = DynamicIndexBuilder::new([2; 16], Epoch(2));
    index.chunks().zip(digests).for_each(|(chunk, digest)| builder.push(chunk.end, *digest).unwrap());
    builder.finish().unwrap().checksum()
}

/// What the reference made of the recorded store with `key0.json`, file by file: the same digests, checksums, signatures
/// and notes. Only the bytes of blobs differ, whose IVs are random, and so their entries are taken from the recording.
#[test]
fn snapshots_are_encrypted_to_what_the_reference_pushed() {
    let dir = tempfile::tempdir().unwrap();
    let (golden, pushed) = (unpack("golden", dir.path()), unpack("pushed", dir.path()));
    let raw = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/key0.json")).unwrap();
    let key = Arc::new(CryptConfig::new(KeyFile::parse(&raw).unwrap().decrypt(None).unwrap()));
    let form = form_with(key.clone());
    let mut bench = Bench::new();
    let mut folders = Vec::new();
    snapshots(&golden, &golden, &mut folders);
    let (mut encrypted, mut chunks, mut noted_later) = (0, 0, 0);
    for folder in folders {
        let read = |base: &Path, file: &str| Bytes::from(std::fs::read(base.join(&folder).join(file)).unwrap());
        let source = Manifest::from_blob(&read(&golden, MANIFEST_NAME)).unwrap();
        if !source.is_unencrypted() {
            continue;
        }
        encrypted += 1;
        let recorded = Manifest::from_blob(&read(&pushed, MANIFEST_NAME)).unwrap();
        let mut files = Vec::new();
        for file in &source.files {
            let (name, stored) = (file.name.as_str(), read(&golden, file.name.as_str()));
            if file.name.kind() == ArchiveKind::Blob {
                let (sent, entry) = form.blob(&mut bench, file, stored).unwrap();
                let theirs = read(&pushed, name);
                let plain = [&sent, &theirs].map(|blob| bench.decoder.decode(blob, Some(&key), LIMIT).unwrap());
                assert_eq!(plain[0], plain[1], "{folder:?} {name}");
                assert_eq!(entry.crypt_mode, recorded.file(&file.name).unwrap().crypt_mode);
                files.push(recorded.file(&file.name).unwrap().clone());
                continue;
            }
            let index = Index::parse(file.name.kind(), stored).unwrap();
            let theirs = Index::parse(file.name.kind(), read(&pushed, name)).unwrap();
            let mut digests = Vec::new();
            for chunk in index.chunks() {
                let text = chunk.digest.to_string();
                let stored = std::fs::read(golden.join(".chunks").join(&text[..4]).join(&text)).unwrap();
                let length = chunk.size_bytes() as u32;
                let expected = ExpectedChunk { digest: chunk.digest, length, is_encrypted: false };
                let sent = form.prepare(&mut bench, &expected, &stored.into(), |_| true).unwrap();
                digests.push(sent.digest);
                chunks += 1;
            }
            assert_eq!(digests, theirs.digests().collect::<Vec<_>>(), "{folder:?} {name}");
            files.push(form.index_entry(file, checksum_with(&index, &digests)));
        }
        let (mut ours, mut theirs) = (form.manifest(&source, files), recorded);
        // The target's own, and a verification of other chunks.
        for manifest in [&mut ours, &mut theirs] {
            manifest.unprotected.remove(CHUNK_UPLOAD_STATS);
        }
        theirs.unprotected.remove(VERIFY_STATE);
        if theirs.notes().is_none() {
            // One snapshot got its notes after it was pushed.
            noted_later += usize::from(ours.unprotected.remove(NOTES).is_some());
        }
        assert_eq!(ours, theirs, "{folder:?}");
        assert!(ours.signature.is_some() && ours.sync_source_signature().unwrap().is_some());
    }
    assert_eq!((encrypted, chunks, noted_later), (20, 51, 1));
}

#[test]
fn unmodified_manifests_say_what_the_source_says() {
    let dir = tempfile::tempdir().unwrap();
    let golden = unpack("golden", dir.path());
    let mut folders = Vec::new();
    snapshots(&golden, &golden, &mut folders);
    let mut modes = std::collections::BTreeSet::new();
    for folder in folders {
        let source = Manifest::from_blob(&std::fs::read(golden.join(folder).join(MANIFEST_NAME)).unwrap()).unwrap();
        let form = ChunkForm::AsStored;
        let files: Vec<_> = source.files.iter().map(|file| form.index_entry(file, file.checksum)).collect();
        assert_eq!(form.manifest(&source, files), source);
        modes.extend(source.files.iter().map(|file| format!("{:?}", file.crypt_mode)));
    }
    assert_eq!(modes.len(), 3, "{modes:?}");
}
