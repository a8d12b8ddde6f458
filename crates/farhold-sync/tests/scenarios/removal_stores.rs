//! Removal on real datastores: what lies on the disk afterwards, and the recorded log.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use farhold_datastore::Datastore;
use farhold_sync::{LocalSource, LocalTarget, Source, SyncError, SyncOptions, SyncReport, Unrestricted};
use farhold_types::{Authid, Group, Namespace, Snapshot};
use tokio_util::sync::CancellationToken;

use super::removal::{DAY, add, assert_lines, drop_group, drop_namespace, group, removed, removing};
use super::stores::{comparable, open_options, recorded};
use super::support::{Log, MemorySource, Shared, ns, snapshot};

/// An empty datastore, in memory where the system has such a folder.
struct Disk {
    dir: tempfile::TempDir,
    store: Datastore,
}

impl Disk {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        fs::create_dir_all(dir.path().join("dst/.chunks")).unwrap();
        let options = open_options("dst", &dir.path().join("dst"), &dir.path().join("locks"));
        let store = Datastore::open(options).unwrap();
        Self { dir, store }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join("dst").join(below)
    }

    fn has(&self, below: &str) -> bool {
        self.path(below).exists()
    }

    fn protect(&self, at: &str, what: &str) {
        self.store.set_protected(&ns(at), &snapshot(what), true).unwrap();
    }

    fn give_away(&self, at: &str, name: &str) {
        let lock = self.store.lock_group(&ns(at), &group(name)).unwrap();
        self.store.set_owner(&lock, &"u1@pbs".parse().unwrap()).unwrap();
    }

    async fn pull<S: Source>(&self, options: SyncOptions, source: S) -> (Result<SyncReport, SyncError>, Vec<String>) {
        let log = Log::new(options.worker_threads);
        let target = Arc::new(LocalTarget::open(self.store.clone()).unwrap());
        let (rights, cancel) = (Arc::new(Unrestricted), CancellationToken::new());
        let result = farhold_sync::run(options, Arc::new(source), target, rights, log.clone(), cancel).await;
        (result, log.texts())
    }
}

fn filling() -> SyncOptions {
    SyncOptions { remove_vanished: false, ..removing() }
}

#[tokio::test]
async fn the_recorded_run_with_vanished_snapshots_and_groups_reads_the_same() {
    let disk = Disk::new();
    let source = Arc::new(MemorySource::new());
    let blob = || [("qemu-server.conf.blob", super::support::Content::Blob(b"x"))];
    let all = [
        "vm/1/2025-12-30T10:00:00Z",
        "vm/1/2025-12-31T10:00:00Z",
        "vm/1/2026-01-01T10:00:00Z",
        "vm/1/2026-01-02T10:00:00Z",
        "vm/1/2026-01-03T10:00:00Z",
        "vm/1/2026-01-04T10:00:00Z",
        "vm/2/2026-01-01T10:00:00Z",
        "vm/3/2026-01-01T10:00:00Z",
        "vm/4/2026-01-01T10:00:00Z",
        "vm/5/2026-01-01T10:00:00Z",
        "vm/5/2026-01-02T10:00:00Z",
    ];
    for what in all {
        source.add("", what, &blob());
    }
    disk.pull(filling(), Shared(source.clone())).await.0.unwrap();
    fs::remove_file(disk.path("vm/1/2025-12-30T10:00:00Z/index.json.blob")).unwrap();
    disk.protect("", "vm/1/2025-12-31T10:00:00Z");
    disk.protect("", "vm/5/2026-01-01T10:00:00Z");
    disk.give_away("", "vm/4");
    for what in [0, 1, 3, 4, 6].map(|i| all[i]) {
        source.remove("", what);
    }
    for gone in ["vm/3", "vm/4", "vm/5"] {
        drop_group(&source, "", gone);
    }
    let options = SyncOptions { job: "rsrc:src:dst::jvox".into(), ..removing() };
    let names = farhold_sync::LogNames {
        direction: farhold_types::SyncDirection::Pull,
        remote: Some("rsrc".parse().unwrap()),
        source_store: "src".parse().unwrap(),
        target_store: "dst".parse().unwrap(),
    };
    let mut lines = names.opening(&options.job).to_vec();
    let (report, log) = disk.pull(options.clone(), Shared(source)).await;
    let report = report.unwrap();
    lines.extend(log);
    lines.extend(names.ending(&options.job, &report));
    let place = disk.path("").display().to_string();
    let ours = comparable(lines.into_iter().map(|line| line.replace(place.trim_end_matches('/'), "/srv/pbs/dst")));
    let theirs = recorded("pull-remove-vanished.log");
    let of_group = |lines: &[String]| {
        // The order of deletion within a group is not specified; ours is by time.
        let is_deletion = |line: &&String| line.contains("vm/1/") && line.contains("vanished snapshot");
        let mut deletions: Vec<String> = lines.iter().filter(is_deletion).cloned().collect();
        deletions.sort();
        let mut storage: Vec<String> = lines.iter().filter(|line| line.starts_with("removing")).cloned().collect();
        storage.sort();
        let is_rest = |line: &&String| !is_deletion(line) && !line.starts_with("removing");
        (deletions, storage, lines.iter().filter(is_rest).cloned().collect::<Vec<_>>())
    };
    assert_eq!(of_group(&ours), of_group(&theirs));
    // Each storage line follows the line that it belongs to.
    let at = |text: &str| ours.iter().position(|line| line == text).unwrap();
    assert_eq!(
        at("[vm/1]: delete vanished snapshot vm/1/2026-01-02T10:00:00Z") + 1,
        at("removing backup snapshot \"/srv/pbs/dst/vm/1/2026-01-02T10:00:00Z\"")
    );
    for stays in ["vm/1/2025-12-31T10:00:00Z", "vm/2/owner", "vm/4/2026-01-01T10:00:00Z", "vm/5/owner"] {
        assert!(disk.has(stays), "{stays}");
    }
    for gone in ["vm/1/2025-12-30T10:00:00Z", "vm/2/2026-01-01T10:00:00Z", "vm/3", "vm/5/2026-01-02T10:00:00Z"] {
        assert!(!disk.has(gone), "{gone}");
    }
}

#[tokio::test]
async fn vanished_namespaces_leave_the_disk_unless_something_is_in_them() {
    let disk = Disk::new();
    let source = Arc::new(MemorySource::new());
    for name in ["empty", "foreign", "prot", "p", "p/q", "odd"] {
        source.add_namespace(name);
    }
    for name in ["foreign", "prot", "p", "p/q"] {
        add(&source, name, "vm/9", &[0, 1]);
    }
    disk.pull(filling(), Shared(source.clone())).await.0.unwrap();
    disk.give_away("foreign", "vm/9");
    disk.protect("prot", &format!("vm/9/{}", DAY[0]));
    fs::create_dir_all(disk.path("ns/odd/vm/1")).unwrap();
    for name in ["empty", "foreign", "prot", "p/q", "p", "odd"] {
        drop_namespace(&source, name);
    }
    let (report, log) = disk.pull(removing(), Shared(source)).await;
    assert_eq!(removed(&report.unwrap()), (5, 2, 3));
    for gone in ["ns/empty", "ns/p", &format!("ns/prot/vm/9/{}", DAY[1])] {
        assert!(!disk.has(gone), "{gone}");
    }
    for stays in ["ns/foreign/vm/9/owner", &format!("ns/prot/vm/9/{}", DAY[0]), "ns/odd/vm/1"] {
        assert!(disk.has(stays), "{stays}");
    }
    let place = disk.path("ns/p/ns/q/vm/9").display().to_string();
    assert_lines(
        &log,
        &[
            &format!("removing backup group \"{place}\""),
            "Removed namespace p/q",
            "Did not remove namespace prot - protected snapshots remain",
            "Did not remove namespace foreign - groups of other owners remain",
            "Did not remove namespace odd - something else is in it",
        ],
    );
}

#[tokio::test]
async fn owner_and_protection_are_looked_at_again_under_the_lock() {
    let disk = Disk::new();
    let source = Arc::new(MemorySource::new());
    add(&source, "", "vm/1", &[0, 1, 2]);
    add(&source, "", "vm/2", &[0]);
    add(&source, "", "ct/1", &[0]);
    disk.pull(filling(), Shared(source.clone())).await.0.unwrap();
    source.remove("", &format!("vm/1/{}", DAY[0]));
    source.remove("", &format!("vm/1/{}", DAY[1]));
    drop_group(&source, "", "vm/2");
    let store = disk.store.clone();
    let asked = Mutex::new(Vec::new());
    source.set_file_fault(move |what, _| {
        let mut asked = asked.lock().unwrap();
        asked.push(what.to_owned());
        // The second look at the source comes after everything was decided.
        let is_second = asked.iter().filter(|before| *before == what).count() == 2;
        if is_second && what == "snapshots vm/1" {
            store.set_protected(&Namespace::root(), &snapshot(&format!("vm/1/{}", DAY[0])), true).unwrap();
        }
        if is_second && what == "groups " {
            let lock = store.lock_group(&Namespace::root(), &group("vm/2")).unwrap();
            store.set_owner(&lock, &"u1@pbs".parse().unwrap()).unwrap();
        }
        None
    });
    let (report, log) = disk.pull(removing(), Shared(source)).await;
    assert_eq!(removed(&report.unwrap()), (1, 0, 0));
    assert!(disk.has(&format!("vm/1/{}/.protected", DAY[0])) && !disk.has(&format!("vm/1/{}", DAY[1])));
    assert!(disk.has(&format!("vm/2/{}", DAY[0])) && !log.iter().any(|line| line.contains("vm/2")), "{log:?}");
    assert_lines(&log, &["[vm/1]: vm/1: don't delete vanished snapshot vm/1/2026-01-01T10:00:00Z (protected)"]);
}

/// Copies the content of a memory source into a datastore, to be a local source.
async fn local_source_of(source: &Arc<MemorySource>) -> Disk {
    let disk = Disk::new();
    disk.pull(filling(), Shared(source.clone())).await.0.unwrap();
    disk
}

fn everything(disk: &Disk) -> LocalSource {
    LocalSource::new(disk.store.clone(), Arc::new(|_: &Namespace, _: &Authid| true))
}

#[tokio::test]
async fn fault_1_a_missing_anchor_of_a_local_source_is_an_error_before_anything() {
    let memory = Arc::new(MemorySource::new());
    memory.add_namespace("a");
    add(&memory, "a", "vm/1", &[0]);
    let (from, to) = (local_source_of(&memory).await, Disk::new());
    let job = SyncOptions { source_anchor: ns("a"), target_anchor: Namespace::root(), ..removing() };
    to.pull(job.clone(), everything(&from)).await.0.unwrap();
    to.store.create_namespace(&ns("child")).unwrap();
    for max_depth in [None, Some(0), Some(2)] {
        let options = SyncOptions { source_anchor: ns("nosuch"), max_depth, ..job.clone() };
        let (result, log) = to.pull(options, everything(&from)).await;
        assert!(matches!(result, Err(SyncError::Namespaces(_))), "{result:?}");
        assert!(log.is_empty() && to.has(&format!("vm/1/{}", DAY[0])) && to.has("ns/child"));
    }
}

#[tokio::test]
async fn fault_4_groups_that_the_owner_may_not_read_stay_in_a_local_sync() {
    let memory = Arc::new(MemorySource::new());
    for name in ["vm/1", "vm/2", "vm/3", "vm/4"] {
        add(&memory, "", name, &[0]);
    }
    let (from, to) = (local_source_of(&memory).await, Disk::new());
    to.pull(removing(), everything(&from)).await.0.unwrap();
    from.give_away("", "vm/2");
    fs::remove_file(from.path("vm/3/owner")).unwrap();
    from.store.remove_group(&Namespace::root(), &group("vm/4")).unwrap();
    let rights = |_: &Namespace, owner: &Authid| *owner == Authid::root();
    let (report, _) = to.pull(removing(), LocalSource::new(from.store.clone(), Arc::new(rights))).await;
    assert_eq!(removed(&report.unwrap()), (1, 1, 0));
    assert!(to.has("vm/1") && to.has("vm/2") && to.has("vm/3") && !to.has("vm/4"));
    // Without an owner nobody may remove it here either.
    fs::remove_file(to.path("vm/1/owner")).unwrap();
    from.store.remove_group(&Namespace::root(), &group("vm/1")).unwrap();
    let (report, log) = to.pull(removing(), everything(&from)).await;
    assert_eq!(removed(&report.unwrap()), (0, 0, 0));
    assert_lines(&log, &["not removing vanished group 'vm/1', because its owner cannot be read"]);
}

#[tokio::test]
async fn scenario_59_protection_is_not_copied() {
    let memory = Arc::new(MemorySource::new());
    add(&memory, "", "vm/1", &[0]);
    let (from, to) = (local_source_of(&memory).await, Disk::new());
    let what: Snapshot = snapshot(&format!("vm/1/{}", DAY[0]));
    from.protect("", &what.to_string());
    to.pull(removing(), everything(&from)).await.0.unwrap();
    assert!(!to.store.is_protected(&Namespace::root(), &what).unwrap());
    // So it goes when it vanishes there.
    from.store.set_protected(&Namespace::root(), &what, false).unwrap();
    from.store.remove_group(&Namespace::root(), &group("vm/1")).unwrap();
    let (report, _) = to.pull(removing(), everything(&from)).await;
    assert_eq!(removed(&report.unwrap()), (1, 1, 0));
}

#[tokio::test]
async fn a_first_snapshot_that_vanishes_takes_its_new_group_along_only_if_nothing_follows() {
    for days in [&[0, 1][..], &[0]] {
        let disk = Disk::new();
        let source = Arc::new(MemorySource::new());
        add(&source, "", "vm/1", days);
        let (state, first) = (Arc::downgrade(&source), format!("vm/1/{}", DAY[0]));
        source.set_file_fault(move |what, _| {
            if what == format!("open {first}")
                && let Some(source) = state.upgrade()
            {
                source.snapshots.lock().unwrap().remove(&(String::new(), snapshot(&first)));
            }
            None
        });
        let (report, _) = disk.pull(filling(), Shared(source)).await;
        assert_eq!(report.unwrap().changed_snapshots, days.len() - 1);
        let groups: Vec<Group> = disk.store.groups(&Namespace::root()).unwrap().into_iter().map(|g| g.group).collect();
        assert_eq!(groups.len(), days.len() - 1, "no empty group is left");
        assert_eq!(disk.has("vm/1"), 1 < days.len());
    }
}
