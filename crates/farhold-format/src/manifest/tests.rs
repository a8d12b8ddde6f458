//! The worked example of the specification, tolerated and refused texts, and members of `unprotected`.

use farhold_crypto::{CryptConfig, EncryptionKey, kdf};
use farhold_types::{CryptMode, Digest, Epoch, VerificationItem, VerifyState};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    KEY_FINGERPRINT, MAX_MANIFEST_BYTES, MAX_MANIFEST_VALUES, Manifest, ManifestError, ManifestFile, SignatureState,
};
use crate::blob::{BlobEncoder, BlobError, BlobKind, Compression, check};

const CANONICAL: &str = concat!(
    r#"{"backup-id":"elsa","backup-time":1593179765,"backup-type":"host","files":["#,
    r#"{"crypt-mode":"encrypt","csum":"0101010101010101010101010101010101010101010101010101010101010101","#,
    r#""filename":"test1.img.fidx","size":200},"#,
    r#"{"crypt-mode":"none","csum":"0202020202020202020202020202020202020202020202020202020202020202","#,
    r#""filename":"abc.blob","size":200}]}"#
);
const SIGNATURE: &str = "d7b446fb7db081662081d4b40fedd858a1d6307a5aff4ecff7d5bf4fd35679e9";
const UPID: &str = "UPID:pbs:000004D2:0012D687:0000000A:6789ABCD:verify:store1\\x3avm:root@pam:";

fn file(name: &str, crypt_mode: CryptMode, byte: u8) -> ManifestFile {
    ManifestFile { name: name.parse().unwrap(), crypt_mode, size_bytes: 200, checksum: Digest([byte; 32]) }
}

fn elsa() -> Manifest {
    let mut manifest = Manifest::new(&"host/elsa/2020-06-26T13:56:05Z".parse().unwrap());
    manifest.files = vec![file("test1.img.fidx", CryptMode::Encrypt, 1), file("abc.blob", CryptMode::None, 2)];
    manifest
}

fn passphrase_key() -> CryptConfig {
    CryptConfig::new(kdf::scrypt(b"test", b"", kdf::ScryptCost::STANDARD).unwrap())
}

fn other_key() -> CryptConfig {
    CryptConfig::new(EncryptionKey::new([1; 32]))
}

/// The stored text of `elsa` after a change of its JSON value.
fn changed(change: impl FnOnce(&mut Value)) -> Result<Manifest, ManifestError> {
    let mut value: Value = serde_json::from_str(&elsa().to_json()).unwrap();
    change(&mut value);
    Manifest::parse(value.to_string().as_bytes())
}

#[test]
fn the_worked_example_has_the_documented_signature() {
    assert_eq!(String::from_utf8(elsa().canonical()).unwrap(), CANONICAL);
    assert_eq!(elsa().compute_signature(&passphrase_key()).to_string(), SIGNATURE);
    assert_eq!(elsa().snapshot().to_string(), "host/elsa/2020-06-26T13:56:05Z");
}

#[test]
fn only_protected_members_change_the_signature() {
    let key = other_key();
    let signature = elsa().compute_signature(&key);
    let reformatted = serde_json::to_string(&serde_json::from_str::<Value>(&elsa().to_json()).unwrap()).unwrap();
    assert_eq!(Manifest::parse(reformatted.as_bytes()).unwrap().compute_signature(&key), signature);
    let noted = changed(|v| v["unprotected"] = json!({ "notes": "first\nsecond", "other": [1, { "b": 2, "a": 1 }] }));
    assert_eq!(noted.unwrap().compute_signature(&key), signature);
    let unknown = changed(|v| {
        v["unknown"] = json!(1);
        v["files"][0]["unknown"] = json!([]);
    });
    assert_eq!(unknown.unwrap().compute_signature(&key), signature);
    let without_mode = changed(|v| drop(v["files"][1].as_object_mut().unwrap().remove("crypt-mode")));
    assert_eq!(without_mode.unwrap().compute_signature(&key), signature);

    for (member, value) in [("crypt-mode", json!("sign-only")), ("size", json!(201)), ("filename", json!("abd.blob"))] {
        let other = changed(|v| v["files"][1][member] = value).unwrap();
        assert_ne!(other.compute_signature(&key), signature, "{member}");
        assert!(!other.has_same_protected_content(&elsa()));
    }
    let swapped = changed(|v| v["files"].as_array_mut().unwrap().reverse()).unwrap();
    assert_ne!(swapped.compute_signature(&key), signature);
}

#[test]
fn a_signed_manifest_is_accepted_with_its_key_only() {
    let key = other_key();
    let mut manifest = elsa();
    assert_eq!(manifest.check_signature(&key).unwrap(), SignatureState::Unsigned);
    manifest.sign(&key);
    assert_eq!(manifest.key_fingerprint().unwrap(), Some(key.fingerprint()));
    assert_eq!(manifest.check_signature(&key).unwrap(), SignatureState::Valid);
    manifest.set_notes("later");
    assert_eq!(manifest.check_signature(&key).unwrap(), SignatureState::Valid);

    let another = CryptConfig::new(EncryptionKey::new([2; 32]));
    let wrong = manifest.check_signature(&another).unwrap_err();
    assert!(matches!(wrong, ManifestError::WrongKey { expected, .. } if expected == key.fingerprint()));
    manifest.unprotected.remove(KEY_FINGERPRINT);
    assert!(matches!(manifest.check_signature(&another), Err(ManifestError::Signature)));
    manifest.files[0].size_bytes += 1;
    assert!(matches!(manifest.check_signature(&key), Err(ManifestError::Signature)));
    manifest.unprotected.insert(KEY_FINGERPRINT.to_owned(), json!("0e:ab"));
    assert!(matches!(manifest.check_signature(&key), Err(ManifestError::KeyFingerprint)));
}

#[test]
fn the_stored_text_is_sorted_and_indented_by_two() {
    let mut manifest = elsa();
    manifest.files.truncate(1);
    manifest.unprotected = serde_json::from_str(r#"{"zoo":{"b":1,"a":[{"y":2,"x":null}]},"notes":"ü\n"}"#).unwrap();
    let expected = r#"{
  "backup-id": "elsa",
  "backup-time": 1593179765,
  "backup-type": "host",
  "files": [
    {
      "crypt-mode": "encrypt",
      "csum": "0101010101010101010101010101010101010101010101010101010101010101",
      "filename": "test1.img.fidx",
      "size": 200
    }
  ],
  "signature": null,
  "unprotected": {
    "notes": "ü\n",
    "zoo": {
      "a": [
        {
          "x": null,
          "y": 2
        }
      ],
      "b": 1
    }
  }
}"#;
    assert_eq!(manifest.to_json(), expected);
    assert_eq!(Manifest::parse(expected.as_bytes()).unwrap(), manifest);
}

#[test]
fn optional_members_may_be_missing_or_null() {
    let remove = |v: &mut Value, key: &str| drop(v.as_object_mut().unwrap().remove(key));
    let bare = changed(|v| {
        remove(v, "unprotected");
        remove(v, "signature");
        remove(&mut v["files"][0], "crypt-mode");
    })
    .unwrap();
    assert!(bare.unprotected.is_empty() && bare.signature.is_none());
    assert_eq!(bare.files[0].crypt_mode, CryptMode::None);
    assert!(changed(|v| v["unprotected"] = Value::Null).unwrap().unprotected.is_empty());
    assert_eq!(changed(|v| v["signature"] = json!(SIGNATURE)).unwrap().signature.unwrap().to_string(), SIGNATURE);
    assert!(changed(|v| v["files"] = json!([])).unwrap().files.is_empty());
}

#[test]
fn wrong_forms_are_refused() {
    type Change = fn(&mut Value);
    let table: [(&str, Change); 22] = [
        ("no object", |v| *v = json!([])),
        ("no type", |v| drop(v.as_object_mut().unwrap().remove("backup-type"))),
        ("no id", |v| drop(v.as_object_mut().unwrap().remove("backup-id"))),
        ("no time", |v| drop(v.as_object_mut().unwrap().remove("backup-time"))),
        ("no files", |v| drop(v.as_object_mut().unwrap().remove("files"))),
        ("other type", |v| v["backup-type"] = json!("lxc")),
        ("id with a path", |v| v["backup-id"] = json!("../elsa")),
        ("time as text", |v| v["backup-time"] = json!("1593179765")),
        ("time with fraction", |v| v["backup-time"] = json!(1.5)),
        ("files as object", |v| v["files"] = json!({})),
        ("name with a path", |v| v["files"][0]["filename"] = json!("../test1.img.fidx")),
        ("absolute name", |v| v["files"][0]["filename"] = json!("/etc/test1.img.fidx")),
        ("name without ending", |v| v["files"][0]["filename"] = json!("test1.img")),
        ("hidden name", |v| v["files"][0]["filename"] = json!(".blob")),
        ("no name", |v| drop(v["files"][0].as_object_mut().unwrap().remove("filename"))),
        ("other mode", |v| v["files"][0]["crypt-mode"] = json!("rot13")),
        ("negative size", |v| v["files"][0]["size"] = json!(-1)),
        ("no size", |v| drop(v["files"][0].as_object_mut().unwrap().remove("size"))),
        ("short checksum", |v| v["files"][0]["csum"] = json!("0101")),
        ("no checksum", |v| drop(v["files"][0].as_object_mut().unwrap().remove("csum"))),
        ("short signature", |v| v["signature"] = json!("d7b446")),
        ("unprotected as text", |v| v["unprotected"] = json!("notes")),
    ];
    for (what, change) in table {
        assert!(matches!(changed(change), Err(ManifestError::Json { .. })), "{what}");
    }
    for text in ["", "{", "{}", "null", "\u{feff}{}"] {
        assert!(matches!(Manifest::parse(text.as_bytes()), Err(ManifestError::Json { .. })), "{text}");
    }
}

#[test]
fn impossible_lists_of_files_and_times_are_refused() {
    let twice = changed(|v| v["files"][1]["filename"] = json!("test1.img.fidx"));
    assert!(matches!(twice, Err(ManifestError::Duplicate { name }) if name.as_str() == "test1.img.fidx"));
    for reserved in ["index.json.blob", "client.log.blob"] {
        let result = changed(|v| v["files"][1]["filename"] = json!(reserved));
        assert!(matches!(result, Err(ManifestError::Reserved { name }) if name.as_str() == reserved));
    }
    let huge = changed(|v| v["files"][1]["size"] = json!(1u64 << 63));
    assert!(matches!(huge, Err(ManifestError::FileSize { size_bytes, .. }) if size_bytes == 1 << 63));
    for time in [Epoch::MIN.0 - 1, Epoch::MAX.0 + 1, i64::MIN, i64::MAX] {
        let result = changed(|v| v["backup-time"] = json!(time));
        assert!(matches!(result, Err(ManifestError::Time { found }) if found == time));
    }
}

#[test]
fn sizes_add_up_without_overflow() {
    let mut manifest = elsa();
    assert_eq!(manifest.total_bytes(), 400);
    manifest.files =
        (0..3).map(|n| ManifestFile { size_bytes: 1 << 63, ..file("a.blob", CryptMode::None, n) }).collect();
    assert_eq!(manifest.total_bytes(), u64::MAX);
}

#[test]
fn excessive_texts_are_refused() {
    let padded = format!("{}{}", elsa().to_json(), " ".repeat(MAX_MANIFEST_BYTES));
    assert!(matches!(Manifest::parse(padded.as_bytes()), Err(ManifestError::TooLong { .. })));
    let bomb = BlobEncoder::new().encode(padded.as_bytes(), Compression::On, None).unwrap();
    assert!(bomb.len() < 10_000);
    let result = Manifest::from_blob(&bomb);
    assert!(matches!(result, Err(ManifestError::Blob { source: BlobError::TooLarge { .. } })));
    let with_extra = |extra: &str| {
        let text = changed(|v| v["unprotected"]["x"] = json!("@")).unwrap().to_json().replace("\"@\"", extra);
        Manifest::parse(text.as_bytes())
    };
    let many = "0,".repeat(MAX_MANIFEST_VALUES);
    assert!(matches!(with_extra(&format!("[{many}0]")), Err(ManifestError::TooManyValues)));
    assert!(matches!(with_extra(&"[".repeat(MAX_MANIFEST_VALUES)), Err(ManifestError::TooManyValues)));
    let text = format!(r#""\"{}\\""#, "[,{".repeat(MAX_MANIFEST_VALUES));
    assert_eq!(with_extra(&text).unwrap().unprotected["x"].as_str().unwrap().len(), text.len() - 4);
    let deep = changed(|v| v["unprotected"]["x"] = json!("@")).unwrap().to_json();
    let deep = deep.replace("\"@\"", &("[".repeat(100_000) + &"]".repeat(100_000)));
    assert!(matches!(Manifest::parse(deep.as_bytes()), Err(ManifestError::Json { .. })));
}

#[test]
fn the_file_is_a_compressed_unencrypted_blob() {
    let mut encoder = BlobEncoder::new();
    let encoded = elsa().to_blob(&mut encoder).unwrap();
    assert_eq!(check(&encoded).unwrap(), BlobKind::Zstd);
    assert_eq!(Manifest::from_blob(&encoded).unwrap(), elsa());
    let plain = encoder.encode(elsa().to_json().as_bytes(), Compression::Off, None).unwrap();
    assert_eq!(Manifest::from_blob(&plain).unwrap(), elsa());
    let encrypted = encoder.encode(elsa().to_json().as_bytes(), Compression::On, Some((&other_key(), [0; 16])));
    assert!(matches!(Manifest::from_blob(&encrypted.unwrap()), Err(ManifestError::Encrypted)));
    for length in 0..encoded.len() {
        assert!(matches!(Manifest::from_blob(&encoded[..length]), Err(ManifestError::Blob { .. })), "{length}");
    }
}

#[test]
fn a_verification_counts_only_with_a_readable_task_id() {
    let mut manifest = elsa();
    assert_eq!(manifest.verify_state(), None);
    let item = VerificationItem { upid: UPID.to_owned(), state: VerifyState::Failed };
    manifest.set_verify_state(&item);
    assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).unwrap().verify_state(), Some(item));
    for state in [
        json!(null),
        json!("failed"),
        json!({ "state": "failed" }),
        json!({ "upid": UPID }),
        json!({ "state": "failed", "upid": "" }),
        json!({ "state": "failed", "upid": "UPID:pbs" }),
        json!({ "state": "failed", "upid": 7 }),
        json!({ "state": "unsure", "upid": UPID }),
    ] {
        manifest.unprotected.insert("verify_state".to_owned(), state.clone());
        assert_eq!(manifest.verify_state(), None, "{state}");
    }
}

#[test]
fn members_of_unprotected_read_back_and_unknown_ones_survive() {
    let mut manifest = changed(|v| v["unprotected"] = json!({ "future": { "b": [1, 2.5], "a": null } })).unwrap();
    assert_eq!((manifest.notes(), manifest.sync_source_signature().unwrap()), (None, None));
    assert_eq!(manifest.key_fingerprint().unwrap(), None);
    manifest.set_notes("");
    manifest.unprotected.insert("change-detection-fingerprint".to_owned(), json!("02".repeat(32)));
    assert_eq!(manifest.sync_source_signature().unwrap(), Some(Digest([2; 32])));
    manifest.set_sync_source_signature(Digest([3; 32]));
    let read = Manifest::from_blob(&manifest.to_blob(&mut BlobEncoder::new()).unwrap()).unwrap();
    assert_eq!(read.notes(), Some(""));
    assert_eq!(read.sync_source_signature().unwrap(), Some(Digest([3; 32])));
    for wrong in [json!("03"), json!("zz".repeat(32)), json!(7), json!([])] {
        manifest.unprotected.insert("sync-source-signature".to_owned(), wrong);
        assert!(matches!(manifest.sync_source_signature(), Err(ManifestError::SourceSignature)));
    }
    assert_eq!(read.unprotected["sync-source-signature"], json!(vec!["03"; 32].join(":")));
    assert_eq!(read.unprotected.get("change-detection-fingerprint"), None);
    assert_eq!(read.unprotected["future"], json!({ "b": [1, 2.5], "a": null }));
}

#[test]
fn crypt_modes_sum_up() {
    let mut manifest = elsa();
    assert!(!manifest.is_fully_encrypted() && !manifest.is_unencrypted());
    let name = "abc.blob".parse().unwrap();
    assert_eq!(manifest.file(&name).map(|f| f.checksum), Some(Digest([2; 32])));
    assert_eq!(manifest.file(&"other.blob".parse().unwrap()), None);
    manifest.files[1].crypt_mode = CryptMode::Encrypt;
    assert!(manifest.is_fully_encrypted() && !manifest.is_unencrypted());
    manifest.files.iter_mut().for_each(|f| f.crypt_mode = CryptMode::SignOnly);
    assert!(!manifest.is_fully_encrypted() && manifest.is_unencrypted());
    manifest.files.clear();
    assert!(manifest.is_fully_encrypted() && manifest.is_unencrypted());
}

proptest! {
    #[test]
    fn every_manifest_reads_back(
        id in "[A-Za-z0-9_][A-Za-z0-9._-]{0,20}",
        time in 1i64..=Epoch::MAX.0,
        names in prop::collection::btree_set("[a-z]{1,8}\\.(img\\.fidx|pxar\\.didx|conf\\.blob)", 0..6),
        size_bytes in 0u64..1 << 63,
        notes in "\\PC*",
        signed: bool,
    ) {
        let mut manifest = elsa();
        manifest.backup_id = id.parse().unwrap();
        manifest.backup_time = Epoch(time);
        manifest.files = names.iter().map(|n| ManifestFile { size_bytes, ..file(n, CryptMode::SignOnly, 9) }).collect();
        manifest.set_notes(&notes);
        if signed {
            manifest.sign(&other_key());
        }
        let read = Manifest::from_blob(&manifest.to_blob(&mut BlobEncoder::new()).unwrap()).unwrap();
        prop_assert_eq!(&read, &manifest);
        let expected = if signed { SignatureState::Valid } else { SignatureState::Unsigned };
        prop_assert_eq!(read.check_signature(&other_key()).unwrap(), expected);
    }

    #[test]
    fn arbitrary_texts_never_panic(text in "\\PC{0,80}") {
        let _ = Manifest::parse(text.as_bytes());
    }
}
