//! Pushes that encrypt on the way: what the other server gets, and what comes back from there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use farhold_crypto::{CryptConfig, sha256};
use farhold_format::blob::{self, BlobDecoder};
use farhold_format::index::Index;
use farhold_format::key_file::KeyFile;
use farhold_format::manifest::{Manifest, SignatureState};
use farhold_types::{ArchiveKind, ArchiveName, CLIENT_LOG_NAME, MANIFEST_NAME, Role};

use crate::content::{self, assert_sound, chunk_files, golden, snapshots, unpack_golden};
use crate::desk::Desk;
use crate::pair::{add_disk, nothing};
use crate::push_pair::PushPair;
use crate::site::{Site, files};

const MAX_BYTES: usize = 16 << 20;
const FIRST: &str = "vm/100/2026-01-01T10:00:00Z";
const SECOND: &str = "vm/100/2026-01-02T10:00:00Z";

/// Somebody who may read what the other server has.
const READER: &str = "reader@pbs";
const PASSWORD: &str = "a password";

fn key0() -> CryptConfig {
    CryptConfig::new(KeyFile::parse(&fs::read(golden("key0.json")).unwrap()).unwrap().decrypt(None).unwrap())
}

/// Makes `key0` the active key of the job.
async fn activate_key(pair: &PushPair) {
    let path = golden("key0.json").display().to_string();
    pair.near.run(&["encryption-key", "create", "key0", "--key-file", &path]).await.ok();
    pair.update(&["--active-encryption-key", "key0"]).await;
}

/// Two servers of which the first has the recorded store and pushes it encrypted; somebody may read the second.
async fn pushed_golden() -> (PushPair, String) {
    let pair = PushPair::new(nothing).await;
    fs::remove_dir_all(pair.near_store()).unwrap();
    unpack_golden(&pair.near_store());
    pair.far.add_user(READER, PASSWORD);
    pair.far.grant("/datastore/tank", READER, Role::DatastoreReader);
    activate_key(&pair).await;
    let log = pair.pushed().await;
    (pair, log)
}

/// The manifests of a store by the path of their snapshot.
fn manifests(store: &Path) -> BTreeMap<String, Manifest> {
    let manifest = |(path, raw): (String, Vec<u8>)| {
        let snapshot = path.strip_suffix(MANIFEST_NAME)?.trim_end_matches('/').to_owned();
        Some((snapshot, Manifest::from_blob(&raw).unwrap()))
    };
    snapshots(store).into_iter().filter_map(manifest).collect()
}

/// What the files of a store contain, as far as no key is needed.
fn contents(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut decoder, chunks) = (BlobDecoder::new(), chunk_files(store));
    let mut plain = |stored: &Vec<u8>| decoder.decode(stored, None, MAX_BYTES).unwrap_or_else(|_| stored.clone());
    let mut found = BTreeMap::new();
    for (path, stored) in snapshots(store) {
        let Ok(name) = path.rsplit('/').next().unwrap().parse::<ArchiveName>() else { continue };
        let content = match name.kind() {
            _ if name.as_str() == MANIFEST_NAME => continue,
            ArchiveKind::Blob => plain(&stored),
            kind => {
                let digests = Index::parse(kind, stored.into()).unwrap();
                let digests = digests.digests().map(|digest| digest.to_string());
                digests.flat_map(|text| plain(&chunks[&format!("{}/{text}", &text[..4])])).collect()
            }
        };
        found.insert(path, content);
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_88_what_was_pushed_encrypted_and_pulled_decrypted_elsewhere_is_the_original() {
    let (pair, _) = pushed_golden().await;
    let third = Site::new();
    third.add_store("copy");
    let (port, fingerprint) = (pair.far.port(), pair.far.fingerprint());
    let remote = ["remote", "create", "far", "--host", "127.0.0.1", "--port", &port, "--auth-id", READER];
    third.run(&[&remote[..], &["--password", PASSWORD, "--fingerprint", &fingerprint]].concat()).await.ok();
    let key = golden("key0.json").display().to_string();
    third.run(&["encryption-key", "create", "mine", "--key-file", &key]).await.ok();
    let job = ["sync-job", "create", "back", "--remote", "far", "--remote-store", "tank", "--store", "copy"];
    third.run(&[&job[..], &["--associated-key", "mine"]].concat()).await.ok();
    third.run(&["sync-job", "run", "back"]).await.ok();
    let copy = third.store_path("copy");
    assert_sound(&copy);
    let (mut original, copied) = (contents(&pair.near_store()), contents(&copy));
    // The mixed one never left.
    original.retain(|path, _| !path.starts_with("vm/202/"));
    assert_eq!(copied.keys().collect::<Vec<_>>(), original.keys().collect::<Vec<_>>());
    for (path, content) in &original {
        assert!(copied[path] == *content, "{path} differs");
    }
    assert!(manifests(&copy).values().any(Manifest::is_fully_encrypted), "those of a client stay encrypted");
    // Once more: nothing in either direction.
    let (before, there) = (content::tree(&copy), content::tree(&pair.far_store()));
    assert!(pair.pushed().await.contains("Summary: sync job found no new data to push\n"));
    assert_eq!(content::tree(&pair.far_store()), there);
    assert!(third.run(&["sync-job", "run", "back"]).await.ok().contains("found no new data to pull\n"));
    assert_eq!(content::tree(&copy), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_85_plain_snapshots_arrive_encrypted_and_a_client_with_the_key_restores_them() {
    let (pair, log) = pushed_golden().await;
    let (key, here) = (key0(), manifests(&pair.near_store()));
    let mut encrypted = 0;
    for (snapshot, manifest) in manifests(&pair.far_store()) {
        assert!(manifest.is_fully_encrypted(), "{snapshot}");
        let source = &here[&snapshot];
        if source.is_fully_encrypted() {
            assert!(
                manifest.has_same_protected_content(source) && manifest.signature == source.signature,
                "{snapshot}"
            );
            continue;
        }
        encrypted += 1;
        assert_eq!(manifest.check_signature(&key).unwrap(), SignatureState::Valid, "{snapshot}");
        assert_eq!(manifest.key_fingerprint().unwrap(), Some(key.fingerprint()), "{snapshot}");
        let signature = manifest.sync_source_signature().unwrap();
        assert_eq!(signature, Some(source.compute_signature(&key)), "{snapshot}");
        assert_eq!((manifest.verify_state(), manifest.notes()), (None, source.notes()), "{snapshot}");
        let line = format!("]: Encrypt source snapshot '{}' on the fly", source.snapshot());
        assert!(log.contains(&line), "{line}{log}");
    }
    assert_eq!(encrypted, 20);
    assert_sound(&pair.far_store());
    let is_sealed = |stored: &Vec<u8>| blob::check(stored).unwrap().is_encrypted();
    assert!(chunk_files(&pair.far_store()).values().all(is_sealed));
    let mut logs = snapshots(&pair.far_store());
    logs.retain(|path, _| path.ends_with(CLIENT_LOG_NAME));
    assert!(1 < logs.len() && logs.values().all(is_sealed));
    // Restored by somebody who has the key.
    let mut desk = Desk::at(&pair.far, READER, PASSWORD);
    desk.set("PBS_REPOSITORY", &format!("{READER}@127.0.0.1:{}:tank", pair.far.port()));
    let key_file = golden("key0.json").display().to_string();
    let sums = fs::read_to_string(golden("sources.sha256")).unwrap();
    for (archive, source) in [("drive-scsi0.img", "disk100-a.img"), ("qemu-server.conf", "vm100.conf")] {
        let target = desk.path(source);
        let restore = ["restore", FIRST, archive, target.to_str().unwrap()];
        assert!(desk.run(&restore).await.failed().contains("key"), "not without the key");
        desk.run(&[&restore[..], &["--keyfile", &key_file]].concat()).await.ok();
        let sum = sha256(&fs::read(&target).unwrap()).to_string();
        assert!(sums.lines().any(|line| line == format!("{sum}  {source}")), "{source}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_86_encrypted_snapshots_go_unmodified_and_a_mixed_one_is_left_out_with_a_warning() {
    let (pair, log) = pushed_golden().await;
    let (here, there) = (snapshots(&pair.near_store()), snapshots(&pair.far_store()));
    for path in here.keys().filter(|path| path.starts_with("vm/200/") || path.starts_with("host/enc1/")) {
        let is_index = path.ends_with("idx");
        let told = |content: &Vec<u8>| if is_index { content[4096..].to_vec() } else { content.clone() };
        assert!(path.ends_with(MANIFEST_NAME) || told(&here[path]) == told(&there[path]), "{path} differs");
    }
    let line = "already encrypted with client key, not re-encrypting with configured active encryption key\n";
    assert_eq!(log.matches(line).count(), 3, "{log}");
    assert!(here.keys().any(|path| path.starts_with("vm/202/")));
    assert!(!there.keys().any(|path| path.starts_with("vm/202/")));
    let line = "[vm/202]: Encountered partially encrypted snapshot 'vm/202/2026-01-01T10:00:00Z', refuse to re-encrypt";
    assert!(log.contains(line) && log.contains("TASK WARNINGS: 1"), "{log}");
    // Only encrypted ones, to an empty place: the key has nothing to do.
    pair.update(&["--encrypted-only", "true", "--remote-ns", "enc"]).await;
    pair.pushed().await;
    let mut there = manifests(&pair.far_store());
    there.retain(|snapshot, _| snapshot.starts_with("ns/enc/"));
    let key = key0().fingerprint();
    assert_eq!(there.len(), 3);
    assert!(there.values().all(|manifest| manifest.key_fingerprint().unwrap() != Some(key)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identical_snapshot_is_pushed_encrypted_without_reading_a_single_chunk() {
    let pair = PushPair::new(|store| add_disk(store, FIRST, 32)).await;
    activate_key(&pair).await;
    pair.pushed().await;
    add_disk(&pair.near.store("local"), SECOND, 32);
    // What is not there cannot be read.
    let chunks = content::referenced(&pair.near_store());
    assert_eq!(chunks.len(), 8);
    for path in &chunks {
        fs::remove_file(pair.near_store().join(".chunks").join(path)).unwrap();
    }
    let sent = pair.relay.statistics().up_bytes;
    let log = pair.pushed().await;
    assert!(log.contains("TASK OK"), "{log}");
    let sent = pair.relay.statistics().up_bytes - sent;
    assert!(sent < 100_000, "{sent} bytes");
    let there = manifests(&pair.far_store());
    let image = |snapshot: &str| there[snapshot].files[1].checksum;
    assert_eq!((there.len(), image(FIRST)), (2, image(SECOND)));
    assert_eq!(there[SECOND].check_signature(&key0()).unwrap(), SignatureState::Valid);
    assert_sound(&pair.far_store());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_key_nor_password_is_told_by_an_encrypting_push() {
    let pair = PushPair::new(|store| add_disk(store, FIRST, 8)).await;
    activate_key(&pair).await;
    let log = pair.pushed().await;
    assert!(log.contains("Loaded encryption key 'key0' with fingerprint '4b:7a:23:96:66:9c:0e:fd'\n"), "{log}");
    let key: serde_json::Value = serde_json::from_slice(&fs::read(golden("key0.json")).unwrap()).unwrap();
    let remotes = pair.near.app.settings.remotes().load().unwrap().entries;
    let remotes = remotes.all().unwrap();
    let password = remotes[0].secret().unwrap();
    let root = pair.near.root();
    let written = files(&root, &[root.join("etc")]);
    let there = files(&pair.far.root(), &[]);
    assert!(written.keys().any(|path| path.to_str().unwrap().contains("/pairs/")), "{:?}", written.keys());
    for secret in [key["data"].as_str().unwrap(), password.expose()] {
        assert!(16 < secret.len() && !log.contains(secret));
        for (path, content) in written.iter().chain(&there) {
            assert!(!content.windows(secret.len()).any(|part| part == secret.as_bytes()), "{}", path.display());
        }
    }
}
