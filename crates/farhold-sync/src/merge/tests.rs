#![allow(clippy::unwrap_used)]

use farhold_format::manifest::ManifestFile;
use farhold_types::CryptMode;
use serde_json::json;

use super::*;

/// A verification that began so many seconds after the epoch.
fn verified(state: &str, began: u32) -> Value {
    json!({ "state": state, "upid": format!("UPID:pbs:00000001:00000001:00000001:{began:08X}:verify:store:root@pam:") })
}

fn members(notes: Option<&str>, verification: Option<Value>) -> Map<String, Value> {
    let mut members = Map::new();
    members.extend(notes.map(|notes| (NOTES.to_owned(), json!(notes))));
    members.extend(verification.map(|value| (VERIFY_STATE.to_owned(), value)));
    members
}

fn base(notes: Option<&str>, verification: Option<Value>) -> Base {
    let members = members(notes, verification);
    Base { manifest: Digest([0; 32]), notes: hash(members.get(NOTES)), verification: hash(members.get(VERIFY_STATE)) }
}

#[test]
fn notes_come_from_the_side_that_changed_them_and_local_ones_are_never_lost() {
    let (a, b, c) = (Some("a"), Some("b"), Some("c"));
    // Base (none: nothing is known), local, source, result.
    for (known, local, source, expected) in [
        (Some(a), a, a, a),
        (Some(a), a, b, b),
        (Some(a), b, a, b),
        (Some(a), b, b, b),
        (Some(a), b, c, b),
        (Some(a), None, a, None),
        (Some(a), a, None, None),
        (Some(a), b, None, b),
        (Some(a), None, b, b),
        (Some(None), None, a, a),
        (Some(None), a, None, a),
        (Some(None), a, b, a),
        (None, None, a, a),
        (None, a, None, a),
        (None, a, b, a),
        (None, a, a, a),
        (None, None, None, None),
    ] {
        let base = known.map(|notes| base(notes, None));
        let (of_source, of_local) = (members(source, None), members(local, None));
        let merged = merge_unprotected(&of_source, &of_local, base.as_ref(), Verification::Merged);
        assert_eq!(merged, members(expected, None), "base {known:?}, local {local:?}, source {source:?}");
    }
}

#[test]
fn a_newer_verification_of_the_copy_stays_and_a_bad_one_stays_in_any_case() {
    let (ok1, ok2, bad1, bad2) = (verified("ok", 1), verified("ok", 2), verified("failed", 1), verified("failed", 2));
    let of = |value: &Value| Some(value.clone());
    // What the source said when it was last applied (none: nothing is known), local, source, result.
    for (known, local, source, expected) in [
        // Only the source was verified again.
        (Some(of(&ok1)), of(&ok1), of(&ok2), of(&ok2)),
        (Some(of(&ok1)), of(&ok1), of(&bad2), of(&bad2)),
        (Some(of(&bad1)), of(&bad1), of(&ok2), of(&ok2)),
        (Some(of(&bad1)), of(&bad1), None, None),
        (Some(None), None, of(&ok1), of(&ok1)),
        // Only the copy was.
        (Some(None), of(&ok2), None, of(&ok2)),
        (Some(of(&ok1)), of(&bad2), of(&ok1), of(&bad2)),
        (Some(of(&bad2)), of(&ok1), of(&bad2), of(&ok1)),
        // Both were.
        (Some(None), of(&ok2), of(&ok1), of(&ok2)),
        (Some(None), of(&ok1), of(&ok2), of(&ok2)),
        (Some(None), of(&ok1), of(&bad2), of(&bad2)),
        (Some(None), of(&bad1), of(&ok2), of(&bad1)),
        // Nothing is known.
        (None, None, of(&ok1), of(&ok1)),
        (None, of(&ok1), None, of(&ok1)),
        (None, of(&ok2), of(&ok1), of(&ok2)),
        (None, of(&ok1), of(&ok2), of(&ok2)),
        (None, of(&bad1), of(&ok2), of(&bad1)),
        // What makes no sense counts as old.
        (None, of(&json!(7)), of(&ok1), of(&ok1)),
        (None, of(&ok1), of(&json!({ "state": "ok", "upid": "?" })), of(&ok1)),
    ] {
        let base = known.clone().map(|verification| base(None, verification));
        let (of_source, of_local) = (members(None, source.clone()), members(None, local.clone()));
        let merged = merge_unprotected(&of_source, &of_local, base.as_ref(), Verification::Merged);
        assert_eq!(merged, members(None, expected), "base {known:?}, local {local:?}, source {source:?}");
        let merged = merge_unprotected(&of_source, &of_local, base.as_ref(), Verification::OfSource);
        assert_eq!(merged, of_source);
    }
}

#[test]
fn other_members_come_from_the_source_and_those_only_here_stay() {
    let object = |value: Value| value.as_object().unwrap().clone();
    let source = object(json!({ "chunk_upload_stats": { "count": 2 }, "new": 1, "both": "source" }));
    let local = object(json!({ "chunk_upload_stats": { "count": 1 }, "unknown": [1, 2], "both": "local",
        "key-fingerprint": "of another copy" }));
    let merged = merge_unprotected(&source, &local, None, Verification::Merged);
    let expected = json!({ "chunk_upload_stats": { "count": 2 }, "new": 1, "both": "source", "unknown": [1, 2] });
    assert_eq!(Value::Object(merged), expected);
}

fn manifest(unprotected: Map<String, Value>) -> (Manifest, Bytes) {
    let mut manifest = Manifest::new(&"vm/1/2026-01-01T10:00:00Z".parse().unwrap());
    let name = "a.img.fidx".parse().unwrap();
    let file = ManifestFile { name, crypt_mode: CryptMode::None, size_bytes: 5, checksum: Digest([1; 32]) };
    manifest.files.push(file);
    manifest.unprotected = unprotected;
    let raw = manifest.to_blob(&mut BlobEncoder::new()).unwrap().into();
    (manifest, raw)
}

#[test]
fn bytes_are_kept_where_one_side_has_everything_and_unknown_members_survive_otherwise() {
    let (local, local_raw) = manifest(members(Some("here"), None));
    let (source, _) = manifest(members(None, Some(verified("ok", 1))));
    // A manifest of a later version, with a member that this one does not know.
    let text = source.to_json().replacen('{', "{\n  \"added-later\": 5,", 1);
    let raw: Bytes = BlobEncoder::new().encode(text.as_bytes(), Compression::On, None).unwrap().into();
    let merge = |base| Merge { raw: raw.clone(), manifest: source.clone(), base, verification: Verification::Merged };

    assert_eq!(merge(None).with(None).unwrap(), raw);
    assert_eq!(merge(None).with(Some(&Bytes::from_static(b"damaged"))).unwrap(), raw);
    let (_, untouched) = manifest(Map::new());
    assert_eq!(merge(None).with(Some(&untouched)).unwrap(), raw);

    let merged = merge(None).with(Some(&local_raw)).unwrap();
    let parsed = Manifest::from_blob(&merged).unwrap();
    assert_eq!((parsed.notes(), parsed.verify_state()), (Some("here"), source.verify_state()));
    assert!(parsed.has_same_protected_content(&local));
    let text = BlobDecoder::new().decode(&merged, None, MAX_MANIFEST_BYTES).unwrap();
    assert!(String::from_utf8(text).unwrap().contains("\"added-later\": 5"));

    // Nothing changed on the source since: what is stored stays, byte for byte.
    let base = Some(base_of(&raw, &source));
    assert_eq!(merge(base).with(Some(&merged)).unwrap(), merged);
}
