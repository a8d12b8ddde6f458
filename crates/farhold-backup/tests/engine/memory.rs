//! A server in memory that is as strict as the specification: it knows only the chunks of the session, counts what every
//! writer appends, and shows a snapshot only when it was finished. It answers uploads out of order.
//!
//! Source: `docs/spec/wire-protocol.md` 5.3 and 6.2.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use farhold_backup::{BackupTarget, RestoreSource};
use farhold_client::ClientError;
use farhold_format::blob;
use farhold_format::index::{DynamicIndexBuilder, FIXED_CHUNK_BYTES, FixedIndexBuilder, Index};
use farhold_format::manifest::Manifest;
use farhold_types::{ArchiveKind, ArchiveName, Digest, Epoch, MANIFEST_NAME, Snapshot};

pub const UUID: [u8; 16] = [7; 16];

/// A request that is to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    PreviousTime,
    Previous,
    Create,
    Upload,
    Append,
    Close,
    Blob,
    Finish,
    Chunk,
    Download,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Refused(u16, &'static str),
    Broken,
}

#[derive(Clone, Default)]
pub struct Server(Arc<Mutex<State>>);

#[derive(Default)]
pub struct State {
    pub chunks: HashMap<Digest, Bytes>,
    pub snapshots: BTreeMap<Snapshot, BTreeMap<String, Bytes>>,
    /// The next of these requests after so many others of its kind fails.
    pub faults: HashMap<Step, (usize, Fault)>,
    pub calls: HashMap<Step, usize>,
    pub appended: usize,
    pub closed: Vec<(String, u64, u64)>,
    pub reused: usize,
    pub waiting_bytes: usize,
    pub most_waiting_bytes: usize,
    pub most_waiting: usize,
    waiting: usize,
}

impl Server {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Lets the request after `after` others of its kind fail.
    pub fn fail(&self, step: Step, after: usize, fault: Fault) {
        let mut state = self.state();
        state.calls.clear();
        state.faults.insert(step, (after, fault));
    }

    /// Forgets what was counted.
    pub fn count_anew(&self) {
        let mut state = self.state();
        state.calls.clear();
        state.appended = 0;
        state.reused = 0;
        state.closed.clear();
        state.faults.clear();
    }

    pub fn calls(&self, step: Step) -> usize {
        self.state().calls.get(&step).copied().unwrap_or(0)
    }

    pub fn open(&self, snapshot: &Snapshot) -> Session {
        let base = self.state().snapshots.keys().rfind(|other| other.group == snapshot.group).cloned();
        let session =
            SessionState { known: HashMap::new(), writers: Vec::new(), files: BTreeMap::new(), is_finished: false };
        Session { server: self.clone(), snapshot: snapshot.clone(), base, session: Arc::new(Mutex::new(session)) }
    }

    pub fn read(&self, snapshot: &Snapshot) -> Reader {
        Reader { server: self.clone(), snapshot: snapshot.clone(), allowed: Arc::default() }
    }

    pub fn file(&self, snapshot: &Snapshot, name: &str) -> Bytes {
        self.state().snapshots[snapshot][name].clone()
    }

    pub fn replace(&self, snapshot: &Snapshot, name: &str, bytes: Bytes) {
        self.state().snapshots.get_mut(snapshot).unwrap().insert(name.to_owned(), bytes);
    }

    pub fn manifest(&self, snapshot: &Snapshot) -> Manifest {
        Manifest::from_blob(&self.file(snapshot, MANIFEST_NAME)).unwrap()
    }

    fn enter(&self, step: Step) -> Result<(), ClientError> {
        let mut state = self.state();
        let count = state.calls.entry(step).or_default();
        *count += 1;
        let count = *count;
        match state.faults.get(&step) {
            Some((after, fault)) if count == after + 1 => Err(match *fault {
                Fault::Refused(status, text) => refused(status, text),
                Fault::Broken => ClientError::Broken {
                    peer: "memory:1".into(),
                    during: "inside a backup session",
                    source: Arc::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
                },
            }),
            _ => Ok(()),
        }
    }
}

pub fn refused(status: u16, text: &str) -> ClientError {
    ClientError::Status { status, method: "POST", path: "/memory".to_owned(), text: text.to_owned() }
}

fn check(is_right: bool, text: &str) -> Result<(), ClientError> {
    if is_right { Ok(()) } else { Err(refused(400, text)) }
}

#[derive(Clone)]
pub struct Session {
    server: Server,
    snapshot: Snapshot,
    base: Option<Snapshot>,
    session: Arc<Mutex<SessionState>>,
}

struct SessionState {
    known: HashMap<Digest, u64>,
    writers: Vec<Writer>,
    files: BTreeMap<String, Bytes>,
    is_finished: bool,
}

struct Writer {
    name: ArchiveName,
    size_bytes: Option<u64>,
    copied: Option<Index>,
    entries: BTreeMap<u64, (Digest, u64)>,
    appended: u64,
    small: usize,
    is_closed: bool,
}

impl Session {
    fn base_file(&self, name: &ArchiveName) -> Result<Bytes, ClientError> {
        let base = self.base.as_ref().ok_or_else(|| refused(400, "no base"))?;
        let state = self.server.state();
        let file = state.snapshots.get(base).and_then(|files| files.get(name.as_str()));
        file.cloned().ok_or_else(|| refused(if name.kind() == ArchiveKind::Blob { 404 } else { 400 }, "missing"))
    }

    fn state(&self) -> MutexGuard<'_, SessionState> {
        self.session.lock().unwrap()
    }

    fn create(&self, writer: Writer) -> usize {
        let mut state = self.state();
        state.writers.push(writer);
        state.writers.len() - 1
    }
}

impl BackupTarget for Session {
    type Writer = usize;

    async fn previous_backup_time(&self) -> Result<Option<Epoch>, ClientError> {
        self.server.enter(Step::PreviousTime)?;
        Ok(self.base.as_ref().map(|base| base.time))
    }

    async fn previous(&self, name: &ArchiveName, max_bytes: usize) -> Result<Bytes, ClientError> {
        self.server.enter(Step::Previous)?;
        let file = self.base_file(name)?;
        if max_bytes < file.len() {
            return Err(ClientError::TooLarge { what: name.to_string(), limit_bytes: max_bytes });
        }
        if name.kind() != ArchiveKind::Blob {
            let index = Index::parse(name.kind(), file.clone()).map_err(|_| refused(400, "unreadable"))?;
            self.state().known.extend(index.chunks().map(|chunk| (chunk.digest, chunk.size_bytes())));
        }
        Ok(file)
    }

    async fn create_fixed(
        &self,
        name: &ArchiveName,
        size_bytes: Option<u64>,
        reuse_checksum: Option<&Digest>,
    ) -> Result<usize, ClientError> {
        self.server.enter(Step::Create)?;
        let mut copied = None;
        if let Some(checksum) = reuse_checksum {
            let index = Index::parse(ArchiveKind::FixedIndex, self.base_file(name)?);
            let index = index.map_err(|_| refused(400, "unreadable"))?;
            let count = size_bytes.ok_or_else(|| refused(400, "size"))?.div_ceil(FIXED_CHUNK_BYTES);
            check(index.checksum() == *checksum && index.chunk_count() as u64 == count, "reuse")?;
            self.server.state().reused += 1;
            copied = Some(index);
        }
        let entries = copied.iter().flat_map(Index::chunks).map(|c| (c.start, (c.digest, c.size_bytes()))).collect();
        let name = name.clone();
        Ok(self.create(Writer { name, size_bytes, copied, entries, appended: 0, small: 0, is_closed: false }))
    }

    async fn create_dynamic(&self, name: &ArchiveName) -> Result<usize, ClientError> {
        self.server.enter(Step::Create)?;
        let (name, entries) = (name.clone(), BTreeMap::new());
        Ok(self.create(Writer {
            name,
            size_bytes: None,
            copied: None,
            entries,
            appended: 0,
            small: 0,
            is_closed: false,
        }))
    }

    async fn upload_chunk(
        &self,
        writer: usize,
        digest: &Digest,
        plain_bytes: u64,
        encoded: Bytes,
    ) -> Result<(), ClientError> {
        {
            let mut state = self.server.state();
            state.waiting += 1;
            state.waiting_bytes += encoded.len();
            state.most_waiting = state.most_waiting.max(state.waiting);
            state.most_waiting_bytes = state.most_waiting_bytes.max(state.waiting_bytes);
        }
        // Answers come in another order than requests.
        tokio::time::sleep(Duration::from_micros(u64::from(digest.0[0]) * 20)).await;
        {
            let mut state = self.server.state();
            state.waiting -= 1;
            state.waiting_bytes -= encoded.len();
        }
        self.server.enter(Step::Upload)?;
        let kind = blob::check(&encoded).map_err(|_| refused(400, "blob"))?;
        if !kind.is_encrypted() {
            let plain = blob::BlobDecoder::new().decode(&encoded, None, 16 << 20).map_err(|_| refused(400, "blob"))?;
            check(farhold_crypto::sha256(&plain) == *digest && plain.len() as u64 == plain_bytes, "digest")?;
        }
        self.server.state().chunks.insert(*digest, encoded);
        let mut state = self.state();
        let writer = &mut state.writers[writer];
        if writer.name.kind() == ArchiveKind::FixedIndex && plain_bytes != FIXED_CHUNK_BYTES {
            writer.small += 1;
            check(plain_bytes < FIXED_CHUNK_BYTES && writer.small == 1, "chunk size")?;
        }
        state.known.insert(*digest, plain_bytes);
        Ok(())
    }

    async fn append(&self, writer: usize, entries: &[(Digest, u64)]) -> Result<(), ClientError> {
        self.server.enter(Step::Append)?;
        tokio::task::yield_now().await;
        self.server.state().appended += entries.len();
        let mut state = self.state();
        for (digest, start) in entries {
            let length = *state.known.get(digest).ok_or_else(|| refused(400, "unknown chunk"))?;
            let writer = &mut state.writers[writer];
            if writer.name.kind() == ArchiveKind::DynamicIndex {
                let end = writer.entries.last_key_value().map_or(0, |(start, (_, length))| start + length);
                check(end == *start, "offset")?;
            } else {
                let end = start + length;
                check(start.is_multiple_of(FIXED_CHUNK_BYTES), "alignment")?;
                check(writer.size_bytes.is_none_or(|size| end <= size), "behind the end")?;
                check(length == FIXED_CHUNK_BYTES || writer.size_bytes.is_none_or(|size| end == size), "length")?;
            }
            writer.entries.insert(*start, (*digest, length));
            writer.appended += 1;
        }
        Ok(())
    }

    async fn close_writer(
        &self,
        writer: usize,
        chunk_count: u64,
        size_bytes: u64,
        checksum: &Digest,
    ) -> Result<(), ClientError> {
        self.server.enter(Step::Close)?;
        let mut state = self.state();
        let writer = &mut state.writers[writer];
        check(chunk_count == writer.appended && !writer.is_closed, "count")?;
        let end = writer.entries.last_key_value().map_or(0, |(start, (_, length))| start + length);
        let size = writer.size_bytes.unwrap_or(end);
        check(writer.copied.is_some() || size_bytes == size, "size")?;
        let index = if writer.name.kind() == ArchiveKind::DynamicIndex {
            let mut builder = DynamicIndexBuilder::new(UUID, Epoch(1));
            for (start, (digest, length)) in &writer.entries {
                builder.push(start + length, *digest).unwrap();
            }
            builder.finish()
        } else {
            let mut builder = FixedIndexBuilder::new(UUID, Epoch(1), size, FIXED_CHUNK_BYTES).unwrap();
            for (start, (digest, _)) in &writer.entries {
                builder.set(usize::try_from(start / FIXED_CHUNK_BYTES).unwrap(), *digest).unwrap();
            }
            builder.finish()
        };
        let index = index.map_err(|error| refused(400, &error.to_string()))?;
        check(index.checksum() == *checksum, "checksum")?;
        writer.is_closed = true;
        let name = writer.name.to_string();
        self.server.state().closed.push((name.clone(), chunk_count, size_bytes));
        state.files.insert(name, index.as_bytes().clone());
        Ok(())
    }

    async fn blob(&self, name: &ArchiveName, encoded: Bytes) -> Result<(), ClientError> {
        self.server.enter(Step::Blob)?;
        blob::check(&encoded).map_err(|_| refused(400, "blob"))?;
        self.state().files.insert(name.to_string(), encoded);
        Ok(())
    }

    async fn finish(&self) -> Result<(), ClientError> {
        self.server.enter(Step::Finish)?;
        let mut state = self.state();
        check(!state.is_finished && state.writers.iter().all(|writer| writer.is_closed), "open writers")?;
        let manifest = state.files.get(MANIFEST_NAME).ok_or_else(|| refused(400, "manifest"))?;
        Manifest::from_blob(manifest).map_err(|_| refused(400, "manifest"))?;
        state.is_finished = true;
        let files = std::mem::take(&mut state.files);
        assert!(self.server.state().snapshots.insert(self.snapshot.clone(), files).is_none());
        Ok(())
    }
}

#[derive(Clone)]
pub struct Reader {
    server: Server,
    snapshot: Snapshot,
    allowed: Arc<Mutex<HashSet<Digest>>>,
}

impl RestoreSource for Reader {
    async fn download(&self, name: &ArchiveName, max_bytes: usize) -> Result<Bytes, ClientError> {
        self.server.enter(Step::Download)?;
        let file =
            self.server.state().snapshots.get(&self.snapshot).and_then(|files| files.get(name.as_str())).cloned();
        let file = file.ok_or_else(|| refused(404, "missing"))?;
        if max_bytes < file.len() {
            return Err(ClientError::TooLarge { what: name.to_string(), limit_bytes: max_bytes });
        }
        if name.kind() != ArchiveKind::Blob
            && let Ok(index) = Index::parse(name.kind(), file.clone())
        {
            self.allowed.lock().unwrap().extend(index.digests());
        }
        Ok(file)
    }

    async fn chunk(&self, digest: &Digest, _: usize) -> Result<Bytes, ClientError> {
        tokio::time::sleep(Duration::from_micros(u64::from(digest.0[1]) * 20)).await;
        self.server.enter(Step::Chunk)?;
        if !self.allowed.lock().unwrap().contains(digest) {
            return Err(ClientError::ChunkNotAllowed { digest: *digest, text: "no".to_owned() });
        }
        self.server.state().chunks.get(digest).cloned().ok_or_else(|| refused(400, "no such chunk"))
    }
}
