//! Configuration files. The first byte of an input chooses the schema.

use std::collections::BTreeSet;

use farhold_format::config_schema::FileSchema;
use farhold_format::property_string::{Properties, PropertySchema};
use farhold_format::{acl_file, key_value, section_config};
use farhold_settings::schemas;

/// The files of sections, in the order in which the first byte chooses them.
pub(crate) const FILES: &[(&str, FileSchema)] = &[
    ("remote.cfg", schemas::REMOTE),
    ("sync.cfg", schemas::SYNC),
    ("datastore.cfg", schemas::DATASTORE),
    ("prune.cfg", schemas::PRUNE),
    ("verification.cfg", schemas::VERIFICATION),
    ("traffic-control.cfg", schemas::TRAFFIC_CONTROL),
    ("encryption-keys.cfg", schemas::ENCRYPTION_KEYS),
    ("user.cfg", schemas::USER),
    ("domains.cfg", schemas::DOMAINS),
];

/// The property strings, likewise.
pub(crate) const PROPERTIES: &[PropertySchema] =
    &[schemas::TUNING, schemas::MAINTENANCE, schemas::NOTIFY, schemas::BACKEND];

/// Sections: writing them gives a text that reads as the same sections.
pub(crate) fn section_config(input: &[u8]) -> bool {
    let Some((choice, text)) = input.split_first() else {
        return false;
    };
    let (file, schema) = &FILES[usize::from(*choice) % FILES.len()];
    let Ok(sections) = section_config::parse(schema, file, text) else {
        return false;
    };
    // What may be read but not written again is refused when it is written, not lost.
    if let Ok(written) = section_config::write(schema, file, &sections) {
        let again = section_config::parse(schema, file, written.as_bytes());
        assert_eq!(again.ok(), Some(sections), "{file} written as {written:?}");
    }
    true
}

/// The node's key-value file.
pub(crate) fn node_config(input: &[u8]) -> bool {
    let Ok(values) = key_value::parse(schemas::NODE, "node.cfg", input) else {
        return false;
    };
    if let Ok(written) = key_value::write(schemas::NODE, "node.cfg", &values) {
        let again = key_value::parse(schemas::NODE, "node.cfg", written.as_bytes());
        assert!(again.is_ok_and(|again| again.iter().eq(values.iter())), "written as {written:?}");
    }
    true
}

/// Access rules: lines that make no sense are left out, the others stay through writing and reading.
pub(crate) fn acl(input: &[u8]) -> bool {
    let Ok(acl) = acl_file::parse("acl.cfg", input) else {
        return false;
    };
    let written = acl_file::write(&acl);
    let again = acl_file::parse("acl.cfg", written.as_bytes());
    assert!(again.is_ok_and(|again| again.entries().eq(acl.entries())), "written as {written:?}");
    true
}

/// A property string.
pub(crate) fn property_string(input: &[u8]) -> bool {
    let Some((choice, text)) = input.split_first() else {
        return false;
    };
    let schema = &PROPERTIES[usize::from(*choice) % PROPERTIES.len()];
    let Some(properties) = std::str::from_utf8(text).ok().and_then(|text| schema.parse(text).ok()) else {
        return false;
    };
    // Values with a comma are written as they are, as in the reference; whoever sets them encodes them first, and the file
    // is checked again before it is written.
    if properties.iter().all(|(_, value)| !value.contains(',')) {
        let written = schema.write(&properties);
        let again = schema.parse(&written);
        assert!(again.is_ok_and(|again| sorted(&again) == sorted(&properties)), "written as {written:?}");
    }
    true
}

/// Keys and values without their order: writing takes that of the schema.
fn sorted(properties: &Properties) -> BTreeSet<(&str, &str)> {
    properties.iter().collect()
}
