//! Which targets an event goes to.
//!
//! A matcher has rules of three sorts: about fields, about the severity, and about the time of day. Its mode joins all of
//! them, `invert-match` turns the outcome around, and a matcher without rules always lets an event through, also an
//! inverted one. Source: `docs/spec/schedules-and-tasks.md` 10.3.

use farhold_format::section_config::Section;
use farhold_rules::daily_window::{DailyWindow, DailyWindowError};
use farhold_rules::notification_match::{MatchField, MatchRuleError, parse_severities};
use jiff::tz::TimeZone;
use thiserror::Error;

use crate::event::Event;

/// Why a section makes no matcher.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum MatcherError {
    /// A rule about fields or severities.
    #[error("rule '{text}'")]
    Rule {
        /// The rule.
        text: String,
        /// What is wrong.
        #[source]
        source: MatchRuleError,
    },
    /// A part of the day.
    #[error("time of day '{text}'")]
    Window {
        /// The text.
        text: String,
        /// What is wrong.
        #[source]
        source: DailyWindowError,
    },
}

#[derive(Debug, Clone)]
enum Rule {
    Field(MatchField),
    Severity(Vec<&'static str>),
    Window(DailyWindow),
}

impl Rule {
    fn fits(&self, event: &Event, zone: &TimeZone) -> bool {
        match self {
            Self::Field(rule) => rule.fits(event.fields.get(&rule.field).map(String::as_str)),
            Self::Severity(severities) => severities.contains(&event.severity.as_str()),
            Self::Window(window) => window.contains(event.timestamp, zone),
        }
    }
}

/// How the rules of a matcher are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    All,
    Any,
}

/// A matcher.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// Its name.
    pub name: String,
    /// Names of the targets that get what it lets through, in the order of the settings.
    pub targets: Vec<String>,
    is_disabled: bool,
    is_inverted: bool,
    mode: Mode,
    rules: Vec<Rule>,
}

impl Matcher {
    /// Reads a matcher from its section, which the schema of the file has accepted.
    ///
    /// # Errors
    /// [`MatcherError`]: a rule that the schema does not look into.
    pub fn read(section: &Section) -> Result<Self, MatcherError> {
        let is_set = |key: &str| section.get(key) == Some("true");
        let mut rules = Vec::new();
        for text in section.list("match-field") {
            let rule: MatchField = text.parse().map_err(|source| MatcherError::Rule { text: text.clone(), source })?;
            rules.push(Rule::Field(rule));
        }
        for text in section.list("match-severity") {
            let severities =
                parse_severities(text).map_err(|source| MatcherError::Rule { text: text.clone(), source })?;
            rules.push(Rule::Severity(severities));
        }
        for text in section.list("match-calendar") {
            let window =
                DailyWindow::parse(text).map_err(|source| MatcherError::Window { text: text.clone(), source })?;
            rules.push(Rule::Window(window));
        }
        Ok(Self {
            name: section.id().to_owned(),
            targets: section.list("target").to_vec(),
            is_disabled: is_set("disable"),
            is_inverted: is_set("invert-match"),
            mode: if section.get("mode") == Some("any") { Mode::Any } else { Mode::All },
            rules,
        })
    }

    /// Returns whether the matcher lets an event through. `zone`: the host's, for the time of day.
    pub fn fits(&self, event: &Event, zone: &TimeZone) -> bool {
        if self.is_disabled {
            return false;
        }
        let mut rules = self.rules.iter().map(|rule| rule.fits(event, zone));
        let has_fitted = match self.mode {
            // Of no rules, all fit and none does; but without rules nothing is asked at all.
            _ if self.rules.is_empty() => return true,
            Mode::All => rules.all(|fits| fits),
            Mode::Any => rules.any(|fits| fits),
        };
        has_fitted != self.is_inverted
    }
}

/// Returns the names of the targets that an event goes to, each once, in the order of matchers and their targets.
///
/// The time of day is that of the event, so that one which waited for its delivery goes where it would have gone at
/// once. The names are those of the matchers: a target may be unknown or disabled. `zone`: the host's.
///
/// Source: `docs/spec/schedules-and-tasks.md` 10.3.
pub fn route(event: &Event, matchers: &[Matcher], zone: &TimeZone) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for matcher in matchers.iter().filter(|matcher| matcher.fits(event, zone)) {
        for name in &matcher.targets {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use farhold_types::Epoch;

    use super::*;
    use crate::event::{EventId, Severity};

    /// Thursday, 2026-11-19 21:00:00 UTC.
    const EVENING: Epoch = Epoch(1_795_122_000);

    fn event(severity: Severity, kind: &str) -> Event {
        Event {
            id: "0059cbdc-c8df-49c9-8110-2de86b98f845".parse::<EventId>().unwrap(),
            severity,
            timestamp: EVENING,
            fields: [("type", kind), ("datastore", "gold")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            template: format!("{kind}-ok"),
            data: serde_json::Map::new(),
        }
    }

    fn matcher(text: &[(&str, &str)]) -> Matcher {
        let mut section = Section::new("matcher", "m");
        for (key, value) in text {
            if ["match-field", "match-severity", "match-calendar", "target"].contains(key) {
                let mut values = section.list(key).to_vec();
                values.push((*value).to_owned());
                section.set_list(key, values);
            } else {
                section.set(key, Some((*value).to_owned()));
            }
        }
        Matcher::read(&section).unwrap()
    }

    #[test]
    fn the_default_matcher_lets_everything_through_but_successful_pruning() {
        let default = matcher(&[
            ("mode", "all"),
            ("invert-match", "true"),
            ("match-field", "exact:type=prune"),
            ("match-severity", "info"),
        ]);
        let fits = |severity, kind| default.fits(&event(severity, kind), &TimeZone::UTC);
        assert!(!fits(Severity::Info, "prune"));
        assert!(fits(Severity::Error, "prune") && fits(Severity::Info, "gc") && fits(Severity::Error, "sync"));
    }

    #[test]
    fn a_matcher_joins_its_rules_by_its_mode() {
        let event = event(Severity::Error, "sync");
        let zone = TimeZone::UTC;
        // (rules, outcome with mode all, with mode any)
        type Row = (&'static [(&'static str, &'static str)], bool, bool);
        let table: &[Row] = &[
            (&[], true, true),
            (&[("match-field", "exact:type=gc,sync")], true, true),
            (&[("match-field", "exact:nosuch=sync")], false, false),
            (&[("match-field", "regex:datastore=^go")], true, true),
            (&[("match-field", "exact:type=sync"), ("match-field", "exact:datastore=iron")], false, true),
            (&[("match-severity", "warning,error")], true, true),
            (&[("match-severity", "warning"), ("match-severity", "error")], false, true),
            (&[("match-calendar", "thu 20:00-22:00")], true, true),
            (&[("match-calendar", "8:00-17:00")], false, false),
            (&[("match-calendar", "8:00-17:00"), ("match-severity", "error")], false, true),
            (
                &[("match-field", "exact:type=sync"), ("match-severity", "error"), ("match-calendar", "21:00-21:01")],
                true,
                true,
            ),
        ];
        for (rules, all, any) in table {
            for (mode, expected) in [("all", *all), ("any", *any)] {
                let with = |invert: &str| {
                    let mut text = rules.to_vec();
                    text.extend([("mode", mode), ("invert-match", invert)]);
                    matcher(&text).fits(&event, &zone)
                };
                assert_eq!(with("false"), expected, "{rules:?} {mode}");
                let inverted = if rules.is_empty() { expected } else { !expected };
                assert_eq!(with("true"), inverted, "{rules:?} {mode} inverted");
            }
        }
    }

    #[test]
    fn the_time_of_day_is_the_events_by_the_clock_of_the_host() {
        let evening = matcher(&[("match-calendar", "20:00-22:00")]);
        let vienna = TimeZone::fixed(jiff::tz::offset(1));
        let kiev = TimeZone::fixed(jiff::tz::offset(2));
        let event = event(Severity::Info, "gc");
        assert_eq!([&TimeZone::UTC, &vienna, &kiev].map(|zone| evening.fits(&event, zone)), [true, false, false]);
    }

    #[test]
    fn a_target_is_told_once_and_disabled_matchers_tell_nobody() {
        let a = matcher(&[("target", "mail"), ("target", "hook")]);
        let b = matcher(&[("match-severity", "error"), ("target", "never")]);
        let c = matcher(&[("disable", "true"), ("target", "off")]);
        let d = matcher(&[("target", "gotify"), ("target", "mail")]);
        let names = route(&event(Severity::Info, "gc"), &[a, b, c, d], &TimeZone::UTC);
        assert_eq!(names, ["mail", "hook", "gotify"]);
    }

    #[test]
    fn rules_that_mean_nothing_make_no_matcher() {
        for (key, value) in [
            ("match-field", "type=sync"),
            ("match-severity", "bad"),
            ("match-calendar", "soon"),
            ("match-field", "regex:a=("),
        ] {
            let mut section = Section::new("matcher", "m");
            section.set_list(key, vec![value.to_owned()]);
            assert!(Matcher::read(&section).is_err(), "{key} {value}");
        }
    }
}
