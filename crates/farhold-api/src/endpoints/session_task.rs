//! Sessions on upgraded connections run inside tasks, so that stopping the task ends the session.

use std::future::Future;
use std::time::Duration;

use farhold_jobs::App;
use farhold_tasks::{TaskContext, TaskFailure, TaskKind};
use farhold_types::Authid;
use hyper::upgrade::Upgraded;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::declare::Reply;
use crate::error::ApiError;

/// How long a session's task waits for the connection to be switched after the answer was given.
const UPGRADE_WAIT: Duration = Duration::from_secs(60);

/// What a session's task says if it waits in vain.
pub(super) const NEVER_BEGAN: &str = "connection error: the client went away before the session began";

/// A connection that is being switched.
pub(super) struct Switching(oneshot::Receiver<Upgraded>);

impl Switching {
    /// Returns the connection once it is switched; none if the client went away before.
    pub(super) async fn switched(self) -> Option<Upgraded> {
        timeout(UPGRADE_WAIT, self.0).await.ok()?.ok()
    }
}

/// Starts the task of a session and answers that the connection is switched to `protocol`.
///
/// # Errors
/// The task cannot be started.
pub(super) async fn start<F, Fut>(
    app: &App,
    kind: TaskKind,
    caller: &Authid,
    protocol: &'static str,
    worker: F,
) -> Result<Reply, ApiError>
where
    F: FnOnce(TaskContext, Switching) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), TaskFailure>> + Send + 'static,
{
    let (upgraded, connection) = oneshot::channel();
    let upid = app.tasks.spawn(kind, caller, move |context| worker(context, Switching(connection))).await?;
    let tasks = app.tasks.clone();
    // The router waits for the session and its task.
    Ok(Reply::upgrade(protocol, move |io| async move {
        if upgraded.send(io).is_ok() {
            let _ = tasks.wait(&upid).await;
        }
    }))
}
