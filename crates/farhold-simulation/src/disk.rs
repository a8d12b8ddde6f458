//! A disk in memory that can lose power.
//!
//! It behaves like a file system with an ordered journal: changes of directories become durable in the order in which
//! they were made, and flushing one file makes all earlier ones durable with it. The content of a file that was never
//! flushed may be whole, cut off or empty after a power failure; access times may fall back. A killed process loses
//! nothing but leaves the temporary file it was writing.
//!
//! A [`Mount`] is the disk as one process sees it. After a kill or power failure it is dead: every call fails, so that
//! whatever unwinds in the program cannot reach the disk any more. Mount the disk again to restart.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use farhold_storage::{
    DIRECTORY_MODE, Durability, Entry, EntryKind, FILE_MODE, FileHold, FileTime, Operation, RecordLock, Staging, Stat,
    Storage, StorageError, StorePath, stem,
};

use crate::plant::Plant;
use crate::rng::Rng;

/// Returns nanoseconds since the epoch.
pub type Now = Arc<dyn Fn() -> u64 + Send + Sync>;

const ROOT: u64 = 0;

/// Directories by number, each with the numbers of its entries by name.
type Directories = BTreeMap<u64, BTreeMap<String, u64>>;

#[derive(Debug, Clone)]
struct Node {
    /// None for a directory.
    content: Option<Bytes>,
    is_durable: bool,
    mode: u32,
    accessed: u64,
    durable_access: u64,
    modified: u64,
}

/// A change of a directory that a power failure may undo.
#[derive(Debug, Clone)]
enum Change {
    Set { directory: u64, name: String, node: u64 },
    Remove { directory: u64, name: String },
    Move { from: (u64, String), to: (u64, String), node: u64 },
}

fn apply(directories: &mut Directories, change: Change) {
    match change {
        Change::Set { directory, name, node } => {
            directories.entry(directory).or_default().insert(name, node);
        }
        Change::Remove { directory, name } => {
            directories.entry(directory).or_default().remove(&name);
        }
        Change::Move { from, to, node } => {
            directories.entry(from.0).or_default().remove(&from.1);
            directories.entry(to.0).or_default().insert(to.1, node);
        }
    }
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// It is killed; the operating system goes on.
    Kill,
    /// The machine loses power.
    PowerFailure,
}

struct State {
    nodes: BTreeMap<u64, Node>,
    now: Directories,
    durable: Directories,
    pending: Vec<Change>,
    next: u64,
    held: BTreeSet<StorePath>,
    generation: u64,
    last_time: u64,
    /// Changing calls until the process dies.
    dies_after: Option<(u64, Crash)>,
    /// Changing calls that still have space; none means no limit.
    space_for: Option<u64>,
    chance: Rng,
    plant: Plant,
    /// Draws for planted faults only, so that a world with one begins like the world without.
    plant_chance: Rng,
}

/// The disk of one server. Clones are the same disk.
#[derive(Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    clock: Now,
}

impl Disk {
    /// Returns an empty disk.
    pub fn new(clock: Now, chance: Rng) -> Self {
        let root =
            Node { content: None, is_durable: true, mode: DIRECTORY_MODE, accessed: 0, durable_access: 0, modified: 0 };
        let state = State {
            nodes: BTreeMap::from([(ROOT, root)]),
            now: BTreeMap::from([(ROOT, BTreeMap::new())]),
            durable: BTreeMap::from([(ROOT, BTreeMap::new())]),
            pending: Vec::new(),
            next: 1,
            held: BTreeSet::new(),
            generation: 0,
            last_time: 0,
            dies_after: None,
            space_for: None,
            plant_chance: Rng::new(chance.below(u64::MAX)),
            chance,
            plant: Plant::Nothing,
        };
        Self { state: Arc::new(Mutex::new(state)), clock }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the disk as a new process sees it.
    pub fn mount(&self) -> Mount {
        Mount { disk: self.clone(), generation: self.lock().generation }
    }

    /// Lets the process die in one of the next changing calls, the one after `calls` others.
    pub fn die_after(&self, calls: u64, how: Crash) {
        self.lock().dies_after = Some((calls, how));
    }

    /// Forgets a death that was planned and has not come.
    pub fn cancel_death(&self) {
        self.lock().dies_after = None;
    }

    /// Returns how many processes died here.
    pub fn deaths(&self) -> u64 {
        self.lock().generation
    }

    /// Lets only so many more changing calls that need space succeed; none lifts the limit.
    pub fn limit_space(&self, calls: Option<u64>) {
        self.lock().space_for = calls;
    }

    /// Plants a fault.
    pub fn plant(&self, plant: Plant) {
        self.lock().plant = plant;
    }

    /// Ends the process now.
    pub fn crash(&self, how: Crash) {
        self.lock().crash(how);
    }

    /// Makes everything durable, as the operating system does when some time has passed.
    pub fn flush(&self) {
        self.lock().flush_all();
    }

    /// Returns every path with its content, directories as `None`, without what the program keeps for itself while it
    /// runs: staging folders and the process lock.
    pub fn contents(&self) -> BTreeMap<String, Option<Bytes>> {
        let state = self.lock();
        let mut found = BTreeMap::new();
        let mut waiting = vec![(ROOT, String::new())];
        while let Some((directory, path)) = waiting.pop() {
            for (name, number) in state.now.get(&directory).into_iter().flatten() {
                let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                let content = state.nodes.get(number).and_then(|node| node.content.clone());
                if content.is_none() {
                    waiting.push((*number, path.clone()));
                }
                found.insert(path, content);
            }
        }
        found
    }

    /// Replaces the content of a file behind the program's back, or removes it with `None`. Durable at once.
    pub fn damage(&self, path: &str, content: Option<Bytes>) {
        let mut state = self.lock();
        let Ok(path) = path.parse::<StorePath>() else { return };
        let Ok((directory, name)) = state.place(&path) else { return };
        match content {
            None => state.change(Change::Remove { directory, name }),
            Some(content) => {
                if let Some(number) = state.now.get(&directory).and_then(|entries| entries.get(&name)).copied()
                    && let Some(node) = state.nodes.get_mut(&number)
                {
                    node.content = Some(content);
                }
            }
        }
    }
}

impl State {
    fn time(&mut self, clock: &Now) -> u64 {
        self.last_time = (self.last_time + 1).max(clock());
        self.last_time
    }

    fn missing(path: &StorePath) -> StorageError {
        StorageError::NotFound { path: path.to_string() }
    }

    /// Returns the number of an entry.
    fn find(&self, path: &StorePath) -> Result<u64, StorageError> {
        let mut number = ROOT;
        if path.is_root() {
            return Ok(number);
        }
        for component in path.as_str().split('/') {
            let Some(entries) = self.now.get(&number) else {
                return Err(StorageError::NotADirectory { path: path.to_string() });
            };
            number = *entries.get(component).ok_or_else(|| Self::missing(path))?;
        }
        Ok(number)
    }

    fn directory(&self, path: &StorePath) -> Result<u64, StorageError> {
        let number = self.find(path)?;
        if self.now.contains_key(&number) {
            return Ok(number);
        }
        Err(StorageError::NotADirectory { path: path.to_string() })
    }

    /// Returns the directory of an entry, which must exist, and its name.
    fn place(&self, path: &StorePath) -> Result<(u64, String), StorageError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(StorageError::NotAFile { path: path.to_string() });
        };
        Ok((self.directory(&parent)?, name.to_owned()))
    }

    fn entry(&self, directory: u64, name: &str) -> Option<u64> {
        self.now.get(&directory)?.get(name).copied()
    }

    fn file(&self, path: &StorePath) -> Result<&Bytes, StorageError> {
        let number = self.find(path)?;
        let content = self.nodes.get(&number).and_then(|node| node.content.as_ref());
        content.ok_or_else(|| StorageError::NotAFile { path: path.to_string() })
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.now, change.clone());
        self.pending.push(change);
    }

    fn add(&mut self, directory: u64, name: String, content: Option<Bytes>, mode: u32, clock: &Now) -> u64 {
        let (number, now) = (self.next, self.time(clock));
        self.next += 1;
        if content.is_none() {
            self.now.insert(number, BTreeMap::new());
        }
        let is_durable = content.is_none();
        let node = Node { content, is_durable, mode, accessed: now, durable_access: now, modified: now };
        self.nodes.insert(number, node);
        self.change(Change::Set { directory, name, node: number });
        number
    }

    /// Makes all changes of directories durable.
    fn commit_journal(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            apply(&mut self.durable, change);
        }
    }

    fn flush(&mut self, number: u64) {
        if self.plant == Plant::NeverFlushed {
            return;
        }
        if let Some(node) = self.nodes.get_mut(&number) {
            node.is_durable = true;
            node.durable_access = node.accessed;
        }
        self.commit_journal();
    }

    fn flush_all(&mut self) {
        for node in self.nodes.values_mut() {
            node.is_durable = true;
            node.durable_access = node.accessed;
        }
        self.commit_journal();
    }

    fn crash(&mut self, how: Crash) {
        self.generation += 1;
        self.held.clear();
        self.dies_after = None;
        self.space_for = None;
        if how == Crash::Kill {
            return;
        }
        let survives = self.chance.below(self.pending.len() as u64 + 1);
        let survivors: Vec<Change> = self.pending.drain(..).take(usize::try_from(survives).unwrap_or(0)).collect();
        for change in survivors {
            apply(&mut self.durable, change);
        }
        let mut reachable = BTreeMap::new();
        let mut waiting = vec![ROOT];
        while let Some(number) = waiting.pop() {
            let Some(mut node) = self.nodes.remove(&number) else { continue };
            node.accessed = node.durable_access;
            match &node.content {
                None => {
                    let entries = self.durable.entry(number).or_default();
                    waiting.extend(entries.values());
                }
                Some(content) if !node.is_durable => {
                    let length = content.len() as u64;
                    let kept = match self.chance.below(3) {
                        0 => 0,
                        1 => self.chance.below(length + 1),
                        _ => length,
                    };
                    node.content = Some(content.slice(..usize::try_from(kept).unwrap_or(0)));
                    node.is_durable = true;
                }
                Some(_) => {}
            }
            reachable.insert(number, node);
        }
        self.nodes = reachable;
        self.durable.retain(|number, _| self.nodes.contains_key(number));
        self.now = self.durable.clone();
    }
}

/// The disk as one process sees it.
#[derive(Clone)]
pub struct Mount {
    disk: Disk,
    generation: u64,
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mount").field("generation", &self.generation).finish_non_exhaustive()
    }
}

fn failure(operation: Operation, path: &StorePath, kind: io::ErrorKind) -> StorageError {
    StorageError::from_io(operation, Path::new(path.as_str()), kind.into())
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
        let state = self.disk.lock();
        if state.generation == self.generation {
            return Ok(state);
        }
        Err(failure(operation, path, io::ErrorKind::BrokenPipe))
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
        let takes_space =
            matches!(operation, Operation::WriteAtomic | Operation::CreateExclusive | Operation::CreateDir);
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
        if state.plant == Plant::ProtectionIgnored && path.file_name() == Some(".protected") {
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
            accessed: time(node.accessed),
            modified: time(node.modified),
        })
    }

    fn list(&self, path: &StorePath) -> Result<Vec<Entry>, StorageError> {
        let state = self.look(Operation::List, path)?;
        let number = state.directory(path)?;
        let kind = |number: &u64| if state.now.contains_key(number) { EntryKind::Directory } else { EntryKind::File };
        let entries = state.now.get(&number).into_iter().flatten();
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
            Ok(()) | Err(StorageError::AlreadyExists { .. }) => Ok(Box::new(OneProcess)),
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

/// Each disk has one process at a time, so the lock between processes is always free.
#[derive(Debug)]
struct OneProcess;

impl RecordLock for OneProcess {
    fn try_shared(&self) -> Result<bool, StorageError> {
        Ok(true)
    }

    fn try_exclusive(&self) -> Result<bool, StorageError> {
        Ok(true)
    }

    fn unlock(&self) -> Result<(), StorageError> {
        Ok(())
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
