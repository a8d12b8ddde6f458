//! Content that comes in order: one thread reads it and finds where the chunks end.

use std::io::{self, Read};

use farhold_format::chunker::Chunker;
use futures::{Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::chunk_work::{Buffer, ChunkWork, Share};
use crate::error::BackupError;

/// Chunks that are read ahead of hashing; the memory budget bounds them, too.
const AHEAD: usize = 4;

/// A chunk and its share of the memory budget.
type Cut = (Buffer, Share);

/// Returns the chunks of what `reader` holds. The thread that reads ends when the stream is dropped, at the latest after
/// the call of `read` in which it is then.
pub(crate) fn chunks<C: Chunker + 'static>(
    work: &ChunkWork,
    reader: Box<dyn Read + Send>,
    chunker: C,
) -> impl Stream<Item = Result<Cut, BackupError>> + Send + use<C> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let (work, runtime) = (work.clone(), Handle::current());
    tokio::task::spawn_blocking(move || {
        let mut cutter = Cutter { work, runtime, reader, chunker, rest: Vec::new(), position: 0, is_at_end: false };
        while let Some(cut) = cutter.next().transpose() {
            let is_last = cut.is_err();
            if sender.blocking_send(cut).is_err() || is_last {
                return;
            }
        }
    });
    futures::stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) }).fuse()
}

struct Cutter<C> {
    work: ChunkWork,
    runtime: Handle,
    reader: Box<dyn Read + Send>,
    chunker: C,
    /// Read already, but behind the last cut.
    rest: Vec<u8>,
    /// Bytes read.
    position: u64,
    is_at_end: bool,
}

impl<C: Chunker> Cutter<C> {
    /// Returns the next chunk; `None` at the end.
    fn next(&mut self) -> Result<Option<Cut>, BackupError> {
        if self.is_at_end && self.rest.is_empty() {
            return Ok(None);
        }
        let max_bytes = self.chunker.max_bytes();
        let mut memory = self.runtime.block_on(self.work.memory(max_bytes));
        let mut buffer = self.work.buffer();
        buffer.clear();
        buffer.append(&mut self.rest);
        // A quarter of the average size: what is read behind a cut, and so copied, is less than the shortest chunk.
        let piece_bytes = max_bytes / 16;
        loop {
            if let Some(length) = self.chunker.end(&buffer) {
                self.rest.extend_from_slice(&buffer[length..]);
                buffer.truncate(length);
                break;
            }
            if self.is_at_end {
                break;
            }
            let count = self.read(&mut buffer, piece_bytes)?;
            self.is_at_end = count < piece_bytes;
        }
        memory.shrink_to(buffer.len());
        Ok((!buffer.is_empty()).then_some((buffer, memory)))
    }

    /// Appends the next `piece_bytes` to `buffer` and returns how many came; fewer only at the end.
    fn read(&mut self, buffer: &mut Vec<u8>, piece_bytes: usize) -> Result<usize, BackupError> {
        let before = buffer.len();
        buffer.reserve(piece_bytes);
        let result = (&mut self.reader).take(piece_bytes as u64).read_to_end(buffer);
        let count = buffer.len() - before;
        self.position += count as u64;
        let position = self.position;
        result.map_err(|source: io::Error| BackupError::Read { position, source })
    }
}
