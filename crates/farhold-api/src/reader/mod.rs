//! Reader sessions: files and chunks of one snapshot, sent as they are stored.
//!
//! A session may read only the chunks of the indexes that it downloaded. What it may hold in memory is bounded: a peer
//! that asks for 200 chunks and does not read pins one budget, not 200 chunks. Chunks are sent one after the other, see
//! [`sending`]. Source: `docs/spec/wire-protocol.md` 6.

mod sending;
mod stored;

pub use stored::StoredSnapshot;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use farhold_format::index::Index;
use farhold_protocol::CONTENT_TYPE_BYTES;
use farhold_protocol::reader::{CHUNK_PATH, DOWNLOAD_PATH, SPEEDTEST_BYTE, SPEEDTEST_BYTES, SPEEDTEST_PATH};
use farhold_types::{ArchiveKind, ArchiveName, Digest};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::declare::{Answer, Body, Reply, full_body};
use crate::error::ApiError;
use crate::h2_session::{RefusalLog, SessionEndpoint, SessionRequest, SessionRouter};
use crate::schema::{Param, named};
use sending::{SendingTurn, SendingTurns};

/// Largest encoded chunk in KiB, rounded up: what is reserved before a chunk's size is known.
const CHUNK_KIB: u32 = (farhold_format::blob::MAX_ENCODED_BLOB_BYTES as u32).div_ceil(1024);

/// Chunk bodies one session may hold in memory, in KiB: four of the largest, or sixteen of 4 MiB.
const SESSION_KIB: u32 = 4 * CHUNK_KIB;

/// Bytes of a chunk that go into one frame. Small against a chunk, so that little of it comes twice when a connection
/// breaks, and far above what costs time or looks like an attack to HTTP/2 libraries.
const PIECE_BYTES: usize = 64 * 1024;

/// Files of the snapshot one session may hold in memory at once; indexes of large disks have many MiB.
const SESSION_FILES: usize = 4;

/// Memory for chunk bodies that all sessions of a server share.
///
/// A session beyond it is not held up for good: one chunk at a time is always its own.
#[derive(Debug, Clone)]
pub struct ReadBudget {
    server: Arc<Semaphore>,
}

impl ReadBudget {
    /// Returns a budget of so many bytes, at least one chunk.
    pub fn new(bytes: u64) -> Self {
        let kib = usize::try_from(bytes / 1024).unwrap_or(usize::MAX).clamp(CHUNK_KIB as usize, Semaphore::MAX_PERMITS);
        Self { server: Arc::new(Semaphore::new(kib)) }
    }
}

/// Why a file or chunk cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no such file or chunk.
    #[error("{what} does not exist")]
    Missing {
        /// File name or digest.
        what: String,
    },
    /// It exists but cannot be read.
    #[error("{what} cannot be read")]
    Failed {
        /// File name or digest.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The snapshot a session reads; holds its shared lock for life. All methods block.
pub trait SnapshotContent: Send + Sync + 'static {
    /// Returns a file of the snapshot's directory as it is stored; the manifest need not name it.
    ///
    /// # Errors
    /// [`ReadError`].
    fn file(&self, archive: &ArchiveName) -> Result<Bytes, ReadError>;

    /// Returns a chunk of the datastore in its encoded form, unverified.
    ///
    /// # Errors
    /// [`ReadError`].
    fn chunk(&self, digest: &Digest) -> Result<Bytes, ReadError>;
}

/// State of one session.
pub struct ReaderSession {
    content: Arc<dyn SnapshotContent>,
    allowed: Mutex<HashSet<Digest>>,
    /// Bounds what this session holds; taken before `own` or `server`.
    session: Arc<Semaphore>,
    /// Room for one chunk that no other session can take.
    own: Arc<Semaphore>,
    server: Arc<Semaphore>,
    files: Arc<Semaphore>,
    sending: SendingTurns,
}

impl std::fmt::Debug for ReaderSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReaderSession").finish_non_exhaustive()
    }
}

/// Memory that is counted until the last slice of it is gone.
struct Counted {
    bytes: Bytes,
    _permits: Vec<OwnedSemaphorePermit>,
    _turn: Option<SendingTurn>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl ReaderSession {
    /// Returns a session that may read no chunk yet.
    pub fn new(content: Arc<dyn SnapshotContent>, budget: &ReadBudget) -> Self {
        Self {
            content,
            allowed: Mutex::default(),
            session: Arc::new(Semaphore::new(SESSION_KIB as usize)),
            own: Arc::new(Semaphore::new(CHUNK_KIB as usize)),
            server: budget.server.clone(),
            files: Arc::new(Semaphore::new(SESSION_FILES)),
            sending: SendingTurns::new(),
        }
    }

    async fn read_file(self: &Arc<Self>, archive: ArchiveName) -> Result<Bytes, ApiError> {
        let permit = self.files.clone().acquire_owned().await.map_err(closed)?;
        let session = self.clone();
        let read = move || {
            let missing_is_404 = archive.kind() == ArchiveKind::Blob;
            let bytes = session.content.file(&archive).map_err(|error| match error {
                ReadError::Missing { .. } if missing_is_404 => ApiError::not_found(error.to_string()),
                error => ApiError::from_chain(&error),
            })?;
            if archive.kind() != ArchiveKind::Blob {
                let index = Index::parse(archive.kind(), bytes.clone()).map_err(|e| ApiError::from_chain(&e))?;
                let mut allowed = session.allowed.lock().unwrap_or_else(PoisonError::into_inner);
                allowed.extend(index.chunks().map(|chunk| chunk.digest));
            }
            Ok(Bytes::from_owner(Counted { bytes, _permits: vec![permit], _turn: None }))
        };
        blocking(read).await
    }

    async fn read_chunk(self: &Arc<Self>, digest: Digest) -> Result<Bytes, ApiError> {
        if !self.allowed.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest) {
            return Err(ApiError::unauthorized(format!("chunk {digest} belongs to no index of this session")));
        }
        let session_permit = self.session.clone().acquire_many_owned(CHUNK_KIB).await.map_err(closed)?;
        let memory_permit = tokio::select! {
            biased;
            permit = self.server.clone().acquire_many_owned(CHUNK_KIB) => permit,
            permit = self.own.clone().acquire_many_owned(CHUNK_KIB) => permit,
        }
        .map_err(closed)?;
        let session = self.clone();
        let read = move || {
            let bytes = session.content.chunk(&digest).map_err(|error| ApiError::from_chain(&error))?;
            // Give back what this chunk does not need, so that small chunks do not count as large ones.
            let needed = bytes.len().div_ceil(1024).min(CHUNK_KIB as usize);
            let mut permits = vec![session_permit, memory_permit];
            for permit in &mut permits {
                drop(permit.split(CHUNK_KIB as usize - needed));
            }
            Ok((bytes, permits))
        };
        let (bytes, permits) = blocking(read).await?;
        let turn = self.sending.take().await;
        Ok(Bytes::from_owner(Counted { bytes, _permits: permits, _turn: turn }))
    }
}

fn closed<E>(_: E) -> ApiError {
    ApiError::internal("session is closing")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::internal("reading failed unexpectedly"))?
}

/// The parameters of the call that opens a session: `GET /reader`.
pub const UPGRADE_PARAMS: &[Param] = &[
    named::STORE,
    named::NS,
    named::BACKUP_TYPE.strict(),
    named::BACKUP_ID,
    named::BACKUP_TIME,
    named::flag("debug", "Write more into the task log"),
];

/// Returns the endpoints of reader sessions.
pub fn router() -> SessionRouter<ReaderSession> {
    SessionRouter::new(vec![
        SessionEndpoint::new(
            Method::GET,
            DOWNLOAD_PATH,
            "Read a file of the snapshot",
            &[named::FILE_NAME],
            Answer::Raw,
            download,
        ),
        SessionEndpoint::new(Method::GET, CHUNK_PATH, "Read a chunk", &[named::CHUNK_DIGEST], Answer::Raw, chunk),
        SessionEndpoint::new(Method::GET, SPEEDTEST_PATH, "Test the speed", &[], Answer::Raw, speedtest),
    ])
}

async fn download(session: Arc<ReaderSession>, request: SessionRequest) -> Result<Reply, ApiError> {
    let archive: ArchiveName = request.params.require("file-name")?;
    let bytes = session.read_file(archive).await?;
    // Sent without content length, as the reference streams files.
    let body = futures::stream::once(async move { Ok(hyper::body::Frame::data(bytes)) });
    Ok(Reply::raw(CONTENT_TYPE_BYTES, Body::new(http_body_util::StreamBody::new(body))))
}

async fn chunk(session: Arc<ReaderSession>, request: SessionRequest) -> Result<Reply, ApiError> {
    let digest: Digest = request.params.require("digest")?;
    let bytes = session.read_chunk(digest).await?;
    let whole = bytes.len();
    let Some(start) = first_byte(&request.headers).filter(|start| *start < whole) else {
        return Ok(Reply::raw(CONTENT_TYPE_BYTES, in_pieces(bytes)).with_header(CONTENT_LENGTH, whole.into()));
    };
    let range = format!("bytes {start}-{}/{whole}", whole - 1);
    let range = HeaderValue::try_from(range).map_err(|error| ApiError::internal(error.to_string()))?;
    let rest = Reply::raw(CONTENT_TYPE_BYTES, in_pieces(bytes.slice(start..)));
    Ok(rest.with_header(CONTENT_LENGTH, (whole - start).into()).with_header(CONTENT_RANGE, range))
}

/// Returns a body whose parts become frames. What a client got of a frame that is not complete is lost to it.
fn in_pieces(bytes: Bytes) -> Body {
    let starts = (0..bytes.len()).step_by(PIECE_BYTES);
    let pieces = starts.map(move |start| bytes.slice(start..bytes.len().min(start + PIECE_BYTES)));
    let frames = futures::stream::iter(pieces.map(|piece| Ok(hyper::body::Frame::data(piece))));
    Body::new(http_body_util::StreamBody::new(frames))
}

/// Returns where a client wants a chunk to begin whose first part it has, from a connection that broke. Any other form
/// of range is ignored, which RFC 9110, 14.2 allows. The reference ignores all.
fn first_byte(headers: &HeaderMap) -> Option<usize> {
    headers.get(RANGE)?.to_str().ok()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

async fn speedtest(_: Arc<ReaderSession>, _: SessionRequest) -> Result<Reply, ApiError> {
    Ok(Reply::raw(CONTENT_TYPE_BYTES, full_body(vec![SPEEDTEST_BYTE; SPEEDTEST_BYTES].into())))
}

/// Serves one session on an upgraded connection until it ends. `log` gets a line for each refused request.
///
/// # Errors
/// The connection broke off; an error of this session's task only.
pub async fn serve<T>(io: T, session: ReaderSession, log: RefusalLog) -> Result<(), hyper::Error>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    Arc::new(router()).serve(io, Arc::new(session), log).await
}
