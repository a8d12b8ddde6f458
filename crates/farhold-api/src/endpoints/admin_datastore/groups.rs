//! Backup groups. Source: `docs/spec/rest-api.md` 12.4.

use std::sync::Arc;

use farhold_jobs::{App, Operation};
use farhold_types::{GroupItem, Privileges};

use super::BY_NAMESPACE;
use super::namespaces::ERROR_ON_PROTECTED;
use super::place::{Own, Place, group_of};
use crate::declare::{Endpoint, Reply, Request};
use crate::endpoints::blocking;
use crate::error::ApiError;
use crate::schema::named::{BACKUP_ID, BACKUP_TYPE, NS, STORE};
use crate::schema::{Shape, shapes};

/// What listing needs.
pub(super) const LIST: Own = Own { full: Privileges::DATASTORE_AUDIT, part: Privileges::DATASTORE_BACKUP };

/// What removing needs.
pub(super) const REMOVE: Own = Own { full: Privileges::DATASTORE_MODIFY, part: Privileges::DATASTORE_PRUNE };

/// What changing notes, protection and owners needs.
pub(super) const CHANGE: Own = Own { full: Privileges::DATASTORE_MODIFY, part: Privileges::DATASTORE_BACKUP };

pub(super) fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/admin/datastore/{store}/groups", "List the backup groups of a namespace", list)
            .params(&[STORE, NS])
            .access(BY_NAMESPACE)
            .returns(Shape::List(&shapes::GROUP_ITEM)),
        Endpoint::delete("/admin/datastore/{store}/groups", "Remove a backup group with its snapshots", remove)
            .params(&[STORE, NS, BACKUP_TYPE, BACKUP_ID, ERROR_ON_PROTECTED])
            .access(BY_NAMESPACE)
            .returns(shapes::REMOVED),
    ]
}

async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    blocking(move || {
        let access = place.group_access(LIST)?;
        let datastore = place.open(Operation::Read)?;
        let groups = datastore.groups(&place.ns)?;
        let reachable = groups.iter().filter(|info| access.covers(&info.owner));
        // A group may go while the others are listed.
        let items: Vec<GroupItem> =
            reachable.filter_map(|info| datastore.group_item(&place.ns, &info.group).ok()).collect();
        Reply::json(&items)
    })
    .await
}

async fn remove(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let group = group_of(&request.params)?;
    let fails_on_protected = request.params.boolean_or_default("error-on-protected");
    blocking(move || {
        let datastore = place.open_group(&group, REMOVE, Operation::Write)?;
        let statistics = datastore.remove_group(&place.ns, &group)?;
        if 0 < statistics.protected_snapshots && fails_on_protected {
            return Err(ApiError::bad_request(format!(
                "removed only in part: {} protected snapshots had to stay",
                statistics.protected_snapshots
            )));
        }
        Reply::json(&statistics)
    })
    .await
}
