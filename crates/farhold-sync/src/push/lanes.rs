//! Events in the order of the queue although the work overlaps.
//!
//! Groups of a run with one worker, and files of one snapshot, are sent at the same time to hide round trips. Whoever reads
//! the events sees one after the other: each piece of work has a lane, and a lane's events are held back until all lanes
//! before it are closed. What is held is bounded by how much may overlap: a few events for each snapshot and file, since
//! those that are only counted pass at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::{EventSink, GroupEvent, SyncEvent};

/// Hands events on in the order in which their lanes were begun.
pub(crate) struct Lanes {
    out: Arc<dyn EventSink>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Number of the next lane.
    next: u64,
    /// The lane whose events pass at once.
    open: u64,
    /// What the lanes behind it have told.
    held: BTreeMap<u64, Held>,
}

#[derive(Default)]
struct Held {
    events: Vec<SyncEvent>,
    is_closed: bool,
}

/// One place in the order. Dropping it closes it.
pub(crate) struct Lane {
    lanes: Arc<Lanes>,
    number: u64,
}

impl Lanes {
    pub(crate) fn new(out: Arc<dyn EventSink>) -> Arc<Self> {
        Arc::new(Self { out, state: Mutex::default() })
    }

    /// Begins a lane behind all that were begun before.
    pub(crate) fn lane(self: &Arc<Self>) -> Lane {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        Lane { lanes: self.clone(), number }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether an event is only counted. Such events need no order, and large archives have very many of them.
fn only_counts(event: &SyncEvent) -> bool {
    matches!(event, SyncEvent::Group { event: GroupEvent::ArchivePlanned { .. } | GroupEvent::ChunkStored { .. }, .. })
}

impl EventSink for Lane {
    fn event(&self, event: &SyncEvent) {
        if only_counts(event) {
            return self.lanes.out.event(event);
        }
        let mut state = self.lanes.state();
        if state.open == self.number {
            // Under the lock, so that nothing overtakes it.
            self.lanes.out.event(event);
        } else {
            state.held.entry(self.number).or_default().events.push(event.clone());
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut state = self.lanes.state();
        if state.open != self.number {
            state.held.entry(self.number).or_default().is_closed = true;
            return;
        }
        loop {
            state.open += 1;
            let number = state.open;
            let Some(held) = state.held.remove(&number) else { break };
            for event in &held.events {
                self.lanes.out.event(event);
            }
            if !held.is_closed {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lane: &Lane, namespaces: usize) {
        lane.event(&SyncEvent::ScopeFound { namespaces });
    }

    #[test]
    fn events_come_in_the_order_of_their_lanes_and_at_once_when_nothing_is_before_them() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let lanes = Lanes::new(Arc::new(move |event: &SyncEvent| {
            if let SyncEvent::ScopeFound { namespaces } = event {
                sink.lock().unwrap_or_else(PoisonError::into_inner).push(*namespaces);
            }
        }));
        let now = || std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        let [first, second, third, fourth] = std::array::from_fn(|_| lanes.lane());
        told(&third, 30);
        told(&first, 10);
        told(&second, 20);
        assert_eq!(now(), [10]);
        drop(third);
        told(&second, 21);
        assert_eq!(now(), [0; 0]);
        drop(first);
        assert_eq!(now(), [20, 21]);
        told(&second, 22);
        told(&fourth, 40);
        assert_eq!(now(), [22]);
        drop(second);
        assert_eq!(now(), [30, 40]);
        drop(fourth);
        told(&lanes.lane(), 50);
        assert_eq!(now(), [50]);
    }

    #[test]
    fn what_only_counts_is_told_at_once_so_that_nothing_piles_up() {
        let counted = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let sink = counted.clone();
        let lanes = Lanes::new(Arc::new(move |event: &SyncEvent| {
            if let SyncEvent::Group {
                event: GroupEvent::ChunkStored { .. } | GroupEvent::ArchivePlanned { .. }, ..
            } = event
            {
                sink.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }));
        let (_first, second) = (lanes.lane(), lanes.lane());
        let group = || "vm/1".parse().unwrap();
        for event in [
            GroupEvent::ArchivePlanned { missing_chunks: 1, missing_bytes: 1 },
            GroupEvent::ChunkStored { encoded_bytes: 1, plain_bytes: 1 },
        ] {
            second.event(&SyncEvent::Group { index: 0, group: group(), event });
        }
        assert_eq!(counted.load(std::sync::atomic::Ordering::Relaxed), 2);
        assert!(lanes.state().held.is_empty());
    }
}
