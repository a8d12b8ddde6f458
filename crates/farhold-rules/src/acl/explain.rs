//! Why somebody may do something on a path, or may not: every entry on the way there, and what becomes of it.
//!
//! Decides nothing: a test holds it against [`AclTree::privileges`] on random trees.

use farhold_types::{Authid, Privileges, Role};

use super::{AclPath, AclTree, Effective};

/// What becomes of an entry on the way to a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The privileges of its role count.
    Grants,
    /// It is `NoAccess`, and nothing deeper says otherwise.
    Denies,
    /// It stands above the path and does not propagate.
    StaysAbove,
    /// An entry on this deeper path takes its place.
    Replaced(String),
}

/// One entry of the list, weighed for one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighed {
    /// Where it stands.
    pub path: String,
    /// Whom it is about.
    pub authid: Authid,
    /// What it gives.
    pub role: Role,
    /// Whether it counts below its path too.
    pub is_propagated: bool,
    /// What becomes of it.
    pub verdict: Verdict,
}

impl Weighed {
    /// Returns the entry as a line of `acl.cfg`.
    pub fn line(&self) -> String {
        format!("acl:{}:{}:{}:{}", u8::from(self.is_propagated), self.path, self.authid, self.role.as_str())
    }

    fn counts(&self) -> bool {
        matches!(self.verdict, Verdict::Grants | Verdict::Denies)
    }

    fn grants(&self, privilege: Privileges) -> bool {
        self.verdict == Verdict::Grants && self.role.privileges().contains_all(privilege)
    }
}

/// Everything that decides what somebody may do on a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Who.
    pub authid: Authid,
    /// Where.
    pub path: AclPath,
    /// What is held.
    pub effective: Effective,
    /// The entries of exactly this user or token from the root to the path, in this order.
    pub own: Vec<Weighed>,
    /// For a token: those of its user. `None` for users.
    pub user: Option<Vec<Weighed>>,
}

/// Why a privilege is held or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason<'e> {
    /// Nobody asks the list about the superuser.
    Superuser,
    /// These entries give it; for a token those of its user too.
    Granted(Vec<&'e Weighed>),
    /// These entries decide and do not give it. None: no entry reaches the path.
    NotGranted(Vec<&'e Weighed>),
    /// The token has it by its own entries, but its user has not: these decide for the user.
    UserLacks(Vec<&'e Weighed>),
}

impl Reason<'_> {
    /// Returns whether the privilege is held.
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Superuser | Self::Granted(_))
    }

    /// Returns the reason in words: a fragment without full stop.
    pub fn text(&self) -> String {
        let lines = |entries: &[&Weighed]| entries.iter().map(|entry| entry.line()).collect::<Vec<_>>().join(" and ");
        let is_denied = |entries: &[&Weighed]| entries.iter().any(|entry| entry.verdict == Verdict::Denies);
        match self {
            Self::Superuser => "root@pam may do everything".to_owned(),
            Self::Granted(entries) => format!("granted by {}", lines(entries)),
            Self::NotGranted(entries) if entries.is_empty() => "no entry reaches this path".to_owned(),
            Self::NotGranted(entries) if is_denied(entries) => format!("denied by {}", lines(entries)),
            Self::NotGranted(entries) => format!("not among the privileges of {}", lines(entries)),
            Self::UserLacks(entries) if entries.is_empty() => {
                "the token has it, but no entry of its user reaches this path".to_owned()
            }
            Self::UserLacks(entries) => format!("the token has it, but its user has only {}", lines(entries)),
        }
    }
}

impl Explanation {
    /// Returns why one privilege is held on the path, or why not.
    pub fn reason(&self, privilege: Privileges) -> Reason<'_> {
        if self.authid.is_root() {
            return Reason::Superuser;
        }
        let mut entries = granting(&self.own, privilege);
        if entries.is_empty() {
            return Reason::NotGranted(counting(&self.own));
        }
        // A superuser's token needs entries of its own only.
        if let Some(user) = self.user.as_ref().filter(|_| !self.authid.user().is_root()) {
            let of_user = granting(user, privilege);
            if of_user.is_empty() {
                return Reason::UserLacks(counting(user));
            }
            entries.extend(of_user);
        }
        Reason::Granted(entries)
    }

    /// Returns whether the list says anything about this user or token on the way to the path.
    pub fn has_entries(&self) -> bool {
        !self.own.is_empty()
    }
}

fn granting(entries: &[Weighed], privilege: Privileges) -> Vec<&Weighed> {
    entries.iter().filter(|entry| entry.grants(privilege)).collect()
}

fn counting(entries: &[Weighed]) -> Vec<&Weighed> {
    entries.iter().filter(|entry| entry.counts()).collect()
}

impl AclTree {
    /// Returns what decides about `authid` on `path`, entry by entry.
    pub fn explain(&self, authid: &Authid, path: &AclPath) -> Explanation {
        let user = authid.is_token().then(|| self.weigh(&Authid::from(authid.user().clone()), path));
        Explanation {
            authid: authid.clone(),
            path: path.clone(),
            effective: self.privileges(authid, path),
            own: self.weigh(authid, path),
            user,
        }
    }

    /// Returns every user and token that an entry names, each once, in order.
    pub fn authids(&self) -> Vec<Authid> {
        let mut found = std::collections::BTreeSet::new();
        let mut open = vec![&self.root];
        while let Some(node) = open.pop() {
            found.extend(node.roles.keys().cloned());
            open.extend(node.children.values());
        }
        found.into_iter().collect()
    }

    /// Returns the entries of exactly `authid` from the root to `path`.
    fn weigh(&self, authid: &Authid, path: &AclPath) -> Vec<Weighed> {
        let mut entries = Vec::new();
        let (mut node, mut at) = (&self.root, String::new());
        let mut rest = path.components();
        loop {
            let here = if at.is_empty() { "/" } else { &at };
            let roles = node.roles.get(authid).into_iter().flatten();
            let is_end = rest.is_empty();
            let found: Vec<Weighed> = roles
                .map(|(role, is_propagated)| Weighed {
                    path: here.to_owned(),
                    authid: authid.clone(),
                    role: *role,
                    is_propagated: *is_propagated,
                    verdict: match role {
                        _ if !is_end && !is_propagated => Verdict::StaysAbove,
                        Role::NoAccess => Verdict::Denies,
                        _ => Verdict::Grants,
                    },
                })
                .collect();
            if found.iter().any(Weighed::counts) {
                for entry in entries.iter_mut().filter(|entry: &&mut Weighed| entry.counts()) {
                    entry.verdict = Verdict::Replaced(here.to_owned());
                }
            }
            entries.extend(found);
            let Some((part, below)) = rest.split_first() else { break };
            let Some(child) = node.children.get(part) else { break };
            at = format!("{at}/{part}");
            (node, rest) = (child, below);
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{authid, path, tree};
    use super::*;

    const LINES: &[&str] = &[
        "1 / u@pbs Audit",
        "0 /datastore u@pbs DatastoreReader",
        "1 /datastore/a u@pbs DatastoreBackup",
        "0 /datastore/a u@pbs DatastoreAudit",
        "1 /datastore/a/secret u@pbs NoAccess",
        "1 /datastore u@pbs!t Admin",
        "1 / root@pam!t DatastoreAudit",
    ];

    fn why(who: &str, at: &str, privilege: &str) -> String {
        tree(LINES).explain(&authid(who), &path(at)).reason(privilege.parse().unwrap()).text()
    }

    #[test]
    fn reasons_name_the_lines_that_decide() {
        for (who, at, privilege, expected) in [
            ("u@pbs", "/datastore/b", "Datastore.Audit", "granted by acl:1:/:u@pbs:Audit"),
            ("u@pbs", "/datastore/b", "Datastore.Read", "not among the privileges of acl:1:/:u@pbs:Audit"),
            ("u@pbs", "/datastore", "Datastore.Read", "granted by acl:0:/datastore:u@pbs:DatastoreReader"),
            (
                "u@pbs",
                "/datastore/a/n",
                "Sys.Audit",
                "not among the privileges of acl:1:/datastore/a:u@pbs:DatastoreBackup",
            ),
            (
                "u@pbs",
                "/datastore/a/secret/x",
                "Datastore.Backup",
                "denied by acl:1:/datastore/a/secret:u@pbs:NoAccess",
            ),
            ("v@pbs", "/datastore", "Datastore.Audit", "no entry reaches this path"),
            (
                "u@pbs!t",
                "/datastore/a",
                "Datastore.Backup",
                "granted by acl:1:/datastore:u@pbs!t:Admin and acl:1:/datastore/a:u@pbs:DatastoreBackup",
            ),
            ("u@pbs!t", "/datastore/b", "Sys.Modify", "the token has it, but its user has only acl:1:/:u@pbs:Audit"),
            ("u@pbs!t", "/remote", "Sys.Audit", "no entry reaches this path"),
            ("root@pam", "/any", "Sys.Modify", "root@pam may do everything"),
            ("root@pam!t", "/any", "Datastore.Audit", "granted by acl:1:/:root@pam!t:DatastoreAudit"),
        ] {
            assert_eq!(why(who, at, privilege), expected, "{who} {at} {privilege}");
        }
    }

    #[test]
    fn every_entry_on_the_way_says_what_becomes_of_it() {
        let explanation = tree(LINES).explain(&authid("u@pbs"), &path("/datastore/a"));
        let verdicts: Vec<(&str, &Verdict)> =
            explanation.own.iter().map(|entry| (entry.role.as_str(), &entry.verdict)).collect();
        let replaced = Verdict::Replaced("/datastore/a".to_owned());
        assert_eq!(
            verdicts,
            [
                ("Audit", &replaced),
                ("DatastoreReader", &Verdict::StaysAbove),
                ("DatastoreBackup", &Verdict::Grants),
                ("DatastoreAudit", &Verdict::Grants),
            ]
        );
        let named: Vec<String> = tree(LINES).authids().iter().map(ToString::to_string).collect();
        assert_eq!(named, ["root@pam!t", "u@pbs", "u@pbs!t"]);
    }

    /// What the entries that count give, computed from the explanation alone.
    fn sum(entries: &[Weighed]) -> (Privileges, Privileges) {
        let granting = entries.iter().filter(|entry| entry.verdict == Verdict::Grants);
        granting.fold((Privileges::NONE, Privileges::NONE), |(all, propagated), entry| {
            let privileges = entry.role.privileges();
            (all | privileges, if entry.is_propagated { propagated | privileges } else { propagated })
        })
    }

    proptest! {
        /// Explanation and decision agree: in sum, and for every privilege.
        #[test]
        fn explanations_agree_with_decisions(
            entries in proptest::collection::vec(("(/[ab]){0,3}", 0..5usize, 0..Role::ALL.len(), any::<bool>()), 0..25),
            at in "(/[ab]){1,4}",
        ) {
            let people = ["u@pbs", "u@pbs!t", "root@pam!t", "root@pam", "v@pbs!t"];
            let mut tree = AclTree::new();
            for (place, who, role, is_propagated) in &entries {
                let parts: Vec<&str> = place.split('/').filter(|part| !part.is_empty()).collect();
                tree.set(&parts, authid(people[*who]), Role::ALL[*role], *is_propagated);
            }
            for who in people {
                let who = authid(who);
                let explanation = tree.explain(&who, &path(&at));
                let decided = tree.privileges(&who, &path(&at));
                prop_assert_eq!(explanation.effective, decided);
                if !who.is_root() {
                    let (mut all, mut propagated) = sum(&explanation.own);
                    if let Some(user) = explanation.user.as_ref().filter(|_| !who.user().is_root()) {
                        let of_user = sum(user);
                        (all, propagated) = (all & of_user.0, propagated & of_user.1);
                    }
                    prop_assert_eq!((all, propagated), (decided.all, decided.propagated));
                }
                for name in Privileges::ALL.names() {
                    let privilege: Privileges = name.parse().unwrap();
                    let reason = explanation.reason(privilege);
                    let is_held = tree.require_all(&who, &path(&at), privilege).is_ok();
                    prop_assert_eq!(reason.is_allowed(), is_held, "{}", reason.text());
                    if let Reason::Granted(lines) = &reason {
                        prop_assert!(!lines.is_empty() && lines.iter().all(|line| line.grants(privilege)));
                    }
                }
                for entry in explanation.own.iter().chain(explanation.user.iter().flatten()) {
                    if let Verdict::Replaced(by) = &entry.verdict {
                        let is_deeper = entry.path == "/" || by.starts_with(&format!("{}/", entry.path));
                        prop_assert!(is_deeper && at.starts_with(by.as_str()));
                    }
                }
            }
        }
    }
}
