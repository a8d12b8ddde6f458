//! How far a verification is: by groups or snapshots, with the part of the snapshot that is under way.

use std::sync::{Mutex, MutexGuard, PoisonError};

use farhold_datastore::verify::VerifyEvent;
use farhold_format::upid::Upid;

use crate::progress::{BoardEntry, ProgressBoard};
use crate::work_progress::{Work, WorkProgress};

/// Puts what a verification tells on the board.
pub(crate) struct VerifyProgress {
    entry: BoardEntry<WorkProgress>,
    place: Mutex<Place>,
}

/// Where the verification is.
#[derive(Debug, Clone, Copy)]
struct Place {
    work: Work,
    /// Groups or snapshots in all.
    total: f64,
    /// What of them is done before the snapshot.
    before: f64,
    /// What the snapshot counts.
    weight: f64,
    /// Bytes of the snapshot's content, of its files before the one under way, of that file, and what of it was read.
    snapshot_bytes: u64,
    files_before_bytes: u64,
    file_bytes: u64,
    read_bytes: u64,
}

impl Place {
    #[expect(clippy::cast_precision_loss, reason = "shown as a bar")]
    fn done(&self) -> f64 {
        let read = self.files_before_bytes.saturating_add(self.read_bytes.min(self.file_bytes));
        let part = if self.snapshot_bytes == 0 { 0.0 } else { read as f64 / self.snapshot_bytes as f64 };
        self.before + self.weight * part.min(1.0)
    }
}

impl VerifyProgress {
    pub(super) fn new(board: &ProgressBoard, upid: Upid) -> Self {
        let work = Work::VerifySnapshots;
        let place = Place {
            work,
            total: 0.0,
            before: 0.0,
            weight: 0.0,
            snapshot_bytes: 0,
            files_before_bytes: 0,
            file_bytes: 0,
            read_bytes: 0,
        };
        Self { entry: board.enter_work(upid, work), place: Mutex::new(place) }
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many groups or snapshots are to be verified.
    #[expect(clippy::cast_precision_loss, reason = "shown as a bar")]
    pub(super) fn begin(&self, work: Work, total: usize) {
        let total = total as f64;
        {
            let mut place = self.lock();
            (place.work, place.total, place.before, place.weight) = (work, total, 0.0, 0.0);
        }
        self.entry.run().begin(work, Some(total));
    }

    /// Snapshot `number` of the `of_snapshots` of a group begins; the group is number `of_groups` of those to verify, and
    /// all there is if groups are not what is counted.
    #[expect(clippy::cast_precision_loss, reason = "shown as a bar")]
    pub(super) fn in_group(&self, group: usize, number: usize, of_snapshots: usize) {
        let work = self.lock().work;
        match work {
            Work::VerifyGroups => {
                let weight = 1.0 / of_snapshots.max(1) as f64;
                self.at(group as f64 + number as f64 * weight, weight);
            }
            _ => {
                if number == 0 {
                    self.begin(work, of_snapshots);
                }
                self.at_snapshot(number);
            }
        }
    }

    /// Snapshot `number` of those to verify begins.
    #[expect(clippy::cast_precision_loss, reason = "shown as a bar")]
    pub(super) fn at_snapshot(&self, number: usize) {
        self.at(number as f64, 1.0);
    }

    fn at(&self, before: f64, weight: f64) {
        let place = {
            let mut place = self.lock();
            *place = Place { before, weight, snapshot_bytes: 0, ..*place };
            *place
        };
        self.entry.run().reach(before, place.total);
    }

    pub(super) fn tell(&self, event: &VerifyEvent<'_>) {
        let place = {
            let mut place = self.lock();
            match event {
                VerifyEvent::Snapshot { size_bytes, .. } => {
                    place.snapshot_bytes = *size_bytes;
                    (place.files_before_bytes, place.file_bytes, place.read_bytes) = (0, 0, 0);
                }
                VerifyEvent::File { size_bytes, .. } => {
                    place.files_before_bytes = place.files_before_bytes.saturating_add(place.file_bytes);
                    (place.file_bytes, place.read_bytes) = (*size_bytes, 0);
                }
                VerifyEvent::Examined { size_bytes } => {
                    place.read_bytes = place.read_bytes.saturating_add(*size_bytes);
                }
                _ => return,
            }
            *place
        };
        let work = self.entry.run();
        if let VerifyEvent::Examined { size_bytes } = event {
            work.count_bytes(*size_bytes);
        }
        work.reach(place.done(), place.total);
    }
}

#[cfg(test)]
mod tests {
    use farhold_types::{ArchiveName, Namespace, Snapshot};

    use super::*;

    fn told(progress: &VerifyProgress) -> (Work, f64, Option<f64>) {
        let look = progress.entry.run().look();
        (look.work, look.done, look.total)
    }

    /// Verifies a snapshot of 300 bytes in two files, and stops in the middle of the second.
    fn half_way(progress: &VerifyProgress) {
        let snapshot: Snapshot = "vm/100/2026-01-01T10:00:00Z".parse().unwrap();
        let archive: ArchiveName = "a.img.fidx".parse().unwrap();
        let namespace = Namespace::root();
        progress.tell(&VerifyEvent::Snapshot { namespace: &namespace, snapshot: &snapshot, size_bytes: 300 });
        progress.tell(&VerifyEvent::File { archive: &archive, size_bytes: 100 });
        // The last chunk of an image may be longer than the rest of it.
        progress.tell(&VerifyEvent::Examined { size_bytes: 400 });
        progress.tell(&VerifyEvent::File { archive: &archive, size_bytes: 200 });
        progress.tell(&VerifyEvent::Examined { size_bytes: 50 });
    }

    #[test]
    fn groups_count_alike_and_so_do_the_snapshots_of_one() {
        let board = ProgressBoard::default();
        let upid: Upid = "UPID:pbs1:00006035:0004D06C:000000A4:6B0357AF:verify:a:root@pam:".parse().unwrap();
        let progress = VerifyProgress::new(&board, upid);
        assert_eq!(told(&progress), (Work::VerifySnapshots, 0.0, None));
        progress.begin(Work::VerifyGroups, 4);
        progress.in_group(1, 1, 2);
        assert_eq!(told(&progress), (Work::VerifyGroups, 1.5, Some(4.0)));
        half_way(&progress);
        assert_eq!(told(&progress), (Work::VerifyGroups, 1.75, Some(4.0)));
        progress.in_group(2, 0, 1);
        assert_eq!(told(&progress).1, 2.0);
    }

    #[test]
    fn a_group_alone_is_counted_by_its_snapshots() {
        let board = ProgressBoard::default();
        let upid: Upid = "UPID:pbs1:00006035:0004D06C:000000A4:6B0357AF:verify_group:a:root@pam:".parse().unwrap();
        let progress = VerifyProgress::new(&board, upid);
        progress.in_group(0, 0, 3);
        half_way(&progress);
        assert_eq!(told(&progress), (Work::VerifySnapshots, 0.5, Some(3.0)));
        progress.in_group(0, 1, 3);
        assert_eq!(told(&progress), (Work::VerifySnapshots, 1.0, Some(3.0)));
        progress.begin(Work::VerifySnapshots, 1);
        progress.at_snapshot(0);
        half_way(&progress);
        assert_eq!(told(&progress), (Work::VerifySnapshots, 0.5, Some(1.0)));
    }
}
