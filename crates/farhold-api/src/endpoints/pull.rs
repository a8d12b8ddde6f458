//! `/pull`: a pull without a stored job. Source: `docs/spec/rest-api.md` 14.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::permission::{Ends, may_pull_once};
use farhold_jobs::pull::{PullRequest, start_once};
use farhold_rules::sync_plan::SelectionOptions;
use farhold_types::SyncJob;

use super::{blocking, sync_params};
use crate::declare::{Access, Answer, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Param, ParamKind, named};

const DECRYPTION_KEYS: Param =
    Param::optional("decryption-keys", ParamKind::List(&named::KEY_ID_KIND), "Keys to decrypt with");

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::post("/pull", "Pull from a remote once", pull)
            .params(&[
                named::STORE.described("Local datastore, the target"),
                named::NS,
                named::REMOTE_ID,
                named::REMOTE_STORE,
                named::REMOTE_NS,
                sync_params::REMOVE_VANISHED,
                named::MAX_DEPTH_REDUCED,
                named::GROUP_FILTER,
                named::TRANSFER_LAST,
                sync_params::ENCRYPTED_ONLY,
                sync_params::VERIFIED_ONLY,
                sync_params::RESYNC_CORRUPT,
                named::WORKER_THREADS,
                DECRYPTION_KEYS,
            ])
            .params(&sync_params::RATES)
            .access(Access::InHandler("Datastore.Backup on the target, Remote.Read on the source"))
            .answer(Answer::Task),
    ]
}

async fn pull(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let params = request.params;
    let asked = PullRequest {
        name: format!("pull of {caller}"),
        store: params.require("store")?,
        ns: params.parse("ns")?.unwrap_or_default(),
        owner: caller.clone(),
        remote: params.parse("remote")?,
        remote_store: params.require("remote-store")?,
        remote_ns: params.parse("remote-ns")?.unwrap_or_default(),
        remove_vanished: params.boolean("remove-vanished").unwrap_or(false),
        max_depth: sync_params::small(&params, "max-depth")?,
        group_filter: params.parse_list("group-filter")?.unwrap_or_default(),
        selection: SelectionOptions {
            transfer_last: sync_params::transfer_last(&params)?,
            verified_only: params.boolean("verified-only").unwrap_or(false),
            encrypted_only: params.boolean("encrypted-only").unwrap_or(false),
            resync_corrupt: params.boolean("resync-corrupt").unwrap_or(false),
        },
        limits: sync_params::limits(&params)?,
        worker_threads: sync_params::small(&params, "worker-threads")?.unwrap_or(SyncJob::DEFAULT_WORKER_THREADS),
        decryption_keys: params.parse_list("decryption-keys")?.unwrap_or_default(),
    };
    let (permit, asked) = {
        let app = Arc::clone(&app);
        blocking(move || {
            let ends = Ends {
                store: &asked.store,
                ns: &asked.ns,
                remote: asked.remote.as_ref(),
                remote_store: &asked.remote_store,
            };
            let permit = may_pull_once(&*app.acl()?, &caller, ends, asked.remove_vanished)?;
            Ok::<_, ApiError>((permit, asked))
        })
        .await?
    };
    Ok(Reply::value(start_once(&app, &permit, asked).await?.to_string()))
}
