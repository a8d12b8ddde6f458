//! Where a sync writes to.
//!
//! The engine decides what is written and in which order; a target makes each step atomic and durable as far as its
//! store's sync level asks. All locks are held by the returned values and released when they are dropped.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use farhold_format::blob::BlobError;
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_rules::removal_plan::OwnedGroup;
use farhold_rules::sync_plan::LocalSnapshot;
use farhold_types::{ArchiveName, Authid, Digest, Epoch, Group, Namespace};
use thiserror::Error;

/// A failed step on the target.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The group belongs to somebody else.
    #[error("owner check failed ({expected} != {owner})")]
    OwnerMismatch {
        /// Owner of the job.
        expected: Authid,
        /// Owner of the group.
        owner: Authid,
    },
    /// Somebody else works on the group or snapshot.
    #[error("{what} is locked")]
    Locked {
        /// What could not be locked.
        what: String,
        /// The cause, if the store gave one.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The parent of a namespace that should be created does not exist.
    #[error("cannot create namespace '{namespace}', its parent does not exist")]
    NoParentNamespace {
        /// The namespace to be created.
        namespace: Namespace,
    },
    /// The store failed.
    #[error("{what}")]
    Store {
        /// What was tried.
        what: String,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl TargetError {
    /// Returns a store failure.
    pub fn store(what: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Store { what: what.into(), source: source.into() }
    }
}

/// A chunk that a snapshot of the target refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownChunk {
    /// Its digest.
    pub digest: Digest,
    /// Length of its content in bytes.
    pub length: u32,
}

/// The manifest that a snapshot of the target has.
#[derive(Debug, Clone)]
pub enum StoredManifest {
    /// None: the snapshot is new or unfinished.
    Absent,
    /// There is one, but it cannot be read; it is treated like none and replaced.
    Unreadable,
    /// A readable one.
    Present {
        /// The parsed manifest.
        manifest: Box<Manifest>,
        /// The stored blob.
        raw: Bytes,
    },
}

/// What a snapshot of the target already has of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredFile {
    /// Nothing.
    Absent,
    /// A file with the checksum and size that the manifest names.
    Matching,
    /// Another or an unreadable file.
    Different,
}

/// Makes the manifest to be stored of the stored one, if there is one; both in their stored form. May be called twice.
pub type MakeManifest = Arc<dyn Fn(Option<&Bytes>) -> Result<Bytes, BlobError> + Send + Sync>;

/// What the header of a new index says beside its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexStamp {
    /// Random bytes that name the file.
    pub uuid: [u8; 16],
    /// When it was made.
    pub created: Epoch,
}

/// Chunk storage of a target. All functions block and are called from blocking threads.
pub trait ChunkStore: Send + Sync + 'static {
    /// Stores a checked chunk in its encoded form. Storing one that is there already is no error.
    fn insert(&self, digest: &Digest, encoded: &[u8]) -> Result<(), TargetError>;

    /// Stores a checked chunk in its encoded form. One that is there stays if `is_sound` says so of its encoded form;
    /// otherwise it is damaged and replaced.
    fn insert_or_repair(
        &self,
        digest: &Digest,
        encoded: &[u8],
        is_sound: &mut dyn FnMut(&Bytes) -> bool,
    ) -> Result<(), TargetError>;

    /// Marks a chunk as used now. Returns whether it is there.
    fn touch(&self, digest: &Digest) -> Result<bool, TargetError>;

    /// Returns the encoded form of a chunk, unchecked, or nothing if it is missing or cannot be read.
    fn read(&self, digest: &Digest) -> Option<Bytes>;
}

/// A group of the target as it looked without a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenGroup {
    /// Its owner; none if that cannot be read.
    pub owner: Option<Authid>,
    /// All snapshot directories, finished or not, in any order.
    pub snapshots: Vec<LocalSnapshot>,
}

/// A store to pull into.
pub trait Target: Send + Sync + 'static {
    /// A locked group.
    type Group: TargetGroup;

    /// Returns whether the namespace exists.
    fn has_namespace(&self, ns: &Namespace) -> impl Future<Output = Result<bool, TargetError>> + Send;

    /// Creates the last component of a namespace.
    ///
    /// # Errors
    /// [`TargetError::NoParentNamespace`].
    fn create_namespace(&self, ns: &Namespace) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// Returns whether the group exists.
    fn has_group(&self, ns: &Namespace, group: &Group) -> impl Future<Output = Result<bool, TargetError>> + Send;

    /// Looks at a group without locking it: what it says may be outdated at once. `None` if it does not exist. Changes
    /// nothing.
    fn look_at_group(
        &self,
        ns: &Namespace,
        group: &Group,
        examine: Examine,
    ) -> impl Future<Output = Result<Option<SeenGroup>, TargetError>> + Send;

    /// Locks a group without waiting, creating it for `owner` first if it does not exist.
    ///
    /// # Errors
    /// [`TargetError::OwnerMismatch`] if it exists with any other owner, [`TargetError::Locked`].
    fn lock_group(
        &self,
        ns: &Namespace,
        group: &Group,
        owner: &Authid,
    ) -> impl Future<Output = Result<Self::Group, TargetError>> + Send;

    /// Returns chunks of the newest good snapshots of all groups in `namespaces` that belong to `owner`, with repetitions
    /// and at most `max`. What cannot be read is left out.
    fn chunks_of_owner(
        &self,
        namespaces: &[Namespace],
        owner: &Authid,
        max: usize,
    ) -> impl Future<Output = Result<Vec<KnownChunk>, TargetError>> + Send;

    /// Returns the stamp for an index that a rewriting sync makes, a new one at each call.
    fn index_stamp(&self) -> IndexStamp;

    /// Lists `anchor` and all namespaces below it, whatever their depth, in any order.
    fn namespaces(&self, anchor: &Namespace) -> impl Future<Output = Result<Vec<Namespace>, TargetError>> + Send;

    /// Lists the groups of a namespace with their owners, without locks, in any order; none if it does not exist.
    fn groups(&self, ns: &Namespace) -> impl Future<Output = Result<Vec<OwnedGroup>, TargetError>> + Send;

    /// Locks a group that exists, without waiting. `None` if it is gone.
    ///
    /// # Errors
    /// [`TargetError::OwnerMismatch`] if it belongs to anybody but `owner`, [`TargetError::Locked`].
    fn lock_existing_group(
        &self,
        ns: &Namespace,
        group: &Group,
        owner: &Authid,
    ) -> impl Future<Output = Result<Option<Self::Group>, TargetError>> + Send;

    /// Removes a namespace, not the root, if nothing is in it or below it. Returns whether it is gone.
    fn remove_empty_namespace(&self, ns: &Namespace) -> impl Future<Output = Result<bool, TargetError>> + Send;

    /// Returns where a group, or a snapshot of it, lies, for the log of whoever knows the machine.
    fn location(&self, ns: &Namespace, group: &Group, time: Option<Epoch>) -> Option<String>;

    /// Returns the chunk storage.
    fn chunks(&self) -> Arc<dyn ChunkStore>;

    /// Waits until no step is running any more, also of those that nobody waits for since a run was cancelled.
    fn settle(&self) -> impl Future<Output = ()> + Send;
}

/// Of which snapshots the manifests are read to learn their condition; the others count as not known to be bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Examine {
    /// Of none.
    Nothing,
    /// The newest finished one, which is what a plain run asks about.
    Newest,
    /// All, which finding corrupt ones needs.
    All,
}

/// What became of a snapshot that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It was removed.
    Yes,
    /// It is protected and stays.
    Protected,
    /// Somebody else removed it before.
    Gone,
}

/// A locked group of the target.
pub trait TargetGroup: Send + Sync + 'static {
    /// A locked snapshot.
    type Snapshot: TargetSnapshot;

    /// Lists all snapshot directories, finished or not, in any order.
    fn snapshots(&self, examine: Examine) -> impl Future<Output = Result<Vec<LocalSnapshot>, TargetError>> + Send;

    /// Returns every chunk that the indexes of a finished snapshot refer to, with repetitions.
    fn chunks_of(&self, time: Epoch) -> impl Future<Output = Result<Vec<KnownChunk>, TargetError>> + Send;

    /// Removes a snapshot, finished or not, under its lock, unless it is protected at that moment. The group stays.
    ///
    /// # Errors
    /// [`TargetError::Locked`] while somebody reads, writes or verifies it.
    fn remove_snapshot(&self, time: Epoch) -> impl Future<Output = Result<Removed, TargetError>> + Send;

    /// Removes the group with owner and notes if it holds no snapshot. Returns whether it is gone; then nothing can be
    /// done with it any more.
    fn remove_if_empty(&self) -> impl Future<Output = Result<bool, TargetError>> + Send;

    /// Opens a snapshot for writing under its exclusive lock, creating the directory if needed.
    fn begin(&self, time: Epoch) -> impl Future<Output = Result<Self::Snapshot, TargetError>> + Send;
}

/// A snapshot of the target under its exclusive lock.
///
/// Until [`Self::commit`] returns, readers see the old state: no manifest, or the old one. Dropping the value without
/// committing leaves the files put so far for the next run.
pub trait TargetSnapshot: Send + Sync + 'static {
    /// Returns whether the directory did not exist before.
    fn is_new(&self) -> bool;

    /// Returns the manifest that is there.
    fn manifest(&self) -> impl Future<Output = Result<StoredManifest, TargetError>> + Send;

    /// Compares a file that is there with the checksum and size that a manifest names.
    fn compare(&self, file: &ManifestFile) -> impl Future<Output = Result<StoredFile, TargetError>> + Send;

    /// Returns whether the files that `manifest` lists are there and have a length that fits, without reading them.
    fn looks_whole(&self, manifest: &Manifest) -> impl Future<Output = Result<bool, TargetError>> + Send;

    /// Returns a file that is there, unchecked.
    fn existing(&self, name: &ArchiveName) -> impl Future<Output = Result<Option<Bytes>, TargetError>> + Send;

    /// Returns whether there is a client log.
    fn has_client_log(&self) -> impl Future<Output = Result<bool, TargetError>> + Send;

    /// Puts a file in place, replacing one of that name.
    fn put(&self, name: &ArchiveName, content: Bytes) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// Makes everything durable as the store's sync level asks, then puts the manifest in place: the commit point.
    fn commit(&self, raw_manifest: Bytes) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// As [`Self::commit`], with a manifest made of the one that is stored at that moment, so that a note or verification
    /// set meanwhile is not lost.
    fn commit_with(&self, make: MakeManifest) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// Puts the client log in place.
    fn put_client_log(&self, content: Bytes) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// Removes files that `manifest` does not list, except the manifest itself, the client log and marker files.
    fn remove_unlisted(&self, manifest: &Manifest) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// Removes the directory unless it holds a finished snapshot, before or since; then only temporary files. The group
    /// stays.
    fn discard(self) -> impl Future<Output = Result<(), TargetError>> + Send;
}
