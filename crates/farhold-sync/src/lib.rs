//! The sync engine: everything between a source and a target of snapshots.
//!
//! [`run()`] pulls from any [`Source`] into any [`Target`]; what it does is decided by pure functions in
//! `farhold_rules::{namespace_map, sync_plan}`. Data is checked before it becomes visible, memory is bounded by one byte
//! budget, and everything that happens is told as [`SyncEvent`]s, of which the task log ([`LogRenderer`]) and
//! [`Progress`] are readers.
//!
//! [`plan()`] is the dry run and [`explain()`] its answer for one snapshot: the same discovery, selection and planning
//! functions, without locks and without writing anything.
//!
//! [`push()`] goes the other way: from a [`Source`] into a [`PushTarget`], a datastore of another server, through backup
//! sessions. It shares plans, records, retries and events; [`plan_push()`] and [`explain_push()`] are its dry run.
//!
//! Where things are: `run` works through namespaces and groups, `group` through snapshots, `snapshot`
//! through files, `chunks` through the chunks of one. `ahead` asks the source beforehand, `decrypt` and `resync`
//! are what a snapshot may need besides, `removal` comes last. `notes` are kept from run to run, `local` and
//! `remote_source` are the ends, `log` and `progress` the readers of events. `push` has the same parts for a push,
//! `encrypt` what it needs for encrypting on the way.
//!
//! [`repair`] mends a datastore from a [`Source`]: it fetches nothing but the chunks and files that are missing or bad.
//!
//! Absent on purpose: configuration, permissions beyond the questions asked of [`OwnerRights`] and
//! [`PushRights`], and the wall clock.
//! A pull passes stored bytes on unchanged, unless it has the key of a fully encrypted snapshot: then it decrypts. So does
//! a push, unless it has a key and the snapshot is not encrypted: then it encrypts.

mod ahead;
mod blocking;
mod budget;
mod chunks;
mod context;
mod decrypt;
mod encrypt;
mod event;
mod fault;
mod group;
mod local;
mod log;
mod merge;
mod notes;
mod options;
mod outcome;
mod phases;
mod plan;
mod progress;
mod push;
mod readers;
mod received;
mod remote_source;
mod removal;
pub mod repair;
mod resync;
mod retry;
mod rights;
mod run;
mod scout;
mod snapshot;
mod source;
mod target;

pub use blocking::{Blocking, Pace};
pub use budget::ChunkRoom;
pub use event::{EventSink, GroupEvent, KeyName, NamespaceIndex, StartState, SyncEvent};
pub use fault::RequestFault;
pub use local::source::{LocalSnapshotReader, LocalSource, SourceRights};
pub use local::target::LocalTarget;
pub use log::lines::{LogLevel, LogLine, LogNames, LogRenderer, closing, summary};
pub use options::{DEFAULT_BUDGET_BYTES, DEFAULT_SESSIONS_PER_ARCHIVE, Encryption, SyncKey, SyncOptions};
pub use outcome::{ArchiveFailure, Failures, GroupFailure, RemovedCounts, SyncError, SyncReport};
pub use plan::explain::explain;
pub use plan::planner::plan;
pub use plan::report::{
    Explanation, GroupReport, NamespacePlan, PlannedAction, PlannedGroupRemoval, PlannedNamespaceRemoval,
    PlannedReason, PlannedSnapshotRemoval, RunPlan, SnapshotPlan,
};
pub use progress::{CurrentGroup, Progress, ProgressSnapshot, RateMeter};
pub use push::explain::explain_push;
pub use push::plan::plan_push;
pub use push::remote::RemoteTarget;
pub use push::rights::PushRights;
pub use push::run::push;
pub use push::target::{DeletionAnswer, PushSession, PushTarget, RemoteError};
pub use remote_source::RemoteSource;
pub use removal::event::{GroupStep, KeptBecause, NamespaceStep, RemovalEvent, SkippedBecause, removed_summary};
pub use retry::DEFAULT_PATIENCE;
pub use rights::{OwnerDenied, OwnerRights, Unrestricted};
pub use run::run;
pub use source::{Listed, Source, SourceError, SourceSnapshot, Visibility};
pub use target::{
    ChunkStore, Examine, IndexStamp, KnownChunk, MakeManifest, Removed, SeenGroup, StoredFile, StoredManifest, Target,
    TargetError, TargetGroup, TargetSnapshot,
};
