//! A traffic-control rule as it is configured. Source: `docs/spec/rest-api.md` 10.

use crate::identity::Userid;
use crate::name::RuleName;
use crate::sync_job::RateLimits;

/// A stored rule that limits the bytes per second of connections from some networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficRule {
    /// Rule id.
    pub name: RuleName,
    /// Source networks, `address/prefix length`; the length may be out of range, then the network matches nothing.
    pub network: Vec<String>,
    /// The limits; `in` is what the server receives.
    pub limits: RateLimits,
    /// Parts of the day in which the rule holds; none means always.
    pub timeframe: Vec<String>,
    /// Users for whose connections the rule holds; none means everybody.
    pub users: Vec<Userid>,
    /// Free text.
    pub comment: Option<String>,
}

impl TrafficRule {
    /// Returns a rule without limits.
    pub const fn new(name: RuleName, network: Vec<String>) -> Self {
        Self {
            name,
            network,
            limits: RateLimits { rate_in: None, burst_in: None, rate_out: None, burst_out: None },
            timeframe: Vec::new(),
            users: Vec::new(),
            comment: None,
        }
    }
}
