//! Carrying one direction of one connection.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

use super::Shared;

/// Most bytes read at once. Large enough for some hundred MiB/s with few wake-ups, small against usual windows.
const READ_BYTES: usize = 64 * 1024;

/// Bytes in flight without a window limit: memory has to end somewhere. 256 MiB/s over a round trip of a second.
const UNLIMITED_WINDOW_BYTES: usize = 256 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

/// Why a direction ended before its time.
pub(super) enum PumpEnd {
    Failed,
    Cut,
}

impl From<io::Error> for PumpEnd {
    fn from(_: io::Error) -> Self {
        Self::Failed
    }
}

/// What waits in one direction, in the order in which it was read.
#[derive(Debug, Default)]
struct Flight {
    /// Bytes that were read and not yet delivered, with the time of their delivery.
    on_the_way: VecDeque<(Instant, Vec<u8>)>,
    /// Acknowledgements that travel back: when they arrive, and for how many bytes.
    acknowledged: VecDeque<(Instant, usize)>,
    in_flight_bytes: usize,
    has_ended: bool,
}

/// Carries one direction to its end.
///
/// One future does it all, so that the order of events is the order of the queues and no lock is needed.
pub(super) async fn pump(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    shared: &Shared,
    direction: Direction,
) -> Result<(), PumpEnd> {
    let options = shared.options;
    let delay = options.one_way_delay;
    let counted = match direction {
        Direction::Up => &shared.counters.up,
        Direction::Down => &shared.counters.down,
    };
    let mut faults = shared.faults.subscribe();
    let mut carried = 0;
    let window = if options.window_bytes == 0 { UNLIMITED_WINDOW_BYTES } else { options.window_bytes };
    let mut flight = Flight::default();
    let mut end_due = None;
    let mut buffer = vec![0; READ_BYTES];
    // The part at the front of the queue that the receiver has taken already.
    let mut delivered = 0;
    loop {
        let now = Instant::now();
        while let Some(&(arrives, count)) = flight.acknowledged.front()
            && arrives <= now
        {
            flight.in_flight_bytes -= count;
            flight.acknowledged.pop_front();
        }
        if flight.has_ended && flight.on_the_way.is_empty() && end_due.is_some_and(|due| due <= now) {
            return Ok(writer.shutdown().await?);
        }
        let now_wrong = *faults.borrow_and_update();
        let (is_stalled, cut_after_bytes) = match direction {
            Direction::Up => (now_wrong.stalls_up, None),
            Direction::Down => (now_wrong.stalls_down, now_wrong.cut_after_bytes),
        };
        if cut_after_bytes.is_some_and(|limit| limit <= carried) {
            return Err(PumpEnd::Cut);
        }
        if is_stalled {
            // The sender lives as long as the relay.
            let _ = faults.changed().await;
            continue;
        }
        let room = window.saturating_sub(flight.in_flight_bytes).min(READ_BYTES);
        let next_due = flight.on_the_way.front().map(|(due, _)| *due);
        let is_due = next_due.is_some_and(|due| due <= now);
        // The next moment at which something happens without the peers: a delivery, an acknowledgement, the end.
        let next_event = [
            next_due.filter(|_| !is_due),
            flight.acknowledged.front().map(|(arrives, _)| *arrives).filter(|_| room == 0),
            end_due.filter(|_| flight.on_the_way.is_empty()),
        ]
        .into_iter()
        .flatten()
        .min();
        tokio::select! {
            read = reader.read(&mut buffer[..room]), if 0 < room && !flight.has_ended => {
                let count = read?;
                let due = Instant::now() + delay;
                if count == 0 {
                    flight.has_ended = true;
                    end_due = Some(due);
                } else {
                    flight.in_flight_bytes += count;
                    flight.on_the_way.push_back((due, buffer[..count].to_vec()));
                }
            }
            written = write_front(&mut writer, &flight.on_the_way, delivered), if is_due => {
                delivered += written?;
                if let Some((_, block)) = flight.on_the_way.front()
                    && block.len() <= delivered
                {
                    let count = block.len();
                    carried += count as u64;
                    counted.fetch_add(count as u64, Ordering::Relaxed);
                    flight.on_the_way.pop_front();
                    flight.acknowledged.push_back((Instant::now() + delay, count));
                    delivered = 0;
                }
            }
            () = wait_until(next_event), if next_event.is_some() => {}
            _ = faults.changed() => {}
        }
    }
}

/// Writes what the receiver takes of the first block that waits. Cancel safe: either bytes are gone and counted, or
/// nothing happened.
async fn write_front(
    writer: &mut (impl AsyncWrite + Unpin),
    on_the_way: &VecDeque<(Instant, Vec<u8>)>,
    delivered: usize,
) -> io::Result<usize> {
    let rest = on_the_way.front().map_or(&[][..], |(_, block)| &block[delivered..]);
    match writer.write(rest).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        count => Ok(count),
    }
}

async fn wait_until(event: Option<Instant>) {
    if let Some(event) = event {
        sleep_until(event).await;
    }
}
