//! The JSON forms of a manifest: what is stored, and what is signed.

use farhold_types::{ArchiveName, BackupId, BackupType, CryptMode, Digest, Epoch};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Manifest, ManifestFile};

/// The part that is signed. Members are declared in byte order, so they are written sorted.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Protected<'a> {
    backup_id: &'a BackupId,
    backup_time: Epoch,
    backup_type: BackupType,
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct File<'a> {
    crypt_mode: CryptMode,
    csum: Digest,
    filename: &'a ArchiveName,
    size: u64,
}

/// What is stored; `signature` and `unprotected` sort behind all members of the protected part.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    protected: Protected<'a>,
    signature: Option<Digest>,
    unprotected: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ReadManifest {
    backup_type: BackupType,
    backup_id: BackupId,
    backup_time: Epoch,
    files: Vec<ReadFile>,
    unprotected: Option<Map<String, Value>>,
    signature: Option<Digest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ReadFile {
    filename: ArchiveName,
    #[serde(default)]
    crypt_mode: CryptMode,
    size: u64,
    csum: Digest,
}

pub(super) fn read(text: &[u8]) -> Result<Manifest, serde_json::Error> {
    let read: ReadManifest = serde_json::from_slice(text)?;
    let file = |file: ReadFile| ManifestFile {
        name: file.filename,
        crypt_mode: file.crypt_mode,
        size_bytes: file.size,
        checksum: file.csum,
    };
    Ok(Manifest {
        backup_type: read.backup_type,
        backup_id: read.backup_id,
        backup_time: read.backup_time,
        files: read.files.into_iter().map(file).collect(),
        unprotected: read.unprotected.unwrap_or_default(),
        signature: read.signature,
    })
}

/// Returns how many values a JSON text holds at most, without reading any of them into memory.
///
/// Every value but the outermost follows a comma or an opening bracket. Text that is not JSON gives any number.
pub(super) fn count_values(text: &[u8]) -> usize {
    let (mut count, mut in_string, mut is_escaped) = (1, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

pub(super) fn canonical(manifest: &Manifest) -> Vec<u8> {
    serde_json::to_vec(&protected(manifest)).expect("names, digests and integers have a JSON form")
}

pub(super) fn write(manifest: &Manifest) -> String {
    let whole = Whole {
        protected: protected(manifest),
        signature: manifest.signature,
        unprotected: sorted(Value::Object(manifest.unprotected.clone())),
    };
    serde_json::to_string_pretty(&whole).expect("names, digests and JSON values have a JSON form")
}

fn protected(manifest: &Manifest) -> Protected<'_> {
    fn file(file: &ManifestFile) -> File<'_> {
        File { crypt_mode: file.crypt_mode, csum: file.checksum, filename: &file.name, size: file.size_bytes }
    }
    Protected {
        backup_id: &manifest.backup_id,
        backup_time: manifest.backup_time,
        backup_type: manifest.backup_type,
        files: manifest.files.iter().map(file).collect(),
    }
}

/// Returns `value` with the keys of all its objects in byte order.
///
/// Whether a JSON map sorts by itself depends on a feature that any crate in a build may switch on.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}
