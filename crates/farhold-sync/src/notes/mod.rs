//! Private notes that a job keeps from one run to the next. Losing them costs time, never data.

pub(crate) mod journal;
pub(crate) mod pair_file;
pub(crate) mod record;
