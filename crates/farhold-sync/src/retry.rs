//! Asking a source again after the connection broke: how often, and with which pauses.
//!
//! Pauses double from half a second; six failures in a row, about 16 s, give up. Once somebody in the run gave up, the
//! others do not wait either until something succeeds, so that a peer that is gone does not cost a pause per group.
//!
//! Source: `docs/spec/sync.md` C.2 W29.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::event::{EventSink, SyncEvent};
use crate::outcome::chain;
use crate::source::{SourceError, SourceFault};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_ATTEMPTS: u32 = 6;

/// Failures in a row of one group.
pub(crate) struct Retry {
    events: Arc<dyn EventSink>,
    is_down: Arc<AtomicBool>,
    failures: AtomicU32,
}

impl Retry {
    pub(crate) fn new(events: Arc<dyn EventSink>, is_down: Arc<AtomicBool>) -> Self {
        Self { events, is_down, failures: AtomicU32::new(0) }
    }

    /// Notes that the source answered.
    pub(crate) fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.is_down.store(false, Ordering::Relaxed);
    }

    /// Waits before the next attempt, or returns the error when it is not worth one.
    pub(crate) async fn failed(&self, error: SourceError) -> Result<(), SourceError> {
        if error.fault != SourceFault::ConnectionLost {
            return Err(error);
        }
        let attempt = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if MAX_ATTEMPTS <= attempt || self.is_down.load(Ordering::Relaxed) {
            self.is_down.store(true, Ordering::Relaxed);
            return Err(error);
        }
        let pause = FIRST_PAUSE * 2u32.pow(attempt - 1);
        self.events.event(&SyncEvent::Retry { attempt, pause, error: chain(&error) });
        tokio::time::sleep(pause).await;
        Ok(())
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
