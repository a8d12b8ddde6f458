//! The snapshots of a group whose turn it is, prepared a few ahead of theirs.
//!
//! Takes over what was opened before the group's turn, as far as it still fits.
//!
//! Source: `docs/spec/sync.md` C.2 W10 and W12.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use farhold_rules::sync_plan::Action;
use farhold_types::{Epoch, Namespace};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::AbortOnDropHandle;

use crate::ahead::chunks::ChunksAhead;
use crate::ahead::groups::{Begun, PreparationTask};
use crate::ahead::prepare::prepare;
use crate::context::RunContext;
use crate::source::Source;
use crate::target::Target;

/// Snapshots that a whole run prepares ahead of their turn within the groups whose turn it is; each is an open session.
pub(crate) const SNAPSHOTS_AHEAD: usize = 8;

/// Content up to which a snapshot counts as small: it is through in about a second.
const SMALL_SNAPSHOT_BYTES: u64 = 64 << 20;

type Permits = Vec<OwnedSemaphorePermit>;

/// Snapshots of a group that are being prepared ahead of their turn.
pub(crate) struct Ahead<'a, S: Source, T: Target> {
    run: &'a Arc<RunContext<S, T>>,
    source_ns: &'a Namespace,
    peeked: Option<(Epoch, Bytes)>,
    /// Opened before the turn of the group.
    opened: BTreeMap<Epoch, Begun<S>>,
    upcoming: std::slice::Iter<'a, Action>,
    begun: VecDeque<(PreparationTask<S>, Permits)>,
    chunks: ChunksAhead,
    /// Of what was not opened before.
    _hold_back: Option<OwnedSemaphorePermit>,
}

impl<'a, S: Source, T: Target> Ahead<'a, S, T> {
    /// `peeked`: the manifest of one snapshot that was read already. `opened`: what is being prepared already.
    /// `chunks`: whether chunks of what is not may come ahead, too.
    pub(crate) fn new(
        run: &'a Arc<RunContext<S, T>>,
        source_ns: &'a Namespace,
        actions: &'a [Action],
        peeked: Option<(Epoch, Bytes)>,
        opened: VecDeque<Begun<S>>,
        chunks: ChunksAhead,
    ) -> Self {
        let opened: BTreeMap<Epoch, Begun<S>> = opened.into_iter().map(|begun| (begun.time, begun)).collect();
        let others = actions.iter().filter(|action| !opened.contains_key(&action.item.backup_time));
        let _hold_back = run.distance.hold_back(others);
        Self { run, source_ns, peeked, opened, upcoming: actions.iter(), begun: VecDeque::new(), chunks, _hold_back }
    }

    /// Begins the next preparation, unless it is under way. The first one needs no permit, since its turn has come.
    pub(crate) fn begin(&mut self) -> bool {
        let Some(action) = self.upcoming.as_slice().first() else {
            return false;
        };
        let time = action.item.backup_time;
        // What was opened to be fetched is of no use for anything else.
        let opened = self.opened.remove(&time).filter(|begun| begun.kind == action.kind);
        let begun = match opened {
            Some(begun) => (begun.task, begun.permits),
            None => {
                let mut permits = Vec::new();
                if !self.begun.is_empty() {
                    match self.run.ahead.clone().try_acquire_owned() {
                        Ok(free) => permits.push(free),
                        Err(_) => return false,
                    }
                }
                let peeked = self.peeked.take_if(|(of, _)| *of == time).map(|(_, raw)| raw);
                let (run, ns) = (self.run.clone(), self.source_ns.clone());
                let task = prepare(run, ns, action.clone(), self.run.retry(), peeked, self.chunks);
                (AbortOnDropHandle::new(tokio::spawn(task)), permits)
            }
        };
        self.upcoming.next();
        self.begun.push_back(begun);
        true
    }

    /// Returns the preparation of `action`, whose turn it is, and begins some of the following ones.
    ///
    /// One is enough beside a large snapshot: an open session keeps the source from pruning. Small snapshots consist of
    /// round trips, which several hide better.
    pub(crate) fn take(&mut self, action: &Action) -> Option<(PreparationTask<S>, Permits)> {
        if self.begun.is_empty() {
            self.begin();
        }
        let is_small = action.item.size.is_some_and(|size| size <= SMALL_SNAPSHOT_BYTES);
        let wanted = 1 + if is_small { SNAPSHOTS_AHEAD } else { 1 };
        while self.begun.len() < wanted && self.begin() {}
        self.begun.pop_front()
    }
}
