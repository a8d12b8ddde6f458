//! What a verification found wrong with one snapshot.

use std::collections::{BTreeMap, BTreeSet};

use farhold_datastore::verify::{FileProblem, VerifyEvent};
use farhold_types::{ArchiveName, Digest};

use crate::outcome::chain;

/// Most problems of one snapshot that are kept as texts; all stand in the log.
const MAX_PROBLEMS: usize = 20;

/// What verification found wrong with a snapshot.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Whether its manifest, or an index or blob itself, is damaged.
    pub(super) has_bad_files: bool,
    /// What is wrong, for people.
    problems: Vec<String>,
    /// Bad chunks by the index that refers to them.
    pub(super) chunks: BTreeMap<ArchiveName, BTreeSet<Digest>>,
}

impl Findings {
    pub(super) fn problem(&mut self, text: String) {
        if self.problems.len() < MAX_PROBLEMS && !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }

    /// Says how many of the bad chunks this run has just put in place: such a disk loses more.
    pub(super) fn tell_bad_again(&mut self, placed: &BTreeSet<Digest>) {
        let again: BTreeSet<_> = self.chunks.values().flatten().filter(|digest| placed.contains(digest)).collect();
        if !again.is_empty() {
            let count = again.len();
            self.problems
                .insert(0, format!("{count} chunk(s) that were just mended are bad again, the disk may be failing"));
        }
    }

    /// Returns what is wrong as one text.
    pub(super) fn text(&self) -> String {
        self.problems.join("; ")
    }

    pub(super) fn take(&mut self, event: &VerifyEvent<'_>) {
        match event {
            VerifyEvent::Unreadable { error, .. } => {
                self.has_bad_files = true;
                self.problem(format!("its manifest cannot be read: {}", chain(error)));
            }
            VerifyEvent::FileFailed { problem: FileProblem::Chunks, archive, .. } => {
                let count = self.chunks.get(*archive).map_or(0, BTreeSet::len);
                self.problem(format!("{archive}: {count} chunk(s) are missing or bad"));
            }
            VerifyEvent::FileFailed { archive, problem, .. } => {
                self.has_bad_files = true;
                self.problem(format!("{archive}: {}", chain(problem)));
            }
            VerifyEvent::Chunk { archive, digest, .. } => {
                self.chunks.entry((*archive).clone()).or_default().insert(*digest);
            }
            VerifyEvent::NotNoted { error, .. } => self.problem(format!("result not noted: {}", chain(error))),
            _ => {}
        }
    }
}
