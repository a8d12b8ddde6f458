//! How many connections there may be: in all, and from each address.
//!
//! A connection costs memory and a file descriptor before anybody says who he is. Whoever opens thousands of them takes
//! only the part of his own address, and everybody else is served. Connections on the Unix socket come from the host's
//! own administrator and have places of their own, so that the server can be looked after while it is full.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Part of all connections that one address may have. A client has a few, a proxy before the server some hundreds.
const PART_OF_ADDRESS: usize = 4;

/// Bits of an IPv6 address that tell one network of a customer; whoever has one has all addresses of it.
const IPV6_NETWORK_BITS: u32 = 64;

/// The places of one server.
#[derive(Debug)]
pub(super) struct Guests {
    max: usize,
    present: Mutex<Present>,
}

#[derive(Debug, Default)]
struct Present {
    from_network: usize,
    by_address: HashMap<Option<IpAddr>, usize>,
}

/// One connection; gives its place back when dropped.
#[derive(Debug)]
pub(super) struct Guest {
    guests: Arc<Guests>,
    address: Option<IpAddr>,
}

impl Guests {
    /// Returns places for `max` connections from the network, and as many as one address has for the Unix socket.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, present: Mutex::default() })
    }

    /// Takes a place for a connection from `address`, `None` being the Unix socket; `None` if there is none left.
    pub(super) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Guest> {
        let address = address.map(network);
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = present.by_address.get(&address).copied().unwrap_or_default();
        let is_full = address.is_some() && self.max <= present.from_network;
        if is_full || self.max.div_ceil(PART_OF_ADDRESS) <= of_address {
            return None;
        }
        present.by_address.insert(address, of_address + 1);
        present.from_network += usize::from(address.is_some());
        Some(Guest { guests: Arc::clone(self), address })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut present = self.guests.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.from_network -= usize::from(self.address.is_some());
        if let Some(count) = present.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                present.by_address.remove(&self.address);
            }
        }
    }
}

/// Returns what counts as one address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - IPV6_NETWORK_BITS))))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(guests: &Arc<Guests>, count: usize, address: impl Fn(usize) -> Option<IpAddr>) -> Vec<Guest> {
        (0..count).filter_map(|n| guests.enter(address(n))).collect()
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn one_address_has_its_part_and_places_come_back() {
        let guests = Guests::new(100);
        let greedy = enter(&guests, 100, |_| ip("192.0.2.1"));
        assert_eq!(greedy.len(), 25);
        assert!(guests.enter(ip("::ffff:192.0.2.1")).is_none(), "the same address in other words");
        let network = enter(&guests, 100, |n| ip(&format!("2001:db8::{n:x}")));
        assert_eq!(network.len(), 25);
        let others = enter(&guests, 100, |n| ip(&format!("10.0.0.{n}")));
        assert_eq!(others.len(), 50, "100 in all");
        assert_eq!(enter(&guests, 100, |_| None).len(), 25, "the Unix socket has its own");
        drop((network, others));
        assert!(guests.enter(ip("192.0.2.1")).is_none());
        drop(greedy);
        assert!(guests.enter(ip("192.0.2.1")).is_some());
        let present = guests.present.lock().unwrap();
        assert!(present.by_address.is_empty() && present.from_network == 0);
    }
}
