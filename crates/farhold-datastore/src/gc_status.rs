//! What the last garbage collection found, as it is stored in the store. Source: `docs/spec/datastore-format.md` 17.

use farhold_storage::StorePath;
use serde::{Deserialize, Serialize};

use crate::error::DatastoreError;
use crate::layout;
use crate::store::Datastore;

/// Name of the file.
pub(crate) const GC_STATUS: &str = ".gc-status";

/// Most bytes of the file that are read; a real one has about 400.
const MAX_STATUS_BYTES: u64 = 64 << 10;

/// Hits and misses of the collection's memory of digests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheStats {
    /// Chunks that need not be touched again.
    pub hits: u64,
    /// Chunks that had to be touched.
    pub misses: u64,
}

/// Result of a garbage collection; all zero for a store that had none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GcStatus {
    /// The task that ran.
    pub upid: Option<String>,
    /// Number of index files.
    pub index_file_count: u64,
    /// Sum of what the indexes stand for, in bytes.
    pub index_data_bytes: u64,
    /// Bytes that chunks in use take on disk.
    pub disk_bytes: u64,
    /// Number of chunks in use.
    pub disk_chunks: u64,
    /// Bytes that were freed.
    pub removed_bytes: u64,
    /// Chunks that were removed.
    pub removed_chunks: u64,
    /// Bytes of unused chunks that are too young to go.
    pub pending_bytes: u64,
    /// Number of such chunks.
    pub pending_chunks: u64,
    /// Damaged chunks that were removed.
    pub removed_bad: u64,
    /// Damaged chunks that are left.
    pub still_bad: u64,
    /// Work that was saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_stats: Option<CacheStats>,
}

impl Datastore {
    /// Returns the result of the last garbage collection; zeros if there is none, or its file makes no sense.
    ///
    /// # Errors
    /// [`DatastoreError::Storage`].
    pub fn gc_status(&self) -> Result<GcStatus, DatastoreError> {
        let path = layout::join(&StorePath::root(), GC_STATUS);
        let bytes = match self.storage().read(&path, MAX_STATUS_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(GcStatus::default()),
            Err(error) => return Err(error.into()),
        };
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(store = %self.name(), "result of the last garbage collection cannot be read: {error}");
            GcStatus::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_the_reference_reads_and_writes_alike() {
        let text = r#"{"upid":"UPID:pbs1:00006035:0004D06C:000000A4:6B0357AF:garbage_collection:tank:root@pam:","index-file-count":7,"index-data-bytes":98566160,"disk-bytes":46138830,"disk-chunks":20,"removed-bytes":78,"removed-chunks":5,"pending-bytes":18,"pending-chunks":1,"removed-bad":0,"still-bad":1,"cache-stats":{"hits":7,"misses":19}}"#;
        let status: GcStatus = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&status).unwrap(), text);
        assert!(serde_json::from_str::<GcStatus>(r#"{"upid":null}"#).is_err(), "all counters are needed");
    }
}
