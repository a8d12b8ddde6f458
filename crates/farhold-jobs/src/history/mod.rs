//! What the host and the datastores have been through: samples every ten seconds, and the rows made of them.
//!
//! The last half hour of samples is kept in memory, for metrics; files below one private folder hold rows for years
//! ([`row_file`]). One process writes, the daemon; others may read. Nothing here is needed for backups: a fault is told
//! in the log and costs a row, never more.

mod measures;
mod row_file;
mod sample;
mod watch;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use farhold_rules::history::{Cell, RESOLUTIONS, Timeframe, consolidate};
use farhold_types::{DatastoreName, Epoch};

use crate::host::kernel::CpuTimes;
pub use measures::{HOST_MEASURES, STORE_MEASURES};
use measures::{host_values, store_values};
use row_file::RowFile;
pub use sample::{HostReading, Sample, StoreReading, take_sample};
pub use watch::{Watch, WatchError};

/// Time between two samples. Source: `docs/spec/rest-api.md` 16.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);

/// How long samples are kept, in seconds. Source: `docs/spec/rest-api.md` 16.
pub const SAMPLE_AGE_S: i64 = 30 * 60;

/// Most samples that are kept, also where the clock jumps.
const MAX_SAMPLES: usize = 181;

/// Whose history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The host.
    Host,
    /// A datastore.
    Store(DatastoreName),
}

impl Subject {
    fn file_name(&self) -> String {
        match self {
            Self::Host => "host".to_owned(),
            // Names of stores have no slash and do not begin with a dot.
            Self::Store(name) => format!("datastore-{name}"),
        }
    }

    /// Returns the names of what is measured, in the order of a row's cells.
    pub const fn measures(&self) -> &'static [&'static str] {
        match self {
            Self::Host => HOST_MEASURES,
            Self::Store(_) => STORE_MEASURES,
        }
    }
}

/// One row of a look back.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryRow {
    /// When it starts.
    pub start: Epoch,
    /// By measure, in the order of [`Subject::measures`]; all `None` where nothing was recorded.
    pub cells: Vec<Option<Cell>>,
}

/// The history of one server.
pub struct History {
    directory: PathBuf,
    samples: Mutex<VecDeque<Arc<Sample>>>,
    /// Readers must not see half a row.
    files: RwLock<()>,
}

impl History {
    /// Returns the history whose files lie in `directory`, which is made when the first row is written.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, samples: Mutex::default(), files: RwLock::default() }
    }

    /// Returns the samples after `after`, oldest first; without a time only the newest.
    pub fn samples(&self, after: Option<Epoch>) -> Vec<Arc<Sample>> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        match after {
            Some(after) => samples.iter().filter(|sample| after < sample.time).cloned().collect(),
            None => samples.back().into_iter().cloned().collect(),
        }
    }

    /// Returns the samples as [`Self::samples`] does, each with the one before it: what counters are compared with.
    pub fn samples_with_earlier(&self, after: Option<Epoch>) -> Vec<(Option<Arc<Sample>>, Arc<Sample>)> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let first = match after {
            Some(after) => samples.partition_point(|sample| sample.time <= after),
            None => samples.len().saturating_sub(1),
        };
        let earlier = |index: usize| index.checked_sub(1).and_then(|index| samples.get(index).cloned());
        samples.iter().enumerate().skip(first).map(|(index, sample)| (earlier(index), Arc::clone(sample))).collect()
    }

    /// Returns the times of the processors at the last sample, if it is younger than two intervals and older than one
    /// second: what a usage can be computed from.
    pub fn recent_cpu_times(&self, now: Epoch) -> Option<CpuTimes> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |sample: &&Arc<Sample>| {
            let age = now.seconds_since(sample.time);
            0 < age && age <= 2 * i64::try_from(SAMPLE_INTERVAL.as_secs()).unwrap_or(i64::MAX)
        };
        samples.iter().rev().find(is_recent)?.host.cpu
    }

    /// Adds a sample, and writes the rows that it belongs to. Blocking.
    pub fn add(&self, sample: Sample) {
        let sample = Arc::new(sample);
        let (kept, subjects) = {
            let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
            // A clock that was set back would hide what comes now behind what came before.
            if samples.back().is_some_and(|last| sample.time <= last.time) {
                samples.clear();
            }
            samples.push_back(Arc::clone(&sample));
            while MAX_SAMPLES < samples.len()
                || samples.front().is_some_and(|first| first.time.0 <= sample.time.0 - SAMPLE_AGE_S)
            {
                samples.pop_front();
            }
            let minute = RESOLUTIONS[0].start_of(sample.time);
            // Those of this minute, and the one before them: counters need something to be compared with.
            let begin = samples.partition_point(|other| other.time < minute).saturating_sub(1);
            let kept: Vec<Arc<Sample>> = samples.iter().skip(begin).cloned().collect();
            (kept, sample.subjects())
        };
        for subject in subjects {
            if let Err(error) = self.write(&subject, &kept, sample.time) {
                tracing::warn!("the history {} cannot be written: {error}", self.path(&subject).display());
            }
        }
    }

    fn path(&self, subject: &Subject) -> PathBuf {
        self.directory.join(subject.file_name())
    }

    /// Writes the row of the minute of `now`, made of `samples`, and the coarser rows around it.
    fn write(&self, subject: &Subject, samples: &[Arc<Sample>], now: Epoch) -> io::Result<()> {
        let minute = RESOLUTIONS[0].start_of(now);
        let mut values: Vec<Vec<Option<f64>>> = Vec::new();
        for (index, sample) in samples.iter().enumerate() {
            if sample.time < minute {
                continue;
            }
            let earlier = index.checked_sub(1).map(|before| &*samples[before]);
            match subject {
                Subject::Host => values.push(host_values(earlier, sample).to_vec()),
                Subject::Store(name) => values.extend(store_values(name, earlier, sample).map(|row| row.to_vec())),
            }
        }
        let count = subject.measures().len();
        let cell = |measure: usize| consolidate(values.iter().map(|row| row[measure].map(Cell::of)));
        let cells: Vec<Option<Cell>> = (0..count).map(cell).collect();
        let _guard = self.files.write().unwrap_or_else(PoisonError::into_inner);
        std::fs::create_dir_all(&self.directory)?;
        let file = RowFile::open_or_create(&self.path(subject), subject.measures())?;
        file.write_row(0, minute, &cells)?;
        for coarse in 1..RESOLUTIONS.len() {
            let start = RESOLUTIONS[coarse].start_of(now);
            let finer = file.rows(coarse - 1, start, RESOLUTIONS[coarse].step_s / RESOLUTIONS[coarse - 1].step_s)?;
            let cell = |measure: usize| consolidate(finer.iter().map(|row| row.cells[measure]));
            file.write_row(coarse, start, &(0..count).map(cell).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// Returns the rows of a timeframe that ends at `now`, oldest first; `None` if nothing was ever recorded. Blocking.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn rows(&self, subject: &Subject, timeframe: Timeframe, now: Epoch) -> io::Result<Option<Vec<HistoryRow>>> {
        let starts = timeframe.starts(now);
        let count = i64::try_from(starts.len()).unwrap_or(i64::MAX);
        let Some(first) = starts.into_iter().next() else { return Ok(None) };
        let _guard = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = RowFile::open(&self.path(subject), subject.measures())? else { return Ok(None) };
        file.rows(timeframe.resolution(), first, count).map(Some)
    }

    /// Returns empty rows of a timeframe: what a subject has of which nothing was ever recorded.
    pub fn no_rows(subject: &Subject, timeframe: Timeframe, now: Epoch) -> Vec<HistoryRow> {
        let count = subject.measures().len();
        timeframe.starts(now).map(|start| HistoryRow { start, cells: vec![None; count] }).collect()
    }

    /// Forgets the history of a datastore that is gone. Blocking.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget(&self, store: &DatastoreName) -> io::Result<()> {
        let _guard = self.files.write().unwrap_or_else(PoisonError::into_inner);
        match std::fs::remove_file(self.path(&Subject::Store(store.clone()))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
