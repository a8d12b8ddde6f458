//! `metricserver.cfg`: servers that are sent figures. Source: `docs/spec/rest-api.md` 11, checked against the digests of
//! recorded files.
//!
//! Read, checked and kept as the reference does; nothing here sends anything yet.

use farhold_format::config_schema::{FileSchema, Key, SectionSchema, Value};
use farhold_format::section_config::Section;

use crate::checkers::{COMMENT, FILLED_LINE, ID, one_line};
use crate::entries::ConfigFile;
use crate::error::FieldError;

const SHORT: Value = Value::Text { min: 1, max: 32, check: Some(one_line) };
const SIZE: Value = Value::Int { min: 1, max: i64::MAX };

/// The file `metricserver.cfg`.
#[derive(Debug)]
pub struct MetricServers;

/// A section of the file. Its debug text names it only, since it may hold a token.
#[derive(Clone, PartialEq, Eq)]
pub struct MetricServer {
    /// What stands in the file.
    pub section: Section,
}

impl std::fmt::Debug for MetricServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MetricServer({}: {})", self.section.section_type(), self.section.id())
    }
}

impl ConfigFile for MetricServers {
    type Entry = MetricServer;
    const FILE: &'static str = "metricserver.cfg";
    const LOCK: &'static str = ".metricserver.lck";
    const SCHEMA: FileSchema = FileSchema {
        sections: &[
            SectionSchema {
                name: "influxdb-http",
                id: ID,
                keys: &[
                    Key::required("url", FILLED_LINE),
                    Key::optional("enable", Value::Bool),
                    Key::optional("token", FILLED_LINE),
                    Key::optional("bucket", SHORT),
                    Key::optional("organization", SHORT),
                    Key::optional("max-body-size", SIZE),
                    Key::optional("verify-tls", Value::Bool),
                    Key::optional("comment", COMMENT),
                ],
            },
            SectionSchema {
                name: "influxdb-udp",
                id: ID,
                keys: &[
                    Key::required("host", FILLED_LINE),
                    Key::optional("enable", Value::Bool),
                    Key::optional("mtu", SIZE),
                    Key::optional("comment", COMMENT),
                ],
            },
        ],
    };

    fn read(section: &Section) -> Result<MetricServer, FieldError> {
        Ok(MetricServer { section: section.clone() })
    }

    fn header(entry: &MetricServer) -> (&str, String) {
        (entry.section.section_type(), entry.section.id().to_owned())
    }

    fn write(entry: &MetricServer, section: &mut Section) {
        *section = entry.section.clone();
        // The one key of this file that is left out at its default.
        if section.get("enable") == Some("true") {
            section.set("enable", None);
        }
    }
}
