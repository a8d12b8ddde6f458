//! `traffic-control.cfg`: rules that limit connections. Source: `docs/spec/config-and-access.md` 3.6.

use farhold_format::config_schema::FileSchema;
use farhold_format::section_config::Section;
use farhold_types::{RateLimits, TrafficRule};

use crate::entries::{ConfigFile, Fields, put, put_comment, put_list};
use crate::error::FieldError;
use crate::schemas;

/// The file `traffic-control.cfg`.
#[derive(Debug)]
pub struct TrafficRules;

impl ConfigFile for TrafficRules {
    type Entry = TrafficRule;
    const FILE: &'static str = "traffic-control.cfg";
    const LOCK: &'static str = ".traffic-control.lck";
    const SCHEMA: FileSchema = schemas::TRAFFIC_CONTROL;

    fn read(section: &Section) -> Result<TrafficRule, FieldError> {
        let fields = Fields::new(Self::FILE, section);
        Ok(TrafficRule {
            name: fields.id()?,
            network: section.list("network").to_vec(),
            limits: RateLimits {
                rate_in: fields.optional("rate-in")?,
                burst_in: fields.optional("burst-in")?,
                rate_out: fields.optional("rate-out")?,
                burst_out: fields.optional("burst-out")?,
            },
            timeframe: section.list("timeframe").to_vec(),
            users: fields.list("users")?,
            comment: fields.text("comment"),
        })
    }

    fn header(entry: &TrafficRule) -> (&'static str, String) {
        ("rule", entry.name.to_string())
    }

    fn write(entry: &TrafficRule, section: &mut Section) {
        put_list(section, "network", &entry.network);
        put(section, "rate-in", entry.limits.rate_in.as_ref());
        put(section, "burst-in", entry.limits.burst_in.as_ref());
        put(section, "rate-out", entry.limits.rate_out.as_ref());
        put(section, "burst-out", entry.limits.burst_out.as_ref());
        put_list(section, "timeframe", &entry.timeframe);
        put_list(section, "users", &entry.users);
        put_comment(section, entry.comment.as_deref());
    }
}
