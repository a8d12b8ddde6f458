//! The list of datastores. Source: `docs/spec/rest-api.md` 12.1.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::namespace_walk::NS_ANY;
use farhold_rules::acl::{AclPath, AclTree};
use farhold_settings::DatastoreConfig;
use farhold_types::{Authid, Namespace, Privileges};
use serde_json::{Value, json};

use crate::declare::{Access, Endpoint, Reply, Request};
use crate::endpoints::blocking;
use crate::error::ApiError;
use crate::schema::{Field, Shape, shapes};

const STORES: Shape = Shape::List(&Shape::Object(&[
    Field::required("store", shapes::STORE, "Name of the datastore"),
    Field::required("comment", Shape::Nullable(&shapes::TEXT), "Comment, if the caller may see it"),
    Field::required("mount-status", shapes::MOUNT_STATUS, "Whether its device is mounted"),
    Field::optional("maintenance", shapes::PROPERTY_STRING, "How far its use is restricted"),
    Field::required("backend-type", shapes::BACKEND_TYPE, "Kind of its storage"),
]));

pub(super) fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/admin/datastore", "List the datastores that the caller may reach", list)
            .access(Access::InHandler("lists datastores with a privilege on them or inside of them"))
            .returns(STORES),
    ]
}

async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    blocking(move || {
        let acl = app.acl()?;
        let stores = app.settings.datastores().load()?.entries;
        let items: Vec<Value> = stores.usable().filter_map(|store| item(&app, &acl, &caller, store)).collect();
        Ok::<_, ApiError>(Reply::value(items))
    })
    .await
}

/// Returns the item of a datastore, if the caller may know of it. The store is not opened.
fn item(app: &App, acl: &AclTree, caller: &Authid, store: &DatastoreConfig) -> Option<Value> {
    let path = AclPath::datastore(&store.name, &Namespace::root());
    let listed = Privileges::DATASTORE_AUDIT | Privileges::DATASTORE_BACKUP;
    let is_listed = acl.privileges(caller, &path).all.contains_any(listed);
    if !is_listed && !acl.has_any_below(caller, &path, NS_ANY) {
        return None;
    }
    let mut item = json!({
        "store": store.name,
        "comment": store.comment.as_deref().filter(|_| is_listed),
        "mount-status": app.stores.mount_status(store).as_str(),
        "backend-type": if store.is_s3() { "s3" } else { "filesystem" },
    });
    if let (Some(mode), Some(item)) = (&store.maintenance_mode, item.as_object_mut()) {
        item.insert("maintenance".to_owned(), json!(mode));
    }
    Some(item)
}
