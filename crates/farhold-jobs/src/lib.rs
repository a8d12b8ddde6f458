//! What a scheduled or manual job does.
//!
//! A job is read from the configuration, its permissions are checked, and the engine runs as a worker task.

pub mod permission;
