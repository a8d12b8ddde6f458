//! What this host is called in notifications.

use crate::app::App;
use crate::host::full_name;

/// Port of the web interface that links lead to. Source: `docs/spec/schedules-and-tasks.md` 10.1.
const PORT: u16 = 8007;

/// Names of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostNames {
    /// Up to the first dot.
    pub(super) hostname: String,
    /// With its domain, if one is known.
    pub(super) fqdn: String,
}

impl HostNames {
    /// Returns those of the server's host. Blocking.
    pub(super) fn of(app: &App) -> Self {
        Self { hostname: app.node.name.clone(), fqdn: full_name(&*app.host, &app.node.name) }
    }

    /// Returns where links into the web interface begin.
    pub(super) fn base_url(&self) -> String {
        format!("https://{}:{PORT}", self.fqdn)
    }
}
