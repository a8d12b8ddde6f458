//! `/status`: usage of all datastores, and metrics. Source: `docs/spec/rest-api.md` 16.

use std::sync::Arc;

use farhold_jobs::history::{History, HistoryRow, Sample, Subject};
use farhold_jobs::host::cpu_usage;
use farhold_jobs::host::kernel::Memory;
use farhold_jobs::namespace_walk::NS_ANY;
use farhold_jobs::{App, MountStatus, Operation};
use farhold_rules::acl::{AclPath, AclTree};
use farhold_rules::history::{RESOLUTIONS, Timeframe, estimated_full_date};
use farhold_settings::DatastoreConfig;
use farhold_types::{Authid, Epoch, Namespace, Privileges};
use serde_json::{Map, Value, json};

use super::blocking;
use crate::declare::{Access, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::named::flag;
use crate::schema::{DefaultValue, Field, Param, ParamKind, Shape, shapes};

/// Rows that the usage of a datastore is shown in.
const USAGE_TIMEFRAME: Timeframe = Timeframe::Month;

const USAGE: Shape = Shape::List(&Shape::Object(&[
    Field::required("store", shapes::STORE, "The datastore"),
    Field::optional("total", Shape::Integer, "Bytes of its file system; absent if they are not known"),
    Field::optional("used", Shape::Integer, "Bytes that are used; absent as above"),
    Field::optional("avail", Shape::Integer, "Bytes that may still be used; absent as above"),
    Field::required("mount-status", shapes::MOUNT_STATUS, "Whether its device is mounted"),
    Field::required("backend-type", shapes::BACKEND_TYPE, "Kind of its storage"),
    Field::optional("history", Shape::List(&Shape::Nullable(&Shape::Number)), "Used part in the last month, 0 to 1"),
    Field::optional("history-start", shapes::EPOCH, "Time of the first value of the history"),
    Field::optional("history-delta", Shape::Integer, "Seconds between two values of the history"),
    Field::optional(
        "estimated-full-date",
        shapes::EPOCH,
        "When it will be full if it goes on like this; in the past: it shrinks; 0: it stays as it is",
    ),
    Field::optional("error", shapes::TEXT, "Why the datastore cannot be opened"),
    Field::optional("gc-status", Shape::Object(shapes::GC_STATUS), "The last garbage collection"),
]));
const METRICS: Shape = Shape::Object(&[Field::required(
    "data",
    Shape::List(&Shape::Object(&[
        Field::required("id", shapes::TEXT, "host, or datastore/ and its name"),
        Field::required("metric", shapes::TEXT, "Name of the metric"),
        Field::required("timestamp", shapes::EPOCH, "When it was measured"),
        Field::required("type", Shape::Word(&["gauge", "derive"]), "Value of a moment, or counter that only grows"),
        Field::required("value", Shape::Number, "The value"),
    ])),
    "Metrics, oldest first",
)]);

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/status/datastore-usage", "Show the usage of all datastores", usage)
            .access(Access::InHandler("sizes with Datastore.Audit or Datastore.Backup, else names of reachable stores"))
            .returns(USAGE),
        Endpoint::get("/status/metrics", "Show metrics of the host and of datastores", metrics)
            .params(&[
                flag("history", "All samples of the last half hour, not only the newest"),
                Param::optional(
                    "start-time",
                    ParamKind::Integer { min: None, max: None },
                    "Only samples after this time; needs history",
                )
                .or_default(DefaultValue::Integer(0)),
            ])
            .access(Access::InHandler("host with Sys.Audit on /system/status, datastores with Datastore.Audit on them"))
            .returns(METRICS),
    ]
}

async fn usage(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    blocking(move || {
        let acl = app.acl()?;
        let stores = app.settings.datastores().load()?.entries;
        let items: Vec<Value> = stores.usable().filter_map(|store| usage_item(&app, &acl, &caller, store)).collect();
        Ok::<_, ApiError>(Reply::value(items))
    })
    .await
}

/// Returns the item of a datastore, if the caller may know of it.
///
/// The reference shows removable datastores that are not mounted to everybody (`docs/spec/rest-api.md` 19.12); we do not.
fn usage_item(app: &App, acl: &AclTree, caller: &Authid, store: &DatastoreConfig) -> Option<Value> {
    let path = AclPath::datastore(&store.name, &Namespace::root());
    let sees_sizes = Privileges::DATASTORE_AUDIT | Privileges::DATASTORE_BACKUP;
    let is_full = acl.privileges(caller, &path).all.contains_any(sees_sizes);
    if !is_full && !acl.has_any_below(caller, &path, NS_ANY) {
        return None;
    }
    let mount_status = app.stores.mount_status(store);
    let mut item = json!({
        "store": store.name,
        "mount-status": mount_status.as_str(),
        "backend-type": if store.is_s3() { "s3" } else { "filesystem" },
    });
    if is_full && mount_status != MountStatus::NotMounted {
        let added = measured(app, store).unwrap_or_else(|error| Map::from_iter([("error".to_owned(), error.into())]));
        item.as_object_mut()?.extend(added);
    }
    Some(item)
}

/// Returns what the sizes, the last garbage collection and the history of a datastore say, or why there is nothing.
fn measured(app: &App, store: &DatastoreConfig) -> Result<Map<String, Value>, String> {
    let text = |error: &dyn std::error::Error| ApiError::from_chain(error).text().to_owned();
    let datastore = app.stores.open(&store.name, Operation::Read).map_err(|error| text(&error))?;
    let mut item = Map::new();
    if let Some(space) = datastore.space().map_err(|error| text(&error))? {
        item.insert("total".to_owned(), json!(space.total_bytes));
        item.insert("used".to_owned(), json!(space.used_bytes));
        item.insert("avail".to_owned(), json!(space.available_bytes));
    }
    item.insert("gc-status".to_owned(), json!(datastore.gc_status().map_err(|error| text(&error))?));
    let subject = Subject::Store(store.name.clone());
    // A history that cannot be read says nothing about the datastore.
    if let Ok(Some(rows)) = app.history.rows(&subject, USAGE_TIMEFRAME, app.clock.now()) {
        let place = |name: &str| subject.measures().iter().position(|measure| *measure == name);
        let (total, used) = (place("total"), place("used"));
        let used_part = |row: &HistoryRow| {
            let average = |place: Option<usize>| Some(row.cells[place?]?.average);
            let total = average(total).filter(|total| 0.0 < *total)?;
            Some(average(used)? / total)
        };
        let points: Vec<(Epoch, Option<f64>)> = rows.iter().map(|row| (row.start, used_part(row))).collect();
        let known: Vec<(Epoch, f64)> = points.iter().filter_map(|(start, part)| Some((*start, (*part)?))).collect();
        item.insert("history".to_owned(), points.iter().map(|(_, part)| json!(part)).collect());
        item.insert("history-start".to_owned(), json!(points.first().map_or(Epoch(0), |(start, _)| *start)));
        item.insert("history-delta".to_owned(), json!(RESOLUTIONS[USAGE_TIMEFRAME.resolution()].step_s));
        if let Some(date) = estimated_full_date(&known) {
            item.insert("estimated-full-date".to_owned(), json!(date));
        }
    }
    Ok(item)
}

async fn metrics(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let after = request.params.integer_or_default("start-time").unwrap_or(0);
    let after = request.params.boolean_or_default("history").then_some(Epoch(after));
    blocking(move || {
        let acl = app.acl()?;
        let sees_host = acl.privileges(&caller, &AclPath::system(&["status"])).all.contains_all(Privileges::SYS_AUDIT);
        let sees = |subject: &Subject| match subject {
            Subject::Host => sees_host,
            Subject::Store(name) => {
                let path = AclPath::datastore(name, &Namespace::root());
                acl.privileges(&caller, &path).all.contains_all(Privileges::DATASTORE_AUDIT)
            }
        };
        Ok::<_, ApiError>(Reply::value(json!({ "data": metrics_of(&app.history, after, sees) })))
    })
    .await
}

fn metrics_of(history: &History, after: Option<Epoch>, sees: impl Fn(&Subject) -> bool) -> Vec<Value> {
    let mut items = Vec::new();
    for (before, sample) in history.samples_with_earlier(after) {
        for subject in sample.subjects().iter().filter(|subject| sees(subject)) {
            let (id, values) = match subject {
                Subject::Host => ("host".to_owned(), host_metrics(before.as_deref(), &sample)),
                Subject::Store(name) => (format!("datastore/{name}"), store_metrics(&sample, name)),
            };
            items.extend(values.into_iter().filter_map(|(kind, metric, value)| {
                let (time, value) = (sample.time, value?);
                Some(json!({ "id": id, "metric": metric, "timestamp": time, "type": kind, "value": value }))
            }));
        }
    }
    items
}

/// Kind, name, and the value if it is known.
type Metric = (&'static str, &'static str, Option<f64>);

const GAUGE: &str = "gauge";
const DERIVE: &str = "derive";

fn host_metrics(before: Option<&Sample>, sample: &Sample) -> Vec<Metric> {
    let host = &sample.host;
    let usage = before.and_then(|before| cpu_usage(&before.host.cpu?, &host.cpu?));
    let load = |index: usize| host.load.map(|load| load[index]);
    let memory = |part: fn(&Memory) -> u64| host.memory.as_ref().map(|m| part(m) as f64);
    let mut all = vec![
        (GAUGE, "cpu_current", usage.map(|usage| usage.busy)),
        (GAUGE, "cpu_iowait", usage.map(|usage| usage.waiting)),
        (GAUGE, "cpu_avg1", load(0)),
        (GAUGE, "cpu_avg5", load(1)),
        (GAUGE, "cpu_avg15", load(2)),
        (GAUGE, "mem_total", memory(|memory| memory.total)),
        (GAUGE, "mem_used", memory(|memory| memory.used)),
        (GAUGE, "swap_total", memory(|memory| memory.swap_total)),
        (GAUGE, "swap_used", memory(Memory::swap_used)),
        (DERIVE, "net_in", host.network.map(|(received, _)| received as f64)),
        (DERIVE, "net_out", host.network.map(|(_, sent)| sent as f64)),
    ];
    all.extend(disk_metrics(host.space, host.disk));
    all
}

fn store_metrics(sample: &Sample, name: &farhold_types::DatastoreName) -> Vec<Metric> {
    sample.store(name).map(|store| disk_metrics(store.space, store.disk).to_vec()).unwrap_or_default()
}

fn disk_metrics(
    space: Option<farhold_jobs::host::FileSystemSpace>,
    disk: Option<farhold_jobs::host::kernel::DiskCounters>,
) -> [Metric; 5] {
    [
        (GAUGE, "disk_total", space.map(|space| space.total_bytes as f64)),
        (GAUGE, "disk_used", space.map(|space| space.used_bytes as f64)),
        (GAUGE, "disk_available", space.map(|space| space.available_bytes as f64)),
        (DERIVE, "disk_read", disk.map(|disk| disk.read_bytes as f64)),
        (DERIVE, "disk_write", disk.map(|disk| disk.write_bytes as f64)),
    ]
}
