//! A reader session: its requests, and which chunks it may fetch.
//!
//! The server asks [`ReaderState::decide`] what a request means and tells it which indexes were sent; the client
//! builds the same requests. Source: `docs/spec/wire-protocol.md` 6.

use std::collections::HashSet;
use std::time::Duration;

use farhold_types::{ArchiveKind, ArchiveName, Digest};

use crate::query::Query;

/// Path of the request for a file of the snapshot.
pub const DOWNLOAD_PATH: &str = "/download";
/// Path of the request for a chunk.
pub const CHUNK_PATH: &str = "/chunk";
/// Path of the speed test.
pub const SPEEDTEST_PATH: &str = "/speedtest";
/// Parameter of [`DOWNLOAD_PATH`].
pub const FILE_NAME_PARAMETER: &str = "file-name";
/// Parameter of [`CHUNK_PATH`].
pub const DIGEST_PARAMETER: &str = "digest";
/// Answer of the speed test: this many bytes, each [`SPEEDTEST_BYTE`].
pub const SPEEDTEST_BYTES: usize = 1024 * 1024;
/// See [`SPEEDTEST_BYTES`].
pub const SPEEDTEST_BYTE: u8 = 0x41;
/// How long a server holds back the refusal of a chunk that the session may not read, without holding up others.
pub const NOT_ALLOWED_DELAY: Duration = Duration::from_secs(3);

/// Returns path and query of the request for a file.
pub fn download_request(name: &ArchiveName) -> String {
    format!("{DOWNLOAD_PATH}?{}", Query::new().with(FILE_NAME_PARAMETER, name))
}

/// Returns path and query of the request for a chunk.
pub fn chunk_request(digest: &Digest) -> String {
    format!("{CHUNK_PATH}?{}", Query::new().with(DIGEST_PARAMETER, digest))
}

/// Returns the status of a request for a file that is missing: 404 for blobs, 400 for indexes.
///
/// A pulling peer takes the 404 of the manifest for a vanished snapshot and relies on nothing else.
pub const fn missing_file_status(kind: ArchiveKind) -> u16 {
    match kind {
        ArchiveKind::Blob => 404,
        ArchiveKind::FixedIndex | ArchiveKind::DynamicIndex => 400,
    }
}

/// What the server has to do for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReaderDecision {
    /// Send the file. If it is an index, call [`ReaderState::allow`] with its digests before the first byte.
    Download(ArchiveName),
    /// Send the chunk file as it is.
    Chunk(Digest),
    /// Send [`SPEEDTEST_BYTES`] bytes.
    Speedtest,
    /// List the endpoints.
    Index,
    /// Refuse. The session goes on.
    Refuse(ReaderRefusal),
}

/// Why a request inside a reader session is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReaderRefusal {
    /// Unknown path or method.
    #[error("no such endpoint")]
    UnknownEndpoint,
    /// A parameter is missing, unknown, repeated or wrong.
    #[error("{0}")]
    Parameter(String),
    /// The session downloaded no index that names this chunk.
    #[error("chunk {0} belongs to no index downloaded in this session")]
    NotAllowed(Digest),
}

impl ReaderRefusal {
    /// Returns the HTTP status of the refusal.
    pub const fn status(&self) -> u16 {
        match self {
            Self::UnknownEndpoint => 404,
            Self::Parameter(_) => 400,
            Self::NotAllowed(_) => 401,
        }
    }

    /// Returns how long the answer is held back.
    pub const fn delay(&self) -> Duration {
        match self {
            Self::NotAllowed(_) => NOT_ALLOWED_DELAY,
            Self::UnknownEndpoint | Self::Parameter(_) => Duration::ZERO,
        }
    }
}

/// State of one reader session: the chunks named by the indexes it downloaded. A new session may read none.
#[derive(Debug, Default)]
pub struct ReaderState {
    allowed: HashSet<Digest>,
}

impl ReaderState {
    /// Returns the state of a session that has just begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows the chunks of an index, which is about to be sent.
    pub fn allow(&mut self, digests: impl IntoIterator<Item = Digest>) {
        self.allowed.extend(digests);
    }

    /// Returns how many different chunks may be read.
    pub fn allowed_count(&self) -> usize {
        self.allowed.len()
    }

    /// Returns what to do for a request.
    ///
    /// `method`: as on the wire. `path`: without query, doubled slashes already dropped. `query`: decoded parameters.
    pub fn decide(&self, method: &str, path: &str, query: &Query) -> ReaderDecision {
        if method != "GET" {
            return ReaderDecision::Refuse(ReaderRefusal::UnknownEndpoint);
        }
        let decision = match path {
            "/" | "" => Ok(ReaderDecision::Index),
            DOWNLOAD_PATH => single(query, FILE_NAME_PARAMETER).map(ReaderDecision::Download),
            CHUNK_PATH => single(query, DIGEST_PARAMETER).and_then(|digest| {
                if self.allowed.contains(&digest) {
                    Ok(ReaderDecision::Chunk(digest))
                } else {
                    Err(ReaderRefusal::NotAllowed(digest))
                }
            }),
            SPEEDTEST_PATH => match query.pairs().iter().find(|(name, _)| name != "_dc") {
                None => Ok(ReaderDecision::Speedtest),
                Some((name, _)) => Err(unknown(name)),
            },
            _ => Err(ReaderRefusal::UnknownEndpoint),
        };
        decision.unwrap_or_else(ReaderDecision::Refuse)
    }
}

fn unknown(name: &str) -> ReaderRefusal {
    ReaderRefusal::Parameter(format!(
        "parameter verification failed - '{name}': parameter is not defined here and no others are allowed"
    ))
}

/// Returns the value of the one parameter that the endpoint knows.
fn single<T>(query: &Query, wanted: &str) -> Result<T, ReaderRefusal>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let problem = |what: &str| ReaderRefusal::Parameter(format!("parameter verification failed - '{wanted}': {what}"));
    let mut value = None;
    for (name, text) in query.pairs().iter().filter(|(name, _)| name != "_dc") {
        if name != wanted {
            return Err(unknown(name));
        }
        if value.replace(text).is_some() {
            return Err(problem("parameter is given more than once"));
        }
    }
    let text = value.ok_or_else(|| problem("parameter is missing and it is not optional"))?;
    text.parse().map_err(|e: T::Err| problem(&e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(state: &ReaderState, request: &str) -> ReaderDecision {
        let (path, query) = request.split_once('?').unwrap_or((request, ""));
        state.decide("GET", path, &Query::parse(query).unwrap())
    }

    fn status(state: &ReaderState, request: &str) -> u16 {
        match decide(state, request) {
            ReaderDecision::Refuse(refusal) => refusal.status(),
            _ => 200,
        }
    }

    #[test]
    fn a_chunk_may_be_read_only_after_its_index() {
        let mut state = ReaderState::new();
        let digest = Digest([7; 32]);
        let request = chunk_request(&digest);
        let refusal = ReaderRefusal::NotAllowed(digest);
        assert_eq!(refusal.delay(), NOT_ALLOWED_DELAY);
        assert_eq!(decide(&state, &request), ReaderDecision::Refuse(refusal));
        state.allow([digest, digest, Digest([8; 32])]);
        assert_eq!(state.allowed_count(), 2);
        assert_eq!(decide(&state, &request), ReaderDecision::Chunk(digest));
        assert_eq!(status(&ReaderState::new(), &request), 401);
    }

    #[test]
    fn names_and_parameters_are_checked_before_anything_is_opened() {
        let state = ReaderState::new();
        let manifest = ArchiveName::manifest();
        assert_eq!(decide(&state, &download_request(&manifest)), ReaderDecision::Download(manifest));
        for bad in [
            "/download",
            "/download?file-name=../../../etc/shadow.blob",
            "/download?file-name=%2e%2e%2fx.blob",
            "/download?file-name=notes.txt",
            "/download?file-name=.blob",
            "/download?file-name=a.blob&file-name=b.blob",
            "/download?file-name=a.blob&ns=x",
            "/chunk",
            "/chunk?digest=AB",
            "/speedtest?size=1",
        ] {
            assert_eq!(status(&state, bad), 400, "{bad}");
        }
        assert_eq!(status(&state, "/upload"), 404);
        assert_eq!(status(&state, "/speedtest"), 200);
        assert_eq!(
            state.decide("POST", "/speedtest", &Query::new()),
            ReaderDecision::Refuse(ReaderRefusal::UnknownEndpoint)
        );
    }

    #[test]
    fn the_recorded_probe_gets_the_recorded_status_for_names_and_endpoints() {
        let recording = include_str!("../../../tests/golden/wire/probe-reader.jsonl");
        let state = ReaderState::new();
        let mut seen = 0;
        for line in recording.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let (Some(path), Some(recorded)) = (line["path"].as_str(), line["status"].as_u64()) else {
                continue;
            };
            // Statuses of 400 for names that do not parse and 404 for unknown endpoints do not depend on the snapshot.
            let ours = status(&state, path);
            if line["proto"] == "h2" && line["method"] == "GET" && (ours == 400 || ours == 404) {
                assert_eq!(u64::from(ours), recorded, "{path}");
                seen += 1;
            }
        }
        assert!(0 < seen);
    }
}
