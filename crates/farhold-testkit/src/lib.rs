//! Fixtures for tests and benchmarks; only ever a dev-dependency.

pub mod disk_image;
mod randomness;
pub mod relay;

pub use randomness::SeededRandomness;
