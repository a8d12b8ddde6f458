//! Protection from removal, and who owns a group. Source: `docs/spec/rest-api.md` 12.6.

use std::sync::Arc;

use farhold_datastore::DatastoreError;
use farhold_jobs::{App, Operation};
use farhold_rules::acl::GroupAccess;
use farhold_types::Authid;

use super::BY_NAMESPACE;
use super::groups::{CHANGE, LIST};
use super::place::{Place, group_of, snapshot_of};
use crate::declare::{Endpoint, Reply, Request};
use crate::endpoints::blocking;
use crate::error::ApiError;
use crate::schema::Shape;
use crate::schema::named::{AUTH_ID, BACKUP_ID, BACKUP_TIME, BACKUP_TYPE, NS, STORE, flag};

pub(super) fn endpoints() -> Vec<Endpoint<App>> {
    let snapshot = [STORE, NS, BACKUP_TYPE, BACKUP_ID, BACKUP_TIME];
    vec![
        Endpoint::get("/admin/datastore/{store}/protected", "Show whether a snapshot is protected", get_protected)
            .params(&snapshot)
            .access(BY_NAMESPACE)
            .returns(Shape::Boolean),
        Endpoint::put("/admin/datastore/{store}/protected", "Protect a snapshot from removal, or not", set_protected)
            .params(&snapshot)
            .params(&[flag("protected", "Whether the snapshot is to be protected").is_required()])
            .access(BY_NAMESPACE)
            .returns(Shape::Null),
        Endpoint::post("/admin/datastore/{store}/change-owner", "Change the owner of a backup group", change_owner)
            .params(&[STORE, NS, BACKUP_TYPE, BACKUP_ID])
            .params(&[AUTH_ID.named("new-owner").described("User or API token that is to own the group").is_required()])
            .access(BY_NAMESPACE)
            .returns(Shape::Null),
    ]
}

async fn get_protected(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let snapshot = snapshot_of(&request.params)?;
    blocking(move || {
        let datastore = place.open_group(&snapshot.group, LIST, Operation::Read)?;
        Ok::<_, ApiError>(Reply::value(datastore.is_protected(&place.ns, &snapshot)?))
    })
    .await
}

async fn set_protected(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let snapshot = snapshot_of(&request.params)?;
    let is_protected = request.params.boolean_or_default("protected");
    blocking(move || {
        let datastore = place.open_group(&snapshot.group, CHANGE, Operation::Write)?;
        datastore.set_protected(&place.ns, &snapshot, is_protected)?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

async fn change_owner(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let group = group_of(&request.params)?;
    let new_owner: Authid = request.params.require("new-owner")?;
    blocking(move || {
        let access = place.group_access(CHANGE)?;
        let datastore = place.open(Operation::Write)?;
        let recorded = || match datastore.owner(&place.ns, &group) {
            Ok(owner) => Ok(Some(owner)),
            // Otherwise nobody could give it one any more; the reference refuses.
            Err(DatastoreError::OwnerUnreadable { .. }) if matches!(access, GroupAccess::All(_)) => Ok(None),
            Err(error) => Err(error),
        };
        let owner = recorded()?;
        if let (GroupAccess::Owned(_), Some(owner)) = (&access, &owner)
            && !may_hand_over(&place.caller, owner, &new_owner)
        {
            return Err(ApiError::unauthorized(format!(
                "'{}' may not give group '{group}' of '{owner}' to '{new_owner}'",
                place.caller
            )));
        }
        check_active(&place.app, &new_owner)?;
        let lock = datastore.lock_group(&place.ns, &group)?;
        if recorded()? != owner {
            return Err(ApiError::bad_request("the owner was changed by somebody else"));
        }
        datastore.set_owner(&lock, &new_owner)?;
        Ok(Reply::null())
    })
    .await
}

/// Returns whether a user without `Datastore.Modify` may do this: hand groups around between itself and its tokens. A
/// change from the user to itself is none, and a token may hand over nothing.
fn may_hand_over(caller: &Authid, owner: &Authid, new_owner: &Authid) -> bool {
    let is_own = |authid: &Authid| authid.user() == caller.user();
    !caller.is_token() && is_own(owner) && is_own(new_owner) && (owner.is_token() || new_owner.is_token())
}

fn check_active(app: &App, authid: &Authid) -> Result<(), ApiError> {
    if app.settings.users().load()?.entries.is_active(authid, app.clock.now()) {
        return Ok(());
    }
    Err(ApiError::bad_request(format!("'{authid}' does not exist or is not active")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_hand_groups_around_between_themselves_and_their_tokens_only() {
        let allowed =
            [("a@pbs", "a@pbs!t1", "a@pbs!t2"), ("a@pbs", "a@pbs!t1", "a@pbs"), ("a@pbs", "a@pbs", "a@pbs!t1")];
        let refused = [
            ("a@pbs!t1", "a@pbs!t1", "a@pbs"),
            ("a@pbs", "a@pbs!t1", "b@pbs"),
            ("a@pbs", "b@pbs", "a@pbs"),
            ("a@pbs", "b@pbs!t1", "a@pbs!t1"),
        ];
        let may = |(caller, owner, new): (&str, &str, &str)| {
            may_hand_over(&caller.parse().unwrap(), &owner.parse().unwrap(), &new.parse().unwrap())
        };
        for case in allowed {
            assert!(may(case), "{case:?}");
        }
        for case in refused {
            assert!(!may(case), "{case:?}");
        }
    }
}
