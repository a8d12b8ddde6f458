//! Two servers with a relay between them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use farhold::system::SystemClock;
use farhold_datastore::Datastore;
use farhold_testkit::relay::{Relay, RelayOptions, start};
use farhold_types::{Clock, Epoch, Role};

use crate::content::{Content, add_snapshot};
use crate::process::Process;
use crate::site::{Ran, Site};

/// How long a test waits for something that happens at once. Only a fault reaches it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Length of the chunks of [`add_disk`]: that of real disks, so that what a lost one costs is real, too.
const CHUNK_BYTES: usize = 4 << 20;

/// The system's clock, moved.
#[derive(Default)]
pub struct MovedClock {
    by_seconds: AtomicI64,
}

impl MovedClock {
    pub fn advance(&self, seconds: i64) {
        self.by_seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Epoch {
        Epoch(SystemClock.now().0 + self.by_seconds.load(Ordering::SeqCst))
    }
}

/// As whom the target logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    Token,
    User,
}

/// `source` serves the store `tank`; `target` has an empty store `local`, a remote `pbs2` that leads through the relay,
/// and a job `pull`.
pub struct Pair {
    pub source: Site,
    pub target: Site,
    pub relay: Relay,
    pub source_clock: Arc<MovedClock>,
    /// The source, if it is a process of its own.
    pub process: Option<Process>,
}

impl Pair {
    /// Both servers in this process.
    pub async fn new(account: Account, fill: impl FnOnce(&Datastore)) -> Self {
        Self::with_role(account, Role::DatastoreReader, fill).await
    }

    /// Both servers in this process; the account has this role on the store.
    pub async fn with_role(account: Account, role: Role, fill: impl FnOnce(&Datastore)) -> Self {
        let mut pair = Self::prepare(account, role, fill).await;
        pair.source.listen().await;
        let facts = (format!("127.0.0.1:{}", pair.source.port()), pair.source.fingerprint());
        pair.connect(&facts.0, &facts.1).await;
        pair
    }

    /// The source is a process that can be killed.
    pub async fn with_process(account: Account, fill: impl FnOnce(&Datastore)) -> Self {
        let mut pair = Self::prepare(account, Role::DatastoreReader, fill).await;
        let (process, address, fingerprint) = Process::server(&pair.source.root());
        pair.process = Some(process);
        pair.connect(&address, &fingerprint).await;
        pair
    }

    async fn prepare(account: Account, role: Role, fill: impl FnOnce(&Datastore)) -> Self {
        let source_clock = Arc::new(MovedClock::default());
        let source = Site::with_clock(source_clock.clone());
        source.add_store("tank");
        fill(&source.store("tank"));
        source.add_user("sync@pbs", "a password");
        source.grant("/datastore/tank", "sync@pbs", role);
        let listen = "127.0.0.1:0".parse().unwrap();
        let nowhere = "127.0.0.1:1".parse().unwrap();
        let options = RelayOptions { listen, target: nowhere, one_way_delay: Duration::ZERO, window_bytes: 1 << 20 };
        let relay = start(options).await.unwrap();
        let target = Site::new();
        target.add_store("local");
        let secret = match account {
            Account::User => "a password".to_owned(),
            Account::Token => {
                let secret = source.add_token("sync@pbs!t1");
                source.grant("/datastore/tank", "sync@pbs!t1", role);
                secret
            }
        };
        let (port, fingerprint) = (relay.address().port().to_string(), ["00"; 32].join(":"));
        let name = if account == Account::User { "sync@pbs" } else { "sync@pbs!t1" };
        let create = ["remote", "create", "pbs2", "--host", "127.0.0.1", "--port", &port, "--auth-id", name];
        target.run(&[&create[..], &["--password", &secret, "--fingerprint", &fingerprint]].concat()).await.ok();
        let job = ["sync-job", "create", "pull", "--remote", "pbs2", "--remote-store", "tank", "--store", "local"];
        target.run(&job).await.ok();
        Self { source, target, relay, source_clock, process: None }
    }

    async fn connect(&self, address: &str, fingerprint: &str) {
        self.relay.set_target(address.parse().unwrap());
        self.target.run(&["remote", "update", "pbs2", "--fingerprint", fingerprint]).await.ok();
    }

    /// Kills the source's process at once.
    pub fn kill_source(&mut self) {
        self.process.take().unwrap().kill();
    }

    /// Starts the source's process again; it comes back on another port, behind the same address of the relay.
    pub fn start_source(&mut self) {
        let (process, address, _) = Process::server(&self.source.root());
        self.process = Some(process);
        self.relay.set_target(address.parse().unwrap());
    }

    /// Runs the job to its end.
    pub async fn pull(&self) -> Ran {
        self.target.run(&["sync-job", "run", "pull"]).await
    }

    pub fn source_store(&self) -> std::path::PathBuf {
        self.source.store_path("tank")
    }

    pub fn target_store(&self) -> std::path::PathBuf {
        self.target.store_path("local")
    }

    /// Waits until the relay has carried so many bytes to the target.
    pub async fn carried(&self, bytes: u64) {
        until("bytes are carried", || bytes <= self.relay.statistics().down_bytes).await;
    }
}

/// Leaves a store empty.
pub const fn nothing(_: &Datastore) {}

pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Adds a snapshot with a disk of so many MiB that does not shrink, and a small file before it.
pub fn add_disk(store: &Datastore, snapshot: &str, mib: u64) {
    let seeds: Vec<u64> = (0..(mib << 20) / CHUNK_BYTES as u64).map(|i| i + 1).collect();
    let archives = [
        ("qemu-server.conf.blob", Content::Blob(snapshot.as_bytes())),
        ("drive-scsi0.img.fidx", Content::Chunks(&seeds, CHUNK_BYTES)),
    ];
    add_snapshot(store, "", snapshot, &archives);
}

/// Returns the bytes of all chunks that lie in a store: what has to be sent at least once.
pub fn stored_bytes(store: &Path) -> u64 {
    let folders = std::fs::read_dir(store.join(".chunks")).unwrap().flatten();
    let folders = folders.filter(|folder| folder.file_name().len() == 4);
    let sizes = folders.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten());
    sizes.map(|chunk| chunk.metadata().unwrap().len()).sum()
}
