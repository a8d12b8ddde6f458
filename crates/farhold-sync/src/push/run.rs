//! A whole push: ask the target, map, and work through one queue of groups over all namespaces.
//!
//! Source: `docs/spec/sync.md` 10.1, 12, 20; `docs/adr/0009`.

use std::collections::BTreeSet;
use std::sync::Arc;

use farhold_rules::namespace_map::{NamespacePair, check_depth_rule, map_namespaces};
use farhold_rules::peer_version::PeerVersion;
use farhold_types::Namespace;
use tokio_util::sync::CancellationToken;

use crate::event::{EventSink, SyncEvent};
use crate::options::SyncOptions;
use crate::outcome::{SyncError, SyncReport};
use crate::push::context::{Peer, PushRun};
use crate::push::queue::Queue;
use crate::push::rights::PushRights;
use crate::push::target::{DeletionAnswer, PushTarget};
use crate::source::Source;

/// Pushes from `source` to `target`.
///
/// The caller has checked that whoever started the job may run it; what the job's owner may do on the remote is asked of
/// `rights` for every namespace, what he may read is the source's matter.
///
/// # Errors
/// Whole-run failures at once; [`SyncError::SomeFailed`] after everything else was tried; [`SyncError::Cancelled`].
///
/// # Cancel safety
/// Prefer `cancel` to dropping the future: a cancelled run returns after all its work stopped. Either way the target
/// removes what is not finished.
pub async fn push<S: Source, T: PushTarget>(
    options: SyncOptions,
    source: Arc<S>,
    target: Arc<T>,
    rights: Arc<dyn PushRights>,
    events: Arc<dyn EventSink>,
    cancel: CancellationToken,
) -> Result<SyncReport, SyncError> {
    let run = Arc::new(PushRun::new(options, source, target, rights, events, cancel));
    let scope = run.cancel.run_until_cancelled(discover(&run)).await.ok_or(SyncError::Cancelled)??;
    if let Some(encryption) = &run.options.encryption {
        run.events.event(&SyncEvent::KeyLoaded(encryption.key.name()));
    }
    run.events.event(&SyncEvent::ScopeFound { namespaces: scope.pairs.len() });
    for item in &scope.unreadable {
        run.events.event(&SyncEvent::UnreadableItem { index: None, group: None, item: item.clone() });
    }
    let result = Queue::new(run.clone(), scope).work().await;
    run.over.cancel();
    run.closing.close();
    run.closing.wait().await;
    run.pool.drain().await;
    result?;
    if run.cancel.is_cancelled() {
        return Err(SyncError::Cancelled);
    }
    run.final_report().concluded()
}

/// What a push covers.
pub(crate) struct PushScope {
    /// What the job's owner may see of the source, in processing order.
    pub(crate) pairs: Vec<NamespacePair>,
    /// What is hidden from him. It exists, so its counterparts on the target have not vanished.
    pub(crate) hidden: Vec<NamespacePair>,
    /// Namespaces that the target listed.
    pub(crate) existing: BTreeSet<Namespace>,
    /// Whether that listing was understood completely.
    pub(crate) is_target_complete: bool,
    /// What of the source's listing made no sense.
    pub(crate) unreadable: Vec<String>,
    pub(crate) peer: Peer,
}

/// Finds out what a push covers and whether the target can be pushed to. Only reads.
pub(crate) async fn discover<S: Source, T: PushTarget>(run: &PushRun<S, T>) -> Result<PushScope, SyncError> {
    let options = &run.options;
    let (from, to, depth) = (&options.source_anchor, &options.target_anchor, options.max_depth);
    check_depth_rule(from, to, depth)?;
    // A missing anchor is an error before anything else.
    let found = run.source.namespaces(from, depth).await.map_err(SyncError::Namespaces)?;
    let version = run.retry.run(|| run.target.version()).await.map_err(SyncError::Target)?;
    let version = PeerVersion::parse(&version.version, &version.release)?;
    version.check_push()?;
    let answer = if version.has_delete_statistics() { DeletionAnswer::Statistics } else { DeletionAnswer::Nothing };
    let (hidden, visible): (Vec<_>, Vec<_>) = found.items.into_iter().partition(|ns| run.source.hides(ns));
    let pairs = map_namespaces(visible, from, to, depth)?;
    // One that has no name on the target has no counterpart there either.
    let counterpart = |source: Namespace| {
        let target = source.remap(from, to).ok()?;
        Some(NamespacePair { source, target })
    };
    let hidden = hidden.into_iter().filter_map(counterpart).collect();
    let existing = run.retry.run(|| run.target.namespaces()).await.map_err(SyncError::Target)?;
    let is_target_complete = existing.unreadable.is_empty();
    let mut existing: BTreeSet<Namespace> = existing.items.into_iter().collect();
    // It always exists, whether the account may see it or not.
    existing.insert(Namespace::root());
    let peer = Peer { answer };
    Ok(PushScope { pairs, hidden, existing, is_target_complete, unreadable: found.unreadable, peer })
}
