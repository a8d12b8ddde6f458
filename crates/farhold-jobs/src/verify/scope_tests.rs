//! Verification of groups, of namespaces and by jobs: what is covered, told and noted.

use farhold_crypto::sha256;
use farhold_datastore::Datastore;
use farhold_datastore::backup::{BackupKind, UploadStatistics};
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_format::task_log::TaskStatus;
use farhold_rules::acl::{AclPath, GroupAccess};
use farhold_settings::{Entries, SettingsError, VerifyJobs};
use farhold_tasks::job_state::JobState;
use farhold_types::{Authid, CryptMode, Namespace, Role, Snapshot, VerifyJob, VerifyState};

use super::log::{Done, progress};
use super::{VERIFY_NEEDS, VerifyAge, VerifyError, VerifyRequest, VerifyScope, VerifyThreads, start_verify};
use crate::Operation;
use crate::store_jobs::{JobPermit, StoreJob, StoreJobError};
use crate::testing::TestServer;
use crate::verify_job::run_verify_job;

const OWNER: &str = "sync@pbs!t1";

fn ns(text: &str) -> Namespace {
    text.parse().expect("valid")
}

/// Writes a snapshot with one blob.
pub(super) fn back_up(store: &Datastore, namespace: &str, snapshot: &str, owner: &str) {
    let snapshot: Snapshot = snapshot.parse().expect("valid");
    let owner: Authid = owner.parse().expect("valid");
    let writer = store.begin_backup(&ns(namespace), &snapshot, &owner, BackupKind::Normal).expect("begun");
    let blob = BlobEncoder::new().encode(snapshot.to_string().as_bytes(), Compression::Off, None).expect("encoded");
    writer.put_blob(&"a.conf.blob".parse().expect("valid"), &blob).expect("put");
    let mut manifest = Manifest::new(&snapshot);
    manifest.files.push(ManifestFile {
        name: "a.conf.blob".parse().expect("valid"),
        crypt_mode: CryptMode::None,
        size_bytes: blob.len() as u64,
        checksum: sha256(&blob),
    });
    let manifest = manifest.to_blob(&mut BlobEncoder::new()).expect("encoded");
    writer.put_blob(&"index.json.blob".parse().expect("valid"), &manifest).expect("put");
    writer.finish(&UploadStatistics::default()).expect("finished");
}

struct Bench {
    server: TestServer,
    store: Datastore,
}

impl Bench {
    /// A store with groups in three namespaces; `vm/100` in the root has two snapshots.
    fn new() -> Self {
        let server = TestServer::new();
        let store = server.add_datastore_without_chunks("tank");
        for namespace in ["a", "a/b"] {
            store.create_namespace(&ns(namespace)).expect("created");
        }
        back_up(&store, "", "vm/100/2026-01-01T10:00:00Z", OWNER);
        back_up(&store, "", "vm/100/2026-01-02T10:00:00Z", OWNER);
        back_up(&store, "a", "ct/101/2026-01-01T10:00:00Z", "other@pbs");
        back_up(&store, "a/b", "host/x/2026-01-01T10:00:00Z", OWNER);
        Self { server, store }
    }

    fn access(&self, caller: &str, namespace: &str) -> GroupAccess {
        let path = AclPath::datastore(self.store.name(), &ns(namespace));
        let acl = self.server.app.acl().expect("read");
        acl.full_or_owner(&caller.parse().expect("valid"), &path, VERIFY_NEEDS.full, VERIFY_NEEDS.own).expect("allowed")
    }

    async fn start(&self, caller: &str, scope: VerifyScope, age: VerifyAge) -> String {
        let at = match &scope {
            VerifyScope::Snapshot(ns, _) | VerifyScope::Group(ns, _) | VerifyScope::Below(ns, _) => ns.to_string(),
            VerifyScope::Arrived { .. } => String::new(),
        };
        let store = self.server.app.stores.open(self.store.name(), Operation::Read).expect("opened");
        let request = VerifyRequest { store, scope, age, threads: VerifyThreads { read: Some(2), verify: None } };
        start_verify(&self.server.app, self.access(caller, &at), request).await.expect("started").to_string()
    }

    fn state(&self, namespace: &str, snapshot: &str) -> Option<VerifyState> {
        let snapshot = snapshot.parse().expect("valid");
        let manifest = self.store.read_manifest(&ns(namespace), &snapshot).expect("read").0;
        manifest.verify_state().map(|state| state.state)
    }

    fn damage(&self, path: &str) {
        let file = self.server.store_path("tank").join(path);
        let mut content = std::fs::read(&file).expect("there");
        *content.last_mut().expect("not empty") ^= 1;
        std::fs::write(&file, content).expect("written");
    }

    fn configure(&self, job: VerifyJob) {
        let insert = |jobs: &mut Entries<VerifyJobs>| jobs.insert(job);
        self.server.app.settings.verify_jobs().edit::<_, SettingsError>(None, insert).expect("configured");
    }

    fn permit(&self, caller: &str, id: &str) -> Result<JobPermit<VerifyJob>, StoreJobError> {
        JobPermit::of(&self.server.app, &caller.parse().expect("valid"), &id.parse().expect("valid"))
    }
}

const ALL: VerifyAge = VerifyAge::All;
const NEW: VerifyAge = VerifyAge::Unverified { outdated_after_days: None };

#[tokio::test]
async fn a_store_is_verified_group_by_group_and_then_skipped() {
    let bench = Bench::new();
    let upid = bench.start("root@pam", VerifyScope::Below(ns(""), None), NEW).await;
    assert!(upid.ends_with(":verify:tank:root@pam:"), "{upid}");
    let expected = [
        "verify datastore tank",
        "found 3 groups",
        "using 2 read and 4 verify thread(s)",
        "verify group tank:ns/a/ct/101 (1 snapshots)",
        "verify tank:ns/a/ct/101/2026-01-01T10:00:00Z",
        "  check a.conf.blob",
        "percentage done: 33.33% (1/3 groups)",
        "verify group tank:ns/a/ns/b/host/x (1 snapshots)",
        "verify tank:ns/a/ns/b/host/x/2026-01-01T10:00:00Z",
        "  check a.conf.blob",
        "percentage done: 66.67% (2/3 groups)",
        "verify group tank:vm/100 (2 snapshots)",
        "verify tank:vm/100/2026-01-02T10:00:00Z",
        "  check a.conf.blob",
        "percentage done: 83.33% (2/3 groups, 1/2 snapshots in group #3)",
        "verify tank:vm/100/2026-01-01T10:00:00Z",
        "  check a.conf.blob",
        "percentage done: 100.00% (3/3 groups)",
        "TASK OK",
    ];
    assert_eq!(bench.server.log_of(&upid).await, expected);
    assert_eq!(bench.state("a/b", "host/x/2026-01-01T10:00:00Z"), Some(VerifyState::Ok));
    let scope = VerifyScope::Group(ns(""), "vm/100".parse().unwrap());
    let upid = bench.start("root@pam", scope.clone(), NEW).await;
    assert!(upid.ends_with(":verify_group:tank\\x3a-vm-100:root@pam:"), "{upid}");
    let expected = [
        "verify group tank:vm/100 (2 snapshots)",
        "SKIPPED: verify tank:vm/100/2026-01-02T10:00:00Z (recently verified)",
        "percentage done: 50.00% (1/2 snapshots)",
        "SKIPPED: verify tank:vm/100/2026-01-01T10:00:00Z (recently verified)",
        "percentage done: 100.00% (2/2 snapshots)",
        "TASK OK",
    ];
    assert_eq!(bench.server.log_of(&upid).await, expected);
    // A result is good for whole days.
    for (seconds, is_skipped) in [(86_399, true), (86_401, false)] {
        bench.server.clock.advance(if is_skipped { seconds } else { 2 });
        let age = VerifyAge::Unverified { outdated_after_days: Some(0) };
        let log = bench.server.log_of(&bench.start("root@pam", scope.clone(), age).await).await;
        assert_eq!(log[1].starts_with("SKIPPED"), is_skipped, "{log:?}");
    }
}

#[tokio::test]
async fn failures_are_listed_and_the_rest_is_verified() {
    let bench = Bench::new();
    bench.damage("vm/100/2026-01-02T10:00:00Z/a.conf.blob");
    std::fs::create_dir(bench.server.store_path("tank").join("vm/100/2026-01-03T10:00:00Z")).unwrap();
    let upid = bench.start("root@pam", VerifyScope::Below(ns(""), Some(0)), ALL).await;
    let log = bench.server.log_of(&upid).await;
    let expected = [
        "Failed to verify the following snapshots/groups:",
        "\tvm/100/2026-01-03T10:00:00Z",
        "\tvm/100/2026-01-02T10:00:00Z",
        "TASK ERROR: verification failed - please check the log for details",
    ];
    assert_eq!(log[log.len() - 4..], expected);
    assert!(log.contains(&"found 1 groups".to_owned()), "{log:?}");
    assert_eq!(bench.state("", "vm/100/2026-01-02T10:00:00Z"), Some(VerifyState::Failed));
    assert_eq!(bench.state("", "vm/100/2026-01-01T10:00:00Z"), Some(VerifyState::Ok));
}

#[tokio::test]
async fn what_is_gone_is_only_told_unless_it_is_the_namespace() {
    let bench = Bench::new();
    let missing: Snapshot = "vm/999/2026-01-01T10:00:00Z".parse().unwrap();
    let upid = bench.start("root@pam", VerifyScope::Snapshot(ns("a"), missing.clone()), ALL).await;
    assert!(upid.ends_with(":verify_snapshot:tank\\x3ans-a-vm-999-695645A0:root@pam:"), "{upid}");
    let line = "SKIPPED: verify tank:ns/a/vm/999/2026-01-01T10:00:00Z - snapshot does not exist (anymore).";
    assert_eq!(bench.server.log_of(&upid).await, [line, "TASK OK"]);
    let upid = bench.start("root@pam", VerifyScope::Group(ns(""), missing.group), ALL).await;
    let line = "SKIPPED: verify group tank:vm/999 - group does not exist (anymore).";
    assert_eq!(bench.server.log_of(&upid).await, [line, "TASK OK"]);
    let upid = bench.start("root@pam", VerifyScope::Below(ns("nosuch"), None), ALL).await;
    assert!(upid.ends_with(":verify:tank\\x3ans-nosuch:root@pam:"), "{upid}");
    let log = bench.server.log_of(&upid).await;
    assert!(log.contains(&"found 0 groups".to_owned()), "{log:?}");
    let failed = TaskStatus::Error("verification failed - please check the log for details".to_owned());
    assert_eq!(bench.server.ended(&upid).await, failed);
}

#[tokio::test]
async fn callers_verify_what_they_reach() {
    let bench = Bench::new();
    bench.server.grant("/datastore/tank", "sync@pbs!t1", Role::DatastorePowerUser);
    bench.server.grant("/datastore/tank", "sync@pbs", Role::DatastorePowerUser);
    bench.server.grant("/datastore/tank", "audit@pbs", Role::DatastoreReader);
    bench.server.grant("/datastore/tank/a/b", "audit@pbs", Role::NoAccess);
    for (caller, found, limit) in [
        ("sync@pbs!t1", 2, Some("limiting to backups owned by sync@pbs!t1")),
        ("sync@pbs", 2, Some("limiting to backups owned by sync@pbs")),
        ("audit@pbs", 2, None),
    ] {
        let log = bench.server.log_of(&bench.start(caller, VerifyScope::Below(ns(""), None), ALL).await).await;
        assert!(log.contains(&format!("found {found} groups")), "{caller}: {log:?}");
        let limits: Vec<_> = log.iter().filter(|line| line.starts_with("limiting")).map(String::as_str).collect();
        assert_eq!(limits, limit.into_iter().collect::<Vec<_>>(), "{caller}");
    }
}

#[tokio::test]
async fn a_job_verifies_its_namespace_and_keeps_its_state() {
    let bench = Bench::new();
    let mut job = VerifyJob::new("weekly".parse().unwrap(), "tank".parse().unwrap());
    job.ns = Some(ns("a"));
    job.ignore_verified = Some(false);
    job.verify_threads = Some(3);
    bench.configure(job);
    let permit = bench.permit("root@pam", "weekly").unwrap();
    let start = bench.server.scheduled(&VerifyJob::state_key(&"weekly".parse().unwrap()).unwrap(), "sat 4:00");
    let upid = run_verify_job(&bench.server.app, permit, Some(start)).await.unwrap().to_string();
    assert!(upid.ends_with(":verificationjob:tank\\x3aweekly:root@pam:"), "{upid}");
    let log = bench.server.log_of(&upid).await;
    let opening = [
        "Starting datastore verify job 'tank:weekly'",
        "task triggered by schedule 'sat 4:00'",
        "verify datastore tank",
        "found 2 groups",
        "using 1 read and 3 verify thread(s)",
    ];
    assert_eq!(log[..5], opening);
    let key = VerifyJob::state_key(&"weekly".parse().unwrap()).unwrap();
    let state = bench.server.app.job_states.read(&key, crate::testing::START, &bench.server.app.tasks).unwrap();
    assert_eq!(state.last_run().last_run_state.as_deref(), Some("OK"), "{state:?}");
    assert!(matches!(state, JobState::Finished { .. }));

    // One run at a time; a schedule does not wait for it.
    let lock = bench.server.app.job_states.lock(&key).unwrap();
    let start = bench.server.scheduled(&key, "daily");
    let refused = run_verify_job(&bench.server.app, bench.permit("root@pam", "weekly").unwrap(), Some(start)).await;
    assert!(matches!(refused, Err(VerifyError::JobState(_))), "{refused:?}");
    drop(lock);
}

#[tokio::test]
async fn verifications_and_jobs_that_are_stopped_say_so() {
    let bench = Bench::new();
    bench.configure(VerifyJob::new("weekly".parse().unwrap(), "tank".parse().unwrap()));
    // The first snapshot waits for its manifest.
    let first = "ct/101/2026-01-01T10:00:00Z".parse().unwrap();
    let held = bench.store.lock_manifest(&ns("a"), &first).unwrap();
    let permit = bench.permit("root@pam", "weekly").unwrap();
    let job = run_verify_job(&bench.server.app, permit, None).await.unwrap().to_string();
    let call = bench.start("root@pam", VerifyScope::Below(ns(""), None), ALL).await;
    for upid in [&job, &call] {
        bench.server.app.tasks.abort(&upid.parse().unwrap());
    }
    drop(held);
    let failed = |text: &str| TaskStatus::Error(text.to_owned());
    assert_eq!(bench.server.ended(&job).await, failed("verification failed - job aborted"));
    assert_eq!(bench.server.ended(&call).await, failed("abort requested - aborting task"));
}

#[test]
fn running_a_job_needs_datastore_verify_where_it_works() {
    let bench = Bench::new();
    let mut job = VerifyJob::new("weekly".parse().unwrap(), "tank".parse().unwrap());
    job.ns = Some(ns("a"));
    bench.configure(job);
    bench.server.grant("/datastore/tank/a", "reader@pbs", Role::DatastoreReader);
    bench.server.grant("/datastore/tank/a", "audit@pbs", Role::DatastoreAudit);
    bench.server.grant("/datastore/tank/other", "far@pbs", Role::DatastoreAdmin);
    assert!(bench.permit("reader@pbs", "weekly").is_ok());
    let text = |caller: &str, id: &str| bench.permit(caller, id).unwrap_err().to_string();
    assert!(text("audit@pbs", "weekly").contains("Datastore.Verify"));
    assert_eq!(text("far@pbs", "weekly"), "no such verify job 'weekly'");
    assert_eq!(text("root@pam", "nosuch"), "no such verify job 'nosuch'");
}

#[test]
fn progress_is_told_as_recorded() {
    let line =
        |groups, of_groups, snapshots, of_snapshots| progress(Done { groups, of_groups, snapshots, of_snapshots });
    assert_eq!(line(0, 18, 1, 2), "percentage done: 2.78% (0/18 groups, 1/2 snapshots in group #1)");
    assert_eq!(line(0, 18, 2, 2), "percentage done: 5.56% (1/18 groups)");
    assert_eq!(line(10, 18, 2, 3), "percentage done: 59.26% (10/18 groups, 2/3 snapshots in group #11)");
    assert_eq!(line(17, 18, 1, 1), "percentage done: 100.00% (18/18 groups)");
    assert_eq!(line(0, 1, 1, 1), "percentage done: 100.00% (1/1 snapshots)");
}
