//! Two composed servers, `rec1` and its remote `rec2`, over copies of the recorded datastores.

pub mod files;
pub mod scratch;
pub mod servers;
pub mod specification;

use std::path::{Path, PathBuf};

/// Returns a file or folder of the recordings.
pub fn golden(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(name)
}
