//! The same content under other names: what encrypting and decrypting make of an index.

use farhold_format::index::{DynamicIndexBuilder, FixedIndexBuilder, Index, IndexError};
use farhold_types::Digest;

use crate::target::IndexStamp;

/// Returns an index over the same content with other digests, one for each entry.
///
/// # Errors
/// Those of the builders, which an index that was read has no reason for.
pub(crate) fn with_digests(index: &Index, digests: &[Digest], stamp: IndexStamp) -> Result<Index, IndexError> {
    let IndexStamp { uuid, created } = stamp;
    if let Some(chunk_size) = index.chunk_size_bytes() {
        let mut builder = FixedIndexBuilder::new(uuid, created, index.size_bytes(), chunk_size)?;
        for (position, digest) in digests.iter().enumerate() {
            builder.set(position, *digest)?;
        }
        return builder.finish();
    }
    let mut builder = DynamicIndexBuilder::new(uuid, created);
    for (chunk, digest) in index.chunks().zip(digests) {
        builder.push(chunk.end, *digest)?;
    }
    builder.finish()
}
