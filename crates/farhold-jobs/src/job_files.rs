//! The configuration files that name jobs, for who asks about many jobs at once.

use std::cell::OnceCell;

use farhold_settings::{
    ConfigStore, Datastores, Document, Entries, PruneJobs, Settings, SettingsError, SyncJobs, VerifyJobs,
};

/// What the files hold. Each is read when it is asked for first and not again, however many of its jobs are looked at; one
/// that cannot be read is tried again the next time.
pub(crate) struct JobFiles<'s> {
    settings: &'s Settings,
    sync_jobs: OnceCell<Entries<SyncJobs>>,
    prune_jobs: OnceCell<Entries<PruneJobs>>,
    verify_jobs: OnceCell<Entries<VerifyJobs>>,
    datastores: OnceCell<Entries<Datastores>>,
}

impl<'s> JobFiles<'s> {
    /// Returns one that has read nothing yet.
    pub(crate) fn of(settings: &'s Settings) -> Self {
        let (sync_jobs, prune_jobs, verify_jobs, datastores) = Default::default();
        Self { settings, sync_jobs, prune_jobs, verify_jobs, datastores }
    }

    /// Returns the sync jobs. Blocking, as the others.
    pub(crate) fn sync_jobs(&self) -> Result<&Entries<SyncJobs>, SettingsError> {
        once(&self.sync_jobs, &self.settings.sync_jobs())
    }

    /// Returns the prune jobs.
    pub(crate) fn prune_jobs(&self) -> Result<&Entries<PruneJobs>, SettingsError> {
        once(&self.prune_jobs, &self.settings.prune_jobs())
    }

    /// Returns the verify jobs.
    pub(crate) fn verify_jobs(&self) -> Result<&Entries<VerifyJobs>, SettingsError> {
        once(&self.verify_jobs, &self.settings.verify_jobs())
    }

    /// Returns the datastores, whose garbage collections are jobs too.
    pub(crate) fn datastores(&self) -> Result<&Entries<Datastores>, SettingsError> {
        once(&self.datastores, &self.settings.datastores())
    }
}

fn once<'c, D: Document>(cell: &'c OnceCell<D>, file: &ConfigStore<D>) -> Result<&'c D, SettingsError> {
    if let Some(content) = cell.get() {
        return Ok(content);
    }
    let content = file.load()?.entries;
    Ok(cell.get_or_init(|| content))
}
