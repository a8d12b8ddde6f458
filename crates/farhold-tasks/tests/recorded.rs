//! The recorded task directory of the reference, read by our registry.
#![allow(clippy::unwrap_used, reason = "a test may end with a panic")]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use farhold_format::upid::Upid;
use farhold_tasks::{StatusKind, TaskFilter, TaskItem, TaskRegistry};
use farhold_types::Epoch;
use support::World;

fn recorded() -> (World, TaskRegistry) {
    let world = World::new();
    support::unpack_recorded(world.directory.path());
    let registry = world.registry();
    (world, registry)
}

fn list(registry: &TaskRegistry, filter: &TaskFilter) -> Vec<TaskItem> {
    registry.list(filter, |_| true).unwrap().items
}

fn everything() -> TaskFilter {
    TaskFilter { limit: 0, ..TaskFilter::default() }
}

#[test]
fn the_recorded_lists_come_running_first_then_last_ended_first() {
    let (world, registry) = recorded();
    let active: Vec<String> = world.read("active").lines().rev().map(str::to_owned).collect();
    let archive: Vec<String> =
        world.read("archive").lines().rev().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    let items = list(&registry, &everything());
    let found: Vec<String> = items.iter().map(|item| item.upid.clone()).collect();
    assert_eq!((active.len(), archive.len()), (3, 289));
    assert_eq!(found, [active, archive].concat());
    assert!(items[..3].iter().all(|item| item.endtime.is_none() && item.status.is_none() && item.node == "localhost"));
    assert!(items[3..].windows(2).all(|pair| pair[1].endtime <= pair[0].endtime));
}

#[test]
fn pages_and_filters_of_the_recorded_lists() {
    let (_world, registry) = recorded();
    let all = list(&registry, &everything());
    let page = registry.list(&TaskFilter { start: 2, limit: 5, ..everything() }, |_| true).unwrap();
    assert_eq!((page.items.as_slice(), page.total), (&all[2..7], 8));
    let page = registry.list(&TaskFilter { start: 290, limit: 5, ..everything() }, |_| true).unwrap();
    assert_eq!((page.items.len(), page.total), (2, 292));
    assert_eq!(registry.list(&everything(), |_| true).unwrap().total, 292);
    assert_eq!(registry.list(&everything(), |_| false).unwrap().total, 0);

    let count = |filter: TaskFilter| list(&registry, &filter).len();
    let expected = |keep: &dyn Fn(&TaskItem) -> bool| all.iter().filter(|item| keep(item)).count();
    assert_eq!(count(TaskFilter { only_running: true, ..everything() }), 3);
    let not_ok = expected(&|item| item.status.as_deref() != Some("OK"));
    assert_eq!(count(TaskFilter { without_ok: true, ..everything() }), not_ok);
    assert!(3 < not_ok && not_ok < 292);
    let aborted = TaskFilter { statuses: Some(vec![StatusKind::Error]), ..everything() };
    assert_eq!(
        list(&registry, &aborted).iter().filter(|item| item.status.as_deref() == Some("sync aborted")).count(),
        expected(&|item| item.status.as_deref() == Some("sync aborted"))
    );
    assert_eq!(
        count(TaskFilter { user_part: Some("!t1".into()), ..everything() }),
        expected(&|i| i.user.ends_with("!t1"))
    );
    let since = Epoch(0x6B03_5600);
    let recent = list(&registry, &TaskFilter { since: Some(since), ..everything() });
    assert_eq!(recent.len(), expected(&|item| since <= item.starttime));
    assert!(recent.iter().all(|item| since <= item.starttime) && !recent.is_empty());
}

#[test]
fn every_recorded_log_answers_the_status_that_was_archived() {
    let (world, registry) = recorded();
    world.processes.0.store(false, Ordering::SeqCst);
    let index: serde_json::Value = serde_json::from_str(&world.read("index.json")).unwrap();
    let mut seen = BTreeMap::new();
    for item in index.as_array().unwrap() {
        let upid: Upid = item["upid"].as_str().unwrap().parse().unwrap();
        let status = registry.status(&upid);
        let (end_time, text) = item["archived"].as_str().unwrap().split_once(' ').unwrap();
        assert_eq!(status.exitstatus.as_deref(), Some(text), "{}", item["note"]);
        assert_eq!(status.endtime, Some(Epoch(i64::from_str_radix(end_time, 16).unwrap())), "{}", item["note"]);
        let log = registry.log_lines(&upid, 0, 0).unwrap();
        assert_eq!(log.lines.len() as u64, log.total);
        seen.insert(upid, log.total);
    }
    assert_eq!(seen.len(), 37);
}

#[test]
fn the_recorded_answers_of_the_api_have_the_shape_of_ours() {
    let recording = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/api/tasks.jsonl");
    let text = std::fs::read_to_string(recording).unwrap();
    let mut compared = [0, 0];
    for line in text.lines() {
        let exchange: serde_json::Value = serde_json::from_str(line).unwrap();
        let path = exchange["path"].as_str().unwrap_or_default();
        let data = &exchange["response"]["data"];
        if exchange["status"] != 200 || exchange["method"] != "GET" {
            continue;
        }
        if path.ends_with("/status") && data["upid"].is_string() {
            // A registry with nothing but this log must give the recorded answer.
            let upid: Upid = data["upid"].as_str().unwrap().parse().unwrap();
            let world = World::new();
            world.processes.0.store(false, Ordering::SeqCst);
            let registry = world.registry();
            if let (Some(end), Some(text)) = (data["endtime"].as_i64(), data["exitstatus"].as_str()) {
                let path = registry.log_path(&upid);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                let status: farhold_format::task_log::TaskStatus = text.parse().unwrap();
                let line = farhold_format::task_log::stamped_line(
                    Epoch(end),
                    &jiff::tz::TimeZone::UTC,
                    &status.result_message(),
                );
                std::fs::write(path, line).unwrap();
            }
            if data["status"] == "stopped" {
                assert_eq!(&serde_json::to_value(registry.status(&upid)).unwrap(), data);
                compared[0] += 1;
            }
        }
        if path.contains("/tasks?") {
            for item in data.as_array().unwrap() {
                let upid: Upid = item["upid"].as_str().unwrap().parse().unwrap();
                let end =
                    item["endtime"].as_i64().map(|end| format!(" {end:08X} {}", item["status"].as_str().unwrap()));
                let entry: farhold_format::task_log::TaskListEntry =
                    format!("{upid}{}", end.unwrap_or_default()).parse().unwrap();
                assert_eq!(&serde_json::to_value(TaskItem::from(&entry)).unwrap(), item);
                compared[1] += 1;
            }
        }
    }
    assert!(10 < compared[0] && 20 < compared[1], "{compared:?}");
}
