//! The in-memory twin of the local file system, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::backend::{
    DIRECTORY_MODE, Durability, Entry, EntryKind, FILE_MODE, FileHold, FileTime, RecordLock, Staging, Stat, Storage,
};
use crate::error::{Operation, StorageError};
use crate::path::StorePath;
use crate::working_file::WorkingFile;

/// Longest file that is filled piece by piece, in bytes: the longest index, and room to test beyond.
const MAX_WORKING_BYTES: u64 = 1 << 30;

/// The content of a file.
#[derive(Debug, Clone)]
enum Content {
    Whole(Bytes),
    /// Shared with whoever fills it.
    Working(Arc<Mutex<Vec<u8>>>),
}

impl Content {
    fn bytes(&self) -> Bytes {
        match self {
            Self::Whole(bytes) => bytes.clone(),
            Self::Working(content) => Bytes::copy_from_slice(&content.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn length(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Working(content) => content.lock().unwrap_or_else(PoisonError::into_inner).len() as u64,
        }
    }
}

#[derive(Debug, Clone)]
struct Node {
    content: Option<Content>,
    mode: u32,
    inode: u64,
    accessed: FileTime,
    modified: FileTime,
}

#[derive(Debug, Default)]
struct Tree {
    nodes: BTreeMap<StorePath, Node>,
    held: BTreeSet<StorePath>,
    ticks: u64,
    seconds: i64,
}

/// Files kept in memory. Times are ticks of an own counter, as nanoseconds, so that each change is later than the last;
/// the seconds are 0 until a test sets them.
///
/// Clones share the same files, like two processes that open the same directory; record locks never conflict.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    tree: Arc<Mutex<Tree>>,
}

impl Tree {
    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    /// Returns the time of the tick before.
    fn now(&self) -> FileTime {
        FileTime { seconds: self.seconds, nanoseconds: i64::try_from(self.ticks).unwrap_or(i64::MAX) }
    }

    fn missing(path: &StorePath) -> StorageError {
        StorageError::NotFound { path: path.to_string() }
    }

    /// Checks that the directories above `path` exist and are directories.
    fn check_parents(&self, path: &StorePath) -> Result<(), StorageError> {
        let Some(parent) = path.parent() else { return Ok(()) };
        self.check_dir(&parent)
    }

    fn check_dir(&self, path: &StorePath) -> Result<(), StorageError> {
        if path.is_root() {
            return Ok(());
        }
        self.check_parents(path)?;
        match self.nodes.get(path) {
            None => Err(Self::missing(path)),
            Some(Node { content: Some(_), .. }) => Err(StorageError::NotADirectory { path: path.to_string() }),
            Some(_) => Ok(()),
        }
    }

    fn file(&self, path: &StorePath) -> Result<Bytes, StorageError> {
        self.check_parents(path)?;
        match self.nodes.get(path) {
            None if path.is_root() => Err(StorageError::NotAFile { path: path.to_string() }),
            None => Err(Self::missing(path)),
            Some(node) => match &node.content {
                Some(content) => Ok(content.bytes()),
                None => Err(StorageError::NotAFile { path: path.to_string() }),
            },
        }
    }

    fn has_children(&self, path: &StorePath) -> bool {
        self.nodes.keys().any(|other| other.is_below(path))
    }

    fn insert(&mut self, path: &StorePath, content: Option<Content>, mode: u32) {
        let inode = self.tick();
        let now = self.now();
        self.nodes.insert(path.clone(), Node { content, mode, inode, accessed: now, modified: now });
    }
}

impl MemoryStorage {
    /// Returns an empty storage.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the second that file times show from now on.
    pub fn set_seconds(&self, seconds: i64) {
        self.lock().seconds = seconds;
    }

    /// Returns all paths, sorted; directories end in `/`. For comparing states.
    pub fn all_paths(&self) -> Vec<String> {
        let slash = |node: &Node| if node.content.is_none() { "/" } else { "" };
        self.lock().nodes.iter().map(|(path, node)| format!("{path}{}", slash(node))).collect()
    }
}

impl Storage for MemoryStorage {
    fn read(&self, path: &StorePath, max_bytes: u64) -> Result<Bytes, StorageError> {
        let tree = self.lock();
        let content = tree.file(path)?;
        if max_bytes < content.len() as u64 {
            return Err(StorageError::TooLarge { path: path.to_string(), max_bytes });
        }
        Ok(content)
    }

    fn read_start(&self, path: &StorePath, max_bytes: u64) -> Result<Bytes, StorageError> {
        let tree = self.lock();
        let content = tree.file(path)?;
        let length = usize::try_from(max_bytes).unwrap_or(usize::MAX).min(content.len());
        Ok(content.slice(..length))
    }

    fn stat(&self, path: &StorePath) -> Result<Stat, StorageError> {
        let tree = self.lock();
        tree.check_parents(path)?;
        let never = FileTime { seconds: 0, nanoseconds: 0 };
        let root = Node { content: None, mode: DIRECTORY_MODE, inode: 0, accessed: never, modified: never };
        let node = match tree.nodes.get(path) {
            Some(node) => node,
            None if path.is_root() => &root,
            None => return Err(Tree::missing(path)),
        };
        Ok(Stat {
            kind: if node.content.is_some() { EntryKind::File } else { EntryKind::Directory },
            size_bytes: node.content.as_ref().map_or(0, Content::length),
            mode: node.mode,
            inode: node.inode,
            accessed: node.accessed,
            modified: node.modified,
        })
    }

    fn list(&self, path: &StorePath) -> Result<Vec<Entry>, StorageError> {
        let tree = self.lock();
        tree.check_dir(path)?;
        let mut entries: Vec<Entry> = tree
            .nodes
            .iter()
            .filter(|(other, _)| other.parent().as_ref() == Some(path))
            .filter_map(|(other, node)| {
                let kind = if node.content.is_some() { EntryKind::File } else { EntryKind::Directory };
                Some(Entry { name: other.file_name()?.to_owned(), kind })
            })
            .collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn write_atomic(
        &self,
        path: &StorePath,
        content: &[u8],
        _durability: Durability,
        staging: Staging<'_>,
    ) -> Result<(), StorageError> {
        let mut tree = self.lock();
        tree.check_parents(path)?;
        if let Staging::In(directory) = staging {
            tree.check_dir(directory)?;
        }
        if path.is_root() || tree.nodes.get(path).is_some_and(|node| node.content.is_none()) {
            return Err(StorageError::NotAFile { path: path.to_string() });
        }
        tree.insert(path, Some(Content::Whole(Bytes::copy_from_slice(content))), FILE_MODE);
        Ok(())
    }

    fn create_exclusive(&self, path: &StorePath, content: &[u8]) -> Result<(), StorageError> {
        let mut tree = self.lock();
        tree.check_parents(path)?;
        if path.is_root() || tree.nodes.contains_key(path) {
            return Err(StorageError::AlreadyExists { path: path.to_string() });
        }
        tree.insert(path, Some(Content::Whole(Bytes::copy_from_slice(content))), FILE_MODE);
        Ok(())
    }

    fn create_working(&self, path: &StorePath) -> Result<Box<dyn WorkingFile>, StorageError> {
        self.create_exclusive(path, b"")?;
        let content = Arc::new(Mutex::new(Vec::new()));
        self.lock().insert(path, Some(Content::Working(Arc::clone(&content))), FILE_MODE);
        Ok(Box::new(MemoryWorkingFile { content, path: path.clone() }))
    }

    fn create_dir(&self, path: &StorePath, mode: u32) -> Result<(), StorageError> {
        let mut tree = self.lock();
        tree.check_parents(path)?;
        if path.is_root() || tree.nodes.contains_key(path) {
            return Err(StorageError::AlreadyExists { path: path.to_string() });
        }
        tree.insert(path, None, mode);
        Ok(())
    }

    fn rename(&self, from: &StorePath, to: &StorePath) -> Result<(), StorageError> {
        let mut tree = self.lock();
        tree.check_parents(from)?;
        tree.check_parents(to)?;
        let moved_is_dir = tree.nodes.get(from).ok_or_else(|| Tree::missing(from))?.content.is_none();
        if from == to {
            return Ok(());
        }
        match tree.nodes.get(to).map(|node| node.content.is_none()) {
            Some(true) if !moved_is_dir => return Err(StorageError::NotAFile { path: to.to_string() }),
            Some(false) if moved_is_dir => return Err(StorageError::NotADirectory { path: to.to_string() }),
            Some(true) if tree.has_children(to) => return Err(StorageError::NotEmpty { path: to.to_string() }),
            _ => {}
        }
        let moved: Vec<StorePath> =
            tree.nodes.keys().filter(|path| *path == from || path.is_below(from)).cloned().collect();
        for path in moved {
            if let Some(node) = tree.nodes.remove(&path) {
                let rest = &path.as_str()[from.as_str().len()..];
                let target = format!("{to}{rest}").parse().expect("made of two valid paths");
                tree.nodes.insert(target, node);
            }
        }
        Ok(())
    }

    fn remove_file(&self, path: &StorePath) -> Result<(), StorageError> {
        let mut tree = self.lock();
        tree.file(path)?;
        tree.nodes.remove(path);
        Ok(())
    }

    fn remove_dir(&self, path: &StorePath) -> Result<(), StorageError> {
        let mut tree = self.lock();
        tree.check_dir(path)?;
        if tree.has_children(path) {
            return Err(StorageError::NotEmpty { path: path.to_string() });
        }
        tree.nodes.remove(path);
        Ok(())
    }

    fn remove_tree(&self, path: &StorePath) -> Result<(), StorageError> {
        let mut tree = self.lock();
        tree.check_dir(path)?;
        tree.nodes.retain(|other, _| other != path && !other.is_below(path));
        Ok(())
    }

    fn touch_atime(&self, path: &StorePath) -> Result<(), StorageError> {
        let mut tree = self.lock();
        tree.check_parents(path)?;
        tree.tick();
        let now = tree.now();
        tree.nodes.get_mut(path).ok_or_else(|| Tree::missing(path))?.accessed = now;
        Ok(())
    }

    fn sync_file(&self, path: &StorePath) -> Result<(), StorageError> {
        self.lock().file(path).map(|_| ())
    }

    fn sync_all(&self) -> Result<(), StorageError> {
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
        if !self.lock().held.insert(path.clone()) {
            return Ok(None);
        }
        Ok(Some(Box::new(MemoryHold { storage: self.clone(), path: path.clone() })))
    }

    fn local_root(&self) -> Option<&Path> {
        None
    }
}

/// The lock between processes of a storage that only one process ever sees: always free.
#[derive(Debug)]
pub struct NoOtherProcess;

impl RecordLock for NoOtherProcess {
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
struct MemoryWorkingFile {
    content: Arc<Mutex<Vec<u8>>>,
    path: StorePath,
}

impl MemoryWorkingFile {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file system has its limits, too.
    fn checked(&self, length_bytes: u64) -> Result<usize, StorageError> {
        if length_bytes <= MAX_WORKING_BYTES {
            return Ok(usize::try_from(length_bytes).unwrap_or(usize::MAX));
        }
        let source = io::ErrorKind::FileTooLarge.into();
        Err(StorageError::from_io(Operation::WriteAt, Path::new(self.path.as_str()), source))
    }
}

impl WorkingFile for MemoryWorkingFile {
    fn write_at(&self, offset: u64, content: &[u8]) -> Result<(), StorageError> {
        let end = self.checked(offset.saturating_add(content.len() as u64))?;
        let mut whole = self.lock();
        if whole.len() < end {
            whole.resize(end, 0);
        }
        whole[end - content.len()..end].copy_from_slice(content);
        Ok(())
    }

    fn read_at(&self, offset: u64, max_bytes: usize) -> Result<Vec<u8>, StorageError> {
        let whole = self.lock();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(whole.len());
        Ok(whole[start..start.saturating_add(max_bytes).min(whole.len())].to_vec())
    }

    fn set_length(&self, length_bytes: u64) -> Result<(), StorageError> {
        let length = self.checked(length_bytes)?;
        self.lock().resize(length, 0);
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryHold {
    storage: MemoryStorage,
    path: StorePath,
}

impl FileHold for MemoryHold {}

impl Drop for MemoryHold {
    fn drop(&mut self) {
        self.storage.lock().held.remove(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_backend_passes_the_suite() {
        crate::suite::run(&|| (Box::new(MemoryStorage::new()), Box::new(())));
    }
}
