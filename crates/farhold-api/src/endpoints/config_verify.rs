//! `/config/verify`: stored verify jobs. Source: `docs/spec/rest-api.md` 9.

use farhold_jobs::App;
use farhold_types::{Namespace, VerifyJob};
use serde_json::{Map, Value, json};

use super::store_jobs::{self, Branch, JobBranch};
use super::trimmed;
use crate::declare::Endpoint;
use crate::error::ApiError;
use crate::schema::{DefaultValue, Field, Param, ParamKind, Params, Shape, named};

const DELETABLE: &[&str] =
    &["schedule", "ignore-verified", "outdated-after", "comment", "ns", "max-depth", "read-threads", "verify-threads"];
const DELETABLE_KIND: ParamKind = ParamKind::Enumeration { values: DELETABLE, strict: true };

/// `ignore-verified`: leave out what was verified already.
pub const IGNORE_VERIFIED: Param = named::flag("ignore-verified", "Leave out snapshots that were verified already")
    .or_default(DefaultValue::Boolean(true));
/// `outdated-after`, days.
pub const OUTDATED_AFTER: Param = Param::optional(
    "outdated-after",
    ParamKind::Integer { min: Some(0), max: None },
    "Days after which a verification counts no more; 0 means never",
);
/// `read-threads`: threads that read chunks.
pub const READ_THREADS: Param = Param::optional(
    "read-threads",
    ParamKind::Integer { min: Some(1), max: Some(32) },
    "Number of threads that read chunks",
)
.or_default(DefaultValue::Integer(1));
/// `verify-threads`: threads that check chunks.
pub const VERIFY_THREADS: Param = Param::optional(
    "verify-threads",
    ParamKind::Integer { min: Some(1), max: Some(32) },
    "Number of threads that check chunks",
)
.or_default(DefaultValue::Integer(4));

/// The settings of a verify job, as answers show them.
pub const VERIFY_JOB: &[Field] = &[
    Field::required("id", Shape::Text("job ID"), "Name of the job"),
    Field::required("store", Shape::Text("datastore name"), "Datastore"),
    Field::optional("schedule", Shape::Text("calendar event"), "When it runs; absent if only by hand"),
    Field::optional("ignore-verified", Shape::Boolean, "Whether it leaves out what was verified; absent means yes"),
    Field::optional("outdated-after", Shape::Integer, "Days after which a verification counts no more"),
    Field::optional("comment", Shape::Text("comment"), "Comment"),
    Field::optional("ns", Shape::Text("namespace"), "Namespace to start from; absent for the root"),
    Field::optional("max-depth", Shape::Integer, "How many levels of namespaces it includes; absent for all"),
    Field::optional("read-threads", Shape::Integer, "Number of threads that read chunks; absent means 1"),
    Field::optional("verify-threads", Shape::Integer, "Number of threads that check chunks; absent means 4"),
];
const JOB: Shape = Shape::Object(VERIFY_JOB);

pub fn endpoints() -> Vec<Endpoint<App>> {
    let options = [
        named::SCHEDULE,
        IGNORE_VERIFIED,
        OUTDATED_AFTER,
        named::COMMENT,
        named::NS.described("Namespace to start from"),
        named::MAX_DEPTH,
        READ_THREADS,
        VERIFY_THREADS,
    ];
    let with = |store: Param| [store].into_iter().chain(options).collect();
    store_jobs::endpoints::<VerifyJob>(&Branch {
        list: "/config/verify",
        one: "/config/verify/{id}",
        summaries: [
            "List verify jobs",
            "Create a verify job",
            "Show a verify job",
            "Change a verify job",
            "Remove a verify job",
        ],
        new: with(named::STORE),
        changes: with(named::STORE.is_optional()),
        delete: named::delete(&DELETABLE_KIND),
        job: JOB,
        jobs: Shape::List(&JOB),
        access: [
            "Jobs on whose datastore and namespace the caller has Datastore.Audit or Datastore.Verify",
            "Datastore.Audit or Datastore.Verify to read, Datastore.Verify to change, on the job's datastore and namespace",
        ],
    })
}

impl JobBranch for VerifyJob {
    fn new_job(params: &Params) -> Result<Self, ApiError> {
        let mut job = VerifyJob::new(params.require("id")?, params.require("store")?);
        job.set(params)?;
        job.ns = params.parse("ns")?;
        job.comment = params.text("comment").map(str::to_owned);
        Ok(job)
    }

    fn reset(&mut self, field: &str) {
        match field {
            "schedule" => self.schedule = None,
            "ignore-verified" => self.ignore_verified = None,
            "outdated-after" => self.outdated_after = None,
            "comment" => self.comment = None,
            "ns" => self.ns = None,
            "max-depth" => self.max_depth = None,
            "read-threads" => self.read_threads = None,
            "verify-threads" => self.verify_threads = None,
            _ => {}
        }
    }

    fn set(&mut self, params: &Params) -> Result<(), ApiError> {
        if let Some(store) = params.parse("store")? {
            self.store = store;
        }
        if let Some(schedule) = params.text("schedule") {
            self.schedule = Some(schedule.to_owned());
        }
        if let Some(ignore) = params.boolean("ignore-verified") {
            self.ignore_verified = Some(ignore);
        }
        if let Some(days) = params.integer_as("outdated-after")? {
            self.outdated_after = Some(days);
        }
        if let Some(comment) = params.text("comment") {
            self.comment = trimmed(comment);
        }
        // An update cannot go back to the root this way: that is what `delete` is for.
        if let Some(ns) = params.parse::<Namespace>("ns")?.filter(|ns| !ns.is_root()) {
            self.ns = Some(ns);
        }
        if let Some(depth) = params.integer_as("max-depth")? {
            self.max_depth = Some(depth);
        }
        if let Some(count) = params.integer_as("read-threads")? {
            self.read_threads = Some(count);
        }
        if let Some(count) = params.integer_as("verify-threads")? {
            self.verify_threads = Some(count);
        }
        Ok(())
    }

    fn item(&self) -> Map<String, Value> {
        let mut item = Map::new();
        item.insert("id".to_owned(), json!(self.id));
        item.insert("store".to_owned(), json!(self.store));
        let optional = [
            ("schedule", self.schedule.clone().map(Value::from)),
            ("ignore-verified", self.ignore_verified.map(Value::from)),
            ("outdated-after", self.outdated_after.map(Value::from)),
            ("comment", self.comment.as_ref().map(|comment| Value::from(comment.trim()))),
            ("ns", self.ns.as_ref().map(|ns| json!(ns))),
            ("max-depth", self.max_depth.map(Value::from)),
            ("read-threads", self.read_threads.map(Value::from)),
            ("verify-threads", self.verify_threads.map(Value::from)),
        ];
        item.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        item
    }
}
