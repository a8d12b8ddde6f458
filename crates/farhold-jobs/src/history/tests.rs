use farhold_storage::FileSystemSpace;

use super::*;
use crate::testing::{START, TestServer};

/// Takes a sample; what the host counts goes on by `step` in the ten seconds before it.
fn sample(server: &TestServer, step: u64) {
    server.clock.advance(10);
    let app = &server.app;
    let turns = u64::try_from(app.clock.now().seconds_since(START)).unwrap() / 10;
    let done = 1_000 * turns + step;
    server.host.set("/proc/stat", &format!("cpu  {} 0 0 {} 0 0 0 0 0 0\n", 250 * turns, 750 * turns));
    server.host.set("/proc/diskstats", &format!("8 0 sda {done} 0 {done} 0 0 0 0 0 0 0 {done}\n"));
    app.history.add(take_sample(app));
}

fn cell(server: &TestServer, subject: &Subject, timeframe: Timeframe, measure: &str) -> Option<Cell> {
    let rows = server.app.history.rows(subject, timeframe, server.app.clock.now()).unwrap().unwrap();
    let index = subject.measures().iter().position(|name| *name == measure).unwrap();
    rows.last().unwrap().cells[index]
}

fn store(name: &str) -> Subject {
    Subject::Store(name.parse().unwrap())
}

#[test]
fn samples_become_rows_of_every_length() {
    let server = TestServer::new();
    server.add_datastore_without_chunks("local");
    let history = &server.app.history;
    assert_eq!(history.rows(&Subject::Host, Timeframe::Hour, START).unwrap(), None, "nothing was ever recorded");
    sample(&server, 0);
    assert_eq!(cell(&server, &Subject::Host, Timeframe::Hour, "cpu"), None, "one reading is no usage");
    assert_eq!(cell(&server, &Subject::Host, Timeframe::Hour, "loadavg"), Some(Cell::of(2.24)));
    sample(&server, 0);
    for timeframe in [Timeframe::Hour, Timeframe::Week, Timeframe::Year, Timeframe::Decade] {
        assert_eq!(cell(&server, &Subject::Host, timeframe, "cpu"), Some(Cell::of(0.25)), "{timeframe:?}");
        assert_eq!(cell(&server, &store("local"), timeframe, "read_ios"), Some(Cell::of(100.0)), "{timeframe:?}");
        assert_eq!(cell(&server, &store("local"), timeframe, "io_ticks"), Some(Cell::of(0.1)), "{timeframe:?}");
    }
    // A peak of one sample stays visible as the largest value of the row.
    sample(&server, 500);
    let busy = cell(&server, &Subject::Host, Timeframe::Hour, "read_ios").unwrap();
    assert_eq!((busy.average, busy.max), (125.0, 150.0));
}

#[test]
fn a_counter_that_began_anew_leaves_a_gap_and_sizes_do_not() {
    let server = TestServer::new();
    sample(&server, 1_000_000);
    sample(&server, 0);
    assert_eq!(cell(&server, &Subject::Host, Timeframe::Hour, "read_ios"), None);
    let total = server.host.space_now().total_bytes as f64;
    assert_eq!(cell(&server, &Subject::Host, Timeframe::Hour, "total"), Some(Cell::of(total)));
}

#[test]
fn rows_outlive_the_server_and_the_samples_do_not() {
    let server = TestServer::new();
    sample(&server, 0);
    sample(&server, 0);
    let again = History::new(server.folder().join("lib/history"));
    let rows = again.rows(&Subject::Host, Timeframe::Hour, server.app.clock.now()).unwrap().unwrap();
    assert!(rows.last().unwrap().cells.iter().any(Option::is_some));
    assert!(again.samples(None).is_empty());
}

#[test]
fn half_an_hour_of_samples_is_kept() {
    let server = TestServer::new();
    for _ in 0..200 {
        sample(&server, 0);
    }
    let history = &server.app.history;
    let now = server.app.clock.now();
    let kept = history.samples(Some(Epoch(0)));
    assert_eq!(kept.len(), 180);
    assert!(kept.iter().all(|sample| now.seconds_since(sample.time) < SAMPLE_AGE_S));
    assert_eq!(history.samples(None)[0].time, now);
    assert_eq!(history.samples(Some(Epoch(now.0 - 20))).len(), 2);
    assert_eq!(history.recent_cpu_times(now).unwrap().total, 199_000, "the one before, for something to compare with");
    // A clock that is set back begins anew.
    server.clock.advance(-1_000);
    sample(&server, 0);
    assert_eq!(history.samples(Some(Epoch(0))).len(), 1);
}

#[test]
fn stores_that_are_not_there_are_left_out_and_removed_ones_forgotten() {
    let server = TestServer::new();
    server.add_datastore_without_chunks("local");
    server.add_datastore_without_chunks("gone");
    sample(&server, 0);
    std::fs::remove_dir_all(server.store_path("gone")).unwrap();
    server.host.set_space(FileSystemSpace { total_bytes: 1, used_bytes: 1, available_bytes: 0 });
    sample(&server, 0);
    let [newest] = &server.app.history.samples(None)[..] else { panic!("one sample") };
    let names: Vec<_> = newest.stores.iter().map(|store| store.name.to_string()).collect();
    assert_eq!(names, ["local"], "the room of what lies below a missing store is not shown");
    let history = &server.app.history;
    let now = server.app.clock.now();
    assert!(history.rows(&store("gone"), Timeframe::Hour, now).unwrap().is_some());
    history.forget(&"gone".parse().unwrap()).unwrap();
    history.forget(&"gone".parse().unwrap()).unwrap();
    assert!(history.rows(&store("gone"), Timeframe::Hour, now).unwrap().is_none());
}
