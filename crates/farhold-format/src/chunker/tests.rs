//! The documented samples, and the rules step by step against the fast loop.

use farhold_crypto::sha256;
use proptest::prelude::*;

use super::table::TABLE;
use super::{ChunkSize, Chunker, ContentChunker, FixedChunker, WINDOW_BYTES};

/// Returns where the chunks of `content` end when it comes in pieces of these sizes, over and over.
fn ends_in_pieces(mut chunker: impl Chunker, content: &[u8], pieces: &[usize]) -> Vec<usize> {
    let (mut ends, mut start, mut there) = (Vec::new(), 0, 0);
    let mut pieces = pieces.iter().cycle();
    while there < content.len() {
        there = content.len().min(there + pieces.next().unwrap());
        while let Some(length) = chunker.end(&content[start..there]) {
            start += length;
            ends.push(start);
        }
    }
    if start < content.len() {
        ends.push(content.len());
    }
    ends
}

/// The rules as the specification states them, byte by byte, with a real window.
fn ends_by_the_book(size: ChunkSize, content: &[u8]) -> Vec<usize> {
    let mask = u32::try_from(2 * size.average_bytes() - 1).unwrap();
    let (mut ends, mut window, mut hash, mut count) = (Vec::new(), std::collections::VecDeque::new(), 0u32, 0);
    for (position, byte) in content.iter().enumerate() {
        count += 1;
        hash = hash.rotate_left(1) ^ TABLE[usize::from(*byte)];
        window.push_back(*byte);
        if count <= WINDOW_BYTES {
            continue;
        }
        hash ^= TABLE[usize::from(window.pop_front().unwrap())];
        if count == size.max_bytes() || (size.min_bytes() <= count && mask - 2 <= hash & mask) {
            ends.push(position + 1);
            (hash, count) = (0, 0);
            window.clear();
        }
    }
    if ends.last() != Some(&content.len()) && !content.is_empty() {
        ends.push(content.len());
    }
    ends
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads a golden file")]
fn the_table_is_the_recorded_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/buzhash-table.txt");
    let text = std::fs::read(path).unwrap();
    assert_eq!(sha256(&text).to_string(), "56d524057499a6838c249fc40e5e69e95bf83b559d176f78fd80e64413d506a5");
    let recorded: Vec<u32> =
        String::from_utf8(text).unwrap().lines().map(|line| u32::from_str_radix(line, 16).unwrap()).collect();
    assert_eq!(recorded, TABLE);
    let packed: Vec<u8> = TABLE.iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(sha256(&packed).to_string(), "5b52080d38287da9d2e278466e3e0db7ec98e5e8b226f50612a56fa012b1f660");
}

#[test]
fn the_documented_counters_are_cut_at_the_documented_places() {
    let content: Vec<u8> = (0u32..262_144).flat_map(u32::to_le_bytes).collect();
    let chunker = ContentChunker::new(ChunkSize::from_kib(64).unwrap());
    assert_eq!(ends_in_pieces(chunker, &content, &[4096]), [143_377, 405_521, 667_665, 929_809, 1_048_576]);
}

#[test]
fn constant_content_is_cut_at_the_largest_size_only() {
    let chunker = ContentChunker::new(ChunkSize::from_kib(64).unwrap());
    assert_eq!(ends_in_pieces(chunker, &vec![0; 1 << 20], &[1 << 20]), [262_144, 524_288, 786_432, 1_048_576]);
}

#[test]
fn images_are_cut_into_equal_pieces_and_a_rest() {
    let content = vec![7; (8 << 20) + 5];
    assert_eq!(ends_in_pieces(FixedChunker, &content, &[3 << 20]), [4 << 20, 8 << 20, (8 << 20) + 5]);
    assert_eq!(ends_in_pieces(FixedChunker, &content[..4 << 20], &[1 << 20]), [4 << 20]);
}

#[test]
fn only_the_sizes_that_clients_offer_are_accepted() {
    for kib in [64, 128, 256, 512, 1024, 2048, 4096] {
        assert_eq!(ChunkSize::from_kib(kib).unwrap().average_bytes() as u64, kib << 10);
    }
    for kib in [0, 1, 32, 63, 65, 3000, 8192, u64::MAX] {
        assert_eq!(ChunkSize::from_kib(kib).unwrap_err().found_kib, kib);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_rules_hold_however_the_content_arrives(
        seed: u64,
        length in 0usize..600_000,
        repeat in 1usize..200_000,
        pieces in prop::collection::vec(1usize..90_000, 1..8),
    ) {
        let size = ChunkSize::from_kib(64).unwrap();
        let mut state = seed | 1;
        let random: Vec<u8> = (0..repeat)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        let content: Vec<u8> = random.iter().copied().cycle().take(length).collect();
        let ends = ends_in_pieces(ContentChunker::new(size), &content, &pieces);
        prop_assert_eq!(&ends, &ends_by_the_book(size, &content));
    }
}
