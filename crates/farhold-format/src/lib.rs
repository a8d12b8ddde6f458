//! Bytes and text to values and back: blobs, indexes, manifests, configuration text.

pub mod acl_file;
pub mod blob;
pub mod chunker;
pub mod config_error;
pub mod config_schema;
pub mod index;
pub mod key_file;
pub mod key_value;
pub mod manifest;
pub mod property_string;
pub mod section_config;
pub mod task_log;
pub mod upid;
