//! What must be true of the target after every round, whatever happened in it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use farhold_storage::is_random_temporary;
use farhold_sync::SyncOptions;
use farhold_types::{Authid, BackupType, Group, GroupFilter, Namespace};

use crate::facts::{Fault, Reader, StoreFacts, finished, read, set_owners};
use crate::ledger::Place;
use crate::model::{is_reached, may_change, scope};
use crate::world::World;

/// The state of both stores before a round.
pub struct Before {
    /// The target.
    pub target: StoreFacts,
    /// Finished snapshots of the source.
    source: BTreeSet<Place>,
    source_namespaces: BTreeSet<Namespace>,
    /// Its files.
    pub files: BTreeMap<String, Option<Bytes>>,
}

impl Before {
    /// Reads the state.
    ///
    /// # Errors
    /// A store cannot be listed.
    pub fn read(world: &World) -> anyhow::Result<Self> {
        let source = read(&world.source.store())?;
        let all = source.iter().flat_map(|(ns, groups)| {
            groups
                .iter()
                .flat_map(move |(group, facts)| facts.snapshots.keys().map(move |time| (ns.clone(), group.at(*time))))
        });
        let files = world.target.disk().contents();
        let mut target = read(&world.target.store())?;
        set_owners(&mut target, &files);
        let source_namespaces = source.keys().cloned().collect();
        Ok(Self { target, source: all.collect(), source_namespaces, files })
    }
}

/// Returns everything that is wrong with the target, given what happened since `before` under `options`.
///
/// # Errors
/// The target cannot be listed.
pub fn audit(world: &World, before: &Before, options: &SyncOptions) -> anyhow::Result<Vec<String>> {
    let now = read(&world.target.store())?;
    let mut wrong = std::mem::take(&mut world.book.ledger().wrong);
    check_content(world, &now, &mut wrong);
    check_removals(world, before, &now, options, &mut wrong);
    check_scope(world, before, options, &mut wrong);
    Ok(wrong)
}

/// Every finished snapshot is complete and is one that was backed up as such.
fn check_content(world: &World, now: &StoreFacts, wrong: &mut Vec<String>) {
    let store = world.target.store();
    let mut reader = Reader::default();
    for ((ns, snapshot), facts) in finished(now) {
        let name = format!("{snapshot} in {}", ns.log_name());
        let Some(manifest) = &facts.manifest else {
            if !world.book.ledger().had_power_failure {
                wrong.push(format!("{name}: the manifest cannot be read"));
            }
            continue;
        };
        let Some(backup) = world.backup_at(&ns, &snapshot) else {
            wrong.push(format!("{name}: nobody ever made such a backup"));
            continue;
        };
        if manifest.snapshot() != snapshot {
            wrong.push(format!("{name}: the manifest belongs to {}", manifest.snapshot()));
        }
        let place = (ns.clone(), snapshot.clone());
        let faults = reader.faults(&store, &ns, &snapshot, manifest, &backup);
        let mut ledger = world.book.ledger();
        for fault in faults {
            let is_known = match &fault {
                Fault::ChunkMissing(digest)
                    if ledger.taken_now.contains(digest)
                        || world.pushes && builds_on_loser(ledger.taken_away.get(digest), &place) =>
                {
                    ledger.taken_away.entry(*digest).or_default().insert(place.clone());
                    true
                }
                Fault::ChunkMissing(digest) => {
                    // A run sets a damaged chunk aside before it writes the good one, which may fail.
                    ledger.damaged.contains(digest)
                        || ledger.taken_away.get(digest).is_some_and(|all| all.contains(&place))
                }
                Fault::ChunkDamaged(digest) => ledger.damaged.contains(digest),
                Fault::File(_) => false,
            };
            if !is_known {
                wrong.push(format!("{name}: {fault:?}"));
            }
        }
    }
}

/// Returns whether an older snapshot of the group lost the chunk: who pushes, as every backup client, relies on the chunks of
/// the newest snapshot that the target has until a verification says that it is damaged.
fn builds_on_loser(losers: Option<&BTreeSet<Place>>, (ns, snapshot): &Place) -> bool {
    let is_older =
        |(other_ns, other): &Place| other_ns == ns && other.group == snapshot.group && other.time < snapshot.time;
    losers.is_some_and(|losers| losers.iter().any(is_older))
}

/// What is gone was removed by somebody who may, and nothing protected is gone.
fn check_removals(world: &World, before: &Before, now: &StoreFacts, options: &SyncOptions, wrong: &mut Vec<String>) {
    let now = finished(now);
    let mut ledger = world.book.ledger();
    for place in &ledger.protected {
        if !now.contains_key(place) {
            wrong.push(format!("{} in {} was protected and is gone", place.1, place.0.log_name()));
        }
    }
    ledger.protected.retain(|place| now.contains_key(place));
    for (place, _) in finished(&before.target) {
        if now.contains_key(&place) || ledger.left_target.contains(&place) {
            continue;
        }
        let origin = place.0.remap(&options.target_anchor, &options.source_anchor).ok();
        let origin = origin.map(|ns| (ns, place.1.clone()));
        let is_vanished = origin
            .as_ref()
            .is_some_and(|origin| !before.source.contains(origin) || ledger.left_source.contains(origin));
        let owner = before.target[&place.0][&place.1.group].owner.as_ref();
        let is_ours = is_reached(options, &place.0)
            && GroupFilter::in_scope(&options.group_filter, &place.1.group)
            && owner == Some(&options.owner);
        if !options.remove_vanished || !is_vanished || !is_ours {
            wrong.push(format!("{} in {} is gone and nobody may have removed it", place.1, place.0.log_name()));
        }
    }
}

/// Returns namespace, type and id that a path of a store belongs to, as far as it goes into a group.
fn group_of(path: &str) -> (Namespace, Option<Group>) {
    let mut parts = path.split('/').peekable();
    let mut components = Vec::new();
    while parts.next_if_eq(&"ns").is_some() {
        components.extend(parts.next());
    }
    let ns = Namespace::from_components(components).unwrap_or_default();
    let group = parts
        .next()
        .and_then(|kind| kind.parse::<BackupType>().ok())
        .and_then(|backup_type| Some(Group::new(backup_type, parts.next()?.parse().ok()?)));
    (ns, group)
}

/// Nothing outside the scope changed, and nothing in groups of others.
fn check_scope(world: &World, before: &Before, options: &SyncOptions, wrong: &mut Vec<String>) {
    let ledger = world.book.ledger();
    // Namespaces that came or went meanwhile may be in scope as well.
    let namespaces = before.source_namespaces.union(&ledger.namespaces);
    let twins: BTreeSet<Namespace> = scope(options, namespaces).into_keys().collect();
    let now = world.target.disk().contents();
    let paths: BTreeSet<&String> = before.files.keys().chain(now.keys()).collect();
    let mut reported = BTreeSet::new();
    for path in paths {
        if path.starts_with('.') || before.files.get(path) == now.get(path) {
            continue;
        }
        let (ns, group) = group_of(path);
        let Some(group) = group else {
            let may_appear = twins.iter().any(|twin| twin.is_at_or_below(&ns));
            let may_go = options.remove_vanished && is_reached(options, &ns) && !now.contains_key(path);
            let is_native = ledger.changed.iter().any(|(at, _)| *at == ns);
            if !may_appear && !may_go && !is_native && reported.insert(path.clone()) {
                wrong.push(format!("{path} changed outside the scope"));
            }
            continue;
        };
        if ledger.changed.contains(&(ns.clone(), group.clone())) {
            continue;
        }
        let facts = before.target.get(&ns).and_then(|groups| groups.get(&group));
        let owner: Option<&Authid> = facts.and_then(|facts| facts.owner.as_ref());
        let is_removed = options.remove_vanished && !now.contains_key(path) && is_reached(options, &ns);
        let is_allowed = may_change(options, &twins, &ns, &group, owner)
            || (is_removed && may_change(options, &BTreeSet::from([ns.clone()]), &ns, &group, owner));
        if !is_allowed && reported.insert(format!("{ns}/{group}")) {
            wrong.push(format!("{path} changed although {group} in {} is out of scope", ns.log_name()));
        }
    }
}

/// Returns the temporary files that lie in the target.
pub fn leftovers(world: &World) -> Vec<String> {
    let is_temporary = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or(path);
        is_random_temporary(name) || name.ends_with(".tmp") || path.starts_with(".chunks/.")
    };
    world.target.disk().contents().into_keys().filter(is_temporary).collect()
}
