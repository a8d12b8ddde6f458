//! `node.cfg`: settings of this host. Source: `docs/spec/config-and-access.md` 2.9 and 3.14.

use farhold_format::key_value::{self, KeyValues};

use crate::config_dir::Protection;
use crate::error::SettingsError;
use crate::schemas;
use crate::store::Document;

/// The settings of this host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeConfig {
    /// All values as text; keys and rules are those of [`schemas::NODE`].
    pub values: KeyValues,
}

impl NodeConfig {
    /// Returns the proxy for connections to remotes that ask for it: `[http://][user:pw@]host[:port]`.
    pub fn http_proxy(&self) -> Option<&str> {
        self.values.get("http-proxy")
    }

    /// Returns how many days finished tasks stay in the archive; none means for ever.
    pub fn task_log_max_days(&self) -> Option<u64> {
        self.values.get("task-log-max-days").and_then(|text| text.parse().ok())
    }
}

impl Document for NodeConfig {
    const FILE: &'static str = "node.cfg";
    const LOCK: &'static str = ".node.lck";
    const PROTECTION: Protection = Protection::Shared;

    fn parse(bytes: Option<&[u8]>) -> Result<Self, SettingsError> {
        Ok(Self { values: key_value::parse(schemas::NODE, Self::FILE, bytes.unwrap_or_default())? })
    }

    fn to_bytes(&self) -> Result<Vec<u8>, SettingsError> {
        Ok(key_value::write(schemas::NODE, Self::FILE, &self.values)?.into_bytes())
    }
}
