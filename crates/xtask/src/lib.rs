//! Automation of the house: checks, the layer table, the table of scenarios, and benchmarks.
//!
//! `cargo xtask check` is what CI runs.

pub mod bench;
pub mod check;
pub mod faults;
pub mod fuzz;
pub mod layers;
pub mod manuals;
pub mod scenarios;
pub mod ui;

pub use farhold_testkit::relay;
