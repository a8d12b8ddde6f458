//! Who may do what: the access control tree, and proofs that it was asked.
//!
//! A [`Granted`] can only come out of [`AclTree::require_all`], [`AclTree::require_any`] and [`AclTree::full_or_owner`].
//! Functions that need a permission take one as an argument, so a forgotten check does not compile. Whether users and
//! tokens exist and are active is not known here.
//!
//! Source: `docs/spec/config-and-access.md` 5.4 to 5.8, `docs/spec/rest-api.md` 3.3 and 3.4.

use std::collections::{BTreeMap, HashMap};

use farhold_types::{Authid, Privileges, Role};
use thiserror::Error;

mod explain;
mod path;

pub use explain::{Explanation, Reason, Verdict, Weighed};
pub use path::{AclPath, AclPathError};

/// Roles with their propagate flag.
type Roles = BTreeMap<Role, bool>;

#[derive(Debug, Clone, Default)]
struct Node {
    children: BTreeMap<String, Node>,
    roles: HashMap<Authid, Roles>,
}

/// All entries of the access control list as a tree of paths.
#[derive(Debug, Clone, Default)]
pub struct AclTree {
    root: Node,
}

/// What somebody may do on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effective {
    /// Privileges on the path itself.
    pub all: Privileges,
    /// Those of them that hold below the path too, as long as nothing deeper replaces them.
    pub propagated: Privileges,
}

/// Whether all or only one of several privileges are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Every one.
    All,
    /// At least one.
    Any,
}

/// Proof that somebody holds privileges on a path. Cannot be made by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    authid: Authid,
    path: AclPath,
    privileges: Privileges,
}

impl Granted {
    /// Returns who holds the privileges.
    pub const fn authid(&self) -> &Authid {
        &self.authid
    }

    /// Returns where.
    pub const fn path(&self) -> &AclPath {
        &self.path
    }

    /// Returns those of the needed privileges that are held.
    pub const fn privileges(&self) -> Privileges {
        self.privileges
    }
}

/// Somebody lacks privileges on a path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("permission check failed: '{authid}' lacks {} on {path}", self.missing_text())]
pub struct Denied {
    /// Who was asked about.
    pub authid: Authid,
    /// Where.
    pub path: AclPath,
    /// What is missing.
    pub missing: Privileges,
    /// Whether all of `missing` or one of them would have been enough.
    pub need: Need,
}

impl Denied {
    /// Returns the names of the missing privileges in their fixed order, joined by `&` or `|`.
    pub fn missing_text(&self) -> String {
        let joiner = match self.need {
            Need::All => "&",
            Need::Any => "|",
        };
        self.missing.names().collect::<Vec<_>>().join(joiner)
    }
}

/// Which backup groups somebody may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupAccess {
    /// All of them.
    All(Granted),
    /// Those they own.
    Owned(Granted),
}

impl GroupAccess {
    /// Returns whether a group with this owner may be reached.
    pub fn covers(&self, owner: &Authid) -> bool {
        match self {
            Self::All(_) => true,
            Self::Owned(granted) => granted.authid.owns(owner),
        }
    }
}

impl AclTree {
    /// Returns a tree without entries: only `root@pam` may do anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives `authid` a role on the path with these components. `NoAccess` takes away its other roles there, and any
    /// other role takes away `NoAccess`.
    ///
    /// Components may have any form: files may hold paths that no call would ask about.
    pub fn set<S: AsRef<str>>(&mut self, path: &[S], authid: Authid, role: Role, is_propagated: bool) {
        let mut node = &mut self.root;
        for part in path {
            node = node.children.entry(part.as_ref().to_owned()).or_default();
        }
        let roles = node.roles.entry(authid).or_default();
        if role == Role::NoAccess {
            roles.clear();
        } else {
            roles.remove(&Role::NoAccess);
        }
        roles.insert(role, is_propagated);
    }

    /// Returns what `authid` may do on `path`.
    ///
    /// The deepest node with a role for it decides alone. Roles above the path count only if they propagate. For a token
    /// the result is what both the token and its user may do. `root@pam` may do everything.
    pub fn privileges(&self, authid: &Authid, path: &AclPath) -> Effective {
        self.effective(authid, path.components())
    }

    /// Proves that `authid` holds all of `needed` on `path`.
    ///
    /// # Errors
    /// [`Denied`] with those it lacks. Nobody holds an empty set.
    pub fn require_all(&self, authid: &Authid, path: &AclPath, needed: Privileges) -> Result<Granted, Denied> {
        let held = self.privileges(authid, path).all;
        if held.contains_all(needed) {
            return Ok(Granted { authid: authid.clone(), path: path.clone(), privileges: needed });
        }
        Err(Denied { authid: authid.clone(), path: path.clone(), missing: needed.without(held), need: Need::All })
    }

    /// Proves that `authid` holds at least one of `needed` on `path`.
    ///
    /// # Errors
    /// [`Denied`] with all of `needed`.
    pub fn require_any(&self, authid: &Authid, path: &AclPath, needed: Privileges) -> Result<Granted, Denied> {
        let held = self.privileges(authid, path).all & needed;
        if !held.is_empty() {
            return Ok(Granted { authid: authid.clone(), path: path.clone(), privileges: held });
        }
        Err(Denied { authid: authid.clone(), path: path.clone(), missing: needed, need: Need::Any })
    }

    /// Proves that `authid` may reach all groups below `path` (any of `full`), or those it owns (any of `owned`).
    ///
    /// # Errors
    /// [`Denied`] with both sets.
    ///
    /// Source: `docs/spec/config-and-access.md` 5.8.
    pub fn full_or_owner(
        &self,
        authid: &Authid,
        path: &AclPath,
        full: Privileges,
        owned: Privileges,
    ) -> Result<GroupAccess, Denied> {
        self.require_any(authid, path, full)
            .map(GroupAccess::All)
            .or_else(|_| self.require_any(authid, path, owned).map(GroupAccess::Owned))
            .map_err(|denied| Denied { missing: full | owned, ..denied })
    }

    /// Returns whether `authid` holds any of `needed` somewhere at or below `path`: by what it holds on `path` and
    /// propagates, or on a deeper path that has an entry of its own for `authid`.
    ///
    /// Source: `docs/spec/rest-api.md` 3.3, last paragraph.
    pub fn has_any_below(&self, authid: &Authid, path: &AclPath, needed: Privileges) -> bool {
        if self.privileges(authid, path).propagated.contains_any(needed) {
            return true;
        }
        let Some(node) = self.node(path.components()) else {
            return false;
        };
        let mut open: Vec<(Vec<String>, &Node)> = vec![(path.components().to_vec(), node)];
        while let Some((at, node)) = open.pop() {
            for (name, child) in &node.children {
                let below: Vec<String> = at.iter().cloned().chain([name.clone()]).collect();
                let has_entry = child.roles.contains_key(authid);
                if has_entry && self.effective(authid, &below).all.contains_any(needed) {
                    return true;
                }
                open.push((below, child));
            }
        }
        false
    }

    /// Returns the text of every path that has an entry, in order.
    pub fn paths(&self) -> Vec<String> {
        fn walk(node: &Node, at: &str, paths: &mut Vec<String>) {
            if !node.roles.is_empty() {
                paths.push(if at.is_empty() { "/".to_owned() } else { at.to_owned() });
            }
            node.children.iter().for_each(|(name, child)| walk(child, &format!("{at}/{name}"), paths));
        }
        let mut paths = Vec::new();
        walk(&self.root, "", &mut paths);
        paths
    }

    fn node(&self, path: &[String]) -> Option<&Node> {
        path.iter().try_fold(&self.root, |node, part| node.children.get(part))
    }

    fn effective(&self, authid: &Authid, path: &[String]) -> Effective {
        if authid.is_root() {
            return Effective { all: Privileges::ALL, propagated: Privileges::ALL };
        }
        let own = self.own(authid, path);
        if !authid.is_token() || own.all.is_empty() {
            return own;
        }
        let user = self.effective(&Authid::from(authid.user().clone()), path);
        Effective { all: own.all & user.all, propagated: own.propagated & user.propagated }
    }

    /// What the entries of exactly this authid give.
    fn own(&self, authid: &Authid, path: &[String]) -> Effective {
        let mut gathered = Roles::new();
        let mut node = &self.root;
        let mut rest = path;
        loop {
            let roles = roles_at(node, authid, rest.is_empty());
            if !roles.is_empty() {
                gathered = roles;
            }
            let Some((part, below)) = rest.split_first() else {
                break;
            };
            let Some(child) = node.children.get(part) else {
                break;
            };
            (node, rest) = (child, below);
        }
        let union = |only_propagated: bool| {
            gathered
                .iter()
                .filter(|(_, is_propagated)| **is_propagated || !only_propagated)
                .fold(Privileges::NONE, |sum, (role, _)| sum | role.privileges())
        };
        Effective { all: union(false), propagated: union(true) }
    }
}

/// The roles of one node that count: all at the end of the path, else those that propagate; `NoAccess` alone if it is
/// among them.
fn roles_at(node: &Node, authid: &Authid, is_end: bool) -> Roles {
    let counting = |(_, is_propagated): &(&Role, &bool)| is_end || **is_propagated;
    let roles: Roles = node
        .roles
        .get(authid)
        .into_iter()
        .flatten()
        .filter(counting)
        .map(|(role, is_propagated)| (*role, *is_propagated))
        .collect();
    match roles.get(&Role::NoAccess) {
        Some(is_propagated) => Roles::from([(Role::NoAccess, *is_propagated)]),
        None => roles,
    }
}

#[cfg(test)]
mod tests;
