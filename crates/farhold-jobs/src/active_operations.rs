//! How many operations use a store, over all programs of this host: each program keeps its own numbers in a file that all
//! of them share, so that nobody unmounts or removes what another one uses.
//!
//! | file in the folder | content |
//! |---|---|
//! | `<store>` | JSON array of `{"pid", "starttime", "active_operations": {"read", "write"}}` |
//! | `<store>.lock` | empty; locked (`flock`) while the array is changed |
//!
//! Entries of processes that have ended count for nothing and are dropped with the next change. Whoever cannot write the
//! file works on and says so in the server's log: the numbers protect administrators from haste, no data.
//!
//! Source: `docs/spec/datastore-format.md` 15.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use farhold_tasks::{LiveProcesses, ProcFs, process_start};
use farhold_types::DatastoreName;
use serde::{Deserialize, Serialize};

use crate::stores::Operation;

/// Most bytes of the file that are read: thousands of processes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Tries for the lock, and the pause between them. Others hold it for less than a millisecond; 10 s in the reference, which
/// is too long for whoever gives a store back.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// What one process does with a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Numbers {
    read: u64,
    write: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    pid: u32,
    starttime: u64,
    active_operations: Numbers,
}

/// The operations of this process on one store, which it tells the others.
#[derive(Debug)]
pub(crate) struct ActiveOperations {
    directory: PathBuf,
    file: String,
    /// When this process began, in clock ticks since boot.
    starttime: u64,
    read: AtomicU64,
    write: AtomicU64,
    /// Held while the file is changed, so that this process has to wait for the others only.
    telling: Mutex<()>,
}

impl ActiveOperations {
    /// Returns the operations on a store, none so far. `directory`: where the files of all stores lie; made on demand.
    pub(crate) fn new(directory: &Path, store: &DatastoreName) -> Self {
        let (read, write) = (AtomicU64::new(0), AtomicU64::new(0));
        let (directory, file) = (directory.to_owned(), store.to_string());
        let starttime = process_start(std::process::id()).unwrap_or_default();
        Self { directory, file, starttime, read, write, telling: Mutex::default() }
    }

    /// Counts an operation.
    pub(crate) fn begin(&self, operation: Operation) {
        if let Some(count) = self.of(operation) {
            count.fetch_add(1, Ordering::SeqCst);
            self.tell();
        }
    }

    /// Counts an operation no more.
    pub(crate) fn end(&self, operation: Operation) {
        if let Some(count) = self.of(operation) {
            count.fetch_sub(1, Ordering::SeqCst);
            self.tell();
        }
    }

    fn of(&self, operation: Operation) -> Option<&AtomicU64> {
        match operation {
            Operation::Read => Some(&self.read),
            Operation::Write => Some(&self.write),
            Operation::Lookup => None,
        }
    }

    fn own(&self) -> Numbers {
        Numbers { read: self.read.load(Ordering::SeqCst), write: self.write.load(Ordering::SeqCst) }
    }

    /// Returns how many operations of all processes read and write, as (read, write).
    pub(crate) fn sum(&self) -> (u64, u64) {
        let own = self.own();
        let (read, write) = others(&self.directory, &self.file);
        (own.read.saturating_add(read), own.write.saturating_add(write))
    }

    fn tell(&self) {
        let _telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.try_tell() {
            let (store, error) = (&self.file, &error as &dyn std::error::Error);
            tracing::warn!(%store, error, "other programs could not be told that the datastore is in use");
        }
    }

    fn try_tell(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o750).create(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let _lock = lock(&self.directory.join(format!("{}.lock", self.file)))?;
        let path = self.directory.join(&self.file);
        let (pid, starttime, active_operations) = (std::process::id(), self.starttime, self.own());
        let mut processes = read(&path)?;
        processes.retain(|process| process.pid != pid && is_alive(process));
        if active_operations != Numbers::default() {
            processes.push(Process { pid, starttime, active_operations });
        }
        let temporary = self.directory.join(format!(".{}.tmp", self.file));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o660).open(&temporary)?;
        file.set_permissions(Permissions::from_mode(0o660))?;
        file.write_all(&serde_json::to_vec(&processes)?)?;
        fs::rename(&temporary, &path)
    }
}

/// Returns how many operations of the other processes read from and write to a store.
pub(crate) fn others(directory: &Path, store: &str) -> (u64, u64) {
    let processes = read(&directory.join(store)).unwrap_or_default();
    let others = processes.iter().filter(|process| process.pid != std::process::id() && is_alive(process));
    let sum = |(read, write): (u64, u64), numbers: Numbers| {
        (read.saturating_add(numbers.read), write.saturating_add(numbers.write))
    };
    others.map(|process| process.active_operations).fold((0, 0), sum)
}

fn is_alive(process: &Process) -> bool {
    ProcFs.exists(process.pid, process.starttime)
}

/// Returns what a file says; nothing if it is missing or says nothing that makes sense.
fn read(path: &Path) -> io::Result<Vec<Process>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).unwrap_or_default())
}

fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o660).open(path)?;
    file.set_permissions(Permissions::from_mode(0o660))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations(directory: &Path) -> ActiveOperations {
        ActiveOperations::new(directory, &"tank".parse().unwrap())
    }

    #[test]
    fn numbers_are_told_in_the_documented_form_and_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("active-operations");
        let operations = operations(&directory);
        let text = || fs::read_to_string(directory.join("tank")).unwrap();
        operations.begin(Operation::Lookup);
        assert!(!directory.exists());
        operations.begin(Operation::Read);
        operations.begin(Operation::Write);
        let (pid, start) = (std::process::id(), process_start(std::process::id()).unwrap());
        let entry = |read: u8, write: u8| {
            format!(r#"[{{"pid":{pid},"starttime":{start},"active_operations":{{"read":{read},"write":{write}}}}}]"#)
        };
        assert_eq!(text(), entry(1, 1));
        operations.begin(Operation::Read);
        operations.end(Operation::Write);
        assert_eq!((text(), operations.sum()), (entry(2, 0), (2, 0)));
        let mode = |name: &str| fs::metadata(directory.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("tank"), mode("tank.lock"), mode("")), (0o660, 0o660, 0o750));
        operations.end(Operation::Read);
        operations.end(Operation::Read);
        assert_eq!((text().as_str(), operations.sum()), ("[]", (0, 0)));
    }

    #[test]
    fn other_processes_count_while_they_live() {
        let folder = tempfile::tempdir().unwrap();
        let operations = operations(folder.path());
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let start = process_start(child.id()).unwrap();
        let entry = |pid: u32, start: u64| {
            format!(r#"{{"pid":{pid},"starttime":{start},"active_operations":{{"read":1,"write":2}}}}"#)
        };
        let text = format!("[{},{}]", entry(child.id(), start), entry(child.id(), start + 1));
        fs::write(folder.path().join("tank"), text).unwrap();
        operations.begin(Operation::Write);
        assert_eq!(operations.sum(), (1, 3));
        let kept = read(&folder.path().join("tank")).unwrap();
        assert_eq!(kept.iter().map(|process| process.pid).collect::<Vec<_>>(), [child.id(), std::process::id()]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(operations.sum(), (0, 1));
    }

    #[test]
    fn a_file_that_makes_no_sense_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let operations = operations(folder.path());
        for nonsense in ["", "{}", "[1]", "\0"] {
            fs::write(folder.path().join("tank"), nonsense).unwrap();
            assert_eq!(operations.sum(), (0, 0));
            operations.begin(Operation::Read);
            assert_eq!(read(&folder.path().join("tank")).unwrap().len(), 1);
            operations.end(Operation::Read);
        }
    }
}
