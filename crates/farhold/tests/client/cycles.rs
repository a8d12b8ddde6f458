//! Backups that work, what the next one sends, and what comes back.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};

use farhold_backup::Protection;
use farhold_format::manifest::{CHUNK_UPLOAD_STATS, SignatureState};

use crate::content::noise;
use crate::desk::{Desk, MIB, key};

const PIECE: usize = 4 * MIB;
const IMAGE_BYTES: usize = 256 * MIB;

/// A sparse image of 64 pieces, every fourth of which holds something.
fn write_disk(desk: &Desk) {
    let file = File::create(desk.path("disk")).unwrap();
    file.set_len(IMAGE_BYTES as u64).unwrap();
    for piece in (0..64u64).step_by(4) {
        file.write_all_at(&noise(piece, PIECE - 5000), piece * PIECE as u64 + 4096).unwrap();
    }
}

fn is_same_file(desk: &Desk, name: &str, content: &[u8]) -> bool {
    std::fs::read(desk.path(name)).unwrap() == content
}

fn uploaded(desk: &Desk) -> u64 {
    desk.manifest().unprotected[CHUNK_UPLOAD_STATS]["count"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_change_of_one_percent_only_the_changed_chunks_are_sent() {
    for protection in [Protection::None, Protection::Encrypt(key(1))] {
        let mut desk = Desk::new(protection).await;
        write_disk(&desk);
        let first = desk.back_up(&["disk.img:disk"]).await.unwrap();
        // 16 pieces with content, and the one of zeros.
        assert_eq!((first.archives[0].chunk_count, first.archives[0].uploaded_chunks, uploaded(&desk)), (64, 17, 17));
        assert!(is_same_file(&desk, "disk", &desk.restored("disk.img").await));
        let chunks = desk.chunks();

        // 1 % of the image: a piece that was empty, and the beginning of the next one.
        let file = File::options().write(true).open(desk.path("disk")).unwrap();
        file.write_all_at(&noise(99, IMAGE_BYTES / 100), 3 * PIECE as u64 + 2 * MIB as u64).unwrap();
        let second = desk.back_up(&["disk.img:disk"]).await.unwrap();
        assert_eq!((second.archives[0].uploaded_chunks, uploaded(&desk)), (2, 2));
        assert_eq!(desk.chunks().difference(&chunks).count(), 2);
        assert!(is_same_file(&desk, "disk", &desk.restored("disk.img").await));

        let third = desk.back_up(&["disk.img:disk"]).await.unwrap();
        assert_eq!((third.archives[0].uploaded_chunks, uploaded(&desk)), (0, 0));
        assert_eq!(third.archives[0].reused_bytes, IMAGE_BYTES as u64);
        assert!(is_same_file(&desk, "disk", &desk.restored("disk.img").await));
        assert_eq!(desk.snapshot_folders().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_image_has_holes_where_the_original_had_none() {
    let mut desk = Desk::new(Protection::None).await;
    let mut content = noise(1, 3 * MIB);
    content.resize(32 * MIB, 0);
    desk.write("disk", &content);
    desk.back_up(&["disk.img:disk"]).await.unwrap();
    let target = desk.path("copy");
    desk.restore("disk.img", &target).await.unwrap();
    assert!(is_same_file(&desk, "copy", &content));
    let taken_bytes = target.metadata().unwrap().blocks() * 512;
    assert!(taken_bytes <= 4 * MIB as u64, "{taken_bytes}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archives_and_small_files_come_back_in_all_forms() {
    for protection in [Protection::None, Protection::SignOnly(key(1)), Protection::Encrypt(key(1))] {
        let mut desk = Desk::new(protection.clone()).await;
        let mut archive = noise(1, 40 * MIB);
        desk.write("root", &archive);
        desk.write("etc", b"a = 1\n");
        desk.write("empty", b"");
        let archives = ["root.pxar:root", "etc.conf:etc", "empty.log:empty"];
        let first = desk.back_up(&archives).await.unwrap();
        assert!(5 < first.archives[0].chunk_count);
        assert!(desk.restored("root.pxar").await == archive);
        assert_eq!(desk.restored("etc.conf").await, b"a = 1\n");
        assert_eq!(desk.restored("empty.log").await, b"");

        // What is put in moves all the rest, and is still found.
        archive.splice(5 * MIB..5 * MIB, noise(2, 1000));
        desk.write("root", &archive);
        let second = desk.back_up(&archives).await.unwrap();
        assert!(second.archives[0].uploaded_chunks <= 3, "{:?}", second.archives[0]);
        assert!(desk.restored("root.pxar").await == archive);

        let manifest = desk.manifest();
        assert!(manifest.files.iter().all(|file| file.crypt_mode == protection.crypt_mode()));
        if let Some(key) = protection.key() {
            assert_eq!(manifest.check_signature(key).unwrap(), SignatureState::Valid);
        }
        let text = String::from_utf8(desk.restored("index.json").await).unwrap();
        assert_eq!(text, manifest.to_json());
    }
}
