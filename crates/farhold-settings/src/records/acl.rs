//! `acl.cfg`: who has which role where. Source: `docs/spec/config-and-access.md` 3.9.

use farhold_format::acl_file::{self, Acl};

use crate::config_dir::Protection;
use crate::error::SettingsError;
use crate::store::Document;

impl Document for Acl {
    const FILE: &'static str = "acl.cfg";
    const LOCK: &'static str = ".acl.lck";
    const PROTECTION: Protection = Protection::Shared;

    fn parse(bytes: Option<&[u8]>) -> Result<Self, SettingsError> {
        Ok(acl_file::parse(Self::FILE, bytes.unwrap_or_default())?)
    }

    fn to_bytes(&self) -> Result<Vec<u8>, SettingsError> {
        Ok(acl_file::write(self).into_bytes())
    }
}
