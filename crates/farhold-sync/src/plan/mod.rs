//! The dry run: what a run would do, as data, and why.

pub(crate) mod explain;
pub(crate) mod planner;
pub(crate) mod removal;
pub(crate) mod report;
