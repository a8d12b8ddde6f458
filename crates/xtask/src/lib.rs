//! Automation of the house: checks, the layer table, and the slow link for benchmarks.
//!
//! `cargo xtask check` is what CI runs.

pub mod check;
pub mod layers;
pub mod relay;
