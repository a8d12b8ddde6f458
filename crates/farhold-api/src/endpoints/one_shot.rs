//! `/pull` and `/push`: a sync without a stored job. Source: `docs/spec/rest-api.md` 14.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::permission::{Ends, JobDenied, PushEnds, RunPermit, may_pull_once, may_push_once};
use farhold_jobs::sync_request::{SyncRequest, SyncWork};
use farhold_jobs::sync_run::start_once;
use farhold_rules::acl::AclTree;
use farhold_rules::sync_plan::SelectionOptions;
use farhold_types::{Authid, SyncJob};

use super::{blocking, sync_params};
use crate::declare::{Access, Answer, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{DefaultValue, Param, ParamKind, Params, named};

const DECRYPTION_KEYS: Param =
    Param::optional("decryption-keys", ParamKind::List(&named::KEY_ID_KIND), "Keys to decrypt with");
const ENCRYPTION_KEY: Param =
    Param::optional("encryption-key", named::KEY_ID_KIND, "Key to encrypt with what is not encrypted");

/// What both directions take besides the ends and the rates.
const SHARED: [Param; 7] = [
    sync_params::REMOVE_VANISHED,
    named::MAX_DEPTH_REDUCED.or_default(DefaultValue::Integer(7)),
    named::GROUP_FILTER,
    named::TRANSFER_LAST,
    sync_params::ENCRYPTED_ONLY,
    sync_params::VERIFIED_ONLY,
    named::WORKER_THREADS,
];

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::post("/pull", "Pull from a remote once", pull)
            .params(&[
                named::STORE.described("Local datastore, the target"),
                named::NS,
                named::REMOTE_ID,
                named::REMOTE_STORE,
                named::REMOTE_NS,
                sync_params::RESYNC_CORRUPT,
                DECRYPTION_KEYS,
            ])
            .params(&SHARED)
            .params(&sync_params::RATES)
            .access(Access::InHandler("Datastore.Backup on the target, Remote.Read on the source"))
            .answer(Answer::Task),
        Endpoint::post("/push", "Push to a remote once", push)
            .params(&[
                named::STORE.described("Local datastore, the source"),
                named::NS,
                named::REMOTE_ID.is_required(),
                named::REMOTE_STORE,
                named::REMOTE_NS,
                ENCRYPTION_KEY,
            ])
            .params(&SHARED)
            .params(&sync_params::RATES)
            .access(Access::InHandler("Remote.DatastoreBackup on the target, Datastore.Read or .Backup on the source"))
            .answer(Answer::Task),
    ]
}

async fn pull(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let (caller, params) = (request.caller()?.clone(), request.params);
    let work = SyncWork::Pull {
        remote: params.parse("remote")?,
        decryption_keys: params.parse_list("decryption-keys")?.unwrap_or_default(),
    };
    start(app, asked(caller, &params, "pull", work)?).await
}

async fn push(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let (caller, params) = (request.caller()?.clone(), request.params);
    let work = SyncWork::Push { remote: params.require("remote")?, encryption_key: params.parse("encryption-key")? };
    start(app, asked(caller, &params, "push", work)?).await
}

fn asked(caller: Authid, params: &Params, verb: &str, work: SyncWork) -> Result<SyncRequest, ApiError> {
    Ok(SyncRequest {
        name: format!("{verb} of {caller}"),
        work,
        store: params.require("store")?,
        ns: params.parse("ns")?.unwrap_or_default(),
        owner: caller,
        remote_store: params.require("remote-store")?,
        remote_ns: params.parse("remote-ns")?.unwrap_or_default(),
        remove_vanished: params.boolean("remove-vanished").unwrap_or(false),
        max_depth: params.integer_as("max-depth")?,
        group_filter: params.parse_list("group-filter")?.unwrap_or_default(),
        selection: SelectionOptions {
            transfer_last: params.integer_as("transfer-last")?,
            verified_only: params.boolean("verified-only").unwrap_or(false),
            encrypted_only: params.boolean("encrypted-only").unwrap_or(false),
            resync_corrupt: params.boolean("resync-corrupt").unwrap_or(false),
        },
        limits: sync_params::limits(params)?,
        follows_traffic_control: false,
        worker_threads: params.integer_as("worker-threads")?.unwrap_or(SyncJob::DEFAULT_WORKER_THREADS),
    })
}

fn permit(acl: &AclTree, caller: &Authid, asked: &SyncRequest) -> Result<RunPermit, JobDenied> {
    let (store, ns, remote_store) = (&asked.store, &asked.ns, &asked.remote_store);
    match &asked.work {
        SyncWork::Pull { remote, .. } => {
            let ends = Ends { store, ns, remote: remote.as_ref(), remote_store };
            may_pull_once(acl, caller, ends, asked.remove_vanished)
        }
        SyncWork::Push { remote, .. } => {
            let ends = PushEnds { store, ns, remote, remote_store, remote_ns: &asked.remote_ns };
            may_push_once(acl, caller, ends, asked.remove_vanished)
        }
    }
}

async fn start(app: Arc<App>, asked: SyncRequest) -> Result<Reply, ApiError> {
    let (permit, asked) = {
        let app = Arc::clone(&app);
        blocking(move || Ok::<_, ApiError>((permit(&*app.acl()?, &asked.owner, &asked)?, asked))).await?
    };
    Ok(Reply::value(start_once(&app, &permit, asked).await?.to_string()))
}
