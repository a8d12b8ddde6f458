//! Chunks of one session are sent one after the other, in the order in which they were read.
//!
//! HTTP/2 would send the bodies of all answers at once, a frame of each in turn. Then all chunks that a client asked for
//! are half there when the connection breaks or the client dies, and all of that has to come again; sent one after the
//! other, it is one. The line is as full either way.
//!
//! A client that does not read one chunk may still want others. So nobody waits for a turn while nothing is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a chunk waits while no other one is sent to its end. A chunk of 4 MiB takes less at 1 MiB/s; where it
/// takes longer, chunks only share the line again.
const STALLED: Duration = Duration::from_secs(5);

/// The turns of one session.
pub(super) struct SendingTurns {
    free: Arc<Semaphore>,
    sent: Arc<AtomicU64>,
}

/// The right to be sent now. Ends when the chunk was sent or the client does not want it any more.
pub(super) struct SendingTurn {
    sent: Arc<AtomicU64>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for SendingTurn {
    fn drop(&mut self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }
}

impl SendingTurns {
    pub(super) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(1)), sent: Arc::default() }
    }

    /// Waits for a turn, in the order of asking. Without one the chunk is sent beside others.
    pub(super) async fn take(&self) -> Option<SendingTurn> {
        let mut turn = std::pin::pin!(self.free.clone().acquire_owned());
        let mut seen = self.sent.load(Ordering::Relaxed);
        loop {
            match timeout(STALLED, &mut turn).await {
                Ok(permit) => return Some(SendingTurn { sent: self.sent.clone(), _permit: permit.ok()? }),
                Err(_) => {
                    let sent = self.sent.load(Ordering::Relaxed);
                    if sent == seen {
                        return None;
                    }
                    seen = sent;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_come_one_by_one_and_a_stalled_one_holds_up_nobody_for_good() {
        let turns = SendingTurns::new();
        let begin = Instant::now();
        let all = (0..20).map(|_| async {
            let turn = turns.take().await;
            sleep(Duration::from_secs(2)).await;
            turn.is_some()
        });
        assert!(futures::future::join_all(all).await.into_iter().all(|had_turn| had_turn));
        assert_eq!(begin.elapsed(), Duration::from_secs(40), "one after the other, however long that takes");
        let stalled = turns.take().await;
        let begin = Instant::now();
        assert!(turns.take().await.is_none());
        assert_eq!(begin.elapsed(), STALLED);
        drop(stalled);
        assert!(turns.take().await.is_some());
    }
}
