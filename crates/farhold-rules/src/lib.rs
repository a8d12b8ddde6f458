//! Pure decisions: what to sync, who may do what.
