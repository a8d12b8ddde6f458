//! What a session writes into its task's log.
//!
//! Source of the lines: `tests/golden/tasks.tar.zst`, tasks of type `backup`; `docs/spec/wire-protocol.md` 5.4.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use farhold_protocol::writer::ClosedIndex;
use farhold_types::{ArchiveName, Digest, Namespace, Snapshot};

/// Lines that a session's requests may cause. A backup of 256 archives has some 3000; a client gone wild that asks for
/// the same thing for a week must not fill the disk.
const MAX_LINES: u32 = 20_000;

/// Takes the lines that the requests of a session cause, up to [`MAX_LINES`].
#[derive(Clone)]
pub struct SessionLog {
    write: Arc<dyn Fn(&str) + Send + Sync>,
    written: Arc<AtomicU32>,
    is_verbose: bool,
}

impl SessionLog {
    /// Returns a log that writes with `write`. `is_verbose`: also what is only of interest when looking for faults.
    pub fn new(write: Arc<dyn Fn(&str) + Send + Sync>, is_verbose: bool) -> Self {
        Self { write, written: Arc::default(), is_verbose }
    }

    /// Writes a line.
    pub fn line(&self, line: &str) {
        // Saturates, so that it does not begin anew.
        let count = |written: u32| written.checked_add(1);
        match self.written.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count) {
            Ok(written) if written < MAX_LINES => (self.write)(line),
            Ok(MAX_LINES) => (self.write)("more happened, which is not told any more"),
            _ => {}
        }
    }

    /// Writes a line if the client asked for more.
    pub fn debug(&self, line: &str) {
        if self.is_verbose {
            self.line(line);
        }
    }
}

impl std::fmt::Debug for SessionLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionLog").field("is_verbose", &self.is_verbose).finish_non_exhaustive()
    }
}

/// Returns the path of a snapshot or one of its files below the datastore: `ns/a/vm/100/2026-01-01T10:00:00Z`.
pub(crate) fn relative_path(namespace: &Namespace, snapshot: &Snapshot, name: Option<&ArchiveName>) -> String {
    let mut path = String::new();
    for component in namespace.components() {
        path += &format!("ns/{component}/");
    }
    path += &snapshot.to_string();
    if let Some(name) = name {
        path += &format!("/{name}");
    }
    path
}

/// Returns the lines about a closed index.
pub(super) fn upload_statistics(closed: &ClosedIndex, uuid: &[u8; 16], checksum: &Digest) -> Vec<String> {
    let uploaded = closed.uploaded;
    let uuid: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut lines = vec![
        format!("Upload statistics for '{}'", closed.archive),
        format!("UUID: {uuid}"),
        format!("Checksum: {checksum}"),
        format!("Size: {}", closed.size_bytes),
        format!("Chunk count: {}", closed.chunk_count),
    ];
    if 0 < closed.size_bytes && 0 < closed.chunk_count {
        let of_size = percent(uploaded.size_bytes, closed.size_bytes);
        lines.push(format!("Upload size: {} ({of_size}%)", uploaded.size_bytes));
        // Chunks that the client did not send, and chunks that it sent in vain.
        let client = closed.chunk_count.saturating_sub(uploaded.chunk_count);
        let duplicates = client + uploaded.duplicate_count;
        let of_count = percent(duplicates, closed.chunk_count);
        lines.push(format!("Duplicates: {client}+{} ({of_count}%)", uploaded.duplicate_count));
    }
    if 0 < uploaded.size_bytes {
        lines.push(format!("Compression: {}%", percent(uploaded.encoded_bytes, uploaded.size_bytes)));
    }
    lines
}

fn percent(part: u64, whole: u64) -> u128 {
    u128::from(part) * 100 / u128::from(whole.max(1))
}

#[cfg(test)]
mod tests {
    use farhold_protocol::writer::UploadCounts;

    use super::*;

    #[test]
    fn a_client_gone_wild_does_not_fill_the_log() {
        let lines: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
        let taken = Arc::clone(&lines);
        let log = SessionLog::new(Arc::new(move |line: &str| taken.lock().unwrap().push(line.to_owned())), true);
        for _ in 0..MAX_LINES {
            log.clone().line("download");
            log.debug("GET /previous");
        }
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), MAX_LINES as usize + 1);
        assert!(lines.last().unwrap().contains("not told any more"));
    }

    #[test]
    fn a_closed_index_is_described_as_in_the_recorded_log() {
        let uploaded =
            UploadCounts { chunk_count: 1, size_bytes: 2_985_823, encoded_bytes: 1_110_000, duplicate_count: 1 };
        let archive = "etc.pxar.didx".parse().unwrap();
        let closed = ClosedIndex { archive, size_bytes: 2_985_823, chunk_count: 1, uploaded };
        let lines = upload_statistics(&closed, &[0xf2; 16], &Digest([0xe7; 32]));
        assert_eq!(
            lines,
            [
                "Upload statistics for 'etc.pxar.didx'".to_owned(),
                format!("UUID: {}", "f2".repeat(16)),
                format!("Checksum: {}", "e7".repeat(32)),
                "Size: 2985823".to_owned(),
                "Chunk count: 1".to_owned(),
                "Upload size: 2985823 (100%)".to_owned(),
                "Duplicates: 0+1 (100%)".to_owned(),
                "Compression: 37%".to_owned(),
            ]
        );
    }

    #[test]
    fn an_index_for_which_nothing_was_uploaded_has_no_compression() {
        let archive = "a.img.fidx".parse().unwrap();
        let closed = ClosedIndex { archive, size_bytes: 8, chunk_count: 2, uploaded: UploadCounts::default() };
        let lines = upload_statistics(&closed, &[0; 16], &Digest([0; 32]));
        assert_eq!(lines[5..], ["Upload size: 0 (0%)", "Duplicates: 2+0 (100%)"]);
    }

    #[test]
    fn paths_name_the_namespaces() {
        let namespace = "a/b".parse().unwrap();
        let snapshot = "vm/100/2026-01-01T10:00:00Z".parse().unwrap();
        let name = "d.img.fidx".parse().unwrap();
        let expected = "ns/a/ns/b/vm/100/2026-01-01T10:00:00Z/d.img.fidx";
        assert_eq!(relative_path(&namespace, &snapshot, Some(&name)), expected);
        assert_eq!(relative_path(&Namespace::root(), &snapshot, None), "vm/100/2026-01-01T10:00:00Z");
    }
}
