//! What is asked of the source ahead of its turn, so that a run waits for the line and not for round trips.

pub(crate) mod chunks;
pub(crate) mod groups;
pub(crate) mod listing;
pub(crate) mod prepare;
pub(crate) mod snapshots;
