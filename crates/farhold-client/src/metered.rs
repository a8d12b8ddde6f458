//! Counting and limiting the bytes of TCP connections, below TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use farhold_types::{ByteSize, RateLimits};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::throttle::{Direction, Limit, Pauses, SharedBucket, Throttle};

/// Bytes and connections of one client so far, TLS and HTTP framing included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrafficCounts {
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// TCP connections opened.
    pub connections: u64,
}

/// Counters and rate limits that all connections of one client share.
#[derive(Debug)]
pub(crate) struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
    connections: AtomicU64,
    limit_in: Option<Arc<SharedBucket>>,
    limit_out: Option<Arc<SharedBucket>>,
}

impl Traffic {
    pub(crate) fn new(rates: &RateLimits) -> Self {
        // A burst value without a rate limits nothing.
        let bucket = |rate: &Option<ByteSize>, burst: &Option<ByteSize>| {
            let rate = rate.as_ref().map(ByteSize::bytes).filter(|rate| *rate != 0)?;
            Some(Arc::new(SharedBucket::new(rate, burst.as_ref().map(ByteSize::bytes))))
        };
        let [received, sent, connections] = [const { AtomicU64::new(0) }; 3];
        let limit_in = bucket(&rates.rate_in, &rates.burst_in);
        let limit_out = bucket(&rates.rate_out, &rates.burst_out);
        Self { received, sent, connections, limit_in, limit_out }
    }

    pub(crate) fn counts(&self) -> TrafficCounts {
        TrafficCounts {
            received_bytes: self.received.load(Ordering::Relaxed),
            sent_bytes: self.sent.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
        }
    }
}

impl Throttle for Traffic {
    fn bucket(&self, direction: Direction) -> Option<Arc<SharedBucket>> {
        match direction {
            Direction::In => self.limit_in.clone(),
            Direction::Out => self.limit_out.clone(),
        }
    }

    fn transferred(&self, direction: Direction, bytes: usize) {
        let counter = match direction {
            Direction::In => &self.received,
            Direction::Out => &self.sent,
        };
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes received and sent.
    pub(crate) bytes: u64,
    /// Requests of a session that were answered.
    pub(crate) answers: u64,
}

/// What one connection did last, for telling a silent peer from a busy or throttled connection.
#[derive(Debug)]
pub(crate) struct Activity {
    start: Instant,
    /// Bytes in both directions.
    bytes: AtomicU64,
    /// Requests that were answered.
    answers: AtomicU64,
    /// Milliseconds after `start` at which the last bytes came.
    received_at: AtomicU64,
    /// Pauses that our own limits caused.
    pauses: Pauses,
}

impl Activity {
    fn new() -> Self {
        let [bytes, answers, received_at] = [const { AtomicU64::new(0) }; 3];
        Self { start: Instant::now(), bytes, answers, received_at, pauses: Pauses::default() }
    }

    /// Returns how far this connection has come.
    pub(crate) fn progress(&self) -> Progress {
        Progress { bytes: self.bytes.load(Ordering::Relaxed), answers: self.answers.load(Ordering::Relaxed) }
    }

    /// Takes note that a request was answered.
    pub(crate) fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns since when nothing came although we were listening; may lie in the future during a pause of our own.
    pub(crate) fn quiet_since(&self) -> Instant {
        let received_at = self.start + Duration::from_millis(self.received_at.load(Ordering::Relaxed));
        received_at.max(self.paused_until())
    }

    /// Returns the end of the last pause that our own rate limit caused; may lie in the future.
    pub(crate) fn paused_until(&self) -> Instant {
        self.pauses.until()
    }

    fn received(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.received_at.store(self.milliseconds(Instant::now()), Ordering::Relaxed);
    }

    fn sent(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn milliseconds(&self, at: Instant) -> u64 {
        // About 50 days; longer pauses count as that, so that adding to an `Instant` never overflows.
        u64::try_from((at - self.start).as_millis()).map_or(u64::MAX >> 32, |ms| ms.min(u64::MAX >> 32))
    }
}

/// A byte stream whose bytes are counted and, if asked for, limited. Data that was transferred is never held back:
/// the transfer after it waits.
pub(crate) struct Metered<S> {
    stream: S,
    activity: Arc<Activity>,
    /// The limits of the client itself, and of what else holds for the connection.
    limits: Vec<Limit>,
}

impl<S> Metered<S> {
    pub(crate) fn new(stream: S, traffic: Arc<Traffic>) -> Self {
        traffic.connections.fetch_add(1, Ordering::Relaxed);
        Self { stream, activity: Arc::new(Activity::new()), limits: vec![Limit::new(traffic)] }
    }

    /// Keeps to one more limit.
    pub(crate) fn also_under(mut self, throttle: Arc<dyn Throttle>) -> Self {
        self.limits.push(Limit::new(throttle));
        self
    }

    pub(crate) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    fn poll_turn(&mut self, direction: Direction, cx: &mut Context<'_>) -> Poll<()> {
        for limit in &mut self.limits {
            ready!(limit.poll_turn(direction, &self.activity.pauses, cx));
        }
        Poll::Ready(())
    }

    /// Returns the most that a transfer should take; none without a limit.
    fn most_bytes(&self, direction: Direction) -> Option<usize> {
        self.limits.iter().filter_map(|limit| limit.most_bytes(direction)).min()
    }

    fn transferred(&mut self, direction: Direction, bytes: usize) {
        match direction {
            Direction::In => self.activity.received(bytes),
            Direction::Out => self.activity.sent(bytes),
        }
        for limit in &mut self.limits {
            limit.transferred(direction, bytes, &self.activity.pauses);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_turn(Direction::In, cx));
        let most = this.most_bytes(Direction::In);
        let bytes = ready!(poll_read_at_most(&mut this.stream, most, cx, buf))?;
        this.transferred(Direction::In, bytes);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_turn(Direction::Out, cx));
        let most = this.most_bytes(Direction::Out);
        let bytes = ready!(poll_write_at_most(&mut this.stream, most, cx, bufs))?;
        this.transferred(Direction::Out, bytes);
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Reads, at most so many bytes if a limit is given. Returns how many came.
pub fn poll_read_at_most<S: AsyncRead + Unpin>(
    stream: &mut S,
    most: Option<usize>,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<usize>> {
    let before = buf.filled().len();
    match most.filter(|most| *most < buf.remaining()) {
        None => ready!(Pin::new(stream).poll_read(cx, buf))?,
        Some(most) => {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
            ready!(Pin::new(stream).poll_read(cx, &mut part))?;
            let bytes = part.filled().len();
            buf.advance(bytes);
        }
    }
    Poll::Ready(Ok(buf.filled().len() - before))
}

/// Writes, at most so many bytes if a limit is given. Returns how many went.
pub fn poll_write_at_most<S: AsyncWrite + Unpin>(
    stream: &mut S,
    most: Option<usize>,
    cx: &mut Context<'_>,
    bufs: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let total: usize = bufs.iter().map(|buf| buf.len()).sum();
    let first = bufs.iter().find(|buf| !buf.is_empty());
    match (most.filter(|most| *most < total), first) {
        // The first part alone: putting a shorter list together is not worth it under a limit.
        (Some(most), Some(first)) => Pin::new(stream).poll_write(cx, &first[..most.min(first.len())]),
        _ if bufs.len() == 1 => Pin::new(stream).poll_write(cx, &bufs[0]),
        _ => Pin::new(stream).poll_write_vectored(cx, bufs),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn two_connections_share_one_limit_and_all_bytes_are_counted() {
        let rates = RateLimits { rate_in: Some("100 KiB".parse().unwrap()), ..RateLimits::default() };
        let traffic = Arc::new(Traffic::new(&rates));
        let start = Instant::now();
        let mut readers = Vec::new();
        for _ in 0..2 {
            let (near, mut far) = tokio::io::duplex(4096);
            let mut near = Metered::new(near, Arc::clone(&traffic));
            readers.push(tokio::spawn(async move {
                let mut buffer = Vec::new();
                near.read_to_end(&mut buffer).await.unwrap();
                buffer.len()
            }));
            readers.push(tokio::spawn(async move {
                far.write_all(&[0; 512 * 1024]).await.unwrap();
                0
            }));
        }
        let mut total = 0;
        for reader in readers {
            total += reader.await.unwrap();
        }
        let took = start.elapsed().as_secs_f64();
        assert!((10.0..11.0).contains(&took), "{took}");
        assert_eq!(total, 1024 * 1024);
        assert_eq!(traffic.counts(), TrafficCounts { received_bytes: 1024 * 1024, sent_bytes: 0, connections: 2 });
    }

    /// Returns what so many connections receive in 30 s from peers that are never slower than the limit.
    async fn received_in_thirty_seconds(rates: &RateLimits, connections: usize) -> u64 {
        let traffic = Arc::new(Traffic::new(rates));
        let readers: Vec<_> = (0..connections)
            .map(|_| {
                let mut near = Metered::new(tokio::io::repeat(7), Arc::clone(&traffic));
                tokio::spawn(async move {
                    let mut buffer = vec![0; 64 * 1024];
                    while near.read(&mut buffer).await.unwrap() != 0 {}
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(30)).await;
        readers.iter().for_each(tokio::task::JoinHandle::abort);
        traffic.counts().received_bytes
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_holds_within_five_percent_over_thirty_seconds() {
        for (rate, burst, connections) in [
            ("1 MiB", None, 1),
            ("1 MiB", Some("1 KiB"), 4),
            // The bucket starts empty, so a burst value gives nothing at the start.
            ("1 MiB", Some("10 MiB"), 8),
            ("1 MiB", None, 33),
            ("100 KiB", None, 33),
            ("10 MiB", None, 16),
        ] {
            let size = |text: &str| text.parse::<ByteSize>().unwrap();
            let rates = RateLimits { rate_in: Some(size(rate)), burst_in: burst.map(size), ..RateLimits::default() };
            let received = received_in_thirty_seconds(&rates, connections).await;
            let (least, most) = (size(rate).bytes() * 30 * 95 / 100, size(rate).bytes() * 30 * 105 / 100);
            assert!(least <= received && received <= most, "{rate} {burst:?} {connections}: {received}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_without_a_rate_does_nothing() {
        let burst = Some("1 KiB".parse().unwrap());
        let rates = RateLimits { burst_in: burst, burst_out: burst, ..RateLimits::default() };
        let traffic = Arc::new(Traffic::new(&rates));
        let start = Instant::now();
        let mut near = Metered::new(tokio::io::repeat(7), Arc::clone(&traffic));
        let mut buffer = vec![0; 1024 * 1024];
        near.read_exact(&mut buffer).await.unwrap();
        let mut near = Metered::new(tokio::io::sink(), Arc::clone(&traffic));
        near.write_all(&buffer).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!((traffic.counts().received_bytes, traffic.counts().sent_bytes), (1 << 20, 1 << 20));
    }

    #[tokio::test(start_paused = true)]
    async fn sending_is_limited_on_its_own() {
        let rates = RateLimits { rate_out: Some("1 MiB".parse().unwrap()), ..RateLimits::default() };
        let traffic = Arc::new(Traffic::new(&rates));
        let (near, mut far) = tokio::io::duplex(65_536);
        let mut near = Metered::new(near, Arc::clone(&traffic));
        let start = Instant::now();
        let writer = tokio::spawn(async move { near.write_all(&[0; 3 * 1024 * 1024]).await.unwrap() });
        let mut received = 0;
        let mut buffer = [0; 65_536];
        while received < 3 * 1024 * 1024 {
            received += far.read(&mut buffer).await.unwrap();
        }
        writer.await.unwrap();
        let took = start.elapsed().as_secs_f64();
        assert!((2.8..3.2).contains(&took), "{took}");
        assert_eq!(traffic.counts().sent_bytes, 3 * 1024 * 1024);
    }
}
