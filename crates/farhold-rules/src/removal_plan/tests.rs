use farhold_types::SnapshotItem;
use proptest::prelude::*;

use super::*;
use crate::sync_plan::{LocalCondition, LocalFacts, SelectionOptions, plan_group};

fn ns(text: &str) -> Namespace {
    text.parse().unwrap()
}

fn local(time: i64, condition: LocalCondition, is_protected: bool) -> LocalSnapshot {
    LocalSnapshot { time: Epoch(time), condition, is_protected }
}

fn item(time: i64, is_finished: bool) -> SnapshotItem {
    let snapshot: farhold_types::Snapshot = "vm/1/2026-01-01T10:00:00Z".parse().unwrap();
    SnapshotItem {
        backup_type: snapshot.group.backup_type,
        backup_id: snapshot.group.backup_id,
        backup_time: Epoch(time),
        comment: None,
        verification: None,
        fingerprint: None,
        files: Vec::new(),
        size: is_finished.then_some(1),
        owner: None,
        protected: false,
    }
}

#[test]
fn absent_snapshots_go_and_protected_ones_stay_whatever_their_condition() {
    use LocalCondition::{NotKnownBad, Unfinished, VerificationFailed};
    let listed = BTreeSet::from([Epoch(3)]);
    let local = [
        local(5, Unfinished, false),
        local(1, NotKnownBad, true),
        local(3, NotKnownBad, false),
        local(2, VerificationFailed, false),
    ];
    let planned: Vec<_> = plan_snapshots(&listed, &local).iter().map(|r| (r.time.0, r.verdict)).collect();
    let (remove, keep) = (SnapshotVerdict::Remove, SnapshotVerdict::KeepProtected);
    assert_eq!(planned, [(1, keep), (2, remove), (5, remove)]);
}

#[test]
fn what_is_unreadable_unverified_or_not_encrypted_on_the_source_did_not_vanish() {
    let group: Group = "vm/1".parse().unwrap();
    let here = [1, 2, 3].map(|time| local(time, LocalCondition::NotKnownBad, false));
    for options in [
        SelectionOptions::default(),
        SelectionOptions { verified_only: true, ..SelectionOptions::default() },
        SelectionOptions { encrypted_only: true, ..SelectionOptions::default() },
        SelectionOptions { transfer_last: Some(1), ..SelectionOptions::default() },
    ] {
        let facts = LocalFacts { snapshots: &here, failed: &BTreeSet::new() };
        let plan = plan_group(&group, vec![item(1, false), item(2, true)], facts, &options);
        let planned: Vec<_> = plan_snapshots(&plan.listed(), &here).iter().map(|r| r.time.0).collect();
        assert_eq!(planned, [3], "{options:?}");
    }
}

#[test]
fn groups_stay_for_each_reason_of_the_table() {
    let owner: Authid = "sync@pbs!t1".parse().unwrap();
    let on_source = BTreeSet::from(["vm/1".parse().unwrap()]);
    let owned = |group: &str, owner: Option<&str>| OwnedGroup {
        group: group.parse().unwrap(),
        owner: owner.map(|owner| owner.parse().unwrap()),
    };
    let local = [
        owned("vm/9", Some("sync@pbs!t1")),
        owned("vm/1", Some("sync@pbs!t1")),
        owned("vm/10", Some("sync@pbs!t1")),
        owned("vm/11", Some("sync@pbs")),
        owned("vm/12", None),
        owned("ct/7", Some("sync@pbs!t1")),
    ];
    let filters: [GroupFilter; 1] = ["type:vm".parse().unwrap()];
    let planned = plan_groups(&on_source, &local, &owner, &filters);
    let planned: Vec<_> = planned.iter().map(|r| (r.group.to_string(), r.verdict)).collect();
    let keep = GroupVerdict::Keep;
    assert_eq!(
        planned,
        [
            ("ct/7".to_owned(), keep(GroupKeep::OutsideFilter)),
            ("vm/9".to_owned(), GroupVerdict::Remove),
            ("vm/10".to_owned(), GroupVerdict::Remove),
            ("vm/11".to_owned(), keep(GroupKeep::OtherOwner)),
            ("vm/12".to_owned(), keep(GroupKeep::OwnerUnreadable)),
        ]
    );
}

#[test]
fn a_listing_without_anchor_or_parents_is_recognised() {
    let whole = |listed: &[&str], anchor: &str| {
        shows_whole_tree(&listed.iter().map(|text| ns(text)).collect::<Vec<_>>(), &ns(anchor))
    };
    assert!(whole(&[""], "") && whole(&["", "a", "a/b"], "") && whole(&["a", "a/b"], "a"));
    assert!(whole(&["a", "other/b"], "a"), "what lies outside says nothing");
    assert!(!whole(&[], "") && !whole(&["a"], "") && !whole(&["", "a/b"], "") && !whole(&["a/b"], "a"));
}

struct Case<'a> {
    synced: &'a [&'a str],
    failed: &'a [&'a str],
    local: &'a [&'a str],
    anchor: &'a str,
    max_depth: Option<u8>,
}

fn plan(case: &Case<'_>, right: impl Fn(&Namespace) -> NamespaceRight) -> Vec<(String, NamespaceVerdict)> {
    let all = |texts: &[&str]| texts.iter().map(|text| ns(text)).collect::<Vec<_>>();
    let anchor = ns(case.anchor);
    let pairs: Vec<_> = all(case.synced)
        .into_iter()
        .map(|target| NamespacePair { source: target.remap(&anchor, &Namespace::root()).unwrap(), target })
        .collect();
    let facts = NamespaceFacts {
        source_anchor: &Namespace::root(),
        target_anchor: &anchor,
        max_depth: case.max_depth,
        pairs: &pairs,
        failed: &all(case.failed),
        local: &all(case.local),
    };
    plan_namespaces(&facts, right).into_iter().map(|r| (r.namespace.to_string(), r.verdict)).collect()
}

#[test]
fn namespaces_stay_for_each_reason_of_the_table() {
    let (remove, keep) = (NamespaceVerdict::Remove, NamespaceVerdict::Keep);
    let base = Case { synced: &["x"], failed: &[], local: &[], anchor: "x", max_depth: None };
    let all = |_: &Namespace| NamespaceRight::Remove;
    let beside = Case { local: &["x", "", "y", "x/gone", "x/gone/child"], ..base };
    assert_eq!(plan(&beside, all), [("x/gone/child".into(), remove), ("x/gone".into(), remove)]);
    let failed = Case { failed: &["x"], ..beside };
    assert!(plan(&failed, all).iter().all(|(_, verdict)| *verdict == keep(NamespaceKeep::BelowFailed)));
    let failed = Case { synced: &["x", "x/f"], failed: &["x/f"], local: &["x/f/c", "x/ok"], ..base };
    assert_eq!(plan(&failed, all), [("x/f/c".into(), keep(NamespaceKeep::BelowFailed)), ("x/ok".into(), remove)]);
    let above = Case { synced: &["x", "x/hidden/child"], local: &["x/hidden", "x/hidden/child"], ..base };
    assert_eq!(plan(&above, all), [("x/hidden".into(), keep(NamespaceKeep::AboveSynced))]);
    let deep = Case { max_depth: Some(1), local: &["x/a", "x/a/b", "x/c"], ..base };
    assert_eq!(plan(&deep, all), [("x/a".into(), keep(NamespaceKeep::AboveDepth)), ("x/c".into(), remove)]);
    let flat = Case { max_depth: Some(0), local: &["x/a"], ..base };
    assert_eq!(plan(&flat, all), []);
    let rights = |namespace: &Namespace| match namespace.to_string().as_str() {
        "x/p/unseen" => NamespaceRight::Nothing,
        "x/q" => NamespaceRight::See,
        _ => NamespaceRight::Remove,
    };
    let limited = Case { local: &["x/p", "x/p/unseen", "x/q", "x/r"], ..base };
    assert_eq!(
        plan(&limited, rights),
        [
            ("x/p/unseen".into(), keep(NamespaceKeep::NotVisible)),
            ("x/p".into(), keep(NamespaceKeep::ChildStays)),
            ("x/q".into(), keep(NamespaceKeep::NotAllowed)),
            ("x/r".into(), remove),
        ]
    );
}

fn tree() -> impl Strategy<Value = Vec<Namespace>> {
    let namespace = proptest::collection::vec("[abc]", 0..5).prop_map(|c| Namespace::from_components(c).unwrap());
    proptest::collection::vec(namespace, 0..25)
}

proptest! {
    #[test]
    fn namespaces_outside_the_scope_synced_failed_or_unseen_never_go_nor_anything_above_what_stays(
        local in tree(),
        synced in tree(),
        failed in tree(),
        unseen in tree(),
        anchor in proptest::collection::vec("[abc]", 0..2),
        source_anchor in proptest::collection::vec("[abc]", 0..3),
        max_depth in proptest::option::of(0u8..4),
    ) {
        let anchor = Namespace::from_components(anchor).unwrap();
        let source_anchor = Namespace::from_components(source_anchor).unwrap();
        let pairs: Vec<_> =
            synced.into_iter().map(|target| NamespacePair { source: target.clone(), target }).collect();
        let failed = &failed[..failed.len().min(2)];
        let facts = NamespaceFacts {
            source_anchor: &source_anchor,
            target_anchor: &anchor,
            max_depth,
            pairs: &pairs,
            failed,
            local: &local,
        };
        let is_unseen = |ns: &Namespace| unseen.contains(ns);
        let right = |ns: &Namespace| if is_unseen(ns) { NamespaceRight::Nothing } else { NamespaceRight::Remove };
        let planned = plan_namespaces(&facts, right);
        let removed: Vec<_> =
            planned.iter().filter(|r| r.verdict == NamespaceVerdict::Remove).map(|r| &r.namespace).collect();
        for (i, gone) in removed.iter().enumerate() {
            prop_assert!(is_above(&anchor, gone) && !gone.is_root());
            prop_assert!(max_depth.is_none_or(|max| gone.depth() - anchor.depth() <= usize::from(max)));
            prop_assert!(pairs.iter().all(|pair| !pair.target.is_at_or_below(gone)));
            prop_assert!(failed.iter().all(|failed| !gone.is_at_or_below(failed)));
            prop_assert!(!is_unseen(gone));
            // Everything local below it goes, and goes before.
            for child in local.iter().filter(|child| is_above(gone, child)) {
                prop_assert!(removed[..i].contains(&child));
            }
        }
    }

    #[test]
    fn only_unprotected_snapshots_that_nobody_listed_go(
        listed in proptest::collection::btree_set(0i64..20, 0..12),
        here in proptest::collection::btree_map(0i64..20, any::<bool>(), 0..12),
    ) {
        let listed: BTreeSet<Epoch> = listed.into_iter().map(Epoch).collect();
        let here: Vec<_> =
            here.into_iter().map(|(time, is)| local(time, LocalCondition::NotKnownBad, is)).collect();
        for removal in plan_snapshots(&listed, &here) {
            let found = here.iter().find(|s| s.time == removal.time).unwrap();
            prop_assert!(!listed.contains(&removal.time));
            prop_assert_eq!(removal.verdict == SnapshotVerdict::KeepProtected, found.is_protected);
        }
    }

    #[test]
    fn only_groups_of_the_owner_within_the_filter_that_nobody_listed_go(
        listed in proptest::collection::btree_set(0u8..12, 0..8),
        here in proptest::collection::btree_map(0u8..12, proptest::option::of(any::<bool>()), 0..12),
        excluded in 0u8..12,
    ) {
        let group = |id: &u8| format!("vm/{id}").parse::<Group>().unwrap();
        let owner: Authid = "a@pbs".parse().unwrap();
        let other: Authid = "b@pbs".parse().unwrap();
        let local: Vec<_> = here
            .iter()
            .map(|(id, is_ours)| OwnedGroup {
                group: group(id),
                owner: is_ours.map(|is_ours| if is_ours { owner.clone() } else { other.clone() }),
            })
            .collect();
        let filters: [GroupFilter; 1] = [format!("exclude:group:vm/{excluded}").parse().unwrap()];
        let removed: BTreeSet<Group> = plan_groups(&listed.iter().map(group).collect(), &local, &owner, &filters)
            .into_iter()
            .filter(|removal| removal.verdict == GroupVerdict::Remove)
            .map(|removal| removal.group)
            .collect();
        let expected: BTreeSet<Group> = here
            .iter()
            .filter(|(id, is_ours)| **is_ours == Some(true) && !listed.contains(id) && **id != excluded)
            .map(|(id, _)| group(id))
            .collect();
        prop_assert_eq!(removed, expected);
    }
}
