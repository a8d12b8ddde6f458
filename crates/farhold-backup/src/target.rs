//! The server as a backup sees it. Tests put a server in memory under it.

use bytes::Bytes;
use farhold_client::{BackupSession, ClientError, WriterId};
use farhold_types::{ArchiveName, Digest, Epoch};

/// What a backup session offers; the meaning of each call is that of `farhold_client::BackupSession`.
///
/// Clones share the session. A target that is dropped without [`Self::finish`] leaves no snapshot behind.
///
/// Source: `docs/spec/wire-protocol.md` 5.3.
pub trait BackupTarget: Clone + Send + Sync + 'static {
    /// Names an index that is being written.
    type Writer: Copy + Send + Sync + 'static;

    /// Returns the time of the base snapshot.
    fn previous_backup_time(&self) -> impl Future<Output = Result<Option<Epoch>, ClientError>> + Send;

    /// Returns a file of the base snapshot; the chunks of an index are known from then on.
    fn previous(&self, name: &ArchiveName, max_bytes: usize)
    -> impl Future<Output = Result<Bytes, ClientError>> + Send;

    /// Begins a fixed index.
    fn create_fixed(
        &self,
        name: &ArchiveName,
        size_bytes: Option<u64>,
        reuse_checksum: Option<&Digest>,
    ) -> impl Future<Output = Result<Self::Writer, ClientError>> + Send;

    /// Begins a dynamic index.
    fn create_dynamic(&self, name: &ArchiveName) -> impl Future<Output = Result<Self::Writer, ClientError>> + Send;

    /// Uploads a chunk.
    fn upload_chunk(
        &self,
        writer: Self::Writer,
        digest: &Digest,
        plain_bytes: u64,
        encoded: Bytes,
    ) -> impl Future<Output = Result<(), ClientError>> + Send;

    /// Appends chunks: digests and start offsets.
    fn append(
        &self,
        writer: Self::Writer,
        entries: &[(Digest, u64)],
    ) -> impl Future<Output = Result<(), ClientError>> + Send;

    /// Ends an index.
    fn close_writer(
        &self,
        writer: Self::Writer,
        chunk_count: u64,
        size_bytes: u64,
        checksum: &Digest,
    ) -> impl Future<Output = Result<(), ClientError>> + Send;

    /// Stores a blob.
    fn blob(&self, name: &ArchiveName, encoded: Bytes) -> impl Future<Output = Result<(), ClientError>> + Send;

    /// Completes the snapshot.
    fn finish(&self) -> impl Future<Output = Result<(), ClientError>> + Send;
}

impl BackupTarget for BackupSession {
    type Writer = WriterId;

    async fn previous_backup_time(&self) -> Result<Option<Epoch>, ClientError> {
        Self::previous_backup_time(self).await
    }

    async fn previous(&self, name: &ArchiveName, max_bytes: usize) -> Result<Bytes, ClientError> {
        Self::previous(self, name, max_bytes).await
    }

    async fn create_fixed(
        &self,
        name: &ArchiveName,
        size_bytes: Option<u64>,
        reuse_checksum: Option<&Digest>,
    ) -> Result<WriterId, ClientError> {
        Self::create_fixed(self, name, size_bytes, reuse_checksum).await
    }

    async fn create_dynamic(&self, name: &ArchiveName) -> Result<WriterId, ClientError> {
        Self::create_dynamic(self, name).await
    }

    async fn upload_chunk(
        &self,
        writer: WriterId,
        digest: &Digest,
        plain_bytes: u64,
        encoded: Bytes,
    ) -> Result<(), ClientError> {
        Self::upload_chunk(self, writer, digest, plain_bytes, encoded).await
    }

    async fn append(&self, writer: WriterId, entries: &[(Digest, u64)]) -> Result<(), ClientError> {
        Self::append(self, writer, entries).await
    }

    async fn close_writer(
        &self,
        writer: WriterId,
        chunk_count: u64,
        size_bytes: u64,
        checksum: &Digest,
    ) -> Result<(), ClientError> {
        Self::close_writer(self, writer, chunk_count, size_bytes, checksum).await
    }

    async fn blob(&self, name: &ArchiveName, encoded: Bytes) -> Result<(), ClientError> {
        Self::blob(self, name, encoded).await
    }

    async fn finish(&self) -> Result<(), ClientError> {
        Self::finish(self).await
    }
}
