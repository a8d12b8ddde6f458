//! From the end of a job's run to what waits because of it: all kinds of jobs, both modes, pings and staleness.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use farhold_notify::{Event, Severity};
use farhold_settings::{NotificationMode, SettingsError, UserEntry};
use farhold_tasks::job_state::JobKey;
use farhold_types::{Authid, DatastoreName, JobId, JobKind, JobOptions, PruneJob, SyncJob, Userid, VerifyJob};

use super::delivery::Delivery;
use super::*;
use crate::gc::{GcPermit, start_gc};
use crate::permission::may_change_stored;
use crate::prune::run_prune_job;
use crate::store_jobs::JobPermit;
use crate::sync_run::start_job;
use crate::testing::TestServer;
use crate::verify_job::run_verify_job;

/// A server with the store `tank` and jobs `s-1`, `p-1` and `v-1`, which have nothing to do.
struct Bench(TestServer);

impl Bench {
    fn new() -> Self {
        let server = TestServer::new();
        server.add_datastore_without_chunks("tank");
        server.add_datastore_without_chunks("other");
        let (tank, other): (DatastoreName, DatastoreName) = ("tank".parse().unwrap(), "other".parse().unwrap());
        let settings = &server.app.settings;
        let sync = SyncJob::new(id("s-1"), tank.clone(), other);
        settings.sync_jobs().edit::<_, SettingsError>(None, |jobs| jobs.insert(sync)).unwrap();
        let mut prune = PruneJob::new(id("p-1"), tank.clone(), "daily".to_owned());
        prune.keep.last = Some(1);
        settings.prune_jobs().edit::<_, SettingsError>(None, |jobs| jobs.insert(prune)).unwrap();
        let verify = VerifyJob::new(id("v-1"), tank);
        settings.verify_jobs().edit::<_, SettingsError>(None, |jobs| jobs.insert(verify)).unwrap();
        Self(server)
    }

    /// Runs a job to its end and returns its log without time stamps.
    async fn run(&self, kind: JobKind) -> Vec<String> {
        let (app, root) = (&self.0.app, Authid::root());
        let acl = app.acl().unwrap();
        let upid = match kind {
            JobKind::Gc => {
                let permit = GcPermit::of(&acl, &root, &"tank".parse().unwrap()).unwrap();
                start_gc(app, &permit, None).await.unwrap()
            }
            JobKind::Sync => {
                let job = app.settings.sync_jobs().load().unwrap().entries.get("s-1").unwrap().unwrap().clone();
                start_job(app, &may_change_stored(&acl, &root, &job).unwrap(), job, None).await.unwrap()
            }
            JobKind::Prune => run_prune_job(app, JobPermit::of(app, &root, &id("p-1")).unwrap(), None).await.unwrap(),
            JobKind::Verify => run_verify_job(app, JobPermit::of(app, &root, &id("v-1")).unwrap(), None).await.unwrap(),
        };
        let _ = self.0.ended(&upid.to_string()).await;
        let lines = app.tasks.log_lines(&upid, 0, 0).unwrap().lines;
        lines
            .into_iter()
            .map(|line| line.t.split_once(": ").map_or(line.t.clone(), |(_, text)| text.to_owned()))
            .collect()
    }

    /// Makes the source of the sync job unusable, or usable again.
    fn break_sync(&self, is_broken: bool) {
        let edit = |stores: &mut farhold_settings::Entries<farhold_settings::Datastores>| {
            let mut config = stores.require("other")?.clone();
            config.maintenance_mode = is_broken.then(|| "offline".to_owned());
            stores.update(config)
        };
        self.0.app.settings.datastores().edit::<_, SettingsError>(None, edit).unwrap();
    }

    fn set_legacy(&self, notify: &str) {
        let edit = |stores: &mut farhold_settings::Entries<farhold_settings::Datastores>| {
            let mut config = stores.require("tank")?.clone();
            config.notification_mode = Some(NotificationMode::LegacySendmail);
            config.notify = Some(notify.to_owned());
            stores.update(config)
        };
        self.0.app.settings.datastores().edit::<_, SettingsError>(None, edit).unwrap();
    }

    fn set_options(&self, kind: JobKind, name: &str, change: impl FnOnce(&mut JobOptions)) {
        let key = JobKey::new(kind.job_type(), name).unwrap();
        let edit = |options: &mut JobOptions| {
            change(options);
            Ok::<_, crate::job_options::JobOptionsError>(())
        };
        self.0.app.job_options.edit(&key, edit).unwrap();
    }

    /// Takes the events that wait.
    fn events(&self) -> Vec<Event> {
        self.taken("lib/notifications").iter().map(|bytes| Event::from_json(bytes).unwrap()).collect()
    }

    /// Takes the deliveries that wait.
    fn deliveries(&self) -> Vec<Delivery> {
        self.taken("lib/farhold/deliveries").iter().map(|bytes| Delivery::from_json(bytes).unwrap()).collect()
    }

    fn taken(&self, folder: &str) -> Vec<Vec<u8>> {
        let files = std::fs::read_dir(self.0.folder().join(folder)).into_iter().flatten();
        let take = |path: PathBuf| {
            let bytes = std::fs::read(&path).unwrap();
            std::fs::remove_file(path).unwrap();
            bytes
        };
        files.map(|file| take(file.unwrap().path())).collect()
    }

    /// Forgets everything that is not on disk.
    fn restart(&mut self) {
        let lib = self.0.folder().join("lib");
        Arc::get_mut(&mut self.0.app).expect("nothing runs").notifications = Notifications::new(&lib);
    }

    /// Looks for stale jobs and returns the templates of what is told.
    fn look(&self) -> Vec<String> {
        check_stale_jobs(&self.0.app);
        self.events().into_iter().map(|event| event.template).collect()
    }
}

fn id(text: &str) -> JobId {
    text.parse().unwrap()
}

#[tokio::test]
async fn each_kind_of_job_queues_one_event_and_says_so_last() {
    let bench = Bench::new();
    for (kind, job) in [
        (JobKind::Gc, None),
        (JobKind::Sync, Some("s-1")),
        (JobKind::Prune, Some("p-1")),
        (JobKind::Verify, Some("v-1")),
    ] {
        let log = bench.run(kind).await;
        let events = bench.events();
        let [event] = &events[..] else { panic!("{kind}: {events:?}") };
        let end = [format!("queued notification (id={})", event.id), "TASK OK".to_owned()];
        assert_eq!(log[log.len() - 2..], end, "{kind}");
        assert_eq!((event.template.as_str(), event.severity), (&*format!("{kind}-ok"), Severity::Info));
        assert_eq!(event.fields.get("job-id").map(String::as_str), job);
        assert_eq!((event.fields["type"].as_str(), event.fields["datastore"].as_str()), (kind.as_str(), "tank"));
        assert_eq!(bench.deliveries(), []);
    }
}

#[tokio::test]
async fn an_event_of_a_failed_run_has_its_error_and_one_of_a_collection_its_result() {
    let bench = Bench::new();
    bench.run(JobKind::Gc).await;
    assert_eq!(bench.events()[0].data["disk-chunks"], 1, "that of the check of access times");
    bench.break_sync(true);
    let log = bench.run(JobKind::Sync).await;
    let event = &bench.events()[0];
    let error = log.last().unwrap().strip_prefix("TASK ERROR: ").unwrap();
    assert_eq!((event.template.as_str(), event.data["error"].as_str()), ("sync-err", Some(error)));
    assert_eq!(
        (&event.data["remote"], event.data["remote-datastore"].as_str()),
        (&serde_json::Value::Null, Some("other"))
    );
}

#[tokio::test]
async fn what_cannot_be_queued_changes_no_result() {
    let bench = Bench::new();
    std::fs::write(bench.0.folder().join("lib/notifications"), "in the way").unwrap();
    let log = bench.run(JobKind::Prune).await;
    assert_eq!(log.last().unwrap(), "TASK OK");
    let told = &log[log.len() - 2];
    assert!(
        told.starts_with("failed to queue notification: ") && told.ends_with(" as long as the program runs"),
        "{told}"
    );
    assert!(bench.0.app.notifications.write_kept().is_some(), "it is in the way still");
    std::fs::remove_file(bench.0.folder().join("lib/notifications")).unwrap();
    assert_eq!(bench.0.app.notifications.write_kept(), None);
    assert_eq!(bench.events()[0].template, "prune-ok");
}

#[tokio::test]
async fn in_legacy_mode_level_and_address_decide() {
    let bench = Bench::new();
    bench.set_legacy("sync=error,gc=never");
    bench.run(JobKind::Verify).await;
    assert_eq!(bench.deliveries(), [], "without an address nobody is told");
    let address = |users: &mut farhold_settings::Entries<farhold_settings::Users>| {
        let mut user = users.user(&Userid::root()).expect("always there").clone();
        user.email = Some("root@example.org".to_owned());
        users.update(UserEntry::User(user))
    };
    bench.0.app.settings.users().edit::<_, SettingsError>(None, address).unwrap();
    for (kind, is_told) in
        [(JobKind::Sync, false), (JobKind::Gc, false), (JobKind::Prune, false), (JobKind::Verify, true)]
    {
        let log = bench.run(kind).await;
        assert_eq!(log[log.len() - 2].starts_with("queued notification"), is_told, "{kind}: {log:?}");
        assert_eq!((bench.deliveries().len(), bench.events().len()), (usize::from(is_told), 0), "{kind}");
    }
    bench.break_sync(true);
    bench.run(JobKind::Sync).await;
    let delivery = bench.deliveries().pop().unwrap();
    assert_eq!(delivery.recipient, Recipient::MailOfUser(Userid::root()));
    assert_eq!(delivery.event.template, "sync-err");
}

#[tokio::test]
async fn a_run_pings_as_it_ended_and_only_the_last_run_counts() {
    let bench = Bench::new();
    bench.run(JobKind::Sync).await;
    assert_eq!(bench.deliveries(), []);
    bench.set_options(JobKind::Sync, "s-1", |options| {
        options.ping_success = Some("https://example.org/hunter2".parse().unwrap());
        options.ping_failure = Some("https://example.org/hunter2/fail".parse().unwrap());
    });
    for (is_broken, outcome) in [(false, PingOutcome::Success), (true, PingOutcome::Failure)] {
        if is_broken {
            bench.break_sync(true);
        }
        bench.run(JobKind::Sync).await;
        let delivery = bench.deliveries().pop().unwrap();
        assert_eq!(delivery.recipient, Recipient::Ping { kind: JobKind::Sync, name: "s-1".to_owned(), outcome });
        assert!(!String::from_utf8(delivery.to_json()).unwrap().contains("hunter2"), "the address is no part of files");
    }
    // A failure that was never told is not true any more once the job has succeeded.
    bench.run(JobKind::Sync).await;
    bench.break_sync(false);
    bench.set_options(JobKind::Sync, "s-1", |options| options.ping_success = None);
    bench.run(JobKind::Sync).await;
    assert_eq!(bench.deliveries(), []);
}

#[tokio::test]
async fn of_two_pings_the_later_one_stays_although_the_clock_was_set_back() {
    let bench = Bench::new();
    bench.set_options(JobKind::Sync, "s-1", |options| {
        options.ping_success = Some("https://example.org/hunter2".parse().unwrap());
        options.ping_failure = Some("https://example.org/hunter2/fail".parse().unwrap());
    });
    bench.run(JobKind::Sync).await;
    bench.break_sync(true);
    bench.0.clock.advance(-100_000);
    bench.run(JobKind::Sync).await;
    let [delivery] = &bench.deliveries()[..] else { panic!() };
    assert!(matches!(delivery.recipient, Recipient::Ping { outcome: PingOutcome::Failure, .. }));
}

#[tokio::test]
async fn a_job_without_success_for_too_long_is_told_once_whatever_happens_meanwhile() {
    let mut bench = Bench::new();
    let day = 86_400;
    bench.set_options(JobKind::Sync, "s-1", |options| options.stale_after = Some(Duration::from_secs(93_600)));
    assert_eq!(bench.look(), [""; 0]);
    bench.0.clock.advance(day);
    assert_eq!(bench.look(), [""; 0]);
    bench.0.clock.advance(3 * 3600);
    check_stale_jobs(&bench.0.app);
    let event = bench.events().pop().unwrap();
    assert_eq!((event.template.as_str(), event.data["stale-after"].as_str()), ("job-stale", Some("1d 2h")));
    assert!(!event.data.contains_key("last-success"));
    // Neither further looks nor a restart nor a failed run raise a second alarm.
    bench.restart();
    assert_eq!(bench.look(), [""; 0]);
    bench.break_sync(true);
    bench.run(JobKind::Sync).await;
    bench.events();
    bench.0.clock.advance(10 * day);
    assert_eq!(bench.look(), [""; 0]);
    // A success ends it, with one all-clear; then the next lapse is told, with what is known of it.
    bench.break_sync(false);
    bench.run(JobKind::Sync).await;
    bench.events();
    assert_eq!(bench.look(), ["job-healthy"]);
    assert_eq!(bench.look(), [""; 0]);
    bench.0.clock.advance(day);
    bench.break_sync(true);
    bench.run(JobKind::Sync).await;
    bench.events();
    bench.0.clock.advance(day);
    check_stale_jobs(&bench.0.app);
    let event = bench.events().pop().unwrap();
    assert_eq!(event.template, "job-stale");
    assert_eq!(event.data["last-success"], "2026-12-03T04:30:00Z", "{:?}", event.data);
    assert!(event.data.contains_key("last-error"));
    // A limit that is taken away is forgotten.
    bench.set_options(JobKind::Sync, "s-1", |options| options.stale_after = None);
    assert_eq!(bench.look(), [""; 0]);
    let memory = std::fs::read(bench.0.folder().join("lib/farhold/stale-alarms.json")).unwrap();
    assert_eq!(memory, b"{}");
}

#[tokio::test(start_paused = true)]
async fn what_ran_soon_after_the_start_of_the_server_is_not_told_as_stale() {
    let bench = Bench::new();
    bench.set_options(JobKind::Sync, "s-1", |options| options.stale_after = Some(Duration::from_secs(3600)));
    assert_eq!(bench.look(), [""; 0]);
    bench.0.clock.advance(100_000);
    let shutdown = tokio_util::sync::CancellationToken::new();
    let watching = tokio::spawn(watch_stale_jobs(Arc::clone(&bench.0.app), shutdown.clone()));
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert_eq!(bench.events(), []);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(bench.events()[0].template, "job-stale");
    shutdown.cancel();
    watching.await.unwrap();
}

#[tokio::test]
async fn an_alarm_that_cannot_be_queued_is_raised_later_and_one_job_harms_no_other() {
    let bench = Bench::new();
    let hour = Duration::from_secs(3600);
    for (kind, name) in [(JobKind::Gc, "tank"), (JobKind::Sync, "gone"), (JobKind::Verify, "v-1")] {
        bench.set_options(kind, name, |options| options.stale_after = Some(hour));
    }
    bench.look();
    bench.0.clock.advance(7200);
    std::fs::create_dir_all(bench.0.folder().join("lib")).unwrap();
    let spool = bench.0.folder().join("lib/notifications");
    std::fs::write(&spool, "in the way").unwrap();
    check_stale_jobs(&bench.0.app);
    std::fs::remove_file(&spool).unwrap();
    check_stale_jobs(&bench.0.app);
    let mut told: Vec<String> =
        bench.events().into_iter().map(|event| event.data["job-id"].as_str().unwrap().to_owned()).collect();
    told.sort();
    assert_eq!(told, ["tank", "v-1"]);
    assert_eq!(bench.look(), [""; 0]);
}
