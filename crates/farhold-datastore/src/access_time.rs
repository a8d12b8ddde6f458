//! The check that the store's file system keeps access times, which garbage collection lives on.
//!
//! Source: `docs/spec/datastore-format.md` 17, step 4. The reference waits one second between the two looks; comparing
//! nanoseconds makes that unnecessary on most file systems, and where times are coarse this waits as long.

use std::time::Duration;

use farhold_crypto::sha256;
use farhold_format::blob::{BlobEncoder, BlobError, Compression};
use farhold_storage::{FileTime, StorageError};
use farhold_types::Digest;
use thiserror::Error;

use crate::error::ChunkError;
use crate::layout;
use crate::store::Datastore;

/// Plain size of the chunk that is touched, in bytes. Source: as above.
const ZERO_CHUNK_BYTES: usize = 4 << 20;
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// Looks before giving up: together 2 s, twice the coarsest resolution that matters.
const ATTEMPTS: u32 = 200;

/// Why the access time check failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AccessTimeError {
    /// Access times do not move: garbage collection would delete chunks that are in use.
    #[error("the file system does not update the access time of chunk {digest}")]
    NotUpdated {
        /// The chunk that was touched.
        digest: Digest,
    },
    /// Somebody replaced the chunk again and again.
    #[error("chunk {digest} changed during the access time check")]
    Changed {
        /// The chunk that was touched.
        digest: Digest,
    },
    /// The chunk could not be made.
    #[error("the chunk of the access time check cannot be made")]
    Encoding(#[source] BlobError),
    /// The chunk could not be inserted.
    #[error("the chunk of the access time check cannot be inserted")]
    Chunk(#[source] ChunkError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Datastore {
    /// Checks that setting an access time has an effect. Leaves the 4 MiB zero chunk in the store, as the reference does.
    ///
    /// # Errors
    /// [`AccessTimeError::NotUpdated`] if it has none.
    pub fn check_access_time(&self) -> Result<(), AccessTimeError> {
        self.probe_access_time().map(drop)
    }

    /// Does what [`Self::check_access_time`] does. Returns the time that the file system gave the chunk at the end, which
    /// is the present as that file system sees it.
    pub(crate) fn probe_access_time(&self) -> Result<FileTime, AccessTimeError> {
        let plain = vec![0; ZERO_CHUNK_BYTES];
        let digest = sha256(&plain);
        let encoded = BlobEncoder::new().encode(&plain, Compression::On, None).map_err(AccessTimeError::Encoding)?;
        self.insert_chunk(&digest, &encoded).map_err(AccessTimeError::Chunk)?;
        let path = layout::chunk(&digest);
        let mut first = self.storage().stat(&path)?;
        let mut may_change = true;
        for _ in 0..ATTEMPTS {
            self.storage().touch_atime(&path)?;
            let now = self.storage().stat(&path)?;
            if now.inode != first.inode {
                if !may_change {
                    return Err(AccessTimeError::Changed { digest });
                }
                may_change = false;
                first = now;
            } else if first.accessed < now.accessed {
                return Ok(now.accessed);
            }
            std::thread::sleep(PAUSE);
        }
        Err(AccessTimeError::NotUpdated { digest })
    }
}
