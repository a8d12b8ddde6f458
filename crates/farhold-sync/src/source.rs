//! Where a sync reads from: a remote or another local datastore.
//!
//! A source says what it has; nothing it says is believed before it was checked. Every body has a bound that the caller
//! names. Implementations do no retries of their own: the engine repeats what failed with [`RequestFault::ConnectionLost`].

use std::error::Error;
use std::future::Future;

use bytes::{Bytes, BytesMut};
use farhold_types::{ArchiveName, Digest, Group, Namespace, Snapshot, SnapshotItem};
use thiserror::Error;

use crate::fault::RequestFault;

/// A failed request to a source.
#[derive(Debug, Error)]
#[error("{text}")]
pub struct SourceError {
    /// What the engine acts on.
    pub fault: RequestFault,
    /// What was tried, and what came back, for people.
    pub text: String,
    /// The cause below, if there is one that `text` does not tell already.
    #[source]
    pub cause: Option<Box<dyn Error + Send + Sync>>,
}

impl SourceError {
    /// Returns an error without a cause below.
    pub fn new(fault: RequestFault, text: impl Into<String>) -> Self {
        Self { fault, text: text.into(), cause: None }
    }

    /// Returns an error that keeps its cause.
    pub fn caused_by(fault: RequestFault, text: impl Into<String>, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { fault, text: text.into(), cause: Some(Box::new(cause)) }
    }
}

/// A listing, and what of it could not be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// What was understood.
    pub items: Vec<T>,
    /// One text for each item that was not, possibly shortened.
    pub unreadable: Vec<String>,
    /// What exists but is withheld from the job's owner, as far as the source knows: it has not vanished.
    pub withheld: Vec<T>,
    /// In a listing of groups: how many finished snapshots all of them have, if the source says so.
    pub snapshot_count: Option<u64>,
}

impl<T> From<Vec<T>> for Listed<T> {
    fn from(items: Vec<T>) -> Self {
        Self { items, unreadable: Vec::new(), withheld: Vec::new(), snapshot_count: None }
    }
}

/// What a source shows of a namespace to whom it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// The namespace and every group in it, or the source names those that it withholds.
    Everything,
    /// The namespace, and only the groups of some owners: a group that is not listed may have been given away.
    SomeGroups,
    /// Perhaps not even the namespace.
    Nothing,
}

/// A place to pull from.
pub trait Source: Send + Sync + 'static {
    /// A snapshot that is open for reading.
    type Snapshot: SourceSnapshot;

    /// Returns a text that is equal only for the same peer, store and account; binds private notes to the peer.
    fn identity(&self) -> String;

    /// Lists `anchor` and the namespaces below it, at most `max_depth` levels, in any order.
    ///
    /// # Errors
    /// [`RequestFault::Unsupported`] when the source has no namespaces.
    fn namespaces(
        &self,
        anchor: &Namespace,
        max_depth: Option<u8>,
    ) -> impl Future<Output = Result<Listed<Namespace>, SourceError>> + Send;

    /// Lists the groups of one namespace, in any order.
    fn groups(&self, ns: &Namespace) -> impl Future<Output = Result<Listed<Group>, SourceError>> + Send;

    /// Returns what the listings show of a namespace, whether it exists or not, as the source's rights stand now. Asked
    /// only before something is removed because it was not listed.
    fn visibility(&self, ns: &Namespace) -> impl Future<Output = Result<Visibility, SourceError>> + Send;

    /// Returns whether a namespace that is listed is hidden from the job's owner. Asked by a push only: a pull takes what
    /// the listings of groups show.
    fn hides(&self, _ns: &Namespace) -> bool {
        false
    }

    /// Lists all snapshots of a group, unfinished ones too, in any order.
    fn snapshots(
        &self,
        ns: &Namespace,
        group: &Group,
    ) -> impl Future<Output = Result<Listed<SnapshotItem>, SourceError>> + Send;

    /// Lists the snapshots of all groups of a namespace, not of those below it, as [`Self::snapshots`] does of one. Asked
    /// only after a listing of groups said how many there are. A source for which that saves nothing has no need of it.
    ///
    /// # Errors
    /// [`RequestFault::Unsupported`] if the source has no such listing; then each group is asked for.
    fn snapshots_of_namespace(
        &self,
        _ns: &Namespace,
    ) -> impl Future<Output = Result<Listed<SnapshotItem>, SourceError>> + Send {
        async { Err(SourceError::new(RequestFault::Unsupported, "no listing of a whole namespace")) }
    }

    /// Returns the manifest of a snapshot without opening it, over a connection that is there already. Any failure makes
    /// the engine open the snapshot instead.
    fn peek_manifest(
        &self,
        ns: &Namespace,
        snapshot: &Snapshot,
        max_bytes: u64,
    ) -> impl Future<Output = Result<Bytes, SourceError>> + Send;

    /// Opens a snapshot for reading, which keeps the source from removing it. May be open several times at once.
    fn open(
        &self,
        ns: &Namespace,
        snapshot: &Snapshot,
    ) -> impl Future<Output = Result<Self::Snapshot, SourceError>> + Send;
}

/// An open snapshot of a source. Dropping it cuts its connection.
pub trait SourceSnapshot: Send + Sync + 'static {
    /// Returns the stored bytes of a file of the snapshot. Reading an index permits reading its chunks through the same
    /// open snapshot.
    ///
    /// # Errors
    /// [`RequestFault::NotFound`] when there is no such file, [`RequestFault::TooLarge`] above `max_bytes`.
    fn file(&self, name: &ArchiveName, max_bytes: u64) -> impl Future<Output = Result<Bytes, SourceError>> + Send;

    /// Returns a chunk in its stored form, unchecked.
    ///
    /// # Errors
    /// As [`Self::file`].
    fn chunk(&self, digest: &Digest, max_bytes: u64) -> impl Future<Output = Result<Bytes, SourceError>> + Send;

    /// Returns a chunk as [`Self::chunk`] does, and leaves in `begun` what came when the connection broke. A source that
    /// can goes on behind what `begun` holds of an earlier attempt; the others begin anew.
    fn resume_chunk(
        &self,
        digest: &Digest,
        max_bytes: u64,
        begun: &mut BytesMut,
    ) -> impl Future<Output = Result<Bytes, SourceError>> + Send {
        begun.clear();
        self.chunk(digest, max_bytes)
    }

    /// Ends reading in good order; requests still on their way may fail.
    fn close(&self) -> impl Future<Output = ()> + Send;
}
