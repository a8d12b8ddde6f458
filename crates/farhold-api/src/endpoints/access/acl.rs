//! `/access/acl`, `/access/roles` and `/access/permissions`.

use std::collections::BTreeMap;
use std::sync::Arc;

use farhold_access::{AclAction, AclChange};
use farhold_jobs::App;
use farhold_rules::acl::{AclPath, Effective};
use farhold_settings::{AclEntry, AclSubject};
use farhold_types::{Authid, Role};
use serde_json::{Value, json};

use super::super::blocking;
use super::owned;
use crate::declare::{Access, CONFIG_DIGEST, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{DefaultValue, Field, Param, ParamKind, Shape, named, shapes};

pub(super) const OPTIONAL_PATH: Param = Param::optional("path", named::ACL_PATH.kind, named::ACL_PATH.description);
const EXACT: Param = named::flag("exact", "Only entries of the path itself");
const ROLE: Param = Param::required(
    "role",
    ParamKind::Text { min_length: 1, max_length: Some(64), check: Some(is_role), hint: "<role>" },
    "Name of the role",
);
const GROUP: Param = Param::optional(
    "group",
    ParamKind::Text { min_length: 3, max_length: Some(64), check: Some(is_group), hint: "<string>" },
    "Group of users; not supported",
);
const PROPAGATE: Param =
    named::flag("propagate", "Whether the role counts below the path too").or_default(DefaultValue::Boolean(true));
const DELETE: Param = named::flag("delete", "Remove the entry instead of adding it");

const ENTRIES: Shape = Shape::List(&Shape::Object(&[
    Field::required("path", Shape::Text("access control path"), "Where the entry stands"),
    Field::required("ugid", shapes::AUTHID, "Whom it is for"),
    Field::required("ugid_type", Shape::Word(&["user", "group"]), "Whether it is for a user or token, or a group"),
    Field::required("propagate", Shape::Boolean, "Whether it counts below the path too"),
    Field::required("roleid", Shape::Text("role"), "Role that it gives"),
]));
const ROLES: Shape = Shape::List(&Shape::Object(&[
    Field::required("roleid", Shape::Text("role"), "Name of the role"),
    Field::required("privs", Shape::List(&Shape::Text("privilege")), "Privileges that it gives"),
    Field::required("comment", shapes::TEXT, "What it is for"),
]));
/// By path, then by privilege: whether it propagates.
const HELD: Shape = Shape::Map(&Shape::Map(&Shape::Boolean));

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/access/acl", "List access control entries", list)
            .params(&[OPTIONAL_PATH, EXACT])
            .access(Access::InHandler("All with Sys.Audit on /access/acl; users see entries of their own tokens"))
            .returns(ENTRIES)
            .attributes(CONFIG_DIGEST),
        Endpoint::put("/access/acl", "Add or remove an access control entry", update)
            .params(&[named::ACL_PATH, ROLE, named::AUTH_ID, GROUP, PROPAGATE, DELETE, named::DIGEST])
            .access(Access::InHandler(
                "Permissions.Modify on /access/acl; users may change entries of their own tokens without it",
            ))
            .returns(Shape::Null),
        Endpoint::get("/access/roles", "List roles", roles).returns(ROLES),
        Endpoint::get("/access/permissions", "Show what a user or API token may do", permissions)
            .params(&[named::AUTH_ID, OPTIONAL_PATH])
            .access(Access::InHandler("One's own and those of one's tokens; others with Sys.Audit on /access"))
            .returns(HELD),
    ]
}

fn is_role(text: &str) -> Result<(), String> {
    let names = || Role::ALL.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
    text.parse::<Role>().map(drop).map_err(|_| format!("no such role, expected one of {}", names()))
}

fn is_group(text: &str) -> Result<(), String> {
    let is_forbidden = |c: char| c.is_whitespace() || c.is_control() || c == ':' || c == '/';
    if text.chars().any(is_forbidden) {
        return Err("group may not contain blanks, ':', '/' or control characters".to_owned());
    }
    Ok(())
}

fn item(entry: &AclEntry) -> Value {
    let (ugid, kind) = match &entry.subject {
        AclSubject::Authid(authid) => (authid.to_string(), "user"),
        AclSubject::Group(name) => (name.clone(), "group"),
    };
    json!({
        "path": entry.path_text(),
        "ugid": ugid,
        "ugid_type": kind,
        "propagate": entry.is_propagated,
        "roleid": entry.role.as_str(),
    })
}

async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let below: Option<AclPath> = request.params.parse("path")?;
    let is_exact = request.params.boolean_or_default("exact");
    blocking(move || {
        let (mut entries, digest) = app.access.visible_acl(&caller, below.as_ref())?;
        if is_exact {
            let path = below.unwrap_or_else(AclPath::root);
            entries.retain(|entry| entry.path == path.components());
        }
        let items: Vec<Value> = entries.iter().map(item).collect();
        Ok::<_, ApiError>(Reply::value(items).with_digest(&digest))
    })
    .await
}

async fn update(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let (caller, params) = (request.caller()?.clone(), request.params);
    let change = AclChange {
        path: params.require("path")?,
        role: params.require("role")?,
        authid: params.parse("auth-id")?,
        group: owned(&params, "group"),
        action: if params.boolean_or_default("delete") {
            AclAction::Remove
        } else {
            AclAction::Set { is_propagated: params.boolean_or_default("propagate") }
        },
    };
    let digest = params.parse("digest")?;
    blocking(move || app.access.change_acl(&caller, change, digest)).await?;
    Ok(Reply::null())
}

async fn roles(_app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    let item = |role: &Role| {
        let privileges: Vec<&str> = role.privileges().names().collect();
        json!({ "roleid": role.as_str(), "privs": privileges, "comment": comment(*role) })
    };
    Ok(Reply::value(Role::ALL.iter().map(item).collect::<Vec<_>>()))
}

/// Returns what a role is for.
const fn comment(role: Role) -> &'static str {
    match role {
        Role::Admin => "May do everything",
        Role::NoAccess => "Takes away what is inherited from above",
        Role::Audit => "Sees the system and its datastores",
        Role::DatastoreAdmin => "May do everything in existing datastores",
        Role::DatastoreReader => "Sees, verifies and restores all backups",
        Role::DatastoreBackup => "Creates and restores own backups",
        Role::DatastorePowerUser => "Creates, restores and prunes own backups",
        Role::DatastoreAudit => "Sees datastores and their backups",
        Role::RemoteAudit => "Sees remotes",
        Role::RemoteAdmin => "Manages remotes and pulls from them",
        Role::RemoteSyncOperator => "Pulls from remotes",
        Role::RemoteSyncPushOperator => "Pushes to remotes",
        Role::RemoteDatastorePowerUser => "Pushes to remotes and prunes own backups there",
        Role::RemoteDatastoreAdmin => "Pushes to remotes and manages their datastores",
        Role::TapeAudit => "Sees tapes",
        Role::TapeAdmin => "Manages tapes",
        Role::TapeOperator => "Reads and writes tapes",
        Role::TapeReader => "Reads tapes",
    }
}

async fn permissions(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let authid: Authid = request.params.parse("auth-id")?.unwrap_or_else(|| caller.clone());
    let path: Option<AclPath> = request.params.parse("path")?;
    blocking(move || {
        if !app.access.may_see_permissions(&caller, &authid)? {
            return Err(ApiError::bad_request(format!("not allowed to see the permissions of '{authid}'")));
        }
        let held = app.access.permissions(&authid, path.as_ref())?;
        let paths: BTreeMap<String, BTreeMap<&str, bool>> =
            held.into_iter().map(|(path, effective)| (path, by_privilege(effective))).collect();
        Reply::json(&paths)
    })
    .await
}

/// Returns each held privilege with whether it propagates.
pub(super) fn by_privilege(effective: Effective) -> BTreeMap<&'static str, bool> {
    let propagated: Vec<&str> = effective.propagated.names().collect();
    effective.all.names().map(|name| (name, propagated.contains(&name))).collect()
}
