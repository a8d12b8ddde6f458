//! One server's services, built by the composition root and handed down. Nothing here is global: two `App`s in one
//! process are two servers.

use std::path::PathBuf;
use std::sync::Arc;

use farhold_access::Access;
use farhold_rules::acl::AclTree;
use farhold_settings::{Settings, SettingsError};
use farhold_sync::ChunkRoom;
use farhold_tasks::TaskRegistry;
use farhold_tasks::job_state::{JobKey, JobStateError, JobStates};
use farhold_types::{Clock, Randomness};
use jiff::tz::TimeZone;

use crate::census::Census;
use crate::certificate::ServerCertificate;
use crate::health::Health;
use crate::history::History;
use crate::host::HostFiles;
use crate::job_options::JobOptionsStore;
use crate::job_runs::JobRuns;
use crate::metrics::Metrics;
use crate::notification_ways::NotificationWays;
use crate::notifications::Notifications;
use crate::open_backups::OpenBackups;
use crate::progress::ProgressBoard;
use crate::server_log::ServerLog;
use crate::stores::Stores;
use crate::traffic::TrafficControl;
use crate::verify::VerifyTurns;

/// What is known about the host and this program.
#[derive(Debug, Clone)]
pub struct NodeFacts {
    /// Host name up to the first dot.
    pub name: String,
    /// What identifies this server to clients: 32 lower-case hex digits, always the same on one machine.
    pub instance_id: String,
}

/// One server.
pub struct App {
    /// Stored configuration.
    pub settings: Settings,
    /// Authentication, users and permissions.
    pub access: Access,
    /// Worker tasks.
    pub tasks: TaskRegistry,
    /// State of jobs between runs.
    pub job_states: JobStates,
    /// What the runs of jobs did.
    pub job_runs: JobRuns,
    /// Options of jobs that only we have.
    pub job_options: JobOptionsStore,
    /// What somebody is to be told.
    pub notifications: Notifications,
    /// Datastores.
    pub stores: Stores,
    /// Room for the chunks in flight of all syncs together.
    pub chunk_room: ChunkRoom,
    /// Progress of running syncs.
    pub progress: ProgressBoard,
    /// Notes on backups that are being received.
    pub open_backups: OpenBackups,
    /// Turns of verifications of new backups.
    pub verify_turns: VerifyTurns,
    /// Private state of unfinished syncs (below `lib/`).
    pub sync_state_directory: PathBuf,
    /// Where the access log and the authentication log lie.
    pub api_log_directory: PathBuf,
    /// The host, as far as it never changes.
    pub node: NodeFacts,
    /// The TLS certificate that peers see.
    pub certificate: Arc<dyn ServerCertificate>,
    /// What the host says of itself.
    pub host: Arc<dyn HostFiles>,
    /// How many snapshots the datastores have.
    pub census: Census,
    /// Whether the server is up and its loops move.
    pub health: Health,
    /// What metrics are made of.
    pub metrics: Metrics,
    /// What the host and the datastores have been through.
    pub history: History,
    /// The latest lines of the server's own log.
    pub server_log: Arc<ServerLog>,
    /// Limits of connections, and what they carry at the moment.
    pub traffic: TrafficControl,
    /// The ways that notifications leave by.
    pub notification_ways: NotificationWays,
    /// The host's time zone: schedules and the days of pruning follow it.
    pub time_zone: TimeZone,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes keys and names.
    pub randomness: Arc<dyn Randomness>,
}

impl App {
    /// Returns the access control tree as it is configured now. Blocking.
    ///
    /// # Errors
    /// `acl.cfg` or `user.cfg` cannot be read.
    pub fn acl(&self) -> Result<Arc<AclTree>, SettingsError> {
        self.access.acl()
    }

    /// Removes what is remembered of a job that was removed. A run that goes on leaves nothing new. Blocking.
    ///
    /// # Errors
    /// The state files cannot be removed. Whatever else stays is a warning in the server's log.
    pub fn forget_job(&self, key: &JobKey) -> Result<(), JobStateError> {
        self.job_states.remove(key)?;
        if let Err(error) = self.job_runs.forget(key) {
            tracing::warn!("the runs of a removed job stay: {error}: {}", error.source);
        }
        if let Err(error) = self.job_options.remove(key) {
            tracing::warn!("the options of a removed job stay: {error}");
        }
        Ok(())
    }
}
