//! Task files recorded from the reference: every UPID, log, archive and active line must read.

#![expect(clippy::unwrap_used, reason = "a test may end with a panic")]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "reads golden files")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use farhold_format::task_log::{STATUS_TAIL_BYTES, TaskListEntry, TaskStatus, split_stamp, status_from_tail};
use farhold_format::upid::Upid;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden");

/// Returns the files of the recorded task directory by their path below `tasks/`.
fn recorded() -> BTreeMap<String, Vec<u8>> {
    let packed = std::fs::File::open(format!("{GOLDEN}/tasks.tar.zst")).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(packed).unwrap());
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if let Ok(path) = path.strip_prefix("tasks")
            && entry.header().entry_type().is_file()
        {
            files.insert(path.to_str().unwrap().to_owned(), content);
        }
    }
    files
}

fn tail(log: &[u8]) -> &[u8] {
    &log[log.len().saturating_sub(STATUS_TAIL_BYTES)..]
}

#[test]
fn every_line_of_the_recorded_lists_reads_and_writes_back() {
    let files = recorded();
    for (name, finished) in [("active", false), ("archive", true)] {
        let text = String::from_utf8(files[name].clone()).unwrap();
        assert!(2 < text.lines().count());
        for line in text.lines() {
            let entry: TaskListEntry = line.parse().unwrap_or_else(|e| panic!("{line}: {e}"));
            assert_eq!(entry.end.is_some(), finished, "{line}");
            assert_eq!(entry.to_string(), line);
        }
    }
}

#[test]
fn every_recorded_log_has_the_status_of_its_line_in_the_archive() {
    let files = recorded();
    let index: serde_json::Value = serde_json::from_slice(&files["index.json"]).unwrap();
    let index = index.as_array().unwrap();
    assert_eq!(index.len(), 38);
    for item in index {
        let upid: Upid = item["upid"].as_str().unwrap().parse().unwrap();
        let log = &files[&format!("{}/{upid}", upid.log_directory())];
        let archived: TaskListEntry = format!("{upid} {}", item["archived"].as_str().unwrap()).parse().unwrap();
        let (status, end_time) = status_from_tail(tail(log), upid.start_time());
        assert_eq!(Some((end_time, status)), archived.end, "{}", item["note"]);
    }
}

#[test]
fn every_recorded_log_is_named_by_a_upid_in_its_directory() {
    let mut logs = 0;
    for (path, content) in recorded() {
        let Some((directory, name)) = path.split_once('/').filter(|(directory, _)| directory.len() == 2) else {
            continue;
        };
        let upid: Upid = name.parse().unwrap();
        assert_eq!(upid.log_directory(), directory);
        assert_eq!(upid.as_str(), name);
        let text = String::from_utf8(content).unwrap();
        assert!(split_stamp(text.lines().next().unwrap()).is_some(), "{name}");
        logs += 1;
    }
    assert_eq!(logs, 37);
}

#[test]
fn every_recorded_log_of_a_sync_run_ends_with_a_result_unless_it_was_killed() {
    let mut results = BTreeMap::new();
    for file in std::fs::read_dir(Path::new(GOLDEN).join("task-logs")).unwrap() {
        let path = file.unwrap().path();
        let content = std::fs::read(&path).unwrap();
        let first = String::from_utf8_lossy(&content).lines().next().unwrap_or_default().to_owned();
        // Some were printed by the command line tool, without stamps.
        if path.extension().is_some_and(|e| e == "log") && split_stamp(&first).is_some() {
            let (status, _) = status_from_tail(tail(&content), farhold_types::Epoch(0));
            results.insert(path.file_stem().unwrap().to_str().unwrap().to_owned(), status);
        }
    }
    assert!(40 < results.len());
    assert_eq!(results["pull-empty-store"], TaskStatus::Ok);
    assert_eq!(results["pull-aborted"], TaskStatus::Error("sync aborted".to_owned()));
    let unknown: Vec<&String> = results.iter().filter(|(_, s)| **s == TaskStatus::Unknown).map(|(n, _)| n).collect();
    assert_eq!(unknown, ["pull-killed-server"]);
}
