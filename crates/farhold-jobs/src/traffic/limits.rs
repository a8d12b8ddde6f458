//! The rules of a server with the buckets that their connections share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use farhold_client::{Direction, SharedBucket};
use farhold_rules::traffic::{Network, TrafficRules};
use farhold_types::{ByteSize, Epoch, RateLimits, RuleName, TrafficRule, Userid};
use jiff::tz::TimeZone;

/// The rules as they were read last.
#[derive(Debug, Default)]
pub(super) struct Limits {
    rules: TrafficRules,
    buckets: HashMap<RuleName, Arc<Buckets>>,
}

/// The buckets of one rule. A direction without limit has one that only counts.
#[derive(Debug)]
pub(super) struct Buckets {
    incoming: Arc<SharedBucket>,
    outgoing: Arc<SharedBucket>,
}

/// Returns what limits mean for what is received, and for what is sent: bytes per second, 0 for no limit, and burst. The
/// burst is the rate if only that is given; without a rate it does nothing.
fn of_directions(limits: &RateLimits) -> [(u64, Option<u64>); 2] {
    let bytes = |size: &Option<ByteSize>| size.as_ref().map(ByteSize::bytes);
    [
        (bytes(&limits.rate_in).unwrap_or(0), bytes(&limits.burst_in)),
        (bytes(&limits.rate_out).unwrap_or(0), bytes(&limits.burst_out)),
    ]
}

impl Buckets {
    fn new(limits: &RateLimits) -> Self {
        let [incoming, outgoing] = of_directions(limits).map(|(rate, burst)| Arc::new(SharedBucket::new(rate, burst)));
        Self { incoming, outgoing }
    }

    fn change(&self, limits: &RateLimits) {
        let [(rate_in, burst_in), (rate_out, burst_out)] = of_directions(limits);
        self.incoming.set_limits(rate_in, burst_in);
        self.outgoing.set_limits(rate_out, burst_out);
    }

    pub(super) const fn of(&self, direction: Direction) -> &Arc<SharedBucket> {
        match direction {
            Direction::In => &self.incoming,
            Direction::Out => &self.outgoing,
        }
    }
}

impl Limits {
    /// Returns the rules with buckets: those that were there already keep theirs, under the new limits.
    pub(super) fn new<'r>(rules: impl IntoIterator<Item = &'r TrafficRule>, former: &Self) -> Self {
        let rules: Vec<&TrafficRule> = rules.into_iter().collect();
        let mut buckets = HashMap::new();
        for rule in &rules {
            for network in rule.network.iter().filter(|text| Network::parse(text).is_none()) {
                tracing::warn!("traffic-control rule '{}': '{network}' is no network and is ignored", rule.name);
            }
            let kept = former.buckets.get(&rule.name).cloned();
            let of_rule = match kept {
                Some(kept) => {
                    kept.change(&rule.limits);
                    kept
                }
                None => Arc::new(Buckets::new(&rule.limits)),
            };
            buckets.insert(rule.name.clone(), of_rule);
        }
        Self { rules: TrafficRules::new(rules), buckets }
    }

    /// Returns the buckets of the rule that holds for a connection.
    pub(super) fn select(
        &self,
        peer: IpAddr,
        user: Option<&Userid>,
        now: Epoch,
        zone: &TimeZone,
    ) -> Option<&Arc<Buckets>> {
        self.buckets.get(&self.rules.select(peer, user, now, zone)?.name)
    }
}
