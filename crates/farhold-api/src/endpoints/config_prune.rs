//! `/config/prune`: stored prune jobs. Source: `docs/spec/rest-api.md` 9.

use farhold_jobs::App;
use farhold_types::{Namespace, PruneJob};
use serde_json::{Map, Value, json};

use super::keep::{keep_options, put_keep};
use super::store_jobs::{self, Branch, JobBranch};
use crate::declare::Endpoint;
use crate::error::ApiError;
use crate::schema::{DefaultValue, Field, Param, ParamKind, Params, Shape, named, shapes};

const DELETABLE: &[&str] = &[
    "comment",
    "disable",
    "ns",
    "max-depth",
    "keep-last",
    "keep-hourly",
    "keep-daily",
    "keep-weekly",
    "keep-monthly",
    "keep-yearly",
];
const DELETABLE_KIND: ParamKind = ParamKind::Enumeration { values: DELETABLE, strict: true };

/// The settings of a prune job without its keep options, as answers show them.
pub const PRUNE_JOB: &[Field] = &[
    Field::required("id", Shape::Text("job ID"), "Name of the job"),
    Field::required("store", Shape::Text("datastore name"), "Datastore"),
    Field::required("schedule", Shape::Text("calendar event"), "When it runs"),
    Field::optional("disable", Shape::Boolean, "Whether the schedule is switched off; absent if it is not"),
    Field::optional("comment", Shape::Text("comment"), "Comment"),
    Field::optional("ns", Shape::Text("namespace"), "Namespace to start from; absent for the root"),
    Field::optional("max-depth", Shape::Integer, "How many levels of namespaces it includes; absent for all"),
];
const JOB: Shape = Shape::Joined(&[PRUNE_JOB, shapes::KEEP]);

pub fn endpoints() -> Vec<Endpoint<App>> {
    let options = [
        named::flag("disable", "Switch the schedule off").or_default(DefaultValue::Boolean(false)),
        named::COMMENT,
        named::NS.described("Namespace to start from"),
        named::MAX_DEPTH_REDUCED,
    ];
    let with = |first: [Param; 2]| first.into_iter().chain(options).chain(named::KEEP).collect();
    store_jobs::endpoints::<PruneJob>(&Branch {
        list: "/config/prune",
        one: "/config/prune/{id}",
        summaries: [
            "List prune jobs",
            "Create a prune job",
            "Show a prune job",
            "Change a prune job",
            "Remove a prune job",
        ],
        new: with([named::STORE, named::SCHEDULE.is_required()]),
        changes: with([named::STORE.is_optional(), named::SCHEDULE]),
        delete: named::delete(&DELETABLE_KIND),
        job: JOB,
        jobs: Shape::List(&JOB),
        access: [
            "Jobs on whose datastore and namespace the caller has Datastore.Audit or Datastore.Modify",
            "Datastore.Audit to read, Datastore.Modify to change, on the job's datastore and namespace",
        ],
    })
}

impl JobBranch for PruneJob {
    fn new_job(params: &Params) -> Result<Self, ApiError> {
        let mut job = PruneJob::new(params.require("id")?, params.require("store")?, params.require("schedule")?);
        job.set(params)?;
        job.ns = params.parse("ns")?;
        Ok(job)
    }

    fn reset(&mut self, field: &str) {
        match field {
            "disable" => self.disable = None,
            "comment" => self.comment = None,
            "ns" => self.ns = None,
            "max-depth" => self.max_depth = None,
            keep => {
                self.keep.set(keep, None);
            }
        }
    }

    fn set(&mut self, params: &Params) -> Result<(), ApiError> {
        if let Some(store) = params.parse("store")? {
            self.store = store;
        }
        if let Some(schedule) = params.text("schedule") {
            self.schedule = schedule.to_owned();
        }
        if let Some(disable) = params.boolean("disable") {
            self.disable = Some(disable);
        }
        // Unlike those of other jobs the comment is stored as it is given, also an empty one.
        if let Some(comment) = params.text("comment") {
            self.comment = Some(comment.to_owned());
        }
        if let Some(ns) = params.parse::<Namespace>("ns")? {
            self.ns = (!ns.is_root()).then_some(ns);
        }
        if let Some(depth) = params.integer_as("max-depth")? {
            self.max_depth = Some(depth);
        }
        for (name, count) in keep_options(params)?.named() {
            if count.is_some() {
                self.keep.set(name, count);
            }
        }
        Ok(())
    }

    fn item(&self) -> Map<String, Value> {
        let mut item = Map::new();
        item.insert("id".to_owned(), json!(self.id));
        item.insert("store".to_owned(), json!(self.store));
        item.insert("schedule".to_owned(), json!(self.schedule));
        let optional = [
            ("disable", self.is_disabled().then_some(Value::Bool(true))),
            ("comment", self.comment.as_ref().map(|comment| Value::from(comment.trim()))),
            ("ns", self.ns.as_ref().map(|ns| json!(ns))),
            ("max-depth", self.max_depth.map(Value::from)),
        ];
        item.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        put_keep(&mut item, &self.keep);
        item
    }
}
