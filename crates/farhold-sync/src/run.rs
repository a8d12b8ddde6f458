//! A whole run: discover, map, and work through one queue of groups over all namespaces.
//!
//! With one worker a namespace is finished before the next begins. With more, groups of later namespaces begin as soon
//! as a worker is free and their target namespace exists; parents come first, so a child's parent is always there.
//!
//! Source: `docs/spec/sync.md` 4, 5, 12, 13, C.2 W8 and W10.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use farhold_rules::namespace_map::{
    Discovery, MapError, NamespacePair, Unsupported, check_depth_rule, discovery, map_namespaces, when_unsupported,
};
use farhold_rules::removal_plan::shows_whole_tree;
use farhold_rules::sync_plan::{GroupSelection, select_groups};
use farhold_types::Namespace;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ahead::groups::LookAhead;
use crate::context::RunContext;
use crate::event::{EventSink, NamespaceIndex, SyncEvent};
use crate::fault::RequestFault;
use crate::group::{GroupJob, sync_group};
use crate::options::SyncOptions;
use crate::outcome::{NamespaceFailure, SyncError, SyncReport, chain};
use crate::removal::groups::{KnownGroups, remove_groups};
use crate::removal::namespaces::{NamespaceScope, remove_namespaces};
use crate::retry::Retry;
use crate::rights::OwnerRights;
use crate::source::Source;
use crate::target::Target;

/// Runs a sync from `source` to `target`.
///
/// The caller has checked that whoever started the job may run it; what the job's owner may do is asked of `rights` for
/// every namespace.
///
/// # Errors
/// Whole-run failures at once; [`SyncError::SomeFailed`] after everything else was tried; [`SyncError::Cancelled`].
///
/// # Cancel safety
/// Prefer `cancel` to dropping the future: a cancelled run returns after all its work stopped and its locks are free.
/// Either way no unfinished snapshot becomes visible, and the next run goes on where this one stopped.
pub async fn run<S: Source, T: Target>(
    options: SyncOptions,
    source: Arc<S>,
    target: Arc<T>,
    rights: Arc<dyn OwnerRights>,
    events: Arc<dyn EventSink>,
    cancel: CancellationToken,
) -> Result<SyncReport, SyncError> {
    for key in &options.decryption_keys {
        events.event(&SyncEvent::KeyLoaded(key.name()));
    }
    check_depth_rule(&options.target_anchor, &options.source_anchor, options.max_depth)?;
    let context = Arc::new(RunContext::new(options, source, target, events, cancel));
    let discovered = discover(&*context.source, &context.options, &context.retry);
    let scope = context.cancel.run_until_cancelled(discovered).await.ok_or(SyncError::Cancelled)??;
    context.events.event(&SyncEvent::ScopeFound { namespaces: scope.namespaces.len() });
    if scope.is_compatibility_mode {
        context.events.event(&SyncEvent::CompatibilityMode);
    }
    for item in &scope.unreadable {
        context.events.event(&SyncEvent::UnreadableItem { index: None, group: None, item: item.clone() });
    }
    context.shared.set_namespaces(scope.namespaces.iter().map(|pair| pair.target.clone()).collect());
    let workers = context.options.worker_threads.max(1);
    let result = Queue::new(context.clone(), rights, scope, workers).work().await;
    context.closing.close();
    context.closing.wait().await;
    context.pool.drain().await;
    context.target.settle().await;
    result?;
    if context.cancel.is_cancelled() {
        return Err(SyncError::Cancelled);
    }
    let (files, file_bytes) = context.files.look();
    let elapsed = context.phases.total();
    let mut report = context.report().clone();
    report.moved_bytes = report.bytes.saturating_add(file_bytes);
    let report = SyncReport { retries: context.retry.count(), files, file_bytes, elapsed, ..report };
    let report = report.concluded()?;
    if let Some(journal) = context.journal.clone() {
        // Nothing is unfinished, so no note is of use. What cannot be removed does no harm.
        let _ = context.options.blocking.spawn_untracked(move || journal.clear()).await;
    }
    Ok(report)
}

/// What a run covers.
pub(crate) struct Scope {
    /// In processing order.
    pub(crate) namespaces: Vec<NamespacePair>,
    pub(crate) is_compatibility_mode: bool,
    /// What of the source's listing made no sense.
    pub(crate) unreadable: Vec<String>,
    /// Whether the source showed the parents of everything that it listed.
    pub(crate) is_whole: bool,
}

impl Scope {
    /// Returns whether a run removes vanished namespaces at all.
    pub(crate) fn removes_namespaces(&self, options: &SyncOptions) -> bool {
        options.remove_vanished && !self.is_compatibility_mode && options.max_depth != Some(0)
    }

    /// Returns what is known for that when all namespaces are done. `failed`: target namespaces of those that failed.
    pub(crate) fn namespace_scope<'a>(&'a self, failed: &'a [Namespace]) -> NamespaceScope<'a> {
        let is_complete = self.unreadable.is_empty();
        NamespaceScope { pairs: &self.namespaces, failed, is_complete, is_whole: self.is_whole }
    }
}

/// Finds out what a run covers. Only reads.
pub(crate) async fn discover<S: Source>(source: &S, options: &SyncOptions, retry: &Retry) -> Result<Scope, SyncError> {
    let (anchor, depth) = (&options.source_anchor, options.max_depth);
    let mut is_compatibility_mode = false;
    let mut unreadable = Vec::new();
    let found = match discovery(anchor, depth) {
        Discovery::RootOnly => vec![Namespace::root()],
        Discovery::Ask => match retry.run(|| source.namespaces(anchor, depth)).await {
            Ok(found) => {
                // A namespace whose name makes no sense cannot be synced; silence would hide that.
                unreadable = found.unreadable;
                found.items
            }
            Err(error) if error.fault == RequestFault::Unsupported => match when_unsupported(anchor, depth) {
                Unsupported::Fail => return Err(MapError::Unsupported.into()),
                Unsupported::CompatibilityMode => {
                    is_compatibility_mode = true;
                    vec![Namespace::root()]
                }
            },
            Err(error) => return Err(SyncError::Namespaces(error)),
        },
    };
    let is_whole = shows_whole_tree(&found, anchor);
    let namespaces = map_namespaces(found, anchor, &options.target_anchor, depth)?;
    Ok(Scope { namespaces, is_compatibility_mode, unreadable, is_whole })
}

/// A namespace some of whose groups are not finished.
struct OpenNamespace {
    pair: NamespacePair,
    left: usize,
    /// What the source has of it, for the removal of vanished groups.
    known: KnownGroups,
}

/// What a task of the queue has done.
enum Done {
    /// A group of this namespace.
    Group(NamespaceIndex),
    /// The removal of what vanished from this namespace.
    Removal(NamespaceIndex),
}

struct Queue<S: Source, T: Target> {
    run: Arc<RunContext<S, T>>,
    rights: Arc<dyn OwnerRights>,
    scope: Scope,
    workers: usize,
    tasks: JoinSet<Done>,
    open: Vec<OpenNamespace>,
    /// Target namespaces of those that failed.
    failed: Vec<Namespace>,
    ahead: LookAhead<S>,
}

impl<S: Source, T: Target> Queue<S, T> {
    fn new(run: Arc<RunContext<S, T>>, rights: Arc<dyn OwnerRights>, scope: Scope, workers: usize) -> Self {
        let ahead = LookAhead::begin(&run, scope.namespaces.clone());
        Self { run, rights, scope, workers, tasks: JoinSet::new(), open: Vec::new(), failed: Vec::new(), ahead }
    }

    async fn work(mut self) -> Result<(), SyncError> {
        let pairs = self.scope.namespaces.clone();
        for (index, pair) in pairs.iter().enumerate() {
            if self.run.cancel.is_cancelled() {
                break;
            }
            self.run.events.event(&SyncEvent::NamespaceStarted { index, pair: pair.clone() });
            self.open.push(OpenNamespace { pair: pair.clone(), left: 0, known: KnownGroups::default() });
            match self.open_namespace(index, pair).await? {
                None => {}
                Some(Err(error)) => self.namespace_failed(index, pair, &error),
                Some(Ok(selection)) => self.groups(index, pair, selection).await?,
            }
        }
        while !self.tasks.is_empty() {
            self.finish_one().await?;
        }
        self.remove_vanished_namespaces().await;
        if self.scope.is_compatibility_mode {
            let text = || "the remote has no namespaces; set max-depth to 0".to_owned();
            self.run.report().failures.add(text);
        }
        Ok(())
    }

    /// Makes sure that the target namespace exists and may be used, and selects the groups. `None` when cancelled.
    async fn open_namespace(
        &mut self,
        index: NamespaceIndex,
        pair: &NamespacePair,
    ) -> Result<Option<Result<GroupSelection, NamespaceFailure>>, SyncError> {
        if let Err(error) = self.ensure_target(index, pair).await {
            return Ok(Some(Err(error)));
        }
        let cancel = self.run.cancel.clone();
        let Some(listed) = cancel.run_until_cancelled(self.ahead.namespace()).await else {
            return Ok(None);
        };
        let listed = match listed.ok_or(SyncError::Crashed)? {
            Ok(listed) => listed,
            Err(error) => return Ok(Some(Err(NamespaceFailure::Groups(error)))),
        };
        if self.run.options.remove_vanished {
            self.open[index].known = KnownGroups::of(&listed);
        }
        for item in listed.unreadable {
            self.run.events.event(&SyncEvent::UnreadableItem { index: Some(index), group: None, item });
        }
        Ok(Some(Ok(select_groups(listed.items, &self.run.options.group_filter))))
    }

    /// Source: `docs/spec/sync.md` 4.3.
    async fn ensure_target(&self, index: NamespaceIndex, pair: &NamespacePair) -> Result<(), NamespaceFailure> {
        let ns = &pair.target;
        if !self.run.target.has_namespace(ns).await? {
            let parent = ns.parent().unwrap_or_default();
            let denied = |source| NamespaceFailure::CreateDenied { namespace: ns.clone(), source };
            self.rights.may_modify(&parent).map_err(denied)?;
            self.run.target.create_namespace(ns).await?;
            self.run.events.event(&SyncEvent::NamespaceCreated { index, pair: pair.clone() });
        }
        self.rights.may_backup(ns).map_err(NamespaceFailure::Denied)
    }

    fn namespace_failed(&mut self, index: NamespaceIndex, pair: &NamespacePair, failure: &NamespaceFailure) {
        self.failed.push(pair.target.clone());
        let error = chain(failure);
        self.run.report().failures.add(|| format!("{}: {error}", pair.source.log_name()));
        let is_listing = matches!(failure, NamespaceFailure::Groups(_));
        self.run.events.event(&SyncEvent::NamespaceFailed { index, pair: pair.clone(), is_listing, error });
    }

    async fn groups(
        &mut self,
        index: NamespaceIndex,
        pair: &NamespacePair,
        selection: GroupSelection,
    ) -> Result<(), SyncError> {
        let groups = selection.selected.len();
        self.run.events.event(&SyncEvent::GroupsFound { index, selected: groups, total: selection.total });
        self.open[index].left = groups;
        if groups == 0 {
            self.groups_finished(index);
        }
        let groups_done = Arc::new(AtomicUsize::new(0));
        for group in &selection.selected {
            while self.workers <= self.tasks.len() {
                self.finish_one().await?;
            }
            if self.run.cancel.is_cancelled() {
                return Ok(());
            }
            let cancel = self.run.cancel.clone();
            let Some(ahead) = cancel.run_until_cancelled(self.ahead.group()).await else {
                return Ok(());
            };
            let ahead = ahead.ok_or(SyncError::Crashed)?;
            let (source_ns, target_ns) = (pair.source.clone(), pair.target.clone());
            let (group, groups_done) = (group.clone(), groups_done.clone());
            let job = GroupJob { index, source_ns, target_ns, group, ahead, groups_done, groups };
            let run = self.run.clone();
            self.tasks.spawn(async move {
                sync_group(run, job).await;
                Done::Group(index)
            });
        }
        while self.workers == 1 && !self.tasks.is_empty() {
            self.finish_one().await?;
        }
        Ok(())
    }

    async fn finish_one(&mut self) -> Result<(), SyncError> {
        if let Some(done) = self.tasks.join_next().await {
            match done.map_err(|_| SyncError::Crashed)? {
                Done::Group(index) => {
                    self.open[index].left -= 1;
                    if self.open[index].left == 0 {
                        self.groups_finished(index);
                    }
                }
                Done::Removal(index) => self.namespace_finished(index),
            }
        }
        Ok(())
    }

    /// Removes what vanished from a namespace whose groups are all done, beside the groups of later namespaces.
    fn groups_finished(&mut self, index: NamespaceIndex) {
        if !self.run.options.remove_vanished || self.run.cancel.is_cancelled() {
            self.namespace_finished(index);
            return;
        }
        let (run, pair) = (self.run.clone(), self.open[index].pair.clone());
        let known = std::mem::take(&mut self.open[index].known);
        self.tasks.spawn(async move {
            remove_groups(&run, index, &pair, &known).await;
            Done::Removal(index)
        });
    }

    async fn remove_vanished_namespaces(&self) {
        if !self.scope.removes_namespaces(&self.run.options) || self.run.cancel.is_cancelled() {
            return;
        }
        let scope = self.scope.namespace_scope(&self.failed);
        remove_namespaces(&self.run, &self.rights, &scope).await;
    }

    fn namespace_finished(&self, index: NamespaceIndex) {
        let (groups, snapshots) = {
            let report = self.run.report();
            (report.groups, report.snapshots)
        };
        if self.run.cancel.is_cancelled() {
            return;
        }
        let is_reported = !self.scope.is_compatibility_mode && self.run.options.max_depth != Some(0);
        let pair = self.open[index].pair.clone();
        self.run.events.event(&SyncEvent::NamespaceFinished { index, pair, groups, snapshots, is_reported });
    }
}
