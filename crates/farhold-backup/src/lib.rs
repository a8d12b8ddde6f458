//! The engine of a backup client: [`backup`] sends images, raw archives and small files as one snapshot, [`restore`]
//! brings them back.
//!
//! Every chunk is read, hashed and encoded once, on a bounded number of threads for blocking work and within a bounded
//! amount of memory; what the previous snapshot holds is not sent again, after its manifest and indexes were checked.
//! Nothing is left half done: without the last request the server removes the snapshot, and a restore that fails removes
//! its file. The engine prints nothing, asks nobody and reads no environment; it tells what happens through
//! [`Observer`].
//!
//! Not here: writing file archives (there is no maintained library for the format; an existing archive is stored as it
//! is), catalogs, the RSA copy of a key, repository texts, credentials and prompts.
//!
//! Source: `docs/spec/wire-protocol.md` 6.4 and 7, `docs/spec/cli.md` 5.4 and 5.5.

mod archive;
mod backup;
mod chunk_work;
mod error;
mod image;
mod input;
mod observer;
mod previous;
mod protection;
mod request;
mod restore;
mod stream;
mod target;
mod upload;

pub use archive::{ArchiveInput, ArchiveTextError, BackupArchive};
pub use backup::{ArchiveSummary, BackupSummary, backup, backup_into};
pub use error::BackupError;
pub use input::OpenBackup;
pub use observer::{Event, Observer, PreviousSnapshot, Progress, ProgressLook};
pub use protection::{Protection, small_blob};
pub use request::{BackupPlace, BackupRequest, Limits};
pub use restore::{RestoreError, RestoreRequest, RestoreSource, RestoreSummary, RestoreTarget, restore, restore_from};
pub use target::BackupTarget;
