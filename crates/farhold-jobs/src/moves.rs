//! Moving a backup group, or a namespace with its groups, to another place in the same datastore, as tasks.
//!
//! Source: `docs/spec/rest-api.md` 12.3 and 12.4, `docs/spec/datastore-format.md` 21, lines of `tests/golden/api`.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use farhold_datastore::{Datastore, DatastoreError, ErrorKind, GroupMove, Merge, MoveError, MovedNotes, RemoveGroups};
use farhold_format::upid::Upid;
use farhold_rules::acl::Granted;
use farhold_rules::namespace_map::{MapError, NamespacePair, map_namespaces};
use farhold_tasks::{TaskContext, TaskError, TaskFailure, TaskKind};
use farhold_types::{Group, MAX_NAMESPACE_DEPTH, Namespace};
use thiserror::Error;

use crate::app::App;
use crate::stores::StoreHandle;
use crate::task_work::{go_on, in_background};

/// Longest part of notes that go that is told in the log, in characters: some lines of text. Notes may have 512 KiB.
const MAX_TOLD_CHARS: usize = 2000;

/// Why a move was not started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MoveRequestError {
    /// The root cannot be moved.
    #[error("the root namespace cannot be moved")]
    RootNamespace,
    /// Source and target are the same.
    #[error("source and target namespace must be different")]
    SameNamespace,
    /// A namespace cannot go into itself.
    #[error("namespace '{ns}' cannot be moved into '{target}', which lies in it")]
    IntoItself {
        /// What was to be moved.
        ns: Namespace,
        /// Where to.
        target: Namespace,
    },
    /// The namespaces do not fit below the target.
    #[error(transparent)]
    Map(#[from] MapError),
    /// A namespace or the group does not exist, or the store cannot be read.
    #[error(transparent)]
    Datastore(#[from] DatastoreError),
    /// The task cannot be started.
    #[error(transparent)]
    Task(#[from] TaskError),
}

/// A group that is to go elsewhere.
pub struct GroupMoveRequest {
    store: StoreHandle,
    ns: Namespace,
    group: Group,
    target: Namespace,
    merge: Merge,
}

impl GroupMoveRequest {
    /// Checks what a move needs. Blocking.
    ///
    /// # Errors
    /// [`MoveRequestError`].
    pub fn check(
        store: StoreHandle,
        ns: Namespace,
        group: Group,
        target: Namespace,
        merge: Merge,
    ) -> Result<Self, MoveRequestError> {
        if ns == target {
            return Err(MoveRequestError::SameNamespace);
        }
        require_namespace(&store, &target)?;
        // Tells whether the group exists.
        store.snapshots(&ns, &group)?;
        Ok(Self { store, ns, group, target, merge })
    }
}

/// Starts the task that moves a group, and returns its name. `granted`: that the caller may remove the group here and
/// write it there.
///
/// # Errors
/// The task cannot be started.
pub async fn move_group(
    app: &Arc<App>,
    granted: &Granted,
    request: GroupMoveRequest,
) -> Result<Upid, MoveRequestError> {
    let id = format!("{}:{}/{}:{}", request.store.name(), request.ns, request.group, request.target);
    let worker = move |context: TaskContext| {
        in_background("move", move || {
            let GroupMoveRequest { store, ns, group, target, merge } = request;
            move_one(&store, &NamespacePair { source: ns, target }, &group, merge, &context)?;
            Ok(())
        })
    };
    Ok(app.tasks.spawn(TaskKind::new("move-group", Some(id)), granted.authid(), worker).await?)
}

/// Whether namespaces that are empty after a move are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmptiedNamespaces {
    /// They are.
    Remove,
    /// They stay.
    Keep,
}

/// A namespace that is to go elsewhere with all its groups.
pub struct NamespaceMoveRequest {
    store: StoreHandle,
    ns: Namespace,
    target: Namespace,
    /// Each namespace and where its groups go, parents first.
    pairs: Vec<NamespacePair>,
    merge: Merge,
    emptied: EmptiedNamespaces,
}

impl NamespaceMoveRequest {
    /// Checks what a move needs, and finds the namespaces. Blocking.
    ///
    /// `max_depth`: levels below `ns` that move too; none means all.
    ///
    /// # Errors
    /// [`MoveRequestError`].
    pub fn check(
        store: StoreHandle,
        (ns, target): (Namespace, Namespace),
        max_depth: Option<u8>,
        merge: Merge,
        emptied: EmptiedNamespaces,
    ) -> Result<Self, MoveRequestError> {
        if ns.is_root() {
            return Err(MoveRequestError::RootNamespace);
        }
        if ns == target {
            return Err(MoveRequestError::SameNamespace);
        }
        require_namespace(&store, &ns)?;
        if target.is_at_or_below(&ns) {
            return Err(MoveRequestError::IntoItself { ns, target });
        }
        if let Some(parent) = target.parent() {
            require_namespace(&store, &parent)?;
        }
        let found = store.namespaces(&ns, max_depth.map_or(MAX_NAMESPACE_DEPTH, usize::from))?;
        let pairs = map_namespaces(found, &ns, &target, max_depth)?;
        Ok(Self { store, ns, target, pairs, merge, emptied })
    }
}

/// Starts the task that moves a namespace, and returns its name. `granted`: that the caller may change the parents of
/// both.
///
/// # Errors
/// The task cannot be started.
pub async fn move_namespace(
    app: &Arc<App>,
    granted: &Granted,
    request: NamespaceMoveRequest,
) -> Result<Upid, MoveRequestError> {
    let id = format!("{}:{}:{}", request.store.name(), request.ns, request.target);
    let worker = move |context: TaskContext| in_background("move", move || move_all(&request, &context));
    Ok(app.tasks.spawn(TaskKind::new("move-namespace", Some(id)), granted.authid(), worker).await?)
}

fn require_namespace(store: &Datastore, ns: &Namespace) -> Result<(), DatastoreError> {
    if store.namespace_exists(ns)? { Ok(()) } else { Err(DatastoreError::NamespaceMissing { namespace: ns.clone() }) }
}

/// Moves one group and tells it.
fn move_one(
    store: &Datastore,
    pair: &NamespacePair,
    group: &Group,
    merge: Merge,
    context: &TaskContext,
) -> Result<(), MoveError> {
    context.log(&format!("moving group '{group}' from '{}' to '{}'", pair.source, pair.target));
    let GroupMove { notes, is_source_removed, .. } = store.move_group(&pair.source, &pair.target, group, merge)?;
    if let MovedNotes::Dropped(notes) = notes {
        let told: String = notes.chars().take(MAX_TOLD_CHARS).collect();
        context.warn(&format!("group '{group}' has other notes at the target, these are gone: {told:?}"));
    }
    let shown = store.local_path(&pair.source, group, None).map_or_else(String::new, |path| path.display().to_string());
    if is_source_removed {
        context.log(&format!("removing backup group \"{shown}\""));
    } else {
        context.warn(&format!("\"{shown}\" stays: there is something in it that belongs to no backup"));
    }
    Ok(())
}

/// What is left to do of the move of a namespace, and how it went so far.
#[derive(Default)]
struct Progress {
    moved: u64,
    failed: u64,
    /// Groups that somebody used.
    busy: Vec<(NamespacePair, Group)>,
}

/// Whether groups that are in use are tried again later.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    Last,
}

fn move_all(request: &NamespaceMoveRequest, context: &TaskContext) -> Result<(), TaskFailure> {
    let NamespaceMoveRequest { store, ns, target, pairs, .. } = request;
    context.log(&format!("moving namespace '{ns}' -> '{target}': {} namespace(s)", pairs.len()));
    let mut progress = Progress::default();
    for pair in pairs {
        store.create_namespace(&pair.target)?;
        let groups = match store.groups_and_owners(&pair.source) {
            Ok(groups) => groups,
            // Removed meanwhile.
            Err(DatastoreError::NamespaceMissing { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        for (group, _) in groups {
            attempt(request, (pair.clone(), group), Attempt::First, &mut progress, context)?;
        }
    }
    for waiting in std::mem::take(&mut progress.busy) {
        attempt(request, waiting, Attempt::Last, &mut progress, context)?;
    }
    if request.emptied == EmptiedNamespaces::Remove {
        remove_emptied(request, context)?;
    }
    match progress.failed {
        0 => Ok(()),
        failed => Err(TaskFailure::new(format!("{failed} group(s) could not be moved, {} were", progress.moved))),
    }
}

/// Moves one group of many. A failure is told and counted.
fn attempt(
    request: &NamespaceMoveRequest,
    (pair, group): (NamespacePair, Group),
    attempt: Attempt,
    progress: &mut Progress,
    context: &TaskContext,
) -> Result<(), TaskFailure> {
    go_on(context)?;
    // Where a namespace is source and target, a group that could not leave must not get mixed up with the one that comes.
    let is_source_too = request.pairs.iter().any(|other| other.source == pair.target);
    let merge = if is_source_too { Merge::Refused } else { request.merge };
    match move_one(&request.store, &pair, &group, merge, context) {
        Ok(()) => {
            progress.moved += 1;
            context.log(&format!("moved group {} ('{group}' in '{}')", progress.moved, pair.source));
        }
        Err(error) if error.kind() == ErrorKind::Busy && attempt == Attempt::First => {
            let reason = TaskFailure::from_error(&error);
            context.log(&format!("group '{group}' in '{}' is in use, trying again at the end: {reason}", pair.source));
            progress.busy.push((pair, group));
        }
        // Removed meanwhile.
        Err(MoveError::Datastore(DatastoreError::GroupMissing { .. })) => {
            context.log(&format!("group '{group}' in '{}' is gone", pair.source));
        }
        Err(error) => {
            progress.failed += 1;
            let reason = TaskFailure::from_error(&error);
            context.warn(&format!("failed to move group '{group}' in '{}': {reason}", pair.source));
        }
    }
    Ok(())
}

/// Removes the source namespaces that are empty, deepest first.
fn remove_emptied(request: &NamespaceMoveRequest, context: &TaskContext) -> Result<(), TaskFailure> {
    let targets: BTreeSet<&Namespace> = request.pairs.iter().map(|pair| &pair.target).collect();
    let mut sources: Vec<&Namespace> = request.pairs.iter().map(|pair| &pair.source).collect();
    sources.sort_by_key(|ns| std::cmp::Reverse(ns.depth()));
    for ns in sources.into_iter().filter(|ns| !targets.contains(ns)) {
        request.store.remove_namespace_level(ns, RemoveGroups::No)?;
        if request.store.namespace_exists(ns)? {
            context.log(&format!("namespace '{ns}' stays: it is not empty"));
        }
    }
    Ok(())
}
