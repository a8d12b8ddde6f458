//! Replacing a damaged chunk by a good one.
//!
//! An insertion never looks at the content of a file that is there already, so a damaged chunk of a likely length would
//! stay for ever. Whoever found damage replaces it here; the damaged file is kept beside under the name that verification
//! gives it, and garbage collection removes it later.
//!
//! Source: `docs/spec/datastore-format.md` 4, 13 and 18, `docs/spec/sync.md` 7.3 and C.2 W15.

use bytes::Bytes;
use farhold_storage::StorePath;
use farhold_types::Digest;

use crate::chunk::{Inserted, insertable};
use crate::error::ChunkError;
use crate::layout;
use crate::store::Datastore;

/// Files that are kept of one damaged chunk; the last one is replaced when all names are taken.
pub(crate) const MAX_BAD_FILES: u32 = 10;

impl Datastore {
    /// Stores a chunk in its encoded form in place of a damaged one; as [`Self::insert_chunk`] if there is none.
    ///
    /// The caller has verified the content against the digest. `is_sound` judges the file that is there at this moment,
    /// since somebody else may have replaced it. A damaged one is renamed to the first free of `<digest>.0.bad` to
    /// `<digest>.9.bad`. Locks as for [`Self::insert_chunk`].
    ///
    /// # Errors
    /// As [`Self::insert_chunk`]. If writing fails, the damaged file has its new name already.
    pub fn replace_damaged_chunk(
        &self,
        digest: &Digest,
        encoded: &[u8],
        is_sound: &mut dyn FnMut(&Bytes) -> bool,
    ) -> Result<Inserted, ChunkError> {
        let kind = insertable(digest, encoded)?;
        let _guard = self.insertion_guard(digest);
        let mut is_damaged = |stored: Result<&Bytes, &ChunkError>| match stored {
            Ok(stored) => !is_sound(stored),
            // What an insertion replaces by itself.
            Err(ChunkError::Missing { .. } | ChunkError::Empty { .. }) => false,
            // What cannot be read is damaged, as verification sees it. So is a directory or a link in the place of a chunk.
            Err(_) => true,
        };
        if is_damaged(self.read_chunk(digest).as_ref()) {
            self.set_aside(digest, &mut is_damaged)?;
        }
        self.insert_guarded(digest, kind, encoded)
    }

    /// Gives a damaged chunk file the name that says so. Returns its new path, nothing if it was not damaged.
    ///
    /// `is_damaged` judges the file that is there at this moment, or the failure to read it, since somebody else may have
    /// replaced it. Locks as for [`Self::insert_chunk`].
    pub(crate) fn set_damaged_aside(
        &self,
        digest: &Digest,
        is_damaged: &mut dyn FnMut(Result<&Bytes, &ChunkError>) -> bool,
    ) -> Result<Option<StorePath>, ChunkError> {
        let _guard = self.insertion_guard(digest);
        if is_damaged(self.read_chunk(digest).as_ref()) { self.set_aside(digest, is_damaged) } else { Ok(None) }
    }

    /// Gives a damaged chunk file the name that says so; returns it. The caller holds the insertion lock.
    ///
    /// The lock keeps other processes from nothing. If one of them has put a good chunk in place since the file was judged,
    /// it gets its name back.
    fn set_aside(
        &self,
        digest: &Digest,
        is_damaged: &mut dyn FnMut(Result<&Bytes, &ChunkError>) -> bool,
    ) -> Result<Option<StorePath>, ChunkError> {
        let failed = |source| ChunkError::Storage { digest: *digest, source };
        let mut number = 0;
        let free = loop {
            let bad = bad_chunk(digest, number);
            match self.storage().stat(&bad) {
                Ok(_) if number + 1 < MAX_BAD_FILES => number += 1,
                Ok(_) => break bad,
                Err(error) if error.is_not_found() => break bad,
                Err(source) => return Err(failed(source)),
            }
        };
        tracing::warn!(%digest, path = %free, "setting a damaged chunk aside");
        match self.storage().rename(&layout::chunk(digest), &free) {
            Ok(()) => {}
            // Another process was faster.
            Err(error) if error.is_not_found() => return Ok(None),
            Err(source) => return Err(failed(source)),
        }
        if is_damaged(self.read_chunk_at(digest, &free).as_ref()) {
            return Ok(Some(free));
        }
        match self.storage().rename(&free, &layout::chunk(digest)) {
            Err(error) if !error.is_not_found() => Err(failed(error)),
            _ => Ok(None),
        }
    }
}

pub(crate) fn bad_chunk(digest: &Digest, number: u32) -> StorePath {
    let parent = layout::chunk(digest).parent().unwrap_or_default();
    layout::join(&parent, &format!("{digest}.{number}.bad"))
}
