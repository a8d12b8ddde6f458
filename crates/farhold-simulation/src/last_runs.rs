//! The runs after all faults are over: the first must bring the target where the rules say, the second change nothing.

use std::collections::BTreeSet;

use anyhow::ensure;
use farhold_sync::{SyncError, SyncOptions, SyncReport};
use farhold_types::{Group, Namespace, VerifyState};
use tokio_util::sync::CancellationToken;

use crate::audit::{Before, audit};
use crate::facts::{Fault, Reader, StoreFacts, read};
use crate::model::{Expectation, Expected, expect};
use crate::world::{Statistics, World, told};

/// Whether resync-corrupt replaces chunks that are damaged in place and were not set aside by a verification.
const HEALS_IN_PLACE: bool = false;

impl World {
    pub(crate) async fn last_runs(&self, options: &SyncOptions, statistics: &mut Statistics) -> anyhow::Result<()> {
        if !self.source.store().namespace_exists(&options.source_anchor)? {
            return self.fail_without_anchor(options, statistics).await;
        }
        self.compare_with_model(options, statistics).await?;
        let before = self.target.disk().contents();
        self.network.take_counts();
        let outcome = self.run(options, CancellationToken::new(), statistics).await?;
        self.book.note(|| format!("the second run ends, {}", told(&outcome)));
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
        ensure!(differing.is_empty(), "a second run without changes on the source changed {differing:?}");
        let report = report_of(&outcome)?;
        ensure!(
            is_hopeless || report.changed_snapshots == 0 && report.chunks == 0 && report.bytes == 0,
            "a second run reports {report:?}"
        );
        Ok(())
    }

    /// The run must fail and touch nothing.
    async fn fail_without_anchor(&self, options: &SyncOptions, statistics: &mut Statistics) -> anyhow::Result<()> {
        let before = self.target.disk().contents();
        let outcome = self.run(options, CancellationToken::new(), statistics).await?;
        ensure!(matches!(outcome, Err(SyncError::Namespaces(_))), "without an anchor: {}", told(&outcome));
        ensure!(before == self.target.disk().contents(), "a run that failed at once changed something");
        Ok(())
    }

    async fn compare_with_model(&self, options: &SyncOptions, statistics: &mut Statistics) -> anyhow::Result<()> {
        {
            let mut ledger = self.book.ledger();
            ledger.left_source.clear();
            ledger.left_target.clear();
            ledger.changed.clear();
        }
        let before = Before::read(self)?;
        let (source, old) = (read(&self.source.store())?, before.target.clone());
        let expectation = expect(options, &source, &old);
        self.book.note(|| format!("the last run begins, expected: {expectation:?}"));
        self.network.take_counts();
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
        wrong.extend(audit(self, &before, options)?);
        if !self.book.ledger().had_death {
            wrong.extend(self.leftovers().into_iter().map(|path| format!("{path} was left over")));
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
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
        if namespaces != expectation.namespaces {
            wrong.push(format!("namespaces {namespaces:?} instead of {:?}", expectation.namespaces));
        }
        let groups: BTreeSet<(Namespace, Group)> = new
            .iter()
            .flat_map(|(ns, groups)| groups.keys().map(move |group| (ns.clone(), group.clone())))
            .chain(expectation.groups.keys().cloned())
            .collect();
        let mut reader = Reader::default();
        let (mut least_changed, mut most_changed) = (0, 0);
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
                    Expected::AsBefore if !is_same => wrong.push(format!("{name} changed")),
                    Expected::AsBefore => {}
                    Expected::MayBeCopied if found.is_none_or(|found| !found.has_manifest) => {}
                    _ if is_copy() != Some(true) => wrong.push(format!("{name} is no copy of the source's")),
                    Expected::SoundCopy => {
                        let store = self.target.store();
                        let manifest = found.and_then(|found| found.manifest.as_ref());
                        let backup = self.backup_at(&ns, &group.at(*time));
                        if let (Some(manifest), Some(backup)) = (manifest, backup) {
                            let mut faults = reader.faults(&store, &ns, &group.at(*time), manifest, &backup);
                            let ledger = self.book.ledger();
                            faults.retain(|fault| {
                                HEALS_IN_PLACE || !matches!(fault, Fault::ChunkDamaged(d) if ledger.damaged.contains(d))
                            });
                            if !faults.is_empty() {
                                wrong.push(format!("{name} is still damaged: {faults:?}"));
                            }
                        }
                    }
                    Expected::Copy | Expected::MayBeCopied => {}
                }
                let is_changed = found.is_some_and(|found| found.has_manifest) && !is_same;
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
        wrong
    }
}

fn report_of(outcome: &Result<SyncReport, SyncError>) -> anyhow::Result<&SyncReport> {
    match outcome {
        Ok(report) => Ok(report),
        Err(SyncError::SomeFailed(report)) => Ok(report),
        Err(error) => anyhow::bail!("the run failed: {error}"),
    }
}
