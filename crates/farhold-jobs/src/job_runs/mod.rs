//! The runs of jobs that are kept: what staleness alarms, metrics and plots read.
//!
//! Each job has one private file, `<type>-<name>.jsonl`: one line per run, oldest first, each with the totals up to it
//! ([`run`]). A run is added by appending a line, which is durable before the run counts as kept: a crash or a power
//! failure costs at most the run that was being added. When the file has grown, it is replaced by its last [`KEPT_RUNS`]
//! lines. Lines that make no sense are passed over. Nothing here is needed for
//! backups, and the reference does not know these files.
//!
//! All calls are blocking. Writers of one job exclude each other by the job's lock, also across processes.

mod run;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farhold_tasks::job_state::JobKey;
use thiserror::Error;

pub use run::{JobRun, JobSummary, JobTotals, RunFigures};

/// How many runs of a job are kept: more than a year of daily runs, so that plots show the seasons.
pub const KEPT_RUNS: usize = 400;

/// Size in bytes from which on a file is cut to its last runs. A line has about 500 bytes, so that it is rewritten at
/// every few hundredth run.
const COMPACT_BYTES: u64 = 512 * 1024;

/// Most bytes that stay then: fewer than [`KEPT_RUNS`] runs if most of them left long error texts.
const COMPACTED_BYTES: u64 = COMPACT_BYTES / 4 * 3;

/// Most bytes of a file that are read, from its end: more than what we write.
const MAX_READ_BYTES: u64 = 2 * COMPACT_BYTES;

/// Bytes at the end of a file in which its last line is looked for: the longest line is less than half of that.
const TAIL_BYTES: u64 = 8 * 1024;

/// Mode of the directory: error texts are nobody else's business.
const DIRECTORY_MODE: u32 = 0o700;
/// Mode of the files.
const FILE_MODE: u32 = 0o600;

/// Why the runs of a job could not be read or written.
#[derive(Debug, Error)]
#[error("failed to {action} the runs of a job in {}", path.display())]
pub struct JobRunsError {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The cause.
    #[source]
    pub source: io::Error,
}

/// What tells whether a file is still the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self { inode: metadata.ino(), length: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

/// The end of a file.
#[derive(Debug, Clone)]
struct Tail {
    stamp: Stamp,
    summary: Option<Arc<JobSummary>>,
    /// Whether the last line has no line break: whoever wrote it was killed.
    is_torn: bool,
}

/// The kept runs of one server's jobs.
#[derive(Debug)]
pub struct JobRuns {
    directory: PathBuf,
    tails: Mutex<HashMap<String, Tail>>,
}

impl JobRuns {
    /// Returns the runs whose files lie in `directory`, which is made when the first run is written.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, tails: Mutex::default() }
    }

    /// Adds a run. The caller holds the lock of the job, and the job still exists.
    ///
    /// # Errors
    /// The file cannot be read or written; then the run is not kept.
    pub fn record(&self, key: &JobKey, run: &JobRun) -> Result<(), JobRunsError> {
        let (name, path) = (key.file_stem().to_owned(), self.path(key));
        let failed = |action| {
            let path = path.clone();
            move |source| JobRunsError { action, path, source }
        };
        let tail = self.tail(key)?;
        let before = tail.as_ref().and_then(|tail| tail.summary.as_ref()).map(|before| before.totals);
        let summary = JobSummary { last: run.clone(), totals: before.unwrap_or_default().with(run) };
        let mut line = serde_json::to_vec(&summary).map_err(io::Error::from).map_err(failed("write"))?;
        line.push(b'\n');
        if tail.as_ref().is_some_and(|tail| tail.is_torn) {
            line.insert(0, b'\n');
        }
        let grown = tail.map_or(0, |tail| tail.stamp.length) + line.len() as u64;
        let stamp = if COMPACT_BYTES < grown { self.compact(&path, &line) } else { self.append(&path, &line) };
        let stamp = stamp.map_err(failed("write"));
        let mut tails = self.lock();
        match stamp {
            Ok(stamp) => {
                tails.insert(name, Tail { stamp, summary: Some(Arc::new(summary)), is_torn: false });
                Ok(())
            }
            Err(error) => {
                tails.remove(&name);
                Err(error)
            }
        }
    }

    /// Returns the latest run of a job and its totals; `None` if none is known. Costs a look at the file's size and time
    /// as long as nothing new is in it.
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub fn summary(&self, key: &JobKey) -> Result<Option<Arc<JobSummary>>, JobRunsError> {
        Ok(self.tail(key)?.and_then(|tail| tail.summary))
    }

    /// Returns the last `limit` kept runs of a job, oldest first.
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub fn runs(&self, key: &JobKey, limit: usize) -> Result<Vec<JobRun>, JobRunsError> {
        let path = self.path(key);
        let text = match read_end(&path, MAX_READ_BYTES) {
            Ok(Some((text, _))) => text,
            Ok(None) => return Ok(Vec::new()),
            Err(source) => return Err(JobRunsError { action: "read", path, source }),
        };
        let parsed = |line| serde_json::from_slice::<JobSummary>(line).ok().map(|summary| summary.last);
        let mut runs: Vec<JobRun> = lines(&text).rev().filter_map(parsed).take(limit.min(KEPT_RUNS)).collect();
        runs.reverse();
        Ok(runs)
    }

    /// Forgets the runs of a job that was removed. A file that is missing is no error.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget(&self, key: &JobKey) -> Result<(), JobRunsError> {
        let path = self.path(key);
        self.lock().remove(key.file_stem());
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(JobRunsError { action: "remove", path, source })
            }
            _ => Ok(()),
        }
    }

    /// Forgets the runs of all jobs that are not among `keys`: those that were removed by somebody else, or while they
    /// ran.
    ///
    /// # Errors
    /// The directory cannot be read, or a file cannot be removed.
    pub fn forget_others(&self, keys: &HashSet<JobKey>) -> Result<(), JobRunsError> {
        let known: HashSet<PathBuf> = keys.iter().map(|key| self.path(key)).collect();
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| JobRunsError { action, path, source }
        };
        let entries = match std::fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(failed("list", &self.directory))?,
        };
        for entry in entries {
            let path = entry.map_err(failed("list", &self.directory))?.path();
            if !known.contains(&path) {
                std::fs::remove_file(&path).map_err(failed("remove", &path))?;
            }
        }
        self.lock().retain(|stem, _| known.contains(&self.directory.join(format!("{stem}.jsonl"))));
        Ok(())
    }

    fn path(&self, key: &JobKey) -> PathBuf {
        self.directory.join(format!("{}.jsonl", key.file_stem()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Tail>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the end of a job's file, from memory if the file is still the same.
    fn tail(&self, key: &JobKey) -> Result<Option<Tail>, JobRunsError> {
        let (name, path) = (key.file_stem().to_owned(), self.path(key));
        let failed = |source| JobRunsError { action: "read", path: path.clone(), source };
        let stamp = match std::fs::metadata(&path) {
            Ok(metadata) => Stamp::of(&metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.lock().remove(&name);
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        };
        if let Some(tail) = self.lock().get(&name).filter(|tail| tail.stamp == stamp) {
            return Ok(Some(tail.clone()));
        }
        let last = |text: &[u8]| lines(text).rev().find_map(|line| serde_json::from_slice(line).ok()).map(Arc::new);
        let mut read = read_end(&path, TAIL_BYTES).map_err(failed)?;
        let mut summary = read.as_ref().and_then(|(text, _)| last(text));
        if summary.is_none() {
            // Something else stands at the end: look further up.
            read = read_end(&path, MAX_READ_BYTES).map_err(failed)?;
            summary = read.as_ref().and_then(|(text, _)| last(text));
        }
        let Some((text, stamp)) = read else { return Ok(None) };
        let tail = Tail { stamp, summary, is_torn: text.last().is_some_and(|byte| *byte != b'\n') };
        self.lock().insert(name, tail.clone());
        Ok(Some(tail))
    }

    fn append(&self, path: &Path, line: &[u8]) -> io::Result<Stamp> {
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&self.directory)?;
        let is_new = !path.exists();
        let mut file = OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(path)?;
        file.write_all(line)?;
        file.sync_data()?;
        if is_new {
            File::open(&self.directory)?.sync_all()?;
        }
        Ok(Stamp::of(&file.metadata()?))
    }

    /// Replaces a file by its last lines and one more. The new file is durable before it takes the place, so that a
    /// power failure costs no old run.
    fn compact(&self, path: &Path, line: &[u8]) -> io::Result<Stamp> {
        let text = read_end(path, MAX_READ_BYTES)?.map(|(text, _)| text).unwrap_or_default();
        let (mut kept, mut bytes) = (VecDeque::new(), 0);
        for line in lines(&text).rev().take(KEPT_RUNS - 1) {
            bytes += line.len() as u64 + 1;
            if COMPACTED_BYTES < bytes {
                break;
            }
            if serde_json::from_slice::<JobSummary>(line).is_ok() {
                kept.push_front(line);
            }
        }
        let temporary = path.with_extension("tmp");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&temporary)?;
        for line in kept {
            file.write_all(line)?;
            file.write_all(b"\n")?;
        }
        file.write_all(line.trim_ascii_start())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        Ok(Stamp::of(&file.metadata()?))
    }
}

/// Returns up to `most` bytes from the end of a file, without the line in which they begin, and what the file was then.
/// `None` if there is no file.
fn read_end(path: &Path, most: u64) -> io::Result<Option<(Vec<u8>, Stamp)>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let stamp = Stamp::of(&file.metadata()?);
    let skipped = stamp.length.saturating_sub(most);
    file.seek(SeekFrom::Start(skipped))?;
    let mut text = Vec::new();
    file.take(stamp.length - skipped).read_to_end(&mut text)?;
    if 0 < skipped {
        let begin = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
        text.drain(..begin);
    }
    Ok(Some((text, stamp)))
}

fn lines(text: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}
