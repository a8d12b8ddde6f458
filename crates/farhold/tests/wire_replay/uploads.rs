//! Translates the requests of a recorded backup session to ones with our content.
//!
//! To give the right checksum where the recorded one was right, and a wrong one where it was wrong, the indexes are
//! kept here as the recorded server had them, with recorded digests and with ours.

use std::collections::BTreeMap;

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_format::blob::{BlobEncoder, BlobKind};
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_types::{CLIENT_LOG_NAME, CryptMode, Digest, MANIFEST_NAME, Snapshot};
use serde_json::{Value, json};

use crate::content::{Chunks, container, recorded_kind, value, with_value};
use crate::play::Line;

const SLOT: u64 = 4 << 20;

/// A digest as it was recorded, and ours.
type Pair = [Digest; 2];

/// An index under construction.
#[derive(Default)]
struct Index {
    name: String,
    is_fixed: bool,
    /// Fixed: by slot. Dynamic: by number, with the end.
    entries: BTreeMap<u64, (u64, Pair)>,
    size: Option<u64>,
    end: u64,
    ours: u64,
}

impl Index {
    /// Returns the checksum over recorded digests (0) or ours (1).
    fn checksum(&self, side: usize) -> Digest {
        let mut bytes = Vec::new();
        if self.is_fixed {
            for slot in 0..self.size.unwrap_or(self.end).div_ceil(SLOT) {
                bytes.extend(self.entries.get(&slot).map_or([0; 32], |(_, pair)| pair[side].0));
            }
        } else {
            for (end, pair) in self.entries.values() {
                bytes.extend(end.to_le_bytes());
                bytes.extend(pair[side].0);
            }
        }
        sha256(&bytes)
    }
}

/// Indexes that were closed, by name: what later sessions may begin with.
pub type Closed = BTreeMap<String, Vec<Pair>>;

/// One session.
pub struct Uploads {
    /// Lists what was closed and stored so far.
    manifest: Manifest,
    indexes: BTreeMap<u64, Index>,
}

/// A request as it is sent.
pub struct Sent {
    pub path: String,
    pub body: Bytes,
}

impl Uploads {
    pub fn new(snapshot: &Snapshot) -> Self {
        Self { manifest: Manifest::new(snapshot), indexes: BTreeMap::new() }
    }

    /// Returns the number that our server gave the writer.
    fn writer(&self, recorded: u64) -> u64 {
        self.indexes.get(&recorded).map_or(recorded, |index| index.ours)
    }

    /// Returns the request of ours for a recorded one.
    pub fn translate(&self, line: &Line, chunks: &Chunks, closed: &Closed) -> Sent {
        let mut path = line.path.clone();
        if let Some(writer) = value(&path, "wid").and_then(|text| text.parse().ok()) {
            path = with_value(&path, "wid", &self.writer(writer).to_string());
        }
        let bare = line.path.split('?').next().unwrap();
        let body = match bare {
            "/fixed_chunk" | "/dynamic_chunk" => return chunk(line, path, chunks),
            "/blob" => return self.blob(line, path),
            "/speedtest" => Bytes::from(vec![0x41; line.body_len]),
            "/fixed_index" | "/dynamic_index" if line.method.as_deref() == Some("PUT") => {
                self.append(line, &mut path, chunks)
            }
            "/fixed_close" | "/dynamic_close" => {
                let writer = value(&line.path, "wid").and_then(|text| text.parse().ok());
                if let Some(index) = writer.and_then(|writer: u64| self.indexes.get(&writer))
                    && value(&line.path, "csum") == Some(&index.checksum(0).to_string())
                {
                    path = with_value(&path, "csum", &index.checksum(1).to_string());
                }
                Bytes::new()
            }
            _ => {
                if let Some(recorded) = value(&line.path, "reuse-csum") {
                    let sum = |pairs: &[Pair], side: usize| {
                        sha256(&pairs.iter().flat_map(|pair| pair[side].0).collect::<Vec<u8>>()).to_string()
                    };
                    if let Some(pairs) = closed.values().find(|pairs| sum(pairs, 0) == recorded) {
                        path = with_value(&path, "reuse-csum", &sum(pairs, 1));
                    }
                }
                if let Some(recorded) = value(&line.path, "digest") {
                    path = with_value(&path, "digest", &chunks.digest(recorded));
                }
                Bytes::from(line.body.clone().unwrap_or_default())
            }
        };
        Sent { path, body }
    }

    fn append(&self, line: &Line, path: &mut String, chunks: &Chunks) -> Bytes {
        let Some(text) = &line.body else {
            let digest = value(&line.path, "digest-list").unwrap();
            *path = with_value(path, "digest-list", &chunks.digest(digest));
            return Bytes::new();
        };
        let mut body: Value = serde_json::from_str(text).unwrap();
        for digest in body["digest-list"].as_array_mut().unwrap() {
            *digest = json!(chunks.digest(digest.as_str().unwrap()));
        }
        if let Some(writer) = body["wid"].as_u64() {
            body["wid"] = json!(self.writer(writer));
        }
        Bytes::from(body.to_string())
    }

    fn blob(&self, line: &Line, path: String) -> Sent {
        let is_manifest = value(&line.path, "file-name") == Some("index.json.blob");
        let is_crc_wrong = line.label.as_deref() == Some("bad crc");
        let mut bytes = match recorded_kind(line) {
            Some(BlobKind::Zstd) if is_manifest => self.manifest.to_blob(&mut BlobEncoder::new()).unwrap(),
            Some(kind) => container(kind, line.body_len),
            None => vec![1; line.body_len],
        };
        if is_crc_wrong {
            bytes[8] ^= 1;
        }
        sized(line, path, bytes)
    }

    /// Takes note of what an answered request did.
    pub fn answered(&mut self, line: &Line, answer: &[u8], chunks: &Chunks, closed: &mut Closed) {
        let bare = line.path.split('?').next().unwrap();
        let is_ok = line.status == Some(200);
        match (line.method.as_deref(), bare) {
            (Some("POST"), "/fixed_index" | "/dynamic_index") if is_ok => self.created(line, answer, closed),
            (Some("PUT"), _) => self.appended(line, chunks),
            (Some("POST"), "/fixed_close" | "/dynamic_close") if is_ok => {
                let writer: u64 = value(&line.path, "wid").unwrap().parse().unwrap();
                let index = self.indexes.remove(&writer).unwrap();
                let size = value(&line.path, "size").unwrap().parse().unwrap();
                // Only what cannot be looked into keeps its recorded digest.
                let is_encrypted = index.entries.values().all(|(_, pair)| pair[0] == pair[1]);
                self.list(&index.name, is_encrypted, size, index.checksum(1));
                closed.insert(index.name, index.entries.into_values().map(|(_, pair)| pair).collect());
            }
            (Some("POST"), "/blob") if is_ok => {
                let name = value(&line.path, "file-name").unwrap();
                if name != MANIFEST_NAME && name != CLIENT_LOG_NAME {
                    let stored = self.blob(line, line.path.clone()).body;
                    let is_encrypted = recorded_kind(line).is_some_and(BlobKind::is_encrypted);
                    self.list(name, is_encrypted, stored.len() as u64, sha256(&stored));
                }
            }
            _ => {}
        }
    }

    /// Lists a file in the manifest, instead of an earlier one of this name.
    fn list(&mut self, name: &str, is_encrypted: bool, size_bytes: u64, checksum: Digest) {
        let Ok(name) = name.parse() else { return };
        let crypt_mode = if is_encrypted { CryptMode::Encrypt } else { CryptMode::None };
        let files = &mut self.manifest.files;
        files.retain(|file| file.name != name);
        files.push(ManifestFile { name, crypt_mode, size_bytes, checksum });
    }

    fn created(&mut self, line: &Line, answer: &[u8], closed: &Closed) {
        let number = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap()["data"].as_u64();
        let recorded = number(line.resp_body.as_ref().unwrap().as_bytes()).unwrap();
        let parameter = |name: &str| {
            let body = line.body.as_deref().unwrap_or_default();
            let json = serde_json::from_str::<Value>(body).ok().and_then(|b| b[name].as_str().map(str::to_owned));
            let form = value(&format!("?{body}"), name).map(str::to_owned);
            value(&line.path, name).map(str::to_owned).or(json).or(form)
        };
        let mut index = Index {
            name: parameter("archive-name").unwrap(),
            is_fixed: line.path.starts_with("/fixed"),
            size: parameter("size").map(|size| size.parse().unwrap()),
            ours: number(answer).unwrap_or(recorded),
            ..Index::default()
        };
        if parameter("reuse-csum").is_some() {
            let pairs = closed[&index.name].iter();
            index.entries = (0..).zip(pairs.map(|pair| (0, *pair))).collect();
        }
        self.indexes.insert(recorded, index);
    }

    /// Appends what the recorded server appended: of a refused request what comes before the wrong pair.
    fn appended(&mut self, line: &Line, chunks: &Chunks) {
        let (writer, digests, starts) = match &line.body {
            Some(text) => {
                let body: Value = serde_json::from_str(text).unwrap();
                let list = |name: &str| body[name].as_array().unwrap().clone();
                (body["wid"].as_u64(), list("digest-list"), list("offset-list"))
            }
            None => {
                let query = |name: &str| value(&line.path, name).unwrap();
                let number = |name: &str| query(name).parse::<u64>().unwrap();
                (Some(number("wid")), vec![json!(query("digest-list"))], vec![json!(number("offset-list"))])
            }
        };
        let is_half = line.label.as_deref() == Some("half ok");
        if line.status != Some(200) && !is_half {
            return;
        }
        let index = self.indexes.get_mut(&writer.unwrap()).unwrap();
        for (digest, start) in digests.iter().zip(&starts) {
            let Some(chunk) = chunks.get(digest.as_str().unwrap()) else { break };
            let pair = [digest.as_str().unwrap().parse().unwrap(), chunk.digest];
            let end = start.as_u64().unwrap() + chunk.length;
            index.end = index.end.max(end);
            let key = if index.is_fixed { start.as_u64().unwrap() / SLOT } else { index.entries.len() as u64 };
            index.entries.insert(key, (end, pair));
        }
    }
}

fn chunk(line: &Line, mut path: String, chunks: &Chunks) -> Sent {
    let known = value(&line.path, "digest").and_then(|digest| chunks.get(digest));
    let bytes = match (known, recorded_kind(line)) {
        (Some(chunk), Some(_)) => {
            path = with_value(&path, "digest", &chunk.digest.to_string());
            chunk.encoded.clone()
        }
        (Some(chunk), None) => {
            path = with_value(&path, "digest", &chunk.digest.to_string());
            vec![1; line.body_len]
        }
        (None, Some(kind)) => container(kind, line.body_len),
        (None, None) => vec![1; line.body_len],
    };
    sized(line, path, bytes)
}

/// Announces the length of our body with the recorded error.
fn sized(line: &Line, path: String, bytes: Vec<u8>) -> Sent {
    let announced: Option<usize> = value(&line.path, "encoded-size").map(|text| text.parse().unwrap());
    let path = match announced {
        Some(announced) if announced.abs_diff(line.body_len) <= 1 => {
            let ours = (bytes.len() + announced).saturating_sub(line.body_len);
            with_value(&path, "encoded-size", &ours.to_string())
        }
        _ => path,
    };
    Sent { path, body: bytes.into() }
}
