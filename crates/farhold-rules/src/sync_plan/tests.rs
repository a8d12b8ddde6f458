use farhold_types::{Snapshot, SnapshotFileItem, VerificationItem};
use proptest::prelude::*;

use super::*;

const NONE: SelectionOptions =
    SelectionOptions { transfer_last: None, verified_only: false, encrypted_only: false, resync_corrupt: false };

fn group() -> Group {
    "vm/1".parse().unwrap()
}

fn item(time: i64) -> SnapshotItem {
    let Snapshot { group, time } = group().at(Epoch(time));
    let file = |name: &str, mode| SnapshotFileItem { filename: name.into(), crypt_mode: mode, size: Some(1) };
    SnapshotItem {
        backup_type: group.backup_type,
        backup_id: group.backup_id,
        backup_time: time,
        comment: None,
        verification: None,
        fingerprint: None,
        files: vec![file("a.img.fidx", Some(CryptMode::None)), file(MANIFEST_NAME, Some(CryptMode::None))],
        size: Some(2),
        owner: None,
        protected: false,
    }
}

fn local(time: i64, condition: LocalCondition) -> LocalSnapshot {
    LocalSnapshot { time: Epoch(time), condition, is_protected: false }
}

fn sound(times: &[i64]) -> Vec<LocalSnapshot> {
    times.iter().map(|t| local(*t, LocalCondition::NotKnownBad)).collect()
}

static NEVER_FAILED: BTreeSet<Epoch> = BTreeSet::new();

fn facts(snapshots: &[LocalSnapshot]) -> LocalFacts<'_> {
    LocalFacts { snapshots, failed: &NEVER_FAILED }
}

fn kinds(items: Vec<SnapshotItem>, local: &[LocalSnapshot], options: SelectionOptions) -> Vec<(i64, ActionKind)> {
    let plan = plan_group(&group(), items, facts(local), &options);
    plan.actions.iter().map(|a| (a.item.backup_time.0, a.kind)).collect()
}

use ActionKind::{Compare, RefetchCorrupt, Skip, Transfer};
use SkipReason::{AlreadySynced, InProgress, NotEncrypted, NotVerified};

#[test]
fn the_newest_local_is_compared_newer_ones_come_over_older_ones_are_never_filled() {
    let items = vec![item(3), item(1), item(2), item(4)];
    assert_eq!(
        kinds(items, &sound(&[1, 3]), NONE),
        [(1, Skip(AlreadySynced)), (2, Skip(AlreadySynced)), (3, Compare), (4, Transfer)]
    );
}

#[test]
fn a_directory_without_manifest_is_not_the_newest() {
    let items = vec![item(1), item(2)];
    assert_eq!(kinds(items, &[local(2, LocalCondition::Unfinished)], NONE), [(1, Transfer), (2, Transfer)]);
}

#[test]
fn an_unreadable_newest_manifest_is_looked_at_again() {
    assert_eq!(kinds(vec![item(1)], &[local(1, LocalCondition::UnreadableManifest)], NONE), [(1, Compare)]);
}

#[test]
fn an_unfinished_source_snapshot_is_skipped_but_has_not_vanished() {
    let mut running = item(2);
    running.size = None;
    let plan = plan_group(&group(), vec![item(1), running], facts(&sound(&[0, 1, 2])), &NONE);
    assert_eq!(plan.actions[1].kind, Skip(InProgress));
    assert_eq!(plan.in_progress().count(), 1);
    assert!(!plan.wanted.contains(&Epoch(2)));
    assert_eq!(plan.listed(), BTreeSet::from([Epoch(1), Epoch(2)]));
}

#[test]
fn transfer_last_counts_after_the_filters_and_never_hides_the_newest_local() {
    let mut items: Vec<_> = (1..=6).map(item).collect();
    for i in [3usize, 4, 5] {
        items[i].verification = Some(VerificationItem { upid: String::new(), state: VerifyState::Ok });
    }
    let options = SelectionOptions { transfer_last: Some(2), verified_only: true, ..NONE };
    let transfer_last = Skip(SkipReason::TransferLast);
    assert_eq!(
        kinds(items, &[], options),
        [
            (1, Skip(NotVerified)),
            (2, Skip(NotVerified)),
            (3, Skip(NotVerified)),
            (4, transfer_last),
            (5, Transfer),
            (6, Transfer)
        ]
    );
    let items: Vec<_> = (1..=4).map(item).collect();
    let options = SelectionOptions { transfer_last: Some(1), ..NONE };
    assert_eq!(
        kinds(items, &sound(&[2]), options),
        [(1, Skip(AlreadySynced)), (2, Compare), (3, transfer_last), (4, Transfer)]
    );
}

#[test]
fn a_time_that_failed_before_is_taken_although_a_newer_one_is_there() {
    let failed = BTreeSet::from([1, 2, 3, 9].map(Epoch));
    let local = [local(2, LocalCondition::Unfinished), local(3, LocalCondition::NotKnownBad), sound(&[5])[0]];
    let mut items: Vec<_> = (1..=6).map(item).collect();
    let taken = |items: &[SnapshotItem], options: SelectionOptions| -> Vec<_> {
        let facts = LocalFacts { snapshots: &local, failed: &failed };
        let plan = plan_group(&group(), items.to_vec(), facts, &options);
        plan.taken().map(|a| (a.item.backup_time.0, a.kind, a.has_failed_before)).collect()
    };
    let all = [(1, Transfer, true), (2, Transfer, true), (3, Compare, true), (5, Compare, false), (6, Transfer, false)];
    assert_eq!(taken(&items, NONE), all);
    // Filters and transfer-last hold for it as for any other.
    let last = SelectionOptions { transfer_last: Some(5), ..NONE };
    assert_eq!(taken(&items, last), all[1..]);
    items[0].size = None;
    assert_eq!(taken(&items, NONE), all[1..]);
}

#[test]
fn skip_classes_name_count_and_range() {
    let items: Vec<_> = (1..=5).map(item).collect();
    let options = SelectionOptions { transfer_last: Some(1), ..NONE };
    let plan = plan_group(&group(), items, facts(&sound(&[2])), &options);
    let class =
        |reason, count, oldest, newest| SkipClass { reason, count, oldest: Epoch(oldest), newest: Epoch(newest) };
    assert_eq!(plan.skip_classes(), [class(AlreadySynced, 1, 1, 1), class(SkipReason::TransferLast, 2, 3, 4)]);
}

#[test]
fn corrupt_local_snapshots_are_fetched_again_only_when_asked() {
    let items: Vec<_> = (1..=5).map(item).collect();
    let local = [
        local(1, LocalCondition::VerificationFailed),
        local(2, LocalCondition::UnreadableManifest),
        local(3, LocalCondition::Unfinished),
        local(4, LocalCondition::NotKnownBad),
        local(5, LocalCondition::NotKnownBad),
    ];
    let old = Skip(AlreadySynced);
    assert_eq!(kinds(items.clone(), &local, NONE), [(1, old), (2, old), (3, old), (4, old), (5, Compare)]);
    let options = SelectionOptions { resync_corrupt: true, ..NONE };
    let again = RefetchCorrupt;
    assert_eq!(kinds(items, &local, options), [(1, again), (2, again), (3, again), (4, old), (5, Compare)]);
}

#[test]
fn encrypted_only_takes_fully_encrypted_and_nothing_else() {
    let with = |modes: [(&str, Option<CryptMode>); 3]| {
        let mut item = item(1);
        item.files = modes
            .into_iter()
            .map(|(name, mode)| SnapshotFileItem { filename: name.into(), crypt_mode: mode, size: None })
            .collect();
        item
    };
    let encrypt = Some(CryptMode::Encrypt);
    let signed = Some(CryptMode::SignOnly);
    let options = SelectionOptions { encrypted_only: true, ..NONE };
    for (modes, expected) in [
        ([("a.fidx", encrypt), (MANIFEST_NAME, signed), (CLIENT_LOG_NAME, None)], Transfer),
        ([("a.fidx", encrypt), (MANIFEST_NAME, Some(CryptMode::None)), (CLIENT_LOG_NAME, None)], Skip(NotEncrypted)),
        ([("a.fidx", encrypt), (MANIFEST_NAME, signed), ("stray.blob", None)], Skip(NotEncrypted)),
        ([("a.fidx", encrypt), (MANIFEST_NAME, signed), ("b.blob", Some(CryptMode::None))], Skip(NotEncrypted)),
        ([("a.fidx", signed), (MANIFEST_NAME, signed), ("b.blob", signed)], Skip(NotEncrypted)),
    ] {
        assert_eq!(kinds(vec![with(modes)], &[], options), [(1, expected)], "{modes:?}");
    }
}

#[test]
fn filtered_source_snapshots_have_not_vanished() {
    let options = SelectionOptions { verified_only: true, encrypted_only: true, ..NONE };
    let plan = plan_group(&group(), vec![item(1)], facts(&sound(&[1, 2])), &options);
    assert!(plan.wanted.is_empty());
    assert_eq!(plan.listed(), BTreeSet::from([Epoch(1)]));
}

#[test]
fn items_of_other_groups_and_repeated_times_are_dropped() {
    let mut other = item(9);
    other.backup_id = "2".parse().unwrap();
    assert_eq!(kinds(vec![item(1), other, item(1)], &[], NONE), [(1, Transfer)]);
}

#[test]
fn groups_are_filtered_and_ordered() {
    let groups = ["vm/10", "vm/9", "vm/abc", "ct/1", "host/z", "vm/9"].map(|g| g.parse().unwrap());
    let selection = select_groups(groups, &["exclude:group:vm/10".parse().unwrap()]);
    let names: Vec<_> = selection.selected.iter().map(Group::to_string).collect();
    assert_eq!((selection.total, names.join(" ").as_str()), (5, "ct/1 host/z vm/9 vm/abc"));
}

fn options() -> impl Strategy<Value = SelectionOptions> {
    (proptest::option::of(1u64..4), any::<bool>(), any::<bool>()).prop_map(|(transfer_last, verified, corrupt)| {
        SelectionOptions { transfer_last, verified_only: verified, encrypted_only: false, resync_corrupt: corrupt }
    })
}

fn items() -> impl Strategy<Value = Vec<SnapshotItem>> {
    proptest::collection::vec((0i64..12, any::<bool>(), proptest::option::of(any::<bool>())), 0..12).prop_map(|specs| {
        let make = |(time, finished, verified): (i64, bool, Option<bool>)| {
            let mut item = item(time);
            item.size = finished.then_some(1);
            let state = |ok| if ok { VerifyState::Ok } else { VerifyState::Failed };
            item.verification = verified.map(|ok| VerificationItem { upid: String::new(), state: state(ok) });
            item
        };
        specs.into_iter().map(make).collect()
    })
}

fn locals() -> impl Strategy<Value = Vec<LocalSnapshot>> {
    use LocalCondition::{NotKnownBad, Unfinished, UnreadableManifest, VerificationFailed};
    let condition = prop_oneof![
        Just(NotKnownBad),
        Just(NotKnownBad),
        Just(VerificationFailed),
        Just(UnreadableManifest),
        Just(Unfinished)
    ];
    proptest::collection::btree_map(0i64..12, condition, 0..8)
        .prop_map(|map| map.into_iter().map(|(t, c)| local(t, c)).collect())
}

proptest! {
    #[test]
    fn a_second_run_on_the_result_transfers_nothing(items in items(), local in locals(), options in options()) {
        let plan = plan_group(&group(), items.clone(), facts(&local), &options);
        let mut after: BTreeMap<Epoch, LocalSnapshot> = local.iter().map(|s| (s.time, *s)).collect();
        for action in plan.taken() {
            let time = action.item.backup_time;
            after.insert(time, LocalSnapshot { time, condition: LocalCondition::NotKnownBad, is_protected: false });
        }
        let after: Vec<_> = after.into_values().collect();
        let second = plan_group(&group(), items, facts(&after), &options);
        let kinds: Vec<_> = second.taken().map(|a| a.kind).collect();
        prop_assert!(kinds.iter().all(|k| *k == ActionKind::Compare) && kinds.len() <= 1, "{:?}", kinds);
    }

    #[test]
    fn every_listed_time_gets_one_action_in_order_and_taken_ones_are_wanted(
        items in items(), local in locals(), options in options(),
    ) {
        let listed: BTreeSet<Epoch> = items.iter().map(|i| i.backup_time).collect();
        let plan = plan_group(&group(), items, facts(&local), &options);
        let times: Vec<_> = plan.actions.iter().map(|a| a.item.backup_time).collect();
        prop_assert_eq!(&times, &listed.iter().copied().collect::<Vec<_>>());
        prop_assert!(plan.taken().all(|a| plan.wanted.contains(&a.item.backup_time)));
        prop_assert_eq!(plan.listed(), listed);
    }

    #[test]
    fn nothing_sound_and_older_than_the_newest_is_taken(items in items(), local in locals(), options in options()) {
        let newest = local.iter().filter(|s| s.condition != LocalCondition::Unfinished).map(|s| s.time).max();
        let plan = plan_group(&group(), items, facts(&local), &options);
        for action in plan.taken().filter(|a| a.kind != ActionKind::RefetchCorrupt) {
            prop_assert!(newest.is_none_or(|newest| newest <= action.item.backup_time));
        }
    }
}

#[test]
fn a_push_takes_what_is_newer_than_the_newest_finished_one_of_the_target() {
    let kinds = |items: Vec<SnapshotItem>, newest: Option<i64>, options: SelectionOptions| -> Vec<(i64, ActionKind)> {
        let plan = plan_push(&group(), items, newest.map(Epoch), &options);
        plan.actions.iter().map(|action| (action.item.backup_time.0, action.kind)).collect()
    };
    let items = || vec![item(3), item(1), item(2)];
    assert_eq!(kinds(items(), None, NONE), [(1, Transfer), (2, Transfer), (3, Transfer)]);
    assert_eq!(kinds(items(), Some(2), NONE), [(1, Skip(AlreadySynced)), (2, Skip(AlreadySynced)), (3, Transfer)]);
    assert_eq!(kinds(vec![item(2)], Some(9), NONE), [(2, Skip(AlreadySynced))]);
    let last = SelectionOptions { transfer_last: Some(1), ..NONE };
    assert_eq!(
        kinds(items(), Some(1), last),
        [(1, Skip(AlreadySynced)), (2, Skip(SkipReason::TransferLast)), (3, Transfer)]
    );
    // What a filter leaves out or is in progress is no vanished snapshot.
    let mut running = item(2);
    running.size = None;
    let verified = SelectionOptions { verified_only: true, ..NONE };
    let plan = plan_push(&group(), vec![item(1), running], None, &verified);
    assert_eq!(
        plan.actions.iter().map(|action| action.kind).collect::<Vec<_>>(),
        [Skip(NotVerified), Skip(InProgress)]
    );
    assert!(plan.wanted.is_empty() && plan.listed().len() == 2);
}
