//! What proves which encrypted chunk belongs to which plain one, and what a hostile target may try instead.

use farhold_crypto::EncryptionKey;
use farhold_format::index::{DynamicIndexBuilder, FixedIndexBuilder};
use farhold_format::manifest::{ManifestFile, SYNC_SOURCE_SIGNATURE};
use farhold_types::{Digest, Epoch};

use super::*;

fn key(seed: u8) -> CryptConfig {
    CryptConfig::new(EncryptionKey::new([seed; 32]))
}

const fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

fn name(name: &str) -> ArchiveName {
    name.parse().unwrap()
}

fn dynamic(chunks: &[(u64, u8)]) -> Index {
    let mut builder = DynamicIndexBuilder::new([0; 16], Epoch(0));
    chunks.iter().for_each(|(end, chunk)| builder.push(*end, digest(*chunk)).unwrap());
    builder.finish().unwrap()
}

fn fixed(size_bytes: u64, chunks: &[u8]) -> Index {
    let mut builder = FixedIndexBuilder::new([0; 16], Epoch(0), size_bytes, 4096).unwrap();
    chunks.iter().enumerate().for_each(|(position, chunk)| builder.set(position, digest(*chunk)).unwrap());
    builder.finish().unwrap()
}

/// A local snapshot and what a push with key 1 made of it.
struct Case {
    local: Manifest,
    target: Manifest,
    local_index: Index,
    target_index: Index,
}

const ARCHIVE: &str = "etc.pxar.didx";

fn manifest(time: &str, index: &Index, crypt_mode: CryptMode) -> Manifest {
    let mut manifest = Manifest::new(&format!("vm/100/{time}").parse().unwrap());
    let (size_bytes, checksum) = (index.size_bytes(), index.checksum());
    manifest.files.push(ManifestFile { name: name(ARCHIVE), crypt_mode, size_bytes, checksum });
    manifest
}

/// The parts of a snapshot at `time` whose plain and encrypted chunks are these.
fn case_of(time: &str, local_index: Index, target_index: Index) -> Case {
    let local = manifest(time, &local_index, CryptMode::None);
    let mut target = manifest(time, &target_index, CryptMode::Encrypt);
    target.set_sync_source_signature(local.compute_signature(&key(1)));
    target.sign(&key(1));
    Case { local, target, local_index, target_index }
}

const TIME: &str = "2026-01-01T10:00:00Z";

fn case() -> Case {
    let (plain, sealed) = ([(10, 1), (30, 2), (40, 1)], [(10, 101), (30, 102), (40, 101)]);
    case_of(TIME, dynamic(&plain), dynamic(&sealed))
}

fn pairs(case: &Case) -> Result<Vec<FilePair>, Unproven> {
    let proof = Proof::new(&key(1), &case.target, &case.local)?;
    proof.pairs(&name(ARCHIVE), &case.local_index, &case.target_index)
}

#[test]
fn equal_positions_of_a_snapshot_and_its_encrypted_form_are_pairs() {
    let pair = |source, target, length| FilePair { source: digest(source), target: digest(target), length };
    assert_eq!(pairs(&case()).unwrap(), [pair(1, 101, 10), pair(2, 102, 20)]);
    let sizes = case_of(TIME, fixed(9000, &[1, 2, 3]), fixed(9000, &[101, 102, 103]));
    assert_eq!(pairs(&sizes).unwrap(), [pair(1, 101, 4096), pair(2, 102, 4096), pair(3, 103, 808)]);
}

#[test]
fn a_hostile_target_proves_nothing() {
    type Change = fn(&mut Case);
    let rows: [(&str, Change); 16] = [
        ("not signed", |case| case.target.signature = None),
        ("signed with another key", |case| case.target.sign(&key(2))),
        ("signed with another key, called ours", |case| {
            case.target.sign(&key(2));
            let signature = case.target.signature;
            case.target.sign(&key(1));
            case.target.signature = signature;
        }),
        ("changed after signing", |case| case.target.files[0].size_bytes += 1),
        ("an index that is not the signed one", |case| {
            case.target_index = dynamic(&[(10, 102), (30, 101), (40, 102)]);
        }),
        ("of another source, signed", |case| {
            case.local.files[0].checksum = digest(9);
        }),
        ("no source noted", |case| {
            case.target.unprotected.remove(SYNC_SOURCE_SIGNATURE);
        }),
        ("senseless source", |case| {
            case.target.unprotected.insert(SYNC_SOURCE_SIGNATURE.into(), "nonsense".into());
        }),
        ("another snapshot, with the source of this one noted", |case| {
            let swapped = case_of("2026-01-02T10:00:00Z", dynamic(&[(40, 7)]), dynamic(&[(40, 107)]));
            let noted = case.target.sync_source_signature().unwrap().unwrap();
            (case.target, case.target_index) = (swapped.target, swapped.target_index);
            case.target.set_sync_source_signature(noted);
        }),
        ("a local index that is not the manifest's", |case| {
            case.local_index = dynamic(&[(10, 2), (30, 1), (40, 2)]);
        }),
        ("not encrypted on the target", |case| {
            case.target.files[0].crypt_mode = CryptMode::SignOnly;
            case.target.sign(&key(1));
        }),
        ("encrypted here", |case| {
            case.local.files[0].crypt_mode = CryptMode::Encrypt;
            case.target.set_sync_source_signature(case.local.compute_signature(&key(1)));
        }),
        ("no such file on the target", |case| {
            case.target.files.clear();
            case.target.sign(&key(1));
        }),
        ("other ends", |case| {
            *case = case_of(TIME, dynamic(&[(10, 1), (40, 2)]), dynamic(&[(20, 101), (40, 102)]));
        }),
        ("fewer chunks", |case| {
            *case = case_of(TIME, dynamic(&[(10, 1), (40, 2)]), dynamic(&[(40, 101)]));
        }),
        ("another kind of index", |case| {
            *case = case_of(TIME, dynamic(&[(4096, 1)]), fixed(4096, &[101]));
        }),
    ];
    for (what, change) in rows {
        let mut case = case();
        change(&mut case);
        assert!(pairs(&case).is_err(), "{what}");
    }
}

#[test]
fn a_content_with_two_digests_or_a_digest_with_two_contents_proves_nothing() {
    let rows: [(&[u8], &[u8]); 3] =
        [(&[1, 2, 1], &[101, 102, 103]), (&[1, 2, 3], &[101, 102, 101]), (&[0, 0], &[1, 2])];
    for (local, target) in rows {
        let size = local.len() as u64 * 4096;
        let case = case_of(TIME, fixed(size, local), fixed(size, target));
        assert!(matches!(pairs(&case), Err(Unproven::Shape { .. })), "{local:?} {target:?}");
    }
}
