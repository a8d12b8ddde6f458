//! The metrics by name, with what they say. The page `docs/monitoring.md` and the board are compared with this table.

/// What a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// The value of a moment.
    Gauge,
    /// A number that only grows while the server runs, or for as long as a job exists. Its samples end with `_total`.
    Counter,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name; samples of a counter have `_total` behind it.
    pub name: &'static str,
    /// What its values mean.
    pub kind: MetricKind,
    /// The labels of its samples.
    pub labels: &'static [&'static str],
    /// What it says, with its unit.
    pub help: &'static str,
}

impl Metric {
    /// Returns the name that its samples have.
    pub fn sample_name(&self) -> String {
        match self.kind {
            MetricKind::Gauge => self.name.to_owned(),
            MetricKind::Counter => format!("{}_total", self.name),
        }
    }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, labels, help }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, labels, help }
}

const JOB: &[&str] = &["kind", "id", "datastore"];
const STORE: &[&str] = &["datastore"];
const NONE: &[&str] = &[];

/// All metrics, in the order in which they are shown.
pub const METRICS: &[Metric] = &[
    gauge("farhold_build_info", &["version"], "1, with the version of the program"),
    gauge(
        "farhold_job_info",
        &["kind", "id", "datastore", "namespace", "remote", "schedule"],
        "1, with what the job works on; schedule is empty for a job that does not start by itself",
    ),
    gauge("farhold_job_running", JOB, "1 while the job runs, else 0"),
    gauge("farhold_job_next_run_timestamp_seconds", JOB, "When the job is due, in seconds since the Unix epoch"),
    gauge("farhold_job_stale_after_seconds", JOB, "How old the last success may get before the job counts as stale"),
    gauge(
        "farhold_job_last_success_timestamp_seconds",
        JOB,
        "When the last successful run ended; warnings count as success",
    ),
    gauge("farhold_job_last_run_timestamp_seconds", JOB, "When the last run ended"),
    gauge("farhold_job_last_run_success", JOB, "1 if the last run succeeded, else 0"),
    gauge("farhold_job_last_run_duration_seconds", JOB, "How long the last run took"),
    gauge(
        "farhold_job_last_run_bytes",
        JOB,
        "Bytes that the last run moved over the network, or that a collection freed",
    ),
    gauge("farhold_job_last_run_snapshots", JOB, "Snapshots that the last run transferred or changed"),
    gauge("farhold_job_last_run_failures", JOB, "Snapshots, groups and namespaces that failed in the last run"),
    gauge("farhold_job_last_run_retries", JOB, "How often the last run waited for another side"),
    gauge(
        "farhold_job_snapshots_behind",
        JOB,
        "Snapshots that the last sync selected and that are not complete on the target",
    ),
    gauge("farhold_job_rate_bytes_per_second", JOB, "Rate of the last run that moved chunks, while it moved them"),
    gauge("farhold_job_current_rate_bytes_per_second", JOB, "Content that a running sync moves, smoothed"),
    gauge("farhold_job_failures_in_row", JOB, "Failed runs since the last success"),
    counter("farhold_job_runs", JOB, "Runs that ended"),
    counter("farhold_job_failed_runs", JOB, "Runs that failed or left no result"),
    counter("farhold_job_retries", JOB, "How often runs waited for another side"),
    counter("farhold_job_bytes", JOB, "Bytes that all runs moved over the network, or that collections freed"),
    counter("farhold_job_snapshots", JOB, "Snapshots that all runs transferred or changed"),
    gauge("farhold_datastore_info", &["datastore", "backend", "maintenance"], "1, with what the datastore is"),
    gauge("farhold_datastore_mounted", STORE, "1 if the datastore's device is mounted or it needs none, else 0"),
    gauge("farhold_datastore_total_bytes", STORE, "Size of the datastore's file system"),
    gauge("farhold_datastore_used_bytes", STORE, "Used part of the datastore's file system"),
    gauge("farhold_datastore_available_bytes", STORE, "Free part of the datastore's file system"),
    gauge("farhold_datastore_data_bytes", STORE, "What all backups stand for, as the last collection found"),
    gauge("farhold_datastore_chunk_bytes", STORE, "What chunks in use take on disk, as the last collection found"),
    gauge("farhold_datastore_chunks", STORE, "Chunks in use, as the last collection found"),
    gauge("farhold_datastore_deduplication_factor", STORE, "What backups stand for, divided by what their chunks take"),
    gauge("farhold_datastore_gc_removed_bytes", STORE, "Bytes that the last collection freed"),
    gauge("farhold_datastore_gc_removed_chunks", STORE, "Chunks that the last collection removed"),
    gauge("farhold_datastore_gc_pending_bytes", STORE, "Bytes of unused chunks that were too young to go"),
    gauge("farhold_datastore_gc_pending_chunks", STORE, "Unused chunks that were too young to go"),
    gauge("farhold_datastore_gc_bad_chunks", STORE, "Damaged chunks that the last collection left"),
    gauge("farhold_datastore_namespaces", STORE, "Namespaces, the root included"),
    gauge("farhold_datastore_groups", STORE, "Backup groups"),
    gauge(
        "farhold_datastore_snapshots",
        &["datastore", "state"],
        "Snapshots by what is known of them: verified, failed, unverified, unfinished, unreadable",
    ),
    gauge("farhold_datastore_counted_timestamp_seconds", STORE, "When the datastore's snapshots were counted"),
    gauge("farhold_tasks_running", &["type"], "Tasks that run in this program, by worker type"),
    counter(
        "farhold_tasks_ended",
        &["type", "result"],
        "Tasks that ended since the start: ok, warnings, error, unknown",
    ),
    gauge("farhold_notifications_waiting", NONE, "Notifications whose targets are not chosen yet"),
    gauge("farhold_notification_deliveries_waiting", NONE, "Deliveries of notifications that wait or are under way"),
    gauge("farhold_notification_deliveries_failing", NONE, "Waiting deliveries that failed before"),
    counter("farhold_notification_deliveries_done", NONE, "Deliveries since the start that succeeded"),
    counter("farhold_notification_deliveries_given_up", NONE, "Deliveries since the start that were given up"),
    gauge(
        "farhold_traffic_receive_bytes_per_second",
        &["rule"],
        "What connections under a traffic-control rule receive",
    ),
    gauge("farhold_traffic_send_bytes_per_second", &["rule"], "What connections under a traffic-control rule send"),
    counter("process_cpu_seconds", NONE, "Time that the processors worked for this program"),
    gauge("process_resident_memory_bytes", NONE, "Memory that this program occupies"),
    gauge("process_virtual_memory_bytes", NONE, "Address space of this program"),
    gauge("process_open_fds", NONE, "Open file descriptors"),
    gauge("process_max_fds", NONE, "Most file descriptors that may be open"),
    gauge("process_threads", NONE, "Threads"),
    gauge("process_start_time_seconds", NONE, "When this program started, in seconds since the Unix epoch"),
];
