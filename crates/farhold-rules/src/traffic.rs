//! Which traffic-control rule a connection falls under. Source: `docs/spec/config-and-access.md` 3.6.

use std::net::IpAddr;

use farhold_types::{Epoch, TrafficRule, Userid};
use jiff::tz::TimeZone;

use crate::daily_window::DailyWindow;

/// A network: an address and how many of its leading bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// Returns the network that a text such as `10.0.0.0/8` names; none if it is no network, such as `10.0.0.0/99`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix_bits: u8 = prefix.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        (prefix_bits <= width).then_some(Self { address, prefix_bits })
    }

    /// Returns whether an address lies in the network. IPv4 addresses that come as IPv6 ones count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differing_bits = match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => (network.to_bits() ^ address.to_bits()).leading_zeros(),
            (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits() ^ address.to_bits()).leading_zeros(),
            _ => return false,
        };
        u32::from(self.prefix_bits) <= differing_bits
    }
}

/// A rule with its texts parsed.
#[derive(Debug, Clone)]
struct Parsed {
    rule: TrafficRule,
    networks: Vec<Network>,
    windows: Vec<DailyWindow>,
}

/// The rules of a server, ready to be asked for many connections.
#[derive(Debug, Clone, Default)]
pub struct TrafficRules {
    rules: Vec<Parsed>,
}

impl TrafficRules {
    /// Parses the rules. Networks that are none match nothing; a rule whose parts of the day are all unreadable never
    /// holds.
    pub fn new<'r>(rules: impl IntoIterator<Item = &'r TrafficRule>) -> Self {
        let parsed = |rule: &'r TrafficRule| Parsed {
            networks: rule.network.iter().filter_map(|text| Network::parse(text)).collect(),
            windows: rule.timeframe.iter().filter_map(|text| DailyWindow::parse(text).ok()).collect(),
            rule: rule.clone(),
        };
        Self { rules: rules.into_iter().map(parsed).collect() }
    }

    /// Returns the rule of a connection: of those that hold now and name its user or nobody, one with users before one
    /// without, then the one with the longest prefix, then the first.
    ///
    /// `user`: whom the connection has authenticated, the user of a token; none before that.
    pub fn select(&self, peer: IpAddr, user: Option<&Userid>, now: Epoch, zone: &TimeZone) -> Option<&TrafficRule> {
        let mut best: Option<((bool, u8), &TrafficRule)> = None;
        for Parsed { rule, networks, windows } in &self.rules {
            let holds = rule.timeframe.is_empty() || windows.iter().any(|window| window.contains(now, zone));
            let is_for_user = rule.users.is_empty() || user.is_some_and(|user| rule.users.contains(user));
            if !holds || !is_for_user {
                continue;
            }
            let prefix = networks.iter().filter(|network| network.contains(peer)).map(|network| network.prefix_bits);
            let Some(prefix) = prefix.max() else { continue };
            let rank = (!rule.users.is_empty(), prefix);
            if best.is_none_or(|(found, _)| found < rank) {
                best = Some((rank, rule));
            }
        }
        best.map(|(_, rule)| rule)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(name: &str, networks: &[&str]) -> TrafficRule {
        let networks = networks.iter().map(|text| (*text).to_owned()).collect();
        TrafficRule::new(name.parse().unwrap(), networks)
    }

    fn selected(rules: &[TrafficRule], peer: &str, user: Option<&str>, now: i64) -> Option<String> {
        let user = user.map(|user| user.parse().unwrap());
        let parsed = TrafficRules::new(rules);
        let found = parsed.select(peer.parse().unwrap(), user.as_ref(), Epoch(now), &TimeZone::UTC);
        found.map(|rule| rule.name.to_string())
    }

    #[test]
    fn the_longest_prefix_wins_and_rules_with_users_come_first() {
        let with_users = TrafficRule { users: vec!["anna@pbs".parse().unwrap()], ..rule("users", &["0.0.0.0/0"]) };
        let rules = [
            rule("wide", &["10.0.0.0/8", "fd00::/8"]),
            rule("narrow", &["192.168.0.0/16", "10.1.0.0/16"]),
            rule("again", &["10.1.0.0/16"]),
            rule("wrong", &["10.1.2.3/99"]),
            with_users,
        ];
        let name = |peer, user| selected(&rules, peer, user, 0);
        assert_eq!(name("10.2.0.1", None).as_deref(), Some("wide"));
        assert_eq!(name("10.1.2.3", None).as_deref(), Some("narrow"), "of two equal ones the first");
        assert_eq!(name("::ffff:10.1.2.3", None).as_deref(), Some("narrow"), "an IPv4 address in IPv6 form");
        assert_eq!(name("fd12::1", None).as_deref(), Some("wide"));
        assert_eq!(name("172.16.0.1", None), None);
        assert_eq!(name("10.1.2.3", Some("anna@pbs")).as_deref(), Some("users"));
        assert_eq!(name("fd12::1", Some("anna@pbs")).as_deref(), Some("wide"), "users too are bound to networks");
        assert_eq!(name("10.1.2.3", Some("ben@pbs")).as_deref(), Some("narrow"));
    }

    #[test]
    fn a_rule_holds_in_its_parts_of_the_day_only() {
        let office = TrafficRule { timeframe: vec!["8:00-18:00".to_owned()], ..rule("office", &["10.0.0.0/8"]) };
        let rules = [office, rule("always", &["0.0.0.0/0"])];
        let at = |hour: i64| selected(&rules, "10.0.0.1", None, hour * 3600);
        assert_eq!([7, 8, 17, 18].map(at).map(Option::unwrap), ["always", "office", "office", "always"]);
        let unreadable = TrafficRule { timeframe: vec!["never".to_owned()], ..rule("broken", &["10.0.0.0/8"]) };
        assert_eq!(selected(&[unreadable], "10.0.0.1", None, 0), None);
    }

    proptest! {
        #[test]
        fn a_network_contains_what_shares_its_bits(address: u32, other: u32, prefix in 0u8..=32) {
            let network = Network { address: IpAddr::V4(address.into()), prefix_bits: prefix };
            let mask = u32::MAX.checked_shl(u32::from(32 - prefix)).unwrap_or(0);
            prop_assert_eq!(network.contains(IpAddr::V4(other.into())), address & mask == other & mask);
        }
    }
}
