//! Where restored content goes: new files that vanish again when the restore fails, and writers that are served by a
//! thread of their own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;

use super::RestoreTarget;
use super::error::RestoreError;
use crate::chunk_work::is_zeros;

/// Parts that wait for the writer; the memory budget bounds them, too.
const WAITING_PARTS: usize = 2;
/// Piece of a file that is left out if it is empty: 16 blocks of usual file systems, so that a chunk needs few writes.
const HOLE_BYTES: usize = 64 << 10;

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
            let mut file = match existing {
                Existing::Refuse => NewFile::create_blocking(path)?,
                Existing::Replace => NewFile::create_beside(path)?,
            };
            file.file().write_all(content).map_err(|source| RestoreError::Write { source })?;
            file.keep_blocking()
        }
    }
}

/// A file being restored. It is removed unless it is kept.
#[derive(Debug)]
pub(super) struct NewFile {
    file: Arc<File>,
    path: PathBuf,
    /// Name that it gets when it is kept, if that is another one.
    final_path: Option<PathBuf>,
    is_kept: bool,
}

/// Writes to a file being restored, from any thread.
pub(super) struct FileWriter(Arc<File>);

impl NewFile {
    /// Creates a file of this size that has no content yet.
    pub(super) async fn create(path: PathBuf, size_bytes: u64) -> Result<Self, RestoreError> {
        let creating = move || {
            let file = Self::create_blocking(path)?;
            file.file.set_len(size_bytes).map_err(|source| RestoreError::Write { source })?;
            Ok(file)
        };
        tokio::task::spawn_blocking(creating).await.map_err(|_| RestoreError::Worker)?
    }

    fn create_blocking(path: PathBuf) -> Result<Self, RestoreError> {
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => Ok(Self { file: Arc::new(file), path, final_path: None, is_kept: false }),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(RestoreError::TargetExists { path }),
            Err(source) => Err(RestoreError::Create { path, source }),
        }
    }

    /// Creates a file that replaces the one at `path` when it is kept.
    fn create_beside(path: PathBuf) -> Result<Self, RestoreError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".restoring");
        let mut file = Self::create_blocking(path.with_file_name(name))?;
        file.final_path = Some(path);
        Ok(file)
    }

    fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn writer(&self) -> FileWriter {
        FileWriter(Arc::clone(&self.file))
    }

    /// Makes the content durable and keeps the file.
    pub(super) async fn keep(mut self) -> Result<(), RestoreError> {
        tokio::task::spawn_blocking(move || self.keep_blocking()).await.map_err(|_| RestoreError::Worker)?
    }

    fn keep_blocking(&mut self) -> Result<(), RestoreError> {
        // Some file systems report only now that they are full.
        self.file.sync_all().map_err(|source| RestoreError::Write { source })?;
        if let Some(final_path) = &self.final_path {
            fs::rename(&self.path, final_path).map_err(|source| RestoreError::Write { source })?;
        }
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            remove(&self.path);
        }
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
        let mut file = NewFile::create_blocking(path.clone()).unwrap();
        file.file.set_len(content.len() as u64 + 7).unwrap();
        file.writer().write_at(&content, 7).unwrap();
        file.keep_blocking().unwrap();
        let mut expected = vec![0; 7];
        expected.extend(content);
        assert!(fs::read(&path).unwrap() == expected);
    }

    #[test]
    fn a_file_that_is_not_kept_vanishes_and_an_existing_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        drop(NewFile::create_blocking(path.clone()).unwrap());
        assert!(!path.exists());
        fs::write(&path, "mine").unwrap();
        assert!(matches!(NewFile::create_blocking(path.clone()), Err(RestoreError::TargetExists { .. })));
        drop(NewFile::create_beside(path.clone()).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        write_small(RestoreTarget::NewFile(path.clone()), b"new", Existing::Replace).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
