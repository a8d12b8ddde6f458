//! The key of the measurements that encrypt or decrypt.

use std::fs;
use std::path::Path;

use farhold_crypto::{CryptConfig, EncryptionKey};
use farhold_format::key_file::{KeyFile, LocalTime};

use super::image::FIRST;
use super::server::Installation;
use super::site::text;

/// Its name on the server that has it.
pub(super) const KEY: &str = "bench-key";

fn key() -> EncryptionKey {
    EncryptionKey::new([7; 32])
}

/// Returns the key ready for use.
pub(super) fn config() -> CryptConfig {
    CryptConfig::new(key())
}

/// Gives the key to a server, as a file in `folder`.
pub(super) fn import(installation: &Installation, folder: &Path) -> anyhow::Result<()> {
    let file = folder.join("bench.key");
    fs::write(&file, KeyFile::plain(key(), LocalTime::utc(FIRST)).to_json().expose())?;
    installation.run(&["encryption-key", "import", KEY, text(&file)?])?;
    Ok(())
}
