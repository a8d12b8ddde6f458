//! Pulling: which ends a pull has, and the engine's calls with them.
//!
//! What the job's owner may do on the target is asked at run time. Source: `docs/spec/sync.md` 3.4 and 4 to 9.

use std::sync::Arc;

use farhold_access::AccessSnapshot;
use farhold_sync::{
    EventSink, Explanation, LocalSource, LocalTarget, RemoteSource, RunPlan, SyncError, SyncOptions, SyncReport,
};
use farhold_types::{Namespace, RemoteName, Snapshot};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::remotes::run_client;
use crate::rights::AclRights;
use crate::stores::{Operation, StoreHandle};
use crate::sync_request::SyncRequest;
use crate::sync_run::SyncRunError;

/// Where a pull reads from.
enum Origin {
    Remote(Arc<RemoteSource>),
    Local {
        source: Arc<LocalSource>,
        /// Counts the reading.
        _store: StoreHandle,
    },
}

/// The ends of a pull, opened.
pub(crate) struct Pull {
    origin: Origin,
    target: Arc<LocalTarget>,
    rights: Arc<AclRights>,
    /// Counts the writing.
    _store: StoreHandle,
}

impl Pull {
    /// Opens both ends. Nothing is asked of the remote yet. Blocking.
    pub(crate) fn open(
        app: &App,
        access: AccessSnapshot,
        request: &SyncRequest,
        remote: Option<&RemoteName>,
    ) -> Result<Self, SyncRunError> {
        let origin = match remote {
            Some(remote) => {
                let (client, remote) = run_client(app, remote, &request.limits, request.throttles(app))?;
                let source = RemoteSource::new(client, request.remote_store.clone(), remote.auth_id);
                Origin::Remote(Arc::new(source))
            }
            None => {
                let source = app.stores.open(&request.remote_store, Operation::Read)?;
                let rights = AclRights::new(access.clone(), request.owner.clone(), request.remote_store.clone());
                Origin::Local { source: Arc::new(LocalSource::new(source.clone(), Arc::new(rights))), _store: source }
            }
        };
        let store = app.stores.open(&request.store, Operation::Write)?;
        // The target holds the store's process lock: garbage collection keeps every chunk that is touched from here on.
        let target = LocalTarget::open(store.clone())
            .map_err(|source| SyncRunError::Lock { name: request.store.clone(), source })?;
        let rights = AclRights::new(access, request.owner.clone(), request.store.clone());
        Ok(Self { origin, target: Arc::new(target), rights: Arc::new(rights), _store: store })
    }

    pub(crate) async fn run(
        &self,
        options: SyncOptions,
        events: Arc<dyn EventSink>,
        cancel: CancellationToken,
    ) -> Result<SyncReport, SyncError> {
        let (target, rights) = (Arc::clone(&self.target), Arc::clone(&self.rights));
        match &self.origin {
            Origin::Remote(source) => {
                farhold_sync::run(options, Arc::clone(source), target, rights, events, cancel).await
            }
            Origin::Local { source, .. } => {
                farhold_sync::run(options, Arc::clone(source), target, rights, events, cancel).await
            }
        }
    }

    pub(crate) async fn plan(&self, options: SyncOptions, cancel: CancellationToken) -> Result<RunPlan, SyncError> {
        let (target, rights) = (Arc::clone(&self.target), Arc::clone(&self.rights));
        match &self.origin {
            Origin::Remote(source) => farhold_sync::plan(options, Arc::clone(source), target, rights, cancel).await,
            Origin::Local { source, .. } => {
                farhold_sync::plan(options, Arc::clone(source), target, rights, cancel).await
            }
        }
    }

    pub(crate) async fn explain(
        &self,
        options: SyncOptions,
        ns: &Namespace,
        snapshot: &Snapshot,
        cancel: CancellationToken,
    ) -> Result<Explanation, SyncError> {
        let (target, rights) = (Arc::clone(&self.target), Arc::clone(&self.rights));
        match &self.origin {
            Origin::Remote(source) => {
                farhold_sync::explain(options, Arc::clone(source), target, rights, ns, snapshot, cancel).await
            }
            Origin::Local { source, .. } => {
                farhold_sync::explain(options, Arc::clone(source), target, rights, ns, snapshot, cancel).await
            }
        }
    }
}
