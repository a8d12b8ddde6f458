//! Telling a silent peer from a slow or throttled connection.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::metered::{Activity, Progress};

/// Bytes that must pass within the limit to count as a sign of life: more than a handful of pings and their answers.
/// What we send counts as well: it passes only as long as the peer's system takes it.
const SIGN_OF_LIFE_BYTES: u64 = 4096;

/// What counts as a sign of life besides the awaited event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignOfLife {
    /// Nothing.
    EventOnly,
    /// Data in either direction or a complete answer, for any request on the same connection: while streams share a slow
    /// line or a slow disk, each may wait long for its turn.
    Connection,
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
    let mut seen = activity.progress();
    loop {
        tokio::select! {
            biased;
            output = &mut event => return Ok(output),
            () = sleep_until(since + limit) => {}
        }
        let progress = activity.progress();
        if since < activity.paused_until() {
            since = activity.paused_until();
        } else if sign == SignOfLife::Connection && is_sign_of_life(seen, progress) {
            since = Instant::now();
        } else {
            return Err(Silence);
        }
        seen = progress;
    }
}

fn is_sign_of_life(seen: Progress, now: Progress) -> bool {
    SIGN_OF_LIFE_BYTES <= now.bytes - seen.bytes || seen.answers < now.answers
}
