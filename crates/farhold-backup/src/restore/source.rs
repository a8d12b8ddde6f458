//! The server as a restore sees it. Tests put a server in memory under it.

use bytes::Bytes;
use farhold_client::{ClientError, ReaderSession};
use farhold_types::{ArchiveName, Digest};

/// What a reader session offers; the meaning of each call is that of `farhold_client::ReaderSession`.
///
/// Source: `docs/spec/wire-protocol.md` 6.2.
pub trait RestoreSource: Clone + Send + Sync + 'static {
    /// Returns a file of the snapshot as it is stored.
    fn download(&self, name: &ArchiveName, max_bytes: usize)
    -> impl Future<Output = Result<Bytes, ClientError>> + Send;

    /// Returns a chunk as it is stored.
    fn chunk(&self, digest: &Digest, max_bytes: usize) -> impl Future<Output = Result<Bytes, ClientError>> + Send;
}

impl RestoreSource for ReaderSession {
    async fn download(&self, name: &ArchiveName, max_bytes: usize) -> Result<Bytes, ClientError> {
        Self::download(self, name, max_bytes).await
    }

    async fn chunk(&self, digest: &Digest, max_bytes: usize) -> Result<Bytes, ClientError> {
        Self::chunk(self, digest, max_bytes).await
    }
}
