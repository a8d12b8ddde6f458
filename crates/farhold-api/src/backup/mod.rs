//! Backup sessions: a client or another server fills one new snapshot.
//!
//! What is allowed when is decided by [`WriterState`](farhold_protocol::writer::WriterState), what lies on disk by the
//! datastore's [`BackupWriter`](farhold_datastore::BackupWriter). Here the requests of one connection are brought to
//! both: bodies within bounded memory, checks and storing on the blocking pool, many at once. A refused request never
//! ends the session; whatever ends it before `finish` removes the snapshot.
//!
//! Source: `docs/spec/wire-protocol.md` 5.

mod chunk;
mod endpoints;
mod intake;
mod report;
mod serve;
mod session;
mod spill;
mod watch;

pub use endpoints::{UPGRADE_PARAMS, router};
pub use intake::WriteBudget;
pub use report::SessionLog;
pub(crate) use report::relative_path;
pub use serve::{SessionEnd, serve};
pub use session::BackupSession;
