//! The examiner of task logs: every recorded pull and push, line by line and in order, against what we write.
//!
//! [`shapes`] reads each recorded line into the event it tells of and has our renderer write it again; what differs on
//! purpose stands there with its reason. [`order`] is the order of lines, which the recordings and our own runs share.
//! Runs in the recorded situations are compared with single logs elsewhere: in `stores.rs`, in `scenarios/`, and whole
//! runs in `farhold-jobs` and the product's tests.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot continue should stop")]

mod group_shapes;
mod order;
mod push;
mod push_shapes;
mod shapes;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use shapes::{Ours, Shapes};
use support::{Content, MemorySource, MemoryTarget, name, options, sync};

/// Returns the recorded pulls: name, and lines without times.
fn recorded() -> Vec<(String, Vec<String>)> {
    recorded_of(|name| name.starts_with("pull") || ["local-sync", "one-shot-pull"].contains(&name))
}

/// Returns the recorded logs whose name is wanted.
fn recorded_of(is_wanted: impl Fn(&str) -> bool) -> Vec<(String, Vec<String>)> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/task-logs"));
    let mut logs = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if !is_wanted(&name) || path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        // Some were printed by the command line tool, which leaves the times away.
        let has_times = text.starts_with("2026-");
        let without_time = |line: &str| match line.split_once(": ") {
            Some((_, rest)) if has_times => rest.to_owned(),
            _ => line.to_owned(),
        };
        logs.push((name, text.lines().map(without_time).collect()));
    }
    logs.sort();
    logs
}

/// Rates are never the same.
fn without_rates(line: &str) -> String {
    match line.find(" (").filter(|_| line.ends_with("/s)")) {
        Some(at) => line[..at].to_owned(),
        None => line.to_owned(),
    }
}

#[test]
fn every_recorded_line_is_one_of_ours() {
    let shapes = Shapes::new();
    let logs = recorded();
    assert_eq!(logs.len(), 60, "every recorded pull is examined");
    assert_lines_are_ours(&shapes, &logs, |line, start| line.starts_with(start));
}

/// Asserts that every line is one that we write, but for those that are told otherwise on purpose.
///
/// `begins`: whether a recorded line begins as ours.
#[track_caller]
fn assert_lines_are_ours(shapes: &Shapes, logs: &[(String, Vec<String>)], begins: impl Fn(&str, &str) -> bool) {
    let (mut wrong, mut reasons) = (Vec::new(), BTreeMap::<_, usize>::new());
    for (name, lines) in logs {
        for line in lines {
            let told = match shapes.ours(line) {
                None => Some("nothing".to_owned()),
                Some(Ours::Otherwise(reason)) => {
                    *reasons.entry(reason).or_default() += 1;
                    None
                }
                Some(Ours::Start(start)) => (!begins(line, &start)).then_some(start),
                Some(Ours::Line(ours)) => (without_rates(&ours) != without_rates(line)).then_some(ours),
            };
            wrong.extend(told.map(|ours| format!("{name}: {line}\n    ours: {ours}")));
        }
    }
    println!("lines that are not compared: {reasons:#?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_recorded_log_has_the_order_of_ours() {
    let shapes = Shapes::new();
    assert_order_is_ours(&recorded(), |lines| order::check(&shapes, lines));
}

/// Asserts that the lines of every log come in an order in which ours can come.
#[track_caller]
fn assert_order_is_ours(logs: &[(String, Vec<String>)], check: impl Fn(&[String]) -> Result<(), String>) {
    let wrong = logs.iter().filter_map(|(name, lines)| Some(format!("{name}: {}", check(lines).err()?)));
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_wrong_order_is_noticed() {
    let shapes = Shapes::new();
    let (_, lines) = recorded().into_iter().find(|(name, _)| name == "pull-first-run").unwrap();
    let words = order::words(&shapes, &lines).unwrap();
    order::check_words(&words, false).unwrap();
    for at in 0..words.len() - 1 {
        // Lines of one kind, or of two groups, can stand either way round.
        if words[at].word == words[at + 1].word || words[at].group != words[at + 1].group {
            continue;
        }
        let mut swapped = words.clone();
        swapped.swap(at, at + 1);
        assert!(order::check_words(&swapped, false).is_err(), "{} and {}", lines[at], lines[at + 1]);
    }
}

fn source() -> Arc<MemorySource> {
    let source = MemorySource::new();
    source.add_namespace("a");
    source.add_namespace("a/b");
    for (at, snapshot) in [
        ("", "vm/1/2026-01-01T10:00:00Z"),
        ("", "vm/1/2026-01-02T10:00:00Z"),
        ("", "vm/2/2026-01-01T10:00:00Z"),
        ("", "host/x/2026-01-01T10:00:00Z"),
        ("a", "ct/3/2026-01-01T10:00:00Z"),
        ("a", "ct/3/2026-01-02T10:00:00Z"),
        ("a/b", "vm/4/2026-01-01T10:00:00Z"),
    ] {
        let archives = [("vm.conf.blob", Content::Blob(b"x")), ("root.pxar.didx", Content::Chunks(&[1, 2, 3], 4096))];
        source.add(at, snapshot, &archives);
    }
    Arc::new(source)
}

#[tokio::test]
async fn our_own_logs_have_the_recorded_lines_and_their_order() {
    let shapes = Shapes::new();
    for workers in [1, 4] {
        let (source, target) = (source(), MemoryTarget::new());
        let run = async |what: &str| {
            let mut options = options();
            options.worker_threads = workers;
            let (result, lines) = sync(options, &source, &target).await;
            let mut log = vec!["Starting datastore sync job 'x'".to_owned()];
            log.push("sync datastore 'dst' from 'rsrc/src'".to_owned());
            log.extend(lines);
            log.push(match &result {
                Ok(_) => "TASK OK".to_owned(),
                Err(error) => format!("TASK ERROR: {error}"),
            });
            let checked = order::check(&shapes, &log);
            assert!(checked.is_ok(), "{what}, {workers} workers: {}\n{}", checked.unwrap_err(), log.join("\n"));
            result.is_ok()
        };
        // One index is broken: its snapshot fails, the newer one of the group is taken.
        let broken = "vm/1/2026-01-01T10:00:00Z";
        let index = name("root.pxar.didx").to_string();
        let mut good = None;
        source.edit("", broken, |files| good = files.insert(index.clone(), b"damaged".as_slice().into()));
        assert!(!run("a broken index").await);
        source.edit("", broken, |files| drop(files.insert(index.clone(), good.take().unwrap())));
        assert!(run("what was left").await);
        assert!(run("nothing new").await);
        source.remove("", "vm/2/2026-01-01T10:00:00Z");
        source.add("", "vm/2/2026-01-03T10:00:00Z", &[("vm.conf.blob", Content::Blob(b"y"))]);
        source.add("a", "ct/3/2026-01-03T10:00:00Z", &[("vm.conf.blob", Content::Blob(b"y"))]);
        assert!(run("newer ones").await);
    }
}
