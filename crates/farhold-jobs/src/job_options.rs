//! Options of jobs that only Farhold has: the file that keeps them, and who may read and change them.
//!
//! `lib/farhold/job-options.json`, mode 0600, replaced as a whole under the lock `job-options.lck`:
//!
//! ```text
//! {"sync":{"<job id>":{"verify-after":true,...}},"gc":{"<datastore>":{"stale-after":93600}},...}
//! ```
//!
//! Members that this version does not know stay when an entry is changed. The configuration files of the reference are
//! not touched, so that both products can work on them. All calls are blocking.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;

use farhold_rules::acl::{AclPath, AclTree};
use farhold_settings::{ConfigDir, ConfigLock, Entries, Protection, SettingsError};
use farhold_tasks::job_state::JobKey;
use farhold_types::{
    Authid, JobId, JobKind, JobOptions, Namespace, Privileges, PruneJob, Randomness, SyncDirection, VerifyJob,
};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::app::App;
use crate::job_files::JobFiles;
use crate::permission::{self, JobDenied};
use crate::store_jobs::{self, StoreJob, StoreJobError};

const FILE: &str = "job-options.json";
const LOCK: &str = "job-options.lck";
/// Mode of the directory if it has to be made: it holds private state only.
const DIRECTORY_MODE: u32 = 0o700;

/// Why options could not be read or changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JobOptionsError {
    /// The file cannot be read, locked or written.
    #[error(transparent)]
    File(#[from] SettingsError),
    /// The file is no JSON object of kinds of jobs. The text of the cause never holds values.
    #[error("{FILE} is damaged at line {line}; repair or remove it")]
    Damaged {
        /// Where reading stopped.
        line: usize,
    },
    /// The options of one job make no sense.
    #[error("{FILE} is damaged: the options of {kind} job '{name}' make no sense")]
    DamagedEntry {
        /// Its kind.
        kind: JobKind,
        /// Its name.
        name: String,
    },
    /// The name makes no job name.
    #[error("invalid job name")]
    Name,
    /// There is no such sync job.
    #[error("no such sync job '{id}'")]
    UnknownSync {
        /// What was asked for.
        id: String,
    },
    /// There is no such datastore, or the caller may not see it.
    #[error("no such datastore '{name}'")]
    UnknownStore {
        /// What was asked for.
        name: String,
    },
    /// Not allowed, for a sync job.
    #[error(transparent)]
    Sync(#[from] JobDenied),
    /// Not there or not allowed, for a prune or verify job.
    #[error(transparent)]
    StoreJob(#[from] StoreJobError),
    /// Not allowed, for a garbage collection.
    #[error(transparent)]
    Gc(#[from] farhold_rules::acl::Denied),
}

/// The stored options; cheap to clone.
#[derive(Clone)]
pub struct JobOptionsStore {
    files: ConfigDir,
}

/// The options of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionsOfJob {
    /// Kind of the job.
    pub kind: JobKind,
    /// Its id, or the datastore of a garbage collection.
    pub name: String,
    /// Its options.
    pub options: JobOptions,
}

impl JobOptionsStore {
    /// Returns the options that are kept in `directory`, which is made when it is needed.
    pub fn new(directory: PathBuf, randomness: Arc<dyn Randomness>) -> Self {
        Self { files: ConfigDir::new(directory, randomness) }
    }

    /// Returns the options of a job. If they cannot be read they count as not set, and the server's log says so: a run
    /// is worth more than its extras.
    pub fn of(&self, key: &JobKey) -> JobOptions {
        self.read(key).unwrap_or_else(|error| {
            tracing::warn!(job = key.name(), "the job runs without its options: {error}");
            JobOptions::default()
        })
    }

    /// Returns the options of a job.
    ///
    /// # Errors
    /// The file cannot be read, or the entry makes no sense.
    pub fn read(&self, key: &JobKey) -> Result<JobOptions, JobOptionsError> {
        let Some(kind) = JobKind::of_job_type(key.job_type()) else { return Ok(JobOptions::default()) };
        entry(&self.content()?, kind, key.name())
    }

    /// Returns all options that are set, by kind and name. Entries that make no sense are left out, and the server's log
    /// says so. An entry may belong to a job that was removed by another program: ask the configuration too.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn all(&self) -> Result<Vec<OptionsOfJob>, JobOptionsError> {
        let content = self.content()?;
        let mut all = Vec::new();
        for kind in JobKind::ALL {
            for name in content.get(kind.as_str()).and_then(Value::as_object).into_iter().flat_map(Map::keys) {
                match entry(&content, kind, name) {
                    Ok(options) if options.is_empty() => {}
                    Ok(options) => all.push(OptionsOfJob { kind, name: name.clone(), options }),
                    Err(error) => tracing::warn!(job = name, "options of a job are ignored: {error}"),
                }
            }
        }
        Ok(all)
    }

    /// Changes the options of a job under the lock of the file. If `change` fails nothing is written.
    ///
    /// # Errors
    /// That of `change`; the file cannot be read, locked or written.
    pub fn edit<T, E: From<JobOptionsError>>(
        &self,
        key: &JobKey,
        change: impl FnOnce(&mut JobOptions) -> Result<T, E>,
    ) -> Result<T, E> {
        let kind = JobKind::of_job_type(key.job_type()).ok_or(JobOptionsError::Name)?;
        let _lock = self.lock().map_err(JobOptionsError::from)?;
        let mut content = self.content()?;
        // An entry that makes no sense can be mended only by replacing it.
        let mut options = entry(&content, kind, key.name()).unwrap_or_default();
        let value = change(&mut options)?;
        set(&mut content, kind, key.name(), &options);
        self.write(&content).map_err(JobOptionsError::from)?;
        Ok(value)
    }

    /// Forgets the options of a job, for jobs that are removed.
    ///
    /// # Errors
    /// The file cannot be locked or written. A damaged one is left as it is.
    pub fn remove(&self, key: &JobKey) -> Result<(), SettingsError> {
        let Some(kind) = JobKind::of_job_type(key.job_type()) else { return Ok(()) };
        // The lock is taken also if there is nothing to remove: somebody may be about to write.
        let _lock = self.lock()?;
        let mut content = match self.content() {
            Ok(content) => content,
            Err(JobOptionsError::File(error)) => return Err(error),
            Err(_) => return Ok(()),
        };
        let removed =
            content.get_mut(kind.as_str()).and_then(Value::as_object_mut).and_then(|of| of.remove(key.name()));
        if removed.is_some() { self.write(&content) } else { Ok(()) }
    }

    fn lock(&self) -> Result<ConfigLock, SettingsError> {
        let made = fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(self.files.path());
        made.map_err(|source| SettingsError::Io { file: FILE.to_owned(), action: "make the folder of", source })?;
        self.files.lock(LOCK)
    }

    fn content(&self) -> Result<Map<String, Value>, JobOptionsError> {
        let Some(bytes) = self.files.read(FILE)? else { return Ok(Map::new()) };
        serde_json::from_slice(&bytes).map_err(|error| JobOptionsError::Damaged { line: error.line() })
    }

    fn write(&self, content: &Map<String, Value>) -> Result<(), SettingsError> {
        let text = serde_json::to_vec(content).unwrap_or_default();
        self.files.replace(FILE, &text, Protection::Private)
    }
}

/// Returns the options of one job in the content of the file.
fn entry(content: &Map<String, Value>, kind: JobKind, name: &str) -> Result<JobOptions, JobOptionsError> {
    let Some(found) = content.get(kind.as_str()).and_then(|of| of.get(name)) else { return Ok(JobOptions::default()) };
    // The cause is left out: its text may quote an address.
    serde_json::from_value(found.clone()).map_err(|_| JobOptionsError::DamagedEntry { kind, name: name.to_owned() })
}

/// Names of the options in the file.
const NAMES: [&str; 5] = ["verify-after", "traffic-control", "stale-after", "ping-success", "ping-failure"];

/// Puts the options of one job into the content of the file. What this version does not know stays.
fn set(content: &mut Map<String, Value>, kind: JobKind, name: &str, options: &JobOptions) {
    let of_kind = content.entry(kind.as_str()).or_insert_with(|| Value::Object(Map::new()));
    if !of_kind.is_object() {
        *of_kind = Value::Object(Map::new());
    }
    let Some(of_kind) = of_kind.as_object_mut() else { return };
    let mut members = match of_kind.remove(name) {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    };
    members.retain(|member, _| !NAMES.contains(&member.as_str()));
    if let Ok(Value::Object(known)) = serde_json::to_value(options) {
        members.extend(known);
    }
    if !members.is_empty() {
        of_kind.insert(name.to_owned(), Value::Object(members));
    }
}

/// A job whose options somebody asks for, and what he may do with them.
#[derive(Debug)]
pub struct JobSeen {
    /// Its key.
    pub key: JobKey,
    /// Its kind.
    pub kind: JobKind,
    /// Whether snapshots come to this server.
    pub pulls: bool,
    /// Whether it talks to a remote.
    pub has_remote: bool,
    /// Why the options may not be changed, if so.
    denied: Option<Box<JobOptionsError>>,
}

impl JobSeen {
    /// Returns whether the options may be changed. Who may not is not told whole ping addresses either.
    pub const fn may_change(&self) -> bool {
        self.denied.is_none()
    }

    /// Checks whether the options may be changed.
    ///
    /// # Errors
    /// The privilege that is missing.
    pub fn require_change(self) -> Result<Self, JobOptionsError> {
        match self.denied {
            Some(denied) => Err(*denied),
            None => Ok(self),
        }
    }
}

/// Returns the job, as far as `caller` may read it: what the job itself needs to be read and changed is needed here too.
///
/// # Errors
/// There is no such job, or the caller may not read it.
pub fn look_up(
    app: &App,
    acl: &AclTree,
    caller: &Authid,
    kind: JobKind,
    name: &str,
) -> Result<JobSeen, JobOptionsError> {
    JobLookUp::new(app, acl, caller).find(kind, name)
}

/// Looks jobs up for one caller. Each configuration file is read once, so that a list costs the same however long it is.
pub struct JobLookUp<'a> {
    acl: &'a AclTree,
    caller: &'a Authid,
    files: JobFiles<'a>,
}

impl<'a> JobLookUp<'a> {
    /// Returns one that has read nothing yet.
    pub fn new(app: &'a App, acl: &'a AclTree, caller: &'a Authid) -> Self {
        Self { acl, caller, files: JobFiles::of(&app.settings) }
    }

    /// Returns a job, see [`look_up`]. Blocking.
    ///
    /// # Errors
    /// There is no such job, or the caller may not read it.
    pub fn find(&self, kind: JobKind, name: &str) -> Result<JobSeen, JobOptionsError> {
        let Self { acl, caller, files } = self;
        let key = JobKey::new(kind.job_type(), name).map_err(|_| JobOptionsError::Name)?;
        let (mut pulls, mut has_remote) = (false, false);
        let denied: Option<JobOptionsError> = match kind {
            JobKind::Sync => {
                let job = files.sync_jobs()?.get(name)?;
                let job = job.ok_or_else(|| JobOptionsError::UnknownSync { id: name.to_owned() })?;
                permission::may_read(acl, caller, job)?;
                pulls = job.direction() == SyncDirection::Pull;
                has_remote = job.remote.is_some();
                permission::may_change_stored(acl, caller, job).err().map(Into::into)
            }
            JobKind::Prune => self.store_job::<PruneJob>(JobFiles::prune_jobs, name)?,
            JobKind::Verify => self.store_job::<VerifyJob>(JobFiles::verify_jobs, name)?,
            JobKind::Gc => {
                const SEE: Privileges = Privileges::DATASTORE_AUDIT.with(Privileges::DATASTORE_MODIFY);
                let unknown = || JobOptionsError::UnknownStore { name: name.to_owned() };
                let store = name.parse().map_err(|_| unknown())?;
                let path = AclPath::datastore(&store, &Namespace::root());
                // What may not be seen is answered as what does not exist.
                acl.require_any(caller, &path, SEE).map_err(|_| unknown())?;
                files.datastores()?.get(name)?.ok_or_else(unknown)?;
                acl.require_all(caller, &path, Privileges::DATASTORE_MODIFY).err().map(Into::into)
            }
        };
        Ok(JobSeen { key, kind, pulls, has_remote, denied: denied.map(Box::new) })
    }

    /// Returns why the options of a prune or verify job may not be changed.
    fn store_job<J: StoreJob>(
        &self,
        read: impl for<'f> FnOnce(&'f JobFiles<'a>) -> Result<&'f Entries<J::File>, SettingsError>,
        name: &str,
    ) -> Result<Option<JobOptionsError>, JobOptionsError> {
        let unknown = || StoreJobError::Unknown { kind: J::KIND, id: name.to_owned() };
        let id: JobId = name.parse().map_err(|_| unknown())?;
        let jobs = read(&self.files)?;
        let job: &J = store_jobs::visible(self.acl, self.caller, jobs, &id)?;
        store_jobs::may_read(self.acl, self.caller, job)?;
        Ok(store_jobs::may_change(self.acl, self.caller, job).err().map(Into::into))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use farhold_types::Role;

    use super::*;
    use crate::testing::TestServer;

    fn key(kind: JobKind, name: &str) -> JobKey {
        JobKey::new(kind.job_type(), name).unwrap()
    }

    fn set_stale(store: &JobOptionsStore, key: &JobKey, seconds: u64) {
        store
            .edit::<_, JobOptionsError>(key, |options| {
                options.stale_after = Some(Duration::from_secs(seconds));
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn options_are_kept_by_kind_and_name_and_go_with_their_job() {
        let server = TestServer::new();
        let store = &server.app.job_options;
        let (sync, prune) = (key(JobKind::Sync, "job1"), key(JobKind::Prune, "job1"));
        assert_eq!((store.of(&sync), store.all().unwrap()), (JobOptions::default(), Vec::new()));
        store.remove(&sync).unwrap();
        set_stale(store, &sync, 60);
        set_stale(store, &prune, 70);
        assert_eq!(store.of(&prune).stale_after, Some(Duration::from_secs(70)));
        let names = |store: &JobOptionsStore| {
            store.all().unwrap().into_iter().map(|one| (one.kind, one.name)).collect::<Vec<_>>()
        };
        assert_eq!(names(store), [(JobKind::Sync, "job1".to_owned()), (JobKind::Prune, "job1".to_owned())]);
        store.remove(&sync).unwrap();
        assert_eq!(names(store), [(JobKind::Prune, "job1".to_owned())]);
        assert_eq!(store.of(&sync), JobOptions::default());
        let failed = store.edit::<(), JobOptionsError>(&prune, |options| {
            options.stale_after = None;
            Err(JobOptionsError::Name)
        });
        assert!(failed.is_err());
        assert_eq!(store.of(&prune).stale_after, Some(Duration::from_secs(70)), "a failed change changes nothing");
    }

    #[test]
    fn what_this_version_does_not_know_stays_in_the_file_and_damage_is_no_end() {
        let server = TestServer::new();
        let store = &server.app.job_options;
        let path = server.folder().join("lib/farhold/job-options.json");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(
            &path,
            r#"{"sync":{"job1":{"later":1,"stale-after":5},"bad":{"stale-after":"x"}},"tape":{"t":1}}"#,
        )
        .unwrap();
        set_stale(store, &key(JobKind::Sync, "job1"), 60);
        let text = std::fs::read_to_string(&path).unwrap();
        let content: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(content["sync"]["job1"], serde_json::json!({ "later": 1, "stale-after": 60 }));
        assert_eq!(
            (&content["tape"]["t"], &content["sync"]["bad"]["stale-after"]),
            (&Value::from(1), &Value::from("x"))
        );
        assert_eq!(store.all().unwrap().len(), 1, "the entry without sense is left out");
        assert_eq!(store.of(&key(JobKind::Sync, "bad")), JobOptions::default());
        set_stale(store, &key(JobKind::Sync, "bad"), 60);
        assert_eq!(store.all().unwrap().len(), 2, "and can be replaced");
        std::fs::write(&path, "no JSON").unwrap();
        assert_eq!(store.of(&key(JobKind::Sync, "job1")), JobOptions::default());
        assert!(matches!(store.all(), Err(JobOptionsError::Damaged { line: 1 })));
        store.remove(&key(JobKind::Sync, "job1")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "no JSON");
    }

    #[test]
    fn the_file_is_for_nobody_else() {
        use std::os::unix::fs::PermissionsExt;
        let server = TestServer::new();
        set_stale(&server.app.job_options, &key(JobKind::Gc, "store1"), 60);
        let path = server.folder().join("lib/farhold/job-options.json");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn options_need_what_the_job_needs() {
        let server = TestServer::new();
        server.add_datastore_without_chunks("store1");
        server.grant("/datastore/store1", "audit@pbs", Role::DatastoreAudit);
        server.grant("/datastore/store1", "admin@pbs", Role::DatastoreAdmin);
        server.grant("/datastore/store2", "other@pbs", Role::DatastoreAdmin);
        let app = &server.app;
        let acl = app.acl().unwrap();
        let seen = |who: &str, kind, name: &str| {
            let seen = look_up(app, &acl, &who.parse().unwrap(), kind, name);
            seen.map(|seen| seen.may_change()).map_err(|error| error.to_string())
        };
        assert_eq!(seen("admin@pbs", JobKind::Gc, "store1"), Ok(true));
        assert_eq!(seen("audit@pbs", JobKind::Gc, "store1"), Ok(false));
        for (who, name) in [("other@pbs", "store1"), ("other@pbs", "store2"), ("root@pam", "store9"), ("root@pam", "x")]
        {
            assert_eq!(seen(who, JobKind::Gc, name), Err(format!("no such datastore '{name}'")), "{who}");
        }
        assert_eq!(seen("root@pam", JobKind::Prune, "job1"), Err("no such prune job 'job1'".to_owned()));
        assert_eq!(seen("root@pam", JobKind::Sync, "job1"), Err("no such sync job 'job1'".to_owned()));
        assert_eq!(seen("root@pam", JobKind::Sync, "../../x"), Err("invalid job name".to_owned()));
        let change = look_up(app, &acl, &"audit@pbs".parse().unwrap(), JobKind::Gc, "store1").unwrap().require_change();
        assert!(change.unwrap_err().to_string().contains("Datastore.Modify"));
    }
    #[test]
    fn looking_up_many_jobs_reads_each_file_once() {
        let server = TestServer::new();
        for name in ["store1", "store2"] {
            server.add_datastore_without_chunks(name);
        }
        let (acl, root) = (server.app.acl().unwrap(), Authid::root());
        let jobs = JobLookUp::new(&server.app, &acl, &root);
        assert!(jobs.find(JobKind::Gc, "store1").is_ok());
        std::fs::write(server.folder().join("etc/datastore.cfg"), "damaged").unwrap();
        assert!(jobs.find(JobKind::Gc, "store2").is_ok());
        assert!(look_up(&server.app, &acl, &root, JobKind::Gc, "store2").is_err(), "a new one reads what is there now");
    }
}
