//! Directories of snapshots that a job began and did not finish.
//!
//! An interrupted transfer leaves its directory for the next run. If the source has lost the snapshot meanwhile, nobody
//! would ever finish or remove it. Only what this job began is removed: a mark, an empty private file, is set when a
//! directory is created and taken away when its snapshot is finished or given up. Unfinished directories without a mark
//! may belong to a backup that was interrupted, and stay.
//!
//! Source: `docs/spec/sync.md` 12 and C.2 W35.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farhold_rules::sync_plan::{GroupPlan, LocalCondition, LocalSnapshot};
use farhold_types::Epoch;

use crate::context::RunContext;
use crate::event::GroupEvent;
use crate::group::GroupState;
use crate::outcome::chain;
use crate::source::Source;
use crate::target::{Target, TargetGroup, TargetSnapshot};

fn mark<S: Source, T: Target>(run: &RunContext<S, T>, state: &GroupState, time: Epoch) -> Option<PathBuf> {
    run.journal.as_ref().map(|scope| scope.mark_path(&state.target_ns, &state.group.at(time)))
}

fn set(mark: &Path) -> io::Result<()> {
    match File::create(mark) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            mark.parent().map_or(Ok(()), fs::create_dir_all)?;
            File::create(mark).map(|_| ())
        }
        created => created.map(|_| ()),
    }
}

/// Marks the snapshot of `time` as begun. Without the mark its leftovers stay at worst, so a failure is only traced.
pub(crate) async fn mark_begun<S: Source, T: Target>(run: &Arc<RunContext<S, T>>, state: &GroupState, time: Epoch) {
    let Some(mark) = mark(run, state, time) else { return };
    if let Ok(Err(error)) = run.pool.run(move |_| set(&mark)).await {
        tracing::warn!(%error, "cannot note that a snapshot was begun");
    }
}

/// Takes the mark away. One that stays does no harm: it is believed only beside an unfinished directory.
pub(crate) async fn unmark<S: Source, T: Target>(run: &Arc<RunContext<S, T>>, state: &GroupState, time: Epoch) {
    if let Some(mark) = mark(run, state, time) {
        let _ = run.pool.run(move |_| fs::remove_file(&mark)).await;
    }
}

/// Removes the unfinished snapshots that this job began and that the source does not list any more.
///
/// `plan` was made of a complete listing. A job that removes vanished snapshots removes these with them.
pub(crate) async fn remove_vanished_leftovers<S: Source, T: Target>(
    run: &Arc<RunContext<S, T>>,
    state: &GroupState,
    group: &T::Group,
    plan: &GroupPlan,
    local: &[LocalSnapshot],
) {
    if run.options.remove_vanished {
        return;
    }
    let listed = plan.listed();
    let is_leftover = |snapshot: &&LocalSnapshot| {
        snapshot.condition == LocalCondition::Unfinished && !snapshot.is_protected && !listed.contains(&snapshot.time)
    };
    for time in local.iter().filter(is_leftover).map(|snapshot| snapshot.time) {
        let Some(path) = mark(run, state, time) else { return };
        if !run.pool.run(move |_| path.exists()).await.unwrap_or(false) {
            continue;
        }
        let removed = match group.begin(time).await {
            Ok(snapshot) => snapshot.discard().await,
            Err(error) => Err(error),
        };
        let event = match removed {
            Ok(()) => {
                unmark(run, state, time).await;
                GroupEvent::LeftoverRemoved(time)
            }
            Err(error) => {
                GroupEvent::Warning(format!("{time}: cannot remove the unfinished snapshot - {}", chain(&error)))
            }
        };
        run.emit(state.index, &state.group, event);
    }
}
