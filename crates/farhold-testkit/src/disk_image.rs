//! A made-up disk image for tests and benchmarks: every chunk follows from a seed and its number.
//!
//! The image looks like the disk of a server to hashing, compression and the chunk store: extents of text, of records
//! with counters and repeated fields, of code-like bytes, of already compressed data, and much empty space. With zstd
//! level 1 its 512 chunks of 4 MiB shrink to 336.5 MiB (seed 7), about 16 % on average, as those of the disk image of
//! the reference measurements did (336.8 MiB), with wide differences from chunk to chunk. No two chunks are equal,
//! neither within an image nor between images of different seeds.

/// Length of a chunk in bytes: 4 MiB, the chunk length of fixed indexes.
pub const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// Unit of extents in bytes, the block size of usual file systems.
const BLOCK_BYTES: usize = 4096;

/// Longest extent, in blocks.
const MAX_EXTENT_BLOCKS: u64 = 64;

/// How many words the text extents are made of.
const WORD_COUNT: usize = 1024;

/// What an extent is filled with.
#[derive(Debug, Clone, Copy)]
enum Content {
    Empty,
    Text,
    Records,
    Code,
    Compressed,
}

/// Returns chunk number `index` of the image with this seed, [`CHUNK_BYTES`] long.
pub fn disk_image_chunk(seed: u64, index: u64) -> Vec<u8> {
    let mut random =
        SplitMix::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ index.wrapping_mul(0xD1B5_4A32_D192_ED03));
    let words = Words::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    // How full this part of the disk is: from nearly empty to crowded.
    let fill_percent = 3 + random.below(66);
    let mut position = 0;
    while position < CHUNK_BYTES {
        let blocks = 1 + random.below(MAX_EXTENT_BLOCKS);
        let length = (usize::try_from(blocks).unwrap_or(1) * BLOCK_BYTES).min(CHUNK_BYTES - position);
        let extent = &mut chunk[position..position + length];
        match content(&mut random, fill_percent) {
            Content::Empty => {}
            Content::Text => words.write(&mut random, extent),
            Content::Records => write_records(&mut random, extent),
            Content::Code => write_code(&mut random, extent),
            Content::Compressed => random.fill(extent),
        }
        position += length;
    }
    // Makes even two empty chunks differ.
    chunk[..8].copy_from_slice(&seed.to_le_bytes());
    chunk[8..16].copy_from_slice(&index.to_le_bytes());
    chunk
}

fn content(random: &mut SplitMix, fill_percent: u64) -> Content {
    if fill_percent <= random.below(100) {
        return Content::Empty;
    }
    match random.below(100) {
        0..45 => Content::Text,
        45..75 => Content::Records,
        75..92 => Content::Code,
        _ => Content::Compressed,
    }
}

/// Fixed-length records as databases and logs have them: counters, flags, small numbers, names from a small set.
fn write_records(random: &mut SplitMix, extent: &mut [u8]) {
    const NAMES: [&[u8; 16]; 8] = [
        b"eth0............",
        b"/usr/lib/modules",
        b"session-opened..",
        b"root............",
        b"www-data........",
        b"cron............",
        b"sda1............",
        b"postgres........",
    ];
    let mut counter = random.next() >> 40;
    let mut time = 1_700_000_000 + random.below(100_000_000);
    for record in extent.chunks_mut(64) {
        counter += 1;
        time += random.below(16);
        let bits = random.next();
        let mut fields = [0u8; 64];
        fields[..8].copy_from_slice(&counter.to_le_bytes());
        fields[8..16].copy_from_slice(&time.to_le_bytes());
        fields[16..32].copy_from_slice(NAMES[(bits & 7) as usize]);
        fields[32] = (bits >> 8) as u8 & 3;
        fields[36..40].copy_from_slice(&((bits >> 16) as u32 & 0xFFFF).to_le_bytes());
        fields[48..56].copy_from_slice(&(bits >> 32).to_le_bytes());
        let length = record.len();
        record.copy_from_slice(&fields[..length]);
    }
}

/// Bytes like machine code: short sequences from a small set, with operands that repeat seldom.
fn write_code(random: &mut SplitMix, extent: &mut [u8]) {
    const OPCODES: [&[u8]; 16] = [
        b"\x48\x89\xe5",
        b"\x48\x8b\x45",
        b"\xe8",
        b"\x0f\xb6\x00",
        b"\x48\x83\xec",
        b"\xc3\x90\x55",
        b"\x74",
        b"\x75",
        b"\x85\xc0",
        b"\x31\xc0",
        b"\x41\x57\x41\x56",
        b"\x5b\x41\x5c",
        b"\x4c\x89\xe7",
        b"\x48\x8d\x3d",
        b"\xeb",
        b"\x83\xf8",
    ];
    let mut position = 0;
    while position < extent.len() {
        let bits = random.next();
        // Low numbers are more frequent, as with real instructions.
        let opcode = OPCODES[((bits & 15) & ((bits >> 4) & 15)) as usize];
        position += put(extent, position, opcode);
        let operand = (bits >> 32).to_le_bytes();
        let operand_bytes = [1, 1, 1, 4][(bits >> 8 & 3) as usize];
        position += put(extent, position, &operand[..operand_bytes]);
    }
}

/// Copies as much of `part` as fits at `position` and returns how much that was.
fn put(extent: &mut [u8], position: usize, part: &[u8]) -> usize {
    let length = part.len().min(extent.len().saturating_sub(position));
    extent[position..position + length].copy_from_slice(&part[..length]);
    length
}

/// A vocabulary, some words of which are far more frequent than others.
struct Words {
    letters: Vec<u8>,
    /// Start and length of each word in `letters`.
    places: Vec<(usize, usize)>,
}

impl Words {
    fn new() -> Self {
        const LETTERS: &[u8; 32] = b"eeeetttaaaooiinnsshhrrddlcumwfgy";
        let mut random = SplitMix::new(1);
        let mut words = Self { letters: Vec::new(), places: Vec::new() };
        for _ in 0..WORD_COUNT {
            let start = words.letters.len();
            for _ in 0..2 + random.below(8) {
                words.letters.push(LETTERS[random.below(32) as usize]);
            }
            words.letters.push(b' ');
            words.places.push((start, words.letters.len() - start));
        }
        words
    }

    fn write(&self, random: &mut SplitMix, extent: &mut [u8]) {
        let mut position = 0;
        let mut words_in_line = 0;
        while position < extent.len() {
            let bits = random.next();
            // The square of an even spread prefers the front of the vocabulary.
            let spread = ((bits & 0xFFFF) * ((bits >> 16) & 0xFFFF)) >> 22;
            let (start, length) = self.places[spread as usize % WORD_COUNT];
            position += put(extent, position, &self.letters[start..start + length]);
            words_in_line += 1;
            if words_in_line == 12 {
                words_in_line = 0;
                position += put(extent, position, b"\n");
            }
        }
    }
}

/// A small generator whose numbers are the same everywhere and for ever. Not for secrets.
struct SplitMix {
    state: u64,
}

impl SplitMix {
    const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`; the small unevenness does not matter here.
    const fn below(&mut self, bound: u64) -> u64 {
        ((self.next() >> 32) * bound) >> 32
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let length = part.len();
            part.copy_from_slice(&self.next().to_le_bytes()[..length]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use farhold_crypto::sha256;

    use super::*;

    /// Chunks looked at; enough for an average within some percent.
    const SAMPLE: u64 = 24;

    #[test]
    fn chunks_shrink_on_average_like_those_of_a_real_disk() {
        let stored: Vec<usize> =
            (0..SAMPLE).map(|index| zstd::bulk::compress(&disk_image_chunk(7, index), 1).unwrap().len()).collect();
        let percent = stored.iter().sum::<usize>() as f64 * 100.0 / (SAMPLE as f64 * CHUNK_BYTES as f64);
        assert!((13.0..20.0).contains(&percent), "{percent} %: {stored:?}");
        let (least, most) = (stored.iter().min().unwrap(), stored.iter().max().unwrap());
        assert!(least * 3 < *most, "all chunks are alike: {stored:?}");
    }

    #[test]
    fn every_chunk_is_its_own_and_always_the_same() {
        let mut digests = BTreeSet::new();
        for (seed, index) in [(0, 0), (0, 1), (1, 0), (1, 1), (u64::MAX, u64::MAX), (7, 511)] {
            let chunk = disk_image_chunk(seed, index);
            assert_eq!(chunk.len(), CHUNK_BYTES);
            assert!(chunk == disk_image_chunk(seed, index));
            assert!(digests.insert(sha256(&chunk).to_string()));
        }
        // Figures of different days compare only as long as this stays.
        assert_eq!(
            sha256(&disk_image_chunk(0, 0)).to_string(),
            "32674b187557be8a6a74b3ead0a07e6eb348344a6e4114d557a8e5b5005aa490"
        );
    }
}
