//! The chunks of an archive: which are missing, getting them, checking them, and knowing them again.

pub(crate) mod check_pool;
pub(crate) mod fetch;
pub(crate) mod known;
pub(crate) mod plain;
pub(crate) mod readers;
pub(crate) mod renamed;
pub(crate) mod shared;
pub(crate) mod stored;
pub(crate) mod turns;
