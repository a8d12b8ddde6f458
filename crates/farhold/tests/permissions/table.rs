//! Who may call what: read from the tables of `docs/spec/rest-api.md`, and written down here for our own calls.

use crate::support::specification::{self, REST_API, Specified};

/// What the specification says of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Everybody.
    World,
    /// Whoever is logged in.
    Any,
    /// Privileges on paths, all of these needs; declared: 403 before parameters are looked at.
    Declared(Vec<Need>),
    /// The user named in the path, or the need.
    SelfOr(Need),
    /// `OWN(full ; part)`: privileges for all groups, privileges for own ones.
    Own(Vec<String>, Vec<String>),
    /// Checked or filtered in the handler, as other parts of the specification say.
    Text(String),
}

/// At least one, or all, of some privileges on a path with variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    pub privileges: Vec<String>,
    pub any: bool,
    pub path: String,
}

/// A row: method, path template, rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub method: String,
    pub path: String,
    pub rule: Rule,
}

/// Calls of ours that the reference does not have; the rest of the row is as in the specification.
const OWN_CALLS: &str = include_str!("own_calls.txt");

/// Where the product differs from the specification's row on purpose: method, path, permission in its form, and why.
const ON_PURPOSE: &[(&str, &str, &str, &str)] = &[
    ("GET", "/nodes", "any", "rest-api.md 19.11: any user may"),
    (
        "GET",
        "/admin/gc/{store}",
        "Datastore.Audit|Datastore.Modify @ /datastore/{store}",
        "rest-api.md 19.12: the reference asks for nothing",
    ),
];

fn need(text: &str) -> Option<Need> {
    let (privileges, path) = text.split_once(" @ ")?;
    let privileges = privileges.trim().trim_matches('*');
    let path = path.trim().trim_matches('*');
    if !path.starts_with('/') || path.contains(' ') {
        return None;
    }
    let any = privileges.contains('|');
    let separator = if any { '|' } else { ',' };
    Some(Need {
        privileges: privileges.split(separator).map(|p| p.trim().to_owned()).collect(),
        any,
        path: path.to_owned(),
    })
}

fn with_area(privilege: &str) -> String {
    format!("Datastore.{}", privilege.trim())
}

fn rule(text: &str) -> Rule {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("self or ").and_then(need) {
        return Rule::SelfOr(rest);
    }
    if let Some(inside) = text.strip_prefix("OWN(").and_then(|rest| rest.split_once(')')).map(|(inside, _)| inside) {
        let (full, part) = inside.split_once(';').unwrap();
        let list = |text: &str| text.split('|').filter(|p| p.trim() != "nothing").map(with_area).collect();
        return Rule::Own(list(full), list(part));
    }
    match text {
        "world" => return Rule::World,
        "any" => return Rule::Any,
        _ => {}
    }
    // What follows a semicolon is checked in the handler on top.
    let declared = text.split(';').next().unwrap_or(text);
    let needs: Option<Vec<Need>> = declared.split(" and ").map(need).collect();
    match needs {
        Some(needs) if !text.starts_with("in") && !text.starts_with("filter") => Rule::Declared(needs),
        _ => Rule::Text(text.to_owned()),
    }
}

/// Returns the rows of a text that has tables like the specification's.
fn rows_of(text: &str) -> Vec<Row> {
    let row = |row: Specified| Row { rule: rule(&row.permission), method: row.method, path: row.path };
    specification::rows(text).into_iter().map(row).collect()
}

/// Returns all rows.
pub fn rows() -> Vec<Row> {
    let mut rows = rows_of(REST_API);
    assert!(150 < rows.len(), "only {} rows were read", rows.len());
    for (method, path, permission, _reason) in ON_PURPOSE {
        let row = rows.iter_mut().find(|row| row.method == *method && row.path == *path).unwrap();
        row.rule = rule(permission);
    }
    rows.extend(rows_of(OWN_CALLS));
    rows
}
