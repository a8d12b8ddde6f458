//! The records: one module for each kind of file.

pub mod acl;
pub mod datastore;
pub mod encryption_key;
pub mod metric_server;
pub mod node;
pub mod notification;
pub mod prune;
pub mod realm;
pub mod remote;
pub mod second_factors;
pub mod secrets;
pub mod sync;
pub mod traffic;
pub mod user;
pub mod verify;
