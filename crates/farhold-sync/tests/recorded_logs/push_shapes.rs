//! Every kind of line that the recorded pushes have beyond those of a pull. See [`crate::shapes`].

use std::time::Duration;

use farhold_rules::sync_plan::{SkipClass, SkipReason};
use farhold_sync::{
    GroupEvent, GroupStep, LogNames, LogRenderer, NamespaceStep, RemovalEvent, RemovedCounts, SyncEvent, SyncReport,
    removed_summary, summary,
};
use farhold_types::{Group, Namespace, Snapshot, SyncDirection};
use regex::Captures;

use crate::shapes::{Ours, Row, bytes_of, pair_of, part, time};

pub fn push_names(source: &str, target: &str) -> LogNames {
    let (remote, target) = match target.split_once('/') {
        Some((remote, store)) => (remote, store),
        None => ("rsrc", target),
    };
    LogNames {
        direction: SyncDirection::Push,
        remote: Some(remote.parse().unwrap()),
        source_store: source.parse().unwrap(),
        target_store: target.parse().unwrap(),
    }
}

/// Returns a line that our renderer writes for an event, by its number.
fn line(event: &SyncEvent, number: usize) -> Ours {
    let mut renderer = LogRenderer::new(push_names("dst", "src2"), 1);
    let mut lines = renderer.render(event);
    lines.extend(renderer.flush());
    Ours::Line(lines.swap_remove(number).text)
}

fn of_group(found: &Captures<'_>, number: usize, event: GroupEvent) -> Ours {
    let group: Group = part(found, "g");
    line(&SyncEvent::Group { index: 0, group, event }, number)
}

fn removal(found: &Captures<'_>, step: GroupStep, number: usize) -> Ours {
    let (ns, group) = (Namespace::root(), part(found, "g"));
    line(&SyncEvent::Removal(RemovalEvent::Group { index: Some(0), ns, group, step }), number)
}

fn namespace_removal(found: &Captures<'_>, step: NamespaceStep, number: usize) -> Ours {
    line(&SyncEvent::Removal(RemovalEvent::Namespace { ns: part(found, "ns"), step }), number)
}

fn failed_namespace(found: &Captures<'_>) -> SyncEvent {
    let error = found.name("error").map_or(String::new(), |error| error.as_str().to_owned());
    SyncEvent::NamespaceFailed { index: 0, pair: pair_of(found), is_listing: false, error }
}

const ONE_SHOT: &str = "checked where jobs start";
const CAUSE: &str = "the cause, in our words";

/// The rows that come before those of a pull.
pub fn lines() -> Vec<Row> {
    let mut rows = run_lines();
    rows.extend(group_lines());
    rows
}

fn run_lines() -> Vec<Row> {
    vec![
        ("ends", r"sync datastore '(?<from>{store})' to '(?<to>[^']+)'", |found| {
            Ours::Line(push_names(&found["from"], &found["to"]).opening("x")[1].clone())
        }),
        ("created", r"Successfully created new namespace (?<ns>\S+) on remote", |found| {
            let pair =
                farhold_rules::namespace_map::NamespacePair { source: Namespace::root(), target: part(found, "ns") };
            line(&SyncEvent::NamespaceCreated { index: 0, pair }, 0)
        }),
        ("cause", r"Encountered errors?: (?<error>.*)", |_| Ours::Otherwise(CAUSE)),
        ("refused", r"Failed to sync datastore 'dst', (?<from>{ns}) into datastore 'src2', (?<to>{ns})!", |found| {
            line(&failed_namespace(found), 1)
        }),
        ("removed-group", r"Removed vanished group (?<g>{group}) from remote", |found| {
            removal(found, GroupStep::Removed, 0)
        }),
        ("removed-group", r"Removed vanished group (?<ns>\S+)/(?<g>{group}) from remote", |found| {
            let (ns, group, step) = (part(found, "ns"), part(found, "g"), GroupStep::Removed);
            line(&SyncEvent::Removal(RemovalEvent::Group { index: None, ns, group, step }), 0)
        }),
        ("kept-group", r"Kept (?<n>\d+) protected snapshots of group (?<g>{group}) on remote", |found| {
            removal(found, GroupStep::KeptSome(part(found, "n")), 0)
        }),
        ("removal-failed", r"Failed to remove vanished group (?<g>{group}) from remote!", |found| {
            removal(found, GroupStep::Failed(String::new()), 1)
        }),
        ("removed-namespace", r"Successfully removed vanished namespace (?<ns>\S+) from remote", |found| {
            namespace_removal(found, NamespaceStep::Removed, 0)
        }),
        ("kept-namespace", r"Kept \d+ protected snapshots of remote namespace \S+", |_| {
            Ours::Otherwise("the groups were told one by one; ours says that the namespace stays, and why")
        }),
        ("removal-failed", r"Failed to remove vanished namespace (?<ns>\S+) from remote!", |found| {
            namespace_removal(found, NamespaceStep::Failed(String::new()), 1)
        }),
        ("old-api", r"Older api version on remote detected, deletion statistics might be incomplete", |_| {
            line(&SyncEvent::NoDeletionStatistics, 0)
        }),
        (
            "summary",
            r"Summary: sync job pushed (?<size>[0-9.]+ [A-Za-z]+) in (?<n>\d+) chunks \(average rate: .*/s\)",
            |found| {
                let (bytes, chunks) = (bytes_of(&found["size"]), part(found, "n"));
                Ours::Line(summary(SyncDirection::Push, &SyncReport { bytes, chunks, ..SyncReport::default() }))
            },
        ),
        ("nothing", r"Summary: sync job found no new data to push", |_| {
            Ours::Line(summary(SyncDirection::Push, &SyncReport::default()))
        }),
        (
            "removed",
            r"Summary: removed vanished: snapshots: (?<s>\d+), groups: (?<g>\d+), namespaces: (?<n>\d+)",
            |found| {
                let (snapshots, groups, namespaces) = (part(found, "s"), part(found, "g"), part(found, "n"));
                let removed = Some(RemovedCounts { snapshots, groups, namespaces });
                let report = SyncReport { removed, ..SyncReport::default() };
                Ours::Line(removed_summary(SyncDirection::Push, &report).unwrap())
            },
        ),
        ("once", r"push datastore '{store}' to '[^']+'", |_| Ours::Otherwise(ONE_SHOT)),
        ("once-end", r"push datastore '{store}' end", |_| Ours::Otherwise(ONE_SHOT)),
    ]
}

fn group_lines() -> Vec<Row> {
    vec![
        (
            "not-owned",
            r"\[(?<g>{group})\]: Group '{group}' not owned by remote user '(?<who>\S+)' on target, skipping upload",
            |found| of_group(found, 0, GroupEvent::NotOwned { account: part(found, "who") }),
        ),
        ("empty", r"\[(?<g>{group})\]: Group '{group}' contains no snapshots to sync to remote", |found| {
            of_group(found, 0, GroupEvent::NothingToPush)
        }),
        (
            "skipped",
            r"\[(?<g>{group})\]: skipped: (?<n>\d+) snapshot\(s\) \((?<t>{time})( \.\. (?<u>{time}))?\) - older than the newest snapshot present on sync target",
            |found| {
                let oldest = time(found, "t");
                let newest = found.name("u").map_or(oldest, |_| time(found, "u"));
                let class = SkipClass { reason: SkipReason::AlreadySynced, count: part(found, "n"), oldest, newest };
                of_group(found, 0, GroupEvent::Skipped(class))
            },
        ),
        (
            "encrypt",
            r"\[(?<g>{group})\]: Encrypt source snapshot '(?<s>\S+)' on the fly while pushing to remote",
            |found| of_group(found, 0, GroupEvent::EncryptOnPush(part::<Snapshot>(found, "s"))),
        ),
        (
            "encrypt",
            r"\[(?<g>{group})\]: Snapshot '(?<s>\S+)' already encrypted with client key, not re-encrypting with configured active encryption key",
            |found| of_group(found, 0, GroupEvent::AlreadyEncrypted(part::<Snapshot>(found, "s"))),
        ),
        (
            "mixed",
            r"\[(?<g>{group})\]: Encountered partially encrypted snapshot '(?<s>\S+)', refuse to re-encrypt and skip",
            |found| of_group(found, 0, GroupEvent::MixedSkipped(part::<Snapshot>(found, "s"))),
        ),
        (
            "no-previous",
            r"\[(?<g>{group})\]: (?<t>{time}): Could not download previous manifest - (?<error>.*)",
            |found| {
                let (time, error) = (time(found, "t"), found["error"].to_owned());
                of_group(found, 0, GroupEvent::NoPreviousManifest { time, error })
            },
        ),
        ("file", r"\[(?<g>{group})\]: (?<t>{time}): sync archive (?<a>\S+)", |found| {
            of_group(found, 0, GroupEvent::ArchiveStarted { time: time(found, "t"), archive: part(found, "a") })
        }),
        (
            "uploaded",
            r"\[(?<g>{group})\]: (?<t>{time})/(?<a>\S+): uploaded (?<size>[0-9.]+ [A-Za-z]+) \(.*/s\)",
            |found| {
                let (bytes, elapsed) = (bytes_of(&found["size"]), Duration::from_secs(1));
                let (time, archive) = (time(found, "t"), part(found, "a"));
                of_group(found, 0, GroupEvent::IndexDone { time, archive, bytes, elapsed })
            },
        ),
        (
            "removed-snapshot",
            r"\[(?<g>{group})\]: Removed vanished snapshot {group}/(?<t>{time}) from remote",
            |found| of_group(found, 0, GroupEvent::VanishedRemoved(time(found, "t"))),
        ),
        ("kept-snapshot", r"\[(?<g>{group})\]: Kept protected snapshot {group}/(?<t>{time}) on remote", |found| {
            of_group(found, 0, GroupEvent::KeptProtected(time(found, "t")))
        }),
        ("cause", r"\[(?<g>{group})\]: Encountered errors: (?<error>.*)", |_| Ours::Otherwise(CAUSE)),
        (
            "stays",
            r"\[(?<g>{group})\]: Failed to remove vanished snapshot {group}/(?<t>{time}) from remote!",
            |found| of_group(found, 1, GroupEvent::VanishedStays { time: time(found, "t"), error: String::new() }),
        ),
        ("failed", r"\[(?<g>{group})\]: Failed to push group (?<h>{group}) to remote!", |found| {
            of_group(found, 1, GroupEvent::Failed(String::new()))
        }),
    ]
}
