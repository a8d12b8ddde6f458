//! Running a sync: a stored job or a one-shot call becomes a worker task that runs the engine.
//!
//! Everything here is the same for both directions: keys, the job's lock and state, the log, progress, and the end. The
//! entry points demand a [`RunPermit`]. Source: `docs/spec/sync.md` 2.2, 12 and 14, `docs/spec/rest-api.md` 13 and 14.

use std::sync::Arc;

use farhold_datastore::DatastoreError;
use farhold_format::upid::Upid;
use farhold_settings::SettingsError;
use farhold_sync::{EventSink, Explanation, ProgressSnapshot, RunPlan, SyncError, SyncOptions, SyncReport};
use farhold_tasks::job_state::{JobKey, JobStateError};
use farhold_tasks::{TaskContext, TaskError, TaskFailure, TaskKind};
use farhold_types::{DatastoreName, JobId, Namespace, Snapshot, SyncDirection, SyncJob};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::encryption_keys::{KeyAccessError, decryption_keys, encryption_key};
use crate::job_end::{JobPlace, RunDetails, at_end};
use crate::job_turn::{ScheduledStart, take_turn, tell_schedule};
use crate::permission::RunPermit;
use crate::pull::Pull;
use crate::push::{Push, PushPeerError};
use crate::remotes::RemoteClientError;
use crate::stores::StoreAccessError;
use crate::sync_log::SyncLog;
use crate::sync_request::{RequestError, RunKeys, SyncRequest, SyncWork};
use crate::task_work::{Crashed, blocking};
use crate::verify::{Arrivals, verify_after};

/// Why a run cannot be started, or failed as a whole.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SyncRunError {
    /// No run can do what is asked.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The job was removed while its start waited.
    #[error("no such sync job '{id}'")]
    UnknownJob {
        /// The job.
        id: JobId,
    },
    /// The remote's configuration cannot be used.
    #[error(transparent)]
    Remote(#[from] RemoteClientError),
    /// The remote cannot be pushed to.
    #[error(transparent)]
    Peer(#[from] PushPeerError),
    /// A push has nothing to begin with.
    #[error("datastore '{store}' has no {}", .ns.log_name())]
    NoSourceNamespace {
        /// The local store.
        store: DatastoreName,
        /// The missing anchor.
        ns: Namespace,
    },
    /// A local datastore cannot be used.
    #[error(transparent)]
    Store(Box<StoreAccessError>),
    /// A local datastore cannot be read.
    #[error(transparent)]
    Datastore(#[from] DatastoreError),
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
    #[error(transparent)]
    Crashed(#[from] Crashed),
}

impl From<StoreAccessError> for SyncRunError {
    fn from(error: StoreAccessError) -> Self {
        Self::Store(Box::new(error))
    }
}

/// Returns what a stored job asks for, with its options that are kept beside the configuration.
pub(crate) async fn request_of(app: &Arc<App>, job: &SyncJob) -> Result<SyncRequest, SyncRunError> {
    let key = JobKey::sync(&job.id)?;
    let app = Arc::clone(app);
    let options = blocking(move || Ok::<_, SyncRunError>(app.job_options.of(&key))).await?;
    Ok(SyncRequest::of_job(job)?.with_options(&options))
}

/// Starts a stored job as a task and returns the task's name.
///
/// `start`: the calendar event that it is started for; such a start does not wait. One by hand, without, waits up to 10 s for a
/// run of the same job that is about to end. What is wrong with the remote, the datastore or a key
/// is the task's error.
///
/// # Errors
/// [`SyncRunError::Request`], [`SyncRunError::JobState`] if the job runs, [`SyncRunError::UnknownJob`],
/// [`SyncRunError::Task`].
pub async fn start_job(
    app: &Arc<App>,
    permit: &RunPermit,
    job: SyncJob,
    start: Option<ScheduledStart>,
) -> Result<Upid, SyncRunError> {
    let request = SyncRequest::of_job(&job)?;
    let key = JobKey::sync(&job.id)?;
    let lock = {
        let (app, id, start) = (Arc::clone(app), job.id.clone(), start.clone());
        blocking(move || {
            let lock = take_turn(&app, &key, start.as_ref())?;
            // As for other kinds of jobs, what is wrong with another one's section does not matter.
            if !app.settings.sync_jobs().load_usable()?.entries.contains(id.as_str()) {
                app.forget_job(&key)?;
                return Err(SyncRunError::UnknownJob { id });
            }
            Ok(lock)
        })
        .await?
    };
    let lock = Arc::new(lock);
    let worker_id = job.worker_id();
    let kind = TaskKind::new("syncjob", Some(worker_id.clone()));
    let (at_end, slot) = at_end(app, &lock, JobPlace::sync(&job), RunDetails::Sync(None));
    let worker = {
        let app = Arc::clone(app);
        move |context: TaskContext| async move {
            let upid = context.upid().clone();
            let of_app = Arc::clone(&app);
            let begin = move || {
                lock.start(&upid)?;
                Ok::<_, SyncRunError>(of_app.job_options.of(lock.key()))
            };
            let options = blocking(begin).await?;
            let request = request.with_options(&options);
            let is_pull = request.direction() == SyncDirection::Pull;
            let arrivals = (is_pull && options.verifies_after()).then(Arc::<Arrivals>::default);
            let names = request.log_names();
            let [begin, ends] = names.opening(&worker_id);
            context.log(&begin);
            tell_schedule(&context, start.as_ref());
            context.log(&ends);
            let outcome = run(&app, &request, &context, arrivals.as_ref(), |progress| slot.see(progress)).await;
            slot.set(RunDetails::Sync(report_of(&outcome)));
            if let Some(arrivals) = &arrivals {
                verify_after(&app, &context, &job.id, &request.store, arrivals).await;
            }
            let report = outcome?;
            for line in names.ending(&worker_id, &report) {
                context.log(&line);
            }
            Ok::<(), TaskFailure>(())
        }
    };
    Ok(app.tasks.spawn_with_end(kind, permit.caller(), at_end, worker).await?)
}

/// Starts a run without a stored job, owned by the caller, and returns the task's name.
///
/// # Errors
/// Everything that is wrong on this side: same store, depth, unknown remote, unusable datastore or key. For a push also
/// a source namespace that does not exist, and a remote that cannot be reached, refuses the login or is too old.
pub async fn start_once(app: &Arc<App>, permit: &RunPermit, request: SyncRequest) -> Result<Upid, SyncRunError> {
    request.check()?;
    // What this opens is let go again: the task takes keys and rights as they are when it begins.
    let prepared = prepare(app, &request).await?;
    if let Ends::Push(push) = &prepared.ends {
        push.check_peer().await?;
    }
    drop(prepared);
    let kind = TaskKind::new("sync", Some(request.store.to_string()));
    let app_of_task = Arc::clone(app);
    let worker = move |context: TaskContext| async move {
        let frame = request.frame();
        if let Some([begin, _]) = &frame {
            context.log(begin);
        }
        run(&app_of_task, &request, &context, None, drop).await?;
        if let Some([_, end]) = &frame {
            context.log(end);
        }
        Ok::<(), TaskFailure>(())
    };
    Ok(app.tasks.spawn(kind, permit.caller(), worker).await?)
}

/// Returns the report of a run, also of one in which things failed.
fn report_of(outcome: &Result<SyncReport, SyncRunError>) -> Option<SyncReport> {
    match outcome {
        Ok(report) => Some(report.clone()),
        Err(SyncRunError::Sync(SyncError::SomeFailed(report))) => Some((**report).clone()),
        Err(_) => None,
    }
}

/// The two ends of a run, opened.
enum Ends {
    Pull(Box<Pull>),
    Push(Box<Push>),
}

/// What a run works with.
pub(crate) struct Prepared {
    options: SyncOptions,
    ends: Ends,
}

/// Opens both ends and loads the keys, with the owner's rights.
pub(crate) async fn prepare(app: &Arc<App>, request: &SyncRequest) -> Result<Prepared, SyncRunError> {
    let (app, request) = (Arc::clone(app), request.clone());
    blocking(move || {
        let access = app.access.snapshot()?;
        let mut keys = RunKeys::default();
        let (app, owner) = (&*app, &request.owner);
        let ends = match &request.work {
            SyncWork::Pull { remote, decryption_keys: ids } => {
                let pull = Pull::open(app, access.clone(), &request, remote.as_ref())?;
                keys.decryption_keys = decryption_keys(app, &access, owner, ids)?;
                Ends::Pull(Box::new(pull))
            }
            SyncWork::Push { remote, encryption_key: id } => {
                let push = Push::open(app, access.clone(), &request, remote)?;
                keys.encryption_key = id.as_ref().map(|id| encryption_key(app, &access, owner, id)).transpose()?;
                Ends::Push(Box::new(push))
            }
        };
        Ok(Prepared { options: request.options(app, keys), ends })
    })
    .await
}

impl Prepared {
    async fn run(self, events: Arc<dyn EventSink>, cancel: CancellationToken) -> Result<SyncReport, SyncError> {
        match &self.ends {
            Ends::Pull(pull) => pull.run(self.options, events, cancel).await,
            Ends::Push(push) => push.run(self.options, events, cancel).await,
        }
    }

    /// Returns what the run would do.
    pub(crate) async fn plan(self, cancel: CancellationToken) -> Result<RunPlan, SyncError> {
        match &self.ends {
            Ends::Pull(pull) => pull.plan(self.options, cancel).await,
            Ends::Push(push) => push.plan(self.options, cancel).await,
        }
    }

    /// Returns what the run would do with one snapshot of the source.
    pub(crate) async fn explain(
        self,
        ns: &Namespace,
        snapshot: &Snapshot,
        cancel: CancellationToken,
    ) -> Result<Explanation, SyncError> {
        match &self.ends {
            Ends::Pull(pull) => pull.explain(self.options, ns, snapshot, cancel).await,
            Ends::Push(push) => push.explain(self.options, ns, snapshot, cancel).await,
        }
    }
}

/// Runs the engine within a task; its events become log lines and progress. `see` gets how far it came.
async fn run(
    app: &Arc<App>,
    request: &SyncRequest,
    context: &TaskContext,
    arrivals: Option<&Arc<Arrivals>>,
    see: impl FnOnce(ProgressSnapshot),
) -> Result<SyncReport, SyncRunError> {
    let prepared = prepare(app, request).await?;
    let entry = app.progress.enter(context.upid().clone());
    let workers = usize::from(request.worker_threads);
    let events = SyncLog::new(request.log_names(), workers, context.clone(), entry.run());
    let moving = events.keep_moving();
    let sink: Arc<dyn EventSink> = match arrivals {
        Some(arrivals) => arrivals.beside(events),
        None => events,
    };
    let outcome = prepared.run(sink, context.cancellation().clone()).await;
    drop(moving);
    see(entry.run().look().0);
    Ok(outcome?)
}
