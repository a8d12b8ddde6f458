//! Telling a silent peer from a slow or throttled connection.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::metered::Activity;

/// Bytes that must arrive within the limit to count as a sign of life: more than a handful of pings and their answers.
const SIGN_OF_LIFE_BYTES: u64 = 4096;

/// What counts as a sign of life besides the awaited event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignOfLife {
    /// Nothing.
    EventOnly,
    /// Data for others on the same connection: while streams share a slow line, each may wait long for its turn.
    ConnectionData,
}

/// The peer was silent for too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Silence;

/// Waits for `event`, but no longer than `limit` without a sign of life. Our own rate limit's pauses do not count.
pub(crate) async fn within<F: Future>(
    activity: &Activity,
    limit: Duration,
    sign: SignOfLife,
    event: F,
) -> Result<F::Output, Silence> {
    let mut event = pin!(event);
    let mut since = Instant::now();
    let mut seen = activity.received_bytes();
    loop {
        tokio::select! {
            biased;
            output = &mut event => return Ok(output),
            () = sleep_until(since + limit) => {}
        }
        let received = activity.received_bytes();
        if since < activity.paused_until() {
            since = activity.paused_until();
        } else if sign == SignOfLife::ConnectionData && SIGN_OF_LIFE_BYTES <= received - seen {
            since = Instant::now();
        } else {
            return Err(Silence);
        }
        seen = received;
    }
}
