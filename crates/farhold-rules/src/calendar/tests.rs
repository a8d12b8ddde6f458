use proptest::prelude::*;
use serde_json::Value;

use super::*;

const GOLDEN: &str = include_str!("../../../../tests/golden/calendar-events.json");

fn golden(list: &str) -> Vec<Value> {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let rows = golden[list].as_array().unwrap().clone();
    assert!(!rows.is_empty(), "{list}");
    rows
}

fn zone(name: &str) -> TimeZone {
    match name {
        "UTC" => TimeZone::UTC,
        name => TimeZone::get(name).expect("the tests need the zone files of the system (package tzdata)"),
    }
}

fn vienna() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

fn event(text: &str) -> CalendarEvent {
    CalendarEvent::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// Checks the rows of one list; `answer` names their member with the expected time.
fn check(list: &str, answer: &str) {
    let mut wrong = Vec::new();
    for row in golden(list) {
        let text = row["event"].as_str().unwrap();
        let from = Epoch(row["from"].as_i64().unwrap());
        let found = event(text).next_after(from, &zone(row["tz"].as_str().unwrap())).map(|time| time.0);
        if found != row[answer].as_i64() {
            wrong.push(format!("{row}: found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} rows differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn all_recorded_events_fire_at_the_recorded_times() {
    check("cases", "next");
}

#[test]
fn in_an_hour_that_exists_twice_the_chosen_answer_is_given() {
    check("fold_dependent", "choice");
    for row in golden("fold_dependent") {
        assert!(row["candidates"].as_array().unwrap().contains(&row["choice"]), "{row}");
    }
}

#[test]
fn zones_whose_winter_is_the_special_time_move_forward_too() {
    check("backward_gap", "choice");
}

#[test]
fn recorded_events_are_told_apart_from_recorded_wrong_ones() {
    for text in golden("accepted_odd") {
        event(text.as_str().unwrap());
    }
    for text in golden("rejected") {
        let text = text.as_str().unwrap();
        assert!(CalendarEvent::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn an_error_tells_where_it_stopped_and_what_was_expected() {
    for (text, message) in [
        ("every tuesday", "unable to parse calendar event at 'every': expected a weekday"),
        ("mon 8:60", "unable to parse calendar event at '60': expected a smaller number"),
        ("*/0", "unable to parse calendar event at '0': expected a step above 0"),
        ("12..8:00", "unable to parse calendar event at '8:00': expected a range that ascends"),
        ("8:00 ", "unable to parse calendar event at ' ': expected the end"),
        ("UTC", "unable to parse calendar event at '': expected a weekday, a date or a time"),
    ] {
        assert_eq!(CalendarEvent::parse(text).unwrap_err().to_string(), message, "{text:?}");
    }
}

#[test]
fn years_that_the_time_library_does_not_know_follow_the_same_rules() {
    // 9999-12-31 23:59:59 and the midnight after it.
    assert_eq!(event("daily").next_after(Epoch(253_402_300_799), &TimeZone::UTC), Some(Epoch(253_402_300_800)));
    // Vienna's summer of the year 10026 is that of 2026, twenty cycles of 400 years later.
    let cycles = 20 * 146_097 * 86_400;
    for from in [1_774_600_000, 1_774_746_000, 1_792_886_400, 1_792_893_600] {
        let near = event("*:0/30").next_after(Epoch(from), &vienna()).unwrap();
        let far = event("*:0/30").next_after(Epoch(from + cycles), &vienna()).unwrap();
        assert_eq!(far.0 - cycles, near.0, "{from}");
    }
    for from in [i64::MIN, -FURTHEST - 1, FURTHEST + 1, i64::MAX] {
        assert_eq!(event("minutely").next_after(Epoch(from), &vienna()), None);
    }
}

/// Texts of events that parse, from parts of every form.
fn events() -> impl Strategy<Value = String> {
    let list = |low: u32, high: u32| {
        prop_oneof![
            Just("*".to_owned()),
            (1..high).prop_map(|step| format!("*/{step}")),
            proptest::collection::vec((low..high, low..high, 0..high, 0..4_u8), 1..4).prop_map(|items| {
                let items = items.into_iter().map(|(a, b, step, form)| {
                    let (a, b) = (a.min(b), a.max(b));
                    match form {
                        0 => format!("{a}"),
                        1 => format!("{a}..{b}"),
                        2 => format!("{a}/{step}"),
                        _ => format!("{a}..{b}/{step}"),
                    }
                });
                items.collect::<Vec<_>>().join(",")
            }),
        ]
    };
    let weekdays = proptest::sample::select(vec!["", "mon ", "sat,sun ", "fri..mon ", "tue..thu "]);
    let date = prop_oneof![
        Just(String::new()),
        (list(1, 13), list(1, 29)).prop_map(|(month, day)| format!("{month}-{day} ")),
        (2020..2040_u32, list(1, 13), list(1, 29)).prop_map(|(year, month, day)| format!("{year}/2-{month}-{day} ")),
    ];
    let suffix = proptest::sample::select(vec!["", " UTC"]);
    (weekdays, date, list(0, 24), list(0, 60), list(0, 60), suffix).prop_map(
        |(weekdays, date, hour, minute, second, suffix)| format!("{weekdays}{date}{hour}:{minute}:{second}{suffix}"),
    )
}

/// Times of the years 2020 to 2040, half of them close to a change of Vienna's clocks.
fn times() -> impl Strategy<Value = i64> {
    prop_oneof![
        1_577_836_800_i64..2_208_988_800,
        (0..7200_i64).prop_map(|n| 1_774_742_400 + n),
        (0..10_800_i64).prop_map(|n| 1_792_882_800 + n),
    ]
}

fn zones() -> impl Strategy<Value = TimeZone> {
    // Vienna; Lord Howe, whose clocks change by half an hour; a zone with a fixed odd offset.
    proptest::sample::select(vec!["CET-1CEST,M3.5.0,M10.5.0/3", "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "<+0545>-5:45"])
        .prop_map(|zone| TimeZone::posix(zone).unwrap())
}

proptest! {
    #[test]
    fn the_next_time_is_later_and_matches(text in events(), from in times(), zone in zones()) {
        let event = event(&text);
        if let Some(next) = event.next_after(Epoch(from), &zone) {
            prop_assert!(from < next.0);
            let zone = if text.ends_with("UTC") { &TimeZone::UTC } else { &zone };
            let at = local(next.0, zone);
            prop_assert!(event.year.contains(at.year) && event.month.contains(at.month) && event.day.contains(at.day));
            prop_assert!(event.weekdays.contains(at.weekday()));
            prop_assert!(event.hour.contains(at.hour) && event.minute.contains(at.minute));
            prop_assert!(event.second.contains(at.second));
        }
    }

    /// Asking from just before the answer gives the answer again: it does not depend on the way there.
    #[test]
    fn the_next_time_is_found_again_from_just_before_it(text in events(), from in times(), zone in zones()) {
        let event = event(&text);
        if let Some(next) = event.next_after(Epoch(from), &zone) {
            prop_assert_eq!(event.next_after(Epoch(next.0 - 1), &zone), Some(next));
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[-a-zA-Z0-9:.,/* \tµ]{0,24}") {
        if let Ok(event) = CalendarEvent::parse(&text) {
            event.next_after(Epoch(1_795_305_600), &vienna());
        }
    }
}
