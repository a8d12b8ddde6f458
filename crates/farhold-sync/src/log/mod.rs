//! The task log of a run, made from its events.

pub(crate) mod buffer;
pub(crate) mod lines;
pub(crate) mod push_lines;
