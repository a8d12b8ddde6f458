//! Creating and removing datastores, as tasks. Source: `docs/spec/rest-api.md` 8, `docs/spec/datastore-format.md` 20.
//!
//! Both hold the configuration lock only where they must: creation from the check of the paths until the section is
//! written, so that two creations cannot nest their stores; removal only for each change of the file.

use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};
use std::sync::Arc;

use farhold_datastore::{AccessTimeCheck, Datastore, DatastoreError, LockError, OpenError, OpenOptions};
use farhold_format::section_config::Section;
use farhold_format::upid::Upid;
use farhold_rules::acl::{AclPath, AclTree, Denied};
use farhold_settings::{
    ConfigFile, ConfigStore, DatastoreConfig, Datastores, Entries, FieldError, MaintenanceType, PruneJobs,
    SettingsError,
};
use farhold_tasks::job_state::{JobKey, JobStateError};
use farhold_tasks::{TaskContext, TaskError, TaskFailure, TaskKind};
use farhold_types::{
    Authid, DatastoreName, Digest, JobId, KeepOptions, NameError, Namespace, Privileges, PruneJob, VerifyJob,
};
use thiserror::Error;

use crate::App;
use crate::gc::gc_key;
use crate::permission::{JobDenied, may_change_stored};
use crate::removable::{Mounted, RemovableError, Then, may_change_disks, mount_store, unmount_store};
use crate::store_jobs::StoreJob;
use crate::stores::MountStatus;
use crate::task_work::in_background;

/// Longest id of a job. Source: `docs/spec/rest-api.md` 2.1.
const MAX_JOB_ID: usize = 32;

/// Why a datastore could not be created, changed or removed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatastoreJobError {
    /// The name is taken.
    #[error("datastore '{name}' already exists")]
    Exists {
        /// The name.
        name: DatastoreName,
    },
    /// There is no such datastore.
    #[error("no such datastore '{name}'")]
    Unknown {
        /// The name.
        name: DatastoreName,
    },
    /// The path is inside of another store's, or the other way round.
    #[error("datastores cannot be nested: '{path}' and '{other_path}' of datastore '{other}'")]
    Nested {
        /// The new store's path.
        path: String,
        /// The other store's path.
        other_path: String,
        /// The other store.
        other: DatastoreName,
    },
    /// The path leads to another store, by a link or a mount.
    #[error("'{path}' is the place of datastore '{other}', which has it as '{other_path}'")]
    Shared {
        /// The new store's path.
        path: String,
        /// The other store's path.
        other_path: String,
        /// The other store.
        other: DatastoreName,
    },
    /// Somebody works on the store.
    #[error(
        "datastore is in use by {readers} reading and {writers} writing operations; no new ones begin, so remove it again when \
         these have ended"
    )]
    InUse {
        /// Number of operations that read.
        readers: u64,
        /// Number of operations that write.
        writers: u64,
    },
    /// Another process works on the store.
    #[error("datastore is in use by another process")]
    Locked(#[source] LockError),
    /// The caller may not change a sync job of the store.
    #[error("sync job '{id}' cannot be removed")]
    SyncJob {
        /// The job.
        id: String,
        /// Why.
        #[source]
        source: JobDenied,
    },
    /// The caller may not change a prune or verify job of the store.
    #[error("{kind} job '{id}' cannot be removed")]
    OtherJob {
        /// `prune` or `verify`.
        kind: &'static str,
        /// The job.
        id: String,
        /// Why.
        #[source]
        source: Box<Denied>,
    },
    /// Two stores on one device would lie in each other.
    #[error("paths on one device cannot be nested: '{path}' and '{other_path}' of datastore '{other}'")]
    NestedOnDevice {
        /// The new store's path on the device.
        path: String,
        /// The other store's.
        other_path: String,
        /// The other store.
        other: DatastoreName,
    },
    /// A removable store needs a privilege on the disks of the host.
    #[error(transparent)]
    Disks(Box<Denied>),
    /// The data of a store that is not there cannot be removed.
    #[error("cannot destroy the data of datastore '{name}' unless it is mounted")]
    DataNotMounted {
        /// The store.
        name: DatastoreName,
    },
    /// The device cannot be mounted or unmounted.
    #[error(transparent)]
    Removable(#[from] RemovableError),
    /// An expert setting makes no sense.
    #[error(transparent)]
    Tuning(#[from] FieldError),
    /// The store cannot be created, adopted or opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Removing its content failed.
    #[error(transparent)]
    Datastore(#[from] DatastoreError),
    /// The configuration cannot be read or changed.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The id made for a prune job is none.
    #[error("'{id}' cannot be the id of a prune job")]
    JobId {
        /// The text.
        id: String,
        /// Why.
        #[source]
        source: NameError,
    },
    /// The state of a job cannot be written.
    #[error(transparent)]
    JobState(#[from] JobStateError),
    /// The task cannot be started.
    #[error(transparent)]
    Task(#[from] TaskError),
}

/// What a new datastore is to be.
#[derive(Debug, Clone)]
pub struct NewDatastore {
    /// Its section.
    pub config: DatastoreConfig,
    /// Take over a store that lies in the path already.
    pub reuses_existing: bool,
    /// When to prune.
    pub prune_schedule: Option<String>,
    /// What pruning keeps.
    pub keep: KeepOptions,
}

/// How to remove a datastore.
#[derive(Debug, Clone, Copy)]
pub struct RemoveDatastore {
    /// Whether jobs and access control entries of the store stay.
    pub keeps_job_configs: bool,
    /// Whether all backups are removed too.
    pub destroys_data: bool,
}

/// Starts the task that creates or adopts a datastore.
///
/// # Errors
/// The name is taken, or the task cannot be started; all else is the task's result.
pub async fn create_datastore(app: &Arc<App>, caller: &Authid, new: NewDatastore) -> Result<Upid, DatastoreJobError> {
    let kind = TaskKind::new("create-datastore", Some(new.config.name.to_string()));
    let server = Arc::clone(app);
    let worker = move |task: TaskContext| in_background("creation", move || Ok(create(&server, new, &task)?));
    Ok(app.tasks.spawn(kind, caller, worker).await?)
}

/// Removes the store's jobs and access control entries unless they are to stay, and returns what the rest needs. Blocking.
///
/// # Errors
/// A wrong digest, then an unknown store, then a removable one whose device the caller may not touch or whose data is not
/// there to be removed, then a job that the caller may not change; nothing was changed in these cases.
///
/// The jobs of a store that is in use stay: its removal is going to fail, and the store would be left without them. The task
/// takes them along if it does not fail after all.
pub fn prepare_removal(
    app: &App,
    acl: &AclTree,
    caller: &Authid,
    name: &DatastoreName,
    expected: Option<Digest>,
    how: RemoveDatastore,
) -> Result<(), DatastoreJobError> {
    let edited = app.settings.datastores().edit(expected, |stores| match stores.get(name.as_str())? {
        Some(config) => Ok(config.clone()),
        None => Err(DatastoreJobError::Unknown { name: name.clone() }),
    })?;
    let config = edited.value;
    if config.backing_device.is_some() {
        may_change_disks(acl, caller).map_err(|denied| DatastoreJobError::Disks(Box::new(denied)))?;
        check_data_is_there(app, &config, how)?;
    }
    if !how.keeps_job_configs {
        let jobs = jobs_of(app, acl, caller, name)?;
        if app.stores.active_operations(name) == (0, 0) {
            remove_with_acl(app, name, &jobs)?;
        }
    }
    Ok(())
}

/// Removes the jobs of a store and its access control entries.
fn remove_with_acl(app: &App, name: &DatastoreName, jobs: &JobsOfStore) -> Result<(), DatastoreJobError> {
    remove_jobs(app, jobs)?;
    Ok(app.settings.remove_datastore_acl(name)?)
}

/// Starts the task that removes a datastore, after [`prepare_removal`].
///
/// # Errors
/// The task cannot be started; all else is its result.
pub async fn remove_datastore(
    app: &Arc<App>,
    caller: &Authid,
    name: &DatastoreName,
    how: RemoveDatastore,
) -> Result<Upid, DatastoreJobError> {
    let kind = TaskKind::new("delete-datastore", Some(name.to_string()));
    let (server, name, remover) = (Arc::clone(app), name.clone(), caller.clone());
    let worker =
        move |task: TaskContext| in_background("removal", move || Ok(remove(&server, &remover, &name, how, &task)?));
    Ok(app.tasks.spawn(kind, caller, worker).await?)
}

fn create(app: &App, new: NewDatastore, task: &TaskContext) -> Result<(), DatastoreJobError> {
    let config = new.config;
    let tuning = config.tuning_options()?;
    let check = if tuning.gc_atime_safety_check { AccessTimeCheck::Run } else { AccessTimeCheck::Skip };
    let path = app.stores.content_path(&config);
    let name = config.name.clone();
    if new.reuses_existing {
        // Not under the file's lock: the file system of another store may be slow to answer.
        check_not_shared(app, &config, &app.settings.datastores().load()?.entries)?;
    }
    app.settings.datastores().edit(None, |stores| {
        if stores.contains(name.as_str()) {
            return Err(DatastoreJobError::Exists { name: name.clone() });
        }
        check_not_nested(app, &config, stores)?;
        // Nothing is written before this closure ends well; an entry that breaks a rule should not leave a chunk store.
        stores.insert(config.clone())?;
        let options = OpenOptions { sync_level: tuning.sync_level, ..app.stores.open_options(&name, path.clone()) };
        on_its_device(app, &config, task, || {
            if new.reuses_existing {
                drop(Datastore::adopt(options, check)?);
            } else {
                task.log("creating the chunk store");
                drop(Datastore::create(options, check)?);
            }
            Ok(())
        })?;
        if check == AccessTimeCheck::Run {
            task.log("access times are kept as garbage collection needs them");
        }
        Ok(())
    })?;
    app.job_states.create(&gc_key(&name)?, app.clock.now())?;
    if let Some(schedule) = new.prune_schedule {
        add_prune_job(app, &name, schedule, new.keep, task)?;
    }
    Ok(())
}

/// Does `work` with the device of a removable store mounted, which stays so unless the work fails. For other stores it
/// just does it.
fn on_its_device(
    app: &App,
    config: &DatastoreConfig,
    task: &TaskContext,
    work: impl FnOnce() -> Result<(), DatastoreJobError>,
) -> Result<(), DatastoreJobError> {
    if config.backing_device.is_none() {
        return work();
    }
    let mounted = mount_store(app, config, task)?;
    let result = work();
    if result.is_err()
        && mounted == Mounted::Now
        && let Err(error) = unmount_store(app, config, Then::Nothing)
    {
        task.warn(&format!("the device stays mounted: {}", TaskFailure::from_error(&error)));
    }
    result
}

/// Checks that no configured store lies in the new one, or the other way round, by the components of the paths as
/// written: those in the file system, and those of stores on one device.
fn check_not_nested(
    app: &App,
    config: &DatastoreConfig,
    stores: &Entries<Datastores>,
) -> Result<(), DatastoreJobError> {
    let path = app.stores.content_path(config);
    for other in stores.usable() {
        let other_path = app.stores.content_path(other);
        if is_nested(&path, &other_path) {
            return Err(DatastoreJobError::Nested {
                path: path.display().to_string(),
                other_path: other_path.display().to_string(),
                other: other.name.clone(),
            });
        }
        let is_on_same_device = config.backing_device.is_some() && config.backing_device == other.backing_device;
        if is_on_same_device && is_nested(Path::new(&config.path), Path::new(&other.path)) {
            return Err(DatastoreJobError::NestedOnDevice {
                path: config.path.clone(),
                other_path: other.path.clone(),
                other: other.name.clone(),
            });
        }
    }
    Ok(())
}

/// Checks that the store that is taken over is not that of another name, by another path: a link, or a mount. Locks lie in
/// a directory of the store's name, so two names for one store would protect nothing from each other.
fn check_not_shared(
    app: &App,
    config: &DatastoreConfig,
    stores: &Entries<Datastores>,
) -> Result<(), DatastoreJobError> {
    let chunks_of = |config: &DatastoreConfig| {
        let found = std::fs::metadata(app.stores.content_path(config).join(".chunks")).ok()?;
        Some((found.dev(), found.ino()))
    };
    let Some(chunks) = chunks_of(config) else { return Ok(()) };
    match stores.usable().find(|other| other.name != config.name && chunks_of(other) == Some(chunks)) {
        None => Ok(()),
        Some(other) => Err(DatastoreJobError::Shared {
            path: app.stores.content_path(config).display().to_string(),
            other_path: app.stores.content_path(other).display().to_string(),
            other: other.name.clone(),
        }),
    }
}

/// Returns whether one path lies in the other one, or both are the same, by their components as written.
pub(crate) fn is_nested(path: &Path, other: &Path) -> bool {
    fn parts(path: &Path) -> impl Iterator<Item = Component<'_>> {
        path.components().filter(|part| !matches!(part, Component::CurDir))
    }
    parts(path).zip(parts(other)).all(|(ours, theirs)| ours == theirs)
}

/// Checks that the data that is to be removed can be reached.
fn check_data_is_there(app: &App, config: &DatastoreConfig, how: RemoveDatastore) -> Result<(), DatastoreJobError> {
    if how.destroys_data && app.stores.mount_status(config) == MountStatus::NotMounted {
        return Err(DatastoreJobError::DataNotMounted { name: config.name.clone() });
    }
    Ok(())
}

fn add_prune_job(
    app: &App,
    store: &DatastoreName,
    schedule: String,
    keep: KeepOptions,
    task: &TaskContext,
) -> Result<(), DatastoreJobError> {
    let id = default_prune_job_id(app, store)?;
    let job = PruneJob { keep, ..PruneJob::new(id.clone(), store.clone(), schedule) };
    let edited = app.settings.prune_jobs().edit::<_, SettingsError>(None, |jobs: &mut Entries<PruneJobs>| {
        let has_one = !sections_of_store(jobs, store).is_empty();
        if keep.keeps_everything() && has_one {
            return Ok(false);
        }
        jobs.insert(job)?;
        Ok(true)
    })?;
    if edited.value {
        app.job_states.create(&PruneJob::state_key(&id)?, app.clock.now())?;
        task.log(&format!("created prune job '{id}'"));
    }
    Ok(())
}

/// Returns `default-<store>-<uuid>`, cut to the length of a job id.
///
/// Source: `docs/spec/config-and-access.md` 3.4.
fn default_prune_job_id(app: &App, store: &DatastoreName) -> Result<JobId, DatastoreJobError> {
    let mut random = [0; 16];
    app.randomness.fill(&mut random);
    let uuid = uuid::Builder::from_random_bytes(random).into_uuid();
    let id: String = format!("default-{store}-{uuid}").chars().take(MAX_JOB_ID).collect();
    id.parse().map_err(|source| DatastoreJobError::JobId { id, source })
}

/// Returns the sections of a job file that name a store, also those whose other values make no job.
fn sections_of_store<'e, F: ConfigFile>(jobs: &'e Entries<F>, store: &DatastoreName) -> Vec<&'e Section> {
    let of_store = |section: &&Section| section.get("store") == Some(store.as_str());
    jobs.ids().filter_map(|id| jobs.section(id)).filter(of_store).collect()
}

/// Ids of the jobs that write to a store.
struct JobsOfStore {
    sync: Vec<String>,
    prune: Vec<String>,
    verify: Vec<String>,
}

/// Returns the jobs of a store after checking that the caller may change each.
fn jobs_of(app: &App, acl: &AclTree, caller: &Authid, name: &DatastoreName) -> Result<JobsOfStore, DatastoreJobError> {
    let mut sync = Vec::new();
    for job in app.settings.sync_jobs().load()?.entries.usable().filter(|job| job.store == *name) {
        may_change_stored(acl, caller, job)
            .map_err(|source| DatastoreJobError::SyncJob { id: job.id.to_string(), source })?;
        sync.push(job.id.to_string());
    }
    let check =
        |kind: &'static str, section: &Section, needed: Privileges| {
            let ns: Namespace = section.get("ns").and_then(|ns| ns.parse().ok()).unwrap_or_default();
            acl.require_all(caller, &AclPath::datastore(name, &ns), needed).map_err(|denied| {
                DatastoreJobError::OtherJob { kind, id: section.id().to_owned(), source: Box::new(denied) }
            })
        };
    let mut prune = Vec::new();
    for section in sections_of_store(&app.settings.prune_jobs().load()?.entries, name) {
        check("prune", section, Privileges::DATASTORE_MODIFY)?;
        prune.push(section.id().to_owned());
    }
    let mut verify = Vec::new();
    for section in sections_of_store(&app.settings.verify_jobs().load()?.entries, name) {
        check("verify", section, Privileges::DATASTORE_VERIFY)?;
        verify.push(section.id().to_owned());
    }
    Ok(JobsOfStore { sync, prune, verify })
}

fn remove_jobs(app: &App, jobs: &JobsOfStore) -> Result<(), DatastoreJobError> {
    remove_all(&app.settings.sync_jobs(), &jobs.sync)?;
    remove_all(&app.settings.prune_jobs(), &jobs.prune)?;
    remove_all(&app.settings.verify_jobs(), &jobs.verify)?;
    let kinds = [("syncjob", &jobs.sync), (PruneJob::JOB_TYPE, &jobs.prune), (VerifyJob::JOB_TYPE, &jobs.verify)];
    for (kind, ids) in kinds {
        for id in ids {
            app.forget_job(&JobKey::new(kind, id)?)?;
        }
    }
    Ok(())
}

/// Removes jobs from their file; without any, the file is not touched.
fn remove_all<F: ConfigFile>(jobs: &ConfigStore<Entries<F>>, ids: &[String]) -> Result<(), SettingsError> {
    if ids.is_empty() {
        return Ok(());
    }
    jobs.edit(None, |jobs| {
        for id in ids {
            jobs.remove(id);
        }
        Ok::<_, SettingsError>(())
    })?;
    Ok(())
}

fn remove(
    app: &App,
    caller: &Authid,
    name: &DatastoreName,
    how: RemoveDatastore,
    task: &TaskContext,
) -> Result<(), DatastoreJobError> {
    let config = close_for_removal(app, name)?;
    // Whoever uses the store got it before the mode was set; nobody gets it any more.
    let (readers, writers) = app.stores.active_operations(name);
    if 0 < readers + writers {
        return Err(DatastoreJobError::InUse { readers, writers });
    }
    app.stores.close(name);
    check_data_is_there(app, &config, how)?;
    if !how.keeps_job_configs {
        // None are left unless the store was in use when the removal was asked for.
        let acl = app.acl()?;
        remove_with_acl(app, name, &jobs_of(app, &acl, caller, name)?)?;
    }
    let store = if how.destroys_data {
        task.log("removing all backups and chunks");
        let options = app.stores.open_options(name, app.stores.content_path(&config));
        let store = Datastore::open_to_destroy(options)?;
        let lock = store.lock_process_exclusive().map_err(DatastoreJobError::Locked)?;
        store.destroy_content()?;
        drop(lock);
        Some(store)
    } else {
        None
    };
    task.log("removing the datastore from the configuration");
    app.settings.datastores().edit::<_, SettingsError>(None, |stores| {
        stores.remove(name.as_str());
        Ok(())
    })?;
    app.forget_job(&gc_key(name)?)?;
    let is_destroyed = store.is_some();
    if let Some(store) = store {
        if config.backing_device.is_some() {
            // Its directory is a mount point, which cannot be removed.
            store.destroy_lock_file()?;
        } else {
            store.destroy_shell()?;
        }
        task.log("all data is removed");
    }
    if config.backing_device.is_some() {
        let_go_of_device(app, &config, is_destroyed, task);
    }
    Ok(())
}

/// Unmounts the device of a store that is not configured any more. What goes wrong is a warning.
fn let_go_of_device(app: &App, config: &DatastoreConfig, is_destroyed: bool, task: &TaskContext) {
    if app.stores.mount_status(config) == MountStatus::Mounted {
        match unmount_store(app, config, Then::Nothing) {
            Ok(()) => task.log("the device is unmounted"),
            Err(error) => {
                task.warn(&format!("the device stays mounted: {}", TaskFailure::from_error(&error)));
                return;
            }
        }
    }
    if is_destroyed {
        let mount_point = app.stores.content_path(config);
        if let Err(error) = std::fs::remove_dir(&mount_point) {
            task.warn(&format!("failed to remove the mount point {}: {error}", mount_point.display()));
        }
    }
}

/// Sets maintenance mode `delete`, so that nobody opens the store any more; returns what the store is.
fn close_for_removal(app: &App, name: &DatastoreName) -> Result<DatastoreConfig, DatastoreJobError> {
    let edited = app.settings.datastores().edit(None, |stores| {
        let mut config = match stores.get(name.as_str())? {
            Some(config) => config.clone(),
            None => return Err(DatastoreJobError::Unknown { name: name.clone() }),
        };
        let is_set = config.maintenance().is_some_and(|mode| mode.maintenance_type == MaintenanceType::Delete);
        if !is_set {
            config.maintenance_mode = Some("delete".to_owned());
            stores.update(config.clone())?;
        }
        Ok::<_, DatastoreJobError>(config)
    })?;
    Ok(edited.value)
}

#[cfg(test)]
mod tests {
    use farhold_format::task_log::TaskStatus;

    use super::*;
    use crate::testing::TestServer;

    #[tokio::test]
    async fn a_store_is_not_taken_over_under_a_second_name_by_another_path() {
        let server = TestServer::new();
        let folder = server.folder();
        std::fs::create_dir_all(folder.join("tank/.chunks")).unwrap();
        std::fs::create_dir_all(folder.join("other/.chunks")).unwrap();
        let add = |stores: &mut Entries<Datastores>| {
            stores.insert(DatastoreConfig::new("tank".parse().unwrap(), folder.join("tank").display().to_string()))
        };
        server.app.settings.datastores().edit::<_, SettingsError>(None, add).unwrap();
        std::os::unix::fs::symlink(folder.join("tank"), folder.join("link")).unwrap();
        let adopt = async |path: &str| {
            let config = DatastoreConfig::new("again".parse().unwrap(), folder.join(path).display().to_string());
            let keep = KeepOptions::default();
            let new = NewDatastore { config, reuses_existing: true, prune_schedule: None, keep };
            let upid = create_datastore(&server.app, &Authid::root(), new).await.unwrap();
            match server.app.tasks.wait(&upid).await.unwrap() {
                TaskStatus::Error(text) => text,
                status => panic!("{status:?}"),
            }
        };
        let text = adopt("link").await;
        assert!(text.contains("is the place of datastore 'tank'"), "{text}");
        // What is no other store fails for what it is.
        let text = adopt("other").await;
        assert!(!text.contains("tank"), "{text}");
    }
}
