//! What a sync tells while it runs. The task log, progress, metrics and notifications are readers of this one stream.

use std::time::Duration;

use farhold_rules::namespace_map::NamespacePair;
use farhold_rules::sync_plan::SkipClass;
use farhold_types::{ArchiveName, Authid, Epoch, Fingerprint, Group, KeyId, Snapshot};

use crate::removal::event::RemovalEvent;

/// Receives the events of a run, in order within a group. Called from the engine's tasks: it must not wait.
pub trait EventSink: Send + Sync + 'static {
    /// Takes one event.
    fn event(&self, event: &SyncEvent);
}

impl<F: Fn(&SyncEvent) + Send + Sync + 'static> EventSink for F {
    fn event(&self, event: &SyncEvent) {
        self(event);
    }
}

/// Position of a namespace in processing order, from 0.
pub type NamespaceIndex = usize;

/// One thing that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SyncEvent {
    /// The remote has no namespaces: only the root is synced, and the run will end in error.
    CompatibilityMode,
    /// The namespaces of the run are known.
    ScopeFound {
        /// How many there are.
        namespaces: usize,
    },
    /// A key is at hand for decryption.
    KeyLoaded(KeyName),
    /// A namespace begins.
    NamespaceStarted {
        /// Which one.
        index: NamespaceIndex,
        /// Its names on both sides.
        pair: NamespacePair,
    },
    /// The target namespace was created.
    NamespaceCreated {
        /// Which one.
        index: NamespaceIndex,
        /// Its names on both sides.
        pair: NamespacePair,
    },
    /// A namespace could not be synced at all.
    NamespaceFailed {
        /// Which one.
        index: NamespaceIndex,
        /// Its names on both sides.
        pair: NamespacePair,
        /// Whether its groups could not be listed on the source; otherwise the target namespace was refused.
        is_listing: bool,
        /// The chain of causes.
        error: String,
    },
    /// The groups of a namespace are known.
    GroupsFound {
        /// Which namespace.
        index: NamespaceIndex,
        /// In scope of the filters.
        selected: usize,
        /// All that the source lists.
        total: usize,
    },
    /// All groups of a namespace are done.
    NamespaceFinished {
        /// Which one.
        index: NamespaceIndex,
        /// Its names on both sides.
        pair: NamespacePair,
        /// Groups handled by the run so far, failed ones included.
        groups: usize,
        /// Snapshots handled by the run so far.
        snapshots: usize,
        /// Whether the log names it: not with depth 0 and not in compatibility mode.
        is_reported: bool,
    },
    /// Something happened within a group.
    Group {
        /// Namespace of the group.
        index: NamespaceIndex,
        /// The group.
        group: Group,
        /// What happened.
        event: GroupEvent,
    },
    /// The source listed something that makes no sense; it is left out.
    UnreadableItem {
        /// The namespace, if it is known.
        index: Option<NamespaceIndex>,
        /// The group, if it is a snapshot.
        group: Option<Group>,
        /// What was listed, and what is wrong with it.
        item: String,
    },
    /// Something that is not in the source any more is dealt with, or is not.
    Removal(RemovalEvent),
    /// The target of a push does not tell what its deletions removed, so the counts may be too small.
    NoDeletionStatistics,
    /// The source could not be reached; the same is tried again after a pause.
    Retry {
        /// Which attempt in a row failed, from 1.
        attempt: u32,
        /// How long the pause is.
        pause: Duration,
        /// The chain of causes.
        error: String,
    },
}

/// How a snapshot of the target stood when its transfer began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartState {
    /// There was no directory.
    New,
    /// There was one.
    Existing,
    /// There was one that is known to be corrupt.
    Corrupt,
}

/// A key as events name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName {
    /// Its id in the configuration.
    pub id: KeyId,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
}

/// Something that happened within a group.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum GroupEvent {
    /// A snapshot of the source is in progress or unreadable and left out.
    InProgress(Epoch),
    /// So many more snapshots of the source are in progress or unreadable; they are not named.
    MoreInProgress(usize),
    /// What is to be done in the group is known.
    Planned {
        /// Snapshots to be handled.
        snapshots: usize,
        /// Content bytes of those to be fetched: an upper bound of what the network will carry.
        bytes: u64,
    },
    /// Snapshots were left out for one reason.
    Skipped(SkipClass),
    /// Something did not work but does not fail the group.
    Warning(String),
    /// A snapshot begins.
    SnapshotStarted {
        /// Its time.
        time: Epoch,
        /// How it stands on the target.
        state: StartState,
    },
    /// The snapshot is encrypted with a key that is at hand.
    KeyMatches(KeyName),
    /// There are keys, but not the one with which the snapshot was made; it is pulled as it is.
    NoKeyMatches(Epoch),
    /// The key is at hand, but some files are not encrypted; the snapshot is pulled as it is.
    NotFullyEncrypted(KeyName),
    /// A file that is there does not match and is fetched again.
    ArchiveMismatch {
        /// Time of the snapshot.
        time: Epoch,
        /// The file.
        archive: ArchiveName,
    },
    /// The chunks of an index that was in place were read, since the copy is known to be bad.
    ChunksChecked {
        /// The index.
        archive: ArchiveName,
        /// So many chunks it has that were not looked at before.
        checked: usize,
        /// So many of them are damaged or missing and are fetched again.
        bad: usize,
    },
    /// An unfinished snapshot was removed that an earlier run of the job began and that the source does not have any more.
    LeftoverRemoved(Epoch),
    /// A file is about to be fetched or sent.
    ArchiveStarted {
        /// Time of the snapshot.
        time: Epoch,
        /// The file.
        archive: ArchiveName,
    },
    /// What an index needs is known.
    ArchivePlanned {
        /// Chunks to be fetched or sent.
        missing_chunks: u64,
        /// Their content in bytes.
        missing_bytes: u64,
    },
    /// A chunk was fetched, checked and stored; or, in a push, confirmed by the target.
    ChunkStored {
        /// Bytes that came over the network.
        encoded_bytes: u64,
        /// Bytes of its content.
        plain_bytes: u64,
    },
    /// All chunks of an index are there; or, in a push, the target has a file, whatever its kind.
    IndexDone {
        /// Time of the snapshot.
        time: Epoch,
        /// The index or, in a push, any file.
        archive: ArchiveName,
        /// Encoded bytes that were fetched or sent.
        bytes: u64,
        /// How long that took.
        elapsed: Duration,
    },
    /// The group belongs to somebody else on the target of a push, so nothing of it is sent.
    NotOwned {
        /// The account of the job.
        account: Authid,
    },
    /// The group has no snapshot that could be pushed.
    NothingToPush,
    /// The snapshot is encrypted with the job's key while it is pushed.
    EncryptOnPush(Snapshot),
    /// The snapshot is encrypted already and pushed as it is, although the job has a key.
    AlreadyEncrypted(Snapshot),
    /// Only some files of the snapshot are encrypted, so it is not pushed with the job's key.
    MixedSkipped(Snapshot),
    /// The newest manifest of the target cannot be used; what is there is uploaded again.
    NoPreviousManifest {
        /// Time of the snapshot that is pushed.
        time: Epoch,
        /// The chain of causes.
        error: String,
    },
    /// An unfinished snapshot was removed from the target of a push, since it was in the way.
    UnfinishedRemoved(Epoch),
    /// A snapshot that could not be pushed will never be: the target has a newer one by now.
    NeverPushed(Epoch),
    /// The notes of a snapshot that the target has were changed to those of the source.
    NotesPushed(Epoch),
    /// The client log of a snapshot that the target has was added.
    LogPushed(Epoch),
    /// A vanished snapshot was removed from the target of a push.
    VanishedRemoved(Epoch),
    /// A vanished snapshot could not be removed from the target of a push.
    VanishedStays {
        /// Its time.
        time: Epoch,
        /// The chain of causes.
        error: String,
    },
    /// The client log was fetched.
    LogFetched(Epoch),
    /// The snapshot is the same on both sides.
    NoDataChanges(Epoch),
    /// The snapshot vanished from the source since it was listed.
    VanishedOnSource(Epoch),
    /// A local snapshot that the source does not have is being removed.
    RemovingVanished {
        /// Its time.
        time: Epoch,
        /// Where it lies.
        location: Option<String>,
    },
    /// A local snapshot that the source does not have is protected and stays.
    KeptProtected(Epoch),
    /// The snapshot does not pass the job's filters any more.
    FilteredOut(Epoch),
    /// A snapshot that was new is complete.
    SnapshotDone(Epoch),
    /// A snapshot was handled, well or not.
    SnapshotProgress {
        /// Snapshots of the group handled so far.
        done: usize,
        /// Snapshots of the group to be handled.
        taken: usize,
        /// Groups of the namespace that are finished.
        groups_done: usize,
        /// Groups of the namespace.
        groups: usize,
    },
    /// A snapshot failed by itself; the group goes on with newer ones.
    SnapshotFailed {
        /// Its time.
        time: Epoch,
        /// The chain of causes.
        error: String,
    },
    /// The group failed.
    Failed(String),
    /// The group is finished, well or not.
    Finished {
        /// Whether any snapshot was handled.
        has_progress: bool,
        /// Snapshots that were to be handled and are not complete on the target.
        behind: usize,
        /// Groups of the namespace that are finished, this one included.
        groups_done: usize,
        /// Groups of the namespace.
        groups: usize,
    },
}
