//! The verification of a new backup.

use std::sync::Arc;

use farhold_datastore::verify::{Reverify, VerifyOptions};
use farhold_format::upid::Upid;
use farhold_tasks::{TaskContext, TaskFailure, TaskKind};
use farhold_types::{Authid, DatastoreName, Namespace, Snapshot};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Ending, Reach, Run, VerifyError, VerifyScope, VerifyThreads, WORK, options_of};
use crate::app::App;
use crate::progress::ProgressBoard;
use crate::stores::{Operation, StoreHandle};
use crate::task_work::{ABORTED, SHUTDOWN, blocking, in_background};

/// Verifications of new backups, and of what sync jobs brought, that run at once. Each takes threads and up to 50 MiB for
/// each of them, and backups of a night end together.
const AT_ONCE: usize = 8;

/// Turns of the verifications of new backups, and of what sync jobs brought, of one server.
#[derive(Debug, Clone)]
pub struct VerifyTurns(pub(super) Arc<Semaphore>);

impl Default for VerifyTurns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl VerifyTurns {
    /// Verifies what is in scope when it is the task's turn.
    pub(super) async fn verify(
        self,
        store: StoreHandle,
        options: VerifyOptions,
        scope: VerifyScope,
        context: TaskContext,
        board: ProgressBoard,
    ) -> Result<(), TaskFailure> {
        let _turn = self.take(&context).await?;
        in_background(WORK, move || {
            let mut run = Run::new(&store, options, Reverify::Always, &context, &board);
            run.run(&scope, Reach::Everything, Ending::OfCall)
        })
        .await
    }

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
) -> Result<Option<Upid>, VerifyError> {
    let (opener, name) = (Arc::clone(app), store.clone());
    let Some((handle, options)) = blocking(move || open_if_wanted(&opener, &name)).await? else { return Ok(None) };
    let kind = TaskKind::new("verify", Some(format!("{store}:{}/{:08X}", snapshot.group, snapshot.time.0)));
    let scope = VerifyScope::Snapshot(namespace.clone(), snapshot.clone());
    let (turns, board) = (app.verify_turns.clone(), app.progress.clone());
    let worker = move |context: TaskContext| turns.verify(handle, options, scope, context, board);
    Ok(Some(app.tasks.spawn(kind, caller, worker).await?))
}

/// Opens the store if its new backups are to be verified. Blocking.
fn open_if_wanted(app: &App, name: &DatastoreName) -> Result<Option<(StoreHandle, VerifyOptions)>, VerifyError> {
    let loaded = app.settings.datastores().load()?;
    let Some(config) = loaded.entries.get(name.as_str())? else { return Ok(None) };
    if config.verify_new != Some(true) {
        return Ok(None);
    }
    Ok(Some((app.stores.open(name, Operation::Write)?, options_of(config, VerifyThreads::default())?)))
}
