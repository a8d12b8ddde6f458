//! Worker tasks, their logs, abort, and job state.
