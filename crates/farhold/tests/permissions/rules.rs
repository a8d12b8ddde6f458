//! The rules of access control, written down a second time: plain text, plain loops, nothing of the product.
//!
//! Source: `docs/spec/rest-api.md` 3, `docs/spec/config-and-access.md` 5.

use std::collections::BTreeSet;

/// A line of the access control list.
#[derive(Debug, Clone)]
pub struct Line {
    pub path: String,
    pub who: String,
    pub role: &'static str,
    pub propagates: bool,
}

impl Line {
    pub fn new(path: &str, who: &str, role: &'static str, propagates: bool) -> Self {
        Self { path: path.to_owned(), who: who.to_owned(), role, propagates }
    }

    /// Returns the line as `acl.cfg` has it.
    pub fn text(&self) -> String {
        format!("acl:{}:{}:{}:{}\n", u8::from(self.propagates), self.path, self.who, self.role)
    }
}

/// All privileges, as the specification lists them.
const ALL: &str = "Sys.Audit Sys.Modify Sys.PowerManagement Datastore.Audit Datastore.Allocate Datastore.Modify \
    Datastore.Read Datastore.Verify Datastore.Backup Datastore.Prune Permissions.Modify Remote.Audit Remote.Modify \
    Remote.Read Remote.DatastoreBackup Remote.DatastoreModify Remote.DatastorePrune Sys.Console Tape.Audit Tape.Modify \
    Tape.Write Tape.Read Realm.Allocate";

/// The roles and their privileges.
pub const ROLES: &[(&str, &str)] = &[
    ("Admin", ALL),
    ("NoAccess", ""),
    ("Audit", "Sys.Audit Datastore.Audit"),
    (
        "DatastoreAdmin",
        "Datastore.Audit Datastore.Modify Datastore.Read Datastore.Verify Datastore.Backup Datastore.Prune",
    ),
    ("DatastoreReader", "Datastore.Audit Datastore.Verify Datastore.Read"),
    ("DatastoreBackup", "Datastore.Backup"),
    ("DatastorePowerUser", "Datastore.Prune Datastore.Backup"),
    ("DatastoreAudit", "Datastore.Audit"),
    ("RemoteAudit", "Remote.Audit"),
    ("RemoteAdmin", "Remote.Audit Remote.Modify Remote.Read"),
    ("RemoteSyncOperator", "Remote.Audit Remote.Read"),
    ("RemoteSyncPushOperator", "Remote.Audit Remote.DatastoreBackup"),
    ("RemoteDatastorePowerUser", "Remote.Audit Remote.DatastoreBackup Remote.DatastorePrune"),
    ("RemoteDatastoreAdmin", "Remote.Audit Remote.DatastoreBackup Remote.DatastoreModify Remote.DatastorePrune"),
    ("TapeAudit", "Tape.Audit"),
    ("TapeAdmin", "Tape.Audit Tape.Modify Tape.Read Tape.Write"),
    ("TapeOperator", "Tape.Audit Tape.Read Tape.Write"),
    ("TapeReader", "Tape.Audit Tape.Read"),
];

fn privileges_of(role: &str) -> BTreeSet<&'static str> {
    let (_, privileges) = ROLES.iter().find(|(name, _)| *name == role).unwrap();
    privileges.split_whitespace().collect()
}

/// Returns the paths from the root to `path`, both included.
fn levels(path: &str) -> Vec<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    (0..=parts.len()).map(|count| format!("/{}", parts[..count].join("/"))).collect()
}

/// Returns what the lines for exactly this one give on `path`; with `only_propagated` what of it counts below it too.
fn own(lines: &[Line], who: &str, path: &str, only_propagated: bool) -> BTreeSet<&'static str> {
    let levels = levels(path);
    let mut roles: Vec<(&str, bool)> = Vec::new();
    for (number, level) in levels.iter().enumerate() {
        let is_last = number + 1 == levels.len();
        let mut here: Vec<(&str, bool)> = Vec::new();
        for line in lines.iter().filter(|line| line.who == who && line.path == *level) {
            // NoAccess and other roles push each other out; a later line of the same role sets its flag anew.
            here.retain(|(role, _)| *role != line.role && (*role == "NoAccess") == (line.role == "NoAccess"));
            here.push((line.role, line.propagates));
        }
        here.retain(|(_, propagates)| is_last || *propagates);
        if !here.is_empty() {
            roles = here;
        }
    }
    if roles.iter().any(|(role, _)| *role == "NoAccess") {
        return BTreeSet::new();
    }
    let counting = roles.into_iter().filter(|(_, propagates)| *propagates || !only_propagated);
    counting.flat_map(|(role, _)| privileges_of(role)).collect()
}

/// Returns the user of a token, or none for a user.
pub fn user_of(who: &str) -> Option<&str> {
    let (user, _) = who.split_once('!')?;
    Some(user)
}

/// Returns the privileges of a user or token on `path`.
pub fn privileges(lines: &[Line], who: &str, path: &str) -> BTreeSet<&'static str> {
    effective(lines, who, path, false)
}

fn effective(lines: &[Line], who: &str, path: &str, only_propagated: bool) -> BTreeSet<&'static str> {
    if who == "root@pam" {
        return ALL.split_whitespace().collect();
    }
    let mine = own(lines, who, path, only_propagated);
    match user_of(who) {
        None => mine,
        Some(user) => mine.intersection(&effective(lines, user, path, only_propagated)).copied().collect(),
    }
}

/// Returns whether there is any of `wanted` below `path`: what counts for all of it, or at an entry inside of it.
pub fn any_below(lines: &[Line], who: &str, path: &str, wanted: &[&str]) -> bool {
    let has = |privileges: BTreeSet<&str>| wanted.iter().any(|privilege| privileges.contains(privilege));
    let inside = lines.iter().filter(|line| line.who == who && line.path.starts_with(&format!("{path}/")));
    has(effective(lines, who, path, true)) || inside.into_iter().any(|line| has(privileges(lines, who, &line.path)))
}

/// Returns whether `who` counts as the owner of what `owner` made: the same one, or the user of that token.
pub fn owns(who: &str, owner: &str) -> bool {
    who == owner || user_of(owner) == Some(who)
}

#[test]
fn the_second_evaluator_knows_the_examples_of_the_specification() {
    let lines = [
        Line::new("/", "audit@pbs", "Audit", true),
        Line::new("/datastore/tank/a/secret", "audit@pbs", "NoAccess", false),
        Line::new("/datastore/tank", "sync@pbs", "DatastorePowerUser", false),
        Line::new("/", "sync@pbs!t", "Admin", true),
    ];
    let of = |who, path| privileges(&lines, who, path).into_iter().collect::<Vec<_>>();
    assert_eq!(of("audit@pbs", "/datastore/tank/a"), ["Datastore.Audit", "Sys.Audit"]);
    assert!(of("audit@pbs", "/datastore/tank/a/secret").is_empty());
    assert_eq!(of("audit@pbs", "/datastore/tank/a/secret/x"), ["Datastore.Audit", "Sys.Audit"], "not propagated");
    assert_eq!(of("sync@pbs!t", "/datastore/tank"), ["Datastore.Backup", "Datastore.Prune"]);
    assert!(of("sync@pbs!t", "/datastore/tank/a").is_empty());
    assert!(any_below(&lines, "audit@pbs", "/datastore", &["Datastore.Audit"]));
    assert!(any_below(&lines, "sync@pbs", "/datastore", &["Datastore.Prune"]));
    assert!(!any_below(&lines, "sync@pbs", "/remote", &["Datastore.Prune"]));
    assert!(owns("a@pbs", "a@pbs!t") && !owns("a@pbs!t", "a@pbs") && !owns("a@pbs!t", "a@pbs!s"));
}
