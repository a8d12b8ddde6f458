//! [`App`] as the context of endpoints: who calls, and what callers may do.
//!
//! Source: `docs/spec/wire-protocol.md` 3, `docs/spec/rest-api.md` 3.

use std::net::SocketAddr;
use std::sync::Arc;

use farhold_access::{Access, Asker, AuthFailureReason, Credentials, HashSlot};
use farhold_jobs::App;
use farhold_rules::acl::{AclPath, AclTree, Granted};
use farhold_types::{Authid, Privileges};
use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, Method};

use crate::declare::{AuthFailure, CallHead, Context, Denied, Quantity};

/// Header of the anti-forgery token; names are compared without case.
const CSRF_HEADER: HeaderName = HeaderName::from_static("csrfpreventiontoken");

impl Context for App {
    type Granted = Granted;

    /// Returns whom the connection itself authenticates, or else whom ticket or token name.
    fn authenticate<'a>(&'a self, head: CallHead<'a>) -> BoxFuture<'a, Result<Authid, AuthFailure>> {
        if let Some(caller) = head.connection.trusted.clone() {
            return Box::pin(std::future::ready(Ok(caller)));
        }
        let authenticated = Presented::by(&head).authenticate(self.access.clone());
        let Some(peer) = head.connection.peer else { return Box::pin(authenticated) };
        let traffic = self.traffic.clone();
        Box::pin(async move {
            let caller = authenticated.await?;
            traffic.note_user(peer, caller.user());
            Ok(caller)
        })
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
                let snapshot = access.snapshot().map_err(|error| error.to_string())?;
                // Who authenticates over the network is active. On a trusted connection the superuser may act even
                // while its login is switched off.
                if !caller.is_root() && !snapshot.is_active(&caller) {
                    return Err(format!("'{caller}' is missing, disabled or expired"));
                }
                require(snapshot.acl(), &caller, &path, privileges, quantity)
            };
            match tokio::task::spawn_blocking(check).await {
                Ok(result) => result.map_err(|reason| Denied { reason }),
                Err(error) => Err(Denied { reason: format!("permission check was cut off: {error}") }),
            }
        })
    }
}

/// What a request presents, taken out of its head.
struct Presented {
    credentials: Credentials,
    is_get: bool,
    csrf_token: Option<String>,
    peer: Option<SocketAddr>,
}

impl Presented {
    fn by(head: &CallHead<'_>) -> Self {
        let text = |name| head.headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        Self {
            credentials: Credentials::from_headers(cookies(head.headers).into_iter(), text(AUTHORIZATION)),
            is_get: head.method == Method::GET,
            csrf_token: text(CSRF_HEADER).map(str::to_owned),
            peer: head.connection.peer,
        }
    }

    /// Returns who it is. A hash is computed only if needed, and only so many at once.
    async fn authenticate(self, access: Access) -> Result<Authid, AuthFailure> {
        let presented = Arc::new(self);
        if let Some(caller) = presented.clone().at_once(&access).await? {
            return Ok(caller);
        }
        // Whoever waited for a request with the same credentials mostly finds them verified.
        let turn = access.turn(&presented.credentials).await;
        if let Some(caller) = presented.clone().at_once(&access).await? {
            return Ok(caller);
        }
        let slot = match presented.clone().asker(&access).await? {
            Some(asker) => access.hash_slot(asker).await,
            None => None,
        };
        let check = move || {
            let result = match slot {
                Some(slot) => {
                    let csrf_token = presented.csrf_token.as_deref();
                    let result = access.authenticate(&presented.credentials, presented.is_get, csrf_token);
                    settle(slot, result.is_ok());
                    result
                }
                None => Err(too_many_checks(presented.who())),
            };
            // The turn is kept until here, also if the caller goes away meanwhile.
            drop(turn);
            result.map(|caller| caller.authid).map_err(|failure| refused(&access, presented.peer, &failure))
        };
        on_blocking_thread(check).await
    }

    /// Returns who it is if that can be told without computing a hash.
    async fn at_once(self: Arc<Self>, access: &Access) -> Result<Option<Authid>, AuthFailure> {
        let access = access.clone();
        on_blocking_thread(move || {
            let result = access.authenticate_at_once(&self.credentials, self.is_get, self.csrf_token.as_deref());
            let caller = result.map_err(|failure| refused(&access, self.peer, &failure))?;
            Ok(caller.map(|caller| caller.authid))
        })
        .await
    }

    /// Returns who asks for a hash; only API tokens do.
    async fn asker(self: Arc<Self>, access: &Access) -> Result<Option<Asker>, AuthFailure> {
        let access = access.clone();
        on_blocking_thread(move || {
            let tokenid = self.who().and_then(|who| who.parse().ok());
            Ok(tokenid.map(|tokenid| access.asker(self.peer.map(|peer| peer.ip()), &tokenid)))
        })
        .await
    }

    fn who(&self) -> Option<String> {
        match &self.credentials {
            Credentials::Token { tokenid, .. } => Some(tokenid.clone()),
            _ => None,
        }
    }
}

async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AuthFailure> + Send + 'static,
) -> Result<T, AuthFailure> {
    let cut_off = |error| AuthFailure { reason: format!("authentication was cut off: {error}") };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(cut_off(error)))
}

/// Returns the values of all `Cookie` headers that are text.
pub(crate) fn cookies(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all(COOKIE).iter().filter_map(|value| std::str::from_utf8(value.as_bytes()).ok()).collect()
}

/// Gives a slot back after a check.
pub(crate) fn settle(slot: HashSlot, was_right: bool) {
    if was_right {
        drop(slot);
    } else {
        slot.refused();
    }
}

/// Returns the failure of a caller for whom there was no room to check a password or secret.
pub(crate) fn too_many_checks(who: Option<String>) -> farhold_access::AuthFailure {
    farhold_access::AuthFailure { who, reason: AuthFailureReason::TooManyChecks }
}

/// Writes a refusal to the authentication log. Blocking.
pub(crate) fn log_refusal(access: &Access, peer: Option<SocketAddr>, failure: &farhold_access::AuthFailure) {
    if let Err(error) = access.log_failure(peer, failure) {
        tracing::error!("authentication log cannot be written: {error}");
    }
}

fn refused(access: &Access, peer: Option<SocketAddr>, failure: &farhold_access::AuthFailure) -> AuthFailure {
    log_refusal(access, peer, failure);
    AuthFailure { reason: failure.log_text() }
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
