//! The lines of a repair's log.

use farhold_sync::repair::{RepairEvent, RepairReport, Unmended};
use farhold_tasks::TaskContext;
use farhold_types::{DatastoreName, Group, Namespace, format_bytes};

use crate::verify::{VerifyLog, snapshot_path};

/// Most lines about single chunks that one run writes; the sums tell the rest.
const MAX_CHUNK_LINES: u64 = 1000;

/// Most entries of a list at the end: all stand further up, and a log is read by people.
const MAX_LISTED: usize = 1000;

/// Writes what a repair tells into the log of its task.
pub(super) struct RepairLog {
    store: DatastoreName,
    is_dry: bool,
    context: TaskContext,
    verify: VerifyLog,
    chunk_lines: std::sync::atomic::AtomicU64,
}

impl RepairLog {
    pub(super) fn new(store: DatastoreName, is_dry: bool, context: TaskContext) -> Self {
        let verify = VerifyLog::new(store.clone(), context.clone());
        Self { store, is_dry, context, verify, chunk_lines: std::sync::atomic::AtomicU64::new(0) }
    }

    pub(super) fn tell(&self, event: &RepairEvent<'_>) {
        let (log, warn) = (|text: String| self.context.log(&text), |text: String| self.context.warn(&text));
        let did = |done: &'static str, would: &'static str| if self.is_dry { would } else { done };
        match event {
            RepairEvent::Found { snapshots, suspects, set_aside } => {
                log(format!("found {snapshots} snapshot(s), {suspects} of them to be examined"));
                if *set_aside != 0 {
                    log(format!("{set_aside} chunk(s) were set aside earlier and are missing"));
                }
            }
            RepairEvent::Owned { what, owner } => {
                log(format!("{what} {} '{owner}'", did("belongs now to", "would belong to")))
            }
            RepairEvent::Unmendable(Unmended { what, why, ownerless }) => {
                warn(format!("{what}: {why}"));
                if let Some((ns, group)) = ownerless {
                    log(format!("  {}", self.owner_hint(ns, group)));
                }
            }
            RepairEvent::Verify(event) => self.verify.tell(event),
            RepairEvent::NoCopy { namespace, snapshot, why } => {
                warn(format!("no copy of {}: {why}", snapshot_path(namespace, snapshot)));
            }
            RepairEvent::File { archive, bytes } => {
                log(format!("  {} {archive} ({})", did("replaced", "would replace"), format_bytes(*bytes)));
            }
            RepairEvent::FilesRefused { why } => warn(format!("  {why}")),
            RepairEvent::Chunks { snapshot, archive, chunks, bytes } if self.is_dry => {
                let _ = bytes;
                log(format!("  would fetch {chunks} chunk(s) of '{archive}' of {snapshot}"));
            }
            RepairEvent::Chunks { snapshot, archive, chunks, bytes } => {
                log(format!("  fetched {chunks} chunk(s) ({}) of '{archive}' of {snapshot}", format_bytes(*bytes)));
            }
            RepairEvent::ChunkFailed { digest, why } => {
                match self.chunk_lines.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                    count if count < MAX_CHUNK_LINES => warn(format!("  chunk {digest} was not mended: {why}")),
                    MAX_CHUNK_LINES => warn("  further chunks that were not mended are not listed".to_owned()),
                    _ => {}
                }
            }
            RepairEvent::Searching { chunks } => {
                log(format!("looking for {chunks} chunk(s) in the other snapshots of the source"));
            }
            RepairEvent::Searched { snapshots, missing } => {
                log(format!("looked into {snapshots} other snapshot(s); {missing} chunk(s) were not found"));
            }
            RepairEvent::NoSpace { unexamined } => warn(format!(
                "no space is left on the datastore's disk; {unexamined} snapshot(s) are not looked at - free some, then \
                 repair again"
            )),
            RepairEvent::Retry { attempt, pause, error } => {
                let seconds = pause.as_secs_f64();
                warn(format!("source does not answer, attempt {attempt} in {seconds:.1} s: {error}"));
            }
            RepairEvent::Mended { namespace, snapshot } => {
                let path = snapshot_path(namespace, snapshot);
                log(format!("{path} {}", did("is whole again", "would be whole again")));
            }
            RepairEvent::NotMended { namespace, snapshot, why } => {
                let path = snapshot_path(namespace, snapshot);
                warn(format!("{path} {} damaged: {why}", did("is still", "would stay")));
            }
            // What is told one day and has no line yet.
            _ => {}
        }
    }

    /// Says how a group gets an owner.
    fn owner_hint(&self, ns: &Namespace, group: &Group) -> String {
        let ns = if ns.is_root() { String::new() } else { format!(" --ns {ns}") };
        let store = &self.store;
        format!(
            "set one with 'farhold client change-owner {group} AUTH-ID{ns} --repository USER@SERVER:{store}', or repair \
             with '--owner AUTH-ID'"
        )
    }

    /// Writes the end of the log.
    pub(super) fn summary(&self, report: &RepairReport) {
        let RepairReport {
            examined,
            damaged,
            mended,
            busy,
            chunks,
            chunk_bytes,
            files,
            owners,
            unmended,
            mended_snapshots,
            ..
        } = report;
        let did = if self.is_dry { "would be " } else { "" };
        self.context.log(&format!(
            "summary: {examined} snapshot(s) examined, {damaged} damaged, {mended} of them {did}mended; {chunks} chunk(s) \
             ({}) and {files} file(s) {did}put in place",
            format_bytes(*chunk_bytes)
        ));
        if *owners != 0 {
            self.context.log(&format!("{owners} group(s) {} an owner", if self.is_dry { "would get" } else { "got" }));
        }
        if *busy != 0 {
            self.context.log(&format!("{busy} snapshot(s) were in use and left alone"));
        }
        // The web interface shows these lists, too.
        self.list(&format!("{did}whole again:"), mended_snapshots.iter().map(String::as_str));
        self.list("still damaged:", unmended.iter().map(|left| format!("{}: {}", left.what, left.why)));
    }

    fn list<T: AsRef<str>>(&self, title: &str, lines: impl ExactSizeIterator<Item = T>) {
        let count = lines.len();
        if count != 0 {
            self.context.log(title);
        }
        for line in lines.take(MAX_LISTED) {
            self.context.log(&format!("\t{}", line.as_ref()));
        }
        if MAX_LISTED < count {
            self.context.log(&format!("\t... and {} more, see above", count - MAX_LISTED));
        }
    }
}
