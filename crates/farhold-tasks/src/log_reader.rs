//! Reading logs of tasks, running or ended, of this process or others.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use farhold_format::task_log::{STATUS_TAIL_BYTES, TaskStatus, status_from_tail};
use farhold_types::Epoch;

use crate::listing::{LogLine, LogPage};

/// Longest line handed out, in bytes; the rest of a longer one is left out. Our own lines are far shorter.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Most text one call hands out, in bytes. A reader that wants more asks again from the next line.
const MAX_PAGE_BYTES: usize = 64 * 1024 * 1024;

/// Which lines of a log to return.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogRange {
    /// Number of the first line, from 1; 0 means 1.
    pub start: u64,
    /// Most lines; 0 = all.
    pub limit: u64,
    /// Leave out a last line without line break: its writer may not be done with it.
    pub only_finished_lines: bool,
}

/// Returns how a task ended according to its log, reading only the end of the file.
pub(crate) fn read_status(path: &Path, start_time: Epoch) -> io::Result<(TaskStatus, Epoch)> {
    let mut file = File::open(path)?;
    let tail_bytes = u64::try_from(STATUS_TAIL_BYTES).unwrap_or(u64::MAX);
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(tail_bytes)))?;
    let mut tail = Vec::with_capacity(STATUS_TAIL_BYTES);
    file.take(tail_bytes).read_to_end(&mut tail)?;
    Ok(status_from_tail(&tail, start_time))
}

/// Returns lines of a log and how many there are in all. Bytes that are no UTF-8 are replaced.
pub(crate) fn read_lines(path: &Path, range: LogRange) -> io::Result<LogPage> {
    let mut reader = BufReader::new(File::open(path)?);
    let first = range.start.max(1);
    let mut end = if range.limit == 0 { u64::MAX } else { first.saturating_add(range.limit) };
    let mut page = LogPage { lines: Vec::new(), total: 0 };
    let mut room = MAX_PAGE_BYTES;
    let mut line = Vec::new();
    while let Some(is_finished) = next_line(&mut reader, &mut line)? {
        if !is_finished && range.only_finished_lines {
            break;
        }
        page.total += 1;
        if !(first..end).contains(&page.total) {
            continue;
        }
        if line.len() <= room {
            room -= line.len();
            page.lines.push(LogLine { n: page.total, t: String::from_utf8_lossy(&line).into_owned() });
        } else {
            // Numbers must stay consecutive: after the first line left out, none follows.
            end = page.total;
        }
    }
    Ok(page)
}

/// Reads one line without its line break. Returns whether it had one, or `None` at the end of the file.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let mut is_empty = true;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(if is_empty { None } else { Some(false) });
        }
        is_empty = false;
        let newline = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..newline.unwrap_or(buffer.len())];
        let keep = part.len().min(MAX_LINE_BYTES.saturating_sub(line.len()));
        line.extend_from_slice(&part[..keep]);
        let used = part.len() + usize::from(newline.is_some());
        reader.consume(used);
        if newline.is_some() {
            return Ok(Some(true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8], start: u64, limit: u64, only_finished_lines: bool) -> (Vec<(u64, String)>, u64) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let page = read_lines(file.path(), LogRange { start, limit, only_finished_lines }).unwrap();
        (page.lines.into_iter().map(|line| (line.n, line.t)).collect(), page.total)
    }

    #[test]
    fn lines_are_numbered_from_one_and_start_zero_means_one() {
        let all = (vec![(1, "a".to_owned()), (2, String::new()), (3, "c".to_owned())], 3);
        assert_eq!(read(b"a\n\nc\n", 0, 0, false), all);
        assert_eq!(read(b"a\n\nc\n", 1, 3, false), all);
        assert_eq!(read(b"a\n\nc\n", 2, 1, false), (vec![(2, String::new())], 3));
        assert_eq!(read(b"a\n\nc\n", 4, 10, false), (vec![], 3));
        assert_eq!(read(b"", 0, 0, false), (vec![], 0));
    }

    #[test]
    fn a_line_that_is_still_being_written_waits_only_while_the_task_runs() {
        assert_eq!(read(b"a\nb", 0, 0, true), (vec![(1, "a".to_owned())], 1));
        assert_eq!(read(b"a\nb", 2, 0, false), (vec![(2, "b".to_owned())], 2));
    }

    #[test]
    fn damaged_lines_do_not_stop_the_reader() {
        let mut log = vec![b'x'; MAX_LINE_BYTES * 2];
        log.extend_from_slice(b"\n\xff\n");
        let (lines, total) = read(&log, 0, 0, false);
        assert_eq!((lines[0].1.len(), lines[1].1.as_str(), total), (MAX_LINE_BYTES, "\u{FFFD}", 2));
    }
}
