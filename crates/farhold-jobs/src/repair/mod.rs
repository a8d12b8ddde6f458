//! Mending a datastore from a copy on a remote, or in another datastore of this server, as a task.
//!
//! Our own addition; the reference knows only the re-sync of snapshots that are known to be bad. What a run does is in
//! `farhold_sync::repair`. The task is of type `repair`, its worker id is the datastore. Copies that were encrypted or
//! decrypted on their way need a key: each that the caller may use is tried, since the result is proved by what lies in the
//! store, and nothing leaves it.

mod log;
mod progress;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use farhold_access::AccessSnapshot;
use farhold_format::upid::Upid;
use farhold_rules::acl::{AclPath, AclTree};
use farhold_settings::SettingsError;
use farhold_sync::repair::{
    MayMend, RepairEnds, RepairError, RepairEvent, RepairOptions, RepairReach, RepairReport, repair,
};
use farhold_sync::{DEFAULT_PATIENCE, LocalSource, RemoteSource, Source};
use farhold_tasks::{TaskContext, TaskError, TaskFailure, TaskKind};
use farhold_types::{Authid, DatastoreName, GroupFilter, Namespace, Privileges, RateLimits, RemoteName};
use thiserror::Error;

use self::log::RepairLog;
use self::progress::RepairProgress;
use crate::app::App;
use crate::encryption_keys::usable_keys;
use crate::permission::JobDenied;
use crate::progress::ProgressBoard;
use crate::remotes::{RemoteClientError, remote_client};
use crate::rights::AclRights;
use crate::stores::{Operation, StoreAccessError, StoreHandle};
use crate::task_work::{ABORTED, Crashed, SHUTDOWN, blocking};
use crate::verify::{VerifyError, VerifyThreads, options};

/// What the caller needs on each namespace of the damaged store: results are noted, and what is bad is replaced.
const REPAIR_NEEDS: Privileges = Privileges::DATASTORE_VERIFY.with(Privileges::DATASTORE_MODIFY);

/// Last line of a repair that left something damaged.
const LEFT_DAMAGED: &str = "repair left something damaged - please check the log for details";

/// Where copies come from, as it was asked for.
///
/// Text: `remote:store`; `remote` alone means the datastore of the same name there; `:store` or `-:store` is another
/// datastore of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairOrigin {
    /// The remote; none means this server.
    pub remote: Option<RemoteName>,
    /// The datastore there; none means one of the same name.
    pub store: Option<DatastoreName>,
}

/// The text names no place that copies can come from.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{text}' is neither 'remote', 'remote:datastore' nor ':datastore'")]
pub struct OriginError {
    text: String,
}

impl FromStr for RepairOrigin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let wrong = || OriginError { text: text.to_owned() };
        let (remote, store) = match text.split_once(':') {
            Some((remote, store)) => (remote, Some(store.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let remote = match remote {
            "" | "-" => None,
            name => Some(name.parse().map_err(|_| wrong())?),
        };
        if remote.is_none() && store.is_none() { Err(wrong()) } else { Ok(Self { remote, store }) }
    }
}

impl fmt::Display for RepairOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.remote, &self.store) {
            (Some(remote), Some(store)) => write!(f, "{remote}:{store}"),
            (Some(remote), None) => write!(f, "{remote}"),
            (None, Some(store)) => write!(f, ":{store}"),
            (None, None) => write!(f, "-"),
        }
    }
}

/// A repair that somebody asks for.
#[derive(Debug, Clone)]
pub struct RepairRequest {
    /// The damaged store.
    pub store: DatastoreName,
    /// Where the repair begins in it.
    pub ns: Namespace,
    /// Levels below; none means all.
    pub max_depth: Option<u8>,
    /// Who has copies.
    pub from: RepairOrigin,
    /// What the namespace is there.
    pub remote_ns: Namespace,
    /// Which groups are looked at; no filter means all.
    pub groups: Vec<GroupFilter>,
    /// Who gets groups that have no readable owner; none leaves them as they are.
    pub owner: Option<Authid>,
    /// Verify all snapshots first, not only those that are known to be damaged.
    pub verifies_all: bool,
    /// Only tell what would be fetched.
    pub is_dry: bool,
}

impl RepairRequest {
    /// Returns the datastore that copies come from.
    pub fn source_store(&self) -> &DatastoreName {
        self.from.store.as_ref().unwrap_or(&self.store)
    }
}

/// That somebody may repair, as asked for.
#[derive(Debug)]
pub struct RepairPermit {
    caller: Authid,
    request: RepairRequest,
}

/// Checks whether `caller` may repair: `Datastore.Verify` and `Datastore.Modify` where it begins, and as for a pull
/// `Remote.Read` on the remote's datastore. Of another datastore of this server the caller gets only what it may read.
///
/// # Errors
/// The first privilege that is missing.
pub fn may_repair(acl: &AclTree, caller: &Authid, request: RepairRequest) -> Result<RepairPermit, JobDenied> {
    acl.require_all(caller, &AclPath::datastore(&request.store, &request.ns), REPAIR_NEEDS)?;
    match &request.from.remote {
        Some(remote) => {
            let source = AclPath::remote_store(remote, request.source_store(), &Namespace::root());
            acl.require_all(caller, &source, Privileges::REMOTE_READ)?;
        }
        None => {
            let source = AclPath::datastore(request.source_store(), &request.remote_ns);
            let reads = acl.require_all(caller, &source, Privileges::DATASTORE_READ);
            reads
                .or_else(|denied| acl.require_all(caller, &source, Privileges::DATASTORE_BACKUP).map_err(|_| denied))?;
        }
    }
    Ok(RepairPermit { caller: caller.clone(), request })
}

/// Why no repair was started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RepairRunError {
    /// A store cannot mend itself.
    #[error("a datastore cannot be repaired from itself")]
    SameStore,
    /// Whoever is to own groups cannot use them.
    #[error("'{owner}' does not exist or is not active")]
    Owner {
        /// Who.
        owner: Authid,
    },
    /// The store's options cannot be read.
    #[error(transparent)]
    Options(#[from] VerifyError),
    /// A store cannot be used.
    #[error(transparent)]
    Store(#[from] Box<StoreAccessError>),
    /// The remote cannot be used.
    #[error(transparent)]
    Remote(#[from] RemoteClientError),
    /// The configuration cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The namespaces do not fit each other, the store cannot be locked, or it was stopped.
    #[error(transparent)]
    Repair(#[from] RepairError),
    /// The task cannot be started.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A thread of this server crashed.
    #[error(transparent)]
    Crashed(#[from] Crashed),
}

impl From<StoreAccessError> for RepairRunError {
    fn from(error: StoreAccessError) -> Self {
        Box::new(error).into()
    }
}

/// Where copies come from, opened.
enum Origin {
    Remote(Arc<RemoteSource>),
    Local {
        source: Arc<LocalSource>,
        /// Counts the reading.
        _store: StoreHandle,
    },
}

/// A repair with both ends open.
struct Opened {
    store: StoreHandle,
    origin: Origin,
    options: RepairOptions,
    may_mend: MayMend,
}

/// Opens both ends. Nothing is asked of the remote yet. Blocking.
fn open(app: &App, permit: &RepairPermit) -> Result<Opened, RepairRunError> {
    let RepairPermit { caller, request } = permit;
    if request.from.remote.is_none() && *request.source_store() == request.store {
        return Err(RepairRunError::SameStore);
    }
    if let Some(owner) = &request.owner
        && !app.settings.users().load()?.entries.is_active(owner, app.clock.now())
    {
        return Err(RepairRunError::Owner { owner: owner.clone() });
    }
    let access = app.access.snapshot()?;
    let origin = match &request.from.remote {
        Some(remote) => {
            let (client, remote) = remote_client(app, remote, &RateLimits::default())?;
            Origin::Remote(Arc::new(RemoteSource::new(client, request.source_store().clone(), remote.auth_id)))
        }
        None => {
            let store = app.stores.open(request.source_store(), Operation::Read)?;
            let rights = AclRights::new(access.clone(), caller.clone(), request.source_store().clone());
            Origin::Local { source: Arc::new(LocalSource::new(store.clone(), Arc::new(rights))), _store: store }
        }
    };
    let store = app.stores.open(&request.store, Operation::Write)?;
    let mut seed = [0; 8];
    app.randomness.fill(&mut seed);
    let options = RepairOptions {
        anchor: request.ns.clone(),
        max_depth: request.max_depth,
        source_anchor: request.remote_ns.clone(),
        groups: request.groups.clone(),
        owner: request.owner.clone(),
        keys: usable_keys(app, &access, caller)?,
        reach: if request.verifies_all { RepairReach::Everything } else { RepairReach::Suspects },
        verify: options(app, &request.store, VerifyThreads::default())?,
        is_dry: request.is_dry,
        patience: DEFAULT_PATIENCE,
        pause_seed: u64::from_le_bytes(seed),
    };
    let may_mend = may_mend(access, caller.clone(), request.store.clone());
    Ok(Opened { store, origin, options, may_mend })
}

fn may_mend(access: AccessSnapshot, caller: Authid, store: DatastoreName) -> MayMend {
    Arc::new(move |ns: &Namespace| access.require_all(&caller, &AclPath::datastore(&store, ns), REPAIR_NEEDS).is_ok())
}

/// Starts a repair as a task and returns the task's name.
///
/// # Errors
/// Both ends are the same; a store or the remote is unknown or cannot be used; the task cannot be started. What a remote
/// that does not answer means is in the task's log.
pub async fn start_repair(app: &Arc<App>, permit: RepairPermit) -> Result<Upid, RepairRunError> {
    let opener = Arc::clone(app);
    let (caller, store) = (permit.caller.clone(), permit.request.store.clone());
    let (opened, permit) = blocking(move || Ok::<_, RepairRunError>((open(&opener, &permit)?, permit))).await?;
    let kind = TaskKind::new("repair", Some(store.to_string()));
    let board = app.progress.clone();
    let worker = move |context: TaskContext| async move { work(opened, permit.request, board, context).await };
    Ok(app.tasks.spawn(kind, &caller, worker).await?)
}

async fn work(
    opened: Opened,
    request: RepairRequest,
    board: ProgressBoard,
    context: TaskContext,
) -> Result<(), TaskFailure> {
    let dry = if request.is_dry { " (dry run)" } else { "" };
    context.log(&format!("repair datastore '{}' from '{}'{dry}", request.store, request.from));
    let log = Arc::new(RepairLog::new(request.store.clone(), request.is_dry, context.clone()));
    let progress = Arc::new(RepairProgress::new(&board, context.upid().clone()));
    let outcome = match &opened.origin {
        Origin::Remote(source) => run(&opened, Arc::clone(source), (&log, &progress), &context).await,
        Origin::Local { source, .. } => run(&opened, Arc::clone(source), (&log, &progress), &context).await,
    };
    let report = match outcome {
        Ok(report) => report,
        Err(RepairError::Cancelled) => {
            return Err(TaskFailure::new(if context.is_cancelled() { ABORTED } else { SHUTDOWN }));
        }
        Err(error) => return Err(TaskFailure::from_error(&error)),
    };
    log.summary(&report);
    if report.unmended.is_empty() && report.unexamined == 0 { Ok(()) } else { Err(TaskFailure::new(LEFT_DAMAGED)) }
}

async fn run<S: Source>(
    opened: &Opened,
    source: Arc<S>,
    (log, progress): (&Arc<RepairLog>, &Arc<RepairProgress>),
    context: &TaskContext,
) -> Result<RepairReport, RepairError> {
    let ends = RepairEnds { store: (*opened.store).clone(), source, may_mend: Arc::clone(&opened.may_mend) };
    let (log, progress, stop) = (Arc::clone(log), Arc::clone(progress), context.cancellation().child_token());
    let events = Arc::new(move |event: &RepairEvent<'_>| {
        progress.tell(event);
        log.tell(event);
    });
    let mut work = std::pin::pin!(repair(opened.options.clone(), ends, context.upid().clone(), events, stop.clone()));
    tokio::select! {
        biased;
        () = context.shutdown().cancelled() => {
            stop.cancel();
            work.await
        }
        outcome = &mut work => outcome,
    }
}
