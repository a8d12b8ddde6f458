//! Authentication and permission checks.
