//! Decoded downloads: whole content, and what happens when a chunk turns out to be damaged on the way.

use std::fs::{self, File};
use std::path::Path;

use farhold_api::declare::{ConnectionInfo, empty_body};
use farhold_datastore::Datastore;
use farhold_types::Namespace;
use http::Request;
use http_body_util::BodyExt;

use crate::desk::{Desk, ROOT};

const DISK: &str = "/api2/json/admin/datastore/golden/download-decoded?backup-type=vm&backup-id=100&backup-time=1767261600&file-name=drive-scsi0.img";
const DISK_BYTES: usize = 25_165_824;

fn with_golden_store() -> (Desk, Datastore) {
    let desk = Desk::new();
    let stores = desk.server.store_path("golden");
    let packed = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/golden.tar.zst"));
    let unpacked = zstd::Decoder::new(File::open(packed).unwrap()).unwrap();
    tar::Archive::new(unpacked).unpack(stores.parent().unwrap()).unwrap();
    let store = desk.server.configure_datastore("golden");
    (desk, store)
}

/// Downloads the disk; returns its status, how many bytes came, and whether it came to its end.
async fn download(desk: &Desk) -> (u16, usize, bool) {
    let connection = ConnectionInfo { peer: None, trusted: Some(ROOT.parse().unwrap()) };
    let request = Request::builder().uri(DISK).body(empty_body()).unwrap();
    let response = desk.router.dispatch(request, connection).await;
    let status = response.status().as_u16();
    let (mut body, mut length) = (response.into_body(), 0);
    loop {
        match body.frame().await {
            None => return (status, length, true),
            Some(Ok(frame)) => length += frame.into_data().map_or(0, |data| data.len()),
            Some(Err(_)) => return (status, length, false),
        }
    }
}

#[tokio::test]
async fn a_download_is_whole_or_cut_off_at_the_damage_and_counts_as_reading_meanwhile() {
    let (desk, store) = with_golden_store();
    assert_eq!(download(&desk).await, (200, DISK_BYTES, true));
    let active = || desk.server.app.stores.active_operations(&"golden".parse().unwrap());
    assert_eq!(active(), (0, 0));

    let connection = ConnectionInfo { peer: None, trusted: Some(ROOT.parse().unwrap()) };
    let request = Request::builder().uri(DISK).body(empty_body()).unwrap();
    let mut body = desk.router.dispatch(request, connection).await.into_body();
    body.frame().await.unwrap().unwrap();
    let snapshot = "vm/100/2026-01-01T10:00:00Z".parse().unwrap();
    assert_eq!(active(), (1, 0));
    assert!(store.remove_snapshot(&Namespace::root(), &snapshot).is_err(), "it is being read");
    // The client goes away.
    drop(body);
    assert_eq!(active(), (0, 0));

    let index = store.open_index(&Namespace::root(), &snapshot, &"drive-scsi0.img.fidx".parse().unwrap()).unwrap();
    let first = index.chunk(0).unwrap().digest;
    let (position, chunk) = index.chunks().enumerate().find(|(_, chunk)| chunk.digest != first).unwrap();
    let name = chunk.digest.to_string();
    let path = store.local_root().unwrap().join(".chunks").join(&name[..4]).join(&name);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let before = usize::try_from(index.chunk(position).unwrap().start).unwrap();
    assert_eq!(download(&desk).await, (200, before, false), "all before the damage came, and nothing of it");
    assert_eq!(active(), (0, 0));
}
