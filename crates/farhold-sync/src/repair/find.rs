//! Which snapshots may be damaged, found without reading their content. Blocking.

use std::collections::BTreeSet;

use farhold_datastore::backup::is_benchmark_group;
use farhold_datastore::{Datastore, DatastoreError, ErrorKind, GroupProblem};
use farhold_format::manifest::Manifest;
use farhold_types::{
    ArchiveKind, Authid, Digest, Group, GroupFilter, MAX_NAMESPACE_DEPTH, Namespace, Snapshot, VerifyState,
};

use crate::local::chunks::is_likely_length;
use crate::outcome::chain;
use crate::repair::{MayMend, RepairOptions, RepairReach, Unmended};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Snapshots in scope.
    pub(super) snapshots: u64,
    /// Those to be verified, newest first within a group.
    pub(super) suspects: Vec<(Namespace, Snapshot)>,
    /// Chunks that were set aside and have not come back.
    pub(super) set_aside: BTreeSet<Digest>,
    /// Groups that got an owner, or would.
    pub(super) owned: Vec<String>,
    /// Groups and namespaces with a fault that no source can mend.
    pub(super) unmendable: Vec<Unmended>,
}

/// Returns the path of a group, or of a snapshot, below the store.
pub(super) fn path(ns: &Namespace, what: &dyn std::fmt::Display) -> String {
    let namespace: String = ns.components().iter().map(|component| format!("ns/{component}/")).collect();
    format!("{namespace}{what}")
}

struct Finder<'a> {
    store: &'a Datastore,
    options: &'a RepairOptions,
    is_stopped: &'a dyn Fn() -> bool,
    found: Found,
}

/// Looks through everything in scope, and gives groups an owner that have none, if the options name one. Ends early when
/// it is asked to stop.
///
/// # Errors
/// The anchor or the folders of chunks cannot be listed.
pub(super) fn find(
    store: &Datastore,
    options: &RepairOptions,
    may_mend: &MayMend,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Found, DatastoreError> {
    let set_aside = match options.reach {
        RepairReach::Suspects => store.chunks_set_aside(is_stopped)?,
        // Each chunk is looked at anyway.
        RepairReach::Everything => BTreeSet::new(),
    };
    let found = Found { set_aside, ..Found::default() };
    let mut finder = Finder { store, options, is_stopped, found };
    let depth = options.max_depth.map_or(MAX_NAMESPACE_DEPTH, usize::from);
    for ns in store.namespaces(&options.anchor, depth)? {
        if may_mend(&ns) {
            finder.namespace(&ns, ns == options.anchor)?;
        }
    }
    Ok(finder.found)
}

impl Finder<'_> {
    fn unmendable(&mut self, what: String, why: String) {
        self.found.unmendable.push(Unmended { what, why, ownerless: None });
    }

    fn problem(&mut self, ns: &Namespace, group: &Group, problem: &GroupProblem) {
        let what = path(ns, group);
        let mut why = format!("{}: {}", problem.advice(), chain(&problem.error));
        // What is out of reach only now may have an owner.
        let is_lost = problem.is_owner && problem.error.kind() == ErrorKind::Corrupt;
        if is_lost && let Some(owner) = &self.options.owner {
            match self.give(ns, group, owner) {
                Ok(()) => {
                    self.found.owned.push(what);
                    return;
                }
                Err(error) => why = format!("{why}; it could not be set: {}", chain(&error)),
            }
        }
        let ownerless = problem.is_owner.then(|| (ns.clone(), group.clone()));
        self.found.unmendable.push(Unmended { what, why, ownerless });
    }

    /// Gives a group an owner, unless it has got one meanwhile.
    fn give(&self, ns: &Namespace, group: &Group, owner: &Authid) -> Result<(), DatastoreError> {
        if self.options.is_dry {
            return Ok(());
        }
        let lock = self.store.lock_group(ns, group)?;
        match self.store.owner(ns, group) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Corrupt => self.store.set_owner(&lock, owner),
            Err(error) => Err(error),
        }
    }

    fn namespace(&mut self, ns: &Namespace, is_anchor: bool) -> Result<(), DatastoreError> {
        let groups = match self.store.groups_and_owners(ns) {
            Ok(groups) => groups,
            Err(error) if is_anchor => return Err(error),
            // Removed meanwhile.
            Err(DatastoreError::NamespaceMissing { .. }) => return Ok(()),
            Err(error) => {
                self.unmendable(ns.log_name(), format!("its groups cannot be listed: {}", chain(&error)));
                return Ok(());
            }
        };
        let filters = &self.options.groups;
        let is_wanted = |group: &Group| !is_benchmark_group(group) && GroupFilter::in_scope(filters, group);
        for (group, _) in groups.into_iter().filter(|(group, _)| is_wanted(group)) {
            if (self.is_stopped)() {
                break;
            }
            for problem in self.store.group_problems(ns, &group) {
                self.problem(ns, &group, &problem);
            }
            self.group(ns, &group);
        }
        Ok(())
    }

    fn group(&mut self, ns: &Namespace, group: &Group) {
        let snapshots = match self.store.snapshots(ns, group) {
            Ok(snapshots) => snapshots,
            Err(DatastoreError::GroupMissing { .. }) => return,
            Err(error) => {
                let why = format!("its snapshots cannot be listed: {}", chain(&error));
                self.unmendable(path(ns, group), why);
                return;
            }
        };
        for info in snapshots.into_iter().rev() {
            let snapshot = group.at(info.time);
            self.found.snapshots += 1;
            if self.options.reach == RepairReach::Everything || self.is_suspect(ns, &snapshot) {
                self.found.suspects.push((ns.clone(), snapshot));
            }
        }
    }

    fn is_suspect(&self, ns: &Namespace, snapshot: &Snapshot) -> bool {
        let manifest = match self.store.read_manifest(ns, snapshot) {
            Ok((manifest, _)) => manifest,
            Err(DatastoreError::SnapshotMissing { .. }) => return false,
            // Looking closer tells more.
            Err(_) => return true,
        };
        manifest.verify_state().is_some_and(|item| item.state == VerifyState::Failed)
            || !self.looks_whole(ns, snapshot, &manifest)
            || self.refers_to_set_aside(ns, snapshot, &manifest)
    }

    fn looks_whole(&self, ns: &Namespace, snapshot: &Snapshot, manifest: &Manifest) -> bool {
        manifest.files.iter().all(|file| match self.store.file_bytes(ns, snapshot, &file.name) {
            Ok(length) => length.is_some_and(|length| is_likely_length(file, length)),
            Err(error) => error.kind() != ErrorKind::Corrupt,
        })
    }

    fn refers_to_set_aside(&self, ns: &Namespace, snapshot: &Snapshot, manifest: &Manifest) -> bool {
        if self.found.set_aside.is_empty() {
            return false;
        }
        manifest.files.iter().filter(|file| file.name.kind() != ArchiveKind::Blob).any(|file| {
            match self.store.open_index(ns, snapshot, &file.name) {
                Ok(index) => index.digests().any(|digest| self.found.set_aside.contains(&digest)),
                Err(_) => true,
            }
        })
    }
}
