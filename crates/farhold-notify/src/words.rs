//! The words of events.
//!
//! Each event names a template; `<name>-subject.txt.hbs`, `<name>-body.txt.hbs` and, if somebody wants one,
//! `<name>-body.html.hbs` in the configuration directory come first, our own after them. A file that does not render is
//! as good as none, and an event without any template is told by listing what it holds.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 10.1, last paragraph.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use serde_json::Value;

use crate::engine::{self, Escape, MAX_TEMPLATE_BYTES, TooMuch};
use crate::event::Event;
use crate::visible;

/// Longest title, in bytes. A line of a mail's head has an end at 998 bytes, and encoding makes titles longer.
const MAX_TITLE_BYTES: usize = 200;

/// An event in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line without control characters.
    pub title: String,
    /// Text of several lines.
    pub body_text: String,
    /// The same as HTML, if there is a template for it.
    pub body_html: Option<String>,
}

/// Returns a template and its parts, which are files of this crate.
macro_rules! own {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../templates/", $name, "-subject.txt.hbs")),
            include_str!(concat!("../templates/", $name, "-body.txt.hbs")),
        )
    };
}

/// Our own templates: name, subject, body.
const OWN: &[(&str, &str, &str)] = &[
    own!("gc-ok"),
    own!("gc-err"),
    own!("prune-ok"),
    own!("prune-err"),
    own!("sync-ok"),
    own!("sync-err"),
    own!("verify-ok"),
    own!("verify-err"),
    own!("thresholds-exceeded"),
    own!("job-stale"),
    own!("job-healthy"),
    own!("test"),
];

/// Where words come from.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    directory: Option<PathBuf>,
}

impl Templates {
    /// Returns our own templates, with those of a directory before them; it need not exist.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory: Some(directory) }
    }

    /// Returns an event in words. Blocking: reads files.
    ///
    /// Always returns something: files that cannot be read or do not render are named in the server's log. Characters in the
    /// event's values that show nothing, or turn what stands beside them, are written out.
    pub fn render(&self, event: &Event) -> Rendered {
        let data = visible::value(Value::Object(event.data.clone()));
        let own = OWN.iter().find(|(name, ..)| *name == event.template);
        let part = |suffix: &str, escape: Escape, own: Option<&str>| {
            self.overriding(event, suffix, escape, &data).or_else(|| {
                let rendered = engine::render(own?, &data, escape, TooMuch::Cut);
                rendered.inspect_err(|error| tracing::error!(%error, template = event.template, "own template")).ok()
            })
        };
        let title = part("subject.txt", Escape::None, own.map(|(_, subject, _)| *subject));
        let title = title.as_deref().map(line).filter(|title| !title.is_empty());
        let title = title.unwrap_or_else(|| line(&format!("{} ({})", event.template, event.severity)));
        let body = part("body.txt", Escape::None, own.map(|(.., body)| *body));
        let body_html = part("body.html", Escape::Html, None);
        Rendered { title, body_text: body.unwrap_or_else(|| list(event, &data)), body_html }
    }

    /// Returns what a file of the directory makes of an event, or `None` if there is no usable one.
    fn overriding(&self, event: &Event, suffix: &str, escape: Escape, data: &Value) -> Option<String> {
        let path = self.directory.as_ref()?.join(format!("{}-{suffix}.hbs", event.template));
        let source = match read(&path) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "template cannot be read, our own is used");
                return None;
            }
        };
        match engine::render(&source, data, escape, TooMuch::Cut) {
            Ok(rendered) if !rendered.trim().is_empty() => Some(rendered),
            // Words without words help nobody.
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "template cannot be used, our own is used");
                None
            }
        }
    }
}

/// Returns the text of a template's file, one byte more than is allowed if it is too large.
fn read(path: &std::path::Path) -> io::Result<String> {
    let file = File::open(path)?;
    // A pipe would keep us waiting, and has no size.
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    let mut text = String::new();
    file.take(MAX_TEMPLATE_BYTES as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// Returns a text as one line: its words without control characters, one blank between them.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split(|c: char| c.is_control() || c == ' ').filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// Returns a text as one line, at most [`MAX_TITLE_BYTES`] long.
fn line(text: &str) -> String {
    let mut line = one_line(text);
    if MAX_TITLE_BYTES < line.len() {
        line.truncate(line.floor_char_boundary(MAX_TITLE_BYTES));
        line.push('…');
    }
    line
}

/// Returns what an event holds, a line for each value. `data`: its values as they are shown.
fn list(event: &Event, data: &Value) -> String {
    let mut body = String::new();
    let data = data.as_object().into_iter().flatten().map(|(name, value)| match value {
        Value::String(text) => (name, text.clone()),
        other => (name, other.to_string()),
    });
    let fields = event.fields.iter().filter(|(name, _)| !event.data.contains_key(*name));
    for (name, value) in fields.map(|(name, value)| (name, visible::text(value))).chain(data) {
        if engine::MAX_OUTPUT_BYTES < body.len() + name.len() + value.len() {
            body.push_str("[cut here, for it is too long]\n");
            break;
        }
        body.push_str(&format!("{name}: {value}\n"));
    }
    body
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;
    use crate::event::MAX_EVENT_BYTES;

    const RECORDED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/notifications.jsonl"));

    fn recorded(template: &str) -> Event {
        let mut events = RECORDED.lines().map(|line| Event::from_json(line.as_bytes()).unwrap());
        events.find(|event| event.template == template).unwrap()
    }

    fn with_data(template: &str, data: Value) -> Event {
        let Value::Object(data) = data else { panic!() };
        Event { template: template.to_owned(), data, ..recorded("gc-ok") }
    }

    /// Returns an event of every template of ours with all its data.
    fn all() -> Vec<Event> {
        let base = serde_json::json!({
            "hostname": "vm", "fqdn": "vm.example", "base-url": "https://vm.example:8007", "datastore": "gold",
            "job-id": "j1", "error": "it broke", "remote": "pbs2", "remote-datastore": "iron",
            "failed-snapshot-list": ["vm/1/2026-01-01T00:00:00Z"], "job-kind": "sync", "last-success": "yesterday",
            "stale-after": "1d", "last-error": "it broke", "threshold": "50", "target": "t", "duration": "1m 5s",
            "upid": "UPID:vm:000029F7:000A6B94:00000011:6B035F33:syncjob:j1:root@pam:", "warning-count": 2,
            "snapshots": 3, "snapshot-figures": true, "bytes": 4096, "behind": 1, "retries": 1, "success-age": "1d 2h",
        });
        let mut all: Vec<Event> = OWN.iter().map(|(name, ..)| with_data(name, base.clone())).collect();
        all[0] = recorded("gc-ok");
        all
    }

    #[test]
    fn every_template_of_ours_says_what_happened_and_where() {
        let templates = Templates::default();
        let mut titles = BTreeSet::new();
        for event in all() {
            let Rendered { title, body_text, body_html } = templates.render(&event);
            assert!(titles.insert(title.clone()), "{title}");
            assert!(!title.contains('(') && !title.contains("{{") && title.len() < 120, "{title}");
            assert!(!body_text.contains("{{") && body_html.is_none(), "{body_text}");
            let base_url = event.data["base-url"].as_str().unwrap();
            assert!(body_text.trim_end().ends_with(base_url), "{title}: {body_text}");
            assert!(!body_text.contains("\n\n\n") && !body_text.starts_with('\n'), "{title}: {body_text:?}");
            if event.template.ends_with("-err") {
                assert!(title.contains("failed"), "{title}");
                let detail = if event.template == "verify-err" { "vm/1/2026" } else { "it broke" };
                assert!(body_text.contains(detail), "{title}: {body_text}");
            } else if event.template.ends_with("-ok") {
                assert!(title.contains("successful"), "{title}");
            }
        }
    }

    #[test]
    fn an_alarm_calls_the_job_by_its_kind() {
        let title = |template: &str, kind: &str| {
            let mut event = with_data(template, serde_json::json!({"job-kind": kind, "datastore": "gold"}));
            event.data.insert("stale-after".to_owned(), "1d 2h".into());
            if kind != "gc" {
                event.data.insert("job-id".to_owned(), "j1".into());
            }
            Templates::default().render(&event).title
        };
        assert_eq!(
            ["gc", "prune", "sync", "verify"].map(|kind| title("job-stale", kind)),
            [
                "The garbage collection of datastore 'gold' has not succeeded for more than 1d 2h",
                "The prune job 'j1' of datastore 'gold' has not succeeded for more than 1d 2h",
                "The sync job 'j1' of datastore 'gold' has not succeeded for more than 1d 2h",
                "The verify job 'j1' of datastore 'gold' has not succeeded for more than 1d 2h",
            ]
        );
        assert_eq!(title("job-healthy", "gc"), "The garbage collection of datastore 'gold' has succeeded again");
    }

    #[test]
    fn what_was_counted_is_said_and_the_rest_is_left_out() {
        let collected = Templates::default().render(&recorded("gc-ok")).body_text;
        assert!(!collected.contains("amaged") && !collected.contains("Took"), "{collected}");
        let mut bad = recorded("gc-ok");
        bad.data.insert("still-bad".to_owned(), 1.into());
        bad.data.insert("disk-chunks".to_owned(), 1.into());
        let collected = Templates::default().render(&bad).body_text;
        assert!(collected.contains("kept:     1 chunk\n") && collected.contains(" in 1 chunk\n"), "{collected}");
        assert!(collected.contains("farhold datastore repair"), "{collected}");
        let full = all().into_iter().find(|event| event.template == "sync-ok").unwrap();
        let body = Templates::default().render(&full).body_text;
        for line in [
            "  Transferred:      3 snapshots, 4 KiB\n",
            "  Not complete:     1 snapshot\n",
            "  Waited:           1 time for the other side\n",
            "  Took:             1m 5s\n",
            "  Warnings:         2, see the log of the task\n",
        ] {
            assert!(body.contains(line), "{line}{body}");
        }
        // Whoever verified nothing has not found damage.
        let failed = with_data("verify-err", serde_json::json!({"error": "no such datastore", "base-url": "u"}));
        let body = Templates::default().render(&failed).body_text;
        assert!(body.starts_with("A job could not verify") && !body.contains("repair"), "{body}");
    }

    #[test]
    fn values_hide_nothing_and_turn_nothing() {
        let error = "vm/1\u{202e}gpj.exe\u{200b}\u{1b}[31m\r\nsecond\tline";
        for template in ["sync-err", "verify-err", "acme-err"] {
            let data = serde_json::json!({"error": error, "failed-snapshot-list": [error], "base-url": "u"});
            let Rendered { title, body_text, .. } = Templates::default().render(&with_data(template, data));
            let hidden = |c: char| visible::is_hidden(c) && !matches!(c, '\n' | '\t');
            assert!(!body_text.contains(hidden) && !title.contains(hidden), "{body_text:?}");
            let shown = "vm/1\\u{202e}gpj.exe\\u{200b}\\u{1b}[31m";
            assert!(body_text.contains(shown), "{body_text:?}");
        }
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("gc-err-subject.txt.hbs"), "{{error}} {{list.[0].a}}").unwrap();
        let event = with_data("gc-err", serde_json::json!({"error": "a\u{2066}b", "list": [{"a": "\u{feff}"}]}));
        let title = Templates::new(directory.path().to_owned()).render(&event).title;
        assert_eq!(title, "a\\u{2066}b \\u{feff}");
    }

    #[test]
    fn a_sync_names_its_remote_or_that_it_is_local() {
        let render = |event: &Event| Templates::default().render(event);
        let local = render(&recorded("sync-ok"));
        assert_eq!(local.title, "Sync from local datastore 'store1' to 'local' was successful");
        let remote = render(&recorded("sync-err"));
        assert_eq!(remote.title, "Sync with remote 'pbs2', datastore 'nosuch', failed");
        assert!(remote.body_text.contains("client error (Connect)"), "{}", remote.body_text);
    }

    #[test]
    fn files_of_the_administrator_come_first_unless_they_do_not_render() {
        let directory = tempfile::tempdir().unwrap();
        let templates = Templates::new(directory.path().to_owned());
        let event = recorded("gc-ok");
        let own = templates.render(&event);
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("gc-ok-subject.txt.hbs", "  {{datastore}}\r\nBcc: all@example.org  \n");
        write("gc-ok-body.html.hbs", "<p>{{datastore}} {{deduplication-factor}} {{upid}}</p>");
        let rendered = templates.render(&event);
        assert_eq!(rendered.title, "local Bcc: all@example.org");
        assert_eq!(rendered.body_text, own.body_text);
        assert!(rendered.body_html.unwrap().starts_with("<p>local 1.22 UPID:vm:"));
        for broken in ["{{#if}", "{{nohelper 1}}", "", &"x".repeat(MAX_TEMPLATE_BYTES + 1)] {
            write("gc-ok-subject.txt.hbs", broken);
            assert_eq!(templates.render(&event).title, own.title);
        }
        fs::write(directory.path().join("gc-ok-subject.txt.hbs"), b"\xff\xfe").unwrap();
        assert_eq!(templates.render(&event).title, own.title);
        fs::remove_file(directory.path().join("gc-ok-subject.txt.hbs")).unwrap();
        fs::create_dir(directory.path().join("gc-ok-subject.txt.hbs")).unwrap();
        assert_eq!(templates.render(&event).title, own.title);
    }

    #[test]
    fn an_unknown_event_is_told_by_what_it_holds() {
        let event = with_data("acme-err", serde_json::json!({"error": "no\nluck", "count": 3}));
        let rendered = Templates::default().render(&event);
        assert_eq!(rendered.title, "acme-err (info)");
        assert!(rendered.body_text.contains("error: no\nluck\n") && rendered.body_text.contains("count: 3\n"));
        assert!(rendered.body_text.contains("datastore: local\n"));
    }

    #[test]
    fn words_have_an_end() {
        let snapshots: Vec<String> = (0..MAX_EVENT_BYTES / 60).map(|i| format!("vm/{i:050}")).collect();
        let event = with_data(
            "verify-err",
            serde_json::json!({"failed-snapshot-list": snapshots, "datastore": "ü".repeat(300)}),
        );
        let rendered = Templates::default().render(&event);
        assert!(rendered.body_text.len() < 2 << 20 && rendered.title.len() <= MAX_TITLE_BYTES + 3);
        let listed = Templates::default().render(&Event { template: "other".to_owned(), ..event });
        assert!(listed.body_text.len() < 2 << 20);
    }
}
