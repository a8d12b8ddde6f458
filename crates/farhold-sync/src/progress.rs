//! How far a run is, for a bar, the progress endpoint and metrics: another reader of the event stream.

use std::collections::BTreeMap;
use std::time::Duration;

use farhold_types::{Epoch, Group, Namespace};

use crate::event::{GroupEvent, NamespaceIndex, SyncEvent};

/// Weight of the newest second in the shown rate: about ten seconds of memory, so that the bar does not jump.
const RATE_WEIGHT: f64 = 0.1;

/// A look at a run. Totals are of what is known so far: groups of later namespaces, and snapshots of later groups, are
/// counted when their turn comes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProgressSnapshot {
    /// Content bytes of chunks that were fetched.
    pub bytes_done: u64,
    /// Content bytes of chunks that the archives begun so far still need.
    pub bytes_left: u64,
    /// Encoded bytes of chunks that came over the network.
    pub bytes_received: u64,
    /// Content bytes of the snapshots to be fetched: an upper bound, since chunks that are here already count.
    pub bytes_planned: u64,
    /// Namespaces finished or failed.
    pub namespaces_done: usize,
    /// Namespaces of the run.
    pub namespaces: usize,
    /// Groups finished.
    pub groups_done: usize,
    /// Groups found so far.
    pub groups: usize,
    /// Snapshots handled.
    pub snapshots_done: usize,
    /// Snapshots to be handled in the groups begun so far.
    pub snapshots: usize,
    /// Groups and snapshots that failed.
    pub failures: usize,
    /// Snapshots of finished groups that were to be handled and are not complete on the target.
    pub behind: usize,
    /// Pauses because the source could not be reached.
    pub retries: u64,
    /// Content bytes per second, smoothed.
    pub rate_bytes_per_s: f64,
    /// Groups that are worked on, by namespace and name.
    pub current: Vec<CurrentGroup>,
}

/// A group that is worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentGroup {
    /// Its namespace on the source.
    pub namespace: Namespace,
    /// The group.
    pub group: Group,
    /// The snapshot that is worked on.
    pub snapshot: Option<Epoch>,
    /// Snapshots handled.
    pub snapshots_done: usize,
    /// Snapshots to be handled.
    pub snapshots: usize,
}

impl ProgressSnapshot {
    /// Returns how long the archives begun so far will still take, if that can be told.
    pub fn time_left(&self) -> Option<Duration> {
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let seconds = self.bytes_left as f64 / self.rate_bytes_per_s;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// Adds up events. `now` of all calls is the time since any fixed moment.
///
/// Memory is bounded by the namespaces and groups worked on at once.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    state: ProgressSnapshot,
    namespaces: BTreeMap<NamespaceIndex, Namespace>,
    current: BTreeMap<(NamespaceIndex, Group), CurrentGroup>,
    rate: RateMeter,
}

impl Progress {
    /// Takes one event.
    pub fn observe(&mut self, event: &SyncEvent, now: Duration) {
        match event {
            SyncEvent::ScopeFound { namespaces } => self.state.namespaces = *namespaces,
            SyncEvent::NamespaceStarted { index, pair } => {
                self.namespaces.insert(*index, pair.source.clone());
            }
            SyncEvent::NamespaceFailed { index, .. } => {
                self.state.failures += 1;
                self.end_namespace(*index);
            }
            SyncEvent::NamespaceFinished { index, .. } => self.end_namespace(*index),
            SyncEvent::GroupsFound { selected, .. } => self.state.groups += selected,
            SyncEvent::Group { index, group, event } => self.group(*index, group, event, now),
            SyncEvent::Retry { .. } => self.state.retries += 1,
            _ => {}
        }
    }

    /// Returns how far the run is.
    pub fn look(&self) -> ProgressSnapshot {
        ProgressSnapshot {
            current: self.current.values().cloned().collect(),
            rate_bytes_per_s: self.rate.bytes_per_s(),
            ..self.state.clone()
        }
    }

    fn end_namespace(&mut self, index: NamespaceIndex) {
        // A namespace that failed may be finished as well.
        self.state.namespaces_done += usize::from(self.namespaces.remove(&index).is_some());
    }

    fn current(&mut self, index: NamespaceIndex, group: &Group) -> &mut CurrentGroup {
        let namespace = self.namespaces.get(&index).cloned().unwrap_or_default();
        self.current.entry((index, group.clone())).or_insert_with(|| CurrentGroup {
            namespace,
            group: group.clone(),
            snapshot: None,
            snapshots_done: 0,
            snapshots: 0,
        })
    }

    fn group(&mut self, index: NamespaceIndex, group: &Group, event: &GroupEvent, now: Duration) {
        match event {
            GroupEvent::Planned { snapshots, bytes } => {
                self.current(index, group).snapshots = *snapshots;
                self.state.snapshots += snapshots;
                self.state.bytes_planned = self.state.bytes_planned.saturating_add(*bytes);
            }
            GroupEvent::SnapshotStarted { time, .. } => self.current(index, group).snapshot = Some(*time),
            GroupEvent::ArchivePlanned { missing_bytes, .. } => self.state.bytes_left += missing_bytes,
            GroupEvent::ChunkStored { encoded_bytes, plain_bytes } => {
                self.state.bytes_done += plain_bytes;
                self.state.bytes_left = self.state.bytes_left.saturating_sub(*plain_bytes);
                self.state.bytes_received += encoded_bytes;
                self.rate.add(*plain_bytes, now);
            }
            GroupEvent::SnapshotProgress { done, .. } => {
                let current = self.current(index, group);
                (current.snapshots_done, current.snapshot) = (*done, None);
                self.state.snapshots_done += 1;
            }
            GroupEvent::SnapshotFailed { .. } | GroupEvent::Failed(_) => self.state.failures += 1,
            GroupEvent::Finished { behind, .. } => {
                self.state.behind += behind;
                self.current.remove(&(index, group.clone()));
                self.state.groups_done += 1;
            }
            _ => {}
        }
    }
}

/// Measures bytes per second, with about ten seconds of memory.
#[derive(Debug, Clone, Default)]
pub struct RateMeter {
    bytes_per_s: f64,
    since: Duration,
    bytes: u64,
}

impl RateMeter {
    /// Counts bytes. `now` of all calls is the time since any fixed moment.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn add(&mut self, bytes: u64, now: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        let seconds = now.saturating_sub(self.since).as_secs_f64();
        if seconds < 1.0 {
            return;
        }
        let rate = self.bytes as f64 / seconds;
        let weight = if self.bytes_per_s == 0.0 { 1.0 } else { 1.0 - (1.0 - RATE_WEIGHT).powf(seconds) };
        self.bytes_per_s += (rate - self.bytes_per_s) * weight;
        self.since = now;
        self.bytes = 0;
    }

    /// Returns bytes per second as they were lately, 0 if nothing was counted for a whole second yet.
    pub const fn bytes_per_s(&self) -> f64 {
        self.bytes_per_s
    }
}

#[cfg(test)]
mod tests {
    use farhold_rules::namespace_map::NamespacePair;

    use super::*;

    fn group(name: &str, event: GroupEvent) -> SyncEvent {
        SyncEvent::Group { index: 0, group: name.parse().unwrap(), event }
    }

    #[test]
    fn done_left_rate_and_time_left_follow_the_chunks() {
        let mut progress = Progress::default();
        let second = Duration::from_secs;
        progress.observe(&SyncEvent::GroupsFound { index: 0, selected: 2, total: 3 }, second(0));
        let planned = GroupEvent::ArchivePlanned { missing_chunks: 4, missing_bytes: 400 };
        progress.observe(&group("vm/1", planned), second(0));
        for i in 1..=2 {
            let stored = GroupEvent::ChunkStored { encoded_bytes: 10, plain_bytes: 100 };
            progress.observe(&group("vm/1", stored), second(i));
        }
        let look = progress.look();
        assert_eq!((look.bytes_done, look.bytes_left, look.bytes_received, look.groups), (200, 200, 20, 2));
        assert!((look.rate_bytes_per_s - 100.0).abs() < 1e-9);
        assert_eq!(look.time_left(), Some(second(2)));
        assert_eq!(ProgressSnapshot { bytes_left: 1, ..ProgressSnapshot::default() }.time_left(), None);
    }

    #[test]
    fn scope_and_current_groups_are_known_while_they_are_worked_on() {
        let mut progress = Progress::default();
        let pair = NamespacePair { source: "a".parse().unwrap(), target: "b".parse().unwrap() };
        let mut observe = |event: &SyncEvent| progress.observe(event, Duration::ZERO);
        observe(&SyncEvent::ScopeFound { namespaces: 2 });
        observe(&SyncEvent::NamespaceStarted { index: 0, pair: pair.clone() });
        observe(&SyncEvent::GroupsFound { index: 0, selected: 2, total: 2 });
        for name in ["vm/1", "vm/2"] {
            observe(&group(name, GroupEvent::Planned { snapshots: 2, bytes: 50 }));
            let state = crate::event::StartState::New;
            observe(&group(name, GroupEvent::SnapshotStarted { time: Epoch(7), state }));
        }
        observe(&group("vm/1", GroupEvent::SnapshotProgress { done: 1, taken: 2, groups_done: 0, groups: 2 }));
        observe(&group("vm/2", GroupEvent::Failed("x".to_owned())));
        observe(&group("vm/2", GroupEvent::Finished { has_progress: true, behind: 1, groups_done: 1, groups: 2 }));
        let look = progress.look();
        assert_eq!((look.namespaces_done, look.namespaces, look.groups_done, look.groups), (0, 2, 1, 2));
        assert_eq!((look.snapshots_done, look.snapshots, look.bytes_planned, look.failures), (1, 4, 100, 1));
        let vm1 = CurrentGroup {
            namespace: pair.source.clone(),
            group: "vm/1".parse().unwrap(),
            snapshot: None,
            snapshots_done: 1,
            snapshots: 2,
        };
        assert_eq!(look.current, [vm1]);
        let finished = SyncEvent::NamespaceFinished { index: 0, pair, groups: 2, snapshots: 1, is_reported: true };
        progress.observe(
            &group("vm/1", GroupEvent::Finished { has_progress: true, behind: 2, groups_done: 2, groups: 2 }),
            Duration::ZERO,
        );
        progress.observe(&finished, Duration::ZERO);
        let look = progress.look();
        assert_eq!((look.namespaces_done, look.behind, look.current), (1, 3, vec![]));
    }
}
