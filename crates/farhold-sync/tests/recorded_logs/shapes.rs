//! Every kind of line that the recorded pulls have: how it is recognised, and how ours comes about.
//!
//! A line is read into the event it tells of, the event goes through [`LogRenderer`], and what comes out must be the
//! recorded line again, character by character but for rates. So a changed word on our side fails, and so does a recorded
//! line that no event of ours tells.

mod removal;

use std::time::Duration;

use farhold_rules::namespace_map::NamespacePair;
use farhold_rules::sync_plan::{SkipClass, SkipReason};
use farhold_sync::{
    GroupEvent, KeyName, LogNames, LogRenderer, StartState, SyncError, SyncEvent, SyncReport, closing, summary,
};
use farhold_types::{Epoch, Group, Namespace};
use regex::{Captures, Regex};

/// Makes our line out of what a recorded one names.
type Make = fn(&Captures<'_>) -> Ours;

/// What we write instead of a recorded line.
pub enum Ours {
    /// This.
    Line(String),
    /// A line that begins so; what follows is a free text, such as the cause of an error.
    Start(String),
    /// Something else on purpose: the reason.
    Otherwise(&'static str),
}

/// One kind of line.
struct Shape {
    /// Name, for [`crate::order`].
    word: &'static str,
    is_of_group: bool,
    pattern: Regex,
    make: Make,
}

/// All kinds. A line is of the first kind that it matches.
pub struct Shapes(Vec<Shape>);

/// Parts of patterns: time of a snapshot, group, namespace as lines name it.
const PARTS: [(&str, &str); 4] = [
    ("{time}", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
    ("{group}", r"(?:vm|ct|host)/[A-Za-z0-9_.-]+"),
    ("{ns}", r"root namespace|namespace '[^']*'"),
    ("{store}", r"[A-Za-z0-9_.-]+"),
];

fn pattern(text: &str) -> Regex {
    let parts = PARTS.iter().fold(text.to_owned(), |text, (name, part)| text.replace(name, part));
    Regex::new(&format!("^{parts}$")).unwrap()
}

impl Shapes {
    pub fn new() -> Self {
        let lines = run_lines().into_iter().chain(removal::lines()).chain(group_lines());
        let shape = |(word, text, make): (&'static str, &str, Make)| {
            let is_of_group = text.starts_with(r"\[");
            Shape { word, is_of_group, pattern: pattern(text), make }
        };
        Self(lines.map(shape).collect())
    }

    fn shape(&self, line: &str) -> Option<&Shape> {
        self.0.iter().find(|shape| line.starts_with('[') == shape.is_of_group && shape.pattern.is_match(line))
    }

    /// Returns our line for a recorded one.
    pub fn ours(&self, line: &str) -> Option<Ours> {
        let shape = self.shape(line)?;
        Some((shape.make)(&shape.pattern.captures(line)?))
    }

    /// Returns the name of the kind of a line.
    pub fn word(&self, line: &str) -> Option<&'static str> {
        self.shape(line).map(|shape| shape.word)
    }
}

fn part<T: std::str::FromStr<Err: std::fmt::Debug>>(found: &Captures<'_>, name: &str) -> T {
    found[name].parse().unwrap()
}

fn time(found: &Captures<'_>, name: &str) -> Epoch {
    Epoch::parse_rfc3339_utc(&found[name]).unwrap()
}

/// Reads `root namespace`, `namespace 'a'` or `namespace a`.
fn namespace(text: &str) -> Namespace {
    match text.strip_prefix("namespace ") {
        Some(name) => name.trim_matches('\'').parse().unwrap(),
        None => Namespace::root(),
    }
}

fn names(source: &str, target: &str) -> LogNames {
    let (remote, source) = match source.split_once('/') {
        Some((remote, store)) => (Some(remote.parse().unwrap()), store),
        None => (None, source),
    };
    LogNames { remote, source_store: source.parse().unwrap(), target_store: target.parse().unwrap() }
}

/// Returns the last line that our renderer writes for an event.
fn rendered(names: LogNames, workers: usize, event: &SyncEvent) -> Ours {
    let mut renderer = LogRenderer::new(names, workers);
    let mut lines = renderer.render(event);
    lines.extend(renderer.flush());
    lines.pop().map_or(Ours::Otherwise("no line"), |line| Ours::Line(line.text))
}

fn run_event(event: &SyncEvent) -> Ours {
    rendered(names("src", "dst"), 1, event)
}

fn pair_of(found: &Captures<'_>) -> NamespacePair {
    NamespacePair { source: namespace(&found["from"]), target: namespace(&found["to"]) }
}

fn same_pair(found: &Captures<'_>) -> NamespacePair {
    let ns = namespace(&found["ns"]);
    NamespacePair { source: ns.clone(), target: ns }
}

const NOTIFICATIONS: &str = "notifications are later work";
const FINGERPRINT: &str = "the error itself names the expected and the found fingerprint, instead of lines before it";
const ANCHOR: &str = "a missing anchor is the error of the run, before anything else (fault 2)";

/// Returns the key that a line names. Lines show the first 8 bytes of its fingerprint.
fn key_of(found: &Captures<'_>) -> KeyName {
    let fingerprint = format!("{}{}", &found["f"], ":00".repeat(24)).parse().unwrap();
    KeyName { id: part(found, "id"), fingerprint }
}

/// Returns a line whose end is a free text.
fn start(text: String) -> Ours {
    Ours::Start(text)
}

fn run_lines() -> Vec<(&'static str, &'static str, Make)> {
    vec![
        ("begin", r"Starting datastore sync job '(?<id>.*)'", |found| {
            Ours::Line(names("src", "dst").opening(&found["id"])[0].clone())
        }),
        ("schedule", r"task triggered by schedule '(?<event>.*)'", |_| Ours::Otherwise("checked where jobs start")),
        ("ends", r"sync datastore '(?<to>{store})' from '(?<from>[^']+)'", |found| {
            Ours::Line(names(&found["from"], &found["to"]).opening("x")[1].clone())
        }),
        ("once", r"pull datastore '{store}' from '[^']+'", |_| Ours::Otherwise("checked where jobs start")),
        ("once-end", r"pull datastore '{store}' end", |_| Ours::Otherwise("checked where jobs start")),
        ("dashes", "----", |_| Ours::Line("----".to_owned())),
        (
            "namespace",
            r"Syncing datastore '(?<a>{store})', (?<from>{ns}) into datastore '(?<b>{store})', (?<to>{ns})",
            |found| {
                let event = SyncEvent::NamespaceStarted { index: 0, pair: pair_of(found) };
                rendered(names(&found["a"], &found["b"]), 1, &event)
            },
        ),
        ("created", r"Created namespace (?<ns>\S+)", |found| {
            let ns: Namespace = part(found, "ns");
            let pair = NamespacePair { source: Namespace::root(), target: ns };
            run_event(&SyncEvent::NamespaceCreated { index: 0, pair })
        }),
        ("found", r"Found (?<n>\d+) groups to sync \(out of (?<of>\d+) total\)", |found| {
            let (selected, total) = (part(found, "n"), part(found, "of"));
            run_event(&SyncEvent::GroupsFound { index: 0, selected, total })
        }),
        (
            "finished",
            r"Finished syncing (?<ns>root namespace|namespace \S+), current progress: (?<g>\d+) groups, (?<s>\d+) snapshots",
            |found| {
                let (pair, groups, snapshots) = (same_pair(found), part(found, "g"), part(found, "s"));
                let is_reported = true;
                run_event(&SyncEvent::NamespaceFinished { index: 0, pair, groups, snapshots, is_reported })
            },
        ),
        (
            "refused",
            r"Cannot sync datastore '(?<a>{store})', (?<from>{ns}) into datastore '(?<b>{store})', (?<to>{ns}) - (?<error>.*)",
            |found| {
                let error = found["error"].to_owned();
                let event = SyncEvent::NamespaceFailed { index: 0, pair: pair_of(found), is_listing: false, error };
                rendered(names(&found["a"], &found["b"]), 1, &event)
            },
        ),
        ("unlisted", r"Encountered errors while syncing namespace nosuch - .*", |_| Ours::Otherwise(ANCHOR)),
        ("key", r"Loaded encryption key '(?<id>.*)' with fingerprint '(?<f>.*)'", |found| {
            run_event(&SyncEvent::KeyLoaded(key_of(found)))
        }),
        ("compat", r"Could not query remote for namespaces \(404\) .*", |_| {
            let lines = LogRenderer::new(names("src", "dst"), 1).render(&SyncEvent::CompatibilityMode);
            Ours::Line(lines[0].text.clone())
        }),
        ("compat-hint", r"Either make backwards-compat mode explicit .*", |_| run_event(&SyncEvent::CompatibilityMode)),
        ("nothing", r"Summary: sync job found no new data to pull", |_| Ours::Line(summary(&SyncReport::default()))),
        (
            "summary",
            r"Summary: sync job pulled (?<size>[0-9.]+ [A-Za-z]+) in (?<n>\d+) chunks \(average rate: .*/s\)",
            |found| {
                let (bytes, chunks) = (bytes_of(&found["size"]), part(found, "n"));
                Ours::Line(summary(&SyncReport { bytes, chunks, ..SyncReport::default() }))
            },
        ),
        ("end", r"sync job '(?<id>.*)' end", |found| Ours::Line(closing(&found["id"]))),
        ("queued", r"queued notification \(id=.*\)", |_| Ours::Otherwise(NOTIFICATIONS)),
        ("result", r"TASK OK|TASK WARNINGS: \d+", |_| {
            Ours::Otherwise("written by the room of tasks, with tests there")
        }),
        ("result", r"TASK ERROR: sync failed with some errors\.", |_| {
            start(format!("TASK ERROR: {}", SyncError::SomeFailed(Box::default())))
        }),
        ("result", r"TASK ERROR: sync aborted", |_| Ours::Line(format!("TASK ERROR: {}", SyncError::Cancelled))),
        ("result", r"TASK ERROR: .*", |_| Ours::Otherwise("the cause of a whole run, checked where jobs start")),
        ("warning", r"WARNING: certificate fingerprint .*|expected: .*|certificate validation failed .*", |_| {
            Ours::Otherwise(FINGERPRINT)
        }),
    ]
}

/// Reads an amount in the form of the logs.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "amounts of recorded logs")]
fn bytes_of(text: &str) -> u64 {
    let (number, unit) = text.split_once(' ').unwrap();
    let power = ["B", "KiB", "MiB", "GiB"].iter().position(|name| *name == unit).unwrap();
    (number.parse::<f64>().unwrap() * 1024f64.powi(i32::try_from(power).unwrap())).round() as u64
}

fn group_event_of(found: &Captures<'_>, workers: usize, event: GroupEvent) -> Ours {
    let group: Group = part(found, "g");
    rendered(names("src", "dst"), workers, &SyncEvent::Group { index: 0, group, event })
}

fn group_event(found: &Captures<'_>, event: GroupEvent) -> Ours {
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

fn group_lines() -> Vec<(&'static str, &'static str, Make)> {
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
                group_event_of(found, 2, GroupEvent::Finished { has_progress: true, groups_done, groups })
            },
        ),
        ("failed", r"\[(?<g>{group})\]: sync group {group} failed - (?<error>.*)", |found| {
            group_event(found, GroupEvent::Failed(found["error"].to_owned()))
        }),
        ("key", r"\[(?<g>{group})\]: Found matching key '(?<id>.*)' with fingerprint (?<f>\S+), .*", |found| {
            group_event(found, GroupEvent::KeyMatches(key_of(found)))
        }),
        ("no-key", r"\[(?<g>{group})\]: (?<t>{time}): No matching key found, .*", |found| {
            group_event(found, GroupEvent::NoKeyMatches(time(found, "t")))
        }),
        (
            "mixed",
            r"\[(?<g>{group})\]: Snapshot not fully encrypted, .* key '(?<id>.*)' with fingerprint (?<f>\S+)",
            |found| group_event(found, GroupEvent::NotFullyEncrypted(key_of(found))),
        ),
        ("failed-more", r"\[{group}\]: create_locked_backup_group failed", |_| {
            Ours::Otherwise("a second line for the same failure tells nothing")
        }),
    ]
}
