//! Prunes as tasks against a whole server: what is removed, what the logs say, who may do what.

use farhold_datastore::Datastore;
use farhold_rules::acl::AclPath;
use farhold_settings::SettingsError;
use farhold_tasks::job_state::JobKey;
use farhold_types::{Authid, Epoch, Privileges, Role};

use super::*;
use crate::progress::ProgressBoard;
use crate::testing::TestServer;

const ROOT: &str = "root@pam";

struct Bench {
    server: TestServer,
    store: Datastore,
}

impl Bench {
    /// A server whose store has vm/100 of `a@pbs` in the root and host/web of `b@pbs` in the namespace `x`, three finished
    /// snapshots each.
    fn new() -> Self {
        let server = TestServer::new();
        let store = server.add_datastore_without_chunks("tank");
        let bench = Self { server, store };
        bench.store.create_namespace(&ns("x")).unwrap();
        for (at, group, owner) in [("", "vm/100", "a@pbs"), ("x", "host/web", "b@pbs")] {
            for day in 1..=3 {
                bench.add(at, &format!("{group}/2026-01-0{day}T10:00:00Z"), owner, true);
            }
        }
        bench
    }

    /// Adds a snapshot that is nothing but a directory, with something for a manifest if it is finished.
    fn add(&self, at: &str, snapshot: &str, owner: &str, is_finished: bool) {
        let snapshot: farhold_types::Snapshot = snapshot.parse().unwrap();
        drop(self.store.create_group(&ns(at), &snapshot.group, &owner.parse().unwrap()).unwrap());
        let group = self.store.local_path(&ns(at), &snapshot.group, Some(snapshot.time)).unwrap();
        std::fs::create_dir(&group).unwrap();
        if is_finished {
            std::fs::write(group.join("index.json.blob"), "x").unwrap();
        }
    }

    fn days(&self, at: &str, group: &str) -> Vec<String> {
        let snapshots = self.store.snapshots(&ns(at), &group.parse().unwrap()).unwrap_or_default();
        snapshots.iter().map(|info| info.time.to_string()[8..10].to_owned()).collect()
    }

    fn log(&self, upid: &Upid) -> Vec<String> {
        let page = self.server.app.tasks.log_lines(upid, 0, 0).unwrap();
        page.lines.into_iter().map(|line| line.t.split_once(": ").unwrap().1.to_owned()).collect()
    }

    async fn prune_store(&self, caller: &str, prune: StorePrune) -> (TaskStatus, Vec<String>) {
        let granted = self.server.app.acl().unwrap().require_any(
            &caller.parse().unwrap(),
            &AclPath::datastore(&prune.store, &prune.ns),
            Privileges::DATASTORE_MODIFY | Privileges::DATASTORE_PRUNE,
        );
        let upid = super::prune_store(&self.server.app, &granted.unwrap(), prune).await.unwrap();
        (self.server.ended(&upid.to_string()).await, self.log(&upid))
    }

    fn add_job(&self, change: impl FnOnce(&mut PruneJob)) {
        let mut job = PruneJob::new("p-1".parse().unwrap(), "tank".parse().unwrap(), "daily".to_owned());
        job.keep.last = Some(1);
        change(&mut job);
        self.server.app.settings.prune_jobs().edit::<_, SettingsError>(None, |jobs| jobs.insert(job)).unwrap();
    }

    fn permit(&self, caller: &str) -> Result<JobPermit<PruneJob>, StoreJobError> {
        JobPermit::of(&self.server.app, &caller.parse().unwrap(), &"p-1".parse().unwrap())
    }
}

fn ns(text: &str) -> Namespace {
    text.parse().unwrap()
}

fn whole(keep: KeepOptions, mode: PruneMode) -> StorePrune {
    StorePrune { store: "tank".parse().unwrap(), ns: Namespace::root(), max_depth: None, keep, mode }
}

fn last(count: u64) -> KeepOptions {
    KeepOptions { last: Some(count), ..KeepOptions::default() }
}

#[tokio::test]
async fn a_store_is_pruned_group_by_group_and_the_log_is_as_recorded() {
    let bench = Bench::new();
    let (status, log) = bench.prune_store(ROOT, whole(last(1), PruneMode::Remove)).await;
    assert_eq!(status, TaskStatus::Ok);
    let removing = |path: &str| {
        let store = bench.server.store_path("tank");
        format!("removing backup snapshot \"{}\"", store.join(path).display())
    };
    assert_eq!(
        log,
        [
            "Starting datastore prune on datastore 'tank', root namespace, down to full depth",
            "retention options: --keep-last 1",
            "Pruning group :\"vm/100\"",
            "remove vm/100/2026-01-01T10:00:00Z",
            &removing("vm/100/2026-01-01T10:00:00Z"),
            "remove vm/100/2026-01-02T10:00:00Z",
            &removing("vm/100/2026-01-02T10:00:00Z"),
            "keep vm/100/2026-01-03T10:00:00Z",
            "Pruning group x:\"host/web\"",
            "remove host/web/2026-01-01T10:00:00Z",
            &removing("ns/x/host/web/2026-01-01T10:00:00Z"),
            "remove host/web/2026-01-02T10:00:00Z",
            &removing("ns/x/host/web/2026-01-02T10:00:00Z"),
            "keep host/web/2026-01-03T10:00:00Z",
            "TASK OK",
        ]
    );
    assert_eq!((bench.days("", "vm/100"), bench.days("x", "host/web")), (vec!["03".to_owned()], vec!["03".to_owned()]));
}

#[tokio::test]
async fn a_dry_run_and_a_run_without_rules_remove_nothing() {
    let bench = Bench::new();
    let prune = StorePrune { ns: ns("x"), max_depth: Some(0), ..whole(last(2), PruneMode::DryRun) };
    let (status, log) = bench.prune_store(ROOT, prune).await;
    assert_eq!(status, TaskStatus::Ok);
    let expected = [
        "Starting datastore prune on datastore 'tank', namespace 'x', non-recursive",
        "(dry test run)",
        "retention options: --ns x --max-depth 0 --keep-last 2",
        "Pruning group x:\"host/web\"",
        "would remove host/web/2026-01-01T10:00:00Z",
        "would keep host/web/2026-01-02T10:00:00Z",
        "would keep host/web/2026-01-03T10:00:00Z",
        "TASK OK",
    ];
    assert_eq!(log, expected);
    let (status, log) = bench.prune_store(ROOT, whole(KeepOptions::default(), PruneMode::Remove)).await;
    assert_eq!((status, log[1].as_str()), (TaskStatus::Ok, "No prune selection - keeping all files."));
    assert!(!log.iter().any(|line| line.contains("remov")), "{log:?}");
    assert_eq!((bench.days("", "vm/100").len(), bench.days("x", "host/web").len()), (3, 3));
}

#[tokio::test]
async fn only_what_the_caller_may_prune_is_pruned() {
    let bench = Bench::new();
    bench.add("", "vm/200/2026-01-01T10:00:00Z", "other@pbs", true);
    bench.add("", "vm/200/2026-01-02T10:00:00Z", "other@pbs", true);
    bench.server.grant("/datastore/tank", "a@pbs", Role::DatastorePowerUser);
    let (status, log) = bench.prune_store("a@pbs", whole(last(1), PruneMode::Remove)).await;
    assert_eq!(status, TaskStatus::Ok);
    assert!(!log.iter().any(|line| line.contains("vm/200") || line.contains("host/web")), "{log:?}");
    assert_eq!(["vm/100", "vm/200"].map(|group| bench.days("", group).len()), [1, 2]);
    assert_eq!(bench.days("x", "host/web").len(), 3);
}

#[tokio::test]
async fn what_cannot_be_removed_is_a_warning_and_the_rest_goes() {
    let bench = Bench::new();
    let reading = bench.store.lock_snapshot_shared(&ns(""), &"vm/100/2026-01-01T10:00:00Z".parse().unwrap()).unwrap();
    let (status, log) = bench.prune_store(ROOT, whole(last(1), PruneMode::Remove)).await;
    assert_eq!(status, TaskStatus::Warnings(1));
    assert!(log.iter().any(|line| line.contains("failed to remove snapshot 'vm/100/2026-01-01T10:00:00Z'")), "{log:?}");
    assert_eq!(bench.days("", "vm/100"), ["01", "03"]);
    assert_eq!(bench.days("x", "host/web"), ["03"]);
    drop(reading);
    let missing = StorePrune { ns: ns("nosuch"), ..whole(last(1), PruneMode::Remove) };
    let (status, _) = bench.prune_store(ROOT, missing).await;
    assert!(matches!(status, TaskStatus::Error(text) if text.contains("nosuch")));
}

#[tokio::test]
async fn a_group_is_pruned_now_or_as_a_task_that_is_told_like_the_recorded_one() {
    let bench = Bench::new();
    let root: Authid = ROOT.parse().unwrap();
    bench.store.set_protected(&ns("x"), &"host/web/2026-01-01T10:00:00Z".parse().unwrap(), true).unwrap();
    bench.add("x", "host/web/2026-01-02T12:00:00Z", "b@pbs", false);
    bench.add("x", "host/web/2026-01-04T12:00:00Z", "b@pbs", false);
    let access = || {
        let path = AclPath::datastore(&"tank".parse().unwrap(), &ns("x"));
        GroupAccess::All(
            bench.server.app.acl().unwrap().require_all(&root, &path, Privileges::DATASTORE_MODIFY).unwrap(),
        )
    };
    let plan = |keep| {
        let store = bench.server.app.stores.open(&"tank".parse().unwrap(), Operation::Write).unwrap();
        PlannedGroup::plan(store, ns("x"), "host/web".parse().unwrap(), keep, &TimeZone::UTC)
    };
    let upid = prune_group(&bench.server.app, &access(), plan(last(1)).unwrap()).await.unwrap();
    assert_eq!(bench.server.ended(&upid.to_string()).await, TaskStatus::Ok);
    assert_eq!(upid.worker_id(), Some("tank:x:host/web"));
    let log: Vec<_> = bench.log(&upid).into_iter().filter(|line| !line.starts_with("removing")).collect();
    let expected = [
        "retention options: --keep-last 1",
        "Starting prune on datastore 'tank', namespace 'x' group \"host/web\"",
        "host/web/2026-01-01T10:00:00Z protected",
        "host/web/2026-01-02T10:00:00Z remove",
        "host/web/2026-01-02T12:00:00Z remove",
        "host/web/2026-01-03T10:00:00Z keep",
        "host/web/2026-01-04T12:00:00Z keep-partial",
        "TASK OK",
    ];
    assert_eq!(log, expected);
    assert_eq!(bench.days("x", "host/web"), ["01", "03", "04"]);
    prune_group_now(&bench.server.app, &access(), plan(last(1)).unwrap()).await.unwrap();
    assert_eq!(bench.days("x", "host/web"), ["01", "03", "04"]);
}

#[tokio::test]
async fn a_backup_that_ends_between_decision_and_removal_stays() {
    let bench = Bench::new();
    let root: Authid = ROOT.parse().unwrap();
    bench.add("", "vm/100/2026-01-02T12:00:00Z", "a@pbs", false);
    let store = bench.server.app.stores.open(&"tank".parse().unwrap(), Operation::Write).unwrap();
    let planned = PlannedGroup::plan(store, ns(""), "vm/100".parse().unwrap(), last(1), &TimeZone::UTC).unwrap();
    assert!(planned.decisions().iter().any(|one| !one.snapshot.is_finished && !one.mark.keeps()));
    let group = "vm/100".parse::<Group>().unwrap();
    let time = Epoch::parse_rfc3339_utc("2026-01-02T12:00:00Z").unwrap();
    let directory = bench.store.local_path(&ns(""), &group, Some(time)).unwrap();
    std::fs::write(directory.join("index.json.blob"), "x").unwrap();
    bench.store.set_protected(&ns(""), &"vm/100/2026-01-01T10:00:00Z".parse().unwrap(), true).unwrap();
    let path = AclPath::datastore(&"tank".parse().unwrap(), &ns(""));
    let access = GroupAccess::All(
        bench.server.app.acl().unwrap().require_all(&root, &path, Privileges::DATASTORE_MODIFY).unwrap(),
    );
    prune_group_now(&bench.server.app, &access, planned).await.unwrap();
    assert_eq!(bench.days("", "vm/100"), ["01", "02", "03"], "of the second day only the older one is gone");
    assert!(directory.exists());
}

#[tokio::test]
async fn a_job_tells_what_started_it_and_keeps_its_state() {
    let bench = Bench::new();
    bench.add_job(|job| job.ns = Some(ns("x")));
    let app = &bench.server.app;
    let start = bench.server.scheduled(&JobKey::new("prunejob", "p-1").unwrap(), "daily");
    let upid = run_prune_job(app, bench.permit(ROOT).unwrap(), Some(start)).await.unwrap();
    assert_eq!(bench.server.ended(&upid.to_string()).await, TaskStatus::Ok);
    assert_eq!((upid.worker_type(), upid.worker_id()), ("prunejob", Some("tank:x")));
    let log = bench.log(&upid);
    assert_eq!(log[..2], ["prune job 'p-1'", "task triggered by schedule 'daily'"]);
    assert_eq!(log[3], "retention options: --ns x --keep-last 1");
    assert_eq!((bench.days("", "vm/100").len(), bench.days("x", "host/web").len()), (3, 1));
    let key = JobKey::new("prunejob", "p-1").unwrap();
    let state = app.job_states.read(&key, app.clock.now(), &app.tasks).unwrap();
    let told = format!("{:?}", state.last_run());
    assert!(told.contains("OK") && told.contains(&upid.to_string().replace('\\', "\\\\")), "{told}");
}

#[tokio::test]
async fn a_running_job_is_not_started_again_by_its_schedule() {
    let bench = Bench::new();
    bench.add_job(|job| job.disable = Some(true));
    let app = &bench.server.app;
    let held = app.job_states.lock(&JobKey::new("prunejob", "p-1").unwrap()).unwrap();
    let start = bench.server.scheduled(&JobKey::new("prunejob", "p-1").unwrap(), "daily");
    let refused = run_prune_job(app, bench.permit(ROOT).unwrap(), Some(start)).await;
    assert!(matches!(refused, Err(PruneError::JobState(JobStateError::Locked { .. }))));
    drop(held);
    let upid = run_prune_job(app, bench.permit(ROOT).unwrap(), None).await.unwrap();
    assert_eq!(bench.server.ended(&upid.to_string()).await, TaskStatus::Ok);
    // Removed between the look-up and the start.
    let permit = bench.permit(ROOT).unwrap();
    app.settings.prune_jobs().edit::<_, SettingsError>(None, |jobs| Ok(jobs.remove("p-1"))).unwrap();
    let gone = run_prune_job(app, permit, None).await;
    assert!(matches!(gone, Err(PruneError::Job(StoreJobError::Unknown { .. }))));
}

#[tokio::test]
async fn who_may_not_see_a_job_learns_nothing_of_it() {
    let bench = Bench::new();
    bench.add_job(|_| {});
    bench.server.grant("/datastore/tank", "auditor@pbs", Role::DatastoreAudit);
    bench.server.grant("/datastore/tank", "user@pbs", Role::DatastorePowerUser);
    let refused =
        |caller: &str| bench.permit(caller).map(|permit| permit.job().id.to_string()).unwrap_err().to_string();
    assert_eq!(refused("user@pbs"), "no such prune job 'p-1'");
    assert!(refused("auditor@pbs").contains("Datastore.Modify"));
    assert!(bench.permit(ROOT).is_ok());
}

#[tokio::test]
async fn a_prune_ends_when_the_server_stops() {
    let bench = Bench::new();
    let (store, acl) = (bench.store.clone(), bench.server.app.acl().unwrap());
    let worker = move |context: TaskContext| async move {
        context.shutdown().cancelled().await;
        let (caller, prune) = (Authid::root(), whole(last(1), PruneMode::Remove));
        let (zone, board) = (&jiff::tz::TimeZone::UTC, ProgressBoard::default());
        let progress = board.enter_work(context.upid().clone(), Work::PruneGroups).run();
        let run_of = PruneRun { store: &store, acl: &acl, caller: &caller, zone, prune: &prune, progress: &progress };
        run(run_of, &context)
    };
    let upid = bench.server.app.tasks.spawn(TaskKind::new("prune", None), &Authid::root(), worker).await.unwrap();
    bench.server.app.tasks.shutdown(std::time::Duration::from_secs(60)).await;
    let status = bench.server.ended(upid.as_str()).await;
    assert_eq!(status, TaskStatus::Error("Server shutdown requested - aborting task".to_owned()));
    assert_eq!((bench.days("", "vm/100").len(), bench.days("x", "host/web").len()), (3, 3));
}

#[tokio::test]
async fn a_prune_is_counted_in_groups() {
    let bench = Bench::new();
    let (store, acl) = (bench.store.clone(), bench.server.app.acl().unwrap());
    let board = ProgressBoard::default();
    let (seen, told) = (Arc::new(std::sync::Mutex::new(None)), board.clone());
    let slot = Arc::clone(&seen);
    let worker = move |context: TaskContext| async move {
        let (caller, prune) = (Authid::root(), whole(last(1), PruneMode::Remove));
        let zone = &jiff::tz::TimeZone::UTC;
        let entry = told.enter_work(context.upid().clone(), Work::PruneGroups);
        let progress = entry.run();
        let run_of = PruneRun { store: &store, acl: &acl, caller: &caller, zone, prune: &prune, progress: &progress };
        let outcome = run(run_of, &context);
        *slot.lock().unwrap() = Some(progress.look());
        outcome
    };
    let upid = bench.server.app.tasks.spawn(TaskKind::new("prune", None), &Authid::root(), worker).await.unwrap();
    assert_eq!(bench.server.ended(upid.as_str()).await, TaskStatus::Ok);
    let look = seen.lock().unwrap().take().unwrap();
    let groups = 2.0;
    assert_eq!((look.work, look.done, look.total), (Work::PruneGroups, groups, Some(groups)));
    assert!(board.all().is_empty());
}
