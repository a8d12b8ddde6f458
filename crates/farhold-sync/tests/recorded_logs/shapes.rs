//! Every kind of line that the recorded pulls have: how it is recognised, and how ours comes about.
//!
//! A line is read into the event it tells of, the event goes through [`LogRenderer`], and what comes out must be the
//! recorded line again, character by character but for rates. So a changed word on our side fails, and so does a recorded
//! line that no event of ours tells.

mod removal;

use farhold_rules::namespace_map::NamespacePair;
use farhold_sync::{KeyName, LogNames, LogRenderer, SyncError, SyncEvent, SyncReport, closing, summary};
use farhold_types::{Epoch, Namespace, SyncDirection};
use regex::{Captures, Regex};

use crate::group_shapes;

/// Makes our line out of what a recorded one names.
type Make = fn(&Captures<'_>) -> Ours;

/// Name, pattern, and how ours comes about.
pub type Row = (&'static str, &'static str, Make);

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
        Self::from_rows(Vec::new())
    }

    /// Returns the kinds of lines of a push: where its words are its own, they come first.
    pub fn of_pushes() -> Self {
        Self::from_rows(crate::push_shapes::lines())
    }

    fn from_rows(first: Vec<Row>) -> Self {
        let lines = first.into_iter().chain(run_lines()).chain(removal::lines()).chain(group_shapes::lines());
        let shape = |(word, text, make): Row| {
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

pub fn part<T: std::str::FromStr<Err: std::fmt::Debug>>(found: &Captures<'_>, name: &str) -> T {
    found[name].parse().unwrap()
}

pub fn time(found: &Captures<'_>, name: &str) -> Epoch {
    Epoch::parse_rfc3339_utc(&found[name]).unwrap()
}

/// Reads `root namespace`, `namespace 'a'` or `namespace a`.
fn namespace(text: &str) -> Namespace {
    match text.strip_prefix("namespace ") {
        Some(name) => name.trim_matches('\'').parse().unwrap(),
        None => Namespace::root(),
    }
}

pub fn names(source: &str, target: &str) -> LogNames {
    let (remote, source) = match source.split_once('/') {
        Some((remote, store)) => (Some(remote.parse().unwrap()), store),
        None => (None, source),
    };
    let (source_store, target_store) = (source.parse().unwrap(), target.parse().unwrap());
    LogNames { direction: SyncDirection::Pull, remote, source_store, target_store }
}

/// Returns the last line that our renderer writes for an event.
pub fn rendered(names: LogNames, workers: usize, event: &SyncEvent) -> Ours {
    let mut renderer = LogRenderer::new(names, workers);
    let mut lines = renderer.render(event);
    lines.extend(renderer.flush());
    lines.pop().map_or(Ours::Otherwise("no line"), |line| Ours::Line(line.text))
}

fn run_event(event: &SyncEvent) -> Ours {
    rendered(names("src", "dst"), 1, event)
}

pub fn pair_of(found: &Captures<'_>) -> NamespacePair {
    NamespacePair { source: namespace(&found["from"]), target: namespace(&found["to"]) }
}

/// Reads a key of which the log names the first 8 bytes of the fingerprint.
pub fn key(found: &Captures<'_>) -> KeyName {
    let fingerprint = format!("{}{}", &found["f"], ":00".repeat(24));
    KeyName { id: part(found, "k"), fingerprint: fingerprint.parse().unwrap() }
}

fn same_pair(found: &Captures<'_>) -> NamespacePair {
    let ns = namespace(&found["ns"]);
    NamespacePair { source: ns.clone(), target: ns }
}

const NOTIFICATIONS: &str = "written by the room of jobs, with tests there";
const FINGERPRINT: &str = "the error itself names the expected and the found fingerprint, instead of lines before it";

/// Returns a line whose end is a free text.
fn start(text: String) -> Ours {
    Ours::Start(text)
}

fn run_lines() -> Vec<Row> {
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
        ("unlisted", r"Encountered errors while syncing (?<ns>root namespace|namespace \S+) - (?<error>.*)", |found| {
            let (pair, error) = (same_pair(found), found["error"].to_owned());
            run_event(&SyncEvent::NamespaceFailed { index: 0, pair, is_listing: true, error })
        }),
        ("key", r"Loaded encryption key '(?<k>.*)' with fingerprint '(?<f>.*)'", |found| {
            run_event(&SyncEvent::KeyLoaded(key(found)))
        }),
        ("compat", r"Could not query remote for namespaces \(404\) .*", |_| {
            let lines = LogRenderer::new(names("src", "dst"), 1).render(&SyncEvent::CompatibilityMode);
            Ours::Line(lines[0].text.clone())
        }),
        ("compat-hint", r"Either make backwards-compat mode explicit .*", |_| run_event(&SyncEvent::CompatibilityMode)),
        ("nothing", r"Summary: sync job found no new data to pull", |_| {
            Ours::Line(summary(SyncDirection::Pull, &SyncReport::default()))
        }),
        (
            "summary",
            r"Summary: sync job pulled (?<size>[0-9.]+ [A-Za-z]+) in (?<n>\d+) chunks \(average rate: .*/s\)",
            |found| {
                let (bytes, chunks) = (bytes_of(&found["size"]), part(found, "n"));
                Ours::Line(summary(SyncDirection::Pull, &SyncReport { bytes, chunks, ..SyncReport::default() }))
            },
        ),
        ("end", r"sync job '(?<id>.*)' end", |found| Ours::Line(closing(&found["id"]))),
        ("queued", r"queued notification \(id=.*\)", |_| Ours::Otherwise(NOTIFICATIONS)),
        ("result", r"TASK OK|TASK WARNINGS: \d+", |_| {
            Ours::Otherwise("written by the room of tasks, with tests there")
        }),
        ("result", r"TASK ERROR: (sync failed with some errors\.|Sync failed with some errors!)", |_| {
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
pub fn bytes_of(text: &str) -> u64 {
    let (number, unit) = text.split_once(' ').unwrap();
    let power = ["B", "KiB", "MiB", "GiB"].iter().position(|name| *name == unit).unwrap();
    (number.parse::<f64>().unwrap() * 1024f64.powi(i32::try_from(power).unwrap())).round() as u64
}
