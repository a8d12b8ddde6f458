//! The runs after all faults are over: the first must bring the target where the rules say, the second change nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use bytes::Bytes;
use farhold_sync::{PlannedAction, PlannedGroupRemoval, RunPlan, SyncError, SyncOptions, SyncReport};
use farhold_types::{Group, Namespace, Snapshot, VerifyState};
use tokio_util::sync::CancellationToken;

use crate::audit::{Before, audit};
use crate::facts::{Reader, SnapshotFacts, StoreFacts, read};
use crate::model::{Expectation, Expected, Way, expect};
use crate::world::{Statistics, World, told};

/// Returns the files without what dead writers left of chunks, which whoever opens a target removes.
fn apart_from_debris(mut files: BTreeMap<String, Option<Bytes>>) -> BTreeMap<String, Option<Bytes>> {
    files.retain(|path, _| !path.starts_with(".chunks/."));
    files
}

impl World {
    pub(crate) async fn last_runs(&self, options: &SyncOptions, statistics: &mut Statistics) -> anyhow::Result<()> {
        if !self.source.store().namespace_exists(&options.source_anchor)? {
            return self.fail_without_anchor(options, statistics).await;
        }
        // Where the newest copy of a group vanished, it hides older missing ones until it is removed, which is the last
        // thing that a run does with a group. The next run fetches them.
        if self.compare_with_model(options, statistics).await? {
            let removes_again = self.compare_with_model(options, statistics).await?;
            ensure!(!removes_again, "a second run removed something");
        }
        let before = self.target.disk().contents();
        self.network.take_counts();
        let outcome = self.run(options, CancellationToken::new(), statistics).await?;
        self.book.note(|| format!("the run that changes nothing ends, {}", told(&outcome)));
        let after = self.target.disk().contents();
        // What the source itself calls corrupt is fetched again by every run with resync-corrupt, which may even heal
        // chunks.
        let is_hopeless = options.selection.resync_corrupt
            && read(&self.source.store())?
                .values()
                .flat_map(|groups| groups.values())
                .any(|group| group.snapshots.values().any(|facts| facts.verified() == Some(VerifyState::Failed)));
        let differing: Vec<_> = before
            .keys()
            .chain(after.keys())
            .filter(|path| before.get(*path) != after.get(*path))
            .filter(|path| !is_hopeless || !path.starts_with(".chunks"))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        ensure!(differing.is_empty(), "one more run without changes on the source changed {differing:?}");
        let report = report_of(&outcome)?;
        ensure!(
            is_hopeless || report.changed_snapshots == 0 && report.chunks == 0 && report.bytes == 0,
            "the run that changes nothing reports {report:?}"
        );
        Ok(())
    }

    /// The run must fail and touch nothing.
    async fn fail_without_anchor(&self, options: &SyncOptions, statistics: &mut Statistics) -> anyhow::Result<()> {
        let before = apart_from_debris(self.target.disk().contents());
        let outcome = self.run(options, CancellationToken::new(), statistics).await?;
        ensure!(matches!(outcome, Err(SyncError::Namespaces(_))), "without an anchor: {}", told(&outcome));
        let after = apart_from_debris(self.target.disk().contents());
        ensure!(before == after, "a run that failed at once changed something");
        Ok(())
    }

    /// Runs once and compares with the model. Returns whether something was removed.
    async fn compare_with_model(&self, options: &SyncOptions, statistics: &mut Statistics) -> anyhow::Result<bool> {
        self.begin_round();
        let before = Before::read(self)?;
        let (source, old) = (read(&self.source.store())?, before.target.clone());
        let way = if self.pushes { Way::Push } else { Way::Pull };
        let expectation = expect(options, way, &source, &old);
        self.book.note(|| format!("the last run begins, expected: {expectation:?}"));
        self.network.take_counts();
        let plan = self.dry_run(options).await?;
        let is_same = apart_from_debris(before.files.clone()) == apart_from_debris(self.target.disk().contents());
        ensure!(is_same, "the dry run changed something");
        let outcome = self.run(options, CancellationToken::new(), statistics).await?;
        self.book.note(|| format!("the last run ends, {}", told(&outcome)));
        let report = report_of(&outcome)?;
        ensure!(
            report.failures.count == expectation.failures.len(),
            "failures {:?} instead of {:?}",
            report.failures,
            expectation.failures
        );
        ensure!(report.groups == expectation.handled, "{} groups instead of {}", report.groups, expectation.handled);
        let new = read(&self.target.store())?;
        let mut wrong = self.compare(&expectation, &source, &old, &new, report);
        wrong.extend(promises(&plan, way, &expectation, &old, &new, self.book.ledger().had_power_failure));
        wrong.extend(audit(self, &before, options)?);
        let ledger = self.book.ledger();
        let may_leave = ledger.had_death || ledger.absences != 0;
        drop(ledger);
        if !may_leave {
            wrong.extend(self.leftovers().into_iter().map(|path| format!("{path} was left over")));
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(report.removed.is_some_and(|removed| removed.snapshots != 0))
    }

    fn compare(
        &self,
        expectation: &Expectation,
        source: &StoreFacts,
        old: &StoreFacts,
        new: &StoreFacts,
        report: &SyncReport,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let namespaces: BTreeSet<Namespace> = new.keys().cloned().collect();
        // A power failure may leave a group without an owner, which nobody may remove, in a namespace that vanished.
        let may_stay = self.book.ledger().had_power_failure;
        let is_kept = |ns: &Namespace| expectation.namespaces.contains(ns) || (may_stay && old.contains_key(ns));
        if !expectation.namespaces.is_subset(&namespaces) || !namespaces.iter().all(is_kept) {
            wrong.push(format!("namespaces {namespaces:?} instead of {:?}", expectation.namespaces));
        }
        let groups: BTreeSet<(Namespace, Group)> = new
            .iter()
            .flat_map(|(ns, groups)| groups.keys().map(move |group| (ns.clone(), group.clone())))
            .chain(expectation.groups.keys().cloned())
            .collect();
        let mut reader = Reader::default();
        let (mut least_changed, mut most_changed, mut removed) = (0, 0, 0);
        for (ns, group) in groups {
            let nothing = std::collections::BTreeMap::new();
            let expected = expectation.groups.get(&(ns.clone(), group.clone())).unwrap_or(&nothing);
            let found = new.get(&ns).and_then(|groups| groups.get(&group)).map(|facts| &facts.snapshots);
            let earlier = old.get(&ns).and_then(|groups| groups.get(&group)).map(|facts| &facts.snapshots);
            for (time, facts) in found.into_iter().flatten() {
                // A death may leave a directory in a group that is listed only since it is complete.
                let is_debris = !facts.has_manifest && self.book.ledger().had_death;
                if !expected.contains_key(time) && !is_debris {
                    wrong.push(format!("{} in {} should not be there", group.at(*time), ns.log_name()));
                }
            }
            for (time, expected) in expected {
                let name = format!("{} in {}", group.at(*time), ns.log_name());
                let (found, earlier) = (found.and_then(|f| f.get(time)), earlier.and_then(|e| e.get(time)));
                let origin =
                    expectation.sources.get(&ns).and_then(|ns| source.get(ns)?.get(&group)?.snapshots.get(time));
                let is_same = found.map(|f| &f.raw) == earlier.map(|e| &e.raw);
                let is_copy = || {
                    let (found, origin) = (found?.manifest.as_ref()?, origin?.manifest.as_ref()?);
                    Some(found.has_same_protected_content(origin))
                };
                match expected {
                    Expected::Gone if found.is_some() => wrong.push(format!("{name} should be gone")),
                    Expected::Gone => removed += usize::from(earlier.is_some()),
                    // What this job left unfinished goes when the source does not have it any more.
                    Expected::AsBefore if found.is_none() && earlier.is_some_and(|facts| !facts.has_manifest) => {}
                    Expected::AsBefore if !is_same => wrong.push(format!("{name} changed")),
                    Expected::AsBefore => {}
                    Expected::Followed if is_followed(found, earlier) => {}
                    Expected::Followed => wrong.push(format!("{name} changed")),
                    Expected::MayBeCopied if found.is_none_or(|found| !found.has_manifest) => {}
                    _ if is_copy() != Some(true) => wrong.push(format!("{name} is no copy of the source's")),
                    Expected::SoundCopy => {
                        let store = self.target.store();
                        let manifest = found.and_then(|found| found.manifest.as_ref());
                        let backup = self.backup_at(&ns, &group.at(*time));
                        if let (Some(manifest), Some(backup)) = (manifest, backup) {
                            let faults = reader.faults(&store, &ns, &group.at(*time), manifest, &backup);
                            if !faults.is_empty() {
                                wrong.push(format!("{name} is still damaged: {faults:?}"));
                            }
                        }
                    }
                    Expected::Copy | Expected::MayBeCopied => {}
                }
                let is_whole = found.is_some_and(|found| found.has_manifest);
                let is_changed = is_whole && !is_same && *expected != Expected::Followed;
                least_changed += usize::from(is_changed);
                most_changed += usize::from(is_changed || *expected == Expected::SoundCopy);
            }
        }
        if !(least_changed..=most_changed).contains(&report.changed_snapshots) {
            wrong.push(format!(
                "{} snapshots changed (or up to {most_changed}), reported were {}",
                least_changed, report.changed_snapshots
            ));
        }
        let reported = report.removed.unwrap_or_default().snapshots;
        // Debris of a power failure in a group without owner is listed only since this run completed the group.
        let had_power_failure = self.book.ledger().had_power_failure;
        if reported < removed || (removed < reported && !had_power_failure) {
            wrong.push(format!("{removed} snapshots were removed, reported were {reported}"));
        }
        wrong
    }
}

/// Returns whether a snapshot is what it was before, apart from what a manifest does not protect.
fn is_followed(found: Option<&SnapshotFacts>, earlier: Option<&SnapshotFacts>) -> bool {
    let (Some(found), Some(earlier)) = (found, earlier) else { return false };
    match (&found.manifest, &earlier.manifest) {
        (Some(now), Some(before)) => now.has_same_protected_content(before),
        _ => found.raw == earlier.raw,
    }
}

/// Returns where the run did not do what the dry run before it said.
fn promises(
    plan: &RunPlan,
    way: Way,
    expectation: &Expectation,
    old: &StoreFacts,
    new: &StoreFacts,
    may_have_debris: bool,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let find = |facts: &StoreFacts, ns: &Namespace, group: &Group, time| -> Option<SnapshotFacts> {
        facts.get(ns)?.get(group)?.snapshots.get(&time).cloned()
    };
    let mut promised_removals = BTreeSet::new();
    let mut promised_changes = BTreeSet::new();
    for namespace in &plan.namespaces {
        let ns = &namespace.target;
        // Not everything that stops a push is seen without a session.
        let has_failed = |group: &Group| expectation.failures.contains(&(ns.clone(), group.clone()));
        for group in namespace.groups.iter().filter(|group| way == Way::Pull || !has_failed(&group.group)) {
            for snapshot in &group.snapshots {
                let place = (ns.clone(), group.group.at(snapshot.time));
                match snapshot.action {
                    PlannedAction::Transfer | PlannedAction::Refetch if group.failure.is_none() => {
                        let is_there = find(new, ns, &group.group, snapshot.time).is_some_and(|f| f.manifest.is_some());
                        if !is_there {
                            wrong.push(format!("the dry run promised {} in {}", place.1, ns.log_name()));
                        }
                        promised_changes.insert(place);
                    }
                    PlannedAction::Compare => {
                        promised_changes.insert(place);
                    }
                    _ => {}
                }
            }
            let removals = group.removals.iter().filter(|removal| !removal.is_protected);
            promised_removals.extend(removals.map(|removal| (ns.clone(), group.group.at(removal.time))));
        }
        let groups = namespace.removed_groups.iter().map(|group| (ns, group));
        promised_removals.extend(of_groups(groups));
    }
    for namespace in &plan.removed_namespaces {
        promised_removals.extend(of_groups(namespace.groups.iter().map(|group| (&namespace.namespace, group))));
    }
    let mut removed = BTreeSet::new();
    for (ns, groups) in old {
        for (group, facts) in groups {
            for (time, facts) in &facts.snapshots {
                let place = (ns.clone(), group.at(*time));
                match find(new, ns, group, *time) {
                    None if facts.has_manifest || promised_removals.contains(&place) => {
                        removed.insert(place);
                    }
                    // An unfinished one of this job, which the dry run does not name.
                    None => {}
                    // Notes and log follow without being announced.
                    Some(found) if way == Way::Push && is_followed(Some(&found), Some(facts)) => {}
                    Some(found) if found.raw != facts.raw && !promised_changes.contains(&place) => {
                        wrong.push(format!("the dry run did not say that {} changes", place.1));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    if !removed.is_subset(&promised_removals) || (removed != promised_removals && !may_have_debris) {
        wrong.push(format!("{removed:?} were removed, the dry run said {promised_removals:?}"));
    }
    wrong
}

fn of_groups<'a>(groups: impl Iterator<Item = (&'a Namespace, &'a PlannedGroupRemoval)>) -> Vec<(Namespace, Snapshot)> {
    let mut places = Vec::new();
    for (ns, group) in groups {
        let removals = group.snapshots.iter().filter(|removal| !removal.is_protected);
        places.extend(removals.map(|removal| (ns.clone(), group.group.at(removal.time))));
    }
    places
}

fn report_of(outcome: &Result<SyncReport, SyncError>) -> anyhow::Result<&SyncReport> {
    match outcome {
        Ok(report) => Ok(report),
        Err(SyncError::SomeFailed(report)) => Ok(report),
        Err(error) => anyhow::bail!("the run failed: {error}"),
    }
}
