//! The client against a scripted peer that answers exactly what a test wants, also wrongly, late, or not at all.
//!
//! Most tests run over in-memory streams with paused time, so that minutes of silence cost nothing.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test; the lint's exception covers only test functions")]

mod peer;
mod recorded;
mod recovery;
mod requests;
mod session;
mod tls;
