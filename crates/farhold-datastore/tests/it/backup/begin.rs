//! Every check before a session, and that a refusal changes nothing.

use farhold_datastore::backup::{BackupKind, BeginBackupError, UploadStatistics};
use farhold_datastore::{Datastore, DatastoreError, ErrorKind};
use farhold_storage::{Durability, Staging, Storage};
use farhold_types::{Epoch, VerificationItem, VerifyState};

use super::{Bench, authid, fill, first, second};
use crate::support::{local_options, root, sample, snapshot};

const UPID: &str = "UPID:vm:00001234:00005678:00000000:6B024598:verify:tank:root@pam:";

fn set_verify_state(bench: &Bench, state: VerifyState, upid: &str) {
    let item = serde_json::json!(VerificationItem { upid: upid.to_owned(), state });
    bench
        .store
        .update_manifest(&root(), &first(), |unprotected| {
            unprotected.insert("verify_state".to_owned(), item);
        })
        .expect("valid");
}

fn put(bench: &Bench, path: &str, content: &[u8]) {
    bench
        .memory
        .write_atomic(&path.parse().expect("valid"), content, Durability::Cached, Staging::Beside)
        .expect("valid");
}

#[test]
fn the_first_backup_of_a_group_makes_the_group_and_its_owner() {
    let bench = Bench::new();
    bench.store.create_namespace(&"a".parse().unwrap()).unwrap();
    let namespace = "a".parse().unwrap();
    let caller = authid("joe@pbs");
    let writer = bench.store.begin_backup(&namespace, &first(), &caller, BackupKind::Normal).unwrap();
    assert_eq!((writer.base(), writer.snapshot(), writer.namespace()), (None, &first(), &namespace));
    assert_eq!(bench.store.owner(&namespace, &first().group).unwrap(), caller);
    assert!(bench.store.oldest_writer().is_some());
    let busy = |error: DatastoreError| error.kind() == ErrorKind::Busy;
    assert!(bench.store.lock_group(&namespace, &first().group).is_err_and(busy));
    assert!(bench.store.lock_snapshot_shared(&namespace, &first()).is_err_and(busy));
    assert!(!bench.store.snapshot_info(&namespace, &first()).unwrap().has_manifest);
}

/// Each case breaks the rule of its number and every later one that can be broken together with it.
#[test]
fn the_rules_are_checked_in_their_order_and_a_refusal_changes_nothing() {
    let bench = Bench::new();
    bench.back_up(&second());
    bench.memory.create_dirs(&"vm/100/2026-01-01T10:00:00Z".parse().unwrap()).unwrap();
    bench.memory.create_dirs(&"vm/100/2026-01-03T10:00:00Z".parse().unwrap()).unwrap();
    let third = snapshot("vm/100/2026-01-03T10:00:00Z");
    let (owner, other) = (authid("sync@pbs!t1"), authid("joe@pbs"));
    let before = bench.paths();
    let begin = |namespace: &str, snapshot: &_, caller: &_, kind| {
        let outcome = bench.store.begin_backup(&namespace.parse().unwrap(), snapshot, caller, kind);
        assert_eq!(bench.paths(), before);
        let error = outcome.unwrap_err();
        assert!(bench.store.oldest_writer().is_none(), "{error}");
        error
    };
    let (normal, benchmark) = (BackupKind::Normal, BackupKind::Benchmark);
    // 5
    let error = begin("missing", &first(), &other, benchmark);
    assert!(matches!(&error, BeginBackupError::NamespaceMissing { namespace } if namespace.to_string() == "missing"));
    // 6
    let error = begin("", &first(), &other, benchmark);
    assert!(matches!(error, BeginBackupError::NoBenchmark { .. }), "{error}");
    let error = begin("", &snapshot("host/benchmark/2026-01-01T10:00:00Z"), &other, normal);
    assert!(matches!(error, BeginBackupError::OnlyBenchmarks { .. }), "{error}");
    for time in [Epoch(Epoch::MAX.0 + 1), Epoch(i64::MAX), Epoch(i64::MIN)] {
        let error = begin("", &first().group.at(time), &other, normal);
        assert!(matches!(error, BeginBackupError::Time { .. }), "{error}");
    }
    // 7
    let lock = bench.store.lock_group(&root(), &first().group).unwrap();
    let error = begin("", &first(), &other, normal);
    assert!(matches!(&error, BeginBackupError::Datastore(error) if error.kind() == ErrorKind::Busy), "{error}");
    drop(lock);
    // 8
    let error = begin("", &first(), &other, normal);
    assert!(matches!(error, BeginBackupError::NotOwner { .. }), "{error}");
    // 10
    let error = begin("", &first(), &owner, normal);
    assert!(matches!(error, BeginBackupError::NotNewer { .. }), "{error}");
    assert!(matches!(begin("", &second(), &owner, normal), BeginBackupError::NotNewer { .. }));
    // 11
    let lock = bench.store.lock_snapshot(&root(), &second()).unwrap();
    let error = begin("", &third, &owner, normal);
    assert!(matches!(&error, BeginBackupError::Datastore(error) if error.kind() == ErrorKind::Busy), "{error}");
    drop(lock);
    // 12
    let error = begin("", &third, &owner, normal);
    assert!(matches!(&error, BeginBackupError::Exists { snapshot } if *snapshot == third), "{error}");
    let lock = bench.store.lock_snapshot(&root(), &third).unwrap();
    let error = begin("", &third, &owner, normal);
    assert!(matches!(&error, BeginBackupError::Datastore(error) if error.kind() == ErrorKind::Busy), "{error}");
    drop(lock);
    // 9, which comes before 10.
    put(&bench, "vm/100/2026-01-02T10:00:00Z/index.json.blob", b"no manifest");
    let error = begin("", &first(), &owner, normal);
    assert!(matches!(&error, BeginBackupError::BaseUnreadable { base, .. } if *base == second()), "{error}");
    assert!(bench.is_free(&root(), &third));
}

#[test]
fn a_group_belongs_to_its_owner_and_to_the_user_of_an_owning_token() {
    let bench = Bench::new();
    // Owner, caller, accepted.
    let cases = [
        ("joe@pbs", "joe@pbs", true),
        ("joe@pbs!t1", "joe@pbs!t1", true),
        ("joe@pbs!t1", "joe@pbs", true),
        ("joe@pbs", "joe@pbs!t1", false),
        ("joe@pbs!t1", "joe@pbs!t2", false),
        ("joe@pbs", "root@pam", false),
        ("root@pam!t1", "root@pam", true),
    ];
    for (owner, caller, is_accepted) in cases {
        let (_, lock) = bench.store.create_group(&root(), &first().group, &authid(owner)).unwrap();
        bench.store.set_owner(&lock, &authid(owner)).unwrap();
        drop(lock);
        let outcome = bench.store.begin_backup(&root(), &first(), &authid(caller), BackupKind::Normal);
        assert_eq!(outcome.is_ok(), is_accepted, "{owner} {caller}");
        if let Err(error) = outcome {
            assert!(matches!(error, BeginBackupError::NotOwner { .. }), "{error}");
            assert_eq!(bench.store.owner(&root(), &first().group).unwrap(), authid(owner));
        }
    }
    // Nobody owns the group of benchmarks.
    let run = snapshot("host/benchmark/2026-01-01T10:00:00Z");
    drop(bench.store.create_group(&root(), &run.group, &authid("joe@pbs")).unwrap());
    assert!(bench.store.begin_backup(&root(), &run, &authid("jim@pbs"), BackupKind::Benchmark).is_ok());
}

#[test]
fn the_base_is_the_newest_finished_snapshot_unless_its_verification_failed() {
    let bench = Bench::new();
    bench.back_up(&first());
    // Unfinished ones count for nothing, wherever they lie.
    for time in ["2025-12-31T10:00:00Z", "2026-01-05T10:00:00Z"] {
        bench.memory.create_dirs(&format!("vm/100/{time}").parse().unwrap()).unwrap();
        put(&bench, &format!("vm/100/{time}/index.json.tmp"), b"half");
    }
    let writer = bench.begin(&second()).unwrap();
    assert_eq!(writer.base(), Some(first().time));
    // The base can be read and annotated, but not removed.
    assert!(bench.store.lock_snapshot_shared(&root(), &first()).is_ok());
    bench.store.set_snapshot_notes(&root(), &first(), "note").unwrap();
    let removed = bench.store.remove_snapshot(&root(), &first());
    assert!(removed.is_err_and(|error| error.kind() == ErrorKind::Busy));
    assert!(writer.base_index(&"root.pxar.didx".parse().unwrap()).is_ok());
    assert!(writer.base_file(&"a.conf.blob".parse().unwrap()).is_ok());
    drop(writer);

    // A result without readable task counts as none.
    for (state, upid, base) in [
        (VerifyState::Ok, UPID, Some(first().time)),
        (VerifyState::Failed, "no task", Some(first().time)),
        (VerifyState::Failed, UPID, None),
    ] {
        set_verify_state(&bench, state, upid);
        assert_eq!(bench.begin(&second()).unwrap().base(), base, "{state:?} {upid}");
    }
    // Then there is no order to keep either.
    let older = snapshot("vm/100/2025-06-01T10:00:00Z");
    let writer = bench.begin(&older).unwrap();
    let error = writer.base_index(&"root.pxar.didx".parse().unwrap()).unwrap_err();
    assert!(matches!(error, farhold_datastore::backup::BackupError::NoBase), "{error}");
    fill(&writer, &sample(&older, b"older")).unwrap();
    writer.finish(&UploadStatistics::default()).unwrap();
    // A failed one that is newest hides the older ones.
    assert_eq!(bench.begin(&second()).unwrap().base(), None);
}

#[test]
fn an_interrupted_backup_blocks_its_own_time_only() {
    let bench = Bench::new();
    bench.memory.create_dirs(&"vm/100/2026-01-02T10:00:00Z".parse().unwrap()).unwrap();
    put(&bench, "vm/100/owner", b"sync@pbs!t1\n");
    let error = bench.begin(&second()).unwrap_err();
    assert!(matches!(error, BeginBackupError::Exists { .. }), "{error}");
    bench.back_up(&first());
    bench.back_up(&snapshot("vm/100/2026-01-03T10:00:00Z"));
    assert!(bench.store.remove_unfinished(&root(), &second()).unwrap());
}

#[test]
fn while_another_process_collects_garbage_no_backup_begins_and_nothing_stays() {
    let (base, locks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(base.path().join(".chunks")).unwrap();
    let store = Datastore::open(local_options(base.path(), locks.path())).unwrap();
    // A second handle stands for a second process.
    let other = Datastore::open(local_options(base.path(), locks.path())).unwrap();
    let exclusive = other.lock_process_exclusive().unwrap();
    let begin = || store.begin_backup(&root(), &first(), &authid("joe@pbs"), BackupKind::Normal);
    let error = begin().unwrap_err();
    assert!(matches!(&error, BeginBackupError::Datastore(error) if error.kind() == ErrorKind::Busy), "{error}");
    assert!(!base.path().join("vm").exists());
    drop(exclusive);
    let writer = begin().unwrap();
    assert!(other.lock_process_exclusive().is_err());
    writer.discard().unwrap();
    assert!(other.lock_process_exclusive().is_ok());
}
