//! What survives from one run to the next, and what damage costs.

use std::fs;
use std::path::Path;

use super::*;

fn place(dir: &Path) -> PairPlace {
    let (settled, notes) = (dir.join("pairs/x"), dir.join("journals/x.pairs"));
    PairPlace { settled, notes, binding: Digest([3; 32]) }
}

fn load(dir: &Path) -> Pairs {
    Pairs::load(Some(place(dir)))
}

const fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

fn trust_of(pairs: &Pairs, encrypted: u8) -> Option<Trust> {
    pairs.get(&digest(encrypted)).map(|pair| {
        assert_eq!((pair.plain, pair.length), (digest(encrypted + 100), u32::from(encrypted)));
        pair.trust
    })
}

fn set_present(pairs: &mut Pairs, encrypted: u8) {
    pairs.set_present(digest(encrypted), digest(encrypted + 100), encrypted.into());
}

fn note(pairs: &mut Pairs, encrypted: u8) {
    let notes = pairs.notes().unwrap().unwrap();
    notes.add(&digest(encrypted), &digest(encrypted + 100), encrypted.into()).unwrap();
    set_present(pairs, encrypted);
}

fn made(time: i64) -> MadeFrom {
    MadeFrom { time: Epoch(time), content: digest(50) }
}

#[test]
fn settled_pairs_are_those_that_the_finished_snapshot_uses() {
    let dir = tempfile::tempdir().unwrap();
    let mut pairs = load(dir.path());
    for encrypted in 1..=3 {
        set_present(&mut pairs, encrypted);
    }
    assert_eq!(pairs.use_for(Epoch(5), &digest(1)), Some(digest(101)));
    assert_eq!(pairs.use_for(Epoch(5), &digest(2)), Some(digest(102)));
    assert_eq!(pairs.use_for(Epoch(4), &digest(3)), Some(digest(103)));
    assert_eq!(pairs.use_for(Epoch(5), &digest(9)), None);
    pairs.settle(made(5)).unwrap();
    let read = load(dir.path());
    assert_eq!([1, 2, 3].map(|e| trust_of(&read, e)), [Some(Trust::Settled), Some(Trust::Settled), None]);
    assert_eq!((read.made_from(Epoch(5)), read.made_from(Epoch(4))), (Some(digest(50)), None));
    // An older snapshot that is filled in does not push out the newest.
    set_present(&mut pairs, 7);
    pairs.use_for(Epoch(4), &digest(7));
    pairs.settle(made(4)).unwrap();
    assert_eq!(trust_of(&load(dir.path()), 1), Some(Trust::Settled));
    assert_eq!(load(dir.path()).made_from(Epoch(5)), Some(digest(50)));
    pairs.use_for(Epoch(6), &digest(1));
    pairs.settle(made(6)).unwrap();
    assert_eq!([1, 2, 7].map(|e| trust_of(&load(dir.path()), e)), [Some(Trust::Settled), None, None]);
}

#[test]
fn a_pair_whose_chunk_is_not_known_to_be_there_is_not_used_for_an_index() {
    let dir = tempfile::tempdir().unwrap();
    note(&mut load(dir.path()), 1);
    let mut pairs = load(dir.path());
    assert_eq!(trust_of(&pairs, 1), Some(Trust::Noted));
    assert_eq!(pairs.use_for(Epoch(5), &digest(1)), None);
    set_present(&mut pairs, 1);
    assert_eq!(pairs.use_for(Epoch(5), &digest(1)), Some(digest(101)));
}

#[test]
fn notes_of_an_interrupted_run_are_read_back_and_go_on_behind_a_torn_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut pairs = load(dir.path());
    note(&mut pairs, 1);
    note(&mut pairs, 2);
    let path = place(dir.path()).notes;
    let mut torn = fs::read(&path).unwrap();
    torn.extend([7; 67]);
    fs::write(&path, torn).unwrap();
    let mut pairs = load(dir.path());
    assert_eq!([1, 2].map(|e| trust_of(&pairs, e)), [Some(Trust::Noted); 2]);
    note(&mut pairs, 3);
    let pairs = load(dir.path());
    assert_eq!([1, 2, 3].map(|e| trust_of(&pairs, e)), [Some(Trust::Noted); 3]);
    assert_eq!(pairs.pairs.len(), 3);
}

#[test]
fn another_binding_and_any_damage_to_the_settled_file_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut pairs = load(dir.path());
    note(&mut pairs, 1);
    pairs.use_for(Epoch(5), &digest(1));
    pairs.settle(made(5)).unwrap();
    let other = Pairs::load(Some(PairPlace { binding: digest(4), ..place(dir.path()) }));
    assert!(other.pairs.is_empty() && other.made_from.is_none());
    fs::remove_file(place(dir.path()).notes).unwrap();
    let path = place(dir.path()).settled;
    let whole = fs::read(&path).unwrap();
    for position in (0..40).chain(80..whole.len()) {
        let mut damaged = whole.clone();
        damaged[position] ^= 1;
        fs::write(&path, damaged).unwrap();
        let pairs = load(dir.path());
        assert!(pairs.pairs.is_empty() && pairs.made_from.is_none(), "byte {position}");
    }
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(load(dir.path()).pairs.is_empty(), "length {length}");
    }
}

#[test]
fn a_pair_without_length_is_no_pair() {
    let dir = tempfile::tempdir().unwrap();
    let notes = load(dir.path()).notes().unwrap().unwrap();
    notes.add(&digest(0), &digest(0), 0).unwrap();
    notes.add(&digest(2), &digest(102), 2).unwrap();
    let pairs = load(dir.path());
    assert_eq!((pairs.get(&digest(0)), trust_of(&pairs, 2)), (None, Some(Trust::Noted)));
}

#[test]
fn without_a_place_pairs_last_as_long_as_the_value() {
    let mut pairs = Pairs::load(None);
    set_present(&mut pairs, 1);
    assert!(pairs.notes().unwrap().is_none());
    pairs.use_for(Epoch(5), &digest(1));
    pairs.settle(made(5)).unwrap();
    assert_eq!(pairs.made_from(Epoch(5)), Some(digest(50)));
}
