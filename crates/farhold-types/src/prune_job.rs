//! A prune job as it is configured, and what pruning keeps. Source: `docs/spec/rest-api.md` 9.

use crate::name::{DatastoreName, JobId};
use crate::namespace::Namespace;

/// How many snapshots of a group pruning keeps by each rule; a rule that is not set keeps none by itself.
///
/// Source: `docs/spec/rest-api.md` 2.3, KEEP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeepOptions {
    /// The newest so many, at least 1.
    pub last: Option<u64>,
    /// The newest of each of so many hours, at least 1.
    pub hourly: Option<u64>,
    /// The newest of each of so many days, at least 1.
    pub daily: Option<u64>,
    /// The newest of each of so many weeks, at least 1.
    pub weekly: Option<u64>,
    /// The newest of each of so many months, at least 1.
    pub monthly: Option<u64>,
    /// The newest of each of so many years, at least 1.
    pub yearly: Option<u64>,
}

impl KeepOptions {
    /// Returns whether no rule is set, which means that everything is kept.
    pub fn keeps_everything(&self) -> bool {
        self.named().iter().all(|(_, count)| count.is_none())
    }

    /// Returns all rules under their names on the wire and in files, in the order in which logs list them.
    pub const fn named(&self) -> [(&'static str, Option<u64>); 6] {
        [
            ("keep-last", self.last),
            ("keep-hourly", self.hourly),
            ("keep-daily", self.daily),
            ("keep-weekly", self.weekly),
            ("keep-monthly", self.monthly),
            ("keep-yearly", self.yearly),
        ]
    }

    /// Sets one rule by its name; returns whether there is a rule of this name.
    pub fn set(&mut self, name: &str, count: Option<u64>) -> bool {
        let rule = match name {
            "keep-last" => &mut self.last,
            "keep-hourly" => &mut self.hourly,
            "keep-daily" => &mut self.daily,
            "keep-weekly" => &mut self.weekly,
            "keep-monthly" => &mut self.monthly,
            "keep-yearly" => &mut self.yearly,
            _ => return false,
        };
        *rule = count;
        true
    }
}

/// A stored prune job. Absent options stay absent; the accessors name the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PruneJob {
    /// Job id.
    pub id: JobId,
    /// Datastore.
    pub store: DatastoreName,
    /// Namespace in which pruning starts.
    pub ns: Option<Namespace>,
    /// Levels below that namespace, 0 to 7; none means all.
    pub max_depth: Option<u8>,
    /// Calendar event; every prune job has one.
    pub schedule: String,
    /// Whether the schedule is switched off.
    pub disable: Option<bool>,
    /// Free text.
    pub comment: Option<String>,
    /// What is kept.
    pub keep: KeepOptions,
}

impl PruneJob {
    /// Returns a job that keeps everything.
    pub const fn new(id: JobId, store: DatastoreName, schedule: String) -> Self {
        let keep = KeepOptions { last: None, hourly: None, daily: None, weekly: None, monthly: None, yearly: None };
        Self { id, store, ns: None, max_depth: None, schedule, disable: None, comment: None, keep }
    }

    /// Returns the namespace in which pruning starts, the root if not set.
    pub fn anchor(&self) -> Namespace {
        self.ns.clone().unwrap_or_default()
    }

    /// Returns whether the schedule is switched off, no if not set.
    pub fn is_disabled(&self) -> bool {
        self.disable.unwrap_or(false)
    }

    /// Returns the worker id of the job's tasks: `<store>`, or `<store>:<ns>` below the root.
    ///
    /// Source: `docs/spec/rest-api.md` 17.
    pub fn worker_id(&self) -> String {
        match &self.ns {
            Some(ns) if !ns.is_root() => format!("{}:{ns}", self.store),
            _ => self.store.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(ns: Option<&str>) -> PruneJob {
        let mut job = PruneJob::new("j01".parse().unwrap(), "store1".parse().unwrap(), "daily".to_owned());
        job.ns = ns.map(|ns| ns.parse().unwrap());
        job
    }

    #[test]
    fn the_worker_id_names_the_namespace_only_below_the_root() {
        let ids = [None, Some(""), Some("a/b")].map(|ns| job(ns).worker_id());
        assert_eq!(ids, ["store1", "store1", "store1:a/b"]);
    }

    #[test]
    fn rules_are_set_by_the_names_they_are_listed_under() {
        let mut keep = KeepOptions::default();
        assert!(keep.keeps_everything());
        for (count, (name, _)) in KeepOptions::default().named().into_iter().enumerate() {
            assert!(keep.set(name, Some(count as u64 + 1)));
        }
        assert_eq!(keep.named().map(|(_, count)| count), [1, 2, 3, 4, 5, 6].map(Some));
        assert!(!keep.keeps_everything() && !keep.set("keep-all", Some(1)));
    }
}
