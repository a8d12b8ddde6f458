//! Farhold: a second, far-away copy of your backups.
