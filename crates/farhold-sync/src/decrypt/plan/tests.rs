//! Every row of the decision table in `docs/spec/sync.md` 9.1, with our corrections.

use std::sync::Arc;

use farhold_crypto::{CryptConfig, EncryptionKey};
use farhold_format::manifest::{KEY_FINGERPRINT, SYNC_SOURCE_SIGNATURE};
use farhold_types::CryptMode::{self, Encrypt, None as Plain, SignOnly};

use super::*;

fn key(seed: u8) -> SyncKey {
    let config = Arc::new(CryptConfig::new(EncryptionKey::new([seed; 32])));
    SyncKey { id: format!("key{seed}").parse().unwrap(), config }
}

/// A manifest with one image and one configuration.
fn manifest(modes: [CryptMode; 2], content: u8) -> Manifest {
    let mut manifest = Manifest::new(&"vm/1/2026-01-01T10:00:00Z".parse().unwrap());
    for (name, crypt_mode) in ["drive.img.fidx", "vm.conf.blob"].into_iter().zip(modes) {
        let (name, checksum) = (name.parse().unwrap(), Digest([content; 32]));
        manifest.files.push(ManifestFile { name, crypt_mode, size_bytes: 5, checksum });
    }
    manifest
}

fn plain(content: u8) -> Manifest {
    manifest([Plain; 2], content)
}

/// A manifest that names key `seed` but is not signed.
fn unsigned(modes: [CryptMode; 2], seed: u8, content: u8) -> Manifest {
    let mut manifest = manifest(modes, content);
    manifest.unprotected.insert(KEY_FINGERPRINT.into(), key(seed).config.fingerprint().to_string().into());
    manifest
}

fn signed(modes: [CryptMode; 2], seed: u8, content: u8) -> Manifest {
    let mut manifest = manifest(modes, content);
    manifest.sign(&key(seed).config);
    manifest
}

fn encrypted(seed: u8, content: u8) -> Manifest {
    signed([Encrypt; 2], seed, content)
}

/// A decrypted copy with this note about its source.
fn copy(noted: Option<Digest>) -> Manifest {
    let mut copy = plain(100);
    noted.into_iter().for_each(|signature| copy.set_sync_source_signature(signature));
    copy
}

fn noting(mut manifest: Manifest, signature: Digest) -> Manifest {
    manifest.set_sync_source_signature(signature);
    manifest
}

fn nonsense(mut manifest: Manifest, member: &str) -> Manifest {
    manifest.unprotected.insert(member.into(), "nonsense".into());
    manifest
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    AsItIs,
    AsItIsNoneMatches,
    AsItIsNotFullyEncrypted,
    Decrypt,
    NothingChanged,
    Refused,
    Error,
}
use Verdict::*;

fn verdict(source: &Manifest, local: Option<&Manifest>, keys: &[u8], made_from: Option<Digest>) -> Verdict {
    let keys: Vec<SyncKey> = keys.iter().map(|seed| key(*seed)).collect();
    let named = |found: &SyncKey| {
        assert_eq!(found.config.fingerprint(), source.key_fingerprint().unwrap().unwrap(), "the key of the source");
    };
    match plan(&Facts { source, local, made_from }, &keys) {
        Ok(Plan::AsItIs(KeyNote::None)) => AsItIs,
        Ok(Plan::AsItIs(KeyNote::NoneMatches)) => AsItIsNoneMatches,
        Ok(Plan::AsItIs(KeyNote::NotFullyEncrypted(key))) => {
            named(key);
            AsItIsNotFullyEncrypted
        }
        Ok(Plan::Decrypt(key)) => {
            named(key);
            Decrypt
        }
        Ok(Plan::NothingChanged(key)) => {
            named(key);
            NothingChanged
        }
        Err(Obstacle::Refused(_)) => Refused,
        Err(Obstacle::Manifest(_)) => Error,
    }
}

#[test]
fn every_row_of_the_decision_table_has_its_result() {
    let mixed = [Encrypt, Plain];
    let sig = |seed: u8, manifest: &Manifest| manifest.compute_signature(&key(seed).config);
    let m = encrypted(1, 1);
    let m_signature = m.signature.unwrap();
    let mut forged = encrypted(1, 1);
    forged.signature = Some(Digest([9; 32]));
    let mut lost_a_file = copy(Some(m_signature));
    lost_a_file.files.pop();
    let mut other_size = copy(Some(m_signature));
    other_size.files[0].size_bytes += 1;
    let content = content_hash(&unsigned([Encrypt; 2], 1, 1));
    let none = None::<Manifest>;
    type Row<'a> = (&'a str, Manifest, Option<Manifest>, &'a [u8], Option<Digest>, Verdict);
    #[rustfmt::skip]
    let rows: Vec<Row<'_>> = vec![
        ("1 encrypted copy", plain(1), Some(encrypted(1, 1)), &[1], None, Refused),
        ("1 signed copy", plain(1), Some(signed([SignOnly; 2], 1, 1)), &[], None, Refused),
        ("1 copy with an unreadable key", plain(1), Some(nonsense(plain(1), KEY_FINGERPRINT)), &[], None, Refused),
        ("2", plain(1), Some(plain(2)), &[1], None, Refused),
        ("3 no copy", plain(1), none.clone(), &[1], None, AsItIs),
        ("3 same content", plain(1), Some(noting(plain(1), m_signature)), &[], None, AsItIs),
        ("4 both encrypted, same content", noting(encrypted(1, 1), m_signature), Some(encrypted(1, 1)), &[1], None, AsItIs),
        ("4 both encrypted, no key", noting(encrypted(1, 1), m_signature), Some(encrypted(1, 1)), &[], None, AsItIs),
        ("4 both encrypted, other content (FAULT 7)", encrypted(1, 1), Some(encrypted(1, 2)), &[1], None, Refused),
        ("4 both signed, same content", signed([SignOnly; 2], 1, 1), Some(noting(signed([SignOnly; 2], 1, 1), m_signature)), &[1], None, AsItIs),
        ("4 both signed, other content (FAULT 7)", signed([SignOnly; 2], 1, 1), Some(signed([SignOnly; 2], 1, 2)), &[], None, Refused),
        ("4 both mixed, other content (FAULT 7)", signed(mixed, 1, 1), Some(signed(mixed, 1, 2)), &[1], None, Refused),
        ("4 mixed over signed (FAULT 7)", signed(mixed, 1, 1), Some(signed([SignOnly; 2], 1, 1)), &[1], None, Refused),
        ("5", encrypted(1, 1), Some(encrypted(2, 1)), &[1, 2], None, Refused),
        ("5 copy with an unreadable key", encrypted(1, 1), Some(nonsense(encrypted(1, 1), KEY_FINGERPRINT)), &[1], None, Refused),
        ("6 no key at all", m.clone(), Some(copy(Some(m_signature))), &[], None, Refused),
        ("6 another key", m.clone(), Some(copy(Some(m_signature))), &[2], None, Refused),
        ("6 signed copy of the same key", m.clone(), Some(signed([SignOnly; 2], 1, 1)), &[], None, Refused),
        ("7 no copy, no keys", m.clone(), none.clone(), &[], None, AsItIs),
        ("7 no copy, another key", m.clone(), none.clone(), &[2], None, AsItIsNoneMatches),
        ("7 wrong signature goes unnoticed without the key", forged.clone(), none.clone(), &[2], None, AsItIsNoneMatches),
        ("7 signed, no copy", signed([SignOnly; 2], 1, 1), none.clone(), &[2], None, AsItIsNoneMatches),
        ("7 signed over plain (FAULT 7)", signed([SignOnly; 2], 1, 1), Some(plain(2)), &[], None, Refused),
        ("7 mixed over plain (FAULT 7)", signed(mixed, 1, 1), Some(plain(1)), &[2], None, Refused),
        ("7 signed over encrypted of the same key (FAULT 7)", signed([SignOnly; 2], 1, 1), Some(encrypted(1, 1)), &[], None, Refused),
        ("7 signed over the same content without key", signed([SignOnly; 2], 1, 1), Some(manifest([SignOnly; 2], 1)), &[], None, AsItIs),
        ("8 signed, no copy", signed([SignOnly; 2], 1, 1), none.clone(), &[2, 1], None, AsItIsNotFullyEncrypted),
        ("8 mixed, no copy", signed(mixed, 1, 1), none.clone(), &[1], None, AsItIsNotFullyEncrypted),
        ("8 mixed over plain (FAULT 7)", signed(mixed, 1, 1), Some(plain(2)), &[1], None, Refused),
        ("8 signed over encrypted of the same key (FAULT 7)", signed([SignOnly; 2], 1, 1), Some(encrypted(1, 1)), &[1], None, Refused),
        ("9 no copy", forged.clone(), none.clone(), &[1], None, Error),
        ("9 with copy", forged, Some(copy(Some(Digest([9; 32])))), &[1], None, Error),
        ("10", m.clone(), none.clone(), &[2, 1], None, Decrypt),
        ("10 unsigned source", unsigned([Encrypt; 2], 1, 1), none, &[1], None, Decrypt),
        ("11 no notes", m.clone(), Some(copy(None)), &[1], None, Refused),
        ("11 unsigned source", unsigned([Encrypt; 2], 1, 1), Some(copy(None)), &[1], None, Refused),
        ("11 unsigned source, this job made the copy (W46)", unsigned([Encrypt; 2], 1, 1), Some(copy(None)), &[1], Some(content), NothingChanged),
        ("11 unsigned source, made from other content (W46)", unsigned([Encrypt; 2], 1, 2), Some(copy(None)), &[1], Some(content), Refused),
        ("11 signed source, only this job's note (W46)", m.clone(), Some(copy(None)), &[1], Some(content), Refused),
        ("11 source not signed any more", unsigned([Encrypt; 2], 1, 1), Some(copy(Some(m_signature))), &[1], Some(content), Refused),
        ("12 copy was decrypted from the source", m.clone(), Some(copy(Some(m_signature))), &[1], None, NothingChanged),
        ("12 source was encrypted from the copy", noting(m.clone(), sig(1, &plain(100))), Some(copy(None)), &[1], None, NothingChanged),
        ("12 a wrong other note does no harm", noting(m.clone(), Digest([8; 32])), Some(copy(Some(m_signature))), &[1], None, NothingChanged),
        ("12 a wrong other note does no harm, the other way round", noting(m.clone(), sig(1, &plain(100))), Some(copy(Some(Digest([8; 32])))), &[1], None, NothingChanged),
        ("12 signed copy", m.clone(), Some(noting(signed([SignOnly; 2], 1, 100), m_signature)), &[1], None, NothingChanged),
        ("12 the copy lost a file (FAULT 5)", m.clone(), Some(lost_a_file), &[1], None, Refused),
        ("12 the copy has another size", m.clone(), Some(other_size), &[1], None, Refused),
        ("13 copy of another source", m.clone(), Some(copy(Some(Digest([7; 32])))), &[1], None, Refused),
        ("13 source of another copy", noting(m.clone(), Digest([7; 32])), Some(copy(None)), &[1], None, Refused),
        ("13 note of the source made with another key", noting(m.clone(), sig(2, &plain(100))), Some(copy(None)), &[1, 2], None, Refused),
        ("unparsable note of the source", nonsense(m.clone(), SYNC_SOURCE_SIGNATURE), Some(copy(Some(m_signature))), &[1], None, Error),
        ("unparsable note of the copy", m, Some(nonsense(copy(None), SYNC_SOURCE_SIGNATURE)), &[1], None, Error),
        ("unparsable key of the source", nonsense(plain(1), KEY_FINGERPRINT), None, &[1], None, Error),
    ];
    for (row, source, local, keys, made_from, expected) in rows {
        assert_eq!(verdict(&source, local.as_ref(), keys, made_from), expected, "row {row}");
    }
}

#[test]
fn a_bad_copy_is_replaced_unless_it_says_that_it_is_another_backup() {
    let source = encrypted(1, 1);
    let signature = source.signature.unwrap();
    let mut lost_a_file = copy(Some(signature));
    lost_a_file.files.pop();
    let of_copy = noting(source.clone(), copy(None).compute_signature(&key(1).config));
    for (what, source, local, expected) in [
        ("made from the source", &source, copy(Some(signature)), true),
        ("lost a file on the way", &source, lost_a_file, true),
        ("says nothing", &source, copy(None), true),
        ("the source was made from it", &of_copy, copy(Some(Digest([7; 32]))), true),
        ("stored encrypted", &source, encrypted(1, 1), true),
        ("stored encrypted, other content", &source, encrypted(1, 2), false),
        ("stored with another key", &source, encrypted(2, 1), false),
        ("stored with an unreadable key", &source, nonsense(copy(None), KEY_FINGERPRINT), false),
        ("made from another source", &source, copy(Some(Digest([7; 32]))), false),
        ("unparsable note", &source, nonsense(copy(None), SYNC_SOURCE_SIGNATURE), false),
    ] {
        assert_eq!(may_repair(source, &local, &key(1)).is_ok(), expected, "{what}");
    }
}

#[test]
fn of_two_ids_for_one_key_the_first_is_used() {
    let keys = [key(2), key(1), SyncKey { id: "again".parse().unwrap(), ..key(1) }];
    let source = encrypted(1, 1);
    let facts = Facts { source: &source, local: None, made_from: None };
    let Ok(Plan::Decrypt(found)) = plan(&facts, &keys) else { panic!("not decrypted") };
    assert_eq!(found.id.to_string(), "key1");
}

#[test]
fn no_key_material_appears_in_debug_output() {
    let text = format!("{:?}", key(0x5a));
    assert!(text.contains("key90") && !text.contains("5a5a5a") && !text.contains("5a, 5a") && !text.contains("90, 90"));
}
