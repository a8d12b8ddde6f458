//! Whether the other end of a session still lives: what was read from it, what it took, and when it last asked for
//! something.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use farhold_client::Pauses;
use tokio::time::{Instant, sleep_until};

/// Pause after which the server asks a silent client for a sign of life.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(30);
/// Silence that ends a session: nothing at all was read, not even answers to the pings, and nothing taken. Far above any outage that TCP
/// itself bridges unnoticed by users, and short enough that a group is free again before somebody wonders.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(120);
/// A write of more bytes than this is a sign of life: the other end took earlier ones, else no more could be written.
/// While a large frame goes over a slow line nothing may be read, because a ping of ours waits behind it and the library
/// reads only after that. Our own pings and acknowledgements are shorter, and prove nothing.
const SIGN_BYTES: usize = 512;
/// Time without any request after which a session ends though the client answers pings. Reading a large disk without
/// changes takes hours; a day means a client that hangs.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Moments of one session, in milliseconds since its beginning.
#[derive(Debug)]
pub(super) struct Activity {
    begin: Instant,
    sign_ms: AtomicU64,
    request_ms: AtomicU64,
    body_ms: AtomicU64,
    requests: AtomicUsize,
    /// Pauses that limits of our own cause; the client cannot be blamed for them.
    pauses: Pauses,
}

impl Activity {
    pub fn new(pauses: Pauses) -> Arc<Self> {
        Arc::new(Self {
            begin: Instant::now(),
            sign_ms: AtomicU64::new(0),
            request_ms: AtomicU64::new(0),
            body_ms: AtomicU64::new(0),
            requests: AtomicUsize::new(0),
            pauses,
        })
    }

    fn note(&self, moment: &AtomicU64) {
        let now = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        moment.fetch_max(now, Ordering::Relaxed);
    }

    fn at(&self, moment: &AtomicU64) -> Instant {
        self.begin + Duration::from_millis(moment.load(Ordering::Relaxed))
    }

    /// Notes that a part of a body arrived.
    pub fn note_body(&self) {
        self.note(&self.body_ms);
    }

    /// Returns when a part of any body arrived last, or the connection last paused because of our own limits.
    pub fn last_body(&self) -> Instant {
        self.at(&self.body_ms).max(self.pauses.until())
    }

    /// Notes a request until the result is dropped.
    pub fn request(self: &Arc<Self>) -> RunningRequest {
        self.requests.fetch_add(1, Ordering::Relaxed);
        RunningRequest(Arc::clone(self))
    }

    /// Waits until the client has to be taken for dead, and says why. Requests that run are bounded by themselves.
    pub async fn ended(&self) -> &'static str {
        loop {
            let silence_end = self.at(&self.sign_ms).max(self.pauses.until()) + SILENCE_LIMIT;
            let idle_end = self.at(&self.request_ms) + IDLE_LIMIT;
            let now = Instant::now();
            if silence_end <= now {
                return "the client gave no sign of life for 2 minutes";
            }
            if idle_end <= now && self.requests.load(Ordering::Relaxed) == 0 {
                return "the client made no request for 24 hours";
            }
            let next = if idle_end <= now { silence_end } else { silence_end.min(idle_end) };
            sleep_until(next).await;
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct RunningRequest(Arc<Activity>);

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.note(&self.0.request_ms);
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that notes signs of life of the other end.
#[derive(Debug)]
pub(super) struct Watched<T> {
    io: T,
    activity: Arc<Activity>,
}

impl<T> Watched<T> {
    pub fn new(io: T, activity: Arc<Activity>) -> Self {
        Self { io, activity }
    }

    fn note_written(&self, result: &Poll<io::Result<usize>>) {
        if matches!(result, Poll::Ready(Ok(count)) if SIGN_BYTES < *count) {
            self.activity.note(&self.activity.sign_ms);
        }
    }
}

impl<T: hyper::rt::Read + Unpin> hyper::rt::Read for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = result {
            self.activity.note(&self.activity.sign_ms);
        }
        result
    }
}

impl<T: hyper::rt::Write + Unpin> hyper::rt::Write for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(context, bytes);
        self.note_written(&result);
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(context, parts);
        self.note_written(&result);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_two_minutes_after_the_last_sign_of_life() {
        let activity = Activity::new(Pauses::default());
        let begin = Instant::now();
        let signs = async {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_secs(100)).await;
                activity.note(&activity.sign_ms);
            }
        };
        let (reason, ()) = tokio::join!(activity.ended(), signs);
        assert!(reason.contains("no sign of life"), "{reason}");
        assert_eq!(begin.elapsed(), Duration::from_secs(20 * 100) + SILENCE_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_what_is_sent_to_it_lives_and_one_that_is_only_pinged_does_not() {
        use hyper::rt::Write;
        use hyper_util::rt::TokioIo;
        let activity = Activity::new(Pauses::default());
        let (_end, io) = tokio::io::duplex(1 << 20);
        let mut io = Watched::new(TokioIo::new(io), Arc::clone(&activity));
        let mut write = async |bytes: &[u8]| {
            tokio::time::sleep(Duration::from_secs(100)).await;
            std::future::poll_fn(|context| Pin::new(&mut io).poll_write(context, bytes)).await.unwrap();
        };
        let begin = Instant::now();
        write(&[0; SIGN_BYTES + 1]).await;
        write(&[0; SIGN_BYTES + 1]).await;
        write(&[0; 17]).await;
        activity.ended().await;
        assert_eq!(begin.elapsed(), Duration::from_secs(200) + SILENCE_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_without_requests_ends_after_a_day_and_a_request_that_runs_counts() {
        let activity = Activity::new(Pauses::default());
        let begin = Instant::now();
        let signs = async {
            loop {
                tokio::time::sleep(Duration::from_secs(60)).await;
                activity.note(&activity.sign_ms);
            }
        };
        let request = async {
            let request = activity.request();
            tokio::time::sleep(Duration::from_secs(30 * 3600)).await;
            drop(request);
            std::future::pending::<()>().await;
        };
        let reason = tokio::select! {
            reason = activity.ended() => reason,
            () = signs => unreachable!(),
            () = request => unreachable!(),
        };
        assert!(reason.contains("24 hours"), "{reason}");
        let elapsed = begin.elapsed();
        let expected = Duration::from_secs(30 * 3600) + IDLE_LIMIT;
        assert!(expected <= elapsed && elapsed <= expected + SILENCE_LIMIT, "{elapsed:?}");
    }
}
