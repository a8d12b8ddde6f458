//! `sync.cfg`: sync jobs. Source: `docs/spec/config-and-access.md` 3.2, `docs/spec/sync.md` 2.1.

use farhold_format::config_schema::FileSchema;
use farhold_format::section_config::Section;
use farhold_types::{SyncDirection, SyncJob};

use crate::entries::{ConfigFile, Fields, put, put_comment, put_list, put_rate_limits};
use crate::error::FieldError;
use crate::schemas;

/// The file `sync.cfg`.
#[derive(Debug)]
pub struct SyncJobs;

impl ConfigFile for SyncJobs {
    type Entry = SyncJob;
    const FILE: &'static str = "sync.cfg";
    const LOCK: &'static str = ".sync.lck";
    const SCHEMA: FileSchema = schemas::SYNC;

    fn read(section: &Section) -> Result<SyncJob, FieldError> {
        let fields = Fields::new(Self::FILE, section);
        let sync_direction = match section.get("sync-direction") {
            None => None,
            Some("pull") => Some(SyncDirection::Pull),
            Some("push") => Some(SyncDirection::Push),
            Some(_) => return Err(fields.error("sync-direction", "expected pull or push")),
        };
        Ok(SyncJob {
            id: fields.id()?,
            store: fields.required("store")?,
            ns: fields.optional("ns")?,
            owner: fields.optional("owner")?,
            remote: fields.optional("remote")?,
            remote_store: fields.required("remote-store")?,
            remote_ns: fields.optional("remote-ns")?,
            sync_direction,
            remove_vanished: fields.flag("remove-vanished"),
            max_depth: fields.optional("max-depth")?,
            comment: fields.text("comment"),
            schedule: fields.text("schedule"),
            group_filter: fields.list("group-filter")?,
            limits: fields.rate_limits()?,
            transfer_last: fields.optional("transfer-last")?,
            resync_corrupt: fields.flag("resync-corrupt"),
            encrypted_only: fields.flag("encrypted-only"),
            verified_only: fields.flag("verified-only"),
            run_on_mount: fields.flag("run-on-mount"),
            unmount_on_done: fields.flag("unmount-on-done"),
            worker_threads: fields.optional("worker-threads")?,
            active_encryption_key: fields.optional("active-encryption-key")?,
            associated_key: fields.list("associated-key")?,
        })
    }

    fn header(entry: &SyncJob) -> (&'static str, String) {
        ("sync", entry.id.to_string())
    }

    fn write(entry: &SyncJob, section: &mut Section) {
        let direction = entry.sync_direction.map(|direction| match direction {
            SyncDirection::Pull => "pull",
            SyncDirection::Push => "push",
        });
        put(section, "store", Some(&entry.store));
        put(section, "ns", entry.ns.as_ref());
        put(section, "owner", entry.owner.as_ref());
        put(section, "remote", entry.remote.as_ref());
        put(section, "remote-store", Some(&entry.remote_store));
        put(section, "remote-ns", entry.remote_ns.as_ref());
        put(section, "sync-direction", direction.as_ref());
        put(section, "remove-vanished", entry.remove_vanished.as_ref());
        put(section, "max-depth", entry.max_depth.as_ref());
        put_comment(section, entry.comment.as_deref());
        section.set("schedule", entry.schedule.clone());
        put_list(section, "group-filter", &entry.group_filter);
        put_rate_limits(section, &entry.limits);
        put(section, "transfer-last", entry.transfer_last.as_ref());
        put(section, "resync-corrupt", entry.resync_corrupt.as_ref());
        put(section, "encrypted-only", entry.encrypted_only.as_ref());
        put(section, "verified-only", entry.verified_only.as_ref());
        put(section, "run-on-mount", entry.run_on_mount.as_ref());
        put(section, "unmount-on-done", entry.unmount_on_done.as_ref());
        put(section, "worker-threads", entry.worker_threads.as_ref());
        put(section, "active-encryption-key", entry.active_encryption_key.as_ref());
        put_list(section, "associated-key", &entry.associated_key);
    }
}
