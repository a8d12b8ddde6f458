//! Stored configuration: load, lock, check, replace, hand out.
