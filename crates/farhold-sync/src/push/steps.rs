//! What is done about each entry of an index that is pushed: a pure function.
//!
//! Source: `docs/spec/sync.md` 10.4 step 6, C.2 W43.

use std::collections::HashSet;
use std::ops::Range;

use farhold_format::index::{ChunkRef, Index};
use farhold_types::Digest;

/// Entries that one step covers at most, so that what waits between two requests stays small.
const MAX_STEP_ENTRIES: usize = 1024;

/// Consecutive entries with which one thing is done. All steps of an index together cover it in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The new index has them already, taken over from the previous one.
    Keep(Range<usize>),
    /// The target has their chunks, or will have when an earlier step is done.
    Append(Range<usize>),
    /// The chunk of this entry is read and, unless it turns out that the target has it, uploaded.
    Send(usize),
}

/// What is to be done for a whole index.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) steps: Vec<Step>,
    /// Chunks that are read.
    pub(crate) sent_chunks: u64,
    /// Their content in bytes.
    pub(crate) sent_bytes: u64,
}

/// Returns the steps for `index`.
///
/// `reused`: the previous index whose entries the new one starts with, if any; it has as many entries.
/// `name`: what a chunk of the source is called on the target, if that is known. `is_on_target`: by that name.
pub(crate) fn steps(
    index: &Index,
    reused: Option<&Index>,
    name: impl Fn(&Digest) -> Option<Digest>,
    is_on_target: impl Fn(&Digest) -> bool,
) -> Steps {
    let mut all = Steps::default();
    let mut sent = HashSet::new();
    for (position, chunk) in index.chunks().enumerate() {
        let named = name(&chunk.digest);
        let is_kept = || {
            let kept = reused.and_then(|reused| reused.chunk(position))?;
            Some(Some(kept.digest) == named && kept.size_bytes() == chunk.size_bytes())
        };
        if is_kept() == Some(true) {
            all.extend(position, Step::Keep(position..position + 1));
        } else if named.is_some_and(|digest| is_on_target(&digest)) || sent.contains(&chunk.digest) {
            all.extend(position, Step::Append(position..position + 1));
        } else {
            sent.insert(chunk.digest);
            all.sent_chunks += 1;
            all.sent_bytes += chunk.size_bytes();
            all.steps.push(Step::Send(position));
        }
    }
    all
}

impl Steps {
    /// Adds one entry, to the last step if it is of the same kind.
    fn extend(&mut self, position: usize, step: Step) {
        match (self.steps.last_mut(), &step) {
            (Some(Step::Keep(range)), Step::Keep(_)) | (Some(Step::Append(range)), Step::Append(_))
                if range.len() < MAX_STEP_ENTRIES =>
            {
                range.end = position + 1;
            }
            _ => self.steps.push(step),
        }
    }
}

/// Returns whether a fixed index may start with the entries of the previous one: it must have as many.
///
/// Source: `docs/spec/wire-protocol.md` 5.3, `reuse-csum`.
pub(crate) fn may_reuse(index: &Index, previous: &Index) -> bool {
    let chunk_size = index.chunk_size_bytes();
    chunk_size.is_some() && chunk_size == previous.chunk_size_bytes() && index.chunk_count() == previous.chunk_count()
}

/// Returns the chunk of an entry that a step names.
pub(crate) fn entry(index: &Index, position: usize) -> ChunkRef {
    index.chunk(position).expect("steps name only entries that exist")
}

#[cfg(test)]
mod tests {
    use farhold_format::index::{DynamicIndexBuilder, FixedIndexBuilder};
    use farhold_types::Epoch;

    use super::*;

    fn digest(n: u8) -> Digest {
        Digest([n; 32])
    }

    fn fixed(chunks: &[u8], size: u64) -> Index {
        let mut builder = FixedIndexBuilder::new([0; 16], Epoch(0), size, 4096).unwrap();
        for (position, chunk) in chunks.iter().enumerate() {
            builder.set(position, digest(*chunk)).unwrap();
        }
        builder.finish().unwrap()
    }

    fn dynamic(chunks: &[u8]) -> Index {
        let mut builder = DynamicIndexBuilder::new([0; 16], Epoch(0));
        for (position, chunk) in chunks.iter().enumerate() {
            builder.push((position as u64 + 1) * 100, digest(*chunk)).unwrap();
        }
        builder.finish().unwrap()
    }

    fn same(digest: &Digest) -> Option<Digest> {
        Some(*digest)
    }

    #[test]
    fn known_chunks_are_appended_and_others_sent_once() {
        let found = steps(&dynamic(&[1, 2, 3, 3, 1, 4]), None, same, |known| *known == digest(1));
        let expected = [Step::Append(0..1), Step::Send(1), Step::Send(2), Step::Append(3..5), Step::Send(5)];
        assert_eq!(found.steps, expected);
        assert_eq!((found.sent_chunks, found.sent_bytes), (3, 300));
        let found = steps(&dynamic(&[1, 1]), None, |_| None, |_| true);
        assert_eq!(found.steps, [Step::Send(0), Step::Append(1..2)], "one whose name is unknown has to be read");
    }

    #[test]
    fn only_changed_positions_of_a_reused_index_are_appended() {
        let (index, previous) = (fixed(&[1, 2, 9, 1, 5], 5 * 4096), fixed(&[1, 2, 3, 4, 5], 5 * 4096));
        assert!(may_reuse(&index, &previous));
        let found = steps(&index, Some(&previous), same, |known| known.0[0] <= 5);
        assert_eq!(found.steps, [Step::Keep(0..2), Step::Send(2), Step::Append(3..4), Step::Keep(4..5)]);
        let unchanged = steps(&previous, Some(&previous), same, |_| false);
        assert_eq!((unchanged.steps, unchanged.sent_chunks), (vec![Step::Keep(0..5)], 0));
    }

    #[test]
    fn an_index_of_another_length_is_not_reused_and_a_short_last_chunk_is_not_kept_for_a_long_one() {
        let (long, short) = (fixed(&[1, 2], 2 * 4096), fixed(&[1, 2], 4096 + 1));
        assert!(may_reuse(&long, &short) && !may_reuse(&long, &fixed(&[1, 2, 3], 3 * 4096)));
        assert!(!may_reuse(&dynamic(&[1]), &dynamic(&[1])));
        let found = steps(&long, Some(&short), same, |_| false);
        assert_eq!(found.steps, [Step::Keep(0..1), Step::Send(1)]);
    }

    #[test]
    fn long_runs_are_cut() {
        let index = fixed(&vec![1; 3000], 3000 * 4096);
        let found = steps(&index, Some(&index), same, |_| true);
        assert_eq!(found.steps, [Step::Keep(0..1024), Step::Keep(1024..2048), Step::Keep(2048..3000)]);
    }
}
