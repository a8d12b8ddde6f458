//! Pushing: which ends a push has, and the engine's calls with them.
//!
//! What the job's owner may do on the remote is asked at run time, of this server's own lists: what the remote allows
//! its account is the remote's business. Source: `docs/spec/sync.md` 3.4, 10 and 11.

use std::sync::Arc;

use farhold_access::AccessSnapshot;
use farhold_client::{Client, ClientError};
use farhold_rules::peer_version::{PeerVersion, PeerVersionError};
use farhold_sync::{EventSink, Explanation, LocalSource, RemoteTarget, RunPlan, SyncError, SyncOptions, SyncReport};
use farhold_types::{Namespace, RemoteName, Snapshot};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::remotes::run_client;
use crate::rights::{AclRights, RemoteAclRights};
use crate::stores::{Operation, StoreHandle};
use crate::sync_request::SyncRequest;
use crate::sync_run::SyncRunError;

/// Why a remote cannot be pushed to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PushPeerError {
    /// It does not answer, or refuses the login.
    #[error("remote '{name}' cannot be reached")]
    Unreachable {
        /// The remote.
        name: RemoteName,
        /// Why.
        #[source]
        source: Box<ClientError>,
    },
    /// Its version does not do.
    #[error(transparent)]
    Version(#[from] PeerVersionError),
}

/// The ends of a push, opened.
pub(crate) struct Push {
    source: Arc<LocalSource>,
    target: Arc<RemoteTarget>,
    rights: Arc<RemoteAclRights>,
    client: Client,
    remote: RemoteName,
    /// Counts the reading.
    _store: StoreHandle,
}

impl Push {
    /// Opens both ends. Nothing is asked of the remote yet. Blocking.
    pub(crate) fn open(
        app: &App,
        access: AccessSnapshot,
        request: &SyncRequest,
        remote: &RemoteName,
    ) -> Result<Self, SyncRunError> {
        let (client, config) = run_client(app, remote, &request.limits, request.throttles(app))?;
        let store = app.stores.open(&request.store, Operation::Read)?;
        if !store.namespace_exists(&request.ns)? {
            return Err(SyncRunError::NoSourceNamespace { store: request.store.clone(), ns: request.ns.clone() });
        }
        let source_rights = AclRights::new(access.clone(), request.owner.clone(), request.store.clone());
        let source = LocalSource::new(store.clone(), Arc::new(source_rights));
        let target = RemoteTarget::new(client.clone(), request.remote_store.clone(), config.auth_id);
        let (owner, remote_store) = (request.owner.clone(), request.remote_store.clone());
        let rights = Arc::new(RemoteAclRights::new(access, owner, remote.clone(), remote_store));
        let (source, target) = (Arc::new(source), Arc::new(target));
        Ok(Self { source, target, rights, client, remote: remote.clone(), _store: store })
    }

    /// Asks the remote for its version, once: the first thing of a push, with which the login is tried, too. Whoever
    /// waits for the answer can ask again; a task has more patience.
    pub(crate) async fn check_peer(&self) -> Result<(), PushPeerError> {
        let unreachable = |error| PushPeerError::Unreachable { name: self.remote.clone(), source: Box::new(error) };
        let found = self.client.with_single_attempts().version().await.map_err(unreachable)?;
        Ok(PeerVersion::parse(&found.version, &found.release)?.check_push()?)
    }

    pub(crate) async fn run(
        &self,
        options: SyncOptions,
        events: Arc<dyn EventSink>,
        cancel: CancellationToken,
    ) -> Result<SyncReport, SyncError> {
        let (source, target) = (Arc::clone(&self.source), Arc::clone(&self.target));
        farhold_sync::push(options, source, target, Arc::clone(&self.rights) as _, events, cancel).await
    }

    pub(crate) async fn plan(&self, options: SyncOptions, cancel: CancellationToken) -> Result<RunPlan, SyncError> {
        let (source, target) = (Arc::clone(&self.source), Arc::clone(&self.target));
        farhold_sync::plan_push(options, source, target, Arc::clone(&self.rights) as _, cancel).await
    }

    pub(crate) async fn explain(
        &self,
        options: SyncOptions,
        ns: &Namespace,
        snapshot: &Snapshot,
        cancel: CancellationToken,
    ) -> Result<Explanation, SyncError> {
        let (source, target) = (Arc::clone(&self.source), Arc::clone(&self.target));
        let rights = Arc::clone(&self.rights) as _;
        farhold_sync::explain_push(options, source, target, rights, ns, snapshot, cancel).await
    }
}
