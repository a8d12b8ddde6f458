//! A simulated server: a disk, and the datastore that its present process has opened on it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use farhold_datastore::{Datastore, DatastoreError, OpenOptions};
use farhold_format::manifest::Manifest;
use farhold_format::upid::Upid;
use farhold_storage::Storage;
use farhold_types::{
    Authid, Clock, DatastoreName, Epoch, Group, Namespace, Snapshot, SyncLevel, VerificationItem, VerifyState,
};
use tokio::time::Instant;

use crate::backup::{Backup, manifest_blob};
use crate::disk::Disk;
use crate::mount::Mount;
use crate::rng::Rng;

/// When every world begins: 2026-01-01 in seconds since the epoch.
const BEGIN_SECONDS: u64 = 1_767_225_600;
/// The same as the time of an epoch.
pub(crate) const FIRST_SECOND: i64 = BEGIN_SECONDS.cast_signed();

/// A clock of a world: the runtime's paused time, beginning at a fixed date, and by how much the clock was set since.
/// Clones are the same.
#[derive(Debug, Clone)]
pub struct WorldClock {
    begin: Instant,
    set_by_s: Arc<AtomicI64>,
}

impl WorldClock {
    /// Returns the clock of a world that begins now. Call it inside the runtime.
    pub fn new() -> Self {
        Self { begin: Instant::now(), set_by_s: Arc::default() }
    }

    /// Returns another clock that began with this one and shows the same time as long as it is not set.
    pub fn twin(&self) -> Self {
        Self { begin: self.begin, set_by_s: Arc::default() }
    }

    /// Sets the clock forward by so many seconds, or back by a negative number. It never shows a time before 1970.
    pub fn set_by(&self, seconds: i64) {
        self.set_by_s.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Returns nanoseconds since the epoch.
    pub fn nanos(&self) -> u64 {
        let right = BEGIN_SECONDS * 1_000_000_000 + u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(0);
        right.saturating_add_signed(self.set_by_s.load(Ordering::SeqCst).saturating_mul(1_000_000_000))
    }

    /// Returns the time since the world began, whatever the clock shows.
    pub fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }
}

impl Default for WorldClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for WorldClock {
    fn now(&self) -> Epoch {
        Epoch(i64::try_from(self.nanos() / 1_000_000_000).unwrap_or(0))
    }
}

/// What a server needs from its world.
#[derive(Clone)]
pub struct ServerOptions {
    /// Name of its datastore.
    pub name: &'static str,
    /// Folder for lock files of all servers of the world.
    pub locks: PathBuf,
    /// When the store flushes.
    pub sync_level: SyncLevel,
    /// The world's clock.
    pub clock: WorldClock,
    /// Chance of this server.
    pub rng: Rng,
    /// By how much the clock of the file system is behind the server's.
    pub lag: Duration,
}

struct Process {
    store: Datastore,
    mount: Mount,
}

/// When writers began, by number.
type Starts = Arc<Mutex<BTreeMap<u64, Epoch>>>;

/// A writer of a server, as the world knows of it.
pub struct Writer {
    starts: Starts,
    number: u64,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

/// A server. Clones are the same.
#[derive(Clone)]
pub struct Server {
    options: ServerOptions,
    disk: Disk,
    process: Arc<Mutex<Process>>,
    writers: Starts,
}

fn open(options: &ServerOptions, disk: &Disk) -> anyhow::Result<Process> {
    let mount = disk.mount();
    let store = Datastore::open(OpenOptions {
        name: options.name.parse().context("store name")?,
        storage: Arc::new(mount.clone()),
        lock_directory: options.locks.clone(),
        sync_level: options.sync_level,
        clock: Arc::new(options.clock.clone()),
        randomness: Arc::new(options.rng.fork()),
    })
    .context("cannot open the store")?;
    Ok(Process { store, mount })
}

impl Server {
    /// Returns a server with an empty store. Folders of chunks are made on demand: 65,536 of them take too long.
    ///
    /// # Errors
    /// A bug.
    pub fn new(options: ServerOptions) -> anyhow::Result<Self> {
        let clock = options.clock.clone();
        let lag = u64::try_from(options.lag.as_nanos()).unwrap_or(0);
        let disk = Disk::new(Arc::new(move || clock.nanos().saturating_sub(lag)), options.rng.fork());
        let mount = disk.mount();
        mount.create_dir(&".chunks".parse()?, 0o750)?;
        mount.sync_all()?;
        let process = Arc::new(Mutex::new(open(&options, &disk)?));
        Ok(Self { options, disk, process, writers: Arc::default() })
    }

    /// Returns the store as the present process has it open.
    pub fn store(&self) -> Datastore {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).store.clone()
    }

    /// Returns the files as the present process sees them.
    pub fn mount(&self) -> Mount {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).mount.clone()
    }

    /// Returns the disk.
    pub const fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Returns another handle on the store that knows nothing of the writers that use the first.
    ///
    /// # Errors
    /// As [`Self::restart`].
    pub fn ignorant_store(&self) -> anyhow::Result<Datastore> {
        let process = Process { mount: self.mount(), ..open(&self.options, &self.disk)? };
        Ok(process.store)
    }

    /// Returns the path of the journal of moves.
    pub fn journal(&self) -> PathBuf {
        self.options.locks.join(self.options.name).join("move-journal")
    }

    /// Returns whether the present process died.
    pub fn is_dead(&self) -> bool {
        !self.mount().is_alive()
    }

    /// Starts a new process after the old one died.
    ///
    /// # Errors
    /// The store cannot be opened: what a crash left must always be openable.
    pub fn restart(&self) -> anyhow::Result<()> {
        let fresh = open(&self.options, &self.disk)?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Opens the store anew in the present process, as after its device was mounted.
    ///
    /// # Errors
    /// As [`Self::restart`].
    pub fn reopen(&self) -> anyhow::Result<()> {
        self.restart()
    }

    /// Returns the name of the store.
    pub fn name(&self) -> DatastoreName {
        self.store().name().clone()
    }

    /// Notes a writer that begins now, and goes on until the guard is dropped.
    pub fn writer(&self) -> Writer {
        let mut starts = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = starts.last_key_value().map_or(0, |(number, _)| number + 1);
        starts.insert(number, self.options.clock.now());
        Writer { starts: Arc::clone(&self.writers), number }
    }

    /// Returns when the first of those writers began, by what the clock showed then.
    pub fn first_writer(&self) -> Option<Epoch> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner).values().min().copied()
    }

    /// Returns the server's clock.
    pub fn clock(&self) -> WorldClock {
        self.options.clock.clone()
    }
}

/// How a simulated backup is made.
pub struct BackupJob {
    /// Where.
    pub ns: Namespace,
    /// As what.
    pub snapshot: Snapshot,
    /// By whom.
    pub owner: Authid,
    /// What.
    pub backup: Backup,
    /// State that the manifest says it was verified with.
    pub verified: Option<VerifyState>,
    /// Pause before each step.
    pub pause: Duration,
    /// Steps after which the client goes away; none if it stays to the end.
    pub gives_up_after: Option<usize>,
}

impl BackupJob {
    /// Returns the manifest of the backup in its final form.
    ///
    /// # Errors
    /// A bug.
    pub fn manifest(&self) -> anyhow::Result<Manifest> {
        let mut manifest = self.backup.store(&self.snapshot)?.manifest;
        if let Some(state) = self.verified {
            manifest.set_verify_state(&verification(state));
        }
        Ok(manifest)
    }

    /// Makes the backup in a store, step by step. Returns whether it was finished.
    ///
    /// # Errors
    /// The store refuses: somebody else works there, the namespace or the process is gone, or it belongs to somebody else.
    pub async fn run(&self, store: &Datastore) -> anyhow::Result<bool> {
        let stored = self.backup.store(&self.snapshot)?;
        let _writer = store.lock_process_shared()?;
        let (owner, group) = store.create_group(&self.ns, &self.snapshot.group, &self.owner)?;
        anyhow::ensure!(owner == self.owner, "the group belongs to {owner}");
        let mut writer = store.begin_snapshot(&group, self.snapshot.time)?;
        anyhow::ensure!(writer.is_new(), "the snapshot exists");
        for (step, file) in stored.files.iter().enumerate() {
            for chunk in &file.chunks {
                store.insert_chunk(&chunk.digest, &chunk.bytes)?;
            }
            self.wait().await;
            writer.put(&file.name, &file.bytes)?;
            if self.gives_up_after.is_some_and(|limit| limit <= step + 1) {
                return Ok(false);
            }
            self.wait().await;
        }
        if let Some(log) = &stored.log {
            writer.put_log(log)?;
        }
        writer.commit(&manifest_blob(&self.manifest()?)?)?;
        Ok(true)
    }

    async fn wait(&self) {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
    }
}

/// Returns the name of a task that begins now.
pub fn task(worker_type: &str, now: Epoch) -> Upid {
    let text = format!("UPID:sim:00000001:00000002:00000003:{:08X}:{worker_type}:store:root@pam:", now.0);
    text.parse().expect("the parts are well-formed")
}

/// Returns a verification result by some task.
pub fn verification(state: VerifyState) -> VerificationItem {
    VerificationItem { upid: task("verify", Epoch(FIRST_SECOND)).to_string(), state }
}

/// Marks a snapshot as verified with this result.
///
/// # Errors
/// As [`Datastore::update_manifest`].
pub fn mark_verified(
    store: &Datastore,
    ns: &Namespace,
    snapshot: &Snapshot,
    state: VerifyState,
) -> Result<(), DatastoreError> {
    let item = verification(state);
    store.update_manifest(ns, snapshot, |unprotected| {
        if let Ok(value) = serde_json::to_value(&item) {
            unprotected.insert("verify_state".to_owned(), value);
        }
    })
}

/// Returns all groups of a store with their namespaces.
///
/// # Errors
/// As [`Datastore::groups`].
pub fn groups(store: &Datastore) -> Result<Vec<(Namespace, Group, Authid)>, DatastoreError> {
    let mut found = Vec::new();
    for ns in store.namespaces(&Namespace::root(), usize::MAX)? {
        found.extend(store.groups(&ns)?.into_iter().map(|info| (ns.clone(), info.group, info.owner)));
    }
    Ok(found)
}

/// Returns all snapshots of a store with their namespaces, unfinished ones too.
///
/// # Errors
/// As [`Datastore::snapshots`].
pub fn snapshots(store: &Datastore) -> Result<Vec<(Namespace, Snapshot)>, DatastoreError> {
    let mut found = Vec::new();
    for (ns, group, _) in groups(store)? {
        found.extend(store.snapshots(&ns, &group)?.into_iter().map(|info| (ns.clone(), group.at(info.time))));
    }
    Ok(found)
}
