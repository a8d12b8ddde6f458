//! Job state files, ours and recorded ones.
#![allow(clippy::unwrap_used, reason = "a test may end with a panic")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use farhold_tasks::job_state::{JobKey, JobState, JobStateError, JobStates, RunState, ScheduleBasis, WaitingEvent};
use farhold_types::Epoch;
use support::World;

const NOW: Epoch = Epoch(support::NOON);

fn upid() -> Upid {
    r"UPID:vm:0000AAAA:00005678:00000007:6B024500:syncjob:r\x3as\x3at\x3a\x3ajob:a@pbs:".parse().unwrap()
}

fn states(world: &World) -> (JobStates, JobKey) {
    let states = JobStates::open(world.directory.path().join("jobstates")).unwrap();
    (states, JobKey::sync(&"nightly".parse().unwrap()).unwrap())
}

fn file(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.directory.path().join("jobstates").join(name)).unwrap()
}

#[test]
fn every_recorded_state_reads_and_writes_back_byte_for_byte() {
    let world = World::new();
    support::unpack_recorded(world.directory.path());
    let mut count = 0;
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/jobstate");
    for directory in [recorded, world.directory.path().join("tasks/jobstates")] {
        for item in std::fs::read_dir(directory).unwrap() {
            let path = item.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let text = std::fs::read_to_string(&path).unwrap();
                let state: JobState = serde_json::from_str(&text).unwrap();
                assert_ne!(state, JobState::Unknown);
                assert_eq!(serde_json::to_string(&state).unwrap(), text);
                count += 1;
            }
        }
    }
    assert_eq!(count, 16);
    assert_eq!(serde_json::to_string(&JobState::Unknown).unwrap(), "\"unknown\"");
    let unknown = RunState::new(TaskStatus::Unknown, Epoch(7));
    assert_eq!(serde_json::to_string(&unknown).unwrap(), r#"{"Unknown":{"endtime":7}}"#);
}

#[test]
fn a_job_goes_from_created_to_finished_and_away() {
    let world = World::new();
    let (states, key) = states(&world);
    states.create(&key, NOW).unwrap();
    assert_eq!(file(&world, "syncjob-nightly.json"), format!("{{\"created\":{{\"time\":{}}}}}", NOW.0));
    assert_eq!(file(&world, "syncjob-nightly.lck"), "");
    let mode = |name: &str| {
        let path = world.directory.path().join("jobstates").join(name);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("syncjob-nightly.json"), mode("syncjob-nightly.lck")), (0o644, 0o660));

    let job = states.lock(&key).unwrap();
    job.start(&upid()).unwrap();
    let held = states.lock_within(&key, Duration::from_millis(40));
    assert!(matches!(held, Err(JobStateError::Locked { job }) if job == "syncjob-nightly"));
    let running = states.read_stored(&key, NOW).unwrap();
    assert_eq!(serde_json::to_value(running.last_run()).unwrap(), serde_json::json!({"last-run-upid": upid()}));
    assert_eq!(running.schedule_reference(), Some(upid().start_time()));

    job.finish(&upid(), &TaskStatus::Warnings(3), NOW).unwrap();
    drop(job);
    let finished = states.read_stored(&key, NOW).unwrap();
    assert_eq!(
        serde_json::to_value(finished.last_run()).unwrap(),
        serde_json::json!({"last-run-upid": upid(), "last-run-state": "WARNINGS: 3", "last-run-endtime": NOW.0})
    );
    assert_eq!(finished.schedule_reference(), Some(upid().start_time()));
    states.remove(&key).unwrap();
    states.remove(&key).unwrap();
    assert_eq!(std::fs::read_dir(world.directory.path().join("jobstates")).unwrap().count(), 0);
}

#[test]
fn the_run_of_a_removed_job_leaves_no_files_and_touches_none_of_a_new_job() {
    let world = World::new();
    let (states, key) = states(&world);
    let files = || std::fs::read_dir(world.directory.path().join("jobstates")).unwrap().count();
    states.create(&key, NOW).unwrap();
    let job = states.lock(&key).unwrap();
    job.start(&upid()).unwrap();
    states.remove(&key).unwrap();
    job.finish(&upid(), &TaskStatus::Ok, NOW).unwrap();
    assert_eq!(files(), 0);

    states.create(&key, NOW).unwrap();
    job.finish(&upid(), &TaskStatus::Ok, NOW).unwrap();
    job.start(&upid()).unwrap();
    assert_eq!(states.read_stored(&key, NOW).unwrap(), JobState::Created { time: NOW });
    assert!(states.lock_within(&key, Duration::ZERO).is_ok(), "the old run does not hold up the new job");
}

#[test]
fn missing_and_damaged_states_have_a_meaning() {
    let world = World::new();
    let (states, key) = states(&world);
    let tasks = world.registry();
    assert_eq!(states.read(&key, NOW, &tasks).unwrap(), JobState::Created { time: Epoch(NOW.0 - 30) });
    let path = world.directory.path().join("jobstates/syncjob-nightly.json");
    for damaged in ["", "{", "\"unknown\"", "null", r#"{"started":{"upid":"UPID:x"}}"#, r#"{"finished":{}}"#] {
        std::fs::write(&path, damaged).unwrap();
        assert_eq!(states.read(&key, NOW, &tasks).unwrap(), JobState::Unknown, "{damaged}");
    }
    for name in ["", "../x", "a/b", ".x"] {
        assert!(matches!(JobKey::new("syncjob", name), Err(JobStateError::Name)), "{name}");
    }
}

#[test]
fn a_run_whose_process_is_gone_is_taken_as_finished() {
    let world = World::new();
    let (states, key) = states(&world);
    let tasks = world.registry();
    states.lock(&key).unwrap().start(&upid()).unwrap();
    let log = tasks.log_path(&upid());
    std::fs::create_dir_all(log.parent().unwrap()).unwrap();
    std::fs::write(&log, "2026-11-22T02:29:00+01:00: at work\n").unwrap();
    assert_eq!(states.read(&key, NOW, &tasks).unwrap(), JobState::Started { upid: upid() });
    world.processes.0.store(false, Ordering::SeqCst);
    let state = RunState::Unknown { endtime: Epoch(NOW.0 - 60) };
    assert_eq!(states.read(&key, NOW, &tasks).unwrap(), JobState::Finished { upid: upid(), state, updated: None });
    assert_eq!(states.read_stored(&key, NOW).unwrap(), JobState::Started { upid: upid() });
}

#[test]
fn another_schedule_makes_earlier_events_not_count_unless_the_job_runs() {
    let world = World::new();
    let (states, key) = states(&world);
    let tasks = world.registry();
    states.create(&key, Epoch(1)).unwrap();
    states.schedule_changed(&key, NOW, &tasks).unwrap();
    assert_eq!(states.read_stored(&key, NOW).unwrap(), JobState::Created { time: NOW });
    let job = states.lock(&key).unwrap();
    job.start(&upid()).unwrap();
    states.schedule_changed(&key, NOW, &tasks).unwrap();
    assert_eq!(states.read_stored(&key, NOW).unwrap(), JobState::Started { upid: upid() });
    job.finish(&upid(), &TaskStatus::Ok, Epoch(5)).unwrap();
    drop(job);
    states.schedule_changed(&key, NOW, &tasks).unwrap();
    let updated = states.read_stored(&key, NOW).unwrap();
    assert_eq!(updated.schedule_reference(), Some(NOW));
}

#[test]
fn a_run_whose_process_is_gone_is_finished_when_a_server_starts() {
    let world = World::new();
    let (states, key) = states(&world);
    let tasks = world.registry();
    let log = tasks.log_path(&upid());
    std::fs::create_dir_all(log.parent().unwrap()).unwrap();
    let told = "2026-11-22T03:00:00+01:00: starting\n2026-11-22T03:00:07+01:00: TASK ERROR: no space left\n";
    std::fs::write(log, told).unwrap();
    let job = states.lock(&key).unwrap();
    job.start(&upid()).unwrap();
    assert_eq!(states.finish_left_over(&tasks).unwrap(), [], "its lock is held");
    drop(job);
    let never_told: Upid = "UPID:vm:0000AAAA:00005678:00000008:6B024500:prunejob::root@pam:".parse().unwrap();
    let other = JobKey::new("prunejob", "other").unwrap();
    states.lock(&other).unwrap().start(&never_told).unwrap();
    let idle = JobKey::new("prunejob", "idle").unwrap();
    states.create(&idle, NOW).unwrap();

    let mut finished = states.finish_left_over(&tasks).unwrap();
    finished.sort_by_key(ToString::to_string);
    assert_eq!(finished, [upid(), never_told.clone()]);
    // Another process reads the files.
    let (states, _) = self::states(&world);
    let (message, endtime) = ("no space left".to_owned(), Epoch(1_795_312_807));
    let state = RunState::Error { message, endtime };
    assert_eq!(states.read_stored(&key, NOW).unwrap(), JobState::Finished { upid: upid(), state, updated: None });
    let state = RunState::Unknown { endtime: never_told.start_time() };
    assert_eq!(states.read_stored(&other, NOW).unwrap(), JobState::Finished { upid: never_told, state, updated: None });
    assert_eq!(states.read_stored(&idle, NOW).unwrap(), JobState::Created { time: NOW });
    assert_eq!(states.finish_left_over(&tasks).unwrap(), []);
}

#[test]
fn what_other_processes_write_is_seen() {
    let world = World::new();
    let (states, key) = states(&world);
    states.create(&key, NOW).unwrap();
    assert_eq!(states.read_stored(&key, NOW).unwrap(), JobState::Created { time: NOW });
    let (other, _) = self::states(&world);
    other.create(&key, Epoch(12)).unwrap();
    assert_eq!(states.read_stored(&key, NOW).unwrap(), JobState::Created { time: Epoch(12) });
    other.remove(&key).unwrap();
    assert!(!states.is_stored(&key));
    assert_eq!(states.read_stored(&key, NOW).unwrap(), JobState::Created { time: Epoch(NOW.0 - 30) });
}

#[test]
fn a_start_for_an_event_needs_the_state_that_made_it_due_and_a_clock_that_has_reached_it() {
    let world = World::new();
    let (states, key) = states(&world);
    let waiting = |states: &JobStates| {
        let basis = ScheduleBasis::of(states.find(&key).unwrap().as_ref());
        WaitingEvent { time: NOW, basis }
    };
    let refused =
        |event: &WaitingEvent, now| matches!(states.lock_for(&key, event, now), Err(JobStateError::Overtaken { .. }));
    let of_missing = waiting(&states);
    assert!(refused(&of_missing, Epoch(NOW.0 - 1)), "the clock was set back");
    drop(states.lock_for(&key, &of_missing, NOW).unwrap());

    states.create(&key, Epoch(NOW.0 - 60)).unwrap();
    assert!(refused(&of_missing, NOW));
    let of_created = waiting(&states);
    states.lock(&key).unwrap().start(&upid()).unwrap();
    assert!(refused(&of_created, NOW), "a run has begun");

    // The run that went on when it was looked at has ended: the event still waits.
    let of_started = waiting(&states);
    states.lock(&key).unwrap().finish(&upid(), &TaskStatus::Ok, NOW).unwrap();
    let lock = states.lock_for(&key, &of_started, NOW).unwrap();
    assert!(matches!(states.lock_for(&key, &of_started, NOW), Err(JobStateError::Locked { .. })));
    drop(lock);
    states.schedule_changed(&key, NOW, &world.registry()).unwrap();
    assert!(refused(&of_started, NOW), "it has another schedule");
}

#[test]
fn a_run_that_began_on_a_clock_set_back_just_before_counts_as_the_answer_to_its_event() {
    let world = World::new();
    let (states, key) = states(&world);
    let event = |time| WaitingEvent { time, basis: ScheduleBasis::of(states.find(&key).unwrap().as_ref()) };
    let start = upid().start_time();
    for (time, counted) in [(Epoch(start.0 - 5), start), (start, start), (Epoch(start.0 + 5), Epoch(start.0 + 5))] {
        let lock = states.lock_for(&key, &event(time), time).unwrap();
        lock.start(&upid()).unwrap();
        lock.finish(&upid(), &TaskStatus::Ok, Epoch(start.0 + 1)).unwrap();
        drop(lock);
        assert_eq!(states.find(&key).unwrap().unwrap().schedule_reference(), Some(counted));
    }
}
