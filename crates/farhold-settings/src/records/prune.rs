//! `prune.cfg`: prune jobs. Source: `docs/spec/config-and-access.md` 3.4.

use farhold_format::config_schema::FileSchema;
use farhold_format::section_config::Section;
use farhold_types::{KeepOptions, PruneJob};

use crate::entries::{ConfigFile, Fields, put, put_comment};
use crate::error::FieldError;
use crate::schemas;

/// The file `prune.cfg`.
#[derive(Debug)]
pub struct PruneJobs;

impl ConfigFile for PruneJobs {
    type Entry = PruneJob;
    const FILE: &'static str = "prune.cfg";
    const LOCK: &'static str = ".prune.lck";
    const SCHEMA: FileSchema = schemas::PRUNE;

    fn read(section: &Section) -> Result<PruneJob, FieldError> {
        let fields = Fields::new(Self::FILE, section);
        let mut keep = KeepOptions::default();
        for (name, _) in KeepOptions::default().named() {
            keep.set(name, fields.optional(name)?);
        }
        Ok(PruneJob {
            id: fields.id()?,
            store: fields.required("store")?,
            ns: fields.optional("ns")?,
            max_depth: fields.optional("max-depth")?,
            schedule: fields.required("schedule")?,
            disable: fields.flag("disable"),
            comment: fields.text("comment"),
            keep,
        })
    }

    fn header(entry: &PruneJob) -> (&'static str, String) {
        ("prune", entry.id.to_string())
    }

    fn write(entry: &PruneJob, section: &mut Section) {
        put(section, "store", Some(&entry.store));
        put(section, "ns", entry.ns.as_ref());
        put(section, "max-depth", entry.max_depth.as_ref());
        section.set("schedule", Some(entry.schedule.clone()));
        // The one key of this file that is left out at its default.
        put(section, "disable", entry.disable.filter(|disable| *disable).as_ref());
        put_comment(section, entry.comment.as_deref());
        for (name, count) in entry.keep.named() {
            put(section, name, count.as_ref());
        }
    }
}
