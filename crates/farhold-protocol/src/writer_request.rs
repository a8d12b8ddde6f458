//! The requests inside a backup session: paths, parameters, and the body of an append.
//!
//! A client builds them here; a server reads the same names. Parameters stand in the order in which real clients send
//! them. What a server makes of them is decided elsewhere. Source: `docs/spec/wire-protocol.md` 5.3.

use std::fmt::Write;

use farhold_types::{ArchiveKind, ArchiveName, Digest};

use crate::query::Query;

/// Path that stores a blob.
pub const BLOB_PATH: &str = "/blob";
/// Path of the request for a file of the base snapshot.
pub const PREVIOUS_PATH: &str = "/previous";
/// Path of the request for the time of the base snapshot.
pub const PREVIOUS_BACKUP_TIME_PATH: &str = "/previous_backup_time";
/// Path of the speed test: a body that is read and thrown away.
pub const UPLOAD_SPEEDTEST_PATH: &str = "/speedtest";
/// Path that ends a backup.
pub const FINISH_PATH: &str = "/finish";
/// Parameter that names the archive of a new index, or a file of the base snapshot.
pub const ARCHIVE_NAME_PARAMETER: &str = "archive-name";
/// Parameter that names a blob.
pub const BLOB_NAME_PARAMETER: &str = "file-name";
/// Parameter: checksum of the index of the base snapshot that a new fixed index begins with.
pub const REUSE_CHECKSUM_PARAMETER: &str = "reuse-csum";
/// Parameter: bytes of the body.
pub const ENCODED_SIZE_PARAMETER: &str = "encoded-size";
/// Largest number of a writer that a call can name, and so the most archives with an index that a session can write.
pub const MAX_WRITERS: u16 = 256;

/// Bytes that an entry takes in the body of an append, at most: a quoted digest, a number of 20 digits, two commas.
const APPEND_ENTRY_BYTES: usize = 66 + 20 + 2;
/// Bytes of that body besides its entries, at most.
const APPEND_FRAME_BYTES: usize = 64;

/// The two kinds of archives with an index; each has its own paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WriterKind {
    /// Chunks of one size.
    Fixed,
    /// Chunks of varying size.
    Dynamic,
}

impl WriterKind {
    /// Returns the kind of this archive; none for a blob.
    pub fn of(name: &ArchiveName) -> Option<Self> {
        match name.kind() {
            ArchiveKind::FixedIndex => Some(Self::Fixed),
            ArchiveKind::DynamicIndex => Some(Self::Dynamic),
            ArchiveKind::Blob => None,
        }
    }

    /// Returns the path that creates an index (POST) and appends to it (PUT).
    pub const fn index_path(self) -> &'static str {
        match self {
            Self::Fixed => "/fixed_index",
            Self::Dynamic => "/dynamic_index",
        }
    }

    /// Returns the path that uploads a chunk.
    pub const fn chunk_path(self) -> &'static str {
        match self {
            Self::Fixed => "/fixed_chunk",
            Self::Dynamic => "/dynamic_chunk",
        }
    }

    /// Returns the path that closes an index.
    pub const fn close_path(self) -> &'static str {
        match self {
            Self::Fixed => "/fixed_close",
            Self::Dynamic => "/dynamic_close",
        }
    }
}

/// Returns path and query of the request for a new fixed index. `size_bytes`: of the image.
pub fn create_fixed_request(name: &ArchiveName, size_bytes: Option<u64>, reuse_checksum: Option<&Digest>) -> String {
    let query = Query::new()
        .with(ARCHIVE_NAME_PARAMETER, name)
        .with_option(REUSE_CHECKSUM_PARAMETER, reuse_checksum)
        .with_option("size", size_bytes);
    format!("{}?{query}", WriterKind::Fixed.index_path())
}

/// Returns path and query of the request for a new dynamic index.
pub fn create_dynamic_request(name: &ArchiveName) -> String {
    format!("{}?{}", WriterKind::Dynamic.index_path(), Query::new().with(ARCHIVE_NAME_PARAMETER, name))
}

/// Returns path and query of a chunk's upload.
pub fn upload_request(kind: WriterKind, wid: u16, digest: &Digest, plain_bytes: u64, encoded_bytes: usize) -> String {
    let query = Query::new()
        .with("digest", digest)
        .with(ENCODED_SIZE_PARAMETER, encoded_bytes)
        .with("size", plain_bytes)
        .with("wid", wid);
    format!("{}?{query}", kind.chunk_path())
}

/// Returns path and query of the request that closes an index.
pub fn close_request(kind: WriterKind, wid: u16, chunk_count: u64, size_bytes: u64, checksum: &Digest) -> String {
    let query =
        Query::new().with("chunk-count", chunk_count).with("csum", checksum).with("size", size_bytes).with("wid", wid);
    format!("{}?{query}", kind.close_path())
}

/// Returns path and query of a blob's upload.
pub fn blob_request(name: &ArchiveName, encoded_bytes: usize) -> String {
    let query = Query::new().with(ENCODED_SIZE_PARAMETER, encoded_bytes).with(BLOB_NAME_PARAMETER, name);
    format!("{BLOB_PATH}?{query}")
}

/// Returns path and query of the request for a file of the base snapshot.
pub fn previous_request(name: &ArchiveName) -> String {
    format!("{PREVIOUS_PATH}?{}", Query::new().with(ARCHIVE_NAME_PARAMETER, name))
}

/// Returns the JSON body that appends chunks to an index: each with the position of its first byte.
pub fn append_body(wid: u16, entries: &[(Digest, u64)]) -> String {
    let mut body = String::with_capacity(APPEND_FRAME_BYTES + entries.len() * APPEND_ENTRY_BYTES);
    body.push_str("{\"digest-list\":[");
    for (i, (digest, _)) in entries.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(body, "{comma}\"{digest}\"");
    }
    body.push_str("],\"offset-list\":[");
    for (i, (_, start)) in entries.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(body, "{comma}{start}");
    }
    let _ = write!(body, "],\"wid\":{wid}}}");
    body
}

/// Returns how many entries an append may have so that its body is certainly no larger than this.
pub const fn append_entries(body_bytes: usize) -> usize {
    body_bytes.saturating_sub(APPEND_FRAME_BYTES) / APPEND_ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_is_never_larger_than_its_number_of_entries_allows() {
        for limit in [0, 100, 60 * 1024, 480 * 1024] {
            let entries = vec![(Digest([0xff; 32]), u64::MAX); append_entries(limit)];
            let body = append_body(MAX_WRITERS, &entries);
            assert!(entries.is_empty() || body.len() <= limit, "{limit}: {}", body.len());
            let read: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(read["digest-list"].as_array().unwrap().len(), entries.len());
        }
        // Lists of the recordings have 64 entries; the two limits that real servers have allow some hundreds more.
        assert_eq!((append_entries(60 * 1024), append_entries(480 * 1024)), (697, 5584));
    }

    #[test]
    fn recorded_requests_are_built_as_recorded() {
        let recording = include_str!("../../../tests/golden/wire/push-incremental.jsonl");
        let mut found = 0;
        for line in recording.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
            let (Some(path), Some(method)) = (line["path"].as_str(), line["method"].as_str()) else { continue };
            let query = Query::parse(path.split_once('?').map_or("", |(_, query)| query)).unwrap();
            let value = |name: &str| query.pairs().iter().find(|(n, _)| n == name).map_or("", |(_, value)| value);
            let number = |name: &str| value(name).parse::<u64>().unwrap();
            let wid = || u16::try_from(number("wid")).unwrap();
            let ours = match path.split('?').next().unwrap() {
                "/fixed_index" if method == "POST" => {
                    let name = value(ARCHIVE_NAME_PARAMETER).parse().unwrap();
                    create_fixed_request(&name, Some(number("size")), None)
                }
                "/fixed_index" => {
                    let body: serde_json::Value = serde_json::from_str(line["body"].as_str().unwrap()).unwrap();
                    let digests = body["digest-list"].as_array().unwrap().iter();
                    let starts = body["offset-list"].as_array().unwrap().iter();
                    let entries: Vec<(Digest, u64)> = digests
                        .zip(starts)
                        .map(|(d, s)| (d.as_str().unwrap().parse().unwrap(), s.as_u64().unwrap()))
                        .collect();
                    assert_eq!(append_body(1, &entries), line["body"].as_str().unwrap());
                    path.to_owned()
                }
                "/fixed_chunk" => {
                    let (digest, encoded) = (value("digest").parse().unwrap(), number(ENCODED_SIZE_PARAMETER));
                    let encoded = usize::try_from(encoded).unwrap();
                    upload_request(WriterKind::Fixed, wid(), &digest, number("size"), encoded)
                }
                "/fixed_close" => {
                    let checksum = value("csum").parse().unwrap();
                    close_request(WriterKind::Fixed, wid(), number("chunk-count"), number("size"), &checksum)
                }
                "/blob" => {
                    let encoded = usize::try_from(number(ENCODED_SIZE_PARAMETER)).unwrap();
                    blob_request(&value(BLOB_NAME_PARAMETER).parse().unwrap(), encoded)
                }
                "/previous" => previous_request(&value(ARCHIVE_NAME_PARAMETER).parse().unwrap()),
                _ => continue,
            };
            assert_eq!(ours, path);
            found += 1;
        }
        assert!(8 <= found, "{found}");
    }
}
