//! Pushes from a real datastore: the recorded one, with its signed, encrypted and mixed snapshots.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use farhold_format::index::Index;
use farhold_format::manifest::Manifest;
use farhold_sync::{LocalSource, SyncError, SyncOptions, SyncReport, Unrestricted};
use farhold_types::{ArchiveKind, Authid, Digest, Namespace};
use tokio_util::sync::CancellationToken;

use crate::stores::Stores;
use crate::support::ns;
use crate::support::remote::{MemoryRemote, PushLog, Remote, push_options};

async fn push_store(
    stores: &Stores,
    options: SyncOptions,
    remote: &Arc<MemoryRemote>,
    may_read: impl Fn(&Namespace, &Authid) -> bool + Send + Sync + 'static,
) -> (Result<SyncReport, SyncError>, Vec<String>) {
    let log = PushLog::new(options.worker_threads);
    let source = Arc::new(LocalSource::new(stores.source.clone(), Arc::new(may_read)));
    let (to, rights, cancel) = (Arc::new(Remote(remote.clone())), Arc::new(Unrestricted), CancellationToken::new());
    let result = farhold_sync::push(options, source, to, rights, log.clone(), cancel).await;
    (result, log.lines().into_iter().map(|line| line.text).collect())
}

fn kept(dir: &tempfile::TempDir) -> SyncOptions {
    SyncOptions { state_dir: Some(dir.path().to_owned()), ..push_options() }
}

#[tokio::test]
async fn scenario_76_the_recorded_store_arrives_with_its_signatures_and_modes_and_a_second_push_finds_nothing() {
    let (stores, remote) = (Stores::new(), MemoryRemote::new());
    let (result, _) = push_store(&stores, push_options(), &remote, |_, _| true).await;
    assert!(result.unwrap().changed_snapshots > 0);
    let mut compared = 0;
    for namespace in stores.source.namespaces(&Namespace::root(), 7).unwrap() {
        for group in stores.source.groups(&namespace).unwrap() {
            for info in stores.source.snapshots(&namespace, &group.group).unwrap() {
                if !info.has_manifest {
                    continue;
                }
                let snapshot = group.group.at(info.time);
                let (mut ours, _) = stores.source.read_manifest(&namespace, &snapshot).unwrap();
                let mut theirs: Manifest = remote.manifest(&namespace.to_string(), &snapshot.to_string());
                for manifest in [&mut ours, &mut theirs] {
                    manifest.unprotected.remove("chunk_upload_stats");
                }
                assert_eq!(ours.to_json(), theirs.to_json(), "{snapshot}");
                assert!(ours.has_same_protected_content(&theirs));
                for file in &ours.files {
                    let found = &remote.files(&namespace.to_string(), &snapshot.to_string())[&file.name.to_string()];
                    if file.name.kind() != ArchiveKind::Blob {
                        let index = Index::parse(file.name.kind(), found.clone()).unwrap();
                        assert_eq!(index.checksum(), file.checksum);
                        let state = remote.state();
                        assert!(index.digests().all(|digest| state.chunks.contains_key(&digest)));
                    }
                }
                compared += 1;
            }
        }
    }
    assert!(compared > 15, "{compared}");
    let (result, _) = push_store(&stores, push_options(), &remote, |_, _| true).await;
    let report = result.unwrap();
    assert_eq!((report.bytes, report.chunks, report.changed_snapshots), (0, 0, 0));
}

fn chunk_path(store: &Path, digest: &Digest) -> std::path::PathBuf {
    let name = digest.to_string();
    store.join(".chunks").join(&name[..4]).join(name)
}

#[tokio::test]
async fn a_snapshot_whose_chunk_is_missing_or_damaged_is_passed_over_and_named() {
    for is_removed in [true, false] {
        let (stores, remote, dir) = (Stores::new(), MemoryRemote::new(), tempfile::tempdir().unwrap());
        let index = stores.source.open_index(
            &Namespace::root(),
            &"vm/100/2026-01-01T10:00:00Z".parse().unwrap(),
            &"drive-scsi0.img.fidx".parse().unwrap(),
        );
        let later = stores.source.open_index(
            &Namespace::root(),
            &"vm/100/2026-01-03T10:00:00Z".parse().unwrap(),
            &"drive-scsi0.img.fidx".parse().unwrap(),
        );
        let later: Vec<Digest> = later.unwrap().digests().collect();
        let only_in_first = index.unwrap().digests().find(|digest| !later.contains(digest)).unwrap();
        let path = chunk_path(&stores.source_dir(), &only_in_first);
        if is_removed {
            fs::remove_file(path).unwrap();
        } else {
            fs::write(path, b"damaged").unwrap();
        }
        let options = SyncOptions { group_filter: vec!["group:vm/100".parse().unwrap()], ..kept(&dir) };
        let (result, lines) = push_store(&stores, options.clone(), &remote, |_, _| true).await;
        assert!(result.is_err());
        assert!(remote.finished().contains(&":vm/100/2026-01-03T10:00:00Z".to_owned()), "{lines:#?}");
        assert!(!remote.finished().contains(&":vm/100/2026-01-01T10:00:00Z".to_owned()));
        let (result, lines) = push_store(&stores, options, &remote, |_, _| true).await;
        assert!(result.is_ok() && lines.iter().any(|line| line.contains("could not be pushed when it was its turn")));
    }
}

#[tokio::test]
async fn groups_that_the_owner_may_not_read_are_not_pushed_and_not_removed() {
    let (stores, remote) = (Stores::new(), MemoryRemote::new());
    push_store(&stores, push_options(), &remote, |_, _| true).await.0.unwrap();
    let before = remote.finished();
    let options = SyncOptions { remove_vanished: true, ..push_options() };
    push_store(&stores, options, &remote, |_, _| false).await.0.unwrap();
    assert_eq!(remote.finished(), before);
    let missing = SyncOptions { source_anchor: ns("missing"), ..push_options() };
    let error = push_store(&stores, missing, &remote, |_, _| true).await.0.unwrap_err();
    assert!(matches!(error, SyncError::Namespaces(_)), "{error}");
}
