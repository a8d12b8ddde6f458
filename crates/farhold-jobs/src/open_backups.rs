//! Notes on backups that are being received, so that a server that was killed in the middle tidies up when it starts again.
//!
//! A session that ends removes its unfinished snapshot itself. Of a killed one the directory stays: it is no backup, but it
//! shows in listings and blocks its time. Directories that a pull left unfinished look the same and are of use to the next
//! pull, so only what a note names is removed, and never what has a manifest or is in use.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farhold_datastore::{DatastoreError, ErrorKind};
use farhold_types::{DatastoreName, Namespace, Randomness, Snapshot};
use thiserror::Error;

use crate::stores::{Operation, StoreAccessError, Stores};

/// Longest note that is read: a name, a namespace and a snapshot are shorter.
const MAX_NOTE_BYTES: u64 = 4096;

/// Why what a killed session left is still there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TidyError {
    /// The datastore cannot be used now.
    #[error("the datastore cannot be used")]
    Store(#[from] StoreAccessError),
    /// The directory cannot be removed.
    #[error("the unfinished snapshot cannot be removed")]
    Snapshot(#[from] DatastoreError),
}

/// Where the notes are: one file for each session.
#[derive(Clone)]
pub struct OpenBackups {
    directory: PathBuf,
    randomness: Arc<dyn Randomness>,
}

/// A note; dropping it removes the file.
#[derive(Debug)]
pub struct BackupNote {
    path: PathBuf,
}

impl Drop for BackupNote {
    fn drop(&mut self) {
        // One that stays costs a look at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// What a session left that did not end by itself.
#[derive(Debug)]
pub struct LeftBackup {
    /// Its datastore.
    pub store: DatastoreName,
    /// Its namespace.
    pub ns: Namespace,
    /// Its snapshot.
    pub snapshot: Snapshot,
    note: PathBuf,
}

impl OpenBackups {
    /// Returns notes in this directory, which is made when the first one is written.
    pub fn new(directory: PathBuf, randomness: Arc<dyn Randomness>) -> Self {
        Self { directory, randomness }
    }

    /// Notes a backup that is about to begin. Blocking.
    ///
    /// # Errors
    /// The note cannot be written.
    pub fn note(&self, store: &DatastoreName, ns: &Namespace, snapshot: &Snapshot) -> io::Result<BackupNote> {
        fs::create_dir_all(&self.directory)?;
        let mut name = [0; 16];
        self.randomness.fill(&mut name);
        let path = self.directory.join(format!("{:032x}", u128::from_be_bytes(name)));
        let note = BackupNote { path };
        fs::write(&note.path, format!("{store}\n{ns}\n{snapshot}\n"))?;
        Ok(note)
    }

    /// Returns what earlier sessions left; call it before any begins. Notes that cannot be read are removed. Blocking.
    pub fn left(&self) -> Vec<LeftBackup> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let read = |path: PathBuf| {
            let left = read_note(&path);
            if left.is_none() {
                let _ = fs::remove_file(&path);
            }
            left
        };
        entries.filter_map(|entry| read(entry.path())).collect()
    }
}

fn read_note(path: &Path) -> Option<LeftBackup> {
    if MAX_NOTE_BYTES < fs::symlink_metadata(path).ok()?.len() {
        return None;
    }
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines();
    let [store, ns, snapshot] = [lines.next()?, lines.next()?, lines.next()?];
    let (store, ns, snapshot) = (store.parse().ok()?, ns.parse().ok()?, snapshot.parse().ok()?);
    Some(LeftBackup { store, ns, snapshot, note: path.to_owned() })
}

impl LeftBackup {
    /// Removes the unfinished snapshot, and its group if nothing else is in it. Returns whether anything was there.
    /// Blocking.
    ///
    /// # Errors
    /// [`TidyError`]; the note stays for the next start.
    pub fn remove(&self, stores: &Stores) -> Result<bool, TidyError> {
        let removed = self.try_remove(stores);
        let is_settled = match &removed {
            Ok(_) => true,
            // Neither comes back by itself.
            Err(TidyError::Store(error)) => matches!(error, StoreAccessError::Unknown { .. }),
            Err(TidyError::Snapshot(_)) => false,
        };
        if is_settled {
            let _ = fs::remove_file(&self.note);
        }
        removed
    }

    fn try_remove(&self, stores: &Stores) -> Result<bool, TidyError> {
        let store = stores.open(&self.store, Operation::Write)?;
        let missing = |error: &DatastoreError| error.kind() == ErrorKind::NotFound;
        let is_removed = match store.remove_unfinished(&self.ns, &self.snapshot) {
            Err(error) if missing(&error) => false,
            removed => removed?,
        };
        match store.lock_group(&self.ns, &self.snapshot.group) {
            Ok(group) => drop(store.remove_group_if_empty(&group)?),
            Err(error) if missing(&error) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(is_removed)
    }
}

#[cfg(test)]
mod tests {
    use farhold_datastore::backup::BackupKind;
    use farhold_types::Authid;

    use super::*;
    use crate::testing::TestServer;

    fn snapshot(time: &str) -> Snapshot {
        format!("vm/100/{time}").parse().unwrap()
    }

    #[test]
    fn what_a_killed_session_left_is_removed_with_its_group_and_what_is_finished_or_in_use_stays() {
        let server = TestServer::new();
        let store = server.add_datastore("store1");
        let (name, root) = ("store1".parse::<DatastoreName>().unwrap(), Namespace::root());
        let notes = &server.app.open_backups;
        let half = snapshot("2026-01-01T10:00:00Z");
        let directory = server.store_path("store1").join("vm/100/2026-01-01T10:00:00Z");

        let kept = notes.note(&name, &root, &half).unwrap();
        let writer = store.begin_backup(&root, &half, &Authid::root(), BackupKind::Normal).unwrap();
        let [left] = &notes.left()[..] else { panic!("one note") };
        assert_eq!((&left.store, &left.ns, &left.snapshot), (&name, &root, &half));
        // In use.
        assert!(left.remove(&server.app.stores).is_err() && directory.exists());
        writer.discard().unwrap();
        drop(writer);

        // As a killed process leaves it: directory, owner, no manifest, nobody's lock.
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.parent().unwrap().join("owner"), "root@pam\n").unwrap();
        fs::write(directory.join("disk.img.tmp_fidx"), "x").unwrap();
        let [left] = &notes.left()[..] else { panic!("the note stays after a failure") };
        assert!(left.remove(&server.app.stores).unwrap());
        assert!(!directory.parent().unwrap().exists());
        assert!(notes.left().is_empty());
        drop(kept);

        // Finished since.
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("index.json.blob"), "x").unwrap();
        std::mem::forget(notes.note(&name, &root, &half).unwrap());
        assert!(!notes.left()[0].remove(&server.app.stores).unwrap());
        assert!(directory.exists() && notes.left().is_empty());
    }

    #[test]
    fn a_note_goes_with_its_session_and_one_without_a_store_or_sense_is_thrown_away() {
        let server = TestServer::new();
        let notes = &server.app.open_backups;
        let name = "gone".parse::<DatastoreName>().unwrap();
        drop(notes.note(&name, &Namespace::root(), &snapshot("2026-01-01T10:00:00Z")).unwrap());
        assert!(notes.left().is_empty());
        std::mem::forget(notes.note(&name, &Namespace::root(), &snapshot("2026-01-01T10:00:00Z")).unwrap());
        assert!(notes.left()[0].remove(&server.app.stores).is_err());
        assert!(notes.left().is_empty());
        let wrong = notes.directory.join("00");
        fs::write(&wrong, "store1\n../..\nvm/100/x\n").unwrap();
        assert!(notes.left().is_empty() && !wrong.exists());
    }
}
