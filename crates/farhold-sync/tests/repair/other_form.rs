//! Copies that were encrypted or decrypted on their way.

use std::fs;
use std::path::PathBuf;

use farhold_sync::repair::{RepairOptions, RepairReach, RepairReport};
use farhold_types::{ArchiveKind, Digest, MANIFEST_NAME};

use crate::bench::{Bench, ONE, flip, repair_options};
use crate::encrypted::{add_encrypted, add_plain, key, options_with, resign};
use crate::support::{options, snapshot};

const BLOB: &str = "qemu-server.conf.blob";
const FIXED: &str = "drive-scsi0.img.fidx";
const DYNAMIC: &str = "etc.pxar.didx";
const IMAGE: [u64; 3] = [1, 2, 3];

/// The source has an encrypted snapshot, the store what a pull made of it without the encryption.
async fn decrypted() -> Bench {
    let bench = Bench::new();
    add_encrypted(&bench.source, ONE, 1, &IMAGE);
    bench.pull_with(options_with(&[1])).await;
    bench
}

/// The store has an encrypted snapshot, the source the same without the encryption.
async fn encrypted() -> Bench {
    let bench = Bench::new();
    add_encrypted(&bench.source, ONE, 1, &IMAGE);
    bench.pull_with(options()).await;
    bench.source.chunks.lock().unwrap().clear();
    add_plain(&bench.source, ONE, &IMAGE);
    bench
}

impl Bench {
    async fn repair_with(&mut self, keys: &[u8]) -> RepairReport {
        let keys = keys.iter().map(|seed| key(*seed)).collect();
        let options = RepairOptions { keys, reach: RepairReach::Everything, ..repair_options() };
        self.run(options).await.unwrap()
    }

    /// Files of the chunks that an index of the store names.
    fn chunks_of(&self, file: &str) -> Vec<PathBuf> {
        let index = self.store.open_index(&"".parse().unwrap(), &snapshot(ONE), &file.parse().unwrap()).unwrap();
        index.digests().map(|digest: Digest| self.chunk(&digest)).collect()
    }

    /// Content of all files of the store that count: those of the snapshot but its manifest, and chunks.
    fn what_counts(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut content = self.content();
        content.retain(|(path, _)| {
            path.extension().is_none_or(|extension| extension != "bad") && !path.ends_with(MANIFEST_NAME)
        });
        content
    }
}

#[tokio::test]
async fn chunks_indexes_and_blobs_of_a_decrypted_copy_are_made_of_the_encrypted_source() {
    let mut bench = decrypted().await;
    let before = bench.what_counts();
    let chunks = [FIXED, DYNAMIC].map(|file| bench.chunks_of(file)[1].clone());
    let files = [BLOB, FIXED, DYNAMIC].map(|file| bench.file(ONE, file));
    for path in chunks.iter().chain(&files) {
        for is_missing in [false, true] {
            if is_missing {
                fs::remove_file(path).unwrap()
            } else {
                flip(path)
            }
            let report = bench.repair_with(&[2, 1]).await;
            assert_eq!((report.damaged, report.mended), (1, 1), "{}: {:#?}", path.display(), bench.told);
            assert_eq!(report.chunks + report.files, 1, "{}: {report:?}", path.display());
            assert!(bench.is_ok(ONE));
        }
    }
    // An index made anew has a UUID of its own, all else is as it was.
    let kinds = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "fidx" || extension == "didx");
    let rest =
        |content: Vec<(PathBuf, Vec<u8>)>| content.into_iter().filter(|(path, _)| !kinds(path)).collect::<Vec<_>>();
    assert_eq!(rest(bench.what_counts()), rest(before));
}

#[tokio::test]
async fn an_index_of_a_decrypted_copy_comes_back_with_the_chunks_that_a_collection_removed_meanwhile() {
    let mut bench = decrypted().await;
    let chunks = bench.chunks_of(FIXED);
    fs::remove_file(bench.file(ONE, FIXED)).unwrap();
    chunks.iter().for_each(|chunk| fs::remove_file(chunk).unwrap());
    let report = bench.repair_with(&[1]).await;
    assert_eq!((report.mended, report.files, report.chunks), (1, 1, 3), "{:#?}", bench.told);
    assert!(bench.is_ok(ONE));
}

#[tokio::test]
async fn without_the_key_nothing_is_fetched_and_the_log_names_it() {
    let mut bench = decrypted().await;
    fs::remove_file(&bench.chunks_of(FIXED)[0]).unwrap();
    fs::remove_file(bench.file(ONE, BLOB)).unwrap();
    for keys in [&[][..], &[2]] {
        let report = bench.repair_with(keys).await;
        assert_eq!((report.mended, report.unmended.len()), (0, 1));
        let (why, id) = (&report.unmended[0].why, key(1).config.fingerprint().short());
        assert!(why.contains(&format!("the source's copy is encrypted, and the key {id} is not here")), "{why}");
        assert_eq!(bench.source.chunk_requests(), 0);
    }
}

#[tokio::test]
async fn a_dry_run_tells_what_the_other_form_would_mend() {
    let mut bench = decrypted().await;
    fs::remove_file(&bench.chunks_of(FIXED)[0]).unwrap();
    fs::remove_file(bench.file(ONE, DYNAMIC)).unwrap();
    let before = bench.content();
    let options =
        RepairOptions { keys: vec![key(1)], reach: RepairReach::Everything, is_dry: true, ..repair_options() };
    let report = bench.run(options).await.unwrap();
    assert_eq!((report.mended, report.files, report.chunks), (1, 1, 1), "{:#?}", bench.told);
    assert_eq!((bench.content(), bench.source.chunk_requests()), (before, 0));
}

#[tokio::test]
async fn chunks_and_indexes_of_an_encrypted_copy_are_made_of_the_plain_source_but_blobs_are_not() {
    let mut bench = encrypted().await;
    let chunks = [FIXED, DYNAMIC].map(|file| bench.chunks_of(file)[1].clone());
    for path in chunks.iter().chain(&[FIXED, DYNAMIC].map(|file| bench.file(ONE, file))) {
        for is_missing in [false, true] {
            if is_missing {
                fs::remove_file(path).unwrap()
            } else {
                flip(path)
            }
            let report = bench.repair_with(&[1]).await;
            assert_eq!((report.damaged, report.mended), (1, 1), "{}: {:#?}", path.display(), bench.told);
            assert!(bench.is_ok(ONE));
        }
    }
    // They can be read with the key, and have the digest that the index names.
    let key = key(1).config;
    for path in bench.chunks_of(FIXED).iter().chain(&bench.chunks_of(DYNAMIC)) {
        let mut plain = Vec::new();
        let content = fs::read(path).unwrap();
        farhold_format::blob::BlobDecoder::new().decode_into(&content, Some(&key), 16 << 20, &mut plain).unwrap();
        assert_eq!(key.chunk_digest(&plain).to_string(), path.file_name().unwrap().to_str().unwrap());
    }
    let content = fs::read(bench.file(ONE, BLOB)).unwrap();
    fs::remove_file(bench.file(ONE, BLOB)).unwrap();
    let report = bench.repair_with(&[1]).await;
    assert!(report.unmended[0].why.contains("an encrypted blob cannot be made again"), "{:?}", report.unmended);
    fs::write(bench.file(ONE, BLOB), content).unwrap();
    assert_eq!(bench.repair_with(&[1]).await.damaged, 0);
}

#[tokio::test]
async fn what_a_lying_source_sends_in_another_form_is_not_taken() {
    let mut bench = decrypted().await;
    let (lost, other) = (bench.chunks_of(FIXED)[0].clone(), bench.file(ONE, FIXED));
    let good = fs::read(&other).unwrap();
    // Another chunk under the name of the one that is missing.
    fs::remove_file(&lost).unwrap();
    let digests: Vec<Digest> = {
        let (ns, files) = (String::new(), bench.source.snapshots.lock().unwrap());
        let raw = files[&(ns, snapshot(ONE))][FIXED].clone();
        farhold_format::index::Index::parse(ArchiveKind::FixedIndex, raw).unwrap().digests().collect()
    };
    let swap = |bench: &Bench| {
        let mut chunks = bench.source.chunks.lock().unwrap();
        let (first, second) = (chunks[&digests[0]].clone(), chunks[&digests[1]].clone());
        chunks.insert(digests[0], second);
        chunks.insert(digests[1], first);
    };
    swap(&bench);
    let report = bench.repair_with(&[1]).await;
    assert_eq!((report.mended, report.chunks), (0, 0), "{:#?}", bench.told);
    assert!(!lost.exists());
    swap(&bench);
    // An index that names them in another order, which somebody with the key signed.
    let mut swapped = digests.clone();
    swapped.swap(0, 1);
    bench.source.edit("", ONE, |files| {
        let index = farhold_format::index::Index::parse(ArchiveKind::FixedIndex, files[FIXED].clone()).unwrap();
        files.insert(FIXED.into(), crate::encrypted::with_digests(&index, &swapped).as_bytes().clone());
    });
    let checksum = {
        let files = bench.source.snapshots.lock().unwrap();
        let raw = files[&(String::new(), snapshot(ONE))][FIXED].clone();
        farhold_format::index::Index::parse(ArchiveKind::FixedIndex, raw).unwrap().checksum()
    };
    resign(&bench.source, ONE, 1, |manifest| manifest.files[1].checksum = checksum);
    let report = bench.repair_with(&[1]).await;
    assert_eq!((report.mended, report.chunks), (0, 0), "{:#?}", bench.told);
    assert!(bench.has_told("what came is bad") && !lost.exists());
    fs::remove_file(&other).unwrap();
    let report = bench.repair_with(&[1]).await;
    assert_eq!((report.mended, report.files), (0, 0), "{:#?}", bench.told);
    assert!(report.unmended[0].why.contains("is not the file that the manifest here lists"), "{:?}", report.unmended);
    assert!(!other.exists());
    fs::write(&other, good).unwrap();
    assert!(lost.exists(), "the chunk came with the index, proved by its own digest");
    assert_eq!(bench.repair_with(&[]).await.damaged, 0);
}

#[tokio::test]
async fn a_manifest_is_not_taken_from_a_copy_in_another_form() {
    let mut bench = decrypted().await;
    flip(&bench.file(ONE, MANIFEST_NAME));
    let report = bench.repair_with(&[1]).await;
    assert_eq!((report.mended, report.unmended.len()), (0, 1));
    assert!(report.unmended[0].why.contains("lists another"), "{:?}", report.unmended);
}
