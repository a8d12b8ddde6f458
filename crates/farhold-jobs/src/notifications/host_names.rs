//! What this host is called in notifications.

use serde_json::{Map, Value, json};

use crate::app::App;
use crate::host::full_name;

/// Port of the web interface that links lead to. Source: `docs/spec/schedules-and-tasks.md` 10.1.
const PORT: u16 = 8007;

/// Names of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostNames {
    /// Up to the first dot.
    pub(super) hostname: String,
    /// With its domain, if one is known.
    pub(super) fqdn: String,
}

impl HostNames {
    /// Returns those of the server's host. Blocking.
    pub(crate) fn of(app: &App) -> Self {
        Self { hostname: app.node.name.clone(), fqdn: full_name(&*app.host, &app.node.name) }
    }

    /// Returns what the template of every event may say: the names, and where links into the web interface begin.
    pub(crate) fn data(&self) -> Map<String, Value> {
        let base_url = format!("https://{}:{PORT}", self.fqdn);
        let data = [("hostname", json!(self.hostname)), ("fqdn", json!(self.fqdn)), ("base-url", json!(base_url))];
        data.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
