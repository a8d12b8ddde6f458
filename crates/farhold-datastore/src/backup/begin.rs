//! The checks before a session, in the order of the reference.
//!
//! Source: `docs/spec/wire-protocol.md` 5.1 (numbers of the checks), `docs/spec/datastore-format.md` 16.

use farhold_storage::DIRECTORY_MODE;
use farhold_types::{Authid, Epoch, Group, Namespace, Snapshot, VerifyState};
use thiserror::Error;

use super::{BackupKind, BackupWriter, is_benchmark_group};
use crate::error::DatastoreError;
use crate::layout;
use crate::lock::{GroupLock, SharedSnapshotLock, Sharing, SnapshotLock};
use crate::store::{Datastore, SharedProcessLock};

/// Why a session cannot begin. Nothing is left of the attempt.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BeginBackupError {
    /// The namespace does not exist.
    #[error("namespace '{namespace}' does not exist")]
    NamespaceMissing {
        /// The missing namespace.
        namespace: Namespace,
    },
    /// Only benchmarks may use the group `host/benchmark`.
    #[error("backup group '{group}' is reserved for benchmarks")]
    OnlyBenchmarks {
        /// The group.
        group: Group,
    },
    /// A benchmark may use no other group.
    #[error("a benchmark must use the backup group 'host/benchmark', not '{group}'")]
    NoBenchmark {
        /// The group given.
        group: Group,
    },
    /// The backup time cannot be the name of a directory.
    #[error("backup time {time} is out of range", time = time.0)]
    Time {
        /// The time given.
        time: Epoch,
    },
    /// The group belongs to somebody else.
    #[error("backup owner check failed (the group belongs to '{owner}', not to '{caller}')")]
    NotOwner {
        /// Who asks.
        caller: Authid,
        /// Who owns it.
        owner: Authid,
    },
    /// The manifest of the newest finished snapshot cannot be read, so nobody knows what may be reused.
    #[error("previous snapshot '{base}' cannot be read; repair or remove it first")]
    BaseUnreadable {
        /// The newest finished snapshot.
        base: Snapshot,
        /// Why it cannot be read.
        #[source]
        source: Box<DatastoreError>,
    },
    /// Backups come in the order of their times.
    #[error("backup time is not newer than the last backup ({time} <= {base})")]
    NotNewer {
        /// The time given.
        time: Epoch,
        /// Time of the newest finished snapshot.
        base: Epoch,
    },
    /// There is a directory of this time already, perhaps left by an interrupted backup.
    #[error("snapshot '{snapshot}' exists already")]
    Exists {
        /// The snapshot.
        snapshot: Snapshot,
    },
    /// A lock is not free, or the storage failed.
    #[error(transparent)]
    Datastore(#[from] DatastoreError),
}

impl From<crate::lock::LockError> for BeginBackupError {
    fn from(error: crate::lock::LockError) -> Self {
        Self::Datastore(error.into())
    }
}

impl From<farhold_storage::StorageError> for BeginBackupError {
    fn from(error: farhold_storage::StorageError) -> Self {
        Self::Datastore(error.into())
    }
}

/// Everything that a session holds, in the order in which it was taken.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) process: Option<SharedProcessLock>,
    pub(super) group: GroupLock,
    pub(super) base: Option<SharedSnapshotLock>,
    pub(super) snapshot: SnapshotLock,
}

impl Datastore {
    /// Begins a backup of `snapshot` by `caller`: makes all checks, takes all locks, creates group and snapshot.
    ///
    /// Checks, in this order: the namespace exists; the group fits `kind`; no other process collects garbage; the group
    /// is free (a missing one is created and belongs to `caller`); `caller` owns the group, unless it is a benchmark; the
    /// newest finished snapshot is readable, and unless its verification failed it is the base, older than this one and
    /// not being removed; there is no directory of this time, not even an empty one. No lock is waited for.
    ///
    /// Held by the result until it ends: the shared process lock and the shared lock on the base until
    /// [`BackupWriter::finish`] begins, the group and the snapshot until the end.
    ///
    /// # Errors
    /// [`BeginBackupError::NamespaceMissing`] is 404 on the wire, everything else 400. Whatever the attempt created is
    /// removed again.
    pub fn begin_backup(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
        caller: &Authid,
        kind: BackupKind,
    ) -> Result<BackupWriter, BeginBackupError> {
        // 5 and 6.
        if !self.namespace_exists(namespace)? {
            return Err(BeginBackupError::NamespaceMissing { namespace: namespace.clone() });
        }
        let group = || snapshot.group.clone();
        match (kind, is_benchmark_group(&snapshot.group)) {
            (BackupKind::Normal, true) => return Err(BeginBackupError::OnlyBenchmarks { group: group() }),
            (BackupKind::Benchmark, false) => return Err(BeginBackupError::NoBenchmark { group: group() }),
            _ => {}
        }
        if !(Epoch::MIN..=Epoch::MAX).contains(&snapshot.time) {
            return Err(BeginBackupError::Time { time: snapshot.time });
        }
        // Before anything is created, and first in the order of locks.
        let process = self.lock_process_shared()?;
        // 7.
        let opened = match self.open_group(namespace, &snapshot.group, caller) {
            Ok(opened) => opened,
            // Removed meanwhile.
            Err(DatastoreError::NamespaceMissing { namespace }) => {
                return Err(BeginBackupError::NamespaceMissing { namespace });
            }
            Err(error) => return Err(error.into()),
        };
        // 8.
        if kind == BackupKind::Normal && !caller.owns(&opened.owner) {
            return Err(BeginBackupError::NotOwner { caller: caller.clone(), owner: opened.owner });
        }
        match self.begin_in_group(&opened.lock, snapshot) {
            Ok((base, base_lock, lock)) => {
                let held = Held { process: Some(process), group: opened.lock, base: base_lock, snapshot: lock };
                Ok(BackupWriter::new(self.clone(), namespace.clone(), snapshot.clone(), kind, base, held))
            }
            Err(error) => {
                if opened.is_new
                    && let Err(error) = self.remove_group_if_empty(&opened.lock)
                {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(group = %snapshot.group, error, "could not remove the group of a refused backup");
                }
                Err(error)
            }
        }
    }

    /// Checks 9 to 12. Creates nothing but the snapshot directory, and that last.
    fn begin_in_group(
        &self,
        group: &GroupLock,
        snapshot: &Snapshot,
    ) -> Result<(Option<Epoch>, Option<SharedSnapshotLock>, SnapshotLock), BeginBackupError> {
        let namespace = group.namespace();
        // 9.
        let base = self.find_base(namespace, &snapshot.group)?;
        let mut base_lock = None;
        if let Some(time) = base {
            // 10.
            if snapshot.time <= time {
                return Err(BeginBackupError::NotNewer { time: snapshot.time, base: time });
            }
            // 11.
            base_lock = Some(self.lock_snapshot_shared(namespace, &snapshot.group.at(time))?);
        }
        // 12.
        let file = self.inner.locks.snapshot(namespace, snapshot, Sharing::Exclusive)?;
        match self.storage().create_dir(&layout::snapshot_dir(namespace, snapshot), DIRECTORY_MODE) {
            Ok(()) => Ok((base, base_lock, SnapshotLock { file })),
            Err(farhold_storage::StorageError::AlreadyExists { .. }) => {
                Err(BeginBackupError::Exists { snapshot: snapshot.clone() })
            }
            Err(error) => {
                file.remove_file();
                Err(error.into())
            }
        }
    }

    /// Returns the newest finished snapshot of a group, `None` if there is none or its verification failed.
    fn find_base(&self, namespace: &Namespace, group: &Group) -> Result<Option<Epoch>, BeginBackupError> {
        for time in self.snapshot_times(namespace, group)?.into_iter().rev() {
            let base = group.at(time);
            match self.snapshot_info(namespace, &base) {
                Ok(info) if info.has_manifest => {}
                // Unfinished, or removed meanwhile.
                Ok(_) | Err(DatastoreError::SnapshotMissing { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            return match self.read_manifest(namespace, &base) {
                Ok((manifest, _)) => {
                    let has_failed = manifest.verify_state().is_some_and(|item| item.state == VerifyState::Failed);
                    Ok((!has_failed).then_some(time))
                }
                // Removed meanwhile.
                Err(DatastoreError::SnapshotMissing { .. } | DatastoreError::FileMissing { .. }) => continue,
                Err(error) => Err(BeginBackupError::BaseUnreadable { base, source: Box::new(error) }),
            };
        }
        Ok(None)
    }
}
