//! What a run does with snapshots that the target has already, between datastores on disk.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use farhold_crypto::sha256;
use farhold_datastore::Datastore;
use farhold_datastore::verify::{ReadOrder, Reverify, SnapshotVerdict, Verifier, VerifyOptions, VerifyWatch};
use farhold_format::blob::BlobEncoder;
use farhold_format::index::FixedIndexBuilder;
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_sync::{SyncError, SyncOptions};
use farhold_types::{ArchiveKind, ArchiveName, CryptMode, Digest, Group, Namespace, Snapshot};
use serde_json::json;

use super::stores::{Stores, by_namespace, chunks, comparable, recorded, tree};
use super::support::encode;

/// Content of one chunk in bytes.
const LENGTH: u64 = 64 << 10;

const NEWEST: &str = "host/web1/2026-01-03T10:00:00Z";

fn root() -> Namespace {
    Namespace::root()
}

fn snapshot(text: &str) -> Snapshot {
    text.parse().unwrap()
}

fn failed() -> serde_json::Value {
    json!({ "state": "failed", "upid": "UPID:pbs:00000001:00000001:00000001:69000000:verify:store:root@pam:" })
}

/// The files of one chunk: its own, and damaged ones beside it.
fn files_of_chunk(base: &Path, digest: &Digest) -> Vec<PathBuf> {
    let name = digest.to_string();
    let folder = fs::read_dir(base.join(".chunks").join(&name[..4])).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.file_name().unwrap().to_str().unwrap().starts_with(&name));
    files.sort();
    files
}

fn first_chunk(store: &Datastore, what: &Snapshot) -> Digest {
    let (manifest, _) = store.read_manifest(&root(), what).unwrap();
    let file = manifest.files.iter().find(|file| file.name.kind() != ArchiveKind::Blob).unwrap();
    store.open_index(&root(), what, &file.name).unwrap().digests().next().unwrap()
}

fn flip_last_byte(file: &Path) {
    let mut content = fs::read(file).unwrap();
    *content.last_mut().unwrap() ^= 1;
    fs::write(file, content).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_52_a_local_sync_copies_one_store_into_another() {
    let mut stores = Stores::new();
    stores.names.remote = None;
    let run = stores.pull(stores.options()).await;
    run.result.unwrap();
    assert_eq!(tree(&stores.source_dir()), tree(&stores.target_dir()));
    assert_eq!(run.log[1], "sync datastore 'dst3' from 'golden'");
    let owner = stores.target.owner(&root(), &snapshot(NEWEST).group).unwrap();
    assert_eq!(owner.to_string(), "sync@pbs!t1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_changed_note_has_the_recorded_lines() {
    let stores = Stores::of("golden", ["alpha", "golden", "pulled"]);
    let mut options = stores.options();
    options.job = "alpha:golden:pulled::golden-pull".into();
    stores.pull(options.clone()).await.result.unwrap();
    stores.source.set_snapshot_notes(&root(), &snapshot("vm/100/2026-01-03T10:00:00Z"), "changed").unwrap();
    let run = stores.pull(options).await;
    run.result.unwrap();
    let ours = comparable(run.log).into_iter().map(|line| match line.split_once(" to pull, ") {
        // What we add behind the reference's words.
        Some((words, _)) => format!("{words} to pull"),
        None => line,
    });
    assert_eq!(by_namespace(ours.collect()), by_namespace(recorded("pull-note.log")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_13_protection_and_notes_stay_when_the_newest_snapshot_is_synced_again() {
    let stores = Stores::new();
    stores.pull(stores.options()).await.result.unwrap();
    let newest = snapshot(NEWEST);
    stores.target.set_protected(&root(), &newest, true).unwrap();
    stores.target.set_snapshot_notes(&root(), &newest, "set here").unwrap();
    stores.source.update_manifest(&root(), &newest, |members| drop(members.insert("other".into(), 1.into()))).unwrap();
    let run = stores.pull(stores.options()).await;
    assert_eq!(run.result.unwrap().changed_snapshots, 1);
    assert!(stores.target.is_protected(&root(), &newest).unwrap());
    assert_eq!(stores.target.snapshot_notes(&root(), &newest).unwrap(), "set here");
    let (manifest, _) = stores.target.read_manifest(&root(), &newest).unwrap();
    assert_eq!(manifest.unprotected["other"], 1);
    // Signed content is the source's, so a client that checks the signature still can.
    assert!(manifest.has_same_protected_content(&stores.source.read_manifest(&root(), &newest).unwrap().0));
    let run = stores.pull(stores.options()).await;
    assert_eq!(run.result.unwrap().changed_snapshots, 0, "{:#?}", run.log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_62_a_damaged_chunk_file_is_really_replaced_and_kept_beside() {
    // Unencrypted chunks are known by their digest, encrypted ones by their CRC.
    for what in ["vm/100/2026-01-01T10:00:00Z", "host/enc1/2026-01-01T10:00:00Z"] {
        let stores = Stores::new();
        stores.pull(stores.options()).await.result.unwrap();
        let (before, bad) = (chunks(&stores.target_dir()), snapshot(what));
        let digest = first_chunk(&stores.target, &bad);
        let path = files_of_chunk(&stores.target_dir(), &digest).remove(0);
        flip_last_byte(&path);
        let damaged = fs::read(&path).unwrap();
        stores
            .target
            .update_manifest(&root(), &bad, |members| drop(members.insert("verify_state".into(), failed())))
            .unwrap();

        let mut options = stores.options();
        options.selection.resync_corrupt = true;
        let run = stores.pull(options.clone()).await;
        let report = run.result.unwrap();
        assert_eq!((report.chunks, report.changed_snapshots), (1, 1), "{what}: {:#?}", run.log);
        assert_eq!(chunks(&stores.target_dir()), before, "{what}");
        assert_eq!(tree(&stores.target_dir()), tree(&stores.source_dir()), "{what}: the state of the source");
        let files = files_of_chunk(&stores.target_dir(), &digest);
        assert_eq!(files.len(), 2);
        assert!(files[1].to_str().unwrap().ends_with(".0.bad"));
        assert_eq!(fs::read(&files[1]).unwrap(), damaged);
        let run = stores.pull(options).await;
        assert_eq!((run.result.unwrap().chunks, files_of_chunk(&stores.target_dir(), &digest).len()), (0, 2));
    }
}

fn verify(store: &Datastore, what: &Snapshot) -> SnapshotVerdict {
    let one = NonZero::<usize>::MIN;
    let verifier = Verifier::new(store.clone(), VerifyOptions { readers: one, workers: one, order: ReadOrder::Index });
    let upid = "UPID:pbs:00000001:00000001:00000001:69000000:verify:target:root@pam:".parse().unwrap();
    let watch = VerifyWatch { on_event: &|_| {}, is_stopped: &|| false };
    verifier.verify_snapshot(&root(), what, &upid, &Reverify::Always, &watch).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_62_what_a_verification_found_bad_is_fetched_and_the_next_one_finds_it_whole() {
    let stores = Stores::new();
    let (mut on, off) = (stores.options(), stores.options());
    on.selection.resync_corrupt = true;
    stores.pull(off.clone()).await.result.unwrap();
    let bad = snapshot("vm/100/2026-01-01T10:00:00Z");
    flip_last_byte(&files_of_chunk(&stores.target_dir(), &first_chunk(&stores.target, &bad))[0]);
    let pulled = async |options: &SyncOptions| {
        let report = stores.pull(options.clone()).await.result.unwrap();
        (report.chunks, report.changed_snapshots)
    };
    assert_eq!(pulled(&on).await, (0, 0), "nobody has verified it");
    assert_eq!(verify(&stores.target, &bad), SnapshotVerdict::Failed);
    assert_eq!(pulled(&off).await, (0, 0));
    assert_eq!(pulled(&on).await, (1, 1));
    assert_eq!(verify(&stores.target, &bad), SnapshotVerdict::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_chunk_that_a_new_snapshot_needs_is_replaced_when_it_is_fetched() {
    // Another group's chunk lies in the store and is damaged; nothing is known of it, so it is fetched.
    let stores = Stores::new();
    let mut options = stores.options();
    stores.pull(options.clone()).await.result.unwrap();
    let before = chunks(&stores.target_dir());
    for name in before.keys() {
        flip_last_byte(&stores.target_dir().join(".chunks").join(&name[..4]).join(name));
    }
    for group in ["host", "vm", "ct"] {
        fs::remove_dir_all(stores.target_dir().join(group)).unwrap();
    }
    fs::remove_dir_all(stores.target_dir().join("ns")).unwrap();
    options.state_dir = None;
    stores.pull(options).await.result.unwrap();
    assert_eq!(chunks(&stores.target_dir()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_whose_first_snapshot_is_bad_still_gets_the_others() {
    let stores = Stores::new();
    let first = stores.source_dir().join("host/web1/2026-01-01T10:00:00Z");
    for file in fs::read_dir(&first).unwrap().map(|file| file.unwrap().path()) {
        if file.to_str().unwrap().ends_with(".didx") {
            flip_last_byte(&file);
        }
    }
    let run = stores.pull(stores.options()).await;
    assert!(matches!(&run.result, Err(SyncError::SomeFailed(report)) if report.failures.count == 1), "{:#?}", run.log);
    let group = snapshot(NEWEST).group;
    assert_eq!(stores.target.snapshots(&root(), &group).unwrap().len(), 2, "{:#?}", run.log);
    assert_eq!(stores.target.owner(&root(), &group).unwrap().to_string(), "sync@pbs!t1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_empty_group_and_no_temporary_file_is_left() {
    let stores = Stores::new();
    // Of one group nothing passes the filter, of another everything fails.
    let (filtered, failing) = (snapshot("vm/1000/2026-01-01T10:00:00Z"), snapshot("vm/150/2026-01-01T10:00:00Z"));
    let set_bad = |members: &mut serde_json::Map<_, _>| drop(members.insert("verify_state".to_owned(), failed()));
    stores.source.update_manifest(&root(), &filtered, set_bad).unwrap();
    flip_last_byte(&stores.source_dir().join(failing.to_string()).join("qemu-server.conf.blob"));
    let mut options = stores.options();
    options.selection.verified_only = true;
    let run = stores.pull(options.clone()).await;
    assert!(matches!(run.result, Err(SyncError::SomeFailed(_))));
    let groups: Vec<Group> = stores.target.groups(&root()).unwrap().into_iter().map(|info| info.group).collect();
    assert!(1 < groups.len() && !groups.contains(&filtered.group) && !groups.contains(&failing.group), "{groups:?}");
    let options = SyncOptions { selection: Default::default(), ..options };
    let _ = stores.pull(options).await;
    let left: Vec<String> = tree(&stores.target_dir()).into_keys().filter(|name| name.contains("tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!stores.target_dir().join(".chunks/.farhold-tmp").exists());
}

/// Adds a finished snapshot with these chunks to a store.
fn add_image(store: &Datastore, what: &Snapshot, seeds: std::ops::Range<u64>) {
    let _writing = store.lock_process_shared().unwrap();
    let (_, group) = store.create_group(&root(), &what.group, &"root@pam".parse().unwrap()).unwrap();
    let mut writer = store.begin_snapshot(&group, what.time).unwrap();
    let count = seeds.end - seeds.start;
    let mut index = FixedIndexBuilder::new([1; 16], what.time, count * LENGTH, LENGTH).unwrap();
    for (position, seed) in seeds.enumerate() {
        let content = super::support::content(seed, usize::try_from(LENGTH).unwrap());
        store.insert_chunk(&sha256(&content), &encode(&content)).unwrap();
        index.set(position, sha256(&content)).unwrap();
    }
    let index = index.finish().unwrap();
    let name: ArchiveName = "drive.img.fidx".parse().unwrap();
    writer.put(&name, index.as_bytes()).unwrap();
    let mut manifest = Manifest::new(what);
    let (size_bytes, checksum) = (index.size_bytes(), index.checksum());
    manifest.files.push(ManifestFile { name, crypt_mode: CryptMode::None, size_bytes, checksum });
    writer.commit(&manifest.to_blob(&mut BlobEncoder::new()).unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_on_disk_needs_no_chunk_of_its_owner_and_all_of_anybody_else() {
    for (owner, is_failed, fetched) in [("sync@pbs!t1", false, 0), ("other@pbs", false, 20), ("sync@pbs!t1", true, 20)]
    {
        let stores = Stores::new();
        let (original, clone) = (snapshot("vm/7001/2026-01-01T10:00:00Z"), snapshot("vm/7002/2026-01-01T10:00:00Z"));
        add_image(&stores.source, &original, 0..20);
        add_image(&stores.source, &clone, 0..20);
        let mut options = stores.options();
        options.group_filter = vec!["group:vm/7001".parse().unwrap()];
        assert_eq!(stores.pull(options.clone()).await.result.unwrap().chunks, 20);
        let lock = stores.target.lock_group(&root(), &original.group).unwrap();
        stores.target.set_owner(&lock, &owner.parse().unwrap()).unwrap();
        drop(lock);
        if is_failed {
            let set_bad =
                |members: &mut serde_json::Map<_, _>| drop(members.insert("verify_state".to_owned(), failed()));
            stores.target.update_manifest(&root(), &original, set_bad).unwrap();
        }
        options.group_filter = vec!["group:vm/7002".parse().unwrap()];
        let report = stores.pull(options).await.result.unwrap();
        assert_eq!((report.chunks, report.changed_snapshots), (fetched, 1), "{owner}, {is_failed}");
        let (ours, theirs) = (stores.target_dir(), stores.source_dir());
        assert_eq!(
            tree(&ours.join("vm/7002/2026-01-01T10:00:00Z")),
            tree(&theirs.join("vm/7002/2026-01-01T10:00:00Z"))
        );
    }
}
