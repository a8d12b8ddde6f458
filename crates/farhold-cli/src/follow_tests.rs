//! Following tasks whose life is prepared.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::execute::{Console, execute};
use crate::fixture::{FakeServer, FakeTask, arguments, block_on, endpoints};
use crate::output::OutputSettings;
use crate::plan::{Plan, Printed, plan};
use crate::{Catalogue, FAILURE, SUCCESS};

const UPID: &str = "UPID:vm:00001558:000A2759:00000002:6B035D2F:syncjob:x:root@pam:";

fn stamped(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| format!("2026-11-22T21:22:23+00:00: {text}")).collect()
}

fn task(stages: &[(&[&str], bool)], result: Option<&str>) -> FakeTask {
    let stages = stages.iter().map(|(lines, is_active)| (stamped(lines), *is_active)).collect();
    FakeTask { stages, result: result.map(str::to_owned) }
}

fn run_with(server: &FakeServer, line: &[&str], interrupts: Interrupts, progress_width: Option<usize>) -> Printed {
    let Plan::Run(request) = plan(&Catalogue::new(&endpoints(), &[]), "farhold", &arguments(line)) else {
        panic!("{line:?} does not parse")
    };
    let settings = OutputSettings::from_environment(|_| None, None, jiff::tz::TimeZone::UTC);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console =
        Console { out: &mut out, err: &mut err, settings: &settings, interrupts, poll: Duration::ZERO, progress_width };
    let exit = block_on(execute(*request, server, &mut console));
    Printed { out: String::from_utf8_lossy(&out).into_owned(), err: String::from_utf8_lossy(&err).into_owned(), exit }
}

fn run(server: &FakeServer, line: &[&str]) -> Printed {
    run_with(server, line, Interrupts::never(), None)
}

fn aborts(server: &FakeServer) -> usize {
    server.take_calls().iter().filter(|call| call.method == Method::DELETE && call.path == TASK_PATH).count()
}

#[test]
fn the_log_is_printed_without_stamps_until_the_task_ends() {
    let server = FakeServer::default();
    server.next_task(
        UPID,
        task(&[(&["one"], true), (&["one", "two"], true), (&["one", "two", "TASK OK"], false)], Some("OK")),
    );
    let printed = run(&server, &["sync-job", "run", "job1"]);
    assert_eq!(printed, Printed { out: "one\ntwo\nTASK OK\n".to_owned(), err: String::new(), exit: SUCCESS });
}

#[test]
fn lines_written_while_the_server_looked_away_are_fetched_after_the_end() {
    // The server says that the task has ended, but had read the log before.
    let server = FakeServer::default();
    server.next_task(UPID, task(&[(&["one"], false), (&["one", "TASK OK"], false)], Some("OK")));
    assert_eq!(run(&server, &["sync-job", "run", "job1"]).out, "one\nTASK OK\n");
}

#[test]
fn the_result_of_the_task_decides_about_the_exit_code() {
    let cases = [
        (Some("OK"), SUCCESS, ""),
        (Some("WARNINGS: 3"), SUCCESS, ""),
        (Some("connection lost"), FAILURE, "Error: task failed (status connection lost)\n"),
        (Some("unknown"), FAILURE, "Error: task failed (status unknown)\n"),
        (None, FAILURE, "Error: task ended without a status\n"),
    ];
    for (result, exit, err) in cases {
        let server = FakeServer::default();
        server.add_task(UPID, task(&[(&["line"], false)], result));
        let printed = run(&server, &["task", "log", UPID]);
        assert_eq!((printed.exit, printed.err.as_str(), printed.out.as_str()), (exit, err, "line\n"), "{result:?}");
    }
}

#[test]
fn long_logs_are_read_in_blocks() {
    let lines: Vec<String> = (0..1201).map(|n| format!("line {n}")).collect();
    let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
    let server = FakeServer::default();
    server.add_task(UPID, task(&[(&texts, false)], Some("OK")));
    assert_eq!(run(&server, &["task", "log", UPID]).out, lines.join("\n") + "\n");
    let starts: Vec<Value> =
        server.take_calls().into_iter().filter_map(|call| call.params.get("start").cloned()).collect();
    assert_eq!(starts, [json!(1), json!(501), json!(1001), json!(1202)]);
}

#[test]
fn lines_without_a_stamp_are_printed_whole() {
    for (line, printed) in [
        ("2026-11-22T21:22:23+00:00: x", "x"),
        ("2026-11-22T21:22:23+00:00: ", "2026-11-22T21:22:23+00:00: "),
        ("short", "short"),
        ("", ""),
        ("ääääääääääääääääääääääääää: x", "ääääääääääääääääääääääääää: x"),
        ("no stamp but long enough to hold one", "no stamp but long enough to hold one"),
    ] {
        assert_eq!(without_stamp(line), printed, "{line:?}");
    }
}

#[test]
fn a_log_with_a_gap_or_too_few_lines_is_an_error() {
    let reply = |data: Value, total: u64| ApiReply {
        data,
        attributes: json!({"total": total, "active": false}).as_object().cloned().unwrap_or_default(),
    };
    let line = |n: u64| json!({"n": n, "t": "x"});
    assert!(Block::from_reply(reply(json!([line(1), line(2)]), 2), 1).is_ok());
    assert!(Block::from_reply(reply(json!([line(1), line(3)]), 3), 1).is_err());
    assert!(Block::from_reply(reply(json!([line(1)]), 2), 1).is_err());
    assert!(Block::from_reply(reply(json!([]), 2), 3).is_ok());
    assert!(Block::from_reply(ApiReply::default(), 1).is_err());
}

/// Follows a task without a command around it.
fn follow(server: &FakeServer, interrupts: u32) -> (Result<Followed, FollowError>, String, String) {
    let (count, receiver) = watch::channel(interrupts);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut follower = Follower {
        caller: server,
        out: &mut out,
        err: &mut err,
        interrupts: Interrupts::new(receiver),
        poll: Duration::ZERO,
        progress: None,
    };
    let result = block_on(follower.follow(UPID, OnInterrupt::AbortTask));
    drop(count);
    (result, String::from_utf8_lossy(&out).into_owned(), String::from_utf8_lossy(&err).into_owned())
}

#[test]
fn the_first_interrupt_aborts_the_task_in_every_round_and_the_log_is_followed_to_its_end() {
    let server = FakeServer::default();
    let stages: &[(&[&str], bool)] = &[(&["one"], true), (&["one"], true), (&["one", "TASK ERROR: aborted"], false)];
    server.add_task(UPID, task(stages, Some("aborted")));
    let (result, out, err) = follow(&server, 1);
    assert!(matches!(result, Err(FollowError::TaskFailed { status }) if status == "aborted"));
    assert_eq!(out, "one\nTASK ERROR: aborted\n");
    assert_eq!(err.lines().count(), 1, "{err}");
    assert_eq!(aborts(&server), 2);
}

#[test]
fn the_second_interrupt_leaves_the_task_alone() {
    let server = FakeServer::default();
    server.add_task(UPID, task(&[(&["one"], true)], None));
    let (result, _, err) = follow(&server, 2);
    assert!(matches!(result, Ok(Followed::Left)));
    assert!(err.contains("still runs"), "{err}");
    assert_eq!(aborts(&server), 0);

    // What runs in this process cannot go on without it.
    server.run_tasks_here();
    assert!(follow(&server, 2).2.contains("ends with this program"));
}

#[test]
fn an_interrupt_of_task_log_ends_the_output_and_not_the_task() {
    let server = FakeServer::default();
    server.add_task(UPID, task(&[(&["one"], true)], None));
    let (count, receiver) = watch::channel(1);
    let printed = run_with(&server, &["task", "log", UPID], Interrupts::new(receiver), None);
    drop(count);
    assert_eq!((printed.exit, printed.err.as_str()), (SUCCESS, ""));
    assert_eq!(aborts(&server), 0);
}

#[test]
fn with_json_the_task_id_is_printed_and_only_tasks_of_this_process_are_awaited() {
    let prepared = || task(&[(&["one"], true), (&["one", "TASK ERROR: no"], false)], Some("no"));
    let server = FakeServer::default();
    server.next_task(UPID, prepared());
    let printed = run(&server, &["sync-job", "run", "job1", "--output-format", "json"]);
    assert_eq!(printed, Printed { out: format!("\"{UPID}\"\n"), err: String::new(), exit: SUCCESS });
    assert_eq!(server.take_calls().len(), 1);

    server.run_tasks_here();
    server.next_task(UPID, prepared());
    let printed = run(&server, &["sync-job", "run", "job1", "--output-format", "json"]);
    assert_eq!(printed, Printed { out: format!("\"{UPID}\"\n"), err: "TASK ERROR: no\n".to_owned(), exit: FAILURE });
}

#[test]
fn removing_a_datastore_waits_in_silence() {
    for (result, exit, err) in [("OK", SUCCESS, ""), ("busy", FAILURE, "TASK ERROR: busy\n")] {
        let server = FakeServer::default();
        server.next_task(UPID, task(&[(&[], false)], Some("OK")));
        run(&server, &["datastore", "create", "store1", "/x"]);
        server.next_task(UPID, task(&[(&["one"], true), (&["one"], false)], Some(result)));
        let printed = run(&server, &["datastore", "remove", "store1"]);
        assert_eq!((printed.exit, printed.out.as_str(), printed.err.as_str()), (exit, "", err));
    }
}

#[test]
fn on_a_terminal_a_sync_shows_its_progress_between_the_lines() {
    let server = FakeServer::default();
    server.answer(
        "/farhold/tasks/UPID%3Avm%3A00001558%3A000A2759%3A00000002%3A6B035D2F%3Asyncjob%3Ax%3Aroot%40pam%3A/progress",
        json!({"bytes_done": 512, "bytes_total": 1024, "rate": 2048, "eta": 1}),
    );
    server.next_task(UPID, task(&[(&["one"], true), (&["one", "TASK OK"], false)], Some("OK")));
    let printed = run_with(&server, &["sync-job", "run", "job1"], Interrupts::never(), Some(80));
    assert_eq!(printed.out, "one\nTASK OK\n");
    assert_eq!(printed.err, "\r\x1b[K512 B of 1 KiB (50%), 2 KiB/s, 1s left\r\x1b[K");
    // Without such an endpoint there is no line.
    let server = FakeServer::default();
    server.next_task(UPID, task(&[(&["one"], true), (&["one", "TASK OK"], false)], Some("OK")));
    assert_eq!(run_with(&server, &["sync-job", "run", "job1"], Interrupts::never(), Some(80)).err, "");
}
