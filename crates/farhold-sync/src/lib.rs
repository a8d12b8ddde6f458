//! The sync engine: everything between a source and a target of snapshots.
//!
//! [`run`] pulls from any [`Source`] into any [`Target`]; what it does is decided by pure functions in
//! `farhold_rules::{namespace_map, sync_plan}`. Data is checked before it becomes visible, memory is bounded by one byte
//! budget, and everything that happens is told as [`SyncEvent`]s, of which the task log ([`LogRenderer`]) and
//! [`Progress`] are readers.
//!
//! [`plan`] is the dry run and [`explain`] its answer for one snapshot: the same discovery, selection and planning
//! functions, without locks and without writing anything.
//!
//! Absent on purpose: configuration, permissions beyond the questions asked of [`OwnerRights`], and the wall clock.
//! A pull passes stored bytes on unchanged, unless it has the key of a fully encrypted snapshot: then it decrypts.

mod ahead;
mod blocking;
mod check_pool;
mod chunk_readers;
mod chunks;
mod chunks_ahead;
mod context;
mod decrypt;
mod dry_run;
mod event;
mod explain;
mod fetch;
mod group;
mod journal;
mod known;
mod leftovers;
mod listing;
mod local_chunks;
mod local_removal;
mod local_source;
mod local_target;
mod log_buffer;
mod log_lines;
mod look_ahead;
mod merge;
mod options;
mod outcome;
mod phases;
mod plan;
mod plan_removal;
mod prepare;
mod progress;
mod readers;
mod received;
mod record;
mod remote_source;
mod removal;
mod removal_event;
mod removal_of_namespaces;
mod resync;
mod retry;
mod rights;
mod run;
mod scout;
mod shared;
mod snapshot;
mod source;
mod stored;
mod target;
mod turns;

pub use blocking::{Blocking, Pace};
pub use dry_run::{
    Explanation, GroupReport, NamespacePlan, PlannedAction, PlannedGroupRemoval, PlannedNamespaceRemoval,
    PlannedReason, PlannedSnapshotRemoval, RunPlan, SnapshotPlan,
};
pub use event::{EventSink, GroupEvent, KeyName, NamespaceIndex, StartState, SyncEvent};
pub use explain::explain;
pub use local_source::{LocalSnapshotReader, LocalSource, SourceRights};
pub use local_target::LocalTarget;
pub use log_lines::{LogLevel, LogLine, LogNames, LogRenderer, closing, summary};
pub use options::{DEFAULT_BUDGET_BYTES, DEFAULT_SESSIONS_PER_ARCHIVE, DecryptionKey, SyncOptions};
pub use outcome::{ArchiveFailure, Failures, GroupFailure, RemovedCounts, SyncError, SyncReport};
pub use plan::plan;
pub use progress::{CurrentGroup, Progress, ProgressSnapshot};
pub use remote_source::RemoteSource;
pub use removal_event::{GroupStep, KeptBecause, NamespaceStep, RemovalEvent, SkippedBecause, removed_summary};
pub use retry::DEFAULT_PATIENCE;
pub use rights::{OwnerDenied, OwnerRights, Unrestricted};
pub use run::run;
pub use source::{Listed, Source, SourceError, SourceFault, SourceSnapshot, Visibility};
pub use target::{
    ChunkStore, Examine, IndexStamp, KnownChunk, MakeManifest, Removed, SeenGroup, StoredFile, StoredManifest, Target,
    TargetError, TargetGroup, TargetSnapshot,
};
