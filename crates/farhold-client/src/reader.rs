//! Reader sessions: files and chunks of one snapshot over HTTP/2.
//!
//! Source: `docs/spec/wire-protocol.md` 4 and 6.

use bytes::{Bytes, BytesMut};
use farhold_protocol::reader::{chunk_request, download_request};
use farhold_protocol::upgrade::{READER_PATH, READER_PROTOCOL, ReaderUpgrade};
use farhold_types::{ArchiveName, DatastoreName, Digest, MANIFEST_NAME, Namespace, Snapshot};

use crate::client::Client;
use crate::error::ClientError;
use crate::session::{Session, SessionCall};

/// What a session was doing when it broke.
const DURING: &str = "inside a reader session";

/// Reads one snapshot of a remote. Cheap to clone; all clones share one connection, and many requests may be on their
/// way at once. The remote keeps the snapshot from being removed while the session is open.
#[derive(Clone)]
pub struct ReaderSession {
    session: Session,
    snapshot: Snapshot,
}

impl Client {
    /// Opens a reader session on a snapshot, over an idle connection or a new one.
    ///
    /// # Errors
    /// As [`Self::get`]. Status 400: datastore, namespace or snapshot is missing, the snapshot is being written or
    /// removed, or our account may not read it. Which of them only the text tells.
    ///
    /// Source: `docs/spec/wire-protocol.md` 4 and 6.1.
    pub async fn open_reader(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
        snapshot: &Snapshot,
    ) -> Result<ReaderSession, ClientError> {
        let upgrade = ReaderUpgrade { store: store.clone(), ns: ns.clone(), snapshot: snapshot.clone(), debug: true };
        let target = format!("{READER_PATH}?{}", upgrade.to_query());
        let session = Session::open(self, target, READER_PROTOCOL, DURING).await?;
        Ok(ReaderSession { session, snapshot: upgrade.snapshot })
    }
}

impl ReaderSession {
    /// Returns the snapshot that this session reads.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns a file of the snapshot as it is stored. The chunks of an index may be read from then on.
    ///
    /// # Errors
    /// [`ClientError::Vanished`] if the manifest is missing (404); [`ClientError::Status`] for other refusals: 404 for
    /// another missing blob, 400 for a missing index; [`ClientError::TooLarge`] above `max_bytes`; silence and broken
    /// connections.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request; the session stays usable.
    pub async fn download(&self, name: &ArchiveName, max_bytes: usize) -> Result<Bytes, ClientError> {
        match self.session.request(&SessionCall::get(download_request(name)), max_bytes).await {
            Err(ClientError::Status { status: 404, .. }) if name.as_str() == MANIFEST_NAME => {
                Err(ClientError::Vanished { snapshot: self.snapshot.clone() })
            }
            other => other,
        }
    }

    /// Returns a chunk as it is stored, in one piece, unverified.
    ///
    /// # Errors
    /// [`ClientError::ChunkNotAllowed`] if no index downloaded in this session names it; status 400 if the remote
    /// cannot read it; [`ClientError::TooLarge`] above `max_bytes`; silence and broken connections.
    ///
    /// # Cancel safety
    /// As [`Self::download`].
    pub async fn chunk(&self, digest: &Digest, max_bytes: usize) -> Result<Bytes, ClientError> {
        self.resume_chunk(digest, max_bytes, &mut BytesMut::new()).await
    }

    /// Returns a chunk as [`Self::chunk`] does; when the connection breaks, what came of it is in `begun`.
    ///
    /// If `begun` is not empty, it is the beginning of this chunk from another session: the remote is asked for the rest
    /// alone. One that does not know ranges sends everything, which is as good. Whether both parts belong together is the
    /// caller's to check.
    ///
    /// # Errors
    /// As [`Self::chunk`].
    ///
    /// Source: RFC 9110, 14.2.
    pub async fn resume_chunk(
        &self,
        digest: &Digest,
        max_bytes: usize,
        begun: &mut BytesMut,
    ) -> Result<Bytes, ClientError> {
        match self.session.resume(&SessionCall::get(chunk_request(digest)), max_bytes, begun).await {
            Err(ClientError::Status { status: 401, text, .. }) => {
                Err(ClientError::ChunkNotAllowed { digest: *digest, text })
            }
            other => other,
        }
    }

    /// Ends the session in order and waits for that, at most 5 s. Requests still on their way get that long to finish.
    ///
    /// Dropping all clones instead cuts the connection without a farewell, and without waiting for anything.
    pub async fn close(&self) {
        self.session.close().await;
    }
}

impl std::fmt::Debug for ReaderSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReaderSession").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}
