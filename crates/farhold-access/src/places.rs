//! Who may wait for a hash to be computed: limits for each address and for each account, so that nobody takes all places.
//!
//! Pure bookkeeping; the time is an argument. A check that failed keeps its place, and more, for as long as the refusal is
//! held back, so that one address cannot guess faster by opening more connections. The memory is bounded by the places.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

/// Checks that run or wait, in all. With two slots and 70 ms a hash the last one waits about 2 s; PVE gives up after 7 s,
/// of which a refusal takes 3 s.
pub const MAX_PLACES: usize = 64;
/// Places of one address: half, so that a flood from one leaves as many to everybody else. A host whose many jobs start at
/// once with tokens of their own needs far fewer.
const MAX_OF_ADDRESS: usize = 32;
/// Places of one account: more than one address can take, so that nobody alone shuts an account out.
const MAX_OF_ACCOUNT: usize = 48;
/// Places of all accounts together that do not exist. Their checks cost as much as others, so that nobody can tell.
const MAX_OF_UNKNOWN: usize = 16;
/// Places that a failed check takes from its address: 8 wrong passwords in 3 s, and no more are looked at.
const COST_OF_FAILURE: usize = 4;
/// For how long, which is as long as the refusal is held back. Source: `docs/spec/rest-api.md` 1.4.
const FAILURE_COUNTS_FOR: Duration = Duration::from_secs(3);
/// Most failures that are remembered; two slots and 50 ms a hash come to 120 in that time.
const MAX_FAILURES: usize = 1024;
/// Bits of an IPv6 address that a network hands out as one.
const IPV6_NETWORK_BITS: u32 = 64;

/// Who wants something checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    pub(crate) address: Option<IpAddr>,
    pub(crate) account: Account,
    pub(crate) is_system: bool,
}

/// About whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Account {
    /// A user or API token of this server.
    Known(String),
    /// Somebody who is not.
    Unknown,
}

impl Asker {
    pub(crate) fn new(address: Option<IpAddr>, account: Account, is_system: bool) -> Self {
        Self { address: address.map(network), account, is_system }
    }
}

/// Returns what stands for an address: IPv6 addresses of one network are one, and IPv4 has one spelling.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - IPV6_NETWORK_BITS))))
        }
        address => address,
    }
}

/// The places that are taken.
#[derive(Debug, Default)]
pub(crate) struct Places {
    taken: usize,
    by_address: HashMap<IpAddr, usize>,
    by_account: HashMap<Account, usize>,
    /// Until when which failures count, oldest first.
    failures: VecDeque<(Instant, IpAddr)>,
}

impl Places {
    /// Takes a place, to be given back with [`Self::leave`]. Returns whether there is one.
    pub(crate) fn enter(&mut self, asker: &Asker, now: Instant) -> bool {
        while self.failures.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest_failure();
        }
        let max_of_account = if asker.account == Account::Unknown { MAX_OF_UNKNOWN } else { MAX_OF_ACCOUNT };
        let of_address = asker.address.and_then(|address| self.by_address.get(&address)).copied().unwrap_or_default();
        let of_account = self.by_account.get(&asker.account).copied().unwrap_or_default();
        if MAX_PLACES <= self.taken || MAX_OF_ADDRESS <= of_address || max_of_account <= of_account {
            return false;
        }
        self.taken += 1;
        *self.by_account.entry(asker.account.clone()).or_default() += 1;
        if let Some(address) = asker.address {
            *self.by_address.entry(address).or_default() += 1;
        }
        true
    }

    /// Gives a place back.
    pub(crate) fn leave(&mut self, asker: &Asker) {
        self.taken = self.taken.saturating_sub(1);
        release(&mut self.by_account, &asker.account, 1);
        if let Some(address) = &asker.address {
            release(&mut self.by_address, address, 1);
        }
    }

    /// Notes that a check of this asker has failed. Its place is given back beside that.
    pub(crate) fn note_failure(&mut self, asker: &Asker, now: Instant) {
        let Some(address) = asker.address else { return };
        if MAX_FAILURES <= self.failures.len() {
            self.forget_oldest_failure();
        }
        *self.by_address.entry(address).or_default() += COST_OF_FAILURE;
        self.failures.push_back((now + FAILURE_COUNTS_FOR, address));
    }

    fn forget_oldest_failure(&mut self) {
        if let Some((_, address)) = self.failures.pop_front() {
            release(&mut self.by_address, &address, COST_OF_FAILURE);
        }
    }
}

/// Takes `count` away; what is at nothing is forgotten.
fn release<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, key: &K, count: usize) {
    if let Some(present) = counts.get_mut(key) {
        *present = present.saturating_sub(count);
        if *present == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(address: &str, account: &str) -> Asker {
        let account = if account.is_empty() { Account::Unknown } else { Account::Known(account.to_owned()) };
        Asker::new(Some(address.parse().unwrap()), account, false)
    }

    /// Enters as often as possible, at most `times`; returns how often.
    fn enter(places: &mut Places, times: usize, now: Instant, asker: impl Fn(usize) -> Asker) -> usize {
        (0..times).filter(|n| places.enter(&asker(*n), now)).count()
    }

    #[test]
    fn a_flood_from_one_address_leaves_half_of_the_places() {
        let now = Instant::now();
        let mut places = Places::default();
        assert_eq!(enter(&mut places, 1000, now, |n| asker("192.0.2.1", &format!("u{n}"))), 32);
        // The same network under other names.
        assert!(!places.enter(&asker("::ffff:192.0.2.1", "root@pam"), now));
        let others =
            enter(&mut places, 1000, now, |n| asker(&format!("10.0.{}.{}", n / 250, n % 250), &format!("v{n}")));
        assert_eq!(others, 32, "64 in all");
    }

    #[test]
    fn a_network_of_version_6_is_one_address() {
        let now = Instant::now();
        let mut places = Places::default();
        assert_eq!(enter(&mut places, 100, now, |n| asker(&format!("2001:db8::{n:x}"), &format!("u{n}"))), 32);
        assert!(places.enter(&asker("2001:db8:0:1::1", "u"), now));
    }

    #[test]
    fn floods_at_one_account_or_at_unknown_ones_leave_places_for_others() {
        let now = Instant::now();
        let mut places = Places::default();
        let from = |n: usize| format!("10.0.0.{}", n % 200);
        assert_eq!(enter(&mut places, 1000, now, |n| asker(&from(n), "")), 16);
        assert!(places.enter(&asker("192.0.2.1", "root@pam"), now));
        let mut places = Places::default();
        assert_eq!(enter(&mut places, 1000, now, |n| asker(&from(n), "root@pam")), 48);
        assert!(places.enter(&asker("192.0.2.1", "admin@pbs"), now));
    }

    #[test]
    fn failures_slow_their_address_down_and_nobody_else() {
        let mut now = Instant::now();
        let mut places = Places::default();
        let guesser = asker("192.0.2.1", "root@pam");
        let mut guesses = 0;
        for _ in 0..1000 {
            if places.enter(&guesser, now) {
                guesses += 1;
                places.note_failure(&guesser, now);
                places.leave(&guesser);
            }
            now += Duration::from_millis(30);
        }
        assert!((78..=88).contains(&guesses), "{guesses} guesses in 30 s");
        assert!(places.enter(&asker("192.0.2.2", "root@pam"), now));
        now += FAILURE_COUNTS_FOR;
        assert!(places.enter(&guesser, now));
        places.leave(&guesser);
        places.leave(&asker("192.0.2.2", "root@pam"));
        assert!(places.by_address.is_empty() && places.by_account.is_empty() && places.taken == 0);
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let now = Instant::now();
        let mut places = Places::default();
        for n in 0..5000u32 {
            let asker = asker(&std::net::Ipv4Addr::from(n).to_string(), &format!("u{n}"));
            if places.enter(&asker, now) {
                places.note_failure(&asker, now);
                places.leave(&asker);
            }
        }
        assert_eq!((places.failures.len(), places.by_address.len()), (MAX_FAILURES, MAX_FAILURES));
        assert!(places.by_account.is_empty());
    }
}
