use farhold_datastore::GcStatus;
use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use farhold_types::{Authid, Epoch};

use super::*;
use crate::gc::{GcPermit, gc_key, start_gc};
use crate::testing::{START, TestServer};

fn key(name: &str) -> JobKey {
    JobKey::new("syncjob", name).unwrap()
}

fn upid(start: i64) -> Upid {
    format!("UPID:pbs1:00006035:0004D06C:000000A4:{start:08X}:syncjob:a:root@pam:").parse().unwrap()
}

/// A run that began at `start` and took five seconds.
fn run(start: i64, status: TaskStatus, figures: RunFigures) -> JobRun {
    JobRun::new(&upid(start), Epoch(start + 5), &status, figures)
}

fn failed(text: &str) -> TaskStatus {
    TaskStatus::Error(text.to_owned())
}

#[test]
fn runs_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let runs = JobRuns::new(folder.path().join("runs"));
    assert!(runs.summary(&key("a")).unwrap().is_none() && runs.runs(&key("a"), 9).unwrap().is_empty());
    let moved = |bytes, snapshots, behind, rate| RunFigures {
        bytes: Some(bytes),
        snapshots: Some(snapshots),
        behind,
        failures: Some(0),
        retries: Some(1),
        rate_bytes_per_s: rate,
    };
    let all = [
        run(1_000, TaskStatus::Ok, moved(100, 2, Some(0), Some(50))),
        run(2_000, failed("no route"), moved(7, 1, Some(3), None)),
        run(3_000, TaskStatus::Unknown, RunFigures::default()),
    ];
    for run in &all {
        runs.record(&key("a"), run).unwrap();
    }
    // Another reader of the same files sees the same.
    for runs in [&runs, &JobRuns::new(folder.path().join("runs"))] {
        assert_eq!(runs.runs(&key("a"), 9).unwrap(), all);
        assert_eq!(runs.runs(&key("a"), 2).unwrap(), all[1..]);
        let summary = runs.summary(&key("a")).unwrap().unwrap();
        assert_eq!(summary.last, all[2]);
        let expected = JobTotals {
            runs: 3,
            failures: 2,
            failures_in_row: 2,
            last_success: Some(Epoch(1_005)),
            retries: 2,
            bytes: 107,
            snapshots: 3,
            behind: Some(3),
            rate_bytes_per_s: Some(50),
        };
        assert_eq!(summary.totals, expected);
    }
    runs.record(&key("a"), &run(4_000, TaskStatus::Warnings(2), RunFigures::default())).unwrap();
    let totals = runs.summary(&key("a")).unwrap().unwrap().totals;
    assert_eq!((totals.failures, totals.failures_in_row, totals.last_success), (2, 0, Some(Epoch(4_005))));
    assert!(runs.summary(&key("b")).unwrap().is_none());
}

#[test]
fn files_are_bounded_and_totals_outlive_the_runs_that_go() {
    let folder = tempfile::tempdir().unwrap();
    let runs = JobRuns::new(folder.path().to_owned());
    let path = folder.path().join("syncjob-a.jsonl");
    let (mut largest, mut rewritten) = (0, 0);
    for number in 0..3_000 {
        let before = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        runs.record(&key("a"), &run(1_000_000 + number, failed(&"é".repeat(4_000)), RunFigures::default())).unwrap();
        let now = std::fs::metadata(&path).unwrap().len();
        largest = largest.max(now);
        rewritten += u32::from(now < before);
    }
    assert!(largest <= COMPACT_BYTES, "{largest}");
    assert!(10 < rewritten && rewritten < 60, "{rewritten} times");
    let kept = runs.runs(&key("a"), usize::MAX).unwrap();
    assert!(200 < kept.len(), "{}", kept.len());
    assert_eq!(kept.last().unwrap().started, Epoch(1_002_999));
    assert!(kept.is_sorted_by_key(|run| run.started));
    assert_eq!(runs.summary(&key("a")).unwrap().unwrap().totals.failures_in_row, 3_000);

    for number in 0..3_000 {
        runs.record(&key("b"), &run(1_000_000 + number, TaskStatus::Ok, RunFigures::default())).unwrap();
    }
    assert_eq!(runs.runs(&key("b"), usize::MAX).unwrap().len(), KEPT_RUNS);
}

#[test]
fn a_damaged_line_costs_one_run_and_a_torn_one_does_not_swallow_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("syncjob-a.jsonl");
    let started =
        |runs: &JobRuns| -> Vec<i64> { runs.runs(&key("a"), 99).unwrap().iter().map(|run| run.started.0).collect() };
    let runs = JobRuns::new(folder.path().to_owned());
    for start in [1_000, 2_000, 3_000] {
        runs.record(&key("a"), &run(start, TaskStatus::Ok, RunFigures::default())).unwrap();
    }
    let whole = std::fs::read(&path).unwrap();
    let last_line = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    // Cut at every byte of the last line, as a crash may.
    for length in last_line..whole.len() - 1 {
        std::fs::write(&path, &whole[..length]).unwrap();
        let runs = JobRuns::new(folder.path().to_owned());
        assert_eq!(runs.summary(&key("a")).unwrap().unwrap().totals.runs, 2, "{length}");
        runs.record(&key("a"), &run(4_000, TaskStatus::Ok, RunFigures::default())).unwrap();
        assert_eq!(started(&runs), [1_000, 2_000, 4_000], "{length}");
        assert_eq!(runs.summary(&key("a")).unwrap().unwrap().totals.runs, 3);
    }
    // Zeroes where the last line was to be, as some file systems leave them after a power failure.
    for zeroes in [1, 500, 2 * TAIL_BYTES as usize] {
        std::fs::write(&path, [&whole[..last_line], &vec![0; zeroes]].concat()).unwrap();
        let runs = JobRuns::new(folder.path().to_owned());
        assert_eq!(runs.summary(&key("a")).unwrap().unwrap().totals.runs, 2, "{zeroes}");
        runs.record(&key("a"), &run(4_000, TaskStatus::Ok, RunFigures::default())).unwrap();
        assert_eq!(started(&runs), [1_000, 2_000, 4_000], "{zeroes}");
    }
    // Something else in the middle, and a lot of it at the end.
    let noise = [&whole[..last_line], &[b'x'; 3 * TAIL_BYTES as usize], b"\n\xff{\n"].concat();
    std::fs::write(&path, noise).unwrap();
    let runs = JobRuns::new(folder.path().to_owned());
    assert_eq!(runs.summary(&key("a")).unwrap().unwrap().totals.runs, 2);
    assert_eq!(started(&runs), [1_000, 2_000]);
    // A file of nothing that makes sense is a job without runs, not an error.
    std::fs::write(&path, b"[]\n").unwrap();
    assert!(runs.summary(&key("a")).unwrap().is_none());
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let error = runs.record(&key("a"), &run(1, TaskStatus::Ok, RunFigures::default())).unwrap_err();
    assert!(error.to_string().contains("syncjob-a"), "{error}");
}

#[test]
fn what_another_process_adds_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (JobRuns::new(folder.path().to_owned()), JobRuns::new(folder.path().to_owned()));
    one.record(&key("a"), &run(1_000, TaskStatus::Ok, RunFigures::default())).unwrap();
    other.record(&key("a"), &run(2_000, failed("no"), RunFigures::default())).unwrap();
    let summary = one.summary(&key("a")).unwrap().unwrap();
    assert_eq!((summary.totals.runs, summary.last.started), (2, Epoch(2_000)));
    let again = one.summary(&key("a")).unwrap().unwrap();
    assert!(Arc::ptr_eq(&summary, &again), "nothing is read as long as nothing changes");
}

#[test]
fn removed_jobs_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let runs = JobRuns::new(folder.path().join("runs"));
    runs.forget_others(&HashSet::new()).unwrap();
    for name in ["a", "b", "c"] {
        runs.record(&key(name), &run(1_000, TaskStatus::Ok, RunFigures::default())).unwrap();
    }
    runs.forget(&key("a")).unwrap();
    runs.forget(&key("a")).unwrap();
    runs.forget_others(&HashSet::from([key("b"), key("d")])).unwrap();
    let known = ["a", "b", "c", "d"].map(|name| runs.summary(&key(name)).unwrap().is_some());
    assert_eq!(known, [false, true, false, false]);
}

#[test]
fn a_run_that_is_cut_off_before_its_first_group_knows_nothing_of_what_is_behind() {
    let mut progress = farhold_sync::ProgressSnapshot { failures: 1, ..Default::default() };
    assert_eq!(RunFigures::of_progress(&progress).behind, None);
    progress.groups_done = 2;
    progress.behind = 3;
    assert_eq!(RunFigures::of_progress(&progress).behind, Some(3));
}

#[test]
fn figures_tell_what_the_reports_tell() {
    let mut report = farhold_sync::SyncReport {
        changed_snapshots: 3,
        bytes: 1_000,
        moved_bytes: 1_024,
        behind: 2,
        elapsed: std::time::Duration::from_millis(2_500),
        retries: 4,
        ..Default::default()
    };
    let expected = RunFigures {
        bytes: Some(1_024),
        snapshots: Some(3),
        behind: Some(2),
        failures: Some(0),
        retries: Some(4),
        rate_bytes_per_s: Some(400),
    };
    assert_eq!(RunFigures::of_sync(&report), expected);
    report.bytes = 0;
    assert_eq!(RunFigures::of_sync(&report).rate_bytes_per_s, None, "no chunk came");
    report.elapsed = std::time::Duration::ZERO;
    assert_eq!(RunFigures::of_sync(&report).rate_bytes_per_s, None);
    let gc = GcStatus { removed_bytes: 78, ..GcStatus::default() };
    assert_eq!(RunFigures::of_gc(&gc), RunFigures { bytes: Some(78), ..RunFigures::default() });
    assert_eq!(RunFigures::of_verify(2).failures, Some(2));
}

#[test]
fn a_line_has_the_documented_form() {
    let folder = tempfile::tempdir().unwrap();
    let runs = JobRuns::new(folder.path().to_owned());
    let figures = RunFigures { bytes: Some(9), ..RunFigures::default() };
    runs.record(&key("a"), &run(1_795_311_000, failed("first\nsecond"), figures)).unwrap();
    let text = std::fs::read_to_string(folder.path().join("syncjob-a.jsonl")).unwrap();
    let expected = concat!(
        r#"{"upid":"UPID:pbs1:00006035:0004D06C:000000A4:6B024598:syncjob:a:root@pam:","started":1795311000,"#,
        r#""ended":1795311005,"status":"first","figures":{"bytes":9},"totals":{"runs":1,"failures":1,"#,
        r#""failures-in-row":1,"last-success":null,"retries":0,"bytes":9,"snapshots":0,"behind":null,"#,
        r#""rate-bytes-per-s":null}}"#,
        "\n"
    );
    assert_eq!(text, expected);
    // Older lines may lack what later ones have.
    let short = r#"{"upid":"UPID:pbs1:00006035:0004D06C:000000A4:6B024598:syncjob:a:root@pam:","started":1,"ended":2,"status":"OK"}"#;
    let summary: JobSummary = serde_json::from_str(short).unwrap();
    assert_eq!((summary.last.seconds(), summary.totals), (1, JobTotals::default()));
}

#[tokio::test]
async fn a_run_is_kept_when_its_task_ends_and_not_after_the_job_was_removed() {
    let server = TestServer::new();
    server.add_datastore_without_chunks("tank");
    let app = &server.app;
    let name = "tank".parse().unwrap();
    let permit = GcPermit::of(&app.acl().unwrap(), &Authid::root(), &name).unwrap();
    let upid = start_gc(app, &permit, None).await.unwrap();
    let status = server.ended(upid.as_str()).await;
    let key = gc_key(&name).unwrap();
    let summary = app.job_runs.summary(&key).unwrap().unwrap();
    assert_eq!((&summary.last.upid, &summary.last.status, summary.last.started), (&upid, &status.first_line(), START));
    assert_eq!(summary.totals.runs, 1);

    app.forget_job(&key).unwrap();
    assert!(app.job_runs.summary(&key).unwrap().is_none());
    // One that was removed while it ran leaves nothing.
    let lock = Arc::new(app.job_states.lock(&key).unwrap());
    let place = crate::job_end::JobPlace::store(name);
    let (hook, _slot) = crate::job_end::at_end(app, &lock, place, crate::job_end::RunDetails::Gc(None));
    app.forget_job(&key).unwrap();
    let kind = farhold_tasks::TaskKind::new("garbage_collection", Some("tank".to_owned()));
    let work = |_context| async { Ok::<(), farhold_tasks::TaskFailure>(()) };
    let upid = app.tasks.spawn_with_end(kind, &Authid::root(), hook, work).await.unwrap();
    server.ended(upid.as_str()).await;
    assert!(app.job_runs.summary(&key).unwrap().is_none());
}
