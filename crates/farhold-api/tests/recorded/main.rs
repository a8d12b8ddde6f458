//! Exchanges recorded from the reference, replayed against our endpoints in this process.
//!
//! Callers come over connections that authenticate them, so authentication is not under test here. Calls that we do not
//! offer are passed over; which those are is counted, so that a new endpoint shows up.
#![allow(clippy::unwrap_used, reason = "a test may end with a panic")]

mod config_datastore;
mod datastore;
mod replay;
mod tasks;
