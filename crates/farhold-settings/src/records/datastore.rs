//! `datastore.cfg`: datastores. Source: `docs/spec/config-and-access.md` 3.3.
//!
//! Property strings are kept as text, so that what was written comes back; accessors give them a meaning.

use std::path::{Path, PathBuf};

use farhold_format::config_schema::FileSchema;
use farhold_format::property_string::Properties;
use farhold_format::section_config::Section;
use farhold_types::{DatastoreName, SyncLevel, Userid};

use crate::entries::{ConfigFile, Fields, put, put_comment};
use crate::error::FieldError;
use crate::schemas;

/// How notifications of a datastore are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationMode {
    /// To one user, by the local mail program.
    LegacySendmail,
    /// By the matchers and targets of the notification configuration.
    NotificationSystem,
}

impl NotificationMode {
    /// Returns the written form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LegacySendmail => "legacy-sendmail",
            Self::NotificationSystem => "notification-system",
        }
    }
}

/// Which notifications of one kind are sent in mode `legacy-sendmail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotifyWhen {
    /// None.
    Never,
    /// Those of failures.
    Error,
    /// All.
    Always,
}

/// `notify` of a datastore with its defaults. Source: `docs/spec/schedules-and-tasks.md` 10.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotifyLevels {
    /// Of garbage collections.
    pub gc: NotifyWhen,
    /// Of verify jobs.
    pub verify: NotifyWhen,
    /// Of sync jobs.
    pub sync: NotifyWhen,
    /// Of prune jobs.
    pub prune: NotifyWhen,
}

/// What a datastore does not do at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaintenanceType {
    /// No writing.
    ReadOnly,
    /// No access.
    Offline,
    /// No access; the datastore is being removed.
    Delete,
    /// No access; the device is being unmounted.
    Unmount,
    /// No access; the local copy of an S3 store is being refreshed.
    S3Refresh,
}

/// A maintenance mode with its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    /// What is not possible. A type that nobody knows counts as offline, since that harms no data.
    pub maintenance_type: MaintenanceType,
    /// Why, as stored: percent-encoded.
    pub message: Option<String>,
}

/// Order in which garbage collection and verification read chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkOrder {
    /// As indexes name them.
    None,
    /// By inode number.
    Inode,
}

/// Settings for experts; all have defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    /// Read order of chunks, default inode.
    pub chunk_order: ChunkOrder,
    /// When written data is forced to disk, default the whole file system once.
    pub sync_level: SyncLevel,
    /// Whether garbage collection first checks that access times are kept, default true.
    pub gc_atime_safety_check: bool,
    /// Age in minutes that saves a chunk from removal, default 1445.
    pub gc_atime_cutoff_minutes: u32,
    /// Number of digests that garbage collection remembers, default 1048576.
    pub gc_cache_capacity: u32,
    /// Threads that check chunks, default 4.
    pub default_verification_workers: u8,
    /// Threads that read chunks, default 1.
    pub default_verification_readers: u8,
}

impl Default for Tuning {
    /// Source: `docs/spec/config-and-access.md` 3.3.
    fn default() -> Self {
        Self {
            chunk_order: ChunkOrder::Inode,
            sync_level: SyncLevel::Filesystem,
            gc_atime_safety_check: true,
            gc_atime_cutoff_minutes: 1445,
            gc_cache_capacity: 1_048_576,
            default_verification_workers: 4,
            default_verification_readers: 1,
        }
    }
}

/// A datastore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatastoreConfig {
    /// Name.
    pub name: DatastoreName,
    /// Path: absolute, or on the device if `backing_device` is set.
    pub path: String,
    /// Free text.
    pub comment: Option<String>,
    /// Calendar event of garbage collection.
    pub gc_schedule: Option<String>,
    /// Collect garbage before unmounting; removable stores only.
    pub gc_on_unmount: Option<bool>,
    /// Verify each new backup.
    pub verify_new: Option<bool>,
    /// How notifications are sent.
    pub notification_mode: Option<NotificationMode>,
    /// When notifications are sent, as text.
    pub notify: Option<String>,
    /// Who gets them, default `root@pam`.
    pub notify_user: Option<Userid>,
    /// Expert settings, as text; see [`Self::tuning_options`].
    pub tuning: Option<String>,
    /// Maintenance, as text; see [`Self::maintenance`].
    pub maintenance_mode: Option<String>,
    /// UUID of the device of a removable store.
    pub backing_device: Option<String>,
    /// Kind of storage, as text; see [`Self::is_s3`].
    pub backend: Option<String>,
}

impl DatastoreConfig {
    /// Returns a configuration with nothing but what it needs.
    pub const fn new(name: DatastoreName, path: String) -> Self {
        Self {
            name,
            path,
            comment: None,
            gc_schedule: None,
            gc_on_unmount: None,
            verify_new: None,
            notification_mode: None,
            notify: None,
            notify_user: None,
            tuning: None,
            maintenance_mode: None,
            backing_device: None,
            backend: None,
        }
    }

    /// Returns where the content lies in the file system: `path`, or the mount point of a removable store below `mounts`.
    pub fn content_path(&self, mounts: &Path) -> PathBuf {
        match self.backing_device {
            None => PathBuf::from(&self.path),
            Some(_) => mounts.join(self.name.as_str()),
        }
    }

    /// Returns the maintenance mode.
    pub fn maintenance(&self) -> Option<Maintenance> {
        let text = self.maintenance_mode.as_ref()?;
        // The file's rule was checked on loading; should a text ever not parse, no access is the safe answer.
        let properties = schemas::MAINTENANCE.parse(text).unwrap_or_default();
        let maintenance_type = match properties.get("type") {
            Some("read-only") => MaintenanceType::ReadOnly,
            Some("delete") => MaintenanceType::Delete,
            Some("unmount") => MaintenanceType::Unmount,
            Some("s3-refresh") => MaintenanceType::S3Refresh,
            _ => MaintenanceType::Offline,
        };
        Some(Maintenance { maintenance_type, message: properties.get("message").map(str::to_owned) })
    }

    /// Returns the expert settings.
    ///
    /// # Errors
    /// A word that the settings do not have; the datastore cannot be opened then.
    pub fn tuning_options(&self) -> Result<Tuning, FieldError> {
        let error = |reason: String| FieldError {
            file: Datastores::FILE.to_owned(),
            section: self.name.to_string(),
            key: "tuning".to_owned(),
            reason,
        };
        let text = self.tuning.as_deref().unwrap_or_default();
        let properties = schemas::TUNING.parse(text).map_err(|e| error(e.to_string()))?;
        let default = Tuning::default();
        Ok(Tuning {
            chunk_order: match properties.get("chunk-order") {
                None => default.chunk_order,
                Some("none") => ChunkOrder::None,
                Some("inode") => ChunkOrder::Inode,
                Some(_) => return Err(error("chunk-order must be none or inode".to_owned())),
            },
            sync_level: match properties.get("sync-level") {
                None => default.sync_level,
                Some("none") => SyncLevel::None,
                Some("file") => SyncLevel::File,
                Some("filesystem") => SyncLevel::Filesystem,
                Some(_) => return Err(error("sync-level must be none, file or filesystem".to_owned())),
            },
            gc_atime_safety_check: properties.get("gc-atime-safety-check").is_none_or(|text| text == "true"),
            gc_atime_cutoff_minutes: number(&properties, "gc-atime-cutoff", default.gc_atime_cutoff_minutes),
            gc_cache_capacity: number(&properties, "gc-cache-capacity", default.gc_cache_capacity),
            default_verification_workers: number(
                &properties,
                "default-verification-workers",
                default.default_verification_workers,
            ),
            default_verification_readers: number(
                &properties,
                "default-verification-readers",
                default.default_verification_readers,
            ),
        })
    }

    /// Returns whether the chunks lie in an S3 bucket.
    pub fn is_s3(&self) -> bool {
        let properties = self.backend.as_ref().and_then(|text| schemas::BACKEND.parse(text).ok());
        properties.is_some_and(|properties| properties.get("type") == Some("s3"))
    }

    /// Returns which notifications are sent in mode `legacy-sendmail`. A word that nobody knows counts as none given.
    pub fn notify_levels(&self) -> NotifyLevels {
        let properties = self.notify.as_ref().and_then(|text| schemas::NOTIFY.parse(text).ok()).unwrap_or_default();
        let level = |key: &str, default: NotifyWhen| match properties.get(key) {
            Some("never") => NotifyWhen::Never,
            Some("error") => NotifyWhen::Error,
            Some("always") => NotifyWhen::Always,
            _ => default,
        };
        NotifyLevels {
            gc: level("gc", NotifyWhen::Always),
            verify: level("verify", NotifyWhen::Always),
            sync: level("sync", NotifyWhen::Always),
            prune: level("prune", NotifyWhen::Error),
        }
    }

    /// Returns the user who gets notifications.
    pub fn effective_notify_user(&self) -> Userid {
        self.notify_user.clone().unwrap_or_else(Userid::root)
    }
}

/// Returns a number that the property string's schema has already checked.
fn number<T: std::str::FromStr>(properties: &Properties, key: &str, default: T) -> T {
    properties.get(key).and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The file `datastore.cfg`.
#[derive(Debug)]
pub struct Datastores;

impl ConfigFile for Datastores {
    type Entry = DatastoreConfig;
    const FILE: &'static str = "datastore.cfg";
    const LOCK: &'static str = ".datastore.lck";
    const SCHEMA: FileSchema = schemas::DATASTORE;

    fn read(section: &Section) -> Result<DatastoreConfig, FieldError> {
        let fields = Fields::new(Self::FILE, section);
        let notification_mode = match section.get("notification-mode") {
            None => None,
            Some("legacy-sendmail") => Some(NotificationMode::LegacySendmail),
            Some("notification-system") => Some(NotificationMode::NotificationSystem),
            Some(_) => {
                let reason = "expected legacy-sendmail or notification-system";
                return Err(fields.error("notification-mode", reason));
            }
        };
        Ok(DatastoreConfig {
            name: fields.id()?,
            path: fields.required("path")?,
            comment: fields.text("comment"),
            gc_schedule: fields.text("gc-schedule"),
            gc_on_unmount: fields.flag("gc-on-unmount"),
            verify_new: fields.flag("verify-new"),
            notification_mode,
            notify: fields.text("notify"),
            notify_user: fields.optional("notify-user")?,
            tuning: fields.text("tuning"),
            maintenance_mode: fields.text("maintenance-mode"),
            backing_device: fields.text("backing-device"),
            backend: fields.text("backend"),
        })
    }

    fn header(entry: &DatastoreConfig) -> (&'static str, String) {
        ("datastore", entry.name.to_string())
    }

    fn write(entry: &DatastoreConfig, section: &mut Section) {
        section.set("path", Some(entry.path.clone()));
        put_comment(section, entry.comment.as_deref());
        section.set("gc-schedule", entry.gc_schedule.clone());
        put(section, "gc-on-unmount", entry.gc_on_unmount.as_ref());
        put(section, "verify-new", entry.verify_new.as_ref());
        section.set("notification-mode", entry.notification_mode.map(|mode| mode.as_str().to_owned()));
        section.set("notify", entry.notify.clone());
        put(section, "notify-user", entry.notify_user.as_ref());
        section.set("tuning", entry.tuning.clone());
        section.set("maintenance-mode", entry.maintenance_mode.clone());
        section.set("backing-device", entry.backing_device.clone());
        section.set("backend", entry.backend.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_levels_have_the_references_defaults() {
        let mut config = DatastoreConfig::new("tank".parse().unwrap(), "/srv/tank".to_owned());
        let all = |gc, verify, sync, prune| NotifyLevels { gc, verify, sync, prune };
        use NotifyWhen::{Always, Error, Never};
        assert_eq!(config.notify_levels(), all(Always, Always, Always, Error));
        config.notify = Some("gc=never,prune=always,sync=error".to_owned());
        assert_eq!(config.notify_levels(), all(Never, Always, Error, Always));
        config.notify = Some("gc=sometimes,sync=never".to_owned());
        assert_eq!(config.notify_levels(), all(Always, Always, Never, Error), "one unknown word hides no other");
    }
}
