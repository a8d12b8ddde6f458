//! Values of an answer as texts of a table cell.
//!
//! Source: `docs/spec/cli.md` 1.5 (default rendering), 1.6 (named renderers).

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use farhold_types::format_bytes;

/// How a value becomes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renderer {
    /// As it is: booleans as `1` and `0`, lists and objects as JSON in one line, missing values empty.
    Plain,
    /// A time in the local zone, empty if missing.
    Epoch,
    /// A byte count, scaled with base 2.
    Bytes,
    /// A number of seconds as a time span.
    Duration,
    /// `never` for a missing value or 0, otherwise a time.
    Expire,
    /// `1` unless the value is false.
    Enabled,
    /// The group filters of a sync job: `all` if there are none.
    GroupFilter,
}

impl Renderer {
    /// Returns the text of a cell.
    ///
    /// `zone`: of times. Values of an unexpected type are shown as they are.
    pub fn render(self, value: Option<&Value>, zone: &TimeZone) -> String {
        let value = value.filter(|value| !value.is_null());
        let number = value.and_then(Value::as_i64);
        match (self, number) {
            (Renderer::Epoch, Some(seconds)) => local_time(seconds, zone),
            (Renderer::Expire, Some(0)) => "never".to_owned(),
            (Renderer::Expire, Some(seconds)) => local_time(seconds, zone),
            (Renderer::Expire, None) if value.is_none() => "never".to_owned(),
            (Renderer::Bytes, Some(bytes)) => u64::try_from(bytes).map_or_else(|_| bytes.to_string(), format_bytes),
            (Renderer::Duration, Some(seconds)) => {
                u64::try_from(seconds).map_or_else(|_| seconds.to_string(), time_span)
            }
            (Renderer::Enabled, _) => if value.and_then(Value::as_bool) == Some(false) { "0" } else { "1" }.to_owned(),
            (Renderer::GroupFilter, _) => group_filter(value),
            _ => plain(value),
        }
    }
}

/// Returns a text of somebody else without what could steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::Bool(flag)) => if *flag { "1" } else { "0" }.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn group_filter(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "all".to_owned(),
        Some(Value::Array(filters)) if filters.is_empty() => "all".to_owned(),
        Some(Value::Array(filters)) => {
            filters.iter().map(|filter| plain(Some(filter))).collect::<Vec<_>>().join(" OR ")
        }
        other => plain(other),
    }
}

/// Returns a time as the C locale writes it: `Sun Nov 22 10:00:00 2026`.
///
/// `seconds`: since the Unix epoch, UTC. Times outside of the calendar are shown as number.
pub fn local_time(seconds: i64, zone: &TimeZone) -> String {
    match Timestamp::from_second(seconds) {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%a %b %e %H:%M:%S %Y").to_string(),
        Err(_) => seconds.to_string(),
    }
}

/// Returns a time in UTC as certificates show it: `Nov 22 21:22:16 2026 GMT`.
pub fn certificate_time(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(time) => time.to_zoned(TimeZone::UTC).strftime("%b %e %H:%M:%S %Y GMT").to_string(),
        Err(_) => seconds.to_string(),
    }
}

/// Returns a time span, largest unit first: `1h 30m`, `1y 43m 12s`.
///
/// Source: `docs/spec/schedules-and-tasks.md` 2.1.
pub fn time_span(seconds: u64) -> String {
    // Years have 365.25 days and months 30.44 days.
    const UNITS: [(u64, &str); 6] =
        [(31_557_600, "y"), (2_630_016, "M"), (604_800, "w"), (86_400, "d"), (3_600, "h"), (60, "m")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, unit) in UNITS {
        if length <= rest {
            parts.push(format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    if 0 < rest || parts.is_empty() {
        parts.push(format!("{rest}s"));
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_rendered_as_the_reference_shows_them() {
        let zone = TimeZone::UTC;
        let cases = [
            (Renderer::Plain, json!(true), "1"),
            (Renderer::Plain, json!(["192.168.2.0/24"]), r#"["192.168.2.0/24"]"#),
            (Renderer::Plain, json!(null), ""),
            (Renderer::Epoch, json!(1_795_382_592), "Sun Nov 22 21:23:12 2026"),
            (Renderer::Epoch, json!(null), ""),
            (Renderer::Expire, json!(1_893_456_000), "Tue Jan  1 00:00:00 2030"),
            (Renderer::Expire, json!(0), "never"),
            (Renderer::Expire, json!(null), "never"),
            (Renderer::Enabled, json!(null), "1"),
            (Renderer::Enabled, json!(false), "0"),
            (Renderer::Bytes, json!(1025), "1.001 KiB"),
            (Renderer::Bytes, json!(0), "0 B"),
            (Renderer::Duration, json!(5400), "1h 30m"),
            (Renderer::GroupFilter, json!(["type:vm", "exclude:group:vm/100"]), "type:vm OR exclude:group:vm/100"),
            (Renderer::GroupFilter, json!([]), "all"),
        ];
        for (renderer, value, text) in cases {
            assert_eq!(renderer.render(Some(&value), &zone), text, "{renderer:?} of {value}");
        }
    }

    #[test]
    fn times_are_shown_in_the_given_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(Renderer::Epoch.render(Some(&json!(0)), &zone), "Thu Jan  1 02:00:00 1970");
    }

    #[test]
    fn time_spans_agree_with_the_recorded_ones() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/time-spans-and-windows.json");
        let recorded: Value = serde_json::from_slice(&std::fs::read(path).expect("golden file")).expect("JSON");
        let mut checked = 0;
        for case in recorded["spans"].as_array().expect("spans").iter().filter(|case| case["nanos"] == 0) {
            assert_eq!(time_span(case["seconds"].as_u64().expect("seconds")), case["printed"], "{case}");
            checked += 1;
        }
        assert!(20 < checked, "only {checked} cases");
    }
}
