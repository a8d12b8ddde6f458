//! One test per rule of the session.

use super::*;
use farhold_types::{ArchiveName, Digest};
use proptest::prelude::*;

use crate::writer_request::WriterKind;

const FULL: u32 = 4_194_304;

fn digest(number: u8) -> Digest {
    Digest([number; 32])
}

fn name(text: &str) -> ArchiveName {
    text.parse().unwrap()
}

/// A session that knows chunks 1 to 9 of 4 MiB and chunk 10 of 1000 bytes.
fn session() -> WriterState {
    let mut state = WriterState::new();
    state.register_previous((1..10).map(|number| (digest(number), FULL))).unwrap();
    state.register_previous([(digest(10), 1000)]).unwrap();
    state
}

fn dynamic(state: &mut WriterState) -> u64 {
    state.register_dynamic(name("a.didx")).unwrap()
}

fn fixed(state: &mut WriterState, size: Option<u64>) -> u64 {
    state.register_fixed(name("a.fidx"), size, false).unwrap()
}

/// Appends one chunk to a fixed index.
fn put(state: &mut WriterState, writer: u64, number: u8, start: u64) -> Result<u64, WriterRefusal> {
    let append = state.append_fixed(writer, &[digest(number)], &[start])?;
    append.appended.refusal.map_or(Ok(append.size_bytes), Err)
}

#[test]
fn writers_are_numbered_from_one_over_both_kinds_and_names_may_repeat() {
    let mut state = session();
    assert_eq!(dynamic(&mut state), 1);
    assert_eq!(fixed(&mut state, Some(1)), 2);
    assert_eq!(dynamic(&mut state), 3);
    for _ in 4..=256 {
        dynamic(&mut state);
    }
    assert_eq!(dynamic(&mut state), 257, "no request can name it, but it is made");
}

#[test]
fn a_session_cannot_open_files_without_end() {
    let mut state = session();
    for writer in 1..=257 {
        assert_eq!(dynamic(&mut state), writer);
    }
    let name = || "a.didx".parse().unwrap();
    assert_eq!(state.check_new_index(), Err(WriterRefusal::TooManyWriters));
    assert_eq!(state.check_new_fixed(Some(1)), Err(WriterRefusal::TooManyWriters));
    assert_eq!(state.register_dynamic(name()), Err(WriterRefusal::TooManyWriters));
    assert_eq!(state.register_fixed(name(), None, false), Err(WriterRefusal::TooManyWriters));
}

#[test]
fn a_dynamic_index_takes_known_chunks_one_after_the_other() {
    let mut state = session();
    let writer = dynamic(&mut state);
    let full = u64::from(FULL);
    assert_eq!(
        state.append_dynamic(writer, &[digest(1)], &[5]).unwrap().refusal,
        Some(WriterRefusal::Offset { expected: 0, found: 5 })
    );
    assert!(matches!(
        state.append_dynamic(writer, &[digest(1)], &[]),
        Err(WriterRefusal::ListLengths { digests: 1, offsets: 0 })
    ));
    assert_eq!(state.append_dynamic(writer, &[], &[]).unwrap().refusal, None);
    let appended = state.append_dynamic(writer, &[digest(1), digest(10)], &[0, full]).unwrap();
    let ends: Vec<u64> = appended.entries.iter().map(|entry| entry.end).collect();
    assert_eq!((ends, appended.refusal), (vec![full, full + 1000], None));
    // What comes before the first wrong pair stays.
    let half = state.append_dynamic(writer, &[digest(10), digest(99)], &[full + 1000, full + 2000]).unwrap();
    assert_eq!(half.entries.len(), 1);
    assert_eq!(half.refusal, Some(WriterRefusal::UnknownChunk { digest: digest(99) }));
    assert_eq!(state.append_dynamic(writer, &[digest(1)], &[full + 2000]).unwrap().refusal, None);
    assert!(state.check_close(WriterKind::Dynamic, writer, 4, 2 * full + 2000).is_ok());
}

#[test]
fn writers_are_told_apart_by_number_and_kind() {
    let mut state = session();
    let (one, two) = (dynamic(&mut state), fixed(&mut state, Some(u64::from(FULL))));
    let unknown = Err(WriterRefusal::UnknownWriter { writer: 99 });
    assert_eq!(state.append_dynamic(99, &[], &[]).map(drop), unknown);
    assert_eq!(state.append_fixed(99, &[], &[]).map(drop), unknown);
    assert_eq!(state.check_close(WriterKind::Fixed, 99, 0, 0), unknown);
    assert_eq!(state.check_chunk(WriterKind::Fixed, 99, 1), unknown);
    let wrong = |writer, wanted| Err(WriterRefusal::WrongKind { writer, wanted });
    assert_eq!(state.append_dynamic(two, &[], &[]).map(drop), wrong(two, WriterKind::Dynamic));
    assert_eq!(state.append_fixed(one, &[], &[]).map(drop), wrong(one, WriterKind::Fixed));
    assert_eq!(state.check_close(WriterKind::Fixed, one, 0, 0), wrong(one, WriterKind::Fixed));
    assert_eq!(state.check_chunk(WriterKind::Dynamic, two, 1), wrong(two, WriterKind::Dynamic));
}

#[test]
fn totals_at_the_end_of_a_dynamic_index_must_match_and_a_broken_writer_stays() {
    let mut state = session();
    let writer = dynamic(&mut state);
    let close = |state: &WriterState, count, size| state.check_close(WriterKind::Dynamic, writer, count, size);
    assert_eq!(close(&state, 0, 0), Err(WriterRefusal::Empty));
    state.append_dynamic(writer, &[digest(10)], &[0]).unwrap();
    assert!(matches!(close(&state, 2, 1000), Err(WriterRefusal::Total { .. })));
    assert!(matches!(close(&state, 1, 5), Err(WriterRefusal::Total { .. })));
    state.append_dynamic(writer, &[digest(10)], &[1000]).unwrap();
    close(&state, 2, 2000).unwrap();
    state.break_writer(writer);
    assert_eq!(state.append_dynamic(writer, &[], &[]).map(drop), Err(WriterRefusal::Broken { writer }));
    assert_eq!(close(&state, 2, 2000), Err(WriterRefusal::Broken { writer }));
    assert_eq!(state.begin_finish(), Err(WriterRefusal::OpenWriters { count: 1 }));
}

#[test]
fn a_closed_index_counts_and_its_writer_is_gone() {
    let mut state = session();
    let writer = dynamic(&mut state);
    state.register_chunk(WriterKind::Dynamic, writer, digest(20), 500, 60, false).unwrap();
    state.register_chunk(WriterKind::Dynamic, writer, digest(20), 500, 60, true).unwrap();
    state.append_dynamic(writer, &[digest(20), digest(10)], &[0, 500]).unwrap();
    let closed = state.close(WriterKind::Dynamic, writer).unwrap();
    let uploaded = UploadCounts { chunk_count: 2, size_bytes: 1000, encoded_bytes: 120, duplicate_count: 1 };
    let expected = ClosedIndex { archive: name("a.didx"), size_bytes: 1500, chunk_count: 2, uploaded };
    assert_eq!(closed, expected);
    assert_eq!(state.append_dynamic(writer, &[], &[]).map(drop), Err(WriterRefusal::UnknownWriter { writer }));
    state.register_blob(77);
    assert_eq!(state.begin_finish(), Ok(UploadCounts { size_bytes: 1077, ..uploaded }));
}

#[test]
fn slots_of_a_fixed_index_come_in_any_order_and_repeatedly() {
    let mut state = session();
    let full = u64::from(FULL);
    let size = 3 * full + 1000;
    let writer = fixed(&mut state, Some(size));
    let cases: &[(u8, u64, bool)] = &[
        (1, 5, false),        // between slots
        (1, 3 * full, false), // longer than the last slot
        (10, full, false),    // shorter than a slot in the middle
        (99, full, false),    // unknown
        (1, 4 * full, false), // beyond the end
        (10, 3 * full, true), // the last slot
        (3, 2 * full, true),  // before the last one
        (1, 0, true),
        (2, 0, true), // the same slot again
    ];
    for (number, start, is_accepted) in cases {
        assert_eq!(put(&mut state, writer, *number, *start).is_ok(), *is_accepted, "chunk {number} at {start}");
    }
    let close = |count, size| state.check_close(WriterKind::Fixed, writer, count, size);
    assert!(matches!(close(3, size), Err(WriterRefusal::Total { .. })), "four pairs were appended");
    assert!(matches!(close(4, 5), Err(WriterRefusal::Total { .. })));
    // A slot written twice hides one that was never written; the reference does not see it either.
    assert_eq!(close(4, size), Ok(()));
}

#[test]
fn a_fixed_index_with_an_unwritten_slot_is_not_closed() {
    let mut state = session();
    let writer = fixed(&mut state, Some(2 * u64::from(FULL)));
    put(&mut state, writer, 1, 0).unwrap();
    let refusal = state.check_close(WriterKind::Fixed, writer, 1, 2 * u64::from(FULL)).unwrap_err();
    assert!(matches!(refusal, WriterRefusal::Total { what: "number of chunks", expected: 2, found: 1 }));
}

#[test]
fn an_image_of_unknown_size_grows_until_a_chunk_ends_between_two_slots() {
    let mut state = session();
    let full = u64::from(FULL);
    let writer = fixed(&mut state, None);
    assert_eq!(state.check_close(WriterKind::Fixed, writer, 0, 0), Err(WriterRefusal::Empty));
    assert_eq!(put(&mut state, writer, 2, full), Ok(2 * full));
    assert!(matches!(put(&mut state, writer, 10, 0), Err(WriterRefusal::Length { .. })));
    assert_eq!(put(&mut state, writer, 1, 0), Ok(2 * full));
    assert_eq!(put(&mut state, writer, 10, 2 * full), Ok(2 * full + 1000));
    assert!(matches!(put(&mut state, writer, 2, 2 * full), Err(WriterRefusal::BeyondSize { .. })));
    assert!(matches!(
        state.check_close(WriterKind::Fixed, writer, 3, 3 * full),
        Err(WriterRefusal::Total { what: "size", .. })
    ));
    assert_eq!(state.check_close(WriterKind::Fixed, writer, 3, 2 * full + 1000), Ok(()));
}

#[test]
fn an_index_that_began_full_is_closed_whatever_its_end_says_of_the_size() {
    let mut state = session();
    let size = 3 * u64::from(FULL);
    let writer = state.register_fixed(name("a.fidx"), Some(size), true).unwrap();
    assert_eq!(state.check_close(WriterKind::Fixed, writer, 0, 0), Ok(()), "QEMU found nothing to send");
    put(&mut state, writer, 1, 0).unwrap();
    assert!(state.check_close(WriterKind::Fixed, writer, 0, 0).is_err());
    assert_eq!(state.check_close(WriterKind::Fixed, writer, 1, 12345), Ok(()));
}

#[test]
fn reuse_needs_the_same_checksum_and_number_of_chunks() {
    let base = Some((digest(7), 4));
    let full = u64::from(FULL);
    assert_eq!(check_reuse(None, None, None), Err(WriterRefusal::NoBase), "this comes first");
    assert_eq!(check_reuse(None, base, Some(digest(7))), Err(WriterRefusal::ReuseWithoutSize));
    assert_eq!(check_reuse(Some(4 * full), base, Some(digest(8))), Err(WriterRefusal::ReuseChecksum));
    assert_eq!(check_reuse(Some(4 * full), base, None), Err(WriterRefusal::ReuseChecksum));
    let refusal = WriterRefusal::ReuseCount { expected: 4, found: 5 };
    assert_eq!(check_reuse(Some(4 * full + 1), base, Some(digest(7))), Err(refusal));
    for size in [3 * full + 1, 4 * full] {
        assert_eq!(check_reuse(Some(size), base, Some(digest(7))), Ok(size));
    }
}

#[test]
fn a_fixed_index_takes_no_large_chunk_and_one_short_chunk() {
    let mut state = WriterState::new();
    let writer = fixed(&mut state, None);
    let mut upload =
        |number, length| state.register_chunk(WriterKind::Fixed, writer, digest(number), length, 100, false);
    assert_eq!(upload(1, FULL + 1), Err(WriterRefusal::ChunkTooLarge { length: u64::from(FULL) + 1 }));
    upload(1, 1000).unwrap();
    assert_eq!(upload(1, 1000), Err(WriterRefusal::SecondShortChunk { writer, length: 1000 }));
    assert_eq!(upload(2, 2000), Err(WriterRefusal::SecondShortChunk { writer, length: 2000 }));
    upload(3, FULL).unwrap();
    assert!(matches!(put(&mut state, writer, 2, 0), Err(WriterRefusal::UnknownChunk { .. })));
    let other = fixed(&mut state, None);
    state.register_chunk(WriterKind::Fixed, other, digest(2), 2000, 100, false).unwrap();
}

#[test]
fn a_chunk_refused_for_its_writer_does_not_become_known() {
    let mut state = WriterState::new();
    let writer = dynamic(&mut state);
    assert!(state.register_chunk(WriterKind::Dynamic, 77, digest(1), 10, 22, false).is_err());
    assert!(state.register_chunk(WriterKind::Fixed, writer, digest(1), 10, 22, false).is_err());
    assert_eq!(state.known_count(), 0);
    state.register_chunk(WriterKind::Dynamic, writer, digest(1), 10, 22, false).unwrap();
    let other = dynamic(&mut state);
    assert_eq!(state.append_dynamic(other, &[digest(1)], &[0]).unwrap().refusal, None, "known to all writers");
}

#[test]
fn only_an_active_session_takes_anything() {
    let mut state = session();
    assert_eq!(state.begin_finish(), Err(WriterRefusal::NothingUploaded));
    let writer = dynamic(&mut state);
    assert_eq!(state.begin_finish(), Err(WriterRefusal::OpenWriters { count: 1 }));
    state.append_dynamic(writer, &[digest(1)], &[0]).unwrap();
    state.close(WriterKind::Dynamic, writer).unwrap();
    state.begin_finish().unwrap();
    for phase in [Phase::Finishing, Phase::Finished] {
        let refusal = WriterRefusal::NotActive { phase };
        assert_eq!(state.begin_finish(), Err(refusal.clone()));
        assert_eq!(state.check_active(), Err(refusal.clone()));
        assert_eq!(state.check_new_fixed(Some(1)), Err(refusal.clone()));
        assert_eq!(state.register_dynamic(name("b.didx")), Err(refusal.clone()));
        assert_eq!(state.register_fixed(name("b.fidx"), None, false), Err(refusal.clone()));
        assert_eq!(state.append_dynamic(1, &[], &[]).map(drop), Err(refusal.clone()));
        assert_eq!(state.append_fixed(1, &[], &[]).map(drop), Err(refusal.clone()));
        assert_eq!(state.check_close(WriterKind::Dynamic, 1, 1, 1), Err(refusal.clone()));
        assert_eq!(state.check_chunk(WriterKind::Dynamic, 1, 1), Err(refusal.clone()));
        assert_eq!(refusal.status(), 400);
        state.finished();
        state.back_to_active();
    }
    assert_eq!(state.phase(), Phase::Finished, "a finished backup stays finished");
}

#[test]
fn a_backup_whose_base_was_away_can_be_finished_when_it_is_back() {
    let mut state = session();
    state.register_blob(100);
    state.begin_finish().unwrap();
    state.back_to_active();
    assert_eq!(state.phase(), Phase::Active);
    state.begin_finish().unwrap();
}

#[test]
fn indexes_and_offsets_beyond_what_can_be_read_are_refused() {
    let mut state = session();
    assert_eq!(state.check_new_fixed(Some(1 << 40)), Ok(()), "the probe's largest image");
    assert_eq!(state.check_new_fixed(Some(1 << 62)), Err(WriterRefusal::TooManyEntries));
    assert_eq!(state.check_new_fixed(Some(u64::MAX)), Err(WriterRefusal::TooManyEntries));
    let writer = fixed(&mut state, None);
    let far = u64::MAX / FIXED_CHUNK_BYTES * FIXED_CHUNK_BYTES;
    assert_eq!(put(&mut state, writer, 1, far), Err(WriterRefusal::TooManyEntries));
}

proptest! {
    /// Whatever is appended in whatever order: ends grow, slots lie inside the image, and what was refused left nothing.
    #[test]
    fn appends_never_leave_the_archive(pairs in prop::collection::vec((0_u8..12, 0_u64..8, 0_u64..3), 0..60)) {
        let mut state = session();
        let (one, two) = (dynamic(&mut state), fixed(&mut state, None));
        let (mut end, mut count) = (0, 0);
        for (number, slot, shift) in pairs {
            let start = slot * FIXED_CHUNK_BYTES + shift;
            for start in [start, end] {
                let appended = state.append_dynamic(one, &[digest(number)], &[start]).unwrap();
                for entry in &appended.entries {
                    prop_assert!(start == end && end < entry.end);
                    end = entry.end;
                }
                prop_assert_eq!(appended.entries.is_empty(), appended.refusal.is_some());
            }
            let append = state.append_fixed(two, &[digest(number)], &[start]).unwrap();
            for entry in &append.appended.entries {
                prop_assert!(entry.slot < append.size_bytes.div_ceil(FIXED_CHUNK_BYTES));
                count += 1;
            }
            prop_assert_eq!(append.appended.entries.is_empty(), append.appended.refusal.is_some());
            if let Err(refusal) = state.check_close(WriterKind::Fixed, two, count, append.size_bytes) {
                let is_expected = matches!(refusal, WriterRefusal::Empty | WriterRefusal::Total { .. });
                prop_assert!(is_expected);
            }
        }
    }
}
