//! Documented samples, damage, and round trips of both kinds of index.

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_types::{ArchiveKind, Digest, Epoch};
use proptest::prelude::*;

use super::{
    ChunkRef, DYNAMIC_MAGIC, DynamicIndexBuilder, FIXED_CHUNK_BYTES, FIXED_MAGIC, FixedIndexBuilder, Index, IndexError,
    MAX_INDEX_BYTES, fixed_index_bytes, max_index_bytes,
};

const UUID: [u8; 16] = [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf];
const CREATED: Epoch = Epoch(1_593_179_765);

fn zeros_and_hello() -> [Digest; 2] {
    [sha256(&vec![0; 4 << 20]), sha256(b"hello")]
}

fn fixed_sample() -> Index {
    let mut builder = FixedIndexBuilder::new(UUID, CREATED, 4_194_309, FIXED_CHUNK_BYTES).unwrap();
    let [zeros, hello] = zeros_and_hello();
    builder.set(1, hello).unwrap();
    builder.set(0, zeros).unwrap();
    builder.finish().unwrap()
}

fn dynamic_sample() -> Index {
    let mut builder = DynamicIndexBuilder::new(UUID, CREATED);
    let [zeros, hello] = zeros_and_hello();
    builder.push(4_194_304, zeros).unwrap();
    builder.push(4_194_309, hello).unwrap();
    builder.finish().unwrap()
}

/// The file of an index after a change.
fn changed(index: &Index, change: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut file = index.as_bytes().to_vec();
    change(&mut file);
    Bytes::from(file)
}

fn parse_fixed(change: impl FnOnce(&mut Vec<u8>)) -> Result<Index, IndexError> {
    Index::parse(ArchiveKind::FixedIndex, changed(&fixed_sample(), change))
}

fn parse_dynamic(change: impl FnOnce(&mut Vec<u8>)) -> Result<Index, IndexError> {
    Index::parse(ArchiveKind::DynamicIndex, changed(&dynamic_sample(), change))
}

fn put(file: &mut [u8], offset: usize, value: u64) {
    file[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn magic_numbers_start_the_hash_of_their_texts() {
    assert_eq!(FIXED_MAGIC, sha256(b"Proxmox Backup fixed sized chunk index v1.0").0[..8]);
    assert_eq!(DYNAMIC_MAGIC, sha256(b"Proxmox Backup dynamic sized chunk index v1.0").0[..8]);
}

#[test]
fn samples_are_byte_for_byte_the_documented_ones() {
    let (fixed, dynamic) = (fixed_sample(), dynamic_sample());
    assert_eq!((fixed.as_bytes().len(), dynamic.as_bytes().len()), (4160, 4176));
    for (index, checksum, file) in [
        (
            &fixed,
            "1d77917af4c67365bbe8f81698b464912c59b4261bbe4ee013b7243f2ab57ef1",
            "2403035da032adb0f74b019b676c19f2deeb12a40ac541690af320d444dc3450",
        ),
        (
            &dynamic,
            "31bed408200cb47158b7da1bfb1982cd9501fe45a35e0dc0f8c36df08c0d65f2",
            "0be9e017f33c6883550ff28a9737b7b78649d98f1ad53275d741dbb2240bc786",
        ),
    ] {
        assert_eq!(index.checksum().to_string(), checksum);
        assert_eq!(sha256(index.as_bytes()).to_string(), file);
    }
}

#[test]
fn samples_read_back_as_two_chunks() {
    let [zeros, hello] = zeros_and_hello();
    for sample in [fixed_sample(), dynamic_sample()] {
        let index = Index::parse(sample.kind(), sample.as_bytes().clone()).unwrap();
        let expected = [
            ChunkRef { digest: zeros, start: 0, end: 4_194_304 },
            ChunkRef { digest: hello, start: 4_194_304, end: 4_194_309 },
        ];
        assert_eq!(index.chunks().collect::<Vec<_>>(), expected);
        assert_eq!(index.digests().collect::<Vec<_>>(), [zeros, hello]);
        assert_eq!((index.chunk_count(), index.size_bytes()), (2, 4_194_309));
        assert_eq!((index.uuid(), index.created(), index.checksum()), (UUID, CREATED, sample.checksum()));
        assert_eq!((index.chunk(2), index.chunk(usize::MAX)), (None, None));
        assert_eq!(index.chunk(1).unwrap().size_bytes(), 5);
    }
    assert_eq!(fixed_sample().chunk_size_bytes(), Some(4_194_304));
    assert_eq!(dynamic_sample().chunk_size_bytes(), None);
}

#[test]
fn the_checksum_comes_from_the_entries_whatever_the_header_says() {
    let damaged = parse_fixed(|file| file[32..64].fill(0xff)).unwrap();
    assert_eq!(damaged.checksum(), fixed_sample().checksum());
    let damaged = parse_dynamic(|file| file[32..64].fill(0xff)).unwrap();
    assert_eq!(damaged.checksum(), dynamic_sample().checksum());
    assert_eq!(damaged.stored_checksum(), Digest([0xff; 32]));
    for whole in [fixed_sample(), dynamic_sample()] {
        assert_eq!(whole.stored_checksum(), whole.checksum());
    }
}

#[test]
fn every_flipped_byte_of_the_entries_changes_the_checksum_or_is_refused() {
    for position in 4096..4160 {
        assert_ne!(parse_fixed(|f| f[position] ^= 1).unwrap().checksum(), fixed_sample().checksum(), "{position}");
    }
    for position in 4096..4176 {
        if let Ok(index) = parse_dynamic(|f| f[position] ^= 0x80) {
            assert_ne!(index.checksum(), dynamic_sample().checksum(), "{position}");
        }
    }
}

#[test]
fn damaged_fixed_indexes_are_refused() {
    type Change = fn(&mut Vec<u8>);
    const LENGTH: &str = "content size and chunk size";
    let length = |found| IndexError::Length { found, expected: LENGTH };
    let table: [(&str, Change, IndexError); 15] = [
        ("no bytes", |f| f.clear(), IndexError::TooShort { found: 0 }),
        ("cut in the header", |f| f.truncate(4095), IndexError::TooShort { found: 4095 }),
        ("no entries", |f| f.truncate(4096), length(0)),
        ("cut in an entry", |f| f.truncate(4159), length(63)),
        ("one entry too few", |f| f.truncate(4128), length(32)),
        ("one entry too many", |f| f.resize(4192, 0), length(96)),
        ("a byte too many", |f| f.push(0), length(65)),
        (
            "magic of the other kind",
            |f| f[..8].copy_from_slice(&DYNAMIC_MAGIC),
            IndexError::WrongMagic { found: DYNAMIC_MAGIC },
        ),
        ("chunk size 0", |f| put(f, 72, 0), IndexError::ChunkSize { found: 0 }),
        ("chunk size 3000000", |f| put(f, 72, 3_000_000), IndexError::ChunkSize { found: 3_000_000 }),
        ("size 0 with entries", |f| put(f, 64, 0), length(64)),
        (
            "size 0 without entries",
            |f| {
                put(f, 64, 0);
                f.truncate(4096);
            },
            IndexError::Empty,
        ),
        ("size of one chunk", |f| put(f, 64, 4_194_304), length(64)),
        ("size of three chunks", |f| put(f, 64, 8_388_609), length(64)),
        (
            "largest size, smallest chunks",
            |f| {
                put(f, 64, u64::MAX);
                put(f, 72, 1);
            },
            length(64),
        ),
    ];
    for (what, change, expected) in table {
        assert_eq!(parse_fixed(change).unwrap_err(), expected, "{what}");
    }
}

#[test]
fn unusual_chunk_sizes_are_powers_of_two() {
    let one_chunk = |chunk_size: u64, size: u64| {
        parse_fixed(|f| {
            put(f, 64, size);
            put(f, 72, chunk_size);
            f.truncate(4128);
        })
    };
    let index = one_chunk(8_388_608, 8_388_608).unwrap();
    assert_eq!(index.chunk(0).map(|c| (c.start, c.end)), Some((0, 8_388_608)));
    let index = one_chunk(1 << 63, 5).unwrap();
    assert_eq!(index.chunk(0).map(|c| (c.start, c.end)), Some((0, 5)));
    let index = parse_fixed(|f| {
        put(f, 64, u64::MAX);
        put(f, 72, 1 << 63);
    })
    .unwrap();
    assert_eq!(index.chunk(1).map(|c| (c.start, c.end)), Some((1 << 63, u64::MAX)));
}

#[test]
fn damaged_dynamic_indexes_are_refused() {
    type Change = fn(&mut Vec<u8>);
    let length = |found| IndexError::Length { found, expected: "entries of 40 bytes" };
    let table: [(&str, Change, IndexError); 10] = [
        ("no bytes", |f| f.clear(), IndexError::TooShort { found: 0 }),
        ("cut in the header", |f| f.truncate(4095), IndexError::TooShort { found: 4095 }),
        ("no entries", |f| f.truncate(4096), IndexError::Empty),
        ("one byte of entries", |f| f.truncate(4097), length(1)),
        ("cut in an entry", |f| f.truncate(4175), length(79)),
        ("a byte too many", |f| f.push(0), length(81)),
        (
            "magic of the other kind",
            |f| f[..8].copy_from_slice(&FIXED_MAGIC),
            IndexError::WrongMagic { found: FIXED_MAGIC },
        ),
        ("first chunk empty", |f| put(f, 4096, 0), IndexError::Order { position: 0, start: 0, end: 0 }),
        (
            "second chunk empty",
            |f| put(f, 4136, 4_194_304),
            IndexError::Order { position: 1, start: 4_194_304, end: 4_194_304 },
        ),
        ("decreasing", |f| put(f, 4136, 7), IndexError::Order { position: 1, start: 4_194_304, end: 7 }),
    ];
    for (what, change, expected) in table {
        assert_eq!(parse_dynamic(change).unwrap_err(), expected, "{what}");
    }
}

#[test]
fn a_blob_is_no_index() {
    let result = Index::parse(ArchiveKind::Blob, fixed_sample().as_bytes().clone());
    assert_eq!(result.unwrap_err(), IndexError::NotAnIndex);
}

#[test]
fn a_fixed_index_is_complete_before_it_is_finished() {
    let new = |size, chunk_size| FixedIndexBuilder::new(UUID, CREATED, size, chunk_size);
    let mut builder = new(4_194_309, FIXED_CHUNK_BYTES).unwrap();
    builder.set(1, sha256(b"hello")).unwrap();
    assert_eq!(builder.set(2, sha256(b"")), Err(IndexError::Position { position: 2, count: 2 }));
    assert_eq!(builder.finish().unwrap_err(), IndexError::Missing { position: 0 });
    assert_eq!(new(0, FIXED_CHUNK_BYTES).unwrap_err(), IndexError::Empty);
    assert_eq!(new(5, 3_000_000).unwrap_err(), IndexError::ChunkSize { found: 3_000_000 });
    assert_eq!(new(u64::MAX, FIXED_CHUNK_BYTES).unwrap_err(), IndexError::TooLong);
    assert_eq!(new(u64::MAX, 1).unwrap_err(), IndexError::TooLong);
}

#[test]
fn a_dynamic_index_only_grows() {
    let mut builder = DynamicIndexBuilder::new(UUID, CREATED);
    assert_eq!(builder.push(0, sha256(b"")), Err(IndexError::Order { position: 0, start: 0, end: 0 }));
    builder.push(5, sha256(b"hello")).unwrap();
    assert_eq!(builder.push(5, sha256(b"")), Err(IndexError::Order { position: 1, start: 5, end: 5 }));
    assert_eq!(builder.size_bytes(), 5);
    assert_eq!(builder.finish().unwrap().chunk_count(), 1);
    assert_eq!(DynamicIndexBuilder::new(UUID, CREATED).finish().unwrap_err(), IndexError::Empty);
}

#[test]
fn lengths_of_index_files_are_bounded_by_the_content() {
    assert_eq!(fixed_index_bytes(4_194_309, FIXED_CHUNK_BYTES), Some(4160));
    assert_eq!(fixed_index_bytes(0, FIXED_CHUNK_BYTES), Some(4096));
    assert_eq!(fixed_index_bytes(5, 0), None);
    assert_eq!(fixed_index_bytes(u64::MAX, 1), None);
    assert_eq!(max_index_bytes(ArchiveKind::FixedIndex, 4_194_309), 4096 + 65 * 32);
    assert_eq!(max_index_bytes(ArchiveKind::FixedIndex, u64::MAX), MAX_INDEX_BYTES);
    assert_eq!(max_index_bytes(ArchiveKind::DynamicIndex, 5), 4096 + 5 * 40);
    assert_eq!(max_index_bytes(ArchiveKind::DynamicIndex, u64::MAX), MAX_INDEX_BYTES);
    assert_eq!(max_index_bytes(ArchiveKind::Blob, 5), 0);
}

proptest! {
    #[test]
    fn a_built_dynamic_index_reads_back(sizes in prop::collection::vec(1u64..20_000_000, 1..40), uuid: [u8; 16]) {
        let mut builder = DynamicIndexBuilder::new(uuid, CREATED);
        let mut expected = Vec::new();
        let mut start = 0;
        for size in &sizes {
            let chunk = ChunkRef { digest: sha256(&size.to_le_bytes()), start, end: start + size };
            builder.push(chunk.end, chunk.digest).unwrap();
            expected.push(chunk);
            start = chunk.end;
        }
        let built = builder.finish().unwrap();
        let read = Index::parse(ArchiveKind::DynamicIndex, built.as_bytes().clone()).unwrap();
        prop_assert_eq!(read.chunks().collect::<Vec<_>>(), expected);
        prop_assert_eq!((read.size_bytes(), read.checksum(), read.uuid()), (start, built.checksum(), uuid));
        prop_assert!(read.as_bytes().len() as u64 <= max_index_bytes(ArchiveKind::DynamicIndex, start));
    }

    #[test]
    fn a_built_fixed_index_covers_its_content(size in 1u64..5_000_000, exponent in 16u32..24) {
        let mut builder = FixedIndexBuilder::new(UUID, CREATED, size, 1 << exponent).unwrap();
        for position in (0..builder.chunk_count()).rev() {
            builder.set(position, sha256(&position.to_le_bytes())).unwrap();
        }
        let built = builder.finish().unwrap();
        let read = Index::parse(ArchiveKind::FixedIndex, built.as_bytes().clone()).unwrap();
        let mut start = 0;
        for (position, chunk) in read.chunks().enumerate() {
            prop_assert_eq!(chunk.start, start);
            prop_assert!(chunk.start < chunk.end && chunk.size_bytes() <= 1 << exponent);
            prop_assert_eq!(chunk.digest, sha256(&position.to_le_bytes()));
            start = chunk.end;
        }
        prop_assert_eq!(start, size);
        prop_assert!(read.as_bytes().len() as u64 <= max_index_bytes(ArchiveKind::FixedIndex, size));
    }

    #[test]
    fn arbitrary_headers_and_entries_never_panic(
        sizes: [u64; 2], entries in prop::collection::vec(any::<u8>(), 0..400), is_fixed: bool,
    ) {
        let (kind, magic) =
            if is_fixed { (ArchiveKind::FixedIndex, FIXED_MAGIC) } else { (ArchiveKind::DynamicIndex, DYNAMIC_MAGIC) };
        let mut file = vec![0; 4096];
        file[..8].copy_from_slice(&magic);
        put(&mut file, 64, sizes[0]);
        put(&mut file, 72, sizes[1]);
        file.extend(entries);
        if let Ok(index) = Index::parse(kind, Bytes::from(file)) {
            prop_assert_eq!(index.chunks().last().map(|c| c.end), Some(index.size_bytes()));
        }
    }
}
