//! `/reader`: the upgrade to a session that reads one snapshot. Source: `docs/spec/wire-protocol.md` 4 and 6.

use std::sync::Arc;

use farhold_datastore::DatastoreError;
use farhold_jobs::{App, Operation, StoreHandle};
use farhold_protocol::upgrade::READER_PROTOCOL;
use farhold_rules::acl::{AclPath, GroupAccess};
use farhold_tasks::{TaskContext, TaskFailure, TaskKind};
use farhold_types::{Authid, BackupType, DatastoreName, Epoch, Group, Namespace, Privileges, Snapshot};

use super::blocking;
use super::session_task::{self, NEVER_BEGAN, Switching};
use crate::declare::{Access, Answer, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::reader::{ReadBudget, ReaderSession, SnapshotContent, StoredSnapshot, UPGRADE_PARAMS, serve};

/// Memory for chunk bodies of all reader sessions of a server. Enough for two dozen chunks of 4 MiB on their way, and
/// half of what the process may use at its peak.
const READ_BUDGET_BYTES: u64 = 96 << 20;

pub fn endpoints() -> Vec<Endpoint<App>> {
    let budget = ReadBudget::new(READ_BUDGET_BYTES);
    vec![
        Endpoint::get("/reader", "Open a session that reads a snapshot", move |app, request| {
            open(app, request, budget.clone())
        })
        .params(UPGRADE_PARAMS)
        .access(Access::InHandler("Datastore.Read, or Datastore.Backup and ownership of the group"))
        .answer(Answer::Upgrade(READER_PROTOCOL)),
    ]
}

/// What the session reads; the operation on the store counts as long as this lives.
struct Content {
    snapshot: StoredSnapshot,
    _store: StoreHandle,
}

impl SnapshotContent for Content {
    fn file(&self, archive: &farhold_types::ArchiveName) -> Result<bytes::Bytes, crate::reader::ReadError> {
        self.snapshot.file(archive)
    }

    fn chunk(&self, digest: &farhold_types::Digest) -> Result<bytes::Bytes, crate::reader::ReadError> {
        self.snapshot.chunk(digest)
    }
}

async fn open(app: Arc<App>, request: Request<App>, budget: ReadBudget) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let params = &request.params;
    let store: DatastoreName = params.require("store")?;
    let ns: Namespace = params.parse("ns")?.unwrap_or_default();
    let group = Group::new(params.require::<BackupType>("backup-type")?, params.require("backup-id")?);
    let time = Epoch(params.integer("backup-time").unwrap_or_default());
    let snapshot = group.at(time);
    let peer = request.connection.peer.map_or_else(|| "local socket".to_owned(), |peer| peer.to_string());

    let (access, handle) = {
        let (app, caller, store, ns) = (Arc::clone(&app), caller.clone(), store.clone(), ns.clone());
        blocking(move || {
            let path = AclPath::datastore(&store, &ns);
            let access = app.access.snapshot()?.full_or_owner(
                &caller,
                &path,
                Privileges::DATASTORE_READ,
                Privileges::DATASTORE_BACKUP,
            )?;
            Ok::<_, ApiError>((access, app.stores.open(&store, Operation::Read)?))
        })
        .await?
    };
    request.check_upgrade(READER_PROTOCOL)?;
    let content = {
        let (ns, snapshot, caller) = (ns.clone(), snapshot.clone(), caller.clone());
        blocking(move || lock(handle, &access, &caller, ns, snapshot)).await?
    };

    let worker_id = format!("{store}:{group}/{:08X}", time.0);
    let kind = TaskKind::new("reader", Some(worker_id)).dropped_on_abort("task aborted");
    let worker = move |context: TaskContext, connection: Switching| async move {
        context.log(&format!("starting new backup reader datastore '{store}', {}: {snapshot}", ns.log_name()));
        context.log(&format!("client {peer}"));
        let io = connection.switched().await.ok_or_else(|| TaskFailure::new(NEVER_BEGAN))?;
        let log = {
            let context = context.clone();
            Arc::new(move |line: &str| context.log(line))
        };
        let session = ReaderSession::new(Arc::new(content), &budget);
        match serve(io, session, log).await {
            Ok(()) => context.log("reader finished successfully"),
            Err(error) => return Err(TaskFailure::new(format!("connection error: {error}"))),
        }
        Ok(())
    };
    session_task::start(&app, kind, &caller, READER_PROTOCOL, worker).await
}

/// Checks ownership where it matters, and locks the snapshot.
fn lock(
    store: StoreHandle,
    access: &GroupAccess,
    caller: &Authid,
    ns: Namespace,
    snapshot: Snapshot,
) -> Result<Content, ApiError> {
    if matches!(access, GroupAccess::Owned(_)) {
        let owner = store.owner(&ns, &snapshot.group)?;
        if !access.covers(&owner) {
            return Err(ApiError::bad_request(format!(
                "backup group '{}' belongs to '{owner}', not to '{caller}'",
                snapshot.group
            )));
        }
    }
    let locked: Result<_, DatastoreError> = StoredSnapshot::lock(store.clone(), ns, snapshot);
    Ok(Content { snapshot: locked?, _store: store })
}
