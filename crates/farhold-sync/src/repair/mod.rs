//! Mending a datastore from a copy that somebody else has: only what is missing or bad is fetched, and everything that
//! comes is proved before it is put in place.
//!
//! A run looks for snapshots that may be damaged (`find`), verifies them, and mends each from the same snapshot of the
//! source: first its manifest, indexes and blobs (`files`), then the chunks (`chunks`). Chunks that the source's copy does
//! not give are looked for in the source's other snapshots (`search`). In the end what was mended is verified again, and
//! the results stand in the manifests.
//!
//! What proves what comes: a manifest must have the content of the one that is here, or, if that cannot be read, must
//! agree with the files that are; indexes and blobs have the checksum and size that the manifest lists; a chunk that is not
//! encrypted has its digest; an encrypted one has the checksum of its container, and an index of the source lists it with
//! the same length. More cannot be known without the key.
//!
//! Chunks need no lock on a snapshot. Files are put in place under the locks of group and snapshot, which are not waited
//! for. The shared process lock is held during the whole run, so garbage collection keeps what was mended.

mod chunks;
mod event;
mod files;
mod find;
mod findings;
mod form;
mod other_form;
mod run;
mod search;

use std::sync::Arc;
use std::time::Duration;

use farhold_datastore::verify::VerifyOptions;
use farhold_datastore::{Datastore, DatastoreError, LockError};
use farhold_format::upid::Upid;
use farhold_types::{Authid, Group, GroupFilter, Namespace};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

pub use event::{RepairEvent, RepairSink};

use crate::options::SyncKey;
use crate::repair::run::Run;
use crate::source::Source;

/// Which snapshots are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairReach {
    /// Those that are known or seen to be damaged without reading their content: verification failed, the manifest cannot
    /// be read, a file is missing or has an impossible length, a chunk was set aside.
    Suspects,
    /// All; each is verified first.
    Everything,
}

/// How a run works.
#[derive(Debug, Clone)]
pub struct RepairOptions {
    /// Where it begins in the store.
    pub anchor: Namespace,
    /// Levels below the anchor; none means all.
    pub max_depth: Option<u8>,
    /// What the anchor is on the source.
    pub source_anchor: Namespace,
    /// Which groups of the store are in scope; no filter means all. Chunks may come from any group of the source.
    pub groups: Vec<GroupFilter>,
    /// Who gets groups that have no readable owner; without it they stay as they are.
    pub owner: Option<Authid>,
    /// Keys for copies that were encrypted or decrypted on their way.
    pub keys: Vec<SyncKey>,
    /// Which snapshots are looked at.
    pub reach: RepairReach,
    /// How snapshots are verified.
    pub verify: VerifyOptions,
    /// Only tell what would be fetched.
    pub is_dry: bool,
    /// How long the run goes on without any answer of the source, see [`crate::DEFAULT_PATIENCE`].
    pub patience: Duration,
    /// Makes the pauses before asking again differ between runs.
    pub pause_seed: u64,
}

/// Answers whether the caller may mend what lies in a namespace of the store.
pub type MayMend = Arc<dyn Fn(&Namespace) -> bool + Send + Sync>;

/// What is mended, from where, and with whose rights.
pub struct RepairEnds<S> {
    /// The damaged store.
    pub store: Datastore,
    /// Who has a copy.
    pub source: Arc<S>,
    /// The caller's rights.
    pub may_mend: MayMend,
}

/// Something that is still damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmended {
    /// Path of the snapshot, group or namespace below the store: `ns/a/vm/100/2026-01-01T10:00:00Z`.
    pub what: String,
    /// Why, for people.
    pub why: String,
    /// A group without a readable owner.
    pub ownerless: Option<(Namespace, Group)>,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Snapshots in scope.
    pub snapshots: u64,
    /// Those that were verified.
    pub examined: u64,
    /// Of these, those that something was wrong with.
    pub damaged: u64,
    /// Of these, those that are whole now.
    pub mended: u64,
    /// Snapshots that were being written, read or removed.
    pub busy: u64,
    /// Chunks put in place; with a dry run those that would be.
    pub chunks: u64,
    /// Their encoded bytes; unknown with a dry run.
    pub chunk_bytes: u64,
    /// Manifests, indexes and blobs put in place; with a dry run those that would be.
    pub files: u64,
    /// Groups that got an owner; with a dry run those that would.
    pub owners: u64,
    /// Paths of the snapshots that are whole now; with a dry run of those that would be.
    pub mended_snapshots: Vec<String>,
    /// Snapshots that were not looked at, since there was no space left in the store.
    pub unexamined: u64,
    /// What is still damaged; with a dry run what would stay so.
    pub unmended: Vec<Unmended>,
}

/// Why a run ended early.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RepairError {
    /// Somebody asked to stop it. What was mended stays so.
    #[error("repair was stopped")]
    Cancelled,
    /// The store is locked by another program.
    #[error("datastore cannot be locked")]
    Lock(#[from] LockError),
    /// The store cannot be listed.
    #[error(transparent)]
    Store(#[from] DatastoreError),
    /// The namespaces do not fit each other.
    #[error("namespace '{namespace}' has no valid name on the source")]
    Namespace {
        /// The namespace of the store.
        namespace: Namespace,
        /// Why.
        #[source]
        source: farhold_types::NamespaceError,
    },
    /// A thread of this program crashed.
    #[error("internal error: a task crashed")]
    Crashed,
}

/// Mends what can be mended. What cannot is in the report, with the reason.
///
/// `upid`: the task whose name goes into the manifests with the results.
///
/// # Errors
/// [`RepairError::Cancelled`], also after the work that was under way has ended; the store cannot be locked or listed.
pub async fn repair<S: Source>(
    options: RepairOptions,
    ends: RepairEnds<S>,
    upid: Upid,
    events: Arc<dyn RepairSink>,
    cancel: CancellationToken,
) -> Result<RepairReport, RepairError> {
    let store = ends.store.clone();
    let writer = tokio::task::spawn_blocking(move || store.lock_process_shared());
    let writer = writer.await.map_err(|_| RepairError::Crashed)??;
    let mut run = Run::new(options, ends, upid, events, cancel);
    let outcome = run.go().await;
    run.drain().await;
    // Whatever was being stored is stored now.
    drop(writer);
    outcome.map(|()| run.report)
}
