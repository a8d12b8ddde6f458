//! Scenarios of `docs/spec/sync.md` annex B about configuring, seeing and starting, over the router in this process.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue should stop")]

mod desk;
mod downloads;
mod job_options;
mod jobs;
mod metrics;
mod notifications;
mod permissions;
mod previews;
mod remotes;
mod removal;
mod upkeep;
