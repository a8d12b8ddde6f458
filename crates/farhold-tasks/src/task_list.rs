//! The lists of running and finished tasks on disk, shared with other processes.
//!
//! Every change happens under the exclusive list lock and replaces `active` atomically. The archive is appended to
//! before `active` is replaced: a crash in between may list a task twice, never not at all.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 7.2 and 7.4.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farhold_format::task_log::{MAX_LIST_LINE_BYTES, TaskListEntry, TaskStatus};
use farhold_format::upid::Upid;
use farhold_types::Epoch;

use crate::error::TaskError;
use crate::file_lock::{FileLock, LockKind, lock};
use crate::log_reader::read_status;

/// Longest wait for the list lock. Source: `docs/spec/schedules-and-tasks.md` 7.2.
const LOCK_WAIT: Duration = Duration::from_secs(15);

/// Most bytes read of a list that is read as a whole. About 100,000 running tasks; more means a damaged file.
const MAX_ACTIVE_BYTES: u64 = 16 * 1024 * 1024;

/// Most bytes that a compressed archive may unpack to. They are rotated at half a MiB.
const MAX_UNPACKED_ARCHIVE_BYTES: u64 = 64 * 1024 * 1024;

/// Block size for reading archives from the end.
const BLOCK_BYTES: usize = 64 * 1024;

/// The directory with logs and lists.
#[derive(Debug, Clone)]
pub(crate) struct TaskDirectory {
    path: PathBuf,
    /// Whose turn it is in this program to change the lists. The file's lock is asked for again and again; hundreds of tasks
    /// that begin or end at once would keep each other from it until some have waited too long.
    turn: Arc<Mutex<()>>,
}

/// What changes in the lists.
#[derive(Debug, Default)]
pub(crate) struct ListChange<'a> {
    /// A task that starts.
    pub started: Option<&'a Upid>,
    /// A task that ended; its end is given.
    pub ended: Option<&'a TaskListEntry>,
}

impl TaskDirectory {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, turn: Arc::default() }
    }

    pub(crate) fn log_path(&self, upid: &Upid) -> PathBuf {
        self.path.join(upid.log_directory()).join(upid.as_str())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn active_path(&self) -> PathBuf {
        self.path.join("active")
    }

    pub(crate) fn lock(&self, kind: LockKind) -> Result<FileLock, TaskError> {
        let path = self.path.join(".active.lock");
        match lock(&path, kind, LOCK_WAIT) {
            Ok(Some(held)) => Ok(held),
            Ok(None) => Err(TaskError::Locked { path }),
            Err(source) => Err(TaskError::Io { action: "lock", path, source }),
        }
    }

    /// Brings the lists up to date: moves what has ended from `active` to the archive and adds a started task.
    ///
    /// `is_running` decides about entries without a known end. `now`: end time of tasks whose log tells none.
    pub(crate) fn update(
        &self,
        is_running: &dyn Fn(&Upid) -> bool,
        change: &ListChange<'_>,
        now: Epoch,
    ) -> Result<(), TaskError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = self.lock(LockKind::Exclusive)?;
        let mut running = Vec::new();
        let mut finished: Vec<TaskListEntry> = change.ended.cloned().into_iter().collect();
        for entry in self.read_active()? {
            if change.ended.is_some_and(|ended| ended.upid == entry.upid) {
                continue;
            }
            if entry.end.is_none() && is_running(&entry.upid) {
                running.push(entry);
            } else {
                finished.push(self.finished(entry, now));
            }
        }
        let legacy_path = self.path.join("index");
        let legacy = read_list(&legacy_path)?;
        finished.extend(legacy.into_iter().map(|entry| self.finished(entry, now)));
        running.extend(change.started.map(|upid| TaskListEntry { upid: upid.clone(), end: None }));

        finished.sort_by_key(|entry| entry.end.as_ref().map(|(time, _)| *time));
        if !finished.is_empty() {
            self.append_to_archive(&finished)?;
        }
        self.replace_active(&running)?;
        match std::fs::remove_file(&legacy_path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(TaskError::Io { action: "remove", path: legacy_path, source })
            }
            _ => Ok(()),
        }
    }

    /// Shows the tasks of the lists to `visit`, newest first, until it breaks.
    ///
    /// Tasks that have ended without having been moved are moved first. If that is not possible (a read-only
    /// directory), they are shown as ended all the same.
    pub(crate) fn visit(
        &self,
        is_running: &dyn Fn(&Upid) -> bool,
        now: Epoch,
        with_archives: bool,
        visit: &mut dyn FnMut(TaskListEntry) -> ControlFlow<()>,
    ) -> Result<(), TaskError> {
        let is_stale = |entry: &TaskListEntry| entry.end.is_some() || !is_running(&entry.upid);
        let mut held = self.lock(LockKind::Shared)?;
        let mut active = self.read_active()?;
        if active.iter().any(is_stale) {
            drop(held);
            if let Err(error) = self.update(is_running, &ListChange::default(), now) {
                tracing::warn!(directory = %self.path.display(), %error, "cannot move ended tasks to the archive");
            }
            held = self.lock(LockKind::Shared)?;
            active = self.read_active()?;
        }
        let (stale, running): (Vec<_>, Vec<_>) = active.into_iter().partition(is_stale);
        for entry in running.into_iter().rev() {
            if visit(entry).is_break() {
                return Ok(());
            }
        }
        if !with_archives {
            return Ok(());
        }
        let mut stale: Vec<_> = stale.into_iter().map(|entry| self.finished(entry, now)).collect();
        stale.sort_by_key(|entry| entry.end.as_ref().map(|(time, _)| std::cmp::Reverse(*time)));
        for entry in stale {
            if visit(entry).is_break() {
                return Ok(());
            }
        }
        for path in self.archives()? {
            if self.visit_archive(&path, visit)?.is_break() {
                break;
            }
        }
        // Rotation renames the archives, so the lock is kept to the end.
        drop(held);
        Ok(())
    }

    /// Returns the entry with its end: as it is, as its log says, or unknown.
    fn finished(&self, entry: TaskListEntry, now: Epoch) -> TaskListEntry {
        let end =
            entry.end.unwrap_or_else(|| match read_status(&self.log_path(&entry.upid), entry.upid.start_time()) {
                Ok((status, time)) => (time, status),
                Err(_) => (now, TaskStatus::Unknown),
            });
        TaskListEntry { upid: entry.upid, end: Some(end) }
    }

    pub(crate) fn read_active(&self) -> Result<Vec<TaskListEntry>, TaskError> {
        read_list(&self.active_path())
    }

    fn replace_active(&self, running: &[TaskListEntry]) -> Result<(), TaskError> {
        let text: String = running.iter().map(|entry| format!("{entry}\n")).collect();
        // The lock is held, so one fixed temporary name is enough and never piles up.
        let temporary = self.path.join("active.tmp");
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o660).open(&temporary)?;
            file.set_permissions(Permissions::from_mode(0o660))?;
            file.write_all(text.as_bytes())?;
            std::fs::rename(&temporary, self.active_path())
        };
        write().map_err(TaskError::io("replace", self.active_path()))
    }

    fn append_to_archive(&self, finished: &[TaskListEntry]) -> Result<(), TaskError> {
        let path = self.path.join("archive");
        let append = || -> io::Result<()> {
            let is_new = !path.exists();
            let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o660).open(&path)?;
            if is_new {
                file.set_permissions(Permissions::from_mode(0o660))?;
            }
            let mut text = String::new();
            if !ends_with_newline(&mut file)? {
                // A line cut off by a full volume must not swallow the next one.
                text.push('\n');
            }
            text.extend(finished.iter().map(|entry| format!("{entry}\n")));
            file.write_all(text.as_bytes())
        };
        append().map_err(TaskError::io("append to", &path))
    }

    /// Returns the archives, newest first.
    pub(crate) fn archives(&self) -> Result<Vec<PathBuf>, TaskError> {
        let listing = std::fs::read_dir(&self.path).map_err(TaskError::io("list", &self.path))?;
        let mut archives = Vec::new();
        for item in listing {
            let item = item.map_err(TaskError::io("list", &self.path))?;
            if let Some(number) = item.file_name().to_str().and_then(|name| archive_number("archive", name)) {
                archives.push((number, item.path()));
            }
        }
        archives.sort();
        Ok(archives.into_iter().map(|(_, path)| path).collect())
    }

    fn visit_archive(
        &self,
        path: &Path,
        visit: &mut dyn FnMut(TaskListEntry) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, TaskError> {
        let visited = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ControlFlow::Continue(())),
            Err(error) => Err(error),
            Ok(file) if path.extension().is_some_and(|extension| extension == "zst") => {
                unpack(file).and_then(|text| visit_backwards(Cursor::new(text), path, visit))
            }
            Ok(file) => visit_backwards(file, path, visit),
        };
        match visited {
            Ok(flow) => Ok(flow),
            // One damaged old archive must not hide the other tasks.
            Err(error) if path.extension().is_some_and(|extension| extension == "zst") => {
                tracing::warn!(path = %path.display(), %error, "cannot read task archive");
                Ok(ControlFlow::Continue(()))
            }
            Err(source) => Err(TaskError::Io { action: "read", path: path.to_owned(), source }),
        }
    }
}

/// Returns the age number of a file of the log called `log`: 0 for the log, n for `<log>.n` and `<log>.n.zst`.
pub(crate) fn archive_number(log: &str, name: &str) -> Option<u32> {
    match name.strip_prefix(log)? {
        "" => Some(0),
        rest => {
            let number = rest.strip_prefix('.')?;
            number.strip_suffix(".zst").unwrap_or(number).parse().ok()
        }
    }
}

fn unpack(file: File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(file)?;
    decoder.take(MAX_UNPACKED_ARCHIVE_BYTES + 1).read_to_end(&mut text)?;
    if MAX_UNPACKED_ARCHIVE_BYTES < text.len() as u64 {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "task archive unpacks to too much"));
    }
    Ok(text)
}

fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Reads a list as a whole; a missing file is an empty list. Damaged lines are skipped.
fn read_list(path: &Path) -> Result<Vec<TaskListEntry>, TaskError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_ACTIVE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(TaskError::Io { action: "read", path: path.to_owned(), source }),
        // What was not read would be lost when the list is replaced.
        Ok(_) if MAX_ACTIVE_BYTES < bytes.len() as u64 => {
            let source = io::Error::new(io::ErrorKind::FileTooLarge, "task list is too large");
            return Err(TaskError::Io { action: "read", path: path.to_owned(), source });
        }
        Ok(_) => {}
    }
    let mut damaged = DamageCount::new(path);
    let lines = bytes.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| damaged.parse(line)).collect())
}

fn visit_backwards(
    file: impl Read + Seek,
    path: &Path,
    visit: &mut dyn FnMut(TaskListEntry) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut damaged = DamageCount::new(path);
    let mut lines = LinesBackwards::new(file)?;
    while let Some(line) = lines.next()? {
        if let Some(entry) = damaged.parse(&line)
            && visit(entry).is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Counts lines that cannot be read and reports them once, when the list is done.
struct DamageCount<'a> {
    path: &'a Path,
    count: u64,
}

impl<'a> DamageCount<'a> {
    const fn new(path: &'a Path) -> Self {
        Self { path, count: 0 }
    }

    fn parse(&mut self, line: &[u8]) -> Option<TaskListEntry> {
        if line.is_empty() {
            return None;
        }
        let entry = std::str::from_utf8(line).ok().and_then(|line| line.parse().ok());
        self.count += u64::from(entry.is_none());
        entry
    }
}

impl Drop for DamageCount<'_> {
    fn drop(&mut self) {
        if 0 < self.count {
            tracing::warn!(path = %self.path.display(), count = self.count, "skipped damaged lines of a task list");
        }
    }
}

/// Lines of a file from the last to the first, in bounded memory. Overlong lines come cut to a part that does not
/// parse.
struct LinesBackwards<R> {
    file: R,
    /// Bytes of the file before `buffer`.
    before: u64,
    /// Bytes that are read and not handed out.
    buffer: VecDeque<u8>,
    is_done: bool,
}

impl<R: Read + Seek> LinesBackwards<R> {
    fn new(mut file: R) -> io::Result<Self> {
        let before = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, before, buffer: VecDeque::new(), is_done: false })
    }

    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        // How many bytes at the end of the buffer are known to hold no line break.
        let mut searched = 0;
        while !self.is_done {
            let unsearched = self.buffer.len() - searched;
            if let Some(newline) = self.buffer.iter().take(unsearched).rposition(|byte| *byte == b'\n') {
                let line = self.buffer.split_off(newline + 1);
                self.buffer.truncate(newline);
                return Ok(Some(line.into()));
            }
            if self.before == 0 {
                self.is_done = true;
                return Ok(Some(std::mem::take(&mut self.buffer).into()));
            }
            // No sound line is that long: keep its first bytes only, without the start of a UPID.
            self.buffer.truncate(MAX_LIST_LINE_BYTES);
            searched = self.buffer.len();
            self.read_block()?;
        }
        Ok(None)
    }

    fn read_block(&mut self) -> io::Result<()> {
        let length = usize::try_from(self.before).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
        self.before -= length as u64;
        self.file.seek(SeekFrom::Start(self.before))?;
        let mut block = vec![0; length];
        self.file.read_exact(&mut block)?;
        for byte in block.into_iter().rev() {
            self.buffer.push_front(byte);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "UPID:vm:00000001:00000002:";

    fn upid(number: u32) -> Upid {
        format!("{START}{number:08X}:6B035722:sync:a:root@pam:").parse().unwrap()
    }

    fn directory() -> (tempfile::TempDir, TaskDirectory) {
        let temporary = tempfile::tempdir().unwrap();
        let directory = TaskDirectory::new(temporary.path().to_owned());
        (temporary, directory)
    }

    fn listed(directory: &TaskDirectory, is_running: &dyn Fn(&Upid) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        directory
            .visit(is_running, Epoch(0x6B03_9999), true, &mut |entry| {
                lines.push(entry.to_string().replace(START, ""));
                ControlFlow::Continue(())
            })
            .unwrap();
        lines
    }

    #[test]
    fn changes_of_many_threads_at_once_are_all_kept() {
        let (_temporary, directory) = directory();
        std::thread::scope(|scope| {
            for thread in 0..100_u32 {
                let directory = directory.clone();
                scope.spawn(move || {
                    for number in 0..3 {
                        let started = upid(thread * 3 + number);
                        let change = ListChange { started: Some(&started), ended: None };
                        directory.update(&|_| true, &change, Epoch(0)).unwrap();
                    }
                });
            }
        });
        assert_eq!(directory.read_active().unwrap().len(), 300);
    }

    #[test]
    fn lines_come_backwards_whatever_the_block_borders() {
        for count in [0usize, 1, 2, 3000, 20_000] {
            let text: String = (0..count).map(|n| format!("line {n}\n")).collect();
            let mut lines = LinesBackwards::new(Cursor::new(text)).unwrap();
            let mut found = Vec::new();
            while let Some(line) = lines.next().unwrap() {
                found.push(String::from_utf8(line).unwrap());
            }
            found.retain(|line| !line.is_empty());
            assert_eq!(found, (0..count).rev().map(|n| format!("line {n}")).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_endless_line_takes_bounded_memory_and_hides_nothing() {
        let text = format!("first\n{}\nlast\n", "x".repeat(BLOCK_BYTES * 5));
        let mut lines = LinesBackwards::new(Cursor::new(text)).unwrap();
        let mut lengths = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            lengths.push(line.len());
            assert!(lines.buffer.capacity() < BLOCK_BYTES * 3);
        }
        assert_eq!((lengths[0], lengths[1], lengths[3]), (0, 4, 5));
        assert!(MAX_LIST_LINE_BYTES < lengths[2]);
    }

    #[test]
    fn tasks_move_from_active_to_the_archive_in_order_of_their_end() {
        let (_temporary, directory) = directory();
        for number in 0..4 {
            directory.update(&|_| true, &ListChange { started: Some(&upid(number)), ended: None }, Epoch(0)).unwrap();
        }
        let ended = TaskListEntry { upid: upid(2), end: Some((Epoch(0x6B03_5730), TaskStatus::Ok)) };
        directory.update(&|_| true, &ListChange { started: None, ended: Some(&ended) }, Epoch(0)).unwrap();
        assert_eq!(
            listed(&directory, &|_| true),
            [
                "00000003:6B035722:sync:a:root@pam:",
                "00000001:6B035722:sync:a:root@pam:",
                "00000000:6B035722:sync:a:root@pam:",
                "00000002:6B035722:sync:a:root@pam: 6B035730 OK",
            ]
        );
        // Task 1 died without a log, task 3 with one.
        std::fs::create_dir(directory.path.join("02")).unwrap();
        std::fs::write(directory.log_path(&upid(3)), "2026-11-22T02:30:00+01:00: TASK ERROR: a\nb\n").unwrap();
        assert_eq!(
            listed(&directory, &|upid| upid.task_id() == 0),
            [
                "00000000:6B035722:sync:a:root@pam:",
                "00000001:6B035722:sync:a:root@pam: 6B039999 unknown",
                "00000002:6B035722:sync:a:root@pam: 6B035730 OK",
                "00000003:6B035722:sync:a:root@pam: 6B024598 a",
            ][..2]
                .iter()
                .copied()
                .chain([
                    "00000003:6B035722:sync:a:root@pam: 6B024598 a",
                    "00000002:6B035722:sync:a:root@pam: 6B035730 OK"
                ])
                .collect::<Vec<_>>()
        );
        assert_eq!(std::fs::read_to_string(directory.path.join("active")).unwrap().lines().count(), 1);
        for name in ["active", "archive", ".active.lock"] {
            let mode = std::fs::metadata(directory.path.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o660, "{name}");
        }
    }

    #[test]
    fn damage_hides_only_itself() {
        let (_temporary, directory) = directory();
        let line = |number: u32| format!("{} 6B0357{number:02X} OK", upid(number));
        let write = |name: &str, text: &[u8]| std::fs::write(directory.path.join(name), text).unwrap();
        write("archive", format!("{}\n\nnonsense\n{}", line(4), line(5)).as_bytes());
        write("archive.1", [line(3).as_bytes(), b"\n\xff\xff\n", line(3).as_bytes(), b" \n"].concat().as_slice());
        write("archive.2.zst", &zstd::encode_all(line(2).as_bytes(), 1).unwrap());
        write("archive.3.zst", b"not zstd at all");
        write("archive.10.zst", &zstd::encode_all(line(1).as_bytes(), 1).unwrap());
        write("archived", line(9).as_bytes());
        let ids = |directory: &TaskDirectory| -> Vec<String> {
            listed(directory, &|_| true).iter().map(|line| line[..8].to_owned()).collect()
        };
        assert_eq!(ids(&directory), ["00000005", "00000004", "00000003", "00000003", "00000002", "00000001"]);
        // The cut-off last line keeps its neighbour readable.
        let ended = TaskListEntry { upid: upid(6), end: Some((Epoch(0x6B03_5799), TaskStatus::Ok)) };
        directory.update(&|_| true, &ListChange { started: None, ended: Some(&ended) }, Epoch(0)).unwrap();
        assert_eq!(ids(&directory)[..3], ["00000006", "00000005", "00000004"]);
    }

    #[test]
    fn the_legacy_index_is_merged_into_the_archive_once() {
        let (_temporary, directory) = directory();
        std::fs::write(directory.path.join("index"), format!("{} 6B035730 OK\n", upid(1))).unwrap();
        directory.update(&|_| true, &ListChange::default(), Epoch(0)).unwrap();
        directory.update(&|_| true, &ListChange::default(), Epoch(0)).unwrap();
        assert_eq!(listed(&directory, &|_| true).len(), 1);
        assert!(!directory.path.join("index").exists());
        assert_eq!(std::fs::read(directory.path.join("active")).unwrap(), b"");
    }
}
