//! Pure decisions: what to sync, who may do what. No IO, no clock, no logging: facts come in, plans go out.

pub mod acl;
pub mod calendar;
pub mod daily_window;
pub mod delivery_retry;
pub mod encrypt_plan;
pub mod gc_cutoff;
pub mod history;
pub mod mount_jobs;
pub mod namespace_map;
pub mod notification_match;
pub mod peer_version;
pub mod plug_in;
pub mod prune_plan;
pub mod rate;
pub mod removal_plan;
pub mod schedule_due;
pub mod staleness;
pub mod sync_plan;
pub mod time_span;
pub mod traffic;
pub mod unmounting;
