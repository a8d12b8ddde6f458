//! `traffic-control.cfg`: rules that limit connections. Source: `docs/spec/config-and-access.md` 3.6.

use farhold_format::config_schema::FileSchema;
use farhold_format::section_config::Section;
use farhold_types::TrafficRule;

use crate::entries::{ConfigFile, Fields, put_comment, put_list, put_rate_limits};
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
            limits: fields.rate_limits()?,
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
        put_rate_limits(section, &entry.limits);
        put_list(section, "timeframe", &entry.timeframe);
        put_list(section, "users", &entry.users);
        put_comment(section, entry.comment.as_deref());
    }
}
