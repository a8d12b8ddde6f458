//! Files that are read, checked and kept, but have no record of their own yet.

use farhold_format::config_schema::FileSchema;
use farhold_format::section_config::Section;

use crate::entries::ConfigFile;
use crate::error::FieldError;
use crate::schemas;

macro_rules! raw_file {
    ($(#[$doc:meta])* $name:ident, $section_type:literal, $file:literal, $lock:literal, $schema:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl ConfigFile for $name {
            type Entry = Section;
            const FILE: &'static str = $file;
            const LOCK: &'static str = $lock;
            const SCHEMA: FileSchema = $schema;

            fn read(section: &Section) -> Result<Section, FieldError> {
                Ok(section.clone())
            }

            fn header(entry: &Section) -> (&'static str, String) {
                ($section_type, entry.id().to_owned())
            }

            fn write(entry: &Section, section: &mut Section) {
                *section = entry.clone();
            }
        }
    };
}

raw_file!(
    /// The file `prune.cfg`.
    PruneJobs, "prune", "prune.cfg", ".prune.lck", schemas::PRUNE
);
raw_file!(
    /// The file `verification.cfg`.
    VerifyJobs, "verification", "verification.cfg", ".verification.lck", schemas::VERIFICATION
);
raw_file!(
    /// The file `traffic-control.cfg`.
    TrafficRules, "rule", "traffic-control.cfg", ".traffic-control.lck", schemas::TRAFFIC_CONTROL
);
