//! The disk as one process sees it: the storage backend of a simulated server.
//!
//! The planted faults are here, at the places where a real backend or its caller could break the same promise.

use std::io;
use std::path::Path;
use std::sync::MutexGuard;

use bytes::Bytes;
use farhold_storage::{
    Durability, Entry, EntryKind, FILE_MODE, FileHold, FileTime, NoOtherProcess, Operation, RecordLock, Staging, Stat,
    Storage, StorageError, StorePath, WorkingFile, stem,
};

use crate::disk::{Absence, Change, Crash, Disk, State};
use crate::plant::Plant;
use crate::turns::{breathe, glasses};

/// The disk as one process sees it.
#[derive(Clone)]
pub struct Mount {
    pub(crate) disk: Disk,
    pub(crate) generation: u64,
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mount").field("generation", &self.generation).finish_non_exhaustive()
    }
}

fn failure(operation: Operation, path: &StorePath, kind: io::ErrorKind) -> StorageError {
    StorageError::from_io(operation, Path::new(path.as_str()), kind.into())
}

/// `EIO` of Linux.
const INPUT_OUTPUT_ERROR: i32 = 5;

/// How many uses of a disk that was unmounted are kept for the audit.
const MAX_LATE_USES: usize = 5;

/// Returns how a call fails on what should lie in the store's own directory, which is empty and may not be changed.
fn away_at_top(operation: Operation, path: &StorePath) -> StorageError {
    let makes = matches!(
        operation,
        Operation::WriteAtomic | Operation::CreateExclusive | Operation::CreateWorking | Operation::CreateDir
    );
    if makes { failure(operation, path, io::ErrorKind::PermissionDenied) } else { State::missing(path) }
}

/// What became of a changing call before it was done.
enum Fate {
    Lives,
    /// The process dies in it; half of what is being written stays if it was killed.
    Dies(Crash),
}

impl Mount {
    /// Returns whether the process that mounted the disk is still alive.
    pub fn is_alive(&self) -> bool {
        self.disk.lock().generation == self.generation
    }

    fn look(&self, operation: Operation, path: &StorePath) -> Result<MutexGuard<'_, State>, StorageError> {
        let mut state = self.disk.lock();
        if state.generation != self.generation {
            return Err(failure(operation, path, io::ErrorKind::BrokenPipe));
        }
        if state.absence.is_none() && state.is_unmounted && state.late_uses.len() < MAX_LATE_USES {
            state.late_uses.push(format!("{operation:?} {path}"));
        }
        let unmounted = state.is_unmounted.then_some(Absence::Unmounted);
        match state.absence.or(unmounted) {
            None => Ok(state),
            Some(Absence::Unmounted) if path.parent().is_some_and(|parent| !parent.is_root()) => {
                Err(State::missing(path))
            }
            Some(Absence::Unmounted) => Err(away_at_top(operation, path)),
            Some(Absence::Pulled) => {
                let error = io::Error::from_raw_os_error(INPUT_OUTPUT_ERROR);
                Err(StorageError::from_io(operation, Path::new(path.as_str()), error))
            }
        }
    }

    fn begin(&self, operation: Operation, path: &StorePath) -> Result<(MutexGuard<'_, State>, Fate), StorageError> {
        let mut state = self.look(operation, path)?;
        if let Some((calls, how)) = &mut state.dies_after {
            if *calls == 0 {
                let how = *how;
                return Ok((state, Fate::Dies(how)));
            }
            *calls -= 1;
        }
        let takes_space = matches!(
            operation,
            Operation::WriteAtomic
                | Operation::CreateExclusive
                | Operation::CreateWorking
                | Operation::WriteAt
                | Operation::CreateDir
        );
        if takes_space && let Some(left) = &mut state.space_for {
            if *left == 0 {
                return Err(failure(operation, path, io::ErrorKind::StorageFull));
            }
            *left -= 1;
        }
        Ok((state, Fate::Lives))
    }

    /// Begins a changing call, or dies in it without a trace.
    fn change(&self, operation: Operation, path: &StorePath) -> Result<MutexGuard<'_, State>, StorageError> {
        let (mut state, fate) = self.begin(operation, path)?;
        if let Fate::Dies(how) = fate {
            state.crash(how);
            return Err(failure(operation, path, io::ErrorKind::BrokenPipe));
        }
        Ok(state)
    }
}

impl Storage for Mount {
    fn read(&self, path: &StorePath, max_bytes: u64) -> Result<Bytes, StorageError> {
        let state = self.look(Operation::Read, path)?;
        let glasses = glasses();
        if glasses.is_blind_to_damage
            && let Some(content) = state.undamaged.get(path)
        {
            return Ok(content.clone());
        }
        if glasses.invents_damage && path.as_str().starts_with(".chunks/") && state.plant_chance.chance(3) {
            return Ok(state.file(path)?.iter().rev().copied().collect());
        }
        let content = state.file(path)?;
        if max_bytes < content.len() as u64 {
            return Err(StorageError::TooLarge { path: path.to_string(), max_bytes });
        }
        Ok(content.clone())
    }

    fn read_start(&self, path: &StorePath, max_bytes: u64) -> Result<Bytes, StorageError> {
        let state = self.look(Operation::Read, path)?;
        let content = state.file(path)?;
        if state.plant == Plant::OwnerIgnored && path.file_name() == Some("owner") {
            return Ok(Bytes::from_static(b"sync@pbs\n"));
        }
        let length = usize::try_from(max_bytes).unwrap_or(usize::MAX).min(content.len());
        Ok(content.slice(..length))
    }

    fn stat(&self, path: &StorePath) -> Result<Stat, StorageError> {
        let state = self.look(Operation::Stat, path)?;
        let glasses = glasses();
        let is_blind = state.plant == Plant::ProtectionIgnored || glasses.is_blind_to_protection;
        if is_blind && path.file_name() == Some(".protected") {
            return Err(State::missing(path));
        }
        let number = state.find(path)?;
        let node = state.nodes.get(&number).ok_or_else(|| State::missing(path))?;
        let time = |nanos: u64| FileTime {
            seconds: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
            nanoseconds: i64::try_from(nanos % 1_000_000_000).unwrap_or(0),
        };
        Ok(Stat {
            kind: if node.content.is_some() { EntryKind::File } else { EntryKind::Directory },
            size_bytes: node.content.as_ref().map_or(0, |content| content.len() as u64),
            mode: node.mode,
            inode: number,
            accessed: glasses.accessed(time(node.accessed)),
            modified: time(node.modified),
        })
    }

    fn list(&self, path: &StorePath) -> Result<Vec<Entry>, StorageError> {
        // Nobody lists directories of snapshots while holding a lock that others wait for.
        breathe();
        let state = match self.look(Operation::List, path) {
            Ok(state) => state,
            Err(error) if path.is_root() && error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let number = state.directory(path)?;
        let kind = |number: &u64| if state.now.contains_key(number) { EntryKind::Directory } else { EntryKind::File };
        let is_blind = glasses().is_blind_to_protection;
        let is_seen = |name: &String| !is_blind || name != ".protected";
        let entries = state.now.get(&number).into_iter().flatten().filter(|(name, _)| is_seen(name));
        Ok(entries.map(|(name, number)| Entry { name: name.clone(), kind: kind(number) }).collect())
    }

    fn write_atomic(
        &self,
        path: &StorePath,
        content: &[u8],
        durability: Durability,
        staging: Staging<'_>,
    ) -> Result<(), StorageError> {
        let (mut state, fate) = self.begin(Operation::WriteAtomic, path)?;
        let (directory, name) = state.place(path)?;
        let staging = match staging {
            Staging::Beside => directory,
            Staging::In(other) => state.directory(other)?,
        };
        if state.entry(directory, &name).is_some_and(|number| state.now.contains_key(&number)) {
            return Err(StorageError::NotAFile { path: path.to_string() });
        }
        let clock = &self.disk.clock;
        let temporary = format!("{}.tmp_{:06}", stem(&name), state.next % 1_000_000);
        if let Fate::Dies(how) = fate {
            let half = Bytes::copy_from_slice(&content[..content.len() / 2]);
            state.add(staging, temporary, Some(half), FILE_MODE, clock);
            state.crash(how);
            return Err(failure(Operation::WriteAtomic, path, io::ErrorKind::BrokenPipe));
        }
        let mut content = Bytes::copy_from_slice(content);
        let is_chunk = path.as_str().starts_with(".chunks/");
        if is_chunk && state.plant == Plant::ChunkLost && state.plant_chance.chance(5) {
            return Ok(());
        }
        if is_chunk && state.plant == Plant::ChunkUnchecked && state.plant_chance.chance(5) {
            content = content.iter().rev().copied().collect();
        }
        if state.plant == Plant::LeftBehind && state.plant_chance.chance(5) {
            state.add(staging, format!("{}.tmp_behind", stem(&name)), Some(content.clone()), FILE_MODE, clock);
        }
        if state.plant == Plant::NotAtomic && !is_chunk {
            // First the old one is gone; a death between the two steps shows.
            if let Some((calls, how)) = state.dies_after.filter(|(calls, _)| *calls < 3) {
                let half = content.slice(..content.len() / 2);
                state.add(directory, name, Some(half), FILE_MODE, clock);
                state.dies_after = Some((calls, how));
                state.crash(how);
                return Err(failure(Operation::WriteAtomic, path, io::ErrorKind::BrokenPipe));
            }
        }
        let number = state.add(staging, temporary.clone(), Some(content), FILE_MODE, clock);
        if durability == Durability::Durable {
            state.flush(number);
        }
        state.change(Change::Move { from: (staging, temporary), to: (directory, name), node: number });
        if durability == Durability::Durable {
            state.flush(number);
        }
        Ok(())
    }

    fn create_exclusive(&self, path: &StorePath, content: &[u8]) -> Result<(), StorageError> {
        let (mut state, fate) = self.begin(Operation::CreateExclusive, path)?;
        if path.is_root() {
            return Err(StorageError::AlreadyExists { path: path.to_string() });
        }
        let (directory, name) = state.place(path)?;
        if state.entry(directory, &name).is_some() {
            return Err(StorageError::AlreadyExists { path: path.to_string() });
        }
        let written = if let Fate::Dies(_) = fate { content.len() / 2 } else { content.len() };
        let content = Bytes::copy_from_slice(&content[..written]);
        state.add(directory, name, Some(content), FILE_MODE, &self.disk.clock);
        if let Fate::Dies(how) = fate {
            state.crash(how);
            return Err(failure(Operation::CreateExclusive, path, io::ErrorKind::BrokenPipe));
        }
        Ok(())
    }

    fn create_working(&self, path: &StorePath) -> Result<Box<dyn WorkingFile>, StorageError> {
        let mut state = self.change(Operation::CreateWorking, path)?;
        let (directory, name) = state.place(path)?;
        if state.entry(directory, &name).is_some() {
            return Err(StorageError::AlreadyExists { path: path.to_string() });
        }
        let number = state.add(directory, name, Some(Bytes::new()), FILE_MODE, &self.disk.clock);
        Ok(Box::new(Working { mount: self.clone(), number, path: path.clone() }))
    }

    fn create_dir(&self, path: &StorePath, mode: u32) -> Result<(), StorageError> {
        let mut state = self.change(Operation::CreateDir, path)?;
        if path.is_root() {
            return Err(StorageError::AlreadyExists { path: path.to_string() });
        }
        let (directory, name) = state.place(path)?;
        if state.entry(directory, &name).is_some() {
            return Err(StorageError::AlreadyExists { path: path.to_string() });
        }
        state.add(directory, name, None, mode, &self.disk.clock);
        Ok(())
    }

    fn rename(&self, from: &StorePath, to: &StorePath) -> Result<(), StorageError> {
        let mut state = self.change(Operation::Rename, from)?;
        let (source, target) = (state.place(from)?, state.place(to)?);
        let node = state.entry(source.0, &source.1).ok_or_else(|| State::missing(from))?;
        if from == to {
            return Ok(());
        }
        let is_directory = state.now.contains_key(&node);
        if let Some(existing) = state.entry(target.0, &target.1) {
            match state.now.get(&existing) {
                Some(_) if !is_directory => return Err(StorageError::NotAFile { path: to.to_string() }),
                Some(entries) if !entries.is_empty() => return Err(StorageError::NotEmpty { path: to.to_string() }),
                None if is_directory => return Err(StorageError::NotADirectory { path: to.to_string() }),
                _ => {}
            }
        }
        state.change(Change::Move { from: source, to: target, node });
        Ok(())
    }

    fn remove_file(&self, path: &StorePath) -> Result<(), StorageError> {
        let mut state = self.change(Operation::RemoveFile, path)?;
        state.file(path)?;
        let is_left = state.plant == Plant::GarbageLeft && path.as_str().starts_with(".chunks/");
        if is_left && state.plant_chance.chance(20) {
            return Ok(());
        }
        let (directory, name) = state.place(path)?;
        state.change(Change::Remove { directory, name });
        Ok(())
    }

    fn remove_dir(&self, path: &StorePath) -> Result<(), StorageError> {
        let mut state = self.change(Operation::RemoveDir, path)?;
        let number = state.directory(path)?;
        if state.now.get(&number).is_some_and(|entries| !entries.is_empty()) {
            return Err(StorageError::NotEmpty { path: path.to_string() });
        }
        let (directory, name) = state.place(path)?;
        state.change(Change::Remove { directory, name });
        Ok(())
    }

    /// Entry by entry, so that a crash leaves a part.
    fn remove_tree(&self, path: &StorePath) -> Result<(), StorageError> {
        for entry in self.list(path)? {
            let path = path.join(&entry.name).map_err(|_| State::missing(path))?;
            match entry.kind {
                EntryKind::Directory => self.remove_tree(&path)?,
                _ => self.remove_file(&path)?,
            }
        }
        self.remove_dir(path)
    }

    fn touch_atime(&self, path: &StorePath) -> Result<(), StorageError> {
        let mut state = self.change(Operation::Touch, path)?;
        let number = state.find(path)?;
        if state.plant == Plant::NeverTouched {
            return Ok(());
        }
        let now = state.time(&self.disk.clock);
        state.nodes.get_mut(&number).ok_or_else(|| State::missing(path))?.accessed = now;
        Ok(())
    }

    fn sync_file(&self, path: &StorePath) -> Result<(), StorageError> {
        let mut state = self.change(Operation::SyncFile, path)?;
        state.file(path)?;
        let number = state.find(path)?;
        state.flush(number);
        Ok(())
    }

    fn sync_all(&self) -> Result<(), StorageError> {
        let mut state = self.change(Operation::SyncAll, &StorePath::root())?;
        if state.plant != Plant::NeverFlushed {
            state.flush_all();
        }
        Ok(())
    }

    fn record_lock(&self, path: &StorePath) -> Result<Box<dyn RecordLock>, StorageError> {
        match self.create_exclusive(path, b"") {
            Ok(()) | Err(StorageError::AlreadyExists { .. }) => Ok(Box::new(NoOtherProcess)),
            Err(error) => Err(error),
        }
    }

    fn try_hold_file(&self, path: &StorePath) -> Result<Option<Box<dyn FileHold>>, StorageError> {
        match self.create_exclusive(path, b"") {
            Ok(()) | Err(StorageError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
        if !self.look(Operation::Lock, path)?.held.insert(path.clone()) {
            return Ok(None);
        }
        Ok(Some(Box::new(Hold { mount: self.clone(), path: path.clone() })))
    }

    fn local_root(&self) -> Option<&Path> {
        None
    }
}

/// Longest file that is filled piece by piece, in bytes.
const MAX_WORKING_BYTES: usize = 1 << 20;

#[derive(Debug)]
struct Working {
    mount: Mount,
    number: u64,
    path: StorePath,
}

impl Working {
    fn with_content(&self, change: impl FnOnce(&mut Vec<u8>)) -> Result<(), StorageError> {
        let mut state = self.mount.change(Operation::WriteAt, &self.path)?;
        let now = state.time(&self.mount.disk.clock);
        let node = state.nodes.get_mut(&self.number).ok_or_else(|| State::missing(&self.path))?;
        let mut content = node.content.as_deref().unwrap_or_default().to_vec();
        change(&mut content);
        node.content = Some(content.into());
        node.modified = now;
        node.is_durable = false;
        Ok(())
    }

    fn checked(&self, length_bytes: u64) -> Result<usize, StorageError> {
        match usize::try_from(length_bytes) {
            Ok(length) if length <= MAX_WORKING_BYTES => Ok(length),
            _ => Err(failure(Operation::WriteAt, &self.path, io::ErrorKind::FileTooLarge)),
        }
    }
}

impl WorkingFile for Working {
    fn write_at(&self, offset: u64, content: &[u8]) -> Result<(), StorageError> {
        let end = self.checked(offset.saturating_add(content.len() as u64))?;
        self.with_content(|whole| {
            whole.resize(whole.len().max(end), 0);
            whole[end - content.len()..end].copy_from_slice(content);
        })
    }

    fn read_at(&self, offset: u64, max_bytes: usize) -> Result<Vec<u8>, StorageError> {
        let state = self.mount.look(Operation::Read, &self.path)?;
        let node = state.nodes.get(&self.number).ok_or_else(|| State::missing(&self.path))?;
        let content = node.content.as_deref().unwrap_or_default();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        Ok(content[start..start.saturating_add(max_bytes).min(content.len())].to_vec())
    }

    fn set_length(&self, length_bytes: u64) -> Result<(), StorageError> {
        let length = self.checked(length_bytes)?;
        self.with_content(|whole| whole.resize(length, 0))
    }
}

#[derive(Debug)]
struct Hold {
    mount: Mount,
    path: StorePath,
}

impl FileHold for Hold {}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Ok(mut state) = self.mount.look(Operation::Lock, &self.path) {
            state.held.remove(&self.path);
        }
    }
}
