//! How far a repair is: by the snapshots that are looked at, then by the chunks that are looked for elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};

use farhold_datastore::verify::VerifyEvent;
use farhold_format::upid::Upid;
use farhold_sync::repair::RepairEvent;

use crate::progress::{BoardEntry, ProgressBoard};
use crate::work_progress::{Work, WorkProgress};

/// Puts what a repair tells on the board.
pub(super) struct RepairProgress {
    entry: BoardEntry<WorkProgress>,
    suspects: AtomicU64,
}

#[expect(clippy::cast_precision_loss, reason = "shown as a bar")]
const fn share(count: u64) -> f64 {
    count as f64
}

impl RepairProgress {
    pub(super) fn new(board: &ProgressBoard, upid: Upid) -> Self {
        Self { entry: board.enter_work(upid, Work::RepairSnapshots), suspects: AtomicU64::new(0) }
    }

    pub(super) fn tell(&self, event: &RepairEvent<'_>) {
        let work = self.entry.run();
        match event {
            RepairEvent::Found { suspects, .. } => {
                self.suspects.store(*suspects, Ordering::Relaxed);
                work.begin(Work::RepairSnapshots, Some(share(*suspects)));
            }
            RepairEvent::Examining { done } => work.reach(share(*done), share(self.suspects.load(Ordering::Relaxed))),
            RepairEvent::Verify(VerifyEvent::Examined { size_bytes }) => work.count_bytes(*size_bytes),
            RepairEvent::Searching { chunks } => work.begin(Work::SearchChunks, Some(share(*chunks))),
            RepairEvent::SearchGoesOn { found, missing, .. } => work.reach(share(*found), share(found + missing)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repair_is_counted_in_snapshots_and_then_in_the_chunks_that_it_looks_for() {
        let board = ProgressBoard::default();
        let upid: Upid = "UPID:pbs1:00006035:0004D06C:000000A4:6B0357AF:repair:a:root@pam:".parse().expect("valid");
        let progress = RepairProgress::new(&board, upid);
        let told = |event| {
            progress.tell(&event);
            let look = progress.entry.run().look();
            (look.work, look.done, look.total)
        };
        let work = Work::RepairSnapshots;
        let found = RepairEvent::Found { snapshots: 9, suspects: 4, set_aside: 0 };
        assert_eq!(told(found), (work, 0.0, Some(4.0)));
        assert_eq!(told(RepairEvent::Examining { done: 3 }), (work, 3.0, Some(4.0)));
        let work = Work::SearchChunks;
        assert_eq!(told(RepairEvent::Searching { chunks: 8 }), (work, 0.0, Some(8.0)));
        let goes_on = RepairEvent::SearchGoesOn { snapshots: 1, found: 2, missing: 6 };
        assert_eq!(told(goes_on), (work, 2.0, Some(8.0)));
    }
}
