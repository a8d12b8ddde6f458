//! What a scheduled or manual job does.
