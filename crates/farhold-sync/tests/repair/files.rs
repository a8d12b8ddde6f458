//! Manifests, indexes and blobs that are missing or bad.

use std::fs;

use farhold_crypto::sha256;
use farhold_types::{CryptMode, MANIFEST_NAME};

use crate::bench::{Bench, ONE, TWO, flip, repair_options, root_snapshot};
use crate::support::{Content, content};
use farhold_sync::repair::{RepairOptions, RepairReport};

const LENGTH: usize = 64 << 10;
const BLOB: &str = "qemu-server.conf.blob";
const FIXED: &str = "drive.img.fidx";
const DYNAMIC: &str = "root.pxar.didx";

async fn bench() -> Bench {
    let bench = Bench::new();
    for (what, seeds) in [(ONE, [1, 2]), (TWO, [2, 3])] {
        let archives = [
            (BLOB, Content::Blob(b"conf")),
            (FIXED, Content::Chunks(&seeds, LENGTH)),
            (DYNAMIC, Content::Chunks(&[8, 9], LENGTH)),
        ];
        bench.source.add("", what, &archives);
    }
    bench.pull().await;
    bench
}

fn counts(report: &RepairReport) -> (u64, u64, u64, usize) {
    (report.damaged, report.mended, report.files, report.unmended.len())
}

#[tokio::test]
async fn each_file_of_a_snapshot_is_put_in_place_whatever_has_become_of_it() {
    let mut bench = bench().await;
    for file in [BLOB, FIXED, DYNAMIC, MANIFEST_NAME] {
        let path = bench.file(ONE, file);
        let good = fs::read(&path).unwrap();
        let damages: [&dyn Fn(); 6] = [
            &|| fs::remove_file(&path).unwrap(),
            &|| fs::write(&path, &good[..good.len() - 1]).unwrap(),
            &|| fs::write(&path, b"").unwrap(),
            &|| flip(&path),
            &|| {
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
                fs::write(path.join("in it"), b"x").unwrap();
            },
            &|| {
                fs::remove_file(&path).unwrap();
                std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
            },
        ];
        for (number, damage) in damages.iter().enumerate() {
            damage();
            if file != MANIFEST_NAME {
                bench.mark_failed(ONE);
            }
            let report = bench.repair().await;
            assert_eq!(counts(&report), (1, 1, 1, 0), "{file} {number}: {report:?} {:#?}", bench.told);
            assert!(bench.is_ok(ONE), "{file} {number}");
            if file != MANIFEST_NAME {
                assert_eq!(fs::read(&path).unwrap(), good);
            }
            assert_eq!(bench.source.chunk_requests(), 0);
        }
    }
}

#[tokio::test]
async fn a_truncated_index_is_noticed_without_a_state_and_its_chunks_are_looked_at() {
    let mut bench = bench().await;
    fs::write(bench.file(ONE, FIXED), b"short").unwrap();
    fs::remove_file(bench.chunk(&sha256(&content(1, LENGTH)))).unwrap();
    let report = bench.repair().await;
    assert_eq!(counts(&report), (1, 1, 1, 0), "{:#?}", bench.told);
    assert_eq!(report.chunks, 1);
    assert!(bench.is_ok(ONE));
}

#[tokio::test]
async fn a_copy_with_other_content_mends_no_file() {
    let mut bench = bench().await;
    fs::remove_file(bench.file(ONE, FIXED)).unwrap();
    bench.source.edit_manifest("", ONE, |manifest| manifest.files[0].crypt_mode = CryptMode::SignOnly);
    let before = bench.content();
    let report = bench.repair().await;
    assert_eq!(counts(&report), (1, 0, 0, 1));
    assert!(report.unmended[0].why.contains("the source's copy has other content"), "{:?}", report.unmended);
    let files = |content: Vec<(std::path::PathBuf, Vec<u8>)>| content.into_iter().map(|(path, _)| path);
    assert!(files(bench.content()).eq(files(before)));
}

#[tokio::test]
async fn a_manifest_is_only_taken_if_the_files_that_are_here_show_that_it_is_theirs() {
    let mut bench = bench().await;
    fs::write(bench.file(ONE, MANIFEST_NAME), b"").unwrap();
    // Another backup of the same name.
    let archives = [(BLOB, Content::Blob(b"other")), (FIXED, Content::Chunks(&[1, 2], LENGTH))];
    bench.source.add("", ONE, &archives);
    let report = bench.repair().await;
    assert_eq!(counts(&report), (1, 0, 0, 1));
    assert!(report.unmended[0].why.contains("lists another 'qemu-server.conf.blob'"), "{:?}", report.unmended);
    // One that leaves a file out.
    bench.source.add("", ONE, &[(BLOB, Content::Blob(b"conf"))]);
    let report = bench.repair().await;
    assert!(report.unmended[0].why.contains("does not list"), "{:?}", report.unmended);
    // Nothing is left to compare with.
    let archives = [
        (BLOB, Content::Blob(b"conf")),
        (FIXED, Content::Chunks(&[1, 2], LENGTH)),
        (DYNAMIC, Content::Chunks(&[8, 9], LENGTH)),
    ];
    bench.source.add("", ONE, &archives);
    for file in [BLOB, FIXED, DYNAMIC] {
        fs::write(bench.file(ONE, file), b"").unwrap();
    }
    let report = bench.repair().await;
    assert!(report.unmended[0].why.contains("nothing that is left here shows"), "{:?}", report.unmended);
    assert_eq!(fs::read(bench.file(ONE, MANIFEST_NAME)).unwrap(), b"");
}

#[tokio::test]
async fn a_manifest_and_an_index_are_mended_together() {
    let mut bench = bench().await;
    flip(&bench.file(ONE, MANIFEST_NAME));
    flip(&bench.file(ONE, DYNAMIC));
    let report = bench.repair().await;
    assert_eq!(counts(&report), (1, 1, 2, 0), "{:#?}", bench.told);
    assert!(bench.is_ok(ONE));
}

#[tokio::test]
async fn notes_and_protection_of_a_snapshot_stay_when_its_files_are_mended() {
    let mut bench = bench().await;
    let (ns, snapshot) = root_snapshot(ONE);
    bench.store.set_snapshot_notes(&ns, &snapshot, "mine").unwrap();
    bench.store.set_protected(&ns, &snapshot, true).unwrap();
    fs::remove_file(bench.file(ONE, BLOB)).unwrap();
    assert_eq!(counts(&bench.repair().await), (1, 1, 1, 0));
    assert_eq!(bench.store.snapshot_notes(&ns, &snapshot).unwrap(), "mine");
    assert!(bench.store.is_protected(&ns, &snapshot).unwrap());
}

#[tokio::test]
async fn nothing_is_put_in_place_while_somebody_works_on_the_group_or_snapshot() {
    let mut bench = bench().await;
    fs::remove_file(bench.file(ONE, FIXED)).unwrap();
    let (ns, snapshot) = root_snapshot(ONE);
    let group = bench.store.lock_group(&ns, &snapshot.group).unwrap();
    let report = bench.repair().await;
    assert_eq!(counts(&report), (1, 0, 0, 1));
    assert!(report.unmended[0].why.contains("lock"), "{:?}", report.unmended);
    let writer = bench.store.begin_snapshot(&group, snapshot.time).unwrap();
    let report = bench.repair().await;
    assert_eq!((report.examined, report.busy), (0, 1), "it is being written");
    drop((writer, group));
    assert_eq!(counts(&bench.repair().await), (1, 1, 1, 0));
}

#[tokio::test]
async fn a_dry_run_tells_which_files_would_come() {
    let mut bench = bench().await;
    flip(&bench.file(ONE, MANIFEST_NAME));
    fs::remove_file(bench.file(TWO, FIXED)).unwrap();
    let before = bench.content();
    let report = bench.run(RepairOptions { is_dry: true, ..repair_options() }).await.unwrap();
    assert_eq!(counts(&report), (2, 2, 2, 0), "{:#?}", bench.told);
    assert_eq!(bench.content(), before);
}

#[tokio::test]
async fn a_group_without_owner_is_told() {
    let mut bench = bench().await;
    fs::write(bench.base().join("vm/1/owner"), b"???").unwrap();
    let report = bench.repair().await;
    assert_eq!(report.unmended.len(), 1);
    assert_eq!(report.unmended[0].what, "vm/1");
    assert!(report.unmended[0].why.contains("owner"), "{:?}", report.unmended);
    assert_eq!(report.unmended[0].ownerless, Some((root_snapshot(ONE).0, root_snapshot(ONE).1.group)));
}

#[tokio::test]
async fn a_group_without_owner_gets_the_one_that_is_named_and_others_keep_theirs() {
    let mut bench = bench().await;
    bench.source.add("", "ct/7/2026-01-01T10:00:00Z", &[(BLOB, Content::Blob(b"conf"))]);
    bench.pull().await;
    let (ns, lost) = (root_snapshot(ONE).0, root_snapshot(ONE).1.group);
    let kept = bench.store.owner(&ns, &"ct/7".parse().unwrap()).unwrap();
    fs::remove_file(bench.base().join("vm/1/owner")).unwrap();
    let owner: farhold_types::Authid = "ann@pbs!laptop".parse().unwrap();
    let options = |is_dry, filter: &str| RepairOptions {
        owner: Some(owner.clone()),
        groups: vec![filter.parse().unwrap()],
        is_dry,
        ..repair_options()
    };
    for (is_dry, filter, owners) in [(false, "type:ct", 0), (true, "group:vm/1", 1)] {
        let report = bench.run(options(is_dry, filter)).await.unwrap();
        assert_eq!((report.owners, report.unmended.len()), (owners, 0), "{:#?}", bench.told);
        assert!(bench.store.owner(&ns, &lost).is_err());
    }
    let report = bench.run(options(false, "exclude:type:ct")).await.unwrap();
    assert_eq!((report.owners, report.unmended.len()), (1, 0));
    assert_eq!(bench.store.owner(&ns, &lost).unwrap(), owner);
    assert_eq!(bench.store.owner(&ns, &"ct/7".parse().unwrap()).unwrap(), kept);
    // While a backup of the group runs nothing is changed.
    fs::write(bench.base().join("vm/1/owner"), b"").unwrap();
    let lock = bench.store.lock_group(&ns, &lost).unwrap();
    let report = bench.run(options(false, "group:vm/1")).await.unwrap();
    assert_eq!(report.owners, 0);
    assert!(report.unmended[0].why.contains("it could not be set"), "{:?}", report.unmended);
    drop(lock);
}

#[tokio::test]
async fn only_groups_that_the_filter_takes_are_looked_at_but_any_may_give_chunks() {
    let mut bench = bench().await;
    bench.source.add("", "ct/7/2026-01-01T10:00:00Z", &[(FIXED, Content::Chunks(&[5], LENGTH))]);
    bench.pull().await;
    fs::remove_file(bench.file(ONE, FIXED)).unwrap();
    fs::remove_file(bench.chunk(&sha256(&content(5, LENGTH)))).unwrap();
    let mark = |what: &str| bench.mark_failed(what);
    mark("ct/7/2026-01-01T10:00:00Z");
    let only = |filter: &str| RepairOptions { groups: vec![filter.parse().unwrap()], ..repair_options() };
    let report = bench.run(only("type:ct")).await.unwrap();
    assert_eq!((report.snapshots, report.mended, report.chunks, report.files), (1, 1, 1, 0), "{:#?}", bench.told);
    let report = bench.run(only("regex:^vm/1$")).await.unwrap();
    assert_eq!((report.snapshots, report.mended, report.files), (2, 1, 1), "{:#?}", bench.told);
}
