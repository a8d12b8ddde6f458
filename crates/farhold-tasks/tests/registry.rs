//! Tasks from start to end: logs, lists, aborts, panics, shutdown.
#![allow(clippy::unwrap_used, reason = "a test may end with a panic")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use farhold_tasks::{AbortRequest, TaskContext, TaskError, TaskFailure, TaskFilter, TaskKind, TaskRegistry};
use farhold_types::Authid;
use support::World;

fn sync() -> TaskKind {
    TaskKind::new("sync", Some("tank".to_owned())).dropped_on_abort("pull aborted")
}

fn log_of(registry: &TaskRegistry, upid: &Upid) -> Vec<String> {
    registry.log_lines(upid, 0, 0).unwrap().lines.into_iter().map(|line| line.t).collect()
}

fn listed(registry: &TaskRegistry) -> Vec<(String, Option<String>)> {
    let page = registry.list(&TaskFilter { limit: 0, ..TaskFilter::default() }, |_| true).unwrap();
    page.items.into_iter().map(|item| (item.upid, item.status)).collect()
}

#[tokio::test]
async fn a_task_is_listed_and_logged_from_its_start_to_its_end() {
    let world = World::new();
    let registry = world.registry();
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let (began, begun) = tokio::sync::oneshot::channel::<()>();
    let upid = registry
        .spawn(sync(), &"sync@pbs!t1".parse().unwrap(), |task: TaskContext| async move {
            task.log("pull datastore 'tank'");
            let _ = began.send(());
            wait.await?;
            task.log("two\nlines");
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(upid.as_str(), "UPID:vm:00001234:00005678:00000000:6B024598:sync:tank:sync@pbs!t1:");
    assert_eq!(world.read("active"), format!("{upid}\n"));
    assert!(registry.is_running(&upid));
    let status = serde_json::to_value(registry.status(&upid)).unwrap();
    assert_eq!(
        status,
        serde_json::json!({
            "upid": upid.as_str(), "node": "vm", "pid": 0x1234, "pstart": 0x5678, "starttime": support::NOON,
            "type": "sync", "id": "tank", "user": "sync@pbs", "tokenid": "t1", "status": "running",
        })
    );
    assert_eq!(listed(&registry), [(upid.to_string(), None)]);

    begun.await.unwrap();
    world.clock.0.fetch_add(5, Ordering::SeqCst);
    go.send(()).unwrap();
    assert_eq!(registry.wait(&upid).await.unwrap(), TaskStatus::Ok);
    assert_eq!(
        log_of(&registry, &upid),
        [
            "2026-11-22T02:30:00+01:00: pull datastore 'tank'",
            "2026-11-22T02:30:05+01:00: two",
            "lines",
            "2026-11-22T02:30:05+01:00: TASK OK",
        ]
    );
    assert_eq!(world.read("active"), "");
    assert_eq!(world.read("archive"), format!("{upid} 6B02459D OK\n"));
    assert_eq!(listed(&registry), [(upid.to_string(), Some("OK".to_owned()))]);
    let status = serde_json::to_value(registry.status(&upid)).unwrap();
    assert_eq!((&status["exitstatus"], &status["endtime"]), (&"OK".into(), &(support::NOON + 5).into()));
    assert_eq!(registry.wait(&upid).await.unwrap(), TaskStatus::Ok);
}

#[tokio::test]
async fn results_are_warnings_errors_and_panics() {
    let world = World::new();
    let registry = world.registry();
    for (worker, expected) in [
        (0, TaskStatus::Warnings(2)),
        (1, TaskStatus::Error("failed to read /x: broken".to_owned())),
        (2, TaskStatus::Error("worker panicked: out of 7 luck".to_owned())),
        (3, TaskStatus::Error("unknown error".to_owned())),
    ] {
        let (upid, status) = registry
            .run_here(
                sync(),
                &Authid::root(),
                |_| {},
                move |task| async move {
                    match worker {
                        0 => {
                            task.warn("one");
                            task.error("two");
                            Ok(())
                        }
                        1 => {
                            let source = std::io::Error::other("broken");
                            Err(TaskError::Io { action: "read", path: "/x".into(), source })?
                        }
                        2 => panic!("out of {} luck", 7),
                        _ => Err(TaskFailure::new("")),
                    }
                },
            )
            .await
            .unwrap();
        assert_eq!(status, expected);
        let last = log_of(&registry, &upid).pop().unwrap();
        assert_eq!(last, format!("2026-11-22T02:30:00+01:00: {}", expected.result_message()));
        assert_eq!(registry.status(&upid).exitstatus, Some(expected.to_string()));
    }
    assert_eq!(world.read("active"), "");
    assert_eq!(world.read("archive").lines().count(), 4);
}

#[tokio::test]
async fn an_aborted_task_is_dropped_with_its_text_and_writes_nothing_more() {
    let world = World::new();
    let registry = world.registry();
    let dropped = Arc::new(AtomicBool::new(false));
    struct SetOnDrop(Arc<AtomicBool>, TaskContext);
    impl Drop for SetOnDrop {
        fn drop(&mut self) {
            self.1.log("cleaned up");
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (keep, flag) = (Arc::new(Mutex::new(None)), dropped.clone());
    let kept = keep.clone();
    let upid = registry
        .spawn(sync(), &Authid::root(), |task| async move {
            let _guard = SetOnDrop(flag, task.clone());
            *kept.lock().unwrap() = Some(task);
            std::future::pending().await
        })
        .await
        .unwrap();
    assert_eq!(registry.abort(&upid), AbortRequest::Sent);
    let _ = registry.abort(&upid);
    assert_eq!(registry.wait(&upid).await.unwrap(), TaskStatus::Error("pull aborted".to_owned()));
    assert!(dropped.load(Ordering::SeqCst));
    keep.lock().unwrap().take().unwrap().log("late");
    assert_eq!(
        log_of(&registry, &upid),
        ["2026-11-22T02:30:00+01:00: cleaned up", "2026-11-22T02:30:00+01:00: TASK ERROR: pull aborted"]
    );
    assert_eq!(registry.abort(&upid), AbortRequest::AlreadyEnded);
}

#[tokio::test]
async fn a_cooperative_task_decides_itself_how_it_ends() {
    let world = World::new();
    let registry = world.registry();
    let upid = registry
        .spawn(TaskKind::new("prune", None), &Authid::root(), |task| async move {
            task.cancelled().await;
            task.log("finishing the item in work");
            Err(TaskFailure::new("abort requested - aborting task"))
        })
        .await
        .unwrap();
    registry.abort(&upid);
    registry.wait(&upid).await.unwrap();
    assert_eq!(log_of(&registry, &upid).len(), 2);
    assert_eq!(registry.status(&upid).exitstatus.unwrap(), "abort requested - aborting task");
    assert_eq!(registry.status(&upid).id, None);
}

#[tokio::test]
async fn two_registries_of_one_process_share_a_directory_without_confusion() {
    let world = World::new();
    let (first, second) = (world.registry(), world.registry());
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let long = first.spawn(sync(), &Authid::root(), |_| async move { Ok(wait.await?) }).await.unwrap();
    let (short, _) = second.run_here(sync(), &Authid::root(), |_| {}, |_| async { Ok(()) }).await.unwrap();
    assert_ne!(long, short);
    assert_eq!(short.task_id(), 1);
    // The second registry does not know the task of the first, but sees that it lives.
    assert_eq!(listed(&second), [(long.to_string(), None), (short.to_string(), Some("OK".to_owned()))]);
    assert!(second.status(&long).is_running());
    assert_eq!(second.abort(&long), AbortRequest::OtherProcess);
    go.send(()).unwrap();
    first.wait(&long).await.unwrap();
    assert!(!second.status(&long).is_running());
}

#[tokio::test]
async fn tasks_of_a_killed_process_end_as_unknown_with_the_time_of_their_last_line() {
    let world = World::new();
    let registry = world.registry();
    registry.run_here(sync(), &Authid::root(), |_| {}, |_| async { Ok(()) }).await.unwrap();
    let killed: Upid = "UPID:vm:0000AAAA:00005678:00000007:6B024500:sync:tank:a@pbs:".parse().unwrap();
    std::fs::write(registry.log_path(&killed), "2026-11-22T02:29:00+01:00: at work\n2026-11-22T0").unwrap();
    std::fs::write(world.directory.path().join("tasks/active"), format!("{killed}\nnonsense\n")).unwrap();
    assert!(registry.status(&killed).is_running());
    // What its writer may not be done with is not handed out.
    assert_eq!(log_of(&registry, &killed).len(), 1);
    assert_eq!(listed(&registry)[0], (killed.to_string(), None));

    world.processes.0.store(false, Ordering::SeqCst);
    assert_eq!(listed(&registry)[0], (killed.to_string(), Some("unknown".to_owned())));
    assert_eq!(world.read("active"), "");
    assert!(world.read("archive").ends_with(&format!("{killed} 6B02455C unknown\n")));
    let never: Upid = "UPID:vm:0000AAAA:00005678:00000008:6B024500:sync:tank:a@pbs:".parse().unwrap();
    let status = registry.status(&never);
    assert_eq!((status.status, status.exitstatus.as_deref(), status.endtime), ("stopped", Some("unknown"), None));
    assert!(matches!(registry.log_lines(&never, 0, 0), Err(TaskError::NoLog { .. })));
}

#[tokio::test]
async fn the_end_hook_runs_before_the_result_line_also_after_an_abort_or_panic() {
    let world = World::new();
    let registry = world.registry();
    for abort in [true, false] {
        let upid = registry
            .spawn_with_end(
                sync(),
                &Authid::root(),
                Box::new(|task, status| {
                    task.log(&format!("queued notification: {status}"));
                    panic!("hook");
                }),
                move |_| async move { if abort { std::future::pending().await } else { panic!("worker") } },
            )
            .await
            .unwrap();
        if abort {
            registry.abort(&upid);
        }
        let status = registry.wait(&upid).await.unwrap();
        let stamp = "2026-11-22T02:30:00+01:00: ";
        assert_eq!(
            log_of(&registry, &upid),
            [
                format!("{stamp}queued notification: {status}"),
                format!("{stamp}work at the end of the task panicked: hook"),
                format!("{stamp}{}", status.result_message()),
            ]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_then_aborts_then_drops() {
    let world = World::new();
    let registry = world.registry();
    let root = Authid::root();
    let quick = registry
        .spawn(TaskKind::new("verify", None), &root, |task| async move {
            task.shutdown().cancelled().await;
            Err(TaskFailure::new("Server shutdown requested - aborting task"))
        })
        .await
        .unwrap();
    let aborted = registry.spawn(sync(), &root, |_| std::future::pending()).await.unwrap();
    let stubborn = registry.spawn(TaskKind::new("prune", None), &root, |_| std::future::pending()).await.unwrap();
    let report = registry.shutdown(Duration::from_secs(30)).await;
    assert_eq!((report.running_at_start, report.cut_off, report.left_behind), (3, 2, 0));
    for (upid, text) in [
        (quick, "Server shutdown requested - aborting task"),
        (aborted, "pull aborted"),
        (stubborn, "server shut down before the task ended"),
    ] {
        assert_eq!(registry.status(&upid).exitstatus.as_deref(), Some(text));
    }
    let refused = registry.spawn(sync(), &root, |_| async { Ok(()) }).await;
    assert!(matches!(refused, Err(TaskError::ShuttingDown)));
    assert_eq!(world.read("active"), "");
}

#[tokio::test]
async fn run_here_shows_every_message_without_stamps() {
    let world = World::new();
    let registry = world.registry();
    let shown = Arc::new(Mutex::new(Vec::new()));
    let echo = shown.clone();
    registry
        .run_here(
            sync(),
            &Authid::root(),
            move |line| echo.lock().unwrap().push(line.to_owned()),
            |task| async move {
                task.log("one");
                task.warn("two");
                Ok(())
            },
        )
        .await
        .unwrap();
    assert_eq!(*shown.lock().unwrap(), ["one", "two", "TASK WARNINGS: 1"]);
}

#[tokio::test]
async fn a_task_that_cannot_be_named_or_stored_does_not_run() {
    let world = World::new();
    let registry = world.registry();
    let ran = Arc::new(AtomicBool::new(false));
    let start = |kind: TaskKind| {
        let (ran, registry) = (ran.clone(), registry.clone());
        async move {
            registry
                .spawn(kind, &Authid::root(), |_| async move {
                    ran.store(true, Ordering::SeqCst);
                    Ok(())
                })
                .await
        }
    };
    assert!(matches!(start(TaskKind::new("a b", None)).await, Err(TaskError::Name(_))));
    // A directory in place of the list makes the registration fail after the log was made.
    std::fs::create_dir(world.directory.path().join("tasks/active")).unwrap();
    assert!(matches!(start(sync()).await, Err(TaskError::Io { .. })));
    assert!(registry.running_here().is_empty());
    assert_eq!(std::fs::read_dir(world.directory.path().join("tasks/78")).unwrap().count(), 0);
    assert!(!ran.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_at_once_all_reach_the_archive_exactly_once() {
    let world = World::new();
    let registries = [world.registry(), world.registry()];
    let mut starts = Vec::new();
    for number in 0..60 {
        let registry = registries[number % 2].clone();
        starts.push(tokio::spawn(async move {
            let work = |task: TaskContext| async move {
                task.log("x");
                Ok(())
            };
            registry.run_here(sync(), &Authid::root(), |_| {}, work).await.unwrap().0
        }));
    }
    let mut started = Vec::new();
    for start in starts {
        started.push(start.await.unwrap().to_string());
    }
    let mut archived: Vec<String> =
        world.read("archive").lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    started.sort();
    archived.sort();
    assert_eq!(archived, started);
    assert_eq!(world.read("active"), "");
}

#[tokio::test]
async fn a_name_that_no_log_file_can_have_is_known_before_anything_is_started() {
    let world = World::new();
    let registry = world.registry();
    let authid: Authid = "sync@pbs!t1".parse().unwrap();
    // Every dash takes four bytes.
    for (id, fits) in [("a".repeat(160), true), ("a".repeat(255), false), ("-".repeat(60), false)] {
        let kind = TaskKind::new("backup", Some(format!("tank:host/{id}")));
        let checked = registry.check_name(&kind, &authid);
        assert_eq!(checked.is_ok(), fits, "{id}");
        let started = registry.spawn(kind, &authid, |_| async { Ok(()) }).await;
        assert_eq!(started.is_ok(), fits, "{id}");
        match checked {
            Err(error) => assert!(matches!(error, TaskError::Name(_)), "{error}"),
            Ok(()) => assert!(registry.wait(&started.unwrap()).await.is_ok()),
        }
    }
    assert_eq!(listed(&registry).len(), 1);
}
