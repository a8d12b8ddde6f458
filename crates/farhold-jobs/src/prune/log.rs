//! The lines of a prune's log. Source: recorded logs in `tests/golden/api` and `tests/golden/tasks.tar.zst`.

use farhold_rules::prune_plan::Mark;
use farhold_types::{DatastoreName, Group, KeepOptions, Namespace, Snapshot};

use super::{PruneMode, StorePrune};

/// Returns the line that tells the rules. `place`: options that say where, as they are written on a command line.
fn retention(keep: &KeepOptions, place: &[String]) -> String {
    if keep.keeps_everything() {
        return "No prune selection - keeping all files.".to_owned();
    }
    let given = keep.named().into_iter().filter_map(|(name, count)| Some(format!("--{name} {}", count?)));
    let options: Vec<String> = place.iter().cloned().chain(given).collect();
    format!("retention options: {}", options.join(" "))
}

/// Returns the first lines of a prune of one group.
pub(super) fn group_opening(store: &DatastoreName, ns: &Namespace, group: &Group, keep: &KeepOptions) -> [String; 2] {
    [retention(keep, &[]), format!("Starting prune on datastore '{store}', {} group \"{group}\"", ns.log_name())]
}

/// Returns the first lines of a prune of many groups.
pub(super) fn store_opening(prune: &StorePrune) -> Vec<String> {
    let depth = match prune.max_depth {
        None => "down to full depth".to_owned(),
        Some(0) => "non-recursive".to_owned(),
        Some(depth) => format!("down to depth {depth}"),
    };
    let mut lines =
        vec![format!("Starting datastore prune on datastore '{}', {}, {depth}", prune.store, prune.ns.log_name())];
    if prune.mode == PruneMode::DryRun {
        lines.push("(dry test run)".to_owned());
    }
    let ns = (!prune.ns.is_root()).then(|| format!("--ns {}", prune.ns));
    let depth = prune.max_depth.map(|depth| format!("--max-depth {depth}"));
    lines.push(retention(&prune.keep, &ns.into_iter().chain(depth).collect::<Vec<_>>()));
    lines
}

/// Returns the line before the snapshots of a group.
pub(super) fn group(ns: &Namespace, group: &Group) -> String {
    format!("Pruning group {ns}:\"{group}\"")
}

/// Returns the line of a snapshot in a prune of one group.
pub(super) fn in_group(snapshot: &Snapshot, mark: Mark) -> String {
    let word = match mark {
        Mark::Keep => "keep",
        Mark::KeepPartial => "keep-partial",
        Mark::Protected => "protected",
        Mark::Remove => "remove",
    };
    format!("{snapshot} {word}")
}

/// Returns the line of a snapshot in a prune of many groups.
pub(super) fn in_store(snapshot: &Snapshot, mark: Mark) -> String {
    let word = match mark {
        Mark::Keep => "keep",
        Mark::KeepPartial => "keep partial",
        Mark::Protected => "keep protected",
        Mark::Remove => "remove",
    };
    format!("{word} {snapshot}")
}

/// Returns the line of a snapshot in a dry run of many groups.
pub(super) fn in_dry_run(snapshot: &Snapshot, mark: Mark) -> String {
    format!("would {}", in_store(snapshot, mark))
}
