//! What a scheduled or manual job does, and [`App`]: the services of one server that jobs and endpoints use.
//!
//! A job is read from the configuration, its permissions are checked, and the engine runs as a worker task.

mod active_operations;
pub mod app;
mod census;
pub mod certificate;
pub mod datastore_jobs;
pub mod dry_run;
pub mod encryption_keys;
pub mod gc;
mod health;
pub mod history;
pub mod host;
pub mod job_end;
mod job_files;
pub mod job_options;
pub mod job_runs;
mod job_turn;
pub mod metric_probe;
pub mod metrics;
pub mod moves;
pub mod namespace_walk;
pub mod node_config;
pub mod notification_ways;
pub mod notifications;
mod open_backups;
pub mod permission;
pub mod plug_in;
pub mod probe;
pub mod progress;
pub mod prune;
mod pull;
mod push;
#[cfg(test)]
mod recorded_logs;
pub mod remotes;
pub mod removable;
pub mod repair;
pub mod report;
pub mod rights;
pub mod schedule;
pub mod scheduler;
pub mod server_log;
pub mod store_jobs;
pub mod stores;
pub mod sync_job_edit;
mod sync_log;
pub mod sync_request;
pub mod sync_run;
pub mod task_access;
mod task_work;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod traffic;
pub mod verify;
pub mod verify_job;
pub mod work_progress;

pub use app::{App, NodeFacts};
pub use census::{Census, CensusError, StoreCounts, keep_census};
pub use certificate::{CertificateFacts, NoCertificate, ServerCertificate};
pub use farhold_sync::ChunkRoom;
pub use health::{Health, LoopWatch, Verdict};
pub use history::History;
pub use job_runs::{JobRun, JobRuns, JobRunsError, JobSummary, JobTotals, RunFigures};
pub use job_turn::ScheduledStart;
pub use metrics::Metrics;
pub use notification_ways::{NotificationWays, NotifyError};
pub use notifications::Notifications;
pub use open_backups::{BackupNote, LeftBackup, OpenBackups, TidyError};
pub use progress::ProgressBoard;
pub use push::PushPeerError;
pub use server_log::ServerLog;
pub use stores::{MountStatus, Operation, RemovablePlaces, StoreAccessError, StoreHandle, Stores};
pub use task_work::Crashed;
