//! Verification: reading snapshots back and noting in their manifests whether they are whole.
//!
//! A [`Verifier`] lives as long as one task and reads each chunk once, however many snapshots refer to it. The verdict
//! on an index is taken when all its chunks were checked. A chunk whose content is damaged is set aside under a name
//! ending in `.bad`, so that the next backup or sync stores it anew.
//!
//! Differs from the reference where that harms: a chunk with the right content is never set aside, even if an index
//! gives it another length or kind than it has (the index is wrong then), and neither is one that could not be read for
//! a passing reason, such as too many open files.
//!
//! Source: `docs/spec/datastore-format.md` 18.

mod chunks;
mod event;

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Mutex, MutexGuard, PoisonError};

use farhold_crypto::sha256;
use farhold_format::blob::{self, BlobDecoder, MAX_INPUT_BYTES};
use farhold_format::manifest::{Manifest, ManifestFile, VERIFY_STATE};
use farhold_format::upid::Upid;
use farhold_types::{ArchiveKind, Digest, Epoch, Namespace, Snapshot, VerifyState};
use serde_json::json;
use thiserror::Error;

pub use event::{ChunkProblem, FileProblem, SkipReason, VerifyEvent, VerifyWatch};

use crate::error::{DatastoreError, ErrorKind};
use crate::store::Datastore;

/// Seconds of a day; ages of verifications are counted in whole days.
const DAY_SECONDS: i64 = 86_400;

/// In which order the chunks of an index are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOrder {
    /// As they lie on the disk, as far as inode numbers tell.
    Inode,
    /// As the index lists them.
    Index,
}

/// How a verification works. With one reader and one worker everything happens on the caller's own thread, in the order of
/// reading.
#[derive(Debug, Clone, Copy)]
pub struct VerifyOptions {
    /// Threads that read chunks.
    pub readers: NonZero<usize>,
    /// Threads that decode and hash them. Each needs up to 50 MiB.
    pub workers: NonZero<usize>,
    /// Order of reading.
    pub order: ReadOrder,
}

/// Which snapshots are verified again although they were before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reverify {
    /// All.
    Always,
    /// None.
    Never,
    /// Those whose last verification began more than so many whole days before `now`, whatever it found.
    Outdated {
        /// Days that a result is good for.
        after_days: i64,
        /// The time now.
        now: Epoch,
    },
}

impl Reverify {
    /// Returns whether a snapshot with this manifest is to be verified.
    pub fn applies_to(&self, manifest: &Manifest) -> bool {
        let Some(state) = manifest.verify_state() else { return true };
        match *self {
            Self::Always => true,
            Self::Never => false,
            Self::Outdated { after_days, now } => match state.upid.parse::<Upid>() {
                Ok(upid) => after_days < now.0.saturating_sub(upid.start_time().0).div_euclid(DAY_SECONDS),
                Err(_) => true,
            },
        }
    }
}

/// What became of one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotVerdict {
    /// It is whole, and its manifest says so.
    Ok,
    /// Something is wrong with it; its manifest says so if it could be changed.
    Failed,
    /// It was not looked at, which counts as success.
    Skipped(SkipReason),
}

impl SnapshotVerdict {
    /// Returns whether the snapshot counts as failed.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed)
    }
}

/// The verification was asked to stop; nothing was noted about the snapshot it was at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("verification was stopped")]
pub struct VerifyStopped;

/// What is known about a chunk whose content was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Its content has its digest.
    Plain { size_bytes: u64 },
    /// Its checksum is right; more cannot be seen without the key.
    Encrypted,
    /// It is damaged or missing.
    Bad,
}

/// What a verification changes in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changes {
    /// It notes the result in manifests and sets damaged chunks aside.
    Made,
    /// Nothing.
    None,
}

/// Verifies snapshots of one store. Remembers all chunks it has seen, about 50 bytes each.
pub struct Verifier {
    store: Datastore,
    options: VerifyOptions,
    changes: Changes,
    known: Mutex<HashMap<Digest, Known>>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("store", &self.store).field("options", &self.options).finish_non_exhaustive()
    }
}

impl Verifier {
    /// Returns a verifier that has seen nothing yet.
    pub fn new(store: Datastore, options: VerifyOptions) -> Self {
        Self { store, options, changes: Changes::Made, known: Mutex::default() }
    }

    /// Returns a verifier that only looks: it neither notes results nor sets damaged chunks aside.
    #[must_use]
    pub fn looking_only(self) -> Self {
        Self { changes: Changes::None, ..self }
    }

    /// Forgets what was found of a chunk that has been replaced since: the next index that refers to it has it read again.
    pub fn forget(&self, digest: &Digest) {
        self.known().remove(digest);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Digest, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Verifies one snapshot, unless `reverify` says that its last verification is good enough, and notes the result in
    /// its manifest under the task `upid`. Blocking; holds a shared lock on the snapshot.
    ///
    /// A snapshot that is gone or being written is skipped. One whose manifest cannot be read has failed, and nothing is
    /// written.
    ///
    /// # Errors
    /// [`VerifyStopped`]. All other failures are told as events and make the snapshot a failed one.
    pub fn verify_snapshot(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
        upid: &Upid,
        reverify: &Reverify,
        watch: &VerifyWatch<'_>,
    ) -> Result<SnapshotVerdict, VerifyStopped> {
        watch.check()?;
        let skipped = |reason| {
            watch.tell(&VerifyEvent::Skipped { namespace, snapshot, reason });
            Ok(SnapshotVerdict::Skipped(reason))
        };
        let failed = |error: &DatastoreError| {
            watch.tell(&VerifyEvent::Unreadable { namespace, snapshot, error });
            Ok(SnapshotVerdict::Failed)
        };
        let _lock = match self.store.lock_snapshot_shared(namespace, snapshot) {
            Ok(lock) => lock,
            Err(DatastoreError::SnapshotMissing { .. }) => return skipped(SkipReason::Gone),
            Err(error) if error.kind() == ErrorKind::Busy => return skipped(SkipReason::Busy),
            Err(error) => return failed(&error),
        };
        let manifest = match self.store.read_manifest(namespace, snapshot) {
            Ok((manifest, _)) => manifest,
            Err(error) => return failed(&error),
        };
        if !reverify.applies_to(&manifest) {
            return skipped(SkipReason::Recent);
        }
        let size_bytes = manifest.files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size_bytes));
        watch.tell(&VerifyEvent::Snapshot { namespace, snapshot, size_bytes });
        let mut is_whole = true;
        for file in &manifest.files {
            watch.check()?;
            watch.tell(&VerifyEvent::File { archive: &file.name, size_bytes: file.size_bytes });
            let outcome = match file.name.kind() {
                ArchiveKind::Blob => self.verify_blob(namespace, snapshot, file),
                ArchiveKind::FixedIndex | ArchiveKind::DynamicIndex => {
                    self.verify_index(namespace, snapshot, file, watch)?
                }
            };
            if let Err(problem) = outcome {
                is_whole = false;
                watch.tell(&VerifyEvent::FileFailed { namespace, snapshot, archive: &file.name, problem: &problem });
            }
        }
        let verdict = if is_whole { SnapshotVerdict::Ok } else { SnapshotVerdict::Failed };
        if self.changes == Changes::None {
            return Ok(verdict);
        }
        let state = if is_whole { VerifyState::Ok } else { VerifyState::Failed };
        let noted = self.store.update_manifest(namespace, snapshot, |unprotected| {
            unprotected.insert(VERIFY_STATE.to_owned(), json!({ "state": state, "upid": upid.as_str() }));
        });
        if let Err(error) = noted {
            watch.tell(&VerifyEvent::NotNoted { namespace, snapshot, error: &error });
            return Ok(SnapshotVerdict::Failed);
        }
        Ok(verdict)
    }

    fn verify_blob(&self, ns: &Namespace, snapshot: &Snapshot, file: &ManifestFile) -> Result<(), FileProblem> {
        let encoded = self.store.read_file(ns, snapshot, &file.name)?;
        check_facts(file, encoded.len() as u64, sha256(&encoded))?;
        let kind = blob::check(&encoded)?;
        if !kind.is_encrypted() {
            BlobDecoder::new().decode(&encoded, None, MAX_INPUT_BYTES)?;
        }
        Ok(())
    }
}

/// Compares size and checksum with what the manifest lists.
fn check_facts(file: &ManifestFile, size_bytes: u64, checksum: Digest) -> Result<(), FileProblem> {
    if size_bytes != file.size_bytes {
        return Err(FileProblem::Size { expected: file.size_bytes, found: size_bytes });
    }
    if checksum != file.checksum {
        return Err(FileProblem::Checksum { expected: file.checksum, found: checksum });
    }
    Ok(())
}
