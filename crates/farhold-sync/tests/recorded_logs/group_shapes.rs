//! The lines about a group, with its name before them. See [`crate::shapes`].

use std::time::Duration;

use farhold_rules::sync_plan::{SkipClass, SkipReason};
use farhold_sync::{GroupEvent, StartState, SyncEvent};
use farhold_types::Group;
use regex::Captures;

use crate::shapes::{Ours, Row, bytes_of, key, names, part, rendered, time};

fn group_event_of(found: &Captures<'_>, workers: usize, event: GroupEvent) -> Ours {
    let group: Group = part(found, "g");
    rendered(names("src", "dst"), workers, &SyncEvent::Group { index: 0, group, event })
}

pub fn group_event(found: &Captures<'_>, event: GroupEvent) -> Ours {
    group_event_of(found, 1, event)
}

/// Returns our line for the progress of a group. The share of `done` of `taken` snapshots comes on top of whole groups.
fn progress(found: &Captures<'_>, taken: usize, done: usize, groups_done: usize, groups: usize) -> Ours {
    group_event(found, GroupEvent::SnapshotProgress { done, taken, groups_done, groups })
}

fn skipped(found: &Captures<'_>, reason: SkipReason) -> Ours {
    let oldest = time(found, "t");
    let newest = found.name("u").map_or(oldest, |_| time(found, "u"));
    group_event(found, GroupEvent::Skipped(SkipClass { reason, count: part(found, "n"), oldest, newest }))
}

fn started(found: &Captures<'_>, state: StartState) -> Ours {
    group_event(found, GroupEvent::SnapshotStarted { time: time(found, "t"), state })
}

pub fn lines() -> Vec<Row> {
    vec![
        ("in-progress", r"\[(?<g>{group})\]: skipping snapshot {group}/(?<t>{time}) - in-progress backup", |found| {
            group_event(found, GroupEvent::InProgress(time(found, "t")))
        }),
        (
            "skipped",
            r"\[(?<g>{group})\]: {group}: skipped: (?<n>\d+) snapshot\(s\) \((?<t>{time})( \.\. (?<u>{time}))?\) - older than the newest snapshot present on sync target",
            |found| skipped(found, SkipReason::AlreadySynced),
        ),
        (
            "skipped",
            r"\[(?<g>{group})\]: {group}: skipped: (?<n>\d+) snapshot\(s\) \((?<t>{time})( \.\. (?<u>{time}))?\) - due to transfer-last",
            |found| skipped(found, SkipReason::TransferLast),
        ),
        ("new", r"\[(?<g>{group})\]: (?<t>{time}): start sync", |found| started(found, StartState::New)),
        ("again", r"\[(?<g>{group})\]: re-sync snapshot (?<t>{time})", |found| started(found, StartState::Existing)),
        ("again", r"\[(?<g>{group})\]: re-sync snapshot (?<t>{time}) due to corruption", |found| {
            started(found, StartState::Corrupt)
        }),
        ("blob", r"\[(?<g>{group})\]: (?<t>{time})/(?<a>\S+\.blob): sync archive", |found| {
            group_event(found, GroupEvent::ArchiveStarted { time: time(found, "t"), archive: part(found, "a") })
        }),
        ("index", r"\[(?<g>{group})\]: (?<t>{time})/(?<a>\S+\.[df]idx): sync archive", |found| {
            group_event(found, GroupEvent::ArchiveStarted { time: time(found, "t"), archive: part(found, "a") })
        }),
        (
            "downloaded",
            r"\[(?<g>{group})\]: (?<t>{time})/(?<a>\S+): downloaded (?<size>[0-9.]+ [A-Za-z]+) \(.*/s\)",
            |found| {
                let (bytes, elapsed) = (bytes_of(&found["size"]), Duration::from_secs(1));
                let (time, archive) = (time(found, "t"), part(found, "a"));
                group_event(found, GroupEvent::IndexDone { time, archive, bytes, elapsed })
            },
        ),
        (
            "changed",
            r#"\[(?<g>{group})\]: (?<t>{time}): detected changed file "(?<path>[^"]+)" - wrong checksum for file '(?<a>[^']+)'"#,
            |found| {
                let archive = part(found, "a");
                let ours = group_event(found, GroupEvent::ArchiveMismatch { time: time(found, "t"), archive });
                // Ours names the file without the folder of the store.
                let Ours::Line(line) = ours else { return ours };
                let cut =
                    |line: &str| line.replace(&found["path"], &found["a"]).split(" - ").next().unwrap().to_owned();
                assert_eq!(cut(&line), cut(&found[0]));
                Ours::Start(found[0].split('"').next().unwrap().to_owned())
            },
        ),
        ("log", r"\[(?<g>{group})\]: Snapshot {group}/(?<t>{time}): got backup log file client.log.blob", |found| {
            group_event(found, GroupEvent::LogFetched(time(found, "t")))
        }),
        ("unchanged", r"\[(?<g>{group})\]: (?<t>{time}): no data changes", |found| {
            group_event(found, GroupEvent::NoDataChanges(time(found, "t")))
        }),
        ("vanished", r"\[(?<g>{group})\]: (?<t>{time}): skipped because vanished since start of sync", |found| {
            group_event(found, GroupEvent::VanishedOnSource(time(found, "t")))
        }),
        ("done", r"\[(?<g>{group})\]: (?<t>{time}): sync done", |found| {
            group_event(found, GroupEvent::SnapshotDone(time(found, "t")))
        }),
        ("progress", r"\[(?<g>{group})\]: percentage done: (?<p>\S+)% \((?<d>\d+)/(?<of>\d+) groups\)", |found| {
            progress(found, 0, 0, part(found, "d"), part(found, "of"))
        }),
        ("progress", r"\[(?<g>{group})\]: percentage done: (?<p>\S+)% \((?<s>\d+)/(?<n>\d+) snapshots\)", |found| {
            progress(found, part(found, "n"), part(found, "s"), 0, 1)
        }),
        (
            "progress",
            r"\[(?<g>{group})\]: percentage done: (?<p>\S+)% \((?<d>\d+)/(?<of>\d+) groups, (?<s>\d+)/(?<n>\d+) snapshots in group #\d+\)",
            |found| progress(found, part(found, "n"), part(found, "s"), part(found, "d"), part(found, "of")),
        ),
        (
            "within",
            r"\[(?<g>{group})\]: snapshot (?<s>\d+)/(?<n>\d+) within {group} is done, (?<d>\d+)/(?<of>\d+) groups done",
            |found| {
                let (done, taken) = (part(found, "s"), part(found, "n"));
                let (groups_done, groups) = (part(found, "d"), part(found, "of"));
                group_event_of(found, 2, GroupEvent::SnapshotProgress { done, taken, groups_done, groups })
            },
        ),
        (
            "group-done",
            r"\[(?<g>{group})\]: group sync done: percentage done: \S+% \((?<d>\d+)/(?<of>\d+) groups\)",
            |found| {
                let (groups_done, groups) = (part(found, "d"), part(found, "of"));
                group_event_of(found, 2, GroupEvent::Finished { has_progress: true, behind: 0, groups_done, groups })
            },
        ),
        ("failed", r"\[(?<g>{group})\]: sync group {group} failed - (?<error>.*)", |found| {
            group_event(found, GroupEvent::Failed(found["error"].to_owned()))
        }),
        (
            "key",
            r"\[(?<g>{group})\]: Found matching key '(?<k>.*)' with fingerprint (?<f>.*), decrypt on pull",
            |found| group_event(found, GroupEvent::KeyMatches(key(found))),
        ),
        ("no-key", r"\[(?<g>{group})\]: (?<t>{time}): No matching key found, sync without decryption", |found| {
            group_event(found, GroupEvent::NoKeyMatches(time(found, "t")))
        }),
        (
            "mixed",
            r"\[(?<g>{group})\]: Snapshot not fully encrypted, sync as is despite matching key '(?<k>.*)' with fingerprint (?<f>.*)",
            |found| group_event(found, GroupEvent::NotFullyEncrypted(key(found))),
        ),
        ("failed-more", r"\[{group}\]: create_locked_backup_group failed", |_| {
            Ours::Otherwise("a second line for the same failure tells nothing")
        }),
    ]
}
