//! [`App`] as the context of endpoints: who calls, and what callers may do.

use farhold_jobs::App;
use farhold_rules::acl::{AclPath, AclTree, Granted};
use farhold_types::{Authid, Privileges};
use futures::future::BoxFuture;

use crate::declare::{AuthFailure, CallHead, Context, Denied, Quantity};

impl Context for App {
    type Granted = Granted;

    /// Knows only connections that authenticate their caller by themselves, such as the Unix socket.
    fn authenticate<'a>(&'a self, head: CallHead<'a>) -> BoxFuture<'a, Result<Authid, AuthFailure>> {
        let caller = head.connection.trusted.clone();
        Box::pin(async move { caller.ok_or_else(|| AuthFailure { reason: "no trusted connection".to_owned() }) })
    }

    fn require<'a>(
        &'a self,
        caller: &'a Authid,
        path: &'a str,
        privileges: Privileges,
        quantity: Quantity,
    ) -> BoxFuture<'a, Result<Granted, Denied>> {
        let (access, caller, path) = (self.access.clone(), caller.clone(), path.to_owned());
        Box::pin(async move {
            let check = move || {
                let tree = access.acl().map_err(|error| error.to_string())?;
                require(&tree, &caller, &path, privileges, quantity)
            };
            match tokio::task::spawn_blocking(check).await {
                Ok(result) => result.map_err(|reason| Denied { reason }),
                Err(error) => Err(Denied { reason: format!("permission check was cut off: {error}") }),
            }
        })
    }
}

/// Checks a permission on a path whose variables come from a request.
///
/// A component that is no name has no entries of its own, so what propagates from above decides. The call then fails
/// by its parameter check; callers without permission do not get that far.
fn require(
    tree: &AclTree,
    caller: &Authid,
    path: &str,
    privileges: Privileges,
    quantity: Quantity,
) -> Result<Granted, String> {
    let (place, is_whole) = known_part(path);
    let propagated = tree.privileges(caller, &place).propagated;
    let proof = match quantity {
        Quantity::All => tree.require_all(caller, &place, privileges),
        Quantity::Any => tree.require_any(caller, &place, privileges),
    };
    let reaches_below = match quantity {
        Quantity::All => propagated.contains_all(privileges),
        Quantity::Any => propagated.contains_any(privileges),
    };
    if is_whole || reaches_below {
        return proof.map_err(|denied| denied.to_string());
    }
    Err(format!("'{caller}' has nothing on {place} that propagates to {path:?}"))
}

/// Returns the longest beginning of `path` that is a path, and whether it is all of it.
fn known_part(path: &str) -> (AclPath, bool) {
    if let Ok(whole) = path.parse() {
        return (whole, true);
    }
    let mut rest = path;
    while let Some((before, _)) = rest.rsplit_once('/') {
        if let Ok(place) = before.parse() {
            return (place, false);
        }
        rest = before;
    }
    (AclPath::root(), false)
}

#[cfg(test)]
mod tests {
    use farhold_types::Role;

    use super::*;

    #[test]
    fn a_path_with_a_component_that_is_no_name_is_judged_by_what_propagates() {
        let alice: Authid = "alice@pbs".parse().unwrap();
        let mut tree = AclTree::new();
        tree.set(&["datastore"], alice.clone(), Role::DatastoreAudit, true);
        let audit = Privileges::DATASTORE_AUDIT;
        for quantity in [Quantity::All, Quantity::Any] {
            assert!(require(&tree, &alice, "/datastore/golden", audit, quantity).is_ok());
            assert!(require(&tree, &alice, "/datastore/no name", audit, quantity).is_ok());
            assert!(require(&tree, &Authid::root(), "/datastore/no name", audit, quantity).is_ok());
            assert!(require(&tree, &alice, "/remote/no name", audit, quantity).is_err());
        }
        tree.set(&["datastore"], alice.clone(), Role::DatastoreAudit, false);
        assert!(require(&tree, &alice, "/datastore", audit, Quantity::All).is_ok());
        for quantity in [Quantity::All, Quantity::Any] {
            assert!(require(&tree, &alice, "/datastore/no name", audit, quantity).is_err());
            assert!(require(&tree, &alice, "/datastore/golden", audit, quantity).is_err());
        }
    }
}
