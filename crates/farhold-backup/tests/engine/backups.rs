//! What a backup sends, and what it does not send again.

use std::sync::Arc;

use farhold_backup::{Event, PreviousSnapshot, Protection};
use farhold_format::blob;
use farhold_format::manifest::SignatureState;
use farhold_types::{CryptMode, Digest};

use crate::memory::{Fault, Step};
use crate::{MIB, Machine, is_same, key, noise};

/// An image of seven pieces: two equal ones, two of zeros, one of text, and a short one at the end.
fn disk() -> Vec<u8> {
    let mut disk = noise(1, 4 * MIB);
    disk.extend(vec![0; 8 * MIB]);
    disk.extend_from_within(..4 * MIB);
    disk.extend(b"all work and no play ".iter().cycle().take(4 * MIB));
    disk.extend(noise(2, 4 * MIB));
    disk.extend(noise(3, 12_345));
    disk
}

const ARCHIVES: [&str; 3] = ["disk.img:disk", "root.pxar:root", "etc.conf:etc"];

fn machine_with_files(protection: Protection) -> Machine {
    let machine = Machine::new(protection);
    machine.write("disk", &disk());
    machine.write("root", &noise(4, 3 * MIB + 7));
    machine.write("etc", b"a = 1\n");
    machine
}

fn protections() -> [Protection; 3] {
    [Protection::None, Protection::SignOnly(key(1)), Protection::Encrypt(key(1))]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_back_as_it_was_in_all_forms() {
    for protection in protections() {
        let mut machine = machine_with_files(protection.clone());
        let summary = machine.back_up(&ARCHIVES).await.unwrap();
        assert_eq!(machine.warnings(), [""; 0]);
        let [image, archive, small] = summary.archives.as_slice() else { panic!("three archives") };
        // The equal piece and the second piece of zeros are sent once.
        assert_eq!((image.chunk_count, image.uploaded_chunks), (7, 5));
        assert_eq!((image.size_bytes, image.reused_bytes), (disk().len() as u64, 8 << 20));
        assert!(10 < archive.chunk_count && archive.chunk_count == archive.uploaded_chunks);
        assert_eq!((small.size_bytes, small.chunk_count), (6, 0));

        assert!(is_same(&machine.restore("disk.img").await.unwrap(), &disk()));
        assert!(is_same(&machine.restore("root.pxar").await.unwrap(), &noise(4, 3 * MIB + 7)));
        assert!(is_same(&machine.restore("etc.conf").await.unwrap(), b"a = 1\n"));
        assert!(machine.restore_in_order("disk.img").await.unwrap() == disk());
        assert!(machine.restore_in_order("root.pxar").await.unwrap() == noise(4, 3 * MIB + 7));
        assert_eq!(machine.restore_in_order("etc.conf.blob").await.unwrap(), b"a = 1\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manifest_and_chunks_have_the_form_that_was_asked_for() {
    for protection in protections() {
        let mut machine = machine_with_files(protection.clone());
        machine.back_up(&ARCHIVES).await.unwrap();
        let snapshot = machine.snapshot();
        let manifest = machine.server.manifest(&snapshot);
        assert_eq!(manifest.snapshot(), snapshot);
        assert!(manifest.files.iter().all(|file| file.crypt_mode == protection.crypt_mode()));
        let names: Vec<_> = manifest.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["disk.img.fidx", "root.pxar.didx", "etc.conf.blob"]);
        let blob_file = &manifest.files[2];
        let blob_bytes = machine.server.file(&snapshot, "etc.conf.blob");
        assert_eq!(
            (blob_file.size_bytes, blob_file.checksum),
            (blob_bytes.len() as u64, farhold_crypto::sha256(&blob_bytes))
        );
        let is_encrypted = protection.crypt_mode() == CryptMode::Encrypt;
        let state = machine.server.state();
        for encoded in state.chunks.values().chain([&blob_bytes]) {
            assert_eq!(blob::check(encoded).unwrap().is_encrypted(), is_encrypted);
        }
        match protection.key() {
            None => assert_eq!((manifest.signature, manifest.key_fingerprint().unwrap()), (None, None)),
            Some(key) => {
                assert_eq!(manifest.check_signature(key).unwrap(), SignatureState::Valid);
                assert_eq!(manifest.key_fingerprint().unwrap(), Some(key.fingerprint()));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_image_costs_no_chunk_and_no_append() {
    for protection in protections() {
        let mut machine = machine_with_files(protection);
        machine.back_up(&ARCHIVES).await.unwrap();
        machine.server.count_anew();
        let summary = machine.back_up(&ARCHIVES).await.unwrap();
        assert_eq!(machine.server.calls(Step::Upload), 0);
        let archive_chunks = usize::try_from(summary.archives[1].chunk_count).unwrap();
        assert_eq!((machine.server.calls(Step::Append), machine.server.state().appended), (1, archive_chunks));
        assert_eq!(machine.server.state().reused, 1);
        assert_eq!(machine.server.state().closed[0], ("disk.img.fidx".to_owned(), 0, 0));
        assert_eq!(summary.archives[0].reused_bytes, disk().len() as u64);
        assert_eq!(machine.warnings(), [""; 0]);
        let previous = machine.events.lock().unwrap()[0].clone();
        assert!(matches!(previous, Event::Previous(PreviousSnapshot::Usable { time: Some(_) })), "{previous:?}");
        assert!(is_same(&machine.restore("disk.img").await.unwrap(), &disk()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_changed_pieces_are_sent_and_appended() {
    let mut machine = machine_with_files(Protection::Encrypt(key(1)));
    machine.back_up(&ARCHIVES[..1]).await.unwrap();
    let mut changed = disk();
    changed[9 * MIB] = 1;
    // Another piece becomes one that the server knows from another place.
    changed.copy_within(16 * MIB..20 * MIB, 4 * MIB);
    let last = changed.len() - 1;
    changed[last] ^= 1;
    machine.write("disk", &changed);
    machine.server.count_anew();
    let summary = machine.back_up(&ARCHIVES[..1]).await.unwrap();
    assert_eq!((machine.server.calls(Step::Upload), machine.server.state().appended), (2, 3));
    assert_eq!(machine.server.state().closed, [("disk.img.fidx".to_owned(), 3, (8 << 20) + 12_345)]);
    assert_eq!(summary.archives[0].uploaded_plain_bytes, (4 << 20) + 12_345);
    assert!(is_same(&machine.restore("disk.img").await.unwrap(), &changed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_grew_is_appended_anew_but_not_sent_again() {
    let mut machine = machine_with_files(Protection::None);
    machine.back_up(&ARCHIVES[..1]).await.unwrap();
    let mut grown = disk();
    grown.truncate(24 * MIB);
    grown.extend(noise(8, 5 * MIB));
    machine.write("disk", &grown);
    machine.server.count_anew();
    machine.back_up(&ARCHIVES[..1]).await.unwrap();
    assert_eq!((machine.server.calls(Step::Upload), machine.server.state().appended), (2, 8));
    assert_eq!(machine.server.state().reused, 0);
    assert!(is_same(&machine.restore("disk.img").await.unwrap(), &grown));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holes_of_a_sparse_image_are_zeros_without_being_read() {
    let mut machine = Machine::new(Protection::None);
    let file = std::fs::File::create(machine.path("disk")).unwrap();
    // 64 GiB would take a minute to read.
    file.set_len(64 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"0123456789", (33 << 30) + 77).unwrap();
    let summary = machine.back_up(&["disk.img:disk"]).await.unwrap();
    assert_eq!((summary.archives[0].chunk_count, summary.archives[0].uploaded_chunks), (16_384, 2));
    // 512 entries at most in one request.
    assert!(machine.server.calls(Step::Append) <= 16_384 / 64);
    let restored = machine.restore("disk.img").await.unwrap();
    let restored = std::fs::File::open(restored).unwrap();
    let mut bytes = [1; 12];
    std::os::unix::fs::FileExt::read_exact_at(&restored, &mut bytes, (33 << 30) + 76).unwrap();
    assert_eq!(bytes, *b"\x000123456789\0");
    assert!(std::os::unix::fs::MetadataExt::blocks(&restored.metadata().unwrap()) < 2048);
    machine.server.count_anew();
    machine.back_up(&["disk.img:disk"]).await.unwrap();
    assert_eq!((machine.server.calls(Step::Upload), machine.server.calls(Step::Append)), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_unknown_size_becomes_an_image_or_an_archive() {
    use farhold_backup::{ArchiveInput, BackupArchive, BackupRequest};
    let mut machine = Machine::new(Protection::None);
    let content = noise(5, 9 * MIB + 3);
    for name in ["disk.img.fidx", "disk.img.fidx", "root.pxar.didx"] {
        let input = ArchiveInput::Reader(Box::new(std::io::Cursor::new(content.clone())));
        let template = machine.request(&[]);
        let archives = vec![BackupArchive { name: name.parse().unwrap(), input }];
        machine.run(BackupRequest { archives, ..template }).await.unwrap();
        assert!(machine.restore_in_order(name).await.unwrap() == content);
    }
    // The second image was known, although its size was not.
    assert_eq!(machine.server.state().reused, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_previous_snapshot_that_cannot_be_believed_costs_a_full_upload_only() {
    for (first, second, reason) in [
        (Protection::Encrypt(key(1)), Protection::Encrypt(key(2)), "key"),
        (Protection::SignOnly(key(1)), Protection::None, "it was made with the key"),
        (Protection::Encrypt(key(1)), Protection::None, "it was made with the key"),
    ] {
        let mut machine = machine_with_files(first);
        machine.back_up(&ARCHIVES).await.unwrap();
        machine.protection = second;
        let summary = machine.back_up(&ARCHIVES).await.unwrap();
        assert_eq!(summary.archives[0].uploaded_chunks, 5);
        let previous = machine.events.lock().unwrap()[0].clone();
        let Event::Previous(PreviousSnapshot::Unusable { reason: found, .. }) = previous else {
            panic!("{previous:?}")
        };
        assert!(found.contains(reason), "{found}");
        assert!(is_same(&machine.restore("disk.img").await.unwrap(), &disk()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_chunks_are_not_reused_for_an_encrypted_archive() {
    let mut machine = machine_with_files(Protection::SignOnly(key(1)));
    machine.back_up(&ARCHIVES).await.unwrap();
    machine.protection = Protection::Encrypt(key(1));
    let summary = machine.back_up(&ARCHIVES).await.unwrap();
    assert_eq!(summary.archives[0].uploaded_chunks, 5);
    assert_eq!(machine.server.state().reused, 0);
    assert!(is_same(&machine.restore("disk.img").await.unwrap(), &disk()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_previous_index_that_is_not_the_one_of_its_manifest_is_not_used() {
    let mut machine = machine_with_files(Protection::None);
    machine.back_up(&ARCHIVES).await.unwrap();
    let snapshot = machine.snapshot();
    // Another digest in the last entry: a chunk that would be believed to be there.
    let index = machine.server.file(&snapshot, "disk.img.fidx");
    let mut damaged = index.to_vec();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    machine.server.replace(&snapshot, "disk.img.fidx", damaged.into());
    machine.server.count_anew();
    machine.back_up(&ARCHIVES).await.unwrap();
    assert_eq!(machine.server.state().reused, 0);
    assert_eq!(
        machine.warnings(),
        ["the previous index cannot be used: size or checksum differ from the previous manifest"]
    );
    // All of it is sent again, although the server would have known most chunks.
    assert_eq!(machine.server.calls(Step::Upload), 5);
    assert!(is_same(&machine.restore("disk.img").await.unwrap(), &disk()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_to_copy_the_previous_index_gets_all_entries() {
    let mut machine = machine_with_files(Protection::None);
    machine.back_up(&ARCHIVES[..1]).await.unwrap();
    machine.server.count_anew();
    machine.server.fail(Step::Create, 0, Fault::Refused(400, "not here"));
    machine.back_up(&ARCHIVES[..1]).await.unwrap();
    assert_eq!(machine.warnings().len(), 1);
    assert_eq!((machine.server.calls(Step::Upload), machine.server.state().appended), (0, 7));
    assert!(is_same(&machine.restore("disk.img").await.unwrap(), &disk()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_server_that_does_not_know_the_question_for_the_previous_time_still_spares_the_chunks() {
    let mut machine = machine_with_files(Protection::None);
    machine.back_up(&ARCHIVES[..1]).await.unwrap();
    machine.server.count_anew();
    machine.server.fail(Step::PreviousTime, 0, Fault::Refused(404, "what?"));
    machine.back_up(&ARCHIVES[..1]).await.unwrap();
    assert_eq!(machine.server.calls(Step::Upload), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_transfers_stay_within_their_limits() {
    let mut machine = Machine::new(Protection::None);
    machine.write("disk", &noise(6, 120 * MIB));
    let mut request = machine.request(&["disk.img:disk"]);
    request.limits.memory_bytes = 40 * MIB;
    machine.run(request).await.unwrap();
    let most = machine.server.state().most_waiting_bytes;
    assert!(4 * MIB < most && most <= 40 * MIB, "{most}");

    let mut machine = Machine::new(Protection::None);
    machine.write("root", &noise(6, 20 * MIB));
    let mut request = machine.request(&["root.pxar:root"]);
    request.limits.transfers = 3.try_into().unwrap();
    machine.run(request).await.unwrap();
    assert_eq!(machine.server.state().most_waiting, 3);
}

/// A chunk that is known because the same backup is about to send it must not be appended before that was confirmed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_that_come_twice_are_appended_after_their_upload_whatever_the_order_of_answers() {
    let mut machine = Machine::new(Protection::None);
    let pieces: Vec<Vec<u8>> = (0..20).map(|seed| noise(seed, 4 * MIB)).collect();
    let order = (0..60).map(|n| (n * n * 7 + n / 3) % 20);
    let disk = order.map(|n| pieces[n].as_slice()).collect::<Vec<_>>().concat();
    machine.write("disk", &disk);
    let summary = machine.back_up(&["disk.img:disk"]).await.unwrap();
    let different: std::collections::HashSet<Digest> = machine.server.state().chunks.keys().copied().collect();
    assert_eq!(summary.archives[0].uploaded_chunks, different.len() as u64);
    assert_eq!(machine.server.calls(Step::Upload), different.len());
    assert!(is_same(&machine.restore("disk.img").await.unwrap(), &disk));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_reaches_the_announced_total() {
    let mut machine = machine_with_files(Protection::None);
    for _ in 0..2 {
        let request = machine.request(&ARCHIVES);
        let session = machine.server.open(&request.snapshot);
        let observer = machine.observer();
        let randomness = Arc::new(farhold_testkit::SeededRandomness::new(1));
        let open = request.open().unwrap();
        let total_bytes = open.total_bytes().unwrap();
        let cancel = tokio_util::sync::CancellationToken::new();
        farhold_backup::backup_into(session, open, randomness, observer.clone(), cancel).await.unwrap();
        let look = observer.progress.look();
        assert_eq!((look.done_bytes, look.total_bytes), (total_bytes, Some(total_bytes)));
    }
}
