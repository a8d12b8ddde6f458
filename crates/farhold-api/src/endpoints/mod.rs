//! All endpoints of a server, by area.
//!
//! An area's file declares its calls and turns them into work of `farhold_jobs` and below. Handlers hold no business
//! rules; what blocks goes through [`blocking`], and errors become answers in [`errors`].

mod access;
mod admin_datastore;
mod admin_prune;
mod admin_sync;
mod admin_traffic_control;
mod admin_verify;
mod backup;
mod config_datastore;
mod config_encryption_keys;
mod config_metrics;
mod config_notifications;
mod config_prune;
mod config_remote;
mod config_s3;
mod config_sync;
mod config_traffic_control;
mod config_verify;
pub mod errors;
mod farhold;
mod farhold_job_options;
mod farhold_metrics;
mod farhold_preview;
mod farhold_probe;
mod farhold_repair;
mod farhold_sync;
mod gc;
mod keep;
mod nodes;
mod nodes_certificates;
mod nodes_config;
mod nodes_disks;
mod nodes_logs;
mod nodes_status;
mod nodes_system;
mod nodes_tasks;
mod one_shot;
mod openapi;
mod reader;
mod rrd;
mod section_fields;
mod session_task;
mod status;
mod store_jobs;
mod sync_params;
mod version;

use farhold_jobs::App;

use crate::declare::Endpoint;
use crate::error::ApiError;

/// Returns the endpoints of all areas.
pub fn all() -> Vec<Endpoint<App>> {
    let mut all = Vec::new();
    // One line an area, sorted.
    all.extend(access::endpoints());
    all.extend(admin_datastore::endpoints());
    all.extend(admin_prune::endpoints());
    all.extend(admin_sync::endpoints());
    all.extend(admin_traffic_control::endpoints());
    all.extend(admin_verify::endpoints());
    all.extend(backup::endpoints());
    all.extend(config_datastore::endpoints());
    all.extend(config_encryption_keys::endpoints());
    all.extend(config_metrics::endpoints());
    all.extend(config_notifications::endpoints());
    all.extend(config_prune::endpoints());
    all.extend(config_remote::endpoints());
    all.extend(config_s3::endpoints());
    all.extend(config_sync::endpoints());
    all.extend(config_traffic_control::endpoints());
    all.extend(config_verify::endpoints());
    all.extend(farhold::endpoints());
    all.extend(farhold_job_options::endpoints());
    all.extend(farhold_metrics::endpoints());
    all.extend(farhold_preview::endpoints());
    all.extend(farhold_probe::endpoints());
    all.extend(farhold_repair::endpoints());
    all.extend(farhold_sync::endpoints());
    all.extend(gc::endpoints());
    all.extend(nodes::endpoints());
    all.extend(nodes_certificates::endpoints());
    all.extend(nodes_config::endpoints());
    all.extend(nodes_disks::endpoints());
    all.extend(nodes_logs::endpoints());
    all.extend(nodes_status::endpoints());
    all.extend(nodes_system::endpoints());
    all.extend(nodes_tasks::endpoints());
    all.extend(one_shot::endpoints());
    all.extend(reader::endpoints());
    all.extend(status::endpoints());
    all.extend(version::endpoints());
    all.push(openapi::endpoint(&all));
    all
}

/// Runs work that waits for files or locks, or computes for long, on a thread where that hurts nobody.
///
/// # Errors
/// What the work fails with; 500 if it panicked, which the log tells more about.
pub async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Into::into),
        Err(error) => {
            tracing::error!("work of a call ended without a result: {error}");
            Err(ApiError::internal("internal error, see the server's log"))
        }
    }
}

/// Returns the text trimmed, or nothing if only blanks are left: how an update treats comments.
pub fn trimmed(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Shape;

    #[test]
    fn every_endpoint_declares_what_it_answers() {
        let silent: Vec<String> = all()
            .iter()
            .map(|endpoint| &endpoint.declaration)
            .filter(|declaration| declaration.returns == Shape::Undeclared)
            .map(|declaration| format!("{} {}", declaration.method, declaration.path))
            .collect();
        assert_eq!(silent, Vec::<String>::new(), "say .returns(..) where they are declared");
    }
}
