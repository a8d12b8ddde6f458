//! How a run ended: what was moved, what failed, and the errors in between.

use std::error::Error;
use std::time::Duration;

use farhold_format::blob::BlobError;
use farhold_format::index::IndexError;
use farhold_format::manifest::ManifestError;
use farhold_rules::namespace_map::MapError;
use farhold_rules::peer_version::PeerVersionError;
use farhold_types::{ArchiveName, Digest, Epoch, Group, Namespace, Snapshot};
use thiserror::Error;

use crate::fault::RequestFault;
use crate::push::target::RemoteError;
use crate::rights::OwnerDenied;
use crate::source::SourceError;
use crate::target::TargetError;

/// Failures that a report keeps by name; more are only counted, so that a task's last line stays readable.
const MAX_NAMED_FAILURES: usize = 5;

/// What failed in a run, bounded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures {
    /// How many things failed.
    pub count: usize,
    /// The first of them: name and cause.
    pub first: Vec<String>,
}

impl Failures {
    pub(crate) fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < MAX_NAMED_FAILURES {
            self.first.push(what());
        }
    }
}

/// What a run removed because it vanished from the source. What was removed with its group or namespace counts too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemovedCounts {
    /// Snapshots, finished or not.
    pub snapshots: usize,
    /// Groups of which nothing is left.
    pub groups: usize,
    /// Namespaces.
    pub namespaces: usize,
}

/// How far a group came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct GroupCounts {
    /// Snapshots handled, the one that failed included.
    pub(crate) handled: usize,
    /// Snapshots that were to be handled and are not complete on the target.
    pub(crate) behind: usize,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Groups handled, failed ones included.
    pub groups: usize,
    /// Snapshots handled, failed ones included.
    pub snapshots: usize,
    /// Snapshots that were transferred or changed.
    pub changed_snapshots: usize,
    /// Snapshots that were to be transferred and are not complete on the target: failed ones, and those that the run did
    /// not get to. Those of groups that could not be listed are not known and not among them.
    pub behind: usize,
    /// Chunks that were fetched, or sent by a push.
    pub chunks: u64,
    /// Their encoded size in bytes.
    pub bytes: u64,
    /// Time in which chunks of at least one archive were fetched or sent.
    pub elapsed: Duration,
    /// Other files that came or went: manifests, indexes, blobs and logs, each time one did.
    pub files: u64,
    /// Their size in bytes.
    pub file_bytes: u64,
    /// Bytes of all that came or went: chunks and other files.
    pub moved_bytes: u64,
    /// How often the run waited for another side that could not be reached.
    pub retries: u64,
    /// What was removed; none if the job does not remove.
    pub removed: Option<RemovedCounts>,
    /// What failed.
    pub failures: Failures,
}

impl SyncReport {
    pub(crate) fn count_removed(&mut self, count: impl FnOnce(&mut RemovedCounts)) {
        count(self.removed.get_or_insert_default());
    }

    /// Counts a group that is over. Returns the error text of a failure.
    pub(crate) fn count_group(
        &mut self,
        source_ns: &Namespace,
        group: &Group,
        counts: GroupCounts,
        result: Result<(), GroupFailure>,
    ) -> Option<String> {
        self.groups += 1;
        self.snapshots += counts.handled;
        self.behind += counts.behind;
        // A run that is stopped says so once, as a whole.
        let failure = result.err().filter(|error| !matches!(error, GroupFailure::Cancelled))?;
        let error = chain(&failure);
        self.failures.add(|| format!("{}: {error}", group_name(source_ns, group)));
        Some(error)
    }

    /// Returns the report of a run that came to its end, as an error if anything failed.
    pub(crate) fn concluded(self) -> Result<Self, SyncError> {
        if self.failures.count == 0 { Ok(self) } else { Err(SyncError::SomeFailed(Box::new(self))) }
    }
}

/// Why a run failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The namespaces of the source could not be listed.
    #[error("querying namespaces failed")]
    Namespaces(#[source] SourceError),
    /// The target of a push could not be asked for its version or its namespaces.
    #[error("querying the target failed")]
    Target(#[source] RemoteError),
    /// The target of a push is too old, or its version makes no sense.
    #[error(transparent)]
    Version(#[from] PeerVersionError),
    /// The namespaces do not fit.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The run was cancelled.
    #[error("sync aborted")]
    Cancelled,
    /// Something failed while the rest went on. The first sentence is the reference's.
    #[error("sync failed with some errors.{}", named(&.0.failures))]
    SomeFailed(Box<SyncReport>),
    /// A task of the engine crashed.
    #[error("internal error: a task of the sync crashed")]
    Crashed,
}

fn named(failures: &Failures) -> String {
    let mut text = String::new();
    for (i, failure) in failures.first.iter().enumerate() {
        text.push_str(if i == 0 { " (" } else { "; " });
        text.push_str(failure);
    }
    let more = failures.count - failures.first.len();
    if 0 < more {
        text.push_str(&format!("; {more} more"));
    }
    if !failures.first.is_empty() {
        text.push(')');
    }
    text
}

/// Why a namespace was left out.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum NamespaceFailure {
    #[error("creating {namespace} not allowed")]
    CreateDenied {
        namespace: Namespace,
        #[source]
        source: OwnerDenied,
    },
    #[error("sync not allowed")]
    Denied(#[source] OwnerDenied),
    #[error("namespace creation failed")]
    Target(#[from] TargetError),
    #[error("failed to retrieve backup groups from the source")]
    Groups(#[source] SourceError),
    #[error("creation of remote namespace {namespace} failed")]
    CreateRemote {
        namespace: Namespace,
        #[source]
        source: RemoteError,
    },
    #[error("creating remote namespace not allowed")]
    CreateRemoteDenied {
        #[source]
        source: OwnerDenied,
    },
    #[error("fetching remote groups failed")]
    RemoteGroups(#[source] RemoteError),
    #[error("internal error: a task of the sync crashed")]
    Crashed,
}

/// Why a group, or the snapshot it stopped at, failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GroupFailure {
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The target failed.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The target of a push failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The owner of a push job may not do what the group needs.
    #[error("removing the unfinished snapshot {snapshot} from the target is not allowed")]
    UnfinishedStays {
        /// The snapshot that is in the way.
        snapshot: Snapshot,
        /// The cause.
        #[source]
        source: OwnerDenied,
    },
    /// A file of a snapshot failed.
    #[error("{time}/{archive}")]
    Archive {
        /// Time of the snapshot.
        time: Epoch,
        /// The file.
        archive: ArchiveName,
        /// The cause.
        #[source]
        source: Box<ArchiveFailure>,
    },
    /// The manifest on the source cannot be used.
    #[error("manifest of {snapshot} cannot be used")]
    Manifest {
        /// The snapshot.
        snapshot: Snapshot,
        /// The cause.
        #[source]
        source: ManifestError,
    },
    /// The manifest is that of another snapshot.
    #[error("manifest of {expected} says that it belongs to {found}")]
    WrongManifest {
        /// The snapshot asked for.
        expected: Snapshot,
        /// What the manifest says.
        found: String,
    },
    /// The local copy must not be replaced.
    #[error("refusing to overwrite {snapshot}: {reason}")]
    Refused {
        /// The snapshot.
        snapshot: Snapshot,
        /// Why.
        reason: &'static str,
    },
    /// The run was cancelled.
    #[error("aborted")]
    Cancelled,
    /// A task of the engine crashed.
    #[error("internal error: a task of the sync crashed")]
    Crashed,
}

impl GroupFailure {
    /// Returns whether what was transferred so far is of use to the next run: the transfer was interrupted or failed
    /// here, and nothing is wrong with what the source has.
    pub(crate) fn keeps_progress(&self) -> bool {
        let is_lost = |error: &SourceError| error.fault == RequestFault::ConnectionLost;
        match self {
            Self::Cancelled | Self::Crashed | Self::Target(_) => true,
            Self::Source(error) => is_lost(error),
            Self::Archive { source, .. } => match &**source {
                ArchiveFailure::Source(error) => is_lost(error),
                ArchiveFailure::Target(_) | ArchiveFailure::Crashed => true,
                _ => false,
            },
            _ => false,
        }
    }

    /// Returns whether only this snapshot is affected, so that newer ones of the group can follow: the source refused it
    /// or has something wrong. A lost connection, a failed target and a cancelled run are no matter of one snapshot.
    ///
    /// Source: `docs/spec/sync.md` C.2 W23.
    pub(crate) fn is_local_to_snapshot(&self) -> bool {
        !self.keeps_progress()
    }

    /// Returns whether the snapshot cannot be pushed as long as the source stays as it is: what is stored of it is damaged
    /// or missing. What the target refuses, a broken connection and a busy store may be different the next time.
    ///
    /// Source: `docs/adr/0009`.
    pub(crate) fn is_damage_at_source(&self) -> bool {
        let is_damage =
            |fault| matches!(fault, RequestFault::NotFound | RequestFault::Invalid | RequestFault::TooLarge);
        match self {
            Self::Manifest { .. } | Self::WrongManifest { .. } => true,
            Self::Source(error) => is_damage(error.fault),
            Self::Archive { source, .. } => match &**source {
                ArchiveFailure::Source(error) => is_damage(error.fault),
                ArchiveFailure::Target(_) | ArchiveFailure::Remote(_) | ArchiveFailure::Crashed => false,
                ArchiveFailure::Index(_)
                | ArchiveFailure::Checksum { .. }
                | ArchiveFailure::Size { .. }
                | ArchiveFailure::ChunkSize { .. }
                | ArchiveFailure::Blob { .. }
                | ArchiveFailure::BlobEncryption { .. }
                | ArchiveFailure::Chunk { .. }
                | ArchiveFailure::ChunkDigest { .. }
                | ArchiveFailure::ChunkLength { .. }
                | ArchiveFailure::ChunkMode { .. } => true,
                // Only a machine without memory fails to encrypt what was read and checked.
                ArchiveFailure::ChunkEncryption { .. } => false,
            },
            _ => false,
        }
    }

    /// Returns what the target of a push answered, if that is the failure.
    pub(crate) fn remote_fault(&self) -> Option<RequestFault> {
        match self {
            Self::Remote(error) => Some(error.fault),
            Self::Archive { source, .. } => match &**source {
                ArchiveFailure::Remote(error) => Some(error.fault),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns the fault of the source that this is, if it is one.
    pub(crate) fn source_fault(&self) -> Option<RequestFault> {
        match self {
            Self::Source(error) => Some(error.fault),
            Self::Archive { source, .. } => match &**source {
                ArchiveFailure::Source(error) => Some(error.fault),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Why a file of a snapshot failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArchiveFailure {
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The target failed.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The target of a push failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The index cannot be parsed.
    #[error("index cannot be used")]
    Index(#[from] IndexError),
    /// The checksum is not the manifest's.
    #[error("wrong checksum for file '{archive}'")]
    Checksum {
        /// The file.
        archive: ArchiveName,
    },
    /// The size is not the manifest's.
    #[error("wrong size for file '{archive}' ({found} bytes instead of {expected})")]
    Size {
        /// The file.
        archive: ArchiveName,
        /// Size in the manifest.
        expected: u64,
        /// Size that came.
        found: u64,
    },
    /// A fixed index has chunks of a size that a backup session does not take.
    #[error("file '{archive}' has chunks of {found} bytes, and only 4 MiB can be pushed")]
    ChunkSize {
        /// The file.
        archive: ArchiveName,
        /// Chunk size in bytes.
        found: u64,
    },
    /// A file cannot be decrypted.
    #[error("file '{archive}' cannot be decrypted")]
    Blob {
        /// The file.
        archive: ArchiveName,
        /// The cause.
        #[source]
        source: BlobError,
    },
    /// A file cannot be encrypted.
    #[error("file '{archive}' cannot be encrypted")]
    BlobEncryption {
        /// The file.
        archive: ArchiveName,
        /// The cause.
        #[source]
        source: BlobError,
    },
    /// A chunk cannot be encrypted.
    #[error("chunk {digest} cannot be encrypted")]
    ChunkEncryption {
        /// The chunk, as the source names it.
        digest: Digest,
        /// The cause.
        #[source]
        source: BlobError,
    },
    /// A chunk is not a blob, or its CRC is wrong.
    #[error("chunk {digest} cannot be decoded")]
    Chunk {
        /// The chunk.
        digest: Digest,
        /// The cause.
        #[source]
        source: BlobError,
    },
    /// A chunk has another digest than the index says.
    #[error("chunk {digest} has wrong content")]
    ChunkDigest {
        /// The chunk.
        digest: Digest,
    },
    /// A chunk has another length than the index says.
    #[error("chunk {digest} has {found} bytes instead of {expected}")]
    ChunkLength {
        /// The chunk.
        digest: Digest,
        /// Length in the index.
        expected: u64,
        /// Length that came, or that another entry says.
        found: u64,
    },
    /// A chunk of an encrypted file is plain, or the other way round.
    #[error("chunk {digest} is {}encrypted although its file is {}", if *.is_encrypted {""} else {"not "}, if *.is_encrypted {"not"} else {"encrypted"})]
    ChunkMode {
        /// The chunk.
        digest: Digest,
        /// Whether the chunk is encrypted.
        is_encrypted: bool,
    },
    /// A task of the engine crashed.
    #[error("internal error: a task of the sync crashed")]
    Crashed,
}

/// Returns an error and its causes as one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(" - ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text.replace(['\n', '\r'], " ")
}

pub(crate) fn group_name(ns: &Namespace, group: &Group) -> String {
    if ns.is_root() { group.to_string() } else { format!("{ns}/{group}") }
}
