//! The course of a run: verify, mend, verify again.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use farhold_datastore::Datastore;
use farhold_datastore::verify::{Reverify, SnapshotVerdict, Verifier, VerifyEvent, VerifyWatch};
use farhold_format::manifest::Manifest;
use farhold_format::upid::Upid;
use farhold_types::{ArchiveName, CryptMode, Digest, Epoch, Group, Namespace, Snapshot, SnapshotItem};
use tokio_util::sync::CancellationToken;

use crate::ahead::prepare::MAX_BLOB_BYTES;
use crate::blocking::Blocking;
use crate::chunks::check_pool::{CheckPool, ExpectedChunk};
use crate::event::SyncEvent;
use crate::outcome::chain;
use crate::readers::SnapshotReader;
use crate::received::ReceivedFiles;
use crate::repair::find::{Found, find, path};
use crate::repair::findings::Findings;
use crate::repair::{MayMend, RepairEnds, RepairError, RepairEvent, RepairOptions, RepairReport, RepairSink, Unmended};
use crate::retry::Retry;
use crate::source::Source;

/// Chunks that are looked for, by digest.
pub(super) type Wanted = BTreeMap<Digest, ExpectedChunk>;

/// A snapshot of the source that is open.
pub(super) struct Copy<S: Source> {
    pub(super) reader: Arc<SnapshotReader<S>>,
    pub(super) snapshot: Snapshot,
    pub(super) raw_manifest: bytes::Bytes,
    pub(super) manifest: Manifest,
}

/// A snapshot that was damaged and could not be mended from its own copy alone.
struct Case {
    ns: Namespace,
    snapshot: Snapshot,
    why: String,
    /// Whether it may be whole when chunks are found elsewhere.
    waits_for_chunks: bool,
}

/// A run.
pub(super) struct Run<S: Source> {
    pub(super) options: RepairOptions,
    pub(super) store: Datastore,
    pub(super) source: Arc<S>,
    may_mend: MayMend,
    pub(super) verifier: Arc<Verifier>,
    upid: Upid,
    pub(super) events: Arc<dyn RepairSink>,
    cancel: CancellationToken,
    retry: Arc<Retry>,
    pub(super) pool: CheckPool,
    received: Arc<ReceivedFiles>,
    pub(super) report: RepairReport,
    /// The listing of the group that was asked for last.
    listing: Option<(Namespace, Group, Result<Vec<SnapshotItem>, String>)>,
    /// Chunks that nobody has given yet.
    pub(super) wanted: Wanted,
    /// Chunks that were put in place, or would be.
    pub(super) placed: BTreeSet<Digest>,
    /// Whether the store has no space left.
    pub(super) is_full: bool,
    /// Where chunks are likely to be found: groups of the source, and a time near to which.
    pub(super) near: BTreeMap<(Namespace, Group), Epoch>,
    /// Snapshots of the source that were looked at.
    pub(super) tried: BTreeSet<(Namespace, Snapshot)>,
    cases: Vec<Case>,
}

impl<S: Source> Run<S> {
    pub(super) fn new(
        options: RepairOptions,
        ends: RepairEnds<S>,
        upid: Upid,
        events: Arc<dyn RepairSink>,
        cancel: CancellationToken,
    ) -> Self {
        let RepairEnds { store, source, may_mend } = ends;
        let verifier = Verifier::new(store.clone(), options.verify);
        let verifier = Arc::new(if options.is_dry { verifier.looking_only() } else { verifier });
        let sink = Arc::clone(&events);
        let on_retry = move |event: &SyncEvent| {
            if let SyncEvent::Retry { attempt, pause, error } = event {
                sink.event(&RepairEvent::Retry { attempt: *attempt, pause: *pause, error });
            }
        };
        let retry = Arc::new(Retry::new(Arc::new(on_retry), options.patience, options.pause_seed));
        Self {
            options,
            store,
            source,
            may_mend,
            verifier,
            upid,
            events,
            cancel,
            retry,
            pool: CheckPool::new(Blocking::Threads),
            received: Arc::default(),
            report: RepairReport::default(),
            listing: None,
            wanted: Wanted::new(),
            placed: BTreeSet::new(),
            is_full: false,
            near: BTreeMap::new(),
            tried: BTreeSet::new(),
            cases: Vec::new(),
        }
    }

    /// Does everything; what was done stands in the report.
    pub(super) async fn go(&mut self) -> Result<(), RepairError> {
        let mut found = self.find().await?;
        self.report.snapshots = found.snapshots;
        self.events.event(&RepairEvent::Found {
            snapshots: found.snapshots,
            suspects: found.suspects.len() as u64,
            set_aside: found.set_aside.len() as u64,
        });
        self.tell_groups(&mut found).await?;
        self.report.owners = found.owned.len() as u64;
        self.report.unmended = found.unmendable;
        for (done, (ns, snapshot)) in found.suspects.iter().enumerate() {
            if self.is_full {
                self.report.unexamined = (found.suspects.len() - done) as u64;
                self.events.event(&RepairEvent::NoSpace { unexamined: self.report.unexamined });
                break;
            }
            self.events.event(&RepairEvent::Examining { done: done as u64 });
            self.mend(ns, snapshot).await?;
        }
        let before = self.wanted.len();
        // What came with another snapshot is there now.
        let placed = &self.placed;
        self.wanted.retain(|digest, _| !placed.contains(digest));
        if !self.wanted.is_empty() && !self.is_full {
            self.search().await?;
        }
        self.conclude(self.wanted.len() < before).await
    }

    /// Tells which groups got an owner, and what is wrong with others: of those without an owner also who owns the source's.
    async fn tell_groups(&mut self, found: &mut Found) -> Result<(), RepairError> {
        if let Some(owner) = &self.options.owner {
            for what in &found.owned {
                self.events.event(&RepairEvent::Owned { what, owner });
            }
        }
        for unmended in &mut found.unmendable {
            if let Some((ns, group)) = &unmended.ownerless {
                let ns = self.on_source(ns)?;
                let items = self.listed(&ns, group).await?.unwrap_or_default();
                if let Some(owner) = items.into_iter().find_map(|item| item.owner) {
                    unmended.why.push_str(&format!("; that of the source belongs to '{owner}'"));
                }
            }
            self.events.event(&RepairEvent::Unmendable(unmended));
        }
        Ok(())
    }

    /// Waits for what is still being stored.
    pub(super) async fn drain(&self) {
        self.pool.drain().await;
    }

    /// Waits for something of the network, unless the run is asked to stop.
    pub(super) async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, RepairError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(RepairError::Cancelled),
            done = work => Ok(done),
        }
    }

    fn check_cancelled(&self) -> Result<(), RepairError> {
        if self.cancel.is_cancelled() { Err(RepairError::Cancelled) } else { Ok(()) }
    }

    async fn find(&self) -> Result<Found, RepairError> {
        let (store, options, may_mend) = (self.store.clone(), self.options.clone(), Arc::clone(&self.may_mend));
        let cancel = self.cancel.clone();
        let work = move || find(&store, &options, &may_mend, &|| cancel.is_cancelled());
        let found = blocking(work).await??;
        self.check_cancelled()?;
        Ok(found)
    }

    /// Verifies a snapshot. What is wrong with it comes back beside the verdict.
    async fn examine(&self, ns: &Namespace, snapshot: &Snapshot) -> Result<(SnapshotVerdict, Findings), RepairError> {
        let (verifier, upid, events) = (Arc::clone(&self.verifier), self.upid.clone(), Arc::clone(&self.events));
        let (ns, snapshot, cancel) = (ns.clone(), snapshot.clone(), self.cancel.clone());
        let work = move || {
            let findings = Mutex::new(Findings::default());
            let on_event = |event: &VerifyEvent<'_>| {
                events.event(&RepairEvent::Verify(event));
                findings.lock().unwrap_or_else(PoisonError::into_inner).take(event);
            };
            let watch = VerifyWatch { on_event: &on_event, is_stopped: &|| cancel.is_cancelled() };
            let verdict = verifier.verify_snapshot(&ns, &snapshot, &upid, &Reverify::Always, &watch);
            verdict.map(|verdict| (verdict, findings.into_inner().unwrap_or_else(PoisonError::into_inner)))
        };
        blocking(work).await?.map_err(|_| RepairError::Cancelled)
    }

    /// Verifies a snapshot and mends it as far as its copy can.
    async fn mend(&mut self, ns: &Namespace, snapshot: &Snapshot) -> Result<(), RepairError> {
        let (verdict, mut findings) = self.examine(ns, snapshot).await?;
        match verdict {
            SnapshotVerdict::Skipped(_) => {
                self.report.busy += 1;
                return Ok(());
            }
            SnapshotVerdict::Ok => {
                self.report.examined += 1;
                return Ok(());
            }
            SnapshotVerdict::Failed => {
                self.report.examined += 1;
                self.report.damaged += 1;
            }
        }
        let copy = match self.copy_of(ns, snapshot).await? {
            Ok(copy) => Some(copy),
            Err(why) => {
                self.events.event(&RepairEvent::NoCopy { namespace: ns, snapshot, why: &why });
                findings.problem(why);
                None
            }
        };
        let mut has_changed = false;
        let mut refused = None;
        if findings.has_bad_files
            && let Some(copy) = &copy
        {
            match self.mend_files(ns, snapshot, copy).await? {
                Ok(files) => {
                    has_changed = files != 0 && !self.options.is_dry;
                    if has_changed {
                        // The chunks of an index that came are to be looked at, too.
                        let (verdict, found) = self.examine(ns, snapshot).await?;
                        if verdict == SnapshotVerdict::Ok {
                            self.is_mended(ns, snapshot);
                            return Ok(());
                        }
                        findings = found;
                        findings.tell_bad_again(&self.placed);
                    } else if files != 0 {
                        findings.has_bad_files = false;
                    }
                }
                Err(why) => {
                    self.events.event(&RepairEvent::FilesRefused { why: &why });
                    refused = Some(why);
                }
            }
        }
        let mut wanted = self.wanted_of(ns, snapshot, &findings).await?;
        if self.options.is_dry {
            // Those that would have come with another snapshot.
            wanted.retain(|digest, _| !self.placed.contains(digest));
        }
        if let Some(copy) = &copy
            && !wanted.is_empty()
        {
            let before = wanted.len();
            self.take_chunks(copy, &mut wanted).await?;
            if !wanted.is_empty() {
                for why in self.take_in_other_form(ns, snapshot, copy, &mut wanted).await? {
                    findings.problem(why);
                }
            }
            has_changed |= wanted.len() < before;
        }
        if let Some(copy) = copy {
            copy.reader.close().await;
        }
        let is_waiting = !wanted.is_empty();
        if is_waiting {
            if let Ok(ns) = self.on_source(ns) {
                self.near.insert((ns, snapshot.group.clone()), snapshot.time);
            }
            self.wanted.append(&mut wanted);
        } else if has_changed && refused.is_none() && !self.options.is_dry {
            let (verdict, found) = self.examine(ns, snapshot).await?;
            if verdict == SnapshotVerdict::Ok {
                self.is_mended(ns, snapshot);
                return Ok(());
            }
            findings = found;
            findings.tell_bad_again(&self.placed);
        } else if self.options.is_dry && refused.is_none() && !findings.has_bad_files {
            self.is_mended(ns, snapshot);
            return Ok(());
        }
        let can_wait = is_waiting && refused.is_none() && !(self.options.is_dry && findings.has_bad_files);
        let why = refused.into_iter().chain([findings.text()]).collect::<Vec<_>>().join("; ");
        let (ns, snapshot) = (ns.clone(), snapshot.clone());
        self.cases.push(Case { ns, snapshot, why, waits_for_chunks: can_wait });
        Ok(())
    }

    fn is_mended(&mut self, namespace: &Namespace, snapshot: &Snapshot) {
        self.report.mended += 1;
        self.report.mended_snapshots.push(path(namespace, snapshot));
        self.events.event(&RepairEvent::Mended { namespace, snapshot });
    }

    /// Returns the namespace of the source that stands for one of the store.
    fn on_source(&self, ns: &Namespace) -> Result<Namespace, RepairError> {
        let mapped = ns.remap(&self.options.anchor, &self.options.source_anchor);
        mapped.map_err(|source| RepairError::Namespace { namespace: ns.clone(), source })
    }

    /// Opens the source's snapshot of the same name. The inner error says why there is none.
    async fn copy_of(&mut self, ns: &Namespace, snapshot: &Snapshot) -> Result<Result<Copy<S>, String>, RepairError> {
        let source_ns = self.on_source(ns)?;
        let items = match self.listed(&source_ns, &snapshot.group).await? {
            Ok(items) => items,
            Err(why) => return Ok(Err(why)),
        };
        if !items.iter().any(|item| item.backup_time == snapshot.time) {
            return Ok(Err("the source does not have this snapshot".to_owned()));
        }
        self.open(&source_ns, snapshot).await
    }

    /// Lists a group of the source; asks once for several snapshots of a group.
    pub(super) async fn listed(
        &mut self,
        source_ns: &Namespace,
        group: &Group,
    ) -> Result<Result<Vec<SnapshotItem>, String>, RepairError> {
        if let Some((ns, name, listing)) = &self.listing
            && (ns, name) == (source_ns, group)
        {
            return Ok(listing.clone());
        }
        let asked = self.retry.run(|| self.source.snapshots(source_ns, group));
        let listing = self.unless_cancelled(asked).await?.map(|listed| listed.items).map_err(|error| chain(&error));
        self.listing = Some((source_ns.clone(), group.clone(), listing.clone()));
        Ok(listing)
    }

    /// Returns what asks the source again when the line breaks.
    pub(super) fn retry(&self) -> Arc<Retry> {
        Arc::clone(&self.retry)
    }

    /// Opens a snapshot of the source and reads its manifest.
    pub(super) async fn open(
        &mut self,
        source_ns: &Namespace,
        snapshot: &Snapshot,
    ) -> Result<Result<Copy<S>, String>, RepairError> {
        self.tried.insert((source_ns.clone(), snapshot.clone()));
        let (source, received) = (Arc::clone(&self.source), Arc::clone(&self.received));
        let reader = SnapshotReader::over(source, received, source_ns.clone(), snapshot.clone(), self.retry());
        let name = ArchiveName::manifest();
        let raw_manifest = match self.unless_cancelled(reader.file(&name, MAX_BLOB_BYTES)).await? {
            Ok(raw) => raw,
            Err(error) => return Ok(Err(format!("the source's manifest cannot be had: {}", chain(&error)))),
        };
        let manifest = match Manifest::from_blob(&raw_manifest) {
            Ok(manifest) if manifest.snapshot() == *snapshot => manifest,
            Ok(_) => return Ok(Err("the source's manifest is that of another snapshot".to_owned())),
            Err(error) => return Ok(Err(format!("the source's manifest is damaged: {}", chain(&error)))),
        };
        Ok(Ok(Copy { reader: Arc::new(reader), snapshot: snapshot.clone(), raw_manifest, manifest }))
    }

    /// Returns the bad chunks of a snapshot as its indexes want them.
    async fn wanted_of(&self, ns: &Namespace, snapshot: &Snapshot, findings: &Findings) -> Result<Wanted, RepairError> {
        let (store, ns, snapshot, bad) = (self.store.clone(), ns.clone(), snapshot.clone(), findings.chunks.clone());
        blocking(move || {
            let mut wanted = Wanted::new();
            let Ok((manifest, _)) = store.read_manifest(&ns, &snapshot) else { return wanted };
            for (name, digests) in bad {
                let Some(file) = manifest.file(&name) else { continue };
                let Ok(index) = store.open_index(&ns, &snapshot, &name) else { continue };
                let is_encrypted = file.crypt_mode == CryptMode::Encrypt;
                for chunk in index.chunks().filter(|chunk| digests.contains(&chunk.digest)) {
                    if let Ok(length) = u32::try_from(chunk.size_bytes()) {
                        wanted.insert(chunk.digest, ExpectedChunk { digest: chunk.digest, length, is_encrypted });
                    }
                }
            }
            wanted
        })
        .await
    }

    /// Verifies again what may be whole now, and reports the rest.
    async fn conclude(&mut self, has_found_chunks: bool) -> Result<(), RepairError> {
        for Case { ns, snapshot, mut why, waits_for_chunks } in std::mem::take(&mut self.cases) {
            if waits_for_chunks && has_found_chunks && !self.options.is_dry {
                let (verdict, mut found) = self.examine(&ns, &snapshot).await?;
                if verdict == SnapshotVerdict::Ok {
                    self.is_mended(&ns, &snapshot);
                    continue;
                }
                found.tell_bad_again(&self.placed);
                why = found.text();
            } else if waits_for_chunks && self.options.is_dry && self.wanted.is_empty() {
                self.is_mended(&ns, &snapshot);
                continue;
            }
            self.events.event(&RepairEvent::NotMended { namespace: &ns, snapshot: &snapshot, why: &why });
            self.report.unmended.push(Unmended { what: path(&ns, &snapshot), why, ownerless: None });
        }
        Ok(())
    }
}

/// Runs blocking work that ends by itself when the run is stopped.
pub(super) async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, RepairError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| RepairError::Crashed)
}
