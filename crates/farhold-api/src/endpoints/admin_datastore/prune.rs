//! Pruning one group and many. Source: `docs/spec/rest-api.md` 12.7.

use std::sync::Arc;

use farhold_jobs::prune::{PlannedGroup, PruneError, PruneMode, StorePrune, prune_group, prune_group_now, prune_store};
use farhold_jobs::{App, Operation};
use farhold_types::{Group, Namespace, Privileges};
use serde_json::{Value, json};

use super::BY_NAMESPACE;
use super::groups::REMOVE;
use super::place::{Place, group_of};
use crate::declare::{Access, Answer, Endpoint, Reply, Request};
use crate::endpoints::blocking;
use crate::endpoints::keep::keep_options;
use crate::error::ApiError;
use crate::schema::named::{BACKUP_ID, BACKUP_TYPE, KEEP, MAX_DEPTH_REDUCED, NS, STORE, flag};
use crate::schema::{Field, Param, Shape};

const DRY_RUN: Param = flag("dry-run", "Only tell what would be removed");

/// What is decided about a snapshot.
const DECISION: Shape = Shape::Object(&[
    Field::required("backup-type", Shape::Text("backup type"), "Backup type"),
    Field::required("backup-id", Shape::Text("backup ID"), "Backup ID"),
    Field::required("backup-time", Shape::Integer, "Backup time in seconds since 1970-01-01 UTC"),
    Field::required("keep", Shape::Boolean, "Whether it stays"),
    Field::required("protected", Shape::Boolean, "Whether it is protected from removal"),
    Field::optional("ns", Shape::Text("namespace"), "Its namespace, in a dry run outside of the root namespace"),
]);

impl From<PruneError> for ApiError {
    fn from(error: PruneError) -> Self {
        Self::from_chain(&error)
    }
}

pub(super) fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::post("/admin/datastore/{store}/prune", "Prune a backup group", prune)
            .params(&[STORE, NS, BACKUP_TYPE, BACKUP_ID, DRY_RUN])
            .params(&[flag("use-task", "Answer at once with the task that prunes")])
            .params(&KEEP)
            .access(BY_NAMESPACE)
            .returns(Shape::Either(&[Shape::List(&DECISION), Shape::Text("UPID of the task, if one was asked for")])),
        Endpoint::post("/admin/datastore/{store}/prune-datastore", "Prune all backup groups of a datastore", prune_all)
            .params(&[STORE, NS, MAX_DEPTH_REDUCED, DRY_RUN])
            .params(&KEEP)
            .access(Access::InHandler("Datastore.Modify, or Datastore.Prune for own groups, on each namespace"))
            .answer(Answer::Task),
    ]
}

async fn prune(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(Arc::clone(&app), &request)?;
    let (group, keep) = (group_of(&request.params)?, keep_options(&request.params)?);
    let is_dry_run = request.params.boolean_or_default("dry-run");
    let (access, planned, ns) = {
        let group = group.clone();
        blocking(move || {
            let access = place.group_access(REMOVE)?;
            let store = place.open_group(&group, REMOVE, Operation::Write)?;
            let planned = PlannedGroup::plan(store, place.ns.clone(), group, keep, &place.app.time_zone)?;
            Ok::<_, ApiError>((access, planned, place.ns))
        })
        .await?
    };
    let shown_ns = (is_dry_run && !ns.is_root()).then_some(&ns);
    let decisions = items(&group, &planned, shown_ns);
    if is_dry_run {
        return Ok(Reply::value(decisions));
    }
    if request.params.boolean_or_default("use-task") {
        return Ok(Reply::value(prune_group(&app, &access, planned).await?.to_string()));
    }
    prune_group_now(&app, &access, planned).await?;
    Ok(Reply::value(decisions))
}

fn items(group: &Group, planned: &PlannedGroup, ns: Option<&Namespace>) -> Vec<Value> {
    let item = |decision: &farhold_rules::prune_plan::Decision| {
        let mut item = json!({
            "backup-type": group.backup_type,
            "backup-id": group.backup_id,
            "backup-time": decision.snapshot.time,
            "keep": decision.mark.keeps(),
            "protected": decision.snapshot.is_protected,
        });
        if let Some(ns) = ns {
            item["ns"] = json!(ns);
        }
        item
    };
    planned.decisions().iter().map(item).collect()
}

async fn prune_all(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(Arc::clone(&app), &request)?;
    let is_dry_run = request.params.boolean_or_default("dry-run");
    let prune = StorePrune {
        store: place.store.clone(),
        ns: place.ns.clone(),
        max_depth: request.params.integer_as("max-depth")?,
        keep: keep_options(&request.params)?,
        mode: if is_dry_run { PruneMode::DryRun } else { PruneMode::Remove },
    };
    let granted = blocking(move || {
        let needed = Privileges::DATASTORE_MODIFY | Privileges::DATASTORE_PRUNE;
        Ok::<_, ApiError>(place.app.acl()?.require_any(&place.caller, &place.path(), needed)?)
    })
    .await?;
    Ok(Reply::value(prune_store(&app, &granted, prune).await?.to_string()))
}
