//! What becomes of the unsigned part of a manifest that both sides may have changed since the last run.
//!
//! Notes and verification are written on both sides: the source's come over, those set here stay. The common ancestor is
//! what the job's record says about the source's manifest as it was last applied. All other members come from the source;
//! members that only the local manifest has stay if their meaning is not known.
//!
//! Source: `docs/spec/sync.md` C.1 FAULT 13, C.2 W21.

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_format::blob::{BlobDecoder, BlobEncoder, BlobError, Compression};
use farhold_format::manifest::{
    CHANGE_DETECTION_FINGERPRINT, CHUNK_UPLOAD_STATS, KEY_FINGERPRINT, MAX_MANIFEST_BYTES, Manifest, NOTES,
    SYNC_SOURCE_SIGNATURE, VERIFY_STATE,
};
use farhold_format::upid::Upid;
use farhold_types::{Digest, VerificationItem, VerifyState};
use serde_json::{Map, Value};

use crate::notes::record::Base;

/// Members that say what the backup is; those of another copy would be wrong.
const OF_THE_BACKUP: [&str; 4] =
    [CHANGE_DETECTION_FINGERPRINT, CHUNK_UPLOAD_STATS, KEY_FINGERPRINT, SYNC_SOURCE_SIGNATURE];

/// Where the verification of the merged manifest comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verification {
    /// From the side that knows better.
    Merged,
    /// From the source: the local one says that the copy is bad, and it has been repaired since.
    OfSource,
}

/// Returns what the record is to remember of a source's manifest that was applied.
pub(crate) fn base_of(raw: &[u8], manifest: &Manifest) -> Base {
    let of = |member: &str| hash(manifest.unprotected.get(member));
    Base { manifest: sha256(raw), notes: of(NOTES), verification: of(VERIFY_STATE) }
}

fn hash(value: Option<&Value>) -> Option<Digest> {
    value.map(|value| sha256(value.to_string().as_bytes()))
}

/// Returns the unsigned part that a copy gets. `base`: what the source's manifest was when it was last applied.
pub(crate) fn merge_unprotected(
    source: &Map<String, Value>,
    local: &Map<String, Value>,
    base: Option<&Base>,
    verification: Verification,
) -> Map<String, Value> {
    let mut merged = local.clone();
    merged.retain(|member, _| !OF_THE_BACKUP.contains(&member.as_str()));
    merged.extend(source.iter().map(|(member, value)| (member.clone(), value.clone())));
    let mut put = |member: &str, chosen: Option<&Value>| match chosen {
        Some(value) => drop(merged.insert(member.to_owned(), value.clone())),
        None => drop(merged.remove(member)),
    };
    let sides = |member: &str| (local.get(member), source.get(member));
    put(NOTES, choose(base.map(|base| base.notes), sides(NOTES), |_, _| true));
    let chosen = match verification {
        Verification::Merged => choose(base.map(|base| base.verification), sides(VERIFY_STATE), local_knows_better),
        Verification::OfSource => source.get(VERIFY_STATE),
    };
    put(VERIFY_STATE, chosen);
    merged
}

/// Merges one member. `base`: hash of its value in the common ancestor, if that is known. `is_local_kept` decides between
/// two values that both may be new.
fn choose<'a>(
    base: Option<Option<Digest>>,
    (local, source): (Option<&'a Value>, Option<&'a Value>),
    is_local_kept: impl FnOnce(&Value, &Value) -> bool,
) -> Option<&'a Value> {
    match base {
        Some(base) if base == hash(source) => return local,
        Some(base) if base == hash(local) => return source,
        _ => {}
    }
    match (local, source) {
        (Some(local), Some(source)) if !is_local_kept(local, source) => Some(source),
        (local, source) => local.or(source),
    }
}

/// Returns whether a verification of the copy counts more than a later or earlier one of the source. That the copy is bad
/// only a look at the copy can lift; otherwise the later one counts.
fn local_knows_better(local: &Value, source: &Value) -> bool {
    let item = |value: &Value| serde_json::from_value::<VerificationItem>(value.clone()).ok();
    let began = |item: &VerificationItem| item.upid.parse::<Upid>().ok().map(|upid| upid.start_time());
    let Some(local) = item(local) else { return false };
    local.state == VerifyState::Failed || item(source).as_ref().and_then(began) <= began(&local)
}

/// The manifest of a source snapshot that is to be merged with a local one.
#[derive(Debug, Clone)]
pub(crate) struct Merge {
    /// As the source delivered it.
    pub(crate) raw: Bytes,
    pub(crate) manifest: Manifest,
    pub(crate) base: Option<Base>,
    pub(crate) verification: Verification,
}

impl Merge {
    /// Returns the manifest to be stored, given the stored one, both in their stored form.
    ///
    /// Exactly the source's where nothing is set here, exactly the stored one where nothing changed. A stored one that
    /// cannot be read is replaced.
    ///
    /// # Errors
    /// What was merged is too large.
    pub(crate) fn with(&self, stored: Option<&Bytes>) -> Result<Bytes, BlobError> {
        let Some((stored, local)) = stored.and_then(|raw| Some((raw, Manifest::from_blob(raw).ok()?))) else {
            return Ok(self.raw.clone());
        };
        let source = &self.manifest;
        let merged = merge_unprotected(&source.unprotected, &local.unprotected, self.base.as_ref(), self.verification);
        if merged == source.unprotected {
            return Ok(self.raw.clone());
        }
        if merged == local.unprotected
            && source.signature == local.signature
            && source.has_same_protected_content(&local)
        {
            return Ok(stored.clone());
        }
        let text = BlobDecoder::new().decode(&self.raw, None, MAX_MANIFEST_BYTES)?;
        // It was parsed before, so it is an object; members that we do not know are kept with it.
        let Ok(Value::Object(mut whole)) = serde_json::from_slice(&text) else {
            return Ok(self.raw.clone());
        };
        whole.insert("unprotected".to_owned(), Value::Object(merged));
        let text = format!("{:#}", Value::Object(whole));
        Ok(BlobEncoder::new().encode(text.as_bytes(), Compression::On, None)?.into())
    }
}

#[cfg(test)]
#[path = "merge/tests.rs"]
mod tests;
