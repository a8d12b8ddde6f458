//! Messages and state of backup and reader sessions, used by both ends.
