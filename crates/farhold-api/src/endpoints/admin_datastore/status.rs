//! Usage of a datastore, and the operations on it. Source: `docs/spec/rest-api.md` 12.2, 12.11.

use std::collections::BTreeMap;
use std::sync::Arc;

use farhold_datastore::Datastore;
use farhold_jobs::namespace_walk::NS_ANY;
use farhold_jobs::{App, Operation};
use farhold_rules::acl::{AclPath, AclTree, GroupAccess};
use farhold_types::{Authid, BackupType, MAX_NAMESPACE_DEPTH, Namespace, Privileges};
use serde_json::{Map, Value, json};

use super::BY_NAMESPACE;
use super::place::Place;
use crate::declare::{Access, Endpoint, Need, Reply, Request};
use crate::endpoints::blocking;
use crate::error::ApiError;
use crate::schema::named::{STORE, flag};
use crate::schema::{Field, Shape, shapes};

const COUNT: Shape = Shape::Nullable(&Shape::Object(&[
    Field::required("groups", Shape::Integer, "Groups that have snapshots"),
    Field::required("snapshots", Shape::Integer, "Snapshots"),
]));
/// Source: `docs/spec/rest-api.md` 12.2.
const STATUS: Shape = Shape::Object(&[
    Field::required("total", Shape::Integer, "Bytes of the file system; 0 if the caller may not see sizes"),
    Field::required("used", Shape::Integer, "Bytes of it that are in use"),
    Field::required("avail", Shape::Integer, "Bytes of it that can still be used"),
    Field::required("backend-type", shapes::BACKEND_TYPE, "Kind of the storage"),
    Field::optional(
        "counts",
        Shape::Object(&[
            Field::required("ct", COUNT, "Containers"),
            Field::required("host", COUNT, "Hosts"),
            Field::required("vm", COUNT, "Virtual machines"),
            Field::required("other", COUNT, "Anything else"),
        ]),
        "Numbers of backups by type; with verbose",
    ),
    Field::optional("gc-status", Shape::Object(shapes::GC_STATUS), "Last garbage collection; with verbose"),
]);
const OPERATIONS: Shape = Shape::Object(&[
    Field::required("read", Shape::Integer, "Operations that only read"),
    Field::required("write", Shape::Integer, "Operations that may write"),
]);

pub(super) fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/admin/datastore/{store}/status", "Show the usage of a datastore", status)
            .params(&[STORE, flag("verbose", "Include the number of backups and the last garbage collection")])
            .access(BY_NAMESPACE)
            .returns(STATUS),
        Endpoint::get(
            "/admin/datastore/{store}/active-operations",
            "Show how many operations work on a datastore",
            active_operations,
        )
        .params(&[STORE])
        .access(Access::Declared(Need::all(Privileges::DATASTORE_AUDIT, "/datastore/{store}")))
        .returns(OPERATIONS),
    ]
}

async fn status(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let is_verbose = request.params.boolean_or_default("verbose");
    blocking(move || {
        let acl = place.app.acl()?;
        let sees_sizes = Privileges::DATASTORE_AUDIT | Privileges::DATASTORE_BACKUP;
        let held = acl.privileges(&place.caller, &place.path()).all;
        let is_full = held.contains_any(sees_sizes);
        let may_call = is_full
            || held.contains_any(Privileges::DATASTORE_READ)
            || acl.has_any_below(&place.caller, &place.path(), NS_ANY);
        if !may_call {
            return Err(ApiError::forbidden("permission check failed"));
        }
        let datastore = place.open(Operation::Read)?;
        let space = if is_full { datastore.space()? } else { None };
        let mut data = json!({
            "total": space.map_or(0, |space| space.total_bytes),
            "used": space.map_or(0, |space| space.used_bytes),
            "avail": space.map_or(0, |space| space.available_bytes),
            "backend-type": "filesystem",
        });
        if is_verbose {
            data["counts"] = counts(&datastore, &acl, &place.caller)?;
            if is_full {
                data["gc-status"] = json!(datastore.gc_status()?);
            }
        }
        Ok(Reply::value(data))
    })
    .await
}

/// Numbers of one backup type.
#[derive(Default)]
struct Count {
    groups: u64,
    snapshots: u64,
}

/// Returns the numbers of groups and snapshots by type, as far as the caller may know of them.
fn counts(datastore: &Datastore, acl: &AclTree, caller: &Authid) -> Result<Value, ApiError> {
    let store_path = AclPath::datastore(datastore.name(), &Namespace::root());
    let counts_all = acl.require_any(caller, &store_path, Privileges::DATASTORE_AUDIT);
    let mut by_type: BTreeMap<BackupType, Count> = BTreeMap::new();
    for ns in datastore.namespaces(&Namespace::root(), MAX_NAMESPACE_DEPTH)? {
        let access = match &counts_all {
            Ok(proof) => GroupAccess::All(proof.clone()),
            Err(_) => {
                let path = AclPath::datastore(datastore.name(), &ns);
                let all = Privileges::DATASTORE_AUDIT | Privileges::DATASTORE_READ;
                match acl.full_or_owner(caller, &path, all, NS_ANY) {
                    Ok(access) => access,
                    Err(_) => continue,
                }
            }
        };
        // A namespace may go while the others are counted.
        let Ok(groups) = datastore.groups(&ns) else { continue };
        for info in groups.iter().filter(|info| access.covers(&info.owner)) {
            let Ok(snapshots) = datastore.snapshots(&ns, &info.group) else { continue };
            if !snapshots.is_empty() {
                let count = by_type.entry(info.group.backup_type).or_default();
                count.groups += 1;
                count.snapshots += snapshots.len() as u64;
            }
        }
    }
    let mut data = Map::new();
    for backup_type in BackupType::ALL {
        let count = by_type.get(&backup_type);
        let value = count.map(|count| json!({ "groups": count.groups, "snapshots": count.snapshots }));
        data.insert(backup_type.as_str().to_owned(), value.unwrap_or(Value::Null));
    }
    // The reference's fourth kind; no store has any.
    data.insert("other".to_owned(), Value::Null);
    Ok(data.into())
}

async fn active_operations(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let store = request.params.require("store")?;
    let (read, write) = blocking(move || Ok::<_, ApiError>(app.stores.active_operations(&store))).await?;
    Ok(Reply::value(json!({ "read": read, "write": write })))
}
