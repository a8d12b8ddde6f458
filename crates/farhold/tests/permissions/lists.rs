//! The access control lists that the cells are tried with.

use farhold_testkit::SeededRandomness;
use farhold_types::Randomness;

use crate::rules::{Line, ROLES};
use crate::scene::{OTHER, OTHER_TOKEN, TOKEN, USER};

/// Where permissions are asked for.
pub const PATHS: &[&str] = &[
    "/",
    "/access",
    "/access/acl",
    "/access/domains",
    "/access/users",
    "/datastore",
    "/datastore/golden",
    "/datastore/tank",
    "/datastore/tank/a",
    "/datastore/tank/a/b",
    "/remote",
    "/remote/far",
    "/remote/far/vault",
    "/remote/near",
    "/system",
    "/system/certificates",
    "/system/disks",
    "/system/encryption-keys",
    "/system/encryption-keys/key-far",
    "/system/log",
    "/system/notifications",
    "/system/status",
    "/system/tasks",
    "/system/time",
];

fn everywhere(who: &str, role: &'static str, propagates: bool) -> Vec<Line> {
    PATHS.iter().map(|path| Line::new(path, who, role, propagates)).collect()
}

/// Returns the lists that try one role: at the root and at each path, with and without propagation, for the user, for its
/// token, and for both.
pub fn of_role(role: &'static str) -> Vec<Vec<Line>> {
    let from_root = |who, role| vec![Line::new("/", who, role, true)];
    let lists = [
        [from_root(USER, role), everywhere(TOKEN, role, false), from_root("root@pam!t", role)].concat(),
        [everywhere(USER, role, false), from_root(TOKEN, role), from_root(OTHER, role)].concat(),
        [vec![Line::new("/", USER, role, false)], from_root(TOKEN, "Admin")].concat(),
        // Entries on the way replace what came from above.
        [from_root(USER, "Admin"), everywhere(USER, role, false), from_root(TOKEN, "Admin")].concat(),
    ];
    lists.into_iter().collect()
}

/// Returns lists of arbitrary lines, the same ones each time.
pub fn arbitrary(count: u64) -> Vec<Vec<Line>> {
    let who = [USER, TOKEN, OTHER_TOKEN, OTHER, "root@pam!t"];
    (0..count)
        .map(|seed| {
            let random = SeededRandomness::new(seed);
            let pick = |bound: usize| {
                let mut byte = [0];
                random.fill(&mut byte);
                usize::from(byte[0]) % bound
            };
            let lines = 1 + pick(20);
            let line = |_| {
                let (path, who, role) = (PATHS[pick(PATHS.len())], who[pick(who.len())], ROLES[pick(ROLES.len())].0);
                Line::new(path, who, role, pick(3) != 0)
            };
            let mut lines: Vec<Line> = (0..lines).map(line).collect();
            // One of the users has something to begin with, so that tokens are not cut down to nothing each time.
            if pick(2) == 0 {
                lines.push(Line::new("/", USER, "Admin", true));
            }
            lines
        })
        .collect()
}

/// Returns all lists.
pub fn all() -> Vec<Vec<Line>> {
    ROLES.iter().flat_map(|(role, _)| of_role(role)).chain(arbitrary(12)).chain([Vec::new()]).collect()
}
