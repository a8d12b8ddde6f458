//! What of the target has vanished from the source, and what of that a run removes: pure functions from listings to
//! verdicts with reasons. The run carries them out, a dry run prints them.
//!
//! Vanished is only what the *unfiltered* listing of the source lacks: what is in progress, unreadable, filtered or
//! withheld from the job's owner exists. Verdicts are made on what was seen without locks; whoever removes looks at
//! owner and protection again under the lock.
//!
//! Source: `docs/spec/sync.md` 3.4, 8, C.1 FAULT 1, 2, 4, 6, C.2 W19 and W20.

use std::collections::BTreeSet;

use farhold_types::{Authid, Epoch, Group, GroupFilter, MAX_NAMESPACE_DEPTH, Namespace};

use crate::namespace_map::NamespacePair;
use crate::sync_plan::LocalSnapshot;

/// What happens to a vanished snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotVerdict {
    /// It is removed.
    Remove,
    /// It is protected and stays.
    KeepProtected,
}

/// A local snapshot that the source does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotRemoval {
    /// Its time.
    pub time: Epoch,
    /// What happens to it.
    pub verdict: SnapshotVerdict,
}

/// Returns the local snapshots that vanished, finished or not, oldest first.
///
/// `listed`: the times of all snapshots that the source lists, also of those that no option lets through. Time alone
/// identifies a snapshot.
///
/// Source: `docs/spec/sync.md` 8, "Snapshots", with W19.
pub fn plan_snapshots(listed: &BTreeSet<Epoch>, local: &[LocalSnapshot]) -> Vec<SnapshotRemoval> {
    let mut vanished: Vec<_> = local
        .iter()
        .filter(|snapshot| !listed.contains(&snapshot.time))
        .map(|snapshot| SnapshotRemoval {
            time: snapshot.time,
            verdict: if snapshot.is_protected { SnapshotVerdict::KeepProtected } else { SnapshotVerdict::Remove },
        })
        .collect();
    vanished.sort_by_key(|removal| removal.time);
    vanished
}

/// A group of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedGroup {
    /// The group.
    pub group: Group,
    /// Its owner; none if that cannot be read.
    pub owner: Option<Authid>,
}

/// Why a vanished group stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKeep {
    /// The group filter leaves it out.
    OutsideFilter,
    /// It does not belong to the job's owner.
    OtherOwner,
    /// Nobody knows whose it is.
    OwnerUnreadable,
}

/// What happens to a vanished group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupVerdict {
    /// Its snapshots that are not protected are removed, and then the group if none is left.
    Remove,
    /// It stays as it is.
    Keep(GroupKeep),
}

/// A local group that the source does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRemoval {
    /// The group.
    pub group: Group,
    /// What happens to it.
    pub verdict: GroupVerdict,
}

/// Returns the groups of one target namespace that vanished, in processing order.
///
/// `on_source`: all groups of the source namespace that are known to exist, whatever filter or right hides them; empty
/// for a namespace that vanished itself.
///
/// Source: `docs/spec/sync.md` 3.4 and 8, "Groups".
pub fn plan_groups(
    on_source: &BTreeSet<Group>,
    local: &[OwnedGroup],
    owner: &Authid,
    filters: &[GroupFilter],
) -> Vec<GroupRemoval> {
    let mut vanished: Vec<_> = local
        .iter()
        .filter(|local| !on_source.contains(&local.group))
        .map(|local| {
            let verdict = if !GroupFilter::in_scope(filters, &local.group) {
                GroupVerdict::Keep(GroupKeep::OutsideFilter)
            } else {
                match &local.owner {
                    Some(found) if found == owner => GroupVerdict::Remove,
                    Some(_) => GroupVerdict::Keep(GroupKeep::OtherOwner),
                    None => GroupVerdict::Keep(GroupKeep::OwnerUnreadable),
                }
            };
            GroupRemoval { group: local.group.clone(), verdict }
        })
        .collect();
    vanished.sort_by(|a, b| a.group.cmp(&b.group));
    vanished
}

/// Returns whether the source showed the anchor and the parents of everything that it listed. If not, it hides
/// namespaces from the remote's account, and what is absent may merely be hidden.
pub fn shows_whole_tree(discovered: &[Namespace], source_anchor: &Namespace) -> bool {
    let listed: BTreeSet<&Namespace> = discovered.iter().collect();
    let has_parent = |ns: &Namespace| {
        ns == source_anchor
            || ns.parent().is_some_and(|parent| !ns.is_at_or_below(source_anchor) || listed.contains(&parent))
    };
    listed.contains(source_anchor) && discovered.iter().all(has_parent)
}

/// What the job's owner may do about a namespace of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceRight {
    /// Remove it.
    Remove,
    /// See it, but not remove it: the privilege on its parent is missing.
    See,
    /// Neither; it is passed over as if it were not there, but nothing above it goes either.
    Nothing,
}

/// Why a vanished namespace stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NamespaceKeep {
    /// It lies at or below a namespace that failed in this run.
    BelowFailed,
    /// A namespace below it is synced.
    AboveSynced,
    /// A namespace below it is deeper than the job reaches.
    AboveDepth,
    /// The job's owner may not see it.
    NotVisible,
    /// The job's owner may not remove it.
    NotAllowed,
    /// A namespace below it stays.
    ChildStays,
}

/// What happens to a vanished namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceVerdict {
    /// Its groups are treated like vanished ones, and it goes if it is empty then.
    Remove,
    /// It stays, and so do its groups.
    Keep(NamespaceKeep),
}

/// A local namespace that the source does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceRemoval {
    /// The namespace on the target.
    pub namespace: Namespace,
    /// What happens to it.
    pub verdict: NamespaceVerdict,
}

/// What the removal of namespaces is decided from.
#[derive(Debug, Clone, Copy)]
pub struct NamespaceFacts<'a> {
    /// Anchor on the source.
    pub source_anchor: &'a Namespace,
    /// Anchor on the target.
    pub target_anchor: &'a Namespace,
    /// Levels below the anchors that the job covers; none means all.
    pub max_depth: Option<u8>,
    /// What the source has, and where it goes.
    pub pairs: &'a [NamespacePair],
    /// Target namespaces of those that failed in this run, or that nobody knows about for another reason.
    pub failed: &'a [Namespace],
    /// All namespaces at and below the target anchor, of all levels, in any order.
    pub local: &'a [Namespace],
}

/// Returns the namespaces that vanished, children before their parents: by descending length of their names.
///
/// Only those below the target anchor that the job reaches; never the anchor itself. A namespace with verdict
/// [`NamespaceVerdict::Remove`] still stays if it turns out that a child or a group of it has to: see [`is_above`].
///
/// Source: `docs/spec/sync.md` 8, "Namespaces", with W20.
pub fn plan_namespaces(
    facts: &NamespaceFacts<'_>,
    right: impl Fn(&Namespace) -> NamespaceRight,
) -> Vec<NamespaceRemoval> {
    let limit = match facts.max_depth {
        Some(depth) => usize::from(depth),
        None => MAX_NAMESPACE_DEPTH.saturating_sub(facts.source_anchor.depth()),
    };
    let synced: BTreeSet<&Namespace> = facts.pairs.iter().map(|pair| &pair.target).collect();
    let below = facts.local.iter().filter(|ns| is_above(facts.target_anchor, ns));
    let (reached, deeper): (Vec<&Namespace>, Vec<&Namespace>) =
        below.partition(|ns| ns.depth() - facts.target_anchor.depth() <= limit);
    let mut vanished: Vec<&Namespace> = reached.into_iter().filter(|ns| !synced.contains(ns)).collect();
    vanished.sort_by_cached_key(|ns| (std::cmp::Reverse(ns.to_string().len()), ns.to_string()));
    vanished.dedup();
    let mut stay: Vec<&Namespace> = Vec::new();
    let mut removals = Vec::with_capacity(vanished.len());
    for namespace in vanished {
        let keep = if facts.failed.iter().any(|failed| namespace.is_at_or_below(failed)) {
            Some(NamespaceKeep::BelowFailed)
        } else if synced.iter().any(|synced| is_above(namespace, synced)) {
            Some(NamespaceKeep::AboveSynced)
        } else if deeper.iter().any(|deeper| is_above(namespace, deeper)) {
            Some(NamespaceKeep::AboveDepth)
        } else if stay.iter().any(|child| is_above(namespace, child)) {
            Some(NamespaceKeep::ChildStays)
        } else {
            match right(namespace) {
                NamespaceRight::Remove => None,
                NamespaceRight::See => Some(NamespaceKeep::NotAllowed),
                NamespaceRight::Nothing => Some(NamespaceKeep::NotVisible),
            }
        };
        if keep.is_some() {
            stay.push(namespace);
        }
        let verdict = keep.map_or(NamespaceVerdict::Remove, NamespaceVerdict::Keep);
        removals.push(NamespaceRemoval { namespace: namespace.clone(), verdict });
    }
    removals
}

/// Returns whether `namespace` lies strictly above `other`.
pub fn is_above(namespace: &Namespace, other: &Namespace) -> bool {
    other != namespace && other.is_at_or_below(namespace)
}

#[cfg(test)]
mod tests;
