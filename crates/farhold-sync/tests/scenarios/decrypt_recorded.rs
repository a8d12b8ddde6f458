//! Decrypting pulls of the recorded encrypted store, compared with the recorded decrypted one and the recorded logs.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use farhold_crypto::CryptConfig;
use farhold_format::blob::BlobDecoder;
use farhold_format::index::Index;
use farhold_format::key_file::KeyFile;
use farhold_format::manifest::Manifest;
use farhold_sync::{SyncError, SyncKey, SyncOptions};
use farhold_types::{ArchiveKind, ArchiveName, Authid, MANIFEST_NAME};
use tokio_util::sync::CancellationToken;

use crate::stores::{Stores, by_namespace, chunks, comparable, golden_path, recorded, tree, unpack};

const MAX_BYTES: usize = 16 << 20;

fn key(id: &str, file: &str) -> SyncKey {
    let key = KeyFile::parse(&fs::read(golden_path(file)).unwrap()).unwrap().decrypt(None).unwrap();
    SyncKey { id: id.parse().unwrap(), config: Arc::new(CryptConfig::new(key)) }
}

/// The recorded encrypted store as the source.
fn pushed() -> (Stores, SyncOptions) {
    let stores = Stores::of("pushed", ["beta", "pushed", "decrypted"]);
    let mut options = stores.options();
    options.job = "beta:pushed:decrypted::golden-decrypt".into();
    options.owner = Authid::root();
    options.decryption_keys = vec![key("key0", "key0.json")];
    (stores, options)
}

/// What a file says, without what differs from one run to the next: uuid and time of an index, details of compression.
fn meaning(path: &str, content: &[u8]) -> String {
    let name: ArchiveName = match path.rsplit('/').next().unwrap().parse() {
        Ok(name) => name,
        Err(_) => return format!("{content:02x?}"),
    };
    if name.as_str() == MANIFEST_NAME {
        return Manifest::from_blob(content).unwrap().to_json();
    }
    match name.kind() {
        ArchiveKind::Blob => match BlobDecoder::new().decode(content, None, MAX_BYTES) {
            Ok(plain) => format!("plain {plain:02x?}"),
            Err(_) => format!("{content:02x?}"),
        },
        kind => {
            let index = Index::parse(kind, content.to_vec().into()).unwrap();
            format!("{} {:?} {:?}", index.size_bytes(), index.chunk_size_bytes(), index.chunks().collect::<Vec<_>>())
        }
    }
}

fn meanings(base: &Path) -> BTreeMap<String, String> {
    // The reference leaves empty temporary files behind (`docs/spec/sync.md` C.2 W35).
    let files = tree(base).into_iter().filter(|(path, _)| !path.ends_with(".tmp"));
    files.map(|(path, content)| (path.clone(), meaning(&path, &content))).collect()
}

/// The plain content of all chunks that can be read without a key, and the stored form of the others.
fn contents(base: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut decoder = BlobDecoder::new();
    let plain = |(name, stored): (_, Vec<u8>)| {
        let content = decoder.decode(&stored, None, MAX_BYTES).unwrap_or(stored);
        (name, content)
    };
    chunks(base).into_iter().map(plain).collect()
}

/// A log in which amounts are masked: ours are those that came over the network.
fn masked(lines: Vec<String>) -> Vec<String> {
    let amount = |line: String| match (line.find(": downloaded "), line.find(" pulled ")) {
        (Some(at), _) => line[..at + 12].to_owned(),
        (None, Some(at)) => format!("{} {}", &line[..at + 8], line.split(" in ").nth(1).unwrap()),
        (None, None) => line,
    };
    let short = |line: String| match line.find("fingerprint ") {
        Some(at) => line[..at + 12].to_owned(),
        None => line,
    };
    lines.into_iter().map(amount).map(short).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_88_the_recorded_encrypted_store_is_decrypted_to_the_recorded_copy() {
    let (stores, options) = pushed();
    let run = stores.pull(options.clone()).await;
    run.result.unwrap();
    unpack("decrypted", stores.dir.path());
    let recorded_dir = stores.dir.path().join("decrypted");
    let (ours, theirs) = (meanings(&stores.target_dir()), meanings(&recorded_dir));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (path, meaning) in &theirs {
        assert_eq!(ours[path], *meaning, "{path}");
    }
    let (ours, theirs) = (contents(&stores.target_dir()), contents(&recorded_dir));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    assert!(theirs.iter().all(|(name, content)| ours[name] == *content));
    let log = by_namespace(masked(comparable(run.log)));
    assert_eq!(log, by_namespace(masked(recorded("pull-dec.log"))));
    // Once more: nothing changed.
    let before = tree(&stores.target_dir());
    let run = stores.pull(options).await;
    let report = run.result.unwrap();
    assert_eq!((report.chunks, report.changed_snapshots), (0, 0));
    assert_eq!(tree(&stores.target_dir()), before);
    assert_eq!(by_namespace(comparable(run.log)), by_namespace(recorded("pull-dec2.log")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_88_the_decrypted_copy_has_the_plain_data_of_the_original() {
    let (stores, options) = pushed();
    stores.pull(options).await.result.unwrap();
    unpack("golden", stores.dir.path());
    let original = tree(&stores.dir.path().join("golden"));
    let copy = tree(&stores.target_dir());
    let mut compared = 0;
    for (path, content) in &copy {
        let name = path.rsplit('/').next().unwrap();
        let is_decrypted = !path.starts_with("vm/200/") && !path.starts_with("host/enc1/");
        let has_data = name != MANIFEST_NAME && name != "owner" && name != "group-notes";
        if is_decrypted && has_data {
            assert_eq!(meaning(path, content), meaning(path, &original[path]), "{path}");
            compared += 1;
        }
    }
    assert!(20 < compared, "{compared}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_keys_decrypt_everything_with_the_recorded_log() {
    let mut stores = Stores::of("pushed", ["rsrc", "dst3", "dst2"]);
    stores.names.source_store = "dst3".parse().unwrap();
    let mut options = stores.options();
    options.job = "rsrc:dst3:dst2::golden-back".into();
    options.decryption_keys = vec![key("kpush", "key0.json"), key("kimp", "client.key")];
    let run = stores.pull(options).await;
    run.result.unwrap();
    let ours = by_namespace(masked(comparable(run.log)));
    assert_eq!(ours, by_namespace(masked(recorded("pull-golden-store-decrypting.log"))));
    let files = tree(&stores.target_dir());
    // The reference had wrapped this one twice.
    let log = &files["vm/200/2026-01-02T10:00:00Z/client.log.blob"];
    let text = BlobDecoder::new().decode(log, None, MAX_BYTES).unwrap();
    assert!(String::from_utf8(text).unwrap().is_ascii(), "the log is readable");
    let manifests = files.iter().filter(|(path, _)| path.ends_with(MANIFEST_NAME));
    assert!(manifests.map(|(_, raw)| Manifest::from_blob(raw).unwrap()).all(|m| m.is_unencrypted()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decrypting_run_stopped_anywhere_is_finished_by_the_next() {
    // One group of each kind of archive; all would take long without optimisation.
    let start = || {
        let (stores, mut options) = pushed();
        options.group_filter = vec!["group:vm/100".parse().unwrap(), "group:ct/101".parse().unwrap()];
        options.max_depth = Some(0);
        (stores, options)
    };
    let (whole, options) = start();
    whole.pull(options).await.result.unwrap();
    let expected = meanings(&whole.target_dir());
    for stop_after in (3..40).step_by(6) {
        let (stores, options) = start();
        let run = stores.pull_until(options.clone(), CancellationToken::new(), stop_after).await;
        assert!(matches!(run.result, Err(SyncError::Cancelled)), "{stop_after}: {:?}", run.result);
        for (path, content) in meanings(&stores.target_dir()).iter().filter(|(path, _)| path.ends_with(MANIFEST_NAME)) {
            assert_eq!(*content, expected[path], "{stop_after}: {path}");
        }
        stores.pull(options).await.result.unwrap();
        assert_eq!(meanings(&stores.target_dir()), expected, "{stop_after}");
    }
}
