//! What a run must leave on the target, written down once more and independently of the engine's planner.
//!
//! The rules, from `docs/spec/sync.md` 4 to 8:
//!
//! - A namespace of the source is in scope if it is the anchor or lies at most `max-depth` levels below it. Its twin has
//!   the same path below the target's anchor, and exists after the run.
//! - A group is in scope if the filters say so. A group that belongs to somebody else on the target fails, untouched.
//! - A snapshot is wanted if it is finished and passes `verified-only` and `encrypted-only`.
//! - Of the wanted ones those newer than everything finished on the target are copied; with `transfer-last` only if they
//!   are among the newest so many wanted ones. The newest finished one of the target is brought up to date.
//! - With `resync-corrupt` a wanted one whose copy failed verification or is unreadable is fetched again.
//! - With `remove-vanished` the target loses what the source does not have at all: snapshots of groups in scope; groups in
//!   scope of the filters that belong to the job's owner; namespaces that the depth reaches, below the anchor, once
//!   nothing is left in or below them. What is protected stays. Where a namespace below stays, nothing above it goes.
//! - Everything else stays as it was.
//!
//! A push (10 and 11 there) differs in this:
//!
//! - A group that belongs to somebody else on the target is left alone, which is no failure.
//! - Only what is newer than everything finished on the target is copied. Of the newest one there, notes and log follow.
//! - A group in which something is to be copied fails if the manifest of the newest finished one there cannot be read, and
//!   from the first one on of whose time there is an unfinished directory that is protected. Nothing is removed from it then.

use std::collections::{BTreeMap, BTreeSet};

use farhold_sync::SyncOptions;
use farhold_types::{Authid, Epoch, Group, GroupFilter, Namespace, VerifyState};

use crate::facts::{GroupFacts, SnapshotFacts, StoreFacts};

/// What must be true of a snapshot of the target after the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It is as it was before.
    AsBefore,
    /// It is a finished copy of the source's and was fetched in this run, or brought up to date.
    Copy,
    /// It is a copy, and every chunk of it is sound again.
    SoundCopy,
    /// It is removed.
    Gone,
    /// It may be a copy or be absent: an earlier run skipped over it because it failed.
    MayBeCopied,
    /// It is as it was before, apart from notes and log.
    Followed,
}

/// What a run must do.
#[derive(Debug, Clone, Default)]
pub struct Expectation {
    /// Namespaces that exist after the run, all of them.
    pub namespaces: BTreeSet<Namespace>,
    /// Snapshots of each group after the run; groups without any may exist or not.
    pub groups: BTreeMap<(Namespace, Group), BTreeMap<Epoch, Expected>>,
    /// Groups that must fail.
    pub failures: BTreeSet<(Namespace, Group)>,
    /// Where each target namespace in scope gets its content from.
    pub sources: BTreeMap<Namespace, Namespace>,
    /// Groups handled.
    pub handled: usize,
}

/// Returns the namespaces of the source that the options put in scope, with their twins on the target.
pub fn scope<'a>(options: &SyncOptions, source: impl Iterator<Item = &'a Namespace>) -> BTreeMap<Namespace, Namespace> {
    let anchor = &options.source_anchor;
    let mut pairs = BTreeMap::new();
    for ns in source.filter(|ns| ns.is_at_or_below(anchor)) {
        let below = ns.depth() - anchor.depth();
        if options.max_depth.is_none_or(|max| below <= usize::from(max))
            && let Ok(twin) = ns.remap(anchor, &options.target_anchor)
        {
            pairs.insert(twin, ns.clone());
        }
    }
    pairs
}

/// Returns whether a wanted snapshot may be taken from the source at all.
fn is_wanted(options: &SyncOptions, facts: &SnapshotFacts) -> bool {
    facts.manifest.is_some()
        && (!options.selection.verified_only || facts.verified() == Some(VerifyState::Ok))
        && (!options.selection.encrypted_only || facts.is_encrypted())
}

/// Which way a job goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The target's server fetches.
    Pull,
    /// The source's server sends.
    Push,
}

/// Returns what a run without any disturbance must leave.
pub fn expect(options: &SyncOptions, way: Way, source: &StoreFacts, target: &StoreFacts) -> Expectation {
    let mut expectation = Expectation { sources: scope(options, source.keys()), ..Expectation::default() };
    expectation.namespaces.extend(target.keys().cloned());
    for (ns, groups) in target {
        for (group, facts) in groups {
            let as_before = facts.snapshots.keys().map(|time| (*time, Expected::AsBefore)).collect();
            expectation.groups.insert((ns.clone(), group.clone()), as_before);
        }
    }
    for (twin, ns) in expectation.sources.clone() {
        let mut ancestor = Some(twin.clone());
        while let Some(ns) = ancestor {
            ancestor = ns.parent();
            expectation.namespaces.insert(ns);
        }
        for (group, facts) in &source[&ns] {
            if !GroupFilter::in_scope(&options.group_filter, group) {
                continue;
            }
            expectation.handled += 1;
            let local = target.get(&twin).and_then(|groups| groups.get(group));
            if local.is_some_and(|local| local.owner.as_ref() != Some(&options.owner)) {
                if way == Way::Pull {
                    expectation.failures.insert((twin.clone(), group.clone()));
                }
                continue;
            }
            let mut taken = match way {
                Way::Pull => taken(options, facts, local),
                Way::Push => pushed(options, facts, local),
            };
            let obstacle = if way == Way::Push { obstacle(&taken, local) } else { None };
            if let Some(obstacle) = obstacle {
                expectation.failures.insert((twin.clone(), group.clone()));
                taken.retain(|time, _| *time < obstacle);
            }
            if !taken.is_empty() {
                expectation.groups.entry((twin.clone(), group.clone())).or_default().extend(taken);
            }
            if let Some(local) = local.filter(|_| options.remove_vanished && obstacle.is_none()) {
                let absent = |time: &Epoch| !facts.snapshots.contains_key(time);
                lose(&mut expectation, &twin, group, local, absent);
            }
        }
    }
    if options.remove_vanished {
        remove_vanished(options, source, target, &mut expectation);
    }
    expectation
}

/// Lets the snapshots of a group go that are absent and not protected. Returns whether nothing is left.
fn lose(
    expectation: &mut Expectation,
    ns: &Namespace,
    group: &Group,
    local: &GroupFacts,
    is_absent: impl Fn(&Epoch) -> bool,
) -> bool {
    let mut is_empty = true;
    for (time, facts) in &local.snapshots {
        if is_absent(time) && !facts.is_protected {
            let snapshots = expectation.groups.entry((ns.clone(), group.clone())).or_default();
            snapshots.insert(*time, Expected::Gone);
        } else {
            is_empty = false;
        }
    }
    is_empty
}

/// Lets the groups of a namespace go that are not among `known`. Returns whether no group is left.
fn lose_groups(
    options: &SyncOptions,
    expectation: &mut Expectation,
    ns: &Namespace,
    local: &BTreeMap<Group, GroupFacts>,
    is_known: impl Fn(&Group) -> bool,
) -> bool {
    let mut is_empty = true;
    for (group, facts) in local {
        let is_ours = facts.owner.as_ref() == Some(&options.owner)
            && GroupFilter::in_scope(&options.group_filter, group)
            && !is_known(group);
        is_empty &= is_ours && lose(expectation, ns, group, facts, |_| true);
    }
    is_empty
}

fn remove_vanished(options: &SyncOptions, source: &StoreFacts, target: &StoreFacts, expectation: &mut Expectation) {
    for (twin, ns) in expectation.sources.clone() {
        if let Some(local) = target.get(&twin) {
            lose_groups(options, expectation, &twin, local, |group| source[&ns].contains_key(group));
        }
    }
    let mut vanished: Vec<&Namespace> = target
        .keys()
        .filter(|ns| *ns != &options.target_anchor && is_reached(options, ns))
        .filter(|ns| !expectation.sources.contains_key(*ns))
        .collect();
    vanished.sort_by_key(|ns| std::cmp::Reverse(ns.depth()));
    for ns in vanished {
        let has_child = expectation.namespaces.iter().any(|other| other != ns && other.is_at_or_below(ns));
        if !has_child && lose_groups(options, expectation, ns, &target[ns], |_| false) {
            expectation.namespaces.remove(ns);
        }
    }
}

/// Returns whether a namespace of the target lies at or below the anchor and not deeper than the job reaches.
pub fn is_reached(options: &SyncOptions, ns: &Namespace) -> bool {
    let anchor = &options.target_anchor;
    ns.is_at_or_below(anchor) && options.max_depth.is_none_or(|max| ns.depth() - anchor.depth() <= usize::from(max))
}

/// Returns the newest finished snapshot of a group, readable or not.
fn newest(group: Option<&GroupFacts>) -> Option<(Epoch, &SnapshotFacts)> {
    let finished = group?.snapshots.iter().filter(|(_, facts)| facts.has_manifest);
    finished.map(|(time, facts)| (*time, facts)).next_back()
}

/// Returns the times that are wanted of a group, and which of them is the first of those that `transfer-last` leaves.
fn wanted(options: &SyncOptions, source: &GroupFacts) -> (Vec<Epoch>, usize) {
    let wanted = source.snapshots.iter().filter(|(_, facts)| is_wanted(options, facts));
    let wanted: Vec<Epoch> = wanted.map(|(time, _)| *time).collect();
    let last = options.selection.transfer_last.map_or(wanted.len(), |last| usize::try_from(last).unwrap_or(usize::MAX));
    let first_of_the_last = wanted.len().saturating_sub(last);
    (wanted, first_of_the_last)
}

fn pushed(options: &SyncOptions, source: &GroupFacts, local: Option<&GroupFacts>) -> BTreeMap<Epoch, Expected> {
    let newest = newest(local).map(|(time, _)| time);
    let (wanted, first_of_the_last) = wanted(options, source);
    let new = wanted.into_iter().skip(first_of_the_last).filter(|time| newest.is_none_or(|newest| newest < *time));
    let mut pushed: BTreeMap<Epoch, Expected> = new.map(|time| (time, Expected::Copy)).collect();
    if let Some(newest) = newest.filter(|newest| source.snapshots.contains_key(newest)) {
        pushed.insert(newest, Expected::Followed);
    }
    pushed
}

/// Returns the first snapshot that cannot be pushed.
fn obstacle(pushed: &BTreeMap<Epoch, Expected>, local: Option<&GroupFacts>) -> Option<Epoch> {
    let mut copies = pushed.iter().filter(|(_, expected)| **expected == Expected::Copy).map(|(time, _)| *time);
    if newest(local).is_some_and(|(_, facts)| facts.manifest.is_none()) {
        return copies.next();
    }
    let is_blocked = |facts: &SnapshotFacts| facts.is_protected && !facts.has_manifest;
    copies.find(|time| local.and_then(|local| local.snapshots.get(time)).is_some_and(is_blocked))
}

fn taken(options: &SyncOptions, source: &GroupFacts, local: Option<&GroupFacts>) -> BTreeMap<Epoch, Expected> {
    let newest = newest(local).map(|(time, _)| time);
    let nothing = BTreeMap::new();
    let local = local.map_or(&nothing, |local| &local.snapshots);
    let (wanted, first_of_the_last) = wanted(options, source);
    let mut taken = BTreeMap::new();
    for (position, time) in wanted.iter().enumerate() {
        let copy = local.get(time);
        let is_bad = copy.is_some_and(|copy| {
            copy.has_manifest && (copy.manifest.is_none() || copy.verified() == Some(VerifyState::Failed))
        });
        let is_unfinished = copy.is_some_and(|copy| !copy.has_manifest);
        if options.selection.resync_corrupt && (is_bad || is_unfinished) {
            taken.insert(*time, Expected::SoundCopy);
        } else if newest == Some(*time) {
            taken.insert(*time, Expected::Copy);
        } else if newest.is_some_and(|newest| *time < newest) {
            if !copy.is_some_and(|copy| copy.has_manifest) {
                taken.insert(*time, Expected::MayBeCopied);
            }
        } else if first_of_the_last <= position {
            taken.insert(*time, Expected::Copy);
        }
    }
    taken
}

/// Returns whether a group of the target is one that a run with these options may change.
pub fn may_change(
    options: &SyncOptions,
    twins: &BTreeSet<Namespace>,
    ns: &Namespace,
    group: &Group,
    owner: Option<&Authid>,
) -> bool {
    twins.contains(ns)
        && GroupFilter::in_scope(&options.group_filter, group)
        && owner.is_none_or(|owner| *owner == options.owner)
}
