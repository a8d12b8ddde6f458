//! What a whole run does and tells: nothing to do, stopped, killed, limited, or without a source.

use std::time::{Duration, Instant};

use farhold_testkit::relay::Faults;
use serde_json::Value;

use crate::content::{Content, add_snapshot, assert_same, golden};
use crate::pair::{Account, Pair, nothing, until};
use crate::process::{Process, program};
use crate::site::Site;

const FIRST: &str = "2026-01-01T10:00:00Z";

/// The lines of a recorded run as they would be here.
fn recorded(name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(golden(&format!("task-logs/{name}.log"))).unwrap();
    let lines = text.lines().map(|line| line.split_once(": ").unwrap().1);
    let ours = |line: &str| {
        let names = [
            ("rwan:src:dst::jkil", "pbs2:tank:local::pull"),
            ("rbad:src:dst::jbad", "pbs2:tank:local::pull"),
            ("'rwan/src'", "'pbs2/tank'"),
            ("'rbad/src'", "'pbs2/tank'"),
            ("'src'", "'tank'"),
            ("'dst'", "'local'"),
        ];
        names.iter().fold(line.to_owned(), |line, (theirs, ours)| line.replace(theirs, ours))
    };
    lines.map(|line| shape(&ours(line))).collect()
}

/// A line without what differs from run to run.
fn shape(line: &str) -> String {
    for (mark, keep) in
        [(": downloaded ", ": downloaded"), ("Summary: ", "Summary"), (", current progress", ""), (" (id=", "")]
    {
        if let Some((before, _)) = line.split_once(mark) {
            return format!("{before}{keep}");
        }
    }
    line.to_owned()
}

/// The lines of the logs of all jobs that ran, oldest first.
fn job_logs(site: &Site) -> Vec<Vec<String>> {
    let mut logs: Vec<_> = crate::site::files(&site.root().join("log/tasks"), &[]).into_iter().collect();
    logs.retain(|(path, _)| path.to_str().unwrap().contains(":syncjob:"));
    let folder = site.root().join("log/tasks");
    logs.sort_by_key(|(path, _)| std::fs::metadata(folder.join(path)).unwrap().modified().unwrap());
    let lines = |text: Vec<u8>| {
        let text = String::from_utf8(text).unwrap();
        text.lines().map(|line| shape(line.split_once(": ").unwrap().1)).collect()
    };
    logs.into_iter().map(|(_, text)| lines(text)).collect()
}

/// Two disks of one machine and the configuration of another.
fn two_machines(store: &farhold_datastore::Datastore) {
    let conf = || ("qemu-server.conf.blob", Content::Blob(b"cores: 1"));
    let seeds: Vec<u64> = (100..164).collect();
    let disks = [
        ("drive-scsi0.img.fidx", Content::Chunks(&[1, 2, 3], 65_536)),
        ("drive-scsi1.img.fidx", Content::Chunks(&seeds, 262_144)),
    ];
    let [first, second] = disks;
    add_snapshot(store, "", &format!("vm/1/{FIRST}"), &[conf(), first, second]);
    add_snapshot(store, "", &format!("vm/2/{FIRST}"), &[conf()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_36_an_empty_source_store_gives_exactly_these_lines() {
    let pair = Pair::new(Account::Token, nothing).await;
    let log = pair.pull().await.ok();
    let expected = [
        "Starting datastore sync job 'pbs2:tank:local::pull'",
        "sync datastore 'local' from 'pbs2/tank'",
        "----",
        "Syncing datastore 'tank', root namespace into datastore 'local', root namespace",
        "Found 0 groups to sync (out of 0 total)",
        "Finished syncing root namespace, current progress: 0 groups, 0 snapshots",
        "Summary: sync job found no new data to pull",
        "sync job 'pbs2:tank:local::pull' end",
        "queued notification",
        "TASK OK",
    ];
    assert_eq!(log.lines().map(|line| line.split(" (id=").next().unwrap()).collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_51_a_run_that_is_stopped_says_so_frees_its_locks_and_the_next_one_works() {
    let mut pair = Pair::new(Account::Token, two_machines).await;
    pair.target.listen().await;
    let started = pair.target.run(&["sync-job", "run", "pull", "--output-format", "json"]).await.ok();
    let upid: String = serde_json::from_str(&started).unwrap();
    // In the middle of the second disk the line stalls: the run would wait for minutes.
    pair.carried(4 << 20).await;
    pair.relay.set_faults(Faults { stalls_down: true, ..Faults::NONE });
    pair.target.run(&["task", "stop", &upid]).await.ok();
    let status = async || {
        let tasks = pair.target.run(&["task", "list", "--all", "true", "--output-format", "json"]).await.ok();
        let tasks: Vec<Value> = serde_json::from_str(&tasks).unwrap();
        let task = tasks.into_iter().find(|task| task["upid"] == *upid).unwrap();
        (!task["endtime"].is_null()).then(|| task["status"].as_str().unwrap().to_owned())
    };
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = status().await {
            break status;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "the run goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(status, "sync aborted");
    assert_eq!(job_logs(&pair.target), [recorded("pull-aborted")]);
    let jobs = pair.target.root().join("lib/jobstates/syncjob-pull.json");
    let state: Value = serde_json::from_slice(&std::fs::read(jobs).unwrap()).unwrap();
    assert!(state.to_string().contains("aborted"), "the job's state: {state}");
    pair.relay.set_faults(Faults::NONE);
    let log = pair.pull().await.ok();
    assert!(log.contains("TASK OK"), "{log}");
    assert_same(&pair.source_store(), &pair.target_store());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_50_a_killed_run_and_the_one_after_it_have_the_recorded_logs() {
    let pair = Pair::new(Account::Token, two_machines).await;
    let job = Process::spawn(program(&pair.target.root(), &["sync-job", "run", "pull"]));
    let first_disk = pair.target_store().join(format!("vm/1/{FIRST}/drive-scsi0.img.fidx"));
    until("the first disk is complete", || first_disk.exists()).await;
    pair.carried(4 << 20).await;
    job.kill();
    pair.pull().await.ok();
    assert_same(&pair.source_store(), &pair.target_store());
    let logs = job_logs(&pair.target);
    assert_eq!(logs[0], recorded("pull-killed-server"));
    let mut after = recorded("pull-after-kill");
    after.retain(|line| !line.contains("got backup log file"));
    assert_eq!(logs[1], after);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_cannot_be_reached_or_shows_another_certificate_fails_the_run_as_recorded() {
    for (name, words) in [
        ("pull-connection-refused", &["cannot connect to 127.0.0.1"][..]),
        ("pull-fingerprint-mismatch", &["certificate of 127.0.0.1", "expected 00:00:00"]),
    ] {
        let pair = Pair::new(Account::Token, nothing).await;
        let target = if name == "pull-fingerprint-mismatch" {
            let wrong = ["00"; 32].join(":");
            pair.target.run(&["remote", "update", "pbs2", "--fingerprint", &wrong]).await.ok();
            pair.target
        } else {
            pair.relay.stop().await;
            pair.target
        };
        let text = target.run(&["sync-job", "run", "pull"]).await.failed();
        let ours = job_logs(&target).remove(0);
        // We say once, in the error, what the recorded run says in warnings before it.
        let theirs = recorded(name);
        assert_eq!(ours[..2], theirs[..2], "{name}");
        let error = |lines: &[String]| lines.last().unwrap().split(" - ").next().unwrap().to_lowercase();
        assert!(error(&ours).starts_with(&error(&theirs)), "{name}: {ours:#?}");
        for word in words {
            assert!(text.contains(word), "{name}: '{word}' is missing in {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_73_limits_of_a_pull_job_are_kept_and_gone_once_they_are_removed() {
    let fill = |store: &farhold_datastore::Datastore| {
        let seeds: Vec<u64> = (1..33).collect();
        add_snapshot(store, "", &format!("vm/1/{FIRST}"), &[("a.img.fidx", Content::Chunks(&seeds, 65_536))]);
    };
    // Times are only compared with what a limit makes impossible, however fast or slow the machine is.
    for (option, rate, at_least) in [("--rate-in", "1MiB", 1.8), ("--rate-out", "2KiB", 1.0)] {
        let pair = Pair::new(Account::Token, fill).await;
        pair.target.run(&["sync-job", "update", "pull", option, rate]).await.ok();
        let begin = Instant::now();
        pair.pull().await.ok();
        let took = begin.elapsed().as_secs_f64();
        assert!(at_least <= took, "{option}: {took} s");
        assert_same(&pair.source_store(), &pair.target_store());
    }
    let pair = Pair::new(Account::Token, fill).await;
    // With this limit the run would take half an hour.
    pair.target.run(&["sync-job", "update", "pull", "--rate-in", "1KiB"]).await.ok();
    pair.target.run(&["sync-job", "update", "pull", "--delete", "rate-in"]).await.ok();
    tokio::time::timeout(Duration::from_secs(120), pair.pull()).await.expect("the limit is gone").ok();
    assert_same(&pair.source_store(), &pair.target_store());
}
