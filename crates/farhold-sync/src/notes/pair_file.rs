//! The file that keeps which chunk has the content of which other one under a key: what makes decrypting pulls and
//! encrypting pushes incremental.
//!
//! Replaced as a whole when a snapshot is finished. A missing, foreign or damaged file costs work, nothing else.
//!
//! | Offset | Length | Meaning |
//! |---|---|---|
//! | 0 | 8 | magic, which says in which direction the pairs lead |
//! | 8 | 32 | SHA-256 of job, owner, peer, namespace, group and key fingerprint |
//! | 40 | 8 | time of the newest finished snapshot, little-endian |
//! | 48 | 32 | SHA-256 of the signed content of its source manifest |
//! | 80 | 32 | SHA-256 of the pairs |
//! | 112 | 68 n | pairs |
//!
//! A pair: digest on the source (32), digest on the target (32), content length (4, little-endian).

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use farhold_crypto::Sha256;
use farhold_types::{Digest, Epoch};

/// Length of a pair in a file.
pub(crate) const PAIR_BYTES: usize = 68;
const HEADER_BYTES: usize = 112;

/// Pairs that are kept: what an archive of 4 TiB needs, in some 100 MiB of memory. The rest is worked out again.
pub(crate) const MAX_PAIRS: usize = 1 << 20;

/// A chunk of the source and the one of the target with the same content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FilePair {
    pub(crate) source: Digest,
    pub(crate) target: Digest,
    /// Content length in bytes, at least 1.
    pub(crate) length: u32,
}

impl FilePair {
    pub(crate) fn to_bytes(self) -> [u8; PAIR_BYTES] {
        let mut bytes = [0; PAIR_BYTES];
        bytes[..32].copy_from_slice(self.source.as_bytes());
        bytes[32..64].copy_from_slice(self.target.as_bytes());
        bytes[64..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }
}

/// From which content of the source the newest finished snapshot was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MadeFrom {
    pub(crate) time: Epoch,
    /// Hash of what a signature of the source manifest covers.
    pub(crate) content: Digest,
}

/// Hands the pairs of a file to `each`. Blocks. Returns none if they must not be used: the file is not there, belongs to
/// something else, or is damaged, which may be noticed only after some were handed out.
pub(crate) fn read(
    path: &Path,
    magic: &[u8; 8],
    binding: &Digest,
    each: impl FnMut(FilePair),
) -> io::Result<Option<MadeFrom>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut file = BufReader::new(file);
    let mut header = [0; HEADER_BYTES];
    if file.read_exact(&mut header).is_err() || header[..8] != *magic || header[8..40] != binding.0 {
        return Ok(None);
    }
    let mut hasher = Sha256::new();
    read_pairs(file, |bytes| hasher.update(bytes), each);
    if hasher.finish().0 != header[80..] {
        return Ok(None);
    }
    let (time, content) = (Epoch(i64::from_le_bytes(array(&header, 40))), Digest(array(&header, 48)));
    Ok(Some(MadeFrom { time, content }))
}

/// Hands the pairs that follow to `each` and their bytes to `raw`, at most [`MAX_PAIRS`]; returns how many whole ones
/// there are.
pub(crate) fn read_pairs(mut file: impl Read, mut raw: impl FnMut(&[u8]), mut each: impl FnMut(FilePair)) -> usize {
    let (mut pair, mut count) = ([0; PAIR_BYTES], 0);
    while count < MAX_PAIRS && file.read_exact(&mut pair).is_ok() {
        count += 1;
        raw(&pair);
        let (source, target) = (Digest(array(&pair, 0)), Digest(array(&pair, 32)));
        let length = u32::from_le_bytes(array(&pair, 64));
        if length != 0 {
            each(FilePair { source, target, length });
        }
    }
    count
}

/// Replaces the file by one with these pairs, at most [`MAX_PAIRS`], in any order. Blocks.
pub(crate) fn write(
    path: &Path,
    magic: &[u8; 8],
    binding: &Digest,
    made: MadeFrom,
    mut pairs: Vec<FilePair>,
) -> io::Result<()> {
    create_folder_of(path)?;
    // The same state gives the same file, whatever the order in memory.
    pairs.sort_unstable();
    pairs.truncate(MAX_PAIRS);
    let mut hasher = Sha256::new();
    pairs.iter().for_each(|pair| hasher.update(&pair.to_bytes()));
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(magic);
    header[8..40].copy_from_slice(binding.as_bytes());
    header[40..48].copy_from_slice(&made.time.0.to_le_bytes());
    header[48..80].copy_from_slice(made.content.as_bytes());
    header[80..].copy_from_slice(hasher.finish().as_bytes());
    let temporary = path.with_extension("tmp");
    let mut file = BufWriter::new(File::create(&temporary)?);
    file.write_all(&header)?;
    pairs.iter().try_for_each(|pair| file.write_all(&pair.to_bytes()))?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?;
    std::fs::rename(&temporary, path)
}

pub(crate) fn create_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)
}

/// Returns the `N` bytes at `offset`, which the caller knows to be there.
fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[offset + i])
}
