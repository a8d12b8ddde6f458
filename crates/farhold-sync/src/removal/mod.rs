//! Removing what vanished from the source, and what a job began and can not finish.

pub(crate) mod event;
pub(crate) mod groups;
pub(crate) mod leftovers;
pub(crate) mod namespaces;
