//! What stands for the bodies of recorded uploads, of which only kind and length were kept.
//!
//! A recorded digest that was accepted gets content of the recorded length and kind, and so a digest of ours. What
//! was refused keeps its digest, which fits no content of ours, as the recorded one was meant to be wrong somewhere.

use std::collections::BTreeMap;

use farhold_crypto::sha256;
use farhold_format::blob::{BlobEncoder, BlobKind, Compression, seal};
use farhold_types::Digest;

use crate::play::Line;

/// Most bytes of a compressible chunk that are not zero: enough to tell it from others.
const MOST_NOISE: usize = 64 * 1024;

/// Returns the value of a query parameter.
pub fn value<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = path.split_once('?')?;
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name).map(|(_, value)| value)
}

/// Returns the path with another value of a parameter that it has.
pub fn with_value(path: &str, name: &str, new: &str) -> String {
    let old = value(path, name).unwrap();
    path.replace(&format!("{name}={old}"), &format!("{name}={new}"))
}

/// One chunk of ours.
#[derive(Clone)]
pub struct Chunk {
    pub digest: Digest,
    pub encoded: Vec<u8>,
    pub length: u64,
}

/// All chunks that were accepted, by their recorded digests.
#[derive(Default)]
pub struct Chunks {
    known: BTreeMap<String, Chunk>,
}

/// Returns bytes that look like noise for some KiB and repeat then.
fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut state = u64::from_str_radix(&seed[..16], 16).unwrap() | 1;
    let mut block = Vec::new();
    for _ in 0..512 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block.extend(state.to_le_bytes());
    }
    let mut bytes = block.repeat(length.div_ceil(block.len()));
    bytes.truncate(length);
    bytes
}

/// Returns a container of a kind and length with arbitrary content and the right CRC.
pub fn container(kind: BlobKind, length: usize) -> Vec<u8> {
    let mut bytes = kind.magic().to_vec();
    bytes.resize(length, 0x5a);
    let _ = seal(&mut bytes);
    bytes
}

/// Returns the kind that the recorder saw.
pub fn recorded_kind(line: &Line) -> Option<BlobKind> {
    Some(match line.body_kind.as_deref()? {
        "plain blob" | "binary" => BlobKind::Plain,
        "zstd blob" => BlobKind::Zstd,
        "encrypted blob" => BlobKind::Encrypted,
        "encrypted zstd blob" => BlobKind::EncryptedZstd,
        _ => return None,
    })
}

impl Chunks {
    /// Makes the chunks that were accepted in these lines.
    pub fn learn(&mut self, lines: &[Line]) {
        for line in lines.iter().filter(|line| line.status == Some(200) && line.path.contains("_chunk?")) {
            let (recorded, length) = (value(&line.path, "digest").unwrap(), value(&line.path, "size").unwrap());
            let length: usize = length.parse().unwrap();
            self.known.entry(recorded.to_owned()).or_insert_with(|| {
                let kind = recorded_kind(line).unwrap();
                let (digest, encoded) = match kind {
                    BlobKind::Plain | BlobKind::Zstd => {
                        let noisy = if kind == BlobKind::Zstd { (length / 2).min(MOST_NOISE) } else { length };
                        let mut content = noise(recorded, noisy);
                        content.resize(length, 0);
                        let digest = sha256(&content);
                        let compression = if kind == BlobKind::Zstd { Compression::On } else { Compression::Off };
                        (digest, BlobEncoder::new().encode(&content, compression, None).unwrap())
                    }
                    BlobKind::Encrypted | BlobKind::EncryptedZstd => {
                        (recorded.parse().unwrap(), container(kind, line.body_len))
                    }
                };
                Chunk { digest, encoded, length: length as u64 }
            });
        }
    }

    /// Returns what stands for a recorded digest.
    pub fn get(&self, recorded: &str) -> Option<&Chunk> {
        self.known.get(recorded)
    }

    /// Returns our digest for a recorded one; a digest that was never accepted stays.
    pub fn digest(&self, recorded: &str) -> String {
        self.get(recorded).map_or_else(|| recorded.to_owned(), |chunk| chunk.digest.to_string())
    }
}
