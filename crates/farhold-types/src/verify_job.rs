//! A verify job as it is configured. Source: `docs/spec/rest-api.md` 9.

use crate::name::{DatastoreName, JobId};
use crate::namespace::Namespace;

/// A stored verify job. Absent options stay absent; the accessors name the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyJob {
    /// Job id.
    pub id: JobId,
    /// Datastore.
    pub store: DatastoreName,
    /// Namespace in which verification starts.
    pub ns: Option<Namespace>,
    /// Levels below that namespace, 0 to 7; none means all.
    pub max_depth: Option<u8>,
    /// Calendar event.
    pub schedule: Option<String>,
    /// Whether snapshots that were verified already are left out.
    pub ignore_verified: Option<bool>,
    /// Days after which a verification counts no more; 0 means never.
    pub outdated_after: Option<u64>,
    /// Free text.
    pub comment: Option<String>,
    /// Threads that read chunks, 1 to 32.
    pub read_threads: Option<u8>,
    /// Threads that check chunks, 1 to 32.
    pub verify_threads: Option<u8>,
}

impl VerifyJob {
    /// Returns a job without options.
    pub const fn new(id: JobId, store: DatastoreName) -> Self {
        Self {
            id,
            store,
            ns: None,
            max_depth: None,
            schedule: None,
            ignore_verified: None,
            outdated_after: None,
            comment: None,
            read_threads: None,
            verify_threads: None,
        }
    }

    /// Returns the namespace in which verification starts, the root if not set.
    pub fn anchor(&self) -> Namespace {
        self.ns.clone().unwrap_or_default()
    }

    /// Returns whether snapshots that were verified already are left out, yes if not set.
    pub fn skips_verified(&self) -> bool {
        self.ignore_verified.unwrap_or(true)
    }

    /// Returns the worker id of the job's tasks: `<store>:<job id>`.
    ///
    /// Source: `docs/spec/rest-api.md` 17.
    pub fn worker_id(&self) -> String {
        format!("{}:{}", self.store, self.id)
    }
}
