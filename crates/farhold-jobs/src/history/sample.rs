//! One look at the host and all datastores.

use std::path::Path;

use farhold_settings::{DatastoreConfig, MaintenanceType};
use farhold_storage::FileSystemSpace;
use farhold_types::{DatastoreName, Epoch};

use super::Subject;
use crate::App;
use crate::host::kernel::{CpuTimes, DiskCounters, Memory, parse_cpu_times, parse_load, parse_memory};
use crate::host::{HostFiles, disk_of, network};
use crate::stores::MountStatus;

/// What was read of the host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HostReading {
    /// Times of the processors.
    pub cpu: Option<CpuTimes>,
    /// Load of the last minute, five and fifteen minutes.
    pub load: Option<[f64; 3]>,
    /// Memory.
    pub memory: Option<Memory>,
    /// Bytes that came in and went out.
    pub network: Option<(u64, u64)>,
    /// Room of the root file system.
    pub space: Option<FileSystemSpace>,
    /// Counters of its disk.
    pub disk: Option<DiskCounters>,
}

/// What was read of a datastore.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreReading {
    /// The store.
    pub name: DatastoreName,
    /// Room of its file system.
    pub space: Option<FileSystemSpace>,
    /// Counters of its disk.
    pub disk: Option<DiskCounters>,
}

/// One look at everything.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// When.
    pub time: Epoch,
    /// The host.
    pub host: HostReading,
    /// The datastores that could be looked at.
    pub stores: Vec<StoreReading>,
}

impl Sample {
    /// Returns the reading of a store.
    pub fn store(&self, name: &DatastoreName) -> Option<&StoreReading> {
        self.stores.iter().find(|store| store.name == *name)
    }

    /// Returns what was looked at.
    pub fn subjects(&self) -> Vec<Subject> {
        let stores = self.stores.iter().map(|store| Subject::Store(store.name.clone()));
        std::iter::once(Subject::Host).chain(stores).collect()
    }
}

/// Looks at the host and all datastores that are there. Blocking; a store whose device does not answer blocks it:
/// [`Watch`] does not wait for such ones.
pub fn take_sample(app: &App) -> Sample {
    let stores = configured(app).iter().filter_map(|store| store_reading(app, store)).collect();
    Sample { time: app.clock.now(), host: host_reading(&*app.host), stores }
}

/// Returns the configured datastores; none if the configuration cannot be read, which whoever calls anything else is told.
pub(super) fn configured(app: &App) -> Vec<DatastoreConfig> {
    app.settings.datastores().load().map(|loaded| loaded.entries.usable().cloned().collect()).unwrap_or_default()
}

/// Returns whether a store's content can be looked at. A removable one that is not mounted would show the room of
/// whatever lies below its mount point.
fn is_there(app: &App, store: &DatastoreConfig) -> bool {
    let is_closed = store.maintenance().is_some_and(|mode| mode.maintenance_type != MaintenanceType::ReadOnly);
    let is_mounted = app.stores.mount_status(store) != MountStatus::NotMounted;
    !store.is_s3() && !is_closed && is_mounted && app.stores.content_path(store).join(".chunks").is_dir()
}

/// Returns what is read of a store; `None` if it is not there.
pub(super) fn store_reading(app: &App, store: &DatastoreConfig) -> Option<StoreReading> {
    if !is_there(app, store) {
        return None;
    }
    let (host, path) = (&*app.host, app.stores.content_path(store));
    Some(StoreReading { name: store.name.clone(), space: host.space(&path).ok(), disk: disk_of(host, &path) })
}

pub(super) fn host_reading(host: &dyn HostFiles) -> HostReading {
    let text = |path: &str| host.text(path).ok();
    HostReading {
        cpu: text("/proc/stat").and_then(|text| parse_cpu_times(&text)),
        load: text("/proc/loadavg").and_then(|text| parse_load(&text)),
        memory: text("/proc/meminfo").and_then(|text| parse_memory(&text)),
        network: network(host),
        space: host.space(Path::new("/")).ok(),
        disk: disk_of(host, Path::new("/")),
    }
}
