//! The rules of `docs/spec/config-and-access.md` 5.4 to 5.8, one by one.

use proptest::prelude::*;

use super::*;

pub(super) fn authid(text: &str) -> Authid {
    text.parse().unwrap()
}

pub(super) fn path(text: &str) -> AclPath {
    text.parse().unwrap()
}

/// Builds a tree from `<flag> <path> <authid> <role>` lines.
pub(super) fn tree(lines: &[&str]) -> AclTree {
    let mut tree = AclTree::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let at = path(words[1]);
        tree.set(at.components(), authid(words[2]), words[3].parse().unwrap(), words[0] == "1");
    }
    tree
}

/// Returns the names that somebody holds on a path; those that also propagate carry a `+`.
fn held(tree: &AclTree, who: &str, at: &str) -> Vec<String> {
    let effective = tree.privileges(&authid(who), &path(at));
    let mark = |name: &str| {
        let propagates = effective.propagated.contains_any(name.parse().unwrap());
        format!("{name}{}", if propagates { "+" } else { "" })
    };
    effective.all.names().map(mark).collect()
}

#[track_caller]
fn holds(tree: &AclTree, who: &str, at: &str, expected: &[&str]) {
    assert_eq!(held(tree, who, at), expected, "{who} on {at}");
}

#[test]
fn a_role_counts_below_its_path_only_if_it_propagates() {
    let tree = tree(&["1 /datastore u@pbs DatastoreBackup", "0 /remote u@pbs RemoteAudit"]);
    holds(&tree, "u@pbs", "/", &[]);
    holds(&tree, "u@pbs", "/datastore", &["Datastore.Backup+"]);
    holds(&tree, "u@pbs", "/datastore/a/b/c", &["Datastore.Backup+"]);
    holds(&tree, "u@pbs", "/remote", &["Remote.Audit"]);
    holds(&tree, "u@pbs", "/remote/r1", &[]);
    holds(&tree, "v@pbs", "/datastore", &[]);
}

#[test]
fn a_deeper_role_replaces_and_does_not_add() {
    let tree = tree(&["1 / u@pbs Audit", "1 /datastore/a u@pbs DatastoreBackup"]);
    holds(&tree, "u@pbs", "/datastore", &["Sys.Audit+", "Datastore.Audit+"]);
    holds(&tree, "u@pbs", "/datastore/a/ns", &["Datastore.Backup+"]);
    holds(&tree, "u@pbs", "/datastore/b", &["Sys.Audit+", "Datastore.Audit+"]);
}

#[test]
fn roles_of_one_path_add_up() {
    let tree = tree(&["1 /datastore/a u@pbs DatastoreAudit", "0 /datastore/a u@pbs DatastoreBackup"]);
    holds(&tree, "u@pbs", "/datastore/a", &["Datastore.Audit+", "Datastore.Backup"]);
    holds(&tree, "u@pbs", "/datastore/a/ns", &["Datastore.Audit+"]);
}

#[test]
fn what_does_not_propagate_neither_gives_nor_blocks_below() {
    let tree = tree(&[
        "1 / u@pbs DatastoreAudit",
        "0 /datastore/a u@pbs DatastoreBackup",
        "1 /datastore/a/n/m u@pbs RemoteAudit",
    ]);
    holds(&tree, "u@pbs", "/datastore/a", &["Datastore.Backup"]);
    holds(&tree, "u@pbs", "/datastore/a/n", &["Datastore.Audit+"]);
    holds(&tree, "u@pbs", "/datastore/a/x", &["Datastore.Audit+"]);
}

#[test]
fn no_access_blocks_its_subtree_or_only_its_node() {
    let subtree =
        tree(&["1 / u@pbs DatastoreAudit", "1 /datastore/a u@pbs NoAccess", "1 /datastore/a/n u@pbs DatastoreBackup"]);
    holds(&subtree, "u@pbs", "/datastore/a", &[]);
    holds(&subtree, "u@pbs", "/datastore/a/other", &[]);
    holds(&subtree, "u@pbs", "/datastore/a/n", &["Datastore.Backup+"]);
    let node = tree(&["1 / u@pbs DatastoreAudit", "0 /datastore/a u@pbs NoAccess"]);
    holds(&node, "u@pbs", "/datastore/a", &[]);
    holds(&node, "u@pbs", "/datastore/a/n", &["Datastore.Audit+"]);
}

#[test]
fn no_access_and_other_roles_exclude_each_other_on_one_path() {
    holds(&tree(&["1 / u@pbs Audit", "1 / u@pbs NoAccess"]), "u@pbs", "/", &[]);
    holds(&tree(&["1 / u@pbs NoAccess", "1 / u@pbs DatastoreAudit"]), "u@pbs", "/", &["Datastore.Audit+"]);
}

#[test]
fn a_token_has_what_both_it_and_its_user_have() {
    let tree = tree(&[
        "1 /datastore u@pbs DatastorePowerUser",
        "1 /datastore u@pbs!t Admin",
        "0 /datastore/a u@pbs DatastoreBackup",
        "1 /datastore u@pbs!none RemoteAudit",
        "1 / root@pam!t DatastoreAudit",
        "1 / x@pbs!t Admin",
    ]);
    holds(&tree, "u@pbs!t", "/datastore", &["Datastore.Backup+", "Datastore.Prune+"]);
    holds(&tree, "u@pbs!t", "/datastore/a", &["Datastore.Backup"]);
    holds(&tree, "u@pbs!none", "/datastore", &[]);
    holds(&tree, "u@pbs!other", "/datastore", &[]);
    holds(&tree, "root@pam!t", "/x", &["Datastore.Audit+"]);
    holds(&tree, "root@pam!other", "/x", &[]);
    holds(&tree, "x@pbs!t", "/", &[]);
}

#[test]
fn root_may_do_everything_whatever_the_list_says() {
    let tree = tree(&["1 / root@pam NoAccess"]);
    let all = tree.privileges(&Authid::root(), &path("/anything"));
    assert_eq!((all.all, all.propagated), (Privileges::ALL, Privileges::ALL));
}

#[test]
fn proofs_and_refusals_name_who_where_and_what() {
    let tree = tree(&["1 /datastore/a u@pbs DatastoreAudit"]);
    let (who, at) = (authid("u@pbs"), path("/datastore/a"));
    let needed = Privileges::DATASTORE_PRUNE | Privileges::DATASTORE_AUDIT | Privileges::DATASTORE_BACKUP;
    let denied = tree.require_all(&who, &at, needed).unwrap_err();
    assert_eq!(denied.missing_text(), "Datastore.Backup&Datastore.Prune");
    assert_eq!(
        denied.to_string(),
        "permission check failed: 'u@pbs' lacks Datastore.Backup&Datastore.Prune on /datastore/a"
    );
    let granted = tree.require_any(&who, &at, needed).unwrap();
    assert_eq!((granted.authid(), granted.path(), granted.privileges()), (&who, &at, Privileges::DATASTORE_AUDIT));
    let denied = tree.require_any(&who, &at, Privileges::SYS_MODIFY | Privileges::SYS_AUDIT).unwrap_err();
    assert_eq!(denied.missing_text(), "Sys.Audit|Sys.Modify");
    assert!(tree.require_all(&who, &at, Privileges::NONE).is_err(), "an empty need is never met");
    assert!(tree.require_all(&Authid::root(), &at, Privileges::NONE).is_err());
    assert!(tree.require_any(&Authid::root(), &at, Privileges::NONE).is_err());
}

#[test]
fn the_owner_reaches_own_groups_and_full_access_all() {
    let tree = tree(&["1 / reader@pbs DatastoreReader", "1 / u@pbs DatastoreBackup", "1 / u@pbs!t DatastoreBackup"]);
    let access = |who: &str| {
        tree.full_or_owner(
            &authid(who),
            &path("/datastore/a"),
            Privileges::DATASTORE_READ,
            Privileges::DATASTORE_BACKUP,
        )
    };
    assert!(access("reader@pbs").unwrap().covers(&authid("x@pbs")));
    let user = access("u@pbs").unwrap();
    assert!(user.covers(&authid("u@pbs")) && user.covers(&authid("u@pbs!t")) && !user.covers(&authid("x@pbs")));
    let token = access("u@pbs!t").unwrap();
    assert!(token.covers(&authid("u@pbs!t")) && !token.covers(&authid("u@pbs")));
    assert_eq!(access("x@pbs").unwrap_err().missing_text(), "Datastore.Read|Datastore.Backup");
}

#[test]
fn rights_below_a_path_need_propagation_or_an_own_entry() {
    let tree = tree(&[
        "0 /datastore/a u@pbs DatastoreAudit",
        "1 /datastore/b v@pbs DatastoreAudit",
        "1 /datastore/c/x/y w@pbs DatastoreBackup",
        "1 /datastore/c/x/y w@pbs!t DatastoreAudit",
    ]);
    let any = Privileges::DATASTORE_AUDIT | Privileges::DATASTORE_BACKUP;
    let below = |who: &str, at: &str| tree.has_any_below(&authid(who), &path(at), any);
    assert!(!below("u@pbs", "/datastore/a"), "held on the path, but not below");
    assert!(below("u@pbs", "/datastore"));
    assert!(below("v@pbs", "/datastore/b") && below("v@pbs", "/datastore/b/any/where"));
    assert!(below("w@pbs", "/datastore/c") && !below("w@pbs", "/datastore/c/z") && !below("w@pbs", "/datastore/b"));
    assert!(!below("w@pbs!t", "/datastore/c"), "the user does not hold what the token's entry gives");
    assert!(below("root@pam", "/nowhere"));
}

#[test]
fn all_paths_with_entries_are_listed() {
    let tree = tree(&["1 /datastore/a/n u@pbs Audit", "1 / u@pbs Audit", "1 /access u@pbs Audit"]);
    assert_eq!(tree.paths(), ["/", "/access", "/datastore/a/n"]);
}

proptest! {
    /// Whatever stands above, below a propagated `NoAccess` nothing is left unless a deeper entry says otherwise.
    #[test]
    fn below_no_access_nothing_is_left(above in proptest::collection::vec((0..3usize, "Admin|Audit|DatastoreReader", any::<bool>()), 0..6), tail in "(/[xyz]){0,3}") {
        let mut tree = AclTree::new();
        let parts = ["datastore", "a", "n"];
        for (depth, role, flag) in above {
            tree.set(&parts[..depth], authid("u@pbs"), role.parse().unwrap(), flag);
        }
        tree.set(&parts, authid("u@pbs"), Role::NoAccess, true);
        let at = path(&format!("/datastore/a/n{tail}"));
        prop_assert_eq!(tree.privileges(&authid("u@pbs"), &at), Effective::default());
    }

    /// A token never holds more than its user, and what propagates is always held.
    #[test]
    fn tokens_stay_within_their_user(entries in proptest::collection::vec(("(/[ab]){0,3}", any::<bool>(), 0..Role::ALL.len(), any::<bool>()), 0..12), at in "(/[ab]){1,4}") {
        let mut tree = AclTree::new();
        for (p, is_token, role, flag) in entries {
            let parts: Vec<&str> = p.split('/').filter(|s| !s.is_empty()).collect();
            let who = if is_token { "u@pbs!t" } else { "u@pbs" };
            tree.set(&parts, authid(who), Role::ALL[role], flag);
        }
        let (user, token) = (tree.privileges(&authid("u@pbs"), &path(&at)), tree.privileges(&authid("u@pbs!t"), &path(&at)));
        prop_assert!(token.all.without(user.all).is_empty() && token.propagated.without(user.propagated).is_empty());
        prop_assert!(user.propagated.without(user.all).is_empty() && token.propagated.without(token.all).is_empty());
    }

    /// Going one level deeper where the tree has no entry keeps exactly what propagates.
    #[test]
    fn an_unknown_child_gets_what_propagates(entries in proptest::collection::vec(("(/[ab]){0,3}", 0..Role::ALL.len(), any::<bool>()), 0..10), at in "(/[ab]){1,3}") {
        let mut tree = AclTree::new();
        for (p, role, flag) in entries {
            let parts: Vec<&str> = p.split('/').filter(|s| !s.is_empty()).collect();
            tree.set(&parts, authid("u@pbs"), Role::ALL[role], flag);
        }
        let child = tree.privileges(&authid("u@pbs"), &path(&format!("{at}/zzz")));
        let grandchild = tree.privileges(&authid("u@pbs"), &path(&format!("{at}/zzz/y")));
        prop_assert_eq!(child, grandchild);
        prop_assert_eq!(child.all, child.propagated);
        // Where nothing is set on the path itself, parent and child agree.
        let node_is_bare = !tree.paths().contains(&at);
        if node_is_bare {
            prop_assert_eq!(tree.privileges(&authid("u@pbs"), &path(&at)), child);
        }
    }
}
