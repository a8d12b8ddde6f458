//! Section-config text: the format of most configuration files.
//!
//! A file is a list of sections. A section is a header line `type: id` and indented lines `key value`; a blank line ends
//! it. What a file may contain is described by a [`FileSchema`]; parsing checks everything that can be checked without
//! knowing what the values mean together ("stage 1"). There are no comments, and unknown keys are errors, so nothing
//! that was read can be lost on writing.
//!
//! Strings stay as they were written. Booleans and integers are normalised on reading, as every rewrite does.
//!
//! Source: `docs/spec/config-and-access.md` 2.1 to 2.6.

use std::collections::BTreeMap;

use crate::config_error::{ConfigTextError, ConfigTextErrorKind};
use crate::config_schema::{FileSchema, Repeat, SectionSchema};

/// Largest configuration file that is read, in bytes. Real files stay far below; the bound keeps a damaged or hostile
/// file from taking all memory. Our own choice, the specification names none.
pub const MAX_CONFIG_BYTES: usize = 16 << 20;

/// One section as it stands in a file: its type, its id and its values by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    section_type: String,
    id: String,
    values: BTreeMap<String, Vec<String>>,
}

impl Section {
    /// Returns a section without values.
    pub fn new(section_type: impl Into<String>, id: impl Into<String>) -> Self {
        Self { section_type: section_type.into(), id: id.into(), values: BTreeMap::new() }
    }

    /// Returns the section's type, the word before the colon.
    pub fn section_type(&self) -> &str {
        &self.section_type
    }

    /// Returns the section's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the value of a key that occurs once, or the first one of a list.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).and_then(|values| values.first()).map(String::as_str)
    }

    /// Returns all values of a list key, in file order; empty if the key is not there.
    pub fn list(&self, key: &str) -> &[String] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    /// Sets the value of a key, or removes the key.
    pub fn set(&mut self, key: &str, value: Option<String>) {
        self.set_list(key, value.into_iter().collect());
    }

    /// Sets the values of a list key; an empty list removes the key.
    pub fn set_list(&mut self, key: &str, values: Vec<String>) {
        if values.is_empty() {
            self.values.remove(key);
        } else {
            self.values.insert(key.to_owned(), values);
        }
    }

    /// Returns all keys with their values, in byte order of the key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.values.iter().map(|(key, values)| (key.as_str(), values.as_slice()))
    }
}

/// Returns the sections of a file in their order.
///
/// `file`: name that error messages show. `bytes`: the whole content. If two sections have the same id, the later one
/// replaces the earlier one completely and stands at its place.
///
/// # Errors
/// Everything of `docs/spec/config-and-access.md` 8 with the classes H, P, T, I, K, D, M, V, S and U; the first error
/// makes the whole file unusable.
pub fn parse(schema: &FileSchema, file: &str, bytes: &[u8]) -> Result<Vec<Section>, ConfigTextError> {
    let text = config_text(file, bytes)?;
    let mut sections: Vec<Section> = Vec::new();
    let mut index_of: BTreeMap<String, usize> = BTreeMap::new();
    let mut open: Option<(Section, &SectionSchema)> = None;
    let mut last_line = 1;

    let mut close = |open: &mut Option<(Section, &SectionSchema)>, line: usize| -> Result<(), ConfigTextError> {
        if let Some((section, section_schema)) = open.take() {
            check_required(section_schema, &section).map_err(|kind| located(file, line, &section, kind))?;
            match index_of.get(section.id()) {
                Some(index) => sections[*index] = section,
                None => {
                    index_of.insert(section.id.clone(), sections.len());
                    sections.push(section);
                }
            }
        }
        Ok(())
    };

    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        last_line = number;
        if line.trim().is_empty() {
            close(&mut open, number)?;
        } else if let Some((section, section_schema)) = &mut open {
            read_property(section_schema, section, line).map_err(|kind| located(file, number, section, kind))?;
        } else {
            open = Some(read_header(schema, line).map_err(|kind| ConfigTextError::new(file, number, None, kind))?);
        }
    }
    close(&mut open, last_line)?;
    Ok(sections)
}

/// What can be used of a file in which something is wrong.
#[derive(Debug)]
pub struct Salvage {
    /// The sections that nothing is wrong with, as [`parse`] returns them.
    pub sections: Vec<Section>,
    /// What is wrong with the others, one fault each, in file order.
    pub faults: Vec<ConfigTextError>,
}

/// Returns what can be used of a file, for readers that must go on when one section is wrong. Nothing that comes from here
/// may be written back.
///
/// Sections end at blank lines, so that a fault concerns what stands between two of them and nothing else: all of that is
/// left out. An earlier section that the faulty one would have replaced is left out too.
///
/// # Errors
/// The file is too large, or no text.
pub fn salvage(schema: &FileSchema, file: &str, bytes: &[u8]) -> Result<Salvage, ConfigTextError> {
    let text = config_text(file, bytes)?;
    let mut found: Vec<Option<Section>> = Vec::new();
    let mut index_of: BTreeMap<String, usize> = BTreeMap::new();
    let mut faults = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((first, line)) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let mut block = vec![line];
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.trim().is_empty()) {
            block.push(line);
        }
        match parse(schema, file, block.join("\n").as_bytes()) {
            Ok(parsed) => {
                for section in parsed {
                    let index = *index_of.entry(section.id.clone()).or_insert(found.len());
                    match found.get_mut(index) {
                        Some(slot) => *slot = Some(section),
                        None => found.push(Some(section)),
                    }
                }
            }
            Err(mut fault) => {
                fault.line += first;
                faults.push(fault);
                for id in block.iter().filter_map(|line| line.split_once(':')).map(|(_, id)| id.trim()) {
                    if let Some(slot) = index_of.get(id).and_then(|index| found.get_mut(*index)) {
                        *slot = None;
                    }
                }
            }
        }
    }
    let sections = found.into_iter().flatten().collect();
    Ok(Salvage { sections, faults })
}

/// Returns the text of a file with these sections, in the canonical form.
///
/// Keys come in byte order, list elements in list order, one blank line stands between sections.
///
/// # Errors
/// A section that parsing would refuse, or a control character (also those above U+007F) in an id or a value.
pub fn write(schema: &FileSchema, file: &str, sections: &[Section]) -> Result<String, ConfigTextError> {
    let mut text = String::new();
    for section in sections {
        let section_schema =
            check_section(schema, section).map_err(|kind| located(file, text.lines().count() + 1, section, kind))?;
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("{}: {}\n", section_schema.name, section.id));
        for (key, value) in section.values.iter().flat_map(|(key, values)| values.iter().map(move |v| (key, v))) {
            text.push_str(&format!("\t{key} {value}\n"));
        }
    }
    if MAX_CONFIG_BYTES < text.len() {
        return Err(ConfigTextError::new(file, 0, None, ConfigTextErrorKind::TooLarge { max_bytes: MAX_CONFIG_BYTES }));
    }
    Ok(text)
}

/// Checks one section as [`write()`] does, for callers that want the error before they save.
///
/// # Errors
/// As [`write()`].
pub fn check(schema: &FileSchema, file: &str, section: &Section) -> Result<(), ConfigTextError> {
    check_section(schema, section).map(|_| ()).map_err(|kind| located(file, 0, section, kind))
}

/// Returns the content as text, within the size bound.
pub(crate) fn config_text<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, ConfigTextError> {
    let error = |line, kind| ConfigTextError::new(file, line, None, kind);
    if MAX_CONFIG_BYTES < bytes.len() {
        return Err(error(0, ConfigTextErrorKind::TooLarge { max_bytes: MAX_CONFIG_BYTES }));
    }
    std::str::from_utf8(bytes).map_err(|e| {
        let line = bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        error(line, ConfigTextErrorKind::NotUtf8)
    })
}

fn located(file: &str, line: usize, section: &Section, kind: ConfigTextErrorKind) -> ConfigTextError {
    ConfigTextError::new(file, line, Some(format!("{}: {}", section.section_type, section.id)), kind)
}

fn read_header<'s>(schema: &'s FileSchema, line: &str) -> Result<(Section, &'s SectionSchema), ConfigTextErrorKind> {
    let starts_well = line.chars().next().is_some_and(char::is_alphabetic);
    let (left, right) = line.split_once(':').filter(|_| starts_well).ok_or(ConfigTextErrorKind::HeaderExpected)?;
    let (section_type, id) = (left.trim(), right.trim());
    let section_schema = find_type(schema, section_type)?;
    section_schema.check_id(id).map_err(|reason| ConfigTextErrorKind::BadId { reason })?;
    Ok((Section::new(section_type, id), section_schema))
}

fn find_type<'s>(schema: &'s FileSchema, section_type: &str) -> Result<&'s SectionSchema, ConfigTextErrorKind> {
    schema.section(section_type).ok_or_else(|| ConfigTextErrorKind::UnknownType {
        found: section_type.to_owned(),
        known: schema.sections.iter().map(|s| s.name).collect::<Vec<_>>().join(", "),
    })
}

fn read_property(schema: &SectionSchema, section: &mut Section, line: &str) -> Result<(), ConfigTextErrorKind> {
    if !line.starts_with(char::is_whitespace) {
        return Err(ConfigTextErrorKind::PropertyExpected);
    }
    let (key, value) =
        line.trim_start().split_once(char::is_whitespace).ok_or(ConfigTextErrorKind::PropertyExpected)?;
    let value = value.trim();
    let key_schema = schema.key(key).ok_or_else(|| ConfigTextErrorKind::UnknownKey { key: key.to_owned() })?;
    let values = section.values.entry(key.to_owned()).or_default();
    if key_schema.repeat == Repeat::Once && !values.is_empty() {
        return Err(ConfigTextErrorKind::DuplicateKey { key: key.to_owned() });
    }
    values.push(key_schema.value.normalise(value).map_err(|e| e.of_key(key))?);
    Ok(())
}

fn check_required(schema: &SectionSchema, section: &Section) -> Result<(), ConfigTextErrorKind> {
    match schema.keys.iter().find(|key| key.required && section.list(key.name).is_empty()) {
        Some(key) => Err(ConfigTextErrorKind::MissingKey { key: key.name.to_owned() }),
        None => Ok(()),
    }
}

fn check_section<'s>(schema: &'s FileSchema, section: &Section) -> Result<&'s SectionSchema, ConfigTextErrorKind> {
    let section_schema = find_type(schema, &section.section_type)?;
    section_schema.check_id(&section.id).map_err(|reason| ConfigTextErrorKind::BadId { reason })?;
    if section.id.chars().any(char::is_control) || section.id.trim() != section.id {
        return Err(ConfigTextErrorKind::BadId { reason: "id cannot be written".to_owned() });
    }
    for (key, values) in &section.values {
        let key_schema = section_schema.key(key).ok_or_else(|| ConfigTextErrorKind::UnknownKey { key: key.clone() })?;
        if key_schema.repeat == Repeat::Once && values.len() != 1 {
            return Err(ConfigTextErrorKind::DuplicateKey { key: key.clone() });
        }
        for value in values {
            key_schema.value.normalise(value).map_err(|e| e.of_key(key))?;
            let reason = if value.chars().any(char::is_control) {
                "value contains a control character"
            } else if value.trim() != value {
                "value must not start or end with white space"
            } else {
                continue;
            };
            return Err(ConfigTextErrorKind::BadValue { key: key.clone(), reason: reason.to_owned() });
        }
    }
    check_required(section_schema, section)?;
    Ok(section_schema)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config_schema::{Key, Value};

    const SCHEMA: FileSchema = FileSchema {
        sections: &[SectionSchema {
            name: "job",
            id: Value::Text { min: 3, max: 32, check: None },
            keys: &[
                Key::required("store", Value::Text { min: 1, max: 32, check: None }),
                Key::optional("on", Value::Bool),
                Key::optional("count", Value::Int { min: 0, max: 7 }),
                Key::list("item", Value::Text { min: 0, max: 64, check: None }),
                Key::optional("mode", Value::Enum(&["one", "two"])),
            ],
        }],
    };

    fn rewritten(text: &str) -> Result<String, ConfigTextError> {
        write(&SCHEMA, "job.cfg", &parse(&SCHEMA, "job.cfg", text.as_bytes())?)
    }

    #[test]
    fn loose_input_is_written_in_the_canonical_form() {
        let loose = "job:j01\r\n    store   s1  \r\n\u{a0}item b\n\tcount +007\n\titem \n \t on YES\n\n \t\n\njob : j02\n\tstore x";
        let canonical = "job: j01\n\tcount 7\n\titem b\n\titem \n\ton true\n\tstore s1\n\njob: j02\n\tstore x\n";
        assert_eq!(rewritten(loose).unwrap(), canonical);
        assert_eq!(rewritten(canonical).unwrap(), canonical);
        assert_eq!(rewritten("").unwrap(), "");
    }

    #[test]
    fn the_later_of_two_sections_with_one_id_wins_and_is_written_once() {
        let text = "job: j01\n\tcount 1\n\tstore a\n\njob: j02\n\tstore b\n\njob: j01\n\tstore c\n";
        assert_eq!(rewritten(text).unwrap(), "job: j01\n\tstore c\n\njob: j02\n\tstore b\n");
    }

    #[test]
    fn errors_name_file_line_section_and_key() {
        let error = rewritten("job: j01\n\tstore a\n\tcount 8\n").unwrap_err();
        assert_eq!(
            (error.file.as_str(), error.line, error.section.as_deref(), error.kind.key()),
            ("job.cfg", 3, Some("job: j01"), Some("count"))
        );
        assert!(error.to_string().starts_with("job.cfg line 3, section 'job: j01'"), "{error}");
        let error = parse(&SCHEMA, "job.cfg", b"job: j01\n\tstore a\n\n\xff").unwrap_err();
        assert!(matches!(error.kind, ConfigTextErrorKind::NotUtf8) && error.line == 4, "{error:?}");
    }

    #[test]
    fn a_file_beyond_the_bound_is_refused() {
        let error = parse(&SCHEMA, "job.cfg", &vec![b'\n'; MAX_CONFIG_BYTES + 1]).unwrap_err();
        assert!(matches!(error.kind, ConfigTextErrorKind::TooLarge { .. }));
    }

    #[test]
    fn what_could_be_read_but_not_be_written_back_is_refused_on_writing() {
        assert!(matches!(
            rewritten("job: j01\n\tstore a\u{85}b\n").unwrap_err().kind,
            ConfigTextErrorKind::BadValue { .. }
        ));
        let mut section = Section::new("job", "j01");
        for bad in [" a", "a\n\tcount 1", "a\n\njob: j02"] {
            section.set("store", Some(bad.to_owned()));
            assert!(write(&SCHEMA, "job.cfg", std::slice::from_ref(&section)).is_err(), "{bad:?}");
        }
        section.set("store", None);
        assert!(write(&SCHEMA, "job.cfg", &[section]).is_err(), "required key");
    }

    #[test]
    fn what_is_wrong_in_one_section_costs_no_other_one() {
        let salvaged = |text: &str| {
            let salvage = salvage(&SCHEMA, "job.cfg", text.as_bytes()).unwrap();
            let ids: Vec<String> = salvage.sections.iter().map(|section| section.id.clone()).collect();
            let faults: Vec<(usize, Option<String>)> =
                salvage.faults.into_iter().map(|f| (f.line, f.section)).collect();
            (ids.join(" "), faults)
        };
        let at = |line, section: &str| (line, (!section.is_empty()).then(|| section.to_owned()));
        let (one, two) = ("job: j01\n\tstore a\n", "job: j02\n\tstore b\n");
        assert_eq!(salvaged(&format!("{one}\n{two}")), ("j01 j02".to_owned(), vec![]));
        let cases = [
            ("job: bad\n\tstore a\n\tcount 8\n", at(6, "job: bad")),
            ("job: bad\n\tcount 1\n", at(5, "job: bad")),
            ("job: bad\n\tnonsense 1\n\tstore a\n", at(5, "job: bad")),
            ("other: bad\n\tstore a\n", at(4, "")),
            ("\tstore a\n", at(4, "")),
            ("job: x\n\tstore a\n", at(4, "")),
            // Without the blank line between them nobody knows where the second one begins.
            ("job: bad\n\tstore a\njob: j04\n\tstore a\n", at(6, "job: bad")),
        ];
        for (bad, fault) in cases {
            assert_eq!(salvaged(&format!("{one}\n{bad}\n\n{two}")), ("j01 j02".to_owned(), vec![fault]), "{bad:?}");
        }
        // What the faulty section would have replaced no longer counts, what replaces it does.
        let faulty = "job: j01\n\tstore a\n\tcount 8\n";
        assert_eq!(salvaged(&format!("{one}\n{two}\n{faulty}")).0, "j02");
        assert_eq!(salvaged(&format!("{one}\n{faulty}\n{one}")).0, "j01");
        assert!(matches!(salvage(&SCHEMA, "job.cfg", b"\xff").unwrap_err().kind, ConfigTextErrorKind::NotUtf8));
    }

    proptest! {
        #[test]
        fn every_valid_section_survives_the_round_trip(
            ids in proptest::collection::btree_set("[a-z]{3,8}", 0..4),
            store in "[!-~]([ -~]{0,10}[!-~])?",
            items in proptest::collection::vec("([^\\p{White_Space}\\p{Cc}]([^\\p{Cc}]{0,6}[^\\p{White_Space}\\p{Cc}])?)?", 0..4),
            count in proptest::option::of(0..8u8),
        ) {
            let sections: Vec<Section> = ids.into_iter().map(|id| {
                let mut section = Section::new("job", id);
                section.set("store", Some(store.clone()));
                section.set_list("item", items.clone());
                section.set("count", count.map(|n| n.to_string()));
                section
            }).collect();
            let text = write(&SCHEMA, "job.cfg", &sections).unwrap();
            prop_assert_eq!(parse(&SCHEMA, "job.cfg", text.as_bytes()).unwrap(), sections);
        }

        #[test]
        fn no_text_makes_the_parser_panic_and_what_parses_is_stable_once_written(text in "(job: j0[12]|\\PC|\n|\t| |store|on|item){0,40}") {
            let salvage = salvage(&SCHEMA, "job.cfg", text.as_bytes()).unwrap();
            match rewritten(&text) {
                Ok(once) => {
                    prop_assert_eq!(rewritten(&once).unwrap(), once);
                    prop_assert!(salvage.faults.is_empty());
                    prop_assert_eq!(salvage.sections, parse(&SCHEMA, "job.cfg", text.as_bytes()).unwrap());
                }
                Err(_) => prop_assert!(parse(&SCHEMA, "job.cfg", text.as_bytes()).is_ok() || !salvage.faults.is_empty()),
            }
        }
    }
}
