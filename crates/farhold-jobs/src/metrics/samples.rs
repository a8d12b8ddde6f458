//! From facts to the samples that one caller may see.

use std::collections::BTreeMap;

use farhold_datastore::SnapshotState;
use farhold_rules::acl::{AclPath, AclTree};
use farhold_types::{Authid, Namespace, Privileges};

use super::facts::{Facts, JobFacts, StoreFacts};
use super::table::METRICS;

/// Names and values of a sample's labels.
pub(super) type Labels = Vec<(&'static str, String)>;

/// Samples by metric.
#[derive(Debug, Default)]
pub(super) struct Samples(pub(super) BTreeMap<&'static str, Vec<(Labels, f64)>>);

impl Samples {
    fn add(&mut self, name: &'static str, labels: &Labels, value: f64) {
        debug_assert!(
            METRICS.iter().any(|metric| {
                metric.name == name && metric.labels.iter().copied().eq(labels.iter().map(|(label, _)| *label))
            }),
            "{name} is in the table"
        );
        self.0.entry(name).or_default().push((labels.clone(), value));
    }

    fn add_known(&mut self, name: &'static str, labels: &Labels, value: Option<f64>) {
        if let Some(value) = value {
            self.add(name, labels, value);
        }
    }

    /// Returns what `caller` may see: jobs that lists show to them, datastores that they may audit, and the rest with
    /// `Sys.Audit` on `/system/status`, which shows everything.
    pub(super) fn of(facts: &Facts, acl: &AclTree, caller: &Authid) -> Self {
        let mut samples = Self::default();
        let sees_all = sees_all(acl, caller);
        for job in &facts.jobs {
            if sees_all || job.job.is_visible(acl, caller) {
                samples.add_job(job);
            }
        }
        for store in &facts.stores {
            let path = AclPath::datastore(&store.name, &Namespace::root());
            if sees_all || acl.require_all(caller, &path, Privileges::DATASTORE_AUDIT).is_ok() {
                samples.add_store(store);
            }
        }
        if sees_all {
            samples.add_server(facts);
        }
        samples
    }

    fn add_job(&mut self, facts: &JobFacts) {
        let job = &facts.job;
        let labels: Labels = vec![
            ("kind", job.kind.as_str().to_owned()),
            ("id", job.id().to_owned()),
            ("datastore", job.store.to_string()),
        ];
        let mut info = labels.clone();
        info.push(("namespace", job.ns.to_string()));
        info.push(("remote", job.remote.as_ref().map(ToString::to_string).unwrap_or_default()));
        info.push(("schedule", job.schedule.clone().unwrap_or_default()));
        self.add("farhold_job_info", &info, 1.0);
        self.add("farhold_job_running", &labels, truth(facts.is_running));
        let mut add = |name, value: Option<f64>| self.add_known(name, &labels, value);
        add("farhold_job_current_rate_bytes_per_second", facts.current_rate);
        add("farhold_job_next_run_timestamp_seconds", facts.next_run.map(|time| seconds(time.0)));
        add("farhold_job_stale_after_seconds", facts.stale_after.map(|limit| limit.as_secs_f64()));
        let Some(summary) = &facts.summary else {
            // A job that never ran has counters that can grow.
            for name in ["farhold_job_runs", "farhold_job_failed_runs"] {
                add(name, Some(0.0));
            }
            return;
        };
        let (last, totals) = (&summary.last, &summary.totals);
        let known = |figure: Option<u64>| figure.map(number);
        add("farhold_job_last_success_timestamp_seconds", totals.last_success.map(|time| seconds(time.0)));
        add("farhold_job_last_run_timestamp_seconds", Some(seconds(last.ended.0)));
        add("farhold_job_last_run_success", Some(truth(last.is_success())));
        add("farhold_job_last_run_duration_seconds", Some(number(last.seconds())));
        add("farhold_job_last_run_bytes", known(last.figures.bytes));
        add("farhold_job_last_run_snapshots", known(last.figures.snapshots));
        add("farhold_job_last_run_failures", known(last.figures.failures));
        add("farhold_job_last_run_retries", known(last.figures.retries));
        add("farhold_job_snapshots_behind", known(totals.behind));
        add("farhold_job_rate_bytes_per_second", known(totals.rate_bytes_per_s));
        add("farhold_job_failures_in_row", Some(number(totals.failures_in_row)));
        add("farhold_job_runs", Some(number(totals.runs)));
        add("farhold_job_failed_runs", Some(number(totals.failures)));
        // What a kind of job does not count is absent.
        add("farhold_job_retries", last.figures.retries.map(|_| number(totals.retries)));
        add("farhold_job_bytes", last.figures.bytes.map(|_| number(totals.bytes)));
        add("farhold_job_snapshots", last.figures.snapshots.map(|_| number(totals.snapshots)));
    }

    fn add_store(&mut self, facts: &StoreFacts) {
        let labels: Labels = vec![("datastore", facts.name.to_string())];
        let mut info = labels.clone();
        info.push(("backend", facts.backend.to_owned()));
        info.push(("maintenance", facts.maintenance.to_owned()));
        self.add("farhold_datastore_info", &info, 1.0);
        let mut add = |name, value: f64| self.add(name, &labels, value);
        add("farhold_datastore_mounted", truth(facts.is_there));
        if let Some(space) = &facts.space {
            add("farhold_datastore_total_bytes", number(space.total_bytes));
            add("farhold_datastore_used_bytes", number(space.used_bytes));
            add("farhold_datastore_available_bytes", number(space.available_bytes));
        }
        let Some(counts) = &facts.counts else { return };
        if let Some(gc) = &counts.gc {
            add("farhold_datastore_data_bytes", number(gc.index_data_bytes));
            add("farhold_datastore_chunk_bytes", number(gc.disk_bytes));
            add("farhold_datastore_chunks", number(gc.disk_chunks));
            if gc.disk_bytes != 0 {
                let factor = number(gc.index_data_bytes) / number(gc.disk_bytes);
                add("farhold_datastore_deduplication_factor", factor);
            }
            add("farhold_datastore_gc_removed_bytes", number(gc.removed_bytes));
            add("farhold_datastore_gc_removed_chunks", number(gc.removed_chunks));
            add("farhold_datastore_gc_pending_bytes", number(gc.pending_bytes));
            add("farhold_datastore_gc_pending_chunks", number(gc.pending_chunks));
            add("farhold_datastore_gc_bad_chunks", number(gc.still_bad));
        }
        add("farhold_datastore_namespaces", number(counts.namespaces));
        add("farhold_datastore_groups", number(counts.groups));
        add("farhold_datastore_counted_timestamp_seconds", seconds(counts.time.0));
        for state in SnapshotState::ALL {
            let mut labels = labels.clone();
            labels.push(("state", state.as_str().to_owned()));
            self.add("farhold_datastore_snapshots", &labels, number(counts.of(state)));
        }
    }

    fn add_server(&mut self, facts: &Facts) {
        self.add("farhold_build_info", &vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0);
        for (worker_type, count) in &facts.running {
            self.add("farhold_tasks_running", &vec![("type", worker_type.clone())], number(*count));
        }
        for (worker_type, kind, count) in facts.ended.iter() {
            let labels = vec![("type", worker_type.to_owned()), ("result", kind.counted_as().to_owned())];
            self.add("farhold_tasks_ended", &labels, number(count));
        }
        for (rule, rates) in &facts.traffic {
            let labels = vec![("rule", rule.to_string())];
            self.add("farhold_traffic_receive_bytes_per_second", &labels, number(rates.received_bytes_per_s));
            self.add("farhold_traffic_send_bytes_per_second", &labels, number(rates.sent_bytes_per_s));
        }
        let notifications = &facts.notifications;
        for (name, value) in [
            ("farhold_notifications_waiting", notifications.events as u64),
            ("farhold_notification_deliveries_waiting", notifications.deliveries as u64),
            ("farhold_notification_deliveries_failing", notifications.failing as u64),
            ("farhold_notification_deliveries_done", notifications.delivered),
            ("farhold_notification_deliveries_given_up", notifications.given_up),
        ] {
            self.add(name, &Labels::new(), number(value));
        }
        let process = &facts.process;
        for (name, value) in [
            ("process_cpu_seconds", process.cpu_seconds),
            ("process_resident_memory_bytes", process.resident_bytes.map(number)),
            ("process_virtual_memory_bytes", process.virtual_bytes.map(number)),
            ("process_open_fds", process.open_fds.map(number)),
            ("process_max_fds", process.max_fds.map(number)),
            ("process_threads", process.threads.map(number)),
            ("process_start_time_seconds", process.start_time),
        ] {
            self.add_known(name, &Labels::new(), value);
        }
    }
}

/// Returns whether `caller` may see everything that is told for monitoring: `Sys.Audit` on `/system/status`.
pub fn sees_all(acl: &AclTree, caller: &Authid) -> bool {
    acl.require_all(caller, &AclPath::system(&["status"]), Privileges::SYS_AUDIT).is_ok()
}

#[expect(clippy::cast_precision_loss, reason = "samples are floating point numbers")]
const fn number(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "samples are floating point numbers")]
const fn seconds(value: i64) -> f64 {
    value as f64
}

const fn truth(is_true: bool) -> f64 {
    if is_true { 1.0 } else { 0.0 }
}
