//! Pushing: the local store is the source, and a datastore of another server is written to through backup sessions.
//!
//! What is decided is decided by the same pure functions as in a pull. What differs: the target keeps the locks and
//! accepts snapshots of a group only in ascending order of time, so order and failures matter more (`docs/adr/0009`).
//!
//! Source: `docs/spec/sync.md` 10 and 11.

pub(crate) mod archive;
pub(crate) mod context;
pub(crate) mod explain;
pub(crate) mod follow;
pub(crate) mod group;
pub(crate) mod known;
pub(crate) mod lanes;
pub(crate) mod listing;
pub(crate) mod plan;
pub(crate) mod plan_removal;
pub(crate) mod previous;
pub(crate) mod queue;
pub(crate) mod remote;
pub(crate) mod removal;
pub(crate) mod rights;
pub(crate) mod run;
pub(crate) mod sender;
pub(crate) mod snapshot;
pub(crate) mod steps;
pub(crate) mod target;
