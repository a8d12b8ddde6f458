//! The store that the reference's client wrote: our client reads it, and writes the same indexes again.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use farhold_backup::{BackupArchive, BackupRequest, Protection};
use farhold_crypto::{CryptConfig, sha256};
use farhold_format::key_file::KeyFile;
use farhold_format::manifest::Manifest;
use farhold_types::{ArchiveKind, CryptMode, Digest, Epoch, Role, Snapshot};

use crate::content::{golden, unpack_golden};
use crate::desk::{ACCOUNT, Desk, STORE};

fn recorded_key() -> Arc<CryptConfig> {
    let file = KeyFile::parse(&fs::read(golden("client.key")).unwrap()).unwrap();
    Arc::new(CryptConfig::new(file.decrypt(None).unwrap()))
}

fn sources() -> BTreeMap<String, Digest> {
    let text = fs::read_to_string(golden("sources.sha256")).unwrap();
    let line = |line: &str| line.split_once("  ").map(|(digest, name)| (name.to_owned(), digest.parse().unwrap()));
    text.lines().map(|text| line(text).unwrap()).collect()
}

/// Returns the source of every archive whose source is one file. How they came to be: `tests/golden/README.md`.
fn expected() -> Vec<(&'static str, &'static str, &'static str)> {
    let mut expected = Vec::new();
    for (snapshot, disk, config) in [
        ("vm/100/2026-01-01T10:00:00Z", "disk100-a.img", "vm100.conf"),
        ("vm/100/2026-01-02T10:00:00Z", "disk100-b.img", "vm100.conf"),
        ("vm/200/2026-01-01T10:00:00Z", "disk200.img", "vm200.conf"),
        ("vm/201/2026-01-01T10:00:00Z", "disk200.img", "vm201.conf"),
        ("vm/202/2026-01-01T10:00:00Z", "disk200.img", "vm201.conf"),
    ] {
        expected.push((snapshot, "drive-scsi0.img", disk));
        expected.push((snapshot, "qemu-server.conf", config));
    }
    expected
}

/// A desk whose server also serves the recorded store.
async fn desk_with_recordings() -> Desk {
    let desk = Desk::new(Protection::None).await;
    let path = desk.site.store_path("golden");
    unpack_golden(&path);
    desk.site.configure_store("golden", &path);
    for account in ["saver@pbs", ACCOUNT] {
        desk.site.grant("/datastore/golden", account, Role::DatastoreReader);
    }
    desk
}

fn recorded_manifest(desk: &Desk, snapshot: &Snapshot) -> Manifest {
    let path = desk.site.store_path("golden").join(snapshot.to_string()).join("index.json.blob");
    Manifest::from_blob(&fs::read(path).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_reference_client_backed_up_comes_back_as_it_was() {
    let mut desk = desk_with_recordings().await;
    desk.protection = Protection::Encrypt(recorded_key());
    let sources = sources();
    for (snapshot, archive, source) in expected() {
        let content = desk.restored_from("golden", snapshot, archive).await;
        assert_eq!(sha256(&content), sources[source], "{snapshot} {archive}");
    }
    for snapshot in ["vm/100/2026-01-01T10:00:00Z", "vm/200/2026-01-02T10:00:00Z"] {
        let log = desk.restored_from("golden", snapshot, "client.log").await;
        assert_eq!(sha256(&log), sources["client.log"], "{snapshot}");
    }
}

/// The same content under the same name gives the same chunks, so that both clients can take turns with one group.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backing_up_what_the_reference_client_backed_up_gives_the_same_indexes() {
    let mut desk = desk_with_recordings().await;
    let key = recorded_key();
    let mut kinds = [0, 0];
    for (snapshot, mode) in [
        ("vm/100/2026-01-01T10:00:00Z", CryptMode::None),
        ("vm/200/2026-01-01T10:00:00Z", CryptMode::Encrypt),
        ("vm/201/2026-01-01T10:00:00Z", CryptMode::SignOnly),
        ("host/web1/2026-01-03T10:00:00Z", CryptMode::None),
        ("host/enc1/2026-01-01T10:00:00Z", CryptMode::Encrypt),
    ] {
        let recorded = recorded_manifest(&desk, &snapshot.parse().unwrap());
        desk.protection = match mode {
            CryptMode::None => Protection::None,
            CryptMode::Encrypt => Protection::Encrypt(Arc::clone(&key)),
            CryptMode::SignOnly => Protection::SignOnly(Arc::clone(&key)),
        };
        let mut archives = Vec::new();
        let files = recorded.files.iter().filter(|file| {
            let name = file.name.as_str();
            name.ends_with(".img.fidx") || name.ends_with(".pxar.didx")
        });
        let files: Vec<_> = files.cloned().collect();
        assert!(!files.is_empty());
        for file in &files {
            assert_eq!(file.crypt_mode, mode);
            let content = desk.restored_from("golden", snapshot, file.name.as_str()).await;
            let path = desk.write(file.name.as_str(), &content);
            let (short_name, _) = file.name.as_str().rsplit_once('.').unwrap();
            let text = format!("{short_name}:{}", path.display());
            archives.push(BackupArchive::parse(&text, || panic!("no standard input")).unwrap());
        }
        let snapshot: Snapshot = snapshot.parse().unwrap();
        let again = snapshot.group.at(Epoch(snapshot.time.0));
        let mut request = BackupRequest::new(again, archives);
        request.protection = desk.protection.clone();
        desk.send(request.open().unwrap()).await.unwrap();
        let path = desk.site.store_path(STORE).join(snapshot.to_string()).join("index.json.blob");
        let ours = Manifest::from_blob(&fs::read(path).unwrap()).unwrap();
        assert_eq!(ours.files, files, "{snapshot}");
        for file in files {
            kinds[usize::from(file.name.kind() == ArchiveKind::DynamicIndex)] += 1;
        }
    }
    assert_eq!(kinds, [3, 2]);
}
