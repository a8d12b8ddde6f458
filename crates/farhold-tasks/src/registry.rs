//! The tasks of one server: start, watch, stop, list.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farhold_format::task_log::{TaskListEntry, TaskStatus};
use farhold_format::upid::{Upid, UpidParts};
use farhold_types::{Authid, Clock, Epoch};
use jiff::tz::TimeZone;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Instrument as _;

use crate::counts::EndedCounts;
use crate::error::{TaskError, TaskFailure};
use crate::filter::TaskFilter;
use crate::listing::{LogPage, TaskItem, TaskPage, TaskStatusItem};
use crate::log_reader::{LogRange, read_lines, read_status};
use crate::log_writer::{Echo, LogWriter, create_directory};
use crate::process::LiveProcesses;
use crate::rotation::{MAX_ARCHIVE_BYTES, RotatedTasks};
use crate::task_list::{ListChange, TaskDirectory};
use crate::worker::{EndHook, TaskContext, TaskKind, run, run_hook};

/// How many task ids are tried before giving up: more collide only if the directory holds the logs of a registry with
/// the same process numbers and the same second that started that many tasks.
const MAX_TASK_ID_TRIES: u64 = 100_000;

/// How long workers that were cut off at the end of a shutdown get for writing their result.
const CUT_OFF_WAIT: Duration = Duration::from_secs(20);

/// What a registry is made of.
#[derive(Clone)]
pub struct TaskOptions {
    /// The directory for logs and lists; made if missing.
    pub directory: PathBuf,
    /// Host name up to the first dot.
    pub node: String,
    /// Id of this process.
    pub pid: u32,
    /// Start of this process in clock ticks since boot; see [`parse_process_start`](crate::parse_process_start).
    pub pstart: u64,
    /// Number of the first task. Another one per registry tells apart the tasks of several in one process.
    pub first_task_id: u64,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Zone of the time stamps.
    pub time_zone: TimeZone,
    /// Tells which other processes exist.
    pub processes: Arc<dyn LiveProcesses>,
}

impl fmt::Debug for TaskOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskOptions")
            .field("directory", &self.directory)
            .field("node", &self.node)
            .field("pid", &self.pid)
            .field("pstart", &self.pstart)
            .finish_non_exhaustive()
    }
}

/// What became of a request to stop a task. For callers of the API every one of these is a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortRequest {
    /// The task was told.
    Sent,
    /// The task does not run any more, or never did.
    AlreadyEnded,
    /// The task runs in another process, which cannot be reached from here.
    OtherProcess,
}

/// What happened to the workers in a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShutdownReport {
    /// Tasks that ran when the shutdown began.
    pub running_at_start: usize,
    /// Those that still ran at the deadline and were told to stop.
    pub cut_off: usize,
    /// Those that did not even react to that, because they block their thread.
    pub left_behind: usize,
}

/// The tasks of one server. Cheap to clone; all clones are the same registry.
#[derive(Clone)]
pub struct TaskRegistry {
    inner: Arc<Inner>,
}

struct Inner {
    options: TaskOptions,
    directory: TaskDirectory,
    next_task_id: AtomicU64,
    workers: Mutex<Workers>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

#[derive(Default)]
struct Workers {
    is_closed: bool,
    running: HashMap<Upid, RunningTask>,
    ended: EndedCounts,
}

struct RunningTask {
    context: TaskContext,
    end: watch::Receiver<Option<TaskStatus>>,
}

impl TaskRegistry {
    /// Opens the task directory, making it if needed. Blocking.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(options: TaskOptions) -> Result<Self, TaskError> {
        create_directory(&options.directory).map_err(TaskError::io("create", &options.directory))?;
        let inner = Inner {
            directory: TaskDirectory::new(options.directory.clone()),
            next_task_id: AtomicU64::new(options.first_task_id),
            workers: Mutex::default(),
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            options,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Checks that a task of this kind could have a name now: a long worker id does not fit into the name of a log file.
    ///
    /// For work that must not begin before its task can. Starts nothing and reads no file.
    ///
    /// # Errors
    /// [`TaskError::Name`].
    pub fn check_name(&self, kind: &TaskKind, authid: &Authid) -> Result<(), TaskError> {
        self.inner.name(kind, authid, self.inner.next_task_id.load(Ordering::Relaxed)).map(|_| ())
    }

    /// Starts a task and returns its name. The log exists and the task is listed before the worker begins.
    ///
    /// # Errors
    /// A file cannot be made, the list lock is not free within 15 s, the kind does not fit into a UPID, or the server
    /// is being stopped. The worker did not run then.
    ///
    /// # Cancel safety
    /// If the returned future is dropped, the task is started all the same or not at all.
    pub async fn spawn<W, F>(&self, kind: TaskKind, authid: &Authid, worker: W) -> Result<Upid, TaskError>
    where
        W: FnOnce(TaskContext) -> F + Send + 'static,
        F: Future<Output = Result<(), TaskFailure>> + Send + 'static,
    {
        self.spawn_with(kind, authid, None, None, worker).await
    }

    /// Starts a task like [`spawn`](Self::spawn), with work for its end.
    ///
    /// If the task cannot be started, the hook is dropped without being called.
    pub async fn spawn_with_end<W, F>(
        &self,
        kind: TaskKind,
        authid: &Authid,
        at_end: EndHook,
        worker: W,
    ) -> Result<Upid, TaskError>
    where
        W: FnOnce(TaskContext) -> F + Send + 'static,
        F: Future<Output = Result<(), TaskFailure>> + Send + 'static,
    {
        self.spawn_with(kind, authid, Some(at_end), None, worker).await
    }

    /// Runs a task in this process and waits for its end; for command line programs.
    ///
    /// `echo` sees every message of the task without time stamp, the result line last, as it is logged. Returns the
    /// name and the result; a failed task is no error of this call.
    pub async fn run_here<W, F>(
        &self,
        kind: TaskKind,
        authid: &Authid,
        echo: impl Fn(&str) + Send + Sync + 'static,
        worker: W,
    ) -> Result<(Upid, TaskStatus), TaskError>
    where
        W: FnOnce(TaskContext) -> F + Send + 'static,
        F: Future<Output = Result<(), TaskFailure>> + Send + 'static,
    {
        let upid = self.spawn_with(kind, authid, None, Some(Arc::new(echo)), worker).await?;
        let status = self.wait(&upid).await?;
        Ok((upid, status))
    }

    async fn spawn_with<W, F>(
        &self,
        kind: TaskKind,
        authid: &Authid,
        at_end: Option<EndHook>,
        echo: Option<Echo>,
        worker: W,
    ) -> Result<Upid, TaskError>
    where
        W: FnOnce(TaskContext) -> F + Send + 'static,
        F: Future<Output = Result<(), TaskFailure>> + Send + 'static,
    {
        let (registry, authid) = (self.clone(), authid.clone());
        let runtime = tokio::runtime::Handle::current();
        // Registering and launching are one blocking step: a caller that goes away in between cannot leave a listed
        // task without a worker.
        let start = move || {
            let abort = kind.abort;
            let (context, end, tracked) = registry.inner.register(kind, authid, echo)?;
            let upid = context.upid().clone();
            let inner = Arc::clone(&registry.inner);
            // Whatever is logged on the way belongs to the task.
            let span = tracing::info_span!("task", %upid);
            let of_end = span.clone();
            let supervised = async move {
                let result = run(context.clone(), abort, worker).await;
                let end_of_task = move || of_end.in_scope(|| inner.finish(&context, &result, at_end, &end));
                // Fails only if the runtime stops meanwhile; readers then find the task without result.
                let _ = tokio::task::spawn_blocking(end_of_task).await;
            };
            registry.inner.tracker.spawn_on(supervised.instrument(span), &runtime);
            drop(tracked);
            Ok(upid)
        };
        tokio::task::spawn_blocking(start).await.map_err(|_| TaskError::CutOff)?
    }

    /// Waits until a task of this registry has ended, and returns its result.
    ///
    /// For one that has ended before, the result is read from its log.
    ///
    /// # Errors
    /// The task is not known here and has no log, or never ended.
    pub async fn wait(&self, upid: &Upid) -> Result<TaskStatus, TaskError> {
        let end = self.inner.workers().running.get(upid).map(|task| task.end.clone());
        if let Some(mut end) = end {
            // An error means that the supervisor is gone without an end: the runtime is being stopped.
            let status = end.wait_for(Option::is_some).await.map_err(|_| TaskError::CutOff)?;
            return status.clone().ok_or(TaskError::CutOff);
        }
        let path = self.inner.directory.log_path(upid);
        let start_time = upid.start_time();
        let read = tokio::task::spawn_blocking(move || read_status(&path, start_time)).await;
        match read.map_err(|_| TaskError::CutOff)? {
            Ok((status, _)) => Ok(status),
            Err(_) => Err(TaskError::NotRunning { upid: Box::new(upid.clone()) }),
        }
    }

    /// Asks a task to stop. Asking again, or too late, does nothing. Blocking for tasks that are not of this registry.
    pub fn abort(&self, upid: &Upid) -> AbortRequest {
        if let Some(task) = self.inner.workers().running.get(upid) {
            if !task.context.is_cancelled() {
                tracing::info!(%upid, "task was asked to stop");
                task.context.abort();
            }
            return AbortRequest::Sent;
        }
        if self.is_running(upid) { AbortRequest::OtherProcess } else { AbortRequest::AlreadyEnded }
    }

    /// Returns whether the task runs, here or in another process. Blocking for tasks that are not of this registry.
    pub fn is_running(&self, upid: &Upid) -> bool {
        self.inner.end_of(upid).is_none()
    }

    /// Returns the result of a task of any process and its end time, if known, or `None` while it runs. Blocking.
    pub fn ended(&self, upid: &Upid) -> Option<(TaskStatus, Option<Epoch>)> {
        self.inner.end_of(upid)
    }

    /// Returns whether this registry runs the task now. Reads no file.
    pub fn runs_here(&self, upid: &Upid) -> bool {
        self.inner.workers().running.contains_key(upid)
    }

    /// Returns how many tasks of this registry have ended.
    pub fn ended_counts(&self) -> EndedCounts {
        self.inner.workers().ended.clone()
    }

    /// Returns the names of the tasks that this registry runs, in no particular order.
    pub fn running_here(&self) -> Vec<Upid> {
        self.inner.workers().running.keys().cloned().collect()
    }

    /// Returns one page of the tasks of this server, of all processes, newest first. Blocking.
    ///
    /// `is_visible` decides which tasks the caller may see; the others count as not there.
    ///
    /// # Errors
    /// A list cannot be read or its lock is not free within 15 s. Damaged lines are no error.
    ///
    /// Source: `docs/spec/schedules-and-tasks.md` 7.4 and 8.
    pub fn list(&self, filter: &TaskFilter, mut is_visible: impl FnMut(&Upid) -> bool) -> Result<TaskPage, TaskError> {
        let mut items = Vec::new();
        let mut to_skip = filter.start;
        let limit = if filter.limit == 0 { u64::MAX } else { filter.limit };
        let with_archives = !filter.only_running;
        let now = self.inner.options.clock.now();
        let mut visit = |entry: TaskListEntry| {
            if filter.ends_at(&entry) {
                return ControlFlow::Break(());
            }
            if !filter.matches(&entry) || !is_visible(&entry.upid) {
                return ControlFlow::Continue(());
            }
            if 0 < to_skip {
                to_skip -= 1;
                return ControlFlow::Continue(());
            }
            items.push(TaskItem::from(&entry));
            if limit <= items.len() as u64 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.inner.directory.visit(&|upid| self.inner.is_listed_running(upid), now, with_archives, &mut visit)?;
        let count = items.len() as u64;
        let total = filter.start.saturating_add(count).saturating_add(u64::from(count == limit));
        Ok(TaskPage { items, total })
    }

    /// Returns the state of a task of any process. Blocking. A task without log has ended with an unknown result.
    pub fn status(&self, upid: &Upid) -> TaskStatusItem {
        TaskStatusItem::new(upid, self.inner.end_of(upid))
    }

    /// Returns lines of a task's log. Blocking.
    ///
    /// `start`: number of the first line, from 1 (0 means 1). `limit`: most lines, 0 = all.
    ///
    /// # Errors
    /// [`TaskError::NoLog`] if there is no log; others of the file system.
    pub fn log_lines(&self, upid: &Upid, start: u64, limit: u64) -> Result<LogPage, TaskError> {
        let path = self.log_path(upid);
        // Asked before reading: a task that ends meanwhile has written its last line by then.
        let only_finished_lines = self.is_running(upid);
        match read_lines(&path, LogRange { start, limit, only_finished_lines }) {
            Ok(page) => Ok(page),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(TaskError::NoLog { upid: Box::new(upid.clone()) })
            }
            Err(source) => Err(TaskError::Io { action: "read", path, source }),
        }
    }

    /// Returns where the log of a task lies.
    pub fn log_path(&self, upid: &Upid) -> PathBuf {
        self.inner.directory.log_path(upid)
    }

    /// Puts the list of finished tasks aside if it is larger than [`MAX_ARCHIVE_BYTES`], removes old lists, and then the
    /// logs of tasks that no list names any more. Blocking.
    ///
    /// `max_days`: lists are kept up to the first whose oldest task ended longer ago than that; `None` keeps 19 of them.
    ///
    /// # Errors
    /// A list cannot be read, renamed or removed, or its lock is not free within 15 s.
    ///
    /// Source: `docs/spec/schedules-and-tasks.md` 7.3.
    pub fn rotate(&self, max_days: Option<u64>) -> Result<RotatedTasks, TaskError> {
        let now = self.inner.options.clock.now();
        let seconds = |days: u64| i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(24 * 60 * 60);
        let cut_off = max_days.map(|days| Epoch(now.0.saturating_sub(seconds(days))));
        self.inner.directory.rotate(MAX_ARCHIVE_BYTES, cut_off)
    }

    /// Starts no more tasks, waits up to `grace` for those that run, then stops the rest.
    ///
    /// At once all workers see [`TaskContext::shutdown`]. After `grace` they are aborted as if a user had asked, and
    /// those that do not react within 5 s are dropped at their next suspension point.
    ///
    /// # Cancel safety
    /// No more tasks are started even if the returned future is dropped.
    pub async fn shutdown(&self, grace: Duration) -> ShutdownReport {
        let running_at_start = {
            let mut workers = self.inner.workers();
            workers.is_closed = true;
            workers.running.len()
        };
        self.inner.shutdown.cancel();
        self.inner.tracker.close();
        let mut report = ShutdownReport { running_at_start, ..ShutdownReport::default() };
        if self.ended_within(grace).await {
            return report;
        }
        report.cut_off = self.for_each_worker(TaskContext::abort);
        if self.ended_within(Duration::from_secs(5)).await {
            return report;
        }
        self.for_each_worker(TaskContext::kill);
        if !self.ended_within(CUT_OFF_WAIT).await {
            report.left_behind = self.inner.workers().running.len();
        }
        report
    }

    async fn ended_within(&self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.inner.tracker.wait()).await.is_ok()
    }

    fn for_each_worker(&self, action: impl Fn(&TaskContext)) -> usize {
        let workers = self.inner.workers();
        workers.running.values().for_each(|task| action(&task.context));
        workers.running.len()
    }
}

impl fmt::Debug for TaskRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskRegistry").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl Inner {
    fn workers(&self) -> MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the log and the list entry of a new task. Returns what its supervisor needs.
    fn register(
        &self,
        kind: TaskKind,
        authid: Authid,
        echo: Option<Echo>,
    ) -> Result<(TaskContext, watch::Sender<Option<TaskStatus>>, TaskTrackerToken), TaskError> {
        if self.workers().is_closed {
            return Err(TaskError::ShuttingDown);
        }
        let (upid, log) = self.create_log(&kind, &authid, echo)?;
        let context = TaskContext::new(upid.clone(), log, self.shutdown.clone());
        let (sender, end) = watch::channel(None);
        // Taken together with the look at `is_closed`, so that a shutdown waits also for tasks about to begin.
        let tracked = {
            let mut workers = self.workers();
            if workers.is_closed {
                let _ = std::fs::remove_file(self.directory.log_path(&upid));
                return Err(TaskError::ShuttingDown);
            }
            workers.running.insert(upid.clone(), RunningTask { context: context.clone(), end });
            self.tracker.token()
        };
        let change = ListChange { started: Some(&upid), ended: None };
        let now = self.options.clock.now();
        if let Err(error) = self.directory.update(&|upid| self.is_listed_running(upid), &change, now) {
            self.workers().running.remove(&upid);
            // Nothing was written yet, and nobody knows the name.
            let _ = std::fs::remove_file(self.directory.log_path(&upid));
            return Err(error);
        }
        Ok((context, sender, tracked))
    }

    fn name(&self, kind: &TaskKind, authid: &Authid, task_id: u64) -> Result<Upid, TaskError> {
        Upid::new(UpidParts {
            node: self.options.node.clone(),
            pid: self.options.pid,
            pstart: self.options.pstart,
            task_id,
            start_time: self.options.clock.now(),
            worker_type: kind.worker_type.clone(),
            worker_id: kind.worker_id.clone(),
            authid: authid.clone(),
        })
        .map_err(TaskError::Name)
    }

    /// Finds a free name and makes the log file for it.
    fn create_log(&self, kind: &TaskKind, authid: &Authid, echo: Option<Echo>) -> Result<(Upid, LogWriter), TaskError> {
        let options = &self.options;
        for _ in 0..MAX_TASK_ID_TRIES {
            let upid = self.name(kind, authid, self.next_task_id.fetch_add(1, Ordering::Relaxed))?;
            let path = self.directory.log_path(&upid);
            match LogWriter::create(&path, Arc::clone(&options.clock), options.time_zone.clone(), echo.clone()) {
                Ok(log) => return Ok((upid, log)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(TaskError::Io { action: "create", path, source }),
            }
        }
        Err(TaskError::NoFreeTaskId { worker_type: kind.worker_type.clone() })
    }

    /// Ends a task: hook, result line, lists, and last of all the news that it has ended. Blocking.
    fn finish(
        &self,
        context: &TaskContext,
        result: &Result<(), TaskFailure>,
        at_end: Option<EndHook>,
        end: &watch::Sender<Option<TaskStatus>>,
    ) {
        let upid = context.upid();
        let status = context.status(result);
        if let Some(hook) = at_end {
            run_hook(hook, context, &status);
        }
        let (end_time, lost_count) = context.log_writer().finish(&status);
        if 0 < lost_count {
            tracing::error!(%upid, lost_count, "messages of a task could not be written to its log");
        }
        let entry = TaskListEntry { upid: upid.clone(), end: Some((end_time, status.clone())) };
        let change = ListChange { started: None, ended: Some(&entry) };
        if let Err(error) = self.directory.update(&|upid| self.is_listed_running(upid), &change, end_time) {
            // The next list call or task start moves the entry, with the result from the log.
            tracing::error!(%upid, %error, "cannot move an ended task to the archive");
        }
        context.log_writer().release();
        {
            let mut workers = self.workers();
            workers.running.remove(upid);
            workers.ended.add(upid.worker_type(), &status);
        }
        end.send_replace(Some(status));
    }

    /// Returns whether a task that stands in the list of running ones still belongs there.
    fn is_listed_running(&self, upid: &Upid) -> bool {
        if self.workers().running.contains_key(upid) {
            return true;
        }
        if (upid.pid(), upid.pstart()) == (self.options.pid, self.options.pstart) {
            // Of this process but not of this registry: another registry's, if its log is still held.
            return self.is_log_held(upid);
        }
        self.options.processes.exists(upid.pid(), upid.pstart())
    }

    fn is_log_held(&self, upid: &Upid) -> bool {
        let log = std::fs::File::open(self.directory.log_path(upid));
        log.is_ok_and(|log| matches!(log.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
    }

    /// Returns the result and end time of a task, or `None` while it runs.
    fn end_of(&self, upid: &Upid) -> Option<(TaskStatus, Option<Epoch>)> {
        if self.workers().running.contains_key(upid) {
            return None;
        }
        // Whether it may run is asked before its log is read, so that a result written in between is seen.
        let may_run = self.is_listed_running(upid);
        match read_status(&self.directory.log_path(upid), upid.start_time()) {
            Ok((TaskStatus::Unknown, _)) if may_run => None,
            Ok((status, end_time)) => Some((status, Some(end_time))),
            Err(_) => Some((TaskStatus::Unknown, None)),
        }
    }
}
