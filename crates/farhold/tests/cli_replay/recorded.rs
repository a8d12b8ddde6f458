//! What was recorded. Source: `tests/golden/README.md`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::content::golden;

/// Options of the reference's client that only steer how a directory becomes an archive, or add an RSA copy of the key.
/// Ours packs no directories.
pub const PACKING: &[&str] = &[
    "--all-file-systems",
    "--change-detection-mode",
    "--entries-max",
    "--exclude",
    "--include-dev",
    "--master-pubkey-fd",
    "--master-pubkey-file",
    "--skip-e2big-xattr",
    "--skip-lost-and-found",
];

/// One invocation.
#[derive(Debug, Deserialize)]
pub struct Recorded {
    pub program: String,
    pub argv: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    pub exit: u8,
    pub stdout: String,
    pub stderr: String,
    pub note: String,
}

impl Recorded {
    /// Returns whether the arguments begin with these words.
    pub fn starts_with(&self, words: &[&str]) -> bool {
        words.len() <= self.argv.len() && words.iter().zip(&self.argv).all(|(word, argument)| word == argument)
    }

    /// Returns whether it is one of the backup client.
    pub fn is_client(&self) -> bool {
        self.program == "proxmox-backup-client"
    }

    /// Returns whether the message was followed by a usage text.
    pub fn has_usage(&self) -> bool {
        self.stderr.contains("\nUsage:")
    }
}

/// Returns all invocations in their order.
pub fn recorded() -> Vec<Recorded> {
    let text = std::fs::read_to_string(golden("cli.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
