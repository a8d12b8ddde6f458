//! What differs between a recorded invocation and ours.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::recorded::Recorded;
use crate::site::Ran;
use crate::usage::{
    Overview, is_of_all_commands, is_overview, problem_names, usage_of, without_descriptions, without_packing,
};

/// How the reference shows `::1`; we show addresses readably.
const NO_V6: &str = "IP:[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]";

/// Members of JSON objects whose values differ from run to run.
const VARYING: &[&str] = &["endtime", "pid", "pstart", "starttime", "value"];

/// What differs from run to run in a text, and what stands for it.
static VARYING_TEXTS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        // The type and the id of a task stay.
        (r"UPID:[^:\s]*:[0-9A-F]+:[0-9A-F]+:[0-9A-F]+:[0-9A-F]+:", "UPID:"),
        (r"[A-Z][a-z]{2} Nov 2[2-9] \d\d:\d\d:\d\d 2026", "<time>"),
        (r"2026-11-2\d[T ]\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)?", "<time>"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uuid>"),
        // How long a garbage collection took, and when it ended.
        (r"(duration|last-run-endtime) +│ \d+ ", "$1 │ <number> "),
        (r"│ \d+s +│", "│ <span> │"),
        // How well a manifest is compressed that names the task which verified it.
        (r"(index\.json\.blob +│ +[a-z-]+ +│) +\d+ ", "$1 <size> "),
        // What columns are as wide as.
        (r"[─═]+", "─"),
        (r" +", " "),
    ]
    .map(|(pattern, text)| (Regex::new(pattern).unwrap(), text))
    .into()
});

/// Returns what differs: exit code, output, usage, problems, messages; nothing if the answers are the same.
pub fn differences(line: &Recorded, ran: &Ran, overview: &Overview<'_>) -> Vec<String> {
    let mut differences = Vec::new();
    if ran.code != line.exit {
        let message = first_lines(&ran.err);
        differences.push(format!("exit {} instead of {}; {message}", ran.code, line.exit));
    }
    let typed = line.argv.iter().find(|word| !"help".starts_with(word.as_str())).map_or("", String::as_str);
    let shared = |usage: String| if is_overview(&usage) { overview.shared(&usage, typed) } else { usage };
    let (ours, recorded) = (shared(output(line, &ran.out)), shared(output(line, &line.stdout)));
    if ours != recorded {
        differences.push(format!("output:\n{}", line_differences(&ours, &recorded)));
    }
    if line.has_usage()
        && !(is_of_all_commands(&line.stderr) && ran.err.contains("\nUsage:\n\nproxmox-backup-manager "))
    {
        let offered = |usage: String| if line.is_client() { without_packing(&usage) } else { usage };
        let text = |stderr: &str| usage_of(stderr).map_or_else(|| "none".to_owned(), |usage| shared(offered(usage)));
        let (ours, recorded) = (text(&ran.err), text(&line.stderr));
        if ours != recorded {
            differences.push(format!("usage:\n{}", line_differences(&ours, &recorded)));
        }
    }
    let (ours, recorded) = (problem_names(&ran.err), problem_names(&line.stderr));
    if ours != recorded {
        differences.push(format!("problems with {ours:?} instead of {recorded:?}: {}", first_lines(&ran.err)));
    }
    if ran.err.is_empty() != line.stderr.is_empty() {
        let (ours, recorded) = (first_lines(&ran.err), first_lines(&line.stderr));
        differences.push(format!("message '{ours}' instead of '{recorded}'"));
    }
    differences
}

/// Returns the lines that only one of two texts has, or both texts if their lines only have another order.
fn line_differences(ours: &str, recorded: &str) -> String {
    let only = |mark: &str, of: &str, other: &str| -> Vec<String> {
        of.lines().filter(|line| !other.lines().any(|o| o == *line)).map(|line| format!("{mark} {line}")).collect()
    };
    let lines = [only("+", ours, recorded), only("-", recorded, ours)].concat();
    if lines.is_empty() { format!("{ours}\ninstead of:\n{recorded}") } else { lines.join("\n") }
}

/// Returns the beginning of a message.
fn first_lines(text: &str) -> String {
    text.lines().take(4).collect::<Vec<_>>().join(" | ")
}

/// Returns an output in the form in which it is compared.
fn output(line: &Recorded, text: &str) -> String {
    let is_help = line.argv.first().is_some_and(|word| !word.is_empty() && "help".starts_with(word.as_str()));
    if is_help {
        return if is_overview(text) { text.trim_end().to_owned() } else { without_descriptions(text) };
    }
    if line.starts_with(&["bashcomplete"]) || line.starts_with(&["namespace", "list"]) {
        // In no order.
        let mut words: Vec<&str> = text.lines().collect();
        words.sort_unstable();
        return words.join("\n");
    }
    if let Some(json) = json(text) {
        return serde_json::to_string_pretty(&json).unwrap();
    }
    if let Some(json) = text.strip_prefix("Result: ").and_then(json) {
        return format!("Result: {}", serde_json::to_string_pretty(&json).unwrap());
    }
    if line.starts_with(&["datastore", "mount"]) || line.starts_with(&["datastore", "uuid-mount"]) {
        // The recording may lack the last line of these.
        let is_log = text.lines().any(|line| line.contains("mount"));
        return if is_log && !text.contains("TASK ERROR") { "TASK OK".to_owned() } else { normal(text) };
    }
    if let Some(last) = text.lines().last().filter(|last| last.starts_with("TASK ")) {
        // The words of an error are our own.
        return last.split(':').next().unwrap_or_default().to_owned();
    }
    if line.starts_with(&["cert", "info"]) {
        let text = text.replace("IP:[127, 0, 0, 1]", "IP:127.0.0.1").replace(NO_V6, "IP:::1");
        // Its labels; the values are those of another certificate.
        return text.lines().map(|line| line.split(':').next().unwrap_or(line).trim()).collect::<Vec<_>>().join("\n");
    }
    normal(text)
}

/// Returns a text without what differs from run to run.
fn normal(text: &str) -> String {
    let all = VARYING_TEXTS.iter();
    all.fold(text.to_owned(), |text, (pattern, stands_for)| pattern.replace_all(&text, *stands_for).into_owned())
}

/// Returns JSON without what differs from run to run, lists of objects in a fixed order; none if the text is none.
fn json(text: &str) -> Option<Value> {
    let mut value = serde_json::from_str(text).ok().filter(|value: &Value| !value.is_number())?;
    settle(&mut value);
    Some(value)
}

fn settle(value: &mut Value) {
    match value {
        Value::String(text) => *text = normal(text),
        Value::Array(items) => {
            items.iter_mut().for_each(settle);
            if items.iter().all(Value::is_object) {
                items.sort_by_key(Value::to_string);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                if name == "files" {
                    // In no order.
                    if let Value::Array(files) = member {
                        files.sort_by_key(Value::to_string);
                    }
                }
                if VARYING.contains(&name.as_str()) && !member.is_null() {
                    *member = Value::from("<varying>");
                } else {
                    settle(member);
                }
            }
        }
        _ => {}
    }
}
