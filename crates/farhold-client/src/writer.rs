//! Backup sessions: writing one snapshot of a remote over HTTP/2.
//!
//! Source: `docs/spec/wire-protocol.md` 4, 5 and 9.2.

use bytes::Bytes;
use farhold_protocol::upgrade::{BACKUP_PATH, BACKUP_PROTOCOL, BackupUpgrade};
use farhold_protocol::writer_request::{
    FINISH_PATH, MAX_WRITERS, PREVIOUS_BACKUP_TIME_PATH, UPLOAD_SPEEDTEST_PATH, WriterKind, append_body, blob_request,
    close_request, create_dynamic_request, create_fixed_request, previous_request, upload_request,
};
use farhold_protocol::{CONTENT_TYPE_BYTES, CONTENT_TYPE_JSON, MAX_PARAMETER_BODY_BYTES};
use farhold_types::{ArchiveName, DatastoreName, Digest, Epoch, Namespace, Snapshot};
use http::Method;
use serde::de::DeserializeOwned;

use crate::client::{Client, Wait};
use crate::error::ClientError;
use crate::listing::read_data;
use crate::session::{Session, SessionCall};

/// Largest answer to a request that is not for a file. The largest good one is a digest.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// What a session was doing when it broke.
const DURING: &str = "inside a backup session";

/// How a backup session is opened. The default is what a sync sends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackupSessionOptions {
    /// Whether the remote should write more into its task log.
    pub debug: bool,
    /// Whether this is the upload speed test, whose snapshot is always removed. Only for the group `host/benchmark`.
    pub benchmark: bool,
    /// Whether to bypass the local cache of a datastore on object storage. Servers before 4.0 refuse it.
    pub no_cache: bool,
}

/// An index that is being written inside a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WriterId {
    kind: WriterKind,
    wid: u16,
}

impl WriterId {
    /// Returns whether the index is fixed or dynamic.
    pub const fn kind(&self) -> WriterKind {
        self.kind
    }
}

/// Writes one snapshot of a remote. Cheap to clone; all clones share one connection, and many requests may be on their
/// way at once: each method waits for the remote's answer, so that what follows may rely on it.
///
/// The remote removes the snapshot unless [`Self::finish`] succeeded. Requests are not repeated; after a broken connection
/// only a new session helps.
#[derive(Clone)]
pub struct BackupSession {
    session: Session,
    snapshot: Snapshot,
}

impl Client {
    /// Opens a backup session for a new snapshot, over an idle connection or a new one. Its group is created if it is
    /// missing, and then belongs to our account.
    ///
    /// # Errors
    /// As [`Self::get`]. Status 403: no right to write there. 404: the namespace is missing. 400: the group is busy or
    /// belongs to somebody else, a snapshot of this or a later time exists, the datastore is missing or not writable.
    /// Which of them only the text tells.
    ///
    /// Source: `docs/spec/wire-protocol.md` 4 and 5.1.
    pub async fn open_backup(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
        snapshot: &Snapshot,
        options: BackupSessionOptions,
    ) -> Result<BackupSession, ClientError> {
        let BackupSessionOptions { debug, benchmark, no_cache } = options;
        let (store, ns, snapshot) = (store.clone(), ns.clone(), snapshot.clone());
        let upgrade = BackupUpgrade { store, ns, snapshot, debug, benchmark, no_cache };
        let target = format!("{BACKUP_PATH}?{}", upgrade.to_query());
        let session = Session::open(self, target, BACKUP_PROTOCOL, DURING).await?;
        Ok(BackupSession { session, snapshot: upgrade.snapshot })
    }
}

/// All methods fail with [`ClientError::Status`] when the remote refuses (the session stays usable, except where the method
/// says otherwise), with [`ClientError::Silent`] or [`ClientError::Broken`] when the session is lost, with
/// [`ClientError::Protocol`] after a wrong answer, and with [`ClientError::Closed`] after [`Self::close`].
///
/// # Cancel safety
/// Dropping a method's future cancels its request, which the remote may have carried out or not; the session stays usable.
impl BackupSession {
    /// Returns the snapshot that this session writes.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns the time of the base snapshot: the newest finished one of the group, if it did not fail a verification.
    /// Old servers do not know this request (404).
    ///
    /// # Errors
    /// See above.
    pub async fn previous_backup_time(&self) -> Result<Option<Epoch>, ClientError> {
        let time: Option<i64> = self.data(SessionCall::get(PREVIOUS_BACKUP_TIME_PATH.to_owned())).await?;
        match time {
            Some(seconds) if !(1..=Epoch::MAX.0).contains(&seconds) => {
                Err(self.wrong("the time of the base snapshot is out of range"))
            }
            time => Ok(time.map(Epoch)),
        }
    }

    /// Returns a file of the base snapshot as it is stored, unverified. If it is an index, the remote from then on knows
    /// its chunks: they may be appended without an upload.
    ///
    /// # Errors
    /// See above. Status 404 for a missing blob, 400 for a missing index or without a base; [`ClientError::TooLarge`] above
    /// `max_bytes`.
    pub async fn previous(&self, name: &ArchiveName, max_bytes: usize) -> Result<Bytes, ClientError> {
        let call = SessionCall { wait: Wait::Long, ..SessionCall::get(previous_request(name)) };
        self.session.request(&call, max_bytes).await
    }

    /// Begins a fixed index with chunks of 4 MiB.
    ///
    /// `size_bytes`: of the image; servers before 4.1.5 want it. `reuse_checksum`: checksum of the base snapshot's index of
    /// this name, as recomputed from its digests; the new index then begins as a copy of it, and only changed positions
    /// need an append. It needs `size_bytes`. Known chunks come from [`Self::previous`] alone.
    ///
    /// # Errors
    /// See above. Status 400 if the reuse is not possible.
    pub async fn create_fixed(
        &self,
        name: &ArchiveName,
        size_bytes: Option<u64>,
        reuse_checksum: Option<&Digest>,
    ) -> Result<WriterId, ClientError> {
        self.create(WriterKind::Fixed, create_fixed_request(name, size_bytes, reuse_checksum)).await
    }

    /// Begins a dynamic index.
    ///
    /// # Errors
    /// See above.
    pub async fn create_dynamic(&self, name: &ArchiveName) -> Result<WriterId, ClientError> {
        self.create(WriterKind::Dynamic, create_dynamic_request(name)).await
    }

    async fn create(&self, kind: WriterKind, target: String) -> Result<WriterId, ClientError> {
        let wid: u16 = self.data(SessionCall { wait: Wait::Long, ..SessionCall::post(target) }).await?;
        if (1..=MAX_WRITERS).contains(&wid) {
            Ok(WriterId { kind, wid })
        } else {
            Err(self.wrong("a new index has a number that no request can name"))
        }
    }

    /// Uploads a chunk. When this returns, every index of the session may name it.
    ///
    /// `digest` and `plain_bytes` are those of its content, `encoded` is the data blob. Large chunks are sent a few at
    /// once, in the order of the calls; the others wait, which costs no memory beside `encoded`.
    ///
    /// # Errors
    /// See above.
    pub async fn upload_chunk(
        &self,
        writer: WriterId,
        digest: &Digest,
        plain_bytes: u64,
        encoded: Bytes,
    ) -> Result<(), ClientError> {
        let target = upload_request(writer.kind, writer.wid, digest, plain_bytes, encoded.len());
        let confirmed: Digest = self.data(file(target, encoded)).await?;
        if confirmed == *digest { Ok(()) } else { Err(self.wrong("another chunk was confirmed than was sent")) }
    }

    /// Appends chunks to an index, in one request: each with the position of its first byte.
    ///
    /// A dynamic index grows in order, so wait for each answer before the next append. In a fixed one the order does not
    /// matter. `farhold_protocol::writer_request::append_entries` tells how many entries fit. No entries: no request.
    ///
    /// # Errors
    /// See above. Afterwards the index may hold some of the entries: give the session up.
    /// [`ClientError::Configuration`] if the entries do not fit into one request; nothing was sent then.
    pub async fn append(&self, writer: WriterId, entries: &[(Digest, u64)]) -> Result<(), ClientError> {
        if entries.is_empty() {
            return Ok(());
        }
        let body = Bytes::from(append_body(writer.wid, entries));
        if MAX_PARAMETER_BODY_BYTES <= body.len() {
            let reason = format!("{} entries are too many for one append", entries.len());
            return Err(ClientError::Configuration { peer: self.session.client().peer(), reason });
        }
        let call = SessionCall {
            method: Method::PUT,
            content_type: CONTENT_TYPE_JSON,
            body,
            ..SessionCall::get(writer.kind.index_path().to_owned())
        };
        self.data(call).await
    }

    /// Ends an index.
    ///
    /// `chunk_count`: entries appended in this session. `size_bytes`: of the content. `checksum`: SHA-256 of the digests in
    /// order, in a dynamic index each behind its 8-byte little-endian end.
    ///
    /// # Errors
    /// See above. Status 400 if one of them is not what the remote counted; after a wrong checksum the session cannot be
    /// finished any more.
    pub async fn close_writer(
        &self,
        writer: WriterId,
        chunk_count: u64,
        size_bytes: u64,
        checksum: &Digest,
    ) -> Result<(), ClientError> {
        let target = close_request(writer.kind, writer.wid, chunk_count, size_bytes, checksum);
        self.data(SessionCall { wait: Wait::Long, ..SessionCall::post(target) }).await
    }

    /// Stores a blob, replacing an earlier one of this name. `encoded`: the data blob.
    ///
    /// # Errors
    /// See above.
    pub async fn blob(&self, name: &ArchiveName, encoded: Bytes) -> Result<(), ClientError> {
        self.data(file(blob_request(name, encoded.len()), encoded)).await
    }

    /// Ends the backup: the snapshot is complete, and the group free again. All indexes must be closed and the manifest
    /// stored. The remote may take minutes to make everything durable.
    ///
    /// # Errors
    /// See above. After [`ClientError::Silent`] and [`ClientError::Broken`] the snapshot may be complete or not: the
    /// remote's list of snapshots tells.
    pub async fn finish(&self) -> Result<(), ClientError> {
        self.data(SessionCall { wait: Wait::Long, ..SessionCall::post(FINISH_PATH.to_owned()) }).await
    }

    /// Sends bytes that the remote throws away.
    ///
    /// # Errors
    /// See above.
    pub async fn speedtest(&self, bytes: Bytes) -> Result<(), ClientError> {
        self.data(file(UPLOAD_SPEEDTEST_PATH.to_owned(), bytes)).await
    }

    /// Ends the session in order and waits for that, at most 5 s. Requests still on their way get that long to finish. The
    /// remote removes what was not finished.
    ///
    /// Dropping all clones instead cuts the connection without a farewell, and without waiting for anything.
    pub async fn close(&self) {
        self.session.close().await;
    }

    async fn data<T: DeserializeOwned>(&self, call: SessionCall) -> Result<T, ClientError> {
        let body = self.session.request(&call, MAX_ANSWER_BYTES).await?;
        read_data(&body).map_err(|error| {
            let path = call.target.split('?').next().unwrap_or_default();
            self.wrong(format!("the answer to {path} cannot be read: {error}"))
        })
    }

    fn wrong(&self, reason: impl Into<String>) -> ClientError {
        self.session.client().wrong(reason)
    }
}

impl std::fmt::Debug for BackupSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupSession").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}

/// Returns the request that uploads a file.
fn file(target: String, body: Bytes) -> SessionCall {
    SessionCall { content_type: CONTENT_TYPE_BYTES, body, takes_turn: true, ..SessionCall::post(target) }
}
