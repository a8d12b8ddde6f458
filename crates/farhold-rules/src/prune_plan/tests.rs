use proptest::prelude::*;

use super::*;

fn keep(rules: &[(&str, u64)]) -> KeepOptions {
    let mut keep = KeepOptions::default();
    for (name, count) in rules {
        assert!(keep.set(&format!("keep-{name}"), Some(*count)), "{name}");
    }
    keep
}

/// Reads `2026-01-06T01:00:00Z`, with `unfinished` or `protected` behind it.
fn snapshot(text: &str) -> PruneSnapshot {
    let (time, state) = text.split_once(' ').unwrap_or((text, ""));
    let time = Epoch::parse_rfc3339_utc(time).unwrap();
    PruneSnapshot { time, is_finished: !state.contains("unfinished"), is_protected: state.contains("protected") }
}

fn decided(snapshots: &[&str], rules: &[(&str, u64)], zone: &TimeZone) -> Vec<Mark> {
    let snapshots: Vec<_> = snapshots.iter().map(|text| snapshot(text)).collect();
    plan(&snapshots, &keep(rules), zone).into_iter().map(|decision| decision.mark).collect()
}

#[test]
fn the_example_of_the_specification_is_decided_as_it_says() {
    let expected = [
        ("2025-12-31T20:00:00Z", Mark::Keep),
        ("2026-01-01T20:00:00Z", Mark::Remove),
        ("2026-01-02T20:00:00Z", Mark::Keep),
        ("2026-01-03T01:00:00Z unfinished", Mark::Remove),
        ("2026-01-03T20:00:00Z protected", Mark::Protected),
        ("2026-01-04T08:00:00Z", Mark::Remove),
        ("2026-01-04T20:00:00Z", Mark::Keep),
        ("2026-01-05T08:00:00Z", Mark::Remove),
        ("2026-01-05T20:00:00Z", Mark::Keep),
        ("2026-01-06T01:00:00Z unfinished", Mark::KeepPartial),
    ];
    let rules = [("last", 1), ("daily", 2), ("weekly", 2), ("yearly", 1)];
    let (texts, marks): (Vec<_>, Vec<_>) = expected.into_iter().unzip();
    assert_eq!(decided(&texts, &rules, &TimeZone::UTC), marks);
    let reversed: Vec<_> = texts.iter().rev().copied().collect();
    assert_eq!(decided(&reversed, &rules, &TimeZone::UTC), marks, "the order of the input does not matter");
}

#[test]
fn recorded_prunes_are_decided_as_recorded() {
    use Mark::{Keep, Protected, Remove};
    let three = ["2026-01-01T10:00:00Z", "2026-01-02T10:00:00Z", "2026-01-03T10:00:00Z"];
    let first_protected = ["2026-01-01T10:00:00Z protected", three[1], three[2]];
    for (snapshots, rules, marks) in [
        (three, &[][..], [Keep, Keep, Keep]),
        (three, &[("last", 1)], [Remove, Remove, Keep]),
        (three, &[("last", 2)], [Remove, Keep, Keep]),
        (three, &[("daily", 1), ("weekly", 1)], [Remove, Remove, Keep]),
        (first_protected, &[("last", 1)], [Protected, Remove, Keep]),
        (first_protected, &[], [Protected, Keep, Keep]),
    ] {
        assert_eq!(decided(&snapshots, rules, &TimeZone::UTC), marks, "{rules:?}");
    }
}

#[test]
fn without_a_rule_unfinished_snapshots_stay_too() {
    let texts = ["2026-01-01T10:00:00Z unfinished", "2026-01-02T10:00:00Z", "2026-01-03T10:00:00Z unfinished"];
    assert_eq!(decided(&texts, &[], &TimeZone::UTC), [Mark::Keep; 3]);
    assert_eq!(decided(&texts, &[("last", 0)], &TimeZone::UTC), [Mark::Keep; 3], "a rule that keeps none is none");
    assert_eq!(decided(&texts, &[("last", 5)], &TimeZone::UTC), [Mark::Remove, Mark::Keep, Mark::KeepPartial]);
    assert!(decided(&[], &[("last", 5)], &TimeZone::UTC).is_empty());
}

#[test]
fn days_and_weeks_are_those_of_the_zone() {
    let vienna = TimeZone::get("Europe/Vienna").unwrap();
    // 23:30 UTC is the next day in Vienna, and on a Sunday the next week.
    let texts = ["2026-01-04T22:30:00Z", "2026-01-04T23:30:00Z"];
    for rule in ["daily", "weekly"] {
        assert_eq!(decided(&texts, &[(rule, 2)], &TimeZone::UTC), [Mark::Remove, Mark::Keep], "{rule}");
        assert_eq!(decided(&texts, &[(rule, 2)], &vienna), [Mark::Keep, Mark::Keep], "{rule}");
    }
    // The hour that the clock shows twice when summer ends is one bucket, because both have the same name.
    let twice = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"];
    assert_eq!(decided(&twice, &[("hourly", 2)], &TimeZone::UTC), [Mark::Keep, Mark::Keep]);
    assert_eq!(decided(&twice, &[("hourly", 2)], &vienna), [Mark::Remove, Mark::Keep]);
}

#[test]
fn weeks_belong_to_the_year_that_iso_8601_says() {
    // Monday 2025-12-29 to Sunday 2026-01-04 is week 1 of 2026.
    let texts = ["2025-12-28T12:00:00Z", "2025-12-29T12:00:00Z", "2026-01-04T12:00:00Z", "2026-01-05T12:00:00Z"];
    let marks = decided(&texts, &[("weekly", 3)], &TimeZone::UTC);
    assert_eq!(marks, [Mark::Keep, Mark::Remove, Mark::Keep, Mark::Keep]);
}

#[test]
fn the_last_times_that_exist_are_decided_too() {
    let texts = ["9999-12-31T23:59:58Z", "9999-12-31T23:59:59Z"];
    for rule in ["last", "hourly", "daily", "weekly", "monthly", "yearly"] {
        let newest = decided(&texts, &[(rule, 1)], &TimeZone::fixed(jiff::tz::offset(14))).pop();
        assert_eq!(newest, Some(Mark::Keep), "{rule}");
    }
}

/// The names that the specification gives to buckets, made another way.
fn bucket_name(rule: usize, time: Epoch, zone: &TimeZone) -> String {
    let form = ["%s", "%Y/%m/%d/%H", "%Y/%m/%d", "%G/%V", "%Y/%m", "%Y"][rule];
    Timestamp::from_second(time.0).unwrap().to_zoned(zone.clone()).strftime(form).to_string()
}

fn any_snapshots() -> impl Strategy<Value = Vec<PruneSnapshot>> {
    // Two years in steps of three hours, so that buckets of all sizes are shared and not shared.
    let one = (0..5_840i64, prop::bool::weighted(0.85), prop::bool::weighted(0.15));
    prop::collection::vec(one, 0..40).prop_map(|all| {
        let mut seen = HashSet::new();
        all.into_iter()
            .filter(|(step, ..)| seen.insert(*step))
            .map(|(step, is_finished, is_protected)| PruneSnapshot {
                time: Epoch(1_735_700_000 + step * 10_800),
                is_finished,
                is_protected,
            })
            .collect()
    })
}

fn any_keep() -> impl Strategy<Value = KeepOptions> {
    prop::array::uniform6(prop::option::of(1..6u64)).prop_map(|[last, hourly, daily, weekly, monthly, yearly]| {
        KeepOptions { last, hourly, daily, weekly, monthly, yearly }
    })
}

proptest! {
    #[test]
    fn nothing_is_removed_that_must_stay(snapshots in any_snapshots(), keep in any_keep()) {
        let plan = plan(&snapshots, &keep, &TimeZone::UTC);
        let mut times: Vec<_> = snapshots.iter().map(|snapshot| snapshot.time).collect();
        times.sort();
        prop_assert_eq!(plan.iter().map(|decision| decision.snapshot.time).collect::<Vec<_>>(), times);
        prop_assert!(plan.iter().all(|one| one.snapshot.is_protected == (one.mark == Mark::Protected)));
        let newest = plan.iter().rev().find(|one| one.snapshot.is_finished && !one.snapshot.is_protected);
        prop_assert!(newest.is_none_or(|one| one.mark == Mark::Keep));
        prop_assert!(plan.last().is_none_or(|one| one.snapshot.is_finished || one.mark.keeps()));
        let kept = plan.iter().filter(|one| one.mark == Mark::Keep).count() as u64;
        let limit: u64 = keep.named().iter().filter_map(|(_, count)| *count).sum();
        prop_assert!(limit == 0 || kept <= limit);
    }

    #[test]
    fn one_rule_keeps_the_newest_of_each_of_the_newest_buckets(
        snapshots in any_snapshots(),
        rule in 0..6usize,
        limit in 1..8u64,
        is_vienna in any::<bool>(),
    ) {
        let zone = if is_vienna { TimeZone::get("Europe/Vienna").unwrap() } else { TimeZone::UTC };
        let mut keep = KeepOptions::default();
        keep.set(KeepOptions::default().named()[rule].0, Some(limit));
        let mut candidates: Vec<_> = snapshots.iter().filter(|one| one.is_finished && !one.is_protected).collect();
        candidates.sort_by_key(|one| std::cmp::Reverse(one.time));
        let mut names: Vec<String> = Vec::new();
        let mut expected: Vec<Epoch> = Vec::new();
        for candidate in candidates {
            let name = bucket_name(rule, candidate.time, &zone);
            if !names.contains(&name) && (names.len() as u64) < limit {
                names.push(name);
                expected.push(candidate.time);
            }
        }
        expected.reverse();
        let plan = plan(&snapshots, &keep, &zone);
        let kept: Vec<Epoch> =
            plan.iter().filter(|one| one.mark == Mark::Keep).map(|one| one.snapshot.time).collect();
        prop_assert_eq!(kept, expected);
    }

    #[test]
    fn a_second_prune_removes_nothing_more(snapshots in any_snapshots(), limit in 1..6u64, rule in 0..6usize) {
        let mut keep = KeepOptions::default();
        keep.set(KeepOptions::default().named()[rule].0, Some(limit));
        let first = plan(&snapshots, &keep, &TimeZone::UTC);
        let left: Vec<_> = first.iter().filter(|one| one.mark.keeps()).map(|one| one.snapshot).collect();
        prop_assert!(plan(&left, &keep, &TimeZone::UTC).iter().all(|one| one.mark.keeps()));
    }
}
