//! A TCP relay on loopback that behaves like a long-distance link, for benchmarks.
//!
//! Every byte is held back by the one-way delay, in each direction. One connection may have only so many bytes in
//! flight per direction as a single TCP flow with that window: a byte is in flight from when the relay reads it until
//! it was delivered and the acknowledgement has travelled back, one more one-way delay later. Throughput of one
//! connection is therefore at most window / round trip. Order and content are never changed; a half-closed direction
//! stays half closed, after the delay.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// Most bytes read at once. Large enough for some hundred MiB/s with few wake-ups, small against usual windows.
const READ_BYTES: usize = 64 * 1024;

/// Bytes in flight without a window limit: memory has to end somewhere. 256 MiB/s over a round trip of a second.
const UNLIMITED_WINDOW_BYTES: usize = 256 * 1024 * 1024;

/// What a relay does.
#[derive(Debug, Clone, Copy)]
pub struct RelayOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where connections go.
    pub target: SocketAddr,
    /// Delay of every byte in each direction; the round trip takes twice that.
    pub one_way_delay: Duration,
    /// Most bytes in flight per connection and direction; 0 = no limit.
    pub window_bytes: usize,
}

/// What a relay has carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayStatistics {
    /// Connections that were relayed.
    pub connection_count: u64,
    /// Most connections at the same time.
    pub max_open_count: u64,
    /// Bytes carried to the target.
    pub up_bytes: u64,
    /// Bytes carried back.
    pub down_bytes: u64,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    open: AtomicU64,
    max_open: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

/// A relay that runs. Dropping it stops it and cuts its connections.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    counters: Arc<Counters>,
    server: JoinHandle<()>,
}

/// Starts a relay on the present tokio runtime.
///
/// # Errors
/// The address cannot be listened on.
pub async fn start(options: RelayOptions) -> io::Result<Relay> {
    let listener = TcpListener::bind(options.listen).await?;
    let address = listener.local_addr()?;
    let counters = Arc::new(Counters::default());
    let server = tokio::spawn(serve(listener, options, Arc::clone(&counters)));
    Ok(Relay { address, counters, server })
}

impl Relay {
    /// Returns where the relay listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what was carried so far.
    pub fn statistics(&self) -> RelayStatistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RelayStatistics {
            connection_count: read(&self.counters.connections),
            max_open_count: read(&self.counters.max_open),
            up_bytes: read(&self.counters.up),
            down_bytes: read(&self.counters.down),
        }
    }

    /// Stops listening, cuts the connections and returns what was carried.
    pub async fn stop(mut self) -> RelayStatistics {
        self.server.abort();
        // Ends with the news that it was aborted.
        let _ = (&mut self.server).await;
        self.statistics()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, options: RelayOptions, counters: Arc<Counters>) {
    // Owns the connections: they end with this future.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(carry(client, options, Arc::clone(&counters)));
                } else {
                    // Out of descriptors, most likely: give the open connections a moment to end.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Relays one connection until both directions have ended or one has failed.
async fn carry(client: TcpStream, options: RelayOptions, counters: Arc<Counters>) {
    // Dropping `client` refuses the connection, as far as a relay that has accepted it can.
    let Ok(target) = TcpStream::connect(options.target).await else {
        return;
    };
    if client.set_nodelay(true).and_then(|()| target.set_nodelay(true)).is_err() {
        return;
    }
    counters.connections.fetch_add(1, Ordering::Relaxed);
    let open = counters.open.fetch_add(1, Ordering::Relaxed) + 1;
    counters.max_open.fetch_max(open, Ordering::Relaxed);
    let (from_client, to_client) = client.into_split();
    let (from_target, to_target) = target.into_split();
    // A failure of one direction ends both.
    let _ = tokio::try_join!(
        pump(from_client, to_target, options, &counters.up),
        pump(from_target, to_client, options, &counters.down),
    );
    counters.open.fetch_sub(1, Ordering::Relaxed);
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
async fn pump(
    mut reader: OwnedReadHalf,
    mut writer: OwnedWriteHalf,
    options: RelayOptions,
    carried: &AtomicU64,
) -> io::Result<()> {
    let delay = options.one_way_delay;
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
            return writer.shutdown().await;
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
                    carried.fetch_add(count as u64, Ordering::Relaxed);
                    flight.on_the_way.pop_front();
                    flight.acknowledged.push_back((Instant::now() + delay, count));
                    delivered = 0;
                }
            }
            () = wait_until(next_event), if next_event.is_some() => {}
        }
    }
}

/// Writes what the receiver takes of the first block that waits. Cancel safe: either bytes are gone and counted, or
/// nothing happened.
async fn write_front(
    writer: &mut OwnedWriteHalf,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes whose order shows: a counter in every eight.
    fn payload(length: usize) -> Vec<u8> {
        (0..).flat_map(|n: u64| n.to_le_bytes()).take(length).collect()
    }

    async fn relay_to(target: SocketAddr, delay_ms: u64, window_bytes: usize) -> Relay {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let one_way_delay = Duration::from_millis(delay_ms);
        start(RelayOptions { listen, target, one_way_delay, window_bytes }).await.unwrap()
    }

    /// Sends `length` bytes through a relay to a server that sends them back once it has seen their end.
    async fn there_and_back(delay_ms: u64, window_bytes: usize, length: usize) -> RelayStatistics {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = relay_to(server.local_addr().unwrap(), delay_ms, window_bytes).await;
        let echo = tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            stream.write_all(&all).await.unwrap();
        });
        let (mut reader, mut writer) = TcpStream::connect(relay.address()).await.unwrap().into_split();
        let sent = payload(length);
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        echo.await.unwrap();
        assert!(received == sent, "{} of {length} bytes came back, or in another order", received.len());
        relay.stop().await
    }

    #[tokio::test]
    async fn bytes_come_complete_and_in_order_both_ways() {
        for (delay_ms, window_bytes, length) in [(0, 0, 3_000_000), (2, 0, 1_000_000), (1, 10_000, 100_001), (1, 1, 3)]
        {
            let statistics = there_and_back(delay_ms, window_bytes, length).await;
            assert_eq!((statistics.up_bytes, statistics.down_bytes), (length as u64, length as u64));
            assert_eq!((statistics.connection_count, statistics.max_open_count), (1, 1));
        }
    }

    #[tokio::test]
    async fn no_more_than_the_window_is_in_flight() {
        // The target never reads, and its buffers hold far more than the window: without acknowledgement the relay
        // must stop reading. With an endless delay none arrives.
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = relay_to(server.local_addr().unwrap(), 3_600_000, 4096).await;
        let client = TcpStream::connect(relay.address()).await.unwrap();
        let (_target, _) = server.accept().await.unwrap();
        let mut taken = 0;
        // Buffers of the kernel fill up; the relay itself takes 4096 bytes.
        while tokio::time::timeout(Duration::from_millis(100), client.writable()).await.is_ok() {
            match client.try_write(&[7; 65536]) {
                Ok(count) => taken += count,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            assert!(taken < 64 * 1024 * 1024, "the relay takes bytes without end");
        }
        assert!(4096 <= taken);
        assert_eq!(relay.stop().await.up_bytes, 0);
    }

    #[tokio::test]
    async fn a_target_that_refuses_ends_the_connection() {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let relay = relay_to(gone, 1, 0).await;
        let mut client = TcpStream::connect(relay.address()).await.unwrap();
        assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
        assert_eq!(relay.stop().await.connection_count, 0);
    }

    #[tokio::test]
    async fn stopping_the_relay_cuts_its_connections() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = relay_to(server.local_addr().unwrap(), 1, 0).await;
        let mut client = TcpStream::connect(relay.address()).await.unwrap();
        let (_target, _) = server.accept().await.unwrap();
        assert_eq!(relay.stop().await.max_open_count, 1);
        assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
    }
}
