//! Asking a source again after the connection broke: how often, and with which pauses.
//!
//! Pauses double from half a second; six failures in a row, about 16 s, give up. Once somebody in the run gave up, the
//! others do not wait either until something succeeds, so that a peer that is gone does not cost a pause per group.
//!
//! Source: `docs/spec/sync.md` C.2 W29.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{EventSink, SyncEvent};
use crate::outcome::chain;
use crate::source::{SourceError, SourceFault};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_ATTEMPTS: u32 = 6;

/// Failures in a row of one group. Requests that fail while a pause lasts were lost with the same connection: they wait
/// for its end and count once.
pub(crate) struct Retry {
    events: Arc<dyn EventSink>,
    is_down: Arc<AtomicBool>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    pause_end: Option<Instant>,
}

impl Retry {
    pub(crate) fn new(events: Arc<dyn EventSink>, is_down: Arc<AtomicBool>) -> Self {
        Self { events, is_down, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the source answered.
    pub(crate) fn succeeded(&self) {
        *self.state() = State::default();
        self.is_down.store(false, Ordering::Relaxed);
    }

    /// Waits before the next attempt, or returns the error when it is not worth one.
    pub(crate) async fn failed(&self, error: SourceError) -> Result<(), SourceError> {
        if error.fault != SourceFault::ConnectionLost {
            return Err(error);
        }
        let Some((pause_end, began)) = self.next_pause(Instant::now()) else {
            self.is_down.store(true, Ordering::Relaxed);
            return Err(error);
        };
        if let Some((attempt, pause)) = began {
            self.events.event(&SyncEvent::Retry { attempt, pause, error: chain(&error) });
        }
        tokio::time::sleep_until(pause_end).await;
        Ok(())
    }

    /// Returns the end of the pause, with number and length if it begins now. `None` when it is time to give up.
    fn next_pause(&self, now: Instant) -> Option<(Instant, Option<(u32, Duration)>)> {
        let mut state = self.state();
        if let Some(end) = state.pause_end.filter(|end| now < *end) {
            return Some((end, None));
        }
        state.failures += 1;
        if MAX_ATTEMPTS <= state.failures || self.is_down.load(Ordering::Relaxed) {
            return None;
        }
        let pause = FIRST_PAUSE * 2u32.pow(state.failures - 1);
        let end = now + pause;
        state.pause_end = Some(end);
        Some((end, Some((state.failures, pause))))
    }

    /// Runs `request` until it succeeds or fails for another reason than a lost connection.
    pub(crate) async fn run<T, F: Future<Output = Result<T, SourceError>>>(
        &self,
        request: impl Fn() -> F,
    ) -> Result<T, SourceError> {
        loop {
            match request().await {
                Ok(value) => {
                    self.succeeded();
                    return Ok(value);
                }
                Err(error) => self.failed(error).await?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> SourceError {
        SourceError::new(SourceFault::ConnectionLost, "reset")
    }

    fn retry() -> (Arc<Retry>, Arc<Mutex<Vec<Duration>>>) {
        let pauses = Arc::new(Mutex::new(Vec::new()));
        let seen = pauses.clone();
        let events = move |event: &SyncEvent| {
            if let SyncEvent::Retry { pause, .. } = event {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(*pause);
            }
        };
        (Arc::new(Retry::new(Arc::new(events), Arc::default())), pauses)
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_and_the_sixth_failure_gives_up_until_something_succeeds() {
        let (retry, pauses) = retry();
        for _ in 0..5 {
            assert!(retry.failed(lost()).await.is_ok());
        }
        assert!(retry.failed(lost()).await.is_err());
        let seconds: Vec<_> =
            pauses.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Duration::as_secs_f64).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0]);
        retry.succeeded();
        assert!(retry.failed(lost()).await.is_ok());
        retry.is_down.store(true, Ordering::Relaxed);
        assert!(retry.failed(lost()).await.is_err(), "somebody else found the source gone");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_lost_with_one_connection_count_once() {
        let (retry, pauses) = retry();
        let all: Vec<_> = (0..20).map(|_| retry.failed(lost())).collect();
        assert!(futures::future::join_all(all).await.into_iter().all(|result| result.is_ok()));
        assert_eq!(pauses.lock().unwrap_or_else(PoisonError::into_inner).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_are_not_repeated() {
        let (retry, _) = retry();
        assert!(retry.failed(SourceError::new(SourceFault::Refused, "no")).await.is_err());
    }
}
