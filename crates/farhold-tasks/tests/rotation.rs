//! Putting lists and logs aside, and removing old ones.
#![allow(clippy::unwrap_used, reason = "a test may end with a panic")]

mod support;

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use farhold_format::upid::{Upid, UpidParts};
use farhold_tasks::rotation::{MAX_ARCHIVE_BYTES, RotatedTasks, rotate_log};
use farhold_tasks::{TaskFilter, TaskKind, TaskRegistry};
use farhold_types::Epoch;
use support::{NOON, World};

const DAY: i64 = 24 * 60 * 60;

fn upid(number: u64, start: i64) -> Upid {
    Upid::new(UpidParts {
        node: "vm".to_owned(),
        pid: 77,
        pstart: 0x100,
        task_id: number,
        start_time: Epoch(start),
        worker_type: "prune".to_owned(),
        worker_id: Some("store".to_owned()),
        authid: "root@pam".parse().unwrap(),
    })
    .unwrap()
}

fn tasks(world: &World) -> PathBuf {
    world.directory.path().join("tasks")
}

/// Returns lines of a list for tasks that ended at these times.
fn lines(ends: impl IntoIterator<Item = i64>) -> String {
    let line = |end: i64| format!("{} {end:08X} OK\n", upid(u64::try_from(end).unwrap(), end - 5));
    ends.into_iter().map(line).collect()
}

/// Returns lines for so many minutes that end at `end`, more than a list may hold.
fn too_many_lines(end: i64) -> String {
    let text = lines((0..8000).rev().map(|minute| end - minute * 60));
    assert!(MAX_ARCHIVE_BYTES < text.len() as u64);
    text
}

fn write_compressed(path: &Path, text: &str) {
    fs::write(path, zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
}

/// Makes the log of a task, changed last at its end.
fn make_log(world: &World, end: i64) -> PathBuf {
    let upid = upid(u64::try_from(end).unwrap(), end - 5);
    let path = tasks(world).join("00").join(upid.as_str());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "x\n").unwrap();
    set_age(&path, end);
    path
}

fn set_age(path: &Path, time: i64) {
    let time = UNIX_EPOCH + Duration::from_secs(u64::try_from(time).unwrap());
    File::options().append(true).open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

fn names(world: &World) -> Vec<String> {
    let entries = fs::read_dir(tasks(world)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.filter(|name| name.starts_with("archive")).collect();
    names.sort();
    names
}

fn listed(registry: &TaskRegistry) -> Vec<String> {
    let filter = TaskFilter { limit: 0, ..TaskFilter::default() };
    registry.list(&filter, |_| true).unwrap().items.into_iter().map(|item| item.upid).collect()
}

#[test]
fn a_large_list_is_put_aside_and_shows_the_same_tasks_in_the_same_order() {
    let world = World::new();
    let registry = world.registry();
    fs::write(tasks(&world).join("archive"), too_many_lines(NOON)).unwrap();
    fs::write(tasks(&world).join("archive.1"), lines([NOON - 20 * DAY, NOON - 19 * DAY])).unwrap();
    write_compressed(&tasks(&world).join("archive.2.zst"), &lines([NOON - 30 * DAY]));
    let before = listed(&registry);
    assert_eq!(before.len(), 8003);
    let done = registry.rotate(None).unwrap();
    assert_eq!(done, RotatedTasks { is_rotated: true, removed_archives: 0, removed_logs: Some(0) });
    assert_eq!(names(&world), ["archive.1", "archive.2.zst", "archive.3.zst"]);
    assert_eq!(listed(&registry), before);
    assert_eq!(registry.rotate(None).unwrap(), RotatedTasks::default(), "there is nothing more to do");
}

#[test]
fn a_small_list_stays_and_nothing_is_removed() {
    let world = World::new();
    let registry = world.registry();
    assert_eq!(registry.rotate(None).unwrap(), RotatedTasks::default(), "no list at all");
    fs::write(tasks(&world).join("archive"), lines([NOON])).unwrap();
    let log = make_log(&world, NOON - 100 * DAY);
    assert_eq!(registry.rotate(None).unwrap(), RotatedTasks::default());
    assert_eq!(names(&world), ["archive"]);
    assert!(log.exists());
}

#[test]
fn nineteen_rotated_lists_are_kept() {
    let world = World::new();
    let registry = world.registry();
    for number in 2..=19 {
        let path = tasks(&world).join(format!("archive.{number}.zst"));
        write_compressed(&path, &lines([NOON - number * 10 * DAY]));
    }
    fs::write(tasks(&world).join("archive.1"), lines([NOON - 10 * DAY])).unwrap();
    fs::write(tasks(&world).join("archive"), too_many_lines(NOON)).unwrap();
    let (kept, too_old) = (make_log(&world, NOON - 180 * DAY), make_log(&world, NOON - 180 * DAY - 1));
    let foreign = tasks(&world).join("00/README");
    fs::write(&foreign, "").unwrap();
    set_age(&foreign, NOON - 999 * DAY);
    let done = registry.rotate(None).unwrap();
    assert_eq!(done, RotatedTasks { is_rotated: true, removed_archives: 1, removed_logs: Some(1) });
    assert_eq!(names(&world).len(), 19);
    assert!(!names(&world).contains(&"archive.20.zst".to_owned()));
    assert!(kept.exists() && foreign.exists() && !too_old.exists());
}

#[tokio::test]
async fn with_a_number_of_days_lists_are_kept_up_to_the_first_that_reaches_further_back() {
    let world = World::new();
    let registry = world.registry();
    fs::write(tasks(&world).join("archive"), lines([NOON - 3 * DAY, NOON])).unwrap();
    fs::write(tasks(&world).join("archive.1"), lines([NOON - 9 * DAY, NOON - 4 * DAY])).unwrap();
    write_compressed(&tasks(&world).join("archive.2.zst"), &lines([NOON - 20 * DAY, NOON - 10 * DAY]));
    let logs = [NOON - 8 * DAY, NOON - 15 * DAY].map(|end| make_log(&world, end));
    // A task that runs, and said nothing for weeks.
    let (may_end, ended) = tokio::sync::oneshot::channel::<()>();
    let kind = TaskKind::new("verify", Some("store".to_owned()));
    let worker = |_| async move {
        let _ = ended.await;
        Ok(())
    };
    let running = registry.spawn(kind, &"root@pam".parse().unwrap(), worker).await.unwrap();
    set_age(&registry.log_path(&running), NOON - 40 * DAY);

    assert_eq!(registry.rotate(Some(30)).unwrap(), RotatedTasks::default(), "all are young enough");
    let done = registry.rotate(Some(7)).unwrap();
    assert_eq!(done, RotatedTasks { is_rotated: false, removed_archives: 1, removed_logs: Some(1) });
    assert_eq!(names(&world), ["archive", "archive.1"]);
    assert_eq!(logs.map(|log| log.exists()), [true, false]);
    assert!(registry.log_path(&running).exists());
    may_end.send(()).unwrap();
    registry.wait(&running).await.unwrap();
}

#[test]
fn other_logs_are_put_aside_with_their_modes_and_a_bounded_number_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    assert!(!rotate_log(&log, 4, 2).unwrap(), "there is none");
    for round in 0..5 {
        fs::write(&log, format!("line {round}\n")).unwrap();
        fs::set_permissions(&log, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(!rotate_log(&log, 7, 2).unwrap(), "not larger");
        assert!(rotate_log(&log, 6, 2).unwrap());
        assert!(!log.exists());
    }
    fs::write(folder.path().join("access.log.old"), "").unwrap();
    let mut found: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    found.sort();
    assert_eq!(found, ["access.log.1", "access.log.2.zst", "access.log.old"]);
    assert_eq!(fs::read_to_string(folder.path().join("access.log.1")).unwrap(), "line 4\n");
    let compressed = folder.path().join("access.log.2.zst");
    assert_eq!(zstd::decode_all(File::open(&compressed).unwrap()).unwrap(), b"line 3\n");
    assert_eq!(fs::metadata(&compressed).unwrap().permissions().mode() & 0o777, 0o640);
}
