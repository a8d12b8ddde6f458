//! What a restore refuses, and what it leaves behind then: nothing.

use std::io::{self, Write};

use bytes::Bytes;
use farhold_backup::{Protection, RestoreError, RestoreTarget};
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_types::{Digest, MANIFEST_NAME};

use crate::memory::{Fault, Step};
use crate::{MIB, Machine, is_same, key, noise};

const ARCHIVES: [&str; 3] = ["disk.img:disk", "root.pxar:root", "etc.conf:etc"];

async fn backed_up(protection: Protection) -> Machine {
    let mut machine = Machine::new(protection);
    machine.write("disk", &noise(1, 21 * MIB));
    machine.write("root", &noise(2, 2 * MIB));
    machine.write("etc", b"a = 1\n");
    machine.back_up(&ARCHIVES).await.unwrap();
    machine
}

/// Any chunk, always the same one.
fn some_chunk(machine: &Machine) -> Digest {
    let snapshot = machine.snapshot();
    let index = machine.server.file(&snapshot, "disk.img.fidx");
    let index = farhold_format::index::Index::parse(farhold_types::ArchiveKind::FixedIndex, index).unwrap();
    index.chunk(3).unwrap().digest
}

/// Restores the image in both ways, expects the same error, and that no file stays behind.
async fn refusal(machine: &Machine, archive: &str) -> RestoreError {
    let error = machine.restore(archive).await.unwrap_err();
    assert!(!machine.path("restored").exists());
    let other = machine.restore_in_order(archive).await.unwrap_err();
    assert_eq!(error.to_string(), other.to_string());
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_chunks_are_noticed_whatever_the_damage_is() {
    for protection in [Protection::None, Protection::Encrypt(key(1))] {
        let is_encrypted = protection.encrypting_key().is_some();
        let machine = backed_up(protection).await;
        let digest = some_chunk(&machine);
        let sound = machine.server.state().chunks[&digest].clone();
        let set = |encoded: Option<Bytes>| match encoded {
            Some(encoded) => drop(machine.server.state().chunks.insert(digest, encoded)),
            None => drop(machine.server.state().chunks.remove(&digest)),
        };
        let mut flipped = sound.to_vec();
        flipped[1000] ^= 1;
        let mut encoder = BlobEncoder::new();
        let iv = [3; 16];
        let own_key = key(1);
        let encryption = is_encrypted.then_some((&*own_key, iv));
        let other_content = encoder.encode(&noise(9, 4 * MIB), Compression::On, encryption).unwrap();
        let shorter = encoder.encode(&noise(1, 100), Compression::On, encryption).unwrap();
        let longer = encoder.encode(&noise(1, 5 * MIB), Compression::On, encryption).unwrap();
        let other_key = key(2);
        let other_form =
            encoder.encode(&noise(9, 4 * MIB), Compression::On, (!is_encrypted).then_some((&*other_key, iv)));
        for (what, encoded, expected) in [
            ("flipped", Some(flipped), "cannot be decoded"),
            ("cut", Some(sound[..5000].to_vec()), "cannot be decoded"),
            ("empty", Some(Vec::new()), "cannot be decoded"),
            ("other content", Some(other_content), "its content has another digest"),
            ("shorter", Some(shorter), "another length"),
            ("longer", Some(longer), "cannot be decoded"),
            ("other form", Some(other_form.unwrap()), "not encrypted as the manifest says"),
            ("missing", None, "cannot read chunk"),
        ] {
            set(encoded.map(Bytes::from));
            let error = refusal(&machine, "disk.img").await;
            let text = error.to_string();
            assert!(text.contains(expected) && text.contains(&digest.to_string()), "{what}: {text}");
            assert!(matches!(error, RestoreError::Server { .. }) || error.hint().unwrap().contains("verify"), "{what}");
        }
        set(Some(sound));
        assert!(is_same(&machine.restore("disk.img").await.unwrap(), &noise(1, 21 * MIB)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_indexes_and_small_files_are_noticed() {
    for protection in [Protection::None, Protection::SignOnly(key(1)), Protection::Encrypt(key(1))] {
        let machine = backed_up(protection).await;
        let snapshot = machine.snapshot();
        for (file, archive) in
            [("disk.img.fidx", "disk.img"), ("root.pxar.didx", "root.pxar"), ("etc.conf.blob", "etc.conf")]
        {
            let sound = machine.server.file(&snapshot, file);
            let mut flipped = sound.to_vec();
            let last = flipped.len() - 1;
            flipped[last] ^= 1;
            let mut longer = sound.to_vec();
            longer.extend(&sound[..sound.len().min(40)]);
            for damaged in [flipped, sound[..last].to_vec(), longer] {
                machine.server.replace(&snapshot, file, damaged.into());
                let error = refusal(&machine, archive).await;
                assert!(
                    error.to_string().contains("is damaged") || matches!(error, RestoreError::Server { .. }),
                    "{error}"
                );
            }
            machine.server.replace(&snapshot, file, sound);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_checked_before_anything_is_fetched() {
    for protection in [Protection::SignOnly(key(1)), Protection::Encrypt(key(1))] {
        let mut machine = backed_up(protection).await;
        machine.protection = Protection::Encrypt(key(2));
        machine.server.count_anew();
        let error = refusal(&machine, "disk.img").await;
        let RestoreError::WrongKey { expected, found } = error else { panic!("{error:?}") };
        assert_eq!((expected, found), (key(1).fingerprint(), key(2).fingerprint()));
        assert!(error.hint().unwrap().contains("key file"));
        machine.protection = Protection::None;
        for archive in ["disk.img", "etc.conf", "index.json"] {
            assert!(matches!(refusal(&machine, archive).await, RestoreError::KeyMissing { .. }), "{archive}");
        }
        assert_eq!(machine.server.calls(Step::Chunk), 0);
    }
    // A key at hand that nobody asked for does no harm.
    let mut machine = backed_up(Protection::None).await;
    machine.protection = Protection::Encrypt(key(2));
    assert!(is_same(&machine.restore("disk.img").await.unwrap(), &noise(1, 21 * MIB)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_manifest_is_noticed_by_its_signature() {
    let machine = backed_up(Protection::SignOnly(key(1))).await;
    let snapshot = machine.snapshot();
    let mut manifest = machine.server.manifest(&snapshot);
    manifest.set_notes("notes may change");
    machine.server.replace(&snapshot, MANIFEST_NAME, manifest.to_blob(&mut BlobEncoder::new()).unwrap().into());
    machine.restore("etc.conf").await.unwrap();
    manifest.files[0].size_bytes += 1;
    machine.server.replace(&snapshot, MANIFEST_NAME, manifest.to_blob(&mut BlobEncoder::new()).unwrap().into());
    for archive in ["disk.img", "etc.conf"] {
        let error = refusal(&machine, archive).await;
        assert!(matches!(error, RestoreError::Signature { .. }), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manifest_comes_as_it_is_stored_and_replaces_a_file() {
    let machine = backed_up(Protection::Encrypt(key(1))).await;
    let expected = machine.server.manifest(&machine.snapshot()).to_json();
    assert_eq!(machine.restore_in_order("index.json").await.unwrap(), expected.as_bytes());
    machine.write("old", b"something");
    let target = RestoreTarget::NewFile(machine.path("old"));
    machine.restore_with("index.json", target, Some(key(1))).await.unwrap();
    assert!(is_same(&machine.path("old"), expected.as_bytes()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_existing_target_is_never_touched() {
    let machine = backed_up(Protection::None).await;
    machine.write("mine", b"mine");
    for archive in ["disk.img", "root.pxar", "etc.conf"] {
        let target = RestoreTarget::NewFile(machine.path("mine"));
        let error = machine.restore_with(archive, target, None).await.unwrap_err();
        assert!(matches!(error, RestoreError::TargetExists { .. }), "{error:?}");
        assert!(is_same(&machine.path("mine"), b"mine"));
    }
    let target = RestoreTarget::NewFile(machine.path("no/such/folder"));
    assert!(matches!(machine.restore_with("etc.conf", target, None).await, Err(RestoreError::Create { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_leaves_no_file() {
    let machine = backed_up(Protection::None).await;
    for after in [0, 3] {
        machine.server.fail(Step::Chunk, after, Fault::Broken);
        let error = machine.restore("disk.img").await.unwrap_err();
        assert!(error.client_error().unwrap().is_transient(), "{error:?}");
        assert!(!machine.path("restored").exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_takes_no_more_ends_the_restore() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            let count = bytes.len().min(self.0);
            self.0 -= count;
            Ok(count)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let machine = backed_up(Protection::None).await;
    for (archive, room) in [("disk.img", 10 * MIB), ("root.pxar", 0), ("etc.conf", 3)] {
        let error = machine.restore_with(archive, RestoreTarget::Writer(Box::new(Full(room))), None).await.unwrap_err();
        assert!(matches!(error, RestoreError::Write { .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("full"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_named() {
    let machine = backed_up(Protection::None).await;
    for archive in ["disk", "client.log", "other.img"] {
        let error = refusal(&machine, archive).await;
        assert_eq!(error.to_string(), format!("snapshot has no archive '{archive}'"));
        assert!(error.hint().is_some());
    }
}
