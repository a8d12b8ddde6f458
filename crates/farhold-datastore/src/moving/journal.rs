//! The move journal: which indexes have just got another place.
//!
//! Garbage collection walks the store while snapshots may move from where it has not been yet to where it has been. So
//! the future paths of their indexes are written down before each move, and garbage collection marks them at the end of
//! its walk. The file is text, one absolute path a line, changed and read under an exclusive `flock`.
//!
//! Source: `docs/spec/datastore-format.md` 14.3.

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use farhold_storage::StorePath;
use thiserror::Error;

use crate::lock::open_lock_file;
use crate::store::Datastore;

/// Name of the file in the store's directory of locks. Source: `docs/spec/datastore-format.md` 14.3.
const FILE_NAME: &str = "move-journal";
/// Pause between two attempts at the lock.
const PAUSE: Duration = Duration::from_millis(20);
/// Attempts at the lock: together 10 s, the documented wait.
const ATTEMPTS: u32 = 500;
/// Longest line that can be a path of ours, in bytes: `PATH_MAX` of Linux.
const MAX_LINE_BYTES: u64 = 4096;

/// Why the journal cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MoveJournalError {
    /// Somebody else holds it for long.
    #[error("move journal '{path}' is locked by another operation", path = path.display())]
    Busy {
        /// The journal.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("move journal '{path}' cannot be used", path = path.display())]
    Io {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The open and locked journal; closing it gives the lock back.
struct Held {
    file: File,
    path: PathBuf,
}

impl Held {
    fn open(directory: &Path) -> Result<Self, MoveJournalError> {
        let path = directory.join(FILE_NAME);
        let failed = |source| MoveJournalError::Io { path: path.clone(), source };
        let file = open_lock_file(&path).map_err(failed)?;
        for attempt in 1..=ATTEMPTS {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file, path }),
                Err(TryLockError::WouldBlock) if attempt < ATTEMPTS => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        Err(MoveJournalError::Busy { path })
    }

    fn failed(&self) -> impl Fn(io::Error) -> MoveJournalError {
        |source| MoveJournalError::Io { path: self.path.clone(), source }
    }

    fn append(&mut self, lines: &str) -> io::Result<()> {
        let mut text = String::with_capacity(lines.len() + 1);
        if self.file.seek(SeekFrom::End(0))? != 0 {
            let mut last = [0];
            self.file.seek(SeekFrom::End(-1))?;
            self.file.read_exact(&mut last)?;
            // What a kill in the middle of a line left must not run into the first new one.
            if last != *b"\n" {
                text.push('\n');
            }
        }
        text.push_str(lines);
        self.file.write_all(text.as_bytes())
    }
}

/// Returns the next line without its end; `None` at the end of the file. Of a line that is too long, only a part.
fn next_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if reader.take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned()))
}

impl Datastore {
    /// Returns what stands before the store's own paths in the journal.
    fn journal_root(&self) -> PathBuf {
        self.local_root().unwrap_or(Path::new("/")).to_owned()
    }

    /// Writes down that these indexes are about to appear.
    pub(crate) fn note_moves(&self, indexes: &[StorePath]) -> Result<(), MoveJournalError> {
        if indexes.is_empty() {
            return Ok(());
        }
        let root = self.journal_root();
        let lines: String = indexes.iter().map(|index| format!("{}\n", root.join(index.as_str()).display())).collect();
        let mut held = Held::open(self.inner.locks.path())?;
        held.append(&lines).map_err(held.failed())
    }

    /// Calls `mark` with the place of every index that was moved since this was last done, then forgets them.
    ///
    /// For the end of the marking phase of garbage collection. Nothing can be moved meanwhile. The places are relative to
    /// the store; some may not exist (any more). If `mark` fails, the journal stays as it is.
    ///
    /// # Errors
    /// The first error of `mark`; [`MoveJournalError`] if the journal cannot be locked within 10 s, read or emptied.
    pub fn take_moved_indexes<E>(&self, mut mark: impl FnMut(&StorePath) -> Result<(), E>) -> Result<(), E>
    where
        E: From<MoveJournalError>,
    {
        let root = self.journal_root();
        let mut held = Held::open(self.inner.locks.path())?;
        held.file.rewind().map_err(held.failed())?;
        let mut reader = BufReader::new(&held.file);
        while let Some(line) = next_line(&mut reader).map_err(held.failed())? {
            // A path elsewhere was written for a store that had this name before, so this one has no such index.
            let relative = Path::new(&line).strip_prefix(&root).ok().and_then(Path::to_str);
            if let Some(path) = relative.filter(|path| !path.is_empty()).and_then(|path| path.parse().ok()) {
                mark(&path)?;
            }
        }
        Ok(held.file.set_len(0).map_err(held.failed())?)
    }
}
