//! Opening everything that is to be backed up, before the server hears of it.
//!
//! Source: `docs/spec/cli.md` 5.4.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use farhold_format::chunker::ChunkSize;
use farhold_types::{ArchiveKind, ArchiveName, CLIENT_LOG_NAME, KEY_BLOB_NAME, MANIFEST_NAME, Snapshot};

use crate::archive::{ArchiveInput, BackupArchive};
use crate::error::BackupError;
use crate::protection::Protection;
use crate::request::{BackupRequest, Limits};

/// A backup whose sources are all open and fit for it.
#[derive(Debug)]
pub struct OpenBackup {
    pub(crate) snapshot: Snapshot,
    pub(crate) archives: Vec<OpenArchive>,
    pub(crate) protection: Protection,
    pub(crate) chunk_size: ChunkSize,
    pub(crate) limits: Limits,
}

#[derive(Debug)]
pub(crate) struct OpenArchive {
    pub(crate) name: ArchiveName,
    pub(crate) input: OpenInput,
}

/// An open source.
pub(crate) enum OpenInput {
    /// An image of known size that can be read anywhere. Never empty.
    Image {
        /// The file or device.
        file: File,
        /// Its size.
        size_bytes: u64,
    },
    /// Content that comes in order.
    Stream {
        /// The content.
        reader: Box<dyn Read + Send>,
        /// Its size, if it is known.
        size_bytes: Option<u64>,
    },
}

impl OpenInput {
    pub(crate) const fn size_bytes(&self) -> Option<u64> {
        match self {
            Self::Image { size_bytes, .. } => Some(*size_bytes),
            Self::Stream { size_bytes, .. } => *size_bytes,
        }
    }

    /// Returns the content in order.
    pub(crate) fn into_reader(self) -> Box<dyn Read + Send> {
        match self {
            Self::Image { file, .. } => Box::new(file),
            Self::Stream { reader, .. } => reader,
        }
    }
}

impl fmt::Debug for OpenInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenInput").field("size_bytes", &self.size_bytes()).finish_non_exhaustive()
    }
}

impl BackupRequest {
    /// Opens all sources and checks them and their names. Blocks; a named pipe blocks until somebody writes to it.
    ///
    /// # Errors
    /// [`BackupError::NoArchives`], [`BackupError::DuplicateName`], [`BackupError::ReservedName`]; for one source,
    /// inside [`BackupError::Archive`]: [`BackupError::Open`], [`BackupError::Directory`], [`BackupError::WrongKind`],
    /// [`BackupError::Empty`].
    pub fn open(self) -> Result<OpenBackup, BackupError> {
        if self.archives.is_empty() {
            return Err(BackupError::NoArchives);
        }
        let mut names = BTreeSet::new();
        for BackupArchive { name, .. } in &self.archives {
            if [MANIFEST_NAME, CLIENT_LOG_NAME, KEY_BLOB_NAME].contains(&name.as_str()) {
                return Err(BackupError::ReservedName { name: name.clone() });
            }
            if !names.insert(name.clone()) {
                return Err(BackupError::DuplicateName { name: name.clone() });
            }
        }
        let open = |BackupArchive { name, input }| match open_input(&name, input) {
            Ok(input) => Ok(OpenArchive { name, input }),
            Err(source) => Err(BackupError::Archive { name, source: Box::new(source) }),
        };
        let archives = self.archives.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(OpenBackup {
            snapshot: self.snapshot,
            archives,
            protection: self.protection,
            chunk_size: self.chunk_size,
            limits: self.limits,
        })
    }
}

impl OpenBackup {
    /// Returns the new snapshot.
    pub const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns the archives in order, with the sizes of their content as far as they are known, in bytes.
    pub fn archives(&self) -> impl Iterator<Item = (&ArchiveName, Option<u64>)> {
        self.archives.iter().map(|archive| (&archive.name, archive.input.size_bytes()))
    }

    /// Returns the size of all content in bytes, if it is known.
    pub fn total_bytes(&self) -> Option<u64> {
        self.archives.iter().try_fold(0u64, |sum, archive| Some(sum.saturating_add(archive.input.size_bytes()?)))
    }
}

fn open_input(name: &ArchiveName, input: ArchiveInput) -> Result<OpenInput, BackupError> {
    match input {
        ArchiveInput::Reader(reader) => Ok(OpenInput::Stream { reader, size_bytes: None }),
        ArchiveInput::Path(path) => {
            let open_error = |source| BackupError::Open { path: path.clone(), source };
            let file = File::open(&path).map_err(open_error)?;
            match name.kind() {
                ArchiveKind::FixedIndex => open_image(name, &path, file),
                ArchiveKind::DynamicIndex => open_archive(name, &path, file),
                ArchiveKind::Blob => open_small_file(&path, file),
            }
        }
    }
}

fn open_image(name: &ArchiveName, path: &Path, mut file: File) -> Result<OpenInput, BackupError> {
    let open_error = |source| BackupError::Open { path: path.to_owned(), source };
    let metadata = file.metadata().map_err(open_error)?;
    let kind = metadata.file_type();
    if kind.is_fifo() {
        return Ok(OpenInput::Stream { reader: Box::new(file), size_bytes: None });
    }
    let size_bytes = if kind.is_file() {
        metadata.len()
    } else if kind.is_block_device() {
        file.seek(SeekFrom::End(0)).map_err(open_error)?
    } else {
        let expected = "regular file, block device or named pipe";
        return Err(BackupError::WrongKind { path: path.to_owned(), expected });
    };
    if size_bytes == 0 {
        return Err(BackupError::Empty { name: name.clone() });
    }
    Ok(OpenInput::Image { file, size_bytes })
}

fn open_archive(name: &ArchiveName, path: &Path, file: File) -> Result<OpenInput, BackupError> {
    let metadata = file.metadata().map_err(|source| BackupError::Open { path: path.to_owned(), source })?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(BackupError::Directory { path: path.to_owned() });
    }
    if kind.is_fifo() {
        return Ok(OpenInput::Stream { reader: Box::new(file), size_bytes: None });
    }
    if !kind.is_file() {
        return Err(BackupError::WrongKind { path: path.to_owned(), expected: "regular file or named pipe" });
    }
    if metadata.len() == 0 {
        return Err(BackupError::Empty { name: name.clone() });
    }
    Ok(OpenInput::Stream { reader: Box::new(file), size_bytes: Some(metadata.len()) })
}

fn open_small_file(path: &Path, file: File) -> Result<OpenInput, BackupError> {
    let metadata = file.metadata().map_err(|source| BackupError::Open { path: path.to_owned(), source })?;
    if metadata.is_file() {
        Ok(OpenInput::Stream { reader: Box::new(file), size_bytes: Some(metadata.len()) })
    } else {
        Err(BackupError::WrongKind { path: path.to_owned(), expected: "regular file" })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn request(archives: &[(&str, PathBuf)]) -> BackupRequest {
        let archives = archives
            .iter()
            .map(|(name, path)| BackupArchive { name: name.parse().unwrap(), input: ArchiveInput::Path(path.clone()) });
        BackupRequest::new("host/a/2026-01-01T10:00:00Z".parse().unwrap(), archives.collect())
    }

    fn refusal(archives: &[(&str, PathBuf)]) -> BackupError {
        match request(archives).open().unwrap_err() {
            BackupError::Archive { source, .. } => *source,
            other => other,
        }
    }

    #[test]
    fn sources_are_checked_before_anything_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("full"), b"content").unwrap();
        std::fs::write(path("empty"), b"").unwrap();
        let folder_path = folder.path().to_owned();

        assert!(matches!(refusal(&[]), BackupError::NoArchives));
        let twice = refusal(&[("a.img.fidx", path("full")), ("a.img.fidx", path("full"))]);
        assert!(matches!(twice, BackupError::DuplicateName { .. }));
        for name in ["index.json.blob", "client.log.blob", "rsa-encrypted.key.blob"] {
            assert!(matches!(refusal(&[(name, path("full"))]), BackupError::ReservedName { .. }), "{name}");
        }
        assert!(matches!(refusal(&[("a.img.fidx", path("none"))]), BackupError::Open { .. }));
        assert!(matches!(refusal(&[("a.img.fidx", path("empty"))]), BackupError::Empty { .. }));
        assert!(matches!(refusal(&[("a.pxar.didx", path("empty"))]), BackupError::Empty { .. }));
        assert!(matches!(refusal(&[("a.img.fidx", folder_path.clone())]), BackupError::WrongKind { .. }));
        assert!(matches!(refusal(&[("a.conf.blob", folder_path.clone())]), BackupError::WrongKind { .. }));
        let directory = refusal(&[("a.pxar.didx", folder_path)]);
        assert!(matches!(directory, BackupError::Directory { .. }));
        assert!(directory.hint().unwrap().contains("another program"));
        assert!(matches!(refusal(&[("a.img.fidx", "/dev/null".into())]), BackupError::WrongKind { .. }));

        let open = request(&[("a.img.fidx", path("full")), ("b.conf.blob", path("empty"))]).open().unwrap();
        assert_eq!(open.total_bytes(), Some(7));
        let sizes: Vec<_> = open.archives().map(|(name, size)| (name.to_string(), size)).collect();
        assert_eq!(sizes, [("a.img.fidx".to_owned(), Some(7)), ("b.conf.blob".to_owned(), Some(0))]);
    }
}
