//! Removing from the target what vanished from the source: the judgement of a pull with the calls of a push.
//!
//! What goes is decided by `farhold_rules::removal_plan`; the local store is asked once more before anything does, and
//! what it hides from the job's owner exists. Only the account's own content is touched. Every failure fails the job and
//! counts nothing as removed.
//!
//! Source: `docs/spec/sync.md` 11, C.1 FAULT 3, 6 and 15, C.2 W20 and W31.

pub(crate) mod groups;
pub(crate) mod namespaces;
pub(crate) mod snapshots;
