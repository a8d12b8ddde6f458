//! What an event says. Pure.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 10.1, recorded events in `tests/golden/tasks.tar.zst`.

use std::collections::BTreeMap;
use std::time::Duration;

use farhold_datastore::GcStatus;
use farhold_format::task_log::TaskStatus;
use farhold_notify::{Event, EventId, Severity};
use farhold_rules::staleness::StaleNews;
use farhold_rules::time_span::TimeSpan;
use farhold_types::{DatastoreName, Epoch, JobKind};
use serde_json::{Map, Value, json};

use super::host_names::HostNames;
use crate::job_end::{JobEnded, RunDetails};
use crate::job_runs::JobRun;

/// Failed snapshots that an event names; the rest is counted. A mail with more is read by nobody, and a store that lost a
/// disk has thousands.
const MAX_NAMED: usize = 1000;
/// Longest error text in an event, in bytes.
const MAX_ERROR_BYTES: usize = 16 * 1024;

/// Returns the event of a run that has ended; none for a verify job that somebody asked to stop.
///
/// Which namespaces and groups of a sync failed stands in its error.
pub(super) fn of_run(ended: &JobEnded, id: EventId, names: &HostNames) -> Option<Event> {
    if ended.is_called_off() {
        return None;
    }
    let kind = ended.kind();
    let error = error_of(&ended.status);
    let mut data = data(names, &ended.store);
    data.extend(figures(ended));
    match &ended.details {
        RunDetails::Sync(report) => {
            data.insert("remote".to_owned(), json!(ended.remote));
            data.insert("remote-datastore".to_owned(), json!(ended.remote_store));
            // What failed, for templates that show it as a list; the error names the same in its own words.
            if let Some(failures) = report.as_ref().map(|report| &report.failures).filter(|failed| 0 < failed.count) {
                data.insert("failures".to_owned(), json!(failures.first));
                data.insert("failure-count".to_owned(), json!(failures.count));
            }
        }
        RunDetails::Verify(findings) if error.is_some() => {
            data.insert("failed-snapshot-list".to_owned(), json!(shortened(&findings.failed)));
        }
        RunDetails::Gc(Some(status)) if error.is_none() => data.extend(gc_result(status)),
        RunDetails::Prune | RunDetails::Verify(_) | RunDetails::Gc(_) => {}
    }
    if kind != JobKind::Gc {
        data.insert("job-id".to_owned(), json!(ended.key.name()));
    }
    let (severity, outcome) = if error.is_some() { (Severity::Error, "err") } else { (Severity::Info, "ok") };
    data.extend(error.map(|error| ("error".to_owned(), json!(error))));
    Some(Event {
        id,
        severity,
        timestamp: ended.ended,
        fields: fields(names, &ended.store, kind, ended.key.name(), kind.as_str()),
        template: format!("{kind}-{outcome}"),
        data,
    })
}

/// Returns what the reference's events do not hold, for our own words: the task, how long it took, and what it did. Events
/// of theirs have the task of a garbage collection only.
fn figures(ended: &JobEnded) -> Map<String, Value> {
    let run = JobRun::of(ended);
    let mut figures = Map::from_iter([("upid".to_owned(), json!(ended.upid.to_string()))]);
    // Of a clock that was set back meanwhile nothing can be told.
    if let Ok(seconds) = u64::try_from(ended.ended.seconds_since(ended.started)) {
        figures.insert("duration".to_owned(), json!(TimeSpan(Duration::from_secs(seconds)).to_string()));
    }
    if let TaskStatus::Warnings(count) = ended.status {
        figures.insert("warning-count".to_owned(), json!(count));
    }
    if ended.kind() == JobKind::Sync {
        for (key, figure) in [
            ("snapshots", run.figures.snapshots),
            ("bytes", run.figures.bytes),
            ("behind", run.figures.behind),
            ("retries", run.figures.retries),
        ] {
            figures.extend(figure.map(|figure| (key.to_owned(), json!(figure))));
        }
        figures.insert("snapshot-figures".to_owned(), json!(run.figures.snapshots.is_some()));
    }
    figures
}

/// Returns the error of a run that failed.
pub(super) fn error_of(status: &TaskStatus) -> Option<String> {
    match status {
        TaskStatus::Ok | TaskStatus::Warnings(_) => None,
        status => Some(truncated(&status.to_string())),
    }
}

fn truncated(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_ERROR_BYTES)].to_owned()
}

fn shortened(names: &[String]) -> Vec<String> {
    let mut shown = names[..names.len().min(MAX_NAMED)].to_vec();
    let more = names.len() - shown.len();
    if 0 < more {
        shown.push(format!("and {more} more"));
    }
    shown
}

fn data(names: &HostNames, store: &DatastoreName) -> Map<String, Value> {
    let mut data = names.data();
    data.insert("datastore".to_owned(), json!(store.as_str()));
    data
}

fn fields(
    names: &HostNames,
    store: &DatastoreName,
    kind: JobKind,
    name: &str,
    event_type: &str,
) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::from([
        ("type".to_owned(), event_type.to_owned()),
        ("datastore".to_owned(), store.to_string()),
        ("hostname".to_owned(), names.hostname.clone()),
    ]);
    if kind != JobKind::Gc {
        fields.insert("job-id".to_owned(), name.to_owned());
    }
    fields
}

#[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
fn gc_result(status: &GcStatus) -> Map<String, Value> {
    let factor = if status.disk_bytes == 0 { 1.0 } else { status.index_data_bytes as f64 / status.disk_bytes as f64 };
    let mut result = Map::new();
    result.insert("upid".to_owned(), json!(status.upid));
    result.insert("deduplication-factor".to_owned(), json!(format!("{factor:.2}")));
    for (key, value) in [
        ("index-file-count", status.index_file_count),
        ("index-data-bytes", status.index_data_bytes),
        ("disk-bytes", status.disk_bytes),
        ("disk-chunks", status.disk_chunks),
        ("removed-bytes", status.removed_bytes),
        ("removed-chunks", status.removed_chunks),
        ("pending-bytes", status.pending_bytes),
        ("pending-chunks", status.pending_chunks),
        ("removed-bad", status.removed_bad),
        ("still-bad", status.still_bad),
    ] {
        result.insert(key.to_owned(), json!(value));
    }
    result
}

/// A job that is, or was, without success for too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StaleJob {
    pub(super) kind: JobKind,
    pub(super) name: String,
    pub(super) store: DatastoreName,
    pub(super) limit: TimeSpan,
    pub(super) last_success: Option<Epoch>,
    /// How its last run failed, if it did.
    pub(super) last_error: Option<String>,
}

/// Returns the event of a job that has become stale, or healthy again.
pub(super) fn of_staleness(job: &StaleJob, news: StaleNews, id: EventId, now: Epoch, names: &HostNames) -> Event {
    let mut data = data(names, &job.store);
    data.insert("job-id".to_owned(), json!(job.name));
    data.insert("job-kind".to_owned(), json!(job.kind.as_str()));
    data.insert("stale-after".to_owned(), json!(job.limit.to_string()));
    if let Some(at) = job.last_success {
        data.insert("last-success".to_owned(), json!(at.to_string()));
        // Hours and days are what counts.
        let age =
            u64::try_from(now.seconds_since(at)).ok().map(|seconds| seconds - seconds % 60).filter(|age| 0 < *age);
        data.extend(age.map(|age| ("success-age".to_owned(), json!(TimeSpan(Duration::from_secs(age)).to_string()))));
    }
    let (severity, template) = match news {
        StaleNews::Stale => {
            let error = job.last_error.as_deref().map(truncated);
            data.extend(error.map(|error| ("last-error".to_owned(), json!(error))));
            (Severity::Error, "job-stale")
        }
        StaleNews::Healthy => (Severity::Notice, "job-healthy"),
    };
    let fields = fields(names, &job.store, job.kind, &job.name, template);
    Event { id, severity, timestamp: now, fields, template: template.to_owned(), data }
}

/// Returns what a ping carries with it. Nothing of it is sent.
pub(super) fn of_ping(ended: &JobEnded, id: EventId) -> Event {
    let severity = if error_of(&ended.status).is_some() { Severity::Error } else { Severity::Info };
    let (fields, data) = (BTreeMap::new(), Map::new());
    Event { id, severity, timestamp: ended.ended, fields, template: "ping".to_owned(), data }
}

#[cfg(test)]
mod tests {
    use farhold_sync::SyncReport;

    use super::*;
    use crate::job_end::VerifyFindings;

    /// Events as the reference product queued them, one a line.
    const RECORDED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/notifications.jsonl"));

    fn names() -> HostNames {
        HostNames { hostname: "vm".to_owned(), fqdn: "vm".to_owned() }
    }

    /// Makes the run that a recorded event tells of.
    fn run_of(event: &Event) -> JobEnded {
        let text = |key: &str| event.data.get(key).and_then(Value::as_str);
        let kind: JobKind = event.fields["type"].parse().unwrap();
        let store: DatastoreName = text("datastore").unwrap().parse().unwrap();
        let failed = event.data.get("failed-snapshot-list").and_then(Value::as_array).into_iter().flatten();
        let failed: Vec<String> = failed.map(|name| name.as_str().unwrap().to_owned()).collect();
        let status = match (event.severity, text("error")) {
            (Severity::Info, _) => TaskStatus::Ok,
            (_, error) => TaskStatus::Error(error.unwrap_or("verification failed").to_owned()),
        };
        JobEnded {
            key: farhold_tasks::job_state::JobKey::new(kind.job_type(), text("job-id").unwrap_or(store.as_str()))
                .unwrap(),
            remote: text("remote").map(|name| name.parse().unwrap()),
            remote_store: text("remote-datastore").map(|name| name.parse().unwrap()),
            upid: "UPID:vm:000029F7:000A6B94:00000011:6B035F33:verificationjob:a:root@pam:".parse().unwrap(),
            started: event.timestamp,
            ended: event.timestamp,
            status,
            progress: None,
            details: match kind {
                JobKind::Sync => RunDetails::Sync(None),
                JobKind::Prune => RunDetails::Prune,
                JobKind::Verify => RunDetails::Verify(VerifyFindings { failed, is_aborted: false }),
                JobKind::Gc => RunDetails::Gc(Some(serde_json::from_value(Value::Object(event.data.clone())).unwrap())),
            },
            store,
        }
    }

    #[test]
    fn events_are_those_that_were_recorded() {
        let mut kinds = std::collections::BTreeSet::new();
        for line in RECORDED.lines() {
            let recorded = Event::from_json(line.as_bytes()).unwrap();
            let mut ours = of_run(&run_of(&recorded), recorded.id, &names()).unwrap();
            // What ours say more.
            for key in
                ["duration", "snapshot-figures", "upid"].into_iter().filter(|key| !recorded.data.contains_key(*key))
            {
                ours.data.remove(key);
            }
            if recorded.template == "verify-err" {
                // Ours says what failed even if no snapshot did.
                assert_eq!(ours.data.remove("error").unwrap(), "verification failed");
            }
            assert_eq!(ours, recorded);
            kinds.insert(recorded.template);
        }
        assert_eq!(Vec::from_iter(kinds), ["gc-ok", "prune-ok", "sync-err", "sync-ok", "verify-err", "verify-ok"]);
    }

    fn sample(template: &str) -> JobEnded {
        let recorded = RECORDED.lines().map(|line| Event::from_json(line.as_bytes()).unwrap());
        run_of(&recorded.into_iter().find(|event| event.template == template).unwrap())
    }

    fn event_of(run: &JobEnded) -> Option<Event> {
        of_run(
            run,
            RECORDED.lines().map(|line| Event::from_json(line.as_bytes()).unwrap().id).next().unwrap(),
            &names(),
        )
    }

    #[test]
    fn an_event_says_what_its_run_did_and_how_long_it_took() {
        let mut run = sample("sync-ok");
        run.started = Epoch(run.ended.0 - 3725);
        run.status = TaskStatus::Warnings(2);
        let report =
            SyncReport { changed_snapshots: 3, moved_bytes: 4096, behind: 1, retries: 2, ..SyncReport::default() };
        run.details = RunDetails::Sync(Some(report));
        let data = event_of(&run).unwrap().data;
        assert_eq!(data["upid"], run.upid.to_string());
        assert_eq!((&data["duration"], &data["warning-count"]), (&json!("1h 2m 5s"), &json!(2)));
        assert_eq!((&data["snapshots"], &data["bytes"]), (&json!(3), &json!(4096)));
        assert_eq!((&data["behind"], &data["retries"]), (&json!(1), &json!(2)));
        run.details = RunDetails::Sync(None);
        run.started = Epoch(run.ended.0 + 1);
        let data = event_of(&run).unwrap().data;
        assert!(!data.contains_key("duration") && !data.contains_key("snapshots"), "{data:?}");
        assert_eq!(data["snapshot-figures"], false);
    }

    #[test]
    fn warnings_count_as_success_and_everything_else_as_failure() {
        let mut run = sample("gc-ok");
        run.status = TaskStatus::Warnings(3);
        assert_eq!(event_of(&run).unwrap().template, "gc-ok");
        run.status = TaskStatus::Error("abort requested - aborting task".to_owned());
        let event = event_of(&run).unwrap();
        assert_eq!((event.template.as_str(), event.severity), ("gc-err", Severity::Error));
        assert_eq!(event.data["error"], "abort requested - aborting task");
        assert!(!event.data.contains_key("disk-bytes") && !event.data.contains_key("job-id"));
        run.status = TaskStatus::Unknown;
        assert_eq!(event_of(&run).unwrap().template, "gc-err");
    }

    #[test]
    fn a_verify_job_that_was_stopped_is_not_told() {
        let mut run = sample("verify-err");
        run.details = RunDetails::Verify(VerifyFindings { failed: Vec::new(), is_aborted: true });
        assert_eq!(event_of(&run), None);
    }

    #[test]
    fn long_lists_and_errors_are_shortened() {
        let mut run = sample("verify-err");
        let failed = (0..1500).map(|number| format!("vm/{number}")).collect();
        run.details = RunDetails::Verify(VerifyFindings { failed, is_aborted: false });
        run.status = TaskStatus::Error("\u{e4}".repeat(20_000));
        let event = event_of(&run).unwrap();
        let list = event.data["failed-snapshot-list"].as_array().unwrap();
        assert_eq!((list.len(), list[999].as_str(), list[1000].as_str()), (1001, Some("vm/999"), Some("and 500 more")));
        assert_eq!(event.data["error"].as_str().unwrap().len(), MAX_ERROR_BYTES);
    }

    #[test]
    fn a_stale_job_is_told_with_its_limit_and_last_success() {
        let job = StaleJob {
            kind: JobKind::Sync,
            name: "s-1".to_owned(),
            store: "tank".parse().unwrap(),
            limit: "26h".parse().unwrap(),
            last_success: Some(Epoch(0)),
            last_error: Some("no route".to_owned()),
        };
        let id = Event::from_json(RECORDED.lines().next().unwrap().as_bytes()).unwrap().id;
        let stale = of_staleness(&job, StaleNews::Stale, id, Epoch(100_000), &names());
        assert_eq!((stale.template.as_str(), stale.severity), ("job-stale", Severity::Error));
        assert_eq!(
            (&stale.data["stale-after"], &stale.data["last-success"]),
            (&json!("1d 2h"), &json!("1970-01-01T00:00:00Z"))
        );
        assert_eq!(stale.data["success-age"], "1d 3h 46m");
        assert_eq!((stale.fields["type"].as_str(), stale.fields["job-id"].as_str()), ("job-stale", "s-1"));
        let healthy = of_staleness(&job, StaleNews::Healthy, id, Epoch(100_000), &names());
        assert_eq!((healthy.template.as_str(), healthy.severity), ("job-healthy", Severity::Notice));
        assert!(!healthy.data.contains_key("last-error") && stale.data["last-error"] == "no route");
    }
}
