//! How many snapshots the datastores have and what verification says of them, counted at leisure for metrics.
//!
//! Counting looks at each manifest's size and time and reads those that are new, so it is done in the background: one
//! datastore at a time takes one thread, and rests for long enough that counting costs little. A datastore that does not
//! answer keeps its one thread and its last numbers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farhold_datastore::{GcStatus, GroupCensus, SnapshotState};
use farhold_types::{DatastoreName, Epoch, Group, MAX_NAMESPACE_DEPTH, Namespace};
use thiserror::Error;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::stores::{Operation, StoreAccessError};

/// Shortest time between two counts of a store: verification and backups take longer to change much.
const PERIOD: Duration = Duration::from_secs(300);

/// A store rests this many times longer than its counting took, so that counting takes at most one percent of the time.
const REST_FACTOR: u32 = 100;

/// How often the loop looks whether a store is due.
const TICK: Duration = Duration::from_secs(5);

/// What was counted of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreCounts {
    /// When.
    pub time: Epoch,
    /// Namespaces, the root included.
    pub namespaces: u64,
    /// Groups.
    pub groups: u64,
    /// Snapshots by state, in the order of [`SnapshotState::ALL`].
    pub snapshots: [u64; SnapshotState::ALL.len()],
    /// The result of the last garbage collection; none if there was none.
    pub gc: Option<GcStatus>,
}

impl StoreCounts {
    /// Returns the number of snapshots in a state.
    pub fn of(&self, state: SnapshotState) -> u64 {
        SnapshotState::ALL.iter().position(|one| *one == state).map_or(0, |at| self.snapshots[at])
    }
}

/// Why a store was not counted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CensusError {
    /// It cannot be opened.
    #[error(transparent)]
    Store(Box<StoreAccessError>),
    /// It cannot be read.
    #[error(transparent)]
    Datastore(#[from] farhold_datastore::DatastoreError),
}

impl From<StoreAccessError> for CensusError {
    fn from(error: StoreAccessError) -> Self {
        Self::Store(Box::new(error))
    }
}

type GroupCounts = HashMap<(Namespace, Group), GroupCensus>;

#[derive(Debug, Default)]
struct Counted {
    counts: Option<Arc<StoreCounts>>,
    groups: GroupCounts,
}

/// The latest counts of one server's datastores.
#[derive(Debug, Default)]
pub struct Census(Mutex<HashMap<DatastoreName, Counted>>);

impl Census {
    fn lock(&self) -> MutexGuard<'_, HashMap<DatastoreName, Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the latest counts of a store; `None` if it was not counted yet.
    pub fn counts(&self, store: &DatastoreName) -> Option<Arc<StoreCounts>> {
        self.lock().get(store)?.counts.clone()
    }

    /// Takes the result of a garbage collection that has just ended.
    pub fn note_gc(&self, store: &DatastoreName, status: &GcStatus) {
        if let Some(counts) = self.lock().get_mut(store).and_then(|counted| counted.counts.as_mut()) {
            *counts = Arc::new(StoreCounts { gc: Some(status.clone()), ..StoreCounts::clone(counts) });
        }
    }

    /// Counts a store. Blocking, and long for a large one.
    ///
    /// # Errors
    /// The store cannot be opened or listed; its last counts stay. A group that cannot be listed is left out.
    pub fn count(&self, app: &App, store: &DatastoreName) -> Result<(), CensusError> {
        let before = self.lock().get_mut(store).map(|counted| std::mem::take(&mut counted.groups)).unwrap_or_default();
        let counted = count(app, store, &before);
        match counted {
            Ok(counted) => {
                self.lock().insert(store.clone(), counted);
                Ok(())
            }
            Err(error) => {
                self.lock().entry(store.clone()).or_default().groups = before;
                Err(error)
            }
        }
    }

    /// Forgets stores that are not configured any more.
    fn keep(&self, configured: &[DatastoreName]) {
        self.lock().retain(|name, _| configured.contains(name));
    }
}

fn count(app: &App, store: &DatastoreName, before: &GroupCounts) -> Result<Counted, CensusError> {
    let (namespaces, gc) = {
        let handle = app.stores.open(store, Operation::Read)?;
        (handle.namespaces(&Namespace::root(), MAX_NAMESPACE_DEPTH)?, handle.gc_status()?)
    };
    let mut counts = StoreCounts {
        time: app.clock.now(),
        namespaces: namespaces.len() as u64,
        groups: 0,
        snapshots: Default::default(),
        gc: gc.upid.is_some().then_some(gc),
    };
    let mut groups = HashMap::new();
    for ns in namespaces {
        // The store is opened for each group anew, so that unmounting and removal need not wait long.
        let Ok(found) = app.stores.open(store, Operation::Read)?.groups(&ns) else { continue };
        for group in found {
            let key = (ns.clone(), group.group);
            let handle = app.stores.open(store, Operation::Read)?;
            let known = before.get(&key);
            let Ok(census) = handle.count_group(&key.0, &key.1, known.unwrap_or(&GroupCensus::default())) else {
                continue;
            };
            for state in census.states() {
                if let Some(at) = SnapshotState::ALL.iter().position(|one| *one == state) {
                    counts.snapshots[at] += 1;
                }
            }
            counts.groups += 1;
            groups.insert(key, census);
        }
    }
    Ok(Counted { counts: Some(Arc::new(counts)), groups })
}

/// Counts all datastores again and again until `shutdown`.
///
/// A count that is under way then goes on alone; it changes nothing.
pub async fn keep_census(app: Arc<App>, shutdown: CancellationToken) {
    let mut running: HashMap<DatastoreName, (Instant, JoinHandle<()>)> = HashMap::new();
    let mut due: HashMap<DatastoreName, Instant> = HashMap::new();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        let of_app = Arc::clone(&app);
        let Ok(configured) = spawn_blocking(move || configured(&of_app)).await else { return };
        running.retain(|name, (since, count)| {
            if count.is_finished() {
                due.insert(name.clone(), Instant::now() + PERIOD.max(since.elapsed() * REST_FACTOR));
            }
            !count.is_finished()
        });
        due.retain(|name, _| configured.contains(name));
        app.census.keep(&configured);
        let is_due = |name: &DatastoreName| due.get(name).is_none_or(|due| *due <= Instant::now());
        for name in
            configured.into_iter().filter(|name| !running.contains_key(name) && is_due(name)).collect::<Vec<_>>()
        {
            let (of_app, of_store) = (Arc::clone(&app), name.clone());
            let count = spawn_blocking(move || {
                if let Err(error) = of_app.census.count(&of_app, &of_store) {
                    tracing::debug!(store = %of_store, "the snapshots of a datastore were not counted: {error}");
                }
            });
            running.insert(name, (Instant::now(), count));
        }
    }
}

fn configured(app: &App) -> Vec<DatastoreName> {
    let loaded = app.settings.datastores().load();
    loaded.map(|loaded| loaded.entries.usable().map(|store| store.name.clone()).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use farhold_format::blob::BlobEncoder;
    use farhold_format::manifest::Manifest;
    use farhold_types::{Snapshot, VerificationItem, VerifyState};

    use super::*;
    use crate::testing::TestServer;

    const UPID: &str = "UPID:pbs1:00006035:0004D06C:000000A4:6B0357AF:verify:tank:root@pam:";

    /// Writes a snapshot that has nothing but a manifest; without state none was verified.
    fn add(server: &TestServer, ns: &str, snapshot: &str, state: Option<VerifyState>) {
        let group = server.store_path("tank").join(ns).join(snapshot.rsplit_once('/').unwrap().0);
        let snapshot: Snapshot = snapshot.parse().unwrap();
        let place = group.join(snapshot.time.to_string());
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(group.join("owner"), "root@pam\n").unwrap();
        let mut manifest = Manifest::new(&snapshot);
        if let Some(state) = state {
            manifest.set_verify_state(&VerificationItem { upid: UPID.to_owned(), state });
        }
        // A manifest is replaced, as the product does it.
        std::fs::write(place.join("new"), manifest.to_blob(&mut BlobEncoder::new()).unwrap()).unwrap();
        std::fs::rename(place.join("new"), place.join("index.json.blob")).unwrap();
    }

    fn count(server: &TestServer) -> (u64, u64, [u64; 5]) {
        let tank: DatastoreName = "tank".parse().unwrap();
        server.app.census.count(&server.app, &tank).unwrap();
        let counts = server.app.census.counts(&tank).unwrap();
        (counts.namespaces, counts.groups, counts.snapshots)
    }

    #[test]
    fn snapshots_are_counted_by_state_and_what_is_known_is_not_read_again() {
        let server = TestServer::new();
        let store = server.add_datastore_without_chunks("tank");
        store.create_namespace(&"a".parse().unwrap()).unwrap();
        assert_eq!(count(&server), (2, 0, [0; 5]));
        let times = ["host/x/2026-01-01T10:00:00Z", "host/x/2026-01-02T10:00:00Z", "host/x/2026-01-03T10:00:00Z"];
        add(&server, "", times[0], Some(VerifyState::Ok));
        add(&server, "", times[1], Some(VerifyState::Failed));
        add(&server, "ns/a", times[0], None);
        let at = |path: &str| server.store_path("tank").join(path);
        std::fs::create_dir_all(at("ns/a").join(times[1])).unwrap();
        std::fs::create_dir_all(at("ns/a").join(times[2])).unwrap();
        std::fs::write(at("ns/a").join(times[2]).join("index.json.blob"), "nonsense").unwrap();
        assert_eq!(count(&server), (2, 2, [1, 1, 1, 1, 1]));

        // A manifest of the same inode, size and time is not looked into.
        let place = at(times[1]).join("index.json.blob");
        let metadata = std::fs::metadata(&place).unwrap();
        std::fs::write(&place, vec![0; usize::try_from(metadata.len()).unwrap()]).unwrap();
        let file = std::fs::File::options().write(true).open(&place).unwrap();
        file.set_modified(metadata.modified().unwrap()).unwrap();
        assert_eq!(count(&server), (2, 2, [1, 1, 1, 1, 1]));
        add(&server, "", times[1], Some(VerifyState::Ok));
        std::fs::remove_dir_all(at("ns/a/host")).unwrap();
        assert_eq!(count(&server), (2, 1, [2, 0, 0, 0, 0]));
    }

    #[test]
    fn a_store_that_cannot_be_opened_keeps_its_last_counts() {
        let server = TestServer::new();
        server.add_datastore_without_chunks("tank");
        add(&server, "", "host/x/2026-01-01T10:00:00Z", None);
        count(&server);
        let tank: DatastoreName = "tank".parse().unwrap();
        std::fs::rename(server.store_path("tank"), server.store_path("away")).unwrap();
        server.app.stores.close(&tank);
        assert!(server.app.census.count(&server.app, &tank).is_err());
        assert_eq!(server.app.census.counts(&tank).unwrap().of(SnapshotState::Unverified), 1);
        let status = GcStatus { upid: Some("u".to_owned()), pending_bytes: 7, ..GcStatus::default() };
        server.app.census.note_gc(&tank, &status);
        assert_eq!(server.app.census.counts(&tank).unwrap().gc.as_ref().unwrap().pending_bytes, 7);
        server.app.census.keep(&[]);
        assert!(server.app.census.counts(&tank).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_loop_counts_all_stores_and_stops_when_told() {
        let server = TestServer::new();
        server.add_datastore_without_chunks("tank");
        let shutdown = CancellationToken::new();
        let counting = tokio::spawn(keep_census(Arc::clone(&server.app), shutdown.clone()));
        while server.app.census.counts(&"tank".parse().unwrap()).is_none() {
            tokio::time::sleep(TICK).await;
        }
        shutdown.cancel();
        counting.await.unwrap();
    }
}
