//! Traffic control: which rule holds for each connection of a server, what passes under it, and its limits.
//!
//! A connection is registered by the listener, or by a sync job that wants to keep to the rules towards its remote. Its
//! rule is chosen when it is registered, when its user changes, when the rules changed, and every few seconds since
//! rules have parts of the day. All connections under a rule share its two buckets. Rules are read from the
//! configuration only now and then, on a thread of its own: nothing here waits for a disk.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 5, `docs/spec/config-and-access.md` 3.6.

mod connection;
mod limits;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use farhold_client::Throttles;
use farhold_rules::traffic::TrafficRules;
use farhold_settings::Settings;
use farhold_types::{Clock, Digest, TrafficRule, Userid};
use jiff::tz::TimeZone;
use tokio::time::Instant;

pub use self::connection::Connection;
pub use self::slots::Rates;

use self::connection::Open;
use self::limits::Limits;

/// Time after which the rules are read again, if anything passes at all. Well below the 5 s within which an edit must
/// count, since who waits under a rule looks only every 2 s whether it has changed.
const RELOAD_AFTER: Duration = Duration::from_secs(2);

/// Traffic control of one server; cheap to clone.
#[derive(Clone)]
pub struct TrafficControl {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    clock: Arc<dyn Clock>,
    zone: TimeZone,
    start: Instant,
    limits: RwLock<Arc<Limits>>,
    /// Goes up with every change of the rules.
    version: AtomicU64,
    /// What the rules were read from, and what was wrong with them.
    source: Mutex<Source>,
    /// Milliseconds after `start` of the last reading.
    read_ms: AtomicU64,
    is_reading: AtomicBool,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Source {
    digest: Option<Digest>,
    problem: Option<String>,
}

#[derive(Default)]
struct Connections {
    next: u64,
    open: HashMap<u64, Arc<Open>>,
    /// Those that others have opened, by their address.
    by_peer: HashMap<SocketAddr, u64>,
}

/// A panic elsewhere leaves counters that are good enough to go on with.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TrafficControl {
    /// Returns traffic control without connections. The rules are not read yet: see [`reload`](Self::reload).
    ///
    /// `zone`: that of the rules' parts of the day.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>, zone: TimeZone) -> Self {
        let shared = Shared {
            settings,
            clock,
            zone,
            start: Instant::now(),
            limits: RwLock::default(),
            version: AtomicU64::new(0),
            source: Mutex::default(),
            read_ms: AtomicU64::new(0),
            is_reading: AtomicBool::new(false),
            connections: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Reads the rules again. Limits of rules that stay change in place, connections of removed ones get free. Rules that
    /// cannot be read leave the former ones in force, and the server's log says so once. Blocking.
    pub fn reload(&self) {
        self.shared.reload();
    }

    /// Registers a connection that was accepted from the network. Their number is bounded by whoever accepts them.
    pub fn accepted(&self, peer: SocketAddr) -> Connection {
        self.register(peer.ip(), Some(peer), None)
    }

    /// Returns the throttles of a client whose connections fall under the rules as those of `user` do.
    pub fn throttles(&self, user: &Userid) -> Throttles {
        let (control, user) = (self.clone(), user.clone());
        Throttles::new(move |peer| Arc::new(control.register(peer, None, Some(user.clone()))))
    }

    fn register(&self, address: IpAddr, accepted_from: Option<SocketAddr>, user: Option<Userid>) -> Connection {
        let open = Arc::new(Open::new(address, user));
        let mut connections = locked(&self.shared.connections);
        let id = connections.next;
        connections.next += 1;
        connections.open.insert(id, Arc::clone(&open));
        if let Some(peer) = accepted_from {
            connections.by_peer.insert(peer, id);
        }
        Connection::new(self.clone(), id, accepted_from, open)
    }

    fn forget(&self, id: u64, accepted_from: Option<SocketAddr>) {
        let mut connections = locked(&self.shared.connections);
        connections.open.remove(&id);
        // The same address and port may have connected to another of our sockets meanwhile.
        if let Some(peer) = accepted_from
            && connections.by_peer.get(&peer) == Some(&id)
        {
            connections.by_peer.remove(&peer);
        }
    }

    /// Notes whom a request on an accepted connection has authenticated. It stays so until the next request.
    pub fn note_user(&self, peer: SocketAddr, user: &Userid) {
        let connections = locked(&self.shared.connections);
        let open = connections.by_peer.get(&peer).and_then(|id| connections.open.get(id)).cloned();
        drop(connections);
        if let Some(open) = open {
            open.set_user(Some(user));
        }
    }

    /// Returns the rates of the connections that fall under each of `rules` now, in the same order.
    pub fn rates_of(&self, rules: &[&TrafficRule]) -> Vec<Rates> {
        let (now, zone) = (self.shared.clock.now(), &self.shared.zone);
        let parsed = TrafficRules::new(rules.iter().copied());
        let connections: Vec<Arc<Open>> = locked(&self.shared.connections).open.values().cloned().collect();
        let mut rates = vec![Rates::default(); rules.len()];
        for open in connections {
            let (user, own) = open.rates(now);
            let Some(rule) = parsed.select(open.address(), user.as_ref(), now, zone) else { continue };
            if let Some(sum) = rules.iter().position(|one| one.name == rule.name).and_then(|at| rates.get_mut(at)) {
                sum.received_bytes_per_s = sum.received_bytes_per_s.saturating_add(own.received_bytes_per_s);
                sum.sent_bytes_per_s = sum.sent_bytes_per_s.saturating_add(own.sent_bytes_per_s);
            }
        }
        rates
    }

    /// Has the rules read again soon, if that was not done lately. Never waits.
    fn refresh(&self) {
        let shared = &self.shared;
        let now = shared.since_start();
        let is_due = u128::from(shared.read_ms.load(Ordering::Relaxed)) + RELOAD_AFTER.as_millis() <= u128::from(now);
        if !is_due || shared.is_reading.swap(true, Ordering::AcqRel) {
            return;
        }
        match tokio::runtime::Handle::try_current() {
            // Reads one small file, so nobody has to wait for its end.
            Ok(runtime) => drop(runtime.spawn_blocking({
                let shared = Arc::clone(shared);
                move || {
                    shared.reload();
                    shared.is_reading.store(false, Ordering::Release);
                }
            })),
            Err(_) => shared.is_reading.store(false, Ordering::Release),
        }
    }
}

impl Shared {
    fn since_start(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.limits.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn reload(&self) {
        let mut source = locked(&self.source);
        self.read_ms.store(self.since_start(), Ordering::Relaxed);
        let loaded = match self.settings.traffic_rules().load() {
            Ok(loaded) => loaded,
            Err(error) => {
                let problem = error.to_string();
                if source.problem.as_ref() != Some(&problem) {
                    tracing::error!("the former traffic-control rules stay in force: {problem}");
                }
                source.problem = Some(problem);
                return;
            }
        };
        source.problem = None;
        if source.digest == Some(loaded.digest) {
            return;
        }
        source.digest = Some(loaded.digest);
        let limits = Arc::new(Limits::new(loaded.entries.usable(), &self.limits()));
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
        self.version.fetch_add(1, Ordering::Release);
    }
}

impl fmt::Debug for TrafficControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrafficControl({} connections)", locked(&self.shared.connections).open.len())
    }
}
