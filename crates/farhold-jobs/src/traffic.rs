//! What the open connections of a server carry at the moment, for the rates of traffic-control rules.
//!
//! A connection is registered by the listener, counts its bytes as they pass, and knows whom it has authenticated last.
//! Nothing is limited here.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farhold_rules::traffic::TrafficRules;
use farhold_types::{Clock, Epoch, TrafficRule, Userid};
use jiff::tz::TimeZone;

/// Seconds over which a rate is taken: short enough to be called current, long enough not to jump with every chunk.
const WINDOW_S: i64 = 5;
/// One more than the window, for the second that is not over yet.
const SLOTS: usize = 6;

/// Bytes per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// What the server receives.
    pub received_bytes_per_s: u64,
    /// What the server sends.
    pub sent_bytes_per_s: u64,
}

/// Bytes of one second.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    second: Option<Epoch>,
    received: u64,
    sent: u64,
}

#[derive(Debug, Default)]
struct Counted {
    user: Option<Userid>,
    slots: [Slot; SLOTS],
}

impl Counted {
    fn slot(&mut self, now: Epoch) -> &mut Slot {
        let index = usize::try_from(now.0.rem_euclid(SLOTS as i64)).unwrap_or_default();
        let slot = &mut self.slots[index];
        if slot.second != Some(now) {
            *slot = Slot { second: Some(now), ..Slot::default() };
        }
        slot
    }

    /// Returns the rates over the last full seconds.
    fn rates(&self, now: Epoch) -> Rates {
        let is_recent = |slot: &&Slot| slot.second.is_some_and(|second| second < now && now.0 - WINDOW_S <= second.0);
        let recent = self.slots.iter().filter(is_recent);
        let (received, sent) = recent
            .fold((0u64, 0u64), |sum, slot| (sum.0.saturating_add(slot.received), sum.1.saturating_add(slot.sent)));
        let seconds = WINDOW_S.unsigned_abs();
        Rates { received_bytes_per_s: received / seconds, sent_bytes_per_s: sent / seconds }
    }
}

type Connections = HashMap<SocketAddr, Arc<Mutex<Counted>>>;

/// The open connections of one server; cheap to clone.
#[derive(Clone)]
pub struct TrafficMeters {
    clock: Arc<dyn Clock>,
    connections: Arc<Mutex<Connections>>,
}

/// The meter of one connection; dropping it forgets the connection.
pub struct ConnectionMeter {
    meters: TrafficMeters,
    peer: SocketAddr,
    counted: Arc<Mutex<Counted>>,
}

/// A panic elsewhere leaves counters that are good enough to go on with.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TrafficMeters {
    /// Returns meters without connections.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, connections: Arc::default() }
    }

    /// Registers a connection. Their number is bounded by whoever accepts them.
    pub fn register(&self, peer: SocketAddr) -> ConnectionMeter {
        let counted: Arc<Mutex<Counted>> = Arc::default();
        locked(&self.connections).insert(peer, Arc::clone(&counted));
        ConnectionMeter { meters: self.clone(), peer, counted }
    }

    /// Notes whom a connection has authenticated.
    pub fn note_user(&self, peer: SocketAddr, user: &Userid) {
        let counted = locked(&self.connections).get(&peer).cloned();
        if let Some(counted) = counted {
            let mut counted = locked(&counted);
            if counted.user.as_ref() != Some(user) {
                counted.user = Some(user.clone());
            }
        }
    }

    /// Returns the rates of the connections that fall under each of `rules` now, in the same order.
    pub fn rates_of(&self, rules: &[&TrafficRule], zone: &TimeZone) -> Vec<Rates> {
        let now = self.clock.now();
        let parsed = TrafficRules::new(rules.iter().copied());
        let connections: Vec<(SocketAddr, Arc<Mutex<Counted>>)> =
            locked(&self.connections).iter().map(|(peer, counted)| (*peer, Arc::clone(counted))).collect();
        let mut rates = vec![Rates::default(); rules.len()];
        for (peer, counted) in connections {
            let counted = locked(&counted);
            let Some(rule) = parsed.select(peer.ip(), counted.user.as_ref(), now, zone) else { continue };
            let own = counted.rates(now);
            if let Some(sum) = rules.iter().position(|one| one.name == rule.name).and_then(|at| rates.get_mut(at)) {
                sum.received_bytes_per_s = sum.received_bytes_per_s.saturating_add(own.received_bytes_per_s);
                sum.sent_bytes_per_s = sum.sent_bytes_per_s.saturating_add(own.sent_bytes_per_s);
            }
        }
        rates
    }
}

impl ConnectionMeter {
    /// Counts bytes that came in.
    pub fn received(&self, bytes: usize) {
        let now = self.meters.clock.now();
        let mut counted = locked(&self.counted);
        let slot = counted.slot(now);
        slot.received = slot.received.saturating_add(bytes as u64);
    }

    /// Counts bytes that went out.
    pub fn sent(&self, bytes: usize) {
        let now = self.meters.clock.now();
        let mut counted = locked(&self.counted);
        let slot = counted.slot(now);
        slot.sent = slot.sent.saturating_add(bytes as u64);
    }
}

impl Drop for ConnectionMeter {
    fn drop(&mut self) {
        let mut connections = locked(&self.meters.connections);
        // The same address and port may have connected to another of our sockets meanwhile.
        if connections.get(&self.peer).is_some_and(|counted| Arc::ptr_eq(counted, &self.counted)) {
            connections.remove(&self.peer);
        }
    }
}

impl std::fmt::Debug for TrafficMeters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TrafficMeters({} connections)", locked(&self.connections).len())
    }
}

impl std::fmt::Debug for ConnectionMeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConnectionMeter({})", self.peer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Epoch {
            Epoch(self.0.load(Ordering::SeqCst))
        }
    }

    fn rule(name: &str, network: &str, users: &[&str]) -> TrafficRule {
        let users = users.iter().map(|user| user.parse().unwrap()).collect();
        TrafficRule { users, ..TrafficRule::new(name.parse().unwrap(), vec![network.to_owned()]) }
    }

    #[test]
    fn rates_are_those_of_the_last_full_seconds_of_the_connections_under_the_rule() {
        let hand = Arc::new(Hand::default());
        let at = |second: i64| hand.0.store(second, Ordering::SeqCst);
        let meters = TrafficMeters::new(hand.clone());
        let (all, annas) = (rule("all", "0.0.0.0/0", &[]), rule("annas", "0.0.0.0/0", &["anna@pbs"]));
        let rules = [&all, &annas];
        let rates = || {
            let rates = meters.rates_of(&rules, &TimeZone::UTC);
            rates.iter().map(|rate| (rate.received_bytes_per_s, rate.sent_bytes_per_s)).collect::<Vec<_>>()
        };
        at(100);
        let one = meters.register("10.0.0.1:5000".parse().unwrap());
        let two = meters.register("10.0.0.2:5000".parse().unwrap());
        meters.note_user("10.0.0.2:5000".parse().unwrap(), &"anna@pbs".parse().unwrap());
        one.received(1000);
        two.sent(500);
        assert_eq!(rates(), [(0, 0), (0, 0)], "the second is not over");
        at(101);
        assert_eq!(rates(), [(200, 0), (0, 100)]);
        one.received(9000);
        at(105);
        assert_eq!(rates(), [(2000, 0), (0, 100)]);
        at(106);
        assert_eq!(rates(), [(1800, 0), (0, 0)], "older seconds do not count");
        two.sent(50);
        at(200);
        assert_eq!(rates(), [(0, 0), (0, 0)]);
        one.received(50);
        at(201);
        assert_eq!(rates(), [(10, 0), (0, 0)]);
        drop(one);
        assert_eq!(rates(), [(0, 0), (0, 0)], "a closed connection carries nothing");
    }

    #[test]
    fn a_connection_from_a_reused_address_is_not_forgotten_with_the_former_one() {
        let meters = TrafficMeters::new(Arc::new(Hand::default()));
        let peer = "10.0.0.1:5000".parse().unwrap();
        let (former, present) = (meters.register(peer), meters.register(peer));
        drop(former);
        assert_eq!(format!("{meters:?}"), "TrafficMeters(1 connections)");
        drop(present);
        assert_eq!(format!("{meters:?}"), "TrafficMeters(0 connections)");
    }
}
