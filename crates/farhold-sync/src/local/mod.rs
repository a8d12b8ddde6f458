//! Datastores of this server as source and target.

pub(crate) mod chunks;
pub(crate) mod removal;
pub(crate) mod source;
pub(crate) mod target;
