//! The line between the servers, and the source as the pulling server sees it through it.
//!
//! Requests take time, connections break before or after the request did its work, or go silent until the client's limit
//! for silence ends them. Behind the line is the real store of the source server with its locks; an open snapshot is
//! locked until its connection is closed or lost, and gives chunks only of indexes that were read through it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use farhold_format::index::Index;
use farhold_sync::{
    Blocking, Listed, LocalSnapshotReader, LocalSource, RequestFault, Source, SourceError, SourceSnapshot, Visibility,
};
use farhold_types::{ArchiveKind, ArchiveName, Authid, Digest, Group, Namespace, Snapshot, SnapshotItem};
use tokio::time::Instant;

use crate::plant::Plant;
use crate::rng::Rng;
use crate::server::Server;

/// How long a client waits for a silent peer.
const SILENCE: Duration = Duration::from_secs(60);

/// What is wrong with the line. Nothing by default, apart from the time everything takes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Requests of a thousand whose connection breaks.
    pub cut_permille: u64,
    /// Requests of a thousand whose connection goes silent.
    pub stall_permille: u64,
    /// Longest time of one way in milliseconds.
    pub delay_ms: u64,
}

struct State {
    weather: Weather,
    down_until: Option<Instant>,
    rng: Rng,
    plant: Plant,
}

/// The line. Clones are the same.
#[derive(Clone)]
pub struct Network {
    state: Arc<Mutex<State>>,
    /// Counts the times at which all connections broke.
    cuts: Arc<AtomicU64>,
    chunks: Arc<AtomicU64>,
    chunk_bytes: Arc<AtomicU64>,
}

fn lost() -> SourceError {
    SourceError::new(RequestFault::ConnectionLost, "the connection broke")
}

impl Network {
    /// Returns a line in good weather.
    pub fn new(rng: Rng) -> Self {
        let state = State { weather: Weather::default(), down_until: None, rng, plant: Plant::Nothing };
        Self {
            state: Arc::new(Mutex::new(state)),
            cuts: Arc::default(),
            chunks: Arc::default(),
            chunk_bytes: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plants a fault.
    pub fn plant(&self, plant: Plant) {
        self.lock().plant = plant;
    }

    /// Changes the weather.
    pub fn set_weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// Breaks all connections and refuses new ones for a time.
    pub fn black_out(&self, duration: Duration) {
        self.lock().down_until = Some(Instant::now() + duration);
        self.cuts.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends a black-out.
    pub fn heal(&self) {
        self.lock().down_until = None;
    }

    /// Returns how many chunks the source answered with, and their bytes, since the last call.
    pub fn take_counts(&self) -> (u64, u64) {
        (self.chunks.swap(0, Ordering::Relaxed), self.chunk_bytes.swap(0, Ordering::Relaxed))
    }

    /// Counts a chunk that was sent over the line.
    pub(crate) fn count_chunk(&self, bytes: u64) {
        self.chunks.fetch_add(1, Ordering::Relaxed);
        self.chunk_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// One way of a request or an answer.
    pub(crate) async fn travel(&self) -> Result<(), SourceError> {
        let (delay, is_down, is_cut, is_stalled) = {
            let state = self.lock();
            let weather = state.weather;
            let is_down = state.down_until.is_some_and(|end| Instant::now() < end);
            let of_a_thousand = state.rng.below(1000);
            let is_cut = of_a_thousand < weather.cut_permille;
            let is_stalled = !is_cut && of_a_thousand < weather.cut_permille + weather.stall_permille;
            (state.rng.millis(0, weather.delay_ms), is_down, is_cut, is_stalled)
        };
        tokio::time::sleep(delay).await;
        if is_stalled {
            tokio::time::sleep(SILENCE).await;
        }
        if is_down || is_cut || is_stalled { Err(lost()) } else { Ok(()) }
    }

    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }
}

/// The source server at the other end of the line.
pub struct SimulatedSource {
    server: Server,
    network: Network,
    blocking: Blocking,
}

impl SimulatedSource {
    /// Returns `server` as it is seen through `network`.
    pub const fn new(server: Server, network: Network, blocking: Blocking) -> Self {
        Self { server, network, blocking }
    }

    fn local(&self) -> LocalSource {
        let everything = |_: &Namespace, _: &Authid| true;
        LocalSource::new(self.server.store(), Arc::new(everything)).with_blocking(self.blocking.clone())
    }

    /// Sends a request, lets the source work on it and brings the answer back.
    async fn ask<R>(&self, work: impl Future<Output = Result<R, SourceError>>) -> Result<R, SourceError> {
        let cuts = self.network.cuts();
        self.network.travel().await?;
        let answer = work.await;
        self.network.travel().await?;
        if self.network.cuts() != cuts || self.server.is_dead() {
            return Err(lost());
        }
        answer
    }
}

impl Source for SimulatedSource {
    type Snapshot = SimulatedSnapshot;

    fn identity(&self) -> String {
        "simulated".to_owned()
    }

    async fn namespaces(&self, anchor: &Namespace, max_depth: Option<u8>) -> Result<Listed<Namespace>, SourceError> {
        let local = self.local();
        self.ask(local.namespaces(anchor, max_depth)).await
    }

    async fn groups(&self, ns: &Namespace) -> Result<Listed<Group>, SourceError> {
        let local = self.local();
        self.ask(local.groups(ns)).await
    }

    async fn visibility(&self, ns: &Namespace) -> Result<Visibility, SourceError> {
        let local = self.local();
        self.ask(local.visibility(ns)).await
    }

    async fn snapshots(&self, ns: &Namespace, group: &Group) -> Result<Listed<SnapshotItem>, SourceError> {
        let local = self.local();
        let mut listed = self.ask(local.snapshots(ns, group)).await?;
        let state = self.network.lock();
        if state.plant == Plant::ListingShortened && state.rng.chance(20) {
            listed.items.pop();
        }
        Ok(listed)
    }

    async fn peek_manifest(&self, ns: &Namespace, snapshot: &Snapshot, max_bytes: u64) -> Result<Bytes, SourceError> {
        let local = self.local();
        self.ask(local.peek_manifest(ns, snapshot, max_bytes)).await
    }

    async fn open(&self, ns: &Namespace, snapshot: &Snapshot) -> Result<SimulatedSnapshot, SourceError> {
        let local = self.local();
        let cuts = self.network.cuts();
        let reader = self.ask(local.open(ns, snapshot)).await?;
        Ok(SimulatedSnapshot {
            network: self.network.clone(),
            server: self.server.clone(),
            cuts,
            open: Mutex::new(Some(Open { reader: Arc::new(reader), allowed: BTreeSet::new() })),
        })
    }
}

struct Open {
    reader: Arc<LocalSnapshotReader>,
    /// Chunks of the indexes read so far.
    allowed: BTreeSet<Digest>,
}

/// An open snapshot of the source.
pub struct SimulatedSnapshot {
    network: Network,
    server: Server,
    cuts: u64,
    /// None once the connection is gone; the source's lock goes with it.
    open: Mutex<Option<Open>>,
}

impl SimulatedSnapshot {
    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> Result<Arc<LocalSnapshotReader>, SourceError> {
        if self.network.cuts() != self.cuts || self.server.is_dead() {
            *self.open() = None;
        }
        self.open().as_ref().map(|open| open.reader.clone()).ok_or_else(lost)
    }

    async fn travel(&self) -> Result<(), SourceError> {
        let outcome = self.network.travel().await;
        if outcome.is_err() {
            *self.open() = None;
        }
        outcome
    }
}

impl SourceSnapshot for SimulatedSnapshot {
    async fn file(&self, name: &ArchiveName, max_bytes: u64) -> Result<Bytes, SourceError> {
        self.travel().await?;
        let content = self.reader()?.file(name, max_bytes).await;
        if let Ok(content) = &content
            && name.kind() != ArchiveKind::Blob
            && let Ok(index) = Index::parse(name.kind(), content.clone())
            && let Some(open) = &mut *self.open()
        {
            open.allowed.extend(index.digests());
        }
        self.travel().await?;
        self.reader()?;
        content
    }

    async fn chunk(&self, digest: &Digest, max_bytes: u64) -> Result<Bytes, SourceError> {
        self.travel().await?;
        let reader = self.reader()?;
        if !self.open().as_ref().is_some_and(|open| open.allowed.contains(digest)) {
            return Err(SourceError::new(RequestFault::Refused, "the chunk is in no index read through this session"));
        }
        let chunk = reader.chunk(digest, max_bytes).await;
        self.travel().await?;
        self.reader()?;
        if let Ok(chunk) = &chunk {
            self.network.count_chunk(chunk.len() as u64);
        }
        chunk
    }

    async fn close(&self) {
        *self.open() = None;
    }
}
