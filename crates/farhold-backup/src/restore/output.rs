//! Where restored content goes: new files that vanish again when the restore fails, and writers that are served by a
//! thread of their own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;

use super::RestoreTarget;
use super::error::RestoreError;
use crate::chunk_work::is_zeros;

/// Parts that wait for the writer; the memory budget bounds them, too.
const WAITING_PARTS: usize = 2;
/// Piece of a file that is left out if it is empty: 16 blocks of usual file systems, so that a chunk needs few writes.
const HOLE_BYTES: usize = 64 << 10;

/// Ending of the name of a file that is not complete.
const UNFINISHED_ENDING: &str = ".restoring";

/// Whether an existing target is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Refuse,
    Replace,
}

/// Writes a small file. Blocks.
pub(super) fn write_small(target: RestoreTarget, content: &[u8], existing: Existing) -> Result<(), RestoreError> {
    match target {
        RestoreTarget::Writer(mut writer) => {
            writer.write_all(content).and_then(|()| writer.flush()).map_err(|source| RestoreError::Write { source })
        }
        RestoreTarget::NewFile(path) => {
            let mut file = NewFile::create_blocking(path, existing)?;
            file.file().write_all(content).map_err(|source| RestoreError::Write { source })?;
            file.keep_blocking()
        }
    }
}

/// A file being restored: it has another name until all of it is there, so that what a killed client leaves behind does
/// not look like the whole. It is removed unless it is kept.
#[derive(Debug)]
pub(super) struct NewFile {
    file: Arc<File>,
    path: PathBuf,
    unfinished_path: PathBuf,
    existing: Existing,
    is_kept: bool,
}

/// Writes to a file being restored, from any thread.
pub(super) struct FileWriter(Arc<File>);

impl NewFile {
    /// Creates a file of this size that has no content yet.
    pub(super) async fn create(path: PathBuf, size_bytes: u64) -> Result<Self, RestoreError> {
        let creating = move || {
            let file = Self::create_blocking(path, Existing::Refuse)?;
            file.file.set_len(size_bytes).map_err(|source| RestoreError::Write { source })?;
            Ok(file)
        };
        tokio::task::spawn_blocking(creating).await.map_err(|_| RestoreError::Worker)?
    }

    fn create_blocking(path: PathBuf, existing: Existing) -> Result<Self, RestoreError> {
        // Before anything is fetched; asked again at the end.
        if existing == Existing::Refuse && fs::symlink_metadata(&path).is_ok() {
            return Err(RestoreError::TargetExists { path });
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(UNFINISHED_ENDING);
        let unfinished_path = path.with_file_name(name);
        match OpenOptions::new().write(true).create_new(true).open(&unfinished_path) {
            Ok(file) => Ok(Self { file: Arc::new(file), path, unfinished_path, existing, is_kept: false }),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                Err(RestoreError::Unfinished { path: unfinished_path })
            }
            Err(source) => Err(RestoreError::Create { path, source }),
        }
    }

    fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn writer(&self) -> FileWriter {
        FileWriter(Arc::clone(&self.file))
    }

    /// Makes the content durable and gives the file its name.
    pub(super) async fn keep(mut self) -> Result<(), RestoreError> {
        tokio::task::spawn_blocking(move || self.keep_blocking()).await.map_err(|_| RestoreError::Worker)?
    }

    fn keep_blocking(&mut self) -> Result<(), RestoreError> {
        // Some file systems report only now that they are full.
        self.file.sync_all().map_err(|source| RestoreError::Write { source })?;
        let renamed = match self.existing {
            Existing::Replace => fs::rename(&self.unfinished_path, &self.path),
            Existing::Refuse => rename_to_new(&self.unfinished_path, &self.path),
        };
        match renamed {
            Ok(()) => {
                self.is_kept = true;
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                Err(RestoreError::TargetExists { path: self.path.clone() })
            }
            Err(source) => Err(RestoreError::Write { source }),
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            remove(&self.unfinished_path);
        }
    }
}

/// Renames a file without replacing another one.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => Ok(()),
        // The file system cannot do that; a second name it does not give to two files either.
        Err(Errno::EINVAL | Errno::ENOSYS) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        Err(errno) => Err(errno.into()),
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "an incomplete file stays behind");
    }
}

impl FileWriter {
    /// Writes content to its place, leaving out pieces of zeros: the file is new, so they are zeros already. Blocks.
    pub(super) fn write_at(&self, content: &[u8], start: u64) -> Result<(), RestoreError> {
        let write = |from: usize, to: usize| {
            self.0
                .write_all_at(&content[from..to], start + from as u64)
                .map_err(|source| RestoreError::Write { source })
        };
        // Pieces with content that follow each other are written at once.
        let mut begun = None;
        for (number, piece) in content.chunks(HOLE_BYTES).enumerate() {
            let position = number * HOLE_BYTES;
            match (begun, is_zeros(piece)) {
                (None, false) => begun = Some(position),
                (Some(from), true) => {
                    write(from, position)?;
                    begun = None;
                }
                (None, true) | (Some(_), false) => {}
            }
        }
        begun.map_or(Ok(()), |from| write(from, content.len()))
    }
}

/// A part of the content, in order.
pub(super) enum Part {
    Content { content: Vec<u8>, _memory: OwnedSemaphorePermit },
    Zeros { size_bytes: u64 },
}

impl Part {
    pub(super) fn size_bytes(&self) -> u64 {
        match self {
            Self::Content { content, .. } => content.len() as u64,
            Self::Zeros { size_bytes } => *size_bytes,
        }
    }
}

/// A writer and the thread that serves it.
pub(super) struct Output {
    parts: mpsc::Sender<Part>,
    thread: JoinHandle<io::Result<()>>,
}

impl Output {
    pub(super) fn start(mut writer: Box<dyn Write + Send>) -> Self {
        let (parts, mut receiver) = mpsc::channel(WAITING_PARTS);
        let thread = tokio::task::spawn_blocking(move || {
            while let Some(part) = receiver.blocking_recv() {
                match part {
                    Part::Content { content, .. } => writer.write_all(&content)?,
                    Part::Zeros { size_bytes } => write_zeros(&mut writer, size_bytes)?,
                }
            }
            writer.flush()
        });
        Self { parts, thread }
    }

    /// Hands over the next part and returns whether the writer still takes it; if not, [`Self::finish`] tells why.
    pub(super) async fn write(&mut self, part: Part) -> bool {
        self.parts.send(part).await.is_ok()
    }

    /// Waits until everything was written.
    pub(super) async fn finish(self) -> Result<(), RestoreError> {
        drop(self.parts);
        let result = self.thread.await.map_err(|_| RestoreError::Worker)?;
        result.map_err(|source| RestoreError::Write { source })
    }
}

fn write_zeros(writer: &mut dyn Write, size_bytes: u64) -> io::Result<()> {
    let zeros = [0; HOLE_BYTES];
    let mut left = size_bytes;
    while 0 < left {
        let count = left.min(HOLE_BYTES as u64);
        writer.write_all(&zeros[..count as usize])?;
        left -= count;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pieces_with_content_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut content = vec![0; 10 * HOLE_BYTES + 100];
        content[3 * HOLE_BYTES] = 1;
        content[5 * HOLE_BYTES - 1] = 2;
        *content.last_mut().unwrap() = 3;
        let mut file = NewFile::create_blocking(path.clone(), Existing::Refuse).unwrap();
        file.file.set_len(content.len() as u64 + 7).unwrap();
        file.writer().write_at(&content, 7).unwrap();
        file.keep_blocking().unwrap();
        let mut expected = vec![0; 7];
        expected.extend(content);
        assert!(fs::read(&path).unwrap() == expected);
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_when_it_is_complete_and_vanishes_when_it_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = NewFile::create_blocking(path.clone(), Existing::Refuse).unwrap();
        assert_eq!(names(folder.path()), ["file.restoring"]);
        let second = NewFile::create_blocking(path.clone(), Existing::Refuse);
        assert!(matches!(second, Err(RestoreError::Unfinished { .. })));
        drop(file);
        assert_eq!(names(folder.path()), [""; 0]);
        write_small(RestoreTarget::NewFile(path.clone()), b"new", Existing::Refuse).unwrap();
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn an_existing_file_is_replaced_only_if_that_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut early = NewFile::create_blocking(path.clone(), Existing::Refuse).unwrap();
        // Somebody else makes the file meanwhile.
        fs::write(&path, "mine").unwrap();
        assert!(matches!(early.keep_blocking(), Err(RestoreError::TargetExists { .. })));
        drop(early);
        let late = NewFile::create_blocking(path.clone(), Existing::Refuse);
        assert!(matches!(late, Err(RestoreError::TargetExists { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        write_small(RestoreTarget::NewFile(path.clone()), b"new", Existing::Replace).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn a_full_file_system_is_told_as_such() {
        let full = FileWriter(Arc::new(OpenOptions::new().write(true).open("/dev/full").unwrap()));
        let error = full.write_at(&[1; 100], 0).unwrap_err();
        assert!(error.hint().unwrap().contains("file system of the target is full"), "{error:?}");
        full.write_at(&[0; 100], 0).unwrap();
    }
}
