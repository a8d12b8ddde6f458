//! Indexes and blobs under construction.

use farhold_crypto::sha256;
use farhold_datastore::backup::{BackupError, BackupWriter};
use farhold_format::index::{DynamicIndexBuilder, FIXED_CHUNK_BYTES, FixedIndexBuilder, Index};
use farhold_types::{ArchiveName, Digest, Epoch};

use super::{Bench, digest, first, second};
use crate::support::{INDEX, chunk, container, root};

fn name(text: &str) -> ArchiveName {
    text.parse().expect("valid")
}

fn stored(bench: &Bench, writer: &BackupWriter, archive: &str) -> Index {
    bench.store.open_index(&root(), writer.snapshot(), &name(archive)).expect("valid")
}

/// Checksum of a fixed index with these slots.
fn fixed_checksum(slots: &[Digest]) -> Digest {
    sha256(&slots.iter().flat_map(|digest| digest.0).collect::<Vec<u8>>())
}

fn fixed_index(count: u8, chunk_bytes: u64) -> Index {
    let mut builder =
        FixedIndexBuilder::new([1; 16], Epoch(1), u64::from(count) * chunk_bytes, chunk_bytes).expect("valid");
    for position in 0..count {
        builder.set(usize::from(position), digest(position)).expect("valid");
    }
    builder.finish().expect("valid")
}

#[test]
fn slots_of_a_fixed_index_are_filled_in_any_order_and_again() {
    let bench = Bench::new();
    let writer = bench.begin(&first()).unwrap();
    let size = 4 * FIXED_CHUNK_BYTES + 5;
    let file = writer.create_fixed(&name("disk.img.fidx"), Some(size), None).unwrap();
    assert_eq!((file.slots(), file.size_bytes()), (5, size));
    for slot in [3, 4, 0, 1, 2, 0] {
        file.set(slot, &digest(u8::try_from(slot).unwrap() + 10)).unwrap();
    }
    file.set(4, &digest(99)).unwrap();
    let error = file.set(5, &digest(1)).unwrap_err();
    assert!(matches!(error, BackupError::Slot { slot: 5, slots: 5, .. }), "{error}");
    let slots = [10, 11, 12, 13, 99].map(digest);
    let finished = file.finish(&fixed_checksum(&slots)).unwrap();
    assert_eq!((finished.checksum, finished.size_bytes, finished.chunk_count), (fixed_checksum(&slots), size, 5));
    let index = stored(&bench, &writer, "disk.img.fidx");
    assert_eq!(index.digests().collect::<Vec<_>>(), slots);
    assert_eq!((index.size_bytes(), index.uuid(), index.checksum()), (size, finished.uuid, finished.checksum));
    // Byte for byte what the builder in memory makes.
    let mut builder = FixedIndexBuilder::new(index.uuid(), index.created(), size, FIXED_CHUNK_BYTES).unwrap();
    for (position, digest) in slots.into_iter().enumerate() {
        builder.set(position, digest).unwrap();
    }
    assert_eq!(builder.finish().unwrap().as_bytes(), index.as_bytes());
    assert!(matches!(file.set(0, &digest(1)), Err(BackupError::Closed { .. })));
    assert!(matches!(file.finish(&digest(1)), Err(BackupError::Closed { .. })));
}

#[test]
fn a_fixed_index_of_unknown_size_grows_and_slots_never_set_are_zero() {
    let bench = Bench::new();
    let writer = bench.begin(&first()).unwrap();
    let file = writer.create_fixed(&name("disk.img.fidx"), None, None).unwrap();
    assert!(matches!(file.set(0, &digest(1)), Err(BackupError::Slot { slots: 0, .. })));
    assert!(matches!(file.finish(&digest(0)), Err(BackupError::Empty { .. })));
    file.resize(200 * FIXED_CHUNK_BYTES).unwrap();
    file.set(199, &digest(7)).unwrap();
    file.resize(3 * FIXED_CHUNK_BYTES).unwrap();
    file.set(1, &digest(8)).unwrap();
    let slots = [0, 8, 0].map(digest);
    file.finish(&fixed_checksum(&slots)).unwrap();
    assert_eq!(stored(&bench, &writer, "disk.img.fidx").digests().collect::<Vec<_>>(), slots);
}

#[test]
fn long_indexes_are_written_in_pieces() {
    let bench = Bench::new();
    let writer = bench.begin(&first()).unwrap();
    let count = 40_000_u32;
    let digests: Vec<Digest> = (0..count).map(|number| sha256(&number.to_le_bytes())).collect();
    let fixed = writer.create_fixed(&name("a.fidx"), Some(u64::from(count) * FIXED_CHUNK_BYTES), None).unwrap();
    let dynamic = writer.create_dynamic(&name("a.didx")).unwrap();
    let mut builder = DynamicIndexBuilder::new([0; 16], Epoch(0));
    for (digest, number) in digests.iter().zip(0_u64..) {
        fixed.set(number, digest).unwrap();
        dynamic.push((number + 1) * 10, digest).unwrap();
        builder.push((number + 1) * 10, *digest).unwrap();
    }
    fixed.finish(&fixed_checksum(&digests)).unwrap();
    dynamic.finish(&builder.finish().unwrap().checksum()).unwrap();
    assert!(stored(&bench, &writer, "a.fidx").digests().eq(digests.iter().copied()));
    assert!(stored(&bench, &writer, "a.didx").digests().eq(digests.iter().copied()));
}

#[test]
fn a_dynamic_index_only_grows() {
    let bench = Bench::new();
    let writer = bench.begin(&first()).unwrap();
    let file = writer.create_dynamic(&name(INDEX)).unwrap();
    assert!(matches!(file.finish(&digest(0)), Err(BackupError::Empty { .. })));
    assert!(matches!(file.push(0, &digest(1)), Err(BackupError::Order { start: 0, end: 0, .. })));
    file.push(10, &digest(1)).unwrap();
    assert!(matches!(file.push(10, &digest(2)), Err(BackupError::Order { start: 10, end: 10, .. })));
    file.push(u64::MAX, &digest(2)).unwrap();
    let mut builder = DynamicIndexBuilder::new([0; 16], Epoch(0));
    builder.push(10, digest(1)).unwrap();
    builder.push(u64::MAX, digest(2)).unwrap();
    let finished = file.finish(&builder.finish().unwrap().checksum()).unwrap();
    assert_eq!((finished.size_bytes, finished.chunk_count), (u64::MAX, 2));
    let index = stored(&bench, &writer, INDEX);
    assert_eq!((index.uuid(), index.created()), (finished.uuid, Epoch(1_800_000_000)));
    assert!(matches!(file.push(11, &digest(1)), Err(BackupError::Closed { .. })));
}

#[test]
fn a_wrong_checksum_leaves_no_index() {
    let bench = Bench::new();
    let writer = bench.begin(&first()).unwrap();
    let dynamic = writer.create_dynamic(&name(INDEX)).unwrap();
    dynamic.push(10, &digest(1)).unwrap();
    let fixed = writer.create_fixed(&name("disk.img.fidx"), Some(1), None).unwrap();
    fixed.set(0, &digest(1)).unwrap();
    let error = dynamic.finish(&digest(9)).unwrap_err();
    assert!(matches!(&error, BackupError::Checksum { expected, .. } if *expected == digest(9)), "{error}");
    assert!(matches!(fixed.finish(&digest(9)), Err(BackupError::Checksum { .. })));
    assert!(matches!(dynamic.push(11, &digest(1)), Err(BackupError::Closed { .. })));
    assert!(matches!(fixed.finish(&fixed_checksum(&[digest(1)])), Err(BackupError::Closed { .. })));
    assert_eq!(bench.paths().iter().filter(|path| path.contains("2026")).count(), 1, "{:?}", bench.paths());
}

#[test]
fn an_index_may_start_as_the_previous_one() {
    let bench = Bench::new();
    let writer = bench.begin(&first()).unwrap();
    let archive = name("disk.img.fidx");
    let base = fixed_index(3, FIXED_CHUNK_BYTES);
    // The size may differ within the last chunk.
    let file = writer.create_fixed(&archive, Some(2 * FIXED_CHUNK_BYTES + 1), Some(&base)).unwrap();
    file.set(1, &digest(50)).unwrap();
    let slots = [0, 50, 2].map(digest);
    file.finish(&fixed_checksum(&slots)).unwrap();
    let index = stored(&bench, &writer, "disk.img.fidx");
    assert_eq!((index.size_bytes(), index.digests().collect::<Vec<_>>()), (2 * FIXED_CHUNK_BYTES + 1, slots.to_vec()));

    let mut dynamic = DynamicIndexBuilder::new([0; 16], Epoch(0));
    dynamic.push(10, digest(1)).unwrap();
    let refused = [
        (Some(4 * FIXED_CHUNK_BYTES), base.clone()),
        (Some(2 * FIXED_CHUNK_BYTES), base.clone()),
        (Some(3 * FIXED_CHUNK_BYTES), fixed_index(3, 65_536)),
        (Some(10), dynamic.finish().unwrap()),
    ];
    let before = bench.paths();
    for (size, base) in refused {
        let error = writer.create_fixed(&archive, size, Some(&base)).unwrap_err();
        assert!(matches!(error, BackupError::BaseUnfit { .. }), "{error}");
    }
    let error = writer.create_fixed(&archive, None, Some(&base)).unwrap_err();
    assert!(matches!(error, BackupError::SizeMissing { .. }), "{error}");
    assert_eq!(bench.paths(), before);
}

#[test]
fn one_name_may_be_written_twice_at_once_and_the_last_close_stays() {
    let bench = Bench::new();
    let writer = bench.begin(&first()).unwrap();
    let files = [1, 2, 3].map(|number| {
        let file = writer.create_fixed(&name("a.fidx"), Some(1), None).unwrap();
        file.set(0, &digest(number)).unwrap();
        file
    });
    for (file, number) in files.iter().zip([1, 2, 3]).rev() {
        file.finish(&fixed_checksum(&[digest(number)])).unwrap();
        assert_eq!(stored(&bench, &writer, "a.fidx").digests().collect::<Vec<_>>(), [digest(number)]);
    }
    assert!(!bench.paths().iter().any(|path| path.contains("tmp")));
}

#[test]
fn names_of_the_wrong_kind_and_impossible_sizes_are_refused() {
    let bench = Bench::new();
    let writer = bench.begin(&first()).unwrap();
    let before = bench.paths();
    let is_wrong = |outcome: Result<(), BackupError>| matches!(outcome, Err(BackupError::WrongKind { .. }));
    assert!(is_wrong(writer.create_fixed(&name("a.didx"), Some(1), None).map(|_| ())));
    assert!(is_wrong(writer.create_dynamic(&name("a.fidx")).map(|_| ())));
    assert!(is_wrong(writer.put_blob(&name("a.didx"), &chunk(b"x").1)));
    assert!(matches!(writer.create_fixed(&name("a.fidx"), Some(0), None), Err(BackupError::Empty { .. })));
    for size in [u64::MAX, 1 << 60, (1 << 46) + 1] {
        let outcome = writer.create_fixed(&name("a.fidx"), Some(size), None);
        assert!(matches!(outcome, Err(BackupError::IndexTooLong { .. })), "{size}");
    }
    assert_eq!(bench.paths(), before);
    let file = writer.create_fixed(&name("a.fidx"), None, None).unwrap();
    assert!(matches!(file.resize(1 << 60), Err(BackupError::IndexTooLong { .. })));
    drop(file);
    assert_eq!(bench.paths(), before);
}

#[test]
fn blobs_are_checked_and_replaced() {
    let bench = Bench::new();
    let writer = bench.begin(&first()).unwrap();
    let archive = name("a.conf.blob");
    let mut damaged = chunk(b"content").1;
    *damaged.last_mut().unwrap() ^= 1;
    for bad in [&damaged[..], b"", b"no blob at all"] {
        assert!(matches!(writer.put_blob(&archive, bad), Err(BackupError::NotABlob { .. })));
    }
    let encrypted = container(farhold_format::blob::BlobKind::Encrypted, 60, 3);
    for blob in [&chunk(b"one").1, &chunk(b"two").1, &encrypted] {
        writer.put_blob(&archive, blob).unwrap();
        assert_eq!(bench.store.read_file(&root(), writer.snapshot(), &archive).unwrap(), *blob);
    }
}

#[test]
fn a_scratch_file_has_no_name_and_keeps_its_content() {
    let bench = Bench::new();
    let writer = bench.begin(&second()).unwrap();
    let files = [1u8, 2].map(|number| {
        let file = writer.scratch_file().unwrap();
        file.write_at(1000, &[number; 10]).unwrap();
        file
    });
    for (file, number) in files.iter().zip([1u8, 2]) {
        assert_eq!(file.read_at(1000, 100).unwrap(), [number; 10]);
    }
    assert!(!bench.memory.all_paths().iter().any(|path| path.contains("scratch")));
}

#[test]
fn on_disk_an_announced_size_takes_no_space() {
    use std::os::unix::fs::MetadataExt;
    let (base, locks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(base.path().join(".chunks")).unwrap();
    let options = crate::support::local_options(base.path(), locks.path());
    let store = farhold_datastore::Datastore::open(options).unwrap();
    let kind = farhold_datastore::backup::BackupKind::Normal;
    let writer = store.begin_backup(&root(), &first(), &super::authid("joe@pbs"), kind).unwrap();
    let file = writer.create_fixed(&name("a.fidx"), Some(1 << 45), None).unwrap();
    file.set(5_000_000, &digest(1)).unwrap();
    let path = base.path().join("vm/100/2026-01-01T10:00:00Z/a.tmp_fidx");
    let meta = std::fs::metadata(path).unwrap();
    assert_eq!(meta.len(), 4096 + (1 << 45) / FIXED_CHUNK_BYTES * 32);
    assert!(meta.blocks() * 512 < 1 << 20, "{}", meta.blocks());
}
