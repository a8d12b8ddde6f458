//! Bytes and text to values and back: blobs, indexes, manifests, configuration text.

pub mod task_log;
pub mod upid;
