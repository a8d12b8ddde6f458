//! Talking to a remote: TLS with a pinned certificate, login, REST calls, reader and backup sessions.
//!
//! [`Client`] is the way in. It keeps a few HTTP/1.1 connections for REST calls; each [`ReaderSession`] and each
//! [`BackupSession`] takes one over for good and speaks HTTP/2 on it. Every wait and every answer has a bound ([`ClientLimits`]), bytes are counted and
//! limited below TLS, and requests that change nothing are repeated when a connection breaks under them.
//! [`Dialer`] is where the outside begins: tests and simulations put their own byte streams under it.
//!
//! Not here: proxies, and any decision about what to fetch or send.

mod authentication;
mod client;
mod config;
mod connection;
mod dial;
mod error;
mod inspect;
mod listing;
mod metered;
mod proxy;
mod reader;
mod rest;
mod rest_changes;
mod session;
mod session_driver;
mod silence;
mod throttle;
mod tls;
mod upload;
mod writer;

pub use authentication::Ticket;
pub use client::Client;
pub use config::{ClientConfig, ClientLimits, Credentials, DEFAULT_USER_AGENT, Trust};
pub use dial::{ByteStream, DialError, DialFuture, Dialer, TcpDialer};
pub use error::{Cause, ClientError, MAX_PEER_TEXT};
pub use farhold_protocol::writer_request::append_entries;
pub use inspect::PeerIdentity;
pub use listing::{Listing, MAX_SKIPPED, SkippedItem};
pub use metered::{TrafficCounts, poll_read_at_most, poll_write_at_most};
pub use proxy::{HttpProxy, ProxyTextError};
pub use reader::ReaderSession;
pub use rest::RemoteDatastore;
pub use rest_changes::StoreStatus;
pub use throttle::{Deadline, Direction, Gate, Limit, Pauses, SharedBucket, Throttle, Throttles, TooSlow};
pub use writer::{BackupSession, BackupSessionOptions, WriterId};
