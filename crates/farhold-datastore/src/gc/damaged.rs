//! Index files that are there and tell nobody which chunks are in use.

use std::fmt;

use farhold_format::index::IndexError;
use farhold_storage::StorageError;
use farhold_types::Digest;
use thiserror::Error;

/// Damaged indexes that an error names; the rest is counted.
const MAX_NAMED: usize = 10;

/// What is wrong with an index file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IndexDamage {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(StorageError),
    /// It is no index.
    #[error(transparent)]
    Malformed(IndexError),
    /// Its entries, or its header, are not those that were written.
    #[error("checksum of its entries is {found} instead of {stored}")]
    Checksum {
        /// What the header says.
        stored: Digest,
        /// That of the entries.
        found: Digest,
    },
}

/// An index file that is damaged.
#[derive(Debug)]
pub struct DamagedIndex {
    /// Its path within the store.
    pub path: String,
    /// What is wrong with it.
    pub damage: IndexDamage,
}

impl fmt::Display for DamagedIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' ({}", self.path, self.damage)?;
        let mut source = std::error::Error::source(&self.damage);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        f.write_str(")")
    }
}

/// All damaged indexes of a store: some by name, the others counted.
#[derive(Debug, Default)]
pub struct DamagedIndexes {
    /// The first that were found.
    pub named: Vec<DamagedIndex>,
    /// How many there are beside them.
    pub unnamed: u64,
}

impl DamagedIndexes {
    pub(super) fn add(&mut self, index: DamagedIndex) {
        if self.named.len() < MAX_NAMED { self.named.push(index) } else { self.unnamed += 1 }
    }
}

impl fmt::Display for DamagedIndexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, index) in self.named.iter().enumerate() {
            write!(f, "{}{index}", if number == 0 { "" } else { ", " })?;
        }
        match self.unnamed {
            0 => Ok(()),
            unnamed => write!(f, " and {unnamed} more"),
        }
    }
}
