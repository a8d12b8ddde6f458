//! One connection under traffic control.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farhold_client::{Direction, Pauses, SharedBucket, Throttle};
use farhold_types::{Epoch, Userid};
use tokio::time::Instant;

use super::limits::Buckets;
use super::slots::{Rates, Slots};
use super::{TrafficControl, locked};

/// How long the choice of a rule counts, as parts of the day begin and end. Source: `docs/spec/schedules-and-tasks.md` 5.
const CHOICE_COUNTS: Duration = Duration::from_secs(5);

/// What all that look at a connection share.
pub(super) struct Open {
    address: IpAddr,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    user: Option<Userid>,
    slots: Slots,
    choice: Option<Choice>,
}

/// Which rule holds for the connection.
struct Choice {
    buckets: Option<Arc<Buckets>>,
    /// The version of the rules that it was made by.
    version: u64,
    made: Instant,
}

impl Open {
    pub(super) fn new(address: IpAddr, user: Option<Userid>) -> Self {
        Self { address, state: Mutex::new(State { user, ..State::default() }) }
    }

    pub(super) const fn address(&self) -> IpAddr {
        self.address
    }

    pub(super) fn set_user(&self, user: Option<&Userid>) {
        let mut state = locked(&self.state);
        if state.user.as_ref() != user {
            state.user = user.cloned();
            state.choice = None;
        }
    }

    /// Returns the user, and how much passes.
    pub(super) fn rates(&self, now: Epoch) -> (Option<Userid>, Rates) {
        let state = locked(&self.state);
        (state.user.clone(), state.slots.rates(now))
    }
}

/// A connection that is registered; dropping it forgets the connection.
pub struct Connection {
    control: TrafficControl,
    id: u64,
    accepted_from: Option<SocketAddr>,
    open: Arc<Open>,
    pauses: Pauses,
}

impl Connection {
    pub(super) fn new(control: TrafficControl, id: u64, accepted_from: Option<SocketAddr>, open: Arc<Open>) -> Self {
        Self { control, id, accepted_from, open, pauses: Pauses::default() }
    }

    /// Forgets who is authenticated: each request starts so.
    pub fn clear_user(&self) {
        self.open.set_user(None);
    }

    /// Returns the pauses that its limits cause.
    pub const fn pauses(&self) -> &Pauses {
        &self.pauses
    }
}

impl Throttle for Connection {
    fn bucket(&self, direction: Direction) -> Option<Arc<SharedBucket>> {
        self.control.refresh();
        let shared = &self.control.shared;
        let (version, now) = (shared.version.load(Ordering::Acquire), Instant::now());
        let mut state = locked(&self.open.state);
        let counts = |choice: &Choice| choice.version == version && now < choice.made + CHOICE_COUNTS;
        if !state.choice.as_ref().is_some_and(counts) {
            let limits = shared.limits();
            let buckets = limits.select(self.open.address, state.user.as_ref(), shared.clock.now(), &shared.zone);
            state.choice = Some(Choice { buckets: buckets.cloned(), version, made: now });
        }
        let buckets = state.choice.as_ref()?.buckets.as_ref()?;
        Some(Arc::clone(buckets.of(direction)))
    }

    fn transferred(&self, direction: Direction, bytes: usize) {
        let now = self.control.shared.clock.now();
        let mut state = locked(&self.open.state);
        match direction {
            Direction::In => state.slots.received(bytes, now),
            Direction::Out => state.slots.sent(bytes, now),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.control.forget(self.id, self.accepted_from);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.open.address)
    }
}
