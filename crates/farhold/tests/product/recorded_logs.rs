//! Whole runs in the situations of recorded task logs, compared with them line by line.
//!
//! Amounts, rates and counted snapshots are masked; lines that differ on purpose are given with what we say instead.
//! Source: `tests/golden/task-logs/README.md`, `docs/spec/sync.md` 12 and 14.

use std::fs;

use farhold_format::blob::{BlobEncoder, Compression};
use farhold_jobs::ScheduledStart;
use farhold_jobs::permission::may_change;
use farhold_jobs::sync_run::start_job;
use farhold_tasks::job_state::{JobKey, ScheduleBasis, WaitingEvent};
use farhold_types::{Authid, Role};

use crate::content::{Content, add_snapshot, unpack_golden};
use crate::recordings::{assert_recorded, by_namespace, masked, recorded};
use crate::site::Site;

const PASSWORD: &str = "the right password";

/// The account on the source.
const ACCOUNT: &str = "sync@pbs";

/// A source that listens, with an account that may read `store`.
async fn source(store: &str, fill: impl FnOnce(&Site)) -> Site {
    let mut site = Site::new();
    site.add_store(store);
    fill(&site);
    site.add_user(ACCOUNT, PASSWORD);
    site.grant(&format!("/datastore/{store}"), ACCOUNT, Role::DatastoreReader);
    site.listen().await;
    site
}

/// A remote as the target knows it.
struct Remote<'a> {
    name: &'a str,
    port: &'a str,
    password: &'a str,
    fingerprint: &'a str,
}

async fn create_remote(site: &Site, remote: &Remote<'_>) {
    let create = ["remote", "create", remote.name, "--host", "127.0.0.1", "--port", remote.port, "--auth-id", ACCOUNT];
    let secret = ["--password", remote.password, "--fingerprint", remote.fingerprint];
    site.run(&[&create[..], &secret[..]].concat()).await.ok();
}

/// Returns a target with one store and the source as a remote.
async fn target(first: &Site, remote: &str, store: &str) -> Site {
    let site = Site::new();
    site.add_store(store);
    let (port, fingerprint) = (first.port(), first.fingerprint());
    let remote = Remote { name: remote, port: &port, password: PASSWORD, fingerprint: &fingerprint };
    create_remote(&site, &remote).await;
    site
}

async fn create_job(site: &Site, id: &str, remote: &str, remote_store: &str, store: &str, more: &[&str]) {
    let create = ["sync-job", "create", id, "--remote", remote, "--remote-store", remote_store, "--store", store];
    site.run(&[&create[..], more].concat()).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_36_an_empty_store_gives_the_recorded_log() {
    let first = source("local", |_| ()).await;
    let site = target(&first, "pbs2", "local").await;
    create_job(&site, "pbs2-local", "pbs2", "local", "local", &[]).await;
    let log = site.run(&["sync-job", "run", "pbs2-local"]).await.ok();
    assert_recorded(&log, "pull-empty-store", &[]);
}

/// The source of `pull-first-run`: odd names, an empty group, an unfinished snapshot, an index, a client log.
fn fill_odd(site: &Site) {
    let store = site.store("src");
    let conf = || ("qemu-server.conf.blob", Content::Blob(b"memory: 512\n"));
    for id in ["ct/1", "host/010", "host/10", "host/A", "host/z", "vm/9", "vm/10", "vm/18446744073709551616", "vm/abc"]
    {
        add_snapshot(&store, "", &format!("{id}/2026-01-01T10:00:00Z"), &[conf()]);
    }
    drop(store.create_group(&"".parse().unwrap(), &"host/empty".parse().unwrap(), &Authid::root()).unwrap());
    add_snapshot(&store, "", "vm/9/2026-01-02T10:00:00Z", &[conf()]);
    let image = ("drive-scsi0.img.fidx", Content::Chunks(&[1, 2], 4 << 20));
    add_snapshot(&store, "", "vm/10/2026-01-02T10:00:00Z", &[conf(), image]);
    let folder = site.store_path("src");
    let log = BlobEncoder::new().encode(b"a log", Compression::On, None).unwrap();
    fs::write(folder.join("vm/10/2026-01-02T10:00:00Z/client.log.blob"), log).unwrap();
    fs::create_dir(folder.join("vm/9/2026-01-03T10:00:00Z")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_run_and_one_with_nothing_new_give_the_recorded_logs() {
    let first = source("src", fill_odd).await;
    let site = target(&first, "rsrc", "dst").await;
    create_job(&site, "jbase", "rsrc", "src", "dst", &[]).await;
    let run = ["sync-job", "run", "jbase"];
    assert_recorded(&site.run(&run).await.ok(), "pull-first-run", &[]);
    assert_recorded(&site.run(&run).await.ok(), "pull-nothing-new", &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_one_shot_pull_and_a_scheduled_job_give_the_recorded_logs() {
    let add = |store: &'static str| {
        move |site: &Site| {
            let conf = ("qemu-server.conf.blob", Content::Blob(b"memory: 512\n"));
            add_snapshot(&site.store(store), "", "vm/1/2026-01-01T10:00:00Z", &[conf]);
        }
    };
    let first = source("src", add("src")).await;
    let site = target(&first, "rsrc", "dst").await;
    assert_recorded(&site.run(&["pull", "rsrc", "src", "dst"]).await.ok(), "one-shot-pull", &[]);

    let first = source("local", add("local")).await;
    let site = target(&first, "rslow", "local").await;
    create_job(&site, "sched1", "rslow", "local", "local", &["--schedule", "*:0/1"]).await;
    site.run(&["sync-job", "run", "sched1"]).await.ok();
    // What the scheduler will do.
    let job = site.app.settings.sync_jobs().load().unwrap().entries.get("sched1").unwrap().unwrap().clone();
    let permit = may_change(&site.app.acl().unwrap(), &Authid::root(), &job).unwrap();
    let states = &site.app.job_states;
    let basis = ScheduleBasis::of(states.find(&JobKey::sync(&job.id).unwrap()).unwrap().as_ref());
    let event = WaitingEvent { time: site.app.clock.now(), basis };
    let start = job.schedule.clone().map(|schedule| ScheduledStart { schedule, event });
    let upid = start_job(&site.app, &permit, job, start).await.unwrap();
    site.app.tasks.wait(&upid).await.unwrap();
    let lines = fs::read_to_string(site.app.tasks.log_path(&upid)).unwrap();
    let log: Vec<&str> = lines.lines().map(|line| line.split_once(": ").unwrap().1).collect();
    assert_recorded(&log.join("\n"), "pull-scheduled", &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recorded_store_gives_the_recorded_logs_twice() {
    let mut first = Site::new();
    let path = first.store_path("golden");
    unpack_golden(&path);
    first.configure_store("golden", &path);
    first.add_user(ACCOUNT, PASSWORD);
    first.grant("/datastore/golden", ACCOUNT, Role::DatastoreReader);
    first.listen().await;
    let site = target(&first, "alpha", "pulled").await;
    create_job(&site, "golden-pull", "alpha", "golden", "pulled", &[]).await;
    for name in ["pull", "pull-again"] {
        let log = site.run(&["sync-job", "run", "golden-pull"]).await.ok();
        assert_eq!(by_namespace(log.lines().map(masked).collect()), by_namespace(recorded(name)), "{name}");
    }
}

/// Runs that fail as a whole: the opening lines, then one error that says more than the reference's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_run_errors_give_the_recorded_logs_and_name_their_cause() {
    let first = source("src", |_| ()).await;
    let site = target(&first, "rsrc", "dst").await;
    let (port, right) = (first.port(), first.fingerprint());
    let wrong = right.chars().rev().collect::<String>();
    // A port that nobody listens on: it was free a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let remote = |port, password, fingerprint| Remote { name: "rbad", port, password, fingerprint };
    let lines_of_the_fingerprint = [
        ("WARNING: certificate fingerprint", None),
        ("expected:", None),
        ("certificate validation failed", None),
        ("TASK ERROR: ", Some("TASK ERROR: querying namespaces failed: ")),
    ];
    let text = Some("TASK ERROR: querying namespaces failed: ");
    let refused_login = "refused the login of 'sync@pbs'";
    for (name, remote, instead, words) in [
        ("pull-login-failed", remote(&port, "wrong", &right), &[("TASK ERROR: ", text)][..], vec![refused_login]),
        (
            "pull-fingerprint-mismatch",
            remote(&port, PASSWORD, &wrong),
            &lines_of_the_fingerprint,
            vec![right.as_str(), wrong.as_str()],
        ),
        (
            "pull-connection-refused",
            remote(&closed, PASSWORD, &right),
            &[("TASK ERROR: ", text)],
            vec!["cannot connect to 127.0.0.1"],
        ),
    ] {
        create_remote(&site, &remote).await;
        create_job(&site, "jbad", "rbad", "src", "dst", &[]).await;
        let ran = site.run(&["sync-job", "run", "jbad"]).await;
        // We ask again for some seconds before we give up (W29).
        let lines = ran.out.lines().filter(|line| !line.starts_with("connection to the source failed, attempt"));
        let log = lines.collect::<Vec<_>>().join("\n");
        assert_recorded(&log, name, instead);
        for word in words {
            assert!(log.contains(word), "{name}: '{word}' is missing in\n{log}");
        }
        ran.failed();
        site.run(&["sync-job", "remove", "jbad"]).await.ok();
        site.run(&["remote", "remove", "rbad"]).await.ok();
    }
    for (name, remote_store, more, instead, word) in [
        ("pull-unknown-remote-store", "nope", &[][..], &[("TASK ERROR: ", text)][..], "nope"),
        (
            "pull-unknown-remote-namespace",
            "src",
            &["--remote-ns", "nosuch"][..],
            &[
                ("Encountered errors", Some("Encountered errors while syncing namespace nosuch - ")),
                ("TASK ERROR: ", Some("TASK ERROR: sync failed with some errors. (namespace 'nosuch': ")),
            ][..],
            "nosuch",
        ),
    ] {
        create_job(&site, "junk", "rsrc", remote_store, "dst", more).await;
        let ran = site.run(&["sync-job", "run", "junk"]).await;
        let log = ran.out.clone();
        assert_recorded(&log, name, instead);
        assert!(log.contains(word), "{name}: '{word}' is missing in\n{log}");
        ran.failed();
        site.run(&["sync-job", "remove", "junk"]).await.ok();
    }
}
