//! Comparing the logs of runs with recorded ones.

use std::fs;

use crate::content::golden;

/// Replaces what is never the same by its name.
pub fn masked(line: &str) -> String {
    let cut = |at: &str, end: &str| line.find(at).map(|found| format!("{}{end}", &line[..found + at.len()]));
    cut(": downloaded ", "AMOUNT")
        .or_else(|| cut(": uploaded ", "AMOUNT"))
        .or_else(|| cut("queued notification (id=", "ID)"))
        .or_else(|| cut("Summary: sync job pulled ", "AMOUNT"))
        .or_else(|| cut("Summary: sync job pushed ", "AMOUNT"))
        .or_else(|| cut(" groups, ", "N snapshots").filter(|_| line.starts_with("Finished syncing")))
        .unwrap_or_else(|| line.to_owned())
}

/// Returns a recorded log without times.
pub fn recorded(name: &str) -> Vec<String> {
    let text = fs::read_to_string(golden("task-logs").join(format!("{name}.log"))).unwrap();
    let has_times = text.starts_with("2026-");
    let lines = text.lines().map(|line| if has_times { line.split_once(": ").unwrap().1 } else { line });
    lines.map(masked).collect()
}

/// Asserts that a log is the recorded one. `instead`: the beginning of a recorded line, and the beginning of ours in its
/// place, or of several lines, or nothing if we write no such line.
#[track_caller]
pub fn assert_recorded(log: &str, name: &str, instead: &[(&str, Option<&str>)]) {
    assert_lines(log, name, recorded(name), instead);
}

/// As [`assert_recorded`], with lines that are the recorded ones in part, or with other names.
#[track_caller]
pub fn assert_lines(log: &str, name: &str, recorded: Vec<String>, instead: &[(&str, Option<&str>)]) {
    let ours: Vec<String> = log.lines().map(masked).collect();
    let mut used = 0;
    let mut expected = Vec::new();
    for line in recorded {
        match instead.iter().find(|(start, _)| line.starts_with(start)) {
            None => expected.push(line),
            Some((_, other)) => {
                used += 1;
                expected.extend(other.iter().flat_map(|lines| lines.lines()).map(str::to_owned));
            }
        }
    }
    assert!(instead.len() <= used, "{name}: not all differences are in the recording");
    let replaced = |line: &str| instead.iter().any(|(_, other)| other.is_some_and(|o| o.lines().any(|o| o == line)));
    let is_same =
        |(expected, ours): (&String, &String)| expected == ours || (ours.starts_with(expected) && replaced(expected));
    let fits = expected.len() == ours.len() && expected.iter().zip(&ours).all(is_same);
    assert!(fits, "{name}\nrecorded:\n{}\nours:\n{}", expected.join("\n"), ours.join("\n"));
}

/// The parts of a log, those of namespaces sorted: the order of namespaces of one level is not specified.
pub fn by_namespace(lines: Vec<String>) -> Vec<Vec<String>> {
    let end = lines.iter().position(|line| line.starts_with("Summary")).unwrap();
    let mut parts: Vec<_> = lines[..end].split(|line| line == "----").map(<[String]>::to_vec).collect();
    // The number of groups is counted over all namespaces before.
    for line in parts.iter_mut().flatten().filter(|line| line.starts_with("Finished syncing")) {
        line.truncate(line.find(',').unwrap());
    }
    parts.sort();
    parts.push(lines[end..].to_vec());
    parts
}
