//! The grammar of calendar events and daily windows, as far as a configuration file needs it: is this text one?
//!
//! When an event is due is decided elsewhere; here nothing is computed.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 1.1, 1.2 and 2.2.

const SHORTHANDS: [&str; 10] = [
    "minutely",
    "hourly",
    "daily",
    "weekly",
    "monthly",
    "quarterly",
    "semiannually",
    "semi-annually",
    "yearly",
    "annually",
];

const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Returns whether `text` is a calendar event.
pub fn is_calendar_event(text: &str) -> bool {
    let body = match text.strip_suffix("UTC") {
        Some(body) => body.trim_end_matches(' '),
        None => text,
    };
    if SHORTHANDS.contains(&body) {
        return true;
    }
    let mut rest = body;
    let mut parts = 0;
    if starts_with_letter(rest) {
        let Some(after) = weekday_list(rest) else {
            return false;
        };
        (rest, parts) = (skip_blanks(after), 1);
    }
    if let Some(after) = date(rest) {
        (rest, parts) = (skip_blanks(after), parts + 1);
    }
    if rest.is_empty() { 0 < parts } else { is_time(rest) }
}

/// Returns whether `text` is a daily window, `[weekdays ]H[:MM]-H[:MM]`.
pub fn is_daily_window(text: &str) -> bool {
    fn clock(text: &str) -> Option<(u32, &str)> {
        let (hour, rest) = number(text, 24)?;
        let (minute, rest) = match rest.strip_prefix(':') {
            Some(rest) => number(rest, 60)?,
            None => (0, rest),
        };
        Some((hour * 60 + minute, rest))
    }
    fn window(text: &str) -> Option<bool> {
        let rest = if starts_with_letter(text) { skip_blanks(weekday_list(text)?) } else { text };
        let (start, rest) = clock(rest)?;
        let (end, rest) = clock(skip_blanks(skip_blanks(rest).strip_prefix('-')?))?;
        Some(rest.is_empty() && start <= end)
    }
    window(text).unwrap_or(false)
}

fn starts_with_letter(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// Returns what follows behind a list of weekdays.
fn weekday_list(text: &str) -> Option<&str> {
    let mut rest = weekday(text)?;
    loop {
        rest = if let Some(after) = rest.strip_prefix("..").or_else(|| rest.strip_prefix(',')) {
            // A range has two ends: `mon..wed..fri` is none.
            let is_range = rest.starts_with("..");
            let after = weekday(after)?;
            if is_range && after.starts_with("..") {
                return None;
            }
            after
        } else {
            return Some(rest);
        };
    }
}

fn weekday(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let word = text[..end].to_ascii_lowercase();
    WEEKDAYS.iter().any(|day| word == *day || word == day[..3]).then_some(&text[end..])
}

fn date(text: &str) -> Option<&str> {
    let month_day = |text| list(list(text, 13)?.strip_prefix('-')?, 32);
    let with_year = |text| month_day(list(text, 2200)?.strip_prefix('-')?);
    with_year(text).or_else(|| month_day(text))
}

fn is_time(text: &str) -> bool {
    // What is no hour list may still be a minute list: `24:00` means minute 24, second 0.
    let minutes = |text| {
        let rest = list(text, 60)?;
        rest.strip_prefix(':').map_or(Some(rest), |seconds| list(seconds, 60))
    };
    let with_hours = |text| minutes(list(text, 24)?.strip_prefix(':')?);
    with_hours(text) == Some("") || minutes(text) == Some("")
}

/// Returns what follows behind a list of numbers below `limit`.
fn list(text: &str, limit: u32) -> Option<&str> {
    if let Some(rest) = text.strip_prefix('*') {
        return match rest.strip_prefix('/') {
            Some(step) => number(step, limit).filter(|(step, _)| 0 < *step).map(|(_, rest)| rest),
            None => Some(rest),
        };
    }
    let mut rest = text;
    loop {
        let (start, after) = number(rest, limit)?;
        rest = after;
        if let Some(end) = rest.strip_prefix("..") {
            let (end, after) = number(end, limit)?;
            if end < start {
                return None;
            }
            rest = after;
        }
        if let Some(step) = rest.strip_prefix('/') {
            rest = number(step, limit)?.1;
        }
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Some(rest),
        }
    }
}

fn number(text: &str, limit: u32) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok().filter(|n| *n < limit).map(|n| (n, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> serde_json::Value {
        let path = format!("{}/../../tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// The texts of one list of a golden file, whose elements are texts or objects that hold one.
    fn texts(list: &serde_json::Value, key: &str) -> Vec<String> {
        let list = list.as_array().unwrap();
        assert!(!list.is_empty());
        list.iter().map(|row| row.get(key).unwrap_or(row).as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn recorded_events_are_told_apart_from_recorded_wrong_ones() {
        let golden = golden("calendar-events.json");
        for list in ["cases", "accepted_odd", "fold_dependent", "backward_gap"] {
            for text in texts(&golden[list], "event") {
                assert!(is_calendar_event(&text), "{text:?}");
            }
        }
        for text in texts(&golden["rejected"], "event") {
            assert!(!is_calendar_event(&text), "{text:?}");
        }
        assert!(!is_calendar_event("every tuesday"));
    }

    #[test]
    fn recorded_windows_are_told_apart_from_recorded_wrong_ones() {
        let golden = golden("time-spans-and-windows.json");
        for text in texts(&golden["windows"], "text") {
            assert!(is_daily_window(&text), "{text:?}");
        }
        for text in texts(&golden["windows_rejected"], "text") {
            assert!(!is_daily_window(&text), "{text:?}");
        }
        for text in ["18:00-8:00", "8-24"] {
            assert!(!is_daily_window(text), "{text:?}");
        }
    }
}
