//! Fixtures, fake clock, scripted peers; only ever a dev-dependency.

pub mod disk_image;
