//! Worker tasks, their logs, abort, and job state.
//!
//! A [`TaskRegistry`] is a value: it owns the tasks of one server and the directory with their logs and lists, which it
//! shares with other processes (command line programs, the reference's own tools). It knows nothing about what a task
//! does. Reading calls are blocking and work on the files, so that tasks of other processes are seen as well.
//!
//! Layout of the directory, all names and modes as the reference has them:
//!
//! | path | content |
//! |---|---|
//! | `<XX>/<UPID>` | log of one task, XX = low 8 bits of pstart |
//! | `active` | running tasks, oldest first |
//! | `archive`, `archive.1`, `archive.2.zst` ... | finished tasks, in order of their end |
//! | `.active.lock` | held shared for reading the lists, exclusive for changing them |
//!
//! [`job_state`] keeps what is remembered about each job between its runs.
//!
//! Lock order: job lock, then the list lock. The list lock is never held while a task runs.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 6 to 9.

mod counts;
mod error;
mod file_lock;
mod filter;
pub mod job_state;
mod listing;
mod log_reader;
mod log_writer;
mod process;
mod registry;
pub mod rotation;
mod task_list;
mod worker;

pub use counts::EndedCounts;
pub use error::{TaskError, TaskFailure};
pub use filter::{StatusKind, TaskFilter};
pub use listing::{LogLine, LogPage, TaskItem, TaskPage, TaskStatusItem};
pub use process::{LiveProcesses, ProcFs, parse_process_start, process_start};
pub use registry::{AbortRequest, ShutdownReport, TaskOptions, TaskRegistry};
pub use rotation::RotatedTasks;
pub use worker::{AbortMode, EndHook, TaskContext, TaskKind};
