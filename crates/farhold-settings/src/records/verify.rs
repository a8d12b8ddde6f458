//! `verification.cfg`: verify jobs. Source: `docs/spec/config-and-access.md` 3.5.

use farhold_format::config_schema::FileSchema;
use farhold_format::section_config::Section;
use farhold_types::VerifyJob;

use crate::entries::{ConfigFile, Fields, put, put_comment};
use crate::error::FieldError;
use crate::schemas;

/// The file `verification.cfg`.
#[derive(Debug)]
pub struct VerifyJobs;

impl ConfigFile for VerifyJobs {
    type Entry = VerifyJob;
    const FILE: &'static str = "verification.cfg";
    const LOCK: &'static str = ".verification.lck";
    const SCHEMA: FileSchema = schemas::VERIFICATION;

    fn read(section: &Section) -> Result<VerifyJob, FieldError> {
        let fields = Fields::new(Self::FILE, section);
        Ok(VerifyJob {
            id: fields.id()?,
            store: fields.required("store")?,
            ns: fields.optional("ns")?,
            max_depth: fields.optional("max-depth")?,
            schedule: fields.text("schedule"),
            ignore_verified: fields.flag("ignore-verified"),
            outdated_after: fields.optional("outdated-after")?,
            comment: fields.text("comment"),
            read_threads: fields.optional("read-threads")?,
            verify_threads: fields.optional("verify-threads")?,
        })
    }

    fn header(entry: &VerifyJob) -> (&'static str, String) {
        ("verification", entry.id.to_string())
    }

    fn write(entry: &VerifyJob, section: &mut Section) {
        put(section, "store", Some(&entry.store));
        put(section, "ns", entry.ns.as_ref());
        put(section, "max-depth", entry.max_depth.as_ref());
        section.set("schedule", entry.schedule.clone());
        put(section, "ignore-verified", entry.ignore_verified.as_ref());
        put(section, "outdated-after", entry.outdated_after.as_ref());
        put_comment(section, entry.comment.as_deref());
        put(section, "read-threads", entry.read_threads.as_ref());
        put(section, "verify-threads", entry.verify_threads.as_ref());
    }
}
