//! Namespaces of a datastore. Source: `docs/spec/rest-api.md` 12.3.

use std::sync::Arc;

use farhold_datastore::RemoveGroups;
use farhold_jobs::{App, Operation};
use farhold_rules::acl::{AclPath, Granted};
use farhold_types::{MAX_NAMESPACE_DEPTH, Namespace, NamespaceItem, Privileges, is_safe_id};

use super::BY_NAMESPACE;
use super::place::{Place, may_know};
use crate::declare::{Access, Endpoint, Reply, Request};
use crate::endpoints::blocking;
use crate::endpoints::errors::forbidden;
use crate::error::ApiError;
use crate::schema::named::{MAX_DEPTH, NS, STORE, flag};
use crate::schema::{DefaultValue, Param, ParamKind, Shape, shapes};

const PARENT: Param = NS.named("parent").described("Namespace to start from");

const NAME: Param = Param::required(
    "name",
    ParamKind::Text { min_length: 1, max_length: Some(32), check: Some(name), hint: "<string>" },
    "Name of the new namespace, without its parent",
);

/// Access of changes: `Datastore.Modify` on the parent.
const ON_PARENT: Access = Access::InHandler("Datastore.Modify on the parent namespace");

pub(super) const ERROR_ON_PROTECTED: Param =
    flag("error-on-protected", "Fail if protected snapshots have to stay").or_default(DefaultValue::Boolean(true));

fn name(text: &str) -> Result<(), String> {
    if is_safe_id(text) { Ok(()) } else { Err("value is no name of a namespace".to_owned()) }
}

pub(super) fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/admin/datastore/{store}/namespace", "List the namespaces of a datastore", list)
            .params(&[STORE, PARENT, MAX_DEPTH])
            .access(BY_NAMESPACE)
            .returns(Shape::List(&shapes::NAMESPACE_ITEM)),
        Endpoint::post("/admin/datastore/{store}/namespace", "Create a namespace", create)
            .params(&[STORE, PARENT, NAME])
            .access(ON_PARENT)
            .returns(shapes::NAMESPACE),
        Endpoint::delete("/admin/datastore/{store}/namespace", "Remove a namespace and those below it", remove)
            .params(&[
                STORE,
                NS.is_required(),
                flag("delete-groups", "Also remove the backup groups in it"),
                ERROR_ON_PROTECTED,
            ])
            .access(ON_PARENT)
            .returns(shapes::REMOVED),
    ]
}

async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::with_ns(app, &request, "parent")?;
    let max_depth = request.params.integer_or_default("max-depth").and_then(|depth| usize::try_from(depth).ok());
    blocking(move || {
        // Before any permission: an unknown store is the same error for everybody.
        let datastore = place.open(Operation::Read)?;
        let acl = place.app.acl()?;
        let mut found = datastore.namespaces(&place.ns, max_depth.unwrap_or(MAX_NAMESPACE_DEPTH))?;
        found.retain(|ns| may_know(&acl, &place.caller, &place.store, ns));
        if found.is_empty() && !may_know(&acl, &place.caller, &place.store, &place.ns) {
            return Err(ApiError::forbidden("permission check failed"));
        }
        let items: Vec<_> = found.into_iter().map(|ns| NamespaceItem { ns, comment: None }).collect();
        Reply::json(&items)
    })
    .await
}

/// Checks that the caller may change what namespaces are below `parent`.
pub(super) fn require_modify(place: &Place, parent: &Namespace) -> Result<Granted, ApiError> {
    let path = AclPath::datastore(&place.store, parent);
    let proof = place.app.acl()?.require_all(&place.caller, &path, Privileges::DATASTORE_MODIFY);
    proof.map_err(|denied| forbidden(&denied))
}

async fn create(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::with_ns(app, &request, "parent")?;
    let name: String = request.params.require("name")?;
    blocking(move || {
        let created = place.ns.child(&name).map_err(|error| ApiError::from_chain(&error))?;
        require_modify(&place, &place.ns)?;
        place.open(Operation::Write)?.create_namespace(&created)?;
        Ok::<_, ApiError>(Reply::value(created.to_string()))
    })
    .await
}

async fn remove(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let removes_groups = request.params.boolean_or_default("delete-groups");
    let fails_on_protected = request.params.boolean_or_default("error-on-protected");
    blocking(move || {
        let Some(parent) = place.ns.parent() else {
            return Err(ApiError::bad_request("the root namespace cannot be removed"));
        };
        require_modify(&place, &parent)?;
        let datastore = place.open(Operation::Write)?;
        if removes_groups && !datastore.namespace_exists(&place.ns)? {
            return Err(ApiError::bad_request(format!("namespace '{}' does not exist", place.ns)));
        }
        let groups = if removes_groups { RemoveGroups::Yes } else { RemoveGroups::No };
        let removal = datastore.remove_namespace(&place.ns, groups)?;
        let protected = removal.statistics.protected_snapshots;
        if 0 < protected && fails_on_protected {
            return Err(ApiError::bad_request(format!(
                "removed only in part: {protected} protected snapshots had to stay"
            )));
        }
        if !removes_groups && !removal.remaining.is_empty() {
            return Err(ApiError::bad_request("removed only in part: there are groups, and delete-groups is not set"));
        }
        Reply::json(&removal.statistics)
    })
    .await
}
