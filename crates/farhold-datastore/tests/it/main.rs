//! Tests of the datastore through its public interface.

mod backup;
mod chunks;
mod content;
mod crash;
mod destroy;
mod faults;
mod gc;
mod golden;
mod lifecycle;
mod locking;
mod model;
mod moving;
mod races;
mod support;
mod verify;
