//! Verification as a task: what is told in its log, and the verification of a new backup.
//!
//! Source: `docs/spec/datastore-format.md` 18, `docs/spec/schedules-and-tasks.md` 6.2 and 6.5, lines of
//! `tests/golden/tasks.tar.zst`. Unlike the reference's, the log names every bad chunk.

use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farhold_datastore::verify::{
    ChunkProblem, ReadOrder, Reverify, SkipReason, SnapshotVerdict, Verifier, VerifyEvent, VerifyOptions, VerifyWatch,
};
use farhold_format::upid::Upid;
use farhold_settings::{ChunkOrder, DatastoreConfig, FieldError, SettingsError};
use farhold_tasks::{TaskContext, TaskError, TaskFailure, TaskKind};
use farhold_types::{Authid, DatastoreName, Namespace, Snapshot};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::app::App;
use crate::stores::{Operation, StoreAccessError, StoreHandle};

/// Last line of a verification that found something. Source: recorded logs.
const FAILED: &str = "verification failed - please check the log for details";
/// Last line after somebody asked to stop it. Source: `docs/spec/schedules-and-tasks.md` 6.5.
const ABORTED: &str = "abort requested - aborting task";
/// Last line when the server stops. Source: as above.
const SHUTDOWN: &str = "Server shutdown requested - aborting task";

/// Verifications of new backups that run at once. Each takes threads and up to 50 MiB for each of them, and backups of a
/// night end together.
const AT_ONCE: usize = 8;

/// Turns of the verifications of new backups of one server.
#[derive(Debug, Clone)]
pub struct VerifyTurns(Arc<Semaphore>);

impl Default for VerifyTurns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl VerifyTurns {
    /// Waits for a turn of this task; it ends when the result is dropped.
    async fn take(&self, context: &TaskContext) -> Result<OwnedSemaphorePermit, TaskFailure> {
        if let Ok(turn) = Arc::clone(&self.0).try_acquire_owned() {
            return Ok(turn);
        }
        context.log("waiting for other verifications to end");
        tokio::select! {
            biased;
            () = context.cancelled() => Err(TaskFailure::new(ABORTED)),
            () = context.shutdown().cancelled() => Err(TaskFailure::new(SHUTDOWN)),
            turn = Arc::clone(&self.0).acquire_owned() => turn.map_err(|_| TaskFailure::new(SHUTDOWN)),
        }
    }
}

/// Why no verification was started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyNewError {
    /// The configuration cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The store's expert settings cannot be read.
    #[error("expert settings of the datastore cannot be read")]
    Tuning(#[from] FieldError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreAccessError),
    /// The task cannot be started.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// Reading the configuration was cut off, which happens only when the runtime stops.
    #[error("reading the configuration was cut off")]
    CutOff,
}

/// Starts the verification of a snapshot that a backup has just finished, if the store's option `verify-new` asks for
/// it. Returns the task; `None` without the option.
///
/// The task has type `verify`, belongs to `caller`, and runs on its own, when it is its turn: this does not wait for it.
///
/// # Errors
/// The task could not be started; the backup itself is finished all the same.
pub async fn verify_new(
    app: &Arc<App>,
    store: &DatastoreName,
    namespace: &Namespace,
    snapshot: &Snapshot,
    caller: &Authid,
) -> Result<Option<Upid>, VerifyNewError> {
    let (opener, name) = (Arc::clone(app), store.clone());
    let opened = tokio::task::spawn_blocking(move || open_if_wanted(&opener, &name)).await;
    let Some((handle, options)) = opened.map_err(|_| VerifyNewError::CutOff)?? else { return Ok(None) };
    let kind = TaskKind::new("verify", Some(format!("{store}:{}/{:08X}", snapshot.group, snapshot.time.0)));
    let (namespace, snapshot) = (namespace.clone(), snapshot.clone());
    let turns = app.verify_turns.clone();
    let worker = move |context: TaskContext| async move {
        let _turn = turns.take(&context).await?;
        let work = move || verify_one(&handle, options, &namespace, &snapshot, &context);
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(_) => Err(TaskFailure::new("verification ended unexpectedly")),
        }
    };
    Ok(Some(app.tasks.spawn(kind, caller, worker).await?))
}

/// Opens the store if its new backups are to be verified. Blocking.
fn open_if_wanted(app: &App, name: &DatastoreName) -> Result<Option<(StoreHandle, VerifyOptions)>, VerifyNewError> {
    let loaded = app.settings.datastores().load()?;
    let Some(config) = loaded.entries.get(name.as_str())? else { return Ok(None) };
    if config.verify_new != Some(true) {
        return Ok(None);
    }
    Ok(Some((app.stores.open(name, Operation::Write)?, options_of(config)?)))
}

fn options_of(config: &DatastoreConfig) -> Result<VerifyOptions, FieldError> {
    let tuning = config.tuning_options()?;
    let threads = |count: u8| NonZero::new(usize::from(count)).unwrap_or(NonZero::<usize>::MIN);
    Ok(VerifyOptions {
        readers: threads(tuning.default_verification_readers),
        workers: threads(tuning.default_verification_workers),
        order: match tuning.chunk_order {
            ChunkOrder::Inode => ReadOrder::Inode,
            ChunkOrder::None => ReadOrder::Index,
        },
    })
}

fn verify_one(
    store: &StoreHandle,
    options: VerifyOptions,
    namespace: &Namespace,
    snapshot: &Snapshot,
    context: &TaskContext,
) -> Result<(), TaskFailure> {
    let log = VerifyLog::new(store.name().clone(), context.clone());
    let (on_event, is_stopped) =
        (|event: &VerifyEvent<'_>| log.tell(event), || context.is_cancelled() || context.shutdown().is_cancelled());
    let watch = VerifyWatch { on_event: &on_event, is_stopped: &is_stopped };
    let verifier = Verifier::new((**store).clone(), options);
    match verifier.verify_snapshot(namespace, snapshot, context.upid(), &Reverify::Always, &watch) {
        Ok(SnapshotVerdict::Failed) => {
            context.log("Failed to verify the following snapshots/groups:");
            context.log(&format!("\t{}", relative_path(namespace, snapshot)));
            Err(TaskFailure::new(FAILED))
        }
        Ok(_) => Ok(()),
        Err(_) if context.is_cancelled() => Err(TaskFailure::new(ABORTED)),
        Err(_) => Err(TaskFailure::new(SHUTDOWN)),
    }
}

/// Returns the path of a snapshot below the datastore: `ns/a/vm/100/2026-01-01T10:00:00Z`.
fn relative_path(namespace: &Namespace, snapshot: &Snapshot) -> String {
    let namespaces: String = namespace.components().iter().map(|component| format!("ns/{component}/")).collect();
    format!("{namespaces}{snapshot}")
}

/// Writes what a verification tells into the log of its task.
struct VerifyLog {
    store: DatastoreName,
    context: TaskContext,
    /// When the file being checked began.
    file_start: Mutex<Instant>,
}

impl VerifyLog {
    fn new(store: DatastoreName, context: TaskContext) -> Self {
        Self { store, context, file_start: Mutex::new(Instant::now()) }
    }

    fn file_start(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.file_start.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self, namespace: &Namespace, snapshot: &Snapshot) -> String {
        format!("{}:{}", self.store, relative_path(namespace, snapshot))
    }

    fn tell(&self, event: &VerifyEvent<'_>) {
        let context = &self.context;
        match event {
            VerifyEvent::Snapshot { namespace, snapshot } => {
                context.log(&format!("verify {}", self.shown(namespace, snapshot)));
            }
            VerifyEvent::Skipped { namespace, snapshot, reason } => {
                let reason = match reason {
                    SkipReason::Gone => "it was removed",
                    SkipReason::Busy => "it is in use",
                    SkipReason::Recent => "it was verified recently",
                };
                context.log(&format!("SKIPPED: verify {} ({reason})", self.shown(namespace, snapshot)));
            }
            VerifyEvent::Unreadable { namespace, snapshot, error } => {
                let what = self.shown(namespace, snapshot);
                context.warn(&format!("verify {what} failed: {}", chain(error)));
            }
            VerifyEvent::File { archive } => {
                *self.file_start() = Instant::now();
                context.log(&format!("  check {archive}"));
            }
            VerifyEvent::Chunks { read_bytes, plain_bytes, error_count, .. } => {
                let elapsed = self.file_start().elapsed();
                context.log(&amounts(*read_bytes, *plain_bytes, elapsed, *error_count));
            }
            VerifyEvent::Chunk { digest, problem: ChunkProblem::KnownBad, .. } => {
                context.warn(&format!("chunk {digest} was marked as corrupt"));
            }
            VerifyEvent::Chunk { archive, digest, problem } => {
                context.warn(&format!("chunk {digest} of '{archive}' is bad: {}", chain(problem)));
            }
            VerifyEvent::SetAside { digest, path } => {
                context.warn(&format!("corrupt chunk {digest} renamed to '{path}'"));
            }
            VerifyEvent::NotSetAside { digest, error } => {
                context.warn(&format!("corrupt chunk {digest} could not be renamed: {}", chain(error)));
            }
            VerifyEvent::FileFailed { namespace, snapshot, archive, problem } => {
                let what = self.shown(namespace, snapshot);
                context.warn(&format!("verify {what}/{archive} failed: {}", chain(problem)));
            }
            VerifyEvent::NotNoted { namespace, snapshot, error } => {
                let what = self.shown(namespace, snapshot);
                context.warn(&format!("result of {what} could not be stored: {}", chain(error)));
            }
            // What is told one day and has no line yet.
            _ => {}
        }
    }
}

/// Returns the text of an error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
fn amounts(read_bytes: u64, plain_bytes: u64, elapsed: Duration, error_count: u64) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (read, plain, seconds) = (mib(read_bytes), mib(plain_bytes), elapsed.as_secs_f64());
    let speed = |amount: f64| if 0.0 < seconds { amount / seconds } else { 0.0 };
    format!(
        "  verified {read:.2}/{plain:.2} MiB in {seconds:.2} seconds, speed {:.2}/{:.2} MiB/s ({error_count} errors)",
        speed(read),
        speed(plain)
    )
}

#[cfg(test)]
mod tests;
