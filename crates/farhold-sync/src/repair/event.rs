//! What a repair tells while it runs.

use std::time::Duration;

use farhold_datastore::verify::VerifyEvent;
use farhold_types::{ArchiveName, Authid, Digest, Namespace, Snapshot};

use crate::repair::Unmended;

/// Receives the events of a run, from several threads. It must not wait.
pub trait RepairSink: Send + Sync + 'static {
    /// Takes one event.
    fn event(&self, event: &RepairEvent<'_>);
}

impl<F: Fn(&RepairEvent<'_>) + Send + Sync + 'static> RepairSink for F {
    fn event(&self, event: &RepairEvent<'_>) {
        self(event);
    }
}

/// One thing that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum RepairEvent<'a> {
    /// It is known which snapshots are looked at.
    Found {
        /// Snapshots in scope.
        snapshots: u64,
        /// Those to be verified.
        suspects: u64,
        /// Chunks that were set aside and have not come back.
        set_aside: u64,
    },
    /// A group got an owner, or would.
    Owned {
        /// Path of it below the store.
        what: &'a str,
        /// Who.
        owner: &'a Authid,
    },
    /// Something that concerns a whole group or namespace and cannot be mended.
    Unmendable(&'a Unmended),
    /// A suspect is looked at.
    Examining {
        /// How many of them were before.
        done: u64,
    },
    /// A verification tells something.
    Verify(&'a VerifyEvent<'a>),
    /// The source's copy cannot be used.
    NoCopy {
        /// Where the snapshot lies.
        namespace: &'a Namespace,
        /// Which.
        snapshot: &'a Snapshot,
        /// Why.
        why: &'a str,
    },
    /// A manifest, index or blob was put in place, or would be.
    File {
        /// Which.
        archive: &'a ArchiveName,
        /// Its bytes.
        bytes: u64,
    },
    /// Files of a snapshot could not be mended.
    FilesRefused {
        /// Why.
        why: &'a str,
    },
    /// Chunks were put in place, or would be.
    Chunks {
        /// The snapshot of the source that they came from.
        snapshot: &'a Snapshot,
        /// The index of it that lists them.
        archive: &'a ArchiveName,
        /// How many.
        chunks: u64,
        /// Their encoded bytes.
        bytes: u64,
    },
    /// A chunk came and was refused, or did not come.
    ChunkFailed {
        /// Which.
        digest: Digest,
        /// Why.
        why: &'a str,
    },
    /// Chunks are looked for in the other snapshots of the source.
    Searching {
        /// How many.
        chunks: u64,
    },
    /// That search goes on.
    SearchGoesOn {
        /// Snapshots of the source that were looked at.
        snapshots: u64,
        /// Chunks that were found.
        found: u64,
        /// Chunks that are still missing.
        missing: u64,
    },
    /// That search is over.
    Searched {
        /// Snapshots of the source that were looked at.
        snapshots: u64,
        /// Chunks that no one has.
        missing: u64,
    },
    /// The line to the source broke; it is tried again after a pause.
    Retry {
        /// Number of the attempt.
        attempt: u32,
        /// The pause.
        pause: Duration,
        /// What happened.
        error: &'a str,
    },
    /// There is no space left in the store, so nothing more can be mended.
    NoSpace {
        /// Snapshots that are not looked at.
        unexamined: u64,
    },
    /// A snapshot is whole again.
    Mended {
        /// Where it lies.
        namespace: &'a Namespace,
        /// Which.
        snapshot: &'a Snapshot,
    },
    /// A snapshot is still damaged.
    NotMended {
        /// Where it lies.
        namespace: &'a Namespace,
        /// Which.
        snapshot: &'a Snapshot,
        /// Why.
        why: &'a str,
    },
}
