//! Putting logs aside and removing old ones: the list of finished tasks, the logs of tasks, and other logs of the server.
//!
//! | name | content |
//! |---|---|
//! | `<log>` | what is written now |
//! | `<log>.1` | what was written before, as it is |
//! | `<log>.2.zst`, `<log>.3.zst` ... | older ones, compressed |
//!
//! Each file is renamed only after the next older name is free, oldest first: after a crash a file may be there twice,
//! and none is lost. All calls are blocking. Source: `docs/spec/schedules-and-tasks.md` 7.3.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use farhold_format::task_log::{MAX_LIST_LINE_BYTES, TaskListEntry};
use farhold_format::upid::Upid;
use farhold_types::Epoch;

use crate::error::TaskError;
use crate::file_lock::LockKind;
use crate::task_list::{TaskDirectory, archive_number};

/// Size above which the list of finished tasks is put aside, in bytes. Source: `docs/spec/schedules-and-tasks.md` 7.3.
pub const MAX_ARCHIVE_BYTES: u64 = 524_287;
/// Rotated lists that are kept if no number of days is set. Source: as above.
const KEPT_ARCHIVES: u32 = 19;
/// Size above which another log is put aside, in bytes. Source: as above.
pub const MAX_LOG_BYTES: u64 = 32 * 1024 * 1024 - 1;
/// Rotated files of another log that are kept. Source: as above.
pub const KEPT_LOGS: u32 = 14;
/// Most lines of a list that are read in search of one that makes sense.
const MAX_LINES_IN_SEARCH: usize = 1000;
/// Speed before size: the lists are short.
const COMPRESSION_LEVEL: i32 = 3;

/// What a rotation of the list of finished tasks did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RotatedTasks {
    /// Whether the list was put aside.
    pub is_rotated: bool,
    /// How many old lists were removed.
    pub removed_archives: usize,
    /// How many logs of tasks were removed; `None` if none were looked for.
    pub removed_logs: Option<usize>,
}

/// Puts a log aside if it is larger than `max_bytes`, keeping the newest `kept` files that were put aside before.
/// Returns whether it was. Its writer must open it anew for what it writes next.
///
/// # Errors
/// A file cannot be read, written or renamed.
pub fn rotate_log(path: &Path, max_bytes: u64, kept: u32) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) if max_bytes < metadata.len() => {}
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    shift(path)?;
    for (number, file) in rotated(path)? {
        if kept < number {
            fs::remove_file(file)?;
        }
    }
    Ok(true)
}

/// Gives every file of a log the next older name; the log itself is missing afterwards.
fn shift(path: &Path) -> io::Result<()> {
    let mut files = rotated(path)?;
    files.reverse();
    for (number, file) in files {
        let older = numbered(path, number + 1);
        if file.extension().is_some_and(|extension| extension == "zst") {
            fs::rename(&file, &older)?;
        } else {
            compress(&file, &older)?;
            fs::remove_file(&file)?;
        }
    }
    fs::rename(path, numbered(path, 1))
}

/// Returns the files that were put aside with their numbers, newest first.
fn rotated(path: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|found| archive_number(name, found));
        found.extend(number.filter(|number| 0 < *number).map(|number| (number, entry.path())));
    }
    found.sort();
    Ok(found)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(if number == 1 { ".1".to_owned() } else { format!(".{number}.zst") });
    name.into()
}

/// Writes a compressed copy that is complete as soon as it has its name.
fn compress(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mode = source.metadata()?.mode() & 0o777;
    let temporary = to.with_extension("tmp");
    let target = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
    target.set_permissions(Permissions::from_mode(mode))?;
    let mut encoder = zstd::stream::write::Encoder::new(target, COMPRESSION_LEVEL)?;
    io::copy(&mut source, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(&temporary, to)
}

impl TaskDirectory {
    /// Puts the list of finished tasks aside if it is too large, removes old lists, and then logs of tasks that no list
    /// names any more.
    ///
    /// `cut_off`: lists are kept up to and including the first whose oldest task ended before then; `None` keeps a number
    /// of them. Logs of tasks that run stay, however old they are.
    pub(crate) fn rotate(&self, max_bytes: u64, cut_off: Option<Epoch>) -> Result<RotatedTasks, TaskError> {
        let _lock = self.lock(LockKind::Exclusive)?;
        let archive = self.path().join("archive");
        let mut done = RotatedTasks::default();
        let is_too_large = fs::metadata(&archive).is_ok_and(|metadata| max_bytes < metadata.len());
        if is_too_large {
            shift(&archive).map_err(TaskError::io("rotate", &archive))?;
            done.is_rotated = true;
        }
        let mut archives = self.archives()?;
        let kept = match cut_off {
            Some(cut_off) => kept_by_age(&archives, cut_off),
            None => archives.iter().filter(|path| number_of(path) <= KEPT_ARCHIVES).count(),
        };
        for path in archives.split_off(kept.min(archives.len())) {
            fs::remove_file(&path).map_err(TaskError::io("remove", &path))?;
            done.removed_archives += 1;
        }
        let oldest = archives.last().and_then(|path| oldest_end(path));
        if let Some(oldest) = oldest.filter(|_| done.is_rotated || done.removed_archives != 0) {
            done.removed_logs = Some(self.remove_logs_before(oldest)?);
        }
        Ok(done)
    }

    fn remove_logs_before(&self, oldest: Epoch) -> Result<usize, TaskError> {
        let running: HashSet<Upid> = self.read_active()?.into_iter().map(|entry| entry.upid).collect();
        let mut removed = 0;
        let folders = fs::read_dir(self.path()).map_err(TaskError::io("list", self.path()))?;
        for folder in folders {
            let folder = folder.map_err(TaskError::io("list", self.path()))?.path();
            if !folder.file_name().and_then(|name| name.to_str()).is_some_and(is_log_folder) {
                continue;
            }
            for log in fs::read_dir(&folder).map_err(TaskError::io("list", &folder))? {
                let log = log.map_err(TaskError::io("list", &folder))?;
                let upid: Option<Upid> = log.file_name().to_str().and_then(|name| name.parse().ok());
                let Some(upid) = upid.filter(|upid| !running.contains(upid)) else { continue };
                // Whoever removes logs by hand may have been faster.
                let is_old = log.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.mtime() < oldest.0);
                if is_old && fs::remove_file(self.log_path(&upid)).is_ok() {
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}

/// Returns whether a folder may hold logs of tasks: two hex digits, in upper case.
fn is_log_folder(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))
}

fn number_of(path: &Path) -> u32 {
    path.file_name().and_then(|name| name.to_str()).and_then(|name| archive_number("archive", name)).unwrap_or(0)
}

/// Returns how many of the lists, newest first, stay: those up to the first whose oldest task ended before `cut_off`.
fn kept_by_age(archives: &[PathBuf], cut_off: Epoch) -> usize {
    let ends_before = |path: &PathBuf| oldest_end(path).is_some_and(|oldest| oldest < cut_off);
    archives.iter().position(ends_before).map_or(archives.len(), |index| index + 1)
}

/// Returns when the first task of a list ended; `None` if the list cannot be read or names none.
fn oldest_end(path: &Path) -> Option<Epoch> {
    let file = File::open(path).ok()?;
    let reader: Box<dyn BufRead> = match path.extension() {
        Some(extension) if extension == "zst" => Box::new(BufReader::new(zstd::stream::read::Decoder::new(file).ok()?)),
        _ => Box::new(BufReader::new(file)),
    };
    let limit = (MAX_LINES_IN_SEARCH * MAX_LIST_LINE_BYTES) as u64;
    let lines = io::Read::take(reader, limit).split(b'\n').take(MAX_LINES_IN_SEARCH).map_while(Result::ok);
    let entries = lines.filter_map(|line| std::str::from_utf8(&line).ok()?.parse::<TaskListEntry>().ok());
    entries.into_iter().find_map(|entry| entry.end).map(|(time, _)| time)
}
