//! What is told about the garbage collections of a store. Source: `docs/spec/rest-api.md` 12.9,
//! `docs/spec/schedules-and-tasks.md` 9.3.

use farhold_datastore::GcStatus;
use farhold_tasks::job_state::JobState;
use farhold_types::{DatastoreName, Epoch};
use serde::Serialize;

use super::{GcRunError, gc_key};
use crate::app::App;
use crate::schedule::next_run;
use crate::stores::Operation;

/// What is told about the garbage collections of a store; serialises to the answer of the API.
///
/// Unlike the reference's, the duration is always that of the run that is told beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GcReport {
    /// The store.
    pub store: DatastoreName,
    /// What the last complete collection found.
    #[serde(flatten)]
    pub status: GcStatus,
    /// Calendar event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// When it runs next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run: Option<Epoch>,
    /// When the last run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_endtime: Option<Epoch>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_state: Option<String>,
    /// Seconds it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<i64>,
}

/// Returns what is told about the garbage collections of a store. Blocking.
///
/// # Errors
/// The store cannot be read.
pub fn report(app: &App, name: &DatastoreName) -> Result<GcReport, GcRunError> {
    let loaded = app.settings.datastores().load()?;
    let config = loaded.entries.get(name.as_str())?.ok_or_else(|| GcRunError::Unknown { name: name.clone() })?;
    let status = app.stores.open(name, Operation::Read)?.gc_status().map_err(GcRunError::Datastore)?;
    let now = app.clock.now();
    let state = app.job_states.read(&gc_key(name)?, now, &app.tasks)?;
    let last = state.last_run();
    let duration = match &state {
        JobState::Finished { upid, state, .. } => Some(state.end_time().seconds_since(upid.start_time()).max(0)),
        _ => None,
    };
    Ok(GcReport {
        store: name.clone(),
        status,
        next_run: config.gc_schedule.as_deref().and_then(|text| next_run(text, &state, now, &app.time_zone)),
        schedule: config.gc_schedule.clone(),
        last_run_endtime: last.last_run_endtime,
        last_run_state: last.last_run_state,
        duration,
    })
}
