//! Verifying a snapshot, a group, or everything below a namespace. Source: `docs/spec/rest-api.md` 12.8.

use std::sync::Arc;

use farhold_jobs::verify::{
    VERIFY_NEEDS, VerifyAge, VerifyError, VerifyRequest, VerifyScope, VerifyThreads, start_verify,
};
use farhold_jobs::{App, Operation};
use farhold_types::Namespace;

use super::BY_NAMESPACE;
use super::place::{Own, Place, group_of, snapshot_of};
use crate::declare::{Answer, Endpoint, Reply, Request};
use crate::endpoints::blocking;
use crate::endpoints::config_verify::{IGNORE_VERIFIED, OUTDATED_AFTER};
use crate::error::ApiError;
use crate::schema::named::{BACKUP_ID, BACKUP_TIME, BACKUP_TYPE, MAX_DEPTH, NS, STORE};
use crate::schema::{Param, ParamKind, Params};

const VERIFY: Own = Own { full: VERIFY_NEEDS.full, part: VERIFY_NEEDS.own };

const THREADS: ParamKind = ParamKind::Integer { min: Some(1), max: Some(32) };
const READ_THREADS: Param =
    Param::optional("read-threads", THREADS, "Number of threads that read chunks; the datastore's own if absent");
const VERIFY_THREADS: Param =
    Param::optional("verify-threads", THREADS, "Number of threads that check chunks; the datastore's own if absent");

impl From<VerifyError> for ApiError {
    fn from(error: VerifyError) -> Self {
        Self::from_chain(&error)
    }
}

pub(super) fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::post("/admin/datastore/{store}/verify", "Verify backups", verify)
            .params(&[STORE, NS, BACKUP_TYPE.is_optional(), BACKUP_ID.is_optional(), BACKUP_TIME.is_optional()])
            .params(&[IGNORE_VERIFIED, OUTDATED_AFTER, MAX_DEPTH, READ_THREADS, VERIFY_THREADS])
            .access(BY_NAMESPACE)
            .answer(Answer::Task),
    ]
}

/// Returns what is to be verified: nothing named means the namespace and all below it.
fn scope(params: &Params, ns: Namespace) -> Result<VerifyScope, ApiError> {
    let given = ["backup-type", "backup-id", "backup-time"].map(|name| params.has(name));
    match given {
        [true, true, true] => Ok(VerifyScope::Snapshot(ns, snapshot_of(params)?)),
        [true, true, false] => Ok(VerifyScope::Group(ns, group_of(params)?)),
        [false, false, false] => Ok(VerifyScope::Below(ns, params.integer_as("max-depth")?)),
        _ => Err(ApiError::bad_request("parameters name neither a backup group nor a snapshot")),
    }
}

async fn verify(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(Arc::clone(&app), &request)?;
    let params = request.params;
    let (access, request) = blocking(move || {
        let access = place.group_access(VERIFY)?;
        let scope = scope(&params, place.ns.clone())?;
        let store = match &scope {
            VerifyScope::Snapshot(_, snapshot) => place.open_group(&snapshot.group, VERIFY, Operation::Read)?,
            VerifyScope::Group(_, group) => place.open_group(group, VERIFY, Operation::Read)?,
            _ => place.open(Operation::Read)?,
        };
        let age = match params.boolean("ignore-verified") {
            Some(false) => VerifyAge::All,
            _ => VerifyAge::Unverified { outdated_after_days: params.integer("outdated-after") },
        };
        let threads =
            VerifyThreads { read: params.integer_as("read-threads")?, verify: params.integer_as("verify-threads")? };
        Ok::<_, ApiError>((access, VerifyRequest { store, scope, age, threads }))
    })
    .await?;
    Ok(Reply::value(start_verify(&app, access, request).await?.to_string()))
}
