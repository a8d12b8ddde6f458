//! The requests of a backup session. Source: `docs/spec/wire-protocol.md` 5.3.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use farhold_format::blob;
use farhold_protocol::CONTENT_TYPE_BYTES;
use farhold_protocol::writer::{
    MAX_CHUNK_BYTES, MAX_ENCODED_BLOB_BYTES, MIN_ENCODED_BLOB_BYTES, MIN_ENCODED_CHUNK_BYTES,
};
use farhold_protocol::writer_request::{
    ARCHIVE_NAME_PARAMETER, BLOB_NAME_PARAMETER, BLOB_PATH, ENCODED_SIZE_PARAMETER, FINISH_PATH, MAX_WRITERS,
    PREVIOUS_BACKUP_TIME_PATH, PREVIOUS_PATH, REUSE_CHECKSUM_PARAMETER, UPLOAD_SPEEDTEST_PATH, WriterKind,
};
use farhold_types::{ArchiveKind, ArchiveName, Digest};
use http::Method;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::intake::blocking;
use super::session::{BackupSession, ChunkUpload, Close, NewFixed};
use crate::declare::{Answer, Body, Reply};
use crate::error::ApiError;
use crate::h2_session::{SessionEndpoint, SessionRequest, SessionRouter};
use crate::schema::{Param, ParamKind, Params, named};

/// How long a request waits for others to have sent their files. Above what a large index takes over a slow line; with an
/// end, because a session with a request that is being worked on does not end for being idle.
const FILES_WAIT: Duration = Duration::from_secs(3600);

/// The parameters of the call that opens a session: `GET /backup`.
pub const UPGRADE_PARAMS: &[Param] = &[
    named::STORE,
    named::NS,
    named::BACKUP_TYPE.strict(),
    named::BACKUP_ID,
    named::BACKUP_TIME,
    named::flag("debug", "Write more into the task log"),
    named::flag("benchmark", "Measure the speed of uploads; nothing is kept"),
    named::flag("no-cache", "Bypass the local cache of a datastore on object storage"),
];

const fn between(min: i64, max: i64) -> ParamKind {
    ParamKind::Integer { min: Some(min), max: Some(max) }
}

const fn at_least(min: i64) -> ParamKind {
    ParamKind::Integer { min: Some(min), max: None }
}

const ARCHIVE_NAME: Param = named::FILE_NAME.named(ARCHIVE_NAME_PARAMETER).described("Name of the archive");
const WRITER_KIND: ParamKind = between(1, MAX_WRITERS as i64);
const WRITER: Param = Param::required("wid", WRITER_KIND, "Number of the writer");
const CHECKSUM: Param = named::CHUNK_DIGEST.named("csum").described("Checksum over all entries");
const DIGEST_KIND: ParamKind = named::CHUNK_DIGEST.kind;
const START_KIND: ParamKind = at_least(0);

const DYNAMIC_PARAMS: &[Param] = &[ARCHIVE_NAME];
const FIXED_PARAMS: &[Param] = &[
    ARCHIVE_NAME,
    Param::optional("size", at_least(1), "Size of the image in bytes"),
    Param::optional(REUSE_CHECKSUM_PARAMETER, named::ANY_TEXT, "Checksum of the previous index to begin with"),
];
const APPEND_PARAMS: &[Param] = &[
    WRITER,
    // Both must be there, see `list`; of required lists the schema refuses empty ones.
    Param::optional("digest-list", ParamKind::List(&DIGEST_KIND), "Digests of chunks"),
    Param::optional("offset-list", ParamKind::List(&START_KIND), "Where each chunk begins"),
];
const CHUNK_PARAMS: &[Param] = &[
    WRITER,
    named::CHUNK_DIGEST,
    Param::required("size", between(1, MAX_CHUNK_BYTES as i64), "Plain size in bytes"),
    Param::required(
        ENCODED_SIZE_PARAMETER,
        between(MIN_ENCODED_CHUNK_BYTES as i64, MAX_ENCODED_BLOB_BYTES as i64),
        "Size of the body in bytes",
    ),
];
const DYNAMIC_CLOSE_PARAMS: &[Param] = &[
    WRITER,
    Param::required("chunk-count", at_least(1), "Number of chunks appended"),
    Param::required("size", at_least(1), "Size of the archive in bytes"),
    CHECKSUM,
];
const FIXED_CLOSE_PARAMS: &[Param] = &[
    WRITER,
    Param::required("chunk-count", at_least(0), "Number of chunks appended"),
    Param::required("size", at_least(0), "Size of the image in bytes"),
    CHECKSUM,
];
const BLOB_PARAMS: &[Param] = &[
    named::FILE_NAME.named(BLOB_NAME_PARAMETER),
    Param::required(
        ENCODED_SIZE_PARAMETER,
        between(MIN_ENCODED_BLOB_BYTES as i64, MAX_ENCODED_BLOB_BYTES as i64),
        "Size of the body in bytes",
    ),
];

const WRITER_KINDS: [WriterKind; 2] = [WriterKind::Fixed, WriterKind::Dynamic];

type Endpoint = SessionEndpoint<BackupSession>;

/// Returns an endpoint whose requests count as signs of life while they run.
fn counted<F, Fut>(
    method: Method,
    path: &'static str,
    summary: &'static str,
    params: &[Param],
    answer: Answer,
    handler: F,
) -> Endpoint
where
    F: Fn(Arc<BackupSession>, SessionRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply, ApiError>> + Send + 'static,
{
    // Not of each chunk and append: real clients always ask for more, and a large disk has a quarter of a million.
    let is_told = method != Method::PUT && !WRITER_KINDS.iter().any(|kind| kind.chunk_path() == path);
    let line = format!("{method} {path}");
    let counted = move |session: Arc<BackupSession>, request: SessionRequest| {
        if is_told {
            session.log.debug(&line);
        }
        let running = session.activity.request();
        let answer = handler(session, request);
        async move {
            let answer = answer.await;
            drop(running);
            answer
        }
    };
    SessionEndpoint::new(method, path, summary, params, answer, counted)
}

/// Returns the endpoints of backup sessions.
pub fn router() -> SessionRouter<BackupSession> {
    let (fixed, dynamic) = (WriterKind::Fixed, WriterKind::Dynamic);
    let append_to = |kind| move |session, request| append(session, request, kind);
    let chunk_of = |kind| move |session, request| chunk(session, request, kind);
    let close_of = |kind| move |session, request| close(session, request, kind);
    SessionRouter::new(vec![
        post(dynamic.index_path(), "Create a dynamic index", DYNAMIC_PARAMS, create_dynamic),
        put(dynamic.index_path(), "Append to a dynamic index", append_to(dynamic)),
        post(dynamic.chunk_path(), "Upload a chunk of a dynamic index", CHUNK_PARAMS, chunk_of(dynamic)).raw_body(),
        post(dynamic.close_path(), "Close a dynamic index", DYNAMIC_CLOSE_PARAMS, close_of(dynamic)),
        post(fixed.index_path(), "Create a fixed index", FIXED_PARAMS, create_fixed),
        put(fixed.index_path(), "Write slots of a fixed index", append_to(fixed)),
        post(fixed.chunk_path(), "Upload a chunk of a fixed index", CHUNK_PARAMS, chunk_of(fixed)).raw_body(),
        post(fixed.close_path(), "Close a fixed index", FIXED_CLOSE_PARAMS, close_of(fixed)),
        post(BLOB_PATH, "Upload a blob", BLOB_PARAMS, put_blob).raw_body(),
        get(PREVIOUS_PATH, "Read a file of the previous backup", &[ARCHIVE_NAME], Answer::Raw, previous),
        get(PREVIOUS_BACKUP_TIME_PATH, "Tell the time of the previous backup", &[], Answer::Value, previous_time),
        post(UPLOAD_SPEEDTEST_PATH, "Test the speed", &[], speedtest).raw_body(),
        post(FINISH_PATH, "Finish the backup", &[], finish),
    ])
}

fn post<F, Fut>(path: &'static str, summary: &'static str, params: &[Param], handler: F) -> Endpoint
where
    F: Fn(Arc<BackupSession>, SessionRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply, ApiError>> + Send + 'static,
{
    counted(Method::POST, path, summary, params, Answer::Value, handler)
}

fn put<F, Fut>(path: &'static str, summary: &'static str, handler: F) -> Endpoint
where
    F: Fn(Arc<BackupSession>, SessionRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply, ApiError>> + Send + 'static,
{
    counted(Method::PUT, path, summary, APPEND_PARAMS, Answer::Value, handler)
}

fn get<F, Fut>(path: &'static str, summary: &'static str, params: &[Param], answer: Answer, handler: F) -> Endpoint
where
    F: Fn(Arc<BackupSession>, SessionRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply, ApiError>> + Send + 'static,
{
    counted(Method::GET, path, summary, params, answer, handler)
}

fn number(params: &Params, name: &str) -> u64 {
    params.integer(name).and_then(|number| u64::try_from(number).ok()).unwrap_or_default()
}

/// Parses a name that the schema has only checked for its characters.
fn archive(params: &Params, name: &str) -> Result<ArchiveName, ApiError> {
    params.require(name)
}

/// Returns a list, which may be empty.
fn list<'p>(params: &'p Params, name: &str) -> Result<&'p [Value], ApiError> {
    let missing = || ApiError::parameter(name, "parameter is missing and it is not optional");
    params.value(name).and_then(Value::as_array).map(Vec::as_slice).ok_or_else(missing)
}

async fn create_dynamic(session: Arc<BackupSession>, request: SessionRequest) -> Result<Reply, ApiError> {
    let name = archive(&request.params, ARCHIVE_NAME_PARAMETER)?;
    Ok(Reply::value(blocking(move || session.create_dynamic(&name)).await?))
}

async fn create_fixed(session: Arc<BackupSession>, request: SessionRequest) -> Result<Reply, ApiError> {
    let params = &request.params;
    let new = NewFixed {
        name: archive(params, ARCHIVE_NAME_PARAMETER)?,
        size: params.integer("size").map(|_| number(params, "size")),
        reuse: params.text(REUSE_CHECKSUM_PARAMETER).map(str::to_owned),
    };
    let permit = if new.reuse.is_some() { Some(permit_for_file(&session).await?) } else { None };
    let create = move || {
        let _permit = permit;
        session.create_fixed(&new)
    };
    Ok(Reply::value(blocking(create).await?))
}

async fn chunk(session: Arc<BackupSession>, request: SessionRequest, kind: WriterKind) -> Result<Reply, ApiError> {
    let params = &request.params;
    let upload = ChunkUpload {
        kind,
        writer: number(params, "wid"),
        digest: params.require("digest")?,
        plain_bytes: u32::try_from(number(params, "size")).unwrap_or(u32::MAX),
    };
    let announced = usize::try_from(number(params, ENCODED_SIZE_PARAMETER)).unwrap_or(usize::MAX);
    let received = session.intake.receive(request.body, announced).await?;
    let worker = Arc::clone(&session);
    let work = move |encoded: &mut [u8], bench: &mut super::chunk::Bench| {
        let plain_bytes = upload.plain_bytes as usize;
        bench.check(encoded, &upload.digest, plain_bytes).map_err(|error| ApiError::from_chain(&error))?;
        worker.store_chunk(&upload, encoded)
    };
    session.intake.work(received, work).await?;
    Ok(Reply::value(upload.digest.to_string()))
}

async fn append(session: Arc<BackupSession>, request: SessionRequest, kind: WriterKind) -> Result<Reply, ApiError> {
    blocking(move || {
        let params = &request.params;
        let digests = list(params, "digest-list")?.iter().map(|digest| {
            let text = digest.as_str().unwrap_or_default();
            text.parse().map_err(|error| ApiError::bad_request(format!("digest '{text}': {error}")))
        });
        let digests: Vec<Digest> = digests.collect::<Result<_, _>>()?;
        let starts: Vec<u64> = list(params, "offset-list")?.iter().filter_map(Value::as_u64).collect();
        session.append(kind, number(params, "wid"), &digests, &starts)
    })
    .await?;
    Ok(Reply::null())
}

async fn close(session: Arc<BackupSession>, request: SessionRequest, kind: WriterKind) -> Result<Reply, ApiError> {
    let params = &request.params;
    let close = Close {
        kind,
        writer: number(params, "wid"),
        chunk_count: number(params, "chunk-count"),
        size: number(params, "size"),
        checksum: params.require("csum")?,
    };
    blocking(move || session.close(&close)).await?;
    Ok(Reply::null())
}

async fn put_blob(session: Arc<BackupSession>, request: SessionRequest) -> Result<Reply, ApiError> {
    let params = &request.params;
    let name = archive(params, BLOB_NAME_PARAMETER)?;
    if name.kind() != ArchiveKind::Blob {
        return Err(ApiError::bad_request(format!("file name '{name}' does not end in .blob")));
    }
    let announced = usize::try_from(number(params, ENCODED_SIZE_PARAMETER)).unwrap_or(usize::MAX);
    let received = session.intake.receive(request.body, announced).await?;
    let worker = Arc::clone(&session);
    let work = move |encoded: &mut [u8], _: &mut _| {
        blob::check(encoded).map_err(|error| ApiError::from_chain(&error))?;
        worker.put_blob(&name, encoded)
    };
    session.intake.work(received, work).await?;
    Ok(Reply::null())
}

async fn previous(session: Arc<BackupSession>, request: SessionRequest) -> Result<Reply, ApiError> {
    let text = request.params.text(ARCHIVE_NAME_PARAMETER).unwrap_or_default().to_owned();
    let permit = permit_for_file(&session).await?;
    let bytes = blocking(move || {
        session.check_base()?;
        let name: ArchiveName =
            text.parse().map_err(|error| ApiError::bad_request(format!("archive name '{text}': {error}")))?;
        session.previous(&name)
    })
    .await?;
    // Sent without content length, as the reference streams files. The permit goes with the last byte.
    let file = bytes::Bytes::from_owner(HeldFile { bytes, _permit: permit });
    let body = futures::stream::once(async move { Ok(hyper::body::Frame::data(file)) });
    Ok(Reply::raw(CONTENT_TYPE_BYTES, Body::new(http_body_util::StreamBody::new(body))))
}

/// Waits until a file of the base may be read into memory.
///
/// # Errors
/// Those that are there were not sent in time: the client reads none of them.
async fn permit_for_file(session: &BackupSession) -> Result<OwnedSemaphorePermit, ApiError> {
    match timeout(FILES_WAIT, Arc::clone(&session.files).acquire_owned()).await {
        Ok(permit) => permit.map_err(|_| ApiError::internal("session is closing")),
        Err(_) => Err(ApiError::bad_request("files of the previous backup asked for before were not read")),
    }
}

/// A file in memory that counts until it is sent.
struct HeldFile {
    bytes: bytes::Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for HeldFile {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

async fn previous_time(session: Arc<BackupSession>, _: SessionRequest) -> Result<Reply, ApiError> {
    Ok(Reply::value(session.base_time().map_or(Value::Null, |time| time.0.into())))
}

async fn speedtest(session: Arc<BackupSession>, request: SessionRequest) -> Result<Reply, ApiError> {
    session.intake.discard(request.body).await?;
    Ok(Reply::null())
}

async fn finish(session: Arc<BackupSession>, _: SessionRequest) -> Result<Reply, ApiError> {
    blocking(move || session.finish()).await?;
    Ok(Reply::null())
}
