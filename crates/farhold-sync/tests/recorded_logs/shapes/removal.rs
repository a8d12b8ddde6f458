//! Lines about what vanished from the source.

use farhold_sync::{
    GroupEvent, GroupStep, KeptBecause, NamespaceStep, RemovalEvent, RemovedCounts, SyncEvent, SyncReport,
    removed_summary,
};
use farhold_types::{Namespace, SyncDirection};
use regex::Captures;

use super::{Ours, Row, names, part, rendered, run_event, time};
use crate::group_shapes::group_event;

const TWICE: &str = "the reference names a namespace twice, whatever goes; ours says that it begins, then how it ended";

/// A group of a synced namespace, or of one that vanished itself.
fn of_group(found: &Captures<'_>, index: Option<usize>, step: GroupStep) -> Ours {
    run_event(&SyncEvent::Removal(RemovalEvent::Group {
        index,
        ns: "x".parse().unwrap(),
        group: part(found, "g"),
        step,
    }))
}

fn of_namespace(found: &Captures<'_>, step: NamespaceStep) -> Ours {
    let ns: Namespace = part(found, "ns");
    rendered(names("src", "dst"), 1, &SyncEvent::Removal(RemovalEvent::Namespace { ns, step }))
}

fn place(found: &Captures<'_>) -> Option<String> {
    Some(found["path"].to_owned())
}

pub fn lines() -> Vec<Row> {
    vec![
        (
            "removed",
            r"Summary: removed vanished: snapshots: (?<s>\d+), groups: (?<g>\d+), namespaces: (?<n>\d+)",
            |found| {
                let removed = RemovedCounts {
                    snapshots: part(found, "s"),
                    groups: part(found, "g"),
                    namespaces: part(found, "n"),
                };
                let report = SyncReport { removed: Some(removed), ..SyncReport::default() };
                Ours::Line(removed_summary(SyncDirection::Pull, &report).unwrap())
            },
        ),
        ("removed-group", r"Delete vanished group '(?<g>{group})'", |found| {
            of_group(found, Some(0), GroupStep::Removing { location: None })
        }),
        ("kept-group", r"Kept some protected snapshots of group '(?<g>{group})'", |found| {
            of_group(found, Some(0), GroupStep::KeptProtected)
        }),
        ("removed-namespace", r"Removed namespace (?<ns>\S+)", |found| of_namespace(found, NamespaceStep::Removed)),
        ("kept-namespace", r"Did not remove namespace (?<ns>\S+) - protected snapshots remain", |found| {
            of_namespace(found, NamespaceStep::Kept(KeptBecause::Protected))
        }),
        ("removal-failed", r"failed to remove namespace \S+ - ENOTEMPTY: .*", |_| {
            Ours::Otherwise("one line tells that a namespace stays, and why; it is the warning")
        }),
        ("storage", r#"removing backup group "(?<path>.*/(?<g>{group}))""#, |found| {
            of_group(found, None, GroupStep::Removing { location: place(found) })
        }),
        ("storage", r#"removing backup snapshot "(?<path>.*/(?<g>{group})/(?<t>{time}))""#, |found| {
            let (time, location) = (time(found, "t"), place(found));
            of_group(found, Some(0), GroupStep::RemovingSnapshot { time, location })
        }),
        ("storage", r"removing groups in namespace dst:/(?<ns>\S+)", |found| {
            of_namespace(found, NamespaceStep::Removing)
        }),
        ("storage", r"removing all groups in namespace .*", |_| Ours::Otherwise(TWICE)),
        ("removed-snapshot", r"\[(?<g>{group})\]: delete vanished snapshot {group}/(?<t>{time})", |found| {
            let time = time(found, "t");
            group_event(found, GroupEvent::RemovingVanished { time, location: None })
        }),
        (
            "kept-snapshot",
            r"\[(?<g>{group})\]: {group}: don't delete vanished snapshot {group}/(?<t>{time}) \(protected\)",
            |found| group_event(found, GroupEvent::KeptProtected(time(found, "t"))),
        ),
    ]
}
