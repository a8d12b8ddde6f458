//! Verification as a task: of a snapshot, a group, or everything below a namespace; of new backups; by stored jobs.
//!
//! Source: `docs/spec/datastore-format.md` 18, `docs/spec/rest-api.md` 12.8, `docs/spec/schedules-and-tasks.md` 6.2 and
//! 6.4, lines of `tests/golden/tasks.tar.zst`.

mod after;
mod log;
mod new;
mod progress;
mod run;
#[cfg(test)]
mod scope_tests;
#[cfg(test)]
mod tests;

use std::num::NonZero;
use std::sync::Arc;

use farhold_datastore::verify::{ReadOrder, Reverify, VerifyOptions};
use farhold_format::upid::Upid;
use farhold_rules::acl::GroupAccess;
use farhold_settings::{ChunkOrder, DatastoreConfig, FieldError, SettingsError};
use farhold_tasks::job_state::JobStateError;
use farhold_tasks::{TaskContext, TaskError, TaskKind};
use farhold_types::{DatastoreName, Epoch, Group, JobId, Namespace, Privileges, Snapshot};
use thiserror::Error;

pub use self::new::{VerifyTurns, verify_new};

pub(crate) use self::after::{Arrivals, verify_after};
pub(crate) use self::log::{VerifyLog, snapshot_path};
pub(crate) use self::run::{Ending, Reach, Run};

use crate::app::App;
use crate::namespace_walk::WalkNeeds;
use crate::store_jobs::StoreJobError;
use crate::stores::{StoreAccessError, StoreHandle};
use crate::task_work::{Crashed, blocking, in_background};

/// What a task's work is called.
pub(crate) const WORK: &str = "verification";
/// Last line of a verification that found something. Source: recorded logs.
pub(crate) const FAILED: &str = "verification failed - please check the log for details";

/// What somebody needs to verify groups. Source: `docs/spec/rest-api.md` 12 and 12.8.
pub const VERIFY_NEEDS: WalkNeeds = WalkNeeds { full: Privileges::DATASTORE_VERIFY, own: Privileges::DATASTORE_BACKUP };

/// Why no verification was started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is no such job, or the caller may not run it.
    #[error(transparent)]
    Job(#[from] StoreJobError),
    /// The configuration cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There is no such store.
    #[error("no such datastore '{name}'")]
    UnknownStore {
        /// The name asked for.
        name: DatastoreName,
    },
    /// The store's expert settings cannot be read.
    #[error("expert settings of the datastore cannot be read")]
    Tuning(#[from] FieldError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] Box<StoreAccessError>),
    /// The job runs already, or its state cannot be kept.
    #[error(transparent)]
    JobState(#[from] JobStateError),
    /// The task cannot be started.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A thread of this server crashed.
    #[error(transparent)]
    Crashed(#[from] Crashed),
}

impl From<StoreAccessError> for VerifyError {
    fn from(error: StoreAccessError) -> Self {
        Box::new(error).into()
    }
}

/// What is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyScope {
    /// One snapshot.
    Snapshot(Namespace, Snapshot),
    /// All snapshots of a group.
    Group(Namespace, Group),
    /// All groups of a namespace and of those below it, down to so many levels; `None` means all.
    Below(Namespace, Option<u8>),
    /// What a run of a sync job brought.
    Arrived {
        /// The job.
        job: JobId,
        /// The snapshots, in the order in which they are verified.
        snapshots: Vec<(Namespace, Snapshot)>,
    },
}

impl VerifyScope {
    /// Returns type and id of the worker. Source: `docs/spec/schedules-and-tasks.md` 6.2.
    fn kind(&self, store: &DatastoreName) -> TaskKind {
        let (kind, id) = match self {
            Self::Snapshot(ns, snapshot) => {
                let (path, time) = (namespace_id(ns), snapshot.time.0);
                ("verify_snapshot", format!("{store}:{path}/{}/{time:08X}", snapshot.group))
            }
            Self::Group(ns, group) => ("verify_group", format!("{store}:{}/{group}", namespace_id(ns))),
            Self::Below(ns, _) if ns.is_root() => ("verify", store.to_string()),
            Self::Below(ns, _) => ("verify", format!("{store}:{}", namespace_id(ns))),
            Self::Arrived { job, .. } => ("verify", format!("{store}:after-{job}")),
        };
        TaskKind::new(kind, Some(id))
    }
}

/// Returns a namespace as worker ids have it: `ns/a/ns/b`, empty for the root.
fn namespace_id(namespace: &Namespace) -> String {
    namespace.components().iter().map(|component| format!("ns/{component}")).collect::<Vec<_>>().join("/")
}

/// Which snapshots are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyAge {
    /// None.
    All,
    /// Those that were verified, unless that began more than so many whole days ago.
    Unverified {
        /// Days that a result is good for; `None` means for ever.
        outdated_after_days: Option<i64>,
    },
}

impl VerifyAge {
    pub(crate) const fn reverify(self, now: Epoch) -> Reverify {
        match self {
            Self::All => Reverify::Always,
            Self::Unverified { outdated_after_days: None } => Reverify::Never,
            Self::Unverified { outdated_after_days: Some(after_days) } => Reverify::Outdated { after_days, now },
        }
    }
}

/// Numbers of threads that a caller asks for; the store's own where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifyThreads {
    /// Threads that read chunks.
    pub read: Option<u8>,
    /// Threads that decode and hash them.
    pub verify: Option<u8>,
}

/// A verification that somebody asks for.
pub struct VerifyRequest {
    /// The store.
    pub store: StoreHandle,
    /// What of it.
    pub scope: VerifyScope,
    /// What is left out.
    pub age: VerifyAge,
    /// How many threads.
    pub threads: VerifyThreads,
}

/// Starts a verification and returns the task's name.
///
/// `access`: that the caller reaches the groups of the scope, or its own groups among them. Below other namespaces the
/// caller's privileges there decide.
///
/// # Errors
/// The store's configuration cannot be read; the task cannot be started.
pub async fn start_verify(app: &Arc<App>, access: GroupAccess, request: VerifyRequest) -> Result<Upid, VerifyError> {
    let VerifyRequest { store, scope, age, threads } = request;
    let (of_app, name) = (Arc::clone(app), store.name().clone());
    let options = blocking(move || options(&of_app, &name, threads)).await?;
    let (GroupAccess::All(granted) | GroupAccess::Owned(granted)) = &access;
    let (caller, kind) = (granted.authid().clone(), scope.kind(store.name()));
    let of_task = Arc::clone(app);
    let worker = move |context: TaskContext| {
        in_background(WORK, move || {
            let acl = of_task.acl()?;
            let reverify = age.reverify(of_task.clock.now());
            let reach = Reach::ByRights { acl: &acl, access: &access };
            Run::new(&store, options, reverify, &context, &of_task.progress).run(&scope, reach, Ending::OfCall)
        })
    };
    Ok(app.tasks.spawn(kind, &caller, worker).await?)
}

/// Returns how a store is verified. Blocking.
pub(crate) fn options(app: &App, name: &DatastoreName, threads: VerifyThreads) -> Result<VerifyOptions, VerifyError> {
    let loaded = app.settings.datastores().load()?;
    let config = loaded.entries.get(name.as_str())?;
    let config = config.ok_or_else(|| VerifyError::UnknownStore { name: name.clone() })?;
    Ok(options_of(config, threads)?)
}

fn options_of(config: &DatastoreConfig, threads: VerifyThreads) -> Result<VerifyOptions, FieldError> {
    let tuning = config.tuning_options()?;
    let count = |count: u8| NonZero::new(usize::from(count)).unwrap_or(NonZero::<usize>::MIN);
    Ok(VerifyOptions {
        readers: count(threads.read.unwrap_or(tuning.default_verification_readers)),
        workers: count(threads.verify.unwrap_or(tuning.default_verification_workers)),
        order: match tuning.chunk_order {
            ChunkOrder::Inode => ReadOrder::Inode,
            ChunkOrder::None => ReadOrder::Index,
        },
    })
}
