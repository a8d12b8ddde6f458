//! Pulling: a stored job or a one-shot call becomes a worker task that runs the engine.
//!
//! The entry points demand a [`RunPermit`]. What the job's owner may do on the target is checked again at run time.
//! Source: `docs/spec/sync.md` 2.2, 12 and 14, `docs/spec/rest-api.md` 13 and 14.

use std::sync::Arc;

use farhold_client::{Client, ClientConfig, ClientError, Credentials};
use farhold_format::upid::Upid;
use farhold_rules::namespace_map::{MapError, check_depth_rule};
use farhold_rules::sync_plan::SelectionOptions;
use farhold_settings::{FieldError, RemoteConfig, SettingsError};
use farhold_sync::{LocalSource, LocalTarget, LogNames, RemoteSource, SyncError, SyncKey, SyncOptions, SyncReport};
use farhold_tasks::job_state::{JobKey, JobStateError};
use farhold_tasks::{TaskContext, TaskError, TaskFailure, TaskKind};
use farhold_types::{
    Authid, DatastoreName, GroupFilter, JobId, KeyId, Namespace, RateLimits, RemoteName, SyncDirection, SyncJob,
};
use thiserror::Error;

use crate::app::App;
use crate::encryption_keys::{KeyAccessError, decryption_keys};
use crate::permission::RunPermit;
use crate::rights::AclRights;
use crate::stores::{Operation, StoreAccessError, StoreHandle};
use crate::sync_log::SyncLog;

/// What a pull is asked to do.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// Names the private notes on unfinished snapshots: the job, or the caller of a one-shot pull.
    pub name: String,
    /// Local datastore, the target.
    pub store: DatastoreName,
    /// Local anchor.
    pub ns: Namespace,
    /// Owner of pulled groups, and identity of the run-time checks.
    pub owner: Authid,
    /// Remote; none means another local datastore.
    pub remote: Option<RemoteName>,
    /// Datastore on the remote, or the other local datastore.
    pub remote_store: DatastoreName,
    /// Anchor on the remote.
    pub remote_ns: Namespace,
    /// Remove what vanished from the source.
    pub remove_vanished: bool,
    /// Levels below the anchor; none means all.
    pub max_depth: Option<u8>,
    /// Which groups are in scope.
    pub group_filter: Vec<GroupFilter>,
    /// Which snapshots are in scope.
    pub selection: SelectionOptions,
    /// Bandwidth limits.
    pub limits: RateLimits,
    /// Groups handled at once.
    pub worker_threads: u8,
    /// Keys that decrypt.
    pub decryption_keys: Vec<KeyId>,
}

impl PullRequest {
    /// Returns what a stored job asks for.
    pub fn of_job(job: &SyncJob) -> Self {
        Self {
            name: format!("job {}", job.id),
            store: job.store.clone(),
            ns: job.local_anchor(),
            owner: job.effective_owner(),
            remote: job.remote.clone(),
            remote_store: job.remote_store.clone(),
            remote_ns: job.remote_anchor(),
            remove_vanished: job.remove_vanished.unwrap_or(false),
            max_depth: job.max_depth,
            group_filter: job.group_filter.clone(),
            selection: SelectionOptions {
                transfer_last: job.transfer_last,
                verified_only: job.verified_only.unwrap_or(false),
                encrypted_only: job.encrypted_only.unwrap_or(false),
                resync_corrupt: job.resync_corrupt.unwrap_or(false),
            },
            limits: job.limits.clone(),
            worker_threads: job.worker_threads.unwrap_or(SyncJob::DEFAULT_WORKER_THREADS),
            decryption_keys: job.associated_key.clone(),
        }
    }

    fn log_names(&self) -> LogNames {
        LogNames {
            direction: SyncDirection::Pull,
            remote: self.remote.clone(),
            source_store: self.remote_store.clone(),
            target_store: self.store.clone(),
        }
    }

    pub(crate) fn options(&self, app: &App, decryption_keys: Vec<SyncKey>) -> SyncOptions {
        SyncOptions {
            source_anchor: self.remote_ns.clone(),
            target_anchor: self.ns.clone(),
            max_depth: self.max_depth,
            group_filter: self.group_filter.clone(),
            selection: self.selection,
            remove_vanished: self.remove_vanished,
            worker_threads: usize::from(self.worker_threads),
            state_dir: Some(app.sync_state_directory.clone()),
            pause_seed: pause_seed(app),
            decryption_keys,
            ..SyncOptions::new(self.name.clone(), self.owner.clone())
        }
    }
}

fn pause_seed(app: &App) -> u64 {
    let mut bytes = [0; 8];
    app.randomness.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Why a pull cannot be started, or failed as a whole.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PullError {
    /// Source and target are the same datastore.
    #[error("source and target of a local sync must be different datastores")]
    SameStore,
    /// Something that this server does not do yet.
    #[error("{0} is not supported yet")]
    Unsupported(&'static str),
    /// The namespaces are too deep.
    #[error(transparent)]
    Depth(#[from] MapError),
    /// The job was removed while its start waited.
    #[error("no such sync job '{id}'")]
    UnknownJob {
        /// The job.
        id: JobId,
    },
    /// No remote of this name is configured.
    #[error("no such remote '{name}'")]
    UnknownRemote {
        /// The name asked for.
        name: RemoteName,
    },
    /// The remote's stored password cannot be read.
    #[error("password of remote '{name}' cannot be used")]
    Secret {
        /// The remote.
        name: RemoteName,
        /// What is wrong with it.
        #[source]
        source: FieldError,
    },
    /// The connection to the remote cannot be prepared.
    #[error("remote '{name}' cannot be used")]
    Client {
        /// The remote.
        name: RemoteName,
        /// Why.
        #[source]
        source: Box<ClientError>,
    },
    /// The local datastore cannot be used.
    #[error(transparent)]
    Store(Box<StoreAccessError>),
    /// The local datastore is locked by another program.
    #[error("datastore '{name}' cannot be locked")]
    Lock {
        /// The store.
        name: DatastoreName,
        /// Why.
        #[source]
        source: farhold_datastore::LockError,
    },
    /// The owner may not use one of the keys, or it cannot be used.
    #[error(transparent)]
    Key(#[from] KeyAccessError),
    /// The configuration cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The job runs already, or its state cannot be kept.
    #[error(transparent)]
    JobState(#[from] JobStateError),
    /// The task cannot be started.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The sync itself failed.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// A thread of this server crashed.
    #[error("internal error: a blocking task crashed")]
    Crashed,
}

impl From<StoreAccessError> for PullError {
    fn from(error: StoreAccessError) -> Self {
        Self::Store(Box::new(error))
    }
}

/// Returns a client for a configured remote. Blocking.
///
/// # Errors
/// Unknown remote, unreadable password, wrong address.
pub fn remote_client(app: &App, name: &RemoteName, limits: &RateLimits) -> Result<(Client, RemoteConfig), PullError> {
    let loaded = app.settings.remotes().load()?;
    let Some(remote) = loaded.entries.get(name.as_str())? else {
        return Err(PullError::UnknownRemote { name: name.clone() });
    };
    if remote.use_node_proxy == Some(true) && app.settings.node().load()?.entries.http_proxy().is_some() {
        return Err(PullError::Unsupported("connecting to a remote through the node's proxy"));
    }
    let secret = remote.secret().map_err(|source| PullError::Secret { name: name.clone(), source })?;
    let config = ClientConfig {
        port: remote.effective_port(),
        fingerprint: remote.pinned_fingerprint(),
        rates: limits.clone(),
        ..ClientConfig::new(remote.host.clone(), Credentials::new(remote.auth_id.clone(), secret))
    };
    let client =
        Client::new(config).map_err(|source| PullError::Client { name: name.clone(), source: Box::new(source) })?;
    Ok((client, remote.clone()))
}

/// Starts a stored pull job as a task and returns the task's name.
///
/// Waits up to 10 s for a run of the same job that is about to end. What is wrong with the remote or the datastore is
/// the task's error.
///
/// # Errors
/// [`PullError::SameStore`], [`PullError::Unsupported`], [`PullError::JobState`] if the job runs,
/// [`PullError::UnknownJob`], [`PullError::Task`].
pub async fn start_job(
    app: &Arc<App>,
    permit: &RunPermit,
    job: SyncJob,
    schedule: Option<String>,
) -> Result<Upid, PullError> {
    if job.direction() == SyncDirection::Push {
        return Err(PullError::Unsupported("push"));
    }
    let request = PullRequest::of_job(&job);
    check(&request)?;
    let key = JobKey::sync(&job.id)?;
    let lock = {
        let (app, id) = (Arc::clone(app), job.id.clone());
        blocking(move || {
            let lock = app.job_states.lock(&key)?;
            if !app.settings.sync_jobs().load()?.entries.contains(id.as_str()) {
                app.job_states.remove(&key)?;
                return Err(PullError::UnknownJob { id });
            }
            Ok(lock)
        })
        .await?
    };
    let lock = Arc::new(lock);
    let worker_id = job.worker_id();
    let kind = TaskKind::new("syncjob", Some(worker_id.clone()));
    let at_end = {
        let (lock, clock) = (Arc::clone(&lock), Arc::clone(&app.clock));
        Box::new(move |context: &TaskContext, status: &farhold_format::task_log::TaskStatus| {
            if let Err(error) = lock.finish(context.upid(), status, clock.now()) {
                context.warn(&format!("failed to store the job's state: {error}"));
            }
        })
    };
    let worker = {
        let app = Arc::clone(app);
        move |context: TaskContext| async move {
            let upid = context.upid().clone();
            blocking(move || Ok(lock.start(&upid)?)).await?;
            let [start, ends] = request.log_names().opening(&worker_id);
            context.log(&start);
            if let Some(event) = schedule {
                context.log(&format!("task triggered by schedule '{event}'"));
            }
            context.log(&ends);
            let report = run(&app, &request, &context).await?;
            for line in request.log_names().ending(&worker_id, &report) {
                context.log(&line);
            }
            Ok::<(), TaskFailure>(())
        }
    };
    Ok(app.tasks.spawn_with_end(kind, permit.caller(), at_end, worker).await?)
}

/// Starts a pull without a stored job, owned by the caller, and returns the task's name.
///
/// # Errors
/// Everything that is wrong on this side: same store, depth, unknown remote, unusable datastore.
pub async fn start_once(app: &Arc<App>, permit: &RunPermit, request: PullRequest) -> Result<Upid, PullError> {
    check(&request)?;
    check_depth_rule(&request.ns, &request.remote_ns, request.max_depth)?;
    let kind = TaskKind::new("sync", Some(request.store.to_string()));
    {
        let (app, request) = (Arc::clone(app), request.clone());
        blocking(move || {
            match &request.remote {
                Some(remote) => drop(remote_client(&app, remote, &request.limits)?),
                None => drop(app.stores.open(&request.remote_store, Operation::Read)?),
            }
            app.stores.open(&request.store, Operation::Write)?;
            decryption_keys(&app, &app.access.snapshot()?, &request.owner, &request.decryption_keys)?;
            Ok(())
        })
        .await?;
    }
    let app_of_task = Arc::clone(app);
    let worker = move |context: TaskContext| async move {
        let remote = request.remote.as_ref().map(|remote| format!("{remote}/")).unwrap_or_default();
        context.log(&format!("pull datastore '{}' from '{remote}{}'", request.store, request.remote_store));
        run(&app_of_task, &request, &context).await?;
        context.log(&format!("pull datastore '{}' end", request.store));
        Ok::<(), TaskFailure>(())
    };
    Ok(app.tasks.spawn(kind, permit.caller(), worker).await?)
}

/// Checks what no run can do, before a task exists.
pub(crate) fn check(request: &PullRequest) -> Result<(), PullError> {
    if request.remote.is_none() && request.store == request.remote_store {
        return Err(PullError::SameStore);
    }
    Ok(())
}

/// Where a run reads from.
pub(crate) enum Origin {
    Remote(Box<RemoteSource>),
    Local(LocalSource, StoreHandle),
}

/// What a run works with, opened on a blocking thread.
pub(crate) struct Opened {
    pub(crate) store: StoreHandle,
    pub(crate) target: LocalTarget,
    pub(crate) origin: Origin,
    pub(crate) rights: AclRights,
    pub(crate) keys: Vec<SyncKey>,
}

pub(crate) fn open(app: &App, request: &PullRequest) -> Result<Opened, PullError> {
    let access = app.access.snapshot()?;
    let keys = decryption_keys(app, &access, &request.owner, &request.decryption_keys)?;
    let store = app.stores.open(&request.store, Operation::Write)?;
    let origin = match &request.remote {
        Some(remote) => {
            let (client, remote) = remote_client(app, remote, &request.limits)?;
            Origin::Remote(Box::new(RemoteSource::new(client, request.remote_store.clone(), remote.auth_id)))
        }
        None => {
            let source = app.stores.open(&request.remote_store, Operation::Read)?;
            let rights = AclRights::new(access.clone(), request.owner.clone(), request.remote_store.clone());
            Origin::Local(LocalSource::new(source.clone(), Arc::new(rights)), source)
        }
    };
    // The target holds the store's process lock: garbage collection keeps every chunk that is touched from here on.
    let target =
        LocalTarget::open(store.clone()).map_err(|source| PullError::Lock { name: request.store.clone(), source })?;
    let rights = AclRights::new(access, request.owner.clone(), request.store.clone());
    Ok(Opened { store, target, origin, rights, keys })
}

/// Runs the engine within a task; its events become log lines and progress.
async fn run(app: &Arc<App>, request: &PullRequest, context: &TaskContext) -> Result<SyncReport, PullError> {
    let opened = {
        let (app, request) = (Arc::clone(app), request.clone());
        blocking(move || open(&app, &request)).await?
    };
    let entry = app.progress.enter(context.upid().clone());
    let workers = usize::from(request.worker_threads);
    let events = SyncLog::new(request.log_names(), workers, context.clone(), entry.run());
    let moving = events.keep_moving();
    let (options, target, rights) =
        (request.options(app, opened.keys), Arc::new(opened.target), Arc::new(opened.rights));
    let cancel = context.cancellation().clone();
    let outcome = match opened.origin {
        Origin::Remote(source) => farhold_sync::run(options, Arc::new(*source), target, rights, events, cancel).await,
        Origin::Local(source, handle) => {
            let outcome = farhold_sync::run(options, Arc::new(source), target, rights, events, cancel).await;
            drop(handle);
            outcome
        }
    };
    drop(moving);
    drop(opened.store);
    Ok(outcome?)
}

/// Runs blocking work on a thread for it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PullError> + Send + 'static,
) -> Result<T, PullError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| PullError::Crashed)?
}
