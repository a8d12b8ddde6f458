//! The log of one running task.
//!
//! The file is made exclusively and stays locked (`flock`) while the task runs, so that a registry of the same process
//! that does not know the task can tell it from one that is gone; the lock outlives the result line until the lists are
//! up to date. Nothing is written after the result line.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use farhold_format::task_log::{TaskStatus, stamped_line};
use farhold_types::{Clock, Epoch};
use jiff::tz::TimeZone;

/// Sees every message of a task as it is logged, without time stamp; the result line included.
pub(crate) type Echo = Arc<dyn Fn(&str) + Send + Sync>;

/// Where a task's messages go. Writing is a small append to the page cache and so done in place, also in async code.
pub(crate) struct LogWriter {
    clock: Arc<dyn Clock>,
    zone: TimeZone,
    echo: Option<Echo>,
    state: Mutex<State>,
}

struct State {
    /// `None` after [`LogWriter::release`].
    file: Option<File>,
    has_result: bool,
    /// Messages at warning or error level.
    warning_count: u64,
    /// Messages that could not be written, for example because the volume is full.
    lost_count: u64,
}

impl LogWriter {
    /// Makes the log file `path`, and its directory if needed.
    ///
    /// # Errors
    /// `AlreadyExists` if another task has that name; any other error of the file system.
    pub(crate) fn create(path: &Path, clock: Arc<dyn Clock>, zone: TimeZone, echo: Option<Echo>) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            create_directory(directory)?;
        }
        let file = OpenOptions::new().append(true).create_new(true).mode(0o644).open(path)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        // Nobody else can hold a lock on a file that did not exist; a failure means the file system has no locks.
        let _ = file.try_lock();
        let state = Mutex::new(State { file: Some(file), has_result: false, warning_count: 0, lost_count: 0 });
        Ok(Self { clock, zone, echo, state })
    }

    /// Writes one message.
    pub(crate) fn log(&self, message: &str) {
        self.write(message, false);
    }

    /// Writes one message and counts it as a warning.
    pub(crate) fn warn(&self, message: &str) {
        self.write(message, true);
    }

    fn write(&self, message: &str, is_warning: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // The time is read under the lock, so that stamps never go back within a log.
        let line = stamped_line(self.clock.now(), &self.zone, message);
        if state.has_result {
            return;
        }
        if let Some(file) = &mut state.file
            && file.write_all(line.as_bytes()).is_err()
        {
            state.lost_count += 1;
        }
        state.warning_count += u64::from(is_warning);
        if let Some(echo) = &self.echo {
            echo(message);
        }
    }

    /// Returns how many messages at warning or error level were logged.
    pub(crate) fn warning_count(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).warning_count
    }

    /// Writes the result line, after which nothing is written. Returns its time and how many messages were lost.
    pub(crate) fn finish(&self, status: &TaskStatus) -> (Epoch, u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let message = status.result_message();
        if !std::mem::replace(&mut state.has_result, true) {
            if let Some(file) = &mut state.file
                && file.write_all(stamped_line(now, &self.zone, &message).as_bytes()).is_err()
            {
                state.lost_count += 1;
            }
            if let Some(echo) = &self.echo {
                echo(&message);
            }
        }
        (now, state.lost_count)
    }

    /// Closes the file and gives up its lock; to be called when the lists no longer show the task as running.
    pub(crate) fn release(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).file = None;
    }
}

/// Makes a directory of the task tree (mode 0755) unless it exists.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().recursive(true).mode(0o755).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
