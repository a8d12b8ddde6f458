//! `/backup`: the upgrade to a session that writes one snapshot. Source: `docs/spec/wire-protocol.md` 4 and 5.

use std::net::SocketAddr;
use std::sync::Arc;

use farhold_client::Pauses;
use farhold_datastore::backup::{BackupKind, BackupWriter, BeginBackupError};
use farhold_jobs::verify::verify_new;
use farhold_jobs::{App, BackupNote, Operation, StoreHandle};
use farhold_protocol::upgrade::BACKUP_PROTOCOL;
use farhold_rules::acl::AclPath;
use farhold_tasks::{TaskContext, TaskFailure, TaskKind};
use farhold_types::{Authid, BackupType, DatastoreName, Epoch, Group, Namespace, Privileges, Snapshot};
use http::StatusCode;
use tokio::sync::oneshot;

use super::blocking;
use super::errors::forbidden;
use super::session_task::{self, NEVER_BEGAN, Switching};
use crate::backup::{BackupSession, SessionEnd, SessionLog, UPGRADE_PARAMS, WriteBudget, relative_path, serve};
use crate::declare::{Access, Answer, Endpoint, Reply, Request};
use crate::error::ApiError;

/// Memory for bodies of all backup sessions of a server: two sessions at full speed. More go on with less, and with
/// their disk.
const WRITE_BUDGET_BYTES: u64 = 128 << 20;

pub fn endpoints() -> Vec<Endpoint<App>> {
    // Twice the cores: a thread that waits for the disk leaves its core to another.
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let budget = WriteBudget::new(WRITE_BUDGET_BYTES, (2 * cores).clamp(4, 32));
    vec![
        Endpoint::get("/backup", "Open a session that writes a snapshot", move |app, request| {
            open(app, request, budget.clone())
        })
        .params(UPGRADE_PARAMS)
        .access(Access::InHandler("Datastore.Backup, and ownership of the group"))
        .answer(Answer::Upgrade(BACKUP_PROTOCOL))
        .fails_with(&[404]),
    ]
}

/// What a client wants to write.
#[derive(Clone)]
struct Wanted {
    caller: Authid,
    store: DatastoreName,
    ns: Namespace,
    snapshot: Snapshot,
    kind: BackupKind,
    is_verbose: bool,
    peer: Option<SocketAddr>,
    /// Pauses of the connection because of our own limits.
    pauses: Pauses,
}

impl Wanted {
    fn of(request: &Request<App>) -> Result<Self, ApiError> {
        let params = &request.params;
        let group = Group::new(params.require::<BackupType>("backup-type")?, params.require("backup-id")?);
        let time = Epoch(params.integer("backup-time").unwrap_or_default());
        let is_benchmark = params.boolean_or_default("benchmark");
        Ok(Self {
            caller: request.caller()?.clone(),
            store: params.require("store")?,
            ns: params.parse("ns")?.unwrap_or_default(),
            snapshot: group.at(time),
            kind: if is_benchmark { BackupKind::Benchmark } else { BackupKind::Normal },
            is_verbose: params.boolean_or_default("debug"),
            peer: request.connection.peer,
            pauses: request.pauses.clone(),
        })
    }

    fn task_kind(&self) -> TaskKind {
        let worker_type = match self.kind {
            BackupKind::Normal => "backup",
            BackupKind::Benchmark => "benchmark",
        };
        TaskKind::new(worker_type, Some(format!("{}:{}", self.store, self.snapshot.group)))
    }
}

/// A snapshot that was begun.
struct Opened {
    writer: BackupWriter,
    store: StoreHandle,
    /// Goes last, when nothing unfinished is left.
    note: Option<BackupNote>,
}

async fn open(app: Arc<App>, request: Request<App>, budget: WriteBudget) -> Result<Reply, ApiError> {
    let wanted = Wanted::of(&request)?;
    let (handle, wanted) = {
        let app = Arc::clone(&app);
        blocking(move || {
            let path = AclPath::datastore(&wanted.store, &wanted.ns);
            let access = app.access.snapshot()?;
            access
                .require_all(&wanted.caller, &path, Privileges::DATASTORE_BACKUP)
                .map_err(|denied| forbidden(&denied))?;
            Ok::<_, ApiError>((app.stores.open(&wanted.store, Operation::Write)?, wanted))
        })
        .await?
    };
    request.check_upgrade(BACKUP_PROTOCOL)?;
    // An id too long for the name of a task's log is refused before a group is made for it.
    app.tasks.check_name(&wanted.task_kind(), &wanted.caller)?;
    let notes = app.open_backups.clone();
    let (opened, wanted) = blocking(move || {
        let Wanted { store, ns, snapshot, caller, kind, .. } = &wanted;
        // Without a note a killed server leaves more behind; that is no reason to refuse a backup.
        let note = notes.note(store, ns, snapshot);
        let note = note.inspect_err(|error| tracing::warn!("cannot note a backup that begins - {error}")).ok();
        let writer = handle.begin_backup(ns, snapshot, caller, *kind).map_err(|error| refused(&error))?;
        Ok::<_, ApiError>((Opened { writer, store: handle, note }, wanted))
    })
    .await?;

    let (kind, caller) = (wanted.task_kind(), wanted.caller.clone());
    let worker_app = Arc::clone(&app);
    let worker = move |context, connection| run(worker_app, context, wanted, opened, budget, connection);
    session_task::start(&app, kind, &caller, BACKUP_PROTOCOL, worker).await
}

fn refused(error: &BeginBackupError) -> ApiError {
    let answer = ApiError::from_chain(error);
    match error {
        BeginBackupError::NamespaceMissing { .. } => answer.with_status(StatusCode::NOT_FOUND),
        _ => answer,
    }
}

/// Runs a session to its end; what is not finished then is removed.
async fn run(
    app: Arc<App>,
    context: TaskContext,
    wanted: Wanted,
    opened: Opened,
    budget: WriteBudget,
    connection: Switching,
) -> Result<(), TaskFailure> {
    let peer = wanted.peer.map_or_else(|| "local socket".to_owned(), |peer| peer.ip().to_canonical().to_string());
    let path = relative_path(&wanted.ns, &wanted.snapshot, None);
    let begin = match wanted.kind {
        BackupKind::Normal => "starting new backup",
        BackupKind::Benchmark => "starting benchmark",
    };
    context.log(&format!("{begin} on datastore '{}' from {peer}: \"{path}\"", wanted.store));
    let log = {
        let context = context.clone();
        SessionLog::new(Arc::new(move |line: &str| context.log(line)), wanted.is_verbose)
    };
    let (finished, is_finished) = oneshot::channel();
    let verification = tokio::spawn(verify_when_finished(app, wanted.clone(), context.clone(), is_finished));
    let Opened { writer, store, note } = opened;
    let session = Arc::new(BackupSession::new(writer, &budget, log.clone(), finished, wanted.pauses.clone()));
    let failure = tokio::select! {
        biased;
        failure = converse(&session, &log, connection) => failure,
        () = context.cancelled() => "task aborted".to_owned(),
    };
    // A client may go away while its backup is being finished, which goes on and counts.
    let asked = Arc::clone(&session);
    let is_finished = tokio::task::spawn_blocking(move || asked.give_up()).await.unwrap_or_default();
    let result = if is_finished {
        context.log(&format!("{} finished successfully", context_word(wanted.kind)));
        Ok(())
    } else if wanted.kind == BackupKind::Benchmark && !context.is_cancelled() {
        context.log("benchmark finished successfully");
        Ok(())
    } else {
        context.log(&format!("backup failed: {failure}"));
        context.log("removing failed backup");
        context.log(&format!("removing backup snapshot \"{path}\""));
        Err(TaskFailure::new(failure))
    };
    // Waits for the other requests that are being worked on, and gives the locks back.
    let discarded = tokio::task::spawn_blocking(move || {
        let discarded = session.end();
        drop((session, store));
        drop(note);
        discarded
    })
    .await;
    // Whether it was finished is known by now.
    let _ = verification.await;
    match discarded {
        Ok(Ok(())) => result,
        Ok(Err(error)) => {
            context.warn(&format!("the snapshot could not be removed: {}", ApiError::from_chain(&error)));
            result
        }
        Err(_) => Err(TaskFailure::new("removing the snapshot failed unexpectedly")),
    }
}

/// Starts a verification of the snapshot as soon as it is complete, if the datastore wants that.
async fn verify_when_finished(app: Arc<App>, wanted: Wanted, context: TaskContext, is_finished: oneshot::Receiver<()>) {
    if is_finished.await.is_err() || wanted.kind == BackupKind::Benchmark {
        return;
    }
    match verify_new(&app, &wanted.store, &wanted.ns, &wanted.snapshot, &wanted.caller).await {
        Ok(_) => {}
        Err(error) => context.warn(&format!("the backup is not verified: {}", ApiError::from_chain(&error))),
    }
}

const fn context_word(kind: BackupKind) -> &'static str {
    match kind {
        BackupKind::Normal => "backup",
        BackupKind::Benchmark => "benchmark",
    }
}

/// Serves the connection until it is over; returns what to say if the backup is not finished then.
async fn converse(session: &Arc<BackupSession>, log: &SessionLog, connection: Switching) -> String {
    let Some(io) = connection.switched().await else { return NEVER_BEGAN.to_owned() };
    log.debug("protocol upgrade done");
    match serve(io, Arc::clone(session)).await {
        SessionEnd::Closed => "connection closed before the backup was finished".to_owned(),
        SessionEnd::Broken(error) => format!("connection error: {}", ApiError::from_chain(&error)),
        SessionEnd::Dead(reason) => format!("connection error: {reason}"),
    }
}
