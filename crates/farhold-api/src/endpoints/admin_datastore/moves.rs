//! Moving groups and namespaces within a datastore. Source: `docs/spec/rest-api.md` 12.3 and 12.4.

use std::sync::Arc;

use farhold_datastore::Merge;
use farhold_jobs::moves::{
    EmptiedNamespaces, GroupMoveRequest, MoveRequestError, NamespaceMoveRequest, move_group, move_namespace,
};
use farhold_jobs::{App, Operation};
use farhold_rules::acl::{Granted, GroupAccess};
use farhold_types::Namespace;

use super::BY_NAMESPACE;
use super::groups::{CHANGE, REMOVE};
use super::namespaces::require_modify;
use super::place::{Place, group_of};
use crate::declare::{Access, Answer, Endpoint, Reply, Request};
use crate::endpoints::blocking;
use crate::error::ApiError;
use crate::schema::named::{BACKUP_ID, BACKUP_TYPE, MAX_DEPTH_REDUCED, NS, STORE, flag};
use crate::schema::{DefaultValue, Param, Params};

const TARGET_NS: Param = NS.named("target-ns").described("Namespace to move to");

impl From<MoveRequestError> for ApiError {
    fn from(error: MoveRequestError) -> Self {
        Self::from_chain(&error)
    }
}

/// Returns a flag that is set unless the caller says otherwise.
const fn usually(name: &'static str, description: &'static str) -> Param {
    flag(name, description).or_default(DefaultValue::Boolean(true))
}

pub(super) fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::post(
            "/admin/datastore/{store}/move-group",
            "Move a backup group to another namespace",
            move_one_group,
        )
        .params(&[STORE, NS, BACKUP_TYPE, BACKUP_ID, TARGET_NS])
        .params(&[usually("merge-group", "Allow to add to an existing group whose snapshots are all older")])
        .access(BY_NAMESPACE)
        .answer(Answer::Task),
        Endpoint::post(
            "/admin/datastore/{store}/move-namespace",
            "Move a namespace with its backup groups",
            move_whole_namespace,
        )
        .params(&[STORE, NS.is_required(), TARGET_NS.is_required(), MAX_DEPTH_REDUCED])
        .params(&[
            usually("delete-source", "Remove namespaces that are empty then"),
            usually("merge-groups", "Allow to add to existing groups whose snapshots are all older"),
        ])
        .access(Access::InHandler("Datastore.Modify on the parent namespaces of both"))
        .answer(Answer::Task),
    ]
}

fn merge(params: &Params, name: &str) -> Merge {
    if params.boolean_or_default(name) { Merge::Allowed } else { Merge::Refused }
}

async fn move_one_group(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(Arc::clone(&app), &request)?;
    let group = group_of(&request.params)?;
    let target: Namespace = request.params.parse("target-ns")?.unwrap_or_default();
    let merge = merge(&request.params, "merge-group");
    let (granted, checked) = blocking(move || {
        let here = place.group_access(REMOVE)?;
        let there = Place { ns: target.clone(), ..place.clone() }.group_access(CHANGE)?;
        let store = place.open(Operation::Write)?;
        for access in [&here, &there] {
            place.require_group(&store, &group, access)?;
        }
        let (GroupAccess::All(granted) | GroupAccess::Owned(granted)) = here;
        Ok::<_, ApiError>((granted, GroupMoveRequest::check(store, place.ns, group, target, merge)?))
    })
    .await?;
    Ok(Reply::value(move_group(&app, &granted, checked).await?.to_string()))
}

async fn move_whole_namespace(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(Arc::clone(&app), &request)?;
    let target: Namespace = request.params.parse("target-ns")?.unwrap_or_default();
    let max_depth = request.params.integer_as("max-depth")?;
    let merge = merge(&request.params, "merge-groups");
    let emptied = match request.params.boolean_or_default("delete-source") {
        true => EmptiedNamespaces::Remove,
        false => EmptiedNamespaces::Keep,
    };
    let (granted, checked) = blocking(move || {
        let granted = require_modify_of_parents(&place, &target)?;
        let store = place.open(Operation::Write)?;
        let checked = NamespaceMoveRequest::check(store, (place.ns, target), max_depth, merge, emptied)?;
        Ok::<_, ApiError>((granted, checked))
    })
    .await?;
    Ok(Reply::value(move_namespace(&app, &granted, checked).await?.to_string()))
}

/// Checks that the caller may take the namespace away and put it to `target`. The root has no parent and cannot move.
fn require_modify_of_parents(place: &Place, target: &Namespace) -> Result<Granted, ApiError> {
    let (Some(parent), Some(target_parent)) = (place.ns.parent(), target.parent()) else {
        return Err(ApiError::bad_request("the root namespace cannot be moved or replaced"));
    };
    require_modify(place, &target_parent)?;
    require_modify(place, &parent)
}
