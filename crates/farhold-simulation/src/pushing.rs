//! The target of a push: the real writer of backup sessions and the real rules of what a session may do, at the other end of
//! the line.
//!
//! As at a real server, a session whose connection breaks holds its locks for a moment until the server notices; then its
//! snapshot is removed. Chunks are stored as they come: that nothing damaged is sent is left to the engine alone.
//!
//! Source: `docs/spec/wire-protocol.md` 5, `docs/spec/rest-api.md` 12.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use farhold_datastore::backup::{
    BackupError, BackupKind, BackupWriter, BeginBackupError, DynamicFile, FixedFile, UploadStatistics,
};
use farhold_datastore::{Datastore, DatastoreError, ErrorKind, Inserted, RemoveGroups};
use farhold_protocol::writer::{WriterRefusal, WriterState, check_reuse};
use farhold_protocol::writer_request::WriterKind;
use farhold_sync::{DeletionAnswer, Listed, PushSession, PushTarget, RemoteError, RequestFault};
use farhold_types::{
    ArchiveKind, ArchiveName, Authid, DeleteStatistics, Digest, Group, GroupItem, Namespace, Snapshot, SnapshotItem,
    VersionItem,
};
use tokio::runtime::Handle;

use crate::plant::Plant;
use crate::removable::Use;
use crate::rng::Rng;
use crate::server::Writer;
use crate::world::World;

/// Entries of one append: fewer than a large archive of a world has chunks.
const APPEND_LIMIT: usize = 16;
/// Longest time until a server notices that a connection broke, in milliseconds.
const LINGER_MS: u64 = 3000;
/// Pause of the planted fault between a visible snapshot and its chunks.
const LATE_CHUNKS: Duration = Duration::from_millis(1500);

fn refused(error: impl Display) -> RemoteError {
    RemoteError::new(RequestFault::Refused, error.to_string())
}

fn lost() -> RemoteError {
    RemoteError::new(RequestFault::ConnectionLost, "the connection broke")
}

fn answer(error: &DatastoreError) -> RemoteError {
    refused(error)
}

fn ended(error: &BackupError) -> RemoteError {
    let fault = if error.kind() == ErrorKind::NotFound { RequestFault::NotFound } else { RequestFault::Refused };
    RemoteError::new(fault, error.to_string())
}

fn against(error: &WriterRefusal) -> RemoteError {
    refused(error)
}

/// The target server at the other end of the line, as the job's account may write to it.
pub struct SimulatedTarget {
    world: World,
    account: Authid,
    rng: Rng,
    /// Everything that any session sent, for a planted fault.
    sent: Arc<Mutex<BTreeSet<Digest>>>,
}

impl SimulatedTarget {
    /// Returns the target of `world` for the account that pushes.
    pub fn new(world: World, account: Authid, rng: Rng, sent: Arc<Mutex<BTreeSet<Digest>>>) -> Self {
        Self { world, account, rng, sent }
    }

    /// Sends a request, lets the target work on it and brings the answer back.
    async fn ask<R>(&self, work: impl FnOnce(&Datastore) -> Result<R, RemoteError>) -> Result<R, RemoteError> {
        let (network, server) = (&self.world.network, &self.world.target);
        let cuts = network.cuts();
        network.travel().await.map_err(|_| lost())?;
        let deaths = server.disk().deaths();
        if server.is_dead() {
            return Err(lost());
        }
        let used = self.world.use_target_slowly(&self.rng).await.map_err(refused);
        let answer = match used {
            Ok(_used) => work(&server.store()),
            Err(error) => Err(error),
        };
        network.travel().await.map_err(|_| lost())?;
        if network.cuts() != cuts || server.disk().deaths() != deaths {
            return Err(lost());
        }
        answer
    }

    fn check_owner(&self, store: &Datastore, ns: &Namespace, group: &Group) -> Result<(), RemoteError> {
        let owner = store.owner(ns, group).map_err(|error| answer(&error))?;
        if owner == self.account { Ok(()) } else { Err(refused(format!("the group belongs to {owner}"))) }
    }
}

fn items(store: &Datastore, ns: &Namespace, group: &Group) -> Result<Vec<SnapshotItem>, RemoteError> {
    match store.snapshot_items(ns, group) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        items => items.map_err(|error| answer(&error)),
    }
}

impl PushTarget for SimulatedTarget {
    type Session = SimulatedSession;

    fn identity(&self) -> String {
        "simulated".to_owned()
    }

    fn account(&self) -> &Authid {
        &self.account
    }

    async fn version(&self) -> Result<VersionItem, RemoteError> {
        let version = VersionItem { version: "4.2".to_owned(), release: "1".to_owned(), repoid: String::new() };
        // Answered whatever is mounted.
        self.world.network.travel().await.map_err(|_| lost())?;
        if self.world.target.is_dead() { Err(lost()) } else { Ok(version) }
    }

    async fn namespaces(&self) -> Result<Listed<Namespace>, RemoteError> {
        let list = |store: &Datastore| store.namespaces(&Namespace::root(), usize::MAX).map_err(|error| answer(&error));
        Ok(self.ask(list).await?.into())
    }

    async fn create_namespace(&self, ns: &Namespace) -> Result<(), RemoteError> {
        self.ask(|store| match store.create_namespace(ns) {
            Ok(true) => Ok(()),
            Ok(false) => Err(refused("namespace exists")),
            Err(error) => Err(answer(&error)),
        })
        .await
    }

    async fn groups(&self, ns: &Namespace) -> Result<Listed<GroupItem>, RemoteError> {
        self.ask(|store| {
            let groups = store.groups(ns).map_err(|error| answer(&error))?;
            let item = |group: &Group| store.group_item(ns, group).map_err(|error| answer(&error));
            Ok(groups.iter().map(|info| item(&info.group)).collect::<Result<Vec<_>, _>>()?.into())
        })
        .await
    }

    async fn snapshots(&self, ns: &Namespace, group: &Group) -> Result<Listed<SnapshotItem>, RemoteError> {
        self.ask(|store| Ok(items(store, ns, group)?.into())).await
    }

    async fn snapshots_of_namespace(&self, ns: &Namespace) -> Result<Listed<SnapshotItem>, RemoteError> {
        self.ask(|store| {
            let mut all = Vec::new();
            for info in store.groups(ns).map_err(|error| answer(&error))? {
                all.extend(items(store, ns, &info.group)?);
            }
            Ok(all.into())
        })
        .await
    }

    async fn open(&self, ns: &Namespace, snapshot: &Snapshot) -> Result<SimulatedSession, RemoteError> {
        let network = self.world.network.clone();
        let cuts = network.cuts();
        network.travel().await.map_err(|_| lost())?;
        if self.world.target.is_dead() {
            return Err(lost());
        }
        let used = self.world.use_target_slowly(&self.rng).await.map_err(refused)?;
        let begun = self.world.target.writer();
        let store = self.world.target.store();
        let writer = store.begin_backup(ns, snapshot, &self.account, BackupKind::Normal).map_err(|error| {
            let is_missing = matches!(error, BeginBackupError::NamespaceMissing { .. });
            let fault = if is_missing { RequestFault::NotFound } else { RequestFault::Refused };
            RemoteError::new(fault, error.to_string())
        })?;
        let open = Open {
            writer,
            state: WriterState::new(),
            indexes: BTreeMap::new(),
            late: Vec::new(),
            _begun: begun,
            _used: used,
        };
        let session = SimulatedSession {
            deaths: self.world.target.disk().deaths(),
            world: self.world.clone(),
            cuts,
            rng: self.rng.fork(),
            sent: Arc::clone(&self.sent),
            open: Mutex::new(Some(open)),
        };
        // A session whose beginning nobody heard of lingers as one that broke.
        session.travel().await?;
        drop(session.open()?);
        Ok(session)
    }

    async fn delete_snapshot(&self, ns: &Namespace, snapshot: &Snapshot) -> Result<(), RemoteError> {
        self.ask(|store| {
            self.check_owner(store, ns, &snapshot.group)?;
            store.remove_snapshot(ns, snapshot).map_err(|error| answer(&error))
        })
        .await
    }

    async fn delete_group(
        &self,
        ns: &Namespace,
        group: &Group,
        _: DeletionAnswer,
    ) -> Result<Option<DeleteStatistics>, RemoteError> {
        self.ask(|store| {
            self.check_owner(store, ns, group)?;
            store.remove_group(ns, group).map(Some).map_err(|error| answer(&error))
        })
        .await
    }

    async fn delete_empty_namespace(&self, ns: &Namespace) -> Result<(), RemoteError> {
        self.ask(|store| {
            let is_there = store.namespace_exists(ns).map_err(|error| answer(&error))?;
            let removal = store.remove_namespace(ns, RemoveGroups::No).map_err(|error| answer(&error))?;
            match removal.remaining.is_empty() {
                true if is_there => Ok(()),
                true => Err(refused("no such namespace")),
                false => Err(refused("namespace is not empty")),
            }
        })
        .await
    }

    async fn set_notes(&self, ns: &Namespace, snapshot: &Snapshot, notes: &str) -> Result<(), RemoteError> {
        self.ask(|store| {
            self.check_owner(store, ns, &snapshot.group)?;
            store.set_snapshot_notes(ns, snapshot, notes).map_err(|error| answer(&error))
        })
        .await
    }

    async fn upload_log(&self, ns: &Namespace, snapshot: &Snapshot, log: Bytes) -> Result<(), RemoteError> {
        self.ask(|store| {
            self.check_owner(store, ns, &snapshot.group)?;
            store.put_client_log(ns, snapshot, &log).map_err(|error| answer(&error))
        })
        .await
    }
}

enum IndexFile {
    Fixed(FixedFile),
    Dynamic(DynamicFile),
}

/// A session as the target has it. Dropping it gives everything back in the order of the fields: the snapshot is removed
/// before the target may be unmounted.
struct Open {
    writer: BackupWriter,
    state: WriterState,
    indexes: BTreeMap<u64, IndexFile>,
    /// Chunks that a planted fault writes when the snapshot is visible.
    late: Vec<(Digest, Bytes)>,
    _begun: Writer,
    _used: Use,
}

/// A snapshot that is being written on the target.
pub struct SimulatedSession {
    world: World,
    cuts: u64,
    deaths: u64,
    rng: Rng,
    sent: Arc<Mutex<BTreeSet<Digest>>>,
    /// None once the connection is gone.
    open: Mutex<Option<Open>>,
}

/// An index that is being written.
pub struct SimulatedWriter {
    kind: WriterKind,
    number: u64,
}

impl Drop for SimulatedSession {
    fn drop(&mut self) {
        self.break_off();
    }
}

impl SimulatedSession {
    fn place(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the process that has the session is gone.
    fn is_dead(&self) -> bool {
        self.world.target.disk().deaths() != self.deaths
    }

    /// Lets go of the session as when the connection breaks: the target notices a little later.
    fn break_off(&self) {
        let Some(open) = self.place().take() else { return };
        let pause = self.rng.millis(0, LINGER_MS);
        match Handle::try_current() {
            Ok(runtime) if !self.is_dead() => {
                runtime.spawn(async move {
                    tokio::time::sleep(pause).await;
                    drop(open);
                });
            }
            _ => drop(open),
        }
    }

    fn open(&self) -> Result<MutexGuard<'_, Option<Open>>, RemoteError> {
        if self.world.network.cuts() != self.cuts || self.is_dead() {
            self.break_off();
        }
        let open = self.place();
        if open.is_some() { Ok(open) } else { Err(lost()) }
    }

    async fn travel(&self) -> Result<(), RemoteError> {
        let outcome = self.world.network.travel().await;
        if outcome.is_err() {
            self.break_off();
        }
        outcome.map_err(|_| lost())
    }

    /// Sends a request of the session, lets the target work on it and brings the answer back.
    async fn ask<R>(&self, work: impl FnOnce(&mut Open) -> Result<R, RemoteError>) -> Result<R, RemoteError> {
        self.travel().await?;
        let answer = match &mut *self.open()? {
            Some(open) => work(open),
            None => return Err(lost()),
        };
        self.travel().await?;
        drop(self.open()?);
        answer
    }

    fn plant(&self) -> Plant {
        self.world.target.disk().planted()
    }

    fn store(&self, open: &mut Open, digest: &Digest, encoded: &Bytes) -> Result<bool, RemoteError> {
        let was_sent = !self.sent.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest);
        if was_sent && self.plant() == Plant::KnownAssumed {
            return Ok(true);
        }
        if self.plant() == Plant::ManifestFirst {
            open.late.push((*digest, encoded.clone()));
            return Ok(false);
        }
        let inserted = open.writer.insert_chunk(digest, encoded).map_err(|error| ended(&error))?;
        Ok(matches!(inserted, Inserted::Duplicate))
    }
}

/// Digests and lengths of the chunks of an index.
fn lengths(index: &farhold_format::index::Index) -> impl Iterator<Item = (Digest, u32)> + '_ {
    index.chunks().map(|chunk| (chunk.digest, u32::try_from(chunk.end - chunk.start).unwrap_or(u32::MAX)))
}

impl PushSession for SimulatedSession {
    type Writer = SimulatedWriter;

    async fn previous(&self, name: &ArchiveName, max_bytes: u64) -> Result<Bytes, RemoteError> {
        let raw = self
            .ask(|open| {
                if name.kind() == ArchiveKind::Blob {
                    return open.writer.base_file(name).map_err(|error| ended(&error));
                }
                let index = open.writer.base_index(name).map_err(|error| ended(&error))?;
                open.state.register_previous(lengths(&index)).map_err(|error| against(&error))?;
                Ok(index.as_bytes().clone())
            })
            .await?;
        if max_bytes < raw.len() as u64 {
            return Err(RemoteError::new(RequestFault::TooLarge, "too large"));
        }
        Ok(raw)
    }

    async fn create_fixed(
        &self,
        name: &ArchiveName,
        size_bytes: u64,
        reuse: Option<&Digest>,
    ) -> Result<SimulatedWriter, RemoteError> {
        self.ask(|open| {
            let size = Some(size_bytes);
            open.state.check_new_fixed(size).map_err(|error| against(&error))?;
            let base = match reuse {
                None => None,
                Some(checksum) => {
                    let index = open.writer.base_index(name).map_err(|error| ended(&error))?;
                    let is = Some((index.checksum(), index.chunk_count() as u64));
                    check_reuse(size, is, Some(*checksum)).map_err(|error| against(&error))?;
                    Some(index)
                }
            };
            let file = open.writer.create_fixed(name, size, base.as_ref()).map_err(|error| ended(&error))?;
            let number = open.state.register_fixed(name.clone(), size, base.is_some());
            let number = number.map_err(|error| against(&error))?;
            open.indexes.insert(number, IndexFile::Fixed(file));
            Ok(SimulatedWriter { kind: WriterKind::Fixed, number })
        })
        .await
    }

    async fn create_dynamic(&self, name: &ArchiveName) -> Result<SimulatedWriter, RemoteError> {
        self.ask(|open| {
            open.state.check_new_index().map_err(|error| against(&error))?;
            let file = open.writer.create_dynamic(name).map_err(|error| ended(&error))?;
            let number = open.state.register_dynamic(name.clone()).map_err(|error| against(&error))?;
            open.indexes.insert(number, IndexFile::Dynamic(file));
            Ok(SimulatedWriter { kind: WriterKind::Dynamic, number })
        })
        .await
    }

    async fn upload_chunk(
        &self,
        writer: &SimulatedWriter,
        digest: &Digest,
        plain_bytes: u64,
        encoded: Bytes,
    ) -> Result<(), RemoteError> {
        self.ask(|open| {
            open.state.check_chunk(writer.kind, writer.number, plain_bytes).map_err(|error| against(&error))?;
            let is_duplicate = self.store(open, digest, &encoded)?;
            let (plain, bytes) = (u32::try_from(plain_bytes).unwrap_or(u32::MAX), encoded.len() as u64);
            let known = open.state.register_chunk(writer.kind, writer.number, *digest, plain, bytes, is_duplicate);
            known.map_err(|error| against(&error))?;
            self.world.network.count_chunk(bytes);
            Ok(())
        })
        .await
    }

    async fn append(&self, writer: &SimulatedWriter, entries: &[(Digest, u64)]) -> Result<(), RemoteError> {
        let (digests, starts): (Vec<_>, Vec<_>) = entries.iter().copied().unzip();
        self.ask(|open| {
            let Open { state, indexes, .. } = open;
            let unknown = || against(&WriterRefusal::UnknownWriter { writer: writer.number });
            let (written, refusal) = match indexes.get(&writer.number).ok_or_else(unknown)? {
                IndexFile::Fixed(file) => {
                    let append = state.append_fixed(writer.number, &digests, &starts);
                    let appended = append.map_err(|error| against(&error))?.appended;
                    (appended.entries.iter().try_for_each(|e| file.set(e.slot, &e.digest)), appended.refusal)
                }
                IndexFile::Dynamic(file) => {
                    let appended = state.append_dynamic(writer.number, &digests, &starts);
                    let appended = appended.map_err(|error| against(&error))?;
                    (appended.entries.iter().try_for_each(|e| file.push(e.end, &e.digest)), appended.refusal)
                }
            };
            if let Err(error) = written {
                state.break_writer(writer.number);
                return Err(ended(&error));
            }
            refusal.map_or(Ok(()), |refusal| Err(against(&refusal)))
        })
        .await
    }

    fn append_limit(&self) -> usize {
        APPEND_LIMIT
    }

    async fn close_writer(
        &self,
        writer: &SimulatedWriter,
        chunk_count: u64,
        size_bytes: u64,
        checksum: &Digest,
    ) -> Result<(), RemoteError> {
        self.ask(|open| {
            let checked = open.state.check_close(writer.kind, writer.number, chunk_count, size_bytes);
            checked.map_err(|error| against(&error))?;
            let finished = match open.indexes.remove(&writer.number) {
                Some(IndexFile::Fixed(file)) => file.finish(checksum),
                Some(IndexFile::Dynamic(file)) => file.finish(checksum),
                None => return Err(against(&WriterRefusal::UnknownWriter { writer: writer.number })),
            };
            if let Err(error) = finished {
                open.state.break_writer(writer.number);
                return Err(ended(&error));
            }
            open.state.close(writer.kind, writer.number).map(drop).map_err(|error| against(&error))
        })
        .await
    }

    async fn blob(&self, name: &ArchiveName, encoded: Bytes) -> Result<(), RemoteError> {
        self.ask(|open| {
            open.state.check_active().map_err(|error| against(&error))?;
            open.writer.put_blob(name, &encoded).map_err(|error| ended(&error))?;
            open.state.register_blob(encoded.len() as u64);
            Ok(())
        })
        .await
    }

    async fn finish(&self) -> Result<(), RemoteError> {
        self.ask(|open| {
            let uploaded = open.state.begin_finish().map_err(|error| against(&error))?;
            let statistics = UploadStatistics {
                count: uploaded.chunk_count,
                size_bytes: uploaded.size_bytes,
                compressed_bytes: uploaded.encoded_bytes,
                duplicates: uploaded.duplicate_count,
            };
            match open.writer.finish(&statistics) {
                Ok(()) => open.state.finished(),
                Err(error) => {
                    if matches!(error, BackupError::BaseVanished { .. }) {
                        open.state.back_to_active();
                    }
                    return Err(ended(&error));
                }
            }
            let (store, late) = (open.writer.store().clone(), std::mem::take(&mut open.late));
            if !late.is_empty() {
                tokio::spawn(async move {
                    tokio::time::sleep(LATE_CHUNKS).await;
                    late.iter().for_each(|(digest, bytes)| drop(store.insert_chunk(digest, bytes)));
                });
            }
            Ok(())
        })
        .await
    }

    async fn close(&self) {
        drop(self.place().take());
    }
}
