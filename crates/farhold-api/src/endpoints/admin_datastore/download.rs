//! Files of a snapshot, as they are stored and as they were. Source: `docs/spec/rest-api.md` 12.10.

use std::sync::Arc;

use bytes::Bytes;
use farhold_datastore::{ArchiveContent, ContentError, FileReader};
use farhold_jobs::{App, Operation, StoreHandle};
use farhold_types::{ArchiveName, Privileges};
use futures::Stream;
use http_body_util::StreamBody;
use hyper::body::Frame;

use super::BY_NAMESPACE;
use super::place::{Own, Place, snapshot_of};
use crate::declare::{Answer, Body, BodyError, Endpoint, Reply, Request};
use crate::endpoints::blocking;
use crate::error::ApiError;
use crate::schema::Shape;
use crate::schema::named::{BACKUP_ID, BACKUP_TIME, BACKUP_TYPE, FILE_NAME, NS, STORE};

/// Bytes of a stored file that are in memory at once.
const PART_BYTES: usize = 256 << 10;

/// What reading content needs.
pub(super) const READ: Own = Own { full: Privileges::DATASTORE_READ, part: Privileges::DATASTORE_BACKUP };

pub(super) fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/admin/datastore/{store}/download", "Download a file of a snapshot as it is stored", download)
            .params(&[STORE, NS, BACKUP_TYPE, BACKUP_ID, BACKUP_TIME, FILE_NAME])
            .access(BY_NAMESPACE)
            .answer(Answer::Raw)
            .returns(Shape::Bytes("application/octet-stream")),
        Endpoint::get(
            "/admin/datastore/{store}/download-decoded",
            "Download the content of a file of a snapshot, put together and decompressed",
            download_decoded,
        )
        .params(&[STORE, NS, BACKUP_TYPE, BACKUP_ID, BACKUP_TIME, FILE_NAME])
        .access(BY_NAMESPACE)
        .answer(Answer::Raw)
        .returns(Shape::Bytes("application/octet-stream")),
    ]
}

async fn download(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let snapshot = snapshot_of(&request.params)?;
    let file_name: String = request.params.require("file-name")?;
    let download = blocking(move || {
        let store = place.open_group(&snapshot.group, READ, Operation::Read)?;
        // Only files of a snapshot have names of archives; everything else does not exist as far as callers can see.
        let archive: ArchiveName =
            file_name.parse().map_err(|_| ApiError::bad_request(format!("'{snapshot}' has no file '{file_name}'")))?;
        let source = Source::Stored(store.open_file(&place.ns, &snapshot, &archive)?);
        Ok::<_, ApiError>(Download { source, store })
    })
    .await?;
    Ok(Reply::raw("application/octet-stream", Body::new(StreamBody::new(parts(download)))))
}

async fn download_decoded(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let snapshot = snapshot_of(&request.params)?;
    let file_name: String = request.params.require("file-name")?;
    let download = blocking(move || {
        let store = place.open_group(&snapshot.group, READ, Operation::Read)?;
        let archive = ArchiveName::completed(&file_name)
            .map_err(|_| ApiError::bad_request(format!("'{file_name}' is no name of an archive")))?;
        let content = store.open_content(&place.ns, &snapshot, &archive)?;
        Ok::<_, ApiError>(Download { source: Source::Content(Box::new(content)), store })
    })
    .await?;
    Ok(Reply::raw("application/octet-stream", Body::new(StreamBody::new(parts(download)))))
}

impl From<ContentError> for ApiError {
    fn from(error: ContentError) -> Self {
        Self::from_chain(&error)
    }
}

/// Content on its way to a client. The store counts as read until the client has all of it or goes away.
struct Download {
    source: Source,
    store: StoreHandle,
}

enum Source {
    /// A file as it is stored.
    Stored(Box<dyn FileReader>),
    /// What an archive holds.
    Content(Box<ArchiveContent>),
}

impl Source {
    /// Returns the next part, `None` at the end.
    fn next_part(&mut self) -> Result<Option<Bytes>, BodyError> {
        match self {
            Self::Stored(file) => {
                let part = file.next(PART_BYTES)?;
                Ok((!part.is_empty()).then_some(part))
            }
            Self::Content(content) => Ok(content.next_part()?),
        }
    }
}

/// Returns the parts of a content. One is in memory at a time, and none is read before the client takes the one before. A
/// failure on the way cuts the connection, since the status was sent long ago.
fn parts(download: Download) -> impl Stream<Item = Result<Frame<Bytes>, BodyError>> + Send + 'static {
    futures::stream::try_unfold(download, |mut download| async move {
        let read = move || (download.source.next_part(), download);
        let (part, download) = tokio::task::spawn_blocking(read).await?;
        let part = part.inspect_err(|error| {
            let store = download.store.name();
            tracing::warn!(%store, error = &**error, "a download was cut off");
        })?;
        Ok(part.map(|bytes| (Frame::data(bytes), download)))
    })
}
