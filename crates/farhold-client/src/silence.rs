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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use farhold_types::RateLimits;
    use tokio::io::AsyncWriteExt;
    use tokio::time::sleep;

    use super::*;
    use crate::metered::{Metered, Traffic};

    const LIMIT: Duration = Duration::from_secs(100);

    /// Waits in vain while `bytes` are sent every 90 s, nine times, and returns for how many seconds.
    async fn waited(bytes: usize, is_answered: bool, sign: SignOfLife) -> u64 {
        let mut stream = Metered::new(tokio::io::sink(), Arc::new(Traffic::new(&RateLimits::default())));
        let activity = stream.activity();
        let sender = tokio::spawn({
            let activity = Arc::clone(&activity);
            async move {
                for _ in 0..9 {
                    sleep(Duration::from_secs(90)).await;
                    stream.write_all(&vec![7; bytes]).await.unwrap();
                    if is_answered {
                        activity.answered();
                    }
                }
            }
        });
        let begin = Instant::now();
        assert_eq!(within(&activity, LIMIT, sign, std::future::pending::<()>()).await, Err(Silence));
        sender.abort();
        begin.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_and_what_is_answered_are_signs_of_life_but_pings_are_not() {
        // The last bytes go after 810 s, and the limits end at full hundreds of seconds.
        for (bytes, is_answered, sign, expected) in [
            (0, false, SignOfLife::Connection, 100),
            (40, false, SignOfLife::Connection, 100),
            (4096, false, SignOfLife::Connection, 1000),
            (0, true, SignOfLife::Connection, 1000),
            (4096, true, SignOfLife::EventOnly, 100),
        ] {
            assert_eq!(waited(bytes, is_answered, sign).await, expected, "{bytes} {is_answered} {sign:?}");
        }
    }
}
