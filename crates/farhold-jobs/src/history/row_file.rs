//! A file of rows in which new rows take the place of the oldest: it never grows, and needs no tidying.
//!
//! | offset | length | meaning |
//! |---|---|---|
//! | 0 | 8 | `FARHROW1` |
//! | 8 | 4 | number of measures, little endian |
//! | 12 | 496 | names of the measures, each followed by a line feed; zeros behind them |
//! | 508 | 4 | CRC-32 of the bytes before, little endian |
//! | 512 | | rows of the finest resolution, then those of the next, and so on |
//!
//! A row is its start (8 bytes, little endian), for each measure average and largest value (two 64-bit floating point
//! numbers, little endian, "not a number" where nothing is known), and the CRC-32 of these. A row lies at its start
//! divided by the step, modulo the number of rows. Writing a row is one small write: after a crash a row is the old one,
//! the new one, or damaged, and then counts as missing. Nobody else reads these files, and they may be removed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use farhold_rules::history::{Cell, RESOLUTIONS};
use farhold_types::Epoch;

use super::HistoryRow;

const MAGIC: &[u8; 8] = b"FARHROW1";
const HEADER_BYTES: usize = 512;
/// Bytes of a row beside its cells: start and checksum.
const FRAME_BYTES: usize = 12;
/// Bytes of a cell.
const CELL_BYTES: usize = 16;
/// Mode of the file: what it tells is for administrators.
const MODE: u32 = 0o600;

/// An open file of rows.
#[derive(Debug)]
pub struct RowFile {
    file: File,
    measures: usize,
}

fn header(measures: &[&str]) -> io::Result<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&u32::try_from(measures.len()).unwrap_or(u32::MAX).to_le_bytes());
    measures.iter().for_each(|name| bytes.extend_from_slice(format!("{name}\n").as_bytes()));
    if HEADER_BYTES - 4 < bytes.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many measures"));
    }
    bytes.resize(HEADER_BYTES - 4, 0);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    Ok(bytes)
}

impl RowFile {
    /// Opens a file for reading; `None` if there is none, or one with other measures.
    pub fn open(path: &Path, measures: &[&str]) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) if has_header(&file, measures)? => Ok(Some(Self { file, measures: measures.len() })),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a file for reading and writing. One with other measures, or with a damaged header, is put aside under the
    /// name with `.former` behind it, and a new one begins.
    pub fn open_or_create(path: &Path, measures: &[&str]) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(MODE);
        let file = options.open(path)?;
        if file.metadata()?.len() != 0 && !has_header(&file, measures)? {
            let mut former = path.as_os_str().to_owned();
            former.push(".former");
            std::fs::rename(path, former)?;
            let file = options.open(path)?;
            file.write_all_at(&header(measures)?, 0)?;
            return Ok(Self { file, measures: measures.len() });
        }
        if file.metadata()?.len() == 0 {
            file.write_all_at(&header(measures)?, 0)?;
        }
        Ok(Self { file, measures: measures.len() })
    }

    const fn row_bytes(&self) -> usize {
        FRAME_BYTES + self.measures * CELL_BYTES
    }

    /// Returns where the rows of a resolution begin.
    fn begin(&self, resolution: usize) -> u64 {
        let rows: u64 = RESOLUTIONS.iter().take(resolution).map(|finer| u64::from(finer.rows)).sum();
        HEADER_BYTES as u64 + rows * self.row_bytes() as u64
    }

    /// Writes the row of a resolution that starts at `start`.
    pub fn write_row(&self, resolution: usize, start: Epoch, cells: &[Option<Cell>]) -> io::Result<()> {
        let mut row = start.0.to_le_bytes().to_vec();
        for cell in cells {
            let Cell { average, max } = cell.unwrap_or(Cell { average: f64::NAN, max: f64::NAN });
            row.extend_from_slice(&average.to_le_bytes());
            row.extend_from_slice(&max.to_le_bytes());
        }
        row.extend_from_slice(&crc32fast::hash(&row).to_le_bytes());
        let place = u64::from(RESOLUTIONS[resolution].place_of(start));
        self.file.write_all_at(&row, self.begin(resolution) + place * self.row_bytes() as u64)
    }

    /// Returns `count` rows of a resolution, the first of which starts at `first`; empty ones where nothing is known.
    pub fn rows(&self, resolution: usize, first: Epoch, count: i64) -> io::Result<Vec<HistoryRow>> {
        let (row_bytes, begin) = (self.row_bytes(), self.begin(resolution));
        let in_all = RESOLUTIONS[resolution].rows as usize;
        let starts = (0..count).map(|index| Epoch(first.0 + index * RESOLUTIONS[resolution].step_s));
        // Many rows are read in one go, few one by one.
        let whole = if 64 < count { Some(self.read_at(begin, in_all * row_bytes)?) } else { None };
        let mut rows = Vec::new();
        for start in starts {
            let place = RESOLUTIONS[resolution].place_of(start) as usize;
            let cells = match &whole {
                Some(bytes) => bytes.get(place * row_bytes..(place + 1) * row_bytes).and_then(|row| cells(row, start)),
                None => cells(&self.read_at(begin + (place * row_bytes) as u64, row_bytes)?, start),
            };
            rows.push(HistoryRow { start, cells: cells.unwrap_or_else(|| vec![None; self.measures]) });
        }
        Ok(rows)
    }

    /// Returns up to `length` bytes; less at the end of the file.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

fn has_header(file: &File, measures: &[&str]) -> io::Result<bool> {
    let mut bytes = vec![0; HEADER_BYTES];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(bytes == header(measures)?),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the cells of a row's bytes; `None` if they are damaged, or the row is an older one.
fn cells(row: &[u8], start: Epoch) -> Option<Vec<Option<Cell>>> {
    let (body, checksum) = row.split_last_chunk::<4>()?;
    let (written, cells) = body.split_first_chunk::<8>()?;
    if u32::from_le_bytes(*checksum) != crc32fast::hash(body) || i64::from_le_bytes(*written) != start.0 {
        return None;
    }
    let number = |bytes: &[u8]| bytes.try_into().map(f64::from_le_bytes).ok().filter(|value| value.is_finite());
    let cell = |bytes: &[u8]| Some(Cell { average: number(&bytes[..8])?, max: number(&bytes[8..])? });
    Some(cells.chunks_exact(CELL_BYTES).map(cell).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURES: &[&str] = &["cpu", "used"];
    const NOW: Epoch = Epoch(1_795_383_120);

    fn row(value: f64) -> Vec<Option<Cell>> {
        vec![Some(Cell { average: value, max: value + 1.0 }), None]
    }

    #[test]
    fn rows_are_found_again_until_a_newer_one_takes_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host");
        assert!(RowFile::open(&path, MEASURES).unwrap().is_none());
        let file = RowFile::open_or_create(&path, MEASURES).unwrap();
        for (resolution, steps) in RESOLUTIONS.iter().enumerate() {
            let step = steps.step_s;
            let start = steps.start_of(NOW);
            file.write_row(resolution, start, &row(resolution as f64)).unwrap();
            let found = file.rows(resolution, Epoch(start.0 - step), 3).unwrap();
            let cells: Vec<_> = found.iter().map(|row| row.cells.clone()).collect();
            assert_eq!(cells, [vec![None, None], row(resolution as f64), vec![None, None]]);
            let many = file.rows(resolution, Epoch(start.0 - 99 * step), 100).unwrap();
            assert_eq!(many.last().unwrap().cells, row(resolution as f64), "read in one go");
            // One turn later the place is taken.
            let next = Epoch(start.0 + i64::from(steps.rows) * step);
            file.write_row(resolution, next, &row(9.0)).unwrap();
            assert_eq!(file.rows(resolution, start, 1).unwrap()[0].cells, [None, None]);
            assert_eq!(file.rows(resolution, next, 1).unwrap()[0].cells, row(9.0));
        }
        let rows: u64 = RESOLUTIONS.iter().map(|r| u64::from(r.rows)).sum();
        let most = HEADER_BYTES as u64 + rows * file.row_bytes() as u64;
        assert!(std::fs::metadata(&path).unwrap().len() <= most, "the file does not grow");
    }

    #[test]
    fn every_damaged_byte_of_a_row_costs_that_row_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host");
        let file = RowFile::open_or_create(&path, MEASURES).unwrap();
        file.write_row(0, NOW, &row(1.0)).unwrap();
        file.write_row(0, Epoch(NOW.0 + 60), &row(2.0)).unwrap();
        let place = file.begin(0) + u64::from(RESOLUTIONS[0].place_of(NOW)) * file.row_bytes() as u64;
        for byte in 0..file.row_bytes() {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[place as usize + byte] ^= 0x10;
            let damaged = folder.path().join("damaged");
            std::fs::write(&damaged, bytes).unwrap();
            let file = RowFile::open(&damaged, MEASURES).unwrap().unwrap();
            let found = file.rows(0, NOW, 2).unwrap();
            assert_eq!((&found[0].cells, &found[1].cells), (&vec![None, None], &row(2.0)), "byte {byte}");
        }
    }

    #[test]
    fn a_file_of_something_else_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host");
        for content in [&b"something else"[..], &header(&["other"]).unwrap()] {
            std::fs::write(&path, content).unwrap();
            assert!(RowFile::open(&path, MEASURES).unwrap().is_none());
            let file = RowFile::open_or_create(&path, MEASURES).unwrap();
            file.write_row(0, NOW, &row(1.0)).unwrap();
            assert_eq!(RowFile::open(&path, MEASURES).unwrap().unwrap().rows(0, NOW, 1).unwrap()[0].cells, row(1.0));
            assert_eq!(std::fs::read(folder.path().join("host.former")).unwrap(), content);
        }
    }
}
