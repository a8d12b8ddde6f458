//! The lines of `acl.cfg`: who has which role on which path.
//!
//! Paths are kept as found, known or not; only [`check_new_path`] knows which ones make sense. Writing regroups and
//! sorts the lines, so a file may change its look but never its meaning.
//!
//! Source: `docs/spec/config-and-access.md` 3.9.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use farhold_types::{Authid, MAX_NAMESPACE_DEPTH, Role, is_safe_id};

use crate::config_error::{ConfigTextError, ConfigTextErrorKind};
use crate::section_config::config_text;

/// Whom an entry is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AclSubject {
    /// A user or API token.
    Authid(Authid),
    /// A group of users, by name without the `@`. Groups have no members, so such an entry has no effect; it is kept.
    Group(String),
}

impl fmt::Display for AclSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authid(authid) => write!(f, "{authid}"),
            Self::Group(name) => write!(f, "@{name}"),
        }
    }
}

/// One role of one subject on one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclEntry {
    /// Components of the path; none is the root.
    pub path: Vec<String>,
    /// Whom it is for.
    pub subject: AclSubject,
    /// The role.
    pub role: Role,
    /// Whether it counts below the path too.
    pub is_propagated: bool,
}

impl AclEntry {
    /// Returns the path as text: `/a/b`, `/` for the root.
    pub fn path_text(&self) -> String {
        path_text(&self.path)
    }
}

/// Roles with their propagate flag.
type Roles = BTreeMap<Role, bool>;

/// All entries of the access control list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acl {
    nodes: BTreeMap<Vec<String>, BTreeMap<AclSubject, Roles>>,
}

impl Acl {
    /// Returns all entries, ordered by path, subject and role.
    pub fn entries(&self) -> impl Iterator<Item = AclEntry> {
        self.nodes.iter().flat_map(|(path, subjects)| {
            subjects.iter().flat_map(move |(subject, roles)| {
                roles.iter().map(move |(role, is_propagated)| AclEntry {
                    path: path.clone(),
                    subject: subject.clone(),
                    role: *role,
                    is_propagated: *is_propagated,
                })
            })
        })
    }

    /// Sets a role. `NoAccess` takes away the other roles that the subject has on the path, and any other role takes
    /// away `NoAccess`.
    pub fn set(&mut self, entry: AclEntry) {
        let roles = self.nodes.entry(entry.path).or_default().entry(entry.subject).or_default();
        if entry.role == Role::NoAccess {
            roles.clear();
        } else {
            roles.remove(&Role::NoAccess);
        }
        roles.insert(entry.role, entry.is_propagated);
    }

    /// Removes a role, whatever its flag; returns whether it was there.
    pub fn remove(&mut self, path: &[String], subject: &AclSubject, role: Role) -> bool {
        let roles = self.nodes.get_mut(path).and_then(|subjects| subjects.get_mut(subject));
        let found = roles.is_some_and(|roles| roles.remove(&role).is_some());
        self.drop_empty();
        found
    }

    /// Removes every entry of a user or token; returns whether there was one.
    pub fn remove_authid(&mut self, authid: &Authid) -> bool {
        let subject = AclSubject::Authid(authid.clone());
        let removed = self.nodes.values_mut().filter_map(|subjects| subjects.remove(&subject)).count();
        self.drop_empty();
        removed != 0
    }

    /// Removes every entry on `path` and below it; returns whether there was one.
    pub fn remove_subtree(&mut self, path: &[String]) -> bool {
        let before = self.nodes.len();
        self.nodes.retain(|node, _| !node.starts_with(path));
        self.nodes.len() != before
    }

    fn drop_empty(&mut self) {
        for subjects in self.nodes.values_mut() {
            subjects.retain(|_, roles| !roles.is_empty());
        }
        self.nodes.retain(|_, subjects| !subjects.is_empty());
    }
}

/// Returns the entries of a file.
///
/// # Errors
/// Not UTF-8, too large, or a line that is not exactly `acl:<0|1>:<path>:<id>[,<id>...]:<role>[,<role>...]` with known
/// roles. One wrong line makes the whole file unusable.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Acl, ConfigTextError> {
    let text = config_text(file, bytes)?;
    let mut acl = Acl::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() {
            read_line(&mut acl, line).map_err(|reason| {
                ConfigTextError::new(file, index + 1, None, ConfigTextErrorKind::AclLine { reason })
            })?;
        }
    }
    Ok(acl)
}

fn read_line(acl: &mut Acl, line: &str) -> Result<(), String> {
    let fields: Vec<&str> = line.splitn(6, ':').collect();
    let [keyword, flag, path, subjects, roles] = fields[..] else {
        return Err("expected five fields 'acl:<propagate>:<path>:<ids>:<roles>'; comments are not possible".to_owned());
    };
    if keyword != "acl" {
        return Err("expected a line that starts with 'acl:'".to_owned());
    }
    let is_propagated = match flag {
        "0" => false,
        "1" => true,
        _ => return Err("expected 0 or 1 as propagate flag".to_owned()),
    };
    let path: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let subjects = subjects.split(',').map(|text| read_subject(text.trim())).collect::<Result<Vec<_>, _>>()?;
    let roles = roles
        .split(',')
        .map(|role| role.trim().parse::<Role>().map_err(|_| format!("unknown role '{}'", role.trim())))
        .collect::<Result<Vec<_>, _>>()?;
    for subject in subjects {
        for role in &roles {
            acl.set(AclEntry { path: path.clone(), subject: subject.clone(), role: *role, is_propagated });
        }
    }
    Ok(())
}

fn read_subject(text: &str) -> Result<AclSubject, String> {
    match text.strip_prefix('@') {
        Some(group) => Ok(AclSubject::Group(group.to_owned())),
        None => text.parse().map(AclSubject::Authid).map_err(|e| format!("invalid user or token id '{text}': {e}")),
    }
}

/// Returns the canonical text. Entries of `root@pam` are left out, since they mean nothing; those of its tokens stay.
pub fn write(acl: &Acl) -> String {
    let mut text = String::new();
    for (path, subjects) in &acl.nodes {
        for is_propagated in [false, true] {
            write_lines(&mut text, path, subjects, is_propagated);
        }
    }
    text
}

fn write_lines(text: &mut String, path: &[String], subjects: &BTreeMap<AclSubject, Roles>, is_propagated: bool) {
    let mut ids_of_role: BTreeMap<Role, BTreeSet<String>> = BTreeMap::new();
    for (subject, roles) in subjects {
        if matches!(subject, AclSubject::Authid(authid) if authid.is_root()) {
            continue;
        }
        for role in roles.iter().filter(|(_, flag)| **flag == is_propagated).map(|(role, _)| *role) {
            ids_of_role.entry(role).or_default().insert(subject.to_string());
        }
    }
    let mut roles_of_ids: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (role, ids) in ids_of_role {
        let ids = ids.into_iter().collect::<Vec<_>>().join(",");
        roles_of_ids.entry(ids).or_default().insert(role.as_str());
    }
    for (ids, roles) in roles_of_ids {
        let roles = if roles.contains(Role::NoAccess.as_str()) {
            Role::NoAccess.to_string()
        } else {
            roles.into_iter().collect::<Vec<_>>().join(",")
        };
        text.push_str(&format!("acl:{}:{}:{ids}:{roles}\n", u8::from(is_propagated), path_text(path)));
    }
}

fn path_text(path: &[String]) -> String {
    format!("/{}", path.join("/"))
}

/// Largest length of a path that may be given a new entry, in characters. Source: `docs/spec/config-and-access.md` 3.9.
const MAX_NEW_PATH_LENGTH: usize = 128;

/// Returns the components of a path's text: `/`, or `/` and a name, once or more; 1 to 128 characters.
///
/// # Errors
/// Another form; the text says which is expected.
pub fn parse_path(text: &str) -> Result<Vec<String>, String> {
    let length = text.chars().count();
    if length == 0 || MAX_NEW_PATH_LENGTH < length {
        return Err(format!("path must have 1 to {MAX_NEW_PATH_LENGTH} characters"));
    }
    if text == "/" {
        return Ok(Vec::new());
    }
    let parts = text.strip_prefix('/').ok_or("path must start with '/'")?.split('/');
    let parts: Vec<String> = parts.map(str::to_owned).collect();
    if parts.iter().all(|part| is_safe_id(part)) {
        Ok(parts)
    } else {
        Err("path must be '/' or names joined by '/', such as /datastore/store1".to_owned())
    }
}

/// Returns the components of a path that may be given a new entry. The named objects need not exist.
///
/// # Errors
/// A path that [`parse_path`] refuses, or one that nothing looks at.
///
/// Source: `docs/spec/config-and-access.md` 3.9, the table.
pub fn check_new_path(text: &str) -> Result<Vec<String>, String> {
    const SYSTEM_LEAVES: [&str; 7] = ["certificates", "disks", "log", "notifications", "status", "tasks", "time"];
    let path = parse_path(text)?;
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let known = match parts.as_slice() {
        [] => true,
        ["access", rest @ ..] => matches!(rest, [] | ["acl" | "users" | "domains"] | ["openid"] | ["openid", _]),
        ["datastore", rest @ ..] => rest.len() <= 1 + MAX_NAMESPACE_DEPTH,
        ["remote", rest @ ..] => rest.len() <= 2 + MAX_NAMESPACE_DEPTH,
        ["system", rest @ ..] => match rest {
            [] => true,
            [leaf] if SYSTEM_LEAVES.contains(leaf) => true,
            ["services" | "s3-endpoint" | "encryption-keys"] | ["services" | "s3-endpoint" | "encryption-keys", _] => {
                true
            }
            ["network"] | ["network", "dns" | "interfaces"] | ["network", "interfaces", _] => true,
            _ => false,
        },
        ["tape", rest @ ..] => matches!(rest, [] | ["device" | "pool" | "job"] | ["device" | "pool" | "job", _]),
        _ => false,
    };
    if known { Ok(path) } else { Err("no such place in the access tree".to_owned()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rewritten(text: &str) -> String {
        write(&parse("acl.cfg", text.as_bytes()).unwrap())
    }

    #[test]
    fn the_sample_is_canonical() {
        let sample = "acl:1:/:audit@pbs:Audit\n\
            acl:1:/datastore/local1:sync@pbs,sync@pbs!pull1:DatastoreAudit,DatastorePowerUser\n\
            acl:0:/datastore/local1/site-a/secret:audit@pbs:NoAccess\n\
            acl:1:/remote/offsite-a:sync@pbs:RemoteSyncOperator\n\
            acl:1:/system/encryption-keys/siteb-2026:sync@pbs:Admin\n";
        assert_eq!(rewritten(sample), sample);
    }

    #[test]
    fn lines_are_regrouped_and_sorted() {
        let text = "\n acl:1:datastore//b/: b@pbs , a@pbs :Audit , DatastoreReader \nacl:0:/datastore/b:c@pbs:Audit\n\
            acl:1::@admins:Admin\nacl:1:/datastore/b:root@pam,root@pam!t:Admin\nacl:1:/a/b:a@pbs:Audit\n\
            acl:1:/a-c:a@pbs:Audit\n";
        let expected = "acl:1:/:@admins:Admin\nacl:1:/a/b:a@pbs:Audit\nacl:1:/a-c:a@pbs:Audit\n\
            acl:0:/datastore/b:c@pbs:Audit\nacl:1:/datastore/b:a@pbs,b@pbs:Audit,DatastoreReader\n\
            acl:1:/datastore/b:root@pam!t:Admin\n";
        assert_eq!(rewritten(text), expected);
        assert_eq!(rewritten(expected), expected);
    }

    #[test]
    fn no_access_and_other_roles_exclude_each_other_and_the_later_one_counts() {
        for (roles, kept) in
            [("NoAccess,Admin", "Admin"), ("Admin,NoAccess", "NoAccess"), ("Audit,Admin", "Admin,Audit")]
        {
            assert_eq!(rewritten(&format!("acl:1:/:a@pbs:{roles}\n")), format!("acl:1:/:a@pbs:{kept}\n"));
        }
        assert_eq!(rewritten("acl:1:/:a@pbs:Audit\nacl:0:/:a@pbs:Audit\n"), "acl:0:/:a@pbs:Audit\n");
    }

    #[test]
    fn wrong_lines_make_the_file_unusable() {
        for bad in [
            "acl:1:/datastore:john@pbs",
            "acl:1:/:a@pbs:Admin:x",
            "acl:2:/:a@pbs:Admin",
            "ACL:1:/:a@pbs:Admin",
            "acl:true:/:a@pbs:Admin",
            "acl: 1:/:a@pbs:Admin",
            "acl:1:/:a@pbs:Administrator",
            "acl:1:/:a@pbs:",
            "acl:1:/:john:Admin",
            "acl:1:/::Admin",
            "# comment",
        ] {
            let error = parse("acl.cfg", format!("\n{bad}\n").as_bytes()).unwrap_err();
            assert!(matches!(error.kind, ConfigTextErrorKind::AclLine { .. }) && error.line == 2, "{bad}");
        }
        for good in ["acl:1:/nonsense/x:a@pbs:Audit", "acl:1:/:@admins:Admin"] {
            assert!(parse("acl.cfg", good.as_bytes()).is_ok(), "{good}");
        }
    }

    #[test]
    fn entries_can_be_removed_by_role_by_authid_and_by_subtree() {
        let text = "acl:1:/datastore/ab:u@pbs,u@pbs!t:Audit\nacl:1:/datastore/a/ns:u@pbs!t:Admin\nacl:0:/datastore/a:u@pbs:Audit\n";
        let mut acl = parse("acl.cfg", text.as_bytes()).unwrap();
        let path = ["datastore".to_owned(), "a".to_owned()];
        assert!(!acl.remove(&path, &AclSubject::Group("x".to_owned()), Role::Audit));
        assert!(acl.remove(&path, &AclSubject::Authid("u@pbs".parse().unwrap()), Role::Audit));
        assert!(acl.remove_subtree(&path) && !acl.remove_subtree(&path));
        assert_eq!(write(&acl), "acl:1:/datastore/ab:u@pbs,u@pbs!t:Audit\n");
        assert!(acl.remove_authid(&"u@pbs!t".parse().unwrap()));
        assert_eq!(write(&acl), "acl:1:/datastore/ab:u@pbs:Audit\n");
    }

    #[test]
    fn only_known_places_take_new_entries() {
        for good in [
            "/",
            "/access",
            "/access/openid/x",
            "/datastore/s1/a/b/c/d/e/f/g",
            "/remote/r1/s1/a/b/c/d/e/f/g",
            "/system/network/interfaces/eth0",
            "/system/encryption-keys/k1",
            "/system/tasks",
            "/tape/pool/p",
        ] {
            assert!(check_new_path(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "datastore",
            "//",
            "/datastore/",
            "/nonsense/x",
            "/access/users/x",
            "/datastore/s1/a/b/c/d/e/f/g/h",
            "/remote/r1/s1/a/b/c/d/e/f/g/h",
            "/system/tasks/x",
            "/system/network/eth0",
            "/tape/drive",
            "/datastore/a b",
            "/datastore/..",
        ] {
            assert!(check_new_path(bad).is_err(), "{bad}");
        }
        assert!(check_new_path(&format!("/datastore/{}", "a".repeat(118))).is_err(), "129 characters");
    }

    proptest! {
        #[test]
        fn writing_keeps_the_meaning(lines in proptest::collection::vec(
            ("[01]", "(/[ab]){0,3}", "[ab]@pbs(![tu])?(,[ab]@pbs)?", "(Audit|Admin|NoAccess|DatastoreReader)(,Audit)?"), 0..12)
        ) {
            let text: String = lines.iter().map(|(f, p, u, r)| format!("acl:{f}:{p}:{u}:{r}\n")).collect();
            let acl = parse("acl.cfg", text.as_bytes()).unwrap();
            let once = write(&acl);
            prop_assert_eq!(&parse("acl.cfg", once.as_bytes()).unwrap(), &acl);
            prop_assert_eq!(rewritten(&once), once);
        }
    }
}
