//! What both ends of a connection agree on: names, limits, messages, and the state of reader and backup sessions.
//!
//! Values in, values out: no sockets, no files, no clock. The client builds requests with these types and the server
//! reads them with the same ones, so that the two cannot drift apart.
//!
//! Source of the rules: `docs/spec/wire-protocol.md` 2 to 6.

pub mod authentication;
pub mod http2;
pub mod query;
pub mod reader;
pub mod upgrade;
pub mod writer;
pub mod writer_request;

/// Port a server listens on unless told otherwise. Source: `docs/spec/wire-protocol.md` 1.1.
pub const DEFAULT_PORT: u16 = 8007;
/// Content type of requests that carry their parameters in the query string. Source: `docs/spec/wire-protocol.md` 2.5.
pub const CONTENT_TYPE_FORM: &str = "application/x-www-form-urlencoded";
/// Content type of requests whose body is one JSON object. Source: as above.
pub const CONTENT_TYPE_JSON: &str = "application/json";
/// Content type of raw files and chunks. Source: `docs/spec/wire-protocol.md` 6.2.
pub const CONTENT_TYPE_BYTES: &str = "application/octet-stream";
/// Content type of formatted answers, errors included. Source: `docs/spec/wire-protocol.md` 2.2.
pub const CONTENT_TYPE_ANSWER: &str = "application/json;charset=UTF-8";
/// Largest normalised path plus query of a request outside a session, in bytes; above it the answer is 414.
///
/// Source: `docs/spec/wire-protocol.md` 2.1.
pub const MAX_URL_BYTES: usize = 3072;
/// Largest query string of a request inside a session, in bytes. Source: `docs/spec/wire-protocol.md` 4.1.
pub const MAX_SESSION_QUERY_BYTES: usize = 4096;
/// Parameter bodies must stay below this many bytes. Source: `docs/spec/wire-protocol.md` 2.5.
pub const MAX_PARAMETER_BODY_BYTES: usize = 524_288;
/// Most header fields of a request head. Source: `docs/spec/wire-protocol.md` 1.1.
pub const MAX_HEADER_FIELDS: usize = 100;
