//! Groups, snapshots and namespaces from creation to removal.

use std::sync::Arc;

use farhold_datastore::{Datastore, DatastoreError, ErrorKind, OpenError, OpenOptions, RemoveGroups, SnapshotOrigin};
use farhold_format::blob::BlobEncoder;
use farhold_format::manifest::Manifest;
use farhold_storage::{Durability, FaultyStorage, MemoryStorage, Operation, Staging, Storage};
use farhold_types::{Authid, DeleteStatistics, Group, Namespace, Snapshot, SyncLevel};
use serde_json::json;

use crate::support::{BLOB, INDEX, check_whole, local_options, memory, options, root, sample, snapshot, unpack, write};

struct Bench {
    memory: MemoryStorage,
    _locks: tempfile::TempDir,
    store: Datastore,
}

fn bench() -> Bench {
    let (memory, locks) = (memory(), tempfile::tempdir().expect("created"));
    let store = Datastore::open(options(Arc::new(memory.clone()), locks.path())).expect("opened");
    Bench { memory, _locks: locks, store }
}

fn put(memory: &MemoryStorage, path: &str, content: &[u8]) {
    let path: farhold_storage::StorePath = path.parse().expect("valid");
    memory.create_dirs(&path.parent().expect("below")).expect("created");
    memory.write_atomic(&path, content, Durability::Cached, Staging::Beside).expect("written");
}

fn owner() -> Authid {
    "sync@pbs!t1".parse().expect("valid")
}

fn finished(store: &Datastore, text: &str) -> Snapshot {
    let at = snapshot(text);
    write(store, &at, &sample(&at, text.as_bytes())).expect("written");
    at
}

#[test]
fn what_is_no_store_is_not_opened() {
    let (directory, locks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = |path: &std::path::Path| Datastore::open(local_options(path, locks.path()));
    assert!(matches!(open(directory.path()), Err(OpenError::Missing { path }) if path.ends_with(".chunks")));
    assert!(matches!(open("relative".as_ref()), Err(OpenError::Path { .. })));
    assert!(matches!(open("/".as_ref()), Err(OpenError::Path { .. })));
    std::fs::write(directory.path().join(".chunks"), b"").unwrap();
    assert!(matches!(open(directory.path()), Err(OpenError::Kind { .. })));
    assert!(!directory.path().join(".lock").exists());
}

/// Golden checks 20, 21 and 26, and stray entries of all kinds.
#[test]
fn listings_pass_over_what_does_not_belong() {
    let Bench { memory, store, .. } = bench();
    let groups = [
        "ct/9",
        "ct/010",
        "ct/10",
        "ct/101",
        "ct/abc",
        "host/a",
        "host/big",
        "vm/2",
        "vm/100",
        "vm/18446744073709551616",
    ];
    for group in groups.iter().rev() {
        put(&memory, &format!("{group}/owner"), b"sync@pbs!t1  \nsecond line\n");
    }
    for stray in [
        "host/noowner/2026-01-01T10:00:00Z/index.json.blob",
        "lost+found/x",
        "foo/bar/owner",
        "vm/-bad/owner",
        "vm/file",
        "ns/.x/vm/1/owner",
        "ns/lost+found/x",
        "ns/plainfile",
        "vm/2/2026-02-30T10:00:00Z/index.json.blob",
        "vm/2/2026-13-01T10:00:00Z/index.json.blob",
        "vm/2/2026-01-01T10:00:00Z/x.fidx",
        "vm/2/2026-01-01T10:00:00Z/x.tmp",
        "vm/2/2026-01-01T10:00:00Z/.hidden.fidx",
        "vm/2/2026-01-01T10:00:00Z/dir.fidx/x",
        "vm/2/notes",
        ".tmp/x",
        ".gc-status",
    ] {
        put(&memory, stray, b"");
    }
    put(&memory, "host/emptyowner/owner", b"\nsync@pbs\n");
    let listed: Vec<String> = store.groups(&root()).unwrap().iter().map(|info| info.group.to_string()).collect();
    assert_eq!(listed, groups);
    assert_eq!(store.groups(&root()).unwrap()[0].owner, owner());
    assert_eq!(store.namespaces(&root(), 7).unwrap(), [root()]);
    let snapshots = store.snapshots(&root(), &"vm/2".parse().unwrap()).unwrap();
    assert_eq!(snapshots.len(), 1);
    let files: Vec<String> = snapshots[0].files.iter().map(ToString::to_string).collect();
    assert_eq!((files, snapshots[0].has_manifest), (vec!["x.fidx".to_owned()], false));
    assert_eq!(store.snapshots(&root(), &"vm/7".parse().unwrap()).unwrap_err().kind(), ErrorKind::NotFound);
    let missing: Namespace = "nosuch".parse().unwrap();
    assert!(matches!(store.groups(&missing), Err(DatastoreError::NamespaceMissing { .. })));
}

#[test]
fn namespaces_need_their_parent_and_come_depth_first() {
    let Bench { store, .. } = bench();
    let create = |text: &str| store.create_namespace(&text.parse().unwrap());
    assert_eq!(create("a/b").unwrap_err().kind(), ErrorKind::NotFound);
    for text in ["a", "b", "a/b", "a/a", "a/b/ns", "a/b/ns/vm"] {
        assert!(create(text).unwrap(), "{text}");
        assert!(!create(text).unwrap(), "{text}");
    }
    let names = |anchor: &str, depth| -> Vec<String> {
        let list = store.namespaces(&anchor.parse().unwrap(), depth).unwrap();
        list.iter().map(ToString::to_string).collect()
    };
    assert_eq!(names("", 7), ["", "a", "a/a", "a/b", "a/b/ns", "a/b/ns/vm", "b"]);
    assert_eq!(names("a", 1), ["a", "a/a", "a/b"]);
    assert_eq!(names("none", 3), ["none"]);
    let mut deep = String::from("d");
    for _ in 0..7 {
        assert!(create(&deep).unwrap());
        deep.push_str("/d");
    }
    assert_eq!(names("d", usize::MAX).len(), 7);
}

#[test]
fn a_group_keeps_its_first_owner_until_it_is_changed() {
    let Bench { memory, store, .. } = bench();
    let group: Group = "vm/100".parse().unwrap();
    let other: Authid = "other@pbs".parse().unwrap();
    let (found, lock) = store.create_group(&root(), &group, &owner()).unwrap();
    assert_eq!(found, owner());
    assert_eq!(memory.read(&"vm/100/owner".parse().unwrap(), 100).unwrap(), "sync@pbs!t1\n");
    store.set_group_notes(&lock, "first\nsecond").unwrap();
    drop(lock);
    let (found, lock) = store.create_group(&root(), &group, &other).unwrap();
    assert_eq!(found, owner());
    store.set_owner(&lock, &other).unwrap();
    assert_eq!(store.owner(&root(), &group).unwrap(), other);
    assert_eq!(store.group_notes(&root(), &group).unwrap(), "first\nsecond");
    let item = store.group_item(&root(), &group).unwrap();
    assert_eq!((item.comment.as_deref(), item.last_backup.0, item.backup_count), (Some("first"), 0, 0));
    drop(lock);
    let missing = store.create_group(&"nosuch".parse().unwrap(), &group, &other);
    assert!(matches!(missing, Err(DatastoreError::NamespaceMissing { .. })));

    // A kill between directory and owner file is repaired; a group with snapshots and no owner is not taken over.
    put(&memory, "ct/1/x", b"");
    assert_eq!(store.create_group(&root(), &"ct/1".parse().unwrap(), &other).unwrap().0, other);
    put(&memory, "ct/2/2026-01-01T10:00:00Z/index.json.blob", b"");
    let stolen = store.create_group(&root(), &"ct/2".parse().unwrap(), &other);
    assert!(matches!(stolen, Err(DatastoreError::OwnerUnreadable { .. })));
}

#[test]
fn group_items_show_the_newest_finished_snapshot_or_a_single_unfinished_one() {
    let Bench { memory, store, .. } = bench();
    let group: Group = "vm/100".parse().unwrap();
    put(&memory, "vm/100/owner", b"sync@pbs!t1\n");
    put(&memory, "vm/100/2026-01-03T10:00:00Z/a.fidx", b"");
    let item = store.group_item(&root(), &group).unwrap();
    assert_eq!((item.last_backup, item.files), (snapshot("vm/100/2026-01-03T10:00:00Z").time, vec!["a.fidx".into()]));
    put(&memory, "vm/100/2026-01-02T10:00:00Z/a.fidx", b"");
    assert_eq!(store.group_item(&root(), &group).unwrap().last_backup.0, 0);
    let at = finished(&store, "vm/100/2026-01-01T10:00:00Z");
    let item = store.group_item(&root(), &group).unwrap();
    assert_eq!((item.last_backup, item.backup_count), (at.time, 3));
    assert_eq!(item.files, [BLOB, "index.json.blob", INDEX]);
}

#[test]
fn writing_again_resumes_an_unfinished_snapshot_and_cleans_up() {
    let Bench { memory, store, .. } = bench();
    let at = snapshot("vm/100/2026-01-01T10:00:00Z");
    let sample = sample(&at, b"content");
    let directory = "vm/100/2026-01-01T10:00:00Z";
    let (_, group) = store.create_group(&root(), &at.group, &owner()).unwrap();
    drop(store.begin_snapshot(&group, at.time).unwrap());
    assert_eq!(store.snapshots(&root(), &at.group).unwrap(), [], "an empty directory would block a backup");
    {
        let mut writer = store.begin_snapshot(&group, at.time).unwrap();
        assert_eq!((writer.origin(), writer.is_new()), (SnapshotOrigin::New, true));
        writer.put(&INDEX.parse().unwrap(), &sample.index).unwrap();
        // Dropped: a lost connection keeps what is there.
    }
    for leftover in ["index.json.tmp", "a.conf.tmpdec", "index.json.tmp_Ab3xYz", "root.pxar.tmp_didx"] {
        put(&memory, &format!("{directory}/{leftover}"), b"half");
    }
    let mut writer = store.begin_snapshot(&group, at.time).unwrap();
    assert_eq!((writer.origin(), writer.is_new()), (SnapshotOrigin::Unfinished, true));
    assert_eq!(writer.existing(&INDEX.parse().unwrap()).unwrap().unwrap(), sample.index);
    assert_eq!(writer.existing(&BLOB.parse().unwrap()).unwrap(), None);
    assert!(!memory.all_paths().iter().any(|path| path.contains("tmp")));
    store.insert_chunk(&sample.chunk.0, &sample.chunk.1).unwrap();
    writer.put(&BLOB.parse().unwrap(), &sample.blob).unwrap();
    put(&memory, &format!("{directory}/client.log.tmp"), b"");
    writer.commit(&sample.manifest).unwrap();
    writer.discard().unwrap();
    check_whole(&store, &root(), &at);
    assert!(!memory.all_paths().iter().any(|path| path.contains("log.tmp")));
}

/// Golden check 25, the pull part: new notes at the source, a local `.protected`.
#[test]
fn writing_a_snapshot_again_keeps_its_protection_log_and_directories() {
    let Bench { memory, store, .. } = bench();
    let at = finished(&store, "vm/100/2026-01-01T10:00:00Z");
    let directory = "vm/100/2026-01-01T10:00:00Z";
    store.set_protected(&root(), &at, true).unwrap();
    for extra in ["client.log.blob", "old.img.fidx", "stray.txt", "sub/kept"] {
        put(&memory, &format!("{directory}/{extra}"), b"x");
    }
    let mut changed = sample(&at, b"vm/100/2026-01-01T10:00:00Z").parsed;
    changed.set_notes("new at the source");
    let group = store.lock_group(&root(), &at.group).unwrap();
    let mut writer = store.begin_snapshot(&group, at.time).unwrap();
    assert_eq!((writer.origin(), writer.is_new()), (SnapshotOrigin::Finished, false));
    writer.commit(&changed.to_blob(&mut BlobEncoder::new()).unwrap()).unwrap();
    let mut removed = writer.remove_unlisted(&changed).unwrap();
    removed.sort();
    assert_eq!(removed, ["old.img.fidx", "stray.txt"]);
    drop(writer);
    assert!(store.is_protected(&root(), &at).unwrap());
    assert_eq!(store.snapshot_notes(&root(), &at).unwrap(), "new at the source");
    let left: Vec<String> = memory.all_paths().into_iter().filter(|path| path.starts_with(directory)).collect();
    assert_eq!(left.len(), 8, "{left:?}");
    check_whole(&store, &root(), &at);
    let discarded = store.begin_snapshot(&group, at.time).unwrap();
    discarded.discard().unwrap();
    check_whole(&store, &root(), &at);
}

#[test]
fn files_with_one_stem_do_not_meet_while_they_wait() {
    let Bench { store, .. } = bench();
    let at = finished(&store, "vm/100/2026-01-01T10:00:00Z");
    let group = store.lock_group(&root(), &at.group).unwrap();
    let mut writer = store.begin_snapshot(&group, at.time).unwrap();
    for name in ["a.img.fidx", "a.img.didx", "a.img.blob"] {
        writer.put(&name.parse().unwrap(), name.as_bytes()).unwrap();
    }
    assert_eq!(store.snapshot_info(&root(), &at).unwrap().files.len(), 3);
    assert_eq!(writer.existing(&"a.img.didx".parse().unwrap()).unwrap().unwrap(), "a.img.didx");
    drop(writer);
    let mut writer = store.begin_snapshot(&group, at.time).unwrap();
    assert_eq!(writer.existing(&"a.img.didx".parse().unwrap()).unwrap(), None);
    for name in ["a.img.fidx", "a.img.didx"] {
        writer.put(&name.parse().unwrap(), name.as_bytes()).unwrap();
    }
    writer.commit(&sample(&at, b"vm/100/2026-01-01T10:00:00Z").manifest).unwrap();
    assert_eq!(store.read_file(&root(), &at, &"a.img.fidx".parse().unwrap()).unwrap(), "a.img.fidx");
    assert_eq!(store.snapshot_info(&root(), &at).unwrap().files.len(), 5);
}

#[test]
fn changing_notes_keeps_everything_else_even_what_we_do_not_know() {
    let Bench { memory, store, .. } = bench();
    let at = finished(&store, "vm/100/2026-01-01T10:00:00Z");
    let (before, _) = store.read_manifest(&root(), &at).unwrap();
    let mut text: serde_json::Value = serde_json::from_str(&before.to_json()).unwrap();
    text["future"] = json!({"b": [1, 2], "a": null});
    text["unprotected"]["other"] = json!(18_446_744_073_709_551_615_u64);
    let encoded =
        BlobEncoder::new().encode(text.to_string().as_bytes(), farhold_format::blob::Compression::Off, None).unwrap();
    put(&memory, "vm/100/2026-01-01T10:00:00Z/index.json.blob", &encoded);
    store.set_snapshot_notes(&root(), &at, "first line\nsecond").unwrap();
    let (after, raw) = store.read_manifest(&root(), &at).unwrap();
    assert_eq!((after.canonical(), after.notes()), (before.canonical(), Some("first line\nsecond")));
    let decoded = farhold_format::blob::BlobDecoder::new().decode(&raw, None, 1 << 20).unwrap();
    let decoded: serde_json::Value = serde_json::from_slice(&decoded).unwrap();
    assert_eq!(
        (&decoded["future"], &decoded["unprotected"]["other"]),
        (&text["future"], &text["unprotected"]["other"])
    );
    assert_eq!(store.snapshot_item(&root(), &at).unwrap().comment.as_deref(), Some("first line"));
}

#[test]
fn signatures_of_recorded_snapshots_survive_new_notes() {
    let golden = unpack("golden");
    let at = snapshot("vm/201/2026-01-01T10:00:00Z");
    let (before, _) = golden.store.read_manifest(&root(), &at).unwrap();
    golden.store.set_snapshot_notes(&root(), &at, "noted").unwrap();
    let (after, raw) = golden.store.read_manifest(&root(), &at).unwrap();
    assert_eq!((after.canonical(), after.signature), (before.canonical(), before.signature));
    // The file is written as the reference writes it.
    let text = farhold_format::blob::BlobDecoder::new().decode(&raw, None, 1 << 20).unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), Manifest::from_blob(&raw).unwrap().to_json());
}

#[test]
fn removal_spares_what_is_protected_and_says_what_it_did() {
    let Bench { memory, store, .. } = bench();
    let first = finished(&store, "vm/100/2026-01-01T10:00:00Z");
    let second = finished(&store, "vm/100/2026-01-02T10:00:00Z");
    finished(&store, "ct/1/2026-01-02T10:00:00Z");
    store.set_protected(&root(), &second, true).unwrap();
    let protected = store.remove_snapshot(&root(), &second).unwrap_err();
    assert!(matches!(protected, DatastoreError::Protected { .. }));
    let statistics = store.remove_group(&root(), &first.group).unwrap();
    let expected = DeleteStatistics { removed_groups: 0, protected_snapshots: 1, removed_snapshots: 1 };
    assert_eq!(statistics, expected);
    check_whole(&store, &root(), &second);
    store.set_protected(&root(), &second, false).unwrap();
    put(&memory, "vm/100/notes", b"x");
    put(&memory, "vm/100/notes.tmp_Ab3xYz", b"x");
    // Who holds the group keeps it, even when its last snapshot goes.
    let group = store.lock_group(&root(), &second.group).unwrap();
    store.remove_snapshot(&root(), &second).unwrap();
    assert_eq!(store.snapshots(&root(), &second.group).unwrap().len(), 0);
    assert!(store.remove_group_if_empty(&group).unwrap() && group.is_removed());
    assert_eq!(store.lock_group(&root(), &second.group).unwrap_err().kind(), ErrorKind::NotFound);
    store.remove_snapshot(&root(), &snapshot("ct/1/2026-01-02T10:00:00Z")).unwrap();
    assert!(!memory.all_paths().iter().any(|path| path.starts_with("ct/1") || path.starts_with("vm/100")));
    assert!(memory.all_paths().iter().any(|path| path.starts_with(".chunks/")));
}

#[test]
fn namespaces_go_deepest_first_and_stay_where_something_is_left() {
    let Bench { memory, store, .. } = bench();
    let namespaces = ["a", "a/b", "a/b/c", "a/d"].map(|text| text.parse::<Namespace>().unwrap());
    for namespace in &namespaces {
        store.create_namespace(namespace).unwrap();
    }
    put(&memory, "ns/a/ns/b/vm/1/owner", b"sync@pbs\n");
    put(&memory, "ns/a/ns/b/vm/1/2026-01-01T10:00:00Z/.protected", b"");
    put(&memory, "ns/a/ns/d/ct/1/owner", b"sync@pbs\n");
    put(&memory, "ns/a/ns/d/ct/1/2026-01-01T10:00:00Z/index.json.blob", b"");
    let removal = store.remove_namespace(&namespaces[0], RemoveGroups::No).unwrap();
    assert_eq!(removal.statistics, DeleteStatistics::default());
    assert_eq!(removal.removed, [namespaces[2].clone()]);
    let removal = store.remove_namespace(&namespaces[0], RemoveGroups::Yes).unwrap();
    let expected = DeleteStatistics { removed_groups: 1, protected_snapshots: 1, removed_snapshots: 1 };
    assert_eq!(removal.statistics, expected);
    assert_eq!(removal.removed, [namespaces[3].clone()]);
    assert_eq!(removal.remaining, [namespaces[1].clone(), namespaces[0].clone()]);
    memory.remove_file(&"ns/a/ns/b/vm/1/2026-01-01T10:00:00Z/.protected".parse().unwrap()).unwrap();
    let removal = store.remove_namespace(&namespaces[0], RemoveGroups::Yes).unwrap();
    assert_eq!((removal.remaining.len(), removal.removed.len()), (0, 2));
    assert!(!store.namespace_exists(&namespaces[0]).unwrap());
    assert_eq!(store.remove_namespace(&namespaces[0], RemoveGroups::Yes).unwrap(), Default::default());
}

#[test]
fn only_unfinished_snapshots_are_removed_as_such() {
    let Bench { memory, store, .. } = bench();
    let done = finished(&store, "vm/100/2026-01-01T10:00:00Z");
    put(&memory, "vm/100/2026-01-02T10:00:00Z/a.fidx", b"");
    let unfinished = snapshot("vm/100/2026-01-02T10:00:00Z");
    assert!(!store.remove_unfinished(&root(), &done).unwrap());
    assert!(store.remove_unfinished(&root(), &unfinished).unwrap());
    assert_eq!(store.remove_unfinished(&root(), &unfinished).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.snapshots(&root(), &done.group).unwrap().len(), 1);
}

#[test]
fn a_manifest_made_of_the_stored_one_never_loses_a_note_set_meanwhile() {
    // Without and with other files that wait for the commit.
    for has_waiting in [false, true] {
        let Bench { store, .. } = bench();
        let snapshot = finished(&store, "vm/100/2026-01-01T10:00:00Z");
        let sample = sample(&snapshot, b"vm/100/2026-01-01T10:00:00Z");
        let (_, group) = store.create_group(&root(), &snapshot.group, &owner()).unwrap();
        let mut writer = store.begin_snapshot(&group, snapshot.time).unwrap();
        if has_waiting {
            writer.put(&BLOB.parse().unwrap(), &sample.blob).unwrap();
        }
        let calls = std::cell::Cell::new(0);
        let make = |stored: Option<&bytes::Bytes>| {
            if calls.replace(calls.get() + 1) == 0 && has_waiting {
                // The first look is not under the lock, so this gets through.
                store.set_snapshot_notes(&root(), &snapshot, "meanwhile").unwrap();
            }
            Ok(stored.unwrap().clone())
        };
        if !has_waiting {
            store.set_snapshot_notes(&root(), &snapshot, "meanwhile").unwrap();
        }
        writer.commit_with(&make).unwrap();
        assert_eq!(calls.get(), if has_waiting { 2 } else { 1 });
        assert_eq!(store.snapshot_notes(&root(), &snapshot).unwrap(), "meanwhile");
        drop(writer);
        check_whole(&store, &root(), &snapshot);
    }
}

#[test]
fn the_length_of_a_file_in_place_is_told_without_reading_it() {
    let Bench { store, .. } = bench();
    let snapshot = finished(&store, "vm/100/2026-01-01T10:00:00Z");
    let (_, group) = store.create_group(&root(), &snapshot.group, &owner()).unwrap();
    let writer = store.begin_snapshot(&group, snapshot.time).unwrap();
    let expected = sample(&snapshot, b"vm/100/2026-01-01T10:00:00Z").blob.len() as u64;
    assert_eq!(writer.file_bytes(&BLOB.parse().unwrap()).unwrap(), Some(expected));
    assert_eq!(writer.file_bytes(&"other.blob".parse().unwrap()).unwrap(), None);
}

#[test]
fn a_store_whose_file_system_is_away_is_not_one_without_backups() {
    let directory = tempfile::tempdir().expect("created");
    let (base, aside) = (directory.path().join("store"), directory.path().join("aside"));
    let options = local_options(&base, directory.path());
    let store = Datastore::create(options, farhold_datastore::AccessTimeCheck::Skip).expect("created");
    let at = finished(&store, "vm/100/2026-01-01T00:00:00Z");
    std::fs::rename(&base, &aside).expect("away");
    for is_mount_point in [false, true] {
        if is_mount_point {
            std::fs::create_dir(&base).expect("an empty directory in its place");
        }
        let away = |result: Result<usize, DatastoreError>| {
            let error = result.expect_err("nothing can be said about what is away");
            assert!(matches!(error, DatastoreError::StoreAway { .. }), "{is_mount_point}: {error}");
        };
        away(store.namespaces(&root(), 7).map(|found| found.len()));
        away(store.groups(&root()).map(|found| found.len()));
        away(store.groups_and_owners(&root()).map(|found| found.len()));
    }
    std::fs::remove_dir(&base).expect("unmounted");
    std::fs::rename(&aside, &base).expect("back");
    assert_eq!(store.groups(&root()).expect("listed").len(), 1);
    check_whole(&store, &root(), &at);
}

#[test]
fn a_group_with_something_whose_name_is_no_text_keeps_its_owner() {
    use std::os::unix::ffi::OsStrExt;
    let (base, locks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(base.path().join(".chunks")).unwrap();
    let store = Datastore::open(local_options(base.path(), locks.path())).unwrap();
    let text = snapshot("vm/100/2026-01-01T10:00:00Z");
    write(&store, &text, &sample(&text, b"content")).unwrap();
    let foreign = base.path().join("vm/100").join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    std::fs::write(&foreign, "mine").unwrap();
    assert_eq!(store.remove_group(&root(), &text.group).unwrap().removed_groups, 0);
    store.owner(&root(), &text.group).unwrap();
    std::fs::remove_file(foreign).unwrap();
    assert_eq!(store.remove_group(&root(), &text.group).unwrap().removed_groups, 1);
}

#[test]
fn protection_is_on_the_device_when_it_is_reported() {
    let (memory, locks) = (memory(), tempfile::tempdir().unwrap());
    for (level, flushes) in [(SyncLevel::None, 0), (SyncLevel::File, 1), (SyncLevel::Filesystem, 1)] {
        let faulty = FaultyStorage::new(Arc::new(memory.clone()), Vec::new());
        let options = OpenOptions { sync_level: level, ..options(Arc::new(faulty.clone()), locks.path()) };
        let store = Datastore::open(options).unwrap();
        let text = snapshot("vm/100/2026-01-01T10:00:00Z");
        write(&store, &text, &sample(&text, b"content")).unwrap();
        faulty.clear_calls();
        store.set_protected(&root(), &text, true).unwrap();
        assert_eq!(faulty.call_count(Operation::SyncFile), flushes, "{level:?}");
        store.set_protected(&root(), &text, false).unwrap();
    }
}
