//! The client against a scripted peer that answers exactly what a test wants, also wrongly, late, or not at all.
//!
//! Most tests run over in-memory streams with paused time, so that minutes of silence cost nothing.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test; the lint's exception covers only test functions")]

mod backup_session;
mod changes;
mod peer;
mod recorded;
mod recorded_push;
mod recovery;
mod requests;
mod session;
mod tls;
mod upload_peer;
