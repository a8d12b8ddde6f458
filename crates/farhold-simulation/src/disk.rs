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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use farhold_storage::{DIRECTORY_MODE, StorageError, StorePath};

use crate::mount::Mount;
use crate::plant::Plant;
use crate::rng::Rng;

/// Returns nanoseconds since the epoch.
pub type Now = Arc<dyn Fn() -> u64 + Send + Sync>;

const ROOT: u64 = 0;
/// How far times of files may run ahead of the clock since no two are the same, in nanoseconds.
const SAME_MOMENT_NS: u64 = 100_000_000;

/// Directories by number, each with the numbers of its entries by name.
pub(crate) type Directories = BTreeMap<u64, BTreeMap<String, u64>>;

#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// None for a directory.
    pub(crate) content: Option<Bytes>,
    pub(crate) is_durable: bool,
    pub(crate) mode: u32,
    pub(crate) accessed: u64,
    pub(crate) durable_access: u64,
    pub(crate) modified: u64,
}

/// A change of a directory that a power failure may undo.
#[derive(Debug, Clone)]
pub(crate) enum Change {
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

/// How a disk is not there for a while, under a process that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// Its device does not answer.
    Pulled,
    /// It is not mounted any more: an empty directory is in its place, into which nobody may write.
    Unmounted,
}

pub(crate) struct State {
    pub(crate) nodes: BTreeMap<u64, Node>,
    pub(crate) now: Directories,
    pub(crate) durable: Directories,
    pub(crate) pending: Vec<Change>,
    pub(crate) next: u64,
    pub(crate) held: BTreeSet<StorePath>,
    pub(crate) generation: u64,
    pub(crate) last_time: u64,
    /// Changing calls until the process dies.
    pub(crate) dies_after: Option<(u64, Crash)>,
    /// Changing calls that still have space; none means no limit.
    pub(crate) space_for: Option<u64>,
    pub(crate) chance: Rng,
    pub(crate) absence: Option<Absence>,
    /// Whether it has to be mounted after each start of the machine.
    pub(crate) is_removable: bool,
    /// Whether it was unmounted in good order, so that nobody may use it any more.
    pub(crate) is_unmounted: bool,
    /// Who tried all the same: path by path.
    pub(crate) late_uses: Vec<String>,
    pub(crate) plant: Plant,
    /// Draws for planted faults only, so that a world with one begins like the world without.
    pub(crate) plant_chance: Rng,
    /// What damaged files held before.
    pub(crate) undamaged: BTreeMap<StorePath, Bytes>,
}

/// The disk of one server. Clones are the same disk.
#[derive(Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    pub(crate) clock: Now,
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
            absence: None,
            is_removable: false,
            is_unmounted: false,
            late_uses: Vec::new(),
            plant: Plant::Nothing,
            undamaged: BTreeMap::new(),
        };
        Self { state: Arc::new(Mutex::new(state)), clock }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
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

    /// Lets the disk be away, or come back with `None`.
    pub fn unplug(&self, absence: Option<Absence>) {
        self.lock().absence = absence;
    }

    /// Returns whether the disk is away.
    pub fn is_away(&self) -> bool {
        self.lock().absence.is_some()
    }

    /// Makes this a disk that is mounted and unmounted, and not mounted when the machine starts.
    pub fn make_removable(&self) {
        self.lock().is_removable = true;
    }

    /// Unmounts the disk in good order, or mounts it.
    pub fn set_unmounted(&self, is_unmounted: bool) {
        self.lock().is_unmounted = is_unmounted;
    }

    /// Returns whether the disk is unmounted in good order.
    pub fn is_unmounted(&self) -> bool {
        self.lock().is_unmounted
    }

    /// Takes the paths that somebody wanted to use after the disk was unmounted in good order.
    pub fn take_late_uses(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().late_uses)
    }

    /// Plants a fault.
    pub fn plant(&self, plant: Plant) {
        self.lock().plant = plant;
    }

    /// Returns the planted fault.
    pub fn planted(&self) -> Plant {
        self.lock().plant
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

    /// Returns the chunk files, damaged ones that were set aside too, with the second in which they were last accessed.
    pub fn chunk_files(&self) -> Vec<(String, i64)> {
        let state = self.lock();
        let mut found = Vec::new();
        let Some(chunks) = state.entry(ROOT, ".chunks").and_then(|number| state.now.get(&number)) else { return found };
        for folder in chunks.iter().filter(|(name, _)| !name.starts_with('.')).map(|(_, number)| number) {
            for (name, number) in state.now.get(folder).into_iter().flatten() {
                let accessed = state.nodes.get(number).map_or(0, |node| node.accessed);
                found.push((name.clone(), i64::try_from(accessed / 1_000_000_000).unwrap_or(i64::MAX)));
            }
        }
        found
    }

    /// Replaces the content of a file behind the program's back, or removes it with `None`. Durable at once.
    pub fn damage(&self, path: &str, content: Option<Bytes>) {
        let mut state = self.lock();
        let Ok(path) = path.parse::<StorePath>() else { return };
        let Ok((directory, name)) = state.place(&path) else { return };
        if let Ok(old) = state.file(&path).cloned() {
            state.undamaged.entry(path).or_insert(old);
        }
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
    pub(crate) fn time(&mut self, clock: &Now) -> u64 {
        let now = clock();
        // Two times in one moment differ. A clock that is set back is followed.
        let is_same_moment = now <= self.last_time && self.last_time - now < SAME_MOMENT_NS;
        self.last_time = if is_same_moment { self.last_time + 1 } else { now };
        self.last_time
    }

    pub(crate) fn missing(path: &StorePath) -> StorageError {
        StorageError::NotFound { path: path.to_string() }
    }

    /// Returns the number of an entry.
    pub(crate) fn find(&self, path: &StorePath) -> Result<u64, StorageError> {
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

    pub(crate) fn directory(&self, path: &StorePath) -> Result<u64, StorageError> {
        let number = self.find(path)?;
        if self.now.contains_key(&number) {
            return Ok(number);
        }
        Err(StorageError::NotADirectory { path: path.to_string() })
    }

    /// Returns the directory of an entry, which must exist, and its name.
    pub(crate) fn place(&self, path: &StorePath) -> Result<(u64, String), StorageError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(StorageError::NotAFile { path: path.to_string() });
        };
        Ok((self.directory(&parent)?, name.to_owned()))
    }

    pub(crate) fn entry(&self, directory: u64, name: &str) -> Option<u64> {
        self.now.get(&directory)?.get(name).copied()
    }

    pub(crate) fn file(&self, path: &StorePath) -> Result<&Bytes, StorageError> {
        let number = self.find(path)?;
        let content = self.nodes.get(&number).and_then(|node| node.content.as_ref());
        content.ok_or_else(|| StorageError::NotAFile { path: path.to_string() })
    }

    pub(crate) fn change(&mut self, change: Change) {
        apply(&mut self.now, change.clone());
        self.pending.push(change);
    }

    pub(crate) fn add(&mut self, directory: u64, name: String, content: Option<Bytes>, mode: u32, clock: &Now) -> u64 {
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
    pub(crate) fn commit_journal(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            apply(&mut self.durable, change);
        }
    }

    pub(crate) fn flush(&mut self, number: u64) {
        if self.plant == Plant::NeverFlushed {
            return;
        }
        if let Some(node) = self.nodes.get_mut(&number) {
            node.is_durable = true;
            node.durable_access = node.accessed;
        }
        self.commit_journal();
    }

    pub(crate) fn flush_all(&mut self) {
        for node in self.nodes.values_mut() {
            node.is_durable = true;
            node.durable_access = node.accessed;
        }
        self.commit_journal();
    }

    pub(crate) fn crash(&mut self, how: Crash) {
        self.generation += 1;
        self.held.clear();
        self.dies_after = None;
        self.space_for = None;
        self.absence = None;
        if how == Crash::Kill {
            return;
        }
        self.is_unmounted = self.is_removable;
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
