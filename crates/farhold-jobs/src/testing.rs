//! A whole [`App`] in a temporary folder, with a clock that stands still and repeatable randomness.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end with a panic")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use farhold_access::{Access, Keys};
use farhold_crypto::sha256;
use farhold_datastore::backup::{BackupKind, UploadStatistics};
use farhold_datastore::{AccessTimeCheck, Datastore};
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use farhold_settings::{
    AclEntry, AclSubject, ConfigDir, DatastoreConfig, Settings, SettingsError, TokenConfig, UserConfig, UserEntry,
    Validity,
};
use farhold_storage::FakeDevices;
use farhold_tasks::job_state::{JobKey, JobStates, ScheduleBasis, WaitingEvent};
use farhold_tasks::{LiveProcesses, TaskOptions, TaskRegistry};
use farhold_types::{
    ArchiveName, Authid, Clock, CryptMode, DatastoreName, Digest, Epoch, Namespace, Randomness, Role, Snapshot,
};

use crate::app::{App, NodeFacts};
use crate::certificate::NoCertificate;
use crate::history::History;
use crate::host::HostFiles;
use crate::host::testing::FakeHost;
use crate::job_options::JobOptionsStore;
use crate::job_turn::ScheduledStart;
use crate::open_backups::OpenBackups;
use crate::progress::ProgressBoard;
use crate::stores::{RemovablePlaces, Stores};

/// Where test clocks start: 2026-11-22T01:30:00Z.
pub const START: Epoch = Epoch(1_795_311_000);

/// A clock that stands still unless it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Returns a clock that shows `now`.
    pub const fn new(now: Epoch) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Moves the clock forwards by seconds, or backwards.
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Epoch {
        Epoch(self.0.load(Ordering::SeqCst))
    }
}

/// Randomness that is the same for the same seed.
#[derive(Debug)]
pub struct SeededRandomness(Mutex<u64>);

impl SeededRandomness {
    /// Returns the source with this seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Randomness for SeededRandomness {
    fn fill(&self, buffer: &mut [u8]) {
        let mut state = self.0.lock().unwrap();
        for byte in buffer {
            // SplitMix64: every seed is a good one.
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = (mixed ^ (mixed >> 31)).to_be_bytes()[0];
        }
    }
}

struct AllAlive;

impl LiveProcesses for AllAlive {
    fn exists(&self, _pid: u32, _pstart: u64) -> bool {
        true
    }
}

/// Tells apart the tasks of several servers in one test process.
static NEXT_TASK_BLOCK: AtomicU64 = AtomicU64::new(0);

/// Returns a temporary folder, in memory where the system offers that: a datastore's 65,536 folders take seconds on disk.
fn fast_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A server without listener. Its folder goes when it is dropped.
pub struct TestServer {
    /// The server.
    pub app: Arc<App>,
    /// Its clock.
    pub clock: Arc<ManualClock>,
    /// The host it believes to run on.
    pub host: Arc<FakeHost>,
    /// The devices that can be plugged in.
    pub devices: Arc<FakeDevices>,
    folder: tempfile::TempDir,
}

impl TestServer {
    /// Returns a server without any configuration.
    pub fn new() -> Self {
        let folder = fast_folder();
        let at = |name: &str| folder.path().join(name);
        for name in ["etc", "run", "lib"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        let clock = Arc::new(ManualClock::new(START));
        let randomness: Arc<dyn Randomness> = Arc::new(SeededRandomness::new(1));
        let settings = Settings::new(ConfigDir::new(at("etc"), Arc::clone(&randomness)));
        let tasks = TaskRegistry::open(TaskOptions {
            directory: at("log"),
            node: "test".to_owned(),
            pid: std::process::id(),
            pstart: 1,
            first_task_id: NEXT_TASK_BLOCK.fetch_add(1 << 20, Ordering::SeqCst),
            clock: clock.clone(),
            time_zone: jiff::tz::TimeZone::UTC,
            processes: Arc::new(AllAlive),
        });
        let keys = Keys::load_or_create(settings.dir()).unwrap();
        let host = Arc::new(FakeHost::sample());
        let devices = Arc::new(FakeDevices::default());
        let removable = RemovablePlaces { devices: devices.clone(), mounts: at("mnt"), temporary: at("run/mount") };
        let app = App {
            access: Access::new(settings.clone(), clock.clone(), keys, None),
            verify_turns: crate::verify::VerifyTurns::default(),
            progress: ProgressBoard::default(),
            chunk_room: farhold_sync::ChunkRoom::default(),
            stores: Stores::new(settings.clone(), at("run/locks"), removable, clock.clone(), Arc::clone(&randomness)),
            traffic: crate::traffic::TrafficControl::new(settings.clone(), clock.clone(), jiff::tz::TimeZone::UTC),
            settings,
            tasks: tasks.unwrap(),
            job_states: JobStates::open(at("lib/jobstates")).unwrap(),
            job_runs: crate::job_runs::JobRuns::new(at("lib/job-runs")),
            job_options: JobOptionsStore::new(at("lib/farhold"), Arc::clone(&randomness)),
            notifications: crate::notifications::Notifications::new(&at("lib")),
            open_backups: OpenBackups::new(at("lib/open-backups"), Arc::clone(&randomness)),
            sync_state_directory: at("lib/sync"),
            api_log_directory: at("api-log"),
            node: NodeFacts { name: "test".to_owned(), instance_id: "0123456789abcdef0123456789abcdef".to_owned() },
            certificate: Arc::new(NoCertificate),
            host: Arc::clone(&host) as Arc<dyn HostFiles>,
            census: crate::Census::default(),
            health: crate::Health::default(),
            metrics: crate::Metrics::default(),
            history: History::new(at("lib/history")),
            server_log: Arc::default(),
            notification_ways: crate::NotificationWays {
                trust: farhold_client::Trust::Only(Vec::new()),
                ..crate::NotificationWays::of_this_host(at("sendmail"), at("etc/notification-templates/default"))
            },
            time_zone: jiff::tz::TimeZone::UTC,
            clock: clock.clone(),
            randomness,
        };
        Self { app: Arc::new(app), clock, host, devices, folder }
    }

    /// Returns the folder for everything that belongs to the server.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes and configures an empty datastore in the server's folder.
    pub fn add_datastore(&self, name: &str) -> Datastore {
        let path = self.store_path(name);
        let options = self.app.stores.open_options(&name.parse().unwrap(), path);
        drop(Datastore::create(options, AccessTimeCheck::Skip).unwrap());
        self.configure_datastore(name)
    }

    /// Makes and configures an empty datastore that can hold no chunks. Much faster: their 65,536 folders are missing.
    pub fn add_datastore_without_chunks(&self, name: &str) -> Datastore {
        std::fs::create_dir_all(self.store_path(name).join(".chunks")).unwrap();
        self.configure_datastore(name)
    }

    /// Returns where a datastore of this name lies.
    pub fn store_path(&self, name: &str) -> PathBuf {
        self.folder.path().join("stores").join(name)
    }

    /// Configures a datastore that lies in its place already.
    pub fn configure_datastore(&self, name: &str) -> Datastore {
        let path = self.store_path(name);
        let name: DatastoreName = name.parse().unwrap();
        let config = DatastoreConfig::new(name.clone(), path.to_str().unwrap().to_owned());
        let add = |stores: &mut farhold_settings::Entries<_>| stores.insert(config);
        self.app.settings.datastores().edit::<_, SettingsError>(None, add).unwrap();
        // The server's own handle, so that locks and counts are shared with what is tested.
        (*self.app.stores.open(&name, crate::Operation::Lookup).unwrap()).clone()
    }

    fn add_account(&self, authid: &Authid) {
        let add = |users: &mut farhold_settings::Entries<_>| {
            if users.user(authid.user()).is_none() {
                users.insert(UserEntry::User(UserConfig::new(authid.user().clone())))?;
            }
            if authid.is_token() && users.token(authid).is_none() {
                let (tokenid, validity) = (authid.clone(), Validity::default());
                users.insert(UserEntry::Token(TokenConfig { tokenid, comment: None, validity }))?;
            }
            Ok(())
        };
        self.app.settings.users().edit::<_, SettingsError>(None, add).unwrap();
    }

    /// Gives somebody a propagating role on an access control path; makes the user or API token if it is missing.
    pub fn grant(&self, path: &str, authid: &str, role: Role) {
        self.add_account(&authid.parse().unwrap());
        let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let subject = AclSubject::Authid(authid.parse::<Authid>().unwrap());
        self.app
            .settings
            .acl()
            .edit::<_, SettingsError>(None, |acl| {
                acl.set(AclEntry { path: parts, subject, role, is_propagated: true });
                Ok(())
            })
            .unwrap();
    }

    /// Returns what a job is started with if an event of this schedule is due now.
    pub fn scheduled(&self, key: &JobKey, schedule: &str) -> ScheduledStart {
        let basis = ScheduleBasis::of(self.app.job_states.find(key).unwrap().as_ref());
        let event = WaitingEvent { time: self.app.clock.now(), basis };
        ScheduledStart { schedule: schedule.to_owned(), event }
    }

    /// Waits for a task and returns how it ended.
    pub async fn ended(&self, upid: &str) -> TaskStatus {
        let upid: Upid = upid.parse().unwrap();
        self.app.tasks.wait(&upid).await.unwrap()
    }

    /// Waits for a task and returns the lines of its log without time stamps.
    pub async fn log_of(&self, upid: &str) -> Vec<String> {
        let _ = self.ended(upid).await;
        let lines = self.app.tasks.log_lines(&upid.parse().unwrap(), 0, 0).unwrap().lines;
        lines.into_iter().map(|line| line.t.split_once(": ").map_or(&*line.t, |(_, text)| text).to_owned()).collect()
    }
}

impl Default for TestServer {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes a snapshot with the fixed index `disk.img.fidx` of one chunk that holds `content`; returns the chunk's digest.
pub fn back_up(store: &Datastore, ns: &Namespace, snapshot: &Snapshot, owner: &Authid, content: &[u8]) -> Digest {
    let writer = store.begin_backup(ns, snapshot, owner, BackupKind::Normal).unwrap();
    let digest = sha256(content);
    let encoded = BlobEncoder::new().encode(content, Compression::Off, None).unwrap();
    writer.insert_chunk(&digest, &encoded).unwrap();
    let (name, size_bytes): (ArchiveName, u64) = ("disk.img.fidx".parse().unwrap(), content.len() as u64);
    let index = writer.create_fixed(&name, Some(size_bytes), None).unwrap();
    index.set(0, &digest).unwrap();
    let checksum = index.finish(&sha256(&digest.0)).unwrap().checksum;
    let mut manifest = Manifest::new(snapshot);
    manifest.files.push(ManifestFile { name, crypt_mode: CryptMode::None, size_bytes, checksum });
    let manifest = manifest.to_blob(&mut BlobEncoder::new()).unwrap();
    writer.put_blob(&ArchiveName::manifest(), &manifest).unwrap();
    writer.finish(&UploadStatistics::default()).unwrap();
    digest
}
