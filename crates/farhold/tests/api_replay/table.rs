//! The table of all endpoints of the specification and of what the replays show of each: `docs/api-endpoints.md`.
//!
//! Rows come from the tables of `docs/spec/rest-api.md`, counts from the replays. A run with `FARHOLD_WRITE_DOCS` writes
//! the table, all others compare it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use farhold_api::endpoints;
use percent_encoding::percent_decode_str;

use crate::exchange::Exchange;
use crate::support::specification::{self, REST_API, Specified};

/// What became of one recorded call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Answered as recorded.
    Equal,
    /// Answered otherwise, for this reason.
    Differs(&'static str),
    /// Not played.
    NotPlayed,
}

/// One recorded call, as far as the table tells of it.
#[derive(Debug)]
pub struct Call {
    method: String,
    components: Vec<String>,
    is_index: bool,
    seen: Seen,
}

impl Call {
    pub fn new(exchange: &Exchange, seen: Seen) -> Self {
        let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let components = exchange.bare_path().split('/').filter(|part| !part.is_empty()).map(decoded).collect();
        let is_index = exchange.response.pointer("/data/0/subdir").is_some();
        Self { method: exchange.method.clone(), components, is_index, seen }
    }

    /// Returns the components below the format; `None` for paths outside of the API.
    fn below(&self) -> Option<Vec<&str>> {
        let components: Vec<&str> = self.components.iter().map(String::as_str).collect();
        match components[..] {
            ["api2", "json" | "extjs", ref rest @ ..] => Some(rest.to_vec()),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    equal: usize,
    differs: usize,
    not_played: usize,
    reasons: BTreeSet<&'static str>,
}

impl Counts {
    fn add(&mut self, seen: Seen) {
        match seen {
            Seen::Equal => self.equal += 1,
            Seen::NotPlayed => self.not_played += 1,
            Seen::Differs(reason) => {
                self.differs += 1;
                self.reasons.insert(reason);
            }
        }
    }

    /// Returns the cells of a row.
    fn cells(&self, remark: Option<&str>) -> String {
        let recorded = self.equal + self.differs + self.not_played;
        let remarks: Vec<&str> = remark.into_iter().chain(self.reasons.iter().copied()).collect();
        format!("{recorded} | {} | {} | {} | {}", self.equal, self.differs, self.not_played, remarks.join("; "))
    }
}

#[derive(Debug)]
struct Row {
    tier: String,
    method: String,
    path: String,
    counts: Counts,
}

impl Row {
    fn parts(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter(|part| !part.is_empty())
    }

    /// Returns how many components are the very ones of the path, if it fits.
    fn fit(&self, method: &str, components: &[&str]) -> Option<usize> {
        let parts: Vec<&str> = self.parts().collect();
        let fits = self.method == method
            && parts.len() == components.len()
            && parts.iter().zip(components).all(|(part, given)| part.starts_with('{') || part == given);
        fits.then(|| parts.iter().filter(|part| !part.starts_with('{')).count())
    }
}

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Returns the endpoints of the specification's tables, in its order.
fn specified() -> Vec<Row> {
    let row = |row: Specified| Row { tier: row.tier, method: row.method, path: row.path, counts: Counts::default() };
    specification::rows(REST_API).into_iter().map(row).collect()
}

/// Returns the text of the table.
fn text(calls: &[Call]) -> String {
    let mut rows = specified();
    assert!(150 < rows.len(), "the tables of the specification are read wrongly");
    let offered: Vec<(String, &'static str)> = endpoints::all()
        .iter()
        .map(|endpoint| (endpoint.declaration.method.to_string(), endpoint.declaration.path))
        .collect();
    let mut other: BTreeMap<&str, Counts> = BTreeMap::new();
    for call in calls {
        let below = call.below();
        let best = below.as_ref().and_then(|components| {
            let fits = rows.iter().enumerate().filter_map(|(n, row)| Some((row.fit(&call.method, components)?, n)));
            fits.max_by_key(|(literals, n)| (*literals, usize::MAX - n)).map(|(_, n)| n)
        });
        let counts = match best {
            Some(number) => &mut rows[number].counts,
            None if call.is_index => other.entry("Directory indexes").or_default(),
            None => other.entry("Paths and methods that do not exist").or_default(),
        };
        counts.add(call.seen);
    }
    // A variable of the specification may be several literal paths here.
    let is_offered = |row: &Row| {
        offered.iter().any(|(method, path)| {
            let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
            let same = |(ours, theirs): (&&str, &str)| theirs.starts_with('{') || *ours == theirs;
            *method == row.method && parts.len() == row.parts().count() && parts.iter().zip(row.parts()).all(same)
        })
    };
    let mut text = String::from(HEAD);
    let mut missing = 0;
    for row in &rows {
        let remark = (!is_offered(row)).then_some("not offered");
        missing += usize::from(remark.is_some());
        let Row { tier, method, path, counts } = row;
        writeln!(text, "| {tier} | {method} | `{path}` | {} |", counts.cells(remark)).unwrap();
    }
    for (name, counts) in &other {
        writeln!(text, "| – | – | {name} | {} |", counts.cells(None)).unwrap();
    }
    let all = |count: fn(&Counts) -> usize| {
        rows.iter().map(|row| count(&row.counts)).chain(other.values().map(count)).sum::<usize>()
    };
    writeln!(
        text,
        "\n{} of {} endpoints are offered. Of {} recorded calls {} are answered as recorded, {} otherwise on purpose, \
         and {} are not played.",
        rows.len() - missing,
        rows.len(),
        calls.len(),
        all(|counts| counts.equal),
        all(|counts| counts.differs),
        all(|counts| counts.not_played),
    )
    .unwrap();
    text += "\n## Our own additions\n\nNo recording knows them.\n\n";
    for endpoint in endpoints::all() {
        let declaration = &endpoint.declaration;
        if declaration.path.starts_with("/farhold") {
            writeln!(text, "- {} `{}`: {}", declaration.method, declaration.path, declaration.summary).unwrap();
        }
    }
    text
}

const HEAD: &str = "\
# Endpoints of the REST interface

All endpoints of [the specification](spec/rest-api.md) with their tiers (M: needed by peers and clients of the reference \
product, U: expected by users and other clients, O: optional), and what came of playing the [recorded \
calls](../tests/golden/api/README.md) against our server. Written by the replays, `crates/farhold/tests/api_replay`, with \
`FARHOLD_WRITE_DOCS=1`; otherwise compared by them. What the calls take and answer is in [openapi.json](openapi.json), \
and a running server shows it at `/api-docs`. Both are open without a login: they are the same for all servers of a version.

A call is not played if its endpoint is not offered, or if it is about something that such a call made.

| Tier | Method | Path | Recorded | Equal | Differs on purpose | Not played | Why |
|---|---|---|---|---|---|---|---|
";

/// Compares the committed table, or writes it.
pub fn check(calls: &[Call]) {
    let path = root().join("docs/api-endpoints.md");
    let text = text(calls);
    if std::env::var_os("FARHOLD_WRITE_DOCS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let changed: Vec<&str> = text.lines().filter(|line| !committed.lines().any(|old| old == *line)).collect();
    assert!(committed == text, "FARHOLD_WRITE_DOCS=1 writes docs/api-endpoints.md anew; new lines: {changed:#?}");
}
