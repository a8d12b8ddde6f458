//! The lines of a verification's log. Source: recorded logs in `tests/golden/tasks.tar.zst` and `tests/golden/api`.
//!
//! Unlike the reference's, it names every bad chunk, and the namespace of every snapshot and group.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use farhold_datastore::DatastoreError;
use farhold_datastore::verify::{ChunkProblem, SkipReason, VerifyEvent};
use farhold_tasks::TaskContext;
use farhold_types::{DatastoreName, Group, MANIFEST_NAME, Namespace, Snapshot};
use tokio::time::Instant;

/// Returns the path of a namespace below the datastore, with a slash at its end unless it is the root: `ns/a/ns/b/`.
fn namespace_path(namespace: &Namespace) -> String {
    namespace.components().iter().map(|component| format!("ns/{component}/")).collect()
}

/// Returns the path of a group below the datastore: `ns/a/vm/100`.
pub(crate) fn group_path(namespace: &Namespace, group: &Group) -> String {
    format!("{}{group}", namespace_path(namespace))
}

/// Returns the path of a snapshot below the datastore: `ns/a/vm/100/2026-01-01T10:00:00Z`.
pub(crate) fn snapshot_path(namespace: &Namespace, snapshot: &Snapshot) -> String {
    format!("{}{snapshot}", namespace_path(namespace))
}

/// Explains a snapshot without a manifest: whoever reads of a missing file looks for damage otherwise.
const UNFINISHED: &str = "  hint: without it a snapshot is unfinished: a sync that was interrupted goes on with it in its next \
    run; if none will, remove it";

/// Writes what a verification tells into the log of its task.
pub(crate) struct VerifyLog {
    store: DatastoreName,
    context: TaskContext,
    /// When the file being checked began.
    file_start: Mutex<Instant>,
}

impl VerifyLog {
    pub(crate) fn new(store: DatastoreName, context: TaskContext) -> Self {
        Self { store, context, file_start: Mutex::new(Instant::now()) }
    }

    fn file_start(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.file_start.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self, namespace: &Namespace, snapshot: &Snapshot) -> String {
        format!("{}:{}", self.store, snapshot_path(namespace, snapshot))
    }

    pub(crate) fn tell(&self, event: &VerifyEvent<'_>) {
        let context = &self.context;
        match event {
            VerifyEvent::Snapshot { namespace, snapshot, .. } => {
                context.log(&format!("verify {}", self.shown(namespace, snapshot)));
            }
            VerifyEvent::Skipped { namespace, snapshot, reason } => {
                let reason = match reason {
                    SkipReason::Gone => " - snapshot does not exist (anymore).",
                    SkipReason::Busy => " - snapshot is being written or removed.",
                    SkipReason::Recent => " (recently verified)",
                };
                context.log(&format!("SKIPPED: verify {}{reason}", self.shown(namespace, snapshot)));
            }
            VerifyEvent::Unreadable { namespace, snapshot, error } => {
                let what = self.shown(namespace, snapshot);
                context.warn(&format!("verify {what} failed: {}", chain(error)));
                if let DatastoreError::FileMissing { archive, .. } = error
                    && archive.as_str() == MANIFEST_NAME
                {
                    context.log(UNFINISHED);
                }
            }
            VerifyEvent::File { archive, .. } => {
                *self.file_start() = Instant::now();
                context.log(&format!("  check {archive}"));
            }
            VerifyEvent::Chunks { read_bytes, plain_bytes, error_count, .. } => {
                let elapsed = self.file_start().elapsed();
                context.log(&amounts(*read_bytes, *plain_bytes, elapsed, *error_count));
            }
            VerifyEvent::Chunk { digest, problem: ChunkProblem::KnownBad, .. } => {
                context.warn(&format!("chunk {digest} was marked as corrupt"));
            }
            VerifyEvent::Chunk { archive, digest, problem } => {
                context.warn(&format!("chunk {digest} of '{archive}' is bad: {}", chain(problem)));
            }
            VerifyEvent::SetAside { digest, path } => {
                context.warn(&format!("corrupt chunk {digest} renamed to '{path}'"));
            }
            VerifyEvent::NotSetAside { digest, error } => {
                context.warn(&format!("corrupt chunk {digest} could not be renamed: {}", chain(error)));
            }
            VerifyEvent::FileFailed { namespace, snapshot, archive, problem } => {
                let what = self.shown(namespace, snapshot);
                context.warn(&format!("verify {what}/{archive} failed: {}", chain(problem)));
            }
            VerifyEvent::NotNoted { namespace, snapshot, error } => {
                let what = self.shown(namespace, snapshot);
                context.warn(&format!("result of {what} could not be stored: {}", chain(error)));
            }
            // What is told one day and has no line yet.
            _ => {}
        }
    }
}

/// Returns the text of an error and its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
pub(super) fn amounts(read_bytes: u64, plain_bytes: u64, elapsed: Duration, error_count: u64) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (read, plain, seconds) = (mib(read_bytes), mib(plain_bytes), elapsed.as_secs_f64());
    let speed = |amount: f64| if 0.0 < seconds { amount / seconds } else { 0.0 };
    format!(
        "  verified {read:.2}/{plain:.2} MiB in {seconds:.2} seconds, speed {:.2}/{:.2} MiB/s ({error_count} errors)",
        speed(read),
        speed(plain)
    )
}

/// How far a verification of several snapshots is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    /// Groups verified.
    pub(super) groups: usize,
    /// Groups to verify.
    pub(super) of_groups: usize,
    /// Snapshots verified of the group that is under way.
    pub(super) snapshots: usize,
    /// Snapshots of that group.
    pub(super) of_snapshots: usize,
}

/// Returns the line that tells how far it is, after a snapshot.
#[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
pub(super) fn progress(done: Done) -> String {
    let Done { groups, of_groups, snapshots, of_snapshots } = done;
    let part = if of_snapshots == 0 { 1.0 } else { snapshots as f64 / of_snapshots as f64 };
    let percent = (groups as f64 + part) / of_groups.max(1) as f64 * 100.0;
    let place = if of_groups <= 1 {
        format!("{snapshots}/{of_snapshots} snapshots")
    } else if snapshots == of_snapshots {
        format!("{}/{of_groups} groups", groups + 1)
    } else {
        format!("{groups}/{of_groups} groups, {snapshots}/{of_snapshots} snapshots in group #{}", groups + 1)
    };
    format!("percentage done: {percent:.2}% ({place})")
}
