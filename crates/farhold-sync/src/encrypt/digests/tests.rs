//! What is known from one run to the next, and what damage costs.

use std::fs;
use std::path::Path;

use farhold_format::index::DynamicIndexBuilder;

use super::*;

const fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

fn index(chunks: &[u8]) -> Index {
    let mut builder = DynamicIndexBuilder::new([0; 16], Epoch(0));
    chunks.iter().zip(1..).for_each(|(chunk, end)| builder.push(end * 10, digest(*chunk)).unwrap());
    builder.finish().unwrap()
}

fn load(dir: &Path, binding: u8) -> KeyedDigests {
    KeyedDigests::load(Some(KeyedPlace { path: dir.join("pairs/x.push"), binding: digest(binding) }))
}

fn made(time: i64) -> MadeFrom {
    MadeFrom { time: Epoch(time), content: digest(50) }
}

fn known(digests: KeyedDigests, chunks: &[u8]) -> Vec<Option<Digest>> {
    let digests = PushDigests::Keyed(digests);
    chunks.iter().map(|chunk| digests.get(&digest(*chunk))).collect()
}

fn settle(digests: PushDigests, made: MadeFrom) -> KeyedDigests {
    let PushDigests::Keyed(mut keyed) = digests else { unreachable!("it was keyed") };
    keyed.settle(made).unwrap();
    keyed
}

#[test]
fn pairs_of_the_finished_snapshot_are_known_to_the_next_run_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut digests = PushDigests::Keyed(load(dir.path(), 3));
    assert!(digests.needs_pairs_of(Epoch(4), &index(&[1])) && digests.get(&digest(1)).is_none());
    for chunk in 1..=3 {
        digests.set(digest(chunk), digest(chunk + 100), chunk.into());
    }
    digests.use_for(Epoch(5), &index(&[1, 2, 1]));
    digests.use_for(Epoch(4), &index(&[3]));
    assert_eq!(digests.renamed(&index(&[3, 2, 3])), Some(vec![digest(103), digest(102), digest(103)]));
    assert_eq!(digests.renamed(&index(&[3, 4])), None);
    let needs = |digests: &PushDigests, time, chunks: &[u8]| digests.needs_pairs_of(Epoch(time), &index(chunks));
    assert!(!needs(&digests, 4, &[3, 2, 1]) && needs(&digests, 4, &[3, 4]));
    let kept = settle(digests, made(5));
    let kept = PushDigests::Keyed(kept);
    assert!(!needs(&kept, 5, &[4]) && needs(&kept, 4, &[4]), "nothing more is known about that snapshot");
    let PushDigests::Keyed(kept) = kept else { unreachable!("it was keyed") };
    let expected = [Some(digest(101)), Some(digest(102)), None];
    assert_eq!(known(kept, &[1, 2, 3]), expected);
    assert_eq!(known(load(dir.path(), 3), &[1, 2, 3]), expected);
    assert_eq!(known(load(dir.path(), 4), &[1, 2, 3]), [None; 3], "they belong to something else");
}

#[test]
fn hashing_a_chunk_has_the_last_word() {
    let pair = |source, target| FilePair { source: digest(source), target: digest(target), length: 10 };
    let mut keyed = KeyedDigests::load(None);
    keyed.learn([pair(1, 101), pair(2, 102)]);
    let mut digests = PushDigests::Keyed(keyed);
    digests.set(digest(1), digest(111), 10);
    digests.use_for(Epoch(5), &index(&[1]));
    let mut keyed = settle(digests, made(5));
    keyed.learn([pair(1, 101), pair(3, 103)]);
    assert_eq!(known(keyed, &[1, 2, 3]), [Some(digest(111)), None, Some(digest(103))]);
}

#[test]
fn a_damaged_file_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut digests = PushDigests::Keyed(load(dir.path(), 3));
    digests.set(digest(1), digest(101), 10);
    digests.use_for(Epoch(5), &index(&[1]));
    settle(digests, made(5));
    let path = dir.path().join("pairs/x.push");
    let whole = fs::read(&path).unwrap();
    for position in (0..40).chain(80..whole.len()) {
        let mut damaged = whole.clone();
        damaged[position] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert_eq!(known(load(dir.path(), 3), &[1]), [None], "byte {position}");
    }
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(known(load(dir.path(), 3), &[1]), [None], "length {length}");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(known(load(dir.path(), 3), &[1]), [None], "unreadable");
}

#[test]
fn without_encryption_a_chunk_has_the_same_digest_on_both_sides() {
    let mut digests = PushDigests::Same;
    digests.set(digest(1), digest(2), 10);
    digests.use_for(Epoch(5), &index(&[1]));
    assert_eq!((digests.get(&digest(1)), digests.needs_pairs_of(Epoch(4), &index(&[2]))), (Some(digest(1)), false));
    assert_eq!(digests.renamed(&index(&[1, 2])), Some(vec![digest(1), digest(2)]));
}
