//! A directory of small files that come and go as a whole: what is in it survives a crash of the program and of the host.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Age after which a file that was never put in its place is nobody's any more.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

/// Such a directory.
#[derive(Debug)]
pub(super) struct FileBox {
    directory: PathBuf,
    mode: u32,
    fate: Fate,
}

impl FileBox {
    /// Returns the one in this directory, which is made when the first file is put. `mode`: of its files.
    pub(super) const fn new(directory: PathBuf, mode: u32, fate: Fate) -> Self {
        Self { directory, mode, fate }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes a file, or replaces it.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // Another program may write a file of this name at the same time.
        let temporary = self.directory.join(format!(".{name}.{}.tmp", std::process::id()));
        self.fate.step()?;
        fs::create_dir_all(&self.directory)?;
        let written = self.write(&temporary, bytes).and_then(|()| fs::rename(&temporary, self.directory.join(name)));
        if let Err(error) = written {
            // Half a file would take the space that is missing.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        self.flush()
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(self.mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        self.fate.step()
    }

    /// Removes a file; one that is missing is no error.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        self.fate.step()?;
        match fs::remove_file(self.directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns the content of a file; `None` if there is none.
    ///
    /// # Errors
    /// Also if it is no plain file, or larger than `max_bytes`.
    pub(super) fn read(&self, name: &str, max_bytes: usize) -> io::Result<Option<Vec<u8>>> {
        let path = self.directory.join(name);
        let read = || {
            // Opening what is no plain file may block, or lead elsewhere.
            if !fs::symlink_metadata(&path)?.is_file() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no plain file"));
            }
            let mut bytes = Vec::new();
            File::open(&path)?.take(max_bytes as u64 + 1).read_to_end(&mut bytes)?;
            if max_bytes < bytes.len() {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {max_bytes} bytes")));
            }
            Ok(bytes)
        };
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// Returns up to `limit` names of files, in no defined order; those that are still being written are left out.
    pub(super) fn names(&self, limit: usize) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.filter(|name| !name.as_ref().is_ok_and(|name| name.starts_with('.'))).take(limit).collect()
    }

    /// Returns when a file was written.
    pub(super) fn age_mark(&self, name: &str) -> Option<SystemTime> {
        fs::symlink_metadata(self.directory.join(name)).and_then(|data| data.modified()).ok()
    }

    /// Removes what writers left that were killed.
    pub(super) fn tidy(&self, now: SystemTime) {
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_unfinished = name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(".tmp"));
            let written = entry.metadata().and_then(|data| data.modified());
            let is_old = written.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| LEFTOVER_AGE < age));
            if is_unfinished && is_old {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn flush(&self) -> io::Result<()> {
        self.fate.step()?;
        File::open(&self.directory)?.sync_all()
    }
}

/// Where a program that is killed may stop; only tests stop.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate {
    /// Steps that are left to live; none for ever.
    #[cfg(test)]
    pub(super) steps: std::sync::Arc<std::sync::Mutex<Option<u32>>>,
}

impl Fate {
    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests stop here")]
    const fn step(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        let mut steps = self.steps.lock().unwrap();
        match steps.as_mut() {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the program is dead")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}
