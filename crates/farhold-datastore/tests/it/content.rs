//! Reading the content of files as it was before the backup.

use std::collections::HashMap;
use std::fs;

use farhold_crypto::{Sha256, sha256};
use farhold_datastore::{ContentError, Datastore, DatastoreError};
use farhold_types::{ArchiveName, Digest, Snapshot};

use crate::support::{Golden, golden_path, root, snapshot, unpack};

/// Reads all of a file; returns its length as announced, its true length and the digest of its content.
fn read(store: &Datastore, snapshot: &Snapshot, archive: &str) -> Result<(u64, u64, Digest), ContentError> {
    let mut content = store.open_content(&root(), snapshot, &archive.parse().expect("valid"))?;
    let (mut length, mut hash) = (0, Sha256::new());
    while let Some(part) = content.next_part()? {
        length += part.len() as u64;
        hash.update(&part);
    }
    assert!(content.next_part()?.is_none(), "the end stays the end");
    Ok((content.size_bytes(), length, hash.finish()))
}

fn sources() -> HashMap<String, String> {
    let text = fs::read_to_string(golden_path("sources.sha256")).expect("present");
    let pair = |line: &str| line.split_once("  ").map(|(digest, name)| (name.to_owned(), digest.to_owned()));
    text.lines().filter_map(pair).collect()
}

#[test]
fn images_archives_and_blobs_come_out_as_they_went_in() {
    let Golden { store, .. } = &unpack("golden");
    let vm = snapshot("vm/100/2026-01-01T10:00:00Z");
    let (announced, length, digest) = read(store, &vm, "drive-scsi0.img.fidx").unwrap();
    assert_eq!((announced, length), (25_165_824, 25_165_824));
    assert_eq!(digest.to_string(), "0a84758549d4493c1368e6cfc91c72ec23d0359d765bd1a88b18da38e173c33b");
    assert!(sources().values().any(|source| *source == digest.to_string()), "it is one of the files backed up");
    let web = snapshot("host/web1/2026-01-01T10:00:00Z");
    let (_, length, digest) = read(store, &web, "catalog.pcat1.didx").unwrap();
    assert_eq!(length, 1230);
    assert_eq!(digest.to_string(), "03ce611e4940bac3e7d33417b4314aa5ad837d1fb4d061e57ee3fe305c20ab92");
    for (archive, content) in [
        (
            "qemu-server.conf.blob",
            "boot: order=scsi0\ncores: 2\nmemory: 2048\nname: vm100\nscsi0: local-lvm:vm-100-disk-0,size=24M\n",
        ),
        ("client.log.blob", "INFO: starting backup\nINFO: finished backup (00:00:03)\n"),
    ] {
        assert_eq!(read(store, &vm, archive).unwrap().2, sha256(content.as_bytes()), "{archive}");
    }
    assert_eq!(read(store, &vm, "index.json.blob").unwrap().1, 776);
}

#[test]
fn encrypted_and_unlisted_files_are_refused_before_the_first_byte() {
    let Golden { store, .. } = &unpack("golden");
    let encrypted = snapshot("vm/200/2026-01-01T10:00:00Z");
    for archive in ["drive-scsi0.img.fidx", "qemu-server.conf.blob"] {
        assert!(matches!(read(store, &encrypted, archive), Err(ContentError::Encrypted { .. })), "{archive}");
    }
    let vm = snapshot("vm/100/2026-01-01T10:00:00Z");
    let missing = read(store, &vm, "nosuch.blob");
    assert!(matches!(missing, Err(ContentError::Datastore(DatastoreError::FileMissing { .. }))), "{missing:?}");
    let directory = store.local_path(&root(), &vm.group, Some(vm.time)).unwrap();
    fs::copy(directory.join("qemu-server.conf.blob"), directory.join("other.conf.blob")).unwrap();
    assert!(matches!(read(store, &vm, "other.conf.blob"), Err(ContentError::NotListed { .. })));
}

#[test]
fn what_is_damaged_is_never_handed_out() {
    let Golden { store, .. } = &unpack("golden");
    let vm = snapshot("vm/100/2026-01-01T10:00:00Z");
    let directory = store.local_path(&root(), &vm.group, Some(vm.time)).unwrap();
    let swap = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let path = directory.join(name);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    };
    swap("qemu-server.conf.blob", &|bytes| bytes[20] ^= 1);
    assert!(matches!(read(store, &vm, "qemu-server.conf.blob"), Err(ContentError::Differs { .. })));
    swap("client.log.blob", &|bytes| *bytes.last_mut().unwrap() ^= 1);
    assert!(matches!(read(store, &vm, "client.log.blob"), Err(ContentError::Blob { .. })));

    let archive: ArchiveName = "drive-scsi0.img.fidx".parse().unwrap();
    let index = store.open_index(&root(), &vm, &archive).unwrap();
    let digests: Vec<Digest> = index.digests().collect();
    let different = digests.iter().find(|digest| **digest != digests[0]).unwrap();
    let chunk_path = |digest: &Digest| {
        let name = digest.to_string();
        store.local_root().unwrap().join(".chunks").join(&name[..4]).join(name)
    };
    // A sound chunk under the name of another one.
    let kept = fs::read(chunk_path(different)).unwrap();
    fs::copy(chunk_path(&digests[0]), chunk_path(different)).unwrap();
    assert!(matches!(read(store, &vm, archive.as_str()), Err(ContentError::WrongChunk { .. })));
    fs::write(chunk_path(different), &kept[..kept.len() - 1]).unwrap();
    assert!(matches!(read(store, &vm, archive.as_str()), Err(ContentError::Chunk { .. })));
    fs::remove_file(chunk_path(different)).unwrap();
    let mut content = store.open_content(&root(), &vm, &archive).unwrap();
    let end = std::iter::repeat_with(|| content.next_part()).take_while(|part| !matches!(part, Ok(None))).last();
    assert!(matches!(end, Some(Err(ContentError::Read(_)))), "the failure is the end");
    swap("drive-scsi0.img.fidx", &|bytes| *bytes.last_mut().unwrap() ^= 1);
    assert!(matches!(read(store, &vm, archive.as_str()), Err(ContentError::Differs { .. })));
}

#[test]
fn a_snapshot_being_read_stays() {
    let Golden { store, .. } = &unpack("golden");
    let vm = snapshot("vm/100/2026-01-01T10:00:00Z");
    let content = store.open_content(&root(), &vm, &"qemu-server.conf.blob".parse().unwrap()).unwrap();
    assert!(store.remove_snapshot(&root(), &vm).is_err());
    drop(content);
    let writing = store.lock_snapshot(&root(), &vm).unwrap();
    assert!(store.open_content(&root(), &vm, &"qemu-server.conf.blob".parse().unwrap()).is_err());
    drop(writing);
    store.remove_snapshot(&root(), &vm).unwrap();
}
