//! Parameters and JSON form of sync jobs, shared by `/config/sync`, `/admin/sync` and `/pull`.
//!
//! Source: `docs/spec/rest-api.md` 7.1.

use farhold_jobs::sync_job_edit::SyncJobFields;
use farhold_types::{ByteSize, RateLimits, SyncDirection, SyncJob};
use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::schema::{DefaultValue, Field, Param, Params, Shape, named, shapes};

pub const REMOVE_VANISHED: Param =
    named::flag("remove-vanished", "Remove what vanished from the source; protected snapshots stay")
        .or_default(DefaultValue::Boolean(false));
pub const RESYNC_CORRUPT: Param =
    named::flag("resync-corrupt", "Fetch snapshots again whose copy here failed verification");
pub const ENCRYPTED_ONLY: Param = named::flag("encrypted-only", "Take only fully encrypted snapshots");
pub const VERIFIED_ONLY: Param = named::flag("verified-only", "Take only snapshots whose last verification was good");
pub const RATES: [Param; 4] = [named::RATE_IN, named::BURST_IN, named::RATE_OUT, named::BURST_OUT];

/// The members of a stored job. Source: `docs/spec/rest-api.md` 7.1.
pub const JOB: &[Field] = &[
    Field::required("id", Shape::Text("name of a job"), "Name of the job"),
    Field::required("store", shapes::STORE, "Local datastore: target of a pull, source of a push"),
    Field::optional("ns", shapes::NAMESPACE, "Local namespace to start from"),
    Field::optional("owner", shapes::AUTHID, "Owner of pulled groups, and whose rights count; root@pam if absent"),
    Field::optional("remote", Shape::Text("name of a remote"), "The other side; absent if the source is local"),
    Field::required("remote-store", shapes::STORE, "Datastore of the other side"),
    Field::optional("remote-ns", shapes::NAMESPACE, "Namespace of the other side to start from"),
    Field::optional("sync-direction", Shape::Word(&["pull", "push"]), "pull if absent"),
    Field::optional("remove-vanished", Shape::Boolean, "Whether what vanished from the source is removed"),
    Field::optional("max-depth", Shape::Integer, "How many levels of namespaces are synced; all if absent"),
    Field::optional("comment", shapes::TEXT, "Comment"),
    Field::optional("schedule", shapes::CALENDAR_EVENT, "When it runs by itself"),
    Field::optional("group-filter", Shape::List(&Shape::Text("group filter")), "Which groups are synced"),
    Field::optional("rate-in", shapes::BYTES, "Incoming bytes per second"),
    Field::optional("burst-in", shapes::BYTES, "Incoming bytes that may come at once"),
    Field::optional("rate-out", shapes::BYTES, "Outgoing bytes per second"),
    Field::optional("burst-out", shapes::BYTES, "Outgoing bytes that may go at once"),
    Field::optional("transfer-last", Shape::Integer, "Only the newest snapshots of each group, this many"),
    Field::optional("resync-corrupt", Shape::Boolean, "Whether corrupt snapshots are fetched again"),
    Field::optional("encrypted-only", Shape::Boolean, "Whether only fully encrypted snapshots are taken"),
    Field::optional("verified-only", Shape::Boolean, "Whether only snapshots with a good verification are taken"),
    Field::optional("run-on-mount", Shape::Boolean, "Whether it runs when the device is mounted"),
    Field::optional("unmount-on-done", Shape::Boolean, "Whether the device is unmounted afterwards"),
    Field::optional("worker-threads", Shape::Integer, "Groups that are synced at once; 1 if absent"),
    Field::optional("active-encryption-key", Shape::Text("name of a key"), "Key that encrypts what is pushed"),
    Field::optional("associated-key", Shape::List(&Shape::Text("name of a key")), "Keys that belong to the job"),
];

/// The options of a stored job besides its id, all optional.
pub fn job_options() -> Vec<Param> {
    let mut params = vec![
        named::STORE.is_optional().described("Local datastore: target of a pull, source of a push"),
        named::NS.described("Local namespace to start from"),
        named::OWNER,
        named::REMOTE_ID,
        named::REMOTE_STORE.is_optional(),
        named::REMOTE_NS,
        named::SYNC_DIRECTION,
        REMOVE_VANISHED,
        named::MAX_DEPTH_REDUCED,
        named::COMMENT,
        named::SCHEDULE,
        named::GROUP_FILTER,
        named::TRANSFER_LAST,
        RESYNC_CORRUPT,
        ENCRYPTED_ONLY,
        VERIFIED_ONLY,
        named::flag("run-on-mount", "Run when the device of the datastore is mounted"),
        named::flag("unmount-on-done", "Unmount the device after a run that mounting it started"),
        named::WORKER_THREADS,
        named::ACTIVE_ENCRYPTION_KEY,
        named::ASSOCIATED_KEY,
    ];
    params.extend(RATES);
    params
}

/// The same for a new job: what it cannot be without is required.
pub fn new_job_options() -> Vec<Param> {
    let required = |param: Param| match param.name {
        "store" | "remote-store" => param.is_required(),
        _ => param,
    };
    job_options().into_iter().map(required).collect()
}

/// Returns the options that the caller gave.
pub fn fields(params: &Params) -> Result<SyncJobFields, ApiError> {
    let sync_direction = match params.text("sync-direction") {
        None => None,
        Some("pull") => Some(SyncDirection::Pull),
        Some("push") => Some(SyncDirection::Push),
        Some(_) => return Err(ApiError::bad_request("sync-direction must be pull or push")),
    };
    Ok(SyncJobFields {
        store: params.parse("store")?,
        ns: params.parse("ns")?,
        owner: params.parse("owner")?,
        remote: params.parse("remote")?,
        remote_store: params.parse("remote-store")?,
        remote_ns: params.parse("remote-ns")?,
        sync_direction,
        remove_vanished: params.boolean("remove-vanished"),
        max_depth: params.integer_as("max-depth")?,
        // The file format cannot keep blanks at the ends.
        comment: params.text("comment").map(|comment| comment.trim().to_owned()),
        schedule: params.text("schedule").map(str::to_owned),
        group_filter: params.parse_list("group-filter")?,
        rate_in: params.parse("rate-in")?,
        burst_in: params.parse("burst-in")?,
        rate_out: params.parse("rate-out")?,
        burst_out: params.parse("burst-out")?,
        transfer_last: params.integer_as("transfer-last")?,
        resync_corrupt: params.boolean("resync-corrupt"),
        encrypted_only: params.boolean("encrypted-only"),
        verified_only: params.boolean("verified-only"),
        run_on_mount: params.boolean("run-on-mount"),
        unmount_on_done: params.boolean("unmount-on-done"),
        worker_threads: params.integer_as("worker-threads")?,
        active_encryption_key: params.parse("active-encryption-key")?,
        associated_key: params.parse_list("associated-key")?,
    })
}

/// Returns the bandwidth limits that the caller gave.
pub fn limits(params: &Params) -> Result<RateLimits, ApiError> {
    Ok(RateLimits {
        rate_in: params.parse("rate-in")?,
        burst_in: params.parse("burst-in")?,
        rate_out: params.parse("rate-out")?,
        burst_out: params.parse("burst-out")?,
    })
}

/// Returns a job as callers see it: every option that is set, by its wire name.
pub fn item(job: &SyncJob) -> Map<String, Value> {
    let size = |size: &Option<ByteSize>| size.as_ref().map(|size| json!(size));
    let list = |is_empty: bool, list: Value| (!is_empty).then_some(list);
    let optional = [
        ("ns", job.ns.as_ref().map(|ns| json!(ns))),
        ("owner", job.owner.as_ref().map(|owner| json!(owner))),
        ("remote", job.remote.as_ref().map(|remote| json!(remote))),
        ("remote-ns", job.remote_ns.as_ref().map(|ns| json!(ns))),
        ("sync-direction", job.sync_direction.map(|direction| json!(direction))),
        ("remove-vanished", job.remove_vanished.map(Value::from)),
        ("max-depth", job.max_depth.map(Value::from)),
        ("comment", job.comment.as_ref().map(|comment| Value::from(comment.trim()))),
        ("schedule", job.schedule.clone().map(Value::from)),
        ("group-filter", list(job.group_filter.is_empty(), json!(job.group_filter))),
        ("rate-in", size(&job.limits.rate_in)),
        ("burst-in", size(&job.limits.burst_in)),
        ("rate-out", size(&job.limits.rate_out)),
        ("burst-out", size(&job.limits.burst_out)),
        ("transfer-last", job.transfer_last.map(Value::from)),
        ("resync-corrupt", job.resync_corrupt.map(Value::from)),
        ("encrypted-only", job.encrypted_only.map(Value::from)),
        ("verified-only", job.verified_only.map(Value::from)),
        ("run-on-mount", job.run_on_mount.map(Value::from)),
        ("unmount-on-done", job.unmount_on_done.map(Value::from)),
        ("worker-threads", job.worker_threads.map(Value::from)),
        ("active-encryption-key", job.active_encryption_key.as_ref().map(|key| json!(key))),
        ("associated-key", list(job.associated_key.is_empty(), json!(job.associated_key))),
    ];
    let mut item = Map::new();
    item.insert("id".to_owned(), json!(job.id));
    item.insert("store".to_owned(), json!(job.store));
    item.insert("remote-store".to_owned(), json!(job.remote_store));
    item.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    item
}

/// Returns whether a listing with this `sync-direction` shows the job. Without one, push jobs are hidden.
pub fn is_listed(job: &SyncJob, direction: Option<&str>) -> bool {
    match direction {
        Some("all") => true,
        Some("push") => job.direction() == SyncDirection::Push,
        _ => job.direction() == SyncDirection::Pull,
    }
}
