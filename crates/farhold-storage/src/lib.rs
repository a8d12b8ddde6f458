//! The storage trait with its guarantees, the local file system and the wrappers.
