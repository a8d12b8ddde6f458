//! A TCP relay on loopback that behaves like a long-distance link, and breaks like one on demand.
//!
//! Every byte is held back by the one-way delay, in each direction. One connection may have only so many bytes in
//! flight per direction as a single TCP flow with that window: a byte is in flight from when the relay reads it until
//! it was delivered and the acknowledgement has travelled back, one more one-way delay later. Throughput of one
//! connection is therefore at most window / round trip. Order and content are never changed; a half-closed direction
//! stays half closed, after the delay.
//!
//! Faults, at any time and in any combination: connections are cut (reset, so that neither end takes it for a good
//! end), new ones are refused, or nothing is carried and nothing accepted while everything looks open.

mod pump;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use pump::{Direction, PumpEnd, pump};

/// Buffer of the system for what is to be delivered. A cut throws it away although it counts as carried, so it is small.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

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
    /// Connections that were cut.
    pub cut_count: u64,
    /// Connections that were refused.
    pub refused_count: u64,
}

/// What is wrong with the link at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Every new connection is closed at once.
    pub refuses: bool,
    /// New connections are not looked at; they seem open and nothing comes.
    pub ignores: bool,
    /// Nothing is carried to the target.
    pub stalls_up: bool,
    /// Nothing is carried back.
    pub stalls_down: bool,
    /// Each connection is cut once it has carried so many bytes back; `None` for never.
    pub cut_after_bytes: Option<u64>,
}

impl Faults {
    /// A link without faults.
    pub const NONE: Self =
        Self { refuses: false, ignores: false, stalls_up: false, stalls_down: false, cut_after_bytes: None };
    /// Nothing comes through either way, and nobody is told.
    pub const BLACK_OUT: Self = Self { ignores: true, stalls_up: true, stalls_down: true, ..Self::NONE };
    /// Open connections go on, and there is no way to make a new one.
    pub const REFUSING: Self = Self { refuses: true, ..Self::NONE };
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    open: AtomicU64,
    max_open: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    cut: AtomicU64,
    refused: AtomicU64,
}

/// What the connections of a relay share.
#[derive(Debug)]
struct Shared {
    options: RelayOptions,
    counters: Counters,
    /// Where new connections go.
    target: Mutex<SocketAddr>,
    faults: watch::Sender<Faults>,
    /// Open connections, oldest first. A sender that is used or dropped cuts its connection.
    open: Mutex<Vec<oneshot::Sender<()>>>,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Vec<oneshot::Sender<()>>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|connection| !connection.is_closed());
        open
    }
}

/// A relay that runs. Dropping it stops it and cuts its connections.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// Starts a relay on the present tokio runtime.
///
/// # Errors
/// The address cannot be listened on.
pub async fn start(options: RelayOptions) -> io::Result<Relay> {
    let listener = TcpListener::bind(options.listen).await?;
    let address = listener.local_addr()?;
    let (faults, _) = watch::channel(Faults::NONE);
    let (target, open) = (Mutex::new(options.target), Mutex::default());
    let shared = Arc::new(Shared { options, counters: Counters::default(), target, faults, open });
    let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
    Ok(Relay { address, shared, server })
}

impl Relay {
    /// Returns where the relay listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what was carried so far.
    pub fn statistics(&self) -> RelayStatistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.shared.counters;
        RelayStatistics {
            connection_count: read(&counters.connections),
            max_open_count: read(&counters.max_open),
            up_bytes: read(&counters.up),
            down_bytes: read(&counters.down),
            cut_count: read(&counters.cut),
            refused_count: read(&counters.refused),
        }
    }

    /// Sets what is wrong with the link from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.faults.send_replace(faults);
    }

    /// Sends new connections elsewhere from now on, such as to a server that came back on another port.
    pub fn set_target(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Cuts all connections that are open now. Returns how many.
    pub fn cut_all(&self) -> usize {
        self.shared.open().drain(..).filter_map(|connection| connection.send(()).ok()).count()
    }

    /// Cuts the connection that has been open longest. Returns whether there was one.
    pub fn cut_oldest(&self) -> bool {
        let mut open = self.shared.open();
        !open.is_empty() && open.remove(0).send(()).is_ok()
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

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Owns the connections: they end with this future.
    let mut connections = JoinSet::new();
    let mut faults = shared.faults.subscribe();
    loop {
        let Faults { refuses, ignores, .. } = *faults.borrow_and_update();
        tokio::select! {
            accepted = listener.accept(), if !ignores => match accepted {
                Ok((client, _)) if refuses => {
                    shared.counters.refused.fetch_add(1, Ordering::Relaxed);
                    reset(&client);
                }
                Ok((client, _)) => drop(connections.spawn(carry(client, Arc::clone(&shared)))),
                // Out of descriptors, most likely: give the open connections a moment to end.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            // The sender lives as long as this future.
            _ = faults.changed() => {}
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Makes the end of a connection a reset: what has not arrived yet is lost, as on a line that breaks.
fn reset(stream: &TcpStream) {
    // A connection that has ended already needs none.
    let _ = stream.set_zero_linger();
}

/// Relays one connection until both directions have ended, one has failed, or it is cut.
async fn carry(mut client: TcpStream, shared: Arc<Shared>) {
    let counters = &shared.counters;
    // Dropping `client` refuses the connection, as far as a relay that has accepted it can.
    let address = *shared.target.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(mut target) = TcpStream::connect(address).await else {
        return;
    };
    for stream in [&client, &target] {
        let small = SockRef::from(stream).set_send_buffer_size(SEND_BUFFER_BYTES);
        if stream.set_nodelay(true).and(small).is_err() {
            return;
        }
    }
    let (cut, is_cut) = oneshot::channel();
    shared.open().push(cut);
    counters.connections.fetch_add(1, Ordering::Relaxed);
    let open = counters.open.fetch_add(1, Ordering::Relaxed) + 1;
    counters.max_open.fetch_max(open, Ordering::Relaxed);
    let (from_client, to_client) = client.split();
    let (from_target, to_target) = target.split();
    let was_cut = tokio::select! {
        // A failure of one direction ends both.
        ended = async { tokio::try_join!(
            pump(from_client, to_target, &shared, Direction::Up),
            pump(from_target, to_client, &shared, Direction::Down),
        ) } => matches!(ended, Err(PumpEnd::Cut)),
        _ = is_cut => true,
    };
    counters.open.fetch_sub(1, Ordering::Relaxed);
    if was_cut {
        counters.cut.fetch_add(1, Ordering::Relaxed);
        reset(&client);
        reset(&target);
    }
}
